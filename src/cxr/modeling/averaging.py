"""Exponential moving average of a network's weights and of its batch statistics."""

import copy

import torch
from torch import Tensor, nn


class Average:
    """A second network whose weights follow those of the trained one (Polyak averaging).

    Early in training the average keeps pace: the decay of step t is min(decay, (1 + t) / (10 + t)).

    Attributes:
        network: the averaged network, for validation; the trained one itself when the decay is 0.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Begin at the weights of a network.

        Args:
            network: whose weights are followed; already where it is trained.
            decay: 0 follows nothing.
        """
        self.decay = decay
        self.updates = 0
        self.network = copy.deepcopy(network).requires_grad_(False) if decay else network
        self._floating, self._counts = _pairs(self.network, network) if decay else ([], [])

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the network by one step."""
        if not self.decay:
            return
        self.updates += 1
        rate = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_([mine for mine, _ in self._floating], [theirs for _, theirs in self._floating], rate)
        if self._counts:
            torch._foreach_copy_([mine for mine, _ in self._counts], [theirs for _, theirs in self._counts])

    def state_dict(self) -> dict[str, object]:
        """What `load_state_dict` needs to go on."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        self.updates = int(state["updates"])  # type: ignore[call-overload]


_Pairs = list[tuple[Tensor, Tensor]]


def _pairs(average: nn.Module, network: nn.Module) -> tuple[_Pairs, _Pairs]:
    """Tensors that are averaged, and whole numbers that are copied: looking them up takes longer than either."""
    both: _Pairs = [*zip(average.parameters(), network.parameters(), strict=True)]
    both += zip(average.buffers(), network.buffers(), strict=True)
    floating = [pair for pair in both if pair[0].is_floating_point()]
    return floating, [pair for pair in both if not pair[0].is_floating_point()]
