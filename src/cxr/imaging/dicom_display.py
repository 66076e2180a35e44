"""What the stored values of a DICOM image look like: grey values with air dark.

Order of the transforms is the standard's (PS3.3 C.11, PS3.4 N.2): modality LUT, VOI LUT or window, then MONOCHROME1.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space

from cxr.imaging.polarity import negated
from cxr.imaging.strips import Values, by_strips, strips

Grey = npt.NDArray[np.generic]

_OPTIONAL = (
    "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth",
    "VOILUTFunction",
)  # fmt: skip
_NARROWEST = 1e-9
"""Width above 0 of a window by another function than LINEAR, whose widths are from 1 on (PS3.3 C.11.2.1.2)."""
_YBR = ("YBR_FULL", "YBR_FULL_422")


def grey_values(dataset: Dataset, stored: Values) -> Grey:
    """Stored values to grey values with air dark.

    Args:
        dataset: header; optional elements that say nothing are taken out of it.
        stored: [rows, columns], or [rows, columns, 3] for colour of any model; may be overwritten.

    Returns:
        uint8, uint16 or float32 [rows, columns].

    Raises:
        Exception: of any kind, pydicom's or numpy's, for a header that contradicts itself or the values.
    """
    photometric = dataset.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        return by_strips(lambda part: _luminance(apply_color_lut(part, dataset)), stored)
    if photometric in _YBR:
        return by_strips(lambda part: _luminance(convert_color_space(part, "YBR_FULL", "RGB")), stored)
    if stored.ndim == 3:
        return by_strips(_luminance, stored)
    _drop_useless(dataset)
    curve = _curve(dataset, stored[::4, ::4])
    if curve is not None and stored.dtype.kind in "iu" and stored.itemsize <= 2:
        return _looked_up(dataset, stored, curve)
    return _shown(dataset, stored, curve)


def _drop_useless(dataset: Dataset) -> None:
    """Take optional elements for absent that say nothing: empty ones, and a window that has no width."""
    for name in _OPTIONAL:
        if name in dataset and dataset[name].is_empty:
            del dataset[name]
    width = dataset.get("WindowWidth")
    if width is not None and "WindowCenter" in dataset:
        least = 1.0 if str(dataset.get("VOILUTFunction", "LINEAR")).upper() == "LINEAR" else _NARROWEST
        if float(width[0] if isinstance(width, MultiValue) else width) < least:
            del dataset.WindowWidth, dataset.WindowCenter


def _curve(dataset: Dataset, sample: Values) -> Callable[[Values], Values] | None:
    """Modality LUT, and VOI LUT or window unless it would show next to nothing of the sample; None without any."""

    def modality(values: Values) -> Values:
        return apply_modality_lut(values, dataset)

    def both(values: Values) -> Values:
        with np.errstate(over="ignore"):  # of a narrow sigmoid: what is far outside is black all the same
            return apply_voi_lut(modality(values), dataset, index=0)

    if "VOILUTSequence" in dataset or "WindowCenter" in dataset:
        low, high = np.percentile(both(sample), [1, 99])
        if low < high:
            return both
    return modality if "ModalityLUTSequence" in dataset or "RescaleSlope" in dataset else None


def _looked_up(dataset: Dataset, stored: Values, curve: Callable[[Values], Values]) -> Grey:
    """What `_shown` gives for 8 or 16 bits, found once for each value that the image has."""
    least = np.iinfo(stored.dtype).min
    present = np.zeros(2 ** (8 * stored.itemsize), dtype=bool)
    for rows in strips(*stored.shape):
        present[stored[rows].astype(np.intp) - least] = True
    grey = _shown(dataset, (np.flatnonzero(present) + least).astype(stored.dtype), curve)
    table = np.zeros(present.size, grey.dtype)
    table[present] = grey
    return by_strips(lambda part: table[part.astype(np.intp) - least], stored)


def _shown(dataset: Dataset, stored: Values, curve: Callable[[Values], Values] | None) -> Grey:
    """Stored values, the image's or each of them once, to grey values with air dark; they may be overwritten."""
    grey = _narrowed(stored if curve is None else by_strips(lambda part: _single(curve(part)), stored))
    if grey.dtype.kind == "f" and not np.isfinite(grey).all():
        raise ValueError
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = negated(grey)
    return _padded(dataset, stored, grey)


def _luminance(colour: Values) -> Values:
    grey = colour[..., :3] @ np.array([0.299, 0.587, 0.114])
    narrowed: Values = (grey + 0.5).astype(np.uint8) if colour.dtype == np.uint8 else grey.astype(np.float32)
    return narrowed


def _narrowed(values: Values) -> Values:
    """Values as uint8, uint16 or float32."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind in "iu":
        low = int(values.min())
        if int(values.max()) - low < 2**16:
            return by_strips(lambda part: (part.astype(np.int64) - low).astype(np.uint16), values)
    return values.astype(np.float32, copy=False)


def _padded(dataset: Dataset, stored: Values, grey: Values) -> Values:
    """Paint what lies outside the image (Pixel Padding Value) as dark as the darkest pixel inside."""
    if "PixelPaddingValue" not in dataset:
        return grey
    ends = [int(dataset.PixelPaddingValue), int(dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue))]
    outside = stored >= min(ends)
    outside &= stored <= max(ends)
    if outside.all() or not outside.any():
        return grey
    grey[outside] = grey.min(where=~outside, initial=grey.max())
    return grey


def _single(values: Values) -> Values:
    return values.astype(np.float32, copy=False) if values.dtype.kind == "f" else values
