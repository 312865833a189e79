"""The crops of one stable pose: planar poses and cameras drawn, grasps projected, windows traced and cut.

The same numbers as ``render_depth`` of the whole image and ``crop_grasps`` in it give (a test compares them); here on
plain arrays over all images at once, because at some hundred crops a millisecond a checked value per image would cost
more than its rays. Only the rays of the window are cast that holds the object and every crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from .. import transforms
from ..crop import CropConfig, crop_depth
from ..grasp import Grasp, PlanarGrasp
from ..mesh import TriMesh
from ..render.depth import Window, clipped_window, finite_depth, points_window, trace_window
from ..render.scene import CameraDistribution, sample_cameras, sample_poses, table_point
from ..stable_pose import StablePose
from .model import GenerativeModel
from .schema import shard_schema, to_table

MAX_IMAGES = 1000
"""Ids: image_id = pose_id · MAX_IMAGES + image."""


@dataclass(frozen=True, eq=False)
class PosedGrasps:
    """The grasps of one stable pose: turned to the table, with their collision flags."""

    pose_id: int
    pose: StablePose
    grasps_obj: Grasp
    robust_epsilon: Float[np.ndarray, "N"]
    collision_free: np.ndarray
    free_share: Float[np.ndarray, "N"]
    """P(free) as executed; NaN without an execution."""
    hold_probability: Float[np.ndarray, "N"]
    """P(hold), likewise."""
    grasp_id: Int[np.ndarray, "N"]


@dataclass(frozen=True, eq=False)
class Views:
    """n images of one object."""

    T_world_camera: Float[np.ndarray, "n 4 4"]
    T_camera_obj: Float[np.ndarray, "n 4 4"]
    k: Float[np.ndarray, "n 4"]
    """fx, fy, cx, cy in px, re-centred if the model says so."""
    width: int
    height: int


def image_rows(
    mesh: TriMesh,
    object_id: int,
    posed: PosedGrasps,
    n_images: int,
    share: float,
    model: GenerativeModel,
    rng: np.random.Generator,
) -> pa.Table:
    """Draw ``n_images`` of one stable pose and cut a crop for a ``share`` of its grasps in each."""
    views = sample_views(posed.pose, n_images, model, rng)
    n = max(1, round(share * len(posed.grasps_obj)))
    chosen = choose(len(posed.grasps_obj), n_images, n, rng)
    planar = project(posed.grasps_obj, chosen, views)
    crops = np.concatenate(
        [view_crops(mesh, views, i, planar[i], model.crop) for i in range(n_images)]
    )
    which, each = chosen.ravel(), np.repeat(np.arange(n_images), n)
    depth = planar.depth.reshape(-1)
    relative = crops - depth[:, None, None].astype(np.float32)
    relative[crops == 0] = np.nan
    # the world of poses.parquet: there the object lies in its pose, and what was drawn for it moves the camera
    T_world_camera = posed.pose.T_world_obj @ transforms.inverse(views.T_camera_obj)
    return to_table(
        shard_schema(model.crop.size),
        crop=relative.astype(np.float16).reshape(len(depth), -1),
        depth=depth,
        center_px=planar.center_px.reshape(-1, 2),
        angle=planar.angle.reshape(-1),
        width=planar.width.reshape(-1),
        collision_free=posed.collision_free[which],
        robust_epsilon=posed.robust_epsilon[which],
        free_share=posed.free_share[which],
        hold_probability=posed.hold_probability[which],
        object_id=np.full(len(depth), object_id),
        pose_id=np.full(len(depth), posed.pose_id),
        image_id=posed.pose_id * MAX_IMAGES + each,
        grasp_id=posed.grasp_id[which],
        T_world_camera=T_world_camera.reshape(-1, 16)[each],
        intrinsics=views.k[each],
    )


def sample_views(
    pose: StablePose, n: int, model: GenerativeModel, rng: np.random.Generator
) -> Views:
    """Draw cameras and planar poses [Mahler17, §III-B], and re-centre (reference §2.8)."""
    cameras = sample_cameras(n, rng, model.camera)
    T_world_obj = sample_poses(n, pose, rng, model.placement)
    T_camera_world = transforms.inverse(cameras.T_world_camera)
    k = np.array([[i.fx, i.fy, i.cx, i.cy] for i in cameras.intrinsics])
    if model.camera.recenter:
        base_world = table_point(T_world_obj, pose.T_world_obj)
        base = transforms.apply(T_camera_world, base_world[:, None])[:, 0]
        seen = base[:, :2] / base[:, 2:] * k[:, :2] + k[:, 2:]
        k[:, 2:] += _middle(model.camera) - seen
    T_camera_obj = T_camera_world @ T_world_obj
    return Views(cameras.T_world_camera, T_camera_obj, k, model.camera.width, model.camera.height)


def choose(
    n_grasps: int, n_images: int, n: int, rng: np.random.Generator
) -> Int[np.ndarray, "n_images n"]:
    """For each image, n of the grasps in ascending order."""
    if n == n_grasps:
        return np.broadcast_to(np.arange(n), (n_images, n))
    order = rng.random((n_images, n_grasps)).argpartition(n - 1, -1)[:, :n]
    return np.sort(order, -1)


def project(grasps_obj: Grasp, chosen: Int[np.ndarray, "n_images n"], views: Views) -> PlanarGrasp:
    """Each view's chosen grasps in its image: ``Grasp.to_planar`` for all views at once."""
    center = transforms.apply(views.T_camera_obj, grasps_obj.center[chosen])
    axis = transforms.rotate(views.T_camera_obj, grasps_obj.closing_axis[chosen])
    depth = center[..., 2]
    center_px = center[..., :2] / depth[..., None] * views.k[:, None, :2] + views.k[:, None, 2:]
    angle = np.arctan2(axis[..., 1], axis[..., 0])
    return PlanarGrasp(center_px, angle, depth, grasps_obj.width[chosen])


def view_crops(
    mesh: TriMesh, views: Views, index: int, planar: PlanarGrasp, crop: CropConfig
) -> Float[np.ndarray, "n size size"]:
    """Trace the window that the crops of one view see, and cut them."""
    k = tuple(views.k[index].tolist())
    T_camera_obj = views.T_camera_obj[index]
    object_px = points_window(transforms.apply(T_camera_obj, mesh.vertices), k)
    object_px = clipped_window(object_px, views.width, views.height)
    windows, stretch = crop.windows(views.k[index, :2], planar.depth)
    u0, v0, u1, v1 = window = crops_window(
        planar.center_px, windows * stretch.max(), views.width, views.height
    )
    if u1 <= u0 or v1 <= v0:  # every crop lies off the image
        return np.zeros((len(windows), crop.size, crop.size), np.float32)
    seen, table = trace_window(
        mesh, T_camera_obj, views.T_world_camera[index], k, object_px, window
    )
    depth = finite_depth(np.minimum(seen, table))
    center_px = planar.center_px - [u0, v0]
    return crop_depth(depth, center_px, planar.angle, windows, crop.size, stretch)


def crops_window(
    center_px: Float[np.ndarray, "n 2"], windows: Float[np.ndarray, "n"], width: int, height: int
) -> Window:
    """Window of the image that holds every crop, however it is turned."""
    reach = (windows * np.sqrt(0.5) + 2)[:, None]
    low, high = np.floor((center_px - reach).min(0)), np.ceil((center_px + reach).max(0)) + 1
    return clipped_window((*low.astype(int).tolist(), *high.astype(int).tolist()), width, height)


def _middle(camera: CameraDistribution) -> Float[np.ndarray, "2"]:
    return np.array([camera.width - 1, camera.height - 1]) / 2
