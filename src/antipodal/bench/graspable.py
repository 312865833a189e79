"""Whether a scene can be grasped at all: the oracle knows a grasp with robust ε over δ that comes in free as executed.

The protocol asked for a grasp free *as planned*. An oracle with a tenth of a millimetre to spare then fails by the
execution error alone (docs/benchmark.md), so that freedom is asked for under that error as robust ε is under its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import __version__, collision, contact, metrics, pads, robust, sampling, success
from ..dataset import epsilon
from ..dataset.schema import SUCCESS_THRESHOLD
from ..files import write_json
from ..gripper import GripperModel
from . import oracle
from .oracle import OracleConfig, oracle_grasps
from .scenes import TrialScene

FREE_SHARE = 0.9
"""Least P(free) of a graspable trial's best grasp."""


@dataclass(frozen=True)
class Graspable:
    """The oracle's verdict on one scene."""

    epsilon: float
    """The largest robust ε of a grasp that is free as planned; 0 without one."""
    free_share: float
    """The largest P(free) of those over the threshold δ; 0 without one."""

    @property
    def graspable(self) -> bool:
        """A grasp with ε > δ that nine in ten displaced approaches reach free."""
        return self.epsilon > SUCCESS_THRESHOLD and self.free_share >= FREE_SHARE


def judge(trial: TrialScene, gripper: GripperModel, cache: Path | None = None) -> Graspable:
    """Ask the oracle, or the verdict that an earlier run left in ``cache`` on the very same scene."""
    path = None if cache is None else cache / f"oracle-{_key(trial, gripper)}.json"
    if path is not None and path.is_file():
        return Graspable(**json.loads(path.read_text()))
    scene = trial.scene
    found = oracle_grasps(scene.mesh, scene.T_world_obj, gripper, trial.rng("oracle"))
    free = found.free_share[found.robust_epsilon > SUCCESS_THRESHOLD]
    verdict = Graspable(float(found.robust_epsilon.max(initial=0.0)), float(free.max(initial=0.0)))
    if path is not None:
        write_json(asdict(verdict), path)
    return verdict


def _key(trial: TrialScene, gripper: GripperModel) -> str:
    """Hash of all that the verdict depends on."""
    digest = hashlib.sha256(f"{__version__} {OracleConfig()} {gripper}".encode())
    for module in (oracle, success, pads, collision, robust, epsilon, metrics, contact, sampling):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(repr(success.hold_model()).encode())
    mesh = trial.scene.mesh
    digest.update(f"{mesh.content_hash} {mesh.density}".encode())
    digest.update(trial.scene.T_world_obj.tobytes())
    digest.update(repr(trial.entropy).encode())
    return digest.hexdigest()[:32]
