"""The fast ways of a plan beside clear ones: the same numbers, to a stated tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from antipodal.errors import InvalidConfig
from antipodal.policy.holes import fill_holes
from antipodal.policy.rays import along, along_at
from antipodal.policy.relief import build_relief, obstacles
from antipodal.quality import load_quality
from conftest import box, cylinder
from policy_scenes import YUMI, down, seen, view_of

CROSS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])


def test_one_coordinate_of_all_points_is_that_of_the_points(rng):
    image, mask = seen(box(0.03, 0.06, 0.04), tilt=0.3)
    axis = rng.normal(size=3)
    expected = image.points_camera() @ axis
    np.testing.assert_allclose(along(image, axis), expected, atol=1e-6)
    pixels = np.flatnonzero(mask)
    np.testing.assert_allclose(along_at(image, axis, pixels), expected[mask], atol=1e-6)
    both = along_at(image, np.stack([axis, -2 * axis]), pixels)
    np.testing.assert_allclose(both, np.stack([expected[mask], -2 * expected[mask]]), atol=1e-6)
    window = np.s_[100:200:3, 7:30]
    np.testing.assert_allclose(along(image, axis, window), expected[window], atol=1e-6)


def test_each_hole_gets_the_mean_of_the_farther_half_of_its_own_rim(rng):
    image, _ = seen(box(0.06, 0.06, 0.04), tilt=0.3)
    depth = np.array(image.depth)
    depth[rng.random(depth.shape) < 0.02] = 0.0
    depth[:9, 300:340] = depth[200:230, 310:350] = depth[470:, 600:] = 0.0  # two at the border
    holed, axis = image.with_depth(depth), np.array([0.1, 0.2, np.sqrt(0.95)])
    distance, filled = holed.points_camera() @ axis, fill_holes(holed, axis)
    labels, n = ndimage.label(~holed.valid)
    assert n > 1000 and filled.valid.all()
    for hole in (1, n, *rng.choice(np.arange(2, n), 60, replace=False)):
        inside = labels == hole
        rim = distance[ndimage.binary_dilation(inside) & ~inside]
        # a pixel of the rim counts for each side that it shares with the hole
        sides = ndimage.convolve(inside.astype(int), CROSS, mode="constant")
        times = sides[ndimage.binary_dilation(inside) & ~inside]
        far = rim >= (rim.min() + rim.max()) / 2
        level = np.average(rim[far], weights=times[far])
        np.testing.assert_allclose(filled.points_camera()[inside] @ axis, level, atol=1e-6)


def test_a_gap_beside_an_obstacle_gets_the_mean_of_the_cells_around_it(rng):
    first = np.where(rng.random((60, 70)) < 0.5, rng.uniform(0.6, 0.72, (60, 70)), np.inf)
    first = first.astype(np.float32)
    first[[0, -1]] = first[:, [0, -1]] = np.inf
    expected = first.copy()
    for x, y in np.argwhere(np.isinf(first[1:-1, 1:-1])) + 1:
        around = first[x - 1 : x + 2, y - 1 : y + 2]
        if np.isfinite(around).sum() >= 3:
            expected[x, y] = around[np.isfinite(around)].mean()
    expected[expected >= 0.7] = np.inf
    np.testing.assert_allclose(obstacles(first, 0.7), expected, rtol=1e-6)


@pytest.mark.parametrize("mesh", [box(0.03, 0.08, 0.05), cylinder(0.018, 0.06)])
def test_the_map_holds_the_first_point_of_each_cell_that_is_no_table(mesh):
    view = view_of(mesh, yaw=0.4, tilt=0.25)
    assert view.table is not None
    floor = view.table.offset - 0.005
    relief = build_relief(view.filled, view.approach_axis, view.objects, floor)
    points = view.filled.points_camera()[view.filled.valid] @ relief.R_relief_camera.T
    index = np.floor((points[:, :2] - relief.corner) / relief.cell).astype(int)
    first = np.full(relief.depth.shape, np.inf)
    ok = ((index > 0) & (index < np.array(first.shape) - 1)).all(-1)
    np.minimum.at(first, (index[ok, 0], index[ok, 1]), points[ok, 2])
    obstacle = first < floor
    assert obstacle.sum() > 200
    same = np.abs(relief.depth[obstacle] - first[obstacle]) < 1e-5
    assert same.mean() > 0.995  # a point on a cell's border may fall to either side
    assert np.isinf(relief.depth[np.isfinite(first) & ~obstacle]).mean() > 0.999


def test_a_network_in_bfloat16_reads_metres_in_float32(rng):
    exact = load_quality("builtin")
    try:
        fast = load_quality("builtin", "bfloat16")
    except InvalidConfig:
        pytest.skip("this CPU does not compute in bfloat16")
    image, _ = seen(box(0.03, 0.08, 0.05))
    T = np.asarray(image.T_world_camera)
    points = np.column_stack([rng.uniform(-0.02, 0.02, (60, 2)), rng.uniform(0.02, 0.05, 60)])
    grasps = down(T, points, rng.uniform(-1.5, 1.5, 60))
    a, b = exact(image, grasps), fast(image, grasps)
    assert a.max() - a.min() > 0.3
    assert np.abs(a - b).max() < 0.03  # rounding metres moves it by 0.3


def test_an_answer_does_not_depend_on_the_batch(rng):
    quality = load_quality("builtin")
    image, _ = seen(box(0.03, 0.08, 0.05))
    T = np.asarray(image.T_world_camera)
    points = np.column_stack([rng.uniform(-0.02, 0.02, (37, 2)), np.full(37, 0.03)])
    grasps = down(T, points, rng.uniform(-1.5, 1.5, 37))
    together = quality(image, grasps)
    alone = np.array([quality(image, grasps[k : k + 1])[0] for k in range(0, 37, 9)])
    np.testing.assert_array_equal(alone, together[::9])
    assert YUMI.name == quality.gripper
