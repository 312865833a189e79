"""The demo: one command from an object to a lift, with its picture and its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import cv2

from antipodal.demo import run_demo


def test_the_demo_lifts_its_mug_and_shows_it(tmp_path: Path) -> None:
    result = run_demo(tmp_path, 0)
    assert result["trial"]["outcome"] == "success" and result["trial"]["success"]
    assert result["plan"]["grasps"]
    assert {p.name for p in tmp_path.iterdir()} == set(result["files"])
    assert json.loads((tmp_path / "demo.json").read_text())["trial"]["outcome"] == "success"
    assert cv2.imread(str(tmp_path / "demo.png")).std() > 10
