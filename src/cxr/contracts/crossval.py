"""Cross-validation over sources: what networks say of films from sources that they never saw."""

from pathlib import Path
from typing import Literal

from cxr.contracts.files import Contract, read_json_if_there
from cxr.contracts.metrics import Estimate, PredictionSetReport

CROSSVAL_FILE = "crossval.json"
CROSSVAL_TABLE = "crossval.csv"


class UnseenTrust(Contract, frozen=True, kw_only=True):
    """What is left of the promises that a network's validation films gave, on films of sources that it never saw.

    Attributes:
        prediction_sets: coverage and size; no chance is told, since the promise is for known sources alone.
        refer_rate: share of films referred.
        error: share of wrong decisions among the films that are not.
        ece: expected calibration error of the films that are not.
    """

    prediction_sets: PredictionSetReport
    refer_rate: Estimate
    error: Estimate
    ece: Estimate


class FoldScore(Contract, frozen=True, kw_only=True):
    """One network, and what it says of the sources that were withheld from it.

    Attributes:
        withheld: sources.
        train_films, test_films: how many.
        best_epoch: of its training.
        seconds: of its training, all epochs and fitting the head again.
        metrics: macro_auroc and accuracy of the withheld films, over the findings that they have.
        trust: on the withheld films, with temperature and limits from the fold's validation films.
    """

    withheld: tuple[str, ...]
    train_films: int
    test_films: int
    best_epoch: int
    seconds: float
    metrics: dict[str, Estimate]
    trust: UnseenTrust


class UntrainedFold(Contract, frozen=True, kw_only=True):
    """Sources that no network was trained without.

    Attributes:
        withheld: sources.
        reason: what the films that are left lack.
    """

    withheld: tuple[str, ...]
    reason: str


class SourceScore(Contract, frozen=True, kw_only=True):
    """How well the findings of one unseen source are told apart, see `cxr.evaluation.unseen`.

    Attributes:
        own: findings that the source itself has enough patients of.
        borrowed: findings whose films come from the sources that were withheld with it.
        networks: that were tested on it.
        films: of the source, of its own findings.
        macro_auroc: over own and borrowed findings, mean of the networks.
    """

    source: str
    own: tuple[str, ...]
    borrowed: tuple[str, ...]
    networks: int
    films: int
    macro_auroc: Estimate


class PairScore(Contract, frozen=True, kw_only=True):
    """AUROC of the films of one finding and source against Normal films of a source.

    Attributes:
        source: of the films with the finding.
        normal_source: of the Normal films; the same when the source has enough of them.
        networks: that were tested on both.
        films, normal_films: how many each of them was.
        auroc: mean of the networks.
    """

    finding: str
    source: str
    normal_source: str
    networks: int
    films: int
    normal_films: int
    auroc: Estimate


class Crossval(Contract, frozen=True, kw_only=True):
    """`crossval.json`. Films are scored by networks that never saw their sources.

    Attributes:
        index: digest of the index with `split` filled.
        recipe: digest of the recipe.
        initial_weights: that all networks started from, as in `History`; null in files of older versions.
        worst_source_auroc: smallest macro AUROC of a source: what to choose a recipe by.
        mean_source_auroc: mean of the sources' macro AUROCs.
        accuracy: of all networks' tests together.
        trust: on all tests together, each with temperature and limits of its network.
        untrained: folds that count in none of the values.
    """

    version: Literal[1] = 1
    index: str
    recipe: str
    initial_weights: str | None = None
    seed: int
    folds: tuple[FoldScore, ...]
    sources: tuple[SourceScore, ...]
    pairs: tuple[PairScore, ...]
    worst_source_auroc: Estimate
    mean_source_auroc: Estimate
    accuracy: Estimate
    trust: UnseenTrust
    untrained: tuple[UntrainedFold, ...] = ()


def read_packed_crossval(reports: Path) -> Crossval | None:
    """That among a bundle's reports; None where there is none. Raises `ContractError` when it is malformed."""
    return read_json_if_there(reports / CROSSVAL_FILE, Crossval)
