"""A recorded trial once more: the scene from its row, the same execution, and pictures of it by our own ray tracer."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from .. import transforms
from ..camera import CameraIntrinsics
from ..errors import InvalidConfig, UnknownAsset
from ..grasp import Grasp
from ..gripper import GripperModel
from ..mesh import TriMesh
from ..render.shade import DEFAULT_SHADE, Body, ShadeConfig, look_from, shade
from ..sim.decompose import Pieces, convex_pieces
from ..sim.trial import TrialResult, execute, trial_bodies
from ..sim.world import World
from ..stable_pose import resting_poses
from .config import BenchConfig, bench_config
from .objects import load_object
from .scenes import TrialScene, draw_trial

ROLE_COLORS = {"object": (0.25, 0.48, 0.75), "jaw": (0.95, 0.55, 0.15), "palm": (0.55, 0.56, 0.58)}
"""sRGB."""
FPS = 10.0
"""Frames per second of simulated time."""
SHADE = ShadeConfig(occlusion_rays=6)
"""A little coarser than a still picture's."""


class Snapshot(NamedTuple):
    """Where everything was at one moment."""

    T_world_obj: Float[np.ndarray, "4 4"]
    T_world_grasp: Float[np.ndarray, "4 4"]
    """Pose of the hand."""
    jaw_width: float
    """m."""


class RecordingWorld(World):
    """A world that remembers where things were, so many times a second."""

    def __init__(
        self, mesh: TriMesh, pieces: Pieces, gripper: GripperModel, fps: float = FPS
    ) -> None:
        super().__init__(mesh, pieces, gripper)
        self._interval = 1 / fps
        self.snapshots: list[Snapshot] = []
        self._next = 0.0

    def step(self, n_steps: int) -> None:
        """Advance the physics; see ``World.step``."""
        super().step(n_steps)
        if self.time < self._next - self._interval:  # placed anew
            self._next = 0.0
        if self.time >= self._next:
            self._next += self._interval  # of the grid: the steps between would add up
            self.snapshots.append(Snapshot(self.T_world_obj, self.T_world_grasp, self.jaw_width))


@dataclass(frozen=True, eq=False)
class Recorded:
    """One row of trials.parquet, ready to be executed again."""

    row: dict[str, Any]
    trial: TrialScene
    gripper: GripperModel
    config: BenchConfig
    cache: Path | None

    @property
    def grasp_world(self) -> Grasp:
        """What was planned.

        Raises:
            InvalidConfig: nothing was.
        """
        if self.row["T_world_grasp"] is None:
            said = self.row["reason"] or self.row["outcome"]
            raise InvalidConfig(
                f"this trial has no grasp to execute ({said}): choose another --trial"
            )
        pose = np.reshape(self.row["T_world_grasp"], (4, 4))
        return Grasp(pose, np.asarray(self.row["grasp_width"]))


def recorded(
    row: dict[str, Any],
    run: dict[str, Any],
    gripper: GripperModel,
    objects: Path | None = None,
) -> Recorded:
    """Rebuild the scene of a row.

    Args:
        row: of trials.parquet.
        run: config.json of its run.
        gripper: the run's.
        objects: folder of the meshes, if it has moved.

    Raises:
        InvalidConfig: the row has no scene, or the mesh is another one than the run's.
        UnknownAsset: the mesh is not there.
    """
    if row["mesh_hash"] is None:
        raise InvalidConfig(f"{row['object']} could not be simulated: {row['reason']}")
    directory = objects or Path(run["objects_directory"])
    if not (directory / row["file"]).is_file():
        raise UnknownAsset(
            f"no file {directory / row['file']}: expected the meshes of the run; give their folder with --objects"
        )
    mesh = load_object(directory, row["file"], row["object"])
    if mesh.content_hash != row["mesh_hash"]:
        raise InvalidConfig(f"{directory / row['file']} is not the mesh of the run: it was changed")
    config = bench_config(run["config"])
    drawn = draw_trial(mesh, resting_poses(mesh), config.seed, row["k"], config.cameras)
    scene = replace(drawn.scene, T_world_obj=np.reshape(row["T_world_obj"], (4, 4)))
    cache = Path(run["cache"])
    return Recorded(
        row, replace(drawn, scene=scene), gripper, config, cache if cache.is_dir() else None
    )


def execute_again(record: Recorded, fps: float = FPS) -> tuple[TrialResult, list[Snapshot]]:
    """Execute a recorded grasp; return the result and the moments from the approach on."""
    scene = record.trial.scene
    pieces = convex_pieces(scene.mesh, cache=record.cache)
    world = RecordingWorld(scene.mesh, pieces, record.gripper, fps)
    config = record.config.trial_config(record.row["execution_error"])
    seed = record.trial.execution_seed
    result = execute(world, scene.T_world_obj, record.grasp_world, scene.friction, seed, config)
    near = [
        s
        for s in world.snapshots
        if np.linalg.norm(s.T_world_grasp[:3, 3] - record.grasp_world.center) < 0.6
    ]
    return result, near  # while the object settles, the hand waits a metre above


def picture(
    result: TrialResult,
    snapshot: Snapshot,
    mesh: TriMesh,
    gripper: GripperModel,
    T_world_camera: transforms.Transform,
    intrinsics: CameraIntrinsics,
) -> UInt8[np.ndarray, "H W 3"]:
    """Shade one moment."""
    moment = replace(
        result,
        T_world_obj_final=snapshot.T_world_obj,
        T_world_grasp_final=snapshot.T_world_grasp,
        jaw_width_final=snapshot.jaw_width,
    )
    return shade_trial(moment, mesh, gripper, T_world_camera, intrinsics, SHADE)


def last_picture(
    result: TrialResult, mesh: TriMesh, gripper: GripperModel, size: int = 300
) -> UInt8[np.ndarray, "H W 3"]:
    """How a trial ended, seen across the closing axis, object and hand in view."""
    T = result.T_world_grasp_final
    center_obj = transforms.apply(result.T_world_obj_final, mesh.center_of_mass[None])[0]
    reach = float(np.linalg.norm(center_obj - T[:3, 3]) + np.linalg.norm(mesh.extents) / 2)
    half = float(np.clip(reach, 0.07, 0.22))
    T_world_camera = across(T, 70, 20, 0.55, T[:3, 3])
    c = (size - 1) / 2
    intrinsics = CameraIntrinsics(
        0.5 * size * 0.55 / half, 0.5 * size * 0.55 / half, c, c, size, size
    )
    return shade_trial(result, mesh, gripper, T_world_camera, intrinsics, SHADE)


def small_png(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """PNG of a picture in 128 colours: a third of the size."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).quantize(128).save(out, format="png", optimize=True)
    return out.getvalue()


def shade_trial(
    result: TrialResult,
    mesh: TriMesh,
    gripper: GripperModel,
    T_world_camera: transforms.Transform,
    intrinsics: CameraIntrinsics,
    config: ShadeConfig = DEFAULT_SHADE,
) -> UInt8[np.ndarray, "H W 3"]:
    """Shade the last moment of a trial: object and hand above the table."""
    bodies = [Body(m, T, ROLE_COLORS[role]) for m, T, role in trial_bodies(result, mesh, gripper)]
    return shade(bodies, T_world_camera, intrinsics, config)


def across(
    T_world_grasp: transforms.Transform,
    turn_deg: float,
    elevation_deg: float,
    distance: float,
    target: Float[np.ndarray, "3"],
) -> transforms.Transform:
    """Camera that sees both jaws and what is between them: turned about the vertical away from the closing axis."""
    azimuth = float(np.arctan2(T_world_grasp[1, 0], T_world_grasp[0, 0]) + np.deg2rad(turn_deg))
    return look_from(azimuth, np.deg2rad(elevation_deg), distance, target)
