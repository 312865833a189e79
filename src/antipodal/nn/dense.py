"""The dense network: a window of heights → log-odds of success for every cell, angle and tip depth.

    heights (1, S, S) ─▶ stride 2 ─▶ stride 4: residual blocks ─▶ back to stride 2, joined with what was there
    ─▶ 1×1 to (angles · tip depths) of each cell of a 2×2 block ─▶ (A · D, S, S)

210,000 weights, 190 million multiply-adds a window. Normalisations are folded into the convolutions when it is written.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from ..policy.height_window import N_ANGLES, TIP_DEPTHS
from .compact import Block, convolution

N_CHANNELS = N_ANGLES * len(TIP_DEPTHS)


class DenseNetwork(nn.Module):
    """Log-odds of every entry of a window."""

    def __init__(self) -> None:
        super().__init__()
        self.fold = convolution(1, 32, 6, stride=2)
        self.fine = convolution(32, 32)
        self.down = convolution(32, 64, stride=2)
        self.blocks = nn.Sequential(Block(64, 1), Block(64, 2))
        self.up = nn.Conv2d(64, 32, 1)
        self.join = convolution(64, 32)
        self.head = nn.Conv2d(32, 4 * N_CHANNELS, 1)
        nn.init.constant_(self.head.bias, -4.0)  # type: ignore[arg-type]

    def forward(self, height: Float[Tensor, "B 1 S S"]) -> Float[Tensor, "B C S S"]:
        return functional.pixel_shuffle(self.head(self.features(height)), 2)

    def features(self, height: Float[Tensor, "B 1 S S"]) -> Float[Tensor, "B F s s"]:
        """What the head reads, of every block of 2×2 cells."""
        fine = functional.relu(self.fold(height))
        fine = functional.relu(self.fine(fine))
        coarse = self.blocks(functional.relu(self.down(fine)))
        coarse = functional.interpolate(self.up(coarse), scale_factor=2.0, mode="nearest")
        return functional.relu(self.join(torch.cat([fine, coarse], 1)))

    def head_at(
        self, features: Float[Tensor, "B F s s"], place: Int[Tensor, "B N"]
    ) -> Float[Tensor, "B N"]:
        """Answer for some entries alone, flat indices into (C, S, S): the same as :meth:`forward` there."""
        s = features.shape[-1]
        channel, x, y = place // (4 * s * s), place // (2 * s) % (2 * s), place % (2 * s)
        row = 4 * channel + 2 * (x % 2) + y % 2
        block = (x // 2) * s + y // 2
        here = features.permute(0, 2, 3, 1).flatten(1, 2)
        here = here.gather(1, block[:, :, None].expand(-1, -1, here.shape[-1]))
        assert self.head.bias is not None
        weight = functional.embedding(row, self.head.weight[:, :, 0, 0])
        return (here * weight).sum(-1) + self.head.bias[row]
