"""A whole benchmark: faults become rows, workers and interruptions change nothing, the report and a replay follow."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import webbrowser
from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from antipodal.bench import trials as trials_module
from antipodal.bench.charts import OUTCOME_COLORS, outcome_chart
from antipodal.bench.config import BenchConfig
from antipodal.bench.faults import watch_faults
from antipodal.bench.frames import execute_again, recorded
from antipodal.bench.objects import list_objects
from antipodal.bench.page import write_page
from antipodal.bench.planner import FunctionPlanner, Observation, Ranked, no_grasp
from antipodal.bench.replay import replay
from antipodal.bench.report import make_report, open_trials
from antipodal.bench.rows import make_planner, planner_names
from antipodal.bench.runner import BenchRun, open_run, planner_hash, run_bench
from antipodal.bench.timing import time_object
from antipodal.bench.trials import ObjectJob, run_object
from antipodal.cli import run as command
from antipodal.cli_bench import report_table
from antipodal.errors import CorruptDataset, InvalidConfig, UnknownAsset
from antipodal.gripper import GripperModel, load_gripper
from antipodal.mesh import save_mesh
from antipodal.sim.trial import Outcome, Stage, TrialConfig
from conftest import box

QUICK = TrialConfig(settle_window=0.1, shake_cycles=1, gravity_time=0.1)
GOOD = "bench_planners:narrow"
BESIDE = "bench_planners:elsewhere"
BUILTIN = resources.files("antipodal") / "assets" / "models" / "builtin.onnx"


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two boxes that fit, one that does not, and a sheet without a volume."""
    folder = tmp_path_factory.mktemp("objects")
    for source in ("boxes", "odd"):
        (folder / source).mkdir()
    save_mesh(box(0.03, 0.06, 0.035), folder / "boxes" / "brick.ply")
    save_mesh(box(0.025, 0.07, 0.03), folder / "boxes" / "bar.ply")
    save_mesh(box(0.2, 0.21, 0.19), folder / "odd" / "huge.ply")
    sheet = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    sheet += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    (folder / "odd" / "sheet.ply").write_text(sheet + "0 0 0\n0.05 0 0\n0 0.05 0\n3 0 1 2\n")
    return folder


def settings(objects: Path, output: Path, planners: tuple[str, ...], **values) -> BenchRun:
    chosen = {"n_trials": 2, "trial": QUICK, **values.pop("config", {})}
    config = BenchConfig(**chosen)
    return BenchRun(planners, objects, output, config=config, n_timed=0, **values)


@pytest.fixture(scope="module")
def finished(objects: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two workers with a good planner, one that misses, and one that raises."""
    output = tmp_path_factory.mktemp("run")
    planners = (GOOD, BESIDE, "bench_planners:raises")
    config = {"execution_errors": (0.001, 0.0)}
    done: list[tuple[int, int]] = []
    run = settings(objects, output, planners, workers=2, config=config)
    run_bench(run, lambda n, total: done.append((n, total)))
    assert done[0] == (0, 4) and done[-1] == (4, 4)
    return output


def rows_of(run: Path) -> list[dict]:
    return pq.read_table(run / "trials.parquet").to_pylist()


def without_times(run: Path) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "plan_time"} for row in rows_of(run)]


def test_every_planner_has_a_row_for_every_trial_at_every_error(finished: Path) -> None:
    rows = rows_of(finished)
    keys = Counter((r["planner"], r["object"], r["k"], r["execution_error"]) for r in rows)
    assert len(keys) == len(rows) == 3 * 4 * 2 * 2
    assert [r["object"] for r in rows] == sorted(r["object"] for r in rows)


def test_a_fitting_box_is_lifted_and_empty_space_is_not(finished: Path) -> None:
    boxes = [r for r in rows_of(finished) if r["source"] == "boxes"]
    assert {r["outcome"] for r in boxes if r["planner"] == GOOD} == {"SUCCESS"}
    assert all(r["graspable"] for r in boxes)
    assert not any(r["success"] for r in boxes if r["planner"] == BESIDE)
    lifted = [r for r in boxes if r["success"]]
    assert all(
        r["stage"] == "shake" and r["lift_height"] == pytest.approx(0.2, abs=0.02) for r in lifted
    )
    # a bar held across its edges turns in the jaws: the simulation keeps it, the label gives it 0
    assert min(r["epsilon"] for r in lifted) < 0.002 < max(r["epsilon"] for r in lifted)
    assert all(r["quality"] == 0.8 for r in lifted)


def test_a_plan_is_executed_at_the_error_of_its_row(finished: Path) -> None:
    lifted: dict[tuple, list[float]] = {}
    for row in rows_of(finished):
        if row["success"]:
            lifted.setdefault((row["object"], row["k"]), []).append(row["lift_height"])
    assert lifted and all(len(set(heights)) == len(heights) == 2 for heights in lifted.values())


def test_a_planner_that_raises_leaves_its_words(finished: Path) -> None:
    rows = [r for r in rows_of(finished) if r["planner"] == "bench_planners:raises"]
    usable = [r for r in rows if r["object"] != "odd/sheet"]
    assert {r["outcome"] for r in usable} == {"NO_GRASP"}
    assert all("KeyError" in r["reason"] for r in usable)


def test_a_planner_that_fails_in_its_first_five_trials_is_named_while_the_run_goes_on(
    finished: Path,
) -> None:
    parts = sorted((finished / "parts").glob("trials-*.parquet"))
    said: list[list[str]] = []
    for error in (0.001, 0.5):  # no rows of the second
        told: list[str] = []
        look = watch_faults(error, told.append)
        for part in parts[:2]:
            look(part)
        assert not told  # four trials
        for part in parts[2:] + parts:
            look(part)
        said.append(told)
    assert len(said[0]) == 1 and not said[1]
    assert said[0][0].startswith(
        "warning: bench_planners:raises failed in each of its first 5 trials: raised KeyError: 'no such thing'."
    )


def test_a_run_says_why_plans_failed_and_what_it_found_done(
    objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["bench", "run", "--policy", "bench_planners:counts", GOOD, "--workers", "1"]
    asked += ["--objects", str(objects / "boxes"), "--trials", "1", "--n-timed", "0"]
    asked += ["-o", str(tmp_path / "o"), "--json"]
    for here in (False, True):
        assert command(asked) == 0
        out = capsys.readouterr()
        assert ("2 of 2 trials were here already" in out.err) == here
        said = out.err.splitlines()[-1]
        shown = r"bench_planners:counts: no grasp executed in 2 of 2 trials: 2 × raised ValueError: \d+ pixels of 7"
        assert re.fullmatch(shown, said)
        assert json.loads(out.out)["planners"]["bench_planners:counts"]["reasons"][0]["count"] == 2


def test_a_planner_that_kills_its_process_or_hangs_does_not_end_the_run(
    objects: Path, tmp_path: Path
) -> None:
    small = tmp_path / "one"
    small.mkdir()
    shutil.copy(objects / "boxes" / "bar.ply", small)
    planners = ("bench_planners:dies", "bench_planners:sleeps", GOOD)
    run_bench(settings(small, tmp_path / "o", planners, config={"n_trials": 1, "time_limit": 4.0}))
    died, slept, good = rows_of(tmp_path / "o")
    assert (died["outcome"], died["reason"]) == (
        "NO_GRASP",
        "ended its worker 2 times (exit code 3)",
    )
    assert (slept["outcome"], slept["reason"]) == ("NO_GRASP", "took longer than 4 s")
    assert good["outcome"] == "SUCCESS"


def test_a_mesh_without_volume_is_an_outcome_with_its_reason(finished: Path) -> None:
    rows = [r for r in rows_of(finished) if r["object"] == "odd/sheet"]
    assert {r["outcome"] for r in rows} == {"UNSTABLE"}
    assert all(r["reason"] and not r["graspable"] for r in rows)


def test_a_copy_of_an_object_adds_no_trial(objects: Path, tmp_path: Path, caplog) -> None:
    bars, output = tmp_path / "bars", tmp_path / "run"
    bars.mkdir()
    for name in ("bar", "green_bar"):
        shutil.copy(objects / "boxes" / "bar.ply", bars / f"{name}.ply")
    run_bench(settings(bars, output, (GOOD,), workers=1, config={"n_trials": 1}))
    assert [row["object"] for row in rows_of(output)] == ["bar"]
    assert [r.getMessage() for r in caplog.records if "copies" in r.getMessage()] == [
        "warning: copies are left out, 1 of another's file: green_bar (as bar)"
    ]
    config = json.loads((output / "config.json").read_text())
    config["objects"].append(["green_bar", config["objects"][0][1]])  # of a version that took both
    (output / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidConfig, match=r"another benchmark \(objects differ\)"):
        run_bench(settings(bars, output, (GOOD,), workers=1, config={"n_trials": 1}))


def test_an_object_too_large_for_the_jaws_is_not_graspable(finished: Path) -> None:
    rows = [r for r in rows_of(finished) if r["object"] == "odd/huge"]
    assert not any(r["graspable"] or r["success"] for r in rows)


def test_planners_meet_the_same_trials(finished: Path) -> None:
    rows = [r for r in rows_of(finished) if r["source"] == "boxes"]
    shared = (
        "T_world_obj",
        "friction",
        "T_world_camera",
        "execution_seed",
        "graspable",
        "oracle_epsilon",
    )
    for key in {(r["object"], r["k"]) for r in rows}:
        same = [
            tuple(map(str, (r[c] for c in shared))) for r in rows if (r["object"], r["k"]) == key
        ]
        assert len(set(same)) == 1


def test_the_report_says_what_the_rows_say(finished: Path) -> None:
    trials = open_trials(finished)
    report = make_report(trials)
    good = report["planners"][GOOD]
    assert good["n_graspable"] == 4 and good["success_rate"] == 1.0
    assert good["outcomes"]["SUCCESS"] == 4
    assert good["n_trials"] == report["n_objects"] * 2 == 6  # the sheet is nobody's failure
    assert good["success_rate_all"] == pytest.approx(4 / 6)
    assert sum(good["outcomes_all"].values()) == 6
    assert good["by_source"]["boxes"]["n_graspable"] == 4
    assert [e["execution_error"] for e in good["by_execution_error"]] == [0.001, 0.0]
    assert good["brier"] == pytest.approx(0.04)
    assert report["planners"][BESIDE]["success_rate"] == 0.0
    first = next(c for c in report["comparisons"] if c["better"] == GOOD and c["worse"] == BESIDE)
    # two objects could be held: too few for an interval
    assert first["difference"] == 1.0 and first["interval"] == [None, None]
    assert list(report["unusable_objects"]) == ["odd/sheet"]
    last = report_table(report).splitlines()[-1]
    assert last == f"unusable odd/sheet: {report['unusable_objects']['odd/sheet']}"
    stored = (finished / "report.json").read_text()
    assert "NaN" not in stored and json.loads(stored)["planners"][GOOD]["success_rate"] == 1.0


def written(page: str, heading: str) -> list[list[list[str]]]:
    """Of each line of the table below a heading the names in each cell, the head left out."""
    section = re.split(r"^#+ ", page.split(f"# {heading}\n")[1], flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[re.findall(r"`(\w+)`", cell) for cell in line.split("|")[1:-1]] for line in lines]


def test_the_manual_lists_every_column_and_key_and_no_other(finished: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "benchmark-files.md").read_text()
    report = make_report(open_trials(finished))
    planner = report["planners"]["bench_planners:raises"]
    table = pq.read_schema(finished / "trials.parquet")
    for heading, keys in (
        ("trials.parquet", table.names),
        ("report.json", [*report]),
        ("A planner's numbers", [*planner]),
    ):
        named = [name for line in written(page, heading) for name in line[0]]
        assert sorted(named) == sorted(keys)
    inside = {key: line[1] for line in written(page, "Lists and tables in it") for key in line[0]}
    nested = {"comparisons": report["comparisons"], **planner}
    for key, keys in inside.items():
        entry = nested[key]
        if key in ("by_source", "by_difficulty"):
            entry = [*entry.values()]
        assert sorted((entry[0] if isinstance(entry, list) else entry).keys()) == sorted(keys), key
    by_outcome = {"outcomes", "outcomes_all"}
    assert {k for k, v in planner.items() if isinstance(v, dict)} - by_outcome <= inside.keys()
    columns = {line[0][0]: line[2] for line in written(page, "trials.parquet")}
    assert columns["outcome"] == [outcome.name for outcome in Outcome]
    assert columns["stage"] == [stage.value for stage in Stage]


def test_a_run_of_which_no_object_can_be_used_says_why_in_one_line(tmp_path: Path, capsys) -> None:
    save_mesh(box(40.0, 60.0, 35.0), tmp_path / "in" / "mm.ply")
    asked = ["--objects", str(tmp_path / "in"), "--workers", "1"]
    for verb in (["run", "--policy", "random", "--n-timed", "0"], ["agreement"]):
        out = str(tmp_path / verb[0])
        assert command(["bench", *verb, *asked, "-o", out]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert "none of 1 objects can be used: mm: " in line and "extents 60 m" in line
    out = str(tmp_path / "clutter")
    assert command(["bench", "clutter", "--policy", "random", *asked, "-o", out]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "no object fits between the jaws of yumi; mm cannot be used: " in line


def test_a_chart_of_no_trials_draws_no_legend_and_warns_of_none() -> None:
    nothing = {"outcomes": dict.fromkeys(OUTCOME_COLORS, 0), "n_graspable": 0}
    assert "<svg" in outcome_chart({"p": nothing}, ["p"])


def test_calibration_is_blank_with_its_reason_where_q_is_no_probability(
    objects: Path, tmp_path: Path
) -> None:
    run_bench(settings(objects / "boxes", tmp_path, ("igq", GOOD), config={"n_trials": 1}))
    trials = open_trials(tmp_path)
    report = make_report(trials)
    igq, good = report["planners"]["igq"], report["planners"][GOOD]
    assert igq["ece"] is igq["brier"] is None and not igq["calibration"]["quality"]
    assert igq["average_precision"] is not None or igq["success_rate"] == 0
    assert good["ece"] == pytest.approx(0.2) and good["calibration"]["quality"] == [0.8]
    page = write_page(trials, report).read_text()
    assert "nearness to the mask&#x27;s centroid" in page
    assert good["quality_is_no_probability"] is None


def test_a_scene_that_cannot_be_drawn_or_seen_is_a_row_and_the_next_one_runs(
    objects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = trials_module.draw_trial

    def fails_first(mesh, poses, seed, k, camera):
        if k == 0:
            raise np.linalg.LinAlgError("SVD did not converge")
        return drawn(mesh, poses, seed, k, camera)

    monkeypatch.setattr(trials_module, "draw_trial", fails_first)
    config = BenchConfig(2, trial=QUICK)
    item = list_objects(objects / "boxes")[0]
    job = ObjectJob(0, item, objects / "boxes", config, tmp_path, tmp_path)
    planners = {name: make_planner(name, load_gripper("yumi")) for name in (GOOD, BESIDE)}
    rows = run_object(job, load_gripper("yumi"), planners, lambda *at: None)
    assert [r["outcome"] for r in rows[:3]] == ["UNSTABLE", "UNSTABLE", "SUCCESS"]
    assert rows[0]["reason"] == "SVD did not converge" and not rows[0]["graspable"]
    assert rows[0]["mesh_hash"] == rows[2]["mesh_hash"]  # the object itself is fine


def test_a_timed_plan_has_not_seen_its_image_before(objects: Path, tmp_path: Path) -> None:
    seen: list[np.ndarray] = []

    def look(observation: Observation, rng: np.random.Generator) -> Ranked:
        seen.append(np.array(observation.image.depth))
        return no_grasp("only looking")

    item = list_objects(objects / "boxes")[0]
    job = ObjectJob(0, item, objects / "boxes", BenchConfig(1), tmp_path, tmp_path)
    planners = {"looks": FunctionPlanner(look)}
    places: list[tuple[str, str, int]] = []
    rows = time_object(job, load_gripper("yumi"), planners, lambda *at: places.append(at))
    assert len(seen) == 2 and not np.array_equal(*seen)
    assert [r["planner"] for r in rows] == ["looks"]
    # each plan has the time of one
    assert places[1:] == [("plan", "looks", 1), ("plan", "looks", 0)]


@pytest.mark.parametrize("name", ["trials.parquet", "config.json"])
def test_a_damaged_run_is_named(finished: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(finished, tmp_path / "run")
    whole = (tmp_path / "run" / name).read_bytes()
    (tmp_path / "run" / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptDataset, match=rf"{name} is not readable"):
        open_trials(tmp_path / "run")


def test_the_page_needs_nothing_from_outside(finished: Path) -> None:
    trials = open_trials(finished)
    page = write_page(trials, make_report(trials)).read_text()
    assert page.count("<svg") == 4
    assert (
        page.count("data:image/png;base64,") == 4
    )  # the planner that misses: both boxes, two pictures each
    assert "<script" not in page and 'src="http' not in page and "@import" not in page
    assert "failures on graspable trials, one per object" in page
    assert "odd/sheet" in page and "$" not in page.replace("$ ", "")


def test_a_recorded_trial_replays_to_the_same_end(finished: Path, tmp_path: Path) -> None:
    from PIL import Image

    rows = rows_of(finished)
    number = next(
        i for i, r in enumerate(rows) if r["planner"] == GOOD and r["object"] == "boxes/bar"
    )
    result = replay(finished / "trials.parquet", number, tmp_path / "trial.gif", fps=2)
    assert result["same"] and result["outcome"] == "SUCCESS"
    with Image.open(tmp_path / "trial.gif") as film:
        assert film.n_frames == result["n_frames"] > 8  # type: ignore[attr-defined]
        assert film.format == "GIF"


@pytest.mark.parametrize(("suffix", "fps"), [(".gif", 35), (".gif", 45), (".mp4", 35)])
def test_a_film_lasts_as_long_as_what_it_shows(
    suffix: str, fps: float, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2
    from PIL import Image, ImageSequence

    rows, (folder, run) = rows_of(finished), open_run(finished)
    number = next(i for i, r in enumerate(rows) if r["planner"] == GOOD)
    gripper = GripperModel.from_json(run["gripper"], "gripper")
    _, blocks = execute_again(recorded(rows[number], run, gripper), 1000)  # one of every 10 ms
    counted = itertools.count()

    def numbered(*_: object) -> np.ndarray:
        return np.full((380, 400, 3), next(counted) % 256, np.uint8)

    monkeypatch.setattr("antipodal.bench.replay.picture", numbered)
    file = tmp_path / f"trial{suffix}"
    replay(folder, number, file, fps=fps)
    if suffix == ".gif":
        with Image.open(file) as film:
            seconds = sum(f.info["duration"] for f in ImageSequence.Iterator(film)) / 1000
    else:
        film = cv2.VideoCapture(str(file))
        seconds = film.get(cv2.CAP_PROP_FRAME_COUNT) / film.get(cv2.CAP_PROP_FPS)
    assert seconds == pytest.approx(0.01 * len(blocks), abs=1.5 / fps)


def test_a_replay_is_shown_by_the_systems_viewer_or_says_that_it_is_not(
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import cv2

    opened: list[str] = []

    class Recorder(webbrowser.BaseBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            opened.append(url)
            return True

    webbrowser.register("recorder", None, Recorder(), preferred=True)
    monkeypatch.setenv("BROWSER", "recorder")
    number = next(i for i, r in enumerate(rows_of(finished)) if r["planner"] == GOOD)
    film = tmp_path / "trial.mp4"
    again = ["bench", "replay", str(finished), "--trial", str(number), "--fps", "2"]
    assert command([*again, "-o", str(film), "--view"]) == 0
    assert opened == [film.resolve().as_uri()]
    assert "open the file yourself" not in capsys.readouterr().out
    pictures = cv2.VideoCapture(str(film))
    n_frames = int(pictures.get(cv2.CAP_PROP_FRAME_COUNT))
    assert n_frames > 8 and pictures.read()[1].shape == (380, 400, 3)
    assert list(tmp_path.iterdir()) == [film]  # nothing unfinished

    monkeypatch.setattr("antipodal.bench.replay.show", lambda path: False)
    default = finished / f"trial-{number}.gif"
    assert command([*again, "--view"]) == 0
    said = capsys.readouterr().out
    assert f"{n_frames} frames in {default}" in said and "open the file yourself" in said
    default.unlink()


def test_a_replay_of_nothing_says_what_is_missing(finished: Path, tmp_path: Path) -> None:
    nothing = next(
        i for i, r in enumerate(rows_of(finished)) if r["T_world_grasp"] is None and r["mesh_hash"]
    )
    with pytest.raises(InvalidConfig, match="no grasp to execute"):
        replay(finished, nothing, tmp_path / "x.gif")
    with pytest.raises(InvalidConfig, match="expected 0 to 47"):
        replay(finished, 999, tmp_path / "x.gif")
    with pytest.raises(InvalidConfig, match=r"\.gif"):
        replay(finished, 0, tmp_path / "x.avi")
    with pytest.raises(UnknownAsset, match=r"trials\.parquet"):
        replay(tmp_path, 0, tmp_path / "x.gif")


def test_another_configuration_in_the_same_folder_is_refused(objects: Path, finished: Path) -> None:
    with pytest.raises(InvalidConfig, match="config, planners differ"):
        run_bench(settings(objects, finished, (GOOD,)))


def test_a_planner_is_another_one_when_a_network_behind_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    seen = set()
    for content in (b"one", b"two"):
        file.write_bytes(content)
        seen |= {planner_hash(f"{kind}:{file}") for kind in ("rival", "dense")}
    assert len(seen) == 4  # dense has a second network, which proposes
    cem, dense = planner_hash("builtin-cem"), planner_hash("builtin-dense")
    assert dense.split()[0] == cem and dense.split()[1:] and " " not in cem


def test_a_planner_of_a_file_goes_by_the_file_s_name_however_its_path_is_spelt(
    objects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(objects / "odd" / "sheet.ply", tmp_path / "one")
    shutil.copy(BUILTIN, tmp_path / "net.onnx")
    monkeypatch.chdir(tmp_path)
    run_bench(settings(tmp_path / "one", tmp_path / "o", ("./net.onnx",)))
    before = (tmp_path / "o" / "config.json").read_bytes()
    (tmp_path / "moved").mkdir()
    moved = shutil.move("net.onnx", tmp_path / "moved")
    run_bench(settings(tmp_path / "one", tmp_path / "o", (str(moved),)))
    assert {r["planner"] for r in rows_of(tmp_path / "o")} == {"net.onnx"}
    assert (tmp_path / "o" / "config.json").read_bytes() == before


def test_two_planners_of_one_name_are_told_apart_by_their_folders() -> None:
    assert planner_names(("rf:/x/forest.npz", "random", "mine:plan", "a/net.onnx")) == {
        "rf:forest.npz": "rf:/x/forest.npz",
        "random": "random",
        "mine:plan": "mine:plan",
        "net.onnx": "a/net.onnx",
    }
    assert list(planner_names(("a/net.onnx", "/x/b/net.onnx", "random"))) == [
        "a/net.onnx",
        "b/net.onnx",
        "random",
    ]
    for twice in (("random", "random"), ("net.onnx", "./net.onnx"), ()):
        with pytest.raises(InvalidConfig, match="expected at least one, each once"):
            planner_names(twice)


def test_a_killed_run_resumes_to_the_same_rows_whatever_the_workers(
    objects: Path, tmp_path: Path
) -> None:
    """kill -9 in the middle, then the same command with another number of workers: as if never interrupted."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_bench(settings(objects, whole, (GOOD, BESIDE), workers=1))
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\nfrom pathlib import Path\nimport test_bench_run as t\n"
        f"t.run_bench(t.settings(Path({str(objects)!r}), Path({str(killed)!r}), (t.GOOD, t.BESIDE), workers=2))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(killed.glob("parts/trials-*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "trials.parquet").exists()
    done = list(killed.glob("parts/trials-*.parquet"))
    assert done
    told: list[int] = []
    run = settings(objects, killed, (GOOD, BESIDE), workers=2)
    run_bench(run, lambda n, total: told.append(n))
    assert told[0] >= len(done)  # what was finished is not done again
    for resumed, uninterrupted in zip(without_times(killed), without_times(whole), strict=True):
        assert resumed == uninterrupted


def test_the_command_line_runs_reports_and_judges(
    objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "bench",
        "--policy",
        BESIDE,
        "--objects",
        str(objects / "boxes"),
        "-o",
        str(tmp_path / "o"),
    ]
    arguments += ["--trials", "1", "--workers", "1", "--n-timed", "1", "--require", "0.5", "--json"]
    assert command(arguments) == 1  # ran, and the planner is below --require
    report = json.loads(capsys.readouterr().out)
    assert report["planners"][BESIDE]["success_rate"] == 0.0
    assert report["planners"][BESIDE]["plan_time_measured"].startswith("single process")
    assert (tmp_path / "o" / "report.html").is_file()
    assert command(["bench", "report", str(tmp_path / "o")]) == 0
    assert "2 objects × 1 trials" in capsys.readouterr().out
    assert (
        command(
            ["bench", "run", "--policy", "nobody", "--objects", str(objects), "-o", str(tmp_path)]
        )
        == 2
    )
    assert "unknown planner 'nobody'" in capsys.readouterr().err


def test_poses_in_the_table_are_rigid_and_in_view(finished: Path) -> None:
    for row in rows_of(finished):
        if row["T_world_grasp"] is not None:
            T = np.reshape(row["T_world_grasp"], (4, 4))
            assert T[:3, :3] @ T[:3, :3].T == pytest.approx(np.eye(3), abs=1e-9)
            assert 0 < T[2, 3] < 0.3, row["planner"]
