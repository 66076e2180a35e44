"""The gate lets a model pass exactly when every floor holds and the champion is not clearly better."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.contracts.metrics import (
    Estimate,
    FindingCoverage,
    MetricsReport,
    PredictionSetReport,
    RobustnessReport,
    SelectiveReport,
    SubgroupGap,
)
from cxr.contracts.recipe import Gate
from cxr.evaluation.gate import Champion, judge

GATE = Gate(shortcuts="fail")  # what an audit must say is for test_gate_shortcuts
SHARES = st.floats(0, 1)


def sets_of(chance: float = 0.4) -> PredictionSetReport:
    whole = Estimate(value=0.9)
    names = ("Normal", "Pneumonia", "Tuberculosis")
    covered = {name: FindingCoverage(coverage=whole, patients=60, chance=0.5) for name in names}
    covered["Pneumonia"] = FindingCoverage(coverage=Estimate(value=0.8123), patients=61, chance=chance)
    return PredictionSetReport(
        error=0.1,
        coverage=whole,
        per_class=covered,
        mean_size=Estimate(value=1.1),
        empty=whole,
        single=whole,
        multiple=whole,
        single_right=whole,
    )


def referral_of(rate: float = 0.3) -> SelectiveReport:
    found = Estimate(value=0.03)
    return SelectiveReport(
        target_error=0.05, refer_below=0.8, aurc=found, refer_rate=Estimate(value=rate), error=found, ece=found
    )


def gap_of(low: float | None, value: float | None = 0.4) -> SubgroupGap:
    return SubgroupGap(
        attribute="view",
        value="PA",
        measure="accuracy",
        films=60,
        patients=50,
        here=0.5,
        rest=0.9,
        gap=Estimate(value=value, low=low, high=None if low is None else low + 0.3, reason=None if value else "few"),
        state="flag" if value else "unknown",
    )


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
        prediction_sets=sets_of(),
        selective=referral_of(),
    )


@given(chance=SHARES)
def test_prediction_sets_that_leave_out_more_than_chance_explains_are_refused(chance: float) -> None:
    metrics = msgspec.structs.replace(metrics_of(), prediction_sets=sets_of(chance))
    verdict = judge(gate=GATE, metrics=metrics, robustness=robustness_of(), champion=None)
    assert verdict.passed == (3 * chance >= GATE.coverage_chance)
    if not verdict.passed:
        assert verdict.reasons[0].startswith("prediction sets of Pneumonia must cover at least 0.900 of its patients")


def test_a_model_whose_sets_or_referrals_were_not_measured_is_refused() -> None:
    metrics = msgspec.structs.replace(metrics_of(), prediction_sets=None, selective=None)
    verdict = judge(gate=GATE, metrics=metrics, robustness=robustness_of(), champion=None)
    assert verdict.reasons == (
        "share of films referred must be at most 0.600, was not measured",
        "coverage of prediction sets must be measured, was not; run `cxr evaluate` and `cxr package` again",
    )


@given(rate=SHARES)
def test_a_model_that_refers_too_many_films_is_refused(rate: float) -> None:
    metrics = msgspec.structs.replace(metrics_of(), selective=referral_of(rate))
    assert judge(gate=GATE, metrics=metrics, robustness=robustness_of(), champion=None).passed == (rate <= 0.6)


@pytest.mark.parametrize(
    ("gap", "passed"),
    [(gap_of(0.24), True), (gap_of(0.26), False), (gap_of(None), True), (gap_of(None, value=None), True)],
)
def test_only_a_gap_that_chance_cannot_explain_refuses(gap: SubgroupGap, passed: bool) -> None:
    metrics = msgspec.structs.replace(metrics_of(), gaps=(gap,))
    verdict = judge(gate=GATE, metrics=metrics, robustness=robustness_of(), champion=None)
    assert verdict.passed is passed
    if not passed:
        assert verdict.reasons == (
            "accuracy of view PA must not surely be more than 0.250 worse than of the other films, is 0.400 worse "
            "(95% CI from 0.260)",
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
