"""The original's own tensors and recordings, read as they are: rows, images, crops, hand poses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from antipodal.camera import CameraIntrinsics
from antipodal.camera_files import load_depth
from antipodal.crop import crop_grasps
from antipodal.dataset.dexnet2_export import export_tensors, to_tensors
from antipodal.dataset.dexnet2_import import import_tensors, to_rows
from antipodal.dataset.dexnet2_tensors import OPTIONAL, read_split
from antipodal.dataset.summary import summary
from antipodal.draw_dataset import save_dataset_plots
from antipodal.errors import InvalidConfig
from antipodal.grasp import Grasp, PlanarGrasp
from antipodal.gripper import load_gripper
from synthetic_grasps import whole_table

CROP_TOLERANCE = 5e-5
"""float16 of a depth relative to the grasp's, m (docs/dataset-format.md)."""
YUMI = load_gripper("yumi")


def tensor(folder: Path, field: str) -> np.ndarray:
    """Read a field by hand, as numpy alone would."""
    files = sorted((folder / "tensors").glob(f"{field}_?????.npz"))
    return np.concatenate([np.load(file)["arr_0"] for file in files])


def test_the_originals_data_set_comes_in_row_by_row(shared: Path, tmp_path: Path) -> None:
    source = shared / "parity/network/tiny_dataset"
    dataset = import_tensors(source, tmp_path / "tiny")
    images, poses = tensor(source, "depth_ims_tf_table")[..., 0], tensor(source, "hand_poses")
    metric = tensor(source, "robust_ferrari_canny")
    rows = dataset.read(["crop", "depth", "center_px", "angle", "width", "robust_epsilon"])
    assert len(dataset) == len(images) == 1000
    np.testing.assert_array_equal(dataset.labels(), metric > 0.002)
    assert dataset.labels().mean() == 0.504
    np.testing.assert_array_equal(rows["robust_epsilon"], metric)
    np.testing.assert_array_equal(rows["depth"], poses[:, 2])
    np.testing.assert_array_equal(rows["center_px"], poses[:, [1, 0]])
    turn = poses[:, 3].astype(float) - rows["angle"]
    half_turns = np.round(turn / np.pi).astype(int)
    np.testing.assert_allclose(turn, half_turns * np.pi, atol=1e-6)
    absolute = rows["crop"].astype(float) + rows["depth"][:, None, None]
    for crop, image, swapped in zip(absolute, images, half_turns % 2, strict=True):
        assert np.abs(crop - np.rot90(image, 2 * swapped)).max() <= CROP_TOLERANCE
    np.testing.assert_array_equal(rows["width"], np.float32(YUMI.max_width))


def test_what_the_original_does_not_say_is_listed_and_splits_do_not_pretend(
    shared: Path, tmp_path: Path
) -> None:
    dataset = import_tensors(shared / "parity/network/tiny_dataset", tmp_path / "tiny")
    assert dataset.manifest["imported"]["unknown"] == list(OPTIONAL)
    assert "not stored" in dataset.manifest["imported"]["collisions"]
    facts = summary(dataset)
    assert (facts["n_objects"], facts["collision_free_share"]) == (1, 1.0)
    cameras = dataset.read(["T_world_camera", "intrinsics"])
    assert np.isnan(cameras["T_world_camera"]).all()
    assert np.isnan(cameras["intrinsics"][:, :2]).all()
    assert len(dataset.split("image_wise", 0)[0]) == 800
    with pytest.raises(InvalidConfig, match="object_wise"):
        dataset.split("object_wise", 0)
    train, validation = read_split(shared / "parity/network/tiny_dataset", "image_wise")
    np.testing.assert_array_equal(np.sort([*train, *validation]), np.arange(1000))
    assert all(p.stat().st_size > 10_000 for p in save_dataset_plots(dataset, tmp_path / "plots"))


def test_a_network_sees_the_originals_images(shared: Path, tmp_path: Path) -> None:
    from antipodal.nn.data import normalisation, table_batches

    source = shared / "parity/network/tiny_dataset"
    table = whole_table(import_tensors(source, tmp_path / "tiny"))
    images = tensor(source, "depth_ims_tf_table")
    assert int(table.success.sum()) == 504
    statistics = normalisation(table_batches(table))
    assert abs(statistics.image_mean - images.mean(dtype=float)) < CROP_TOLERANCE
    assert abs(statistics.depth_mean - tensor(source, "hand_poses")[:, 2].mean(dtype=float)) < 1e-6


def test_unknown_fields_are_not_invented_when_written_again(shared: Path, tmp_path: Path) -> None:
    source = shared / "parity/network/tiny_dataset"
    dataset = import_tensors(source, tmp_path / "tiny")
    made = export_tensors(dataset, tmp_path / "again")
    assert set(made["left_out"]) == {"stable_pose_wise", "object_wise"}
    config = json.loads((source / "config.json").read_text())
    written = json.loads((tmp_path / "again/config.json").read_text())
    assert written == {**config, "datapoints_per_file": 1000}
    np.testing.assert_array_equal(
        tensor(tmp_path / "again", "robust_ferrari_canny"), tensor(source, "robust_ferrari_canny")
    )


def test_imported_crops_are_those_that_our_cropper_cuts(shared: Path, tmp_path: Path) -> None:
    """Recorded crops of the original at its recorded angles of a whole turn, against ours at the imported grasps.

    What differs is their nearest-neighbour rotation and half a source pixel (tests/test_crop.py): 0.34 mm on average.
    Crops that were not turned with their grasp would differ by 4 mm.
    """
    record = np.load(shared / "parity/policy/datagen_transform_2018.npz")
    folder = shared / "data/depth/gqcnn_primesense_single"
    errors = []
    for i in range(5):
        center, angle = record[f"im{i}_center_xy"].astype(float), record[f"im{i}_angle"]
        n = len(angle)
        block = {
            "depth_ims_tf_table": record[f"im{i}_tensors_2018"][..., 0],
            "hand_poses": np.column_stack(
                [center[:, ::-1], np.full(n, 0.7), angle, np.zeros((n, 3))]
            ),
            "robust_ferrari_canny": np.zeros(n),
        }
        rows = to_rows(block, 0.05)
        image = load_depth(folder / f"depth_{i}.npy", folder / "camera.json")
        grasps = PlanarGrasp(rows["center_px"], rows["angle"], rows["depth"], rows["width"])
        want = crop_grasps(image, grasps)
        got = rows["crop"].astype(float) + rows["depth"][:, None, None]
        both = (want > 0) & np.isfinite(got)
        errors.append(np.abs(got - want)[both])
    assert np.concatenate(errors).mean() < 0.4e-3


def test_hand_poses_agree_with_the_originals_recorded_ones(shared: Path) -> None:
    """Theirs are rounded to whole pixels, and its width is measured between rounded points."""
    records = np.load(shared / "parity/mesh/projection.npz")
    K = records["K"]
    intrinsics = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
    camera = CameraIntrinsics(*intrinsics, 600, 600)
    for name in ("box", "clown", "spray", "bar_clamp"):
        config = records[f"{name}_grasp_config"].reshape(-1, 10)
        T_camera_obj = np.repeat(records[f"{name}_T_obj_camera"], 20, 0)
        x = config[:, 3:6]
        other = np.cross(x, np.where(np.abs(x[:, :1]) < 0.9, [1.0, 0, 0], [0, 1.0, 0]))
        grasps = Grasp.from_axes(config[:, :3], x, other, config[:, 6]).in_frame(T_camera_obj)
        planar, n = grasps.to_planar(camera), len(config)
        rows = {
            "crop": np.zeros((n, 8, 8), np.float16),
            "depth": planar.depth,
            "center_px": planar.center_px,
            "angle": planar.angle,
            "width": planar.width,
            "collision_free": np.ones(n, bool),
            "robust_epsilon": np.zeros(n),
            **dict.fromkeys(("object_id", "pose_id", "image_id", "grasp_id"), np.zeros(n)),
            "T_world_camera": np.tile(np.eye(4).ravel(), (n, 1)),
            "intrinsics": np.tile(intrinsics, (n, 1)),
        }
        got, want = to_tensors(rows)["hand_poses"], records[f"{name}_hand_pose"].reshape(-1, 7)
        assert np.abs(got[:, [0, 1, 4, 5]] - want[:, [0, 1, 4, 5]]).max() < 1.0
        assert np.abs(got[:, 2] - want[:, 2]).max() < 1e-6
        turn = np.abs(got[:, 3] - want[:, 3]) % np.pi  # the jaws may be swapped
        flat = np.hypot(*grasps.closing_axis[:, :2].T) > 1e-3
        assert np.minimum(turn, np.pi - turn)[flat].max() < 1e-5
        assert np.abs(got[:, 6] - want[:, 6]).max() < 2.0
