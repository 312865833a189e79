"""The dense policy: what its cells stand for, its plans against the constraints, the shape and the request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from antipodal.camera import DepthImage
from antipodal.collision import approach_is_free
from antipodal.dense_quality import load_window_quality, shipped_window_quality
from antipodal.errors import IncompatibleCheckpoint, InvalidConfig
from antipodal.grasp import PlanarGrasp
from antipodal.policy import make_policy
from antipodal.policy.constraints import DEFAULT_CONSTRAINTS, check_grasps
from antipodal.policy.dense import (
    CHANCE,
    DEFAULT_DENSE,
    FAST_DENSE,
    DenseConfig,
    Proposals,
    _lifted,
    _unlike,
    asked_angles,
    dense_policy,
    propose,
)
from antipodal.policy.height_window import (
    CELL,
    MAX_HEIGHT,
    N_ANGLES,
    SIZE,
    TIP_DEPTHS,
    Cells,
    angles,
    closing_axes,
    height_windows,
    to_grasps,
)
from antipodal.policy.relief import CELL as CELL_OF_MAP
from antipodal.policy.request import Request
from antipodal.policy.view import look
from antipodal.quality import load_quality
from antipodal.render.depth import render
from antipodal.success import EXECUTED_APPROACH
from conftest import box, cylinder
from policy_scenes import INTRINSICS, YUMI, seen, standing, view_of

SHAPE = (N_ANGLES, len(TIP_DEPTHS), SIZE, SIZE)


def world_grasps(scene, grasps, view):
    """Planar grasps as the simulator gets them."""
    spatial = grasps.to_grasp(scene.intrinsics, view.approach_axis)
    return spatial.in_frame(scene.T_world_camera)


def lowest(image: DepthImage, grasps: PlanarGrasp) -> np.ndarray:
    """Prefer the deepest grasp nearest to the middle of the image."""
    off = np.linalg.norm(grasps.center_px - [319.5, 239.5], axis=-1)
    return np.clip(grasps.depth - 0.4, 0, 0.5) * np.exp(-off / 100)


def some_cells(window, n, rng):
    return Cells(
        rng.integers(N_ANGLES, size=n),
        rng.integers(len(TIP_DEPTHS), size=n),
        window.cells[rng.integers(len(window.cells), size=n)],
    )


def test_a_window_shows_the_true_heights_at_its_cells_places():
    mesh, yaw = box(0.03, 0.08, 0.05), 0.3
    scene, view = standing(mesh, yaw), view_of(mesh, yaw)
    (window,) = height_windows(view, YUMI)
    xy = window.corner + window.cells * CELL * window.stroke
    z = window.floor - window.height[*window.cells.T] * window.stroke
    points = np.column_stack([xy, z]) @ view.relief.R_relief_camera
    points = points @ scene.T_world_camera[:3, :3].T + scene.T_world_camera[:3, 3]
    on_top = np.abs(points[:, 2] - 0.05) < 0.002
    c, s = np.cos(yaw), np.sin(yaw)
    local = points[:, :2] @ np.array([[c, -s], [s, c]])
    assert on_top.mean() > 0.8  # the rest is its sides, and the rim between
    assert (np.abs(local[on_top]) < [0.017, 0.042]).all()
    # every cell of the top is a candidate
    assert on_top.sum() == pytest.approx(0.03 * 0.08 / (CELL * window.stroke) ** 2, rel=0.1)


def test_cells_become_the_grasps_that_they_stand_for(rng):
    view = view_of(box(0.03, 0.08, 0.05), yaw=0.3)
    (window,) = height_windows(view, YUMI)
    some = some_cells(window, 200, rng)
    grasps = to_grasps(view, window, some, YUMI)
    spatial = grasps.to_grasp(view.image.intrinsics, view.approach_axis)
    R = view.relief.R_relief_camera
    center, axis = spatial.center @ R.T, spatial.closing_axis @ R.T
    assert center[:, :2] == pytest.approx(window.corner + some.cell * CELL * 0.05, abs=1e-9)
    assert np.abs(axis[:, 2]).max() < 1e-9
    turn = np.mod(np.arctan2(axis[:, 1], axis[:, 0]) - angles()[some.angle] + 0.1, np.pi) - 0.1
    assert np.abs(turn).max() < 1e-6
    tip = center[:, 2] + YUMI.tip_overhang
    surface = window.floor - window.height[*some.cell.T].astype(float) * 0.05
    asked = surface + np.array(TIP_DEPTHS)[some.depth] * 0.05
    assert view.table is not None
    assert tip == pytest.approx(
        np.minimum(asked, view.table.offset - DEFAULT_CONSTRAINTS.table_clearance), abs=4e-4
    )
    assert check_grasps(view, grasps, YUMI).counts["into_table"] == 0


def test_tips_of_cells_stay_as_high_as_is_asked(rng):
    image, mask = seen(box(0.03, 0.08, 0.05), yaw=0.3)
    view = look(image, Request(mask=mask, min_height=0.02), np.random.default_rng(0))
    (window,) = height_windows(view, YUMI)
    grasps = to_grasps(view, window, some_cells(window, 200, rng), YUMI)
    center = grasps.to_grasp(INTRINSICS, view.approach_axis).center
    assert view.table is not None
    assert view.table.height(center + YUMI.tip_overhang * view.approach_axis).min() >= 0.02


def test_a_windows_corner_is_the_middle_of_its_first_cell():
    # the cells that a block covers lie about its middle
    depth = np.full(INTRINSICS.shape, 0.7)
    depth[200:280, 300:340] = 0.65
    view = look(DepthImage(depth, INTRINSICS), None, np.random.default_rng(0))
    (window,) = height_windows(view, YUMI)
    high = np.argwhere(window.height > 0.5)
    middle = window.corner + (high.min(0) + high.max(0)) / 2 * CELL * window.stroke
    first, last = INTRINSICS.deproject([[299.5, 199.5], [339.5, 279.5]], 0.65)[:, :2]
    assert middle == pytest.approx((first + last) / 2, abs=6e-4)


def test_the_bins_of_angles_are_their_own_mirror_image():
    np.testing.assert_allclose(np.sort(np.mod(-angles(), np.pi)), angles(), atol=1e-12)
    np.testing.assert_allclose(np.diff(angles()), np.pi / N_ANGLES)


def test_only_angles_that_are_asked_for_are_tried():
    image, mask = seen(box(0.025, 0.09, 0.05), tilt=0.0)
    asked = Request(mask=mask, yaw_range=np.array([0.3, 0.35]))
    some, every = (
        np.isfinite(asked_angles(look(image, what, np.random.default_rng(0)))).sum()
        for what in (asked, mask)
    )
    assert 1 <= some <= 2 and every == N_ANGLES


def test_proposals_are_the_largest_answers_in_their_order(rng):
    view = view_of(box(0.03, 0.08, 0.05), yaw=0.3)
    (window,) = height_windows(view, YUMI)
    told = rng.permutation(N_ANGLES * len(TIP_DEPTHS) * len(window.cells)) / 1e4
    told = told.reshape(N_ANGLES, len(TIP_DEPTHS), -1)  # all of them above CHANCE
    found = propose(view, [window], lambda height, cells: told, angles(), 50)
    assert len(found.window) >= 50 and found.n_clear == found.n_cells == told.size
    at = {tuple(cell): k for k, cell in enumerate(window.cells.tolist())}
    cells = [at[tuple(cell)] for cell in found.cells.cell.tolist()]
    got = told[found.cells.angle, found.cells.depth, cells]
    np.testing.assert_array_equal(got[:50], np.sort(told.ravel())[::-1][:50])


@pytest.mark.parametrize(("chance", "clear"), [(CHANCE - 0.02, False), (CHANCE + 0.02, True)])
def test_what_is_told_more_than_the_chance_is_clear(chance, clear):
    view = view_of(box(0.03, 0.08, 0.05))
    (window,) = height_windows(view, YUMI)

    def network(height, cells):
        return np.full((N_ANGLES, len(TIP_DEPTHS), len(cells)), np.log(chance / (1 - chance)))

    found = propose(view, [window], network, angles(), 10)
    assert found.n_clear == (found.n_cells if clear else 0)


def test_grasps_of_several_windows_come_in_the_order_of_their_proposals(rng):
    depth = np.full(INTRINSICS.shape, 0.7)
    depth[220:250, 80:110], depth[230:270, 520:550] = 0.66, 0.65
    view = look(DepthImage(depth, INTRINSICS), None, np.random.default_rng(0))
    windows = list(height_windows(view, YUMI))
    assert len(windows) == 2
    which = rng.integers(2, size=12)
    some = [some_cells(windows[k], 1, rng) for k in which]
    cells = Cells(*(np.concatenate(column) for column in zip(*some, strict=True)))
    found = Proposals(which, cells, 12, 12)
    got = _lifted(view, windows, found, np.arange(12), YUMI, DEFAULT_CONSTRAINTS, angles())
    want = [
        to_grasps(view, windows[k], one, YUMI).center_px for k, one in zip(which, some, strict=True)
    ]
    np.testing.assert_allclose(got.center_px, np.concatenate(want))


def test_the_last_and_the_first_angle_of_a_half_turn_are_neighbours():
    nothing = np.zeros(3, int)
    cells = Cells(np.array([0, N_ANGLES - 1, N_ANGLES // 2]), nothing, np.full((3, 2), 40))
    rows = np.concatenate(list(_unlike(Proposals(nothing, cells, 3, 3), DEFAULT_DENSE)))
    assert rows.tolist() == [0, 2]


def test_turning_the_scene_by_a_quarter_turns_the_window():
    mesh = box(0.02, 0.06, 0.04)
    (one,), (other,) = (
        height_windows(view_of(mesh, yaw, tilt=0.0), YUMI) for yaw in (0.3, 0.3 + np.pi / 2)
    )
    turned = [np.abs(np.rot90(one.height, k) - other.height).mean() for k in (1, 3)]
    still = np.abs(one.height - other.height).mean()
    assert min(turned) < 0.25 * still


def test_hand_and_scene_scaled_alike_are_one_window():
    mesh, large = box(0.03, 0.08, 0.05), box(0.06, 0.16, 0.10)
    hand = replace(YUMI, max_width=0.10)
    views = (
        look(seen_from(m, d), None, np.random.default_rng(0))
        for m, d in ((mesh, 0.6), (large, 1.2))
    )
    (small,), (big,) = (height_windows(v, g) for v, g in zip(views, (YUMI, hand), strict=True))
    # not the same cells of the relief
    assert np.abs(small.height - big.height).mean() < 0.02
    assert len(small.cells) == pytest.approx(len(big.cells), rel=0.1)


def seen_from(mesh, distance):
    return render(standing(mesh, 0.3, distance=distance)).image


def test_the_network_proposes_to_close_across_a_boxs_narrow_side(rng):
    mesh, yaw = box(0.025, 0.09, 0.05), 0.5
    scene, view = standing(mesh, yaw), view_of(mesh, yaw)
    plan = make_policy("dense", load_quality("builtin"), YUMI)(view.image, None, rng)
    world = world_grasps(scene, plan.grasps, view)
    x = np.abs(world.closing_axis[:, :2] @ [np.cos(yaw), np.sin(yaw)])
    assert np.degrees(np.arccos(x[:8])).max() < 35
    free = approach_is_free(mesh, scene.T_world_obj, world, YUMI, EXECUTED_APPROACH)
    assert free[:8].all()


def test_nothing_is_refined_where_a_proposal_is_good_enough(rng):
    view = view_of(box(0.025, 0.09, 0.05), 0.5)
    told = shipped_window_quality()

    def plan(enough):
        config = DenseConfig(enough=enough)
        return dense_policy(load_quality("builtin"), YUMI, config=config, network=told)(
            view.image, None, rng
        )

    ended, refined = plan(0.5), plan(1.0)
    assert 0.5 < ended.quality[0] < 1.0
    assert "drawn" not in ended.counts and ended.counts["scored"] <= DenseConfig().n_scored
    assert refined.counts["drawn"] == 4 * 4 * 8


def test_where_the_network_proposes_nothing_good_the_antipodal_sampler_is_asked(rng):
    """A network that would close along a bar, which is longer than the hand is wide."""
    bar, yaw = box(0.025, 0.09, 0.05), 0.5
    scene, view = standing(bar, yaw), view_of(bar, yaw)

    def along_the_bar(height, cells):
        axes = closing_axes(view, angles())
        world = axes @ scene.T_world_camera[:3, :3].T
        along = np.abs(world[:, :2] @ [-np.sin(yaw), np.cos(yaw)])
        log_odds = np.where(along > 0.9, 5.0, -20.0)[:, None, None]
        return np.broadcast_to(log_odds, (N_ANGLES, len(TIP_DEPTHS), len(cells)))

    def plan(doubted):
        config = DenseConfig(doubted=doubted, n_rounds=1)
        policy = dense_policy(load_quality("builtin"), YUMI, config=config, network=along_the_bar)
        return policy(view.image, None, rng)

    alone, helped = plan(0.0), plan(0.9)
    assert alone.quality.max(initial=0.0) < 0.1
    assert helped.quality[0] > 0.8
    assert helped.counts["sampled"] > alone.counts["sampled"]


@pytest.mark.parametrize("yaw", [0.2, 0.2 + np.pi / 4, 0.2 + np.pi / 2])
def test_the_networks_best_angles_turn_with_the_box(yaw):
    # mirrored or swapped axes would be right at one yaw or two, not at three
    mesh = box(0.025, 0.09, 0.05)
    scene, view = standing(mesh, yaw, tilt=0.0), view_of(mesh, yaw, tilt=0.0)
    (window,) = height_windows(view, YUMI)
    found = propose(view, [window], shipped_window_quality(), asked_angles(view), 4096)
    axes = closing_axes(view, angles()) @ scene.T_world_camera[:3, :3].T
    narrow = (axes[:, :2] @ [np.cos(yaw), np.sin(yaw)])[found.cells.angle[:200]]
    assert (
        np.mean(2 * narrow**2 - 1) > 0.1
    )  # cos 2β: 1 across the narrow side, −1 across the long one


def test_the_middle_of_an_object_wider_than_the_jaws_gives_an_empty_plan_that_says_so(rng):
    image, _ = seen(box(0.12, 0.12, 0.05))
    mask = np.zeros(image.depth.shape, bool)
    mask[220:260, 300:340] = True
    plan = dense_policy(lowest, YUMI)(image, mask, rng)
    assert len(plan.grasps) == 0
    assert plan.reason
    assert plan.counts["cells"] > 0


def test_every_planned_grasp_satisfies_the_constraints_and_the_best_is_first(rng):
    image, mask = seen(cylinder(0.015, 0.08), tilt=0.3)
    plan = make_policy("dense", lowest, YUMI)(image, mask, rng)
    view = look(image, mask, np.random.default_rng(0))
    assert len(plan.grasps) >= 8
    assert check_grasps(view, plan.grasps, YUMI).keep.mean() > 0.95  # the table is fitted anew
    assert (np.diff(plan.quality) <= 0).all()
    assert plan.quality == pytest.approx(lowest(image, plan.grasps))
    sampled, drawn = plan.counts["sampled"], plan.counts["drawn"]
    assert plan.rejected is not None
    assert len(plan.rejected.grasps) + len(plan.grasps) <= sampled + drawn


def test_moving_the_best_finds_more_than_the_cells_alone(rng):
    image, mask = seen(cylinder(0.015, 0.08))
    coarse = dense_policy(lowest, YUMI, DenseConfig(n_moves=0))
    fine = dense_policy(lowest, YUMI, DenseConfig(n_moves=16))
    a = coarse(image, mask, np.random.default_rng(1))
    b = fine(image, mask, np.random.default_rng(1))
    assert b.quality[0] > a.quality[0]
    assert len(b.grasps) > len(a.grasps)


REQUESTS: dict[str, dict[str, Any]] = {
    "box": {"box_px": [300, 200, 330, 240]},
    "target": {"target_px": [320, 250], "target_radius": 0.02},
    "workspace": {"workspace": [[0.0, -1.0], [1.0, -1.0], [1.0, 1.0], [0.0, 1.0]]},
    "yaw": {"yaw_range": [0.28, 0.32]},
    "height": {"min_height": 0.02},
    "width": {"width_range": [0.01, 0.04]},
    "several": {"n_grasps": 5, "min_distance": 0.01, "min_angle": 0.3},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_asked_for_is_planned(name, rng):
    request, (image, _) = Request(**REQUESTS[name]), seen(box(0.025, 0.09, 0.05), yaw=0.3)
    plan = make_policy("dense", lowest, YUMI)(image, request, rng)
    assert len(plan.grasps) > 0, plan.reason
    view = look(image, request, np.random.default_rng(0))
    again = check_grasps(view, plan.grasps, request.opened(YUMI))
    assert again.keep.mean() > 0.9  # the table is fitted anew
    for asked in ("outside_workspace", "yaw_out_of_range", "off_object"):
        assert again.counts.get(asked, 0) == 0
    if name == "several":
        assert len(plan.grasps) == 5


def test_a_network_that_is_no_window_network_is_refused(tmp_path):
    with pytest.raises(IncompatibleCheckpoint, match="cells"):
        load_window_quality("builtin")


def test_impossible_configurations_are_refused():
    wrong: dict[str, Any]
    for wrong in ({"n_checked": 0}, {"move_sigma": -1.0}, {"n_scored": 0}):
        with pytest.raises(InvalidConfig, match=next(iter(wrong))):
            DenseConfig(**wrong)


def test_a_window_without_a_place_for_a_grasp_has_no_answers():
    network = shipped_window_quality()
    nowhere = np.empty((0, 2), np.int64)
    answer = network(np.zeros((network.sides[0],) * 2, np.float32), nowhere)
    assert answer.shape == (N_ANGLES, len(TIP_DEPTHS), 0)


def test_a_tall_things_top_is_where_it_is_and_not_where_the_network_sees_it(rng):
    """A cylinder of 0.3 m, six strokes: a proposal close below its top, not below 0.2 m."""
    mesh = cylinder(0.016, 0.3)
    image = render(standing(mesh, tilt=0.0, distance=0.9)).image
    told, highest = shipped_window_quality(), []

    def network(height, cells):
        highest.append(float(height.max()))
        return told(height, cells)

    policy = dense_policy(load_quality("builtin"), YUMI, config=FAST_DENSE, network=network)
    plan = policy(image, None, rng)
    assert max(highest) == MAX_HEIGHT  # what it was trained on
    assert len(plan.grasps) > 0
    assert plan.grasps.depth.max() < 0.6 + YUMI.finger_depth


def test_a_workspace_elsewhere_is_named_as_the_reason(rng):
    view = view_of(box(0.03, 0.08, 0.05))
    elsewhere = Request(workspace=[[0.2, 0.2], [0.3, 0.2], [0.3, 0.3], [0.2, 0.3]])
    plan = dense_policy(load_quality("builtin"), YUMI, config=FAST_DENSE)(
        view.image, elsewhere, rng
    )
    assert len(plan.grasps) == 0 and "workspace" in plan.reason


def test_a_mask_of_two_things_far_apart_is_mapped_around_one_of_them():
    depth = np.full(INTRINSICS.shape, 3.5, np.float32)
    depth[100:140, 100:140], depth[300:340, 500:540] = 0.65, 3.0
    mask = depth < 3.4
    view = look(DepthImage(depth, INTRINSICS), mask, np.random.default_rng(0))
    assert np.isfinite(view.relief.depth).any()


def test_a_masks_pixel_that_looks_past_the_object_does_not_coarsen_the_map():
    mesh = box(0.03, 0.08, 0.05)
    image, mask = seen(mesh)
    depth, mask = image.depth.copy(), mask.copy()
    depth[5, 5], mask[5, 5] = 15.0, True
    usual, odd = (
        look(DepthImage(d, image.intrinsics, image.T_world_camera), m, np.random.default_rng(0))
        for d, m in ((image.depth, mask & (depth < 10)), (depth, mask))
    )
    assert odd.relief.cell == usual.relief.cell == CELL_OF_MAP
