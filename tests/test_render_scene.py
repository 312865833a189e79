"""Scenes: frames, intervals and the re-centring of the paper's generative model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from antipodal import transforms
from antipodal.camera import CameraIntrinsics
from antipodal.errors import InvalidConfig
from antipodal.render.scene import (
    PAPER_CAMERA,
    RELEASE2017_CAMERA,
    CameraDistribution,
    FrictionDistribution,
    PoseDistribution,
    Scene,
    recentered,
    sample_cameras,
    sample_friction,
    sample_poses,
    sample_scene,
    table_point,
)
from antipodal.stable_pose import StablePose, stable_poses
from conftest import box, cylinder

VGA = CameraIntrinsics(525, 525, 319.5, 239.5, 640, 480)


def spherical(T_world_camera):
    """Radius, polar, azimuth of the camera's centre."""
    eye = T_world_camera[..., :3, 3]
    radius = np.linalg.norm(eye, axis=-1)
    return radius, np.arccos(eye[..., 2] / radius), np.arctan2(eye[..., 1], eye[..., 0])


@pytest.mark.parametrize("config", [PAPER_CAMERA, RELEASE2017_CAMERA], ids=["paper", "release2017"])
def test_each_camera_parameter_is_uniform_in_its_interval(config, rng):
    cameras = sample_cameras(4000, rng, config)
    radius, polar, azimuth = spherical(cameras.T_world_camera)
    focal = np.array([k.fx for k in cameras.intrinsics])
    for values, (low, high) in (
        (radius, config.radius),
        (polar, config.polar),
        (azimuth % (2 * np.pi), config.azimuth),
        (focal, config.focal_px),
    ):
        # Kolmogorov–Smirnov: a fixed seed, so the level is not a flake rate
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01


def test_the_paper_tilts_9_to_18_degrees_and_the_release_up_to_5():
    assert np.rad2deg(PAPER_CAMERA.polar) == pytest.approx([9.0, 18.0])
    assert np.rad2deg(RELEASE2017_CAMERA.polar) == pytest.approx([0.1, 5.0])


def test_the_optical_axis_passes_through_the_tables_centre(rng):
    cameras = sample_cameras(50, rng)
    origin_camera = transforms.inverse(cameras.T_world_camera)[:, :3, 3]
    radius, _, _ = spherical(cameras.T_world_camera)
    np.testing.assert_allclose(
        origin_camera, np.stack([0 * radius, 0 * radius, radius], -1), atol=1e-12
    )


def test_without_roll_image_x_is_level_and_image_y_points_down(rng):
    config = replace(PAPER_CAMERA, roll=(0.0, 0.0))
    R = sample_cameras(50, rng, config).T_world_camera[:, :3, :3]
    np.testing.assert_allclose(R[:, 2, 0], 0, atol=1e-12)
    assert (R[:, 2, 1] < 0).all() and (R[:, 2, 2] < 0).all()
    np.testing.assert_allclose(np.linalg.det(R), 1)


def test_roll_is_about_the_optical_axis_and_small(rng):
    R = sample_cameras(2000, rng).T_world_camera[:, :3, :3]
    tilt_of_image_x = np.arcsin(R[:, 2, 0])
    bound = np.deg2rad(0.2) * np.sin(PAPER_CAMERA.polar[1])
    assert 0.5 * bound < np.abs(tilt_of_image_x).max() <= bound


def test_a_vertical_camera_is_the_limit_of_a_tilted_one(rng):
    tilted = CameraDistribution(polar=(1e-5, 1e-5))
    seed = int(rng.integers(1000))
    a = sample_cameras(20, np.random.default_rng(seed), tilted)
    b = sample_cameras(20, np.random.default_rng(seed), replace(tilted, polar=(0.0, 0.0)))
    np.testing.assert_allclose(a.T_world_camera, b.T_world_camera, atol=2e-5)


def test_a_planar_move_keeps_the_stable_pose_on_the_table(rng):
    mesh = box(0.03, 0.05, 0.02)
    stable = stable_poses(mesh)[0]
    for T in sample_poses(20, stable, rng):
        points = transforms.apply(T, mesh.vertices)
        assert points[:, 2].min() == pytest.approx(0, abs=1e-12)
        center = transforms.apply(T, mesh.center_of_mass[None])[0]
        np.testing.assert_allclose(table_point(T, stable.T_world_obj), [*center[:2], 0], atol=1e-12)
        assert np.abs(center[:2]).max() <= 0.1


def test_each_coordinate_of_a_planar_move_is_uniform_in_its_interval(rng):
    config = PoseDistribution(x=(-0.05, 0.1), y=(0.02, 0.06), yaw=(0.3, 2.0))
    T = sample_poses(4000, StablePose(np.eye(4), 1.0), rng, config)
    yaw = np.arctan2(T[:, 1, 0], T[:, 0, 0])
    for values, (low, high) in (
        (T[:, 0, 3], config.x),
        (T[:, 1, 3], config.y),
        (yaw, config.yaw),
    ):
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01


def test_recentring_projects_the_point_to_the_middle_of_the_image(rng):
    T = sample_cameras(1, rng).T_world_camera[0]
    point = np.array([0.07, -0.04, 0.0])
    moved = recentered(VGA, T, point)
    p_camera = transforms.apply(transforms.inverse(T), point[None])
    np.testing.assert_allclose(moved.project(p_camera)[0], [319.5, 239.5], atol=1e-9)
    # the original's rule c' = 2c − u
    u = VGA.project(p_camera)[0]
    np.testing.assert_allclose([moved.cx, moved.cy], 2 * np.array([319.5, 239.5]) - u, atol=1e-9)


def test_recentring_refuses_a_point_behind_the_camera(rng):
    T = sample_cameras(1, rng).T_world_camera[0]
    with pytest.raises(InvalidConfig, match="behind the camera"):
        recentered(VGA, T, 2 * T[:3, 3])


def test_friction_has_the_moments_of_the_truncated_normal(rng):
    config = FrictionDistribution()
    friction = sample_friction(40_000, rng, config)
    s = config.standard_deviation
    exact = stats.truncnorm(-0.5 / s, 0.5 / s, loc=0.5, scale=s)
    assert friction.min() >= 0 and friction.max() <= 1
    assert friction.mean() == pytest.approx(exact.mean(), abs=4 * exact.std() / 200)
    assert friction.std() == pytest.approx(exact.std(), rel=0.02)


def test_a_scene_depends_on_the_seed_alone():
    mesh = cylinder()
    stable = stable_poses(mesh)[0]
    a, b, c = (sample_scene(mesh, stable, np.random.default_rng(s)) for s in (5, 5, 6))
    np.testing.assert_array_equal(a.T_world_camera, b.T_world_camera)
    np.testing.assert_array_equal(a.T_world_obj, b.T_world_obj)
    assert (a.intrinsics, a.friction) == (b.intrinsics, b.friction)
    assert a.friction != c.friction


def test_T_camera_obj_takes_obj_points_to_the_camera(rng):
    mesh = cylinder()
    scene = sample_scene(mesh, stable_poses(mesh)[0], rng)
    p_world = transforms.apply(scene.T_world_obj, mesh.vertices)
    p_camera = transforms.apply(scene.T_camera_obj, mesh.vertices)
    np.testing.assert_allclose(
        transforms.apply(scene.T_world_camera, p_camera), p_world, atol=1e-12
    )
    assert p_camera[:, 2].min() > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CameraDistribution(radius=(0.75, 0.65)), "lower first"),
        (lambda: CameraDistribution(radius=(0.0, 0.65)), "positive"),
        (lambda: CameraDistribution(polar=(0.0, 2.0)), "measured from the vertical"),
        (lambda: PoseDistribution(x=(0.0, float("nan"))), "two finite numbers"),
        (lambda: FrictionDistribution(mean=1.5), "expected it inside"),
        (lambda: Scene(box(), np.eye(4), np.eye(4), VGA, friction=-0.1), "coefficient"),
        (lambda: Scene(box(), np.eye(3), np.eye(4), VGA), "T_world_obj"),
    ],
)
def test_impossible_configurations_are_refused_in_words(make, message):
    with pytest.raises(InvalidConfig, match=message):
        make()
