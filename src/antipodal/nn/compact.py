"""Our own network: the same inputs and output as GQ-CNN with about a hundredth of its parameters.

It sees the crop *relative to the grasp's depth*, coarse (the object's shape) and fine (what a fingertip would touch),
where each pixel lies between the jaws, and the depth itself, since an image of fixed size in pixels grows with it.
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


class Block(nn.Module):
    """Two 3×3 convolutions around an identity [He16]."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.first = _conv(n, n)
        self.second = _conv(n, n)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class Compact(nn.Module):
    """The network; ``forward`` gives log-odds of success."""

    N_INPUTS = 6
    coordinates: Tensor
    depth_mean: Tensor
    depth_std: Tensor

    def __init__(self, config: CompactConfig = COMPACT) -> None:
        super().__init__()
        self.config = config
        full, half, quarter = config.channels
        self.stem = nn.Sequential(_conv(self.N_INPUTS, full), nn.ReLU())
        self.middle = nn.Sequential(
            _conv(full, half, 2), nn.ReLU(), *(Block(half) for _ in range(config.n_blocks))
        )
        self.late = nn.Sequential(
            _conv(half, quarter, 2), nn.ReLU(), *(Block(quarter) for _ in range(config.n_blocks))
        )
        self.squeeze = nn.Sequential(nn.Conv2d(quarter, 8, 1), nn.ReLU())
        n_features = 2 * quarter + 8 * (config.input_size // 4) ** 2 + 1
        self.head = nn.Sequential(
            nn.Linear(n_features, config.n_hidden), nn.ReLU(), nn.Linear(config.n_hidden, 1)
        )
        axis = torch.linspace(-1, 1, config.input_size)
        v, u = torch.meshgrid(axis, axis, indexing="ij")
        self.register_buffer("coordinates", torch.stack([u, v])[None], persistent=False)
        self.register_buffer("depth_mean", torch.tensor(0.0))
        self.register_buffer("depth_std", torch.tensor(1.0))

    def forward(
        self, crop: Float[Tensor, "N 1 S S"], depth: Float[Tensor, "N 1"]
    ) -> Float[Tensor, "N"]:
        """Return the log-odds of success.

        Args:
            crop: absolute depth, m; 0 = missing, which counts as far and is marked in a channel of its own.
            depth: of the grasp, m.
        """
        dtype = next(
            self.parameters()
        ).dtype  # metres need float32: only what is normalised is rounded
        z = (depth - self.depth_mean) / self.depth_std
        planes = self._planes(crop, depth, z)
        x = self.middle(self.stem(planes.to(dtype)))
        x = self.late(x)
        pooled = [x.mean((2, 3)), x.amax((2, 3)), self.squeeze(x).flatten(1), z.to(dtype)]
        return self.head(torch.cat(pooled, 1)).squeeze(1)

    def _planes(self, crop: Tensor, depth: Tensor, z: Tensor) -> Tensor:
        config = self.config
        missing = (crop <= 0).to(crop.dtype)
        relative = crop - depth[:, :, None, None]
        relative = relative + missing * (2 * config.coarse_range - relative)
        coarse = (relative / config.coarse_range).clamp(-1, 1)
        fine = (relative / config.fine_range).clamp(-1, 1)
        # crop·0 carries the dynamic batch through the ONNX graph without shape arithmetic
        blank = torch.zeros_like(crop)
        return torch.cat(
            [coarse, fine, missing, blank + self.coordinates, blank + z[:, :, None, None]], 1
        )

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


def _conv(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(n_out)
    )
