from collections import Counter
from pathlib import Path

import pandas as pd
from PIL import Image

from cxr.reporting.pictures import choose_samples, picture, read_pictures

FINDINGS = ("Normal", "Pneumonia", "Tuberculosis")


def draw(path: Path, width: int, height: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (width, height)).save(path)
    return path


def test_samples_are_training_films_of_every_class_and_many_sources(films: pd.DataFrame):
    samples = choose_samples(films, Path("studies"), FINDINGS, most=9)
    training = set(films.loc[films["split"] == "train", "image_id"])
    assert {sample.path.stem for sample in samples} <= training
    assert Counter(sample.label for sample in samples) == dict.fromkeys(FINDINGS, 3)
    assert len({sample.source for sample in samples if sample.label == "Normal"}) == 3


def test_samples_are_always_the_same(films: pd.DataFrame):
    shuffled = films.sample(frac=1, random_state=1)
    assert choose_samples(shuffled, Path("s"), FINDINGS) == choose_samples(films, Path("s"), FINDINGS)


def test_unknown_attributes_of_a_sample_are_left_out(films: pd.DataFrame):
    blank = films.assign(source=None, sex=None, age_group=None, view="PA")
    sample = choose_samples(blank, Path("studies"), FINDINGS)[0]
    assert (sample.source, sample.details) == ("unknown source", "PA")


def test_known_figures_come_first_and_others_keep_a_caption(tmp_path: Path):
    for name in ("aaa_new", "roc", "confusion"):
        draw(tmp_path / "figures" / f"{name}.png", 10, 10)
    found = read_pictures(tmp_path)
    assert [figure.name for figure in found] == ["confusion", "roc", "aaa_new"]
    assert found[2].caption == "Aaa new."


def test_a_folder_without_figures_has_none(tmp_path: Path):
    assert read_pictures(tmp_path) == ()


def test_a_figure_is_wide_when_it_cannot_stand_beside_another(tmp_path: Path):
    assert picture(draw(tmp_path / "a.png", 1500, 1400)).wide
    assert not picture(draw(tmp_path / "b.png", 900, 300)).wide
