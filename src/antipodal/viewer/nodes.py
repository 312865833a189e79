"""Put values on the scene: meshes, hands, grasps, the table. A name that is given again is replaced."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import viser
from jaxtyping import Float, UInt8

from .. import transforms
from ..contact import Contact
from ..grasp import Grasp
from ..gripper import GripperModel
from ..mesh import TriMesh
from .colors import CONES, JAW, OBJECT, PALM
from .shapes import Shape, approach_stem, closing_rod, cone, hand_parts

CONE_HEIGHT = 0.015
"""m."""
FIELD_OF_VIEW = float(np.deg2rad(40.0))
"""Vertical, of the camera that a new browser gets."""
PALM_SHARE = 0.5
"""A palm that is seen through is fainter than the fingers: it hides more."""
TABLE_SIZE = 0.6
"""Side of the table that is drawn, m."""


def draw_table(server: viser.ViserServer) -> None:
    """Draw z = 0: a line each 5 cm."""
    server.scene.add_grid(
        "/table",
        TABLE_SIZE,
        TABLE_SIZE,
        cell_size=0.05,
        section_size=0.1,
        cell_color=(225, 225, 225),
        section_color=(190, 190, 190),
        plane_color=(250, 250, 250),
        plane_opacity=0.6,
    )


def look_from(
    server: viser.ViserServer,
    position: Float[np.ndarray, "3"],
    target: Float[np.ndarray, "3"],
) -> None:
    """Set where a new browser looks from, and at what, m."""
    server.initial_camera.position = tuple(position.tolist())
    server.initial_camera.look_at = tuple(target.tolist())
    server.initial_camera.fov = FIELD_OF_VIEW


def draw_mesh(
    server: viser.ViserServer,
    name: str,
    mesh: TriMesh,
    T_world_obj: transforms.Transform,
    opacity: float | None = None,
) -> viser.MeshHandle:
    """Draw an object where it stands."""
    wxyz, position = placement(T_world_obj)
    return server.scene.add_mesh_simple(
        name,
        mesh.vertices.astype(np.float32),
        mesh.faces.astype(np.uint32),
        color=OBJECT,
        opacity=opacity,
        flat_shading=True,
        side="double",
        wxyz=wxyz,
        position=position,
    )


def draw_hand(
    server: viser.ViserServer,
    name: str,
    gripper: GripperModel,
    T_world_grasp: transforms.Transform,
    width: float,
    opacity: float | None = None,
) -> list[viser.MeshHandle]:
    """Draw the hand's boxes at one pose and opening under the given name; return them, fingers first."""
    boxes = []
    for i, part in enumerate(hand_parts(gripper, width)):
        wxyz, position = placement(T_world_grasp @ transforms.translation(part.center))
        boxes.append(
            server.scene.add_mesh_simple(
                f"{name}/{i}",
                part.shape.vertices.astype(np.float32),
                part.shape.faces.astype(np.uint32),
                color=JAW if part.is_jaw else PALM,
                opacity=opacity if part.is_jaw or opacity is None else PALM_SHARE * opacity,
                flat_shading=True,
                wxyz=wxyz,
                position=position,
            )
        )
    return boxes


def draw_cones(
    server: viser.ViserServer,
    name: str,
    contacts: Contact,
    T_world_obj: transforms.Transform,
    friction: float,
) -> None:
    """Draw the friction cones of both jaws of one grasp: they open into the object."""
    wxyz, position = placement(T_world_obj)
    for jaw, color in enumerate(CONES):
        shape = cone(contacts[jaw], friction, CONE_HEIGHT)
        server.scene.add_mesh_simple(
            f"{name}/{jaw}",
            shape.vertices.astype(np.float32),
            shape.faces.astype(np.uint32),
            color=color,
            opacity=0.55,
            side="double",
            wxyz=wxyz,
            position=position,
        )


def draw_grasps(
    server: viser.ViserServer,
    name: str,
    grasps_world: Grasp,
    gap: Float[np.ndarray, "N"],
    colors: UInt8[np.ndarray, "N 3"],
    choose: Callable[[int], None],
) -> None:
    """Draw N grasps as two rods each, jaw to jaw and back along the approach; a click on one chooses it."""
    scales = np.stack([gap, np.ones_like(gap), np.ones_like(gap)], -1)
    rods = ((closing_rod(), scales), (approach_stem(), np.ones_like(scales)))
    for part, (shape, sizes) in zip(("closing", "approach"), rods, strict=True):
        _draw_rods(server, f"{name}/{part}", shape, grasps_world, sizes, colors, choose)


def placement(T: transforms.Transform) -> tuple[np.ndarray, np.ndarray]:
    """Quaternion wxyz and position, as viser wants a pose."""
    return transforms.to_wxyz(T[..., :3, :3]), T[..., :3, 3]


def _draw_rods(
    server: viser.ViserServer,
    name: str,
    shape: Shape,
    grasps_world: Grasp,
    scales: Float[np.ndarray, "N 3"],
    colors: UInt8[np.ndarray, "N 3"],
    choose: Callable[[int], None],
) -> None:
    if len(grasps_world) == 0:
        server.scene.remove_by_name(name)
        return
    wxyz, position = placement(grasps_world.pose)
    rods = server.scene.add_batched_meshes_simple(
        name,
        shape.vertices.astype(np.float32),
        shape.faces.astype(np.uint32),
        batched_wxyzs=wxyz,
        batched_positions=position,
        batched_scales=scales,
        batched_colors=colors,
        flat_shading=True,
        lod="off",
    )

    @rods.on_click
    def _(event: viser.SceneNodePointerEvent[viser.BatchedMeshHandle]) -> None:
        if event.instance_index is not None:
            choose(event.instance_index)
