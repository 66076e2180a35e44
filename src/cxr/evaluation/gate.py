"""The promotion gate: may this model become champion?

Two conditions, both on the test split: every floor of `recipe.gate` holds, those of prediction sets, subgroups and
referrals included, and the model is not worse than the present champion beyond its confidence interval, which means
that macro AUROC and accuracy reach the lower bounds of the champion's 95% intervals. The rule needs nothing but the two
metric files, so that anyone can check it by hand.
"""

from collections.abc import Iterator
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
    compared: `gate.incomparable_champion` says whether it stays. A model without a shortcut audit does not pass unless
    any verdict of one would do.
    """
    failures = [
        *(floor.failure for floor in floors(gate, metrics, robustness) if floor.failure),
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


@dataclass(frozen=True, kw_only=True)
class Floor:
    """A limit of the gate beside what was measured.

    Attributes:
        name: of the field of `recipe.gate`, or of the metric that is compared with a champion's.
        words: what is measured.
        found: None where it was not measured.
        at_least: whether the limit is the least that is allowed, or the most.
    """

    name: str
    words: str
    found: Estimate | None
    limit: float
    at_least: bool

    @property
    def holds(self) -> bool:
        """Whether it was measured, is defined and keeps to the limit."""
        return self.failure is None

    @property
    def failure(self) -> str | None:
        """Why the floor does not hold, or None where it does."""
        rule = f"{self.words} must be {'at least' if self.at_least else 'at most'} {self.limit:.3f}"
        if self.found is None:
            return f"{rule}, was not measured"
        if self.found.value is None:
            return f"{rule}, is undefined: {self.found.reason}"
        holds = self.found.value >= self.limit if self.at_least else self.found.value <= self.limit
        return None if holds else f"{rule}, is {self.found.value:.3f}"


def floors(gate: Gate, metrics: MetricsReport, robustness: RobustnessReport) -> tuple[Floor, ...]:
    """The limits of single metrics."""
    overall, tuberculosis = metrics.overall, metrics.per_class.get("Tuberculosis", {})
    clinical = robustness.presets.get("clinical", {})
    at_least = {
        "macro_auroc": ("macro AUROC", overall.get("macro_auroc"), gate.macro_auroc),
        "accuracy": ("accuracy", overall.get("accuracy"), gate.accuracy),
        "tuberculosis_sensitivity": (
            "tuberculosis sensitivity",
            tuberculosis.get("recall"),
            gate.tuberculosis_sensitivity,
        ),
    }
    referred = metrics.selective.refer_rate if metrics.selective else None
    at_most = {
        "clinical_drop": (
            "accuracy lost under clinical corruptions",
            clinical.get("accuracy_drop"),
            gate.clinical_drop,
        ),
        "calibration_error": ("expected calibration error", overall.get("ece"), gate.calibration_error),
        "refer_rate": ("share of films referred", referred, gate.refer_rate),
    }
    return tuple(
        Floor(name=name, words=words, found=found, limit=limit, at_least=name in at_least)
        for name, (words, found, limit) in (at_least | at_most).items()
    )


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


def allows(gate: Gate, shortcuts: ShortcutReport | None) -> bool:
    """Whether the verdict of an audit, or its absence, is none that keeps a model from being champion."""
    return _SEVERITY["fail" if shortcuts is None else shortcuts.state] <= _SEVERITY[gate.shortcuts]


def _by_shortcuts(gate: Gate, shortcuts: ShortcutReport | None) -> list[str]:
    if allows(gate, shortcuts):
        return []
    if shortcuts is None:
        return ["shortcuts must be audited, were not; run `cxr audit-shortcuts` and `cxr package` again"]
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
    return [floor.failure for floor in _champion_floors(champion, metrics) if floor.failure]


def _champion_floors(champion: Champion, metrics: MetricsReport) -> Iterator[Floor]:
    for name, words in _COMPARED.items():
        reference = champion.metrics.overall.get(name)
        if reference is not None and reference.value is not None:
            yield Floor(
                name=name,
                words=f"{words} against champion version {champion.version}",
                found=metrics.overall.get(name),
                limit=reference.value if reference.low is None else reference.low,
                at_least=True,
            )


def comparable(champion: MetricsReport, challenger: MetricsReport) -> bool:
    """Whether two models were measured on the same test films."""
    return (champion.index, champion.split) == (challenger.index, challenger.split)
