"""Cross-validation over sources for a person: what the recipe's networks say of films from sources they never saw."""

from collections.abc import Iterator

from cxr.contracts.crossval import Crossval, UnseenTrust
from cxr.contracts.metrics import Estimate
from cxr.reporting.caveats import Caveat
from cxr.reporting.narrative import untrained_words
from cxr.reporting.tables import Cell, Number, Table, count

NO_OUTSIDE_TEST = Caveat(
    title="No outside test",
    text=(
        "Test films come from the same sources as the training films; on other sources expect less. The command "
        "cxr evaluate measures a bundle on any other films."
    ),
)
OTHERS_OUTSIDE_TEST = Caveat(
    title="No outside test of this very network",
    text=(
        "Its test films come from the same sources as its training films. What was measured on sources never seen is "
        "what other networks of the recipe do. The command cxr evaluate measures a bundle on any other films."
    ),
)


def outside_caveat(report: Crossval | None) -> Caveat:
    """What a reader must know of how far the figures reach."""
    return NO_OUTSIDE_TEST if report is None else OTHERS_OUTSIDE_TEST


def unseen_words(report: Crossval | None) -> str:
    """What was measured on sources never seen, one paragraph; says so where nothing was."""
    if report is None:
        return (
            "No source was withheld: how the recipe does on films of sources that a network never saw was not "
            "measured. The command cxr crossval --leave-one-source-out does so."
        )
    if report.mean_source_auroc.value is None:
        return f"Sources were withheld, but none can be judged: {report.mean_source_auroc.reason}."
    mean, worst = (Number.of(found, "score").text for found in (report.mean_source_auroc, report.worst_source_auroc))
    sets = report.trust.prediction_sets
    covered, wrong = (Number.of(found, "share").text for found in (sets.coverage, report.trust.error))
    return (
        f"Networks of this recipe, each trained without some of the sources, were tested on those: macro AUROC {mean} "
        f"in the mean of {len(report.sources)} sources and {worst} in the worst. The prediction sets, which promise "
        f"{100 * (1 - sets.error):g}% to patients of known sources, hold the finding of {covered} there, and {wrong} "
        "of the decisions on films that are not referred are wrong. The network of this bundle has learnt films of all "
        f"of these sources.{''.join(map(untrained_words, report.untrained))}"
    )


def source_auroc_table(report: Crossval) -> Table:
    """Macro AUROC of every source that was withheld."""
    rows: list[tuple[Cell, ...]] = [
        (
            source.source,
            ", ".join(source.own),
            ", ".join(source.borrowed),
            count(source.films),
            count(source.networks),
            Number.of(source.macro_auroc, "score"),
        )
        for source in report.sources
    ]
    rows += [
        (name, "", "", "", "", Number.of(found, "score"))
        for name, found in (("Mean", report.mean_source_auroc), ("Worst", report.worst_source_auroc))
    ]
    return Table(
        name="unseen-sources",
        caption="How well findings are told apart there",
        columns=("Source", "Its findings", "Findings of others", "Films", "Networks", "Macro AUROC (95% CI)"),
        rows=tuple(rows),
        note=(
            "A source that lacks a finding is judged with films of it from another source, which was withheld from the "
            "same network."
        ),
    )


def unseen_trust_table(report: Crossval) -> Table:
    """What is left of coverage, referral and calibration on sources that were withheld."""
    withheld = [fold.withheld for fold in report.folds] + [fold.withheld for fold in report.untrained]
    sources = {source for together in withheld for source in together}
    rows: list[tuple[Cell, ...]] = [
        (
            ", ".join(fold.withheld),
            ", ".join(sorted(sources.difference(fold.withheld))),
            count(fold.test_films),
            *_trusted(fold.trust),
        )
        for fold in report.folds
    ]
    for fold in report.untrained:
        absent = Estimate(value=None, reason=f"no network was trained without: {fold.reason}")
        rows.append((", ".join(fold.withheld), "", "", *(Number.of(absent, "share") for _ in range(4))))
    tests = sum(fold.test_films for fold in report.folds)
    rows.append(("All tests", "", count(tests), *_trusted(report.trust)))
    return Table(
        name="unseen-trust",
        caption="What promises are worth there",
        columns=(
            "Withheld",
            "Learnt",
            "Films",
            "Findings covered (95% CI)",
            "Films referred (95% CI)",
            "Wrong, not referred (95% CI)",
            "Calibration error, not referred (95% CI)",
        ),
        rows=tuple(rows),
        note=(
            "A network is tested on the sources withheld from it and has learnt all others; where those hold few "
            "patients of some kind, as adults without a finding, figures are low for want of them. Temperature and "
            "limits are of each network's own validation films, whose sources it knows. A service also refers films "
            "that are unlike those it learnt; they count as decided here."
        ),
    )


def unseen_tables(report: Crossval) -> tuple[Table, ...]:
    """All tables in the order in which they are read."""
    return source_auroc_table(report), unseen_trust_table(report)


def _trusted(trust: UnseenTrust) -> Iterator[Number]:
    for found in (trust.prediction_sets.coverage, trust.refer_rate, trust.error):
        yield Number.of(found, "share")
    yield Number.metric("ece", trust.ece)
