"""Several hands' data sets as one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from antipodal.dataset.dexnet2_export import export_tensors
from antipodal.dataset.join import join
from antipodal.dataset.schema import OBJECTS, to_table
from antipodal.dataset.store import Dataset, write_table
from antipodal.dataset.summary import summary
from antipodal.errors import InvalidConfig
from antipodal.files import write_json
from antipodal.gripper import load_gripper
from antipodal.viewer.filters import read_filter_facts
from synthetic_grasps import write_boxes


def of_hand(path: Path, name: str, n: int, strokes: float = 2.0) -> Dataset:
    hand = load_gripper(name)
    made = write_boxes(path / name, n, np.random.default_rng(n))
    crop = {"size": 32, "window_px": None, "window_m": strokes * hand.max_width}
    manifest = {**made.manifest, "gripper": hand.to_json()}
    numbered = to_table(
        OBJECTS,
        object_id=[0, 1],
        name=["box", "another hand's"],
        mesh_hash=["", ""],
        extents=np.zeros((2, 3)),
        n_datapoints=[n, 0],
        reason=["", "another hand's"],
    )
    write_table(numbered, made.path / "objects.parquet")
    manifest["config"] = {**made.config, "crop": crop}
    write_json(manifest, made.path / "dataset.json")
    return Dataset.open(made.path)


def test_joined_rows_are_both_in_turn_each_with_its_own_hand(tmp_path: Path) -> None:
    parts = [of_hand(tmp_path, "yumi", 40), of_hand(tmp_path, "franka_hand", 30)]
    both = join(parts, tmp_path / "both")
    both.check()
    assert len(both) == 70 and both.config == parts[0].config
    for name in ("crop", "object_id", "depth"):
        want = np.concatenate([part.read([name])[name] for part in parts])
        np.testing.assert_array_equal(both.read([name])[name], want)
    want = np.concatenate(
        [np.tile(load_gripper(n).told, (k, 1)) for n, k in (("yumi", 40), ("franka_hand", 30))]
    )
    np.testing.assert_array_equal(both.hands(), want.astype(np.float32))
    named = both.table("objects")["name"].to_pylist()
    assert named == ["box", "box"]
    # held out is held out for every hand
    train, validation = both.split("object_wise", 0, 0.8)
    ids = both.read(["object_id"])["object_id"]
    assert not set(ids[train]) & set(ids[validation])
    assert join(parts, tmp_path / "both").manifest == both.manifest


def test_a_folder_that_joins_others_is_refused(tmp_path: Path) -> None:
    named = {"yumi": 20, "franka_hand": 30, "robotiq_2f85": 40}
    parts = [of_hand(tmp_path, name, n) for name, n in named.items()]
    join(parts[:2], tmp_path / "both")
    for others in (parts[::2], parts, parts[1::-1]):
        with pytest.raises(InvalidConfig, match="both holds another data set"):
            join(others, tmp_path / "both")


def test_parts_of_other_objects_are_refused(tmp_path: Path) -> None:
    parts = [of_hand(tmp_path, "yumi", 40), of_hand(tmp_path, "franka_hand", 30)]
    table = parts[1].table("objects")
    names = pa.array(["can", "another hand's"])
    place = table.schema.get_field_index("name")
    table = table.set_column(place, table.schema.field("name"), names)
    write_table(table, parts[1].path / "objects.parquet")
    with pytest.raises(InvalidConfig, match="object 0 is can, in another part box"):
        join(parts, tmp_path / "both")


def test_crops_of_other_strokes_or_of_pixels_are_refused(tmp_path: Path) -> None:
    yumi = of_hand(tmp_path, "yumi", 20)
    other = of_hand(tmp_path, "robotiq_2f85", 20, strokes=1.5)
    with pytest.raises(InvalidConfig, match=r"\(32, 1.5\): expected those of .*\(32, 2.0\)"):
        join([yumi, other], tmp_path / "both")
    pixels = write_boxes(tmp_path / "pixels", 20, np.random.default_rng(0))
    with pytest.raises(InvalidConfig, match="crops in metres"):
        join([yumi, pixels], tmp_path / "both")


def test_what_looks_grasps_up_by_number_refuses_several_hands(tmp_path: Path) -> None:
    parts = [of_hand(tmp_path, "yumi", 40), of_hand(tmp_path, "franka_hand", 30)]
    both = join(parts, tmp_path / "both")
    for read in (
        summary,
        read_filter_facts,
        lambda data: data.targets("force_closure"),
        lambda data: export_tensors(data, tmp_path / "exported"),
    ):
        with pytest.raises(InvalidConfig, match="joins 2 hands, whose grasps share numbers"):
            read(both)


def test_what_cannot_be_joined_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    yumi, franka = of_hand(tmp_path, "yumi", 40), of_hand(tmp_path, "franka_hand", 30)

    def of_model(name: str, **changes: object) -> Dataset:
        manifest = {**franka.manifest, "config": franka.config | changes}
        shutil.copytree(franka.path, tmp_path / name)
        write_json(manifest, tmp_path / name / "dataset.json")
        return Dataset.open(tmp_path / name)

    none = {"counts": {"n_datapoints": 0, "n_objects": 2}, "shards": [
        {**shard, "n_datapoints": 0} for shard in franka.manifest["shards"]
    ]}  # fmt: skip
    empty = Dataset(franka.path, franka.manifest | none)
    for parts, said in (
        ([], "0 data sets without a datapoint"),
        ([empty], "1 data sets without a datapoint"),
        ([yumi, yumi], "yumi holds rows that .*yumi holds too"),
        (
            [yumi, of_model("blind", execution=None)],
            r"blind was made otherwise .*\(execution differ",
        ),
        ([yumi, of_model("more", n_grasps=7)], r"more was made otherwise .*\(n_grasps differ"),
    ):
        with pytest.raises(InvalidConfig, match=said):
            join(parts, tmp_path / "both")
        assert not (tmp_path / "both").exists()
    # a hand that got no object takes no part, and what an earlier join left of these is written anew
    join([yumi, empty], tmp_path / "one").check()
    (tmp_path / "one" / "dataset.json").unlink()
    left = tmp_path / "one" / "shards" / "02-part-00000.parquet"
    left.write_bytes(b"of a join of more")
    with pytest.raises(InvalidConfig, match=r"one holds shards/02-part-00000\.parquet"):
        join([yumi, empty], tmp_path / "one")
    left.unlink()
    assert len(join([yumi, empty], tmp_path / "one")) == 40
