"""Shortcut audit: does the model decide by the source, by what is outside of the lungs or by what is on the film?"""

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.contracts.files import new_folder, write_json
from cxr.contracts.shortcuts import (
    SHORTCUTS_FILE,
    SHORTCUTS_TABLE,
    HiddenPart,
    HiddenResult,
    PastedResult,
    ShortcutReport,
)
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import ContractError
from cxr.evaluation.arrays import Floats
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.shortcut_probes import pixel_probe, source_probes
from cxr.evaluation.shortcut_verdict import judge_shortcuts
from cxr.evaluation.shortcuts import auroc_estimates, compare_pasted, source_pull, source_shares
from cxr.imaging.hidden import hide
from cxr.imaging.lungs import LungMask, lung_mask
from cxr.imaging.preprocess import Film
from cxr.modeling.checkpoint import Checkpoint, read_checkpoint
from cxr.modeling.dataset import FilmArray, load_films
from cxr.modeling.inference import choose_device, infer
from cxr.modeling.outputs import Outputs
from cxr.progress import progress
from cxr.steps.corrupted import infer_corrupted
from cxr.steps.evaluated import read_calibration

logger = logging.getLogger(__name__)

PASTED = (("lead_marker", 2), ("collimation", 2), ("redaction_box", 2))
"""Objects and severities: what a well-run department's films carry, and a redaction box as anonymised films do."""

_PARTS: tuple[HiddenPart, ...] = get_args(HiddenPart)
_PROBED_SIDE = 16
_BATCH = 64


def audit_shortcuts(
    *, studies: Path, split: Path, checkpoint: Path, evaluation: Path | None, out: Path
) -> ShortcutReport:
    """Audit a model on the labelled test films.

    Args:
        studies: images.
        split: index with the splits.
        checkpoint: the network, and the recipe of its audit.
        evaluation: of the same checkpoint, for the temperature of the probabilities; None takes them as they come.
        out: folder to write: shortcuts.json, shortcuts.csv.

    Raises:
        ContractError: a file is missing or malformed, the evaluation is of another checkpoint, or the train or test
            part has no labelled film.
    """
    model = read_checkpoint(checkpoint)
    index = StudyIndex.read(split)
    temperature = 1.0 if evaluation is None else read_calibration(evaluation, model).temperature
    audit = _Audit.of(studies, index, model, temperature=temperature)
    report = audit.report(index.digest)
    from cxr.reporting.shortcut_tables import tidy_shortcuts  # pandas pages, at the end of a long step

    with new_folder(out) as folder:
        write_json(folder / SHORTCUTS_FILE, report)
        tidy_shortcuts(report).to_csv(folder / SHORTCUTS_TABLE, index=False)
    logger.info("shortcuts audited", extra={"state": report.state, "films": report.films})
    return report


@dataclass(frozen=True, eq=False, kw_only=True)
class _Audit:
    """A model with its labelled train films (as many as the recipe allows) and test films."""

    model: Checkpoint
    train: FilmArray
    test: FilmArray
    temperature: float

    @classmethod
    def of(cls, studies: Path, index: StudyIndex, model: Checkpoint, *, temperature: float) -> "_Audit":
        train = _labelled(index.part(Split.TRAIN), most=model.recipe.audit.probe_films, seed=model.recipe.seed)
        test = _labelled(index.part(Split.TEST), most=None, seed=model.recipe.seed)
        load = partial(load_films, studies, preprocessing=model.recipe.preprocessing)
        return cls(model=model, train=load(index=train), test=load(index=test), temperature=temperature)

    def report(self, index: str) -> ShortcutReport:
        recipe = self.model.recipe
        resampling = {"resamples": recipe.evaluation.resamples, "seed": recipe.seed}
        enough = recipe.audit.least_patients
        outputs = self.infer(self.test.films)
        clean = self.scored(outputs.logits)
        sources = _sources(self.test.index)
        shares = source_shares(self.train.labels, _sources(self.train.index), findings=len(self.model.findings))
        prior = np.bincount(self.train.labels, minlength=len(self.model.findings)) / len(self.train)
        hidden = tuple(self.hidden())
        pasted = tuple(self.pasted(clean))
        source_alone = auroc_estimates(self.scored_by(_guess(shares, prior, sources)), **resampling)["macro_auroc"]
        pull = source_pull(clean, sources, shares, prior, least_patients=enough, **resampling)
        state, reasons = judge_shortcuts(
            recipe.audit, hidden=hidden, source_alone=source_alone, pull=pull, pasted=pasted
        )
        return ShortcutReport(
            films=len(clean),
            patients=int(clean.patients.max()) + 1,
            index=index,
            model=self.model.digest,
            resamples=recipe.evaluation.resamples,
            clean=auroc_estimates(clean, **resampling),
            source_alone=source_alone,
            hidden=hidden,
            source_probes=source_probes(outputs.embedding, clean, sources, least_patients=enough, **resampling),
            pull=pull,
            pasted=pasted,
            state=state,
            reasons=reasons,
        )

    def infer(self, films: npt.NDArray[np.uint8]) -> Outputs:
        return infer(self.model.network, films, batch_size=_BATCH, device=choose_device(None))

    def scored(self, logits: npt.NDArray[np.floating]) -> ScoredFilms:
        return ScoredFilms.from_logits(
            logits, self.test.labels, self._groups, temperature=self.temperature, findings=self.model.findings
        )

    def scored_by(self, scores: Floats) -> ScoredFilms:
        """The test films with scores [n, c] of something else than the model."""
        _, patients = np.unique(self._groups, return_inverse=True)
        return ScoredFilms(self.test.labels, scores, patients.astype(np.int64), self.model.findings)

    @property
    def _groups(self) -> list[str]:
        return [str(group) for group in self.test.index.films["group_id"]]

    def hidden(self) -> Iterator[HiddenResult]:
        """What model and pixels tell of films of which a part is black."""
        recipe, findings = self.model.recipe, len(self.model.findings)
        estimate = partial(auroc_estimates, resamples=recipe.evaluation.resamples, seed=recipe.seed)
        films = len(_PARTS) * (len(self.train) + len(self.test))
        with ThreadPoolExecutor(os.cpu_count()) as pool, progress("hidden parts", films) as advance:
            train_lungs = list(pool.map(lung_mask, self.train.films))  # once, whatever is hidden
            test_lungs = list(pool.map(lung_mask, self.test.films))
            for part in _PARTS:
                test = np.stack(list(_covered(self.test.films, test_lungs, part)))
                small = [_thumbnail(film) for film in _covered(self.train.films, train_lungs, part)]
                told = pixel_probe(
                    np.stack(small), self.train.labels, np.stack([_thumbnail(film) for film in test]), classes=findings
                )
                yield HiddenResult(
                    part=part,
                    model=estimate(self.scored(self.infer(test).logits)),
                    pixels=estimate(self.scored_by(told)),
                )
                advance(len(self.train) + len(self.test))

    def pasted(self, clean: ScoredFilms) -> Iterator[PastedResult]:
        """What objects on the film do to the probabilities."""
        recipe = self.model.recipe
        for cell, logits in infer_corrupted(self.model, self.test, PASTED, title="objects"):
            after = self.scored(logits)
            yield compare_pasted(*cell, clean, after, resamples=recipe.evaluation.resamples, seed=recipe.seed)


def _labelled(index: StudyIndex, *, most: int | None, seed: int) -> StudyIndex:
    """The films with a label, or so many of them drawn by the seed."""
    films = index.films[index.films["label"].notna()]
    if films.empty:
        raise ContractError("the train and test films must have labels of the taxonomy, those of one have none")
    return StudyIndex(films if most is None or len(films) <= most else films.sample(most, random_state=seed))


def _sources(index: StudyIndex) -> npt.NDArray[np.object_]:
    return index.films["source"].fillna("unknown").to_numpy(dtype=object)


def _guess(shares: dict[str, Floats], prior: Floats, sources: Sequence[str] | npt.NDArray[np.object_]) -> Floats:
    """Scores [n, c] that know nothing of a film but its source."""
    return np.stack([shares.get(str(source), prior) for source in sources])


def _covered(films: npt.NDArray[np.uint8], lungs: Sequence[LungMask], part: HiddenPart) -> Iterator[Film]:
    return (hide(film, part, lungs=mask) for film, mask in zip(films, lungs, strict=True))


def _thumbnail(film: Film) -> npt.NDArray[np.float32]:
    small = Image.fromarray(film).resize((_PROBED_SIDE, _PROBED_SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32).ravel() / np.float32(255)
