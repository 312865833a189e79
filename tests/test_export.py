"""ONNX files: same answers as torch, a dynamic batch, and a description of themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from antipodal.errors import IncompatibleCheckpoint, InvalidConfig
from antipodal.gripper import load_gripper
from antipodal.nn import export
from antipodal.nn.calibrate import Calibration
from antipodal.nn.config import COMPACT_TRAINING
from antipodal.nn.data import Normalisation
from antipodal.nn.evaluate import evaluate
from antipodal.nn.export import (
    comparison_text,
    export_run,
    max_difference,
    random_table,
    write_onnx,
)
from antipodal.nn.networks import build_network, set_normalisation
from antipodal.nn.precision import write_bfloat16
from antipodal.nn.run import open_run
from antipodal.nn.train import train
from antipodal.quality import load_quality
from synthetic_grasps import write_boxes

METADATA = {
    "schema": 1,
    "architecture": "x",
    "crop": {"size": 32, "window_px": 96.0, "window_m": None},
    "gripper": "yumi",
    "hand": load_gripper("yumi").told.tolist(),
    "training": {},
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("architecture", ["gqcnn_two_pools", "compact"])
def test_file_answers_as_torch_in_openvino_and_in_onnxruntime(
    architecture: str, tmp_path: Path
) -> None:
    network = build_network(architecture).eval()
    network.initialise(torch.Generator().manual_seed(0))
    set_normalisation(network, Normalisation(0.69, 0.03, 0.66, 0.03))
    calibration = Calibration(0.7, -0.4)
    path = tmp_path / "network.onnx"
    write_onnx(network, calibration, 32, METADATA, path)
    table = random_table(32, 60, np.random.default_rng(1))
    assert max_difference(network, calibration, path, table) <= 1e-4
    # nothing of the machine that exported: no stack traces, no folders
    assert not [
        place for place in (b".py", b"/src/", b"site-packages") if place in path.read_bytes()
    ]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    batch = table[:]
    given = {entry.name: batch._asdict()[entry.name].numpy() for entry in session.get_inputs()}
    assert ("hand" in given) == (architecture == "compact")
    (second,) = session.run(None, given)
    ours = load_quality(path).score(
        batch.crop[:, 0].numpy(), batch.depth[:, 0].numpy(), batch.hand.numpy()
    )
    np.testing.assert_allclose(np.asarray(second), ours, atol=1e-4)
    with torch.no_grad():
        direct = calibration(network(batch.crop, batch.depth, batch.hand).numpy())
    np.testing.assert_allclose(ours, direct, atol=1e-4)


def test_exported_run_scores_as_the_run_and_says_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_boxes(tmp_path / "boxes", 300, np.random.default_rng(11))
    config = replace(COMPACT_TRAINING, train_fraction=0.8, n_epochs=1, batch_size=32)
    train(tmp_path / "boxes", tmp_path / "run", config, accelerator="cpu")
    report = export_run(tmp_path / "run", tmp_path / "out" / "boxes.onnx")
    assert report["max_difference"] <= 1e-4 and report["n_real"] == 300
    n_parameters = sum(p.numel() for p in build_network("compact", 32).parameters())
    assert report["bytes"] < 5 * n_parameters and report["parameters"] == n_parameters
    quality = load_quality(tmp_path / "out" / "boxes.onnx")
    assert (quality.name, quality.gripper, quality.crop.size) == ("boxes", "yumi", 32)
    assert quality.metadata["training"]["config"]["seed"] == config.seed
    # no path of the machine that trained goes into the file
    assert str(tmp_path) not in json.dumps(quality.metadata)
    a = evaluate(tmp_path / "run", tmp_path / "boxes")
    b = evaluate(tmp_path / "out" / "boxes.onnx", tmp_path / "boxes")
    assert a["rows"] == b["rows"] == "validation object_wise"
    assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
    # the other precisions: smaller, nearly as good, and read the same way
    folder = tmp_path / "small"
    precisions = ("float32", "bfloat16", "int8")
    report = export_run(tmp_path / "run", folder / "boxes.onnx", precisions=precisions)
    assert {p.name for p in folder.iterdir()} == {
        "boxes.onnx", "boxes_bfloat16.onnx", "boxes_int8.onnx", "boxes.json",
    }  # fmt: skip
    assert json.loads((folder / "boxes.json").read_text())["comparison"] == report["comparison"]
    whole, half, quarter = report["comparison"]
    assert half["bytes"] < 0.6 * whole["bytes"] and quarter["bytes"] < 0.4 * whole["bytes"]
    assert whole["max_difference"] == whole["accuracy_change"] == 0 and whole["n"] == a["n"]
    for row, name in ((half, "boxes_bfloat16"), (quarter, "boxes_int8")):
        assert 0 < row["max_difference"] < 0.1 and row["grasps_per_second"] > 0
        again = evaluate(folder / f"{name}.onnx", tmp_path / "boxes")
        assert again["accuracy"] == row["accuracy"] and again["n"] == a["n"]
        assert load_quality(folder / f"{name}.onnx").metadata["precision"] == name.removeprefix(
            "boxes_"
        )
    assert comparison_text(report["comparison"]).count("\n") == 3
    with pytest.raises(InvalidConfig, match="int4: expected some of float32, bfloat16, int8"):
        export_run(tmp_path / "run", folder / "x.onnx", precisions=("int4",))  # type: ignore[arg-type]
    for name in ("model", "."):
        with pytest.raises(IncompatibleCheckpoint, match="expected the name of an"):
            export_run(tmp_path / "run", folder / name)
    write_boxes(tmp_path / "larger", 50, np.random.default_rng(3), size=40)
    with pytest.raises(IncompatibleCheckpoint, match=r"was trained on crops .*: .*larger has"):
        export_run(tmp_path / "run", folder / "x.onnx", tmp_path / "larger")
    # a file that disagrees with torch is not left behind
    monkeypatch.setattr(export, "MAX_DIFFERENCE", -1.0)
    with pytest.raises(IncompatibleCheckpoint, match="differs from torch"):
        export_run(tmp_path / "run", tmp_path / "bad" / "boxes.onnx")
    assert list((tmp_path / "bad").iterdir()) == []
    # nor is a damaged run opened
    for file in ("result.json", "model.pt"):
        whole_file = (tmp_path / "run" / file).read_bytes()
        (tmp_path / "run" / file).write_bytes(whole_file[: len(whole_file) // 2])
        with pytest.raises(IncompatibleCheckpoint, match=r"is damaged \(.*\): copy the run again"):
            open_run(tmp_path / "run")
        (tmp_path / "run" / file).write_bytes(whole_file)


def test_bfloat16_rounds_weights_to_the_nearest_of_eight_bits(tmp_path: Path) -> None:
    weight = np.array([[1.0, 1 + 2**-8, 1 + 3 * 2**-8, -0.1]], np.float32)
    tensor = numpy_helper.from_array(weight, "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {"antipodal": "{}"})
    onnx.save(model, tmp_path / "one.onnx")
    write_bfloat16(tmp_path / "one.onnx", tmp_path / "half.onnx")
    session = onnxruntime.InferenceSession(
        str(tmp_path / "half.onnx"), providers=["CPUExecutionProvider"]
    )
    (got,) = session.run(None, {"x": np.ones((1, 1), np.float32)})
    want = torch.from_numpy(weight).to(torch.bfloat16).float().numpy()  # ties go to even there too
    np.testing.assert_array_equal(np.asarray(got), want)


def test_a_network_without_finite_answers_is_neither_exported_nor_scored(tmp_path: Path) -> None:
    dataset = write_boxes(tmp_path / "boxes", 60, np.random.default_rng(3))
    config = replace(COMPACT_TRAINING, n_epochs=1, batch_size=32)
    train(dataset.path, tmp_path / "run", config, accelerator="cpu")
    weights = torch.load(tmp_path / "run" / "model.pt", weights_only=True)
    torch.save({k: v * torch.nan for k, v in weights.items()}, tmp_path / "run" / "model.pt")
    with pytest.raises(
        IncompatibleCheckpoint, match="own answers are not finite, before any export"
    ):
        export_run(tmp_path / "run", tmp_path / "boxes.onnx")
    with pytest.raises(
        IncompatibleCheckpoint, match=r"answers \d+ of \d+ datapoints with no number"
    ):
        evaluate(tmp_path / "run", dataset.path)
