"""Collision along the approach, against dense pose-by-pose checks on points and against plain geometry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from antipodal import transforms
from antipodal.collision import (
    CollisionConfig,
    ObjectCollider,
    approach_collisions,
    approach_is_free,
    lowest_corner,
    swept_boxes,
)
from antipodal.errors import InvalidConfig
from antipodal.grasp import Grasp
from antipodal.gripper import Boxes, load_gripper
from antipodal.mesh import TriMesh
from antipodal.sampling import sample_antipodal
from conftest import box, cylinder, to_trimesh_value

YUMI = load_gripper("yumi")
STRICT = CollisionConfig(rule="zero")


def on_table(mesh: TriMesh) -> np.ndarray:
    return transforms.translation([0.0, 0.0, -mesh.vertices[:, 2].min()])


def from_above(center, x=(1.0, 0.0, 0.0), width: float = 0.05) -> Grasp:
    return Grasp.from_axes(np.atleast_2d(center), x, [0, 0, -1.0], width)


def test_a_box_held_at_its_top_is_free_and_one_too_wide_is_hit():
    mesh = box(0.04, 0.04, 0.06)
    grasps = from_above([0, 0, 0.05])
    assert approach_is_free(mesh, on_table(mesh), grasps, YUMI, STRICT).all()
    wide = box(0.052, 0.04, 0.06)
    hit = approach_collisions(wide, on_table(wide), grasps, YUMI, STRICT)
    assert hit.hits_object.all()
    assert not hit.hits_table.any()
    assert not hit.free.any()


def test_the_gap_between_the_jaws_is_exact():
    # jaws stand at (width + 2 clearance) / 2 from the middle
    gap = YUMI.max_width + 2 * YUMI.jaw_clearance
    for side, free in ((gap - 1e-5, True), (gap + 1e-5, False)):
        mesh = box(side, 0.04, 0.06)
        assert (
            approach_is_free(mesh, on_table(mesh), from_above([0, 0, 0.05]), YUMI, STRICT) == free
        )


def test_the_table_stops_the_tips_at_the_allowed_depth():
    mesh = box(0.04, 0.04, 0.02)
    limit = YUMI.tip_overhang - STRICT.table_offset
    for z, free in ((limit + 1e-6, True), (limit - 1e-6, False)):
        result = approach_collisions(mesh, on_table(mesh), from_above([0, 0, z]), YUMI, STRICT)
        assert result.free == free
        assert result.hits_table == (not free)
        assert not result.hits_object
    without = replace(STRICT, table=False)
    assert approach_is_free(mesh, on_table(mesh), from_above([0, 0, 0.004]), YUMI, without).all()


def test_the_palm_stops_at_a_tall_object():
    # from the tips up to the palm there is finger_depth of room, seen from the jaw midpoint finger_depth − tip_overhang
    palm = -(YUMI.palm_boxes[0]["center"][2] + YUMI.palm_boxes[0]["size"][2] / 2)
    mesh = box(0.04, 0.04, 0.1)
    for depth, free in ((palm - 1e-5, True), (palm + 1e-5, False)):
        grasps = from_above([0, 0, 0.1 - depth])
        assert approach_is_free(mesh, on_table(mesh), grasps, YUMI, STRICT) == free


def test_what_stands_in_the_way_counts_though_the_final_pose_is_free():
    # a shelf above the grasp: nothing touches at the end, the fingers would have come through it
    body, shelf = trimesh.creation.box((0.03, 0.03, 0.04)), trimesh.creation.box((0.3, 0.3, 0.001))
    shelf.apply_translation([0, 0, 0.32])
    mesh = to_trimesh_value(trimesh.util.concatenate([body, shelf]))
    grasps = from_above([0, 0, 0.03])
    T = transforms.translation([0, 0, 0.02])
    for distance, free in ((0.10, True), (0.20, False)):
        config = replace(STRICT, approach_distance=distance)
        assert approach_is_free(mesh, T, grasps, YUMI, config) == free


def test_one_free_tilt_is_enough_for_the_papers_rule_only():
    # a wall beside the object that the upright palm would hit, and the palm leaning away does not
    body = trimesh.creation.box((0.03, 0.03, 0.04))
    body.apply_translation([0, 0, 0.02])
    wall = trimesh.creation.box((0.3, 0.01, 0.08))
    wall.apply_translation([0, 0.04, 0.04])
    mesh = to_trimesh_value(trimesh.util.concatenate([body, wall]))
    grasps = from_above([0, 0, 0.03])
    assert not approach_is_free(mesh, np.eye(4), grasps, YUMI, STRICT).any()
    lenient = approach_collisions(mesh, np.eye(4), grasps, YUMI)
    assert lenient.free.all()
    assert lenient.hits_object.all()  # reported without tilt
    freed = [
        bool(
            approach_is_free(
                mesh, np.eye(4), Grasp(grasps.pose @ transforms.rot_x(t), 0.05), YUMI, STRICT
            )[0]
        )
        for t in np.deg2rad([-10, -5, 0, 5, 10])
    ]
    assert freed[2] is False
    assert any(freed)
    assert freed[:2] != freed[3:]  # one side only: the wall has a side


def test_a_box_wholly_inside_the_object_is_a_hit():
    inside = Boxes(np.zeros((1, 1, 3)), np.full((1, 1, 3), 0.01))
    assert ObjectCollider(box())(inside, np.eye(4)[None]).all()
    beside = Boxes(np.full((1, 1, 3), 0.1), np.full((1, 1, 3), 0.01))
    assert not ObjectCollider(box())(beside, np.eye(4)[None]).any()


def test_a_swept_box_is_the_union_of_the_box_on_its_way(rng):
    boxes = YUMI.boxes(np.array([0.05]))
    swept = swept_boxes(boxes, 0.1)
    points = rng.uniform([-0.1, -0.1, -0.4], [0.1, 0.1, 0.1], (20000, 1, 3))

    def inside(b: Boxes, p: np.ndarray) -> np.ndarray:
        return (np.abs(p - b.centers[0]) <= b.sizes[0] / 2).all(-1)

    on_the_way = np.zeros((len(points), 3), bool)
    for t in np.linspace(0, 0.1, 201):  # 0.5 mm steps: boxes are thicker than that
        on_the_way |= inside(boxes, points + np.array([0, 0, t]))
    np.testing.assert_array_equal(inside(swept, points), on_the_way)


@pytest.mark.parametrize(
    "mesh", [box(0.03, 0.05, 0.08), cylinder(0.018, 0.1)], ids=lambda m: m.name
)
def test_the_swept_query_agrees_with_points_checked_pose_by_pose(mesh, rng):
    # oracle: surface points of the object, tested against the boxes of every pose on the way, 2 mm apart
    n = 60
    approach = rng.normal(size=(n, 3)) * [0.5, 0.5, 0.3] - [0, 0, 1.0]
    center = mesh.vertices.max(0) * rng.uniform([-1, -1, 0.5], [1, 1, 2.0], (n, 3))
    grasps = Grasp.from_axes(center, rng.normal(size=(n, 3)) * [1, 1, 0.2], approach, 0.05)
    hits = approach_collisions(mesh, np.eye(4), grasps, YUMI, STRICT).hits_object
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces)
    points, _ = trimesh.sample.sample_surface(solid, 8000, seed=1)
    compared = []
    for i, g in enumerate(grasps):
        p = transforms.apply(transforms.inverse(g.pose), points)[:, None]
        boxes = YUMI.boxes(g.width)
        deepest = np.inf
        for t in np.linspace(0, 0.1, 51):
            outside = np.abs(p + np.array([0, 0, t]) - boxes.centers) - boxes.sizes / 2
            deepest = min(deepest, outside.max(-1).min())
        # points lie some 1.5 mm apart: nearer to the surface than that the oracle does not know
        if abs(deepest) > 0.002:
            assert hits[i] == (deepest < 0)
            compared.append(hits[i])
    assert sum(compared) > 10
    assert len(compared) - sum(compared) > 3


def test_the_lowest_corner_of_the_way_is_that_of_the_last_pose_when_the_gripper_comes_down(rng):
    approach = rng.normal(size=(20, 3)) * [0.3, 0.3, 0.0] - [0, 0, 1.0]
    grasps = Grasp.from_axes(rng.normal(0, 0.1, (20, 3)), rng.normal(size=(20, 3)), approach, 0.05)
    grasps = grasps[grasps.approach_axis[:, 2] < 0]
    corners = lowest_corner(swept_boxes(YUMI.boxes(grasps.width), 0.1), grasps.pose)
    vertices = [YUMI.collision_mesh_at(g).vertices[:, 2].min() for g in grasps]
    np.testing.assert_allclose(corners, vertices, atol=1e-12)


def test_collisions_do_not_change_when_the_world_is_turned_about_the_vertical(rng):
    mesh = cylinder(0.02, 0.06)
    grasps = sample_antipodal(mesh, YUMI, 40, rng).in_frame(on_table(mesh))
    turn = transforms.translation([0.1, 0.2, 0.0]) @ transforms.rot_z(1.0)
    here = approach_collisions(mesh, on_table(mesh), grasps, YUMI)
    there = approach_collisions(mesh, turn @ on_table(mesh), grasps.in_frame(turn), YUMI)
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a, b)


def test_tilts_are_symmetric_with_the_smallest_first():
    np.testing.assert_allclose(np.rad2deg(CollisionConfig().tilts), [0, -5, 5, -10, 10], atol=1e-12)
    assert CollisionConfig(rule="zero").tilts.tolist() == [0.0]


def test_no_grasps_need_no_answer():
    none = Grasp(np.empty((0, 4, 4)), 0.05)
    assert approach_is_free(box(), np.eye(4), none, YUMI).shape == (0,)


@pytest.mark.parametrize(
    "values", [{"n_tilts": 4}, {"rule": "all"}, {"approach_distance": -1.0}, {"max_tilt": 2.0}]
)
def test_impossible_paths_are_refused(values):
    with pytest.raises(InvalidConfig, match="collision"):
        CollisionConfig(**values)
