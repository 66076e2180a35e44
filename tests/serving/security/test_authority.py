"""A certificate for development: made, kept, renewed."""

import os
import shutil
import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from cxr.errors import ServingError
from cxr.serving.security import authority
from cxr.serving.security.authority import development_certificate
from cxr.serving.security.pem import check_pair


@pytest.fixture
def folder(tmp_path):
    before = os.umask(0)
    development_certificate(tmp_path / "tls")
    os.umask(before)
    return tmp_path / "tls"


def _certificate(folder, name="server.pem"):
    return x509.load_pem_x509_certificate((folder / name).read_bytes())


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _lifetime(monkeypatch, **lifetimes):
    for name, value in lifetimes.items():
        monkeypatch.setattr(authority, f"_{name}", value)


def test_it_is_for_this_machine_on_a_curve_and_for_servers_only(folder):
    leaf, authority = _certificate(folder), _certificate(folder, "ca.pem")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", socket.gethostname()} <= set(names.get_values_for_type(x509.DNSName))
    assert set(names.get_values_for_type(x509.IPAddress)) == {ip_address("127.0.0.1"), ip_address("::1")}
    assert isinstance(leaf.public_key().curve, ec.SECP256R1)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    leaf.verify_directly_issued_by(authority)


def test_keys_are_closed_to_others(folder):
    assert {path.name for path in folder.iterdir()} == {"ca.pem", "ca.key", "server.pem", "server.key"}
    assert (folder / "server.key").stat().st_mode & 0o777 == 0o600
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600


def test_a_good_one_is_kept(folder):
    before = _contents(folder)
    development_certificate(folder)
    assert _contents(folder) == before


def test_a_new_host_needs_a_new_certificate_of_the_same_authority(folder):
    before = _contents(folder)
    development_certificate(folder, hosts=["cxr.example", "10.0.0.7"])
    after = _contents(folder)
    assert (after["ca.pem"], after["ca.key"]) == (before["ca.pem"], before["ca.key"])
    assert after["server.pem"] != before["server.pem"]
    names = _certificate(folder).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert x509.DNSName("cxr.example") in list(names)
    assert x509.IPAddress(ip_address("10.0.0.7")) in list(names)
    development_certificate(folder)
    assert _contents(folder) == after


def test_one_that_ends_soon_is_renewed_by_the_same_authority(tmp_path, monkeypatch):
    with monkeypatch.context() as short:
        _lifetime(short, LIFETIME=timedelta(days=13))
        development_certificate(tmp_path)
    before = _contents(tmp_path)
    development_certificate(tmp_path)
    assert _contents(tmp_path)["ca.pem"] == before["ca.pem"]
    assert _certificate(tmp_path).not_valid_after_utc > datetime.now(UTC) + timedelta(days=80)


def test_an_authority_that_ends_before_its_certificates_is_renewed(tmp_path, monkeypatch):
    with monkeypatch.context() as short:
        _lifetime(short, AUTHORITY_LIFETIME=timedelta(days=80))
        development_certificate(tmp_path)
    before = _contents(tmp_path)
    development_certificate(tmp_path)
    assert not set(before.values()) & set(_contents(tmp_path).values())
    _certificate(tmp_path).verify_directly_issued_by(_certificate(tmp_path, "ca.pem"))
    check_pair(tmp_path / "server.pem", tmp_path / "server.key")


@pytest.mark.parametrize("lost", ["server.key", "server.pem"])
def test_half_a_pair_is_made_whole(folder, lost):
    (folder / lost).unlink()
    development_certificate(folder)
    check_pair(folder / "server.pem", folder / "server.key")


def test_a_given_pair_is_left_as_it_is(folder, tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    for name in ("ca.pem", "server.pem", "server.key"):
        shutil.copy2(folder / name, given / name)
    before = _contents(given)
    development_certificate(given, hosts=["elsewhere.example"])
    assert _contents(given) == before


def test_a_given_pair_beside_another_authority_is_left_as_it_is(folder, tmp_path):
    development_certificate(tmp_path / "other")
    for name in ("server.pem", "server.key"):
        shutil.copy2(tmp_path / "other" / name, folder / name)
    before = _contents(folder)
    development_certificate(folder)
    assert _contents(folder) == before


def test_a_given_pair_that_has_expired_is_refused_and_left_as_it_is(tmp_path, monkeypatch):
    _lifetime(monkeypatch, LIFETIME=timedelta(seconds=-1))
    development_certificate(tmp_path)
    (tmp_path / "ca.key").unlink()
    before = _contents(tmp_path)
    with pytest.raises(ServingError, match="has expired"):
        development_certificate(tmp_path)
    assert _contents(tmp_path) == before
