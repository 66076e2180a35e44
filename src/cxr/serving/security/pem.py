"""Certificates and private keys as PEM files: read, and checked before a server uses them."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cxr.errors import ServingError
from cxr.serving.security.private import read_secret


def check_pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """Check that a server can use a certificate and its private key now.

    Args:
        certificate: PEM, the server's own first, then those that lead to an authority.
        key: PEM, without a passphrase.

    Returns:
        The two files, as they were checked.

    Raises:
        ServingError: a file cannot be read, others can read the key, the two do not belong together, or the
            certificate is not valid today.
    """
    chain, secret = _read_chain(certificate), read_secret(key)
    leaf = _parsed_certificate(chain, certificate)
    if leaf.public_key() != _parsed_key(secret, key).public_key():
        raise ServingError(f"{key} must be the private key of {certificate}, is another's; give the two made together")
    now = datetime.now(UTC)
    if now < leaf.not_valid_before_utc:
        raise ServingError(
            f"{certificate} must be valid now, is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on; check "
            "the clock of this machine"
        )
    if now >= leaf.not_valid_after_utc:
        raise ServingError(
            f"{certificate} must be valid now, has expired at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; renew it"
        )
    return chain, secret


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a file.

    Raises:
        ServingError: there is none.
    """
    return _parsed_certificate(_read_chain(path), path)


def read_private_key(path: Path) -> PrivateKeyTypes:
    """The private key of a file.

    Raises:
        ServingError: there is none, it has a passphrase, or others can read it.
    """
    return _parsed_key(read_secret(path), path)


def _read_chain(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ServingError(f"{path} must be a readable certificate: {error.strerror}") from error


def _parsed_certificate(pem: bytes, path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except ValueError as error:
        raise ServingError(f"{path} must be a certificate in PEM, is not; give the whole chain") from error


def _parsed_key(pem: bytes, path: Path) -> PrivateKeyTypes:
    with suppress(ValueError, TypeError, UnsupportedAlgorithm):
        return load_pem_private_key(pem, password=None)
    raise ServingError(f"{path} must be a private key in PEM without a passphrase, is not")
