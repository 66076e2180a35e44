import pytest
import torch

from cxr.contracts.recipe import Augmentation
from cxr.imaging.augment import augment

NOTHING = Augmentation(
    rotation=0, translation=0, scale=0, brightness=0, contrast=0, gamma=0, noise=0, blur=0, flip=0, erase=0
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def films(n=6, side=32):
    return torch.randint(0, 256, (n, 1, side, side), dtype=torch.uint8, generator=generator(9))


def test_no_amplitude_changes_nothing():
    torch.testing.assert_close(augment(films(), NOTHING, generator()), films().float() / 255, rtol=0, atol=1e-5)


def test_the_same_state_gives_the_same_films():
    recipe = Augmentation(flip=0.5, erase=0.5)
    assert torch.equal(augment(films(), recipe, generator(3)), augment(films(), recipe, generator(3)))
    assert not torch.equal(augment(films(), recipe, generator(3)), augment(films(), recipe, generator(4)))


def test_every_amplitude_stays_in_range():
    strong = Augmentation(
        rotation=45,
        translation=0.3,
        scale=0.4,
        brightness=0.9,
        contrast=0.9,
        gamma=0.9,
        noise=0.5,
        blur=3,
        flip=1,
        erase=1,
    )
    out = augment(films(), strong, generator())
    assert out.dtype == torch.float32
    assert out.shape == (6, 1, 32, 32)
    assert 0 <= out.min() <= out.max() <= 1


def replaced(**changes):
    return Augmentation(**{name: changes.get(name, getattr(NOTHING, name)) for name in NOTHING.__struct_fields__})


def test_a_sure_flip_is_a_mirror():
    out = augment(films(), replaced(flip=1.0), generator())
    torch.testing.assert_close(out, films().flip(3).float() / 255, rtol=0, atol=1e-5)


def test_each_film_is_changed_in_its_own_way():
    same = films(1).expand(8, 1, 32, 32)
    out = augment(same, replaced(brightness=0.3), generator())
    assert out.mean(dim=(1, 2, 3)).unique().numel() == 8


@pytest.mark.parametrize(
    "field", ["rotation", "translation", "scale", "brightness", "contrast", "gamma", "noise", "blur", "erase"]
)
def test_every_field_does_something(field):
    amplitude = 20.0 if field == "rotation" else 0.5 if field != "blur" else 5.0
    out = augment(films(), replaced(**{field: amplitude}), generator())
    assert (out - films().float() / 255).abs().max() > 0.02


def test_blur_keeps_the_mean_and_lowers_the_variance():
    out = augment(films(), replaced(blur=10.0), generator())
    clean = films().float() / 255
    torch.testing.assert_close(out.mean(), clean.mean(), rtol=0.02, atol=0)
    assert out.var() < 0.9 * clean.var()
