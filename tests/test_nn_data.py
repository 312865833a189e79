"""Datapoints as tensors, their order, their statistics, and the training noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from antipodal.errors import CorruptDataset, InvalidConfig
from antipodal.gripper import load_gripper
from antipodal.nn.augment import NONE, PAPER, SENSOR, Augmentation, augment, gaussian_field
from antipodal.nn.data import (
    GraspTable,
    grasp_table,
    normalisation,
    table_batches,
)
from antipodal.nn.networks import build_network, normalise
from antipodal.render.noise import NoiseModel
from antipodal.render.noise import gaussian_field as numpy_field
from synthetic_grasps import boxes_on_a_table, whole_table, write_boxes

pytestmark = pytest.mark.usefixtures("one_thread")


def table(n: int = 50, seed: int = 0) -> GraspTable:
    return grasp_table(*boxes_on_a_table(n, np.random.default_rng(seed)), hands(n))


def hands(n: int) -> np.ndarray:
    return np.tile(load_gripper("yumi").told, (n, 1))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_crops_are_absolute_again_and_missing_pixels_are_zero() -> None:
    relative = np.array([[[0.01, np.nan], [-0.02, 0.0]]], np.float16)
    batch = grasp_table(relative, np.array([0.7]), np.array([True]), hands(1))[:]
    expected = torch.tensor([[[[0.71, 0.0], [0.68, 0.7]]]])
    torch.testing.assert_close(batch.crop, expected, atol=2e-5, rtol=0)  # float16 of 2 cm
    assert batch.depth.shape == (1, 1) and batch.success.tolist() == [1.0]
    assert batch.crop.dtype == batch.depth.dtype == batch.success.dtype == torch.float32


def test_data_set_comes_back_as_it_was_written(tmp_path: Path) -> None:
    dataset = write_boxes(tmp_path / "boxes", 40, np.random.default_rng(5))
    want = boxes_on_a_table(40, np.random.default_rng(5))
    got = whole_table(dataset)
    np.testing.assert_array_equal(got.relative.numpy(), want.relative)
    np.testing.assert_allclose(got.depth.numpy(), want.depth, atol=1e-7)
    np.testing.assert_array_equal(got.success.numpy(), want.success.astype(np.float32))
    np.testing.assert_array_equal(got.hand.numpy(), hands(40).astype(np.float32))
    # labels are computed on read: every ε here is at most 0.004
    assert not whole_table(dataset, threshold=0.005).success.any()


def test_normalisation_is_the_mean_and_deviation_of_all_seen_pixels() -> None:
    data = table(300)
    data.relative[::3, 4:9, 2:7] = torch.nan
    crop = data[:].crop.double().numpy()
    got = normalisation(table_batches(data, 64))
    assert got.image_mean == pytest.approx(crop[crop > 0].mean(), rel=1e-9)
    assert got.image_std == pytest.approx(crop[crop > 0].std(), rel=1e-6)
    assert got.depth_mean == pytest.approx(data.depth.double().mean().item(), rel=1e-9)
    assert got.depth_std == pytest.approx(data.depth.double().numpy().std(), rel=1e-9)


def test_normalisation_of_a_constant_depth_can_divide() -> None:
    data = grasp_table(np.zeros((3, 4, 4)), np.full(3, 0.7), np.zeros(3, bool), hands(3))
    assert normalisation(table_batches(data)).depth_std > 0


def test_a_network_told_of_the_hand_is_normalised_by_the_depths_that_it_sees() -> None:
    network = build_network("compact")
    # the YuMi's own are bit for bit as they are
    normalise(network, table_batches(table(300)))
    plain = normalisation(table_batches(table(300)))
    assert (network.depth_mean.item(), network.depth_std.item()) == (
        np.float32(plain.depth_mean),
        np.float32(plain.depth_std),
    )
    # hands of any size, and everything as large as they are: the same
    size = np.random.default_rng(4).uniform(0.5, 2, (300, 1))
    relative, depth, success = boxes_on_a_table(300, np.random.default_rng(0))
    mixed = grasp_table(relative * size[:, :, None], depth * size[:, 0], success, hands(300) * size)
    normalise(network, table_batches(mixed))
    assert network.depth_mean.item() == pytest.approx(plain.depth_mean, rel=1e-5)
    assert network.depth_std.item() == pytest.approx(plain.depth_std, rel=1e-4)


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"crops \(2, 4, 5\)"):
        grasp_table(np.zeros((2, 4, 5)), np.zeros(2), np.zeros(2, bool), hands(2))
    with pytest.raises(InvalidConfig, match="N ≥ 1"):
        grasp_table(np.zeros((0, 4, 4)), np.zeros(0), np.zeros(0, bool), hands(0))


def test_gamma_noise_multiplies_a_whole_crop_by_one_factor_of_the_paper_s_spread() -> None:
    crop = torch.full((6000, 1, 4, 4), 0.7)
    only_gamma = replace(PAPER, noise=replace(PAPER.noise, gaussian_sigma=0.0), flip_rate=0.0)
    factor = augment(crop, only_gamma, generator()) / crop
    torch.testing.assert_close(factor, factor[:, :, :1, :1].expand_as(factor))
    drawn = factor[:, 0, 0, 0]
    assert float(drawn.mean()) == pytest.approx(1.0, abs=4 * 0.0316 / 6000**0.5)
    assert float(drawn.std()) == pytest.approx(1000**-0.5, rel=0.04)


@pytest.mark.parametrize("kind", ["bicubic", "bilinear", "rbf"])
def test_field_has_the_statistics_of_the_renderer_s(kind: str) -> None:
    noise = NoiseModel(gaussian_field=kind)  # type: ignore[arg-type]
    ours = gaussian_field(torch.zeros(4000, 1, 32, 32), noise, generator())[:, 0].numpy()
    theirs = numpy_field(4000, 32, 32, np.random.default_rng(0), noise)
    for a, b in zip(_moments(ours), _moments(theirs), strict=True):
        assert a == pytest.approx(b, rel=0.03)


def _moments(field: np.ndarray) -> tuple[float, float, float]:
    """Spread, and correlations at 2 px along both axes."""
    middle = field[:, 8:24, 8:24]
    variance = float((middle**2).mean())
    across = float((field[:, 8:24, 8:24] * field[:, 8:24, 10:26]).mean())
    down = float((field[:, 8:24, 8:24] * field[:, 10:26, 8:24]).mean())
    return variance**0.5, across / variance, down / variance


def test_paper_noise_is_as_strong_as_the_original_s_recorded(shared: Path) -> None:
    recorded = np.load(shared / "parity" / "network" / "augmentation.npz")
    added = (recorded["out_gp"] - recorded["in_images"])[..., 0]
    added = added[added.std((1, 2)) > 1e-6]
    only_field = replace(PAPER, noise=replace(PAPER.noise, gamma_shape=0.0), flip_rate=0.0)
    crop = torch.full((2000, 1, 32, 32), 0.7)
    ours = (augment(crop, only_field, generator()) - crop)[:, 0].numpy()
    changed = ours.std((1, 2)) > 1e-6
    assert changed.mean() == pytest.approx(0.5, abs=4 * 0.5 / 2000**0.5)
    # 28 recorded fields of 64 independent draws each: 2.4 % standard error of their spread
    assert ours[changed].std() == pytest.approx(added.std(), rel=0.08)


def test_flips_are_exact_mirror_images_of_equal_frequency() -> None:
    crop = torch.rand((1, 1, 8, 8), generator=generator(3)).expand(4000, 1, 8, 8) + 0.1
    out = augment(crop, replace(NONE, flip_rate=0.5), generator())
    one = crop[:1]
    images = [one, one.flip(-1), one.flip(-2), one.flip(-1).flip(-2)]
    count = [int((out == image).all((1, 2, 3)).sum()) for image in images]
    assert sum(count) == 4000
    assert [c / 4000 for c in count] == pytest.approx(
        [0.25] * 4, abs=4 * (0.25 * 0.75 / 4000) ** 0.5
    )


def test_missing_pixels_stay_missing_and_no_noise_changes_nothing() -> None:
    crop = torch.full((200, 1, 32, 32), 0.7)
    crop[:, :, 5:9] = 0.0
    for config in (PAPER, SENSOR):
        noisy = augment(crop, replace(config, flip_rate=0.0), generator())
        assert (noisy[:, :, 5:9] == 0).all() and (noisy >= 0).all()
        assert noisy.dtype == torch.float32 and (noisy != crop).any()
    assert torch.equal(augment(crop, NONE, generator()), crop)


def test_edges_of_a_crop_fly_towards_a_depth_between_their_neighbours_and_nothing_else_does() -> (
    None
):
    crop = torch.full((400, 1, 16, 16), 0.70)
    crop[..., :, 8:] = 0.65
    crop[..., 3, 2:6] = 0.0  # missing, away from the edge, …
    crop[..., 10:13, 6:10] = 0.0  # … and across it
    flies = replace(NONE, flying_share=0.7)
    out = augment(crop, flies, generator())
    moved = out != crop
    edge = torch.zeros(16, 16, dtype=torch.bool)
    edge[:, 7:9] = True
    edge[10:13] = False
    assert not moved[..., ~edge].any()
    assert float(moved[..., edge].float().mean()) == pytest.approx(0.5, abs=0.02)
    # from 0.70 by 0.7 of the way to a depth drawn evenly in [0.65, 0.70], and the other way round
    far, near = (out[..., :, column][moved[..., :, column]] for column in (7, 8))
    assert float(far.min()) > 0.665 - 1e-6 and float(far.max()) < 0.7
    assert float(far.mean()) == pytest.approx(0.70 - 0.7 * 0.025, abs=3e-4)
    assert float(near.max()) < 0.685 + 1e-6
    assert float(near.mean()) == pytest.approx(0.65 + 0.7 * 0.025, abs=3e-4)
    # a step below the limit is a surface
    low = torch.where(crop > 0.66, 0.659, crop)
    assert torch.equal(augment(low, flies, generator()), low)


def test_a_hole_beside_a_surface_is_no_edge_and_stays_a_hole() -> None:
    crop = torch.full((50, 1, 16, 16), 0.70)
    crop[..., 4:9, 4:9] = 0.0
    assert torch.equal(augment(crop, replace(NONE, flying_share=0.7), generator()), crop)


def test_drop_out_takes_discs_of_three_pixels_from_its_share_of_crops() -> None:
    noise = replace(NONE.noise, dropout_rate=0.4, dropout_mean_blobs=1.0)
    crop = torch.full((3000, 1, 64, 64), 0.7)
    out = augment(crop, Augmentation(noise, 0.0), generator())
    hit = (out == 0).any((1, 2, 3)).float().mean()
    # a Poisson count of mean 1 is zero in 1/e of the crops; discs whose centre is near the border may miss every pixel
    assert float(hit) == pytest.approx(0.4 * (1 - np.exp(-1)), abs=0.04)
    lost = (out == 0).float().sum() / 3000
    # E π r² = π (shape + shape²) = 12 π per disc, a little less at the border
    assert float(lost) == pytest.approx(0.4 * 12 * np.pi, rel=0.15)


def test_sensor_noise_keeps_depth_readable_to_millimetres() -> None:
    crop = torch.full((2000, 1, 32, 32), 0.7)
    noisy = augment(
        crop, replace(SENSOR, noise=replace(SENSOR.noise, dropout_rate=0.0)), generator()
    )
    assert float((noisy - crop).std()) == pytest.approx(np.hypot(0.0025, 0.0021), rel=0.05)


def test_same_generator_state_draws_the_same_noise() -> None:
    crop = table(20)[:].crop
    a, b, c = (augment(crop, SENSOR, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_crops_of_missing_pixels_alone_have_no_statistics() -> None:
    nothing = grasp_table(np.full((3, 8, 8), np.nan), np.full(3, 0.7), np.zeros(3), hands(3))
    with pytest.raises(CorruptDataset, match="every pixel of 3 training crops is missing"):
        normalisation(table_batches(nothing))
