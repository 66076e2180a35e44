"""Ports of this machine that programs under test may take."""

import contextlib
import random
import socket

_TAKEN: set[int] = set()


def free_port() -> int:
    """Below the ports that systems give to clients, so that no connection takes it first; never the same one twice."""
    for port in random.sample(range(15_000, 30_000), 1_000):
        with contextlib.suppress(OSError), socket.socket() as probe:
            if port in _TAKEN:
                continue
            probe.bind(("127.0.0.1", port))
            _TAKEN.add(port)
            return port
    raise RuntimeError("no free port between 15000 and 30000")
