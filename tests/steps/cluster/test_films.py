import shutil

import pytest

from cxr.contracts.recipe import ModelRecipe, Preprocessing, Recipe, Schedule
from cxr.contracts.studies import StudyIndex
from cxr.domain import Split
from cxr.errors import ClusterError, ContractError
from cxr.steps.cluster.films import folder_on_claim, share_films
from cxr.steps.train import train
from support.studies import write_noise_studies


def share(studies, claim, weights=None, split=None):
    return share_films(studies=studies, split=split or studies, weights=weights, scratch=claim / "runs", claim=claim)


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


def test_what_a_training_reads_is_shared_and_no_test_film(noise_studies, claim):
    films = share(noise_studies, claim)
    index = StudyIndex.read(claim / films.split)
    assert index.digest == StudyIndex.read(noise_studies).digest
    shared = {path.stem for path in (claim / films.studies / "images").iterdir()}
    assert shared == {name for part in (Split.TRAIN, Split.VALIDATION) for name in index.part(part).films["image_id"]}
    assert not shared & set(index.part(Split.TEST).films["image_id"])
    assert films.weights == ""


def test_sharing_again_copies_nothing_and_a_film_that_is_missing_is_copied(noise_studies, claim):
    films = share(noise_studies, claim)
    before = files(claim)
    assert share(noise_studies, claim) == films
    assert files(claim) == before
    lost = next((claim / films.studies / "images").iterdir())
    lost.unlink()
    share(noise_studies, claim)
    assert set(files(claim)) == set(before)


def test_another_split_shares_the_films_that_are_there(noise_studies, claim, tmp_path):
    films = share(noise_studies, claim)
    before = set(files(claim))
    index = StudyIndex.read(noise_studies)
    StudyIndex(index.films[index.films["split"] != Split.TEST].iloc[1:]).write(tmp_path / "other")
    other = share(noise_studies, claim, split=tmp_path / "other")
    assert other.studies == films.studies
    assert other.split != films.split
    assert set(files(claim)) - before == {f"{other.split}/index.parquet"}


def test_initial_weights_are_shared_by_their_content(noise_studies, claim, tmp_path):
    weights = tmp_path / "mine.pth"
    weights.write_bytes(b"one")
    first = share(noise_studies, claim, weights)
    assert (claim / first.weights).read_bytes() == b"one"
    assert first.weights.endswith(".pth")
    weights.write_bytes(b"two")
    assert share(noise_studies, claim, weights).weights != first.weights
    assert (claim / first.weights).read_bytes() == b"one"


def test_a_film_that_is_not_there_leaves_no_index_that_promises_it(claim, tmp_path):
    studies = tmp_path / "studies"
    write_noise_studies(studies, films=72)
    (studies / "images" / f"{0:064d}.png").unlink()
    with pytest.raises(ContractError, match=r"0000\.png must be a readable PNG, is missing; run `cxr ingest` again"):
        share(studies, claim)
    assert not list(claim.rglob("index.parquet"))


def test_a_folder_that_is_not_on_the_claim_is_refused(noise_studies, claim, tmp_path):
    with pytest.raises(ClusterError, match=r"scratch must be .*claim, where the claim is mounted.*elsewhere"):
        share_films(
            studies=noise_studies, split=noise_studies, weights=None, scratch=tmp_path / "elsewhere", claim=claim
        )
    assert folder_on_claim(claim, claim) == ""
    (tmp_path / "link").symlink_to(claim)
    assert folder_on_claim(tmp_path / "link" / "a" / "b", claim) == "a/b"
    assert not list(claim.iterdir())


def test_a_claim_without_room_says_so(noise_studies, claim):
    (claim / "runs").write_text("in the way")
    with pytest.raises(ClusterError, match="must fit on the claim"):
        share(noise_studies, claim)
    shutil.rmtree(claim)


def test_what_is_shared_is_enough_to_train(noise_studies, claim, tmp_path):

    films = share(noise_studies, claim)
    history = train(
        studies=claim / films.studies,
        split=claim / films.split,
        recipe=Recipe(
            model=ModelRecipe(architecture="resnet18", weights="none"),
            preprocessing=Preprocessing(size=32),
            schedule=Schedule(epochs=1, batch_size=16),
        ),
        out=tmp_path / "checkpoint",
        scratch=tmp_path / "scratch",
        device="cpu",
    )
    assert history.index == StudyIndex.read(noise_studies).digest
