"""Tables of how a model came about: search, epochs, gate."""

from collections.abc import Iterator

from cxr.contracts.checkpoint import History
from cxr.contracts.metrics import Estimate, MetricsReport, RobustnessReport
from cxr.contracts.recipe import Gate
from cxr.contracts.search import Objective
from cxr.contracts.search_report import SearchReport, Trial
from cxr.contracts.shortcuts import ShortcutReport
from cxr.evaluation.gate import allows, covers, floors, surely_worse
from cxr.reporting.metric_tables import subgroup_name
from cxr.reporting.objectives import objective_label
from cxr.reporting.tables import Cell, Number, Table, count, metric_label, quantity
from cxr.reporting.uncertainty_tables import gap_label, gap_number

_FLOORS = {
    "macro_auroc": ("macro_auroc", metric_label("macro_auroc")),
    "accuracy": ("accuracy", metric_label("accuracy")),
    "tuberculosis_sensitivity": ("recall", "Tuberculosis sensitivity"),
    "clinical_drop": ("accuracy_drop", "Accuracy lost, clinical, points"),
    "calibration_error": ("ece", metric_label("ece")),
    "refer_rate": ("refer_rate", "Films referred"),
}
"""Field of the gate to the metric that it limits, whose style its numbers have, and to its label."""


def best_recipe_table(search: SearchReport) -> Table:
    """Searched fields: as the recipe was given, and as the best trial has them."""
    own = next((trial for trial in search.trials if trial.number == 0), None)
    best = _trial(search, search.best)
    rows: list[tuple[Cell, ...]] = [
        (field, _value(own.parameters[field]) if own else "", _value(value)) for field, value in best.parameters.items()
    ]
    rows.append((objective_label(search.objective), _objective(own), _objective(best)))
    return Table(
        name="best-recipe",
        caption="What the search kept",
        columns=("Field of the recipe", "As given (trial 0)", f"Kept (trial {best.number})"),
        rows=tuple(rows),
    )


def importance_table(importance: dict[str, float]) -> Table:
    """Share of each field in the variance of the objective, largest first."""
    ranked = sorted(importance.items(), key=lambda pair: -pair[1])
    return Table(
        name="importance",
        caption="What mattered",
        columns=("Field of the recipe", "Share of the variance"),
        rows=tuple((field, Number(value=share, style="share")) for field, share in ranked),
        note="Share of each field in the variance of the objective over the trials (fANOVA).",
    )


def trials_table(search: SearchReport) -> Table:
    """Every trial with its values."""
    fields = tuple(dict.fromkeys(field for trial in search.trials for field in trial.parameters))
    rows: list[tuple[Cell, ...]] = [
        (
            f"{trial.number}{' (kept)' if trial.number == search.best else ''}",
            trial.state,
            _objective(trial),
            *(_value(trial.parameters.get(field)) for field in fields),
            _epochs(trial, search.objective),
            Number(value=trial.seconds, style="quantity"),
        )
        for trial in search.trials
    ]
    return Table(
        name="trials",
        caption="Trials",
        columns=("Trial", "State", objective_label(search.objective), *_short(fields), "Epochs", "Seconds"),
        rows=tuple(rows),
        note=f"Epochs per complete trial: {search.epochs}, on {search.films:,} films; seed {search.seed}.",
    )


def epochs_table(history: History) -> Table:
    """Every epoch of the training that made the checkpoint."""
    rows: list[tuple[Cell, ...]] = [
        (
            f"{epoch.epoch}{' (kept)' if epoch.epoch == history.best_epoch else ''}",
            Number(value=epoch.loss, style="quantity"),
            Number(value=epoch.validation_loss, style="quantity"),
            Number(value=epoch.validation_accuracy, style="share"),
            Number(value=epoch.validation_macro_auroc, style="score"),
            quantity(epoch.learning_rate),
            quantity(epoch.seconds),
            quantity(epoch.films_per_second),
        )
        for epoch in history.epochs
    ]
    return Table(
        name="epochs",
        caption="Epochs",
        columns=(
            "Epoch",
            "Training loss",
            "Validation cross-entropy",
            "Validation accuracy",
            "Validation macro AUROC",
            "Learning rate",
            "Seconds",
            "Films per second",
        ),
        rows=tuple(rows),
        note="Validation figures are of the head before it was fitted again." if history.refit_seconds else "",
    )


def gate_table(
    gate: Gate, metrics: MetricsReport, robustness: RobustnessReport, shortcuts: ShortcutReport | None
) -> Table:
    """Every floor of the gate beside what was measured."""
    absent = Estimate(value=None, reason="not measured")
    rows: list[tuple[Cell, ...]] = []
    for floor in floors(gate, metrics, robustness):
        name, label = _FLOORS[floor.name]
        shown = Number.metric(name, Estimate(value=floor.limit)).text
        rows.append(
            (
                label,
                Number.metric(name, floor.found or absent),
                f"{'at least' if floor.at_least else 'at most'} {shown}",
                "holds" if floor.holds else "fails",
            )
        )
    rows += [*_coverage_rows(gate, metrics), *_gap_rows(gate, metrics)]
    verdict = "holds" if allows(gate, shortcuts) else "fails"
    state = "not audited" if shortcuts is None else shortcuts.state
    rows.append(("Shortcut audit", state, f"at worst {gate.shortcuts}", verdict))
    return Table(
        name="gate",
        caption=f"Floors of the gate, on the {metrics.split} split",
        columns=("Measure", "Measured", "Floor", "Verdict"),
        rows=tuple(rows),
    )


def _coverage_rows(gate: Gate, metrics: MetricsReport) -> Iterator[tuple[Cell, ...]]:
    sets = metrics.prediction_sets
    if sets is None:
        absent = Number(value=None, style="share", reason="not measured")
        yield "Findings covered by prediction sets", absent, "measured", "fails"
        return
    for finding, found in sets.per_class.items():
        floor = f"{100 * (1 - sets.error):g}%, less what chance explains"
        verdict = "holds" if covers(gate, sets, finding) else "fails"
        yield f"{finding} covered by prediction sets", Number.of(found.coverage, "share"), floor, verdict


def _gap_rows(gate: Gate, metrics: MetricsReport) -> Iterator[tuple[Cell, ...]]:
    """Every gap that fails; the one that comes nearest where none does."""
    worse = surely_worse(gate, metrics)
    surest = sorted((gap for gap in metrics.gaps if gap.gap.low is not None), key=lambda gap: -(gap.gap.low or 0))
    for gap in worse or surest[:1]:
        label = f"{gap_label(gap.measure)} of {subgroup_name(gap.attribute, gap.value)}, worse by"
        floor = f"lower end at most {gate.subgroup_gap:g}"
        yield label, gap_number(gap), floor, "fails" if gap in worse else "holds"


def _short(fields: tuple[str, ...]) -> tuple[str, ...]:
    """The fields without their section, where that still tells them apart."""
    names = [field.rpartition(".")[2] for field in fields]
    return tuple(name if names.count(name) == 1 else field for name, field in zip(names, fields, strict=True))


def _trial(search: SearchReport, number: int | None) -> Trial:
    return next(trial for trial in search.trials if trial.number == number)


def _epochs(trial: Trial, objective: Objective) -> Number:
    if trial.value is not None and not trial.curve:
        unseen = "one network for each source withheld, each judged at its end"
        reason = unseen if objective == "worst_source_auroc" else "Katib tells of the best epoch alone"
        return Number(value=None, style="count", reason=reason)
    return count(len(trial.curve))


def _objective(trial: Trial | None) -> Number:
    value = trial.value if trial else None
    reason = (trial.reason if trial else None) or "no epoch ended"
    return Number(value=value, style="score", reason=None if value is not None else reason)


def _value(value: float | int | str | bool | None) -> Cell:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return "" if value is None else str(value).lower() if isinstance(value, bool) else value
    return quantity(value)
