"""From files to a plan: what ``antipodal plan`` does, as two functions."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
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
from .policy.constraints import DEFAULT_CONSTRAINTS
from .policy.reasons import REJECTIONS, STAGES
from .policy.repair import DEFAULT_REPAIR, RepairConfig
from .policy.request import Asked, Request, as_request
from .quality import Precision, load_quality
from .values import check_seed
from .waypoints import waypoints


@dataclass(frozen=True, eq=False)
class PlanInputs:
    """Everything that a plan needs, loaded and checked."""

    image: DepthImage
    asked: Asked
    gripper: GripperModel
    policy: Policy

    @property
    def mask(self) -> Bool[np.ndarray, "H W"] | None:
        """The object's mask, if one is given."""
        return as_request(self.asked).mask


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
    request: Request | None = None,
    mend: RepairConfig = DEFAULT_REPAIR,
    cut_away: bool = False,
    precision: Precision = "float32",
) -> PlanInputs:
    """Load the files of a plan.

    Args:
        depth: the depth image.
        camera: preset or file.
        mask: image of the object, or None.
        gripper: name or file.
        model: "builtin" or an ONNX file.
        policy: "auto", or a key of :data:`~antipodal.policy.POLICIES`.
        depth_unit: metres per count of a 16-bit image.
        request: what is asked besides the mask.
        mend: what is mended in the image.
        cut_away: whether depth is missing because the background was cut away: fingers may then go there.
        precision: what the network computes in.

    Raises:
        AntipodalError: one of them is missing or cannot be used.
    """
    hand = load_gripper(gripper)
    image = load_depth(depth, camera, depth_unit)
    request = request or Request()
    if mask is not None:
        request = replace(request, mask=load_mask(mask, image.depth.shape))
    # missing depth is unknown, not free, unless it is said that nothing was there
    constraints = replace(DEFAULT_CONSTRAINTS, max_unseen=1.0) if cut_away else DEFAULT_CONSTRAINTS
    network = load_quality(model, precision)
    planner = make_policy(policy, network, hand, mend=mend, constraints=constraints)
    return PlanInputs(image, request, hand, planner)


def plan_image(inputs: PlanInputs, seed: int, repeat: int = 1) -> PlanResult:
    """Plan ``repeat`` times with the same seed; the time is the median."""
    if repeat < 1:
        raise InvalidConfig(f"repeat = {repeat}: expected at least 1")
    check_seed(seed)
    times, plans = [], []
    for _ in range(repeat):
        start = time.perf_counter()
        plans.append(inputs.policy(inputs.image, inputs.asked, np.random.default_rng(seed)))
        times.append(time.perf_counter() - start)
    plan, plan_time = plans[-1], float(np.median(times))
    values = {
        "gripper": inputs.gripper.name,
        **plan.to_json(inputs.image.intrinsics),
        "plan_time": plan_time,
        "waypoints": plan_waypoints(plan, inputs),
    }
    text = describe(plan, plan_time)
    if inputs.image.T_world_camera is None:
        text += f"\n{NO_POSE}"
    return PlanResult(plan, values, text)


def plan_waypoints(plan: Plan, inputs: PlanInputs) -> dict[str, Any] | None:
    """Return the flange's way to the best grasp as JSON, in the world if the camera's pose is known; None if empty."""
    if len(plan.grasps) == 0:
        return None
    grasp = plan.best.to_grasp(inputs.image.intrinsics, plan.approach_axis)
    T_world_camera = inputs.image.T_world_camera
    way = waypoints(grasp, inputs.gripper, T_world_camera)
    return {"frame": "camera" if T_world_camera is None else "world", **way.to_json()}


DOUBT = "it is more likely to fail than to hold"
"""Said of a plan whose best grasp has q < ½."""
ADVICE = "lay the object another way, or take a hand that opens wider"
"""Said with it, unless the plan's warnings name what may be the cause."""
NO_POSE = "no T_world_camera is known: the grasps and the way to them are in the camera's frame"
"""Said of a plan without the camera's pose, which a file may hold under a name that is not read."""


def describe(plan: Plan, plan_time: float) -> str:
    """Say a plan in words: the best grasp or why there is none, the way to it, what was rejected for what."""
    counts = plan.counts
    steps = [f"{counts[name]} {words}" for name, words in STAGES.items() if name in counts]
    lines = [" → ".join(steps)]
    met = {name: counts.get(name, 0) for name in REJECTIONS}
    worst_first = sorted((name for name in met if met[name]), key=lambda name: -met[name])
    if worst_first:
        lines.append("rejected:")
        lines += [f"  {met[name]:6d} {REJECTIONS[name]}" for name in worst_first]
    mended = {"flying_px": "flying pixels dropped", "filled_px": "missing pixels filled"}
    lines += [f"{counts[name]} {words}" for name, words in mended.items() if name in counts]
    if len(plan.grasps) == 0:
        return "\n".join([f"no grasp: {plan.reason}", *plan.warnings, *lines])
    g = plan.best
    best = (
        f"grasp at pixel ({g.center_px[0]:.1f}, {g.center_px[1]:.1f}), angle {np.degrees(g.angle):.1f}°, "
        f"depth {g.depth:.4f} m, opening {g.width:.3f} m, q = {plan.quality[0]:.3f}, "
        f"in {plan_time * 1e3:.0f} ms"
    )
    doubt = []
    if plan.quality[0] < 0.5:
        doubt = [DOUBT if plan.warnings else f"{DOUBT}: {ADVICE}"]
    return "\n".join([best, *doubt, *plan.warnings, *lines])
