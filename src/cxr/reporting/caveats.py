"""What a reader must know before believing the figures, derived from the data and the figures themselves."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from cxr.contracts.checkpoint import History
from cxr.contracts.metrics import Calibration, Estimate, LocalisationReport, MetricsReport, RobustnessReport, Subgroup
from cxr.contracts.recipe import Recipe, least_side
from cxr.domain import Split
from cxr.reporting.cohort import ATTRIBUTES, UNKNOWN, guess_from_source
from cxr.reporting.metric_tables import corruption_label
from cxr.reporting.tables import Number, metric_label

FEW_PATIENTS = 30
UNKNOWN_SHARE = 0.2
LARGE_DROP = 0.05
_COMPARED = ("macro_auroc", "accuracy")


@dataclass(frozen=True, kw_only=True)
class Caveat:
    """One limit. `serious` ones can make a headline figure misleading."""

    title: str
    text: str
    serious: bool = False


def model_caveats(
    *,
    films: pd.DataFrame,
    recipe: Recipe,
    history: History,
    metrics: MetricsReport,
    calibration: Calibration,
    robustness: RobustnessReport,
    localisation: LocalisationReport,
) -> Iterator[Caveat]:
    """Every limit that is known of a model: those of report and model card.

    Args:
        films: of the study index, with `split` filled; those without a label are in no part and are left out.
        recipe: that made the model.
        history: of its training.
        metrics: of the test films.
        calibration: of its probabilities.
        robustness: of the test films.
        localisation: likewise.
    """
    films = films.dropna(subset=["label", "split"])
    yield from data_caveats(films, metrics.findings)
    yield from size_caveats(films, recipe)
    yield from metric_caveats(metrics)
    yield from calibration_caveats(calibration)
    yield from robustness_caveats(robustness)
    yield from localisation_caveats(localisation)
    yield from training_caveats(history, recipe)


def serious_first(caveats: Iterable[Caveat]) -> tuple[Caveat, ...]:
    """In the order of a reader who may stop early."""
    return tuple(sorted(caveats, key=lambda caveat: not caveat.serious))


def data_caveats(films: pd.DataFrame, findings: tuple[str, ...]) -> Iterator[Caveat]:
    """Limits that follow from who is in the data: shortcuts, blind spots, unknown attributes.

    Args:
        films: of the study index, with `split` filled.
        findings: of the taxonomy.
    """
    labelled = films.dropna(subset=["label"])
    yield from _single_class_sources(labelled)
    yield from _blind_spots(labelled, findings)
    yield from _unknown_attributes(films)
    yield from _few_sources(labelled)


def size_caveats(films: pd.DataFrame, recipe: Recipe) -> Iterator[Caveat]:
    """Whether films are smaller than what the network sees of one: the service takes none of them."""
    size = least_side(size=recipe.preprocessing.size, lung_frame=recipe.model.lung_frame)
    short = films[["width", "height"]].min(axis=1)
    small = int((short < min(size, recipe.preprocessing.stored_side)).sum())
    if small:
        yield Caveat(
            title="Films smaller than what the network sees",
            text=f"{small:,} of {len(films):,} films are under {size} pixels on the short side (least: {short.min()}) "
            "and were enlarged. The service refuses such films as too small: use the original films, or a smaller "
            f"{'model.lung_frame' if recipe.model.lung_frame else 'preprocessing.size'}.",
            serious=True,
        )


def metric_caveats(metrics: MetricsReport) -> Iterator[Caveat]:
    """Limits that follow from the evaluation: few patients, subgroups that do worse, undefined figures."""
    if metrics.patients < FEW_PATIENTS * len(metrics.findings):
        yield Caveat(
            title="Few patients",
            text=f"The {metrics.split} split has {metrics.patients:,} patients; read the intervals, not the values.",
            serious=True,
        )
    small = [group for group in metrics.subgroups if group.patients < FEW_PATIENTS]
    if small:
        names = _listed(f"{_group(group)} ({group.patients})" for group in small)
        yield Caveat(
            title="Small subgroups",
            text=f"Fewer than {FEW_PATIENTS} patients in: {names}. Differences there are mostly chance.",
        )
    worse = [words for group in metrics.subgroups if (words := _worse_subgroup(metrics, group))]
    if worse:
        yield Caveat(
            title="Subgroups that do worse",
            text=f"Even the upper end of the interval is under the value of all films for {_listed(worse)}.",
            serious=True,
        )
    reasons = dict.fromkeys(value.reason for value in _estimates(metrics) if value.value is None and value.reason)
    if reasons:
        yield Caveat(title="Undefined figures", text=f"Some figures cannot be computed: {'; '.join(reasons)}.")


def calibration_caveats(calibration: Calibration) -> Iterator[Caveat]:
    """Whom the probabilities are for, and whether validation was large enough for the limit on the confidence."""
    if calibration.unseen_films:
        yield Caveat(
            title="Probabilities are made for other hospitals too",
            text=(
                "One temperature serves hospitals that the network knows and those that it does not: it heeds "
                f"{calibration.unseen_films:,} validation films as read by heads that know no film of their source. On "
                "the sources of training the model tends to be right more often than it says; on others it may still "
                "be right less often."
            ),
        )
    bound, tolerated = calibration.refer_error_bound, calibration.refer_error
    if bound is not None and tolerated is not None and bound > tolerated:
        yield Caveat(
            title="Referral may not be enough",
            text=(
                f"At most {100 * tolerated:g}% of the films that are not referred should be decided wrongly. The "
                "validation films, too few or too often decided wrongly, only show that it is at most "
                f"{100 * bound:.1f}%."
            ),
        )


def robustness_caveats(robustness: RobustnessReport) -> Iterator[Caveat]:
    """The corruption that costs most, when it costs much."""
    drops = [(result.accuracy_drop.value, result) for result in robustness.results]
    known = [(drop, result) for drop, result in drops if drop is not None]
    if not known:
        return
    drop, worst = max(known, key=lambda pair: pair[0])
    if drop > LARGE_DROP:
        shown = Number.of(worst.accuracy_drop, "points")
        interval = f" (95% CI {shown.interval})" if shown.interval else ""
        yield Caveat(
            title="Worst corruption",
            text=(
                f"{corruption_label(worst.corruption)} at severity {worst.severity} costs "
                f"{shown.text} points of accuracy{interval}."
            ),
        )


def localisation_caveats(localisation: LocalisationReport) -> Iterator[Caveat]:
    """Whether the activation maps are backed by lesion masks, and how well."""
    if localisation.masked_films == 0:
        yield Caveat(
            title="Localisation not measured",
            text="No test film has a lesion mask: the activation maps are illustrations, not evidence.",
        )
        return
    game, chance = localisation.pointing_game, localisation.pointing_chance
    least = game.value if game.low is None else game.low
    if least is not None and chance.value is not None and least <= chance.value:
        yield Caveat(
            title="Weak localisation",
            text="The pointing game is not clearly better than a blind guess: the model may look at something else.",
            serious=True,
        )


def training_caveats(history: History, recipe: Recipe) -> Iterator[Caveat]:
    """Limits that follow from how training went."""
    if history.initial_weights == "random":
        yield Caveat(
            title="Trained from random weights",
            text="No pretrained weights were used; with ImageNet weights the same recipe usually reaches more.",
        )
    last = history.epochs[-1].epoch if history.epochs else history.best_epoch
    if history.stopped == "schedule" and history.best_epoch == last and recipe.schedule.epochs > 1:
        yield Caveat(
            title="Still improving",
            text="The last epoch was the best one on validation: a longer schedule may give a better model.",
        )


def _single_class_sources(labelled: pd.DataFrame) -> Iterator[Caveat]:
    named = labelled.assign(source=labelled["source"].fillna(UNKNOWN))
    classes = named.groupby("source")["label"].nunique()
    single = sorted(classes[classes == 1].index)
    guess = guess_from_source(labelled)
    share, baseline = guess.share, guess.baseline
    if share.value is not None and baseline.value is not None and (single or share.value - baseline.value > 0.1):
        holds = f"Sources that hold a single class: {_listed(single)}. " if single else ""
        yield Caveat(
            title="Shortcut risk: the source gives the class away",
            text=(
                f"{holds}Guessing each test film's class from its source, without looking at it, is right for "
                f"{share.text} ({baseline.text} for always the most frequent class). A model can score well by "
                "recognising the source; figures from a source it never saw are needed before it is trusted."
            ),
            serious=bool(single) or share.value - baseline.value > 0.2,
        )


def _few_sources(labelled: pd.DataFrame) -> Iterator[Caveat]:
    sources = set(labelled["source"].fillna(UNKNOWN))
    if sources == {UNKNOWN}:
        yield Caveat(
            title="Sources unknown",
            text=(
                "No film names its source: whether a source gives the class away, how one hospital or scanner differs "
                "from another, and how the model does on a source that it never saw (leave-one-source-out) cannot be "
                "measured. Name the source of each film in an index."
            ),
            serious=True,
        )
    elif len(sources) == 1:
        yield Caveat(
            title="One source",
            text="All films come from one source: nothing here says how the model does on another scanner or hospital.",
            serious=True,
        )


def _blind_spots(labelled: pd.DataFrame, findings: tuple[str, ...]) -> Iterator[Caveat]:
    training = labelled[labelled["split"] == Split.TRAIN]
    gaps, unknown = [], []
    for attribute, label in ATTRIBUTES.items():
        if attribute == "source":
            continue
        unsaid = training.loc[training[attribute].isna(), "label"].value_counts()
        for value in sorted(training[attribute].dropna().unique()):
            present = set(training.loc[training[attribute] == value, "label"])
            absent = [finding for finding in findings if finding not in present]
            gaps += [f"{finding} with {label} {value}" for finding in absent if finding not in unsaid]
            unknown += [
                f"{finding} with {label} {value} (unknown of {unsaid[finding]:,} films)"
                for finding in absent
                if finding in unsaid
            ]
    if unknown:
        yield Caveat(
            title="Combinations that may never have been seen in training",
            text=f"No training film is known to show: {_listed(unknown)}. They may be among the films that do not say.",
            serious=True,
        )
    if gaps:
        yield Caveat(
            title="Combinations never seen in training",
            text=f"No training film of: {_listed(gaps)}. The model's word on such a patient is a guess.",
            serious=True,
        )


def _unknown_attributes(films: pd.DataFrame) -> Iterator[Caveat]:
    shares = {label: float(films[attribute].isna().mean()) for attribute, label in ATTRIBUTES.items()}
    unknown = [f"{label} ({100 * share:.0f}% of films)" for label, share in shares.items() if share > UNKNOWN_SHARE]
    if unknown:
        yield Caveat(
            title="Unknown attributes",
            text=f"Unknown for many films: {_listed(unknown)}. Subgroups by these attributes cover only some films.",
        )
    if len(films) and films["patient_id"].isna().mean() > UNKNOWN_SHARE:
        yield Caveat(
            title="Unknown patients",
            text=(
                f"{100 * films['patient_id'].isna().mean():.0f}% of films name no patient. Two films of one person can "
                "lie on both sides of the split unless they look alike or share a study of their own, which makes "
                "figures too good."
            ),
            serious=True,
        )


def _worse_subgroup(metrics: MetricsReport, group: Subgroup) -> str:
    """Words on the first metric that is surely lower in a subgroup than over all films; empty when there is none."""
    for name in _COMPARED:
        here, overall = group.metrics.get(name), metrics.overall.get(name)
        if here is None or overall is None or here.high is None or overall.value is None:
            continue
        if here.high < overall.value:
            shown, all_films = Number.metric(name, here), Number.metric(name, overall)
            return f"{_group(group)} ({metric_label(name)} {shown.text}, {shown.interval}; all films {all_films.text})"
    return ""


def _estimates(metrics: MetricsReport) -> Iterator[Estimate]:
    for row in (
        metrics.overall,
        *metrics.per_class.values(),
        *metrics.operating_points.values(),
        *(group.metrics for group in metrics.subgroups),
    ):
        yield from row.values()


def _group(group: Subgroup) -> str:
    return f"{ATTRIBUTES.get(group.attribute, group.attribute)} {group.value}"


def _listed(names: Iterable[str], most: int = 8) -> str:
    items = list(names)
    shown = items[:most] + ([f"and {len(items) - most} more"] if len(items) > most else [])
    return "; ".join(shown) if any("," in name for name in shown) else ", ".join(shown)
