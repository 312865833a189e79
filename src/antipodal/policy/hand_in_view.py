"""The hand in the picture: where it is, and the picture without it.

A camera that sees both the hand and the object measures the one relative to the other, whatever its calibration says:
:func:`locate_hand` aligns the hand's model with the points that are seen, a point-to-point ICP [Besl92] in both
directions between what would be seen of the model and what is seen. This needs a frame in which nothing else is near
the hand. Frames: camera, grasp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from .. import transforms
from ..camera import CameraIntrinsics, DepthImage
from ..grasp import Grasp
from ..gripper import GripperModel
from ..render.depth import clipped_window, finite_depth, points_window, trace_window
from ..values import POSITIVE, POSITIVE_SHARE, expect

MIN_POINTS = 100
"""Fewer pixels of the hand are no measurement."""
STRIDE = 4
"""The model is rendered once in so many pixels."""
STILL = 1e-4
"""The alignment ends when no point moves by more than this, m."""
MARGIN_PX = 4
"""The hand's outline is widened by this, px."""
TOLERANCE = 0.015
"""What lies farther behind the hand than this is not the hand, m."""


@dataclass(frozen=True)
class HandConfig:
    """How the hand is sought."""

    reach: float = 0.05
    """Points nearer than this to the believed hand may be its own, m: how wrong the calibration may be."""
    n_iterations: int = 30
    """Of the alignment, at most."""
    keep_fraction: float = 0.9
    """Share of the nearest pairs that count in each iteration, in (0, 1]."""
    n_points: int = 600
    """Points of either side looked at."""

    def __post_init__(self) -> None:
        expect(self, "hand", POSITIVE, "reach", "n_iterations", "n_points")
        expect(self, "hand", POSITIVE_SHARE, "keep_fraction")


DEFAULT_HAND = HandConfig()
"""For a calibration that is wrong by up to a few centimetres."""


def locate_hand(
    image: DepthImage,
    gripper: GripperModel,
    T_camera_grasp: transforms.Transform,
    width: float,
    config: HandConfig = DEFAULT_HAND,
) -> transforms.Transform | None:
    """Measure where the grasp frame is in the camera; None where too little of the hand is seen.

    Args:
        image: with the hand in it, and nothing else within ``reach`` of its fingers.
        gripper: whose boxes are sought.
        T_camera_grasp: as believed.
        width: opening of the jaws, m.
        config: how it is sought.
    """
    from scipy.spatial import KDTree  # loaded with the first image

    expected = hand_points(image, gripper, T_camera_grasp, width)
    if len(expected) < MIN_POINTS:
        return None
    expected = thinned(expected, config.n_points)
    nearby = image.valid & (image.depth < expected[:, 2].max() + config.reach)
    v, u = np.nonzero(nearby)
    points = image.intrinsics.deproject(np.stack([u, v], -1), image.depth[nearby])
    points = points[KDTree(expected).query(points, distance_upper_bound=config.reach)[0] < np.inf]
    if len(points) < MIN_POINTS:
        return None
    points = thinned(points, config.n_points)
    tree = KDTree(points)
    T = transforms.translation(points.mean(0) - expected.mean(0)) @ T_camera_grasp
    for _ in range(config.n_iterations):
        visible = thinned(hand_points(image, gripper, T, width), config.n_points)
        if len(visible) < MIN_POINTS:
            return None
        to_points, to_model = tree.query(visible), KDTree(visible).query(points)
        source = np.concatenate([visible, visible[to_model[1]]])
        target = np.concatenate([points[to_points[1]], points])
        distance = np.concatenate([to_points[0], to_model[0]])
        near = distance <= np.quantile(distance, config.keep_fraction)
        step = best_rigid(source[near], target[near])
        moved = np.linalg.norm(transforms.apply(step, visible) - visible, axis=-1).max()
        T = step @ T
        if moved < STILL:
            break
    return T


def hand_points(
    image: DepthImage, gripper: GripperModel, T_camera_grasp: transforms.Transform, width: float
) -> Float[np.ndarray, "P 3"]:
    """Points of the hand's model that this image's camera would see, one in 16 pixels, camera frame."""
    coarse = image.intrinsics.resize(1 / STRIDE)
    model = render_hand(coarse, gripper, T_camera_grasp, width)
    v, u = np.nonzero(model)
    return coarse.deproject(np.stack([u, v], -1), model[v, u])


def without_hand(
    image: DepthImage,
    gripper: GripperModel,
    T_camera_grasp: transforms.Transform,
    width: float,
) -> DepthImage:
    """Return the image with its own hand missing: what is seen where the hand is, widened, and as near as it is.

    Args:
        image: with the hand in it.
        gripper: the hand.
        T_camera_grasp: where it is.
        width: opening of the jaws, m.
    """
    hand = hand_mask(image, gripper, T_camera_grasp, width)
    return image if hand.all() else image.with_depth(np.where(hand, 0.0, image.depth))


def hand_mask(
    image: DepthImage,
    gripper: GripperModel,
    T_camera_grasp: transforms.Transform,
    width: float,
) -> Bool[np.ndarray, "H W"]:
    """Pixels that show the hand."""
    import cv2  # heavy: loaded with the first image

    model = render_hand(image.intrinsics, gripper, T_camera_grasp, width)
    farthest = cv2.dilate(model, np.ones((2 * MARGIN_PX + 1, 2 * MARGIN_PX + 1), np.uint8))
    return (farthest > 0) & (image.depth < farthest + TOLERANCE)


def render_hand(
    intrinsics: CameraIntrinsics,
    gripper: GripperModel,
    T_camera_grasp: transforms.Transform,
    width: float,
) -> Float[np.ndarray, "H W"]:
    """Depth of the hand alone as a camera would see it, m, float32; 0 where it is not."""
    k = intrinsics
    camera = (k.fx, k.fy, k.cx, k.cy)
    mesh = gripper.collision_mesh_at(Grasp(np.eye(4), np.asarray(width)))
    where = points_window(transforms.apply(T_camera_grasp, mesh.vertices), camera)
    u0, v0, u1, v1 = window = clipped_window(where, k.width, k.height)
    depth = np.zeros(k.shape, np.float32)
    if u1 > u0 and v1 > v0:
        seen, _ = trace_window(mesh, T_camera_grasp, np.eye(4), camera, window, window)
        depth[v0:v1, u0:u1] = finite_depth(seen)
    return depth


def best_rigid(
    source: Float[np.ndarray, "N 3"], target: Float[np.ndarray, "N 3"]
) -> transforms.Transform:
    """Rigid motion that takes N ≥ 3 points nearest to their partners, by least squares [Kabsch76]."""
    a, b = source.mean(0), target.mean(0)
    U, _, Vt = np.linalg.svd((source - a).T @ (target - b))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(Vt.T @ U.T))])
    R = Vt.T @ flip @ U.T
    return transforms.from_rt(R, b - R @ a)


def thinned(points: Float[np.ndarray, "N 3"], n: int) -> Float[np.ndarray, "M 3"]:
    """Every second, third … point, so that at most ``n`` are left."""
    return points[:: (len(points) - 1) // n + 1]
