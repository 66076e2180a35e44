"""A certificate and its key, checked."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cxr.errors import ServingError
from cxr.serving.security import authority
from cxr.serving.security.authority import development_certificate
from cxr.serving.security.pem import check_pair


@pytest.fixture
def folder(tmp_path):
    development_certificate(tmp_path / "tls")
    return tmp_path / "tls"


def test_a_good_pair_is_given_back(folder):
    chain, key = check_pair(folder / "server.pem", folder / "server.key")
    assert (chain, key) == ((folder / "server.pem").read_bytes(), (folder / "server.key").read_bytes())


def test_a_pair_must_belong_together(folder, tmp_path):
    development_certificate(tmp_path / "other")
    with pytest.raises(ServingError, match="must be the private key of"):
        check_pair(folder / "server.pem", tmp_path / "other" / "server.key")


def test_a_pair_must_have_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(authority, "_CLOCK_SKEW", -timedelta(hours=1))
    development_certificate(tmp_path)
    with pytest.raises(ServingError, match="check the clock"):
        check_pair(tmp_path / "server.pem", tmp_path / "server.key")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("server.pem", b"", "certificate in PEM"),
        ("server.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate in PEM"),
        ("server.key", b"SECRET", "private key in PEM"),
        ("server.pem", None, "readable certificate"),
        ("server.key", None, "readable file"),
    ],
)
def test_a_pair_must_be_readable(folder, name, content, message):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    with pytest.raises(ServingError, match=message) as raised:
        check_pair(folder / "server.pem", folder / "server.key")
    assert "SECRET" not in str(raised.value)


def test_a_key_that_others_can_read_is_refused(folder):
    (folder / "server.key").chmod(0o644)
    with pytest.raises(ServingError, match="chmod 600"):
        check_pair(folder / "server.pem", folder / "server.key")


def test_a_key_with_a_passphrase_is_refused(folder):
    key = load_pem_private_key((folder / "server.key").read_bytes(), None)
    locked = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"word"))
    (folder / "server.key").write_bytes(locked)
    with pytest.raises(ServingError, match="without a passphrase"):
        check_pair(folder / "server.pem", folder / "server.key")
