"""The sentences of a report, made from its numbers."""

from datetime import UTC, datetime

from cxr.contracts.checkpoint import History
from cxr.contracts.crossval import UntrainedFold
from cxr.contracts.metrics import Calibration, GapState, LocalisationReport, MetricsReport, SubgroupGap
from cxr.contracts.recipe import Gate
from cxr.contracts.registration import Registration
from cxr.contracts.search_report import SearchReport
from cxr.contracts.split import SplitReport
from cxr.evaluation.gate import covers
from cxr.reporting.abstention import Abstention
from cxr.reporting.cohort import SourceGuess
from cxr.reporting.key_figures import triage_point
from cxr.reporting.metric_tables import subgroup_name
from cxr.reporting.objectives import objective_words
from cxr.reporting.tables import Number
from cxr.reporting.uncertainty_tables import unjudged

_ALGORITHMS = {
    "bayesianoptimization": "Bayesian optimisation",
    "tpe": "a tree-structured Parzen estimator",
    "random": "random search",
    "grid": "a grid",
}
_STOPPED = {
    "schedule": "all epochs of the schedule ran",
    "patience": "it stopped when validation no longer improved",
    "pruned": "it was pruned",
}


def title(findings: tuple[str, ...]) -> str:
    """What the classifier tells apart."""
    return f"Chest radiographs: {', '.join(findings[:-1])} or {findings[-1]}"


def moment(timestamp: str) -> str:
    """An ISO 8601 time for a person.

    >>> moment("2026-11-24T06:30:12.5+00:00")
    '24 November 2026, 06:30 UTC'
    """
    return f"{datetime.fromisoformat(timestamp).astimezone(UTC):%-d %B %Y, %H:%M} UTC"


def summary(architecture: str, training_films: int, sources: tuple[str, ...], metrics: MetricsReport) -> str:
    """What was trained on what, and evaluated on what; `sources` are those that are named."""
    named = _number(len(sources), "source") if sources else "sources that are not named"
    return (
        f"A {architecture} network trained on {training_films:,} films from {named}, "
        f"evaluated on {metrics.films:,} {metrics.split} films of {metrics.patients:,} patients that it never saw."
    )


def verdict(registration: Registration) -> str:
    """What the gate says, in one line."""
    name = f"{registration.model} version {registration.model_version}"
    if registration.verdict.passed:
        return f"Gate passed: {name} may become champion."
    return f"Gate refused: {name} stays challenger."


def purpose(findings: tuple[str, ...]) -> str:
    """What the run is."""
    return (
        f"One run of the cxr pipeline: films read and checked, split by patient, a recipe chosen, a network trained, "
        f"evaluated, explained and packed into a bundle that can be served. It tells {', '.join(findings[:-1])} and "
        f"{findings[-1]} apart on frontal chest radiographs, each film on its own. Values carry 95% confidence "
        "intervals from a bootstrap over patients; temperature and thresholds come from validation films only."
    )


def split_summary(split: SplitReport) -> str:
    """How the films were divided, and what to know of it."""
    words = (
        f"{split.films:,} films in {_number(split.groups, 'patient group')} (the largest of "
        f"{_number(split.largest_group, 'film')}) were divided by group, balanced by class and source, with seed "
        f"{split.seed}."
    )
    return " ".join((words, *split.caveats))


def source_guess(guess: SourceGuess) -> str:
    """How far the source alone gives the class away."""
    share, baseline = guess.share, guess.baseline
    if share.value is None or baseline.value is None:
        return f"Whether the source gives the class away cannot be measured: {share.reason}."
    return (
        f"Naming the class from the source alone, without looking at the film, is right for {share.text} of the "
        f"{guess.films:,} test films; always naming the most frequent class is right for {baseline.text}."
    )


def untrained_words(fold: UntrainedFold) -> str:
    """That sources could not be withheld, as a sentence to append."""
    return f" Without {' and '.join(fold.withheld)} no network was trained: {fold.reason}."


def search_summary(search: SearchReport) -> str:
    """How the recipe was searched."""
    if not search.trials:
        return "No search was made: the recipe is as it was given."
    states = {state: sum(trial.state == state for trial in search.trials) for state in ("complete", "pruned", "failed")}
    ended = ", ".join(f"{number} {state}" for state, number in states.items() if number)
    first = " Trial 0 is the recipe as it was given." if any(trial.number == 0 for trial in search.trials) else ""
    return (
        f"{_number(len(search.trials), 'trial')} ({ended}) of {search.planned} planned, by "
        f"{_ALGORITHMS[search.algorithm]}, each of up to {_number(search.epochs, 'epoch')} on {search.films:,} "
        f"training films, compared by {objective_words(search.objective)}.{first}"
        f"{''.join(map(untrained_words, search.untrained))}"
    )


def training_summary(history: History) -> str:
    """How training went."""
    rate = sorted(epoch.films_per_second for epoch in history.epochs)[len(history.epochs) // 2] if history.epochs else 0
    start = {"imagenet": "ImageNet weights", "random": "random weights"}.get(
        history.initial_weights, f"the weights {history.initial_weights[:12]}"
    )
    refit = ", its head fitted again to the training films as they are" if history.refit_seconds else ""
    return (
        f"{_number(len(history.epochs), 'epoch')} from {start} on {history.device}, {_duration(history.seconds)} in "
        f"all, {rate:.0f} films a second at the median; {_STOPPED[history.stopped]}. Epoch {history.best_epoch} was "
        f"best on validation and is the one kept{refit}."
    )


def triage(metrics: MetricsReport, calibration: Calibration) -> str:
    """Tuberculosis at the point that WHO asks of a triage test."""
    point = triage_point(calibration)
    words = "WHO asks of a tuberculosis triage test at least 90% sensitivity and 70% specificity (2014 profile)."
    measured = metrics.operating_points.get(point.key, {}) if point else {}
    if point is None or "sensitivity" not in measured or "specificity" not in measured:
        return f"{words} No threshold was fitted for it."
    sensitivity, specificity = (Number.of(measured[name], "share") for name in ("sensitivity", "specificity"))
    return (
        f"{words} At the threshold {point.threshold:.3f}, fitted on validation to reach "
        f"{100 * (point.target or 0):g}% sensitivity, the {metrics.split} films give a sensitivity of "
        f"{_with_interval(sensitivity)} and a specificity of {_with_interval(specificity)}."
    )


def abstention(counted: Abstention, refer_below: float) -> str:
    """How many films are referred to a radiologist."""
    return (
        f"A film whose highest probability is under {refer_below:.3f} is referred to a radiologist. That is "
        f"{counted.referred:,} of {counted.films:,} test films; of the {counted.decided:,} decided, "
        f"{counted.decided_right:,} are right. Of those referred, {counted.referred_right:,} would have been right."
    )


def prediction_sets(metrics: MetricsReport, gate: Gate) -> str:
    """What the prediction sets promise, to whom, and whether they keep it."""
    sets = metrics.prediction_sets
    if sets is None:
        return "This model has no limits for prediction sets: it was calibrated by an older version of cxr."
    short = [finding for finding in sets.per_class if not covers(gate, sets, finding)]
    verdict = (
        f"On the {metrics.split} films they keep it as far as chance can tell."
        if not short
        else f"On the {metrics.split} films they do not keep it for {' and '.join(short)}, beyond what chance explains."
    )
    return (
        "Beside its decision the model names the findings that a film may have. Of the patients with a finding, "
        f"whichever it is, at most {100 * sets.error:g}% are promised to get a set without it. The promise is for a "
        "film drawn at random from a patient drawn at random among patients like those of the validation films "
        "(exchangeable); at another hospital it must be measured again. Temperature and epoch were chosen on the same "
        f"validation films, which the promise does not account for. {verdict}"
    )


def gaps(metrics: MetricsReport, *, limit: float) -> str:
    """Which subgroups do worse than the other films by more than the recipe's limit, and which cannot be judged."""
    if not metrics.gaps:
        return "No attribute of the films has two known values, so no subgroup can be compared with the other films."
    flagged = _named(metrics.gaps, "flag")
    watched = [name for name in _named(metrics.gaps, "watch") if name not in flagged]
    words = [f"A gap of more than {100 * limit:g} points is flagged when its whole interval is over it."]
    words.append(f"Flagged: {', '.join(flagged)}." if flagged else "No subgroup is flagged.")
    if watched:
        words.append(f"To be watched, as the value is over the limit and chance may explain it: {', '.join(watched)}.")
    if few := unjudged(metrics.gaps):
        words.append(f"{_number(few, 'subgroup')} cannot be judged: too few patients on one side.")
    return " ".join(words)


def localisation_summary(localisation: LocalisationReport) -> str:
    """How activation maps were checked."""
    return (
        f"Activation maps of {localisation.films:,} test films, of which {localisation.masked_films:,} have a lesion "
        "mask to compare with. The maps of the served graph agree with captum's LayerGradCam: cosine at least "
        f"{localisation.analytic_cosine:.5f}."
    )


def registration_summary(registration: Registration) -> str:
    """What the registry was told and what the gate said."""
    outcome = "passed" if registration.verdict.passed else "refused"
    reasons = "; ".join(registration.verdict.reasons)
    return (
        f"Registered as {registration.model} version {registration.model_version} with alias challenger, from run "
        f"{registration.run_id}. The gate {outcome}: {reasons}."
    )


def _named(gaps: tuple[SubgroupGap, ...], state: GapState) -> list[str]:
    return list(dict.fromkeys(subgroup_name(gap.attribute, gap.value) for gap in gaps if gap.state == state))


def _with_interval(number: Number) -> str:
    if number.value is None:
        return f"undefined ({number.reason})"
    return f"{number.text} (95% CI {number.interval})" if number.interval else number.text


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _duration(seconds: float) -> str:
    """Wall time for a person.

    >>> _duration(42.3), _duration(754), _duration(9000)
    ('42 s', '12.6 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
