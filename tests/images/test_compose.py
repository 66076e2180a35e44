import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cxr.serving.__main__ import main
from cxr.serving.settings import Settings
from cxr.sidecar.__main__ import main as sidecar

ROOT = Path(__file__).parents[2]
OURS = ["predictor", "drift"]
SETTINGS = Settings(bundle=Path(), state=Path())
VARIABLE = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]


def default(text: str) -> str:
    """The text with every variable at its default."""
    return VARIABLE.sub(r"\1", text)


def sidecar_port() -> int:
    return next(option.default for option in sidecar.params if option.name == "port")


def published(service: dict[str, Any]) -> dict[int, str]:
    """Port of the container to the address that it is published on."""
    found = {}
    for text in service.get("ports", []):
        address, _, inside = default(text).rpartition(":")
        found[int(inside)] = address
    return found


def test_it_has_the_four_services(services):
    assert set(services) == {"predictor", "drift", "mlflow", "prometheus"}


@pytest.mark.parametrize("name", OURS)
def test_our_images_are_built_from_dockerfiles_that_are_there(services, name):
    build = services[name]["build"]
    assert build["context"] == "."
    assert build["dockerfile"] == f"images/{name}/Dockerfile"
    assert (ROOT / build["dockerfile"]).is_file()
    assert services[name]["image"].startswith(f"cxr/{name}:${{CXR_VERSION:?")


@pytest.mark.parametrize("name", ["mlflow", "prometheus"])
def test_other_images_are_of_one_version(services, name):
    assert re.fullmatch(r"[a-z.]+/[a-z/]+:v\d+\.\d+\.\d+", default(services[name]["image"]))


def test_mlflows_server_is_of_the_version_that_the_pipeline_uses(services):
    locked = re.search(r"^mlflow==(.+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked is not None
    assert default(services["mlflow"]["image"]).endswith(f":v{locked[1]}")


def test_every_container_has_a_read_only_root_and_no_rights(services):
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["tmpfs"] == ["/tmp"], name  # noqa: S108
        assert re.fullmatch(r"[1-9]\d*:\d+", default(service["user"])), name
        assert service["mem_limit"], name


def test_the_published_ports_are_those_of_the_settings_and_on_the_loopback_interface(services):
    assert set(published(services["predictor"])) == {SETTINGS.http_port, SETTINGS.grpc_port}
    assert published(services["drift"]) == {}
    for service in services.values():
        assert all(address.startswith("127.0.0.1:") for address in published(service).values())


@pytest.mark.parametrize("name", OURS)
def test_the_images_expose_the_ports_of_the_settings(name):
    text = (ROOT / "images" / name / "Dockerfile").read_text()
    exposed = re.search(r"^EXPOSE (.+)$", text, re.MULTILINE)
    asked = set(re.findall(r"https?://localhost:(\d+)(/\S*?)\"", text))
    assert exposed is not None
    if name == "predictor":
        assert exposed[1] == f"{SETTINGS.http_port} {SETTINGS.grpc_port}"
        assert asked == {(str(SETTINGS.http_port), "/v2/health/ready")}
    else:
        assert exposed[1] == str(sidecar_port())
        assert asked == {(str(sidecar_port()), "/health/ready")}


def test_the_predictors_variables_are_options_of_the_predictor(services):
    options = {f"CXR_SERVE_{option.name.upper()}" for option in main.params if option.name}
    baked = re.findall(r"(CXR_SERVE_[A-Z_]+)=", (ROOT / "images/predictor/Dockerfile").read_text())
    assert set(services["predictor"]["environment"]) <= options
    assert set(baked) <= options
    assert {"CXR_SERVE_BUNDLE", "CXR_SERVE_STATE"} == set(baked)


def test_the_predictor_starts_with_keys_and_tls_and_sends_to_the_sidecar(services):
    given = services["predictor"]["environment"]
    settings = Settings(
        bundle=Path(given["CXR_SERVE_BUNDLE"]),
        state=Path(given["CXR_SERVE_STATE"]),
        keys=Path(given["CXR_SERVE_KEYS"]),
        tls_certificate=Path(given["CXR_SERVE_TLS_CERTIFICATE"]),
        tls_key=Path(given["CXR_SERVE_TLS_KEY"]),
    )
    settings.check()
    assert given["CXR_SERVE_DRIFT_URL"] == f"http://drift:{sidecar_port()}"


def test_the_sidecars_command_is_one_that_it_takes(services):
    command = services["drift"]["command"]
    with sidecar.make_context("sidecar", list(command)) as context:
        assert context.params["host"] == "0.0.0.0"  # noqa: S104
        targets = {default(volume).split(":")[1] for volume in services["drift"]["volumes"]}
        assert {str(context.params[name]) for name in ("bundle", "state", "token_file")} == targets


def test_the_sidecar_and_prometheus_see_no_secret_but_their_own(services):
    for name in ("drift", "prometheus"):
        sources = [default(volume).split(":")[0] for volume in services[name]["volumes"]]
        assert not any(
            source.endswith(("serving", ".db", "audit.key", "keys.json", "server.key")) for source in sources
        )
    assert all(volume.endswith(":ro") for volume in services["prometheus"]["volumes"][:3])


def test_prometheus_reads_its_configuration_and_asks_the_services_where_they_listen(services):
    [volume] = [text for text in services["prometheus"]["volumes"] if "prometheus.yaml" in text]
    source, target, _ = volume.split(":")
    assert f"--config.file={target}" in services["prometheus"]["command"]
    configuration = yaml.safe_load((ROOT / source).read_text())
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    assert jobs["predictor"]["static_configs"] == [{"targets": [f"predictor:{SETTINGS.http_port}"]}]
    assert jobs["drift"]["static_configs"] == [{"targets": [f"drift:{sidecar_port()}"]}]
    mounted = {default(text).split(":")[1] for text in services["prometheus"]["volumes"]}
    assert jobs["predictor"]["tls_config"]["ca_file"] in mounted
    assert jobs["predictor"]["authorization"]["credentials_file"] in mounted
