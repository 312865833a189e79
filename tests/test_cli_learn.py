"""The verbs that learn, one after another: a data set becomes a run, a report and a file that a planner can load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the train extra is not installed")

from antipodal.cli import run
from antipodal.quality import load_quality
from synthetic_grasps import write_boxes

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_data_set_is_trained_on_evaluated_and_exported(tmp_path: Path, capsys) -> None:
    data, trained, plots = (str(tmp_path / name) for name in ("data", "run", "plots"))
    write_boxes(Path(data), 300, np.random.default_rng(11))

    def told(*arguments: str) -> dict[str, Any]:
        assert run([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    result = told("train", data, "-o", trained, "--epochs", "1", "--seed", "3")
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert stored["validation"] == result["validation"]
    report = told("evaluate", trained, data, "-o", plots)
    written = json.loads((tmp_path / "plots" / "evaluation.json").read_text())
    assert 0 <= written["accuracy"] == report["accuracy"] <= 1
    exported = told("export", trained, "-o", str(tmp_path / "model.onnx"))
    assert exported["max_difference"] <= 1e-4
    quality = load_quality(tmp_path / "model.onnx")
    assert (quality.name, quality.gripper, quality.crop.size) == ("model", "yumi", 32)
