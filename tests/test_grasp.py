"""Grasps in space and in the image, and the way between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antipodal import transforms
from antipodal.camera import CameraIntrinsics
from antipodal.errors import InvalidConfig
from antipodal.grasp import Grasp, PlanarGrasp

CAMERA = CameraIntrinsics(525.0, 525.0, 319.5, 239.5, 640, 480)
TILTED = transforms.rotate(transforms.rot_x(np.deg2rad(12.7)), [[0.0, 0.0, 1.0]])[0]

angles = st.floats(-np.pi / 2, np.pi / 2, exclude_max=True)
inclinations = st.floats(-0.6, 0.6)


def planar(angle: float, u: float = 250.0, v: float = 300.0, depth: float = 0.7) -> PlanarGrasp:
    return PlanarGrasp(np.array([u, v]), np.array(angle), np.array(depth), np.array(0.05))


def many_planar(n: int, rng: np.random.Generator) -> PlanarGrasp:
    return PlanarGrasp(
        rng.uniform([50, 50], [590, 430], (n, 2)),
        rng.uniform(-np.pi / 2, np.pi / 2, n),
        rng.uniform(0.5, 0.9, n),
        rng.uniform(0.01, 0.05, n),
    )


def assert_same(a: PlanarGrasp, b: PlanarGrasp) -> None:
    assert np.allclose(a.center_px, b.center_px, atol=1e-8)
    turn = np.abs(a.angle - b.angle)
    assert np.minimum(turn, np.pi - turn).max() < 1e-12  # the two ends of the half turn are one
    assert np.allclose(a.depth, b.depth, atol=1e-12)
    assert np.array_equal(a.width, b.width)


@settings(max_examples=60, deadline=None)
@given(
    angles, st.floats(0, 640), st.floats(0, 480), st.floats(0.3, 1.2), inclinations, inclinations
)
def test_to_planar_undoes_to_grasp_for_any_approach(
    angle: float, u: float, v: float, depth: float, tilt_x: float, tilt_y: float
) -> None:
    g = planar(angle, u, v, depth)
    R = transforms.rot_x(tilt_x) @ transforms.rot_y(tilt_y)
    approach = R[:3, 2]
    lifted = g.to_grasp(CAMERA, approach)
    assert_same(lifted.to_planar(CAMERA), g)
    assert np.allclose(lifted.approach_axis, approach, atol=1e-12)
    assert abs(lifted.closing_axis @ approach) < 1e-12


def test_at_the_optical_axis_the_grasp_is_the_camera_turned_by_the_angle(
    rng: np.random.Generator,
) -> None:
    g = many_planar(10, rng)
    lifted = g.to_grasp(CAMERA)
    assert np.allclose(lifted.pose[:, :3, :3], transforms.rot_z(g.angle)[:, :3, :3], atol=1e-15)
    assert np.allclose(lifted.center, CAMERA.deproject(g.center_px, g.depth), atol=1e-15)


def test_a_positive_angle_turns_from_image_right_towards_image_down() -> None:
    ends = planar(0.3).endpoints_px(CAMERA)
    assert ends[1, 0] > ends[0, 0]
    assert ends[1, 1] > ends[0, 1]  # v grows downwards: clockwise on the screen
    assert np.isclose(np.arctan2(*(ends[1] - ends[0])[::-1]), 0.3, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(angles, st.integers(-3, 3))
def test_swapping_the_jaws_changes_nothing_in_the_image(angle: float, turns: int) -> None:
    assert_same(planar(angle + turns * np.pi), planar(angle))
    grasp = planar(angle).to_grasp(CAMERA, TILTED)
    swapped = Grasp(grasp.pose @ transforms.rot_z(np.pi), grasp.width)
    assert_same(swapped.to_planar(CAMERA), grasp.to_planar(CAMERA))
    assert np.allclose(swapped.closing_axis, -grasp.closing_axis, atol=1e-12)
    assert np.allclose(swapped.approach_axis, grasp.approach_axis, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.floats(-20, 20))
def test_the_angle_is_always_within_the_half_open_half_turn(angle: float) -> None:
    g = planar(angle)
    assert -np.pi / 2 <= g.angle < np.pi / 2
    assert np.isclose(np.sin(2 * g.angle), np.sin(2 * angle), atol=1e-12)
    again = planar(float(g.angle))
    assert again.angle == g.angle  # to the bit: indexing a batch must not change it


def test_the_borders_of_the_half_turn() -> None:
    below = np.nextafter(-np.pi / 2, -2)
    assert planar(np.pi / 2).angle == -np.pi / 2
    assert planar(-np.pi / 2).angle == -np.pi / 2
    assert -np.pi / 2 <= planar(below).angle < np.pi / 2


def test_the_width_in_pixels_is_the_projection_of_the_two_jaws(rng: np.random.Generator) -> None:
    g = many_planar(10, rng)
    grasp = g.to_grasp(CAMERA)
    half = grasp.closing_axis * grasp.width[:, None] / 2
    assert np.allclose(grasp.jaws, np.stack([grasp.center - half, grasp.center + half], 1))
    jaws_px = CAMERA.project(grasp.jaws)
    assert np.allclose(jaws_px, g.endpoints_px(CAMERA), atol=1e-9)
    assert np.allclose(np.linalg.norm(jaws_px[:, 1] - jaws_px[:, 0], axis=-1), g.width_px(CAMERA))
    # reference §6.4: 5 cm at 0.7 m and f = 525 are 37.5 px
    assert np.isclose(planar(0.3).width_px(CAMERA), 37.5)


def test_endpoints_follow_unequal_focal_lengths() -> None:
    camera = CameraIntrinsics(600.0, 500.0, 319.5, 239.5, 640, 480)
    g = planar(0.7)
    grasp = g.to_grasp(camera)
    half = grasp.closing_axis * 0.025
    jaws_px = camera.project(np.stack([grasp.center - half, grasp.center + half]))
    assert np.allclose(g.endpoints_px(camera), jaws_px, atol=1e-9)
    assert np.isclose(g.width_px(camera), np.linalg.norm(jaws_px[1] - jaws_px[0]))


def test_the_grasp_frame_is_x_closing_z_approach_y_z_cross_x(rng: np.random.Generator) -> None:
    x, z = rng.normal(size=(2, 8, 3))
    g = Grasp.from_axes(rng.normal(size=(8, 3)), x, z, 0.05)
    assert np.allclose(g.closing_axis, x / np.linalg.norm(x, axis=-1, keepdims=True), atol=1e-12)
    assert np.allclose(np.cross(g.approach_axis, g.closing_axis), g.pose[:, :3, 1], atol=1e-12)
    assert np.allclose(np.linalg.det(g.pose[:, :3, :3]), 1, atol=1e-12)
    # the closing axis is kept, the approach is the nearest perpendicular one
    assert (np.sum(g.approach_axis * z, -1) > 0).all()
    assert np.abs(np.sum(g.closing_axis * g.approach_axis, -1)).max() < 1e-12


@pytest.mark.parametrize(("x", "z"), [([0, 0, 0], [0, 0, 1]), ([0, 0, 2], [0, 0, 1])])
def test_axes_that_are_zero_or_parallel_are_refused(x: list[float], z: list[float]) -> None:
    with pytest.raises(InvalidConfig, match="not parallel"):
        Grasp.from_axes([0, 0, 0], x, z, 0.05)


def test_an_approach_towards_the_camera_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="points away from the camera"):
        planar(0.0).to_grasp(CAMERA, [0, 0, -1])


def test_a_pose_that_is_not_rigid_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="grasp pose is not a rigid transform"):
        Grasp(2 * np.eye(4), np.array(0.05))


def test_changing_the_parent_frame_there_and_back(rng: np.random.Generator) -> None:
    T = transforms.from_rt(transforms.random_rotations(1, rng)[0], [0.1, 0.2, 0.3])
    g = many_planar(6, rng).to_grasp(CAMERA, TILTED)
    moved = g.in_frame(T)
    assert np.allclose(moved.center, transforms.apply(T, g.center), atol=1e-12)
    assert np.allclose(moved.closing_axis, transforms.rotate(T, g.closing_axis), atol=1e-12)
    assert np.allclose(moved.in_frame(transforms.inverse(T)).pose, g.pose, atol=1e-12)


def test_one_width_serves_a_whole_batch(rng: np.random.Generator) -> None:
    poses = transforms.from_rt(transforms.random_rotations(4, rng), np.zeros((4, 3)))
    assert Grasp(poses, np.array(0.05)).width.shape == (4,)
    assert len(Grasp(np.empty((0, 4, 4)), np.empty(0))) == 0


def test_the_projection_of_the_original_is_ours(shared: Path) -> None:
    """Recorded pixels are rounded to integers; depth, angle and frames are exact."""
    records = np.load(shared / "parity/mesh/projection.npz")
    K = records["K"]
    camera = CameraIntrinsics(K[0, 0], K[1, 1], K[0, 2], K[1, 2], 600, 600)
    for name in ("box", "clown", "spray", "bar_clamp"):
        config = records[f"{name}_grasp_config"]  # (poses, grasps, 10): centre 3, closing axis 3, …
        # autolab's T_obj_camera maps object points to the camera: our T_camera_obj
        T_camera_obj = records[f"{name}_T_obj_camera"][:, None]
        x = config[..., 3:6]
        any_other = np.cross(x, np.where(np.abs(x[..., :1]) < 0.9, [1.0, 0, 0], [0, 1.0, 0]))
        grasps = Grasp.from_axes(config[..., :3], x, any_other, config[..., 6])
        projected = grasps.in_frame(T_camera_obj).to_planar(camera)
        assert np.abs(projected.center_px - records[f"{name}_center_xy"]).max() < 1.0
        assert np.abs(projected.depth - records[f"{name}_depth"]).max() < 1e-6
        turn = np.abs(projected.angle - records[f"{name}_angle"]) % np.pi
        flat = np.hypot(*np.moveaxis(grasps.in_frame(T_camera_obj).closing_axis[..., :2], -1, 0))
        assert np.minimum(turn, np.pi - turn)[flat > 1e-3].max() < 1e-5
        # the original rounds both end points to integers before it measures
        assert np.abs(projected.width_px(camera) - records[f"{name}_width_px"]).max() < 2.0


def test_json_holds_the_fields_by_their_names() -> None:
    g = planar(0.25)
    assert g.to_json() == {
        "center_px": [250.0, 300.0],
        "angle": 0.25,
        "depth": 0.7,
        "width": 0.05,
    }
    assert set(g.to_grasp(CAMERA).to_json()) == {"pose", "width"}
