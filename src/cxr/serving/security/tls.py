"""TLS of the servers, REST and gRPC: certificates that are followed while they are in use."""

import logging
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import grpc

from cxr.errors import ServingError
from cxr.serving.security.authority import development_certificate
from cxr.serving.security.pem import check_pair

__all__ = ["check_pair", "development_certificate", "grpc_credentials", "server_context"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for an HTTP/1.1 server, which follows the files: a renewed pair serves the connections made after it.

    While the files do not make a good pair, as in the middle of a renewal, the pair before stays in use. (Loading a
    pair into a context that is in use, as KServe does, leaves it without any certificate when the two do not fit.)

    Raises:
        ServingError: the pair cannot be used now, see `check_pair`.
    """
    follower = _Follower(certificate, key, _context)

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = follower.latest()

    entrance = _context(certificate, key)
    entrance.sni_callback = choose
    return entrance


def grpc_credentials(certificate: Path, key: Path) -> grpc.ServerCredentials:
    """Credentials for a gRPC port, which follow the files as `server_context` does.

    Raises:
        ServingError: the pair cannot be used now, see `check_pair`.
    """
    follower = _Follower(certificate, key, _configuration)
    return grpc.dynamic_ssl_server_credentials(follower.latest(), follower.latest, require_client_authentication=False)


class _Follower(Generic[T]):
    """What is made of a certificate and its key, made again when the files have changed and are a good pair."""

    def __init__(self, certificate: Path, key: Path, make: Callable[[Path, Path], T]) -> None:
        self._paths = certificate, key
        self._make = make
        self._lock = threading.Lock()
        self._used = self._refused = _stamp(certificate, key)
        self._made = make(certificate, key)

    def latest(self) -> T:
        """The last that could be made. Called for each connection, by gRPC from threads of its own."""
        with self._lock:
            stamp = _stamp(*self._paths)
            if stamp != self._used:
                self._renew(stamp)
            return self._made

    def _renew(self, stamp: "_Stamp | None") -> None:
        try:
            self._made = self._make(*self._paths)
            self._used = stamp
        except ServingError as error:
            if stamp != self._refused:
                logger.error("the certificate read before stays in use", extra={"reason": str(error)})
            self._refused = stamp


_Stamp = tuple[tuple[int, int, int], ...]


def _stamp(*paths: Path) -> _Stamp | None:
    """What changes with files; None when one is missing."""
    try:
        statuses = [path.stat() for path in paths]
    except OSError:
        return None
    return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in statuses)


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    check_pair(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise ServingError(f"{certificate} and {key} must make a pair, do not: {error.strerror}") from error
    return context


def _configuration(certificate: Path, key: Path) -> grpc.ServerCertificateConfiguration:
    chain, secret = check_pair(certificate, key)
    return grpc.ssl_server_certificate_configuration([(secret, chain)])
