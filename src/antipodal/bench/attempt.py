"""Ask a planner for one grasp, whatever it does: an exception, nonsense or a late answer is an answer without grasp."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import numpy as np

from ..grasp import Grasp
from .planner import Observation, Planner, Ranked

MAX_REASON = 300
"""Characters kept of a reason."""
MAX_DISTANCE = 10.0
"""A grasp further than this from the world's origin, along an axis, is nonsense that no engine simulates, m."""


@dataclass(frozen=True, eq=False)
class Attempt:
    """A planner's first grasp, or why there is none."""

    grasp_world: Grasp | None
    """Single."""
    quality: float | None
    plan_time: float
    """Wall time, s."""
    reason: str = ""
    """Why there is no grasp."""


class OutOfTime(BaseException):
    """Raised inside a planner at its time limit; not an ``Exception``, so that planners do not swallow it."""


def attempt(
    planner: Planner, observation: Observation, rng: np.random.Generator, time_limit: float
) -> Attempt:
    """Plan once and take the first grasp.

    A planner is other people's code: whatever it raises becomes the reason of this trial.

    Args:
        planner: gets the mesh and the pose only if it declares that it knows them.
        observation: with everything.
        rng: random state.
        time_limit: s; interrupts Python code, not a call that never comes back to it: the pool watches over those.
    """
    shown = _shown(planner, observation)
    start = time.perf_counter()
    try:
        with _alarm(time_limit):
            ranked = planner(shown, rng)
            plan_time = time.perf_counter() - start
            if plan_time > time_limit:
                raise OutOfTime  # a planner that catches everything has caught the alarm too
            grasp, quality, reason = _first(ranked)
    except OutOfTime:
        reason = f"took longer than {time_limit:g} s"
        return Attempt(None, None, time.perf_counter() - start, reason)
    except (Exception, SystemExit) as error:  # a planner that ends its process ends its trial
        reason = f"raised {type(error).__name__}: {' '.join(str(error).split())}"
        return Attempt(None, None, time.perf_counter() - start, reason[:MAX_REASON])
    return Attempt(grasp, quality, plan_time, reason[:MAX_REASON])


def _shown(planner: Planner, observation: Observation) -> Observation:
    """Leave out what the planner must not know."""
    mesh = observation.mesh if planner.knows in ("mesh", "pose") else None
    pose = observation.T_world_obj if planner.knows == "pose" else None
    return Observation(observation.image, observation.mask, observation.gripper, mesh, pose)


def _first(ranked: Ranked) -> tuple[Grasp | None, float | None, str]:
    """Check an answer; its first grasp and quality, or the reason why there is none."""
    if not isinstance(ranked, Ranked):
        return None, None, f"answered a {type(ranked).__name__}: expected Ranked"
    grasps, quality = ranked.grasps_world, np.asarray(ranked.quality)
    if not isinstance(grasps, Grasp) or len(grasps.batch_shape) != 1:
        return (
            None,
            None,
            "answered grasps_world of another shape: expected a Grasp of batch shape (N,)",
        )
    if len(grasps) == 0:
        return None, None, str(ranked.reason or "the plan is empty")
    if quality.shape != (len(grasps),) or quality.dtype.kind not in "fiu":
        return (
            None,
            None,
            f"answered a quality of shape {quality.shape} for {len(grasps)} grasps: expected ({len(grasps)},)",
        )
    if not ((quality >= 0) & (quality <= 1)).all():
        wrong = quality[~((quality >= 0) & (quality <= 1))][0]
        return None, None, f"answered a quality of {wrong:g}: expected numbers in [0, 1]"
    first = grasps[0]  # best first: the planner may rank by more than the quality
    away = float(np.abs(first.center).max())
    if away > MAX_DISTANCE:
        return None, None, f"answered a grasp {away:.3g} m away: expected within {MAX_DISTANCE:g} m"
    return first, float(quality[0]), ""


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise :class:`OutOfTime` after a while; only the main thread of a process can."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)
