"""Kubeflow Pipelines components: each is one step of `cxr.steps`, called with the folders of its artifacts."""

from components.audit_shortcuts import audit_shortcuts
from components.deploy import deploy
from components.evaluate import evaluate
from components.explain import explain
from components.fit_drift import fit_drift
from components.fit_gate import fit_gate
from components.ingest import ingest
from components.package import package
from components.promote import promote
from components.promote_canary import promote_canary
from components.register import register
from components.report import report
from components.robustness import robustness
from components.split import split
from components.train import train
from components.tune import tune

__all__ = [
    "audit_shortcuts",
    "deploy",
    "evaluate",
    "explain",
    "fit_drift",
    "fit_gate",
    "ingest",
    "package",
    "promote",
    "promote_canary",
    "register",
    "report",
    "robustness",
    "split",
    "train",
    "tune",
]
