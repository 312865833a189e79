"""The tensor data set of the original, written and read: round trips, layout, damage."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from antipodal.cli import run
from antipodal.dataset.dexnet2_export import COLUMNS, export_tensors, to_tensors
from antipodal.dataset.dexnet2_import import import_tensors, to_rows
from antipodal.dataset.dexnet2_tensors import TensorFolder, read_split
from antipodal.dataset.generate import generate
from antipodal.dataset.model import PAPER
from antipodal.dataset.store import Dataset
from antipodal.errors import CorruptDataset, InvalidConfig, UnknownAsset
from antipodal.gripper import load_gripper
from antipodal.robust import Perturbation
from conftest import box

SMALL = dataclasses.replace(
    PAPER,
    n_grasps=12,
    n_jittered=4,
    images_per_pose=5,
    rescale_to=None,
    perturbation=Perturbation(n_samples=2),
)
YUMI = load_gripper("yumi")
CROP_TOLERANCE = 5e-5
"""float16 of a depth relative to the grasp's, m (docs/dataset-format.md)."""


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Nine boxes in two shards, more than one file of a thousand rows."""
    boxes = [
        dataclasses.replace(box(0.03, 0.02 + 0.002 * i, 0.05), name=f"box{i}") for i in range(9)
    ]
    return generate(boxes, YUMI, tmp_path_factory.mktemp("ours") / "set", SMALL, seed=3)


@pytest.fixture(scope="module")
def theirs(ours: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as tensors."""
    path = tmp_path_factory.mktemp("theirs") / "tensors"
    export_tensors(ours, path, seed=5)
    return path


@pytest.fixture(scope="module")
def back(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """And read again."""
    return import_tensors(theirs, tmp_path_factory.mktemp("back") / "set")


def tensor(folder: Path, field: str) -> np.ndarray:
    """Read a field by hand, as numpy alone would."""
    files = sorted((folder / "tensors").glob(f"{field}_?????.npz"))
    return np.concatenate([np.load(file)["arr_0"] for file in files])


def hand_made(folder: Path, n: int = 20, size: int = 8) -> Path:
    """A small tensor data set of two files, with every optional field."""
    (folder / "tensors").mkdir(parents=True)
    rng = np.random.default_rng(2)
    for k in range(2):
        poses = np.column_stack(
            [rng.uniform(50, 500, (n, 2)), rng.uniform(0.6, 0.7, n), rng.uniform(0, 6, n)]
        )
        free = rng.integers(0, 2, n)
        fields = {
            "depth_ims_tf_table": rng.uniform(0.6, 0.8, (n, size, size, 1)).astype(np.float32),
            "hand_poses": np.column_stack([poses, np.zeros((n, 2)), np.full(n, 38.0)]),
            "robust_ferrari_canny": free * rng.uniform(0, 0.004, n),
            "collision_free": free.astype(np.uint32),
            "obj_labels": (np.arange(n, dtype=np.uint32) + k * n) // 10,
            "pose_labels": (np.arange(n, dtype=np.uint32) + k * n) // 5,
            "image_labels": (np.arange(n, dtype=np.uint32) + k * n) // 2,
        }
        for name, values in fields.items():
            np.savez_compressed(folder / "tensors" / f"{name}_{k:05d}.npz", values)
    (folder / "config.json").write_text(json.dumps({"datapoints_per_file": n}))
    return folder


def test_a_round_trip_keeps_every_fact(ours: Dataset, back: Dataset) -> None:
    assert len(ours) > 1000
    assert len(ours.manifest["shards"]) == 2
    before, after = ours.read(COLUMNS), back.read(COLUMNS)
    np.testing.assert_array_equal(np.isnan(before["crop"]), np.isnan(after["crop"]))
    assert np.nanmax(np.abs(before["crop"] - after["crop"])) <= CROP_TOLERANCE
    for name in ("object_id", "pose_id", "image_id", "grasp_id", "collision_free", "depth"):
        np.testing.assert_array_equal(before[name], after[name])
    np.testing.assert_array_equal(before["center_px"], after["center_px"])
    np.testing.assert_allclose(before["angle"], after["angle"], atol=1e-6)  # 2π in float32
    np.testing.assert_allclose(before["width"], after["width"], rtol=1e-6)
    np.testing.assert_allclose(before["T_world_camera"], after["T_world_camera"], atol=1e-6)
    np.testing.assert_array_equal(before["intrinsics"], after["intrinsics"])
    free = before["collision_free"]
    np.testing.assert_array_equal(before["robust_epsilon"][free], after["robust_epsilon"][free])
    assert (after["robust_epsilon"][~free] == 0).all()
    assert 0.1 < free.mean() < 1


def test_a_round_trip_keeps_labels_and_splits(ours: Dataset, theirs: Path, back: Dataset) -> None:
    for threshold in (0.0, 0.002, 0.01):
        np.testing.assert_array_equal(ours.labels(threshold), back.labels(threshold))
    names = {
        "image_wise": "image_wise",
        "stable_pose_wise": "pose_wise",
        "object_wise": "object_wise",
    }
    for their_name, our_name in names.items():
        stored = read_split(theirs, their_name)
        for dataset in (ours, back):
            split = dataset.split(our_name, seed=5)  # type: ignore[arg-type]
            np.testing.assert_array_equal(split[0], stored[0])
            np.testing.assert_array_equal(split[1], stored[1])


def test_a_round_trip_keeps_names_gripper_and_crop(ours: Dataset, back: Dataset) -> None:
    def objects(dataset: Dataset) -> list[tuple[int, str, int]]:
        rows = dataset.table("objects").to_pylist()
        return [(r["object_id"], r["name"], r["n_datapoints"]) for r in rows]

    assert objects(back) == objects(ours)
    assert back.manifest["gripper"] == ours.manifest["gripper"]
    assert back.config["crop"] == ours.config["crop"]
    assert back.manifest["imported"]["unknown"] == []
    back.check()


def test_the_tensors_are_laid_out_as_the_original_lays_them_out(
    ours: Dataset, theirs: Path
) -> None:
    facts = ours.read(COLUMNS)
    n = len(ours)
    first = np.load(theirs / "tensors" / "depth_ims_tf_table_00000.npz")
    assert first.files == ["arr_0"]
    assert first["arr_0"].shape == (1000, 32, 32, 1)
    last = np.load(theirs / "tensors" / f"hand_poses_{(n - 1) // 1000:05d}.npz")["arr_0"]
    assert last.shape == ((n - 1) % 1000 + 1, 7)
    fields = json.loads((theirs / "config.json").read_text())["fields"]
    for name, field in fields.items():
        values = tensor(theirs, name)
        assert len(values) == n
        assert str(values.dtype) == field["dtype"]
        assert list(values.shape[1:]) == [
            field[side] for side in ("height", "width", "channels") if side in field
        ]
    seen = ~np.isnan(facts["crop"])
    crops = tensor(theirs, "depth_ims_tf_table")[..., 0]
    absolute = facts["crop"].astype(np.float64) + facts["depth"][:, None, None]
    np.testing.assert_allclose(crops[seen], absolute[seen], atol=1e-7)
    assert (crops[~seen] == 0).all()
    want = np.where(facts["collision_free"], facts["robust_epsilon"], 0)
    np.testing.assert_array_equal(tensor(theirs, "robust_ferrari_canny"), want)
    np.testing.assert_array_equal(tensor(theirs, "obj_labels"), facts["object_id"])


def test_the_columns_of_hand_poses_are_those_of_the_reference(ours: Dataset, theirs: Path) -> None:
    facts = ours.read(COLUMNS)
    poses = tensor(theirs, "hand_poses")
    fx, _, cx, cy = facts["intrinsics"].T
    u, v = facts["center_px"].T
    np.testing.assert_array_equal(poses[:, :3], np.column_stack([v, u, facts["depth"]]))
    assert ((poses[:, 3] >= 0) & (poses[:, 3] < 2 * np.pi)).all()
    np.testing.assert_allclose(np.cos(poses[:, 3]), np.cos(facts["angle"]), atol=1e-6)
    np.testing.assert_allclose(np.sin(poses[:, 3]), np.sin(facts["angle"]), atol=1e-6)
    np.testing.assert_allclose(poses[:, 4:6], np.column_stack([v - cy, u - cx]), atol=1e-4)
    # square pixels: the width in px is f · width / depth
    np.testing.assert_allclose(poses[:, 6], fx * facts["width"] / facts["depth"], rtol=1e-6)


def test_cameras_are_position_and_wxyz_and_fx_fy_cx_cy(ours: Dataset, theirs: Path) -> None:
    facts = ours.read(["T_world_camera", "intrinsics"])
    T = facts["T_world_camera"].reshape(-1, 4, 4)
    poses = tensor(theirs, "camera_poses")
    np.testing.assert_array_equal(poses[:, :3], T[:, :3, 3])
    rotation = Rotation.from_quat(poses[:, [4, 5, 6, 3]]).as_matrix()  # scipy's order is xyzw
    np.testing.assert_allclose(rotation, T[:, :3, :3], atol=1e-6)
    np.testing.assert_array_equal(tensor(theirs, "camera_intrs"), facts["intrinsics"])


def test_an_angle_just_below_zero_stays_below_a_whole_turn() -> None:
    rows = {
        "crop": np.zeros((3, 8, 8), np.float16),
        "depth": np.full(3, 0.7, np.float32),
        "center_px": np.zeros((3, 2), np.float32),
        "angle": np.array([-1e-9, 0.0, -0.5], np.float32),
        "width": np.full(3, 0.05, np.float32),
        "collision_free": np.ones(3, bool),
        "robust_epsilon": np.zeros(3, np.float32),
        **dict.fromkeys(("object_id", "pose_id", "image_id", "grasp_id"), np.zeros(3, np.int32)),
        "T_world_camera": np.tile(np.eye(4).ravel(), (3, 1)),
        "intrinsics": np.tile([525.0, 525.0, 299.5, 299.5], (3, 1)),
    }
    angle = to_tensors(rows)["hand_poses"][:, 3]
    assert ((angle >= 0) & (angle < np.float32(2 * np.pi))).all()
    np.testing.assert_allclose(angle, [0, 0, 2 * np.pi - 0.5], atol=1e-6)


def test_the_same_data_set_gives_the_same_bytes(
    ours: Dataset, theirs: Path, tmp_path: Path
) -> None:
    export_tensors(ours, tmp_path / "again", seed=5)
    files = sorted(p.relative_to(theirs) for p in theirs.rglob("*") if p.is_file())
    assert len(files) > 20
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (theirs / file).read_bytes(), file


def test_swapped_jaws_turn_the_crop() -> None:
    """On a ramp along the image's u, a crop at angle θ rises by cos θ along its columns and −sin θ along its rows."""
    angle = np.linspace(0, 2 * np.pi, 37)[:-1] + 0.01
    x = (np.arange(32) - 15.5) * 3
    along, across = np.cos(angle)[:, None, None] * x, -np.sin(angle)[:, None, None] * x[:, None]
    n, slope = len(angle), 1e-4
    block = {
        "depth_ims_tf_table": 0.7 + slope * (along + across),
        "hand_poses": np.column_stack(
            [np.full((n, 2), 300.0), np.full(n, 0.7), angle, np.zeros((n, 3))]
        ),
        "robust_ferrari_canny": np.zeros(n),
    }
    rows = to_rows(block, 0.05)
    folded = rows["angle"]
    assert ((folded >= -np.pi / 2) & (folded < np.pi / 2)).all()
    assert (np.abs(folded - angle) > 3).any()
    columns, lines = np.gradient(rows["crop"].astype(float), 3.0, axis=(2, 1))
    np.testing.assert_allclose(columns.mean((1, 2)), slope * np.cos(folded), atol=1e-6)
    np.testing.assert_allclose(lines.mean((1, 2)), -slope * np.sin(folded), atol=1e-6)


def test_width_comes_from_pixels_where_the_camera_is_known_and_from_the_hand_elsewhere() -> None:
    block = {
        "depth_ims_tf_table": np.full((5, 8, 8), 0.7),
        "hand_poses": np.tile([300.0, 320, 0.7, 0.0, 60, 70, 30.0], (5, 1)),
        "robust_ferrari_canny": np.zeros(5),
        # known, missing, the zeros of a field that was declared and never written, without its axis, without an end
        "camera_intrs": np.array(
            [[525.0, 525, 260, 230], [np.nan] * 4, [0.0] * 4, [525, 525, 0, 0], [np.inf] * 4]
        ),
        "camera_poses": np.array([[0, 0, 0.7, 0, 1, 0, 0], *[[np.nan] * 7] * 3, [0.0] * 7]),
    }
    rows = to_rows(block, 0.05)
    known = 30 * 0.7 / 525
    np.testing.assert_allclose(rows["width"], [known, 0.05, 0.05, known, 0.05])
    f, none = [525, 525], [np.nan, np.nan]
    axis = [320 - 70, 300 - 60]
    want = [[*f, 260, 230], [*none, *axis], [*none, *axis], [*f, *axis], [*none, *axis]]
    np.testing.assert_array_equal(rows["intrinsics"], want)
    assert np.isfinite(rows["T_world_camera"]).all(1).tolist() == [True, *[False] * 4]
    looking_down = rows["T_world_camera"][0].reshape(4, 4)
    np.testing.assert_allclose(looking_down[:3, 2], [0, 0, -1], atol=1e-12)


@pytest.mark.parametrize("focal", [0.00525, 5.25, -525.0])
def test_a_focal_length_that_is_not_in_pixels_is_refused(focal: float, tmp_path: Path) -> None:
    source = hand_made(tmp_path / "source")
    for k in range(2):
        intrinsics = np.tile([focal, focal, 300, 300], (20, 1))
        np.savez(source / "tensors" / f"camera_intrs_{k:05d}.npz", intrinsics)
    with pytest.raises(CorruptDataset, match=f"focal length of {focal:g}: expected pixels"):
        import_tensors(source, tmp_path / "set")


def test_the_layout_of_before_2018_is_read_alike(tmp_path: Path) -> None:
    modern = hand_made(tmp_path / "modern")
    legacy = tmp_path / "legacy"
    legacy.mkdir()
    for file in (modern / "tensors").iterdir():
        shutil.copy(file, legacy / file.name.replace("obj_labels", "object_labels"))
    a = import_tensors(modern, tmp_path / "a").read(COLUMNS)
    b = import_tensors(legacy, tmp_path / "b").read(COLUMNS)
    for name in COLUMNS:
        np.testing.assert_array_equal(a[name], b[name])
    assert len(set(a["object_id"].tolist())) == 4


def test_a_metric_at_the_threshold_is_negative_as_in_the_original(tmp_path: Path) -> None:
    source = hand_made(tmp_path / "source")
    near = np.float32(0.002) + np.spacing(np.float32(0.002)) * np.arange(-2, 3, dtype=np.float32)
    metric = np.tile(near, 4)
    for k in range(2):
        np.savez(source / "tensors" / f"robust_ferrari_canny_{k:05d}.npz", metric)
        (source / "tensors" / f"collision_free_{k:05d}.npz").unlink()
    want = np.tile(metric > 0.002, 2)
    assert want.sum() == 16
    np.testing.assert_array_equal(import_tensors(source, tmp_path / "set").labels(), want)


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def _write(values: object) -> Callable[[Path], None]:
    return lambda file: np.savez(file, np.asarray(values))


def _change(change: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    return lambda file: np.savez(file, np.asarray(change(np.load(file)["arr_0"])))


def _depths(change: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    def of_poses(poses: np.ndarray) -> np.ndarray:
        poses[:, 2] = change(poses[:, 2])
        return poses

    return _change(of_poses)


BAD_POSES = np.tile([300.0, 300, -0.7, 0.0, 0, 0, 30.0], (20, 1))


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("depth_ims_tf_table_00000.npz", Path.unlink, "lacks depth_ims_tf_table_00000"),
        ("obj_labels_00001.npz", Path.unlink, "lacks obj_labels_00001"),
        ("hand_poses_00001.npz", _truncate, "not readable"),
        ("depth_ims_tf_table_00001.npz", _flip, "not readable"),
        ("hand_poses_00000.npz", lambda f: f.write_bytes(b"<html>404</html>"), "not readable"),
        ("hand_poses_00000.npz", _write(np.array([{}])), "not readable"),
        ("hand_poses_00000.npz", lambda f: np.savez(f, poses=BAD_POSES), "arr_0"),
        ("hand_poses_00000.npz", _write(["text"] * 20), "expected numbers"),
        ("hand_poses_00001.npz", _write(np.ones((20, 4))), "(20, 7)"),
        ("hand_poses_00001.npz", _write(np.ones((19, 7))), "(20, 7)"),
        ("hand_poses_00001.npz", _write(BAD_POSES), "depth in metres"),
        ("hand_poses_00001.npz", _depths(lambda z: 1000 * z), "in millimetres?"),
        ("hand_poses_00001.npz", _depths(lambda z: 100 * z), "in millimetres?"),
        ("hand_poses_00001.npz", _depths(lambda z: 0 * z + 0.01), "show what is 0.59 m away"),
        ("hand_poses_00001.npz", _change(lambda p: p[:, [0, 1, 3, 2, 4, 5, 6]]), "same camera"),
        ("depth_ims_tf_table_00001.npz", _change(lambda z: (z - 0.7) / 0.06), "not normalised"),
        ("depth_ims_tf_table_00001.npz", _change(lambda z: z - 0.65), "not relative"),
        ("depth_ims_tf_table_00001.npz", _change(lambda z: 20 * z), "show what is 11"),
        ("depth_ims_tf_table_00001.npz", _change(lambda z: (18 * z).astype(np.uint8)), "m away"),
        ("depth_ims_tf_table_00001.npz", _change(np.zeros_like), "show nothing"),
        ("robust_ferrari_canny_00001.npz", _write(np.ones(7)), "20 rows"),
        ("robust_ferrari_canny_00000.npz", _write(np.ones(20)), "collide"),
        ("robust_ferrari_canny_00001.npz", _write(np.full(20, np.nan)), "not finite"),
        ("collision_free_00001.npz", _write(np.full(20, np.nan)), "neither 0 nor 1"),
        ("collision_free_00001.npz", _write(np.full(20, -1)), "neither 0 nor 1"),
        ("depth_ims_tf_table_00001.npz", _write(np.ones((20, 32, 24, 1))), "(N, 8, 8, 1)"),
        ("depth_ims_tf_table_00001.npz", _write(np.ones((20, 16, 16, 1))), "(N, 8, 8, 1)"),
        ("depth_ims_tf_table_00001.npz", _write(np.full((20, 8, 8, 1), 700.0)), "metres"),
        ("image_labels_00000.npz", _write(np.full(20, -1)), "ids outside"),
        ("image_labels_00000.npz", _write(np.full(20, 0.5)), "ids outside"),
        ("../config.json", lambda f: f.write_text('{"datapoints_per_file": 21}'), "says 21"),
        ("../config.json", lambda f: f.write_text("{"), "not JSON"),
        ("../metadata.json", lambda f: f.write_text("[]"), "not a JSON object"),
        (
            "../metadata.json",
            lambda f: f.write_text('{"antipodal": {"crop": {"size": 32}}}'),
            "crops of 32 px",
        ),
        ("../metadata.json", lambda f: f.write_text('{"antipodal": {"gripper": 1}}'), "--gripper"),
        ("../object_category_map.json", lambda f: f.write_text('{"mug": "x"}'), "name → id"),
    ],
)
def test_damage_is_named_in_one_line_and_nothing_is_left(
    file: str, damage: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    source = hand_made(tmp_path / "source")
    damage(source / "tensors" / file)
    with pytest.raises(CorruptDataset) as caught:
        import_tensors(source, tmp_path / "out" / "set")
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_single_odd_rows_do_not_refuse_a_file(tmp_path: Path) -> None:
    """A crop without a return, a grasp in the air: some of a thousand are no reason to read none."""
    source = hand_made(tmp_path / "source")

    def odd(crops: np.ndarray) -> np.ndarray:
        crops[:3] = 0
        crops[3:6] += 0.5
        return crops

    _change(odd)(source / "tensors" / "depth_ims_tf_table_00001.npz")
    crops = import_tensors(source, tmp_path / "set").read(["crop"])["crop"]
    assert np.isnan(crops[20:23]).all() and np.isfinite(crops[23:]).all()


def test_a_folder_without_tensors_and_one_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownAsset, match="no tensors"):
        TensorFolder.open(tmp_path)
    source = hand_made(tmp_path / "source")
    for file in (source / "tensors").glob("robust_ferrari_canny*"):
        file.rename(file.with_name(file.name.replace("robust_ferrari_canny", "grasp_metrics")))
    with pytest.raises(CorruptDataset, match="needs robust_ferrari_canny"):
        TensorFolder.open(source)


def test_an_occupied_folder_is_not_touched(theirs: Path, ours: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InvalidConfig, match="already holds"):
        import_tensors(theirs, tmp_path)
    with pytest.raises(InvalidConfig, match="already holds"):
        export_tensors(ours, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_seed_that_no_split_takes_is_refused_before_anything_is_written(
    ours: Dataset, tmp_path: Path
) -> None:
    done: list[int] = []
    with pytest.raises(InvalidConfig, match="seed -1: expected 0 or more"):
        export_tensors(ours, tmp_path / "out", -1, lambda k, total, n: done.append(k))
    assert not done and not (tmp_path / "out").exists()


def test_an_unknown_split_lists_what_there_is(theirs: Path) -> None:
    with pytest.raises(UnknownAsset, match="image_wise, object_wise, stable_pose_wise"):
        read_split(theirs, "grasp_wise")


@pytest.mark.parametrize(
    ("train", "validation", "said"),
    [
        ([0, 40], [1], r"train_indices\.npz .* from 0 to 39"),
        ([-1, 1], [2], "from 0 to 39"),
        ([0.5, 1.7], [2], "float64 of shape"),
        ([[0, 1]], [[2]], r"shape \(1, 2\)"),
        (np.ones(40, bool), np.zeros(40, bool), "bool of shape"),
        ([1, 2, 3], [2, 3], "2 rows on both sides"),
    ],
)
def test_a_split_that_is_no_two_sides_of_rows_is_refused(
    train: object, validation: object, said: str, tmp_path: Path
) -> None:
    source = hand_made(tmp_path / "source")
    folder = source / "splits" / "mine"
    folder.mkdir(parents=True)
    for name, rows in (("train", [0, 1, 39]), ("val", np.array([2.0, 5.0]))):
        np.savez(folder / f"{name}_indices.npz", np.asarray(rows))
    got = read_split(source, "mine")
    assert [side.tolist() for side in got] == [[0, 1, 39], [2, 5]]
    for name, rows in (("train", train), ("val", validation)):
        np.savez(folder / f"{name}_indices.npz", np.asarray(rows))
    with pytest.raises(CorruptDataset, match=said):
        read_split(source, "mine")


def test_where_the_optical_axis_is_outlives_an_import_without_cameras(tmp_path: Path) -> None:
    source = hand_made(tmp_path / "source")
    for k in range(2):
        file = source / "tensors" / f"hand_poses_{k:05d}.npz"
        poses = np.load(file)["arr_0"]
        poses[:, 4:6] = poses[:, :2] - (239.5, 319.5)
        np.savez(file, poses)
    export_tensors(import_tensors(source, tmp_path / "set"), tmp_path / "out")
    got, want = (tensor(folder, "hand_poses") for folder in (tmp_path / "out", source))
    np.testing.assert_allclose(got[:, 4:6], want[:, 4:6], atol=1e-3)
    assert np.isnan(got[:, 6]).all()  # no focal length


def test_the_command_line_imports_and_exports(tmp_path: Path, capsys) -> None:
    source = hand_made(tmp_path / "source")
    assert run(["dataset", "import", str(source), "-o", str(tmp_path / "set"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["n_datapoints"] == 40
    assert said["unknown"] == ["grasp_labels", "camera_poses", "camera_intrs"]
    assert run(["dataset", "export", str(tmp_path / "set"), "-o", str(tmp_path / "out")]) == 0
    assert "40 datapoints" in capsys.readouterr().out
    metric = tensor(source, "robust_ferrari_canny").astype(np.float32)
    np.testing.assert_array_equal(tensor(tmp_path / "out", "robust_ferrari_canny"), metric)
    _flip(source / "tensors" / "hand_poses_00000.npz")
    assert run(["dataset", "import", str(source), "-o", str(tmp_path / "bad")]) == 2
    captured = capsys.readouterr()
    assert "hand_poses_00000.npz" in captured.err
    assert "Traceback" not in captured.err
