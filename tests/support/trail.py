"""The audit trail of a predictor, as its auditor reads it."""

import json
from collections import Counter
from pathlib import Path

from cxr.serving.audit.chain import Chain
from cxr.serving.audit.report import AuditReport
from cxr.serving.audit.source import folder_source
from cxr.serving.audit.verify import verify


def report_of(state: Path) -> AuditReport:
    """What a verification finds in the trail of a state folder."""
    chain = Chain((state / "audit.key").read_bytes().strip())
    return verify(folder_source(state / "audit", chain), chain)


def kinds_of(state: Path) -> Counter[str]:
    """How many records of each kind there are."""
    kinds: Counter[str] = Counter()
    for segment in sorted((state / "audit").glob("segment-*")):
        for line in segment.read_bytes().splitlines():
            kinds[json.loads(line)["event"]["kind"]] += 1
    return kinds
