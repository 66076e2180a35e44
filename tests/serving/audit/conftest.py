"""Trails of a few segments, made once and copied where they are changed."""

import shutil
import uuid

import pytest

from support import rgw
from support.audit_trail import Stored, until, write_trail
from support.rgw import Gateway

gateway = rgw.gateway


@pytest.fixture
def bucket(gateway: Gateway) -> str:
    """A new bucket with object lock."""
    name = f"audit-{uuid.uuid4().hex[:12]}"
    gateway.client.make_bucket(name, object_lock=True)
    return name


@pytest.fixture(scope="session")
def closed_trail(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Five segments or so, all sealed."""
    folder = tmp_path_factory.mktemp("closed") / "audit"
    write_trail(folder).close()
    return Stored(folder)


@pytest.fixture(scope="session")
def open_trail(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Segments of which the last is unsealed, as a kill leaves them; the head file knows all records."""
    parent = tmp_path_factory.mktemp("open")
    log = write_trail(parent / "live", records=22)
    head = parent / "live" / "head.json"
    until(lambda: log.status().head.digest in head.read_text())
    shutil.copytree(parent / "live", parent / "audit")
    log.close()
    return Stored(parent / "audit")
