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
        self.decay = decay
        self.updates = 0
        self.network = copy.deepcopy(network).requires_grad_(False) if decay else network

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network by one step."""
        if not self.decay:
            return
        self.updates += 1
        rate = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        mine, theirs = self.network.state_dict(), network.state_dict()
        floating = [name for name, tensor in mine.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([mine[name] for name in floating], [theirs[name] for name in floating], rate)
        for name in mine.keys() - set(floating):
            mine[name].copy_(theirs[name])

    def state_dict(self) -> dict[str, object]:
        """What `load_state_dict` needs to go on."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        self.updates = int(state["updates"])  # type: ignore[call-overload]
