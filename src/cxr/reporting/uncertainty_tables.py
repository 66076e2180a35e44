"""Tables of how far a model can be trusted: prediction sets, referral, gaps between subgroups."""

from cxr.contracts.metrics import Calibration, GapState, MetricsReport, SubgroupGap
from cxr.reporting.metric_tables import subgroup_name
from cxr.reporting.tables import Cell, Number, Style, Table, count, metric_label

_TINTS: dict[GapState, float] = {"flag": 1.0, "watch": 0.4, "within": 0.0, "unknown": 0.0}


def prediction_set_table(metrics: MetricsReport, calibration: Calibration) -> Table | None:
    """Coverage and size of the prediction sets; None where the model has no limits for them."""
    sets, limits = metrics.prediction_sets, calibration.prediction_sets
    if sets is None or limits is None:
        return None
    promised = f"at least {100 * (1 - sets.error):g}%"
    rows: list[tuple[Cell, ...]] = [
        (f"{finding} covered", promised, Number.of(found.coverage, "share"), count(found.patients))
        for finding, found in sets.per_class.items()
    ]
    everyone = count(metrics.patients)
    rows.append(("Any finding covered", promised, Number.of(sets.coverage, "share"), everyone))
    rows.append(("Findings in a set, mean", "", Number.of(sets.mean_size, "quantity"), everyone))
    shares = {"one finding": sets.single, "several findings": sets.multiple, "no finding": sets.empty}
    rows += [(f"Sets of {what}", "", Number.of(share, "share"), everyone) for what, share in shares.items()]
    rows.append(("Sets of one finding that are right", "", Number.of(sets.single_right, "share"), ""))
    return Table(
        name="prediction-sets",
        caption=f"Prediction sets on the {metrics.split} films",
        columns=("Measure", "Promised", "Measured (95% CI)", "Patients"),
        rows=tuple(rows),
        note=(
            "Every patient counts once per finding. A set holds the findings whose probability reaches the limit of "
            "the finding: "
            + ", ".join(f"{finding} {least:.3f}" for finding, least in limits.least_probability.items())
            + "."
        ),
    )


def selective_table(metrics: MetricsReport, calibration: Calibration) -> Table | None:
    """What referring films of low confidence gains; None where it was not measured."""
    selective = metrics.selective
    if selective is None:
        return None
    bound = calibration.refer_error_bound
    rows: list[tuple[Cell, ...]] = [
        ("Confidence under which a film is referred", Number(value=selective.refer_below, style="score")),
        ("Films referred", Number.of(selective.refer_rate, "share")),
    ]
    if selective.unlike_rate is not None:
        rows.append(("Films unlike the training films, referred", Number.of(selective.unlike_rate, "share")))
    rows += [
        ("Wrong decisions among the films not referred", Number.of(selective.error, "share")),
        ("Wrong decisions to tolerate there", Number(value=selective.target_error, style="share")),
    ]
    if bound is not None:
        words = "Upper limit of wrong decisions there, validation"
        rows.append((words, Number(value=bound, style="share")))
    rows += [
        ("Area under the risk-coverage curve", Number.of(selective.aurc, "score")),
        ("Expected calibration error, films not referred", Number.of(selective.ece, "score")),
        ("Expected calibration error, all films", Number.of(metrics.overall["ece"], "score")),
    ]
    return Table(
        name="selective",
        caption=f"Referral on the {metrics.split} films",
        columns=("Measure", "Value (95% CI)"),
        rows=tuple(rows),
        note=(
            "The limit is fitted on validation films so that the upper confidence limit of the wrong decisions among "
            "the films that are not referred is at most what is tolerated."
            + (
                ""
                if selective.unlike_rate is not None
                else " Films that are unlike the training films or barely pass the gate are referred as well; those of "
                "high confidence count as decided here."
            )
        ),
    )


def gap_table(metrics: MetricsReport) -> Table | None:
    """By how much each subgroup does worse than the other films; None where no gap can be judged."""
    judged = [gap for gap in metrics.gaps if gap.state != "unknown"]
    if not judged:
        return None
    measures = tuple(dict.fromkeys(gap.measure for gap in judged))
    groups = dict.fromkeys((gap.attribute, gap.value) for gap in judged)
    cells = {(gap.attribute, gap.value, gap.measure): gap for gap in metrics.gaps}
    rows: list[tuple[Cell, ...]] = []
    tints: list[tuple[float, ...]] = []
    for attribute, value in groups:
        found = [cells[attribute, value, measure] for measure in measures]
        shown = [gap_number(one) for one in found]
        rows.append((subgroup_name(attribute, value), _states(found), *shown))
        tints.append((0.0, *(_TINTS[one.state] for one in found)))
    return Table(
        name="gaps",
        caption="By how much a subgroup does worse than the other films",
        columns=("Subgroup", "State", *(gap_label(measure) for measure in measures)),
        rows=tuple(rows),
        note=(
            "Above 0 is worse: points of a share, or AUROC. Both sides are compared on the findings that both have, at "
            "the subgroup's mix of them. Flag: the whole interval is over the limit of the recipe; "
            "watch: the value is. Sensitivity and specificity are those of the sensitive operating point."
        ),
        tints=tuple(tints),
    )


def gap_label(measure: str) -> str:
    """A measure's name for a person.

    >>> gap_label("sensitivity/Tuberculosis/sensitivity_at_least/0.9"), gap_label("macro_auroc")
    ('Tuberculosis sensitivity', 'Macro AUROC')
    """
    name, point, rest = measure.partition("/")
    return f"{rest.partition('/')[0]} {name}" if point else metric_label(name)


def gap_number(gap: SubgroupGap) -> Number:
    """A gap as it is shown."""
    return Number.of(gap.gap, _style(gap.measure))


def unjudged(gaps: tuple[SubgroupGap, ...]) -> int:
    """Number of subgroups none of whose gaps can be judged."""
    known = {(gap.attribute, gap.value) for gap in gaps if gap.state != "unknown"}
    return len({(gap.attribute, gap.value) for gap in gaps} - known)


def _style(measure: str) -> Style:
    return "score" if measure == "macro_auroc" else "points"


def _states(gaps: list[SubgroupGap]) -> str:
    states = {gap.state for gap in gaps}
    return next((state for state in ("flag", "watch") if state in states), "within")
