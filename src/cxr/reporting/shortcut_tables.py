"""The shortcut audit for a person: tables, the verdict in words, and every figure as a row."""

from collections.abc import Iterator, Mapping

import pandas as pd

from cxr.contracts.metrics import Estimate
from cxr.contracts.shortcuts import HiddenPart, ShortcutReport, ShortcutState
from cxr.reporting.kubeflow import defined
from cxr.reporting.tables import Cell, Number, Table, count

_PARTS: dict[HiddenPart, str] = {
    "lungs_hidden": "Lungs blacked out",
    "border_only": "Border only",
    "lungs_only": "Lungs only",
}
_VERDICTS: dict[ShortcutState, str] = {
    "pass": "The audit found no sign that the model decides by what is not disease.",
    "warn": "The audit found signs that the model or its data may lean on what is not disease:",
    "fail": "The audit found that the model decides in part by what is not disease:",
}


def shortcut_words(report: ShortcutReport | None) -> str:
    """The verdict with its reasons, one paragraph; says so where there was no audit."""
    if report is None:
        return "Shortcuts were not audited: whether the model decides by what is not disease is unknown."
    if report.state == "pass":
        return _VERDICTS["pass"]
    return f"{_VERDICTS[report.state]} {'; '.join(report.reasons)}."


def hidden_table(report: ShortcutReport) -> Table:
    """AUROC from parts of the films: the model's, and what a few pixels give away."""
    findings = [name for name in report.clean if name != "macro_auroc"]
    lacking = Estimate(value=None, reason="pixels of whole films are not probed")
    rows: list[tuple[Cell, ...]] = [_hidden_row("Whole film", report.clean, lacking, findings)]
    rows += [
        _hidden_row(_PARTS[result.part], result.model, result.pixels["macro_auroc"], findings)
        for result in report.hidden
    ]
    return Table(
        name="shortcuts-hidden",
        caption="What the findings can be told from",
        columns=(
            "What is seen",
            "Model, macro AUROC (95% CI)",
            *(f"{name.removeprefix('auroc_')} (95% CI)" for name in findings),
            "16 × 16 pixels, macro AUROC (95% CI)",
        ),
        rows=tuple(rows),
        note=(
            "The pixels are those of a logistic regression on the same part of the train films: what this data set "
            "gives away there, whatever the model uses of it. A finding told without lungs is told by a shortcut, "
            "but for signs of disease outside of them."
        ),
    )


def source_table(report: ShortcutReport) -> Table:
    """Whether the source shows in the embedding and in the decisions."""
    nothing = Estimate(value=None, reason="the finding does not occur among these films")
    probes = {probe.finding: probe for probe in report.source_probes}
    rows: list[tuple[Cell, ...]] = []
    for finding, pull in report.pull.items():
        probe = probes.get(finding)
        rows.append(
            (
                finding,
                count(probe.patients if probe else 0),
                count(len(probe.sources) if probe else 0),
                Number.of(probe.macro_auroc if probe else nothing, "score"),
                Number.of(probe.balanced_accuracy if probe else nothing, "share"),
                Number(
                    value=probe.chance if probe else None,
                    style="share",
                    reason="there are not two sources to tell apart",
                ),
                Number.of(pull, "score"),
            )
        )
    alone = Number.of(report.source_alone, "score")
    return Table(
        name="shortcuts-source",
        caption="Does the source of a film show, and does it count?",
        columns=(
            "Finding",
            "Patients",
            "Sources",
            "Source told from the embedding, AUROC (95% CI)",
            "Balanced accuracy (95% CI)",
            "Of a guess",
            "Pull of the source, AUROC (95% CI)",
        ),
        rows=tuple(rows),
        note=(
            "Sources are told apart among films of one finding. Pull: how well the probability of the finding tells "
            "sources rich in it from the others among films without it, 0.5 when the source does not count. The "
            f"finding guessed from the source alone: macro AUROC {alone.text} ({alone.interval or 'no interval'})."
        ),
    )


def pasted_table(report: ShortcutReport) -> Table:
    """What markers, shutters and redaction boxes change."""
    findings = tuple(report.pasted[0].shifts) if report.pasted else ()
    return Table(
        name="shortcuts-pasted",
        caption="Objects pasted on every film",
        columns=(
            "Object",
            "Severity",
            "Probability moved (95% CI)",
            "Decisions changed (95% CI)",
            *(f"{finding}, points (95% CI)" for finding in findings),
        ),
        rows=tuple(
            (
                result.object.replace("_", " ").capitalize(),
                count(result.severity),
                Number.of(result.change, "share"),
                Number.of(result.flips, "share"),
                *(Number.of(result.shifts[finding], "points") for finding in findings),
            )
            for result in report.pasted
        ),
        note="Mean over films of the probability that changes hands, and by finding the mean change with its sign.",
    )


def shortcut_tables(report: ShortcutReport) -> tuple[Table, ...]:
    """All tables of the audit in the order in which they are read."""
    return hidden_table(report), source_table(report), pasted_table(report)


def tidy_shortcuts(report: ShortcutReport) -> pd.DataFrame:
    """Columns group, name, metric, films, value, low, high, reason."""
    rows = [
        {
            "group": group,
            "name": name,
            "metric": metric,
            "films": films,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "reason": found.reason,
        }
        for group, name, films, estimates in _groups(report)
        for metric, found in estimates.items()
    ]
    return pd.DataFrame(rows)


def shown_metrics(report: ShortcutReport) -> dict[str, float | str]:
    """The verdict and the model's macro AUROC from each part of the films, for Kubeflow's pages."""
    parts = {str(result.part): result.model["macro_auroc"] for result in report.hidden}
    return {"verdict": report.state, **defined(parts, prefix="macro_auroc_")}


def _groups(report: ShortcutReport) -> Iterator[tuple[str, str, int, Mapping[str, Estimate]]]:
    yield "clean", "model", report.films, report.clean
    yield "source", "alone", report.films, {"macro_auroc": report.source_alone}
    for hidden in report.hidden:
        yield hidden.part, "model", report.films, hidden.model
        yield hidden.part, "pixels", report.films, hidden.pixels
    for probe in report.source_probes:
        named = {"balanced_accuracy": probe.balanced_accuracy, "macro_auroc": probe.macro_auroc}
        yield "source_probe", probe.finding, probe.films, named
    for finding, pull in report.pull.items():
        yield "pull", finding, report.films, {"auroc": pull}
    for pasted in report.pasted:
        shifts = {f"shift_{finding}": shift for finding, shift in pasted.shifts.items()}
        changes = {"change": pasted.change, "flips": pasted.flips, **shifts}
        yield "pasted", f"{pasted.object}/{pasted.severity}", report.films, changes


def _hidden_row(name: str, model: Mapping[str, Estimate], pixels: Estimate, findings: list[str]) -> tuple[Cell, ...]:
    shown = [Number.of(model[key], "score") for key in ("macro_auroc", *findings)]
    return (name, *shown, Number.of(pixels, "score"))
