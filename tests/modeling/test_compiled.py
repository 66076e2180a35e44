import shutil
import sysconfig
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cxr.contracts.recipe import ModelRecipe, Preprocessing, Recipe, Schedule
from cxr.errors import TrainingError
from cxr.modeling.compiled import compiled
from cxr.modeling.distributed import launch, processes
from cxr.modeling.fit import TrainingRun, fit
from cxr.modeling.network import ARCHITECTURES, build_network
from support.training import killed_after, same, training_parts

CPU = torch.device("cpu")

can_compile = pytest.mark.skipif(
    shutil.which("g++") is None or not (Path(sysconfig.get_path("include")) / "Python.h").exists(),
    reason="inductor needs a C++ compiler and Python's headers",
)


def tiny(output_stride):
    """An architecture that compiles in seconds."""
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)), 8


@pytest.fixture(autouse=True)
def compiler(monkeypatch, tmp_path):
    """What is compiled goes with the test."""
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    yield
    torch.compiler.reset()


def recipe(compiler):
    return Recipe(
        model=ModelRecipe(architecture="tiny", weights="none", dropout=0.0),
        preprocessing=Preprocessing(size=32),
        schedule=Schedule(epochs=2, batch_size=16, compiler=compiler),
    )


def trained(studies, compiler, **given):
    train, validation = training_parts(studies)
    return fit(recipe=recipe(compiler), train=train, validation=validation, device=CPU, **given)


def test_without_a_compiler_the_network_itself_is_what_runs():
    network = build_network(recipe("none").model, Preprocessing(size=32), 3)
    assert compiled(network, "none", CPU) is network


@can_compile
def test_a_compiled_training_learns_what_an_uncompiled_one_does(noise_studies):
    fused, plain = trained(noise_studies, "inductor"), trained(noise_studies, "none")
    for name, tensor in plain.network.state_dict().items():
        torch.testing.assert_close(fused.network.state_dict()[name], tensor, rtol=1e-3, atol=1e-3)
    assert not torch.equal(fused.network.head.weight, plain.network.head.weight), "it was not compiled"


@can_compile
def test_a_compiled_training_that_was_killed_goes_on(noise_studies, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(noise_studies, "inductor", scratch=tmp_path, on_epoch=killed_after(1))
    resumed, whole = trained(noise_studies, "inductor", scratch=tmp_path), trained(noise_studies, "inductor")
    assert same(resumed, whole)


@can_compile
def test_a_search_does_not_run_out_of_what_torch_compiles():
    """torch keeps a few variants of a module's code, and goes on uncompiled beyond them."""
    films = torch.rand(4, 1, 32, 32)
    for seed in range(torch._dynamo.config.recompile_limit + 2):
        torch.manual_seed(seed)
        network = build_network(recipe("none").model, Preprocessing(size=32), 3).train()
        torch._dynamo.utils.counters.clear()
        compiled(network, "inductor", CPU)(films)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1, seed


def some_steps(compiler):
    ARCHITECTURES["tiny"] = tiny
    with processes("cpu") as (place, device):
        torch.manual_seed(0)
        network = build_network(recipe(compiler).model, Preprocessing(size=32), 3).train()
        run = TrainingRun(recipe(compiler), network, device, place, 64, "random")
        torch.manual_seed(place.rank)
        for _ in range(3):
            run.train_step(torch.rand(8, 1, 32, 32), torch.arange(8) % 3, torch.ones(3))
    return [parameter.detach().numpy() for parameter in network.parameters()]


@can_compile
def test_processes_that_train_together_compile_too(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    plain, fused = (launch(partial(some_steps, name), count=2) for name in ("none", "inductor"))
    for mine, theirs in zip(plain, fused, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_machine_without_a_compiler_is_told_what_to_install(noise_studies, monkeypatch):
    import torch._inductor.config

    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(TrainingError, match=r"inductor failed \(.*\); inductor needs a C\+\+ compiler .*choose none"):
        trained(noise_studies, "inductor")
