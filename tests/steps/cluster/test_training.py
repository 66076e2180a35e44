"""The step with an HTTP API in Trainer's place: what it creates, what it takes, and how it goes on after a kill."""

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cxr.adapters.train_job import SCRATCH
from cxr.contracts.recipe import ModelRecipe, Preprocessing, Recipe, Schedule
from cxr.errors import ClusterError, TrainingError
from cxr.modeling.checkpoint import read_checkpoint
from cxr.steps.cluster import training as step
from cxr.steps.train import train
from support.checkpoints import SMALL, write_random_checkpoint
from support.kube_api import CREATED
from support.ports import free_port

COMPLETE = {"type": "Complete", "status": "True", "reason": "Done", "message": "", "lastTransitionTime": CREATED}
FAILED = {**COMPLETE, "type": "Failed", "message": "job failed"}


@pytest.fixture
def run(stand_in, settings, claim, noise_studies, tmp_path):
    def start(recipe=SMALL, name="checkpoint", cluster=None, **given):
        return train(
            studies=noise_studies,
            split=noise_studies,
            recipe=recipe,
            out=tmp_path / name,
            scratch=claim / "runs",
            mode="trainjob",
            cluster=cluster or settings(),
            **given,
        )

    return start


def arguments(job):
    words = job["spec"]["trainer"]["args"]
    return {name: words[words.index(name) + 1] for name in ("--studies", "--split", "--out", "--scratch", "--recipe")}


def place(claim, path):
    """A path of a node, as it is here."""
    assert path.startswith(f"{SCRATCH}/")
    return claim / path.removeprefix(f"{SCRATCH}/")


@pytest.fixture
def nodes(stand_in, claim):
    """Write a checkpoint, as the nodes of a TrainJob do, as soon as there is one."""

    def work():
        stand_in.until(lambda: stand_in.trainjobs, 60)
        (name,) = stand_in.trainjobs
        write_random_checkpoint(place(claim, arguments(stand_in.trainjobs[name])["--out"]))
        stand_in.became(name, conditions=[COMPLETE])

    with ThreadPoolExecutor(1) as pool:
        yield lambda: pool.submit(work)


def posts(stand_in):
    return [body for method, _, _, body in stand_in.requests if method == "POST"]


def test_the_checkpoint_is_taken_and_nothing_is_left_but_the_films(run, nodes, stand_in, claim, tmp_path):
    nodes()
    history = run()
    checkpoint = read_checkpoint(tmp_path / "checkpoint")
    assert (checkpoint.recipe, checkpoint.history) == (SMALL, history)
    assert not stand_in.trainjobs
    assert [path.name for path in (claim / "runs").iterdir()] == ["shared"]
    (created,) = posts(stand_in)
    given = arguments(created)
    assert (place(claim, given["--studies"]) / "images").is_dir()
    assert (place(claim, given["--split"]) / "index.parquet").is_file()


def test_a_step_that_lost_the_cluster_goes_on_with_the_same_training(run, nodes, stand_in, tmp_path):
    stand_in.fail(status=403, method="WATCH")
    with pytest.raises(ClusterError, match="403"):
        run()
    assert len(stand_in.trainjobs) == 1
    assert not (tmp_path / "checkpoint").exists()
    nodes()
    run()
    assert len({body["metadata"]["name"] for body in posts(stand_in)}) == 1
    assert not stand_in.trainjobs


def test_a_checkpoint_that_is_there_is_taken_without_training_again(run, nodes, stand_in, settings, tmp_path):
    kept = settings(training={"keep": True})
    nodes()
    first = run(cluster=kept)
    assert len(stand_in.trainjobs) == 1
    assert run(cluster=kept, name="again") == first
    assert len(posts(stand_in)) == 1
    run(name="last")
    assert not stand_in.trainjobs, "no longer kept"


def test_killed_while_the_state_is_removed_nothing_is_left_that_passes_for_a_checkpoint(
    run, nodes, stand_in, claim, monkeypatch
):
    nodes()
    with monkeypatch.context() as patch:
        patch.setattr("cxr.contracts.files.shutil.rmtree", interrupted_removal)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert list((claim / "runs").glob("*.removed"))
    assert [path.name for path in (claim / "runs").iterdir() if not path.suffix] == ["shared"]
    nodes()
    run(name="again")
    assert [path.name for path in (claim / "runs").iterdir()] == ["shared"]


def interrupted_removal(folder, **_):
    if folder.name.endswith(".removed") and folder.exists():
        raise KeyboardInterrupt


def test_a_failed_training_ends_with_the_reason_and_keeps_its_state(run, stand_in, claim, tmp_path):
    state = claim / "runs" / "train-0"
    state.mkdir(parents=True)

    def fail():
        stand_in.until(lambda: stand_in.trainjobs, 60)
        (name,) = stand_in.trainjobs
        stand_in.add_pod(name, {"node": "Error: it diverged\n"}, label="jobset.sigs.k8s.io/jobset-name")
        stand_in.became(name, conditions=[FAILED])

    failing = threading.Thread(target=fail)
    failing.start()
    with pytest.raises(TrainingError, match=r"(?s)failed: job failed.*\nError: it diverged$"):
        run()
    failing.join()
    assert not stand_in.trainjobs
    assert state.is_dir(), "the next one goes on after the last epoch"
    assert not (tmp_path / "checkpoint").exists()


def test_a_claim_that_is_not_the_nodes_own_is_noticed(run, stand_in, monkeypatch):
    monkeypatch.setattr(step, "_SETTLING_SECONDS", 0.1)

    def complete():
        stand_in.until(lambda: stand_in.trainjobs, 60)
        stand_in.became(*stand_in.trainjobs, conditions=[COMPLETE])

    ending = threading.Thread(target=complete)
    ending.start()
    with pytest.raises(ClusterError, match="the claim that its nodes mount must be the one that is mounted here"):
        run()
    ending.join()


def test_a_folder_that_is_not_on_the_claim_is_refused_before_anything_is_made(run, stand_in, settings, tmp_path):
    with pytest.raises(ClusterError, match="scratch must be /elsewhere"):
        run(cluster=settings(mount="/elsewhere"))
    assert stand_in.requests == []


def test_a_mode_that_there_is_none_of_is_refused(noise_studies, tmp_path):
    places = {"studies": noise_studies, "split": noise_studies, "out": tmp_path / "c", "scratch": tmp_path / "s"}
    with pytest.raises(TrainingError, match="must be one of pod, trainjob, is 'mpi'"):
        train(recipe=SMALL, mode="mpi", **places)


def test_without_a_cluster_at_hand_it_says_what_to_set(run, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(ClusterError, match=r"a cluster must be at hand.*set KUBECONFIG"):
        run()


@pytest.mark.slow
def test_two_nodes_really_train_together(run, stand_in, settings, claim, tmp_path):
    """The TrainJob's own command, on two nodes of this machine, told who they are as Trainer's torch plugin does."""
    recipe = Recipe(
        model=ModelRecipe(architecture="resnet18", weights="none"),
        preprocessing=Preprocessing(size=32),
        schedule=Schedule(epochs=2, batch_size=16),
    )
    port = free_port()

    def node(trainer: dict, rank: int) -> int:
        told = {
            "PET_NNODES": str(trainer["numNodes"]),
            "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
            "PET_NODE_RANK": str(rank),
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": str(port),
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1",
        }
        words = [word.replace("$$", "$").replace(f"{SCRATCH}/", f"{claim}/") for word in trainer["args"]]
        torchrun = shutil.which("torchrun", path=str(Path(sys.executable).parent))
        return subprocess.run([torchrun, *words], env={**os.environ, **told}, check=False).returncode

    def work():
        stand_in.until(lambda: stand_in.trainjobs, 60)
        (name,) = stand_in.trainjobs
        trainer = stand_in.trainjobs[name]["spec"]["trainer"]
        with ThreadPoolExecutor(2) as pool:
            ended = list(pool.map(node, (trainer, trainer), (0, 1)))
        stand_in.became(name, conditions=[COMPLETE if ended == [0, 0] else FAILED])

    trainer = threading.Thread(target=work)
    trainer.start()
    history = run(recipe, cluster=settings(training={"nodes": 2, "gpus": 0}))
    trainer.join()
    assert [epoch.epoch for epoch in history.epochs] == [1, 2]
    assert read_checkpoint(tmp_path / "checkpoint").recipe == recipe
