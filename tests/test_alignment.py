"""Turning grasps to the table."""

from __future__ import annotations

import numpy as np

from antipodal import transforms
from antipodal.alignment import align_with_table
from antipodal.grasp import Grasp
from antipodal.stable_pose import StablePose


def random_case(rng: np.random.Generator, n: int) -> tuple[Grasp, StablePose]:
    grasps = Grasp(
        transforms.from_rt(transforms.random_rotations(n, rng), rng.normal(size=(n, 3))), 0.05
    )
    T = transforms.from_rt(transforms.random_rotations(1, rng)[0], rng.normal(size=3))
    return grasps, StablePose(T, 1.0)


def test_the_closed_form_is_the_best_of_all_turns_about_the_closing_axis(rng):
    grasps, pose = random_case(rng, 30)
    aligned, tilt = align_with_table(grasps, pose)
    world = aligned.in_frame(pose.T_world_obj)
    np.testing.assert_allclose(np.arccos(-world.approach_axis[:, 2]), tilt, atol=1e-7)
    turns = np.linspace(0, 2 * np.pi, 3600, endpoint=False)
    for g, best in zip(grasps, tilt, strict=True):
        tried = Grasp(pose.T_world_obj @ g.pose @ transforms.rot_x(turns), 0.05)
        searched = np.arccos(np.clip(-tried.approach_axis[:, 2], -1, 1)).min()
        assert best <= searched + 1e-7
        assert searched - best < 2e-3  # half a step of the search


def test_alignment_only_turns_about_the_closing_axis(rng):
    grasps, pose = random_case(rng, 30)
    aligned = align_with_table(grasps, pose).grasps_obj
    np.testing.assert_allclose(aligned.center, grasps.center, atol=1e-15)
    np.testing.assert_allclose(aligned.closing_axis, grasps.closing_axis, atol=1e-15)
    np.testing.assert_allclose(np.linalg.det(aligned.pose[:, :3, :3]), 1, atol=1e-12)


def test_a_level_closing_axis_comes_straight_down_and_an_upright_one_is_left_alone():
    pose = StablePose(np.eye(4), 1.0)
    level = Grasp.from_axes(np.zeros((1, 3)), [1.0, 0, 0], [0, 1.0, 0], 0.05)
    aligned, tilt = align_with_table(level, pose)
    np.testing.assert_allclose(aligned.approach_axis[0], [0, 0, -1], atol=1e-15)
    np.testing.assert_allclose(tilt, 0, atol=1e-15)
    upright = Grasp.from_axes(np.zeros((1, 3)), [0, 0, 1.0], [0, 1.0, 0], 0.05)
    aligned, tilt = align_with_table(upright, pose)
    np.testing.assert_allclose(aligned.pose, upright.pose, atol=1e-15)
    np.testing.assert_allclose(tilt, np.pi / 2)
