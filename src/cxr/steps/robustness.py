"""Robustness: the test films again, corrupted in graded ways."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cxr.contracts.files import new_folder, write_json
from cxr.contracts.metrics import ROBUSTNESS_FILE, ROBUSTNESS_TABLE, RobustnessReport
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import ContractError
from cxr.evaluation.robust import measure_grid
from cxr.evaluation.scored import ScoredFilms
from cxr.imaging.corrupt import CORRUPTIONS, EVERY_CELL, PRESETS
from cxr.modeling.checkpoint import read_checkpoint
from cxr.modeling.dataset import FilmArray, load_films
from cxr.modeling.inference import choose_device, infer
from cxr.steps.corrupted import film_seeds, infer_corrupted
from cxr.steps.evaluated import read_calibration


def robustness(*, studies: Path, split: Path, checkpoint: Path, evaluation: Path, out: Path) -> RobustnessReport:
    """Measure every corruption at every severity of the recipe, and all of the clinical preset, on the test films.

    A corrupted film is rounded to 8 bits and preprocessed again, as the service would: what the grey-level stretch
    undoes does not count, what it makes worse does.

    Args:
        studies: images.
        split: index with the splits.
        checkpoint: the network, and the recipe of its evaluation.
        evaluation: calibration of the same checkpoint.
        out: folder to write: robustness.json, robustness.csv, figures/.

    Raises:
        ContractError: a file is missing or malformed, the evaluation is of another checkpoint, or no test film has a
            label.
    """
    model = read_checkpoint(checkpoint)
    calibration = read_calibration(evaluation, model)
    index = StudyIndex.read(split)
    films = load_films(studies, index.part(Split.TEST), model.recipe.preprocessing)
    films = films.take(films.labels >= 0)
    if not len(films):
        raise ContractError("the test films must have labels of the taxonomy, none has one")
    wanted = {(name, severity) for name in CORRUPTIONS for severity in model.recipe.evaluation.severities}
    cells = [cell for cell in EVERY_CELL if cell in wanted.union(PRESETS["clinical"])]
    score = partial(
        ScoredFilms.from_logits,
        labels=films.labels,
        groups=[str(group) for group in films.index.films["group_id"]],
        temperature=calibration.temperature,
        findings=model.findings,
    )
    report = measure_grid(
        score(infer(model.network, films.films, device=choose_device(None)).logits),
        {cell: score(logits) for cell, logits in infer_corrupted(model, films, cells, title="corruptions")},
        presets=PRESETS,
        resamples=model.recipe.evaluation.resamples,
        seed=model.recipe.seed,
        index=index.digest,
        model=model.digest,
    )
    _write(out, report, films, seeds=film_seeds(films, seed=model.recipe.seed))
    return report


def _write(out: Path, report: RobustnessReport, films: FilmArray, *, seeds: Sequence[int]) -> None:
    from cxr.reporting.robustness_figures import draw_corruptions, draw_robustness
    from cxr.reporting.tidy import tidy_robustness

    amounts = {
        (name, severity): (amount, corruption.unit)
        for name, corruption in CORRUPTIONS.items()
        for severity, amount in enumerate(corruption.amounts, start=1)
    }
    with new_folder(out) as folder:
        write_json(folder / ROBUSTNESS_FILE, report)
        tidy_robustness(report, amounts=amounts).to_csv(folder / ROBUSTNESS_TABLE, index=False)
        (folder / "figures").mkdir()
        draw_robustness(report, clinical=PRESETS["clinical"]).savefig(folder / "figures" / "robustness.png")
        draw_corruptions(films.films[0], seed=seeds[0]).savefig(folder / "figures" / "corruptions.png")
