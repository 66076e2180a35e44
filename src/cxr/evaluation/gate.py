"""The promotion gate: may this model become champion?

Two conditions, both on the test split: every floor of `recipe.gate` holds, and the model is not worse than the present
champion beyond its confidence interval, which means that macro AUROC and accuracy reach the lower bounds of the
champion's 95% intervals. The rule needs nothing but the two metric files, so that anyone can check it by hand.
"""

from dataclasses import dataclass

from cxr.contracts.metrics import Estimate, MetricsReport, RobustnessReport
from cxr.contracts.recipe import Gate
from cxr.contracts.registration import Verdict

_COMPARED = {"macro_auroc": "macro AUROC", "accuracy": "accuracy"}


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The model that has alias `champion` now, and what its own evaluation said."""

    version: str
    metrics: MetricsReport


def judge(*, gate: Gate, metrics: MetricsReport, robustness: RobustnessReport, champion: Champion | None) -> Verdict:
    """Whether a model with these metrics may become champion, and why.

    Undefined metrics never pass. A champion that was measured on other test films (another index or split) cannot be
    compared: `gate.incomparable_champion` says whether it stays.
    """
    failures = [*_under_floors(gate, metrics, robustness), *_worse_than(champion, gate, metrics)]
    held_against = "every floor of the gate holds"
    if champion is None:
        held_against += "; there is no other champion to compare with"
    elif _comparable(champion.metrics, metrics):
        held_against += f"; not worse than champion version {champion.version} beyond its confidence interval"
    else:
        held_against += f"; champion version {champion.version} was measured on other test films and is not compared"
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


def _worse_than(champion: Champion | None, gate: Gate, metrics: MetricsReport) -> list[str]:
    if champion is None:
        return []
    if not _comparable(champion.metrics, metrics):
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


def _comparable(champion: MetricsReport, challenger: MetricsReport) -> bool:
    return (champion.index, champion.split) == (challenger.index, challenger.split)
