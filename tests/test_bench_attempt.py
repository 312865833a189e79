"""Whatever a planner does, the attempt is a value; and a planner sees only what it declares to know."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import bench_planners
from antipodal import transforms
from antipodal.bench.attempt import attempt
from antipodal.bench.planner import (
    FunctionPlanner,
    Knows,
    Observation,
    Ranked,
    image_planner,
    no_grasp,
)
from antipodal.bench.rows import make_planner
from antipodal.errors import InvalidConfig, UnknownAsset
from antipodal.grasp import Grasp
from antipodal.gripper import load_gripper
from antipodal.render.depth import render
from antipodal.render.scene import CameraDistribution, sample_scene
from antipodal.stable_pose import stable_poses
from conftest import box

YUMI = load_gripper("yumi")


@pytest.fixture(scope="module")
def observation() -> Observation:
    mesh = box(0.03, 0.07, 0.025)
    camera = CameraDistribution(width=320, height=240, focal_px=(262.0, 262.0), recenter=False)
    scene = sample_scene(mesh, stable_poses(mesh)[0], np.random.default_rng(0), camera)
    image, mask = render(scene)
    return Observation(image, mask, YUMI, mesh, scene.T_world_obj)


def answering(ranked: object) -> FunctionPlanner:
    return FunctionPlanner(lambda seen, rng: ranked)  # type: ignore[arg-type,return-value]


def tried(planner: FunctionPlanner, seen: Observation, limit: float = 5.0):
    return attempt(planner, seen, np.random.default_rng(0), limit)


POSES = np.stack([np.eye(4), transforms.translation([0.0, 0.0, 0.1])])


def test_the_first_grasp_is_taken(observation: Observation) -> None:
    grasps = Grasp(POSES, np.array([0.05, 0.04]))
    made = tried(answering(Ranked(grasps, np.array([0.9, 0.9]))), observation)
    assert made.grasp_world is not None
    assert (made.quality, float(made.grasp_world.width), made.reason) == (0.9, 0.05, "")
    assert made.plan_time >= 0


@pytest.mark.parametrize(
    ("ranked", "said"),
    [
        (None, "answered a NoneType: expected Ranked"),
        (no_grasp("nothing in reach"), "nothing in reach"),
        (
            Ranked(Grasp(POSES, np.full(2, 0.05)), np.array([0.5])),
            "quality of shape (1,) for 2 grasps",
        ),
        (
            Ranked(Grasp(POSES, np.full(2, 0.05)), np.array([0.5, np.nan])),
            "answered a quality of nan",
        ),
        (Ranked(Grasp(POSES, np.full(2, 0.05)), np.array([1.5, 0.1])), "answered a quality of 1.5"),
        (Ranked(Grasp(POSES, np.full(2, 0.05)), np.array(["a", "b"])), "quality of shape"),
        (Ranked(Grasp(POSES, np.full(2, 0.05)), [[0.5], [0.1, 0.2]]), "raised ValueError"),  # type: ignore[arg-type]
        (
            Ranked(
                Grasp(transforms.translation([0.0, 0.0, 1e300])[None], np.array([0.05])),
                np.array([0.5]),
            ),
            "answered a grasp 1e+300 m away: expected within 10 m",
        ),
        (no_grasp(404), "404"),  # type: ignore[arg-type]
        (
            Ranked(Grasp(POSES[0], np.array(0.05)), np.array([0.5])),
            "expected a Grasp of batch shape",
        ),
    ],
)
def test_nonsense_is_no_grasp_with_its_reason(
    observation: Observation, ranked: object, said: str
) -> None:
    made = tried(answering(ranked), observation)
    assert made.grasp_world is None and made.quality is None
    assert said in made.reason


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (bench_planners.raises, "raised KeyError: 'no such thing'"),
        (bench_planners.exits, "raised SystemExit: 4"),
        (bench_planners.not_a_number, "plan quality has 1 non-finite entries"),
        (bench_planners.sleeps, "took longer than 0.3 s"),
        (bench_planners.stubborn, "took longer than 0.3 s"),
    ],
)
def test_an_outsiders_failure_is_a_reason(
    observation: Observation, function: Callable[..., object], said: str
) -> None:
    limit = 0.3 if said.startswith("took") else 60.0
    made = tried(image_planner(function), observation, limit)  # type: ignore[arg-type]
    assert made.grasp_world is None
    assert said in made.reason


@pytest.mark.parametrize(
    ("knows", "mesh", "pose"),
    [("image", False, False), ("mesh", True, False), ("pose", True, True)],
)
def test_a_planner_sees_what_it_declares_to_know(
    observation: Observation, knows: Knows, mesh: bool, pose: bool
) -> None:
    seen: list[Observation] = []

    def look(shown: Observation, rng: np.random.Generator) -> Ranked:
        seen.append(shown)
        return no_grasp("only looking")

    tried(FunctionPlanner(look, knows), observation)
    assert (seen[0].mesh is not None, seen[0].T_world_obj is not None) == (mesh, pose)
    assert seen[0].image is observation.image


def test_a_policys_planar_grasp_arrives_in_the_world(observation: Observation) -> None:
    ranked = image_planner(bench_planners.narrow)(observation, np.random.default_rng(0))
    grasp = ranked.grasps_world[0]
    assert grasp.approach_axis == pytest.approx([0.0, 0.0, -1.0], abs=1e-9)
    T_obj_world = transforms.inverse(observation.T_world_obj)  # type: ignore[arg-type]
    center_obj = transforms.apply(T_obj_world, grasp.center[None])[0]
    assert np.abs(center_obj).max() < 0.02
    # it closes across the box's 30 mm side
    closing_obj = T_obj_world[:3, :3] @ grasp.closing_axis
    assert abs(closing_obj[0]) > 0.98


def test_an_unknown_planner_lists_the_known_ones() -> None:
    with pytest.raises(UnknownAsset, match="expected one of oracle, random, igq"):
        make_planner("frobnicate", YUMI)
    with pytest.raises(UnknownAsset, match="no module 'no_such_module'"):
        make_planner("no_such_module:plan", YUMI)
    with pytest.raises(UnknownAsset, match="has no such function"):
        make_planner("bench_planners:absent", YUMI)


def test_a_module_that_cannot_be_imported_is_one_line(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_planner_a.py").write_text("def f(:")
    (tmp_path / "broken_planner_b.py").write_text("raise RuntimeError('no camera')")
    for name, said in (("broken_planner_a", "SyntaxError"), ("broken_planner_b", "no camera")):
        with pytest.raises(InvalidConfig, match=f"cannot be imported: .*{said}"):
            make_planner(f"{name}:f", YUMI)


def test_an_outsider_who_returns_something_else_is_told_so(observation: Observation) -> None:
    planner = make_planner("bench_planners:nothing", YUMI)
    made = attempt(planner, observation, np.random.default_rng(0), 5.0)
    assert "it returned a NoneType: expected a Plan" in made.reason


def test_an_observation_needs_the_cameras_pose(observation: Observation) -> None:
    import dataclasses

    blind = dataclasses.replace(observation.image, T_world_camera=None)
    with pytest.raises(InvalidConfig, match="expected the camera's pose"):
        Observation(blind, observation.mask, YUMI)
