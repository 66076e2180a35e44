"""Explain: activation maps of the test films, drawn, and scored against lesion masks where they exist."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from cxr.contracts.evaluated import read_predictions
from cxr.contracts.files import new_folder, write_json
from cxr.contracts.metrics import LOCALISATION_FILE, Estimate, LocalisationReport
from cxr.contracts.studies import MASKS_FOLDER, StudyIndex
from cxr.domain import Split
from cxr.errors import ContractError
from cxr.explain.activation import Map
from cxr.explain.gradcam import least_cosine
from cxr.explain.localisation import TOLERANCE, LesionScore, mean_scores, score_lesion
from cxr.explain.overlay import outlined, overlay
from cxr.modeling.checkpoint import Checkpoint, read_checkpoint
from cxr.modeling.dataset import load_films
from cxr.modeling.inference import choose_device, infer
from cxr.progress import progress
from cxr.steps.evaluated import check_evaluation

logger = logging.getLogger(__name__)

FIGURE = "figures/activation_maps.png"
OVERLAYS_FOLDER = "overlays"
WITNESSED_FILMS = 8
"""Films on which captum is asked as well."""

_PER_FINDING = 4
_Lesion = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _TestFilms:
    """Labelled test films with what was decided and why.

    Attributes:
        rows: of the index with `decision` and `probability` (of the decision, calibrated); numbered from 0.
        films: uint8 [n, S, S].
        maps: float32 [n, c, h, w].
    """

    rows: pd.DataFrame
    films: npt.NDArray[np.uint8]
    maps: npt.NDArray[np.float32]
    findings: tuple[str, ...]

    def map_of(self, row: int, finding: str) -> Map:
        chosen: Map = self.maps[row, self.findings.index(finding)]
        return chosen


def explain(*, studies: Path, split: Path, checkpoint: Path, evaluation: Path, out: Path) -> LocalisationReport:
    """Draw and score the activation maps of the labelled test films.

    Writes `localisation.json`, the sheet `figures/activation_maps.png` and `overlays/<image_id>.png` of the sheet's
    films. The sheet shows the map of the decision: for each finding films that were decided rightly, drawn at random,
    and the wrong decisions of most confidence. Scores against lesion masks are of the map of the true finding,
    whatever was decided.

    Args:
        studies: images and, where lesions are known, `masks/`.
        split: index whose test films are explained.
        checkpoint: the network.
        evaluation: its decisions.
        out: folder to write.

    Raises:
        ContractError: a folder is missing or malformed, or the evaluation is of another checkpoint or of other films.
    """
    model = read_checkpoint(checkpoint)
    check_evaluation(evaluation, model)
    whole = StudyIndex.read(split)
    films_of_test = whole.part(Split.TEST).films
    index = StudyIndex(films_of_test[films_of_test["label"].notna()])
    if not len(index):
        raise ContractError(f"{split} must have labelled test films, has none; add labels and run `cxr ingest` again")
    films = load_films(studies, index, model.recipe.preprocessing).films
    device = choose_device(None)
    witness = least_cosine(model.network.to(device), films[:WITNESSED_FILMS])
    maps = infer(model.network, films, device=device, maps=True).maps
    if maps is None:
        raise AssertionError("maps were asked for")
    test = _TestFilms(_decided(index, evaluation), films, maps, model.findings)
    lesions = _read_lesions(studies, test.rows)
    report = _score(test, lesions, model, index=whole.digest, witness=witness)
    with new_folder(out) as folder:
        write_json(folder / LOCALISATION_FILE, report)
        _draw(folder, test, lesions, model.recipe.seed)
    logger.info("activation maps explained", extra={"films": report.films, "masked_films": report.masked_films})
    return report


def _decided(index: StudyIndex, evaluation: Path) -> pd.DataFrame:
    predictions = read_predictions(evaluation)
    columns = [name for name in predictions.columns if name.startswith("probability_")]
    predictions["probability"] = predictions[columns].max(axis=1)
    rows = index.films.merge(predictions[["image_id", "decision", "probability"]], on="image_id", how="left")
    missing = int(rows["decision"].isna().sum())
    if missing:
        raise ContractError(
            f"{evaluation} must hold a decision for every labelled test film, lacks {missing} of {len(rows)}; "
            "run `cxr evaluate` on this split again"
        )
    return rows


def _read_lesions(studies: Path, rows: pd.DataFrame) -> dict[int, _Lesion]:
    """Row number to mask, for films with a lesion that is known."""
    paths = [studies / MASKS_FOLDER / f"{image_id}.png" for image_id in rows["image_id"]]
    masks = {row: _read_mask(path) for row, path in enumerate(paths) if path.is_file()}
    return {row: mask for row, mask in masks.items() if mask.any()}


def _read_mask(path: Path) -> _Lesion:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L")) >= 128
    except OSError as error:
        raise ContractError(f"{path} must be a readable PNG: {error}; run `cxr ingest` again") from error


def _score(
    test: _TestFilms, lesions: dict[int, _Lesion], model: Checkpoint, *, index: str, witness: float
) -> LocalisationReport:
    labels, groups = test.rows["label"].tolist(), test.rows["group_id"].tolist()
    scores: dict[int, LesionScore] = {}
    with progress("score maps", len(lesions)) as advance:
        for row, lesion in lesions.items():
            scores[row] = score_lesion(test.map_of(row, labels[row]), lesion)
            advance(1)

    def means(rows: Sequence[int]) -> dict[str, Estimate]:
        return mean_scores(
            [scores[row] for row in rows],
            [groups[row] for row in rows],
            resamples=model.recipe.evaluation.resamples,
            seed=model.recipe.seed,
        )

    overall = means(list(scores))
    by_finding = {finding: [row for row in scores if labels[row] == finding] for finding in test.findings}
    return LocalisationReport(
        films=len(test.rows),
        masked_films=len(scores),
        index=index,
        model=model.digest,
        tolerance=TOLERANCE,
        per_class={finding: means(rows) for finding, rows in by_finding.items() if rows},
        analytic_cosine=witness,
        pointing_game=overall["pointing_game"],
        pointing_chance=overall["pointing_chance"],
        energy_inside=overall["energy_inside"],
        lesion_area=overall["lesion_area"],
    )


def _draw(folder: Path, test: _TestFilms, lesions: dict[int, _Lesion], seed: int) -> None:
    from cxr.reporting.activation_sheet import SheetFilm, draw_activation_sheet

    def tile(row: int) -> SheetFilm:
        film = test.rows.iloc[row]
        plain = np.repeat(test.films[row][..., None], 3, axis=2)
        heat = overlay(test.films[row], test.map_of(row, film["decision"]))
        if row in lesions:
            plain, heat = outlined(plain, lesions[row]), outlined(heat, lesions[row])
        Image.fromarray(heat).save(folder / OVERLAYS_FOLDER / f"{film['image_id']}.png")
        return SheetFilm(
            film=plain,
            overlay=heat,
            label=film["label"],
            decision=film["decision"],
            probability=float(film["probability"]),
        )

    (folder / OVERLAYS_FOLDER).mkdir()
    (folder / FIGURE).parent.mkdir()
    rows = [sheet_rows(test.rows, finding, seed) for finding in test.findings]
    sheet = draw_activation_sheet([[tile(row) for row in chosen] for chosen in rows if chosen])
    sheet.savefig(folder / FIGURE, metadata={"Software": None})


def sheet_rows(rows: pd.DataFrame, finding: str, seed: int) -> list[int]:
    """Films of a finding for the sheet: right ones at random, then the wrong ones of most confidence.

    Half of the places are for either kind; what one kind cannot fill is left to the other.
    """
    of_finding = rows[rows["label"] == finding]
    right = of_finding[of_finding["decision"] == finding]
    wrong = of_finding[of_finding["decision"] != finding].sort_values("probability", ascending=False, kind="stable")
    wrong = wrong.head(max(_PER_FINDING // 2, _PER_FINDING - len(right)))
    wanted = min(len(right), _PER_FINDING - len(wrong))
    drawn = np.random.default_rng(seed).choice(len(right), wanted, replace=False)
    return [*right.index[np.sort(drawn)], *wrong.index]
