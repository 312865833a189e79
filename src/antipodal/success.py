"""P(success) of a grasp as it will be executed: the hand comes in free, and what it closes on is held.

    P(success) = P(free) · P(hold)

The paper's label asks whether the hand comes in free *as planned* and whether robust ε exceeds δ [Mahler17 §IV-B2].
Executed with 2 mm of error, the first is not enough (a tenth of a millimetre beside a finger counts as free), and the
second is both too strict (it averages over 5 mm of object motion) and too lax (μ up to 1 holds an inclined face that
slips at 0.5). P(free) is a Monte-Carlo mean over the execution error. P(hold) is a logistic function of robust ε with
the paper's μ and with a trial's, and of what finite pads do under the execution error (:mod:`antipodal.pads`), fitted
to simulated lifts of training objects by ``runs/hold_model.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from . import transforms
from .collision import CollisionConfig, approach_is_free
from .contact import PAPER_CONTACT_MODEL
from .errors import InvalidConfig
from .grasp import Grasp
from .gripper import GripperModel
from .mesh import TriMesh
from .metrics import Metric, ferrari_canny
from .pads import NEVER, close_pads
from .robust import PAPER_PERTURBATION, robust
from .values import AT_LEAST_ONE, expect

GRAVITY = 9.81
"""m/s²."""
TORQUE_FLOOR = 0.05
"""Added to a torque before its logarithm, N·m: what two soft pads hold at low friction."""
EXECUTED_APPROACH = CollisionConfig(rule="zero", table_offset=0.0)
"""What is executed: the approach as given, and not a hair into the table."""
FEATURES = (
    "log_epsilon",
    "log_epsilon_at_trial_friction",
    "holds_share",
    "log_required_friction",
    "separation",
    "push_aside",
    "push_out",
    "log_torque",
)
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
    """Least and largest μ. Equal where it is known."""
    mass_bounds: tuple[float, float] = (0.03, 0.3)
    """What the object may weigh, kg: log-uniform between. Equal where it is known."""
    n_free: int = 16
    """Displaced approaches per grasp."""
    n_hold: int = 6
    """Displaced closings per grasp."""

    def __post_init__(self) -> None:
        sigmas = (self.position_sigma, self.rotation_sigma, self.friction_sigma)
        if not all(0 <= sigma < np.inf for sigma in sigmas):
            raise InvalidConfig(
                f"execution sigmas {self.position_sigma}, {self.rotation_sigma}, {self.friction_sigma}: expected ≥ 0"
            )
        expect(self, "execution", AT_LEAST_ONE, "n_free", "n_hold")
        if not 0 <= self.friction_bounds[0] <= self.friction <= self.friction_bounds[1]:
            raise InvalidConfig(
                f"execution friction {self.friction}: expected a mean within its bounds {self.friction_bounds}"
            )
        if not 0 < self.mass_bounds[0] <= self.mass_bounds[1]:
            raise InvalidConfig(
                f"execution mass_bounds {self.mass_bounds}: expected 0 < least ≤ largest, kg"
            )

    def masses(self) -> Float[np.ndarray, "M"]:
        """Masses that stand for the bounds: middles of five equal shares, kg."""
        return np.exp(np.interp(np.linspace(0.1, 0.9, 5), [0, 1], np.log(self.mass_bounds)))


EXECUTION_NOISE = ExecutionNoise()
"""The benchmark's: 2 mm, 0.5°, μ ~ N(0.5, σ = 0.1)."""


class HoldModel(NamedTuple):
    """Logistic regression on the standardised features, their squares and their products."""

    mean: Float[np.ndarray, "F"]
    scale: Float[np.ndarray, "F"]
    coefficients: Float[np.ndarray, "C"]
    """Of 1, x_i, and x_i x_j for i ≤ j, in this order."""

    def __call__(self, features: Float[np.ndarray, "*batch F"]) -> Float[np.ndarray, "*batch"]:
        """P(hold)."""
        terms = polynomial((features - self.mean) / self.scale)
        return 1 / (1 + np.exp(-np.clip(terms @ self.coefficients, -30, 30)))


class Chances(NamedTuple):
    """The two factors of P(success) of N grasps."""

    free: Float[np.ndarray, "N"]
    """P(free)."""
    hold: Float[np.ndarray, "N"]
    """P(hold), given that the hand came in free."""

    @property
    def success(self) -> Float[np.ndarray, "N"]:
        """P(success)."""
        return self.free * self.hold


def success_chances(
    mesh: TriMesh,
    T_world_obj: Float[np.ndarray, "4 4"],
    grasps_world: Grasp,
    gripper: GripperModel,
    robust_epsilon: Float[np.ndarray, "N"],
    rng: np.random.Generator,
    execution: ExecutionNoise = EXECUTION_NOISE,
    metric: Metric = ferrari_canny,
    everywhere: bool = True,
) -> Chances:
    """P(free) and P(hold) of N grasps whose robust ε is known.

    Args:
        mesh: the object.
        T_world_obj: its pose.
        grasps_world: N of them.
        gripper: the hand.
        robust_epsilon: E_Q of each.
        rng: random state.
        execution: error and friction of a trial.
        metric: ε of single grasps.
        everywhere: False saves most of the time where many are blocked: P(hold) is 0 where P(free) is.
    """
    free = free_share(mesh, T_world_obj, grasps_world, gripper, rng, execution)
    wanted = np.ones(len(free), bool) if everywhere else free > 0
    grasps_obj = grasps_world[wanted].in_frame(transforms.inverse(T_world_obj))
    hold = np.zeros(len(free))
    hold[wanted] = hold_probability(
        mesh, grasps_obj, gripper, np.asarray(robust_epsilon)[wanted], rng, execution, metric
    )
    return Chances(free, hold)


def free_share(
    mesh: TriMesh,
    T_world_obj: Float[np.ndarray, "4 4"],
    grasps_world: Grasp,
    gripper: GripperModel,
    rng: np.random.Generator,
    execution: ExecutionNoise = EXECUTION_NOISE,
) -> Float[np.ndarray, "N"]:
    """P(free): share of approaches, displaced by the execution error, that touch neither object nor table."""
    n, s = len(grasps_world), execution.n_free
    executed = displaced(grasps_world, s, rng, execution)
    free = approach_is_free(mesh, T_world_obj, executed, gripper, EXECUTED_APPROACH)
    return free.reshape(n, s).mean(-1)


def hold_probability(
    mesh: TriMesh,
    grasps_obj: Grasp,
    gripper: GripperModel,
    robust_epsilon: Float[np.ndarray, "N"],
    rng: np.random.Generator,
    execution: ExecutionNoise = EXECUTION_NOISE,
    metric: Metric = ferrari_canny,
) -> Float[np.ndarray, "N"]:
    """P(hold): the object is still in the hand after lift, carry and shake, given that the hand came in free.

    The mean over what the object may weigh.
    """
    features = hold_features(mesh, grasps_obj, gripper, robust_epsilon, rng, execution, metric)
    torque = np.exp(features[:, -1]) - TORQUE_FLOOR
    share = execution.masses() / np.clip(mesh.mass, *execution.mass_bounds)
    features = features[:, None].repeat(len(share), 1)
    features[..., -1] = np.log(torque[:, None] * share + TORQUE_FLOOR)
    return hold_model()(features).mean(-1)


def hold_features(
    mesh: TriMesh,
    grasps_obj: Grasp,
    gripper: GripperModel,
    robust_epsilon: Float[np.ndarray, "N"],
    rng: np.random.Generator,
    execution: ExecutionNoise = EXECUTION_NOISE,
    metric: Metric = ferrari_canny,
) -> Float[np.ndarray, "N F"]:
    """What P(hold) depends on, in the order of :data:`FEATURES`.

    log10 of robust ε, with the paper's μ and with a trial's; share of displaced closings and frictions that hold; log
    of the median friction that a displaced closing requires; distance of the pads as planned, m; how much
    displaced closings drive the object aside and out below, on the mean of those that touch; log of the torque of the
    mesh's own weight about the pads.

    Args:
        mesh: the object.
        grasps_obj: N of them.
        gripper: the hand.
        robust_epsilon: E_Q of each, with the paper's friction.
        rng: random state.
        execution: error and friction of a trial.
        metric: ε of single grasps; ``dataset.epsilon`` has a faster one.
    """
    n, s = len(grasps_obj), execution.n_hold
    planned = close_pads(mesh, grasps_obj, gripper)
    moved = close_pads(mesh, displaced(grasps_obj, s, rng, execution), gripper)
    required = moved.required_friction.reshape(n, s)
    holds = _friction_above(required, execution).mean(-1)
    touches = (moved.separation > 0).reshape(n, s, 1)
    push = np.stack([np.abs(moved.push[:, 0]), moved.push[:, 1]], -1).reshape(n, s, 2)
    mean_push = (push * touches).sum(1) / np.maximum(touches.sum(1), 1)
    contacts = replace(
        PAPER_CONTACT_MODEL, contact_radius=gripper.contact_radius, friction=execution.friction
    )
    noise = replace(
        PAPER_PERTURBATION,
        friction=execution.friction_sigma,
        friction_bounds=execution.friction_bounds,
    )
    mass = np.clip(mesh.mass, *execution.mass_bounds)
    trial = robust(metric, mesh, grasps_obj, rng, noise, contacts).mean
    return np.column_stack(
        [
            _log_epsilon(np.asarray(robust_epsilon, float)),
            _log_epsilon(trial),
            holds,
            np.log(np.clip(np.median(required, -1), 0.02, NEVER)),
            planned.separation,
            *mean_push.T,
            np.log(GRAVITY * mass * planned.lever + TORQUE_FLOOR),
        ]
    )


def displaced(
    grasps: Grasp, n: int, rng: np.random.Generator, execution: ExecutionNoise = EXECUTION_NOISE
) -> Grasp:
    """Each grasp n times, in turn, with an execution error."""
    poses = np.broadcast_to(grasps.pose[:, None], (len(grasps), n, 4, 4))
    pose = execution_error(poses, execution.position_sigma, execution.rotation_sigma, rng)
    return Grasp(pose.reshape(-1, 4, 4), np.repeat(grasps.width, n))


def execution_error(
    T_parent_grasp: transforms.Transform,
    position_sigma: float,
    rotation_sigma: float,
    rng: np.random.Generator,
) -> transforms.Transform:
    """Displace the hand by normal errors, m and rad: position in the parent's axes, rotation vector in the grasp's own.

    What a trial executes and what P(success) expects. Leading axes of the poses are batch axes.
    """
    shape = (*T_parent_grasp.shape[:-2], 3)
    t = rng.normal(size=shape) * position_sigma
    r = rng.normal(size=shape) * rotation_sigma
    R = T_parent_grasp[..., :3, :3] @ transforms.exp_so3(r)
    return transforms.from_rt(R, T_parent_grasp[..., :3, 3] + t)


def polynomial(x: Float[np.ndarray, "*batch F"]) -> Float[np.ndarray, "*batch C"]:
    """1, x_i, x_i x_j (i ≤ j)."""
    i, j = np.triu_indices(x.shape[-1])
    return np.concatenate([np.ones_like(x[..., :1]), x, x[..., i] * x[..., j]], -1)


@lru_cache(maxsize=1)
def hold_model() -> HoldModel:
    """Load the fitted model that ships with the package."""
    file = resources.files("antipodal") / "assets" / "models" / "hold.json"
    values = json.loads(file.read_text())
    return HoldModel(*(np.array(values[name]) for name in HoldModel._fields))


def _log_epsilon(epsilon: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    return np.log10(epsilon + 1e-4)


def _friction_above(required: np.ndarray, execution: ExecutionNoise) -> np.ndarray:
    """P(μ ≥ required) for the truncated normal μ of a trial."""
    from scipy.special import ndtr  # compiled

    low, high = execution.friction_bounds
    if execution.friction_sigma == 0 or low == high:
        return (required <= execution.friction).astype(float)
    a, b, x = (
        ndtr((v - execution.friction) / execution.friction_sigma)
        for v in (low, high, np.clip(required, low, high))
    )
    return (b - x) / (b - a)
