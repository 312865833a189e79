"""The oracle's grasps: free, robust, best first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from antipodal import transforms
from antipodal.bench.oracle import (
    DEFAULT_ORACLE,
    OracleConfig,
    _weighed,
    label_epsilon,
    oracle_grasps,
)
from antipodal.collision import approach_is_free
from antipodal.contact import find_contacts
from antipodal.errors import InvalidConfig
from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh
from antipodal.robust import robust_epsilon
from antipodal.success import EXECUTED_APPROACH, ExecutionNoise, free_share
from conftest import box, cylinder

YUMI = load_gripper("yumi")
MANY = ExecutionNoise(n_free=1000)


def standing(mesh: TriMesh, x: float = 0.0) -> np.ndarray:
    return transforms.translation([x, 0.0, -mesh.bounds[0, 2]])


@pytest.mark.parametrize("mesh", [box(0.03, 0.03, 0.05), cylinder(0.015, 0.08)])
def test_the_oracle_grasps_a_small_solid_freely_parallel_to_the_table_and_robustly(
    mesh: TriMesh, rng: np.random.Generator
) -> None:
    T_world_obj = standing(mesh, x=0.05)
    grasps, epsilon, free = oracle_grasps(mesh, T_world_obj, YUMI, rng)
    assert 0 < len(grasps) == len(epsilon) <= 2 * DEFAULT_ORACLE.n_executed
    assert epsilon[0] > 0.002
    assert approach_is_free(mesh, T_world_obj, grasps, YUMI, EXECUTED_APPROACH).all()
    assert np.abs(grasps.closing_axis[:, 2]).max() < np.sin(np.radians(5.0))
    assert grasps.approach_axis[:, 2].max() < -np.cos(np.radians(5.0))
    in_obj = grasps.in_frame(transforms.inverse(T_world_obj))
    assert find_contacts(mesh, in_obj[epsilon > 0.002]).found.all()
    assert ((free > 0) <= (epsilon > 0.002)).all()
    (first,) = free_share(mesh, T_world_obj, grasps[:1], YUMI, rng, MANY)
    assert first > 0.95
    assert free[0] == pytest.approx(first, abs=0.1)


@pytest.mark.parametrize(("kilogrammes", "known"), [(0.1, 0.1), (0.001, 0.03), (9.0, 0.3)])
def test_the_oracle_knows_what_the_object_weighs(kilogrammes: float, known: float) -> None:
    mesh = replace(box(), density=kilogrammes / box().volume)
    assert _weighed(ExecutionNoise(), mesh).mass_bounds == pytest.approx((known, known))


def test_the_epsilon_is_the_labels(rng: np.random.Generator) -> None:
    mesh = cylinder(0.015, 0.08)
    T_world_obj = standing(mesh)
    grasps, _, _ = oracle_grasps(mesh, T_world_obj, YUMI, rng)
    got = label_epsilon(mesh, T_world_obj, grasps[:5], YUMI, np.random.default_rng(3))
    in_obj = grasps[:5].in_frame(transforms.inverse(T_world_obj))
    want = robust_epsilon(mesh, in_obj, YUMI, np.random.default_rng(3)).mean
    assert got == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize(
    "mesh", [box(0.08, 0.08, 0.08), box(0.04, 0.04, 0.001)], ids=["too wide", "too flat"]
)
def test_what_cannot_be_grasped_has_no_grasp_over_the_threshold(
    mesh: TriMesh, rng: np.random.Generator
) -> None:
    _, epsilon, _ = oracle_grasps(mesh, standing(mesh), YUMI, rng)
    assert not (epsilon > 0.002).any()


def test_the_same_state_gives_the_same_grasps() -> None:
    mesh = box(0.03, 0.02, 0.05)
    a, b = (oracle_grasps(mesh, standing(mesh), YUMI, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(a.grasps_world.pose, b.grasps_world.pose)
    assert np.array_equal(a.robust_epsilon, b.robust_epsilon)


def test_a_config_without_sense_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="expected positive counts"):
        OracleConfig(n_grasps=0)
    with pytest.raises(InvalidConfig, match="heights"):
        OracleConfig(heights=(-0.01,))
