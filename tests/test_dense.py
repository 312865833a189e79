"""The dense policy: its map of clear places against geometry, its plans against the constraints and the shape."""

from __future__ import annotations

import numpy as np
import pytest

from antipodal import transforms
from antipodal.camera import DepthImage
from antipodal.collision import approach_is_free
from antipodal.errors import InvalidConfig
from antipodal.grasp import PlanarGrasp
from antipodal.policy import make_policy
from antipodal.policy.constraints import check_grasps
from antipodal.policy.dense import DenseConfig, clear_places, dense_policy
from antipodal.policy.view import look
from antipodal.success import EXECUTED_APPROACH
from conftest import box, cylinder
from policy_scenes import YUMI, seen, standing, view_of


def world_grasps(scene, grasps, view):
    """Planar grasps as the simulator gets them."""
    spatial = grasps.to_grasp(scene.intrinsics, view.approach_axis)
    return spatial.in_frame(scene.T_world_camera)


def lowest(image: DepthImage, grasps: PlanarGrasp) -> np.ndarray:
    """Prefer the deepest grasp nearest to the middle of the image."""
    off = np.linalg.norm(grasps.center_px - [319.5, 239.5], axis=-1)
    return np.clip(grasps.depth - 0.4, 0, 0.5) * np.exp(-off / 100)


@pytest.mark.parametrize("mesh", [box(0.03, 0.08, 0.05), cylinder(0.018, 0.06)])
def test_clear_places_are_free_of_the_true_object(mesh):
    scene, view = standing(mesh, yaw=0.3), view_of(mesh, yaw=0.3)
    places = clear_places(view, YUMI)
    assert 0 < len(places.grasps) <= 2 * DenseConfig().n_cells
    assert places.n_clear <= places.n_seen
    world = world_grasps(scene, places.grasps, view)
    free = approach_is_free(mesh, scene.T_world_obj, world, YUMI, EXECUTED_APPROACH)
    assert free.mean() > 0.9  # the map's cells are 2 mm


def test_a_box_as_wide_as_the_stroke_has_places_along_its_short_side_only():
    mesh, yaw = box(0.03, 0.09, 0.05), 0.5
    view, scene = view_of(mesh, yaw), standing(mesh, yaw)
    world = world_grasps(scene, clear_places(view, YUMI).grasps, view)
    x = world.closing_axis[:, :2] @ [np.cos(yaw), np.sin(yaw)]
    # turned by β the box is 30 / cos β + 22 tan β wide between pads of 22 mm: 50 mm at 34°
    assert np.degrees(np.arccos(np.abs(x))).max() < 40


def test_the_middle_of_an_object_wider_than_the_jaws_has_no_place_and_the_plan_says_so(rng):
    # its corners do: two faces at right angles between the jaws, which is the network's question
    image, _ = seen(box(0.12, 0.12, 0.05))
    mask = np.zeros(image.depth.shape, bool)
    mask[220:260, 300:340] = True
    assert len(clear_places(look(image, mask, rng), YUMI).grasps) == 0
    plan = dense_policy(lowest, YUMI)(image, mask, rng)
    assert len(plan.grasps) == 0
    assert plan.reason


def test_every_planned_grasp_satisfies_the_constraints_and_the_best_is_first(rng):
    image, mask = seen(cylinder(0.015, 0.08), tilt=0.3)
    plan = make_policy("dense", lowest, YUMI)(image, mask, rng)
    view = look(image, mask, np.random.default_rng(0))
    assert check_grasps(view, plan.grasps, YUMI).keep.mean() > 0.99  # the table is fitted anew
    assert (np.diff(plan.quality) <= 0).all()
    assert plan.quality == pytest.approx(lowest(image, plan.grasps))


def test_refining_finds_more_than_the_cells_alone(rng):
    image, mask = seen(cylinder(0.015, 0.08))
    coarse = dense_policy(lowest, YUMI, DenseConfig(n_angles=4, n_rounds=0))
    fine = dense_policy(lowest, YUMI, DenseConfig(n_angles=4, n_rounds=3))
    a = coarse(image, mask, np.random.default_rng(1))
    b = fine(image, mask, np.random.default_rng(1))
    assert b.quality[0] > a.quality[0]
    assert len(b.grasps) > len(a.grasps)


def test_turning_the_scene_turns_the_places(rng):
    mesh = box(0.03, 0.07, 0.05)
    config = DenseConfig(n_angles=16, n_heights=1)
    turn = np.pi / 16  # one step of the angles
    best = []
    for yaw in (0.2, 0.2 + turn):
        scene, view = standing(mesh, yaw, tilt=0.0), view_of(mesh, yaw, tilt=0.0)
        world = world_grasps(scene, clear_places(view, YUMI, config).grasps, view)
        x = world.closing_axis[:, :2] @ transforms.rot_z(yaw)[:2, :2]
        best.append(np.abs(x[:, 0]).mean())
    assert best[1] == pytest.approx(best[0], abs=0.03)


def test_impossible_configurations_are_refused():
    for wrong in ({"n_angles": 0}, {"move_sigma": -1.0}, {"engagement": 0.0}):
        with pytest.raises(InvalidConfig, match=next(iter(wrong))):
            DenseConfig(**wrong)
