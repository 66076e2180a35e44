"""A proxy that nothing may go through."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True)
class StubProxy:
    """Notes the first bytes of every connection, and answers none.

    Attributes:
        seen: what came.
    """

    seen: list[bytes] = field(default_factory=list)

    @classmethod
    @contextmanager
    def started(cls, monkeypatch: pytest.MonkeyPatch) -> Iterator["StubProxy"]:
        """Listen, as the proxy that the environment names for everything."""
        proxy, listener = cls(), socket.create_server(("127.0.0.1", 0))
        for name in _VARIABLES:
            for variable in (name, name.lower()):
                monkeypatch.setenv(variable, f"http://127.0.0.1:{listener.getsockname()[1]}")
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(variable, raising=False)
        thread = threading.Thread(target=proxy._listen, args=(listener,))
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            listener.close()

    def _listen(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    self.seen.append(connection.recv(65536))
