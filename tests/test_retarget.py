"""``antipodal retarget``: the whole chain once, tiny; what it refuses; what it says at the end."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch", reason="the train extra is not installed")

from antipodal import retarget as module
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
    cell = Cell(parts, tmp_path / "cell", "yumi", "primesense", workers=1)
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
    model = (cell.output / "model.onnx").read_bytes()
    assert retarget(cell)["success_rate"] == summary["success_rate"]
    assert (cell.output / "model.onnx").read_bytes() == model
    with pytest.raises(InvalidConfig, match="other parts or settings"):
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
