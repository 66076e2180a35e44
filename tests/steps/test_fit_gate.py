import shutil
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr.contracts.files import read_json
from cxr.contracts.gate import GateReport
from cxr.contracts.recipe import Preprocessing
from cxr.contracts.studies import StudyIndex
from cxr.domain import TAXONOMY, Split
from cxr.errors import REJECTION_CODES, ContractError, RejectedFilm
from cxr.imaging.gate import read_gate
from cxr.imaging.phantom import draw_phantom
from cxr.imaging.preprocess import network_input, stored_film
from cxr.imaging.read import read_film
from cxr.steps.fit_gate import REFUSED, fit_gate
from support.checkpoints import SMALL, write_random_checkpoint

RECIPE = msgspec.structs.replace(SMALL, preprocessing=Preprocessing(size=64, stored_side=96))


def write_studies(folder: Path, films: list[np.ndarray], splits: list[Split]) -> None:
    """Studies of films whose labels mean nothing."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, (film, part) in enumerate(zip(films, splits, strict=True)):
        image_id = f"{number:064x}"
        Image.fromarray(film).save(folder / "images" / f"{image_id}.png")
        unknown = dict.fromkeys(("patient_id", "study_id", "source", "view", "sex", "age", "age_group"))
        row = {"image_id": image_id, "label": TAXONOMY.findings[number % 3], "group_id": f"g{number}"}
        size = {"width": film.shape[1], "height": film.shape[0]}
        rows.append({**unknown, **row, **size, "split": str(part), "sha256": image_id})
    StudyIndex(pd.DataFrame(rows)).write(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Phantoms, a checkpoint, and the gate fitted on them."""
    folder = tmp_path_factory.mktemp("gate")
    drawn = [draw_phantom(seed=seed, finding=TAXONOMY.findings[seed % 3], side=96).film for seed in range(150)]
    splits = [Split.TRAIN] * 110 + [Split.VALIDATION] * 20 + [Split.TEST] * 20
    write_studies(folder / "studies", drawn, splits)
    write_random_checkpoint(folder / "checkpoint", RECIPE)
    fit_gate(**paths(folder), out=folder / "gate")
    return folder


def paths(folder: Path) -> dict[str, Path]:
    return {"studies": folder / "studies", "split": folder / "studies", "checkpoint": folder / "checkpoint"}


@pytest.fixture(scope="module")
def unseen():
    """Phantoms that took no part."""
    return [draw_phantom(seed=1000 + seed, finding=TAXONOMY.findings[seed % 3], side=96).film for seed in range(30)]


def code_of(gate, film):
    try:
        gate.check(network_input(np.ascontiguousarray(film), RECIPE.preprocessing))
    except RejectedFilm as rejected:
        return rejected.code
    return None


def read_code(gate, file):
    """As a service reads it."""
    try:
        return code_of(gate, stored_film(read_film(file).pixels, RECIPE.preprocessing))
    except RejectedFilm as rejected:
        return rejected.code


def test_films_pass_and_films_on_their_side_or_head_do_not(run, unseen):
    gate, _ = read_gate(run / "gate")
    assert np.mean([code_of(gate, film) is None for film in unseen]) >= 0.85
    for change in (np.rot90, np.flipud, lambda film: np.rot90(film, 2), lambda film: np.rot90(film, 3)):
        codes = [code_of(gate, change(film)) for film in unseen]
        assert np.mean([code is not None for code in codes]) >= 0.95
        assert codes.count("rotated") > 20


def test_halves_and_other_pictures_do_not_pass(run, unseen):
    gate, _ = read_gate(run / "gate")
    halves = [code_of(gate, film[:, : film.shape[1] // 2]) for film in unseen]
    assert halves.count(None) <= 1
    assert halves.count("wrong_view") > 15
    y, x = np.mgrid[0:96, 0:96]
    stripes = (127 + 127 * np.sin(x / 3)).astype(np.uint8)
    disc = np.where((x - 48) ** 2 + (y - 48) ** 2 < 900, 220, 10).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (96, 96)).astype(np.uint8)
    assert {code_of(gate, picture) for picture in (stripes, disc, noise)} <= set(REJECTION_CODES)


def test_the_report_counts_what_the_gate_does_on_test_films(run):
    report = read_json(run / "gate" / "gate.json", GateReport)
    counts = {count.kind: count for count in report.test}
    assert counts["film"].pictures == 20
    assert counts["film"].refused <= 3
    others = [count for kind, count in counts.items() if not kind.startswith("film")]
    assert sum(count.refused for count in others) / sum(count.pictures for count in others) > 0.95
    assert report.limits.refused_share == REFUSED
    assert report.limits.refuse_below < report.limits.refer_below


def test_the_same_films_give_the_same_gate(run, tmp_path):
    fit_gate(**paths(run), out=tmp_path / "gate")
    for file in ("gate.json", "gate.npz"):
        assert (tmp_path / "gate" / file).read_bytes() == (run / "gate" / file).read_bytes()


def test_films_of_every_part_are_needed(run, tmp_path):
    shutil.copytree(run / "studies", tmp_path / "studies")
    index = StudyIndex.read(tmp_path / "studies").films
    StudyIndex(index[index["split"] != "validation"]).write(tmp_path / "studies")
    with pytest.raises(ContractError, match="validation"):
        fit_gate(**paths(run) | {"studies": tmp_path / "studies", "split": tmp_path / "studies"}, out=tmp_path / "gate")
    assert not (tmp_path / "gate").exists()


@pytest.mark.real
def test_a_gate_of_real_films_refuses_every_other_picture(real_data, tmp_path):
    """600 films of every source; the other pictures decided nothing."""
    index = pd.read_csv(real_data / "chest-xray" / "index.csv").sample(n=600, random_state=0)
    preprocessing = RECIPE.preprocessing
    films = [stored_film(read_film(real_data / "chest-xray" / path).pixels, preprocessing) for path in index["path"]]
    write_studies(tmp_path / "studies", films, [Split.TRAIN] * 400 + [Split.VALIDATION] * 100 + [Split.TEST] * 100)
    write_random_checkpoint(tmp_path / "checkpoint", RECIPE)
    report = fit_gate(**paths(tmp_path), out=tmp_path / "gate")
    assert report.test[0].refused <= 3
    gate, _ = read_gate(tmp_path / "gate")
    files = sorted((real_data / "not-chest-xray").glob("*/*")) + sorted((real_data / "dicom").glob("*/*"))
    codes = {file.relative_to(real_data).as_posix(): read_code(gate, file) for file in files}
    assert set(codes.values()) - {None} <= set(REJECTION_CODES)
    passed = [name for name, code in codes.items() if code is None]
    wrongly = [name for name in passed if not name.startswith("dicom/chest_frontal/") and "MONOHR1" not in name]
    assert wrongly == []
    assert len(passed) == 6
