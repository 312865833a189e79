"""Several objects in one world: drop a pile, grasp something out of it, see what is left.

The protocol is that of VGN's and GIGA's "pile" scenes [Breyer20]: objects fall one by one between four walls, the walls
vanish, what rolled out of the square is gone; then one grasp at a time. Frames: ``world``, z up, table at z = 0, the
square around the origin.
"""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's compiled module has no stubs: its names are found at run time only)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import mujoco
import numpy as np
from jaxtyping import Bool, Float

from .. import transforms
from ..errors import InvalidConfig
from ..grasp import Grasp
from ..gripper import GripperModel
from ..mesh import TriMesh
from ..success import execution_error
from .decompose import Pieces
from .trial import (
    Outcome,
    Stage,
    TrialConfig,
    approach,
    check_grasp,
    close_jaws,
    come_to_rest,
    is_held,
    keep,
    transports,
)
from .world import OBJECT, TABLE, World, add_hand, add_object, box_corners, contact_of, new_spec

Poses = Float[np.ndarray, "N 4 4"]

WALL_HEIGHT = 0.6
"""m."""
DROP_CLEARANCE = 0.05
"""An object falls from so far above the highest point of the pile, m."""
PARKED = np.array([3.0, 3.0])
"""Where objects wait for their turn, m; 0.6 m apart."""
N_PARKED = 11
"""In a row along x: the twelfth would be near the 10 m at which the engine has lost an object."""


class Pile(World):
    """A table with N ≥ 1 free objects and one hand. ``T_world_obj`` and ``mesh`` are those of the first."""

    def __init__(
        self,
        meshes: Sequence[TriMesh],
        pieces: Sequence[Pieces],
        gripper: GripperModel,
        walls: float | None = None,
    ) -> None:
        """Compile the model.

        Args:
            meshes: the objects.
            pieces: convex parts of each, obj frame.
            gripper: the hand.
            walls: side of a square that four walls enclose, m; None for none.
        """
        if not meshes or len(meshes) != len(pieces):
            raise InvalidConfig(
                f"{len(meshes)} meshes, {len(pieces)} sets of pieces: expected as many"
            )
        self.meshes = tuple(meshes)
        super().__init__(meshes[0], pieces[0], gripper, _compile(meshes, pieces, gripper, walls))
        bodies = [self.model.body(_name(i)).id for i in range(len(meshes))]
        self._bodies = bodies
        self._corners_obj = np.stack([box_corners(mesh) for mesh in meshes])
        self._is_object = np.isin(self.model.geom_bodyid, bodies)
        self._addresses = [int(self.model.joint(_name(i)).qposadr[0]) for i in range(len(meshes))]

    def place_all(
        self,
        T_world_obj: Poses,
        T_world_grasp: transforms.Transform,
        friction: float,
        seed: int = 0,
        timestep: float = 0.002,
    ) -> None:
        """Reset everything: the objects at rest at their poses, the hand as in ``place``."""
        self.place(T_world_obj[0], T_world_grasp, friction, seed, timestep)
        for address, T in zip(self._addresses, T_world_obj, strict=True):
            self.data.qpos[address : address + 3] = T[:3, 3]
            self.data.qpos[address + 3 : address + 7] = transforms.to_wxyz(T[:3, :3])
        mujoco.mj_forward(self.model, self.data)

    @property
    def poses(self) -> Poses:
        """T_world_obj of each object."""
        return np.stack([self._pose(body) for body in self._bodies])

    @property
    def corners(self) -> Float[np.ndarray, "N 8 3"]:
        """Of each object's bounding box, in the world, m."""
        return transforms.apply(self.poses, self._corners_obj)

    @property
    def centers(self) -> Float[np.ndarray, "N 3"]:
        """Centres of mass in the world, m."""
        return np.array(self.data.xipos[self._bodies])


class Pick(NamedTuple):
    """What one grasp into the pile did."""

    outcome: Outcome
    taken: Bool[np.ndarray, "N"]
    """Objects that left the pile in the hand; all False unless the outcome is a success."""
    T_world_obj: Poses
    """Of every object, at rest again, as if the hand had let go of nothing."""


def drop(
    meshes: Sequence[TriMesh],
    pieces: Sequence[Pieces],
    gripper: GripperModel,
    side: float,
    friction: float,
    rng: np.random.Generator,
    config: TrialConfig,
) -> tuple[Poses, Bool[np.ndarray, "N"]]:
    """Drop the objects one by one into the middle third of a square with walls, then take the walls away.

    Returns:
        The poses, and which objects are at rest inside the square: what rolls on is gone like what rolled out.
    """
    pile = Pile(meshes, pieces, gripper, walls=side)
    poses = np.stack([_parked(i, mesh) for i, mesh in enumerate(meshes)])
    for i, mesh in enumerate(meshes):
        R = transforms.random_rotations(1, rng)[0]
        lowest = (mesh.vertices @ R[2]).min()
        dropped = [transforms.apply(poses[j], meshes[j].vertices)[:, 2].max() for j in range(i)]
        height = max(dropped, default=0.0) + DROP_CLEARANCE - lowest
        poses[i] = transforms.from_rt(R, [*rng.uniform(-side / 6, side / 6, 2), height])
        poses = settle_pile(pile, poses, friction, config)[0]
    poses, resting = settle_pile(Pile(meshes, pieces, gripper), poses, friction, config)
    inside = np.abs(centers_of_mass(meshes, poses)[:, :2]).max(-1) <= side / 2
    return poses, inside & resting


def settle_pile(
    pile: Pile, T_world_obj: Poses, friction: float, config: TrialConfig
) -> tuple[Poses, Bool[np.ndarray, "N"]]:
    """Wait until everything rests, or for the time limit; return the poses then, and which objects rest."""
    pile.place_all(T_world_obj, np.eye(4), friction, 0, config.timestep)
    resting = come_to_rest(pile, np.eye(3), config, np.inf)
    return pile.poses, resting


def pick(
    pile: Pile,
    T_world_obj: Poses,
    grasp_world: Grasp,
    friction: float,
    seed: int,
    config: TrialConfig,
) -> Pick:
    """Execute one grasp in the pile: approach, close, lift, carry. No shake: the objects go into a bin.

    Whatever of the pile is in the hand and off the table at the end is taken; the rest comes to rest again.

    Raises:
        InvalidConfig: the grasp is wider than the gripper or not single.
        SimulationDiverged: the engine lost the state.
    """
    check_grasp(grasp_world, pile.gripper)
    rng, sigmas = np.random.default_rng(seed), (config.position_sigma, config.rotation_sigma)
    T_world_grasp = execution_error(grasp_world.pose, *sigmas, rng)
    pile.place_all(T_world_obj, T_world_grasp, friction, seed, config.timestep)
    before = pile.centers[:, 2]
    way = np.array([0.0, 0.0, -config.approach_distance])
    pile.put_hand(way, float(grasp_world.width))
    outcome = _grasp(pile, T_world_grasp, replace(config, shake_cycles=0, gravity_time=0.0))
    taken = np.zeros(len(pile.meshes), bool)
    if outcome is Outcome.SUCCESS:
        taken = pile.centers[:, 2] - before > config.lift_distance / 2
        if not taken.any():  # held, but dragged along
            outcome = Outcome.SLIPPED_LIFT
    # the hand is gone; what it took stays out of the way, where it was parked
    aside = np.stack([_parked(i, mesh) for i, mesh in enumerate(pile.meshes)])
    start = np.where(taken[:, None, None], aside, pile.poses)
    rest, _ = settle_pile(pile, start, friction, config)
    return Pick(outcome, taken, rest)


def _grasp(pile: Pile, T_world_grasp: transforms.Transform, config: TrialConfig) -> Outcome:
    collided = approach(pile, config)
    if collided is not None:
        return collided
    close_jaws(pile, config)
    if not is_held(pile):
        return Outcome.MISSED
    R_grasp_world = T_world_grasp[:3, :3].T
    for stage, gravity, velocities_world in transports(config):
        pile.set_gravity(gravity)
        if not keep(pile, R_grasp_world, velocities_world, config):
            return Outcome.SLIPPED_LIFT if stage is Stage.LIFT else Outcome.SLIPPED_CARRY
    return Outcome.SUCCESS


def _parked(i: int, mesh: TriMesh) -> transforms.Transform:
    """Pose i of the rows beside the square, the object's lowest point on the table."""
    (x, y), (row, column) = PARKED, divmod(i, N_PARKED)
    return transforms.translation([x + 0.6 * column, y + 0.6 * row, -mesh.bounds[0, 2]])


def centers_of_mass(meshes: Sequence[TriMesh], poses: Poses) -> Float[np.ndarray, "N 3"]:
    """Where the objects' centres of mass are in the world, m."""
    return np.stack(
        [transforms.apply(T, m.center_of_mass[None])[0] for m, T in zip(meshes, poses, strict=True)]
    )


def _name(i: int) -> str:
    return "object" if i == 0 else f"object_{i}"


def _compile(
    meshes: Sequence[TriMesh],
    pieces: Sequence[Pieces],
    gripper: GripperModel,
    walls: float | None,
) -> mujoco.MjModel:
    spec = new_spec()
    add_hand(spec, gripper)  # first: the carriage is dofs 0–2, the jaws 3–4
    for i, (mesh, parts) in enumerate(zip(meshes, pieces, strict=True)):
        add_object(spec, mesh, parts, _name(i))
    for geom in spec.geoms:
        if geom.contype == OBJECT:
            geom.conaffinity |= OBJECT  # objects touch one another
    plane = mujoco.mjtGeom.mjGEOM_PLANE
    spec.worldbody.add_geom(name="table", type=plane, size=[5, 5, 1], **contact_of(TABLE))
    if walls is not None:
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            thick, half = 0.05, walls / 2
            spec.worldbody.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                pos=[x * (half + thick), y * (half + thick), WALL_HEIGHT / 2],
                size=[thick if x else half + 2 * thick, thick if y else half + 2 * thick, WALL_HEIGHT / 2],
                **contact_of(TABLE),
            )  # fmt: skip
    return spec.compile()
