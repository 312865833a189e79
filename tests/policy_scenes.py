"""A camera over a table with one object: what the tests of the planner look at."""

from __future__ import annotations

import numpy as np

from antipodal import transforms
from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.grasp import Grasp, PlanarGrasp
from antipodal.gripper import GripperModel, load_gripper
from antipodal.mesh import TriMesh
from antipodal.policy.view import View, look
from antipodal.render.depth import render
from antipodal.render.scene import Scene

INTRINSICS = CameraIntrinsics(525.0, 525.0, 319.5, 239.5, 640, 480)
YUMI: GripperModel = load_gripper("yumi")


def camera(tilt: float = np.deg2rad(12.7), distance: float = 0.7) -> np.ndarray:
    """T_world_camera of a camera ``distance`` from the origin, ``tilt`` off the vertical."""
    eye = distance * np.array([0.0, -np.sin(tilt), np.cos(tilt)])
    return transforms.look_at(eye, [0.0, 0.0, 0.0])


def standing(
    mesh: TriMesh, yaw: float = 0.0, tilt: float = np.deg2rad(12.7), distance: float = 0.7
) -> Scene:
    """The mesh standing on the table's centre, turned by ``yaw``."""
    lift = transforms.translation([0.0, 0.0, -mesh.bounds[0, 2]])
    return Scene(mesh, lift @ transforms.rot_z(yaw), camera(tilt, distance), INTRINSICS)


def seen(
    mesh: TriMesh, yaw: float = 0.0, tilt: float = np.deg2rad(12.7)
) -> tuple[DepthImage, np.ndarray]:
    """Depth image and object mask of the standing mesh."""
    rendering = render(standing(mesh, yaw, tilt))
    return rendering.image, rendering.mask


def view_of(mesh: TriMesh, yaw: float = 0.0, tilt: float = np.deg2rad(12.7)) -> View:
    """The standing mesh as the planner sees it, with its mask."""
    image, mask = seen(mesh, yaw, tilt)
    return look(image, mask, np.random.default_rng(0))


def down(T_world_camera: np.ndarray, points: np.ndarray, yaw: np.ndarray) -> PlanarGrasp:
    """Straight-down grasps at world points."""
    closing = np.stack([np.cos(yaw), np.sin(yaw), np.zeros(len(yaw))], -1)
    world = Grasp.from_axes(points, closing, [0.0, 0.0, -1.0], YUMI.max_width)
    return world.in_frame(transforms.inverse(T_world_camera)).to_planar(INTRINSICS)
