import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from cxr.imaging.corrupt import CORRUPTIONS, PRESETS, SEVERITIES, corrupt

SIDE = 72


def films(n=6, side=SIDE, seed=0):
    """Smooth chest-like films: bright middle, dark lungs, fine texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    made = []
    for _ in range(n):
        lungs = sum(np.exp(-(((x - c) / 0.12) ** 2) - (y / rng.uniform(0.2, 0.3)) ** 2) for c in (-0.22, 0.22))
        texture = ndimage.gaussian_filter(rng.normal(size=(side, side)), 1) * 0.15
        made.append(np.clip(0.75 - 0.6 * lungs - 0.8 * x**2 + texture, 0, 1))
    return torch.from_numpy((np.stack(made)[:, None] * 255).astype(np.uint8))


CLEAN = films().float() / 255
SEEDS = range(6)


def distance(name, severity, seeds=SEEDS):
    return (corrupt(films(), name, severity, seeds=seeds) - CLEAN).abs().mean(dim=(1, 2, 3))


@pytest.mark.parametrize("name", CORRUPTIONS)
class TestEveryCorruption:
    def test_gives_films_of_the_same_shape_in_range(self, name):
        for severity in SEVERITIES:
            out = corrupt(films(), name, severity, seeds=SEEDS)
            assert out.dtype == torch.float32
            assert out.shape == CLEAN.shape
            assert 0 <= out.min() <= out.max() <= 1
            assert torch.isfinite(out).all()

    def test_goes_farther_from_the_clean_film_with_every_severity(self, name):
        distances = torch.stack([distance(name, severity) for severity in SEVERITIES])
        assert (distances[0] > 1e-4).all()
        assert (distances[1:] > distances[:-1]).all(), distances

    def test_draws_by_film_and_not_by_batch(self, name):
        whole = corrupt(films(), name, 3, seeds=[7, 8, 9, 10, 11, 12])
        parts = [corrupt(films()[i : i + 1], name, 3, seeds=[7 + i]) for i in range(6)]
        torch.testing.assert_close(whole, torch.cat(parts), rtol=0, atol=1e-5)
        turned = corrupt(films().flip(0), name, 3, seeds=[12, 11, 10, 9, 8, 7])
        torch.testing.assert_close(whole, turned.flip(0), rtol=0, atol=1e-5)

    def test_leaves_its_input_alone(self, name):
        grey = CLEAN.clone()
        corrupt(grey, name, 4, seeds=SEEDS)
        assert torch.equal(grey, CLEAN)

    def test_takes_whole_numbers_and_fractions_alike(self, name):
        assert torch.equal(corrupt(films(), name, 2, seeds=SEEDS), corrupt(CLEAN, name, 2, seeds=SEEDS))

    def test_names_its_unit_and_grows_one_way(self, name):
        amounts = np.diff(CORRUPTIONS[name].amounts)
        assert (amounts > 0).all() or (amounts < 0).all()
        assert CORRUPTIONS[name].unit


BY_PIXEL = {"gaussian_noise", "quantum_noise", "jpeg", "resolution"}


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - BY_PIXEL))
def test_shares_of_the_side_mean_the_same_at_another_size(name):
    """A film of twice the side, corrupted and then halved, looks like the small one corrupted."""
    large = torch.nn.functional.interpolate(CLEAN, scale_factor=2, mode="bilinear")
    halved = torch.nn.functional.avg_pool2d(corrupt(large, name, 4, seeds=SEEDS), 2)
    small = corrupt(CLEAN, name, 4, seeds=SEEDS)
    assert (halved - small).abs().mean() < 0.35 * distance(name, 4).mean() + 0.004


@pytest.mark.parametrize("name", ["gamma", "motion", "rotation", "translation", "lead_marker", "redaction_box"])
def test_other_films_meet_it_in_another_way(name):
    same = films(1).expand(20, 1, SIDE, SIDE)
    assert len(corrupt(same, name, 4, seeds=range(20)).sum(dim=(1, 2, 3)).unique()) > 1


@pytest.mark.parametrize("quality", CORRUPTIONS["jpeg"].amounts)
@pytest.mark.parametrize("side", [72, 75])
def test_jpeg_is_what_libjpeg_makes(quality, side):
    severity = CORRUPTIONS["jpeg"].amounts.index(quality) + 1
    film = films(1, side=side)
    ours = (corrupt(film, "jpeg", severity, seeds=[0])[0, 0] * 255).numpy()
    file = io.BytesIO()
    Image.fromarray(film[0, 0].numpy()).save(file, "JPEG", quality=int(quality))
    theirs = np.asarray(Image.open(file)).astype(float)
    assert np.abs(ours - theirs).mean() < 0.4
    assert np.abs(ours - film[0, 0].numpy()).mean() > 2.5 * np.abs(ours - theirs).mean()


def test_blur_is_scipys_gaussian():
    sigma = CORRUPTIONS["blur"].amounts[4] * SIDE
    expected = ndimage.gaussian_filter(CLEAN[0, 0].numpy(), sigma, mode="nearest", truncate=3)
    found = corrupt(films(), "blur", 5, seeds=SEEDS)[0, 0].numpy()
    assert np.abs(found - expected).max() < 0.005


def test_motion_smears_a_point_into_a_line_of_the_right_length():
    point = torch.zeros((8, 1, 101, 101))
    point[:, :, 50, 50] = 1
    out = corrupt(point, "motion", 5, seeds=range(8))[:, 0]
    torch.testing.assert_close(out.sum(dim=(1, 2)), torch.ones(8))
    y, x = torch.meshgrid(torch.arange(101) - 50.0, torch.arange(101) - 50.0, indexing="ij")
    xx, xy, yy = ((out * product).sum(dim=(1, 2)) for product in (x * x, x * y, y * y))
    spread = torch.stack([torch.stack([xx, xy], 1), torch.stack([xy, yy], 1)], 1)
    across, along = torch.linalg.eigvalsh(spread).unbind(1)
    length = CORRUPTIONS["motion"].amounts[4] * 101
    torch.testing.assert_close(along, torch.full((8,), length**2 / 12), rtol=0.15, atol=0)
    assert (across < 0.35).all()


def test_rotation_turns_and_translation_shifts_as_scipy_does():
    film = ndimage.gaussian_filter(np.pad(np.random.default_rng(0).random((30, 30)), 21), 2)
    film = torch.from_numpy(film / film.max()).float()[None, None]
    turned = corrupt(film, "rotation", 4, seeds=[1])[0, 0].numpy()
    candidates = [
        ndimage.rotate(film[0, 0].numpy(), sign * CORRUPTIONS["rotation"].amounts[3], reshape=False, order=1)
        for sign in (1, -1)
    ]
    assert min(np.abs(turned - candidate).max() for candidate in candidates) < 0.02
    shifted = corrupt(film, "translation", 4, seeds=[1])[0, 0].numpy()
    moved = np.array(ndimage.center_of_mass(shifted)) - ndimage.center_of_mass(film[0, 0].numpy())
    assert np.hypot(*moved) == pytest.approx(CORRUPTIONS["translation"].amounts[3] * 72, rel=0.02)


def test_quantum_noise_follows_poisson_counts():
    """The logarithm of Poisson counts over their mean has the standard deviation that the grey levels show."""
    photons, grey = CORRUPTIONS["quantum_noise"].amounts[2], 0.5
    out = corrupt(torch.full((4, 1, 224, 224), grey), "quantum_noise", 3, seeds=range(4)).numpy()
    mean = photons * 10 ** (-1.5 * grey)
    counts = np.random.default_rng(0).poisson(mean, 200_000)
    expected = -np.log10(np.maximum(counts, 1) / mean) / 1.5 + grey
    assert out.std() == pytest.approx(expected.std(), rel=0.02)
    assert out.mean() == pytest.approx(expected.mean(), abs=0.002)
    bright = corrupt(torch.full((1, 1, 224, 224), 0.8), "quantum_noise", 3, seeds=[0])
    assert bright.std() > 1.5 * out.std()


def test_noise_is_fresh_for_every_film_and_as_strong_as_it_says():
    out = corrupt(torch.full((2, 1, 224, 224), 0.5), "gaussian_noise", 2, seeds=[1, 2]) - 0.5
    assert out.std() == pytest.approx(CORRUPTIONS["gaussian_noise"].amounts[1], rel=0.02)
    assert np.corrcoef(out[0].flatten(), out[1].flatten())[0, 1] == pytest.approx(0, abs=0.02)


def test_shutters_darken_the_margins_and_nothing_else():
    out = corrupt(torch.ones((5, 1, 200, 200)), "collimation", 5, seeds=range(5))
    deepest = int(np.ceil(200 * (1.5 * CORRUPTIONS["collimation"].amounts[4] + 0.01)))
    assert (out[:, :, deepest:-deepest, deepest:-deepest] == 1).all()
    shallowest = int(200 * (0.5 * CORRUPTIONS["collimation"].amounts[4] - 0.01))
    for margin in (out[..., :shallowest], out[..., -shallowest:], out[:, :, :shallowest], out[:, :, -shallowest:]):
        assert (margin == 0).all()


def test_a_lead_letter_lies_on_its_side_of_the_patient():
    out = corrupt(torch.zeros((30, 1, 120, 120)), "lead_marker", 3, seeds=range(30))[:, 0]
    height = CORRUPTIONS["lead_marker"].amounts[2] * 120
    sides = set()
    for film in out:
        rows, columns = torch.nonzero(film > 0.4, as_tuple=True)
        assert int(rows.max() - rows.min()) + 1 == pytest.approx(height, abs=2)
        assert rows.max() < 60
        left_of_patient = bool(columns.float().mean() > 60)
        # an L is inked at its foot all along, an R is not wider there than at its head
        foot, head = (film[row] > 0.4 for row in (rows.max() - 1, rows.min() + 2))
        assert bool(foot.sum() > 1.8 * head.sum()) == left_of_patient
        sides.add(left_of_patient)
    assert sides == {True, False}


def test_presets_name_what_there_is_and_clinical_is_mild():
    for cells in PRESETS.values():
        assert len(set(cells)) == len(cells)
        assert all(name in CORRUPTIONS and severity in SEVERITIES for name, severity in cells)
    assert max(severity for _, severity in PRESETS["clinical"]) <= 2
    assert min(severity for _, severity in PRESETS["severe"]) >= 3
    assert {name for name, _ in PRESETS["severe"]} == set(CORRUPTIONS)


def test_every_film_needs_its_seed():
    with pytest.raises(ValueError, match="one seed per film"):
        corrupt(films(), "blur", 1, seeds=[1])
