"""Rigid transforms as plain arrays (…, 4, 4) of float64.

``T_a_b`` is the pose of frame b in frame a: ``p_a = T_a_b @ p_b`` and ``T_a_c = T_a_b @ T_b_c``. Adjacent letters
cancel in every product. Quaternions are wxyz. See docs/conventions.md.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

Transform = Float[np.ndarray, "*batch 4 4"]


def from_rt(rotation: ArrayLike, translation: ArrayLike) -> Transform:
    """Assemble T from a rotation (…, 3, 3) and a translation (…, 3); batch axes broadcast."""
    R, t = np.asarray(rotation, float), np.asarray(translation, float)
    batch = np.broadcast_shapes(R.shape[:-2], t.shape[:-1])
    T = np.zeros((*batch, 4, 4))
    T[..., :3, :3] = R
    T[..., :3, 3] = t
    T[..., 3, 3] = 1.0
    return T


def inverse(T_a_b: Transform) -> Transform:
    """Return T_b_a of a rigid T_a_b: (R, t) → (Rᵀ, −Rᵀ t)."""
    R = np.swapaxes(T_a_b[..., :3, :3], -1, -2)
    return from_rt(R, -(R @ T_a_b[..., :3, 3, None])[..., 0])


def apply(T_a_b: Transform, points_b: ArrayLike) -> Float[np.ndarray, "*batch n 3"]:
    """Map points (…, n, 3) from frame b to frame a."""
    p = np.asarray(points_b, float)
    return p @ np.swapaxes(T_a_b[..., :3, :3], -1, -2) + T_a_b[..., None, :3, 3]


def rotate(T_a_b: Transform, vectors_b: ArrayLike) -> Float[np.ndarray, "*batch n 3"]:
    """Rotate directions (…, n, 3) from frame b to frame a, without the translation."""
    return np.asarray(vectors_b, float) @ np.swapaxes(T_a_b[..., :3, :3], -1, -2)


def translation(t: ArrayLike) -> Transform:
    """Return the pure translation by t (…, 3)."""
    return from_rt(np.eye(3), t)


def rot_x(angle: ArrayLike) -> Transform:
    """Rotate about x by ``angle`` (…) rad, right-handed."""
    return _elementary(angle, 1, 2)


def rot_y(angle: ArrayLike) -> Transform:
    """Rotate about y by ``angle`` (…) rad, right-handed."""
    return _elementary(angle, 2, 0)


def rot_z(angle: ArrayLike) -> Transform:
    """Rotate about z by ``angle`` (…) rad, right-handed."""
    return _elementary(angle, 0, 1)


def exp_so3(rotation_vector: ArrayLike) -> Float[np.ndarray, "*batch 3 3"]:
    """Rodrigues' formula: the rotation by |r| about r, for rotation vectors (…, 3)."""
    r = np.asarray(rotation_vector, float)
    angle = np.linalg.norm(r, axis=-1)[..., None, None]
    K = skew(r)
    # sinc forms stay exact at angle 0: sin(a)/a and (1 − cos a)/a² = ½ sinc²(a/2)
    a = np.sinc(angle / np.pi)
    b = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + a * K + b * (K @ K)


def skew(v: ArrayLike) -> Float[np.ndarray, "*batch 3 3"]:
    """Return the matrix [v]× with [v]× w = v × w."""
    v = np.asarray(v, float)
    K = np.zeros((*v.shape[:-1], 3, 3))
    K[..., 0, 1], K[..., 0, 2], K[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    K[..., 1, 0], K[..., 2, 0], K[..., 2, 1] = v[..., 2], -v[..., 1], v[..., 0]
    return K


def look_at(eye: ArrayLike, target: ArrayLike) -> Transform:
    """Pose T_world_camera of an OpenCV camera (x right, y down, z forward) at ``eye`` looking at ``target``.

    Image x is horizontal (parallel to the table), image y points to decreasing world z. Looking straight up or down,
    image x is world x.
    """
    eye, target = np.asarray(eye, float), np.asarray(target, float)
    z = target - eye
    z = z / np.linalg.norm(z, axis=-1, keepdims=True)
    x = np.cross(z, [0.0, 0.0, 1.0])
    n = np.linalg.norm(x, axis=-1, keepdims=True)
    x = np.where(n > 1e-9, x / np.where(n > 1e-9, n, 1.0), [1.0, 0.0, 0.0])
    R = np.stack([x, np.cross(z, x), z], axis=-1)
    return from_rt(R, eye)


def from_wxyz(quaternion: ArrayLike) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotation matrix of a wxyz quaternion (…, 4), normalised first."""
    q = np.asarray(quaternion, float)
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    w, v = q[..., 0, None, None], q[..., 1:]
    K = skew(v)
    return np.eye(3) + 2 * w * K + 2 * K @ K


def to_wxyz(rotation: ArrayLike) -> Float[np.ndarray, "*batch 4"]:
    """Quaternion wxyz (…, 4) with w ≥ 0 of a rotation (…, 3, 3).

    The largest of the four squared components is taken first, so that no division is by a small number.
    """
    R = np.asarray(rotation, float)
    d = np.diagonal(R, axis1=-2, axis2=-1)
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
    q2 = 1.0 + d @ signs.T
    a = R[..., [2, 0, 1], [1, 2, 0]] - R[..., [1, 2, 0], [2, 0, 1]]  # 4w(x, y, z)
    s = R[..., [1, 0, 2], [0, 2, 1]] + R[..., [0, 2, 1], [1, 0, 2]]  # 4(xy, xz, yz)
    x, y, z = a[..., 0], a[..., 1], a[..., 2]
    xy, xz, yz = s[..., 0], s[..., 1], s[..., 2]
    rows = np.stack(
        [
            np.stack([q2[..., 0], x, y, z], -1),
            np.stack([x, q2[..., 1], xy, xz], -1),
            np.stack([y, xy, q2[..., 2], yz], -1),
            np.stack([z, xz, yz, q2[..., 3]], -1),
        ],
        -2,
    )
    q = np.take_along_axis(rows, np.argmax(q2, -1)[..., None, None], -2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(q[..., :1] < 0, -q, q)


def random_rotations(n: int, rng: np.random.Generator) -> Float[np.ndarray, "n 3 3"]:
    """Draw n rotations uniformly (Haar) on SO(3): a normalised Gaussian quaternion."""
    return from_wxyz(rng.normal(size=(n, 4)))


def _elementary(angle: ArrayLike, i: int, j: int) -> Transform:
    angle = np.asarray(angle, float)
    T = np.zeros((*angle.shape, 4, 4))
    T[..., range(4), range(4)] = 1.0
    T[..., i, i] = T[..., j, j] = np.cos(angle)
    T[..., j, i] = np.sin(angle)
    T[..., i, j] = -np.sin(angle)
    return T
