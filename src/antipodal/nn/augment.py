"""Noise and mirror images for training batches, drawn on the device that trains [Mahler17, §IV-B3].

The same model as :func:`antipodal.render.noise.add_noise`, in torch. A crop is aligned with its grasp, so mirroring it
left-right (the jaws swap) or up-down changes neither the label nor the depth; both together are the rotation by 180°.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ..render.noise import NoiseModel, rbf_root, upsampling_matrix
from ..values import SHARE, expect

MAX_BLOBS = 4
"""Drop-out draws at most this many discs per crop: a Poisson count of mean 1 exceeds it in 0.4 % of them."""


@dataclass(frozen=True)
class Augmentation:
    """What a training batch goes through. The default is the paper's."""

    noise: NoiseModel = field(default_factory=NoiseModel)
    flip_rate: float = 0.5
    """Probability of each of the two mirror images."""

    flying_share: float = 0.0
    """At depth edges a crop's pixel moves by this share towards a depth between its neighbours', at every second
    one: some of the image's pixels that it averages fly there."""
    edge_step: float = 0.01
    """A depth range above this among a pixel and its eight neighbours is an edge, m."""

    def __post_init__(self) -> None:
        expect(self, "augmentation", SHARE, "flip_rate", "flying_share")


PAPER = Augmentation()
"""Gamma 1000 on every crop (±22 mm at 0.7 m, while the grasp's depth stays) and a bicubic field on every second one."""
PAPER_LOW = replace(PAPER, noise=replace(PAPER.noise, gaussian_sigma=0.0))
PAPER_HIGH = replace(PAPER, noise=replace(PAPER.noise, gaussian_sigma=0.01))
"""The paper's ablations of the field, GQ-Adv-LowU and -HighU [Mahler17, §VI-C]."""
SENSOR = Augmentation(
    NoiseModel(
        gamma_shape=1 / 0.003**2,  # a scale error of 0.3 %: 2.1 mm at 0.7 m
        gaussian_sigma=0.0025,
        gaussian_rate=1.0,
        gaussian_field="rbf",
        length_scale_px=2.1,  # 4 px of an image at 0.7 m, 5.3 mm, on a crop of 2.5 mm a pixel
        dropout_rate=0.1,
    ),
    flying_share=0.7,
)
"""A calibrated camera's noise (:class:`antipodal.render.noise.SensorNoise`), which leaves relative depth readable."""
NONE = Augmentation(
    NoiseModel(gamma_shape=0.0, gaussian_sigma=0.0, gaussian_rate=0.0), flip_rate=0.0
)
AUGMENTATIONS = {
    "paper": PAPER,
    "paper_low": PAPER_LOW,
    "paper_high": PAPER_HIGH,
    "sensor": SENSOR,
    "none": NONE,
}


def augment(
    crop: Float[Tensor, "N 1 S S"], config: Augmentation, generator: torch.Generator
) -> Float[Tensor, "N 1 S S"]:
    """Return noisy, mirrored crops: edges, Gamma, field, drop-out, flips, in this order. Missing pixels stay 0.

    Args:
        crop: absolute depth, m.
        config: which noise.
        generator: random state on the crop's device.
    """
    noise, n = config.noise, len(crop)
    if config.flying_share > 0:
        crop = _flying(crop, config, generator)
    if noise.gamma_shape > 0:
        shape = torch.full((n, 1, 1, 1), noise.gamma_shape, device=crop.device)
        # torch.distributions.Gamma takes no generator; this is the function that it calls
        crop = crop * torch._standard_gamma(shape, generator=generator) / noise.gamma_shape  # type: ignore[call-arg]
    if noise.gaussian_sigma > 0 and noise.gaussian_rate > 0:
        has_field = _coin(n, noise.gaussian_rate, crop, generator)
        noisy = (crop + gaussian_field(crop, noise, generator) * has_field).clamp_min(0.0)
        crop = torch.where(crop > 0, noisy, crop)
    if noise.dropout_rate > 0:
        crop = crop * (1 - _blobs(crop, noise, generator))
    for axis in (-1, -2):
        crop = torch.where(_coin(n, config.flip_rate, crop, generator) > 0, crop.flip(axis), crop)
    return crop


def gaussian_field(
    like: Float[Tensor, "N 1 S S"], noise: NoiseModel, generator: torch.Generator
) -> Float[Tensor, "N 1 S S"]:
    """Draw one smooth field per crop, m: A g Aᵀ with white g."""
    size = like.shape[-1]
    if noise.gaussian_field == "rbf":
        matrix = rbf_root(size, noise.length_scale_px)
    else:
        matrix = upsampling_matrix(size, noise.grid_step_px, noise.gaussian_field)
    a = torch.tensor(matrix, device=like.device)
    shape = (len(like), 1, a.shape[1], a.shape[1])
    white = torch.randn(shape, generator=generator, device=like.device)
    return noise.gaussian_sigma * (a @ white @ a.T)


def _flying(
    crop: Float[Tensor, "N 1 S S"], config: Augmentation, generator: torch.Generator
) -> Float[Tensor, "N 1 S S"]:
    """Blur depth edges as a camera does: see ``Augmentation.flying_share``."""
    seen = crop > 0
    high = functional.max_pool2d(crop, 3, 1, 1)
    low = -functional.max_pool2d(torch.where(seen, -crop, -math.inf), 3, 1, 1)
    u = torch.rand((2, *crop.shape), generator=generator, device=crop.device)
    flies = seen & (high - low > config.edge_step) & (u[0] < 0.5)
    between = low + u[1] * (high - low)
    return torch.where(flies, crop + config.flying_share * (between - crop), crop)


def _coin(n: int, rate: float, like: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.rand((n, 1, 1, 1), generator=generator, device=like.device) < rate).to(like.dtype)


def _blobs(like: Tensor, noise: NoiseModel, generator: torch.Generator) -> Tensor:
    """1 inside discs of radius Gamma(3, 1) px, Poisson many in a share of the crops (reference §5.5)."""
    n, size, device = len(like), like.shape[-1], like.device
    mean = torch.full((n, 1, 1, 1), noise.dropout_mean_blobs, device=device)
    count = torch.poisson(mean, generator=generator)
    count = count * _coin(n, noise.dropout_rate, like, generator)
    axis = torch.arange(size, device=device, dtype=like.dtype)
    lost = torch.zeros_like(like)
    for k in range(MAX_BLOBS):
        center = torch.rand((2, n, 1, 1, 1), generator=generator, device=device) * size
        three = torch.full((n, 1, 1, 1), 3.0, device=device)
        radius = torch._standard_gamma(three, generator=generator)  # type: ignore[call-arg]
        distance = (axis[:, None] - center[0]) ** 2 + (axis - center[1]) ** 2
        lost = torch.maximum(lost, ((distance <= radius**2) & (k < count)).to(like.dtype))
    return lost
