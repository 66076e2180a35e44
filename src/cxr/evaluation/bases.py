"""What each metric rests on: why it may be undefined, and how surely a perfect value is one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from cxr.contracts.metrics import OperatingPoint
from cxr.domain import NORMAL
from cxr.evaluation.arrays import Mask
from cxr.evaluation.bootstrap import Basis, ranking_limit, share_limit
from cxr.evaluation.scored import ScoredFilms

Key = tuple[str, str]
"""Group and metric; the group is "overall", a finding, or the key of an operating point."""

OVERALL = "overall"

AGAINST_NORMAL = "auroc_against_normal"
"""AUROC of a finding against Normal films alone."""


def decision_bases(films: ScoredFilms) -> dict[Key, Basis]:
    """Accuracy, and precision, recall, f1 and specificity of each finding."""
    bases = {(OVERALL, "accuracy"): _share(films, np.ones(len(films), dtype=bool), "no film")}
    for number, finding in enumerate(films.findings):
        present = films.labels == number
        bases[finding, "precision"] = _share(films, films.decisions == number, f"no film was decided {finding}")
        bases[finding, "recall"] = bases[finding, "f1"] = _share(films, present, f"no film of {finding}")
        bases[finding, "specificity"] = _share(films, ~present, f"no film without {finding}")
    return bases


def ranking_bases(films: ScoredFilms, names: Iterable[str]) -> dict[Key, Basis]:
    """The metrics of each finding that come from the ranking of the films."""
    bases: dict[Key, Basis] = {}
    for number, finding in enumerate(films.findings):
        present = films.labels == number
        with_finding, without = films.patients_of(present), films.patients_of(~present)
        reason = "" if with_finding else f"no film of {finding}"
        reason = reason if without else f"no film without {finding}"
        limits = {"sensitivity": share_limit(with_finding), "specificity": share_limit(without)}
        for name in names:
            limit = limits.get(name.partition("_at_")[0], ranking_limit(with_finding, without))
            bases[finding, name] = Basis(reason=reason, limit=limit)
    return bases


def against_normal_bases(films: ScoredFilms) -> dict[Key, Basis]:
    """The AUROC of each other finding against Normal."""
    present = {finding: films.patients_of(films.labels == number) for number, finding in enumerate(films.findings)}
    normal = present.pop(NORMAL)
    return {
        (finding, AGAINST_NORMAL): Basis(
            reason="" if patients and normal else f"no film of {finding if normal else NORMAL}",
            limit=ranking_limit(patients, normal),
        )
        for finding, patients in present.items()
    }


def point_bases(films: ScoredFilms, points: Sequence[OperatingPoint]) -> dict[Key, Basis]:
    """Sensitivity, specificity, ppv and npv of operating points."""
    return {(point.key, name): basis for point in points for name, basis in _of_point(films, point)}


def macro_bases(films: ScoredFilms, bases: Mapping[Key, Basis], names: Iterable[str]) -> dict[Key, Basis]:
    """Averages over the findings that occur, `macro_<name>`, from the bases of the findings."""
    results: dict[Key, Basis] = {}
    for name in names:
        parts = [bases[films.findings[number], name] for number in films.present]
        reason = next((part.reason for part in parts if part.reason), "")
        limit = float(np.mean([part.limit or 0.0 for part in parts]))
        alone = len(parts) < 2
        results[OVERALL, f"macro_{name}"] = Basis(
            reason="only one finding among these films" if alone else reason, limit=limit
        )
    return results


def _of_point(films: ScoredFilms, point: OperatingPoint) -> Iterator[tuple[str, Basis]]:
    number = films.findings.index(point.finding)
    called, present = films.probabilities[:, number] >= point.threshold, films.labels == number
    yield "sensitivity", _share(films, present, f"no film of {point.finding}")
    yield "specificity", _share(films, ~present, f"no film without {point.finding}")
    yield "ppv", _share(films, called, f"no film reaches the threshold of {point.key}")
    yield "npv", _share(films, ~called, f"every film reaches the threshold of {point.key}")


def _share(films: ScoredFilms, counted: Mask, reason: str) -> Basis:
    return Basis(reason="" if counted.any() else reason, limit=share_limit(films.patients_of(counted)))
