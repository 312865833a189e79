"""P(success) of a grasp as it will be executed: the hand comes in free, and what it closes on is held.

    P(success) = P(free) · P(hold)

The paper's label asks whether the hand comes in free *as planned* and whether robust ε exceeds δ [Mahler17 §IV-B2].
Executed with 2 mm of error, the first is not enough (a tenth of a millimetre beside a finger counts as free), and the
second is too strict (it averages over 5 mm of object motion and μ from 0 to 1). P(free) is a Monte-Carlo mean over the
execution error. P(hold) is a logistic function of robust ε and of what finite pads do under the same error
(:mod:`antipodal.pads`), fitted to simulated lifts of training objects by ``runs/hold_model.py``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from . import transforms
from .collision import CollisionConfig, approach_is_free
from .errors import InvalidConfig
from .grasp import Grasp
from .gripper import GripperModel
from .mesh import TriMesh
from .pads import NEVER, close_pads

EXECUTED_APPROACH = CollisionConfig(rule="zero", table_offset=0.0)
"""What is executed: the approach as given, and not a hair into the table."""
FEATURES = ("log_epsilon", "holds_share", "log_required_friction", "lever", "separation")
"""What P(hold) is a function of; see :func:`hold_features`."""


@dataclass(frozen=True)
class ExecutionNoise:
    """What is not known exactly when a planned grasp is executed; standard deviations."""

    position_sigma: float = 0.002
    """Of each coordinate of the hand's position, m."""
    rotation_sigma: float = float(np.radians(0.5))
    """About each axis of the hand, rad."""
    friction: float = 0.5
    """Mean of μ."""
    friction_sigma: float = 0.1
    friction_bounds: tuple[float, float] = (0.3, 0.8)
    n_free: int = 16
    """Displaced approaches per grasp."""
    n_hold: int = 6
    """Displaced closings per grasp."""

    def __post_init__(self) -> None:
        if min(self.position_sigma, self.rotation_sigma, self.friction_sigma) < 0:
            raise InvalidConfig(
                f"execution sigmas {self.position_sigma}, {self.rotation_sigma}, {self.friction_sigma}: expected ≥ 0"
            )
        if min(self.n_free, self.n_hold) < 1:
            raise InvalidConfig(
                f"execution n_free {self.n_free}, n_hold {self.n_hold}: expected at least 1"
            )


EXECUTION_NOISE = ExecutionNoise()
"""The benchmark's: 2 mm, 0.5°, μ ~ N(0.5, 0.1)."""


class HoldModel(NamedTuple):
    """Logistic regression on the standardised features, their squares and their products."""

    mean: Float[np.ndarray, "F"]
    scale: Float[np.ndarray, "F"]
    coefficients: Float[np.ndarray, "C"]
    """Of 1, x_i, and x_i x_j for i ≤ j, in this order."""

    def __call__(self, features: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "N"]:
        """P(hold)."""
        terms = polynomial((features - self.mean) / self.scale)
        return 1 / (1 + np.exp(-np.clip(terms @ self.coefficients, -30, 30)))


def success_probability(
    mesh: TriMesh,
    T_world_obj: Float[np.ndarray, "4 4"],
    grasps_world: Grasp,
    gripper: GripperModel,
    robust_epsilon: Float[np.ndarray, "N"],
    rng: np.random.Generator,
    execution: ExecutionNoise = EXECUTION_NOISE,
) -> Float[np.ndarray, "N"]:
    """P(free) · P(hold) of N grasps whose robust ε is known."""
    free = free_share(mesh, T_world_obj, grasps_world, gripper, rng, execution)
    grasps_obj = grasps_world.in_frame(transforms.inverse(T_world_obj))
    return free * hold_probability(mesh, grasps_obj, gripper, robust_epsilon, rng, execution)


def free_share(
    mesh: TriMesh,
    T_world_obj: Float[np.ndarray, "4 4"],
    grasps_world: Grasp,
    gripper: GripperModel,
    rng: np.random.Generator,
    execution: ExecutionNoise = EXECUTION_NOISE,
    approach_distance: float = EXECUTED_APPROACH.approach_distance,
) -> Float[np.ndarray, "N"]:
    """P(free): share of approaches, displaced by the execution error, that touch neither object nor table."""
    n, s = len(grasps_world), execution.n_free
    approach = replace(EXECUTED_APPROACH, approach_distance=approach_distance)
    executed = displaced(grasps_world, s, rng, execution)
    return approach_is_free(mesh, T_world_obj, executed, gripper, approach).reshape(n, s).mean(-1)


def hold_probability(
    mesh: TriMesh,
    grasps_obj: Grasp,
    gripper: GripperModel,
    robust_epsilon: Float[np.ndarray, "N"],
    rng: np.random.Generator,
    execution: ExecutionNoise = EXECUTION_NOISE,
) -> Float[np.ndarray, "N"]:
    """P(hold): the object is still in the hand after lift, carry and shake, given that the hand came in free."""
    return hold_model()(hold_features(mesh, grasps_obj, gripper, robust_epsilon, rng, execution))


def hold_features(
    mesh: TriMesh,
    grasps_obj: Grasp,
    gripper: GripperModel,
    robust_epsilon: Float[np.ndarray, "N"],
    rng: np.random.Generator,
    execution: ExecutionNoise = EXECUTION_NOISE,
) -> Float[np.ndarray, "N F"]:
    """What P(hold) depends on, in the order of :data:`FEATURES`.

    log10 of robust ε; share of displaced closings and frictions that hold; log of the median friction that a displaced
    closing requires; lever of the weight and distance of the pads as planned, m.
    """
    n, s = len(grasps_obj), execution.n_hold
    planned = close_pads(mesh, grasps_obj, gripper)
    moved = close_pads(mesh, displaced(grasps_obj, s, rng, execution), gripper)
    required = moved.required_friction.reshape(n, s)
    holds = _friction_above(required, execution).mean(-1)
    return np.column_stack(
        [
            np.log10(np.asarray(robust_epsilon, float) + 1e-4),
            holds,
            np.log(np.clip(np.median(required, -1), 0.02, NEVER)),
            planned.lever,
            planned.separation,
        ]
    )


def displaced(
    grasps: Grasp, n: int, rng: np.random.Generator, execution: ExecutionNoise = EXECUTION_NOISE
) -> Grasp:
    """Each grasp n times, in turn, with an execution error: position in the parent's axes, rotation in its own."""
    shape = (len(grasps), n, 3)
    t = rng.normal(size=shape) * execution.position_sigma
    turn = transforms.exp_so3(rng.normal(size=shape) * execution.rotation_sigma)
    R = grasps.pose[:, None, :3, :3] @ turn
    pose = transforms.from_rt(R, grasps.center[:, None] + t)
    return Grasp(pose.reshape(-1, 4, 4), np.repeat(grasps.width, n))


def polynomial(x: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "N C"]:
    """Columns 1, x_i, x_i x_j (i ≤ j)."""
    pairs = itertools.combinations_with_replacement(range(x.shape[1]), 2)
    products = [x[:, i] * x[:, j] for i, j in pairs]
    return np.column_stack([np.ones(len(x)), x, *products])


@lru_cache(maxsize=1)
def hold_model() -> HoldModel:
    """Load the fitted model that ships with the package."""
    file = resources.files("antipodal") / "assets" / "models" / "hold.json"
    values = json.loads(file.read_text())
    return read_hold_model(values["mean"], values["scale"], values["coefficients"])


def read_hold_model(
    mean: Sequence[float], scale: Sequence[float], coefficients: Sequence[float]
) -> HoldModel:
    """Build a model from lists.

    Raises:
        InvalidConfig: lengths that do not belong to :data:`FEATURES`.
    """
    f = len(FEATURES)
    wanted = (f, f, 1 + f + f * (f + 1) // 2)
    if (len(mean), len(scale), len(coefficients)) != wanted:
        raise InvalidConfig(
            f"hold model with {len(mean)}, {len(scale)}, {len(coefficients)} numbers: expected {wanted}"
        )
    return HoldModel(np.array(mean), np.array(scale), np.array(coefficients))


def _friction_above(required: np.ndarray, execution: ExecutionNoise) -> np.ndarray:
    """P(μ ≥ required) for the truncated normal μ of a trial."""
    from scipy.special import ndtr  # compiled

    low, high = execution.friction_bounds
    if execution.friction_sigma == 0:
        return (required <= execution.friction).astype(float)
    a, b, x = (
        ndtr((v - execution.friction) / execution.friction_sigma)
        for v in (low, high, np.clip(required, low, high))
    )
    return (b - x) / (b - a)
