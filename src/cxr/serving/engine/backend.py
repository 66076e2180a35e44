"""What every way to run a bundle's graph promises."""

import threading
from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import numpy.typing as npt

from cxr.contracts.bundle import Bundle
from cxr.errors import BundleError
from cxr.modeling.outputs import Outputs
from cxr.modeling.session import Device
from cxr.serving.engine.failures import BackendClosed

Precision = Literal["f32", "bf16"]

Films = npt.NDArray[np.uint8]
"""uint8 [n, S, S], as `cxr.imaging.preprocess.network_input` gives them."""


class Backend(ABC):
    """A bundle's graph, loaded and ready to run.

    What an implementation owes, beyond the two methods that it writes:

    - its constructor loads everything that a forward pass needs, or raises `BundleError` when the bundle is at fault
      and `ServingError` when the machine is;
    - the results agree with `cxr.modeling.session.GraphSession` within 1e-4 of the largest value of each output at
      precision f32; bf16 is for processors that compute in it, and moves probabilities by about 0.01;
    - a film's result does not depend on the films beside it, beyond that tolerance;
    - results are new arrays that later passes leave alone, and films are not changed;
    - nothing is sent over a network, and nothing is written to disk.

    What the base class sees to: films of another kind are refused before they reach the graph, passes from several
    threads run one after the other (a pass uses all threads that it was given), and closing waits for the pass that
    is under way.

    Attributes:
        name: of the engine.
        device: that it runs on.
        precision: of its arithmetic.
        side: of the square films that it takes, pixels.
        findings: number of logits.
    """

    name: str

    def __init__(self, bundle: Bundle, *, device: Device, precision: Precision, side: int, findings: int) -> None:
        """Note what the graph turned out to be; raises `BundleError` when the bundle's manifest says otherwise."""
        expected = (bundle.manifest.preprocessing.size, len(bundle.manifest.findings))
        if (side, findings) != expected:
            raise BundleError(
                f"the model of {bundle.folder} must take films of side {expected[0]} and give {expected[1]} logits, "
                f"has side {side} and {findings} logits; run `cxr package` again"
            )
        self.device = device
        self.precision = precision
        self.side = side
        self.findings = findings
        self._lock = threading.Lock()
        self._closed = False

    def check(self, films: Films) -> None:
        """Raise `ValueError` for films that the graph does not take."""
        square = (self.side, self.side)
        if films.dtype != np.uint8 or films.ndim != 3 or films.shape[1:] != square or not len(films):
            raise ValueError(
                f"films must be uint8 [n, {self.side}, {self.side}] with n ≥ 1, are {films.dtype} "
                f"{list(films.shape)}; prepare them with cxr.imaging.preprocess.network_input"
            )

    def infer(self, films: Films, *, maps: bool = False) -> Outputs:
        """Run the graph over films, at once or in the largest passes that pay on the device; from any thread.

        Args:
            films: uint8 [n, side, side], n ≥ 1.
            maps: also return the activation maps.

        Raises:
            ValueError: the films have another type or shape.
            BackendClosed: after `close`.
        """
        self.check(films)
        with self._lock:
            if self._closed:
                raise BackendClosed(f"{self.name} must be open to run films, it has been closed; open another")
            outputs = self._forward(films)
        return outputs if maps else outputs._replace(maps=None)

    def close(self) -> None:
        """Wait for the pass that is under way and free the graph; again does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._release()

    @abstractmethod
    def _forward(self, films: Films) -> Outputs:
        """Run the graph with its maps. Films have been checked, and no other call is under way."""

    @abstractmethod
    def _release(self) -> None:
        """Free the graph. Called once, and nothing is called after it."""
