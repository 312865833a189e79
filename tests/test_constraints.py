"""Constraints: each alone in closed form, all together against exact collision tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from antipodal import transforms
from antipodal.camera import DepthImage
from antipodal.collision import CollisionConfig, approach_collisions
from antipodal.errors import InvalidConfig
from antipodal.grasp import Grasp, PlanarGrasp
from antipodal.gripper import load_gripper
from antipodal.policy.constraints import (
    DEFAULT_CONSTRAINTS,
    TIP_GRID,
    ConstraintConfig,
    box_overlap,
    check_grasps,
    footprint,
    tip_height,
    unseen_share,
)
from antipodal.policy.view import View, look
from conftest import box, cylinder, sphere
from policy_scenes import INTRINSICS, YUMI, down, standing, view_of

EXACT = CollisionConfig(rule="zero", table_offset=0.0)


def grasps_at(view: View, points_world: np.ndarray, yaw: np.ndarray | float) -> PlanarGrasp:
    """Straight-down grasps with their centres at world points and closing axes at ``yaw``."""
    points = np.atleast_2d(points_world)
    yaw = np.broadcast_to(np.asarray(yaw, float), len(points))
    closing = np.stack([np.cos(yaw), np.sin(yaw), np.zeros(len(yaw))], -1)
    world = Grasp.from_axes(points, closing, [0.0, 0.0, -1.0], YUMI.max_width)
    T_camera_world = transforms.inverse(np.asarray(view.image.T_world_camera))
    return world.in_frame(T_camera_world).to_planar(INTRINSICS)


def test_a_finger_is_blocked_as_soon_as_the_object_reaches_its_landing_place():
    view = view_of(box(0.03, 0.06, 0.04))._replace(objects=None)
    shift = np.linspace(0.0, 0.02, 41)
    points = np.stack([shift, np.zeros(41), np.full(41, 0.025)], -1)
    checked = check_grasps(view, grasps_at(view, points, 0.0), YUMI)
    # the jaw's face is at 25.6 mm and the box ends at 15 mm: 10.6 mm of room less the margin of 1 mm
    room = 0.025 + YUMI.jaw_clearance - 0.015 - DEFAULT_CONSTRAINTS.lateral_margin
    first_blocked = shift[~checked.keep].min()
    assert first_blocked == pytest.approx(room, abs=0.003)  # a cell and a pixel and a half
    assert checked.counts["finger_blocked"] == (~checked.keep).sum() > 5


def test_a_grasp_along_the_long_side_puts_both_fingers_on_the_object():
    view = view_of(box(0.03, 0.09, 0.04))
    across, along = grasps_at(view, [[0.0, 0.0, 0.025]] * 2, np.array([0.0, np.pi / 2]))
    batch = PlanarGrasp(*(np.stack([getattr(across, n), getattr(along, n)]) for n in across._ranks))
    assert check_grasps(view, batch, YUMI).keep.tolist() == [True, False]
    pose = batch.to_grasp(INTRINSICS, view.approach_axis)
    overlap = box_overlap(view.relief, pose, YUMI, [0, 1])
    assert overlap[0].max() == 0.0
    finger = YUMI.jaw_thickness * YUMI.jaw_width
    assert overlap[1].min() > 0.9 * finger


def test_the_palm_is_blocked_by_an_object_taller_than_the_fingers_reach():
    view = view_of(box(0.02, 0.02, 0.09))
    free = YUMI.finger_depth - YUMI.tip_overhang
    heights = np.array([0.09 - free + 0.006, 0.09 - free - 0.006])
    points = np.stack([np.zeros(2), np.zeros(2), heights], -1)
    checked = check_grasps(view, grasps_at(view, points, 0.0), YUMI)
    assert checked.keep.tolist() == [True, False]
    assert checked.counts["palm_blocked"] == 1


def test_closing_on_nothing_is_rejected():
    view = view_of(box(0.02, 0.02, 0.02))
    bare = view._replace(objects=None)
    points = np.array([[0.0, 0.0, 0.02], [0.12, 0.0, 0.02]])
    checked = check_grasps(bare, grasps_at(view, points, 0.0), YUMI)
    assert checked.keep.tolist() == [True, False]
    assert checked.counts["nothing_between"] == 1


def test_what_stands_barely_above_the_tips_is_nothing_to_hold():
    view = view_of(box(0.03, 0.03, 0.03), tilt=0.0)._replace(objects=None)
    engaged = np.array([0.001, 0.004])  # of the tips below the box' top; asked for are 2 mm
    points = np.stack([np.zeros(2), np.zeros(2), 0.03 - engaged + YUMI.tip_overhang], -1)
    checked = check_grasps(view, grasps_at(view, points, 0.0), YUMI)
    assert checked.keep.tolist() == [False, True]
    assert checked.counts["nothing_between"] == 1


def test_tips_reach_the_overhang_below_the_centre():
    view = view_of(box(0.03, 0.03, 0.05))
    heights = np.array([0.01, 0.0125, 0.0155, 0.03])
    points = np.stack([np.zeros(4), np.zeros(4), heights], -1)
    grasps = grasps_at(view, points, 0.7)
    pose = grasps.to_grasp(INTRINSICS, view.approach_axis)
    assert tip_height(view, pose, YUMI) == pytest.approx(heights - YUMI.tip_overhang, abs=3e-4)
    assert check_grasps(view, grasps, YUMI).counts["into_table"] == 2
    assert np.isinf(tip_height(view._replace(table=None), pose, YUMI)).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_tilted_approach_lowers_a_corner_of_the_tips(axis):
    view, turn = view_of(box(0.03, 0.03, 0.05)), 0.3
    tilt = transforms.rot_y(turn) if axis else transforms.rot_x(turn)
    pose = transforms.from_rt(np.diag([1.0, -1.0, -1.0]), [0.0, 0.0, 0.03]) @ tilt
    T_camera_world = transforms.inverse(np.asarray(view.image.T_world_camera))
    grasp = Grasp((T_camera_world @ pose)[None], np.array([YUMI.max_width]))
    x = YUMI.max_width / 2 + YUMI.jaw_clearance + YUMI.jaw_thickness
    side = x if axis else YUMI.jaw_width / 2
    expected = 0.03 - YUMI.tip_overhang * np.cos(turn) - side * np.sin(turn)
    assert tip_height(view, grasp, YUMI) == pytest.approx([expected], abs=3e-4)


def test_centre_and_jaws_must_be_inside_the_image_and_on_the_mask():
    view = view_of(box(0.03, 0.03, 0.05))
    center = grasps_at(view, np.array([[0.0, 0.0, 0.035]]), 0.0)
    px = center.center_px[0]
    where = np.array([px, [px[0] + 60, px[1]], [5.0, 240.0], [-30.0, 240.0], [320.0, 479.5]])
    grasps = PlanarGrasp(where, 0.0, float(center.depth[0]), YUMI.max_width)
    checked = check_grasps(view, grasps, YUMI)
    assert checked.keep.tolist() == [True, False, False, False, False]
    assert checked.counts["outside_image"] == 3
    assert checked.counts["off_object"] == 1


def test_an_object_at_the_images_right_may_be_grasped_too():
    depth = np.full(INTRINSICS.shape, 0.7)
    depth[220:250, 560:585] = 0.65
    view = look(DepthImage(depth, INTRINSICS), depth < 0.68, np.random.default_rng(0))
    grasp = PlanarGrasp(np.array([[572.0, 234.5]]), 0.0, 0.66, YUMI.max_width)
    assert check_grasps(view, grasp, YUMI).keep.all()


def test_the_jaws_of_a_tilted_approach_are_in_the_image_where_they_are_in_space():
    axis = np.array([np.sin(0.8), 0.0, np.cos(0.8)])
    image = DepthImage(np.full(INTRINSICS.shape, 0.7), INTRINSICS)
    view = look(image, None, np.random.default_rng(0))._replace(approach_axis=axis, objects=None)
    config = ConstraintConfig(check_obstacles=False, table_clearance=-1.0)
    last = INTRINSICS.width - 1
    half = INTRINSICS.fx * YUMI.max_width / 2 / 0.65
    for margin, inside in ((0.5, False), (12.0, True)):  # px of the jaw's end in the image plane
        grasp = PlanarGrasp(np.array([[last - half - margin, 240.0]]), 0.0, 0.65, YUMI.max_width)
        assert grasp.endpoints_px(INTRINSICS)[0, :, 0].max() < last
        jaws = INTRINSICS.project(grasp.to_grasp(INTRINSICS, axis).jaws)[0, :, 0]
        assert (jaws.max() <= last) == inside
        assert (check_grasps(view, grasp, YUMI, config).counts["outside_image"] == 0) == inside


def test_depth_behind_the_camera_and_a_width_beyond_the_stroke_are_rejected():
    view = view_of(box(0.03, 0.03, 0.05))
    px = grasps_at(view, np.array([[0.0, 0.0, 0.03]]), 0.0).center_px[0]
    grasps = PlanarGrasp(np.stack([px, px]), 0.0, np.array([-0.6, 0.66]), np.array([0.05, 0.051]))
    counts = check_grasps(view, grasps, YUMI).counts
    assert counts["bad_width"] == 1 and counts["outside_image"] == 1


def test_an_opening_below_the_hands_least_is_rejected():
    view, hand = view_of(box(0.03, 0.03, 0.05)), replace(YUMI, min_width=0.01)
    px = grasps_at(view, np.array([[0.0, 0.0, 0.03]]), 0.0).center_px[0]
    grasps = PlanarGrasp(np.stack([px, px]), 0.0, np.array([0.66, 0.66]), np.array([0.009, 0.05]))
    assert check_grasps(view, grasps, hand).counts["bad_width"] == 1


def test_it_is_the_tips_and_not_the_fingers_roots_that_must_have_been_seen():
    # behind a low wall the tips are in its shadow, the fingers above it are not
    view = view_of(box(0.08, 0.01, 0.03), tilt=np.deg2rad(40))
    behind = np.array([[0.0, 0.011, 0.004 + YUMI.tip_overhang]])
    grasps = down(np.asarray(view.image.T_world_camera), behind, np.zeros(1))
    assert unseen_share(view, grasps.to_grasp(INTRINSICS, view.approach_axis), YUMI).min() > 0.7


def test_the_share_of_a_tip_is_that_of_its_width_and_not_of_its_thickness():
    view = view_of(box(0.02, 0.02, 0.03), tilt=0.0)
    T_world_camera = np.asarray(view.image.T_world_camera)
    depth, beyond = np.array(view.image.depth), 0.25 * YUMI.jaw_width
    depth[transforms.apply(T_world_camera, view.image.points_camera())[..., 1] > beyond] = 0.0
    holed = look(view.image.with_depth(depth), view.objects, np.random.default_rng(0))
    above = np.array([[0.0, 0.0, 0.004 + YUMI.tip_overhang]])
    grasps = down(T_world_camera, above, np.zeros(1)).to_grasp(INTRINSICS, view.approach_axis)
    y = footprint(YUMI.jaw_thickness, YUMI.jaw_width, TIP_GRID)[0, :, 1]
    expected = (y > beyond).mean()  # a third: of six rows of points two
    assert 0.1 < expected < 0.4
    assert unseen_share(holed, grasps, YUMI)[0] == pytest.approx([expected] * 2, abs=0.02)


def test_no_grasps_are_no_problem():
    view = view_of(box())
    none = PlanarGrasp(np.empty((0, 2)), np.empty(0), np.empty(0), np.empty(0))
    assert check_grasps(view, none, YUMI).keep.shape == (0,)


@pytest.mark.parametrize(
    ("mesh", "gripper"),
    [
        (box(0.03, 0.07, 0.04), "yumi"),
        (cylinder(0.02, 0.06), "yumi"),
        (sphere(0.018), "yumi"),
        (box(0.05, 0.04, 0.07), "franka_hand"),
        (cylinder(0.03, 0.09), "robotiq_2f85"),
    ],
    ids=["box", "cylinder", "sphere", "box-franka", "cylinder-robotiq"],
)
def test_what_is_kept_is_free_by_the_exact_test_and_what_is_clearly_free_is_kept(
    mesh, gripper, rng
):
    hand = load_gripper(gripper)
    view, scene = view_of(mesh, yaw=0.3), standing(mesh, 0.3)
    n = 400
    top = mesh.extents[2]
    points = np.stack(
        [*rng.normal(0, 0.008, (2, n)), rng.uniform(hand.tip_overhang + 0.004, max(top, 0.03), n)],
        -1,
    )
    grasps = grasps_at(view, points, rng.uniform(-np.pi, np.pi, n))
    grasps = PlanarGrasp(grasps.center_px, grasps.angle, grasps.depth, hand.max_width)
    view = view._replace(objects=None)
    checked = check_grasps(view, grasps, hand)
    world = grasps.to_grasp(INTRINSICS, view.approach_axis).in_frame(scene.T_world_camera)
    hits = approach_collisions(mesh, scene.T_world_obj, world, hand, EXACT)
    collides = hits.hits_object | hits.hits_table
    assert 20 < collides.sum() < n - 20
    assert (collides & checked.keep).sum() <= 0.03 * checked.keep.sum()
    # and with 5 mm more on every side of the fingers, 5 mm of palm, still free: the image must not say otherwise
    wide = ConstraintConfig(lateral_margin=0.005, vertical_margin=0.005)
    clearly = check_grasps(view, grasps, hand, wide).keep
    blocked = checked.counts["finger_blocked"] + checked.counts["palm_blocked"]
    assert clearly.sum() > 0 and (clearly & ~checked.keep).sum() == 0
    assert blocked <= 1.35 * hits.hits_object.sum()


def test_a_footprint_is_a_grid_of_cell_midpoints():
    grid = footprint(0.012, 0.022, 0.002)
    assert grid.shape == (1, 6 * 11, 2)
    assert grid[0].mean(0) == pytest.approx([0.0, 0.0], abs=1e-12)
    assert grid[0].max(0) == pytest.approx([0.005, 0.010])


def test_obstacles_can_be_left_out():
    view = view_of(box(0.03, 0.09, 0.04))
    along = grasps_at(view, np.array([[0.0, 0.0, 0.025]]), np.pi / 2)
    assert not check_grasps(view, along, YUMI).keep[0]
    assert check_grasps(view, along, YUMI, ConstraintConfig(check_obstacles=False)).keep[0]


def test_a_negative_margin_is_refused():
    with pytest.raises(InvalidConfig, match="lateral_margin -1"):
        ConstraintConfig(lateral_margin=-1)
