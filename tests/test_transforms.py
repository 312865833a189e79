"""Transforms against closed forms and scipy, on random batches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from antipodal import transforms

FINITE = st.floats(-3.0, 3.0)
VECTORS = hnp.arrays(float, (4, 3), elements=FINITE)


def random_poses(n: int, rng: np.random.Generator) -> np.ndarray:
    return transforms.from_rt(transforms.random_rotations(n, rng), rng.normal(size=(n, 3)))


@settings(max_examples=30, deadline=None)
@given(VECTORS, VECTORS)
def test_inverse_undoes_a_transform_from_both_sides(r: np.ndarray, t: np.ndarray) -> None:
    T = transforms.from_rt(transforms.exp_so3(r), t)
    assert np.abs(transforms.inverse(T) @ T - np.eye(4)).max() < 1e-12
    assert np.abs(T @ transforms.inverse(T) - np.eye(4)).max() < 1e-12


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(float, (4, 3), elements=st.one_of(FINITE, st.floats(-1e-8, 1e-8))))
def test_exp_so3_is_scipys_rotation_vector(r: np.ndarray) -> None:
    assert np.abs(transforms.exp_so3(r) - Rotation.from_rotvec(r).as_matrix()).max() < 1e-12


def test_exp_so3_is_the_identity_at_zero_and_half_a_turn_at_pi() -> None:
    assert np.array_equal(transforms.exp_so3(np.zeros(3)), np.eye(3))
    half = transforms.exp_so3([0, 0, np.pi])
    assert np.allclose(half, np.diag([-1, -1, 1]), atol=1e-15)


@settings(max_examples=50, deadline=None)
@given(VECTORS)
def test_quaternions_are_wxyz_and_go_round(r: np.ndarray) -> None:
    R = transforms.exp_so3(r)
    q = transforms.to_wxyz(R)
    xyzw = Rotation.from_matrix(R).as_quat(canonical=True)
    assert (q[..., 0] >= 0).all()
    # at half a turn w = 0 and q, −q are both canonical: compare up to sign
    assert np.abs(np.abs(np.sum(q * xyzw[..., [3, 0, 1, 2]], -1)) - 1).max() < 1e-12
    assert np.abs(transforms.from_wxyz(q) - R).max() < 1e-12


@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, -1, 1]])
def test_half_turns_survive_the_quaternion_round_trip(axis: list[float]) -> None:
    R = transforms.exp_so3(np.pi * np.array(axis) / np.linalg.norm(axis))
    assert np.abs(transforms.from_wxyz(transforms.to_wxyz(R)) - R).max() < 1e-12


def test_quaternions_are_normalised_first() -> None:
    assert np.allclose(transforms.from_wxyz([0, 0, 0, 5.0]), np.diag([-1, -1, 1]), atol=1e-15)


@pytest.mark.parametrize(
    ("function", "axis"), [(transforms.rot_x, 0), (transforms.rot_y, 1), (transforms.rot_z, 2)]
)
def test_elementary_rotations_are_right_handed(
    function: Callable[[ArrayLike], np.ndarray], axis: int
) -> None:
    angles = np.array([-2.0, 0.0, 0.4, np.pi])
    vectors = np.zeros((4, 3))
    vectors[:, axis] = angles
    assert np.allclose(function(angles)[:, :3, :3], transforms.exp_so3(vectors), atol=1e-15)
    quarter = function(np.pi / 2)[:3, :3]
    e = np.eye(3)
    assert np.allclose(quarter @ e[(axis + 1) % 3], e[(axis + 2) % 3], atol=1e-15)


def test_skew_is_the_cross_product(rng: np.random.Generator) -> None:
    v, w = rng.normal(size=(2, 6, 3))
    assert np.allclose(transforms.skew(v) @ w[..., None], np.cross(v, w)[..., None], atol=1e-15)


def test_adjacent_letters_cancel(rng: np.random.Generator) -> None:
    T_a_b, T_b_c = random_poses(5, rng), random_poses(5, rng)
    points_c = rng.normal(size=(5, 7, 3))
    assert np.allclose(
        transforms.apply(T_a_b @ T_b_c, points_c),
        transforms.apply(T_a_b, transforms.apply(T_b_c, points_c)),
        atol=1e-12,
    )


def test_rotate_ignores_the_translation(rng: np.random.Generator) -> None:
    T = random_poses(5, rng)
    v, p = rng.normal(size=(2, 5, 7, 3))
    difference = transforms.apply(T, p + v) - transforms.apply(T, p)
    assert np.allclose(transforms.rotate(T, v), difference, atol=1e-12)


def test_batches_broadcast() -> None:
    assert transforms.from_rt(np.eye(3), np.zeros((5, 3))).shape == (5, 4, 4)
    assert transforms.from_rt(np.tile(np.eye(3), (5, 1, 1)), np.zeros(3)).shape == (5, 4, 4)
    assert transforms.translation(np.zeros((2, 5, 3))).shape == (2, 5, 4, 4)


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(float, (3,), elements=st.floats(-1, 1)),
    st.floats(0.05, 3.0),
    st.floats(0, 6.28),
)
def test_look_at_is_an_opencv_camera_with_horizontal_x_and_y_down(
    target: np.ndarray, polar: float, azimuth: float
) -> None:
    ray = [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)]
    T_world_camera = transforms.look_at(target + 0.7 * np.array(ray), target)
    R = T_world_camera[:3, :3]
    assert np.abs(R.T @ R - np.eye(3)).max() < 1e-12
    assert abs(np.linalg.det(R) - 1) < 1e-12
    target_camera = transforms.apply(transforms.inverse(T_world_camera), target[None])[0]
    assert np.allclose(target_camera, [0, 0, 0.7], atol=1e-12)  # on the optical axis, in front
    assert abs(R[2, 0]) < 1e-12  # image x is parallel to the table
    assert R[2, 1] <= 1e-12  # image y never climbs


def test_look_at_straight_down_puts_image_x_along_world_x() -> None:
    T = transforms.look_at([0.1, 0.2, 0.7], [0.1, 0.2, 0.0])
    assert np.allclose(T[:3, :3], np.diag([1, -1, -1]), atol=1e-15)


def test_look_at_takes_batches(rng: np.random.Generator) -> None:
    eyes = rng.normal(size=(6, 3)) + np.array([0.0, 0.0, 3.0])
    many = transforms.look_at(eyes, np.zeros(3))
    for k in range(6):
        assert np.allclose(many[k], transforms.look_at(eyes[k], np.zeros(3)), atol=1e-15)


def test_random_rotations_are_uniform(rng: np.random.Generator) -> None:
    R = transforms.random_rotations(20_000, rng)
    assert np.abs(np.swapaxes(R, 1, 2) @ R - np.eye(3)).max() < 1e-12
    # Haar: each column is uniform on the sphere, so that z is uniform on [−1, 1], and E[trace²] = 1
    z = np.sort(R[:, 2, 2])
    assert np.abs((z + 1) / 2 - np.linspace(0, 1, len(z))).max() < 0.015  # Kolmogorov: 99.9 %
    trace = np.trace(R, axis1=1, axis2=2)
    assert abs(trace.mean()) < 0.03
    assert abs((trace**2).mean() - 1) < 0.05
