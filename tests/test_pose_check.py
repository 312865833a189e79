"""A wrong camera pose is found by what the image shows; a right one stays unmentioned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from antipodal import transforms
from antipodal.camera import DepthImage
from antipodal.doctor import examine_depth
from antipodal.grasp import PlanarGrasp
from antipodal.planning import NO_POSE, PlanInputs, describe, plan_image
from antipodal.policy import make_policy
from antipodal.policy.base import Plan
from antipodal.policy.constraints import ConstraintConfig
from antipodal.policy.pose_check import NO_PLANE, NO_TABLE, disagreement
from antipodal.policy.table import TableConfig, fit_table
from antipodal.policy.view import doubted, look
from antipodal.render.depth import render
from antipodal.render.noise import observe
from conftest import box, sphere
from policy_scenes import INTRINSICS, YUMI, camera, seen, standing

TURNED = camera(np.deg2rad(20.0)) @ transforms.rot_z(0.7)
"""Turned about its axis: else such a pose is nearly its own inverse."""
BOX = box(0.03, 0.06, 0.04)


def pictured(T_world_camera: np.ndarray, said: np.ndarray) -> DepthImage:
    """A box on a table, with noise, seen from one pose and said to be seen from another."""
    scene = replace(standing(BOX), T_world_camera=T_world_camera)
    image = observe(render(scene).image, np.random.default_rng(1))
    return DepthImage(image.depth, INTRINSICS, said)


def tilted(T_world_camera: np.ndarray, degrees: float) -> np.ndarray:
    return transforms.rot_x(np.deg2rad(degrees)) @ T_world_camera


MASK = render(replace(standing(BOX), T_world_camera=TURNED)).mask


POLICY = make_policy("antipodal", lambda _, grasps: np.full(len(grasps), 0.9), YUMI)
"""Scores every candidate alike."""


def unasked(_: DepthImage, grasps: PlanarGrasp) -> np.ndarray:
    raise AssertionError(f"{len(grasps)} grasps were scored")


def plan(image: DepthImage, mask: np.ndarray | None = None) -> Plan:
    return POLICY(image, mask, np.random.default_rng(0))


def test_an_inverse_pose_is_refused_by_name_though_it_looks_down_as_the_pose_does():
    inverse = transforms.inverse(TURNED)
    assert inverse[2, 2] == pytest.approx(TURNED[2, 2])
    assert len(plan(pictured(TURNED, TURNED)).grasps) > 0
    refused = plan(pictured(TURNED, inverse))
    assert len(refused.grasps) == 0
    assert "its inverse fits: expected the camera's pose in the world" in str(refused.reason)
    assert "\n" not in str(refused.reason)


@pytest.mark.parametrize("degrees", [8.0, 15.0, 30.0])
def test_a_pose_of_another_view_is_refused_with_the_angle_that_it_is_off(degrees):
    refused = plan(pictured(TURNED, tilted(TURNED, degrees)))
    assert len(refused.grasps) == 0
    assert f"{degrees:.0f}." in str(refused.reason) or f"{degrees - 0.1:.1f}" in str(refused.reason)
    assert "does the pose belong to this view?" in str(refused.reason)


def test_nothing_is_scored_under_a_pose_that_is_refused():
    """Nor sampled: each grasp would be one that is thrown away."""
    image = pictured(TURNED, transforms.inverse(TURNED))
    for name in ("antipodal", "cem", "dense"):
        refused = make_policy(name, unasked, YUMI)(image, None, np.random.default_rng(0))
        assert "its inverse fits" in str(refused.reason)
        assert refused.counts["scored"] == refused.counts.get("sampled", 0) == 0


@pytest.mark.parametrize("degrees", [0.0, 1.0, 2.0])
def test_honest_calibrations_plan_without_a_word(degrees):
    found = plan(pictured(TURNED, tilted(TURNED, degrees)), MASK)
    assert len(found.grasps) > 0
    assert found.warnings == ()


def test_a_pose_that_is_somewhat_off_plans_with_a_warning_in_text_and_json():
    found = plan(pictured(TURNED, tilted(TURNED, 4.0)), MASK)
    assert len(found.grasps) > 0
    (warning,) = found.warnings
    assert "4.0° off the world's horizontal" in warning
    assert found.to_json(INTRINSICS)["warnings"] == [warning]
    assert warning in describe(found, 0.1)


def test_a_pose_is_doubted_with_the_tolerance_that_the_table_is_given():
    """No plane of 6 mm is found in 40 mm of noise, one of 80 mm is."""
    image = pictured(TURNED, tilted(TURNED, 20.0))
    noise = np.random.default_rng(0).normal(0, 0.04, INTRINSICS.shape)
    image = image.with_depth(np.where(image.valid, image.depth + noise, 0))
    config = TableConfig(tolerance=0.08)
    view = doubted(look(image, None, np.random.default_rng(0), config), config)
    (warning,) = view.warnings
    assert "off the world's horizontal" in warning


def test_without_a_pose_there_is_nothing_to_doubt():
    image = pictured(TURNED, TURNED)
    alone = DepthImage(image.depth, INTRINSICS)
    assert disagreement(alone, None, fit_table(alone, None, np.random.default_rng(0))) is None
    assert plan(alone).warnings == ()


def test_a_plan_says_in_words_that_its_way_is_in_the_cameras_frame():
    image = pictured(TURNED, TURNED)
    alone = DepthImage(image.depth, INTRINSICS)
    assert plan_image(PlanInputs(alone, MASK, YUMI, POLICY), 0).text.endswith(NO_POSE)
    assert NO_POSE not in plan_image(PlanInputs(image, MASK, YUMI, POLICY), 0).text
    said = [f.message for f in examine_depth(np.array(alone.depth), INTRINSICS)]
    assert any(message.startswith("no T_world_camera") for message in said)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"cx": 0.0, "cy": 0.0}, "principal point (0, 0) is far from the middle"),
        ({"fy": 1.2 * INTRINSICS.fy}, "expected nearly square pixels"),
    ],
    ids=["principal point", "focal lengths"],
)
def test_intrinsics_of_another_image_are_warned_of(changed, words):
    """They move every grasp, by decimetres, and nothing in the image shows it."""
    right = pictured(TURNED, TURNED)
    wrong = DepthImage(right.depth, replace(INTRINSICS, **changed))
    (warning,) = plan(wrong).warnings
    assert words in warning
    assert plan(DepthImage(right.depth, INTRINSICS)).warnings == ()


def test_a_pose_without_any_plane_is_warned_of(rng):
    noise = DepthImage(rng.uniform(0.3, 1.5, INTRINSICS.shape), INTRINSICS, camera())
    assert plan(noise).warnings == (NO_TABLE,)


@pytest.mark.parametrize("name", ["antipodal", "cem", "dense"])
def test_without_a_table_there_is_a_warning_unless_the_background_was_cut_away(name):
    """Heights are not checked then, and that is said."""
    image, mask = seen(sphere(0.02))
    cut = DepthImage(np.where(mask, image.depth, 0), INTRINSICS)
    for max_unseen, said in ((0.75, (NO_PLANE,)), (1.0, ())):
        constraints = ConstraintConfig(max_unseen=max_unseen)
        policy = make_policy(name, lambda _, g: np.full(len(g), 0.9), YUMI, constraints=constraints)
        assert policy(cut, mask, np.random.default_rng(0)).warnings == said


def test_one_large_tilted_object_is_no_wrong_pose_where_its_mask_is_given():
    image, _ = seen(BOX)
    slope = np.linspace(0.45, 0.62, INTRINSICS.width)
    depth, mask = np.array(image.depth), np.zeros(INTRINSICS.shape, bool)
    mask[:, 30:600] = True
    depth[mask] = np.broadcast_to(slope, depth.shape)[mask]
    image = DepthImage(depth, INTRINSICS, camera())
    off = disagreement(image, None, fit_table(image, None, np.random.default_rng(0)))
    assert off is not None
    assert off.is_certain
    assert disagreement(image, mask, fit_table(image, mask, np.random.default_rng(0))) is None
