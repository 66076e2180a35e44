import msgspec
import numpy as np
import pytest

from cxr.contracts.bundle import PICTURES, PictureGate
from cxr.contracts.gate import GateReport
from cxr.errors import REJECTION_CODES, ContractError, RejectedFilm
from cxr.imaging.gate import Gate, Perceptron, read_gate, write_gate
from cxr.imaging.gate.classifier import log_odds
from cxr.imaging.gate.layout import COARSE, LENGTH
from support.films import chest

LIMITS = PictureGate(refuse_below=-1.0, refer_below=1.0, refused_share=0.005, referred_share=0.02)


def gate_that_says(scores, limits=LIMITS):
    """A gate that gives every picture the same scores."""
    perceptron = Perceptron(
        hidden_weight=np.zeros((LENGTH, 2), np.float32),
        hidden_bias=np.zeros(2, np.float32),
        weight=np.zeros((2, len(PICTURES)), np.float32),
        bias=np.array(scores, np.float32),
    )
    return Gate(perceptron=perceptron, limits=limits)


def report_of(gate):
    return GateReport(
        checkpoint="c", index="i", features=LENGTH, hidden=2, training_pictures=9, limits=gate.limits, test=()
    )


@pytest.mark.parametrize("code", ["wrong_view", "not_a_chest_film"])
def test_a_picture_is_refused_as_what_it_looks_like_most(code):
    scores = [-3.0, *(2.0 * (other == code) for other in PICTURES[1:])]
    with pytest.raises(RejectedFilm) as refused:
        gate_that_says(scores).check(chest())
    assert refused.value.code == code
    assert set(PICTURES[1:]) <= set(REJECTION_CODES)


def gate_that_likes_a_dark_top():
    """A gate for which a picture with a bright upper half is a turned one."""
    top = np.zeros((COARSE, COARSE), np.float32)
    top[: COARSE // 2], top[COARSE // 2 :] = -1, 1
    weight = np.zeros((LENGTH, 2), np.float32)
    weight[-(COARSE**2) :, 0] = top.ravel()
    weight[-(COARSE**2) :, 1] = -top.ravel()
    says = np.array([[1, 0, 0, 0], [0, 1, 0.1, 0]], np.float32)
    perceptron = Perceptron(
        hidden_weight=weight, hidden_bias=np.zeros(2, np.float32), weight=says, bias=np.zeros(4, np.float32)
    )
    return Gate(perceptron=perceptron, limits=LIMITS)


def test_a_film_is_called_rotated_only_if_it_would_pass_another_way_up():
    gate = gate_that_likes_a_dark_top()
    film = np.repeat(np.arange(0, 256, 2, dtype=np.uint8)[:, None], 128, axis=1)
    assert not gate.check(film).unsure
    with pytest.raises(RejectedFilm) as refused:
        gate.check(film[::-1].copy())
    assert refused.value.code == "rotated"
    with pytest.raises(RejectedFilm) as refused:
        gate_that_says([-3, 5, 1, 2]).check(film)
    assert refused.value.code == "not_a_chest_film"


@pytest.mark.parametrize(("odds", "unsure"), [(5.0, False), (0.0, True)])
def test_what_passes_by_little_is_unsure(odds, unsure):
    passed = gate_that_says([odds + np.log(3), 0, 0, 0]).check(chest())
    assert passed.likeness == pytest.approx(odds, abs=1e-5)
    assert passed.unsure == unsure


def test_log_odds_are_those_of_the_probabilities():
    scores = np.random.default_rng(0).normal(0, 3, (20, 4)).astype(np.float32)
    shares = np.exp(scores.astype(np.float64))
    probability = shares[:, 0] / shares.sum(axis=1)
    np.testing.assert_allclose(log_odds(scores), np.log(probability / (1 - probability)), atol=1e-6)


def test_what_is_written_is_read_and_the_same_gate_gives_the_same_bytes(tmp_path):
    gate = gate_that_says([1, 2, 3, 4])
    for name in ("one", "other"):
        write_gate(tmp_path / name, gate, report_of(gate))
    read, report = read_gate(tmp_path / "one")
    assert report == report_of(gate)
    assert read.limits == LIMITS
    np.testing.assert_array_equal(read.perceptron.bias, gate.perceptron.bias)
    for file in ("gate.json", "gate.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


@pytest.mark.parametrize("change", [{"hidden": 3}, {"features": LENGTH + 1}])
def test_weights_that_do_not_fit_their_description_are_refused(tmp_path, change):
    gate = gate_that_says([1, 2, 3, 4])
    write_gate(tmp_path, gate, msgspec.structs.replace(report_of(gate), **change))
    with pytest.raises(ContractError, match=r"gate\.npz must hold float32 arrays"):
        read_gate(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"no archive"])
def test_broken_weights_are_refused(tmp_path, content):
    gate = gate_that_says([1, 2, 3, 4])
    write_gate(tmp_path, gate, report_of(gate))
    (tmp_path / "gate.npz").write_bytes(content)
    with pytest.raises(ContractError, match=r"gate\.npz must hold plain arrays"):
        read_gate(tmp_path)
