"""What inference gives, free of torch: shared by the networks here and by the exported graph."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Outputs(NamedTuple):
    """Results for n films, c findings, d features and h × w maps; maps are None unless asked for."""

    logits: npt.NDArray[np.float32]
    """[n, c]"""
    embedding: npt.NDArray[np.float32]
    """[n, d]"""
    maps: npt.NDArray[np.float32] | None
    """[n, c, h, w]"""
