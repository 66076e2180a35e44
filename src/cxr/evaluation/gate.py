"""The promotion gate: may this model become champion?

Two conditions, both on the test split: every floor of `recipe.gate` holds, those of prediction sets, subgroups and
referrals included, and the model is not worse than the present champion beyond its confidence interval, which means
that macro AUROC and accuracy reach the lower bounds of the champion's 95% intervals. The rule needs nothing but the two
metric files, so that anyone can check it by hand.
"""

from dataclasses import dataclass

from cxr.contracts.metrics import Estimate, MetricsReport, PredictionSetReport, RobustnessReport, SubgroupGap
from cxr.contracts.recipe import Gate
from cxr.contracts.registration import Verdict
from cxr.contracts.shortcuts import ShortcutReport

_SEVERITY = {"pass": 0, "warn": 1, "fail": 2}
_COMPARED = {"macro_auroc": "macro AUROC", "accuracy": "accuracy"}


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The model that has alias `champion` now, and how it was measured.

    Attributes:
        again: on the test films of the model that is judged, and not when it was registered.
    """

    version: str
    metrics: MetricsReport
    again: bool = False


def judge(
    *,
    gate: Gate,
    metrics: MetricsReport,
    robustness: RobustnessReport,
    champion: Champion | None,
    shortcuts: ShortcutReport | None = None,
) -> Verdict:
    """Whether a model with these metrics may become champion, and why.

    Undefined metrics never pass. A champion that was measured on other test films (another index or split) cannot be
    compared: `gate.incomparable_champion` says whether it stays. A model without a shortcut audit is not judged by it,
    and the verdict says so.
    """
    failures = [
        *_under_floors(gate, metrics, robustness),
        *_uncovered(gate, metrics),
        *_unequal(gate, metrics),
        *_by_shortcuts(gate, shortcuts),
        *_worse_than(champion, gate, metrics),
    ]
    held_against = "every floor of the gate holds"
    if champion is None:
        held_against += "; there is no other champion to compare with"
    elif comparable(champion.metrics, metrics):
        held_against += f"; not worse than champion version {champion.version} beyond its confidence interval"
        held_against += ", measured again on these test films, some of which it may have learnt" * champion.again
    else:
        held_against += f"; champion version {champion.version} was measured on other test films and is not compared"
    if shortcuts is None:
        held_against += "; shortcuts were not audited"
    return Verdict(
        passed=not failures,
        reasons=tuple(failures) or (held_against,),
        champion=champion.version if champion else None,
    )


def _under_floors(gate: Gate, metrics: MetricsReport, robustness: RobustnessReport) -> list[str]:
    overall, tuberculosis = metrics.overall, metrics.per_class.get("Tuberculosis", {})
    clinical = robustness.presets.get("clinical", {})
    at_least = [
        ("macro AUROC", overall.get("macro_auroc"), gate.macro_auroc),
        ("accuracy", overall.get("accuracy"), gate.accuracy),
        ("tuberculosis sensitivity", tuberculosis.get("recall"), gate.tuberculosis_sensitivity),
    ]
    at_most = [
        ("accuracy lost under clinical corruptions", clinical.get("accuracy_drop"), gate.clinical_drop),
        ("expected calibration error", overall.get("ece"), gate.calibration_error),
        ("share of films referred", metrics.selective.refer_rate if metrics.selective else None, gate.refer_rate),
    ]
    low = [_failure(name, found, limit, at_least=True) for name, found, limit in at_least]
    high = [_failure(name, found, limit, at_least=False) for name, found, limit in at_most]
    return [failure for failure in (*low, *high) if failure]


def _failure(name: str, found: Estimate | None, limit: float, *, at_least: bool) -> str | None:
    rule = f"{name} must be at least {limit:.3f}" if at_least else f"{name} must be at most {limit:.3f}"
    if found is None:
        return f"{rule}, was not measured"
    if found.value is None:
        return f"{rule}, is undefined: {found.reason}"
    holds = found.value >= limit if at_least else found.value <= limit
    return None if holds else f"{rule}, is {found.value:.3f}"


def covers(gate: Gate, sets: PredictionSetReport, finding: str) -> bool:
    """Whether chance explains that the prediction sets of a finding cover no more (Bonferroni over the findings)."""
    chance = sets.per_class[finding].chance
    return chance is None or chance * len(sets.per_class) >= gate.coverage_chance


def surely_worse(gate: Gate, metrics: MetricsReport) -> tuple[SubgroupGap, ...]:
    """Subgroups that do worse than the other films by more than the gate allows, whatever chance did."""
    return tuple(gap for gap in metrics.gaps if gap.gap.low is not None and gap.gap.low > gate.subgroup_gap)


def _uncovered(gate: Gate, metrics: MetricsReport) -> list[str]:
    sets = metrics.prediction_sets
    if sets is None:
        return ["coverage of prediction sets must be measured, was not; run `cxr evaluate` and `cxr package` again"]
    return [
        f"prediction sets of {finding} must cover at least {1 - sets.error:.3f} of its patients, cover "
        f"{found.coverage.value:.3f} of {found.patients}, which chance explains with probability {found.chance:.2g}"
        for finding, found in sets.per_class.items()
        if not covers(gate, sets, finding)
    ]


def _unequal(gate: Gate, metrics: MetricsReport) -> list[str]:
    return [
        f"{gap.measure} of {gap.attribute} {gap.value} must not surely be more than {gate.subgroup_gap:.3f} worse than "
        f"of the other films, is {gap.gap.value:.3f} worse (95% CI from {gap.gap.low:.3f})"
        for gap in surely_worse(gate, metrics)
    ]


def allows(gate: Gate, shortcuts: ShortcutReport) -> bool:
    """Whether the verdict of an audit is none that keeps a model from being champion."""
    return _SEVERITY[shortcuts.state] <= _SEVERITY[gate.shortcuts]


def _by_shortcuts(gate: Gate, shortcuts: ShortcutReport | None) -> list[str]:
    if shortcuts is None or allows(gate, shortcuts):
        return []
    found = "; ".join(shortcuts.reasons)
    return [f"the verdict of the shortcut audit must be at worst {gate.shortcuts}, is {shortcuts.state}: {found}"]


def _worse_than(champion: Champion | None, gate: Gate, metrics: MetricsReport) -> list[str]:
    if champion is None:
        return []
    if not comparable(champion.metrics, metrics):
        if gate.incomparable_champion == "replace":
            return []
        return [
            f"champion version {champion.version} must have been measured on the same test films, was measured on "
            f"split {champion.metrics.split} of index {champion.metrics.index[:12]}, this model on split "
            f"{metrics.split} of {metrics.index[:12]}; evaluate both on one index, or set "
            "gate.incomparable_champion=replace to let the floors alone decide"
        ]
    return [
        failure
        for name, words in _COMPARED.items()
        if (failure := _below_champion(words, metrics.overall.get(name), champion, name))
    ]


def _below_champion(words: str, found: Estimate | None, champion: Champion, name: str) -> str | None:
    reference = champion.metrics.overall.get(name)
    if reference is None or reference.value is None:
        return None
    bound = reference.value if reference.low is None else reference.low
    return _failure(f"{words} against champion version {champion.version}", found, bound, at_least=True)


def comparable(champion: MetricsReport, challenger: MetricsReport) -> bool:
    """Whether two models were measured on the same test films."""
    return (champion.index, champion.split) == (challenger.index, challenger.split)
