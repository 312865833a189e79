"""Label against simulation: the table's arithmetic, and a small run that resumes to the same rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import trimesh

from antipodal.bench.agreement import (
    AgreementConfig,
    run_agreement,
    summarise_agreement,
)
from antipodal.bench.disagreements import (
    LABEL_PX,
    TILE_PX,
    draw_disagreements,
    worst_disagreements,
)
from antipodal.bench.scores import auc_interval, wilson
from antipodal.cli import run as command
from antipodal.errors import InvalidConfig
from antipodal.gripper import load_gripper
from antipodal.gripper_files import save_gripper
from antipodal.scores import area_under_roc


def row(
    epsilon: float, outcome: str, name: str = "a", free: float = 1.0, hold: float = 0.5
) -> dict:
    return {
        "object": name,
        "robust_epsilon": epsilon,
        "free_share": free,
        "hold_probability": hold,
        "outcome": outcome,
        "moved": False,
        "success": outcome == "SUCCESS",
    }


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    folder = tmp_path / "objects"
    folder.mkdir()
    trimesh.creation.box((0.03, 0.04, 0.05)).export(folder / "block.ply")
    trimesh.creation.box((0.03, 0.02, 0.06)).export(folder / "bar.ply")
    trimesh.creation.box((0.09, 0.09, 0.09)).export(folder / "crate.ply")
    flat = trimesh.Trimesh([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]], [[0, 1, 2]])
    flat.export(folder / "sheet.ply")
    return folder


def test_every_grasp_is_counted_in_exactly_one_bin_and_agreement_is_that_of_the_threshold() -> None:
    epsilon = [0.0, 0.0005, 0.002, 0.00201, 0.003, 0.02]
    outcomes = ["SUCCESS", "MISSED", "SLIPPED_LIFT", "SUCCESS", "SUCCESS", "COLLIDED_TABLE"]
    summary = summarise_agreement([row(e, o) for e, o in zip(epsilon, outcomes, strict=True)])
    said = summary["robust_epsilon"]
    assert [b["n"] for b in said["bins"]] == [1, 1, 0, 0, 1, 2, 0, 0, 0, 1]
    assert said["agreement"] == pytest.approx(4 / 6)
    assert (said["above"]["n"], said["above"]["success_rate"]) == (3, pytest.approx(2 / 3))
    assert said["below"]["outcomes"] == {"MISSED": 1, "SLIPPED_LIFT": 1, "SUCCESS": 1}
    low, high = said["above"]["success_interval"]
    assert 0 < low < 2 / 3 < high < 1


def test_intervals_are_of_as_many_objects_as_there_are() -> None:
    # four objects, each all or nothing: 500 grasps of each tell no more than one
    rows = [
        row(0.01, "SUCCESS" if i % 2 else "MISSED", str(i), hold=0.9)
        for i in range(4)
        for _ in range(500)
    ]
    said = summarise_agreement(rows)["p_success"]
    as_three = list(
        wilson(1.5, 3)
    )  # four know their own variance as three would that knew their mean
    assert said["above"]["success_interval"] == pytest.approx(as_three)
    assert said["agreement_interval"] == pytest.approx(as_three)


def test_the_chance_of_success_is_that_of_both_and_is_judged_as_a_probability() -> None:
    rows = [
        row(0.0, "SUCCESS", free=1.0, hold=0.9),
        row(0.01, "COLLIDED_OBJECT", free=0.5, hold=0.8),  # 0.4: not foretold to succeed
        row(0.0, "SLIPPED_LIFT", free=1.0, hold=0.0),
        row(0.0, "SLIPPED_LIFT", free=1.0, hold=1.0)
        | {"moved": True},  # a near miss does not count
    ]
    summary = summarise_agreement(rows)
    said = summary["p_success"]
    assert summary["n"] == 3
    assert (said["agreement"], said["auc"]) == (1.0, 1.0)
    assert summary["robust_epsilon"]["agreement"] == pytest.approx(1 / 3)
    assert [b["n"] for b in said["bins"]] == [1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    assert said["brier"] == pytest.approx((0.1**2 + 0.4**2) / 3)
    assert said["ece"] == pytest.approx((0.1 + 0.4) / 3)


def test_the_area_under_the_curve_is_the_share_of_ordered_pairs(rng: np.random.Generator) -> None:
    epsilon = rng.integers(0, 5, 60).astype(float)
    success = rng.random(60) < 0.4
    a, b = epsilon[success][:, None], epsilon[~success][None, :]
    assert area_under_roc(epsilon, success) == pytest.approx(
        ((a > b) + 0.5 * (a == b)).mean(), abs=1e-12
    )
    assert summarise_agreement([row(0.01, "SUCCESS", "a")])["robust_epsilon"]["auc"] is None


def test_an_interval_of_the_area_is_as_wide_as_areas_drawn_again_are() -> None:
    rng = np.random.default_rng(2)

    def drawn(
        n: int,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # eight grasps an object share its difficulty
        ease = np.repeat(rng.normal(size=n), 8)
        quality = ease + 0.5 * rng.normal(size=8 * n)
        return quality, rng.random(8 * n) < 1 / (1 + np.exp(-2 * ease)), np.repeat(np.arange(n), 8)

    quality, success, _ = drawn(20_000)
    truth = area_under_roc(quality, success)
    intervals = np.array([auc_interval(*drawn(60)) for _ in range(600)])
    held = ((intervals[:, 0] < truth) & (truth < intervals[:, 1])).mean()
    assert 0.92 < held < 0.98
    alone = np.array([auc_interval(*drawn(60)[:2], np.arange(480)) for _ in range(600)])
    assert ((alone[:, 0] < truth) & (truth < alone[:, 1])).mean() < 0.85  # as if none were alike
    assert np.isnan(auc_interval(np.arange(4.0), np.array([0, 0, 1, 1], bool), np.arange(4))).all()


def test_the_worst_disagreements_are_the_extremes_without_collisions_one_per_object() -> None:
    chances = [
        (0.7, "SLIPPED_LIFT", "a"),
        (0.8, "SLIPPED_SHAKE", "b"),
        (0.9, "COLLIDED_OBJECT", "c"),
        (0.75, "MISSED", "b"),
        (0.1, "SUCCESS", "d"),
        (0.0, "SUCCESS", "e"),
        (0.7, "SUCCESS", "f"),
        (0.1, "SLIPPED_LIFT", "g"),
    ]
    rows = [row(0.0, outcome, name, hold=hold) for hold, outcome, name in chances]
    failed, held = worst_disagreements(rows, 5)
    assert [r["object"] for r in failed] == ["b", "a"]
    assert [r["object"] for r in held] == ["e", "d"]


def test_a_run_resumes_to_the_same_rows_and_names_what_it_refused(
    meshes: Path, tmp_path: Path
) -> None:
    config = AgreementConfig(n=20, seed=3)
    told: list[tuple[int, int]] = []
    summary = run_agreement(
        meshes, tmp_path / "a", config, progress=lambda *counts: told.append(counts)
    )
    assert told[0] == (0, 4)
    assert told[-1] == (4, 4)
    table = pq.read_table(tmp_path / "a" / "agreement.parquet")
    assert table.num_rows == summary["n"] == 16  # two graspable boxes, eight grasps a scene
    assert set(summary["config"]["refused"]) == {"sheet"}
    assert summary["robust_epsilon"]["above"]["success_rate"] > 0.7
    parts = sorted((tmp_path / "a" / "parts").iterdir())
    parts[1].unlink()
    again: list[tuple[int, int]] = []
    resumed = run_agreement(
        meshes, tmp_path / "a", config, progress=lambda *counts: again.append(counts)
    )
    assert resumed == summary
    assert again[0] == (3, 4)
    assert pq.read_table(tmp_path / "a" / "agreement.parquet").equals(table)
    assert json.loads((tmp_path / "a" / "agreement.json").read_text())["n"] == 16
    with pytest.raises(InvalidConfig, match="holds another run"):
        run_agreement(meshes, tmp_path / "a", AgreementConfig(n=20, seed=4))


def test_a_hand_that_changed_its_numbers_is_another_run(meshes: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    save_gripper(load_gripper("yumi"), file)
    config = AgreementConfig(n=1, seed=3, gripper=str(file))
    run_agreement(meshes, tmp_path / "a", config)
    save_gripper(replace(load_gripper("yumi"), max_force=0.5), file)
    with pytest.raises(InvalidConfig, match=r"holds another run \(gripper_model differ"):
        run_agreement(meshes, tmp_path / "a", config)


def test_disagreements_are_executed_again_and_drawn(meshes: Path, tmp_path: Path) -> None:
    import PIL.Image

    run_agreement(meshes, tmp_path / "a", AgreementConfig(n=8, seed=3))
    rows = pq.read_table(tmp_path / "a" / "agreement.parquet").to_pylist()
    upside_down = [
        {**r, "hold_probability": 0.0, "success": True, "outcome": "SUCCESS"} for r in rows
    ]
    lost = [{**r, "hold_probability": 1.0, "success": False, "outcome": "MISSED"} for r in rows]
    path = tmp_path / "worst.png"

    def drawn(rows: list[dict]) -> np.ndarray:
        assert draw_disagreements(rows, meshes, load_gripper("yumi"), path)
        assert path.stat().st_size < 100_000
        with PIL.Image.open(path) as picture:
            return np.asarray(picture.convert("L"))

    below = drawn(upside_down)
    height = TILE_PX + LABEL_PX
    assert len(below) == height  # one row
    tiles = np.split(below[LABEL_PX:], below.shape[1] // TILE_PX, 1)
    assert all(tile.std() > 10 for tile in tiles)
    # a row says which kind it is, alone or beside the other
    both = drawn(lost + upside_down)
    assert len(both) == 2 * height
    words = [strip < 128 for strip in (below[:LABEL_PX], both[:LABEL_PX], both[height:][:LABEL_PX])]
    assert all(word.any() for word in words)
    assert (words[0] == words[2]).all() and (words[0] != words[1]).any()


def test_what_was_not_found_is_said(
    meshes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("block", "bar"):
        (meshes / f"{name}.ply").unlink()  # what is left fits in no hand, or is a sheet
    picture = tmp_path / "worst.png"
    arguments = ["bench", "agreement", "--objects", str(meshes), "-o", str(tmp_path / "a")]
    arguments += ["-n", "7", "--workers", "1", "--pictures", str(picture)]
    assert command(arguments) == 0
    said = capsys.readouterr().out
    assert "0 collision-free grasps found on 0 of 2 objects (1 refused), 7 asked for" in said
    assert f"no picture {picture}" in said and not picture.exists()
    assert command([*arguments, "--json"]) == 0
    assert f"no picture {picture}" in json.loads(capsys.readouterr().out)["no_picture"]


def test_what_the_labels_foretold_is_printed(
    meshes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "bench",
        "agreement",
        "--objects",
        str(meshes),
        "-o",
        str(tmp_path / "a"),
        "-n",
        "7",
    ]
    assert command([*arguments, "--workers", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    found = json.loads((tmp_path / "a" / "agreement.json").read_text())
    assert said[-1].startswith("refused sheet: ")  # below the table
    for line, label in zip(said[-3:-1], (found["robust_epsilon"], found["p_success"]), strict=True):
        low, high = (f"{100 * bound:.0f}" for bound in label["agreement_interval"])
        assert f"{100 * label['agreement']:.0f}% [{low}–{high}]" in line
        assert f" of {label['above']['n']} " in line


def test_a_config_without_sense_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="agreement n 0"):
        AgreementConfig(n=0)
