"""The process that plans: it loads the network once, warms up, and answers one job after another over a pipe.

It holds no state between jobs. It ignores the signals that end the server, finishes what it does, and ends when the
server closes the pipe or dies.
"""

from __future__ import annotations

import json
import signal
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..camera import CameraIntrinsics, DepthImage
from ..camera_files import load_depth, load_mask
from ..errors import AntipodalError, InvalidConfig, UnknownAsset
from ..files import plain
from ..gripper import GripperModel, gripper_names, is_same, load_gripper
from ..planning import PlanInputs, plan_image
from ..policy import POLICIES, make_policy
from ..policy.request import Request
from ..quality import NetworkQuality, load_quality
from .faults import fault_of
from .schemas import PlanOptions, camera_of, request_of


@dataclass(frozen=True)
class Setup:
    """What a worker is told once."""

    model: str
    grippers: tuple[str, ...]
    scratch: Path
    """A folder of its own: the readers of images read files."""


@dataclass(frozen=True)
class Job:
    """One request: files whose headers have been checked, and what to do with them."""

    options: PlanOptions
    depth: bytes
    depth_suffix: str
    mask: bytes | None = None
    mask_suffix: str = ""


class Answer(NamedTuple):
    """A plan as JSON text, and what the log says of it."""

    body: bytes
    log: Mapping[str, Any]


class Refusal(NamedTuple):
    """A job that cannot be done, and why; a :class:`Fault` that goes through a pipe."""

    code: str
    message: str


class Ready(NamedTuple):
    """The first message of a worker that has planned once."""

    grippers: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class WarmPlanner:
    """What a worker has loaded."""

    quality: NetworkQuality
    grippers: Mapping[str, GripperModel]
    scratch: Path
    default: str | None
    """Gripper of a request that names none; None: each must name its own."""

    def answer(self, job: Job) -> Answer | Refusal:
        """Decode, plan, encode."""
        try:
            result = plan_image(self._inputs(job), job.options.seed)
            log = {
                "gripper": result.json["gripper"],
                "plan_time": result.json["plan_time"],
                "n_grasps": len(result.plan.grasps),
                "reason": result.plan.reason,
            }
            return Answer(json.dumps(result.json, default=plain).encode(), log)
        except AntipodalError as error:
            fault = fault_of(error)
            return Refusal(fault.code, fault.message)
        except MemoryError:
            raise  # a new process has what this one lacks
        except Exception:  # a bug of ours costs one answer, not the worker that others wait for
            traceback.print_exc()
            return Refusal("internal", "planning failed; the server's log says how")

    def _inputs(self, job: Job) -> PlanInputs:
        options = job.options
        name, known = options.gripper or self.default, ", ".join(sorted(self.grippers))
        if name is None:
            raise InvalidConfig(
                f"gripper: the request names none and the service has no default: expected one of {known}"
            )
        if name not in self.grippers:
            raise UnknownAsset(f"unknown gripper '{name}': expected one of {known}")
        hand = self.grippers[name]
        camera = camera_of(options)
        with _file(self.scratch / f"depth{job.depth_suffix}", job.depth) as path:
            image = load_depth(path, camera, options.depth_unit)
        mask = None
        if job.mask is not None:
            with _file(self.scratch / f"mask{job.mask_suffix}", job.mask) as path:
                mask = load_mask(path, image.depth.shape)
        request = request_of(options, mask)
        return PlanInputs(image, request, hand, make_policy(options.policy, self.quality, hand))


@contextmanager
def _file(path: Path, content: bytes) -> Iterator[Path]:
    """Write a file that lives as long as it is read."""
    try:
        path.write_bytes(content)
        yield path
    finally:
        path.unlink(missing_ok=True)


def load_planner(setup: Setup) -> WarmPlanner:
    """Load network and grippers, and plan once with each policy, so that the first caller does not wait.

    Raises:
        AntipodalError: a file is missing or cannot be used.
    """
    import cv2

    cv2.setNumThreads(1)  # the cores are shared out among the workers
    quality, grippers = load_quality(setup.model), {}
    given = [load_gripper(name) for name in setup.grippers]
    for hand in [*map(load_gripper, gripper_names()), *given]:
        if not is_same(grippers.setdefault(hand.name, hand), hand):
            raise InvalidConfig(
                f"gripper {hand.name}: two different ones have this name: expected different names; change 'name' in "
                "its file"
            )
    names = [hand.name for hand in given] or [quality.gripper]  # which it was trained for
    default = names[0] if len(names) == 1 and names[0] in grippers else None
    planner = WarmPlanner(quality, grippers, setup.scratch, default)
    image, hand = _box_on_a_table(), grippers[default or gripper_names()[0]]
    for name in POLICIES:
        policy = make_policy(name, quality, hand)
        plan_image(PlanInputs(image, Request(), hand, policy), seed=0)
    return planner


def main(pipe: Connection) -> None:
    """Answer jobs from the pipe until it closes."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    setup: Setup = pipe.recv()
    try:
        planner = load_planner(setup)
    except (AntipodalError, OSError) as error:
        pipe.send(error if isinstance(error, AntipodalError) else InvalidConfig(str(error)))
        return
    pipe.send(Ready(tuple(sorted(planner.grippers))))
    while True:
        try:
            job = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        pipe.send(planner.answer(job))


def _box_on_a_table() -> DepthImage:
    """A block of 40 × 40 × 40 mm in the middle of a table at 0.7 m, seen from above."""
    intrinsics = CameraIntrinsics(525.0, 525.0, 159.5, 119.5, 320, 240)
    depth = np.full((240, 320), 0.7, np.float32)
    depth[104:136, 144:176] = 0.66
    return DepthImage(depth, intrinsics)
