"""How often the tests alarm: on windows of films that neither the network nor the reference has seen."""

import math
import zlib
from collections.abc import Iterator, Mapping

import numpy as np

from cxr.contracts.drift import AlarmRate, Measurement
from cxr.drift.detector import Detector
from cxr.drift.watched import WatchedFilms

WINDOWS = 200
SIZES = (25, 50, 100)

_Z = 1.959964


def measure(
    detector: Detector,
    rehearsal: Mapping[str, WatchedFilms],
    *,
    bundle: str,
    windows: int = WINDOWS,
    sizes: tuple[int, ...] = SIZES,
    seed: int = 0,
) -> Measurement:
    """Measure false alarms and power.

    Each window is drawn anew from the rehearsal films of a condition, without replacement within the window: a film
    seen twice would look like drift by itself. Windows of one condition therefore share films.

    Args:
        detector: of the reference.
        rehearsal: films by condition, the same ones under each.
        bundle: digest, for the record.
        windows: drawn per condition and size.
        sizes: films in a window; those beyond the films there are get no rate.
        seed: of the draws.
    """
    films = max((len(seen) for seen in rehearsal.values()), default=0)
    rates = tuple(
        _rate(detector, seen, condition, size, windows, seed)
        for condition, seen in rehearsal.items()
        for size in sizes
        if size <= len(seen)
    )
    reason = None
    if not films:
        reason = (
            "the reference holds no rehearsal films; run `cxr fit-drift` and `cxr package` again, with a test split"
        )
    elif not rates:
        reason = f"a window must have {min(sizes)} films, the rehearsal has only {films}"
    return Measurement(bundle=bundle, level=detector.level, films=films, seed=seed, rates=rates, reason=reason)


def wilson(alarms: int, windows: int) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927)."""
    share = alarms / windows
    centre = share + _Z**2 / (2 * windows)
    half = _Z * math.sqrt(share * (1 - share) / windows + _Z**2 / (4 * windows**2))
    scale = 1 + _Z**2 / windows
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)


def _rate(detector: Detector, films: WatchedFilms, condition: str, size: int, windows: int, seed: int) -> AlarmRate:
    alarms = sum(detector.test(window).alarm for window in _windows(films, condition, size, windows, seed))
    low, high = wilson(alarms, windows)
    return AlarmRate(condition=condition, window=size, windows=windows, alarms=alarms, low=low, high=high)


def _windows(films: WatchedFilms, condition: str, size: int, windows: int, seed: int) -> Iterator[WatchedFilms]:
    rng = np.random.default_rng([seed, size, zlib.crc32(condition.encode())])
    for _ in range(windows):
        yield films.take(rng.choice(len(films), size, replace=False))
