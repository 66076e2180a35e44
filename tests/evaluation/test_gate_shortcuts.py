"""The gate reads the verdict of the shortcut audit."""

import pytest

from cxr.contracts.metrics import Estimate
from cxr.contracts.recipe import Gate
from cxr.contracts.shortcuts import ShortcutReport
from cxr.evaluation.gate import judge
from support.synthetic_run import synthetic_run


def audit_of(state: str) -> ShortcutReport:
    return ShortcutReport(
        films=10,
        patients=10,
        index="i",
        model="m",
        resamples=100,
        clean={},
        source_alone=Estimate(value=0.5),
        hidden=(),
        source_probes=(),
        pull={},
        pasted=(),
        state=state,
        reasons=("the border must say nothing",),
    )


def reasons(*, allowed: str, shortcuts: ShortcutReport | None) -> tuple[str, ...]:
    run = synthetic_run()
    gate = Gate(shortcuts=allowed)
    return judge(gate=gate, metrics=run.metrics, robustness=run.robustness, champion=None, shortcuts=shortcuts).reasons


@pytest.mark.parametrize("allowed", ["pass", "warn", "fail"])
@pytest.mark.parametrize("state", ["pass", "warn", "fail"])
def test_a_verdict_worse_than_allowed_refuses(allowed: str, state: str) -> None:
    order = ["pass", "warn", "fail"]
    refused = [text for text in reasons(allowed=allowed, shortcuts=audit_of(state)) if "shortcut audit" in text]
    assert bool(refused) is (order.index(state) > order.index(allowed))
    if refused:
        assert refused == [
            f"the verdict of the shortcut audit must be at worst {allowed}, is {state}: the border must say nothing"
        ]


@pytest.mark.parametrize("allowed", ["pass", "warn", "fail"])
def test_a_model_that_was_not_audited_is_refused_unless_any_verdict_would_do(allowed: str) -> None:
    refused = any("shortcuts must be audited, were not" in text for text in reasons(allowed=allowed, shortcuts=None))
    assert refused is (allowed != "fail")
