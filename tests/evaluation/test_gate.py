"""The gate lets a model pass exactly when every floor holds and the champion is not clearly better."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.contracts.metrics import Estimate, MetricsReport, RobustnessReport
from cxr.contracts.recipe import Gate
from cxr.evaluation.gate import Champion, judge

GATE = Gate()
SHARES = st.floats(0, 1)


def metrics_of(
    *,
    macro_auroc: float | None = 0.97,
    accuracy: float = 0.9,
    sensitivity: float = 0.9,
    ece: float = 0.05,
    width: float = 0.02,
    index: str = "i",
    split: str = "test",
) -> MetricsReport:
    def estimate(value: float | None) -> Estimate:
        if value is None:
            return Estimate(value=None, reason="one class only")
        return Estimate(value=value, low=value - width, high=value + width)

    return MetricsReport(
        split=split,
        films=300,
        patients=200,
        findings=("Normal", "Pneumonia", "Tuberculosis"),
        index=index,
        model="m",
        temperature=1.0,
        resamples=2000,
        overall={"macro_auroc": estimate(macro_auroc), "accuracy": estimate(accuracy), "ece": estimate(ece)},
        per_class={"Tuberculosis": {"recall": estimate(sensitivity)}},
        operating_points={},
        subgroups=(),
        confusion=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    )


def robustness_of(drop: float = 0.02) -> RobustnessReport:
    whole = Estimate(value=0.9)
    return RobustnessReport(
        films=300,
        patients=200,
        index="i",
        model="m",
        clean_accuracy=whole,
        clean_macro_auroc=whole,
        results=(),
        presets={"clinical": {"accuracy_drop": Estimate(value=drop)}},
    )


def champion_of(metrics: MetricsReport) -> Champion:
    return Champion(version="7", metrics=metrics)


@given(auroc=SHARES, accuracy=SHARES, sensitivity=SHARES, ece=SHARES, drop=st.floats(-1, 1))
def test_without_a_champion_the_floors_decide(
    auroc: float, accuracy: float, sensitivity: float, ece: float, drop: float
) -> None:
    verdict = judge(
        gate=GATE,
        metrics=metrics_of(macro_auroc=auroc, accuracy=accuracy, sensitivity=sensitivity, ece=ece),
        robustness=robustness_of(drop),
        champion=None,
    )
    broken = [auroc < 0.90, accuracy < 0.75, sensitivity < 0.70, ece > 0.15, drop > 0.05]
    assert verdict.passed == (not any(broken))
    assert len(verdict.reasons) == max(1, sum(broken))


@given(auroc=st.floats(0.9, 1), accuracy=st.floats(0.75, 1))
def test_a_comparable_champion_is_not_replaced_by_what_falls_under_its_interval(auroc: float, accuracy: float) -> None:
    champion = champion_of(metrics_of(macro_auroc=0.97, accuracy=0.9, width=0.02))
    verdict = judge(
        gate=GATE,
        metrics=metrics_of(macro_auroc=auroc, accuracy=accuracy),
        robustness=robustness_of(),
        champion=champion,
    )
    assert verdict.passed == (auroc >= 0.97 - 0.02 and accuracy >= 0.9 - 0.02)
    assert verdict.champion == "7"


def test_reasons_name_what_must_hold_and_what_was_found() -> None:
    verdict = judge(gate=GATE, metrics=metrics_of(macro_auroc=0.8765), robustness=robustness_of(0.3), champion=None)
    assert verdict.reasons == (
        "macro AUROC must be at least 0.900, is 0.876",
        "accuracy lost under clinical corruptions must be at most 0.050, is 0.300",
    )


def test_undefined_and_missing_metrics_never_pass() -> None:
    undefined = judge(gate=GATE, metrics=metrics_of(macro_auroc=None), robustness=robustness_of(), champion=None)
    assert undefined.reasons == ("macro AUROC must be at least 0.900, is undefined: one class only",)
    bare = msgspec.structs.replace(robustness_of(), presets={})
    missing = judge(gate=GATE, metrics=metrics_of(), robustness=bare, champion=None)
    assert missing.reasons == ("accuracy lost under clinical corruptions must be at most 0.050, was not measured",)


@pytest.mark.parametrize("other", [{"index": "another"}, {"split": "validation"}])
def test_a_champion_of_other_test_films_stays_unless_the_gate_says_otherwise(other: dict[str, str]) -> None:
    champion = champion_of(metrics_of(macro_auroc=0.5, **other))
    kept = judge(gate=GATE, metrics=metrics_of(), robustness=robustness_of(), champion=champion)
    assert not kept.passed
    assert "gate.incomparable_champion=replace" in kept.reasons[0]
    replacing = msgspec.structs.replace(GATE, incomparable_champion="replace")
    replaced = judge(gate=replacing, metrics=metrics_of(), robustness=robustness_of(), champion=champion)
    assert replaced.passed
    assert "measured on other test films" in replaced.reasons[0]
    poor = judge(gate=replacing, metrics=metrics_of(accuracy=0.1), robustness=robustness_of(), champion=champion)
    assert not poor.passed


def test_a_champion_without_an_interval_is_compared_by_its_value() -> None:
    metrics = metrics_of()
    exact = {name: Estimate(value=found.value) for name, found in metrics.overall.items()}
    champion = champion_of(msgspec.structs.replace(metrics, overall=exact))
    same = judge(gate=GATE, metrics=metrics, robustness=robustness_of(), champion=champion)
    worse = judge(gate=GATE, metrics=metrics_of(accuracy=0.89), robustness=robustness_of(), champion=champion)
    assert same.passed
    assert worse.reasons == ("accuracy against champion version 7 must be at least 0.900, is 0.890",)
