"""Fitting the gate's classifier: a few small perceptrons, averaged."""

import warnings

import numpy as np
import numpy.typing as npt

from cxr.imaging.gate import Perceptron

Floats = npt.NDArray[np.float32]

MEMBERS = 3
"""Perceptrons whose scores are averaged; they differ in their initial weights and in the order of the pictures."""
HIDDEN = 48
"""Hidden units of each."""
EPOCHS = 15
DECAY = 1e-2
"""Weight decay. From 0.001 to 0.1, and from 32 to 128 units, the verdicts on real films hardly change."""
_BATCH, _LEARNING_RATE = 128, 1e-3
_STEADY = 1e-3  # a feature that hardly varies in training must not shout in service


def fit_layout_classifier(layouts: Floats, classes: npt.NDArray[np.int64], *, seed: int) -> Perceptron:
    """Fit the classifier; the same arguments give the same weights on the same machine.

    Args:
        layouts: float32 [n, d].
        classes: int64 [n], 0..c - 1, each of them present.
        seed: of the initial weights and of the order of the pictures.

    Returns:
        The members side by side as one perceptron. Its scores are their mean, so that differences between the classes
        are those of the geometric mean of their probabilities.
    """
    mean, spread = layouts.mean(axis=0), layouts.std(axis=0) + np.float32(_STEADY)
    scaled = (layouts - mean) / spread
    members = [_fit_member(scaled, classes, seed=seed * MEMBERS + number) for number in range(MEMBERS)]
    hidden_weight = np.concatenate([member.hidden_weight for member in members], axis=1) / spread[:, None]
    hidden_bias = np.concatenate([member.hidden_bias for member in members]) - mean @ hidden_weight
    return Perceptron(
        hidden_weight=hidden_weight.astype(np.float32),
        hidden_bias=hidden_bias.astype(np.float32),
        weight=(np.concatenate([member.weight for member in members]) / MEMBERS).astype(np.float32),
        bias=np.stack([member.bias for member in members]).mean(axis=0).astype(np.float32),
    )


def _fit_member(scaled: Floats, classes: npt.NDArray[np.int64], *, seed: int) -> Perceptron:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier(
        (HIDDEN,),
        alpha=DECAY,
        batch_size=min(_BATCH, len(scaled)),
        learning_rate_init=_LEARNING_RATE,
        max_iter=EPOCHS,
        random_state=seed % 2**32,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is meant
        network.fit(scaled, classes)
    (hidden_weight, weight), (hidden_bias, bias) = network.coefs_, network.intercepts_
    return Perceptron(hidden_weight=hidden_weight, hidden_bias=hidden_bias, weight=weight, bias=bias)
