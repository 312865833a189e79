"""Algorithm 1: edges, normals, antipodal pairs, heights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from antipodal.camera import DepthImage
from antipodal.errors import InvalidConfig
from antipodal.policy.constraints import check_grasps
from antipodal.policy.image_sampler import (
    PAPER_SAMPLER,
    Edges,
    SamplerConfig,
    find_edges,
    find_pairs,
    near,
    sample_grasps,
)
from antipodal.policy.request import Request
from antipodal.policy.view import look
from conftest import box, cylinder
from policy_scenes import INTRINSICS, YUMI, seen, view_of

OPTICAL = np.array([0.0, 0.0, 1.0])


def flat(depth: float = 0.7) -> np.ndarray:
    return np.full(INTRINSICS.shape, depth)


def test_edges_of_a_raised_disc_lie_on_its_rim_and_point_outwards():
    depth = flat()
    v, u = np.mgrid[:480, :640]
    radius = np.hypot(u - 320, v - 240)
    depth[radius < 40] = 0.66
    edges = find_edges(DepthImage(depth, INTRINSICS), OPTICAL, None, PAPER_SAMPLER)
    ray = edges.px - [320, 240]
    distance = np.linalg.norm(ray, axis=-1)
    assert len(edges.px) > 100
    assert np.abs(distance - 40).max() < 5
    assert ((ray / distance[:, None]) * edges.outward).sum(-1).min() > 0.9
    angles = np.sort(np.arctan2(ray[:, 1], ray[:, 0]))
    assert np.diff(angles).max() < 0.1  # the rim is closed


def test_missing_depth_is_no_edge():
    depth = flat()
    depth[200:260, 300:340] = 0.0
    image = DepthImage(depth, INTRINSICS)
    assert len(find_edges(image, OPTICAL, None, PAPER_SAMPLER).px) == 0
    view = look(image, None, np.random.default_rng(0))
    assert len(find_edges(view.filled, OPTICAL, None, PAPER_SAMPLER).px) == 0


def test_a_tilted_table_has_no_edges_along_its_own_normal():
    view = view_of(box(), tilt=0.8)
    far = ~np.asarray(view.objects)
    far[150:330, 230:410] = False
    along_normal = find_edges(view.filled, view.approach_axis, far, PAPER_SAMPLER)
    along_optical = find_edges(view.filled, OPTICAL, far, PAPER_SAMPLER)
    assert len(along_normal.px) == 0
    assert len(along_optical.px) > 1000


def test_the_threshold_is_metres_per_down_sampled_pixel():
    ramp = DepthImage(np.broadcast_to(0.6 + 0.001 * np.arange(640), (480, 640)), INTRINSICS)
    at = replace(PAPER_SAMPLER, downsample=2)
    assert len(find_edges(ramp, OPTICAL, None, replace(at, gradient_threshold=0.0019)).px) > 0
    assert len(find_edges(ramp, OPTICAL, None, replace(at, gradient_threshold=0.0021)).px) == 0


@pytest.mark.parametrize("degrees", [5.0, 20.0, 30.0])
def test_a_pair_needs_the_tangent_of_its_largest_angle_as_friction(degrees):
    turn = np.deg2rad(degrees)
    edges = Edges(
        np.array([[100.0, 100.0], [120.0, 100.0]]),
        np.array([[-1.0, 0.0], [np.cos(turn), np.sin(turn)]]),
    )
    pairs = find_pairs(edges, 30.0, 1.0)
    assert pairs.edge.tolist() == [[0, 1]]
    assert pairs.friction == pytest.approx([np.tan(turn)], rel=1e-9)
    assert len(find_pairs(edges, 30.0, np.tan(turn) * 0.999).edge) == 0
    assert len(find_pairs(edges, 19.9, 1.0).edge) == 0


def test_normals_that_lean_alike_need_the_tangent_of_the_angle_between_them():
    turn = np.deg2rad(
        15
    )  # each from the line, to the same side: together twice as far from opposite
    c, s = np.cos(turn), np.sin(turn)
    edges = Edges(np.array([[100.0, 100.0], [120.0, 100.0]]), np.array([[-c, s], [c, s]]))
    assert find_pairs(edges, 30.0, 1.0).friction == pytest.approx([np.tan(2 * turn)], rel=1e-9)


def test_edges_that_face_each_other_are_no_pair():
    edges = Edges(np.array([[100.0, 100.0], [120.0, 100.0]]), np.array([[1.0, 0.0], [-1.0, 0.0]]))
    assert len(find_pairs(edges, 30.0, 1.0).edge) == 0


def test_pairs_equal_a_loop_over_all_pairs(rng):
    px = rng.uniform(0, 60, (80, 2))
    angle = rng.uniform(-np.pi, np.pi, 80)
    normals = np.stack([np.cos(angle), np.sin(angle)], -1)
    expected = set()
    for i in range(80):
        for j in range(i + 1, 80):
            d = px[j] - px[i]
            length = np.linalg.norm(d)
            cone = np.cos(np.arctan(0.8))
            if length < 25 and min(-normals[i] @ d, normals[j] @ d) / length > cone:
                if -normals[i] @ normals[j] > cone:
                    expected.add((i, j))
    found = find_pairs(Edges(px, normals), 25.0, 0.8)
    assert {tuple(sorted(p)) for p in found.edge.tolist()} == expected
    assert len(expected) > 5
    assert found.friction.max() < 0.8


@pytest.mark.parametrize("yaw", [0.0, 0.5, 1.2])
def test_grasps_of_a_bar_close_across_it(yaw, rng):
    view = view_of(box(0.10, 0.025, 0.03), yaw=yaw)
    grasps = sample_grasps(view, YUMI, rng).grasps
    T_world_camera = view.image.T_world_camera
    closing = grasps.to_grasp(INTRINSICS, view.approach_axis).in_frame(T_world_camera).closing_axis
    across = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    angle = np.arccos(np.clip(np.abs(closing @ across), 0, 1))
    # the cone at μ = 0.4 is 22° wide and the normals of pixels add their own error
    assert np.median(angle) < np.deg2rad(12)
    assert (angle < np.deg2rad(40)).mean() > 0.95
    assert np.abs(closing[:, 2]).max() < 1e-9  # parallel to the table
    assert (grasps.width == YUMI.max_width).all()


@pytest.mark.parametrize("yaw", [0.0, 0.5])
def test_grasps_of_a_bar_are_centred_between_its_sides(yaw, rng):
    view = view_of(box(0.10, 0.025, 0.03), yaw=yaw, tilt=0.0)
    grasps = sample_grasps(view, YUMI, rng).grasps.to_grasp(INTRINSICS, view.approach_axis)
    center = grasps.in_frame(np.asarray(view.image.T_world_camera)).center
    across = center[:, :2] @ [-np.sin(yaw), np.cos(yaw)]
    assert np.median(np.abs(across)) < 0.002 and abs(np.mean(across)) < 0.001


def test_of_too_many_edges_those_that_are_drawn_keep_their_normals(rng):
    view = view_of(box(0.10, 0.025, 0.03), yaw=0.5)
    sample = sample_grasps(view, YUMI, rng, replace(PAPER_SAMPLER, max_edges=150))
    assert sample.counts["edges"] > 2 * 150
    grasps = sample.grasps.to_grasp(INTRINSICS, view.approach_axis)
    closing = grasps.in_frame(np.asarray(view.image.T_world_camera)).closing_axis
    angle = np.arccos(np.clip(np.abs(closing @ [-np.sin(0.5), np.cos(0.5), 0.0]), 0, 1))
    assert len(angle) > 50 and np.median(angle) < np.deg2rad(12)


def test_no_rung_is_lower_than_the_least_height_that_is_asked_for(rng):
    image, mask = seen(box(0.03, 0.03, 0.045))
    view = look(image, Request(mask=mask, min_height=0.02), np.random.default_rng(0))
    grasps = sample_grasps(view, YUMI, rng).grasps.to_grasp(INTRINSICS, view.approach_axis)
    height = grasps.in_frame(np.asarray(image.T_world_camera)).center[:, 2]
    assert len(height) > 50 and height.min() > 0.02 + YUMI.tip_overhang - 1e-6


def test_the_nearest_of_the_four_pixels_around_a_pairs_middle_is_its_surface(rng):
    depth = np.full(INTRINSICS.shape, 0.7)
    depth[200:280, 300:330] = 0.66
    depth[200:280, 314] = 0.65  # a ridge one pixel wide, where the middles are
    view = look(DepthImage(depth, INTRINSICS), depth < 0.69, np.random.default_rng(0))
    config = replace(PAPER_SAMPLER, n_grasps=100_000, smoothing_px=0.0, gradient_threshold=0.012)
    grasps = sample_grasps(view, YUMI, rng, config).grasps
    on_ridge = np.abs(grasps.center_px[:, 0] - 314.0) < 0.9
    assert on_ridge.sum() > 50
    assert grasps.depth[on_ridge].min() == pytest.approx(0.65, abs=1e-4)


def test_heights_go_down_in_steps_until_the_tips_meet_the_table(rng):
    view = view_of(box(0.03, 0.03, 0.045))
    grasps = sample_grasps(view, YUMI, rng, replace(PAPER_SAMPLER, n_grasps=100_000)).grasps
    height = (
        grasps.to_grasp(INTRINSICS, view.approach_axis)
        .in_frame(view.image.T_world_camera)
        .center[:, 2]
    )
    lowest = YUMI.tip_overhang + PAPER_SAMPLER.table_clearance
    expected = np.array([0.045, 0.035, 0.025, lowest])
    # pairs whose midpoint sees the box' top; the rest sees its front side
    top = np.abs(height[:, None] - expected).min(-1) < 1e-3
    assert top.mean() > 0.5
    for rung in expected:
        assert (np.abs(height - rung) < 1e-3).mean() > 0.1
    assert height.min() >= lowest - 1e-9


def test_the_heights_of_one_pair_lie_on_a_line_along_the_approach(rng):
    view = view_of(box(0.03, 0.03, 0.045))
    config = replace(PAPER_SAMPLER, n_grasps=100_000)
    poses = sample_grasps(view, YUMI, rng, config).grasps.to_grasp(INTRINSICS, view.approach_axis)
    R = np.stack([np.cross(view.approach_axis, [1.0, 0, 0]), [1.0, 0, 0]])
    foot = np.round(poses.center @ R.T, 7)  # where each meets the plane across the approach
    _, count = np.unique(foot, axis=0, return_counts=True)
    assert count.max() >= 4
    assert np.median(count) >= 3


def test_random_depths_lie_below_the_surface_within_their_range(rng):
    view = view_of(box(0.03, 0.03, 0.08))
    config = replace(PAPER_SAMPLER, height_step=None, friction=(0.8,), n_grasps=500)
    sample = sample_grasps(view, YUMI, rng, config)
    height = (
        sample.grasps.to_grasp(INTRINSICS, view.approach_axis)
        .in_frame(view.image.T_world_camera)
        .center[:, 2]
    )
    on_top = height > 0.08 - 0.041
    assert on_top.mean() > 0.5
    assert height.max() <= 0.08 - 0.005 + 5e-4
    assert len(np.unique(np.round(height, 6))) > 100


def test_an_object_flatter_than_the_overhang_is_grasped_above_its_surface(rng):
    view = view_of(box(0.03, 0.06, 0.010))
    grasps = sample_grasps(view, YUMI, rng).grasps
    height = (
        grasps.to_grasp(INTRINSICS, view.approach_axis)
        .in_frame(view.image.T_world_camera)
        .center[:, 2]
    )
    lowest = YUMI.tip_overhang + PAPER_SAMPLER.table_clearance
    assert len(grasps) > 50
    # the table is fitted to float32 pixels of a grid: known to a few nm
    assert height == pytest.approx(np.full(len(grasps), lowest), abs=2e-8)


def test_a_cube_wider_than_the_stroke_has_no_pair_in_width_across_its_faces(rng):
    wide = sample_grasps(view_of(box(0.07, 0.07, 0.04), tilt=0.0), YUMI, rng)
    narrow = sample_grasps(view_of(box(0.04, 0.04, 0.04), tilt=0.0), YUMI, rng)
    assert wide.counts["in_width"] == 0 and len(wide.grasps) == 0
    assert narrow.counts["in_width"] > 100


def test_a_far_block_wider_than_the_stroke_has_no_pair_however_near_another_one_is(rng):
    # the nearest edges say how many pixels the stroke may be: at 0.4 m it is more than 7 cm at 0.66 m
    depth = np.full(INTRINSICS.shape, 0.7)
    depth[60:90, 100:130] = 0.4
    half = round(0.035 * INTRINSICS.fx / 0.66)
    depth[240 - half : 240 + half, 400 - half : 400 + half] = 0.66
    view = look(DepthImage(depth, INTRINSICS), None, np.random.default_rng(0))
    assert view.objects is not None and view.objects[240, 400]
    center = sample_grasps(
        view, YUMI, rng, replace(PAPER_SAMPLER, n_grasps=100_000)
    ).grasps.center_px
    assert len(center) > 50
    assert not (np.abs(center - [400, 240]) < half / 2).all(-1).any()


def test_a_bar_thinner_than_the_jaws_close_has_hardly_a_pair_in_width(rng):
    view = view_of(box(0.09, 0.02, 0.04), tilt=0.0)
    # an edge is found up to 4 pixels, 5 mm, on either side of its step; a few pairs lie obliquely
    usual, narrow = (
        sample_grasps(view, hand, rng).counts["in_width"]
        for hand in (YUMI, replace(YUMI, min_width=0.032))
    )
    assert usual > 1000 and narrow < 0.05 * usual


def test_friction_rises_only_as_far_as_needed(rng):
    view = view_of(cylinder(0.02, 0.05))
    few = sample_grasps(view, YUMI, rng, replace(PAPER_SAMPLER, n_grasps=10))
    all_of_them = sample_grasps(view, YUMI, rng, replace(PAPER_SAMPLER, n_grasps=10**6))
    lowest_only = sample_grasps(
        view, YUMI, rng, replace(PAPER_SAMPLER, n_grasps=10**6, friction=(0.4,))
    )
    assert few.counts["heights"] == lowest_only.counts["heights"]
    assert all_of_them.counts["heights"] > 1.3 * few.counts["heights"]


def test_counts_fall_from_stage_to_stage(rng):
    counts = sample_grasps(view_of(box(0.03, 0.05, 0.03)), YUMI, rng).counts
    assert counts["pairs"] >= counts["antipodal"] >= counts["in_width"] > 0
    assert counts["sampled"] <= PAPER_SAMPLER.n_grasps


def test_the_same_random_state_gives_the_same_grasps():
    view = view_of(box(0.03, 0.05, 0.03))
    a, b = (sample_grasps(view, YUMI, np.random.default_rng(3)).grasps for _ in range(2))
    assert a.center_px.tobytes() == b.center_px.tobytes()
    assert a.depth.tobytes() == b.depth.tobytes()


def test_senseless_parameters_are_refused():
    with pytest.raises(InvalidConfig, match=r"friction .*expected ascending"):
        SamplerConfig(friction=(0.8, 0.4))
    with pytest.raises(InvalidConfig, match="height_step 0"):
        SamplerConfig(height_step=0.0)
    with pytest.raises(InvalidConfig, match="n_grasps 0: expected a positive number"):
        SamplerConfig(n_grasps=0)


def test_a_margin_wider_than_the_image_covers_it_and_costs_no_more() -> None:
    objects = np.zeros((40, 60), bool)
    objects[3, 50] = True
    assert near(objects, 100_000).all()  # type: ignore[union-attr]
    # no narrower than asked for
    u, v = np.meshgrid(np.arange(60), np.arange(40))
    want = np.maximum(np.abs(u - 50), np.abs(v - 3)) <= 45
    assert np.array_equal(near(objects, 45), want)  # type: ignore[arg-type]


def test_depths_end_where_the_palm_does_however_far_below_the_table_lies():
    """Sixteen blocks 0.1 m and 2 m above what is found to be the table: as many of the grasps can be executed."""
    kept = []
    for table in (0.75, 2.65):
        depth = np.full(INTRINSICS.shape, table, np.float32)
        for u in range(140, 520, 110):
            for v in range(80, 420, 90):
                depth[v : v + 24, u : u + 24] = 0.65
        view = look(DepthImage(depth, INTRINSICS), None, np.random.default_rng(0))
        assert view.table is not None and view.table.offset == pytest.approx(table, abs=1e-3)
        grasps = sample_grasps(view, YUMI, np.random.default_rng(0), PAPER_SAMPLER).grasps
        assert grasps.depth.max() < 0.65 + YUMI.finger_depth + 0.1
        kept.append(int(check_grasps(view, grasps, YUMI).keep.sum()))
    assert kept[1] > 0.5 * kept[0] > 10
