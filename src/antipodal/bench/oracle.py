"""The best grasp that the label knows: robust ε on the true mesh and pose. The ceiling of every planner.

    antipodal pairs, from above, at several heights ─▶ collision-free ─▶ E_Q > δ ─▶ best by P(success)

E_Q is the paper's robust ε [Mahler17, §IV-A1] and δ its threshold: they say what may be chosen. The order is another
question. The label asks whether the hand comes in free *as planned*, so that the grasp with the largest E_Q often has a
tenth of a millimetre to spare beside a finger. So the oracle takes the grasp most likely to succeed as it will be
executed, P(success) = P(free) · P(hold) (:mod:`antipodal.success`). Frame: ``world``, table z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .. import transforms
from ..alignment import MAX_APPROACH_TABLE_ANGLE
from ..collision import approach_is_free
from ..dataset.epsilon import fast_ferrari_canny
from ..dataset.schema import SUCCESS_THRESHOLD
from ..errors import InvalidConfig
from ..grasp import Grasp
from ..gripper import GripperModel
from ..mesh import TriMesh
from ..robust import robust_epsilon
from ..sampling import sample_antipodal
from ..success import EXECUTED_APPROACH, ExecutionNoise, success_chances

DOWN = np.array([0.0, 0.0, -1.0])
"""Approach of every candidate, world frame, as nearly as its closing axis lets it."""
VARIANT_SHIFT = np.array([0.002, 0.004, 0.004])
"""Standard deviation of a variant's displacement along its own axes, m: half a jaw's reach."""
VARIANT_TURN = float(np.deg2rad(6.0))
"""Of its turn about the approach axis, rad."""


@dataclass(frozen=True)
class OracleConfig:
    """How hard to look."""

    n_grasps: int = 400
    """Antipodal pairs asked for; those that close parallel to the table stay."""
    heights: tuple[float, ...] = (0.0, 0.002, 0.004, 0.006, 0.009, 0.013, 0.018, 0.024)
    """Each pair is tried at these heights above its centre, and above the lowest position over the table, m."""
    n_scored: int = 200
    """Free candidates, drawn at random, of which E_Q is computed."""
    n_executed: int = 40
    """Of them, the best by E_Q, of which the chances are computed; the others are left out."""
    n_parents: int = 6
    """So many of the best are moved a little, for more room or a better hold."""
    n_variants: int = 15
    """Of each parent."""
    execution: ExecutionNoise = field(default_factory=lambda: ExecutionNoise(n_free=96, n_hold=24))
    """The error that is expected; of few displaced approaches the luckiest grasp is chosen, not the freest."""

    def __post_init__(self) -> None:
        counts = (self.n_grasps, self.n_scored, self.n_executed)
        if min(counts) < 1 or min(self.n_parents, self.n_variants) < 0:
            raise InvalidConfig(f"oracle counts {counts}: expected positive counts")
        if not self.heights or min(self.heights) < 0:
            raise InvalidConfig(f"oracle heights {self.heights}: expected m, none negative")


DEFAULT_ORACLE = OracleConfig()


class OracleGrasps(NamedTuple):
    """Collision-free grasps, best first."""

    grasps_world: Grasp
    """(N)."""
    robust_epsilon: Float[np.ndarray, "N"]
    """E_Q of each: not descending."""
    free_share: Float[np.ndarray, "N"]
    """P(free) of each; 0 where it was not asked for, E_Q ≤ δ."""


def oracle_grasps(
    mesh: TriMesh,
    T_world_obj: Float[np.ndarray, "4 4"],
    gripper: GripperModel,
    rng: np.random.Generator,
    config: OracleConfig = DEFAULT_ORACLE,
) -> OracleGrasps:
    """Rank collision-free grasps from above: those with E_Q > δ by P(success), then the others by E_Q.

    Empty where no antipodal pair fits between the jaws, lies parallel to the table and can be reached.

    Args:
        mesh: the object.
        T_world_obj: its settled pose.
        gripper: the hand, approaching fully open.
        rng: random state.
        config: how hard to look.
    """
    scene = _Known(mesh, T_world_obj, gripper, rng, config)
    first = _ranked(scene, candidates_from_above(mesh, T_world_obj, gripper, rng, config))
    parents = first.grasps[: config.n_parents][first.chance[: config.n_parents] > 0]
    variants = nudged(parents, config.n_variants, VARIANT_SHIFT, VARIANT_TURN, gripper, rng)
    second = _ranked(scene, variants)
    grasps = Grasp(
        np.concatenate([first.grasps.pose, second.grasps.pose]),
        np.concatenate([first.grasps.width, second.grasps.width]),
    )
    epsilon = np.concatenate([first.epsilon, second.epsilon])
    free = np.concatenate([first.free, second.free])
    order = np.lexsort([-epsilon, -np.concatenate([first.chance, second.chance])])
    return OracleGrasps(grasps[order], epsilon[order], free[order])


def candidates_from_above(
    mesh: TriMesh,
    T_world_obj: Float[np.ndarray, "4 4"],
    gripper: GripperModel,
    rng: np.random.Generator,
    config: OracleConfig = DEFAULT_ORACLE,
) -> Grasp:
    """Draw antipodal grasps that close parallel to the table within 5° and come from above, at several heights.

    A pair so low that the finger tips would touch the table is raised until they clear it by each of the heights.
    """
    pairs = sample_antipodal(mesh, gripper, config.n_grasps, rng).in_frame(T_world_obj)
    pairs = pairs[np.abs(pairs.closing_axis[:, 2]) < np.sin(MAX_APPROACH_TABLE_ANGLE)]
    down = np.broadcast_to(DOWN, pairs.center.shape)
    above = Grasp.from_axes(pairs.center, pairs.closing_axis, down, gripper.max_width)
    poses = []
    for height in config.heights:
        raised = np.array(above.pose)
        lowest = gripper.tip_overhang + height
        is_low = raised[:, 2, 3] < gripper.tip_overhang
        raised[:, 2, 3] = np.where(is_low, lowest, raised[:, 2, 3] + height)
        poses.append(raised)
    return Grasp(np.concatenate(poses), np.full(len(poses) * len(above), gripper.max_width))


def nudged(
    grasps_world: Grasp,
    n: int,
    shift: Float[np.ndarray, "3"],
    turn: float,
    gripper: GripperModel,
    rng: np.random.Generator,
) -> Grasp:
    """Each grasp n times, in turn, moved along its own axes and turned about its approach; never below the table.

    Args:
        grasps_world: what is moved.
        n: how often.
        shift: standard deviation along each axis of the grasp, m.
        turn: of the angle about the approach, rad.
        gripper: whose tips stay above the table.
        rng: random state.
    """
    shape = (len(grasps_world), n)
    moved = transforms.translation(rng.normal(size=(*shape, 3)) * shift)
    poses = grasps_world.pose[:, None] @ moved @ transforms.rot_z(rng.normal(size=shape) * turn)
    poses[..., 2, 3] = np.maximum(poses[..., 2, 3], gripper.tip_overhang)
    return Grasp(poses.reshape(-1, 4, 4), np.repeat(grasps_world.width, n))


def label_epsilon(
    mesh: TriMesh,
    T_world_obj: Float[np.ndarray, "4 4"],
    grasps_world: Grasp,
    gripper: GripperModel,
    rng: np.random.Generator,
) -> Float[np.ndarray, "N"]:
    """Robust ε of N grasps as the data set's label has it."""
    grasps_obj = grasps_world.in_frame(transforms.inverse(T_world_obj))
    return robust_epsilon(mesh, grasps_obj, gripper, rng, metric=fast_ferrari_canny).mean


class _Known(NamedTuple):
    """What the oracle knows."""

    mesh: TriMesh
    T_world_obj: Float[np.ndarray, "4 4"]
    gripper: GripperModel
    rng: np.random.Generator
    config: OracleConfig


class _Ranked(NamedTuple):
    grasps: Grasp
    epsilon: Float[np.ndarray, "N"]
    free: Float[np.ndarray, "N"]
    """P(free) where E_Q > δ, else 0."""
    chance: Float[np.ndarray, "N"]
    """P(success) where E_Q > δ, else 0."""


def _ranked(scene: _Known, candidates: Grasp) -> _Ranked:
    """Judge those candidates that come in free as planned; the best first."""
    mesh, T_world_obj, gripper, rng, config = scene
    free = approach_is_free(mesh, T_world_obj, candidates, gripper, EXECUTED_APPROACH)
    chosen = rng.permutation(np.flatnonzero(free))[: config.n_scored]
    epsilon = label_epsilon(mesh, T_world_obj, candidates[chosen], gripper, rng)
    best = np.argsort(-epsilon, kind="stable")[: config.n_executed]
    grasps, epsilon = candidates[chosen[best]], epsilon[best]
    robust_enough = epsilon > SUCCESS_THRESHOLD
    share, chance = np.zeros(len(grasps)), np.zeros(len(grasps))
    chances = success_chances(
        mesh,
        T_world_obj,
        grasps[robust_enough],
        gripper,
        epsilon[robust_enough],
        rng,
        _weighed(config.execution, mesh),
        fast_ferrari_canny,
    )
    share[robust_enough], chance[robust_enough] = chances.free, chances.success
    order = np.lexsort([-epsilon, -chance])
    return _Ranked(grasps[order], epsilon[order], share[order], chance[order])


def _weighed(execution: ExecutionNoise, mesh: TriMesh) -> ExecutionNoise:
    """The oracle knows what the object weighs."""
    mass = float(np.clip(mesh.mass, *execution.mass_bounds))
    return replace(execution, mass_bounds=(mass, mass))
