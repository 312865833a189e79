"""What a depth camera adds to the true depth: the paper's training noise, and a calibrated camera's.

Training noise (:class:`NoiseModel`, :func:`add_noise`) is y = α ŷ + ε [Mahler17, supp. §I; reference §5.3]: a
Gamma factor for the whole image and a smooth Gaussian field. α shifts the scene by ±22 mm at 0.7 m while the gripper's
depth stays: an augmentation, not a sensor.

A camera (:class:`SensorNoise`, :func:`observe`) has a small depth-scale error, correlated noise, disparity steps,
drop-out and flying pixels at depth edges. Measured on 25 raw PrimeSense frames of one still scene at 0.60–0.69 m:

* from frame to frame σ = 0.41 mm away from edges, independent between frames, correlation 0.43 at 1 px, 0.2 at 2 px;
  σ = 8 mm rms where the depth changes by more than 3 mm/px;
* against the fitted plane 2.1 mm rms, constant in time: 1.0 mm of it is finer than 15 px (correlation ½ at 4 px, an
  RBF with ℓ ≈ 3.4 px), the rest is a slow bend of the whole image. The default of 2.5 mm at 4 px covers both;
* values are 1.08 mm apart at 0.62 m, i.e. steps of 2.85e-3 z² (disparity in eighths of a pixel);
* 14 % of the pixels are missing, nearly all along the image's border (registration); inside it 1.5 %, in blobs;
* where the depth spans more than 10 mm within 3×3 pixels, 7 % are missing and 37 % jump by σ > 2 mm from frame to
  frame (elsewhere 0.2 %). There is no shadow of the projector beside objects: the driver fills it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from ..camera import DepthImage
from ..errors import InvalidConfig
from ..values import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, expect

GaussianField = Literal["bicubic", "bilinear", "rbf"]

_BAND = 16  # rows of an image worked on at a time


@dataclass(frozen=True)
class NoiseModel:
    """The paper's noise on training crops; 0 switches a part off. Its ablations: LowU σ = 0, HighU σ = 0.01."""

    gamma_shape: float = 1000.0
    """α ~ Gamma(shape, 1/shape): mean 1, standard deviation 1/√shape = 0.0316. 0: α = 1."""
    gaussian_sigma: float = 0.005
    """σ of the field's grid (up-sampled forms) or of the field itself ("rbf"), m."""
    gaussian_rate: float = 0.5
    """Probability that a crop gets the field: 0.5 in the released code only."""
    gaussian_field: GaussianField = "bicubic"
    """Released: an independent grid up-sampled ("bicubic"; the paper says bilinear). "rbf": the exact process."""
    grid_step_px: int = 4
    """Up-sampling factor: an 8×8 grid for a 32×32 crop."""
    length_scale_px: float = float(np.sqrt(2.0))
    """ℓ of the kernel exp(−d²/2ℓ²), px; only for "rbf"."""
    dropout_rate: float = 0.0
    """Probability that a crop loses blobs of depth; 0.25 in Dex-Net's legacy augmentation (reference §5.5)."""
    dropout_mean_blobs: float = 1.0
    """Poisson mean of the number of blobs in such a crop; their radius is Gamma(3, 1) px."""

    def __post_init__(self) -> None:
        expect(self, "noise", NOT_NEGATIVE, "gamma_shape", "gaussian_sigma", "dropout_mean_blobs")
        expect(self, "noise", SHARE, "gaussian_rate", "dropout_rate")
        if self.gaussian_field not in ("bicubic", "bilinear", "rbf"):
            raise InvalidConfig(
                f"noise gaussian_field '{self.gaussian_field}': expected bicubic, bilinear or rbf"
            )
        expect(self, "noise", AT_LEAST_ONE, "grid_step_px")
        expect(self, "noise", POSITIVE, "length_scale_px")


PAPER_NOISE = NoiseModel()


@dataclass(frozen=True)
class SensorNoise:
    """A calibrated structured-light or stereo camera. Zero switches a part off."""

    correlated_sigma: float = 0.0025
    """Standard deviation of the correlated noise, m."""
    correlation_length_px: float = 4.0
    """ℓ of its kernel exp(−d²/2ℓ²), px."""
    scale_sigma: float = 0.003
    """Standard deviation of the factor on all depths (calibration): 2.1 mm at 0.7 m."""
    quantization: float = 2.85e-3
    """Depth step over z², 1/m: 1.4 mm at 0.7 m."""
    edge_step: float = 0.01
    """A depth range above this among a pixel and its eight neighbours is an edge, m."""
    edge_dropout: float = 0.1
    """Share of edge pixels without a return."""
    flying_rate: float = 0.35
    """Share of edge pixels that read a depth between their neighbours'."""
    grazing_angle: float = float(np.deg2rad(80.0))
    """Surfaces steeper than this to the ray give no return, rad."""

    def __post_init__(self) -> None:
        sizes = ("correlated_sigma", "scale_sigma", "quantization", "edge_step")
        expect(self, "sensor", NOT_NEGATIVE, *sizes, "edge_dropout", "flying_rate")
        expect(self, "sensor", POSITIVE, "correlation_length_px", "grazing_angle")
        if self.edge_dropout + self.flying_rate > 1:
            raise InvalidConfig(
                f"sensor edge_dropout {self.edge_dropout} + flying_rate {self.flying_rate}: expected at most 1 together"
            )
        if self.grazing_angle > np.pi / 2:
            raise InvalidConfig(f"sensor grazing_angle {self.grazing_angle}: expected at most π/2")


STRUCTURED_LIGHT = SensorNoise()


def add_noise(
    crops: Float[np.ndarray, "N H W"], rng: np.random.Generator, config: NoiseModel = PAPER_NOISE
) -> Float[np.ndarray, "N H W"]:
    """Return crops with the paper's noise, float32. Order as released: Gamma, field, drop-out; 0 stays 0.

    Args:
        crops: absolute depth, m; 0 = missing.
        rng: random state; the draws do not depend on what the crops show.
        config: which noise.
    """
    n, height, width = crops.shape
    noisy = np.asarray(crops, np.float32)
    if config.gamma_shape > 0:
        alpha = rng.gamma(config.gamma_shape, 1.0 / config.gamma_shape, n)
        noisy = noisy * alpha[:, None, None].astype(np.float32)
    if config.gaussian_sigma > 0 and config.gaussian_rate > 0:
        has_field = rng.random(n) < config.gaussian_rate
        field = gaussian_field(n, height, width, rng, config)
        noisy = noisy + field * (has_field[:, None, None] & (noisy > 0))
    if config.dropout_rate > 0:
        noisy = np.where(_blobs(n, height, width, rng, config), np.float32(0), noisy)
    return np.maximum(noisy, np.float32(0))


def gaussian_field(
    n: int, height: int, width: int, rng: np.random.Generator, config: NoiseModel = PAPER_NOISE
) -> Float[np.ndarray, "n height width"]:
    """Draw n smooth fields, m, float32: A g Bᵀ with white g and A, B the up-sampling or the kernel's square root.

    Both forms are separable, hence exact and cheap. Up-sampling shrinks the rms to 0.66 σ (bilinear) or
    0.81 σ (bicubic) away from the border.
    """
    if config.gaussian_field == "rbf":
        rows = rbf_root(height, config.length_scale_px)
        columns = rbf_root(width, config.length_scale_px)
    else:
        rows = upsampling_matrix(height, config.grid_step_px, config.gaussian_field)
        columns = upsampling_matrix(width, config.grid_step_px, config.gaussian_field)
    white = rng.standard_normal((n, rows.shape[1], columns.shape[1]), np.float32)
    return np.float32(config.gaussian_sigma) * (rows @ white @ columns.T)


@lru_cache(maxsize=16)
def upsampling_matrix(
    size: int, step: int, kind: Literal["bicubic", "bilinear"]
) -> Float[np.ndarray, "size coarse"]:
    """Interpolation weights from ⌈size/step⌉ to ``size`` samples; pixel centres aligned, rows sum to 1.

    Bicubic is Keys' kernel with a = −½, renormalised at the border, as PIL's.
    """
    n_coarse = -(-size // step)
    position = (np.arange(size) + 0.5) / step - 0.5
    d = np.abs(position[:, None] - np.arange(n_coarse))
    if kind == "bilinear":
        weights = np.maximum(1 - d, 0)
    else:
        a = -0.5
        inner = (a + 2) * d**3 - (a + 3) * d**2 + 1
        outer = a * (d**3 - 5 * d**2 + 8 * d - 4)
        weights = np.where(d < 1, inner, np.where(d < 2, outer, 0))
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    weights.setflags(write=False)
    return weights


@lru_cache(maxsize=16)
def rbf_root(size: int, length_scale: float) -> Float[np.ndarray, "size size"]:
    """Symmetric square root of the kernel matrix exp(−(i−j)²/2ℓ²); float32."""
    i = np.arange(size)
    kernel = np.exp(-((i[:, None] - i) ** 2) / (2 * length_scale**2))
    eigenvalues, vectors = np.linalg.eigh(kernel)
    root = (vectors * np.sqrt(np.maximum(eigenvalues, 0))) @ vectors.T
    root = root.astype(np.float32)
    root.setflags(write=False)
    return root


def observe(
    image: DepthImage, rng: np.random.Generator, config: SensorNoise = STRUCTURED_LIGHT
) -> DepthImage:
    """Return what a calibrated camera would read of a noise-free image; missing pixels stay missing."""
    import cv2  # heavy: loaded with the first use

    near = image.depth
    highest = cv2.dilate(near, np.ones((3, 3), np.uint8))
    # of the pixels that have a return; 0 where there are none
    negative = np.where(near > 0, -near, np.float32(-np.inf))
    lowest = np.minimum(-cv2.dilate(negative, np.ones((3, 3), np.uint8)), highest)
    span = highest - lowest
    edge = span > config.edge_step
    lost = ~image.valid | _steep(image, config.grazing_angle)
    fate = rng.random(near.shape)
    lost |= edge & (fate < config.edge_dropout)
    flying = edge & (fate >= 1 - config.flying_rate) & ~lost
    mix = rng.random(near.shape)
    z = near.astype(float)
    z[flying] = lowest[flying] + mix[flying] * span[flying]

    rows = rbf_root(z.shape[0], config.correlation_length_px)
    columns = rbf_root(z.shape[1], config.correlation_length_px)
    white = rng.standard_normal((rows.shape[1], columns.shape[1]), np.float32)
    z *= 1 + config.scale_sigma * rng.standard_normal()
    z += config.correlated_sigma * (rows @ white @ columns.T)
    if config.quantization > 0:
        # steps of equal disparity: 1/z is rounded to multiples of the quantization
        disparity = np.round(1 / np.maximum(z, 1e-3) / config.quantization)
        z = 1 / (np.maximum(disparity, 1) * config.quantization)
    z[lost] = 0.0
    return image.with_depth(z.astype(np.float32))


def _steep(image: DepthImage, grazing_angle: float) -> Bool[np.ndarray, "H W"]:
    """Where the ray meets the surface at more than an angle to its normal, by the smaller one-sided differences.

    The smaller difference on either side keeps a depth edge from looking like a steep surface. Band by band, one plane
    of numbers per coordinate, so that all of it stays in the processor's cache: eight times as fast as whole images of
    vectors.
    """
    K = image.intrinsics
    ray_x = (np.arange(K.width, dtype=float) - K.cx) / K.fx
    ray_y = ((np.arange(K.height, dtype=float) - K.cy) / K.fy)[:, None]
    steep = np.empty(image.depth.shape, bool)
    for top in range(0, K.height, _BAND):
        bottom = min(top + _BAND, K.height)
        rows = slice(max(0, top - 1), bottom + 1)  # with a neighbour on either side
        inner = slice(top - rows.start, bottom - rows.start)
        z = image.depth[rows].astype(float)
        x, y = ray_x * z, ray_y[rows] * z
        ax, ay, az = _one_sided(x, y, z, 1)
        dx, dy, dz = _one_sided(x, y, z, 0)
        nx, ny, nz = ay * dz - az * dy, az * dx - ax * dz, ax * dy - ay * dx
        length = np.sqrt(nx * nx + ny * ny + nz * nz) * np.sqrt(x * x + y * y + z * z)
        dot = np.abs(nx * x + ny * y + nz * z)
        steep[top:bottom] = (dot < np.cos(grazing_angle) * length)[inner]
    return steep


def _one_sided(x: np.ndarray, y: np.ndarray, z: np.ndarray, axis: int) -> list[np.ndarray]:
    """Differences of three coordinates along an axis, on the side where z changes less; at the border, inwards."""
    before, after = [], []
    for values in (x, y, z):
        step = np.diff(values, axis=axis)
        first, last = (step[:, :1], step[:, -1:]) if axis else (step[:1], step[-1:])
        before.append(np.concatenate([first, step], axis))
        after.append(np.concatenate([step, last], axis))
    smaller = np.abs(before[2]) < np.abs(after[2])
    return [np.where(smaller, b, a) for b, a in zip(before, after, strict=True)]


def _blobs(
    n: int, height: int, width: int, rng: np.random.Generator, config: NoiseModel
) -> np.ndarray:
    """Masks (n, height, width) of discs that lose their depth."""
    count = rng.poisson(config.dropout_mean_blobs, n) * (rng.random(n) < config.dropout_rate)
    owner = np.repeat(np.arange(n), count)
    center = rng.uniform(0, 1, (len(owner), 2)) * [height, width]
    radius = rng.gamma(3.0, 1.0, len(owner))
    v, u = np.mgrid[:height, :width]
    lost = np.zeros((n, height, width), bool)
    for i, (cv, cu), r in zip(owner, center, radius, strict=True):
        lost[i] |= (v - cv) ** 2 + (u - cu) ** 2 <= r**2
    return lost
