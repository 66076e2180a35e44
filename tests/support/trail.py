"""The audit trail of a predictor, as its auditor reads it."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxr.serving.audit.chain import Chain
from cxr.serving.audit.report import AuditReport
from cxr.serving.audit.source import folder_source
from cxr.serving.audit.verify import verify


def report_of(state: Path) -> AuditReport:
    """What a verification finds in the trail of a state folder."""
    chain = Chain((state / "audit.key").read_bytes().strip())
    return verify(folder_source(state / "audit", chain), chain)


def events_of(state: Path) -> Iterator[dict[str, Any]]:
    """What was recorded, oldest first."""
    for segment in sorted((state / "audit").glob("segment-*")):
        for line in segment.read_bytes().splitlines():
            yield json.loads(line)["event"]


def kinds_of(state: Path) -> Counter[str]:
    """How many records of each kind there are."""
    return Counter(event["kind"] for event in events_of(state))
