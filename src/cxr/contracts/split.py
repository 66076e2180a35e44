"""How films were divided: the report of the split, and the folds that leave one source out."""

from typing import Literal

from cxr.contracts.files import Contract
from cxr.domain import Split

SPLIT_FILE = "split.json"
FOLDS_FILE = "folds.json"


class SplitCount(Contract, frozen=True, kw_only=True):
    """Films, and groups that have such films, of one part, class and source; a source of None is unknown."""

    split: Split
    label: str
    source: str | None
    films: int
    groups: int


class SplitReport(Contract, frozen=True, kw_only=True):
    """`split.json`.

    Attributes:
        studies: digest of the index before the split.
        index: digest of the index with `split` filled, the one that training and evaluation record.
        films: with a label, in one of the parts.
        unlabelled: films without a label, in none of the parts.
        groups: of the labelled films.
        largest_group: its films.
        rejoined: groups of the index that the split had to join, because they share patients.
        patient_unknown: labelled films whose patient is unknown.
        counts: one row for each part, class and source that occur together.
        caveats: what a reader must know of this split, in sentences.
    """

    version: Literal[1] = 1
    seed: int
    studies: str
    index: str
    films: int
    unlabelled: int
    groups: int
    largest_group: int
    rejoined: int
    patient_unknown: int
    counts: tuple[SplitCount, ...]
    caveats: tuple[str, ...] = ()


class Fold(Contract, frozen=True, kw_only=True):
    """Labelled films of some sources are the test part; of the rest, `validation` and `excluded` are listed.

    Attributes:
        withheld: the sources of the test part.
        validation: image_ids.
        excluded: image_ids in none of the parts: films whose source is unknown, and films of other sources that share a
            group with a withheld one.
        train_films, test_films: how many.
        train_findings, test_findings: the classes that occur there, in the order of the taxonomy.
    """

    withheld: tuple[str, ...]
    validation: tuple[str, ...]
    excluded: tuple[str, ...]
    train_films: int
    test_films: int
    train_findings: tuple[str, ...]
    test_findings: tuple[str, ...]


class Folds(Contract, frozen=True, kw_only=True):
    """`folds.json`: every source withheld, linked sources together, see `cxr.steps.split.folds.leave_one_source_out`.

    Attributes:
        index: digest of the index with `split` filled.
        folds: none when there are fewer than two sources to tell apart.
    """

    version: Literal[1] = 1
    seed: int
    index: str
    folds: tuple[Fold, ...]
