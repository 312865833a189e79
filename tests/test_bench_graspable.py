"""The cache of the oracle's verdicts: one that was made on other ground is not taken for this scene's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from antipodal import collision, contact, metrics, pads, robust, sampling, success
from antipodal.bench import graspable, oracle
from antipodal.bench.graspable import FREE_SHARE, Graspable, judge
from antipodal.bench.oracle import OracleGrasps
from antipodal.bench.scenes import CAMERAS, TrialScene, draw_trial
from antipodal.dataset import epsilon
from antipodal.dataset.schema import SUCCESS_THRESHOLD
from antipodal.grasp import Grasp
from antipodal.gripper import load_gripper
from antipodal.stable_pose import stable_poses
from conftest import box

YUMI = load_gripper("yumi")
MESH = box(0.03, 0.03, 0.05)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The density of the mesh of each question that reaches the oracle."""
    found: list[float] = []

    def answer(mesh, *_) -> OracleGrasps:
        found.append(mesh.density)
        return OracleGrasps(Grasp(np.eye(4)[None], np.zeros(1)), np.ones(1), np.ones(1))

    monkeypatch.setattr(graspable, "oracle_grasps", answer)
    return found


def trial(density: float = 500.0) -> TrialScene:
    mesh = replace(MESH, density=density)
    return draw_trial(mesh, stable_poses(mesh), 0, 0, CAMERAS["dexnet"])


@pytest.mark.parametrize(
    ("robust_epsilon", "free", "verdict"),
    [
        (SUCCESS_THRESHOLD * 1.01, FREE_SHARE, True),
        (SUCCESS_THRESHOLD, 1.0, False),
        (1.0, FREE_SHARE - 0.01, False),
        (0.0, 1.0, False),
    ],
)
def test_a_scene_is_graspable_by_a_grasp_that_is_robust_and_free(
    robust_epsilon: float, free: float, verdict: bool
) -> None:
    assert Graspable(robust_epsilon, free).graspable is verdict


def test_the_same_scene_is_asked_once_and_one_of_another_weight_again(
    asked: list[float], tmp_path: Path
) -> None:
    for density in (500.0, 500.0, 900.0, 500.0):
        assert judge(trial(density), YUMI, tmp_path) == Graspable(1.0, 1.0)
    assert asked == [500.0, 900.0]


@pytest.mark.parametrize(
    "module",
    [oracle, success, pads, collision, robust, epsilon, metrics, contact, sampling],
    ids=lambda module: module.__name__,
)
def test_a_verdict_by_other_code_is_asked_for_again(
    module, asked: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(trial(), YUMI, tmp_path / "cache")
    changed = tmp_path / "changed.py"
    changed.write_text(Path(module.__file__).read_text() + "# changed\n")
    monkeypatch.setattr(module, "__file__", str(changed))
    judge(trial(), YUMI, tmp_path / "cache")
    assert len(asked) == 2
