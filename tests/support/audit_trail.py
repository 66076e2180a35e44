"""Audit trails for tests: events, small trails, copies to be changed."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cxr.serving.audit.chain import Chain
from cxr.serving.audit.log import AuditLog
from cxr.serving.audit.record import KeyUse, Prediction
from cxr.serving.audit.report import AuditReport
from cxr.serving.audit.source import folder_source
from cxr.serving.audit.verify import verify

KEY = b"a secret of thirty-two bytes or more"


def prediction(number: int = 0) -> Prediction:
    return Prediction(
        request_id=f"request-{number}",
        key_id="0123456789ab",
        protocol="rest",
        bundle="a" * 64,
        preprocessing="b" * 64,
        input_hmac="c" * 64,
        thresholds={"Pneumonia:sensitivity_0.90": 0.2},
        refer_below=0.6,
        distance_limit=30.0,
        probabilities={"Normal": 0.25, "Pneumonia": 0.75},
        decision="Pneumonia",
        confidence=0.75,
        distance=20.5,
        referred=("low_confidence",),
    )


def key_use(number: int = 0) -> KeyUse:
    return KeyUse(request_id=f"request-{number}", key_id=None, outcome="unauthenticated", scope="predict")


@dataclass(frozen=True)
class Stored:
    """A trail on the disk, not to be changed."""

    folder: Path

    def files(self) -> list[Path]:
        """Its segments, oldest first."""
        return sorted(self.folder.glob("segment-*"))

    @contextmanager
    def copy(self) -> Iterator["Stored"]:
        """A copy to be changed."""
        with TemporaryDirectory() as parent:
            folder = Path(parent) / "audit"
            shutil.copytree(self.folder, folder)
            yield Stored(folder)

    def verify(self, *heads: object) -> AuditReport:
        chain = Chain(KEY)
        return verify(folder_source(self.folder, chain), chain, expected_heads=heads)  # type: ignore[arg-type]


def write_trail(folder: Path, *, records: int = 24, max_bytes: int = 2500) -> AuditLog:
    """Begin a trail of a few segments; its log is still open."""
    log = AuditLog.open(folder, key=KEY, max_bytes=max_bytes)
    for number in range(records):
        log.append_now(key_use(number))
    return log


def until(condition: Callable[[], object], *, seconds: float = 30.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
