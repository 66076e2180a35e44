import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from cxr.contracts.recipe import LossRecipe
from cxr.contracts.resolve import resolve_recipe
from cxr.modeling.losses import balanced_weights, class_weights, focal_loss, recipe_loss

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-3.0, 4.0, 0.0]])
LABELS = torch.tensor([0, 2, 0])


def test_without_focus_it_is_cross_entropy():
    weights = torch.tensor([0.5, 1.0, 2.0])
    expected = (F.cross_entropy(LOGITS, LABELS, reduction="none") * weights[LABELS]).mean()
    torch.testing.assert_close(focal_loss(LOGITS, LABELS, gamma=0.0, class_weights=weights), expected)


def test_label_smoothing_is_torchs():
    expected = F.cross_entropy(LOGITS, LABELS, label_smoothing=0.1)
    torch.testing.assert_close(focal_loss(LOGITS, LABELS, gamma=0.0, label_smoothing=0.1), expected)


def test_it_is_the_formula_of_the_paper():
    p = LOGITS.softmax(1)[range(3), LABELS]
    expected = (-0.25 * (1 - p) ** 2 * p.log()).mean()
    torch.testing.assert_close(recipe_loss(LossRecipe(), LOGITS, LABELS, None), expected)


@given(st.floats(0.1, 4.0))
def test_focus_never_raises_the_loss(gamma):
    assert focal_loss(LOGITS, LABELS, gamma=gamma) <= focal_loss(LOGITS, LABELS, gamma=0.0)


def test_a_sure_and_right_answer_has_a_finite_gradient():
    logits = torch.tensor([[80.0, -80.0, -80.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0]), gamma=0.5).backward()
    assert logits.grad.isfinite().all()


def test_balanced_weights_are_inverse_to_frequency_with_mean_one():
    weights = balanced_weights(torch.tensor([0, 0, 0, 1, 2, 2]), 3)
    torch.testing.assert_close(weights * torch.tensor([3.0, 1.0, 2.0]), (weights[1]).expand(3))
    torch.testing.assert_close(weights.mean(), torch.tensor(1.0))


def test_a_class_without_films_weighs_nothing():
    weights = balanced_weights(torch.tensor([0, 0, 2]), 3)
    assert weights[1] == 0
    torch.testing.assert_close(weights[[0, 2]].mean(), torch.tensor(1.0))


@pytest.mark.parametrize(
    ("values", "balanced"),
    [
        (["sampling.balance=films"], True),
        (["sampling.balance=films", "loss.class_balance=false"], False),
        (["sampling.balance=sources"], False),
    ],
)
def test_balanced_sources_leave_the_classes_unweighted(values: list[str], balanced: bool):
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    expected = balanced_weights(labels, 3) if balanced else torch.ones(3)
    torch.testing.assert_close(class_weights(resolve_recipe("default", values), labels), expected)
