"""Track B: a pile falls and rests, a grasp takes what is between the jaws, a round ends when it must."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from antipodal import transforms
from antipodal.bench.clutter import (
    MAX_FAILURES,
    PICKS,
    ClutterRun,
    Heap,
    clutter_numbers,
    clutter_report,
    run_clutter,
    together,
)
from antipodal.bench.config import BenchConfig
from antipodal.bench.scores import N_BINS
from antipodal.errors import InvalidConfig
from antipodal.grasp import Grasp
from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh, save_mesh
from antipodal.scores import expected_calibration_error
from antipodal.sim.clutter import Pile, _parked, drop, pick, settle_pile
from antipodal.sim.decompose import convex_pieces
from antipodal.sim.trial import Outcome, TrialConfig
from conftest import box, sphere

RUNS = Path(__file__).resolve().parents[1] / "runs"
YUMI = load_gripper("yumi")
EXACT = TrialConfig(position_sigma=0.0, rotation_sigma=0.0, settle_window=0.2)
DOWN = np.diag([1.0, -1.0, -1.0])


def from_above(x: float, z: float = 0.025) -> Grasp:
    return Grasp(transforms.from_rt(DOWN, [x, 0.0, z]), np.array(0.05))


def row_of(*meshes: TriMesh, spacing: float = 0.12) -> tuple[Pile, np.ndarray]:
    """Meshes side by side along x, each resting on its lowest point."""
    poses = [
        transforms.translation([i * spacing, 0.0, -m.bounds[0, 2]]) for i, m in enumerate(meshes)
    ]
    return Pile(meshes, [convex_pieces(m) for m in meshes], YUMI), np.stack(poses)


@pytest.mark.parametrize("i", [0, 1, 2])
def test_the_object_between_the_jaws_is_taken_and_the_others_stay(i: int) -> None:
    pile, poses = row_of(box(), box(0.03, 0.05, 0.04), box(0.035, 0.03, 0.04))
    done = pick(pile, poses, from_above(0.12 * i), 0.5, 0, EXACT)
    assert done.outcome is Outcome.SUCCESS
    assert done.taken.tolist() == [k == i for k in range(3)]
    assert done.T_world_obj[~done.taken] == pytest.approx(poses[~done.taken], abs=1e-3)


def test_two_thin_objects_side_by_side_are_taken_together() -> None:
    pile, poses = row_of(box(0.018, 0.05, 0.04), box(0.018, 0.05, 0.04), spacing=0.0185)
    done = pick(pile, poses, from_above(0.00925), 0.6, 0, EXACT)
    assert done.outcome is Outcome.SUCCESS
    assert done.taken.tolist() == [True, True]


def test_a_grasp_beside_everything_misses_and_one_into_a_neighbour_collides() -> None:
    pile, poses = row_of(box(), box(), spacing=0.05)
    missed = pick(pile, poses, from_above(-0.1), 0.5, 0, EXACT)
    assert missed.outcome is Outcome.MISSED and not missed.taken.any()
    # the neighbour stands 10 mm away: less than a finger is thick
    blocked = pick(pile, poses, from_above(0.0), 0.5, 0, EXACT)
    assert blocked.outcome is Outcome.COLLIDED_OBJECT and not blocked.taken.any()


def test_objects_rest_on_one_another() -> None:
    lower, upper = box(0.08, 0.08, 0.04), box(0.03, 0.03, 0.03)
    pile, poses = row_of(lower, upper, spacing=0.0)
    poses[1, 2, 3] = 0.04 + 0.015 + 0.005
    rest, resting = settle_pile(pile, poses, 0.5, EXACT)
    assert resting.all()
    assert rest[1, :3, 3] == pytest.approx([0.0, 0.0, 0.055], abs=1e-3)


def test_a_dropped_pile_lies_in_the_square_and_on_the_table() -> None:
    meshes = [box(0.03, 0.05, 0.06), box(), box(0.02, 0.08, 0.03), box(0.03, 0.03, 0.09)]
    pieces = [convex_pieces(m) for m in meshes]
    poses, inside = drop(meshes, pieces, YUMI, 0.3, 0.5, np.random.default_rng(4), EXACT)
    again, _ = drop(meshes, pieces, YUMI, 0.3, 0.5, np.random.default_rng(4), EXACT)
    assert np.array_equal(poses, again)
    assert inside.all()
    lowest = [
        transforms.apply(T, m.vertices)[:, 2].min() for T, m in zip(poses, meshes, strict=True)
    ]
    assert np.min(lowest) > -1e-3
    rest, resting = settle_pile(Pile(meshes, pieces, YUMI), poses, 0.5, EXACT)
    assert resting.all() and rest[:, :3, 3] == pytest.approx(poses[:, :3, 3], abs=2e-3)


def test_a_ball_that_rolls_on_does_not_rest_and_keeps_nobody_else_from_it() -> None:
    pile, poses = row_of(box(), sphere(), spacing=0.0)
    poses[1, :3, 3] = [0.025, 0.0, 0.065]  # over the edge of the box
    rest, resting = settle_pile(pile, poses, 0.5, EXACT)
    assert resting.tolist() == [True, False]
    assert rest[1, 0, 3] > 0.1
    assert rest[0] == pytest.approx(poses[0], abs=5e-3)


def test_a_heap_becomes_one_mesh_of_the_same_volume() -> None:
    meshes = (box(), box(0.02, 0.03, 0.05))
    poses = np.stack([transforms.translation([0.1, 0, 0]), transforms.rot_x(0.3)])
    heap = Heap(meshes, (), poses)
    whole = together(heap)
    assert whole.volume == pytest.approx(sum(m.volume for m in meshes))
    assert whole.vertices[:8] == pytest.approx(meshes[0].vertices + np.array([0.1, 0, 0]))


def test_rounds_end_empty_or_after_two_failures_and_count_what_was_taken(tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    objects.mkdir()
    for i, sides in enumerate([(0.03, 0.06, 0.035), (0.025, 0.07, 0.03), (0.03, 0.05, 0.04)]):
        save_mesh(box(*sides), objects / f"brick_{i}.ply")
    config = BenchConfig(1, execution_errors=(0.001,), trial=TrialConfig(settle_window=0.2))
    planners = ("heuristic", "bench_planners:raises")
    run = ClutterRun(planners, objects, tmp_path / "o", n_rounds=2, config=config, workers=2)
    report = run_clutter(run)
    rows = pq.read_table(tmp_path / "o" / "picks.parquet").to_pylist()
    failing = [r for r in rows if r["planner"] == "bench_planners:raises"]
    assert len(failing) == 2 * MAX_FAILURES
    assert report["planners"]["bench_planners:raises"]["declutter_rate"] == 0.0
    ours = report["planners"]["heuristic"]
    taken = sum(r["n_taken"] for r in rows if r["planner"] == "heuristic")
    assert ours["declutter_rate"] == pytest.approx(taken / 6)
    assert ours["picks_per_plan"] == pytest.approx(taken / ours["n_plans"])
    assert taken >= 3
    planned = [r for r in rows if r["planner"] == "heuristic" and r["outcome"] != "NO_GRASP"]
    sure = [r["outcome"] == "SUCCESS" for r in planned if r["quality"] > 0.5]
    assert (ours["n_confident"], ours["precision"]) == (len(sure), pytest.approx(np.mean(sure)))
    held = np.array([r["outcome"] == "SUCCESS" for r in planned])
    quality = np.array([r["quality"] for r in planned])
    assert ours["ece"] == expected_calibration_error(quality, held, N_BINS)
    for k in range(2):
        mine = [r for r in rows if r["planner"] == "heuristic" and r["round"] == k]
        assert mine[0]["n_before"] == failing[2 * k]["n_before"] == 3  # the same pile for both
        last = mine[-1]
        emptied = last["n_before"] == last["n_taken"]
        assert emptied or [r["n_taken"] for r in mine[-2:]] == [0, 0]


def test_a_plan_that_ended_its_worker_has_no_time() -> None:
    row = {
        "planner": "p",
        "round": 0,
        "outcome": "NO_GRASP",
        "quality": None,
        "n_before": 5,
        "n_taken": 0,
    }
    rows = [row | {"plan_time": t} for t in (0.2, float("nan"), None, 0.4)]
    assert clutter_numbers(rows, 0)["plan_time_median"] == pytest.approx(0.3)


def test_a_pile_that_cannot_be_seen_is_neither_a_plan_nor_a_grasp() -> None:
    nothing = {"T_world_grasp": None, "quality": None, "plan_time": None, "n_taken": 0}
    unseen = nothing | {"planner": "p", "outcome": "UNSTABLE", "n_before": 4}
    grasp = {"T_world_grasp": [0.0] * 16, "quality": 0.9, "plan_time": 0.1}
    held = unseen | grasp | {"outcome": "SUCCESS", "n_before": 5, "n_taken": 1}
    rows = [held | {"round": 0}, unseen | {"round": 0}, unseen | {"round": 1}]
    found = clutter_numbers(rows, 0)
    assert (found["n_plans"], found["n_grasps"], found["grasp_success_rate"]) == (1, 1, 1.0)
    assert (found["n_rounds"], found["n_rounds_unusable"], found["declutter_rate"]) == (1, 1, 0.2)
    # the table of differences counts the same
    per_round = runpy.run_path(str(RUNS / "clutter_table.py"))["per_round"]
    assert per_round(rows, "p").tolist() == [[[1.0, 1.0]], [[1.0, 5.0]]]
    diverged = unseen | grasp | {"round": 0}  # while the plan was executed: a failed grasp
    assert clutter_numbers([held | {"round": 0}, diverged], 0)["n_grasps"] == 2


def test_the_table_of_several_seeds_counts_each_seeds_piles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pick = {"planner": "p", "plan": 0, "plan_time": 0.1, "T_world_grasp": [0.0] * 16}
    for seed, outcomes in enumerate((("SUCCESS", "MISSED"), ("SUCCESS", "SUCCESS"))):
        rows = [
            pick | {"round": k, "outcome": outcome, "quality": 0.9, "n_before": 5}
            | {"n_taken": int(outcome == "SUCCESS")}
            for k, outcome in enumerate(outcomes)
        ]  # fmt: skip
        (tmp_path / f"seed-{seed}").mkdir()
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"seed-{seed}" / "picks.parquet")
    runpy.run_path(str(RUNS / "clutter_table.py"))["main"](tmp_path)
    said = capsys.readouterr().out
    assert "| p | 4 | 4 | 75 % [" in said and "| 15 % [" in said


def test_a_run_without_a_single_pile_says_why(tmp_path: Path) -> None:
    ended = {"n_before": 0, "outcome": "UNSTABLE", "reason": "nothing came to rest"}
    rows = [{"planner": "random", "round": k, **ended} for k in range(2)]
    pq.write_table(pa.Table.from_pylist(rows, PICKS), tmp_path / "picks.parquet")
    with pytest.raises(InvalidConfig, match="none of 2 piles can be used: nothing came to rest"):
        clutter_report(ClutterRun(("random",), tmp_path, tmp_path, 2))


def test_a_pile_of_many_objects_waits_where_the_engine_keeps_it() -> None:
    meshes = [box(0.02, 0.02, 0.02)] * 13
    parked = np.stack([_parked(i, mesh) for i, mesh in enumerate(meshes)])
    assert np.array_equal(parked[:5, :2, 3], [[3.0 + 0.6 * i, 3.0] for i in range(5)])
    apart = np.linalg.norm(parked[:, None, :3, 3] - parked[None, :, :3, 3], axis=-1)
    assert (apart + np.eye(13)).min() > 0.59
    pile = Pile(meshes, [convex_pieces(m) for m in meshes], YUMI)
    rest, resting = settle_pile(pile, parked, 0.5, EXACT)
    assert resting.all() and rest == pytest.approx(parked, abs=1e-3)


def test_a_planner_that_knows_the_object_has_no_place_in_clutter(tmp_path: Path) -> None:
    save_mesh(box(), tmp_path / "cube.ply")
    with pytest.raises(InvalidConfig, match="'oracle' knows the object"):
        run_clutter(ClutterRun(("oracle",), tmp_path, tmp_path / "o", 1))
