"""``antipodal retarget``: the whole chain once, tiny; what it refuses; what it says at the end."""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("httpx", reason="the serve extra is not installed")

import httpx

from antipodal import retarget as module
from antipodal.bench.config import bench_config
from antipodal.bench.runner import open_run, read_rows
from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.camera_files import load_camera
from antipodal.cli import run as command
from antipodal.dataset.model import BUILTIN
from antipodal.errors import InvalidConfig, InvalidMesh, UnknownAsset
from antipodal.files import write_json
from antipodal.gripper import load_gripper
from antipodal.gripper_files import save_gripper
from antipodal.mesh import save_mesh
from antipodal.retarget import BUDGETS, SHIPPED, Budget, Cell, retarget
from antipodal.retarget_ready import write_ready
from antipodal.retarget_verdict import HELPS, improve, verdict
from antipodal.sim.trial import Outcome
from conftest import box, cylinder
from service_process import running_command


@pytest.fixture
def parts(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for k in range(3):
        save_mesh(cylinder(0.012 + 0.003 * k, 0.07), folder / f"pin{k}.ply")
        save_mesh(box(0.02 + 0.005 * k, 0.03, 0.04), folder / f"block{k}.ply")
    return folder


def test_parts_become_a_network_and_a_verdict_and_the_same_command_resumes(
    parts, tmp_path, monkeypatch
):
    monkeypatch.setitem(BUDGETS, "15min", Budget(3, 1500, 1, 6))
    cell = Cell(parts, tmp_path / "cell", "yumi", "realsense_d435", workers=1)
    (parts / "open.off").write_text("OFF\n3 1 0\n0 0 0\n0.05 0 0\n0 0.05 0\n3 0 1 2\n")
    save_mesh(box(0.2, 0.2, 0.2), parts / "crate.ply")
    said: list[str] = []
    summary = retarget(cell, module.Callbacks(step=said.append))
    assert any(line.startswith("about ") and "minutes" in line for line in said)
    assert any(line.startswith("refused open.off: not closed") for line in said)
    assert any("crate: no side of this mesh fits between the jaws of yumi" in line for line in said)
    assert any(line.startswith("7 parts in m") and "2 are held out" in line for line in said)
    assert (cell.output / "model.onnx").is_file()
    assert (cell.output / "bench" / "report.html").is_file()
    judged = {p.stem for p in (cell.output / "judged").glob("*.ply")}
    trained = {p.stem for p in (cell.output / "objects").glob("parts_*.ply")}
    new = {name.removeprefix("new_") for name in judged if name.startswith("new_")}
    seen = {name.removeprefix("seen_") for name in judged if name.startswith("seen_")}
    assert new == {"block0", "pin1", "crate"}  # every fifth of seven parts, and what gave no data
    assert seen | {"crate"} == {name.removeprefix("parts_") for name in trained}
    assert "4 of 5 parts gave data to train on; the others count as new" in said
    assert not new & seen
    by_part = summary["by_part"]
    n = {group: by_part[group]["builtin-cem"]["n_graspable"] for group in ("seen", "new")}
    assert n["seen"] + n["new"] == summary["n_graspable"] > 0
    assert json.loads((cell.output / "summary.json").read_text())["verdict"] == summary["verdict"]
    # the benchmark's camera is the user's: 848 × 480 px, f 424 px ± 1 %, and as near and as tilted as in training
    folder, run = open_run(cell.output / "bench")
    camera = bench_config(run["config"]).cameras
    assert (camera.width, camera.height, camera.recenter) == (848, 480, False)
    assert camera.focal_px == pytest.approx((0.99 * 424, 1.01 * 424))
    assert (camera.radius, camera.polar) == (BUILTIN.camera.radius, BUILTIN.camera.polar)
    away = np.array(
        [np.reshape(r["T_world_camera"], (4, 4)) for r in read_rows(folder / "trials.parquet")]
    )
    assert (np.linalg.norm(away[:, :3, 3], axis=-1) > 0.75).any()  # the paper's cameras are nearer
    page = html.unescape((cell.output / "bench" / "report.html").read_text())
    assert "848 × 480 px" in page
    assert any("_crate" in line for line in summary["improve"])
    assert all(line in page for line in (summary["verdict"], *summary["improve"]))
    written = (cell.output / "model.onnx").stat().st_mtime_ns
    moved = cell.output.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    again = replace(
        cell, parts=Path("parts"), output=Path("moved")
    )  # elsewhere, and spelt otherwise
    assert retarget(again) == summary == json.loads((moved / "summary.json").read_text())
    assert (summary["model"], summary["report"]) == ("model.onnx", "bench/report.html")
    assert list(summary["success_rate"]) == ["model.onnx", "builtin-cem", "heuristic"]
    assert (moved / "model.onnx").stat().st_mtime_ns == written
    with pytest.raises(InvalidConfig, match=r"another cell \(camera, gripper differ\)"):
        retarget(Cell(parts, moved, "franka_hand", None))


@pytest.mark.parametrize(
    ("better", "interval", "said"),
    [
        ("ours", [0.05, 0.2], "it pays (by 5% to 20%)"),
        ("shipped", [0.05, 0.2], "it does not pay"),
        ("ours", [-0.05, 0.2], "no difference is certain (-5% to +20%)"),
        ("shipped", [-0.05, 0.2], "no difference is certain (-20% to +5%)"),
        ("ours", [None, None], "too few parts"),
    ],
)
def test_the_verdict_follows_the_interval(better, interval, said):
    comparison = {"better": better, "worse": "x", "interval": interval}
    assert said in verdict(0.9, 0.8, comparison, "ours")


def test_what_to_improve_names_parts_and_what_helps():
    def lifts(name, graspable, *outcomes):
        return [
            {"object": name, "graspable": graspable, "success": o == "SUCCESS", "outcome": o}
            for o in outcomes
        ]

    trials = lifts("crate", False, "NO_GRASP", "SUCCESS")
    trials += lifts("pin", True, "SUCCESS", "SLIPPED_LIFT", "SLIPPED_LIFT")
    trials += lifts("cup", True, "SUCCESS", "MISSED") + lifts("box", True, "SUCCESS")
    assert improve(trials) == [
        "1 of 4 parts have no grasp for this hand as they lie (crate): a wider stroke, a fixture, or leave them out",
        f"2 of 3 failures: {HELPS['SLIPPED_LIFT']}",
        f"1 of 3 failures: {HELPS['MISSED']}",
        "weakest parts: pin 1 of 3, cup 1 of 2",
    ]
    ball = lifts("ball", False, "UNSTABLE", "UNSTABLE") + lifts("die", False, "UNSTABLE", "MISSED")
    assert improve([*ball, *lifts("box", True, "SUCCESS")]) == [
        f"1 of 3 parts never lay still (ball): {HELPS['UNSTABLE']}",
        "1 of 3 parts have no grasp for this hand as they lie (die): a wider stroke, a fixture, or leave them out",
    ]
    assert improve(lifts("box", True, "SUCCESS")) == []
    assert set(HELPS) == {outcome.name for outcome in Outcome if outcome != Outcome.SUCCESS}


def test_nothing_graspable_is_said():
    assert "do not fit this gripper" in verdict(None, None, None, "ours")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"budget": "forever"}, "overnight"),
        ({"workers": 0}, "workers 0"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_once(setting, said, tmp_path):
    with pytest.raises(InvalidConfig, match=said):
        Cell(tmp_path, tmp_path, "yumi", None, **setting)


def test_a_wrong_input_does_not_spoil_the_folder_for_the_right_one(parts, tmp_path, monkeypatch):
    class Enough(Exception):
        pass

    def stop(*_, **__):
        raise Enough

    monkeypatch.setattr(module, "run_generate", stop)
    out = tmp_path / "cell"
    with pytest.raises(UnknownAsset, match="no folder"):
        retarget(Cell(tmp_path / "prats", out, "yumi", None))
    with pytest.raises(InvalidMesh, match="it would fit in m"):
        retarget(Cell(parts, out, "yumi", None, mesh_unit="inch"))
    with pytest.raises(Enough):
        retarget(Cell(parts, out, "yumi", None))
    with pytest.raises(InvalidConfig, match="another cell"):
        retarget(Cell(parts, out, "yumi", None, seed=1))


def test_a_part_that_gave_no_data_is_judged_as_new(parts, tmp_path, monkeypatch):
    class Enough(Exception):
        pass

    def stop(*_, **__):
        raise Enough

    refused = {"refused": [{"name": "parts_pin0", "reason": "no stable pose"}]}
    monkeypatch.setattr(module, "run_generate", lambda *_, **__: refused)
    monkeypatch.setattr(module, "train", stop)
    monkeypatch.setitem(BUDGETS, "15min", Budget(1, 10, 1, 6))
    said: list[str] = []
    with pytest.raises(Enough):
        retarget(Cell(parts, tmp_path / "cell", "yumi", None), module.Callbacks(said.append))
    assert said[0].startswith("6 parts in m") and "4 to train on, 2 are held out" in said[0]
    assert "3 of 4 parts gave data to train on; the others count as new" in said
    judged = {p.stem for p in (tmp_path / "cell" / "judged").glob("*.ply")}
    assert judged == {
        *("new_block0", "new_pin2", "new_pin0"),
        *("seen_block1", "seen_block2", "seen_pin1"),
    }


def test_a_part_whose_copy_is_trained_on_is_not_new(parts, tmp_path, monkeypatch):
    class Enough(Exception):
        pass

    def stop(*_, **__):
        raise Enough

    shutil.copy(parts / "block0.ply", parts / "pin9.ply")  # block0 is held out, pin9 is not
    monkeypatch.setattr(module, "run_generate", lambda *_, **__: {"refused": []})
    monkeypatch.setattr(module, "train", stop)
    monkeypatch.setitem(BUDGETS, "15min", Budget(1, 10, 1, 6))
    said: list[str] = []
    with pytest.raises(Enough):
        retarget(Cell(parts, tmp_path / "cell", "yumi", None), module.Callbacks(said.append))
    trained = {p.read_bytes() for p in (tmp_path / "cell" / "objects").glob("parts_*.ply")}
    judged = {p.stem: p.read_bytes() for p in (tmp_path / "cell" / "judged").glob("*.ply")}
    assert len(judged) == len(set(judged.values())) == 6
    assert all((name[:4] == "seen") == (content in trained) for name, content in judged.items())
    assert [line for line in said if line.endswith("pin9 (as block0)")] == said[:1]
    assert said[1].startswith("6 parts in m") and "4 to train on, 2 are held out" in said[1]


def test_what_is_said_of_the_parts_is_said_before_anything_is_made_of_them(
    parts, tmp_path, monkeypatch
):
    class Enough(Exception):
        pass

    def stop(*_):
        raise Enough

    shutil.copy(parts / "block0.ply", parts / "pin9.ply")
    monkeypatch.setattr(module, "make_object_set", stop)
    said: list[str] = []
    with pytest.raises(Enough):
        retarget(Cell(parts, tmp_path / "cell", "yumi", None), module.Callbacks(said.append))
    assert said[0].endswith("copies are left out, 1 of another's file: pin9 (as block0)")
    assert said[1].startswith("6 parts in m")


def test_a_gripper_and_a_camera_count_by_what_their_files_say(parts, tmp_path, monkeypatch):
    class Enough(Exception):
        pass

    def stop(*_, **__):
        raise Enough

    monkeypatch.setattr(module, "run_generate", stop)
    monkeypatch.chdir(tmp_path)
    hand = replace(load_gripper("yumi"), name="mine")
    save_gripper(hand, tmp_path / "hand.toml")
    write_json({"intrinsics": load_camera("phoxi").intrinsics.to_json()}, tmp_path / "eye.json")
    for folder in ("", f"{tmp_path}/"):
        with pytest.raises(Enough):
            retarget(Cell(parts, Path("cell"), f"{folder}hand.toml", f"{folder}eye.json"))
    save_gripper(replace(hand, max_force=10.0), tmp_path / "hand.toml")
    with pytest.raises(InvalidConfig, match=r"another cell \(gripper differ\)"):
        retarget(Cell(parts, Path("cell"), "hand.toml", "eye.json"))


@pytest.mark.parametrize(
    ("theirs", "output"), [("parts", "."), ("parts", "parts/cell"), ("objects/new", ".")]
)
def test_what_is_made_anew_is_never_what_was_given(parts, tmp_path, theirs, output):
    root = tmp_path / "root"
    given = root / theirs
    shutil.copytree(parts, given)
    before = {p: p.read_bytes() for p in given.rglob("*") if p.is_file()}
    with pytest.raises(InvalidConfig, match="would share a folder"):
        retarget(Cell(given, root / output, "yumi", None))
    assert {p: p.read_bytes() for p in given.rglob("*") if p.is_file()} == before


def test_an_output_that_is_a_file_is_refused_in_one_line(parts, tmp_path, capsys):
    file = tmp_path / "cell"
    file.write_text("mine")
    assert command(["retarget", "--meshes", str(parts), "-o", str(file)]) == 2
    assert f"retarget: {file} is a file: expected a folder" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_a_second_start_on_one_output_ends_at_once_and_changes_nothing(
    parts, tmp_path, monkeypatch
):
    class Enough(Exception):
        pass

    out, refused = tmp_path / "cell", []

    def start_another(*_, **__):
        before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
        with pytest.raises(InvalidConfig, match="another process is writing") as caught:
            retarget(Cell(parts, out, "franka_hand", None, seed=1))
        refused.append(caught.value)
        assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
        raise Enough

    # while the parts are imported: nothing that the second start would find is finished yet
    monkeypatch.setattr(module, "import_meshes", start_another)
    with pytest.raises(Enough):
        retarget(Cell(parts, out, "yumi", None))
    assert len(refused) == 1 and json.loads((out / "cell.json").read_text())["gripper"] == "yumi"


def test_folders_that_no_retarget_made_are_not_emptied(parts, tmp_path):
    thesis = tmp_path / "out" / "sources" / "thesis.tex"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("three years")
    with pytest.raises(InvalidConfig, match="holds sources, which no retarget made"):
        retarget(Cell(parts, tmp_path / "out", "yumi", None))
    assert thesis.read_text() == "three years"


@pytest.mark.parametrize(("gripper", "camera"), [("franka_hand", "phoxi"), ("mine", "mine")])
def test_a_cell_holds_the_commands_that_plan_and_serve_with_it(
    gripper, camera, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    cell, ours = tmp_path / "a cell", tmp_path / "ours"
    cell.mkdir(), ours.mkdir()
    shutil.copy(SHIPPED.with_suffix(".onnx"), cell / "model.onnx")
    intrinsics = load_camera("phoxi").intrinsics
    if gripper == "mine":
        save_gripper(replace(load_gripper("franka_hand"), name="mine"), ours / "hand.toml")
        write_json({"intrinsics": intrinsics.to_json()}, ours / "camera.json")
        gripper, camera = str(ours / "hand.toml"), str(ours / "camera.json")
    write_ready(cell, gripper, camera)
    shutil.rmtree(ours)  # the cell needs nothing outside it
    depth = tmp_path / "depth.npy"
    np.save(depth, block_on_a_table(intrinsics).depth)
    (tmp_path / "here").symlink_to(cell / "plan.sh")

    def plan(*flags: str) -> list[dict[str, Any]]:
        command = [tmp_path / "here", depth, "--json", *flags]
        said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert said.returncode == 0, said.stderr
        return json.loads(said.stdout)["grasps"]

    planned = plan()
    other = plan("--gripper", "yumi")  # what is told counts, not the cell's own
    assert (planned[0]["width"], other[0]["width"]) == (0.08, 0.05)
    with running_command(
        [str(cell / "serve.sh"), "--port", "0", "--workers", "1"], tmp_path
    ) as service:
        request = json.loads((cell / "request.json").read_text())
        for asked in (request, {"camera": request["camera"]}):  # the cell's hand, named or not
            answer = httpx.post(
                f"{service.url}/v1/plan",
                data={"request": json.dumps(asked)},
                files={"depth": depth.read_bytes()},
                timeout=60,
            ).json()
            served = answer["grasps"]
            assert answer["gripper"] == request["gripper"]
            assert served == planned[: len(served)]
            assert served


def test_a_hand_that_would_be_taken_for_a_built_in_one_is_refused_at_once(
    parts, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "import_meshes", None)  # nothing is made
    save_gripper(replace(load_gripper("yumi"), max_width=0.06), tmp_path / "my.toml")
    with pytest.raises(InvalidConfig, match=r"gripper yumi: .* expected a name of its own"):
        retarget(Cell(parts, tmp_path / "cell", str(tmp_path / "my.toml"), None))
    assert not (tmp_path / "cell").exists()


def block_on_a_table(intrinsics: CameraIntrinsics) -> DepthImage:
    """A block of 30 × 60 × 40 mm on a table at 0.7 m, seen from straight above."""
    depth = np.full((intrinsics.height, intrinsics.width), 0.7, np.float32)
    v, u = intrinsics.height // 2, intrinsics.width // 2
    half_v, half_u = (int(side / 2 * intrinsics.fx / 0.66) for side in (0.06, 0.03))
    depth[v - half_v : v + half_v, u - half_u : u + half_u] = 0.66
    return DepthImage(depth, intrinsics)
