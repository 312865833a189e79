"""The numbers of a data set against counts by hand, row by row; pictures that anybody can read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from antipodal import draw_dataset
from antipodal.alignment import align_with_table
from antipodal.dataset.generate import generate
from antipodal.dataset.model import PAPER, GenerativeModel
from antipodal.dataset.store import Dataset
from antipodal.dataset.summary import family, summary
from antipodal.draw_dataset import _half_widths, save_dataset_plots
from antipodal.grasp import Grasp
from antipodal.gripper import load_gripper
from antipodal.robust import Perturbation
from antipodal.stable_pose import StablePose
from antipodal.viewer.filters import LABELS, Filter, read_filter_facts, select
from conftest import box, cylinder

SMALL: GenerativeModel = dataclasses.replace(
    PAPER,
    n_grasps=20,
    n_jittered=8,
    images_per_pose=2,
    rescale_to=None,
    perturbation=Perturbation(n_samples=4),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two boxes, a cylinder and a wall; two shards would need nine objects."""
    shapes = [box(0.03, 0.02, 0.05), box(0.02, 0.03, 0.03), cylinder(0.015, 0.06, 24)]
    meshes = [dataclasses.replace(m, name=f"{m.name}_{i}") for i, m in enumerate(shapes * 3)]
    meshes.append(dataclasses.replace(box(0.2, 0.2, 0.2), name="wall_9"))
    folder = tmp_path_factory.mktemp("data") / "set"
    return generate(meshes, load_gripper("yumi"), folder, SMALL, seed=5)


def test_every_datapoint_has_one_outcome(dataset: Dataset) -> None:
    facts = summary(dataset)
    rows = dataset.read(["collision_free", "robust_epsilon", "grasp_id", "image_id", "object_id"])
    found = {g["grasp_id"]: g["found"] for g in dataset.table("grasps").to_pylist()}
    counts = dict.fromkeys(facts["datapoints_by_outcome"], 0)
    for free, epsilon, grasp in zip(
        rows["collision_free"], rows["robust_epsilon"], rows["grasp_id"], strict=True
    ):
        if not free:
            counts["in collision"] += 1
        elif epsilon > 0.002:
            counts["positive"] += 1
        else:
            counts["free, not robust" if found[grasp] else "free, a jaw meets nothing"] += 1
    assert facts["datapoints_by_outcome"] == counts
    assert sum(counts.values()) == facts["n_datapoints"] == len(dataset)
    assert counts["positive"] > 0 and counts["in collision"] > 0
    assert facts["positive_share"] == counts["positive"] / len(dataset)
    assert facts["n_images"] == len(set(rows["image_id"].tolist()))
    assert (facts["n_objects"], facts["n_objects_refused"]) == (9, 1)
    assert facts["families"] == {"box": 6, "cylinder": 3}


def test_placements_left_out_are_those_that_the_alignment_finds_too_steep(dataset: Dataset) -> None:
    poses = dataset.table("poses").to_pylist()
    steep = total = 0
    for row in dataset.table("grasps").to_pylist():
        pose = np.array(row["T_obj_grasp"]).reshape(1, 4, 4)
        for where in poses:
            if where["object_id"] != row["object_id"]:
                continue
            if row["pose_id"] >= 0 and row["pose_id"] != where["pose_id"]:
                continue
            T = np.array(where["T_world_obj"]).reshape(4, 4)
            stable = StablePose(T, where["probability"])
            tilt = align_with_table(Grasp(pose, [0.05]), stable).tilt[0]
            total += 1
            steep += tilt >= SMALL.max_approach_table_angle
    got = summary(dataset)["placements"]
    assert got == {"all": total, "closing axis too steep": steep, "kept": total - steep}
    assert 0 < steep < total


def test_a_family_is_the_name_without_its_number() -> None:
    assert family("folded_sheet_0013") == "folded_sheet"
    assert family("007") == "007"
    assert family("part") == "part"


def test_rows_taken_by_number_are_those_of_the_whole_in_the_order_asked_for(
    dataset: Dataset, rng: np.random.Generator
) -> None:
    names = ["crop", "depth", "object_id"]
    whole = dataset.read(names)
    assert len(dataset.manifest["shards"]) == 2
    for rows in (
        rng.permutation(len(dataset))[:50],
        np.array([len(dataset) - 1]),
        np.zeros(0, int),
    ):
        taken = dataset.take(names, rows)
        for name in names:
            np.testing.assert_array_equal(taken[name], whole[name][rows])


def test_the_jaws_are_drawn_at_their_opening() -> None:
    """5 cm seen from 0.7 m with f = 525 px are 37.5 px, or 12.5 px where 96 px are shrunk to 32."""
    shown = {
        "intrinsics": np.array([[525.0, 525.0, 0, 0]]),
        "depth": np.array([0.7]),
        "width": np.array([0.05]),
    }
    paper = {"window_px": 96.0, "window_m": None, "size": 32}
    metric = {"window_px": None, "window_m": 0.128, "size": 32}
    np.testing.assert_allclose(_half_widths(paper, shown), 6.25)
    np.testing.assert_allclose(_half_widths(metric, shown), 6.25)


def test_a_class_of_one_name_has_one_count_in_numbers_pictures_and_viewer(
    dataset: Dataset,
) -> None:
    facts = draw_dataset._read_facts(dataset)
    facts["positive"] = facts["collision_free"] & (facts["robust_epsilon"] > 0.002)
    titles = [part.get_suptitle() for part in draw_dataset._draw_crops(dataset, facts).subfigs]
    counts = {title.split(": ")[0]: int(title.split(": ")[1].split()[0]) for title in titles}
    seen = read_filter_facts(dataset)
    shown = {label: len(select(seen, Filter(label=label))) for label in LABELS}
    assert counts == shown
    said = summary(dataset)["datapoints_by_outcome"]
    assert said["free, a jaw meets nothing"] > 0
    assert all(said[name] == shown[name] for name in said.keys() & shown.keys())
    assert sum(said.values()) == sum(shown.values())


def test_pictures_are_written_and_coloured_by_outcome(dataset: Dataset, tmp_path: Path) -> None:
    files = save_dataset_plots(dataset, tmp_path)
    assert [f.name for f in files] == ["crops.png", "objects.png", "distributions.png"]
    for file in files:
        picture = cv2.imread(str(file)).astype(int)
        blue, green, red = np.moveaxis(picture, -1, 0)
        assert ((green > red + 50) & (green > blue + 40)).any(), f"{file.name}: no positive grasp"
    blue, green, red = np.moveaxis(cv2.imread(str(files[0])).astype(int), -1, 0)
    assert ((red > green + 80) & (red > blue + 80)).any()
