import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from cxr.serving.security.keys import KeyStore, Scope
from support.drift_bundle import write_drift_bundle

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "images" / "prepare.py"


def prepared(folder: Path, *more: str) -> None:
    """Run the script in this process, where MLflow is imported once."""
    given = {name: folder / name for name in ("run", "state", "mlflow", "prometheus")}
    options = [text for name, path in given.items() for text in (f"--{name}", str(path))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [str(SCRIPT), *options, "--tracking-uri", f"sqlite:///{folder}/none.db", *more])
        runpy.run_path(str(SCRIPT), run_name="__main__")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compose")
    write_drift_bundle(folder / "run" / "bundle")
    prepared(folder)
    return folder


def test_everything_that_compose_mounts_is_there(made):
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    folders = {
        "${CXR_STATE:-./runs/serving}": made / "state",
        "${CXR_MLFLOW:-./runs/compose/mlflow}": made / "mlflow",
        "${CXR_PROMETHEUS:-./runs/compose/prometheus}": made / "prometheus",
        "./images": ROOT / "images",
    }
    for volume in (volume for service in services.values() for volume in service["volumes"]):
        start = next(start for start in folders if volume.startswith(start))
        source = Path(f"{folders[start]}{volume.removeprefix(start).split(':')[0]}")
        assert source.exists(), volume


def test_what_the_predictor_is_told_to_read_is_there(made):
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for value in services["predictor"]["environment"].values():
        if value.startswith("/state/"):
            assert (made / "state" / value.removeprefix("/state/")).exists(), value


def test_prometheus_may_read_metrics_and_nothing_that_is_guarded(made):
    store = KeyStore.open(made / "state" / "keys.json")
    secret = made / "state" / "metrics.key"
    assert secret.stat().st_mode & 0o077 == 0
    identity = store.identify(secret.read_text().strip(), scope=Scope.PREDICT)
    assert identity.scopes == {Scope.PREDICT}


def test_a_second_time_changes_no_secret(made):
    names = ("metrics.key", "client.key", "drift.token", "keys.json", "tls/server.key")
    before = {name: (made / "state" / name).read_bytes() for name in names}
    prepared(made)
    assert {name: (made / "state" / name).read_bytes() for name in names} == before


def test_without_a_bundle_it_says_what_to_do(tmp_path):
    with pytest.raises(SystemExit, match="make run"):
        prepared(tmp_path)


def test_clients_elsewhere_find_their_name_in_the_certificate(made):
    prepared(made, "--host", "cxr.hospital.example")
    certificate = x509.load_pem_x509_certificate((made / "state" / "tls" / "server.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "cxr.hospital.example"} <= set(names.get_values_for_type(x509.DNSName))
