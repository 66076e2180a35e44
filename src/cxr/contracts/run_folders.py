"""The folders of a run, and by which file each of them is known."""

from cxr.contracts.bundle import BUNDLE_FILE
from cxr.contracts.checkpoint import HISTORY_FILE
from cxr.contracts.crossval import CROSSVAL_FILE
from cxr.contracts.deployment import DEPLOYED_FILE, PROMOTED_FILE
from cxr.contracts.drift import REFERENCE_FILE
from cxr.contracts.gate import GATE_FILE
from cxr.contracts.ingest import INGEST_FILE
from cxr.contracts.metrics import LOCALISATION_FILE, METRICS_FILE, ROBUSTNESS_FILE
from cxr.contracts.registration import PROMOTION_FILE, REGISTRATION_FILE
from cxr.contracts.search_report import SEARCH_FILE
from cxr.contracts.shortcuts import SHORTCUTS_FILE
from cxr.contracts.split import SPLIT_FILE

REPORT_FILE = "report.html"
TECHNICAL_REPORT_FILE = "TECHNICAL_REPORT.md"

MARKS = {
    "studies": INGEST_FILE,
    "split": SPLIT_FILE,
    "search": SEARCH_FILE,
    "checkpoint": HISTORY_FILE,
    "crossval": CROSSVAL_FILE,
    "evaluation": METRICS_FILE,
    "robustness": ROBUSTNESS_FILE,
    "explanation": LOCALISATION_FILE,
    "audit": SHORTCUTS_FILE,
    "drift": REFERENCE_FILE,
    "gate": GATE_FILE,
    "bundle": BUNDLE_FILE,
    "registration": REGISTRATION_FILE,
    "promotion": PROMOTION_FILE,
    "report": TECHNICAL_REPORT_FILE,
    "deployed": DEPLOYED_FILE,
    "promoted": PROMOTED_FILE,
}
"""What its step always writes at the top of a folder: what lacks it is somebody else's."""
