"""The Grasp Quality CNN: an aligned depth crop and the grasp's depth to a robustness [Mahler17, §IV-B1, Fig. 4].

    crop  ─ conv1_1 ─ conv1_2 ─ conv2_1 ─ conv2_2 ─ fc3 ┐
    depth ─ pc1 ────────────────────────────────────────┴ fc4 ─ fc5 ─ softmax, index 1 = success

The default has one pooling and 18,025,826 parameters as in the paper; ``pool_after_conv2=True`` is the variant that
Berkeley's code has trained since 2018 (5,442,914). Both inputs are metres; their normalisation is inside the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ..errors import IncompatibleCheckpoint, InvalidConfig


@dataclass(frozen=True)
class GQCNNConfig:
    """Layer sizes. The defaults are GQ-CNN 2.0 as published."""

    input_size: int = 32
    """Side of the crop, px."""
    kernels: tuple[int, int, int, int] = (7, 5, 3, 3)
    """Side of the filters of conv1_1, conv1_2, conv2_1, conv2_2; odd, px."""
    n_filters: int = 64
    """Channels of every convolution."""
    pad: bool = True
    """Zero-pad so that a convolution keeps the size ("SAME"); else "VALID"."""
    pool_after_conv2: bool = False
    """Pool 2×2 after conv2_2 as well as after conv1_2."""
    normalisation_alpha: float = 2e-5
    """α of the local response normalisation after conv1_2 and conv2_2; 0 leaves it out."""
    relu_coefficient: float = 0.0
    """Slope of every rectifier for negative input, [0, 1)."""
    n_fc3: int = 1024
    n_pc1: int = 16
    n_fc4: int = 1024

    def __post_init__(self) -> None:
        if any(k < 1 or k % 2 == 0 for k in self.kernels):
            raise InvalidConfig(f"GQ-CNN kernels {self.kernels}: expected four odd sizes")
        if self.feature_size < 1:
            raise InvalidConfig(
                f"GQ-CNN input_size {self.input_size}: too small for kernels {self.kernels} with pooling"
            )

    @property
    def feature_size(self) -> int:
        """Side of conv2_2's output, px."""
        size = self.input_size
        for i, kernel in enumerate(self.kernels):
            size -= 0 if self.pad else kernel - 1
            if i == 1 or (i == 3 and self.pool_after_conv2):
                size = -(-size // 2)
        return size


GQCNN_2_0 = GQCNNConfig()
"""The paper's network: 18,025,826 parameters."""
GQCNN_2_0_TWO_POOLS = GQCNNConfig(pool_after_conv2=True)
"""Its later form with two poolings: 5,442,914 parameters."""


class ConvLayer(nn.Module):
    """Convolution, rectifier, local response normalisation, pooling: in this order (reference §7.1)."""

    def __init__(self, n_in: int, kernel: int, config: GQCNNConfig, normalise: bool, pool: bool):
        super().__init__()
        padding = kernel // 2 if config.pad else 0
        self.conv = nn.Conv2d(n_in, config.n_filters, kernel, padding=padding)
        self.slope = config.relu_coefficient
        alpha = config.normalisation_alpha
        self.normalise = LocalResponseNorm(config.n_filters, alpha) if normalise and alpha else None
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if pool else None

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.conv(x), self.slope, inplace=True)
        if self.normalise is not None:
            x = self.normalise(x)
        return x if self.pool is None else self.pool(x)


class LocalResponseNorm(nn.Module):
    """x_c / (1 + α Σ_{|k|≤2} x²_{c+k})^¾ over neighbouring channels [Krizhevsky12, §3.3].

    The sum is a 1×1 convolution with a banded matrix: half the time of ``torch.nn.LocalResponseNorm``, which divides α
    by the number of channels in the sum besides. β is ¾ alone: two square roots instead of a power, whose logarithm is
    a quarter of the network's time in bfloat16.
    """

    band: Tensor

    def __init__(self, n_channels: int, alpha: float, radius: int = 2):
        super().__init__()
        channel = torch.arange(n_channels)
        band = ((channel[:, None] - channel[None]).abs() <= radius).float()
        self.register_buffer("band", alpha * band[:, :, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        band = self.band.to(x.dtype)
        if x.requires_grad and torch.is_grad_enabled():
            return _Normalised.apply(x, band)  # type: ignore[no-any-return]
        return x * _three_quarters(_sums(x, band))


class _Normalised(torch.autograd.Function):
    """x s^(−¾) with s = 1 + B x², B symmetric: ∂/∂x of g is g s^(−¾) − 3/2 x B(g x s^(−7/4)).

    Written out it needs no power and works mostly in place: on a CPU its time is that of the memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, band: Tensor) -> Tensor:  # type: ignore[override]
        s = _sums(x, band)
        p = _three_quarters(s)
        ctx.save_for_backward(x, band, s, p)
        return x * p

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        x, band, s, p = ctx.saved_tensors
        inner = (g * x).mul_(p).div_(s)
        outer = functional.conv2d(inner, band).mul_(x).mul_(-1.5)
        return outer.addcmul_(g, p), None


def _sums(x: Tensor, band: Tensor) -> Tensor:
    return functional.conv2d(x * x, band, torch.ones(len(band), dtype=x.dtype, device=x.device))


def _three_quarters(s: Tensor) -> Tensor:
    """s^(−¾), of the type of s: CUDA's autocast takes the last root in float32."""
    return (s * s.sqrt()).rsqrt().to(s.dtype)


class GQCNN(nn.Module):
    """The network. ``forward`` gives log-odds; ``logits`` the two numbers before the softmax."""

    TOLD_OF_HAND = False

    image_mean: Tensor
    image_std: Tensor
    depth_mean: Tensor
    depth_std: Tensor

    def __init__(self, config: GQCNNConfig = GQCNN_2_0) -> None:
        super().__init__()
        self.config = config
        n, kernels = config.n_filters, config.kernels
        self.conv1_1 = ConvLayer(1, kernels[0], config, normalise=False, pool=False)
        self.conv1_2 = ConvLayer(n, kernels[1], config, normalise=True, pool=True)
        self.conv2_1 = ConvLayer(n, kernels[2], config, normalise=False, pool=False)
        self.conv2_2 = ConvLayer(n, kernels[3], config, True, config.pool_after_conv2)
        self.fc3 = nn.Linear(n * config.feature_size**2, config.n_fc3)
        self.pc1 = nn.Linear(1, config.n_pc1)
        self.fc4 = nn.Linear(config.n_fc3 + config.n_pc1, config.n_fc4)
        self.fc5 = nn.Linear(config.n_fc4, 2)
        for name, value in (("mean", 0.0), ("std", 1.0)):
            self.register_buffer(f"image_{name}", torch.tensor(value))
            self.register_buffer(f"depth_{name}", torch.tensor(value))

    def logits(
        self, crop: Float[Tensor, "N 1 S S"], depth: Float[Tensor, "N 1"]
    ) -> Float[Tensor, "N 2"]:
        """Return (failure, success) before the softmax.

        Args:
            crop: absolute depth, m; a missing pixel (0) counts as the training images' mean, where the original had
                it 16 standard deviations nearer than the table.
            depth: of the grasp, m.
        """
        slope, dtype = self.config.relu_coefficient, self.fc3.weight.dtype
        image = torch.where(crop > 0, (crop - self.image_mean) / self.image_std, 0.0).to(dtype)
        x = self.conv2_2(self.conv2_1(self.conv1_2(self.conv1_1(image))))
        x = functional.leaky_relu(self.fc3(x.flatten(1)), slope)
        z = ((depth - self.depth_mean) / self.depth_std).to(dtype)
        z = functional.leaky_relu(self.pc1(z), slope)
        return self.fc5(functional.leaky_relu(self.fc4(torch.cat([x, z], 1)), slope))

    def forward(
        self,
        crop: Float[Tensor, "N 1 S S"],
        depth: Float[Tensor, "N 1"],
        hand: Float[Tensor, "N 5"] | None = None,
    ) -> Float[Tensor, "N"]:
        """Return the log-odds of success: their sigmoid is the softmax' second output. The hand is not asked."""
        failure, success = self.logits(crop, depth).unbind(1)
        return success - failure

    def initialise(self, generator: torch.Generator) -> None:
        """Draw weights and biases from a truncated normal of variance 2/n_in, the last bias 0 [Mahler17, §IV-B3]."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                std = (2 / layer.weight[0].numel()) ** 0.5
                nn.init.trunc_normal_(layer.weight, 0.0, std, -2 * std, 2 * std, generator)
                assert layer.bias is not None
                nn.init.trunc_normal_(layer.bias, 0.0, std, -2 * std, 2 * std, generator)
        nn.init.zeros_(self.fc5.bias)


def load_tf_weights(network: GQCNN, weights: Mapping[str, np.ndarray]) -> None:
    """Copy weights in TensorFlow's layouts into ``network``.

    Convolutions are (height, width, in, out), dense layers (in, out), and fc3 reads conv2_2's output flattened as
    (row, column, channel). fc4 comes as two matrices, one for each input, that share one bias.

    Args:
        weights: ``conv1_1_weights``, ``conv1_1_bias``, …, ``fc4_input_1_weights``, ``fc4_input_2_weights``, ….

    Raises:
        IncompatibleCheckpoint: a weight is missing or has another shape; names both shapes.
    """
    config = network.config
    size, n = config.feature_size, config.n_filters
    load_tf_convolutions(network, weights)
    with torch.no_grad():
        fc3 = tf_weight(weights, "fc3_weights", size * size * n, config.n_fc3)
        fc3 = fc3.reshape(size, size, n, config.n_fc3)
        network.fc3.weight.copy_(fc3.permute(3, 2, 0, 1).flatten(1))
        image = tf_weight(weights, "fc4_input_1_weights", config.n_fc3, config.n_fc4)
        pose = tf_weight(weights, "fc4_input_2_weights", config.n_pc1, config.n_fc4)
        network.fc4.weight.copy_(torch.cat([image, pose]).T)
        network.pc1.weight.copy_(tf_weight(weights, "pc1_weights", 1, config.n_pc1).T)
        network.fc5.weight.copy_(tf_weight(weights, "fc5_weights", config.n_fc4, 2).T)
        for name in ("fc3", "pc1", "fc4", "fc5"):
            layer = getattr(network, name)
            layer.bias.copy_(tf_weight(weights, f"{name}_bias", layer.out_features))


def load_tf_convolutions(network: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Copy conv1_1 to conv2_2, (height, width, in, out) in TensorFlow, into layers of the same names."""
    with torch.no_grad():
        for name in ("conv1_1", "conv1_2", "conv2_1", "conv2_2"):
            conv = getattr(network, name).conv
            n_out, n_in, *sides = conv.weight.shape
            weight = tf_weight(weights, f"{name}_weights", *sides, n_in, n_out)
            conv.weight.copy_(weight.permute(3, 2, 0, 1))
            conv.bias.copy_(tf_weight(weights, f"{name}_bias", n_out))


def tf_weight(weights: Mapping[str, np.ndarray], name: str, *shape: int) -> Tensor:
    """Return one weight as a tensor, after checking its shape.

    Raises:
        IncompatibleCheckpoint: it is missing or has another shape.
    """
    if name not in weights:
        raise IncompatibleCheckpoint(
            f"weight {name} is missing: expected shape {shape}; found {', '.join(sorted(weights))}"
        )
    value = np.array(weights[name], np.float32)
    if value.shape != shape:
        raise IncompatibleCheckpoint(
            f"weight {name} has shape {value.shape}: this network expects {shape}"
        )
    return torch.from_numpy(value)
