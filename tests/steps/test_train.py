import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from cxr.contracts.files import write_json
from cxr.contracts.recipe import ModelRecipe, Preprocessing, Recipe, Schedule
from cxr.errors import ContractError
from cxr.modeling.checkpoint import read_checkpoint
from cxr.modeling.dataset import load_films
from cxr.modeling.inference import infer
from cxr.steps.train import train
from support.studies import write_noise_studies

PROGRAM = """
import sys
from pathlib import Path
import torch
from cxr.contracts.files import read_json
from cxr.contracts.recipe import Recipe
from cxr.steps.train import train
torch.set_num_threads(1)
studies, recipe, out, scratch = map(Path, sys.argv[1:])
train(studies=studies, split=studies, recipe=read_json(recipe, Recipe), out=out, scratch=scratch, device="cpu")
"""


def small_recipe(epochs=3, **schedule):
    return Recipe(
        model=ModelRecipe(architecture="resnet18", weights="none"),
        preprocessing=Preprocessing(size=32),
        schedule=Schedule(epochs=epochs, batch_size=16, ema_decay=0.9, **schedule),
    )


def arguments(folder: Path, studies: Path, recipe: Recipe) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "recipe.json", recipe)
    return [str(studies), str(folder / "recipe.json"), str(folder / "checkpoint"), str(folder / "scratch")]


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "checkpoint" / "weights.safetensors")


def test_a_checkpoint_is_written_and_read_back(noise_studies, tmp_path):
    recipe = small_recipe(epochs=1)
    out = tmp_path / "checkpoint"
    history = train(
        studies=noise_studies, split=noise_studies, recipe=recipe, out=out, scratch=tmp_path / "s", device="cpu"
    )
    checkpoint = read_checkpoint(out)
    assert checkpoint.recipe == recipe
    assert checkpoint.history == history
    assert checkpoint.findings == ("Normal", "Pneumonia", "Tuberculosis")
    assert not list((tmp_path / "s").glob("train-*")), "the state of a finished training is removed"


def test_without_a_split_it_says_what_to_run(tmp_path):
    with pytest.raises(ContractError, match="run `cxr ingest`"):
        train(
            studies=tmp_path, split=tmp_path, recipe=Recipe(), out=tmp_path / "c", scratch=tmp_path / "s", device="cpu"
        )


def test_changed_weights_are_noticed(noise_studies, tmp_path):
    out = tmp_path / "checkpoint"
    train(
        studies=noise_studies,
        split=noise_studies,
        recipe=small_recipe(1),
        out=out,
        scratch=tmp_path / "s",
        device="cpu",
    )
    recipe = json.loads((out / "recipe.json").read_text())
    recipe["model"]["architecture"] = "resnet34"
    (out / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(ContractError, match="must hold the weights of"):
        read_checkpoint(out)


def start(folder: Path, studies: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments(folder, studies, small_recipe())])


def kill_once_there_is(pattern: str, folder: Path, process: subprocess.Popen[bytes], delay: float) -> None:
    """SIGKILL a moment after a file that matches appears, or has been written again."""
    before = {path: path.stat().st_mtime_ns for path in folder.glob(pattern)}
    while process.poll() is None:
        if any(before.get(path) != path.stat().st_mtime_ns for path in folder.glob(pattern)):
            time.sleep(delay)
            break
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run must still be going when it is killed"


def test_sigkill_at_random_points_ends_as_an_uninterrupted_run(noise_studies, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted = start(whole, noise_studies)
    rng = random.Random(42)
    for pattern in ("scratch/*", "scratch/train-*/training.pt", "scratch/train-*/training.pt"):
        kill_once_there_is(pattern, killed, start(killed, noise_studies), rng.uniform(0.0, 0.15))
    assert not (killed / "checkpoint").exists()
    assert start(killed, noise_studies).wait() == 0
    assert uninterrupted.wait() == 0
    expected, found = weights(whole), weights(killed)
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_two_processes_train_to_the_same_metrics_within_noise(tmp_path):
    studies = tmp_path / "studies"
    index = write_noise_studies(studies, films=120)
    recipe = small_recipe(epochs=5, refit_head=True)
    alone, together = tmp_path / "alone", tmp_path / "together"
    subprocess.run([sys.executable, "-c", PROGRAM, *arguments(alone, studies, recipe)], check=True)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(program)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    subprocess.run([*torchrun, *arguments(together, studies, recipe)], check=True, env=environment)
    films = load_films(studies, index, recipe.preprocessing)
    accuracy = {}
    for name in (alone, together):
        checkpoint = read_checkpoint(name / "checkpoint")
        assert checkpoint.history.refit_seconds > 0
        outputs = infer(checkpoint.network, films.films)
        accuracy[name] = (outputs.logits.argmax(1) == films.labels).mean()
    assert accuracy[together] == pytest.approx(accuracy[alone], abs=0.1)
    assert accuracy[together] > 0.85
