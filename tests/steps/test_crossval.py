import csv
import math
import shutil

import msgspec
import numpy as np
import pytest
import torch

from cxr.contracts.arrays import read_arrays, write_arrays
from cxr.contracts.crossval import CROSSVAL_FILE, CROSSVAL_TABLE, Crossval
from cxr.contracts.files import read_json, write_json
from cxr.contracts.recipe import EvaluationRecipe, ModelRecipe, Preprocessing, Recipe, Sampling, Schedule, SplitRecipe
from cxr.contracts.split import FOLDS_FILE, Folds
from cxr.contracts.studies import StudyIndex
from cxr.errors import SplitError, TrainingError
from cxr.modeling.dataset import load_films
from cxr.steps import withholding as step
from cxr.steps.crossval import crossval
from cxr.steps.split import split
from support.studies import write_separate_sources

RECIPE = Recipe(
    model=ModelRecipe(architecture="resnet18", weights="none"),
    preprocessing=Preprocessing(size=32),
    schedule=Schedule(epochs=2, batch_size=16, ema_decay=0.9),
    split=SplitRecipe(train=0.6, validation=0.2),
    evaluation=EvaluationRecipe(resamples=100),
)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Noise whose sources share no patient."""
    folder = tmp_path_factory.mktemp("crossval") / "studies"
    write_separate_sources(folder, films=72)
    return folder


@pytest.fixture(scope="module")
def parts(studies, tmp_path_factory):
    out = tmp_path_factory.mktemp("crossval") / "split"
    split(studies=studies, out=out, recipe=RECIPE)
    return out


def run(studies, parts, folder, recipe=RECIPE, **given):
    return crossval(
        studies=studies, split=parts, recipe=recipe, out=folder / "out", scratch=folder / "s", device="cpu", **given
    )


@pytest.fixture(scope="module")
def done(studies, parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("done")
    return run(studies, parts, folder), folder


def test_every_source_is_withheld_once_and_every_film_tested_once(done, studies):
    report, _ = done
    assert [fold.withheld for fold in report.folds] == [("a",), ("b",)]
    assert sum(fold.test_films for fold in report.folds) == len(StudyIndex.read(studies))
    assert [source.source for source in report.sources] == ["a", "b"]
    assert all(source.borrowed == () for source in report.sources)
    assert report.worst_source_auroc.value == min(source.macro_auroc.value for source in report.sources)


def test_the_files_say_what_was_returned(done):
    report, folder = done
    assert read_json(folder / "out" / CROSSVAL_FILE, Crossval) == report
    with (folder / "out" / CROSSVAL_TABLE).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    worst = next(row for row in rows if row["what"] == "worst source")
    assert math.isclose(float(worst["value"]), report.worst_source_auroc.value)


def test_a_killed_run_goes_on_with_the_folds_that_are_left(done, studies, parts, tmp_path, monkeypatch):
    trained = []
    fit = step.fit

    def killed_at_the_second(**given):
        if trained:
            raise KeyboardInterrupt
        trained.append(given)
        return fit(**given)

    monkeypatch.setattr(step, "fit", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(studies, parts, tmp_path)
    assert not (tmp_path / "out").exists()

    def counted(**given):
        trained.append(given)
        return fit(**given)

    monkeypatch.setattr(step, "fit", counted)
    report = run(studies, parts, tmp_path)
    assert len(trained) == 2
    assert report.sources == done[0].sources
    assert report.accuracy == done[0].accuracy


def test_a_fold_whose_file_is_spoilt_is_trained_again(done, studies, parts, tmp_path):
    shutil.copytree(done[1] / "s", tmp_path / "s")
    (spoilt, *_) = sorted((tmp_path / "s").glob("crossval-*/*.npz"))
    spoilt.write_bytes(b"")
    assert run(studies, parts, tmp_path).sources == done[0].sources


def test_folds_that_started_from_different_weights_are_not_one_report(done, studies, parts, tmp_path):
    shutil.copytree(done[1] / "s", tmp_path / "s")
    (other, *_) = sorted((tmp_path / "s").glob("crossval-*/*.npz"))
    write_arrays(other, read_arrays(other, step="") | {"origin": np.array("imagenet")})
    with pytest.raises(TrainingError, match=r"some from imagenet and some from random; remove .*crossval-"):
        run(studies, parts, tmp_path)


def test_a_fold_of_which_no_film_was_drawn_says_so(studies, parts):
    index, (fold, *_) = step.read_folds(parts, RECIPE.split)
    films = step.labelled(index).films
    known = StudyIndex(films[~films["source"].isin(fold.withheld)])
    bench = step.Bench(
        recipe=RECIPE,
        index=index,
        films=load_films(studies, known, RECIPE.preprocessing),
        device=torch.device("cpu"),
        state=None,
        weights=None,
    )
    with pytest.raises(TrainingError, match=r"no film of . was drawn to test on; raise search\.films"):
        step.tested(bench, fold)


def test_a_network_never_sees_the_source_that_it_is_tested_on(studies, parts, tmp_path, monkeypatch):
    seen = []
    fit = step.fit

    def watched(**given):
        seen.append({part: set(given[part].index.films["source"]) for part in ("train", "validation")})
        return fit(**given)

    monkeypatch.setattr(step, "fit", watched)
    report = run(studies, parts, tmp_path)
    for fold, sources in zip(report.folds, seen, strict=True):
        assert not set(fold.withheld) & (sources["train"] | sources["validation"])


def test_a_fold_is_calibrated_with_films_that_a_head_does_not_know(studies, tmp_path, monkeypatch):
    films = StudyIndex.read(studies).films
    three = StudyIndex(films.assign(source=["abc"[number // 3 % 3] for number in range(len(films))]))
    three.write(tmp_path / "studies")
    (tmp_path / "studies" / "images").symlink_to(studies / "images")
    again = msgspec.structs.replace(RECIPE, schedule=msgspec.structs.replace(RECIPE.schedule, refit_head=True))
    split(studies=tmp_path / "studies", out=tmp_path / "split", recipe=again)
    plain = run(tmp_path / "studies", tmp_path / "split", tmp_path, again)
    shared = msgspec.structs.replace(again, evaluation=EvaluationRecipe(resamples=100, unseen_share=1.0))
    given = []
    fit = step.fit_calibration

    def watched(logits, labels, *groups, unseen, **how):
        given.append((labels, unseen))
        return fit(logits, labels, *groups, unseen=unseen, **how)

    monkeypatch.setattr(step, "fit_calibration", watched)
    monkeypatch.setattr(step, "fit", lambda **_: pytest.fail("a finished fold is trained again"))
    shutil.rmtree(tmp_path / "out")
    found = run(tmp_path / "studies", tmp_path / "split", tmp_path, shared)
    assert len(given) == 3
    for known, unseen in given:
        assert len(known) > 0
        np.testing.assert_array_equal(np.bincount(unseen.labels), np.bincount(known))
        assert (unseen.logits.argmax(axis=1) == unseen.labels).mean() > 0.8
    assert found.trust.ece != plain.trust.ece


def test_folds_of_another_index_are_refused(studies, parts, tmp_path):
    StudyIndex.read(parts).write(tmp_path)
    folds = read_json(parts / FOLDS_FILE, Folds)
    write_json(tmp_path / FOLDS_FILE, Folds(seed=folds.seed, index="0" * 64, folds=folds.folds))
    with pytest.raises(SplitError, match="run `cxr split` again"):
        run(studies, tmp_path, tmp_path)


def test_one_source_alone_cannot_be_withheld(studies, parts, tmp_path):
    index = StudyIndex.read(parts)
    StudyIndex(index.films.assign(source="a")).write(tmp_path)
    digest = StudyIndex.read(tmp_path).digest
    write_json(tmp_path / FOLDS_FILE, Folds(seed=1, index=digest, folds=()))
    with pytest.raises(SplitError, match="at least two sources"):
        run(studies, tmp_path, tmp_path)


def test_missing_weights_are_refused_before_anything_is_trained(studies, parts, tmp_path):
    with pytest.raises(TrainingError, match="--weights must be a file"):
        run(studies, parts, tmp_path, weights=tmp_path / "none.pth")
    assert not (tmp_path / "s").exists()


def test_logits_that_were_kept_are_those_of_the_withheld_films(done):
    report, folder = done
    kept = sorted((folder / "s").glob("crossval-*/*.npz"))
    assert len(kept) == 2
    assert not [path for path in kept[0].parent.iterdir() if path.is_dir()]
    assert sorted(len(np.load(path)["logits"]) for path in kept) == sorted(fold.test_films for fold in report.folds)


def test_promises_of_known_sources_are_measured_on_the_withheld_films(done):
    report, folder = done
    for path in (folder / "s").glob("crossval-*/*.npz"):
        assert len(np.load(path)["validation"]) > 0
    for fold in report.folds:
        assert fold.trust.prediction_sets.error == RECIPE.evaluation.conformal_error
        assert all(found.chance is None for found in fold.trust.prediction_sets.per_class.values())
    films = [fold.test_films for fold in report.folds]
    shares = [fold.trust.refer_rate.value for fold in report.folds]
    assert report.trust.refer_rate.value == pytest.approx(np.average(shares, weights=films))
    assert 0 <= report.trust.prediction_sets.mean_size.value <= 3


def relabelled(studies, folder, sources):
    """The films with sources by label, split."""
    films = StudyIndex.read(studies).films
    StudyIndex(films.assign(source=sources(films))).write(folder / "studies")
    (folder / "studies" / "images").symlink_to(studies / "images")
    split(studies=folder / "studies", out=folder / "split", recipe=RECIPE)
    return folder / "studies", folder / "split"


def test_a_source_may_be_called_like_a_path(studies, tmp_path):
    beside = tmp_path / "site"
    beside.mkdir()
    (beside / "kept.txt").write_text("of someone else")
    names = {"a": str(beside), "b": "../s/" + "very long " * 40}
    report = run(*relabelled(studies, tmp_path, lambda films: films["source"].map(names)), tmp_path)
    assert {source.source for source in report.sources} == set(names.values())
    assert [path.name for path in beside.iterdir()] == ["kept.txt"]
    assert {path.name for path in tmp_path.iterdir()} == {"site", "studies", "split", "s", "out"}


def test_a_fold_that_leaves_too_little_to_learn_is_told_and_not_trained(studies, tmp_path):
    given = relabelled(
        studies,
        tmp_path,
        lambda films: films["source"].where(films["label"] != "Tuberculosis", "c"),
    )
    report = run(*given, tmp_path)
    assert [fold.withheld for fold in report.folds] == [("a",), ("b",)]
    (untrained,) = report.untrained
    assert untrained.withheld == ("c",)
    assert untrained.reason == "the train films have no Tuberculosis"
    with (tmp_path / "out" / CROSSVAL_TABLE).open(newline="") as stream:
        last = list(csv.DictReader(stream))[-1]
    assert (last["what"], last["value"], last["reason"]) == ("films of c alone", "", untrained.reason)


def test_sources_none_of_which_can_be_spared_are_refused_before_anything_is_trained(studies, tmp_path):
    given = relabelled(studies, tmp_path, lambda films: films["label"].str.lower())
    with pytest.raises(SplitError, match=r"every finding must still occur .* films have no .*; add a source"):
        run(*given, tmp_path)
    assert not (tmp_path / "s").exists()


def test_folds_of_other_linked_sources_are_refused(studies, parts, tmp_path):
    linked = msgspec.structs.replace(RECIPE, split=SplitRecipe(train=0.6, validation=0.2, linked_sources=(("a", "b"),)))
    with pytest.raises(SplitError, match="run `cxr split` again with this recipe"):
        run(studies, parts, tmp_path, linked)


@pytest.mark.parametrize(("other", "learnt"), [("phantom_b", 0), ("b", 12)])
def test_a_fold_learns_as_many_phantoms_as_the_model_that_it_speaks_for(studies, tmp_path, monkeypatch, other, learnt):
    seen = []
    fit = step.fit

    def watched(**given):
        seen.append(given["recipe"].sampling.phantoms)
        return fit(**given)

    monkeypatch.setattr(step, "fit", watched)
    parts = relabelled(studies, tmp_path, lambda films: films["source"].map({"a": "a", "b": other}))
    run(*parts, tmp_path, recipe=msgspec.structs.replace(RECIPE, sampling=Sampling(phantoms=12)))
    assert seen == [learnt, learnt]
