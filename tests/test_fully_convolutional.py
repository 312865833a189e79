"""The fully convolutional policy: cells, bins, angles and constraints in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.gripper import load_gripper
from antipodal.policy.constraints import ConstraintConfig
from antipodal.policy.fully_convolutional import (
    RELEASED,
    FullyConvolutionalConfig,
    OutputCells,
    depth_bins,
    fully_convolutional_policy,
    object_cells,
    score_cells,
)
from conftest import box
from policy_scenes import seen

YUMI = load_gripper("yumi")
K = CameraIntrinsics(525.0, 525.0, 109.5, 99.5, 220, 200)


@dataclass
class Nearest:
    """A stand-in that likes the window whose middle pixel is nearest, the last depth, and the fourth angle."""

    window_px: int = 96
    stride: int = 4
    n_calls: int = 0

    @property
    def angles(self) -> np.ndarray:
        return np.pi / 2 - (np.arange(16) + 0.5) * np.pi / 16

    def __call__(self, depth_image: np.ndarray, depths: np.ndarray, /) -> np.ndarray:
        self.n_calls += 1
        h, w = ((s - 96) // 4 + 1 for s in depth_image.shape)
        middle = depth_image[48 : 48 + 4 * h : 4, 48 : 48 + 4 * w : 4]
        q = np.zeros((len(depths), 16, h, w), np.float32)
        q[:] = 0.5 * (1 - middle)
        q[:, 3] += 0.1
        return q + 0.1 * np.arange(len(depths))[:, None, None, None] / len(depths)


def flat_image(**nearer: tuple[int, int]) -> DepthImage:
    depth = np.full((200, 220), 0.7)
    for v, u in nearer.values():
        depth[v, u] = 0.6
    return DepthImage(depth, K)


def test_cells_are_the_object_pixels_of_every_fourth_row_and_column() -> None:
    objects = np.zeros((200, 220), bool)
    objects[48, 48] = objects[56, 60] = True  # cells (0, 0) and (2, 3)
    objects[49, 50] = True  # between the cells
    objects[199, 219] = True  # nearer to the border than half a window
    cells = object_cells(objects, 96, 4)
    assert cells.rows.tolist() == [0, 2] and cells.columns.tolist() == [0, 3]
    assert cells.box == (0, 0, 2, 3)
    last = np.zeros((200, 220), bool)
    last[48 + 4 * 26, 48 + 4 * 31] = True  # the last whole window
    assert object_cells(last, 96, 4).box == (26, 31, 26, 31)
    assert len(object_cells(np.ones((95, 300), bool), 96, 4).rows) == 0


def test_depth_bins_are_the_middles_between_the_nearest_object_and_the_farthest_pixel() -> None:
    image = flat_image(a=(100, 100))
    objects = image.depth < 0.65
    bins = depth_bins(image, objects, FullyConvolutionalConfig(n_depths=4))
    np.testing.assert_allclose(bins, [0.6125, 0.6375, 0.6625, 0.6875], atol=1e-6)


def test_the_best_cell_becomes_the_grasp(rng: np.random.Generator) -> None:
    image = flat_image(a=(48 + 4 * 7, 48 + 4 * 11))
    mask = np.zeros(image.depth.shape, bool)
    mask[60:120, 60:140] = True
    plan = fully_convolutional_policy(Nearest(), YUMI)(image, mask, rng)
    assert plan.best.center_px.tolist() == [92, 76]
    assert plan.best.angle == pytest.approx(np.pi / 2 - 3.5 * np.pi / 16)
    assert plan.best.depth == pytest.approx(0.6 + 15.5 / 16 * 0.1)
    assert plan.best.width == YUMI.max_width
    assert (np.diff(plan.quality) <= 0).all() and len(plan.grasps) == RELEASED.n_grasps
    assert plan.counts["sampled"] == 16 * 16 * plan.counts["cells"]


def test_scores_of_the_window_are_those_of_the_whole_image(rng: np.random.Generator) -> None:
    depth = rng.uniform(0.6, 0.8, (200, 220))
    image, depths = DepthImage(depth, K), np.array([0.6, 0.7])
    cells = OutputCells(np.array([3, 9, 5]), np.array([20, 6, 7]))
    whole = Nearest()(image.depth, depths)[:, :, cells.rows, cells.columns]
    np.testing.assert_array_equal(score_cells(Nearest(), image, depths, cells), whole)


def test_an_object_at_the_border_gives_a_reason_and_no_call(rng: np.random.Generator) -> None:
    mask = np.zeros((200, 220), bool)
    mask[:40, :40] = True
    quality = Nearest()
    plan = fully_convolutional_policy(quality, YUMI)(flat_image(), mask, rng)
    assert len(plan.grasps) == 0 and quality.n_calls == 0
    assert plan.reason is not None and "border" in plan.reason


def test_with_constraints_every_planned_grasp_satisfies_them(rng: np.random.Generator) -> None:
    image, mask = seen(box(0.03, 0.08, 0.03))
    free = fully_convolutional_policy(Nearest(), YUMI)(image, mask, rng)
    config = FullyConvolutionalConfig(constraints=ConstraintConfig())
    checked = fully_convolutional_policy(Nearest(), YUMI, config)(image, mask, rng)
    assert len(checked.grasps) > 0
    assert checked.quality[0] <= free.quality[0]
    assert sum(checked.counts.get(k, 0) for k in ("into_table", "finger_blocked", "palm_blocked"))
    # nothing is left where nothing may be: the reason names the stage
    impossible = FullyConvolutionalConfig(constraints=ConstraintConfig(table_clearance=1.0))
    none = fully_convolutional_policy(Nearest(), YUMI, impossible)(image, mask, rng)
    assert none.reason is not None and "into the table" in none.reason
