"""A real S3 store for tests: Ceph's RADOS gateway on a memory-only cluster, private to this process.

Needs Debian's `radosgw`, `ceph-mon` and `ceph-osd`; the `gateway` fixture skips where they are not installed.
"""

import atexit
import contextlib
import functools
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3
from minio import Minio

from support.ports import free_port

PACKAGES = ("ceph-mon", "ceph-osd", "radosgw")
PATIENCE = 120.0
"""Seconds to wait for each command; all of them take a dozen on an idle machine."""

STARTS = 3
"""How often to try: ports are chosen before the daemons take them."""

ACCESS_KEY = "reader"
SECRET_KEY = "correct-horse-battery-staple"  # noqa: S105

_CONFIG = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{ports[0]},v1:127.0.0.1:{ports[1]}]
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
run dir = {root}
admin socket = {root}/$name.asok
log file = {root}/$name.log
mon data = {root}/mon
osd data = {root}/osd
rgw data = {root}/rgw
osd objectstore = memstore
memstore device bytes = 1073741824
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
mon max pg per osd = 1000
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon warn on pool no redundancy = false
rgw frontends = beast endpoint=127.0.0.1:{ports[2]}
rgw thread pool size = 32
rgw enable usage log = false
"""


@dataclass(frozen=True)
class Gateway:
    """A running store. `client` may do everything; a bucket made by `bucket` is empty and nobody else's."""

    endpoint: str
    access_key: str
    secret_key: str
    client: Minio

    def bucket(self) -> str:
        """Make a bucket."""
        name = f"films-{uuid.uuid4().hex[:12]}"
        self.client.make_bucket(name)
        return name

    def environment(self) -> dict[str, str]:
        """What a process needs to read from the store."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }


@pytest.fixture(scope="session")
def gateway() -> Gateway:
    """The store of this process, or a skip."""
    missing = [name for name in ("ceph-mon", "ceph-osd", "radosgw") if not shutil.which(name)]
    if missing:
        pytest.skip(f"no real S3 store: {', '.join(missing)} not installed (apt-get install {' '.join(PACKAGES)})")
    return _start()


class _DaemonEndedError(RuntimeError):
    """A daemon ended by itself: most often another process took one of its ports first."""


@functools.cache
def _start() -> Gateway:
    for _ in range(STARTS - 1):
        with contextlib.suppress(_DaemonEndedError):
            return _start_once()
    return _start_once()


def _start_once() -> Gateway:
    root = Path(tempfile.mkdtemp(prefix="rgw-"))
    running: dict[str, subprocess.Popen[bytes]] = {}
    atexit.register(_stop, running, root)
    ports = [free_port() for _ in range(3)]
    fsid = str(uuid.uuid4())
    (root / "ceph.conf").write_text(_CONFIG.format(fsid=fsid, ports=ports, root=root))

    def command(name: str, *arguments: str) -> list[str]:
        return [name, "--conf", str(root / "ceph.conf"), *arguments]

    def daemon(name: str, *arguments: str) -> None:
        with (root / f"{name}.out").open("wb") as log:
            dies_with_us = ("setpriv", "--pdeathsig", "KILL", *command(name, "-f", *arguments))
            running[name] = subprocess.Popen(dies_with_us, stdout=log, stderr=log)

    def until(done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            for name, process in running.items():
                if process.poll() is not None:
                    raise _DaemonEndedError(f"{name} ended: {(root / f'{name}.out').read_text()[-500:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} took more than {PATIENCE:g} s")
            time.sleep(0.1)

    def once(name: str, *arguments: str) -> None:
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(command(name, *arguments), stdout=said, stderr=said) as it,
        ):
            try:
                until(lambda: it.poll() is not None, name)
            finally:
                it.kill()
            if it.wait() != 0:
                said.seek(0)
                raise RuntimeError(f"{name} failed: {said.read().decode(errors='replace')[-500:]}")

    address = f"[v2:127.0.0.1:{ports[0]},v1:127.0.0.1:{ports[1]}]"
    monmap = str(root / "monmap")
    for name in ("mon", "osd", "rgw"):
        (root / name).mkdir()
    try:
        once("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monmap)
        once("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        daemon("ceph-mon", "-i", "a")
        once("ceph", "osd", "new", fsid)
        once("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", fsid)
        daemon("ceph-osd", "-i", "0")
        user = ("--uid", "films", "--display-name", "films", "--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY)
        once("radosgw-admin", "user", "create", *user)
        daemon("radosgw", "-n", "client.rgw")
        endpoint = f"http://127.0.0.1:{ports[2]}"
        until(lambda: _answers(endpoint), "radosgw")
    except BaseException:
        _stop(running, root)
        raise
    client = Minio(endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False)
    return Gateway(endpoint, ACCESS_KEY, SECRET_KEY, client)


def _answers(endpoint: str) -> bool:
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        urllib3.request("GET", endpoint, retries=False, timeout=5.0)
        return True
    return False


def _stop(running: "dict[str, subprocess.Popen[bytes]]", root: Path) -> None:
    for process in reversed(running.values()):
        process.kill()
        process.wait()
    shutil.rmtree(root, ignore_errors=True)
