"""The script of `helm test`, against a predictor that runs."""

import os
import subprocess
import sys

from support.chart import CHART


def ask(service, tmp_path, *, key, model="cxr", authority=True):
    (tmp_path / "client.key").write_text(key + "\n")
    given = {"URL": service.url, "MODEL": model, "KEY_FILE": str(tmp_path / "client.key")}
    given |= {"CA_FILE": str(service.ca)} if authority else {}
    return subprocess.run(
        [sys.executable, str(CHART / "files" / "predict.py")],
        env={"PATH": os.environ["PATH"], **given}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_it_gets_a_prediction_of_the_bundle_that_is_served(service, tmp_path):
    done = ask(service, tmp_path, key=service.keys["predict"])
    assert done.returncode == 0, done.stderr
    with service.client() as client:
        assert client.get("/health").json()["bundle"].startswith(done.stdout.split()[1])


def test_it_fails_without_a_known_key_another_model_and_without_the_authority(service, tmp_path):
    unknown = ask(service, tmp_path, key="cxr_000000000000_" + "A" * 43)
    assert unknown.returncode == 1
    assert "is 401" in unknown.stderr
    assert "is 404" in ask(service, tmp_path, key=service.keys["predict"], model="other").stderr
    untrusted = ask(service, tmp_path, key=service.keys["predict"], authority=False)
    assert untrusted.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in untrusted.stderr
