"""Random numbers that belong to a film: whatever else is in its batch, and at every severity, they are the same."""

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor


class Draws:
    """Random numbers for n films under one corruption."""

    def __init__(self, name: str, seeds: Sequence[int], device: torch.device) -> None:
        self._seeds = [(seed * 1_000_003 + zlib.crc32(name.encode())) % 2**63 for seed in seeds]
        self._device = device

    def uniform(self, count: int) -> Tensor:
        """Numbers in 0..1, float32 [n, count], the same on every device."""
        rows = [torch.rand(count, generator=torch.Generator().manual_seed(seed)) for seed in self._seeds]
        return torch.stack(rows).to(self._device)

    def signs(self) -> Tensor:
        """-1 or 1, float32 [n]."""
        return 2.0 * (self.uniform(1)[:, 0] < 0.5) - 1

    def normal(self, side: int) -> Tensor:
        """Standard normal fields, float32 [n, 1, side, side], drawn on the device."""
        fields = torch.empty((len(self._seeds), 1, side, side), device=self._device)
        generator = torch.Generator(self._device)
        for field, seed in zip(fields, self._seeds, strict=True):
            field.normal_(generator=generator.manual_seed(seed))
        return fields
