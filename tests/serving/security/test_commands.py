"""`cxr keys`."""

import re

import pytest
from click.testing import CliRunner

from cxr.errors import ServingError
from cxr.serving.problems import Unauthenticated
from cxr.serving.security.commands import keys
from cxr.serving.security.keys import KeyStore, Scope, list_keys


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


def _run(path, *arguments):
    result = CliRunner().invoke(keys, [*arguments, "--keys", str(path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_a_key_is_printed_alone_and_works(path):
    result = _run(path, "create", "--scope", "predict", "--scope", "audit", "--rate", "5", "--days", "30")
    secret = result.stdout.strip()
    assert "only its digest" in result.stderr
    identity = KeyStore.open(path).identify(secret, scope=Scope.AUDIT)
    assert (identity.scopes, identity.rate_per_minute) == ({Scope.PREDICT, Scope.AUDIT}, 5)
    assert list_keys(path)[0].expires is not None


def test_the_list_shows_what_is_kept_and_no_secret(path):
    secrets = [_run(path, "create", "--scope", scope).stdout.strip() for scope in ("predict", "admin")]
    _run(path, "revoke", list_keys(path)[0].id)
    result = _run(path, "list")
    assert re.search(rf"{list_keys(path)[0].id}  revoked .* predict\n", result.stdout)
    assert re.search(rf"{list_keys(path)[1].id}  valid .* never .* admin\n", result.stdout)
    assert not any(secret.split("_", 2)[2] in result.output for secret in secrets)
    assert not any(key.digest in result.output for key in list_keys(path))


def test_rotation_prints_the_new_key(path):
    old = _run(path, "create").stdout.strip()
    new = _run(path, "rotate", list_keys(path)[0].id, "--grace-hours", "0").stdout.strip()
    store = KeyStore.open(path)
    store.identify(new, scope=Scope.PREDICT)
    with pytest.raises(Unauthenticated, match="expired"):
        store.identify(old, scope=Scope.PREDICT)


def test_the_file_may_come_from_the_environment_of_the_service(path):
    result = CliRunner().invoke(keys, ["create"], env={"CXR_SERVE_KEYS": str(path)})
    assert result.exit_code == 0
    assert len(list_keys(path)) == 1


def test_any_is_not_granted(path):
    result = CliRunner().invoke(keys, ["create", "--keys", str(path), "--scope", "any"])
    assert result.exit_code == 2
    assert not path.exists()


def test_an_unknown_key_is_an_error_that_says_what_to_do(path):
    _run(path, "create")
    with pytest.raises(ServingError, match="cxr keys list"):
        CliRunner().invoke(keys, ["revoke", "0" * 12, "--keys", str(path)], catch_exceptions=False)
