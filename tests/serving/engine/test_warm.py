import numpy as np
import pytest

from cxr.errors import ServingError
from cxr.modeling.outputs import Outputs
from cxr.serving.engine import Backend, warm_up


class Counting(Backend):
    """Counts its films, and gives one value for everything."""

    name = "counting"

    def __init__(self, bundle, value):
        super().__init__(bundle, device="cpu", precision="f32", side=64, findings=3)
        self.value = np.float32(value)
        self.passes = []

    def _forward(self, films):
        self.passes.append(len(films))
        shapes = ((len(films), 3), (len(films), 8), (len(films), 3, 2, 2))
        return Outputs(*(np.full(shape, self.value) for shape in shapes))

    def _release(self):
        pass


@pytest.mark.parametrize(("batch", "passes"), [(16, [1, 16]), (1, [1])])
def test_the_smallest_and_the_largest_pass_are_run(bundle, batch, passes):
    backend = Counting(bundle, 0.5)
    warm_up(backend, batch=batch)
    assert backend.passes == passes


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_backend_that_cannot_count_must_not_serve(bundle, value):
    with pytest.raises(ServingError, match="finite"):
        warm_up(Counting(bundle, value))
