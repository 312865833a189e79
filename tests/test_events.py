"""What a run reports: a pace that does not count what an earlier run has made, and events that a machine can read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from antipodal.cli import run
from antipodal.dataset.events import Advance, Done, ObjectRefused, Start, Tally, event_json
from antipodal.mesh import save_mesh
from antipodal.terminal import generation_report
from conftest import box


def test_rate_and_time_left_are_those_of_this_run() -> None:
    """40 of 100 objects were there; 20 more take 10 s: 30 datapoints a second, and 20 s for the other 40."""
    times: Iterator[float] = iter([5.0, 15.0, 35.0])
    tally = Tally(100, 40, 4000, 3, clock=lambda: next(times))
    assert tally.start() == Start(100, 40, 4000, 3)
    tally.add(20, 300, 1)
    assert tally.advance() == Advance(100, 60, 4300, 4, 30.0, 20.0)
    tally.add(40, 600, 0)
    assert tally.done() == Done(100, 4900, 4, 30.0, 30.0)


def test_an_event_is_one_line_of_json_under_its_name() -> None:
    said = json.loads(json.dumps(event_json(ObjectRefused("mug", "too\nwide"))))
    assert said == {"event": "object_refused", "name": "mug", "reason": "too\nwide"}


def test_the_bar_starts_where_the_earlier_run_ended_and_shows_pace_and_time_left(capsys) -> None:
    with generation_report(False) as report:
        report(Start(100, 40, 4000, 1))
        report(ObjectRefused("mug [3]", "no antipodal grasp fits the gripper"))
        report(Advance(100, 60, 4300, 2, 30.0, 3725.0))
    said = " ".join(capsys.readouterr().err.split())
    assert "refused mug [3]: no antipodal grasp fits the gripper" in said
    assert "60/100 4300 datapoints, 30/s, 1:02:05 left" in said


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two boxes and a wall that no jaw spans."""
    folder = tmp_path_factory.mktemp("objects")
    for i, sides in enumerate([(0.03, 0.02, 0.05), (0.2, 0.2, 0.2), (0.02, 0.03, 0.03)]):
        save_mesh(dataclasses.replace(box(*sides), name=f"box_{i}"), folder / f"box_{i}.ply")
    return folder


def test_json_events_go_to_stderr_and_the_summary_is_the_last_line_of_stdout(
    made: Path, tmp_path: Path, capsys
) -> None:
    arguments = ["--preset", "builtin", "--n-datapoints", "90", "--workers", "2", "--json"]
    assert run(["generate", str(made), "-o", str(tmp_path / "set"), *arguments]) == 0
    said = capsys.readouterr()
    summary = json.loads(said.out.splitlines()[-1])
    events = [json.loads(line) for line in said.err.splitlines()]
    assert [e["event"] for e in events] == ["start", "object_refused", "progress", "done"]
    start, refused, progress, done = events
    assert (start["n_objects"], start["n_resumed"]) == (3, 0)
    assert refused["name"] == "box_1"
    assert "gripper" in refused["reason"]
    assert (progress["n_done"], progress["n_refused"], progress["eta_s"]) == (3, 1, 0.0)
    assert done["n_datapoints"] == progress["n_datapoints"] == summary["n_datapoints"] > 0
    assert summary["refused_by_reason"] == {refused["reason"]: 1}
    assert summary["datapoints_per_second"] == done["datapoints_per_second"] > 0


def test_the_summary_in_words_counts_the_refused_by_reason(
    made: Path, tmp_path: Path, capsys
) -> None:
    arguments = ["generate", str(made), "-o", str(tmp_path / "set"), "--preset", "builtin"]
    assert run([*arguments, "--n-datapoints", "90"]) == 0
    said = capsys.readouterr()
    assert "objects that gave nothing: 1\n     1 × no antipodal grasp fits the gripper" in said.out
    assert "refused box_1: no antipodal grasp fits the gripper" in " ".join(said.err.split())
    assert run(["dataset", "info", str(tmp_path / "set")]) == 0
    assert said.out.split("\nin ")[0] in capsys.readouterr().out
