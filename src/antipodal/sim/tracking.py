"""A grasp on an object that moves: a camera beside the table, a hand that follows commands, a support that drifts.

    follow ─▶ descend ─▶ close ─▶ lift, and what else the trial's config asks for

*Follow*: the hand is a pose with limited speed that goes to the hover above the commanded grasp; frames come at the
camera's rate with the sensor's noise and the hand in them, until both jaws touch the object; commands act after a
latency. *Descend* and all that follows is MuJoCo, simulated in the frame of the support: a support with velocity v
and acceleration a is, to what lies on it, a standing one under the gravity g − a, to which the hand moves with its own
velocity less v. Hand and support stop when both jaws touch. Frames: ``world``, z up; ``support`` = world moved by the
support's position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from .. import transforms
from ..camera import CameraIntrinsics, DepthImage
from ..grasp import Grasp
from ..gripper import GripperModel
from ..mesh import TriMesh
from ..render.depth import (
    clipped_window,
    finite_depth,
    points_window,
    trace_window,
)
from ..render.noise import STRUCTURED_LIGHT, SensorNoise, observe
from ..values import NOT_NEGATIVE, POSITIVE, expect
from .motion import DWELL
from .support import BLOCK, SupportPath, Vector
from .trial import Outcome, TrialConfig, lift_and_keep
from .world import GRAVITY, World


class Command(NamedTuple):
    """What the hand is told."""

    grasp_world: Grasp
    """Single: where the jaws are to close, at the time of the frame."""
    velocity: Vector
    """It moves on with this, world, m/s."""
    hold: bool = False
    """Not to go in yet: the fingers stay above the object."""


class Frame(NamedTuple):
    """What the controller gets."""

    image: DepthImage
    """Noisy, with the hand in it; its ``T_world_camera`` is what the calibration says."""
    T_world_grasp: transforms.Transform
    """Of the hand, as the arm reports it: exact."""
    width: float
    """Opening of the jaws, as the hand reports it, m."""
    time: float
    """s."""


Controller = Callable[[Frame], Command | None]
"""Answers each frame; None leaves the last command in force."""


@dataclass(frozen=True)
class TrackingConfig:
    """The test bed."""

    frame_rate: float = 20.0
    """Hz."""
    latency: float = 0.1
    """From a frame to the command that it leads to, s."""
    max_speed: float = 0.25
    """Of the hand, m/s."""
    max_turn: float = 1.5
    """Of the hand, rad/s."""
    hover: float = 0.10
    """The hand follows so far before the grasp, m."""
    aligned_distance: float = 0.004
    """It descends once it is this near to the hover across the approach, m, …"""
    aligned_angle: float = 0.07
    """… and turned this near, rad, …"""
    aligned_time: float = 0.15
    """… for so long, s."""
    descent_speed: float = 0.25
    """m/s."""
    braking: float = 4.0
    """Of the descent, m/s²."""
    hold_height: float = 0.04
    """Where the hand stays if it is told to hold, so far above the grasp, m; from ¾ of it it goes on."""
    funnel: float = 0.15
    """While it descends it may be off by ``aligned_distance`` and this share of the height left; else it waits."""
    timeout: float = 8.0
    """A hand that has not closed by then never will, s."""
    noise: SensorNoise = STRUCTURED_LIGHT
    """Of each frame anew, but for the depth scale, which is one for the run: it is the camera's calibration."""
    trial: TrialConfig = field(
        default_factory=lambda: TrialConfig(carry_distance=0.0, shake_cycles=0, gravity_time=0.0)
    )
    """Closing and lifting; nothing else by default."""

    def __post_init__(self) -> None:
        positive = ("frame_rate", "max_speed", "max_turn", "hover", "descent_speed", "braking")
        expect(self, "tracking", POSITIVE, *positive, "timeout")
        aligned = ("aligned_distance", "aligned_angle", "aligned_time")
        expect(self, "tracking", NOT_NEGATIVE, "latency", *aligned, "hold_height")


class StandingCamera(NamedTuple):
    """A camera that stands beside the table."""

    intrinsics: CameraIntrinsics
    T_world_camera: transforms.Transform
    """True."""
    T_world_camera_believed: transforms.Transform
    """As calibrated."""


@dataclass(frozen=True, eq=False)
class TrackingResult:
    """What happened."""

    outcome: Outcome
    """NO_GRASP if the hand never got to close."""
    time: float
    """When the hand began to close, or the time was up, s."""

    @property
    def success(self) -> bool:
        """True if the object was lifted and kept."""
        return self.outcome is Outcome.SUCCESS


def track_and_lift(
    world: World,
    T_world_obj: transforms.Transform,
    T_world_home: transforms.Transform,
    camera: StandingCamera,
    path: SupportPath,
    controller: Controller,
    friction: float,
    rng: np.random.Generator,
    config: TrackingConfig | None = None,
) -> TrackingResult:
    """Let the controller grasp an object on a support that moves.

    Args:
        world: object and hand; forgets what happened in it before.
        T_world_obj: the object at rest on the support at time 0.
        T_world_home: pose of the hand's grasp frame at time 0.
        camera: where it is, and where the calibration says that it is.
        path: the support's.
        controller: answers the frames.
        friction: of every contact.
        rng: random state of the frames' noise.
        config: the test bed.

    Raises:
        SimulationDiverged: the engine lost the state.
    """
    bed = _Bed(world, T_world_obj, camera, path, controller, rng, config or TrackingConfig())
    T_world_hand = bed.follow(np.array(T_world_home, float))
    if T_world_hand is None:
        return TrackingResult(Outcome.NO_GRASP, bed.time)
    outcome = bed.descend(T_world_hand, friction) or bed.close_and_lift()
    return TrackingResult(outcome, bed.closed_at)


def photograph(
    mesh: TriMesh,
    gripper: GripperModel,
    T_world_obj: transforms.Transform,
    T_world_grasp: transforms.Transform,
    width: float,
    camera: StandingCamera,
    rng: np.random.Generator,
    noise: SensorNoise = STRUCTURED_LIGHT,
) -> DepthImage:
    """Render object, table and hand at an opening, with noise; the image carries the believed camera pose."""
    k = camera.intrinsics
    projection, whole = (k.fx, k.fy, k.cx, k.cy), (0, 0, k.width, k.height)
    T_camera_world = transforms.inverse(camera.T_world_camera)
    hand = gripper.collision_mesh_at(Grasp(np.eye(4), np.asarray(max(width, gripper.min_width))))
    depth = np.full(k.shape, np.inf, np.float32)
    for body, T_world_body in ((mesh, T_world_obj), (hand, T_world_grasp)):
        T = T_camera_world @ T_world_body
        window = points_window(transforms.apply(T, body.vertices), projection)
        window = clipped_window(window, k.width, k.height)
        near, table = trace_window(body, T, camera.T_world_camera, projection, window, whole)
        depth = np.minimum(depth, np.minimum(near, table))
    image = DepthImage(finite_depth(depth), k, camera.T_world_camera_believed)
    return observe(image, rng, noise)


class _Bed:
    """One run: the clock, the frames and the command in force."""

    def __init__(
        self,
        world: World,
        T_support_obj: transforms.Transform,
        camera: StandingCamera,
        path: SupportPath,
        controller: Controller,
        rng: np.random.Generator,
        config: TrackingConfig,
    ) -> None:
        self.world, self.camera, self.path, self.config = world, camera, path, config
        self.T_support_obj, self.controller, self.rng = T_support_obj, controller, rng
        self.time = self.closed_at = 0.0
        self.n_frames = 0
        self.noise = replace(self.config.noise, scale_sigma=0.0)
        self.scale = 1.0 + self.config.noise.scale_sigma * rng.standard_normal()
        self._pending: list[tuple[float, float, Command]] = []
        self._command: Command | None = None
        self._commanded_at = 0.0

    def follow(self, T_world_hand: transforms.Transform) -> transforms.Transform | None:
        """Go to the hover above the commanded grasp; the hand's pose once it is aligned, None if the time is up."""
        config, aligned_since = self.config, np.inf
        while self.time < config.timeout:
            self._look(T_world_hand, self.world.gripper.max_width)
            goal = self._goal(T_world_hand)
            if goal is not None:
                hover = goal @ transforms.translation([0.0, 0.0, -config.hover])
                T_world_hand = stepped(
                    T_world_hand, hover, config.max_speed * BLOCK, config.max_turn * BLOCK
                )
                near = np.linalg.norm(hover[:3, 3] - T_world_hand[:3, 3])
                turn = Rotation.from_matrix(T_world_hand[:3, :3].T @ hover[:3, :3]).magnitude()
                if near > config.aligned_distance or turn > config.aligned_angle:
                    aligned_since = np.inf
                elif not np.isfinite(aligned_since):
                    aligned_since = self.time
                if self.time - aligned_since >= config.aligned_time:
                    return T_world_hand
            self.time += BLOCK
        return None

    def descend(self, T_world_hand: transforms.Transform, friction: float) -> Outcome | None:
        """Go straight in, following the command; None once the hand is there, else what stopped it."""
        config, world = self.config, self.world
        forward = transforms.translation([0.0, 0.0, config.hover])
        support, _, _ = self.path.at(self.time)
        T_support_start = transforms.translation(-support) @ T_world_hand @ forward
        world.place(self.T_support_obj, T_support_start, friction, 0, config.trial.timestep)
        world.put_hand(np.array([0.0, 0.0, -config.hover]), world.gripper.max_width)
        self.R_grasp_world = T_world_hand[:3, :3].T
        while self.time < config.timeout:
            velocity, error = self._servo()
            height, off = float(error[2]), float(np.linalg.norm(error[:2]))
            if height < ARRIVED:
                self.closed_at = self.time
                return None
            if off < config.aligned_distance + config.funnel * height:
                velocity[2] += self._descent(height)
            self._step(velocity, 0.0)
            by_table, by_object = world.hand_forces()
            if by_table + by_object > config.trial.max_contact_force:
                self.closed_at = self.time
                table = by_table > by_object
                return Outcome.COLLIDED_TABLE if table else Outcome.COLLIDED_OBJECT
        self.closed_at = self.time
        return Outcome.NO_GRASP

    def _descent(self, height: float) -> float:
        """Speed at which the hand goes down, so far above the grasp, that it can brake in time, m/s."""
        config = self.config
        assert self._command is not None  # it has been followed
        holds = self._command.hold and height > 0.75 * config.hold_height
        way = max(height - (config.hold_height if holds else 0.0), 0.0)
        return min(config.descent_speed, float(np.sqrt(2 * config.braking * way)))

    def close_and_lift(self) -> Outcome:
        """Close while the hand follows; when both jaws touch, hand and support stop; then as every trial."""
        config, world = self.config.trial, self.world
        until = self.time + world.gripper.max_width / config.closing_speed + 1.0
        still_since, touched = self.time, False
        while self.time < until and self.time - still_since < DWELL:
            touched = touched or world.jaw_forces().min() > 0.0
            velocity = np.zeros(3) if touched else self._servo()[0]
            if touched:
                world.set_gravity(GRAVITY)
            self._step(velocity, config.closing_speed)
            if abs(world.jaw_speed) > 0.02 * config.closing_speed:
                still_since = self.time
        return lift_and_keep(world, self.R_grasp_world, config)[0]

    def _servo(self) -> tuple[Vector, Vector]:
        """Velocity against the support that keeps the hand over the grasp, and the way left to it, m; grasp axes."""
        world, config = self.world, self.config
        support, v_support, a_support = self.path.at(self.time)
        T_world_hand = transforms.translation(support) @ world.T_world_grasp
        self.T_support_obj = world.T_world_obj
        self._look(T_world_hand, world.jaw_width)
        goal = self._goal(T_world_hand)
        assert goal is not None and self._command is not None  # it has been followed
        error = self.R_grasp_world @ (goal[:3, 3] - T_world_hand[:3, 3])
        velocity = self.R_grasp_world @ (self._command.velocity - v_support)
        velocity[:2] += clipped(error[:2] * FOLLOW_GAIN, config.max_speed)
        world.set_gravity(GRAVITY - a_support)
        return velocity, error

    def _step(self, velocity_grasp: Vector, closing_speed: float) -> None:
        self.world.drive(velocity_grasp, closing_speed)
        self.world.step(max(1, round(BLOCK / self.config.trial.timestep)))
        self.time += BLOCK

    def _look(self, T_world_hand: transforms.Transform, width: float) -> None:
        """Take a frame if one is due, and let commands come into force."""
        if self.time >= self.n_frames / self.config.frame_rate - BLOCK / 2:
            self.n_frames = int((self.time + BLOCK / 2) * self.config.frame_rate) + 1
            support, _, _ = self.path.at(self.time)
            T_world_obj = transforms.translation(support) @ self.T_support_obj
            image = photograph(
                self.world.mesh,
                self.world.gripper,
                T_world_obj,
                T_world_hand,
                width,
                self.camera,
                self.rng,
                self.noise,
            )
            image = image.with_depth(image.depth * np.float32(self.scale))
            command = self.controller(Frame(image, T_world_hand, width, self.time))
            if command is not None:
                self._pending.append((self.time + self.config.latency, self.time, command))
        while self._pending and self._pending[0][0] <= self.time + BLOCK / 2:
            _, self._commanded_at, self._command = self._pending.pop(0)

    def _goal(self, T_world_hand: transforms.Transform) -> transforms.Transform | None:
        """T_world_grasp that is commanded now; of its two jaw orders the one that is nearer to the hand's."""
        if self._command is None:
            return None
        way = (self.time - self._commanded_at) * self._command.velocity
        goal = transforms.translation(way) @ self._command.grasp_world.pose
        if goal[:3, 0] @ T_world_hand[:3, 0] < 0:
            goal = goal @ transforms.rot_z(np.pi)
        return goal


ARRIVED = 5e-4
"""The hand is there when this height is left, m."""
FOLLOW_GAIN = 15.0
"""Of the hand's position control while it descends, 1/s."""


def stepped(
    T: transforms.Transform, goal: transforms.Transform, max_way: float, max_turn: float
) -> transforms.Transform:
    """Go from one pose towards another by at most a length, m, and an angle, rad."""
    way = clipped(goal[:3, 3] - T[:3, 3], max_way)
    turn = clipped(Rotation.from_matrix(T[:3, :3].T @ goal[:3, :3]).as_rotvec(), max_turn)
    return transforms.from_rt(T[:3, :3] @ transforms.exp_so3(turn), T[:3, 3] + way)


def clipped(vector: np.ndarray, most: float) -> np.ndarray:
    """Shorten a vector to at most a length."""
    return vector * min(1.0, most / max(float(np.linalg.norm(vector)), 1e-12))
