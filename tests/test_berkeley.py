"""Berkeley's model folders: every layout read, the imported file against their recorded answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.dense_quality import load_dense_quality
from antipodal.errors import AntipodalError, IncompatibleCheckpoint, UnknownAsset
from antipodal.nn.berkeley import import_berkeley, read_model
from antipodal.nn.gqcnn import GQCNN
from antipodal.policy.fully_convolutional import (
    RELEASED,
    FullyConvolutionalConfig,
    depth_bins,
    fully_convolutional_policy,
)
from antipodal.quality import load_quality
from antipodal.rivals import load_rival
from conftest import box
from policy_scenes import YUMI, seen
from tf1_writer import write_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Import each folder once."""
    folder, done = tmp_path_factory.mktemp("imported"), {}

    def get(shared: Path, name: str) -> Path:
        if name not in done:
            done[name] = folder / f"{name}.onnx"
            parent = shared / ("parity/network" if name.endswith("random") else "rivals")
            result = import_berkeley(parent / name, done[name])
            assert result["max_difference"] < 1e-4
        return done[name]

    return get


def test_an_imported_gqcnn_answers_as_the_original(shared: Path, imported: Any) -> None:
    quality = load_quality(imported(shared, "GQCNN-4.0-PJ-random"))
    io = np.load(shared / "parity" / "network" / "gqcnn40_pj_io.npz")
    ours = quality.score(io["images"][..., 0], io["poses"][:, 0])
    np.testing.assert_allclose(ours, io["predictions"][:, 1], rtol=0, atol=1e-5)
    assert (quality.crop.size, quality.crop.window_px) == (96, 96.0)


def test_an_imported_fcgqcnn_answers_as_the_original(shared: Path, imported: Any) -> None:
    quality = load_dense_quality(imported(shared, "FCGQCNN-4.0-PJ-random"))
    io = np.load(shared / "parity" / "network" / "fcgqcnn40_pj_fullimage.npz")
    index = io["single0_pred_depth_idx"][1]
    depth = io["single0_depths16"][index]
    ours = quality(io["single0_depth_inpainted"], depth)
    theirs = io["single0_preds_4depths"][1, :, :, 1::2]
    np.testing.assert_allclose(ours[0], theirs.transpose(2, 0, 1), rtol=0, atol=1e-5)


def test_a_cell_sees_its_window_and_nothing_else(shared: Path, imported: Any) -> None:
    quality = load_dense_quality(imported(shared, "FCGQCNN-4.0-PJ-random"))
    rng = np.random.default_rng(0)
    image = rng.uniform(0.6, 0.8, (120, 131)).astype(np.float32)
    whole = quality(image, np.array([0.7]))
    assert whole.shape == (1, 16, 7, 9)
    window = image[8:104, 20:116]  # of cell (2, 5)
    np.testing.assert_allclose(
        quality(window, np.array([0.7]))[0, :, 0, 0], whole[0, :, 2, 5], atol=1e-6
    )


@pytest.mark.parametrize("scene", ["single0", "clutter0"])
def test_the_original_s_choice_is_ours(shared: Path, imported: Any, scene: str) -> None:
    folder = shared / "parity" / "network"
    quality = load_dense_quality(imported(shared, "FCGQCNN-4.0-PJ-random"))
    io = np.load(folder / "fcgqcnn40_pj_fullimage.npz")
    camera = CameraIntrinsics(525.0, 525.0, 319.5, 239.5, 640, 480)
    image = DepthImage(io[f"{scene}_depth_inpainted"], camera)
    mask = io[f"{scene}_segmask"] > 0
    np.testing.assert_allclose(
        depth_bins(image, mask, RELEASED), io[f"{scene}_depths16"][:, 0], atol=1e-7
    )
    config = FullyConvolutionalConfig(n_grasps=200)
    plan = fully_convolutional_policy(quality, YUMI, config)(image, mask, np.random.default_rng(0))
    assert plan.best.center_px.tolist() == io[f"{scene}_action_center_xy"].tolist()
    assert plan.best.depth == pytest.approx(float(io[f"{scene}_action_depth"]), abs=1e-6)
    assert plan.best.angle == pytest.approx(float(io[f"{scene}_action_angle"]), abs=1e-9)
    top = np.sort(io[f"{scene}_top200_q"])[::-1]
    np.testing.assert_allclose(plan.quality, top, atol=1e-5)


def test_load_rival_picks_the_policy_from_the_file(shared: Path, imported: Any) -> None:
    image, mask = seen(box(0.03, 0.08, 0.03))
    for name, stage in (("FC-GQCNN-4.0-PJ", "cells"), ("GQCNN-4.0-PJ", "antipodal")):
        path = imported(shared, name)
        for clearance in (False, True):
            policy = load_rival(path, YUMI, clearance)
            plan = policy(image, mask, np.random.default_rng(0))
            assert stage in plan.counts
            assert ("palm_blocked" in plan.counts) == clearance
            # 30 × 80 mm in the open: near its middle, across the short side
            assert plan.quality[0] > 0.5
            v, u = np.round(plan.best.center_px[::-1]).astype(int)
            assert mask[v, u]
            grasp = plan.best.to_grasp(image.intrinsics, plan.approach_axis)
            best = grasp.in_frame(image.T_world_camera)
            assert np.abs(best.center[:2]).max() < 0.01
            assert abs(best.closing_axis[0]) > np.cos(np.deg2rad(30))


def test_published_networks_are_read_with_their_normalisation(shared: Path) -> None:
    gqcnn = read_model(shared / "rivals" / "GQCNN-4.0-PJ")
    assert (gqcnn.n_angles, gqcnn.layers.input_size, gqcnn.layers.n_fc3) == (0, 96, 128)
    assert gqcnn.normalisation["image_mean"] == pytest.approx(0.7728, abs=1e-4)
    assert gqcnn.normalisation["depth_mean"] == pytest.approx(0.7556, abs=1e-4)
    assert sum(p.numel() for p in gqcnn.network().parameters()) == 631_410
    dense = read_model(shared / "rivals" / "FC-GQCNN-4.0-PJ")
    assert dense.n_angles == 16 and set(dense.normalisation) == {"mean", "std"}
    assert sum(p.numel() for p in dense.network().parameters()) == 633_200
    example = read_model(shared / "rivals" / "gqcnn_example_pj")
    assert sum(p.numel() for p in example.network().parameters()) == 321_906


def legacy_folder(folder: Path, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A folder in the layout of June 2017: flat architecture, four pose columns, names like conv1_1W."""
    n, fc = 4, 8
    sides, sizes = (7, 5, 3, 3), (1, 2, 1, 1)
    architecture: dict[str, Any] = {
        name: {"filt_dim": k, "num_filt": n, "pool_size": p, "pool_stride": p, "norm": int(i in (1, 3))}
        for i, (name, k, p) in enumerate(zip(LAYERS, sides, sizes, strict=True))
    }  # fmt: skip
    architecture |= {"pc1": {"out_size": 5}, "pc2": {"out_size": 0}}
    architecture |= {"fc3": {"out_size": fc}, "fc4": {"out_size": fc}, "fc5": {"out_size": 2}}
    lrn = {"radius": 2, "alpha": 2e-5, "beta": 0.75, "bias": 1.0}
    config = {"im_height": 32, "im_width": 32, "im_channels": 1, "input_data_mode": "tf_image"}
    (folder / "config.json").write_text(json.dumps({"gqcnn_config": config | lrn}))
    (folder / "architecture.json").write_text(json.dumps(architecture))
    for name, value in (("mean", 0.695), ("std", 0.044)):
        np.save(folder / f"{name}.npy", value)
    np.save(folder / "pose_mean.npy", [-0.001, -0.003, 0.677, 3.1])
    np.save(folder / "pose_std.npy", [0.06, 0.06, 0.036, 1.8])
    shapes: dict[str, tuple[int, ...]] = {
        f"{name}W": (k, k, 1 if i == 0 else n, n)
        for i, (name, k) in enumerate(zip(LAYERS, sides, strict=True))
    }
    shapes |= {f"{name}b": (n,) for name in LAYERS}
    shapes |= {"fc3W": (16 * 16 * n, fc), "fc3b": (fc,), "pc1W": (1, 5), "pc1b": (5,)}
    shapes |= {"fc4W_im": (fc, fc), "fc4W_pose": (5, fc), "fc4b": (fc,)}
    shapes |= {"fc5W": (fc, 2), "fc5b": (2,)}
    weights = {k: rng.normal(0, 0.1, s).astype(np.float32) for k, s in shapes.items()}
    write_checkpoint(folder / "model.ckpt", weights)
    return weights


def test_the_layout_of_2017_is_read_column_and_names(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    weights = legacy_folder(tmp_path, rng)
    model = read_model(tmp_path)
    assert model.normalisation["depth_mean"] == 0.677  # the third of four columns
    assert model.layers.pad and not model.layers.pool_after_conv2
    assert model.layers.normalisation_alpha == 2e-5
    network = model.network()
    assert isinstance(network, GQCNN)
    # fc4 by hand: two inputs, two matrices, one bias
    x, z = rng.normal(size=8).astype(np.float32), rng.normal(size=5).astype(np.float32)
    want = x @ weights["fc4W_im"] + z @ weights["fc4W_pose"] + weights["fc4b"]
    with torch.no_grad():
        got = network.fc4(torch.from_numpy(np.concatenate([x, z]))).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    result = import_berkeley(tmp_path, tmp_path / "out" / "legacy.onnx")
    assert result["architecture"] == "gqcnn"
    assert load_quality(result["path"]).crop.size == 32


def test_what_does_not_fit_is_named(tmp_path: Path, rng: np.random.Generator) -> None:
    legacy_folder(tmp_path, rng)
    config, architecture = tmp_path / "config.json", tmp_path / "architecture.json"
    good_config, good = json.loads(config.read_text()), json.loads(architecture.read_text())

    def refused(error: type[AntipodalError], match: str) -> None:
        with pytest.raises(error, match=match) as caught:
            read_model(tmp_path)
        assert "\n" not in str(caught.value)

    for layer, key, value, match in (
        ("conv1_2", "pool_size", 4, "pool_stride"),
        ("conv2_1", "num_filt", 9, "conv2_1 num_filt is 9: expected 4"),
        ("pc2", "out_size", 16, "pc2 out_size is 16"),
        ("conv2_1", "type", "residual", "type of conv2_1 is 'residual': expected 'conv'"),
        ("fc4", "type", "fc", "type of fc4 is 'fc': expected 'fc_merge'"),
        ("conv2_2", "norm_type", "batch", "conv2_2 norm_type is 'batch'"),
        ("fc3", "out_size", 16, r"weight fc3_weights has shape \(1024, 8\)"),
    ):
        changed = json.loads(json.dumps(good))
        changed[layer][key] = value
        architecture.write_text(json.dumps(changed))
        if layer == "fc3":
            with pytest.raises(IncompatibleCheckpoint, match=match):
                read_model(tmp_path).network()
        else:
            refused(IncompatibleCheckpoint, match)
    architecture.write_text(json.dumps({k: v for k, v in good.items() if k != "pc1"}))
    refused(IncompatibleCheckpoint, "layer pc1 is 'missing'")
    for layer in ("conv3_1", "fc4_2"):
        architecture.write_text(json.dumps(good | {layer: {"out_size": 4}}))
        refused(IncompatibleCheckpoint, f"a further layer is '{layer}'")
    architecture.write_text(json.dumps(good))
    changed = json.loads(json.dumps(good_config))
    changed["gqcnn_config"]["input_data_mode"] = "tf_image_suction"
    config.write_text(json.dumps(changed))
    refused(IncompatibleCheckpoint, "gripper mode 'tf_image_suction'")
    config.write_text("{")
    refused(IncompatibleCheckpoint, "is not JSON")
    config.write_text(json.dumps(good_config))
    (tmp_path / "std.npy").unlink()
    refused(UnknownAsset, r"im_std\.npy is missing")
    with pytest.raises(UnknownAsset, match=r"config\.json is missing"):
        read_model(tmp_path / "nowhere")


def test_weights_that_nothing_would_use_are_named_and_an_optimiser_s_are_passed_over(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """A layer left out, or the wrong one of two averages, is another network."""
    weights = legacy_folder(tmp_path, rng)
    want = read_model(tmp_path).weights
    kept = {f"net/{name}": value for name, value in weights.items()}
    for slot in ("Momentum", "Adam", "Adam_1", "ExponentialMovingAverage"):
        kept |= {f"net/{name}/{slot}": 0 * value for name, value in weights.items()}
    kept["global_step"] = np.zeros(1, np.float32)
    write_checkpoint(tmp_path / "model.ckpt", kept)
    for name, value in read_model(tmp_path).weights.items():
        np.testing.assert_array_equal(value, want[name])
    square = rng.normal(size=(8, 8)).astype(np.float32)
    for name in ("conv3_1/conv3_1_weights", "fc4_2W", "pose/pc2_bias"):
        write_checkpoint(tmp_path / "model.ckpt", weights | {name: square})
        with pytest.raises(
            IncompatibleCheckpoint, match=f"weights '{name}' of a layer that is not"
        ):
            read_model(tmp_path)
    for name in ("zz_ema/fc3W", "ema/fc3_weights"):
        write_checkpoint(tmp_path / "model.ckpt", weights | {name: 0 * weights["fc3W"]})
        with pytest.raises(IncompatibleCheckpoint, match=f"'fc3W'.*'{name}'|'{name}'.*'fc3W'"):
            read_model(tmp_path)


@pytest.mark.parametrize(
    ("file", "value"),
    [
        *[("std", value) for value in (0.0, -0.07, 44.0, np.nan)],
        *[("mean", value) for value in (0.0, -0.7, 695.2, np.full(96, 0.7), np.full((32, 32), 0.7))],
        *[("pose_mean", [0, 0, value, 3]) for value in (-0.7, 677.0, np.nan)],
        *[("pose_mean", value) for value in ([0.7, 0.7], np.zeros(0))],
        *[("pose_std", [1, 1, value, 1]) for value in (0.0, -0.07, 36.0)],
    ],
)  # fmt: skip
def test_a_normalisation_that_is_not_in_metres_is_refused(
    file: str, value: Any, tmp_path: Path, rng: np.random.Generator
) -> None:
    legacy_folder(tmp_path, rng)
    np.save(tmp_path / f"{file}.npy", value)
    with pytest.raises(IncompatibleCheckpoint, match=rf"{file}\.npy (says|holds shape)"):
        read_model(tmp_path)


def test_a_network_for_images_says_what_plans_with_it(shared: Path, imported: Any) -> None:
    with pytest.raises(IncompatibleCheckpoint, match=r"is fully convolutional: .*load_rival"):
        load_quality(imported(shared, "FC-GQCNN-4.0-PJ"))


def test_a_folder_that_was_not_imported_says_how_to(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    legacy_folder(tmp_path, rng)
    with pytest.raises(IncompatibleCheckpoint, match=r"'antipodal import-berkeley .*' first"):
        load_quality(tmp_path)


def test_a_network_for_crops_is_no_network_for_images(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleCheckpoint, match="builtin is a network for crops"):
        load_dense_quality("builtin")
