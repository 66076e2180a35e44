import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ["pipeline", "predictor", "drift"]
LOCKS = {
    "pipeline": "images/pipeline/requirements.lock",
    "predictor": "images/predictor/requirements.lock",
    "drift": "images/drift/requirements.lock",
}
SECRET = re.compile(
    r"(password|passwd|secret_key|access_key|api_?key|token)\s*=|BEGIN [A-Z ]*PRIVATE KEY", re.IGNORECASE
)


def instructions(image: str) -> list[tuple[str, str]]:
    """Instruction and argument, line continuations joined, comments left out."""
    text = (ROOT / "images" / image / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined)]


def stages(image: str) -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for step in instructions(image):
        if step[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(step)
    return found


def values(steps: list[tuple[str, str]], instruction: str) -> list[str]:
    return [rest for word, rest in steps if word == instruction]


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> str:
    return request.param


def test_every_stage_starts_from_the_one_pinned_base(image):
    assert instructions(image)[0] == ("ARG", "BASE_IMAGE=python:3.11-slim-bookworm")
    build, final = stages(image)
    assert build[0] == ("FROM", "${BASE_IMAGE} AS environment")
    assert final[0] == ("FROM", "${BASE_IMAGE}")


def test_it_runs_as_a_number_and_never_as_root(image):
    final = stages(image)[-1]
    [user] = values(final, "USER")
    uid, _, gid = user.partition(":")
    assert uid.isdigit()
    assert int(uid) >= 10000
    assert gid == "0"
    assert [word for word, _ in final[final.index(("USER", user)) :] if word in ("RUN", "COPY")] == []


def test_the_lock_is_installed_before_the_source_comes(image):
    build = stages(image)[0]
    words = [f"{word} {rest}" for word, rest in build]
    lock = next(n for n, text in enumerate(words) if text.startswith("COPY") and LOCKS[image] in text.split())
    installed = next(n for n, text in enumerate(words) if text.startswith("RUN") and "requirements.lock" in text)
    source = words.index("COPY src src")
    assert lock < installed < source


def test_what_is_copied_is_there_and_may_enter_the_build(image):
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    admitted = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert "*" in ignored
    for rest in values(instructions(image), "COPY"):
        if rest.startswith("--from="):
            continue
        for source in rest.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(source == name or source.startswith(f"{name}/") for name in admitted), source


def test_the_final_stage_installs_nothing_and_takes_only_the_environment_and_the_code(image):
    final = stages(image)[-1]
    assert not [rest for rest in values(final, "RUN") if re.search(r"\b(install|apt-get|curl|wget)\b", rest)]
    assert values(final, "COPY")[:2] == [f"--from=environment {path} {path}" for path in ("/opt/cxr", "/opt/code")]
    assert all("health.py" in rest for rest in values(final, "COPY")[2:])


def test_what_the_lock_names_stays_installed(image):
    """The SBOM is made of the lock; what an image must not have is left out there (`--no-emit-package`)."""
    assert "uninstall" not in " ".join(values(instructions(image), "RUN"))


def test_nothing_is_latest_nothing_is_secret_nothing_is_added(image):
    text = (ROOT / "images" / image / "Dockerfile").read_text()
    assert ":latest" not in text
    assert SECRET.search(text) is None
    assert values(instructions(image), "ADD") == []


def test_labels_say_what_it_is(image):
    [label] = values(stages(image)[-1], "LABEL")
    found = dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="([^"]*)"', label))
    assert found["title"] == f"cxr {image}"
    assert found["licenses"] == "Apache-2.0"
    assert found["version"] == "${VERSION}"
    assert found["revision"] == "${REVISION}"
    assert found["base.name"] == "${BASE_IMAGE}"
    assert found["description"]


def test_health_is_asked_or_openly_not(image):
    [check] = values(stages(image)[-1], "HEALTHCHECK")
    assert (check == "NONE") == (image == "pipeline")


def test_the_command_is_started_without_a_shell(image):
    [entry] = values(stages(image)[-1], "ENTRYPOINT")
    assert entry.startswith("[")


@pytest.mark.parametrize("name", ["runs", ".venv", ".git", "tests", "runs/serving/audit.key"])
def test_runs_keys_and_history_stay_out_of_the_build(name):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines.index("*") < min(n for n, line in enumerate(lines) if line.startswith("!"))
    assert not any(line in (f"!{name}", f"!{name.partition('/')[0]}") for line in lines)
