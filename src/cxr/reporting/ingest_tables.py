"""What ingestion did with the files that it was given."""

from cxr.contracts.ingest import IngestReport
from cxr.reporting.tables import Cell, Table, count


def ingestion_summary(ingest: IngestReport) -> str:
    """How many files were read and kept."""
    patients = f"{ingest.patients:,} known patients" if ingest.patients else "unknown patients"
    return (
        f"Of {ingest.read:,} files read, {ingest.kept:,} films of {patients} were kept. Header values "
        "other than those counted here never leave ingestion."
    )


def ingestion_table(ingest: IngestReport) -> Table:
    """From the files read to the films kept, and what was found on the way."""
    rows: list[tuple[Cell, ...]] = [
        ("Files read", count(ingest.read)),
        ("Rejected", count(sum(ingest.rejected.values()))),
        ("Left out: same pixels as a kept film", count(ingest.exact_duplicates)),
        ("Left out: same exposure as a kept film", count(ingest.near_duplicates)),
        ("Films kept", count(ingest.kept)),
        ("Kept: negatives that were inverted", count(ingest.polarity_corrected)),
        ("Kept: with a lesion mask", count(ingest.masked)),
        ("Pairs of kept films alike enough to share a patient", count(ingest.look_alikes)),
        ("Groups that no split may separate", count(ingest.groups)),
    ]
    return Table(name="ingestion", caption="From files to films", columns=("What", "Count"), rows=tuple(rows))


def rejection_table(ingest: IngestReport) -> Table:
    """Files that were rejected, by reason, most frequent first."""
    ranked = sorted(ingest.rejected.items(), key=lambda pair: (-pair[1], pair[0]))
    return Table(
        name="rejected",
        caption="Rejected files",
        columns=("Reason", "Files"),
        rows=tuple((code.replace("_", " "), count(number)) for code, number in ranked),
        note="Each file is listed with its reason in studies/rejected.csv.",
    )
