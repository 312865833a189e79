"""Our own network: GQ-CNN's answer from a sixtieth of its parameters, and told of the hand.

It sees the crop *relative to the grasp's depth*, coarse (the object's shape) and fine (what a fingertip would touch),
where each pixel lies between the jaws, where the open fingers stand and where they close, and the depth itself, since
an image of fixed size in pixels grows with it. Hands are brought to one: lengths in units of the stroke, depths from
the fingertips. What still differs, fingers and size, it is told as numbers.
Residual convolutions at 40→20→10 px; the head keeps the position of what it saw: a crop is aligned with its grasp.
25 million multiply-adds a grasp.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InvalidConfig
from ..gripper import TOLD

STROKE, OVERHANG, WIDTH, THICKNESS, LENGTH = range(len(TOLD))
"""Columns of what is told of a hand."""


@dataclass(frozen=True)
class CompactConfig:
    """Sizes of the compact network."""

    input_size: int = 40
    """Side of the crop, px; a multiple of 4."""
    channels: tuple[int, int, int] = (12, 24, 60)
    """Channels at full, half and quarter resolution."""
    n_blocks: int = 2
    """Residual blocks at half and at quarter resolution."""
    n_hidden: int = 128
    coarse_range: float = 0.06
    """Relative depth is clipped to ± this, m."""
    fine_range: float = 0.015
    """Likewise in the second channel, m: about the fingers' reach beyond the grasp's centre."""
    window_strokes: float = 2.0
    """Side of the crop, in strokes: where the fingers are drawn."""
    hand: tuple[float, float, float, float, float] = (0.05, 0.0122, 0.022, 0.0124, 0.0304)
    """What other hands are brought to, m; the ranges above are this one's: the YuMi's."""
    spread: tuple[float, float, float, float, float] = (0.7, 0.1, 0.15, 0.07, 0.15)
    """What the hand's numbers are divided by: the stroke's logarithm, and the others in strokes."""

    def __post_init__(self) -> None:
        if self.input_size < 8 or self.input_size % 4:
            raise InvalidConfig(
                f"compact network input_size {self.input_size}: expected a multiple of 4, at least 8 px"
            )
        if not 0 < self.fine_range <= self.coarse_range:
            raise InvalidConfig(
                f"compact network ranges {self.fine_range}, {self.coarse_range}: expected 0 < fine ≤ coarse"
            )


COMPACT = CompactConfig()


def convolution(
    n_in: int, n_out: int, size: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """A padded convolution and its normalisation, which holds the bias."""
    pad = dilation * (size - 1) // 2
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, size, stride, pad, dilation, bias=False), nn.BatchNorm2d(n_out)
    )


class Block(nn.Module):
    """Two 3×3 convolutions around an identity [He16]; the first may be dilated."""

    def __init__(self, n: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = convolution(n, n, dilation=dilation)
        self.second = convolution(n, n)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class Stem(nn.Conv2d):
    """A convolution whose last input planes are the same for all grasps: their part is computed once for a batch."""

    def __init__(self, n_in: int, n_constant: int, n_out: int) -> None:
        super().__init__(n_in + n_constant, n_out, 3, padding=1, bias=False)
        self.n_varying = n_in

    def forward(self, varying: Tensor, constant: Tensor) -> Tensor:  # type: ignore[override]
        per_grasp, shared = self.weight[:, : self.n_varying], self.weight[:, self.n_varying :]
        own = functional.conv2d(varying, per_grasp, padding=1)
        return own + functional.conv2d(constant, shared, padding=1)


class Compact(nn.Module):
    """The network; ``forward`` gives log-odds of success."""

    N_INPUTS, N_CONSTANT = 6, 2
    TOLD_OF_HAND = True
    coordinates: Tensor
    hand: Tensor
    spread: Tensor
    depth_mean: Tensor
    depth_std: Tensor

    def __init__(self, config: CompactConfig = COMPACT) -> None:
        super().__init__()
        self.config = config
        full, half, quarter = config.channels
        self.stem = Stem(self.N_INPUTS, self.N_CONSTANT, full)
        self.stem_norm = nn.BatchNorm2d(full)
        self.middle = nn.Sequential(
            convolution(full, half, stride=2),
            nn.ReLU(),
            *(Block(half) for _ in range(config.n_blocks)),
        )
        self.late = nn.Sequential(
            convolution(half, quarter, stride=2),
            nn.ReLU(),
            *(Block(quarter) for _ in range(config.n_blocks)),
        )
        self.squeeze = nn.Sequential(nn.Conv2d(quarter, 8, 1), nn.ReLU())
        n_features = 2 * quarter + 8 * (config.input_size // 4) ** 2 + 1 + len(TOLD)
        self.head = nn.Sequential(
            nn.Linear(n_features, config.n_hidden), nn.ReLU(), nn.Linear(config.n_hidden, 1)
        )
        axis = torch.linspace(-1, 1, config.input_size)
        v, u = torch.meshgrid(axis, axis, indexing="ij")
        self.register_buffer("coordinates", torch.stack([u, v])[None], persistent=False)
        for name in ("hand", "spread"):
            value = torch.tensor(getattr(config, name))
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("depth_mean", torch.tensor(0.0))
        self.register_buffer("depth_std", torch.tensor(1.0))

    def forward(
        self,
        crop: Float[Tensor, "N 1 S S"],
        depth: Float[Tensor, "N 1"],
        hand: Float[Tensor, "N 5"],
    ) -> Float[Tensor, "N"]:
        """Return the log-odds of success.

        Args:
            crop: absolute depth, m; 0 = missing, which counts as far and is marked in a channel of its own.
            depth: of the grasp, m.
            hand: ``antipodal.gripper.TOLD``, m.
        """
        dtype = next(
            self.parameters()
        ).dtype  # metres need float32: only what is normalised is rounded
        scale = self.scale(hand)
        strokes = hand / hand[:, :1]
        z = (depth / scale - self.depth_mean) / self.depth_std
        shift = self.hand[OVERHANG] - hand[:, OVERHANG : OVERHANG + 1] / scale
        planes = self._planes(crop, depth, z, scale, shift, strokes)
        x = self.stem(planes.to(dtype), self.coordinates.to(dtype))
        x = self.middle(functional.relu(self.stem_norm(x)))
        x = self.late(x)
        pooled = [x.mean((2, 3)), x.amax((2, 3)), self.squeeze(x).flatten(1), z.to(dtype)]
        told = torch.cat([scale.log(), strokes[:, 1:] - self.hand[1:] / self.hand[STROKE]], 1)
        pooled.append((told / self.spread).to(dtype))
        return self.head(torch.cat(pooled, 1)).squeeze(1)

    def scale(self, hand: Float[Tensor, "N 5"]) -> Float[Tensor, "N 1"]:
        """Return how many times as large each hand is as the one that it is brought to."""
        return hand[:, :1] / self.hand[STROKE]

    def _planes(
        self,
        crop: Tensor,
        depth: Tensor,
        z: Tensor,
        scale: Tensor,
        shift: Tensor,
        strokes: Tensor,
    ) -> Tensor:
        config = self.config
        missing = (crop <= 0).to(crop.dtype)
        relative = (crop - depth[:, :, None, None]) / scale[:, :, None, None]
        relative = relative + shift[:, :, None, None]
        relative = relative + missing * (2 * config.coarse_range - relative)
        coarse = (relative / config.coarse_range).clamp(-1, 1)
        fine = (relative / config.fine_range).clamp(-1, 1)
        # crop·0 carries the dynamic batch through the ONNX graph without shape arithmetic
        blank = torch.zeros_like(crop)
        depths = blank + z[:, :, None, None]
        return torch.cat([coarse, fine, missing, depths, *self._fingers(strokes)], 1)

    def _fingers(self, strokes: Tensor) -> tuple[Tensor, Tensor]:
        """Share of each pixel where the fingers close, and where they stand when open, (N, 1, S, S) each."""
        size = self.config.input_size
        pixel = self.config.window_strokes / size
        edge = pixel * (size - 1) / 2  # the outermost pixels' centres
        u, v = (edge * self.coordinates[:, k : k + 1].abs() for k in (0, 1))

        def inside(distance: Tensor) -> Tensor:
            return (distance / pixel + 0.5).clamp(0, 1)

        width, thickness = (strokes[:, k, None, None, None] for k in (WIDTH, THICKNESS))
        across = inside(width / 2 - v)
        closing = inside(0.5 - u) * across
        return closing, inside(u - 0.5) * inside(0.5 + thickness - u) * across

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights from a normal of variance 2/n_in [He15]; biases 0; residual branches start at zero."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                std = (2 / layer.weight[0].numel()) ** 0.5
                nn.init.normal_(layer.weight, 0.0, std, generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for block in self.modules():
            if isinstance(block, Block):
                nn.init.zeros_(block.second[1].weight)  # type: ignore[arg-type]
