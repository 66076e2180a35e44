"""The studies folder of a judged cohort."""

import csv
import io
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pandas as pd

from cxr.contracts.files import write_bytes, write_json
from cxr.contracts.ingest import DATASET_FILE, DUPLICATES_FILE, INGEST_FILE, REJECTED_FILE, FilmCount, IngestReport
from cxr.contracts.studies import IMAGES_FOLDER, MASKS_FOLDER, StudyIndex
from cxr.errors import SourceError
from cxr.steps.ingestion.cohort import Cohort

_EXAMPLES = 3
_PAIRS_SHOWN = 6


def write_studies(folder: Path, cohort: Cohort, *, store: Path, started: float) -> IngestReport:
    """Write the studies folder anew, its films linked from `store` where the file system can.

    Args:
        folder: to write; what is there is removed.
        cohort: to write.
        store: holds the films and masks, and is left as it is.
        started: `time.monotonic()` at the start of the step.

    Raises:
        SourceError: no film is kept.
    """
    if not cohort.verdict.labels:
        raise SourceError(_nothing_kept(cohort))
    shutil.rmtree(folder, ignore_errors=True)
    images, masks = folder / IMAGES_FOLDER, folder / MASKS_FOLDER
    for part in (images, masks):
        part.mkdir(parents=True)
    for film in cohort.kept():
        name = f"{film.stored.image_id}.png"
        _link(store / IMAGES_FOLDER / name, images / name)
    stored_masks = cohort.masks()
    for image_id, mask in stored_masks.items():
        _link(store / MASKS_FOLDER / f"{mask}.png", masks / f"{image_id}.png")
    index = cohort.index()
    index.write(folder)
    _write_lists(folder, cohort)
    report = _report(cohort, index, masked=len(stored_masks))
    _write_page(folder, cohort, index, report, store)
    report = msgspec.structs.replace(report, seconds=round(time.monotonic() - started, 3))
    write_json(folder / INGEST_FILE, report)
    return report


def _nothing_kept(cohort: Cohort) -> str:
    codes = Counter(refusal.code for refusal in cohort.refused.values())
    examples = "; ".join(
        f"{cohort.names[position]}: {refusal.reason}" for position, refusal in list(cohort.refused.items())[:_EXAMPLES]
    )
    counts = ", ".join(f"{count} {code}" for code, count in codes.most_common())
    return f"data must hold at least one usable film, of {len(cohort.names)} files none is ({counts}); {examples}"


def _link(stored: Path, written: Path) -> None:
    try:
        os.link(stored, written)
    except OSError:
        shutil.copyfile(stored, written)


def _write_lists(folder: Path, cohort: Cohort) -> None:
    names = cohort.names
    refused = [(names[position], refusal.code, refusal.reason) for position, refusal in cohort.refused.items()]
    duplicates = [
        (names[duplicate.kept], names[duplicate.dropped], duplicate.kind, f"{duplicate.correlation:.3f}")
        for duplicate in cohort.verdict.duplicates
    ]
    _write_table(folder / REJECTED_FILE, ("name", "code", "reason"), refused)
    _write_table(folder / DUPLICATES_FILE, ("kept", "dropped", "kind", "correlation"), duplicates)


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))


def _report(cohort: Cohort, index: StudyIndex, *, masked: int) -> IngestReport:
    verdict = cohort.verdict
    kinds = Counter(duplicate.kind for duplicate in verdict.duplicates)
    counts = Counter((label, cohort.known[position].source) for position, label in verdict.labels.items())
    ordered = sorted(counts.items(), key=lambda item: tuple((word is None, word or "") for word in item[0]))
    return IngestReport(
        read=len(cohort.names),
        kept=len(index),
        rejected=dict(sorted(Counter(refusal.code for refusal in cohort.refused.values()).items())),
        exact_duplicates=kinds["exact"],
        near_duplicates=kinds["near"],
        look_alikes=len(verdict.look_alikes),
        polarity_corrected=sum(film.stored.polarity_corrected for film in cohort.kept()),
        masked=masked,
        patients=int(index.films["patient_id"].nunique()),
        groups=int(index.films["group_id"].nunique()),
        films=tuple(FilmCount(label=label, source=source, films=films) for (label, source), films in ordered),
        index=index.digest,
        seconds=0.0,
    )


def _write_page(folder: Path, cohort: Cohort, index: StudyIndex, report: IngestReport, store: Path) -> None:
    from cxr.reporting.dataset import FilmPair, render_dataset  # brings matplotlib

    measured = pd.DataFrame(
        [(film.stored.image_id, film.stored.mean, film.stored.spread) for film in cohort.kept()],
        columns=["image_id", "mean", "spread"],
    )
    near = [duplicate for duplicate in cohort.verdict.duplicates if duplicate.kind == "near"]
    pairs = [("near", pair.kept, pair.dropped, pair.correlation) for pair in near]
    pairs.sort(key=lambda pair: pair[3])
    chosen = pairs[:_PAIRS_SHOWN] + [("look-alike", *pair) for pair in cohort.verdict.look_alikes[:_PAIRS_SHOWN]]
    images = store / IMAGES_FOLDER
    page = render_dataset(
        report=report,
        films=index.films.merge(measured, on="image_id"),
        pairs=[
            FilmPair(
                kind=kind,
                first=images / f"{cohort.known[one].stored.image_id}.png",
                second=images / f"{cohort.known[other].stored.image_id}.png",
                correlation=correlation,
            )
            for kind, one, other, correlation in chosen
        ],
        images=images,
    )
    write_bytes(folder / DATASET_FILE, page.encode())
