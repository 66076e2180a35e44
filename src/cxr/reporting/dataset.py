"""The data set report: what ingestion made of a source, as one page that needs nothing but itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from matplotlib.figure import Figure

from cxr import __version__
from cxr.contracts.ingest import IngestReport
from cxr.domain import TAXONOMY
from cxr.reporting.caveats import data_caveats
from cxr.reporting.cohort import UNKNOWN, attribute_table, source_table
from cxr.reporting.dataset_figures import draw_ages, draw_grey_values, draw_sizes
from cxr.reporting.html import page_environment
from cxr.reporting.ingest_tables import ingestion_summary, ingestion_table, rejection_table
from cxr.reporting.pictures import Picture, Sample
from cxr.reporting.tables import Cell, Number, Table, count

UNLABELLED = "unlabelled"
SECTIONS = (
    ("files", "Files"),
    ("films", "Who is in it"),
    ("pictures", "Size and grey values"),
    ("duplicates", "Duplicates"),
    ("samples", "Sample films"),
)
SAMPLES_PER_CLASS = 12


@dataclass(frozen=True, kw_only=True)
class FilmPair:
    """Two films that were compared: a near duplicate of which one was left out, or look-alikes that both stay."""

    kind: str
    first: Path
    second: Path
    correlation: float


def render_dataset(*, report: IngestReport, films: pd.DataFrame, pairs: Sequence[FilmPair], images: Path) -> str:
    """The data set report as a self-contained HTML page.

    Args:
        report: of the ingestion.
        films: of the study index, with `mean` and `spread` of the stored film's grey values, 0..255.
        pairs: to show.
        images: folder of `<image_id>.png`.
    """
    findings = tuple(TAXONOMY)
    labelled = films.dropna(subset=["label"])
    tables = [ingestion_table(report), combination_table(films)]
    if report.rejected:
        tables.append(rejection_table(report))
    if len(labelled):
        tables += [source_table(labelled, findings), attribute_table(labelled, findings)]
    with TemporaryDirectory() as folder:
        return (
            page_environment()
            .get_template("dataset.html.j2")
            .render(
                version=__version__,
                sections=SECTIONS,
                summary=ingestion_summary(report),
                key_figures=_key_figures(report),
                tables={table.name: table for table in tables},
                caveats=tuple(data_caveats(films, findings)),
                pictures=_pictures(films, Path(folder)),
                pairs=[_pair(pair) for pair in pairs],
                samples=_samples(films, images),
                report=report,
            )
        )


def combination_table(films: pd.DataFrame) -> Table:
    """Films by source, view and age group, for each class."""
    labels = films["label"].fillna(UNLABELLED)
    columns = [name for name in (*TAXONOMY, UNLABELLED) if name in set(labels)]
    keys = [films[name].fillna(UNKNOWN).rename(name) for name in ("source", "view", "age_group")]
    table = pd.crosstab(keys, labels).reindex(columns=columns, fill_value=0)
    rows: list[tuple[Cell, ...]] = [
        (*(str(part) for part in key), *(count(int(n)) for n in row), count(int(sum(row))))
        for key, row in zip(table.index, table.to_numpy().tolist(), strict=True)
    ]
    totals = table.sum().tolist()
    rows.append(("All", "", "", *(count(int(n)) for n in totals), count(int(sum(totals)))))
    return Table(
        name="films-by-combination",
        caption="Films by source, view, age group and class",
        columns=("Source", "View", "Age group", *columns, "All"),
        rows=tuple(rows),
    )


def _key_figures(report: IngestReport) -> tuple[tuple[str, Number], ...]:
    return (
        ("Files read", count(report.read)),
        ("Films kept", count(report.kept)),
        ("Rejected", count(sum(report.rejected.values()))),
        ("Duplicates left out", count(report.exact_duplicates + report.near_duplicates)),
        ("Known patients", count(report.patients)),
        ("Groups that no split separates", count(report.groups)),
    )


def _pictures(films: pd.DataFrame, folder: Path) -> list[Picture]:
    figures: list[tuple[str, Figure, str]] = [
        ("sizes", draw_sizes(films), "Size of the films as given. Where sources differ, a model can tell them by it."),
        (
            "grey-values",
            draw_grey_values(films),
            "Grey values of the stored films, which the network's input stretches.",
        ),
    ]
    if films["age"].notna().any():
        figures.append(("ages", draw_ages(films), "Known ages; 90 stands for all ages over 89."))
    pictures = []
    for name, figure, caption in figures:
        path = folder / f"{name}.png"
        figure.savefig(path, metadata={"Software": None})
        pictures.append(Picture(path=path, caption=caption, wide=True, film=False))
    return pictures


def _pair(pair: FilmPair) -> dict[str, object]:
    return {
        "films": [Sample(path=path, label="", source="", details="") for path in (pair.first, pair.second)],
        "kind": pair.kind,
        "correlation": f"{pair.correlation:.2f}",
    }


def _samples(films: pd.DataFrame, images: Path) -> dict[str, list[Sample]]:
    """Films of each class from as many sources as there are; always the same ones."""
    labels = films["label"].fillna(UNLABELLED)
    ordered = films.assign(label=labels, source=films["source"].fillna(UNKNOWN)).sort_values("image_id")
    ordered["turn"] = ordered.groupby(["label", "source"]).cumcount()
    ordered = ordered.sort_values(["turn", "source", "image_id"])
    sheets: dict[str, list[Sample]] = {}
    for label in (*TAXONOMY, UNLABELLED):
        chosen = ordered[ordered["label"] == label].head(SAMPLES_PER_CLASS)
        if len(chosen):
            sheets[label] = [_sample(row, images) for _, row in chosen.iterrows()]
    return sheets


def _sample(row: "pd.Series[str]", images: Path) -> Sample:
    details = [str(row[name]) for name in ("view", "sex", "age_group") if pd.notna(row[name])]
    source = f"source {row['source']}" if row["source"] == UNKNOWN else str(row["source"])
    return Sample(
        path=images / f"{row['image_id']}.png", label=str(row["label"]), source=source, details=", ".join(details)
    )
