"""A certificate for development: a small authority of this machine's own, and what it signs for the server."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cxr.errors import ServingError
from cxr.serving.security.pem import check_pair, read_certificate, read_private_key
from cxr.serving.security.private import write_private

AUTHORITY, AUTHORITY_KEY = "ca.pem", "ca.key"
CERTIFICATE, KEY = "server.pem", "server.key"

_LOCAL = ("localhost", "127.0.0.1", "::1")
_AUTHORITY_LIFETIME = timedelta(days=3650)
_LIFETIME = timedelta(days=90)
_RENEW_BEFORE = timedelta(days=14)
_CLOCK_SKEW = timedelta(minutes=5)


def development_certificate(folder: Path, *, hosts: Sequence[str] = ()) -> None:
    """Make `server.pem` and `server.key` for this machine in a folder, signed by an authority made beside them.

    Clients must trust `ca.pem`, which stays the same when the server's certificate is renewed: two weeks before its
    end, or when a host is new. A certificate in the folder that this authority has not signed is someone's own: it is
    checked and left as it is.

    Args:
        folder: of the four files.
        hosts: names and addresses besides localhost, 127.0.0.1, ::1 and this machine's name.

    Raises:
        ServingError: someone's own certificate is there and cannot be used.
    """
    names = tuple(dict.fromkeys((*_LOCAL, socket.gethostname(), *hosts)))
    certificate, key = folder / CERTIFICATE, folder / KEY
    authority = _read_authority(folder)
    if certificate.exists() and (authority is None or not _has_signed(authority, certificate)):
        check_pair(certificate, key)
        return
    if authority is None or not authority.usable():
        certificate.unlink(missing_ok=True)
        _new_certificate(folder, _new_authority(folder), names)
    elif not certificate.exists() or not _still_good(certificate, key, names):
        _new_certificate(folder, authority, names)


@dataclass(frozen=True, eq=False)
class _Authority:
    """A certificate that signs others, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def usable(self) -> bool:
        """Whether the two belong together and outlive what they would sign."""
        lasts = self.certificate.not_valid_after_utc - datetime.now(UTC) > _LIFETIME
        return lasts and self.certificate.public_key() == self.key.public_key()


def _read_authority(folder: Path) -> _Authority | None:
    """The authority of a folder, None when there is none."""
    paths = folder / AUTHORITY, folder / AUTHORITY_KEY
    if not all(path.exists() for path in paths):
        return None
    key = read_private_key(paths[1])
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ServingError(f"{paths[1]} must be the key of an authority made here, is not; use another folder")
    return _Authority(read_certificate(paths[0]), key)


def _has_signed(authority: _Authority, certificate: Path) -> bool:
    leaf = read_certificate(certificate)
    try:
        leaf.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _still_good(certificate: Path, key: Path, names: Sequence[str]) -> bool:
    leaf = read_certificate(certificate)
    if not key.exists() or leaf.not_valid_after_utc - datetime.now(UTC) < _RENEW_BEFORE:
        return False
    stated = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    is_pair = leaf.public_key() == read_private_key(key).public_key()
    return is_pair and set(stated) >= set(_general_names(names))


def _new_authority(folder: Path) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cxr development authority")])
    builder = _builder(name, name, key, _AUTHORITY_LIFETIME).add_extension(
        x509.BasicConstraints(True, 0), critical=True
    )
    builder = builder.add_extension(_usage(signs=True), critical=True)
    certificate = builder.sign(key, SHA256())
    _write_key(folder / AUTHORITY_KEY, key)
    write_private(folder / AUTHORITY, certificate.public_bytes(Encoding.PEM))
    return _Authority(certificate, key)


def _new_certificate(folder: Path, authority: _Authority, names: Sequence[str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = _builder(name, authority.certificate.subject, key, _LIFETIME)
    for extension, critical in (
        (x509.BasicConstraints(False, None), True),
        (_usage(signs=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(_general_names(names)), False),
        (authority_id, False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    certificate = builder.sign(authority.key, SHA256())
    _write_key(folder / KEY, key)
    write_private(folder / CERTIFICATE, certificate.public_bytes(Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - _CLOCK_SKEW).not_valid_after(now + lifetime)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    return [_general_name(name) for name in names]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
