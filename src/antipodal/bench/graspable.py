"""Whether a scene can be grasped at all: the oracle knows a collision-free grasp above the label's threshold in it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import __version__
from ..dataset.schema import SUCCESS_THRESHOLD
from ..files import write_json
from ..gripper import GripperModel
from . import oracle
from .oracle import OracleConfig, oracle_grasps
from .scenes import TrialScene


@dataclass(frozen=True)
class Graspable:
    """The oracle's verdict on one scene."""

    epsilon: float
    """Robust ε of its best collision-free grasp; 0 without one."""

    @property
    def graspable(self) -> bool:
        """Over the label's threshold."""
        return self.epsilon > SUCCESS_THRESHOLD


def judge(trial: TrialScene, gripper: GripperModel, cache: Path | None = None) -> Graspable:
    """Ask the oracle, or the verdict that an earlier run left in ``cache`` on the very same scene."""
    path = None if cache is None else cache / f"oracle-{_key(trial, gripper)}.json"
    if path is not None and path.is_file():
        return Graspable(json.loads(path.read_text())["epsilon"])
    scene = trial.scene
    found = oracle_grasps(scene.mesh, scene.T_world_obj, gripper, trial.rng("oracle"))
    verdict = Graspable(float(max(found[1], default=0.0)))
    if path is not None:
        write_json(asdict(verdict), path)
    return verdict


def _key(trial: TrialScene, gripper: GripperModel) -> str:
    """Hash of all that the verdict depends on."""
    digest = hashlib.sha256(f"{__version__} {OracleConfig()} {gripper}".encode())
    digest.update(Path(oracle.__file__).read_bytes())
    digest.update(trial.scene.mesh.content_hash.encode())
    digest.update(trial.scene.T_world_obj.tobytes())
    digest.update(repr(trial.entropy).encode())
    return digest.hexdigest()[:32]
