"""Noise: the moments and correlation lengths that the reference states, and what raw frames show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.errors import InvalidConfig
from antipodal.render.noise import (
    PAPER_NOISE,
    STRUCTURED_LIGHT,
    NoiseModel,
    SensorNoise,
    _steep,
    add_noise,
    gaussian_field,
    observe,
    rbf_root,
    upsampling_matrix,
)

CROPS = np.full((4000, 32, 32), 0.7, np.float32)
QUIET = SensorNoise(
    correlated_sigma=0, scale_sigma=0, quantization=0, edge_dropout=0, flying_rate=0
)


def image(depth) -> DepthImage:
    depth = np.asarray(depth, np.float32)
    h, w = depth.shape
    return DepthImage(depth, CameraIntrinsics(525, 525, (w - 1) / 2, (h - 1) / 2, w, h))


def step_image() -> DepthImage:
    """A block 5 cm above a table, seen straight down."""
    depth = np.full((120, 160), 0.7)
    depth[40:80, 50:110] = 0.65
    return image(depth)


def correlation(field, lag):
    """Mean autocorrelation at ``lag`` px along rows and columns, over many fields and away from the border."""
    inner = field[:, 8:-8, 8:-8]
    rows = (inner[:, :, :-lag] * inner[:, :, lag:]).mean() / (inner**2).mean()
    columns = (inner[:, :-lag] * inner[:, lag:]).mean() / (inner**2).mean()
    assert rows == pytest.approx(columns, abs=0.02)
    return (rows + columns) / 2


def test_alpha_has_mean_1_and_standard_deviation_0_0316(rng):
    noisy = add_noise(np.ones((20_000, 1, 1)), rng, NoiseModel(gaussian_rate=0))
    assert noisy.mean() == pytest.approx(1.0, abs=4 * 0.0316 / np.sqrt(20_000))
    assert noisy.std() == pytest.approx(1 / np.sqrt(1000), rel=0.02)


def test_alpha_is_one_factor_for_the_whole_crop(rng):
    ramp = np.linspace(0.5, 0.9, 32 * 32).reshape(1, 32, 32)
    ratio = add_noise(ramp, rng, NoiseModel(gaussian_rate=0)) / ramp
    assert np.ptp(ratio) < 1e-6 and ratio.mean() != 1


@pytest.mark.parametrize(
    ("kind", "rms", "at_2px"),
    [("bilinear", 0.66, 0.72), ("bicubic", 0.81, None), ("rbf", 1.0, 0.37)],
)
def test_the_field_has_the_references_rms_and_correlation(rng, kind, rms, at_2px):
    field = gaussian_field(4000, 32, 32, rng, NoiseModel(gaussian_field=kind))
    inner = field[:, 8:-8, 8:-8]
    assert inner.std() / 0.005 == pytest.approx(rms, abs=0.01)
    if at_2px is not None:
        # 0.025: the reference rounds, and up-sampling is not stationary, so that the mean depends on the window
        assert correlation(field, 2) == pytest.approx(at_2px, abs=0.025)


def test_the_rbf_field_follows_its_kernel_at_every_lag(rng):
    field = gaussian_field(4000, 32, 32, rng, NoiseModel(gaussian_field="rbf", length_scale_px=3.0))
    for lag in (1, 2, 3, 5):
        assert correlation(field, lag) == pytest.approx(np.exp(-(lag**2) / 18), abs=0.02)


def test_the_root_squares_to_the_kernel():
    i = np.arange(40)
    kernel = np.exp(-((i[:, None] - i) ** 2) / (2 * 2.0))
    root = rbf_root(40, np.sqrt(2)).astype(float)
    np.testing.assert_allclose(root @ root.T, kernel, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)],
)
def test_upsampling_is_pillows(rng, kind, theirs):
    grid = rng.normal(size=(8, 8)).astype(np.float32)
    a = upsampling_matrix(32, 4, kind)
    resized = np.asarray(Image.fromarray(grid).resize((32, 32), theirs))
    np.testing.assert_allclose(a @ grid @ a.T, resized, atol=2e-6)


def test_the_field_falls_on_about_half_of_the_crops(rng):
    noisy = add_noise(CROPS, rng, NoiseModel(gamma_shape=0))
    touched = (noisy != CROPS).any((1, 2))
    assert touched.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(CROPS)))


def test_the_field_falls_on_its_share_of_the_crops(rng):
    noisy = add_noise(CROPS[:1000], rng, NoiseModel(gamma_shape=0, gaussian_rate=0.2))
    hit = (noisy != CROPS[:1000]).any((1, 2)).mean()
    assert hit == pytest.approx(0.2, abs=4 * 0.4 / np.sqrt(1000))


def test_missing_pixels_stay_missing_and_none_becomes_negative(rng):
    crops = CROPS[:200].copy()
    crops[:, 5:9, 5:9] = 0
    crops[:, 20:, :] = 0.001
    noisy = add_noise(crops, rng, NoiseModel(gaussian_rate=1, gaussian_sigma=0.01))
    assert (noisy[:, 5:9, 5:9] == 0).all()
    assert (noisy >= 0).all() and noisy.dtype == np.float32


def test_switched_off_noise_returns_the_crop(rng):
    off = NoiseModel(gamma_shape=0, gaussian_sigma=0)
    np.testing.assert_array_equal(add_noise(CROPS[:3], rng, off), CROPS[:3])


def test_the_input_is_not_written_to(rng):
    crops = CROPS[:3].copy()
    crops.setflags(write=False)
    noisy = add_noise(crops, rng, replace(PAPER_NOISE, dropout_rate=1.0))
    np.testing.assert_array_equal(crops, CROPS[:3])
    assert not np.shares_memory(noisy, crops)


def test_drop_out_makes_blobs_in_its_share_of_the_crops(rng):
    config = NoiseModel(gamma_shape=0, gaussian_rate=0, dropout_rate=0.25, dropout_mean_blobs=2.0)
    lost = add_noise(CROPS, rng, config) == 0
    # a blob smaller than a pixel or with no pixel centre inside may remove nothing: at most the Poisson share
    expected = 0.25 * (1 - np.exp(-2.0))
    assert 0.9 * expected < lost.any((1, 2)).mean() < 1.1 * expected
    neighbours = lost[:, :, 1:] & lost[:, :, :-1]
    assert neighbours.sum() > 0.7 * lost.sum()


def test_the_same_seed_gives_the_same_noise():
    a, b = (add_noise(CROPS[:5], np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    scene = step_image()
    c, d = (observe(scene, np.random.default_rng(3)).depth for _ in range(2))
    np.testing.assert_array_equal(c, d)


def test_a_quiet_sensor_sees_the_truth(rng):
    scene = step_image()
    np.testing.assert_allclose(observe(scene, rng, QUIET).depth, scene.depth, rtol=1e-6)


def test_sensor_noise_has_its_sigma_and_length(rng):
    config = replace(QUIET, correlated_sigma=0.0025, correlation_length_px=4.0)
    flat = image(np.full((240, 320), 0.7))
    error = np.stack([observe(flat, rng, config).depth - 0.7 for _ in range(6)])
    assert error.std() == pytest.approx(0.0025, rel=0.05)
    for lag in (2, 4, 6):
        assert correlation(error, lag) == pytest.approx(np.exp(-(lag**2) / 32), abs=0.05)


def test_the_scale_error_is_one_factor_per_image(rng):
    config = replace(QUIET, scale_sigma=0.003)
    flat = image(np.full((8, 8), 0.7))
    factors = np.stack([observe(flat, rng, config).depth / 0.7 for _ in range(2000)])
    assert np.ptp(factors, axis=(1, 2)).max() < 1e-6
    assert factors.mean() == pytest.approx(1, abs=3e-4)
    assert factors.std() == pytest.approx(0.003, rel=0.06)


def test_quantisation_rounds_to_steps_that_grow_with_the_square_of_depth(rng):
    config = replace(QUIET, quantization=2.85e-3)
    for z in (0.6, 1.2):
        ramp = image(np.tile(np.linspace(z, z + 0.03, 400), (4, 1)))
        values = np.unique(observe(ramp, rng, config).depth)
        assert np.diff(values).mean() == pytest.approx(2.85e-3 * (z + 0.015) ** 2, rel=0.05)
        error = observe(ramp, rng, config).depth - ramp.depth
        assert np.abs(error).max() <= 0.51 * 2.85e-3 * (z + 0.03) ** 2


def test_only_pixels_beside_a_step_are_lost_or_fly(rng):
    scene = step_image()
    seen = observe(scene, rng, replace(QUIET, edge_dropout=0.3, flying_rate=0.2)).depth
    depth = scene.depth
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(depth, 1, mode="edge"), (3, 3))
    edge = np.ptp(windows, axis=(2, 3)) > 0.01
    np.testing.assert_allclose(seen[~edge], depth[~edge], rtol=1e-6)
    n = edge.sum()
    lost, flying = (seen == 0)[edge], ((seen > 0) & (np.abs(seen - depth) > 1e-6))[edge]
    assert lost.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / n))
    assert flying.mean() == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / n))
    assert (seen[edge][flying] >= 0.65).all() and (seen[edge][flying] <= 0.7).all()


def test_grazing_surfaces_give_no_return_and_gentle_ones_do(rng):
    # z = z0 + s·x in the camera frame: in the middle of the image the incidence is atan(s)
    x = (np.arange(41) - 20) / 525.0
    camera = CameraIntrinsics(525, 525, 20, 9.5, 41, 20)
    for angle, returns in ((75.0, True), (84.0, False)):
        depth = np.tile(0.7 / (1 - np.tan(np.deg2rad(angle)) * x), (20, 1))
        depth[:5] = 0.7
        seen = observe(DepthImage(depth, camera), rng, replace(QUIET, edge_step=9.0)).depth
        assert (seen[7:, 18:23] > 0).all() == (seen[7:, 18:23] > 0).any() == returns
        assert (seen[:4] > 0).all()


def test_steep_pixels_are_those_of_the_plain_formula_on_vectors(rng):
    """The angle between ray and n = ∂p/∂u × ∂p/∂v, each the smaller one-sided difference, on whole images."""
    v, u = np.mgrid[:53, :70]
    depth = 0.7 + 0.002 * rng.standard_normal(u.shape) + 0.05 * (np.hypot(u - 30, v - 25) < 14)
    depth[5:9, 40:60] = 0.0  # a hole
    depth += np.where(u > 45, 0.004 * (u - 45), 0.0)  # a slope
    seen = image(depth)
    points = seen.points_camera()

    def one_sided(axis):
        step = np.diff(points, axis=axis)
        before = np.concatenate([np.take(step, [0], axis), step], axis)
        after = np.concatenate([step, np.take(step, [-1], axis)], axis)
        smaller = np.abs(before[..., 2:]) < np.abs(after[..., 2:])
        return np.where(smaller, before, after)

    normal = np.cross(one_sided(1), one_sided(0))
    length = np.linalg.norm(normal, axis=-1) * np.linalg.norm(points, axis=-1)
    cosine = np.abs((normal * points).sum(-1)) / np.where(length > 0, length, 1)
    angle = np.where(length > 0, np.arccos(np.clip(cosine, 0, 1)), 0.0)
    for limit in (0.3, 0.8, 1.2, 1.396):
        assert np.array_equal(_steep(seen, limit), angle > limit)
        assert 0 < (angle > limit).mean() < 1


def test_holes_stay_holes_and_do_not_eat_their_surroundings(rng):
    depth = np.full((60, 80), 0.7)
    depth[20:30, 20:30] = 0
    seen = observe(image(depth), rng).depth
    assert (seen[20:30, 20:30] == 0).all()
    beside = np.ones_like(depth, bool)
    beside[20:30, 20:30] = False
    assert (seen[beside] > 0).all()


def test_raw_frames_have_the_steps_of_the_default_and_less_noise(shared):
    path = shared / "data" / "depth" / "gqcnn_raw_multiple_objects" / "stack_mm_uint16.npz"
    stack = np.load(path)["depth_mm"].astype(float) / 1000
    always = (stack > 0).all(0)
    mean = stack.mean(0)
    values = np.unique(stack[0][(stack[0] >= 0.6) & (stack[0] < 0.64)])
    step = 0.04 / len(values)
    assert step == pytest.approx(STRUCTURED_LIGHT.quantization * 0.62**2, rel=0.05)
    gradient = np.hypot(*np.gradient(mean))
    flat = always & (gradient < 1e-3) & (stack.std(0) < 0.005)
    temporal = np.sqrt(stack.var(0, ddof=1)[flat].mean())
    assert 0.0002 < temporal < 0.0006 < STRUCTURED_LIGHT.correlated_sigma
    # at depth edges: missing and jumping pixels
    inner = np.s_[20:460, 40:600]
    windows = np.lib.stride_tricks.sliding_window_view(mean, (3, 3))[19:459, 39:599]
    whole = windows.min((2, 3)) > 0
    edge = whole & (np.ptp(windows, axis=(2, 3)) > STRUCTURED_LIGHT.edge_step)
    jumps = (stack.std(0)[inner] > 0.002)[edge].mean()
    assert jumps == pytest.approx(STRUCTURED_LIGHT.flying_rate, abs=0.1)
    assert 20 * (stack.std(0)[inner] > 0.002)[whole & ~edge].mean() < jumps


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoiseModel(gaussian_sigma=-1), "gaussian_sigma"),
        (lambda: NoiseModel(gaussian_rate=1.5), "a share in"),
        (lambda: NoiseModel(gaussian_field="cubic"), "bicubic, bilinear or rbf"),  # type: ignore[arg-type]
        (lambda: NoiseModel(grid_step_px=0), "at least 1"),
        (lambda: SensorNoise(edge_dropout=0.7, flying_rate=0.7), "at most 1"),
        (lambda: SensorNoise(correlation_length_px=0), "correlation_length_px 0: .* positive"),
        (lambda: SensorNoise(edge_step="wide"), "edge_step wide: .* number"),  # type: ignore[arg-type]
        (lambda: SensorNoise(grazing_angle=80.0), "at most π/2"),
    ],
)
def test_impossible_noise_is_refused_in_words(make, message):
    with pytest.raises(InvalidConfig, match=message):
        make()
