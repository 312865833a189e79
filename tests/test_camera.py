"""The pinhole model and the depth image: closed forms, identities and what a wrong image is told."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antipodal import transforms
from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.errors import InvalidConfig, InvalidImage

CAMERA = CameraIntrinsics(525.0, 520.0, 319.5, 239.5, 640, 480)
SMALL = CameraIntrinsics(50.0, 50.0, 3.5, 2.5, 8, 6)

pixels = st.tuples(st.floats(-100, 800), st.floats(-100, 600))


@settings(max_examples=50, deadline=None)
@given(pixels, st.floats(0.01, 10))
def test_project_undoes_deproject(px: tuple[float, float], depth: float) -> None:
    assert np.allclose(CAMERA.project(CAMERA.deproject(px, depth)), px, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 3))
def test_deproject_undoes_project(x: float, y: float, z: float) -> None:
    p = np.array([x, y, z])
    assert np.allclose(CAMERA.deproject(CAMERA.project(p), z), p, atol=1e-12)


def test_project_is_the_matrix_k(rng: np.random.Generator) -> None:
    p = rng.uniform([-1, -1, 0.2], [1, 1, 2], (20, 3))
    homogeneous = p @ CAMERA.K.T
    assert np.allclose(CAMERA.project(p), homogeneous[:, :2] / homogeneous[:, 2:], atol=1e-9)


def test_image_x_grows_to_the_right_and_y_downwards() -> None:
    centre = CAMERA.project([0, 0, 1.0])
    assert np.array_equal(centre, [319.5, 239.5])
    assert np.array_equal(CAMERA.project([0.1, 0, 1.0]) - centre, [52.5, 0])
    assert np.array_equal(CAMERA.project([0, 0.1, 1.0]) - centre, [0, 52.0])


def test_points_behind_the_camera_have_no_pixel() -> None:
    assert np.isnan(CAMERA.project([[0.1, 0.1, -1.0], [0.1, 0.1, 0.0]])).all()


def test_points_of_a_plane_lie_on_it_and_array_rows_are_v() -> None:
    depth = np.full((6, 8), 0.5)
    depth[4, 1] = 0.0
    points = DepthImage(depth, SMALL).points_camera()
    assert points.shape == (6, 8, 3)
    assert np.array_equal(points[4, 1], [0, 0, 0])
    assert np.allclose(points[2, 7], [(7 - 3.5) / 50 * 0.5, (2 - 2.5) / 50 * 0.5, 0.5])


@settings(max_examples=20, deadline=None)
@given(pixels, st.floats(0.2, 2), st.integers(0, 300), st.integers(0, 200))
def test_cropping_shifts_pixels_and_moves_no_point(
    px: tuple[float, float], depth: float, u0: int, v0: int
) -> None:
    window = CAMERA.crop(u0, v0, 100, 80)
    moved = window.deproject(np.array(px) - [u0, v0], depth)
    assert np.allclose(moved, CAMERA.deproject(px, depth), atol=1e-12)
    assert window.shape == (80, 100)


@pytest.mark.parametrize("factor", [0.5, 1 / 3, 2.0])
def test_resizing_keeps_the_rays_through_the_image_corners(factor: float) -> None:
    resized = CAMERA.resize(factor)
    # corners lie half a pixel outside the outermost pixel centres
    corners = np.array([[-0.5, -0.5], [639.5, 479.5]])
    scaled = (corners + 0.5) * factor - 0.5
    assert np.allclose(resized.deproject(scaled, 1.0), CAMERA.deproject(corners, 1.0), atol=1e-12)
    assert resized.shape == (round(480 * factor), round(640 * factor))


def test_intrinsics_go_through_json() -> None:
    assert CameraIntrinsics.from_json(json.loads(json.dumps(CAMERA.to_json()))) == CAMERA
    with pytest.raises(InvalidConfig, match="unknown key skew"):
        CameraIntrinsics.from_json(CAMERA.to_json() | {"skew": 0.0})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("fx", 0.0, r"expected pixels in \[1, 1000000\]"),
        ("fx", 1e-40, r"expected pixels in \[1, 1000000\]"),
        ("fy", -525.0, r"expected pixels in \[1, 1000000\]"),
        ("cx", float("nan"), "camera cx is nan: expected a finite number"),
        ("cx", "middle", "camera cx is 'middle'"),
        ("width", 640.5, "expected a whole number of pixels"),
        ("width", True, "expected a whole number"),
        ("height", 0, r"in \[1, 16384\]"),
    ],
)
def test_impossible_intrinsics_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        CameraIntrinsics.from_json(CAMERA.to_json() | {field: value})


def test_the_window_of_a_depth_image_sees_the_same_points() -> None:
    v, u = np.mgrid[:6, :8]
    image = DepthImage(0.5 + 0.01 * u + 0.001 * v, SMALL, transforms.rot_x(0.2))
    window = image.crop(2, 1, 4, 3)
    assert np.allclose(window.points_camera(), image.points_camera()[1:4, 2:6], atol=1e-12)
    assert window.T_world_camera is not None
    with pytest.raises(InvalidImage, match="leaves the image of 8×6"):
        image.crop(5, 1, 4, 3)


def test_another_depth_of_the_same_camera_keeps_its_pose() -> None:
    image = DepthImage(np.full((6, 8), 0.7), SMALL, transforms.rot_x(0.2))
    other = image.with_depth(np.full((6, 8), 0.5))
    assert other.intrinsics == image.intrinsics
    assert np.array_equal(np.asarray(other.T_world_camera), transforms.rot_x(0.2))


BAD_DEPTHS = {
    "colour": (np.ones((6, 8, 3)), "one channel"),
    "other camera": (np.ones((8, 6)), "depth is 6×8 px but the camera says 8×6"),
    "words": (np.full((6, 8), "far"), "expected float metres"),
    "nan": (np.where(np.eye(6, 8) > 0, np.nan, 0.7), "6 NaN or infinite pixels: expected 0"),
    "infinite": (np.where(np.eye(6, 8) > 0, np.inf, 0.7), "numpy.nan_to_num"),
    "negative": (np.where(np.eye(6, 8) > 0, -1.0, 0.7), "6 negative pixels"),
    "all zero": (np.zeros((6, 8)), "depth is 0 everywhere"),
    "millimetres": (np.full((6, 8), 700.0), "if these are millimetres, say so with --depth-unit"),
}


@pytest.mark.parametrize("name", BAD_DEPTHS)
def test_a_bad_depth_image_is_told_what_came_and_what_to_do(name: str) -> None:
    depth, message = BAD_DEPTHS[name]
    with pytest.raises(InvalidImage, match=message):
        DepthImage(depth, SMALL)


def test_the_depth_is_a_locked_float32_copy() -> None:
    source = np.full((6, 8), 0.7)
    image = DepthImage(source, SMALL)
    source[:] = 9.0
    assert image.depth.dtype == np.float32
    assert np.array_equal(image.depth, np.full((6, 8), np.float32(0.7)))
    with pytest.raises(ValueError, match="read-only"):
        image.depth[0, 0] = 1.0


def test_a_camera_pose_must_be_rigid() -> None:
    for bad in (2 * np.eye(4), np.diag([1.0, 1, -1, 1])):
        with pytest.raises(InvalidConfig, match="T_world_camera is not a rigid transform"):
            DepthImage(np.ones((6, 8)), SMALL, bad)


def test_a_pose_of_three_digits_becomes_the_nearest_rotation() -> None:
    """Kept as it is, the poses of grasps that it carries would not be rigid enough."""
    given = np.eye(4)
    given[:3] = [
        [0.503, 0.864, 0.012, 0.1],
        [0.864, -0.502, -0.05, 0.2],
        [-0.037, 0.036, -0.999, 0.7],
    ]
    pose = DepthImage(np.ones((6, 8)), SMALL, given).T_world_camera
    assert pose is not None
    R, t = pose[:3, :3], pose[:3, 3]
    assert np.allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.array_equal(t, given[:3, 3])
    # nearest: what is left over is symmetric
    left = R.T @ given[:3, :3]
    assert np.allclose(left, left.T, atol=1e-12)
    exact = transforms.look_at([0.2, 0.1, 0.7], [0, 0, 0])
    assert np.array_equal(DepthImage(np.ones((6, 8)), SMALL, exact).T_world_camera, exact)


def test_the_table_normal_is_world_z_seen_from_the_camera() -> None:
    T = transforms.look_at([0.2, 0.1, 0.7], [0, 0, 0])
    normal = DepthImage(np.ones((6, 8)), SMALL, T).table_normal_camera()
    assert normal is not None
    assert np.allclose(T[:3, :3] @ normal, [0, 0, 1], atol=1e-12)
    assert normal[2] < 0  # it points back at the camera
    assert DepthImage(np.ones((6, 8)), SMALL).table_normal_camera() is None


def test_inpainting_a_plane_restores_it_and_keeps_what_was_seen(rng: np.random.Generator) -> None:
    depth = np.full(CAMERA.shape, 0.7)
    holes = rng.random(CAMERA.shape) < 0.3
    holes[100:140, 200:260] = True
    image = DepthImage(np.where(holes, 0, depth), CAMERA).inpaint()
    assert image.valid.all()
    assert np.abs(image.depth - np.float32(0.7)).max() < 1e-6


def test_inpainting_stays_between_the_depths_around_the_hole() -> None:
    depth = np.full(CAMERA.shape, 0.7)
    depth[:, 320:] = 0.6
    depth[200:220, 300:340] = 0.0
    filled = DepthImage(depth, CAMERA).inpaint().depth[200:220, 300:340]
    assert filled.min() > 0.6 - 1e-6
    assert filled.max() < 0.7 + 1e-6
    assert abs(filled[10, 1] - 0.7) < 0.01
    assert abs(filled[10, -2] - 0.6) < 0.01


def test_any_memory_order_is_one_image_and_the_far_background_is_no_return() -> None:
    depth = np.full((6, 8), 0.7, np.float32)
    depth[2, 3], depth[0, 0], depth[5, 7] = 0.6, 1000.0, 65.535
    image = DepthImage(np.asfortranarray(depth), SMALL)
    assert image.depth.flags.c_contiguous
    assert image.depth[0, 0] == image.depth[5, 7] == 0
    assert (image.depth.ravel()[1:-1] == depth.ravel()[1:-1]).all()
    assert depth[0, 0] == 1000.0  # the caller's own stays


def test_what_is_masked_is_no_return_whatever_stands_behind_it() -> None:
    depth = np.full((6, 8), 0.7)
    missing = np.broadcast_to(np.arange(8) < 3, depth.shape)
    depth[0, 0] = np.nan
    image = DepthImage(np.ma.masked_array(depth, missing), SMALL)
    np.testing.assert_array_equal(image.valid, ~missing)
