"""Other people's planners: what they are called with, what is refused at once, which files make them another one."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bench_planners
from antipodal.bench.outsider import outsider, outsider_files
from antipodal.bench.planner import FunctionPlanner, Observation, no_grasp
from antipodal.bench.runner import planner_hash
from antipodal.errors import InvalidConfig
from antipodal.gripper import load_gripper
from conftest import box
from policy_scenes import seen

FRANKA = load_gripper("franka_hand")
NET = "def go(image, mask, rng):\n    return {answer}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder to stand in, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, **modules: str) -> None:
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


def names(module: str) -> list[str]:
    return [path.name for path in outsider_files(module)]


def hands_on(function):
    """A decorator as ``torch.no_grad``: its own signature says nothing."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def wide(image, mask, rng, gripper):
    """As wide as the hand opens."""
    plan = bench_planners.narrow(image, mask, rng)
    g = plan.grasps
    return replace(
        plan, grasps=type(g)(g.center_px, g.angle, g.depth, np.array([gripper.max_width]))
    )


decorated = hands_on(wide)
whole = FunctionPlanner(lambda seen, rng: no_grasp(seen.gripper.name), "pose")


def adapted(image, mask, rng):
    """Takes no gripper, though what it wraps does."""
    return wide(image, mask, rng, load_gripper("yumi"))


adapted.__wrapped__ = wide  # type: ignore[attr-defined]


def two(image, mask):
    """Asks for too little."""


def third(image, mask, gripper):
    """Would get the random state for the gripper."""


@pytest.mark.parametrize(
    ("name", "width"), [("wide", 0.08), ("decorated", 0.08), ("adapted", 0.05)]
)
def test_a_function_with_a_parameter_gripper_gets_the_hand(name: str, width: float) -> None:
    mesh = box(0.03, 0.07, 0.025)
    shown = Observation(*seen(mesh), FRANKA)
    ranked = outsider(__name__, name, FRANKA)(shown, np.random.default_rng(0))
    assert ranked.grasps_world.width == pytest.approx(width)


def test_a_whole_planner_is_taken_as_it_is() -> None:
    planner = outsider(__name__, "whole", FRANKA)
    assert planner is whole and planner.knows == "pose"


@pytest.mark.parametrize("name", ["two", "third"])
def test_a_function_that_takes_something_else_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(InvalidConfig, match=r"takes \(image, mask.*expected \(image, mask, rng\)"):
        outsider(__name__, name, FRANKA)


def test_a_planner_is_another_one_when_a_module_that_it_imports_changes(folder: Path) -> None:
    seen = set()
    for answer in (1, 2):
        write(
            folder,
            plan_a="import numpy, antipodal, net_a\ndef plan(image, mask, rng): return net_a.go(image, mask, rng)",
            net_a=NET.format(answer=answer),
            beside_a="x = 1",
        )
        outsider("plan_a", "plan", FRANKA)
        assert names("plan_a") == ["plan_a.py", "net_a.py"]
        seen.add(planner_hash("plan_a:plan"))
    assert len(seen) == 2


def test_imports_are_followed_through_packages_and_into_functions(folder: Path) -> None:
    write(folder, helper_b="import mine_b.plan", lazy_b="def f(:")
    (folder / "mine_b").mkdir()
    late = "def plan(image, mask, rng):\n    import lazy_b\n"
    write(
        folder / "mine_b",
        __init__="",
        plan=f"from .deep import go\nfrom . import late\n{late}",
        deep="from numpy import array as go\nimport helper_b",
        late="",
        other="",
    )
    outsider("mine_b.plan", "plan", FRANKA)
    assert names("mine_b.plan")[0] == "plan.py"
    assert sorted(names("mine_b.plan")[1:]) == sorted(
        ["__init__.py", "deep.py", "helper_b.py", "late.py", "lazy_b.py"]
    )


def test_what_is_installed_in_the_folder_is_not_the_planner(folder: Path) -> None:
    write(folder, plan_c="import thing_c\ndef plan(image, mask, rng): ...")
    (folder / "lib" / "site-packages").mkdir(parents=True)
    write(folder / "lib" / "site-packages", thing_c="")
    sys.path.insert(0, str(folder / "lib" / "site-packages"))
    outsider("plan_c", "plan", FRANKA)
    assert names("plan_c") == ["plan_c.py"]


def test_a_module_lists_further_files_and_a_changed_one_is_another_planner(folder: Path) -> None:
    write(folder, plan_d="FILES = ['mine.pt']\ndef plan(image, mask, rng): ...")
    outsider("plan_d", "plan", FRANKA)
    with pytest.raises(InvalidConfig, match=r"FILES names .*mine\.pt: there is no such file"):
        planner_hash("plan_d:plan")
    seen = set()
    for content in (b"one", b"two"):
        (folder / "mine.pt").write_bytes(content)
        seen.add(planner_hash("plan_d:plan"))
    assert len(seen) == 2 and names("plan_d") == ["plan_d.py", "mine.pt"]
    sys.modules["plan_d"].FILES = "mine.pt"  # type: ignore[attr-defined]
    with pytest.raises(InvalidConfig, match="expected a list of paths"):
        planner_hash("plan_d:plan")
