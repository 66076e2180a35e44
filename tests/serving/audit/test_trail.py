"""The trail as its writing thread uses it."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cxr.serving.audit.chain import Chain
from cxr.serving.audit.record import checked
from cxr.serving.audit.trail import Trail
from support.audit_trail import KEY, Stored, key_use


def test_a_segment_that_is_sealed_before_a_record_is_handed_over_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trail = Trail(tmp_path, Chain(KEY), max_bytes=1, max_age=timedelta(hours=1), clock=lambda: datetime.now(UTC))
    obstacle = tmp_path / "segment-000001.jsonl"
    trail.append([checked(key_use(1))])
    obstacle.mkdir()  # the seal is written, the name cannot be changed
    with caplog.at_level(logging.ERROR):
        assert trail.maintain() == []
    assert "cannot be kept in order" in caplog.text
    obstacle.rmdir()
    trail.append([checked(key_use(2))])
    assert [file.path for file in trail.maintain(ending=True)] == [obstacle, tmp_path / "segment-000002.jsonl"]
    assert trail.maintain(ending=True) == []
    trail.close()
    assert Stored(tmp_path).verify().intact
