"""From files to a plan: what ``antipodal plan`` does, as two functions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from .camera import DepthImage
from .camera_files import load_depth, load_mask
from .errors import InvalidConfig
from .gripper import GripperModel, load_gripper
from .policy import make_policy
from .policy.base import Plan, Policy
from .quality import load_quality
from .values import check_seed


@dataclass(frozen=True, eq=False)
class PlanInputs:
    """Everything that a plan needs, loaded and checked."""

    image: DepthImage
    mask: Bool[np.ndarray, "H W"] | None
    gripper: GripperModel
    policy: Policy


class PlanResult(NamedTuple):
    """A plan with its time, as a value, as JSON and in words."""

    plan: Plan
    json: dict[str, Any]
    text: str


def read_inputs(
    depth: str | Path,
    camera: str | Path,
    mask: str | Path | None,
    gripper: str | Path,
    model: str | Path,
    policy: str,
    depth_unit: float | None,
) -> PlanInputs:
    """Load the files of a plan.

    Raises:
        AntipodalError: one of them is missing or cannot be used.
    """
    hand = load_gripper(gripper)
    image = load_depth(depth, camera, depth_unit)
    mask_array = None if mask is None else load_mask(mask, image.depth.shape)
    name = "cem" if policy == "auto" else policy
    return PlanInputs(image, mask_array, hand, make_policy(name, load_quality(model), hand))


def plan_image(inputs: PlanInputs, seed: int, repeat: int = 1) -> PlanResult:
    """Plan ``repeat`` times with the same seed; the time is the median."""
    if repeat < 1:
        raise InvalidConfig(f"repeat = {repeat}: expected at least 1")
    check_seed(seed)
    times, plans = [], []
    for _ in range(repeat):
        start = time.perf_counter()
        plans.append(inputs.policy(inputs.image, inputs.mask, np.random.default_rng(seed)))
        times.append(time.perf_counter() - start)
    plan, plan_time = plans[-1], float(np.median(times))
    values = {**plan.to_json(inputs.image.intrinsics), "plan_time": plan_time}
    return PlanResult(plan, values, describe(plan, plan_time))


def describe(plan: Plan, plan_time: float) -> str:
    """Say a plan in two lines: the best grasp, and what became of the candidates; or why there is none."""
    counts = ", ".join(f"{v} {k.replace('_', ' ')}" for k, v in plan.counts.items())
    if len(plan.grasps) == 0:
        return f"no grasp: {plan.reason}\n{counts}"
    g = plan.best
    return (
        f"grasp at pixel ({g.center_px[0]:.1f}, {g.center_px[1]:.1f}), angle {np.degrees(g.angle):.1f}°, "
        f"depth {g.depth:.4f} m, opening {g.width:.3f} m, q = {plan.quality[0]:.3f}, "
        f"in {plan_time * 1e3:.0f} ms\n{counts}"
    )
