"""``antipodal retarget``: the whole chain once, tiny; what it refuses; what it says at the end."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the train extra is not installed")

from antipodal import retarget as module
from antipodal.bench.config import bench_config
from antipodal.bench.runner import open_run, read_rows
from antipodal.dataset.model import BUILTIN
from antipodal.errors import InvalidConfig
from antipodal.mesh import save_mesh
from antipodal.retarget import BUDGETS, Budget, Cell, retarget, verdict
from conftest import box, cylinder


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
    monkeypatch.setitem(BUDGETS, "15min", Budget(3, 1500, 1, 1, 1))
    cell = Cell(parts, tmp_path / "cell", "yumi", "realsense_d435", workers=1)
    said: list[str] = []
    summary = retarget(cell, module.Callbacks(step=said.append))
    assert "6 parts" in said[1]
    assert (cell.output / "model.onnx").is_file()
    assert (cell.output / "bench" / "report.html").is_file()
    judged = {p.name for p in (cell.output / "judged").glob("*.ply")}
    trained = {p.name for p in (cell.output / "objects").glob("*.ply")}
    assert len(judged) == 2  # every fifth of six parts
    assert not judged & trained
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
    assert "848 × 480 px" in (cell.output / "bench" / "report.html").read_text()
    model = (cell.output / "model.onnx").read_bytes()
    assert retarget(cell)["success_rate"] == summary["success_rate"]
    assert (cell.output / "model.onnx").read_bytes() == model
    with pytest.raises(InvalidConfig, match=r"another cell \(camera, gripper differ\)"):
        retarget(Cell(parts, cell.output, "franka_hand", None))


@pytest.mark.parametrize(
    ("better", "interval", "said"),
    [
        ("ours", [0.05, 0.2], "it pays (by 5% to 20%)"),
        ("shipped", [0.05, 0.2], "it does not pay"),
        ("ours", [-0.05, 0.2], "no difference is certain (-5% to +20%)"),
        ("shipped", [-0.05, 0.2], "no difference is certain (-20% to +5%)"),
        ("ours", [float("nan")] * 2, "too few parts"),
    ],
)
def test_the_verdict_follows_the_interval(better, interval, said):
    comparison = {"better": better, "worse": "x", "interval": interval}
    assert said in verdict(0.9, 0.8, comparison, "ours")


def test_nothing_graspable_is_said():
    assert "do not fit this gripper" in verdict(None, None, None, "ours")


def test_an_unknown_budget_is_refused(tmp_path):
    with pytest.raises(InvalidConfig, match="overnight"):
        Cell(tmp_path, tmp_path, "yumi", None, budget="forever")
