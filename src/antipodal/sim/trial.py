"""One grasp, executed: settle, approach, close, lift, and as options carry and shake [Mahler17, §VI-A].

    settle ─▶ approach ─▶ close ─▶ lift ──────▶ carry ───────▶ shake ─▶ SUCCESS
      │          │          │        │            │              │
    UNSTABLE  COLLIDED_*  MISSED  SLIPPED_LIFT  SLIPPED_CARRY  SLIPPED_SHAKE

The paper's success is an object that is still in the hand after lift, transport and shake. All poses are in ``world``,
z up, table at z = 0. An unsuccessful trial is a value; only a simulation that lost its state raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from .. import transforms
from ..errors import InvalidConfig
from ..grasp import Grasp
from ..gripper import UNIT_BOX_FACES, UNIT_BOX_VERTICES, GripperModel
from ..mesh import TriMesh
from ..success import EXECUTION_NOISE, execution_error
from ..values import NOT_NEGATIVE, POSITIVE, array, expect
from .decompose import convex_pieces
from .motion import DWELL, line, oscillation, rest
from .world import GRAVITY, TIMESTEP, World

BLOCK = 0.01
"""s between two looks at the contacts and two commands to the hand, rounded to whole steps."""
LOOK_EVERY = 5
"""Blocks between two looks at a held object."""
MIN_GRIP_FRACTION = 0.02
"""A jaw holds the object if it presses with at least this share of the force limit."""
RELEASE_TIME = 0.3
"""s without a grip after which an object counts as lost; what counts at the end of each stage is the grip itself.

Jaws that close on an inclined face wedge the object against the table. As the lift frees it they close the rest of
the way, and one of them may be off the object meanwhile; falling freely for so long it would be 44 cm away.
"""
_FAR = 1.0  # m: where the hand waits above the table while the object settles


class Outcome(StrEnum):
    """How a trial ended."""

    SUCCESS = "success"
    """Still between both jaws, off the table, after every stage that was asked for."""
    NO_GRASP = "no_grasp"
    """Nothing to execute: the planner's failure, and so never the result of :func:`execute`."""
    COLLIDED_TABLE = "collided_table"
    """The hand met the table on its way in."""
    COLLIDED_OBJECT = "collided_object"
    """The hand met the object on its way in, with a finger's end or the palm."""
    MISSED = "missed"
    """The jaws closed, but not on the object, or one of them only until it was lifted."""
    SLIPPED_LIFT = "slipped_lift"
    """Was held after closing, and was lost while it was lifted, or is too long to leave the table."""
    SLIPPED_CARRY = "slipped_carry"
    """Was lost on the way sideways."""
    SLIPPED_SHAKE = "slipped_shake"
    """Was lost while it was shaken or turned over."""
    UNSTABLE = "unstable"
    """The object toppled or never came to rest, before the hand arrived."""


class Stage(StrEnum):
    """Where a trial ended; a successful one ends with its last stage."""

    SETTLE = "settle"
    APPROACH = "approach"
    CLOSE = "close"
    LIFT = "lift"
    CARRY = "carry"
    SHAKE = "shake"


SLIPPED = {
    Stage.CARRY: Outcome.SLIPPED_CARRY,
    Stage.SHAKE: Outcome.SLIPPED_SHAKE,
}
"""The outcome of losing the object in each stage after the lift."""


@dataclass(frozen=True)
class TrialConfig:
    """The protocol. Defaults: the whole trial, shake included; :data:`QUICK_LIFT` only lifts."""

    timestep: float = TIMESTEP
    """s, 0.0002 to 0.005."""
    settle_tolerance: float = 0.0005
    """No point of the object may move further than this for ``settle_window``, m."""
    settle_window: float = 1.0
    """s."""
    settle_timeout: float = 5.0
    """An object that moves for longer is UNSTABLE, s."""
    max_settle_motion: float = 0.01
    """An object of which a point settles further than this away from its given pose is UNSTABLE, m."""
    approach_distance: float = 0.10
    """From the pre-grasp straight along the approach axis, m."""
    approach_speed: float = 0.15
    """Mean speed of the approach, m/s."""
    max_contact_force: float = 1.0
    """More force than this on the hand during the approach is a collision, N. Brushing past a light object is less."""
    closing_speed: float = 0.05
    """Of each jaw, m/s; then the gripper's force limit."""
    lift_distance: float = 0.20
    """m."""
    transport_speed: float = 0.20
    """Mean speed of lift and carry, m/s."""
    carry_distance: float = 0.20
    """Sideways along world x, m; 0 leaves the stage out."""
    shake_amplitude: float = 0.02
    """m, along world x and then y."""
    shake_frequency: float = 2.0
    """Hz."""
    shake_cycles: int = 3
    """Along each axis; 0 leaves them out."""
    gravity_time: float = 0.5
    """Gravity points along each of the six directions for so long, s; 0 leaves them out."""
    position_sigma: float = EXECUTION_NOISE.position_sigma
    """Execution error of each coordinate of the hand's position, standard deviation, m."""
    rotation_sigma: float = EXECUTION_NOISE.rotation_sigma
    """Execution error about each axis of the hand, standard deviation, rad."""

    def __post_init__(self) -> None:
        expect(self, "trial", NOT_NEGATIVE, *vars(self))
        speeds = ("approach_speed", "closing_speed", "transport_speed")
        expect(self, "trial", POSITIVE, *speeds, "shake_frequency")
        if not 0.0002 <= self.timestep <= 0.005:
            raise InvalidConfig(f"trial timestep {self.timestep} s: expected 0.0002 to 0.005")


QUICK_LIFT = TrialConfig(
    settle_window=0.1, carry_distance=0.0, shake_cycles=0, gravity_time=0.0, position_sigma=0.0, rotation_sigma=0.0
)  # fmt: skip
"""Settle, grasp and lift, executed without error."""


@dataclass(frozen=True, eq=False)
class TrialResult:
    """What happened, and where everything was at the end."""

    outcome: Outcome
    stage: Stage
    lift_height: float
    """Rise of the centre of mass over the settled pose at the end of the trial, m."""
    object_name: str
    grasp_world: Grasp
    """As planned; the executed one differs by the execution error."""
    friction: float
    seed: int
    T_world_obj_final: Float[np.ndarray, "4 4"]
    T_world_grasp_final: Float[np.ndarray, "4 4"]
    """Pose of the hand's grasp frame."""
    jaw_width_final: float
    """Opening as ``GripperModel.boxes`` counts it, m; down to −2 × jaw_clearance when the faces meet."""

    def __post_init__(self) -> None:
        for name in ("T_world_obj_final", "T_world_grasp_final"):
            object.__setattr__(self, name, array(getattr(self, name), (4, 4), name))

    @property
    def success(self) -> bool:
        """True if the object was lifted and kept."""
        return self.outcome is Outcome.SUCCESS

    def to_json(self) -> dict[str, Any]:
        """Return the fields as numbers, strings and nested lists, with ``success``."""
        return {
            "outcome": self.outcome.value,
            "stage": self.stage.value,
            "success": self.success,
            "lift_height": self.lift_height,
            "object_name": self.object_name,
            "grasp_world": self.grasp_world.to_json(),
            "friction": self.friction,
            "seed": self.seed,
            "T_world_obj_final": self.T_world_obj_final.tolist(),
            "T_world_grasp_final": self.T_world_grasp_final.tolist(),
            "jaw_width_final": self.jaw_width_final,
        }


class TrialBody(NamedTuple):
    """One thing to draw."""

    mesh: TriMesh
    T_world_body: transforms.Transform
    role: str
    """``object``, ``jaw`` or ``palm``."""


def run_trial(
    mesh: TriMesh,
    T_world_obj: transforms.Transform,
    grasp_world: Grasp,
    gripper: GripperModel,
    friction: float,
    seed: int,
    *,
    config: TrialConfig | None = None,
) -> TrialResult:
    """Build a world and execute one grasp in it; for many trials of one object, build the ``World`` once.

    Args:
        mesh: the object.
        T_world_obj: its resting pose on the table.
        grasp_world: one grasp, not a batch; its width is the opening on the way in.
        gripper: the hand.
        friction: Coulomb coefficient of every contact.
        seed: of the execution error.
        config: the protocol; default the benchmark's whole trial.

    Raises:
        InvalidMesh: the object has no volume.
        InvalidConfig: the grasp is wider than the gripper or not single; friction out of range.
        SimulationDiverged: the engine lost the state; carries seed and step.
    """
    world = World(mesh, convex_pieces(mesh), gripper)
    return execute(world, T_world_obj, grasp_world, friction, seed, config)


def execute(
    world: World,
    T_world_obj: transforms.Transform,
    grasp_world: Grasp,
    friction: float,
    seed: int,
    config: TrialConfig | None = None,
) -> TrialResult:
    """Execute one grasp in an existing world, which forgets what happened in it before. See :func:`run_trial`."""
    config = config or TrialConfig()
    check_grasp(grasp_world, world.gripper)
    rng, sigmas = np.random.default_rng(seed), (config.position_sigma, config.rotation_sigma)
    T_world_grasp = execution_error(grasp_world.pose, *sigmas, rng)
    world.place(T_world_obj, T_world_grasp, friction, seed, config.timestep)
    outcome, stage, start_height = _stages(world, T_world_grasp, float(grasp_world.width), config)
    return TrialResult(
        outcome=outcome,
        stage=stage,
        lift_height=float(world.object_center[2]) - start_height,
        object_name=world.mesh.name,
        grasp_world=grasp_world,
        friction=friction,
        seed=seed,
        T_world_obj_final=world.T_world_obj,
        T_world_grasp_final=world.T_world_grasp,
        jaw_width_final=world.jaw_width,
    )


def settle(
    world: World,
    T_world_obj: transforms.Transform,
    friction: float,
    seed: int = 0,
    config: TrialConfig | None = None,
) -> transforms.Transform | None:
    """Let the object come to rest under the trial's own dynamics, without a hand near; None if it does not.

    A benchmark settles first and shows the planner the settled pose, however far from the given one.
    """
    config = config or TrialConfig()
    world.place(T_world_obj, np.eye(4), friction, seed, config.timestep)
    return world.T_world_obj if come_to_rest(world, np.eye(3), config, np.inf).all() else None


def trial_bodies(result: TrialResult, mesh: TriMesh, gripper: GripperModel) -> list[TrialBody]:
    """Return what stands in the world at the end of the trial: the object, and the hand at its final opening."""
    hand = gripper.collision_mesh_at(Grasp(np.eye(4), np.asarray(result.jaw_width_final)))
    n_palm = len(gripper.palm_boxes)
    T_world_grasp = result.T_world_grasp_final
    return [
        TrialBody(mesh, result.T_world_obj_final, "object"),
        *(TrialBody(_box(hand, i), T_world_grasp, "jaw") for i in gripper.JAWS),
        *(TrialBody(_box(hand, 2 + i), T_world_grasp, "palm") for i in range(n_palm)),
    ]


def _box(hand: TriMesh, index: int) -> TriMesh:
    """One of the boxes of which a hand's mesh consists."""
    n_vertices, n_faces = len(UNIT_BOX_VERTICES), len(UNIT_BOX_FACES)
    vertices = hand.vertices[index * n_vertices :][:n_vertices]
    return TriMesh(vertices, hand.faces[:n_faces], f"{hand.name} {index}")


def check_grasp(grasp: Grasp, gripper: GripperModel) -> None:
    """Raise InvalidConfig unless the grasp is a single one within the gripper's stroke."""
    if grasp.batch_shape:
        raise InvalidConfig(
            f"grasp of batch shape {grasp.batch_shape}: expected a single one; index it"
        )
    if not gripper.min_width <= float(grasp.width) <= gripper.max_width + 1e-9:
        raise InvalidConfig(
            f"grasp width {float(grasp.width):g} m: expected {gripper.min_width:g} to {gripper.max_width:g} m, "
            f"the stroke of {gripper.name}"
        )


def _stages(
    world: World, T_world_grasp: transforms.Transform, width: float, config: TrialConfig
) -> tuple[Outcome, Stage, float]:
    """Run stage after stage until one fails; return the outcome, the stage and the height to count the lift from."""
    R_grasp_world = T_world_grasp[:3, :3].T
    settled = come_to_rest(world, R_grasp_world, config, config.max_settle_motion).all()
    start_height = float(world.object_center[2])
    if not settled:
        return Outcome.UNSTABLE, Stage.SETTLE, start_height
    world.put_hand(np.array([0.0, 0.0, -config.approach_distance]), width)
    collided = approach(world, config)
    if collided is not None:
        return collided, Stage.APPROACH, start_height
    close_jaws(world, config)
    return *lift_and_keep(world, R_grasp_world, config), start_height


def lift_and_keep(
    world: World, R_grasp_world: np.ndarray, config: TrialConfig
) -> tuple[Outcome, Stage]:
    """From closed jaws on, lift, carry and shake until the object is lost; return the outcome and the last stage."""
    if world.jaw_forces().max() == 0.0:
        return Outcome.MISSED, Stage.CLOSE
    lost_in_lift = Outcome.SLIPPED_LIFT if is_held(world) else Outcome.MISSED
    stage = Stage.LIFT
    for stage, gravity, velocities_world in transports(config):
        world.set_gravity(gravity)
        if not keep(world, R_grasp_world, velocities_world, config):
            return (lost_in_lift if stage is Stage.LIFT else SLIPPED[stage]), stage
        if stage is Stage.LIFT and world.table_force() > 0.0:
            return Outcome.SLIPPED_LIFT, stage
    return Outcome.SUCCESS, stage


def transports(config: TrialConfig) -> Iterator[tuple[Stage, np.ndarray, Iterator[np.ndarray]]]:
    """Everything that the object has to survive in the hand: stage, gravity and the hand's velocities in the world."""
    block = _block_steps(config) * config.timestep
    x, y, z = np.eye(3)
    yield Stage.LIFT, GRAVITY, line(config.lift_distance * z, config.transport_speed, block)
    if config.carry_distance > 0:
        yield Stage.CARRY, GRAVITY, line(config.carry_distance * x, config.transport_speed, block)
    if config.shake_cycles > 0:
        for amplitude in (config.shake_amplitude * x, config.shake_amplitude * y):
            shake = oscillation(amplitude, config.shake_frequency, config.shake_cycles, block)
            yield Stage.SHAKE, GRAVITY, shake
    if config.gravity_time > 0:
        for direction in (x, y, z, -x, -y, -z):
            gravity = direction * np.linalg.norm(GRAVITY)
            yield Stage.SHAKE, gravity, rest(config.gravity_time, block)


def come_to_rest(
    world: World, R_grasp_world: np.ndarray, config: TrialConfig, max_motion: float
) -> Bool[np.ndarray, "N"]:
    """Wait until every object rests, for the time limit, or until one has moved too far; return which rest.

    An object rests if no corner of its bounding box has moved by the tolerance for a while: one that rolls on keeps
    nobody else from it.
    """
    world.put_hand(R_grasp_world @ [0.0, 0.0, _FAR], world.gripper.max_width)
    given = reference = world.corners.reshape(-1, 8, 3)
    quiet_since = np.full(len(given), world.time)
    resting = world.time - quiet_since >= config.settle_window
    n_steps = _block_steps(config)
    while not resting.all():
        world.step(n_steps)
        corners = world.corners.reshape(-1, 8, 3)
        if _moved(corners, given).max() > max_motion or world.time > config.settle_timeout:
            break
        moved = _moved(corners, reference) > config.settle_tolerance
        reference = np.where(moved[:, None, None], corners, reference)
        quiet_since = np.where(moved, world.time, quiet_since)
        resting = world.time - quiet_since >= config.settle_window
    return resting


def approach(world: World, config: TrialConfig) -> Outcome | None:
    """Go straight in; stop as soon as the hand is pushed, and say by what."""
    # a hand that starts inside the object throws it out within the first block
    if collided := _collided(world, config):
        return collided
    way = np.array([0.0, 0.0, config.approach_distance])
    n_steps = _block_steps(config)
    for velocity_grasp in line(way, config.approach_speed, n_steps * config.timestep):
        world.drive(velocity_grasp, 0.0)
        world.step(n_steps)
        if collided := _collided(world, config):
            return collided
    return None


def _collided(world: World, config: TrialConfig) -> Outcome | None:
    """What pushes the hand harder than it may, if anything does."""
    by_table, by_object = world.hand_forces()
    if by_table + by_object <= config.max_contact_force:
        return None
    return Outcome.COLLIDED_TABLE if by_table > by_object else Outcome.COLLIDED_OBJECT


def close_jaws(world: World, config: TrialConfig) -> None:
    """Close until the jaws stand still."""
    world.drive(np.zeros(3), config.closing_speed)
    n_steps = _block_steps(config)
    timeout = world.time + 2 * world.gripper.max_width / config.closing_speed + 1.0
    still_since = world.time
    while world.time < timeout and world.time - still_since < DWELL:
        world.step(n_steps)
        if abs(world.jaw_speed) > 0.02 * config.closing_speed:
            still_since = world.time


def keep(
    world: World,
    R_grasp_world: np.ndarray,
    velocities_world: Iterator[np.ndarray],
    config: TrialConfig,
) -> bool:
    """Move with closed jaws; False if the object is out of them at the end, or for :data:`RELEASE_TIME` before."""
    n_steps = _block_steps(config)
    held_at = world.time
    for block, velocity_world in enumerate(velocities_world):
        world.drive(R_grasp_world @ velocity_world, config.closing_speed)
        world.step(n_steps)
        if block % LOOK_EVERY:
            continue
        if is_held(world):
            held_at = world.time
        elif world.time - held_at > RELEASE_TIME:
            return False
    return is_held(world)


def _block_steps(config: TrialConfig) -> int:
    return max(1, round(BLOCK / config.timestep))


def is_held(world: World) -> bool:
    """Whether both jaws press, with :data:`MIN_GRIP_FRACTION` of their force limit."""
    return bool(world.jaw_forces().min() > MIN_GRIP_FRACTION * world.gripper.max_force)


def _moved(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Largest distance of any of each object's points, (N)."""
    return np.linalg.norm(points - reference, axis=-1).max(-1)
