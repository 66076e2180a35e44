"""What can be said of a film without a network. Needs numpy only: the service computes it for every film."""

import numpy as np
import numpy.typing as npt

from cxr.imaging.preprocess import Film

STATISTICS = (
    "mean",
    "std",
    "p05",
    "p25",
    "p50",
    "p75",
    "p95",
    "dark",
    "bright",
    "entropy",
    "sharpness",
    "noise",
    "balance",
    "border",
)
"""Names of `image_statistics`, in order.

mean, std, p05 … p95: grey levels, 0..255. dark, bright: share of pixels in the lowest and highest 1/32 of the grey
scale. entropy: of the histogram of 256 levels, bits. sharpness: logarithm of 1 + the variance of the Laplacian. noise:
standard deviation of the noise in grey levels (Immerkær 1996). balance: mean of the left half less that of the right.
border: mean of the outer twentieth on every side, where collimation and letterboxes are.
"""

_QUANTILES = (5, 25, 50, 75, 95)
_EXTREME = 8


def image_statistics(film: Film) -> npt.NDArray[np.float32]:
    """Exposure, contrast, sharpness and noise of one film, float32 in the order of `STATISTICS`.

    Args:
        film: uint8 [S, S], a network input, S at least 20.
    """
    histogram = np.bincount(film.ravel(), minlength=256) / film.size
    levels = np.arange(256)
    mean = float(histogram @ levels)
    present = histogram[histogram > 0]
    values = film.astype(np.float32)
    across = values[:, :-2] - 2 * values[:, 1:-1] + values[:, 2:]
    down = values[:-2] - 2 * values[1:-1] + values[2:]
    laplacian = across[1:-1] + down[:, 1:-1]
    mask = across[:-2] - 2 * across[1:-1] + across[2:]
    half, edge = film.shape[1] // 2, film.shape[0] // 20
    inner = values[edge:-edge, edge:-edge]
    statistics = (
        mean,
        float(np.sqrt(histogram @ (levels - mean) ** 2)),
        *np.searchsorted(histogram.cumsum(), np.array(_QUANTILES) / 100 - 1e-9),
        float(histogram[:_EXTREME].sum()),
        float(histogram[-_EXTREME:].sum()),
        float(-(present * np.log2(present)).sum()),
        float(np.log1p(laplacian.var())),
        float(np.sqrt(np.pi / 2) / 6 * np.abs(mask).mean()),
        float(values[:, :half].mean() - values[:, -half:].mean()),
        float((values.sum() - inner.sum()) / (values.size - inner.size)),
    )
    return np.array(statistics, np.float32)
