"""Open loop against closed loop, on objects that move and with a camera that is not where it is said to be.

One scene, several controllers: the same object, path, calibration error and noise. The camera stands beside the table,
so that it sees both object and hand. Frames: camera, world.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.spatial.transform import Rotation

from .. import transforms
from ..camera import CameraIntrinsics, DepthImage
from ..gripper import GripperModel
from ..mesh import TriMesh
from ..policy.base import Policy
from ..policy.closed_loop import ClosedLoopPolicy
from ..policy.hand_in_view import HandConfig, locate_hand, without_hand
from ..policy.request import Request
from ..policy.track import Tracked
from ..render.scene import PoseDistribution, draw_pose, sample_friction
from ..sim.support import SupportPath, drift
from ..sim.tracking import (
    Command,
    Controller,
    Frame,
    StandingCamera,
    TrackingConfig,
    TrackingResult,
    track_and_lift,
)
from ..sim.trial import settle
from ..sim.world import World
from ..stable_pose import resting_poses
from .scenes import FRICTION

INTRINSICS = CameraIntrinsics(525.0, 525.0, 319.5, 239.5, 640, 480).crop(170, 0, 300, 400)
"""The part of a 640×480 camera's picture in which hand and object can be."""
CAMERA_DISTANCE = 0.7
"""From the point that it looks at, 8 cm above the middle of the table, m."""
CAMERA_TILT = float(np.deg2rad(45.0))
"""From the vertical: nearer to it the hand would hide what it grasps, rad."""
HOME = transforms.translation([0.0, 0.0, 0.20]) @ transforms.rot_x(np.pi)
"""T_world_grasp of the hand at the start: 20 cm above the table."""
PLACES = PoseDistribution(x=(-0.03, 0.03), y=(-0.03, 0.03))
"""Where the object stands at the start."""
ACROSS = Request(yaw_range=np.deg2rad([-45.0, 45.0]))
"""Grasps across the camera's view: along it the nearer finger would hide the object. Asked of every loop."""
AIMED_AFTER = 0.6
"""How long :attr:`Loop.AHEAD` looks, s."""
COMMITTED = 0.09
"""Nearer to the grasp than this, along the approach, the hand is on its way in, m: below the hover."""
MAX_TURNING = 0.03
"""While the velocity has changed by more than this of late the hand does not go in, m/s."""
HAND_FRAMES = 8
"""From so many frames the hand is located, at most."""
WIDE, NARROW = HandConfig(reach=0.1), HandConfig(reach=0.03)
"""Before anything is known about the calibration, and after."""


class Loop(StrEnum):
    """When a controller looks."""

    OPEN = "open"
    """Once."""
    AHEAD = "ahead"
    """For a moment, then on along the object's velocity."""
    CLOSED = "closed"
    """At every frame."""


@dataclass(frozen=True, eq=False)
class TrackingScene:
    """Everything but the controller."""

    T_world_obj: transforms.Transform
    """At rest, at time 0."""
    friction: float
    camera: StandingCamera
    path: SupportPath
    seed: int
    """Of the frames' noise and of the planner."""


class LoopController:
    """A planner as a controller: it leaves its own hand out of each frame, and turns grasps into commands.

    Mutable: one for each trial.
    """

    def __init__(
        self,
        loop: Loop,
        planner: Policy,
        tracker: ClosedLoopPolicy,
        gripper: GripperModel,
        rng: np.random.Generator,
        locates_hand: bool = False,
        calibrates: bool = False,
    ) -> None:
        """Build the controller.

        Args:
            loop: when it looks.
            planner: of the open loop.
            tracker: of the others.
            gripper: the hand in the picture.
            rng: of the planners.
            locates_hand: it finds its hand in the picture, to leave it out; else it takes the calibration's word.
            calibrates: it also takes what it has found for the camera's pose.
        """
        self.loop, self.planner, self.tracker = loop, planner, tracker
        self.gripper, self.rng = gripper, rng
        self.locates_hand, self.calibrates = locates_hand, calibrates
        self.steps: list[Tracked | None] = []  # of each frame looked at; None: open loop
        self._found: list[transforms.Transform] = []
        tracker.reset()

    def __call__(self, frame: Frame) -> Command | None:
        """Answer a frame."""
        looks = not self.steps or self.loop is Loop.CLOSED
        if not looks and (self.loop is Loop.OPEN or frame.time > AIMED_AFTER):
            return None
        assert frame.image.T_world_camera is not None  # the bed gives it
        if self.locates_hand and len(self._found) < HAND_FRAMES:
            self._locate(frame)
        located = mean_pose(self._found) if self._found else frame.image.T_world_camera
        T_camera_grasp = transforms.inverse(located) @ frame.T_world_grasp
        image = without_hand(frame.image, self.gripper, T_camera_grasp, frame.width)
        image = DepthImage(image.depth, image.intrinsics)  # nothing is known but the picture
        T_world_camera = located if self.calibrates else frame.image.T_world_camera
        if self.loop is Loop.OPEN:
            self.steps.append(None)
            plan = self.planner(image, ACROSS, self.rng)
            if len(plan.grasps) == 0:
                return None
            grasp = plan.best.to_grasp(image.intrinsics, plan.approach_axis)
            return Command(grasp.in_frame(T_world_camera), np.zeros(3))
        committed = self._is_near(transforms.inverse(T_camera_grasp))
        tracked = self.tracker(image, ACROSS, self.rng, frame.time, committed)
        self.steps.append(tracked)
        if tracked.grasp is None:
            return None
        velocity = T_world_camera[:3, :3] @ tracked.velocity
        hold = self.loop is Loop.CLOSED and tracked.turning > MAX_TURNING
        return Command(tracked.grasp.in_frame(T_world_camera), velocity, hold)

    def _is_near(self, T_grasp_camera: transforms.Transform) -> bool:
        """Whether the hand is so near to the tracked grasp that it is on its way in."""
        last = self.steps[-1] if self.steps else None
        if last is None or last.grasp is None:
            return False
        return bool(transforms.apply(T_grasp_camera, last.grasp.center[None])[0, 2] < COMMITTED)

    def _locate(self, frame: Frame) -> None:
        """Find the hand in a frame, and with it the camera in the world."""
        believed = mean_pose(self._found) if self._found else frame.image.T_world_camera
        assert believed is not None
        guess = transforms.inverse(believed) @ frame.T_world_grasp
        config = NARROW if self._found else WIDE
        seen = locate_hand(frame.image, self.gripper, guess, frame.width, config)
        if seen is not None:
            self._found.append(frame.T_world_grasp @ transforms.inverse(seen))


def draw_scene(
    mesh: TriMesh,
    world: World,
    speed: float,
    calibration_error: tuple[float, float],
    seed: int,
    duration: float = 12.0,
) -> TrackingScene | None:
    """Draw pose, friction, path and calibration error, each from its own random state; None if it does not rest.

    Args:
        mesh: the object.
        world: compiled for it.
        speed: of the support, m/s.
        calibration_error: of the camera's believed pose: length of its shift, m, in a random direction, and angle, rad,
            about a random axis through the camera.
        seed: everything comes from it.
        duration: of the path, s.
    """
    rng_pose, rng_path, rng_error = np.random.default_rng([seed, 0]).spawn(3)
    T_world_obj = draw_pose(resting_poses(mesh), rng_pose, PLACES)
    friction = float(sample_friction(1, rng_pose, FRICTION)[0])
    rest = settle(world, T_world_obj, friction)
    if rest is None:
        return None
    path = drift(speed, duration, rng_path)
    camera = camera_beside(rng_error, *calibration_error)
    return TrackingScene(rest, friction, camera, path, seed)


def camera_beside(
    rng: np.random.Generator, shift: float = 0.0, angle: float = 0.0
) -> StandingCamera:
    """The camera at −y, and a calibration that is off by a shift, m, and a turn about the camera, rad."""
    target = np.array([0.0, 0.0, 0.08])
    eye = target + CAMERA_DISTANCE * np.array([0.0, -np.sin(CAMERA_TILT), np.cos(CAMERA_TILT)])
    T_world_camera = transforms.look_at(eye, target)
    directions = rng.normal(size=(2, 3))
    t, r = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    error = transforms.from_rt(transforms.exp_so3(angle * r), shift * t)
    return StandingCamera(INTRINSICS, T_world_camera, T_world_camera @ error)


def run_scene(
    scene: TrackingScene,
    world: World,
    controller: Controller,
    config: TrackingConfig | None = None,
) -> TrackingResult:
    """Let one controller grasp in a scene."""
    return track_and_lift(
        world,
        scene.T_world_obj,
        HOME,
        scene.camera,
        scene.path,
        controller,
        scene.friction,
        np.random.default_rng([scene.seed, 1]),
        config,
    )


def mean_pose(poses: list[transforms.Transform]) -> transforms.Transform:
    """Mean of poses that differ little."""
    rotation = Rotation.from_matrix([T[:3, :3] for T in poses]).mean().as_matrix()
    return transforms.from_rt(rotation, np.mean([T[:3, 3] for T in poses], axis=0))
