"""A shortcut audit as the step writes it, with figures that no two cells share."""

from itertools import count

from cxr.contracts.metrics import Estimate
from cxr.contracts.shortcuts import HiddenResult, PastedResult, ShortcutReport, ShortcutState, SourceProbe
from cxr.domain import TAXONOMY

FINDINGS = tuple(TAXONOMY)
REASON = "AUROC of the model on the border of films must be at most 0.650, is 0.731 (95% CI 0.702-0.760)"


def make_audit(state: ShortcutState = "pass", *, model: str = "m", index: str = "i") -> ShortcutReport:
    """An audit with this verdict; one figure is undefined."""
    places = count(501)

    def estimate() -> Estimate:
        value = next(places) / 1000
        return Estimate(value=value, low=value - 0.05, high=value + 0.05)

    def aurocs() -> dict[str, Estimate]:
        return {name: estimate() for name in ("macro_auroc", *(f"auroc_{finding}" for finding in FINDINGS))}

    parts = ("lungs_hidden", "border_only", "lungs_only")
    return ShortcutReport(
        films=90,
        patients=60,
        index=index,
        model=model,
        resamples=500,
        clean=aurocs(),
        source_alone=estimate(),
        hidden=tuple(HiddenResult(part=part, model=aurocs(), pixels={"macro_auroc": estimate()}) for part in parts),
        source_probes=(
            SourceProbe(
                finding=FINDINGS[0],
                sources=("north", "south"),
                films=40,
                patients=30,
                chance=0.5,
                balanced_accuracy=estimate(),
                macro_auroc=estimate(),
            ),
        ),
        pull={finding: estimate() for finding in FINDINGS[:-1]}
        | {FINDINGS[-1]: Estimate(value=None, reason="every source has as much of it")},
        pasted=(
            PastedResult(
                object="redaction_box",
                severity=2,
                change=estimate(),
                flips=estimate(),
                shifts={finding: estimate() for finding in FINDINGS},
            ),
        ),
        state=state,
        reasons=("no figure of the audit is over its limit",) if state == "pass" else (REASON,),
    )
