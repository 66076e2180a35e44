"""Evaluate: calibrate on validation films, measure on test films; or measure a finished bundle on any films."""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr.contracts.bundle import REPORTS_FOLDER
from cxr.contracts.checkpoint import RECIPE_FILE
from cxr.contracts.evaluated import predictions_frame, write_predictions
from cxr.contracts.files import new_folder, write_json
from cxr.contracts.ingest import DUPLICATES_FILE, INGEST_FILE, REJECTED_FILE
from cxr.contracts.metrics import CALIBRATION_FILE, METRICS_FILE, METRICS_TABLE, Calibration, MetricsReport
from cxr.contracts.recipe import EvaluationRecipe, Preprocessing, Recipe
from cxr.contracts.studies import INDEX_FILE, StudyIndex
from cxr.domain import Split
from cxr.errors import BundleError, ContractError
from cxr.evaluation.arrays import Mask
from cxr.evaluation.assess import assess
from cxr.evaluation.calibration import LabelledLogits, softmax
from cxr.evaluation.scored import ScoredFilms
from cxr.evaluation.thresholds import fit_calibration
from cxr.modeling.dataset import FilmArray, load_films
from cxr.reporting.tidy import tidy_metrics

if TYPE_CHECKING:
    from cxr.modeling.checkpoint import Checkpoint

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Part:
    """The films of one split with their logits [n, c]; label -1 is unknown.

    Attributes:
        unlike: [n], films that the model refers for being unlike its training films; None where it has no limit yet.
    """

    split: Split
    index: StudyIndex
    labels: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    unlike: Mask | None = None

    def labelled(self) -> "_Part":
        known = self.labels >= 0
        if not known.any():
            raise ContractError(
                f"the {self.split} films must have labels of the taxonomy, none of {len(known)} has one"
            )
        unlike = None if self.unlike is None else self.unlike[known]
        return _Part(self.split, StudyIndex(self.index.films[known]), self.labels[known], self.logits[known], unlike)

    @property
    def groups(self) -> Sequence[str]:
        return [str(group) for group in self.index.films["group_id"]]

    def predictions(self, calibration: Calibration, findings: tuple[str, ...]) -> pd.DataFrame:
        probabilities = softmax(self.logits, temperature=calibration.temperature)
        return predictions_frame(
            self.index.films, split=self.split, logits=self.logits, probabilities=probabilities, findings=findings
        )

    def scored(self, calibration: Calibration, findings: tuple[str, ...]) -> ScoredFilms:
        return ScoredFilms.from_logits(
            self.logits, self.labels, self.groups, temperature=calibration.temperature, findings=findings
        )


def evaluate(*, studies: Path, split: Path, checkpoint: Path, out: Path) -> MetricsReport:
    """Fit temperature and thresholds on the validation films and measure the test films.

    Args:
        studies: images.
        split: index with the splits; where the recipe has an `unseen_share`, with the films that the network was
            trained on.
        checkpoint: the network, and the recipe of its evaluation.
        out: folder to write: metrics.json, metrics.csv, calibration.json, predictions.parquet, figures/.

    Raises:
        ContractError: a file is missing or malformed, or a split has no labelled film.
    """
    from cxr.modeling.checkpoint import read_checkpoint  # torch, which a bundle does without
    from cxr.modeling.inference import choose_device, infer

    model = read_checkpoint(checkpoint)
    index = StudyIndex.read(split)
    device = choose_device(None)
    loaded = {
        name: load_films(studies, index.part(name), model.recipe.preprocessing)
        for name in (Split.VALIDATION, Split.TEST)
    }
    parts = [
        _Part(name, films.index, films.labels, infer(model.network, films.films, device=device).logits)
        for name, films in loaded.items()
    ]
    known = parts[0].labelled()
    calibration = fit_calibration(
        known.logits,
        known.labels,
        known.groups,
        findings=model.findings,
        recipe=model.recipe.evaluation,
        unseen=_unseen(model, studies, index, loaded[Split.VALIDATION]),
    )
    logger.info(
        "calibrated",
        extra={
            "films": len(known.labels),
            "unseen": calibration.unseen_films,
            "temperature": round(calibration.temperature, 4),
        },
    )
    return _measure(
        out, parts, calibration, findings=model.findings, recipe=model.recipe, index=index.digest, model=model.digest
    )


def _unseen(model: "Checkpoint", studies: Path, index: StudyIndex, validation: FilmArray) -> LabelledLogits | None:
    """Validation films as read by heads that know no film of their source, where the recipe heeds them."""
    from cxr.modeling.refit import read_unseen

    if not model.recipe.evaluation.unseen_share:
        return None
    train = load_films(studies, index.part(Split.TRAIN), model.recipe.preprocessing)
    labelled = validation.take(validation.labels >= 0)
    return LabelledLogits(*read_unseen(model.network, model.recipe, train, labelled))


def evaluate_bundle(*, bundle: Path, data: str, out: Path, split: Path | None = None) -> MetricsReport:
    """Measure a bundle on any films, with its own temperature and thresholds.

    Films that its service would refer for being unlike its training films, or refuse as no chest film, are referred
    here too; films that are smaller than the service takes are measured like any other. Intervals, operating points and
    flags are as the bundle's recipe has them. Films of sources that the bundle learnt are told in a warning.

    Args:
        bundle: folder.
        data: a studies folder as ingestion writes it, or any source that `cxr ingest` reads.
        out: folder to write, as `evaluate` writes it; of a source that is no studies folder, also what ingestion kept
            (index.parquet, with the SHA-256 of every original), what it did not (rejected.csv, duplicates.csv), and
            ingest.json.
        split: index of a studies folder, whose test films are measured; all films are test films when None.

    Raises:
        BundleError: the bundle is incomplete or changed.
        SourceError: the data cannot be read.
        ContractError: no film has a label.
    """
    from cxr.modeling.session import BundleSession
    from cxr.steps.predict import Interpreter

    session = BundleSession(bundle)
    manifest = session.manifest
    with _studies(data, manifest.preprocessing) as (studies, lists):
        index = StudyIndex.read(split or studies)
        if split is None:
            _warn_of_known(index, manifest.provenance.training_sources)
        films = load_films(studies, index.part(Split.TEST) if split else index, manifest.preprocessing)
        outputs = session.infer(films.films)
        interpreter = Interpreter.read(bundle, manifest=manifest, digest=session.digest)
        unlike = interpreter.unlike(films.films, outputs.embedding)
        return _measure(
            out,
            [_Part(Split.TEST, films.index, films.labels, outputs.logits, unlike)],
            manifest.calibration,
            findings=manifest.findings,
            recipe=measured_by(bundle),
            index=index.digest,
            model=session.digest,
            lists=lists,
        )


def _warn_of_known(index: StudyIndex, learnt: tuple[str, ...]) -> None:
    known = index.films["source"].isin(learnt)
    if known.any():
        logger.warning(
            "%d of %d films are of sources that the bundle learnt (%s): this is no test of films from elsewhere, "
            "and the model may have learnt these very films",
            known.sum(),
            len(index),
            ", ".join(sorted(index.films["source"][known].unique())),
        )


class _Measuring(msgspec.Struct):
    """What is read of a bundle's recipe, whatever else the version that wrote it says in it."""

    seed: int = Recipe().seed
    evaluation: dict[str, Any] = msgspec.field(default_factory=dict)


def measured_by(bundle: Path) -> Recipe:
    """A recipe with the seed and the evaluation of a bundle's; the default where it has none."""
    path = bundle / REPORTS_FOLDER / RECIPE_FILE
    if not path.exists():
        return Recipe()
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Measuring)
        known = {name: value for name, value in found.evaluation.items() if name in EvaluationRecipe.__struct_fields__}
        return Recipe(seed=found.seed, evaluation=msgspec.convert(known, EvaluationRecipe))
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BundleError(f"the recipe in {path} must be readable: {error}; run `cxr package` again") from error


@contextmanager
def _studies(data: str, preprocessing: Preprocessing) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """The studies folder that `data` is, or one ingested from it for the time being, and the lists worth keeping."""
    if StudyIndex.lies_in(Path(data)):
        yield Path(data), ()
        return
    from cxr.steps.ingest import ingest

    with tempfile.TemporaryDirectory(prefix="cxr-") as folder:
        studies = Path(folder) / "studies"
        ingest(data=data, out=studies, recipe=Recipe(preprocessing=preprocessing))
        yield studies, tuple(studies / name for name in (INDEX_FILE, INGEST_FILE, REJECTED_FILE, DUPLICATES_FILE))


def _measure(
    out: Path,
    parts: Sequence[_Part],
    calibration: Calibration,
    *,
    findings: tuple[str, ...],
    recipe: Recipe,
    index: str,
    model: str,
    lists: Sequence[Path] = (),
) -> MetricsReport:
    """Measure the labelled films of the last part, and write the folder with the predictions of all of them.

    The lists are copied into it.
    """
    measured = parts[-1].labelled()
    scored = measured.scored(calibration, findings)
    report = assess(
        scored,
        measured.index.films,
        calibration=calibration,
        recipe=recipe.evaluation,
        seed=recipe.seed,
        index=index,
        model=model,
        split=measured.split,
        unlike=measured.unlike,
    )
    with new_folder(out) as folder:
        write_json(folder / METRICS_FILE, report)
        write_json(folder / CALIBRATION_FILE, calibration)
        tidy_metrics(report).to_csv(folder / METRICS_TABLE, index=False)
        write_predictions(folder, pd.concat([part.predictions(calibration, findings) for part in parts]), findings)
        for path in lists:
            shutil.copyfile(path, folder / path.name)
        _write_figures(folder / "figures", scored, report, calibration, recipe)
    return report


def _write_figures(
    folder: Path, scored: ScoredFilms, report: MetricsReport, calibration: Calibration, recipe: Recipe
) -> None:
    from cxr.reporting.evaluation_figures import draw_evaluation  # matplotlib, at the end of a long step

    folder.mkdir()
    figures = draw_evaluation(scored, report, calibration, recipe=recipe.evaluation, seed=recipe.seed)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png")
