"""A network file as a quality function. The networks here are three-line graphs, so that the answers are known."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.compiled import PerProcess
from antipodal.crop import CropConfig, crop_grasps
from antipodal.errors import IncompatibleCheckpoint, InvalidConfig, UnknownAsset
from antipodal.grasp import PlanarGrasp
from antipodal.gripper import load_gripper
from antipodal.quality import MAX_BATCH, NetworkQuality, load_quality, model_names

METADATA: dict[str, Any] = {
    "schema": 1,
    "architecture": "mean",
    "crop": {"size": 8, "window_px": 24.0, "window_m": None},
    "gripper": "yumi",
    "training": {"seed": 5},
}
INTRINSICS = CameraIntrinsics(525.0, 525.0, 79.5, 59.5, 160, 120)


def write_mean_network(path: Path, metadata: object = METADATA, output: str = "quality") -> Path:
    """quality = sigmoid(mean of the crop − depth)."""
    f = TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["crop", "axes"], ["mean"], keepdims=0),
        helper.make_node("Squeeze", ["depth", "one"], ["z"]),
        helper.make_node("Sub", ["mean", "z"], ["height"]),
        helper.make_node("Sigmoid", ["height"], [output]),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [
            helper.make_tensor_value_info("crop", f, ["n", 1, 8, 8]),
            helper.make_tensor_value_info("depth", f, ["n", 1]),
        ],
        [helper.make_tensor_value_info(output, f, ["n"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if metadata is not None:
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        helper.set_model_props(model, {"antipodal": text})
    onnx.save(model, path)
    return path


def scene(n: int, seed: int = 0) -> tuple[DepthImage, PlanarGrasp]:
    rng = np.random.default_rng(seed)
    image = DepthImage(rng.uniform(0.6, 0.8, (120, 160)).astype(np.float32), INTRINSICS)
    center = rng.uniform([10, 10], [150, 110], (n, 2))
    return image, PlanarGrasp(center, rng.uniform(-1.5, 1.5, n), rng.uniform(0.6, 0.7, n), 0.05)


@pytest.mark.parametrize("n", [1, 7, MAX_BATCH, 2 * MAX_BATCH + 3])
def test_quality_is_the_network_s_answer_on_the_crops_of_its_own_geometry(
    tmp_path: Path, n: int
) -> None:
    quality = load_quality(write_mean_network(tmp_path / "mean.onnx"))
    image, grasps = scene(n)
    crops = crop_grasps(image, grasps, CropConfig(8, 24.0))
    expected = 1 / (1 + np.exp(-(crops.mean((1, 2), dtype=float) - grasps.depth)))
    answer = quality(image, grasps)
    assert answer.dtype == np.float64 and answer.shape == (n,)
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_no_grasps_have_no_qualities(tmp_path: Path) -> None:
    quality = load_quality(write_mean_network(tmp_path / "mean.onnx"))
    image, grasps = scene(0)
    assert quality(image, grasps).shape == (0,)


def test_network_tells_its_name_crop_gripper_and_history(tmp_path: Path) -> None:
    quality = load_quality(write_mean_network(tmp_path / "mean.onnx"))
    assert (quality.name, quality.gripper) == ("mean", "yumi")
    assert quality.crop == CropConfig(8, 24.0)
    assert quality.metadata["training"] == {"seed": 5}


def test_unknown_model_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownAsset, match="unknown model 'no_such_network': expected one of"
    ) as info:
        load_quality("no_such_network")
    assert all(name in str(info.value) for name in model_names())
    with pytest.raises(UnknownAsset, match=r"missing\.onnx"):
        load_quality(tmp_path / "missing.onnx")


@pytest.mark.parametrize("name", model_names())
def test_built_in_models_load_and_answer_in_the_unit_interval(name: str) -> None:
    quality = load_quality(name)
    image, grasps = scene(5)
    answer = quality(image, grasps)
    assert ((answer >= 0) & (answer <= 1)).all()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "no 'antipodal' metadata"),
        ("not json", "not JSON"),
        ({"schema": 1}, r"metadata have \['schema'\]: expected \['architecture', 'crop'"),
        ({**METADATA, "schema": 2}, "schema 2: this release reads 1"),
        (
            {**METADATA, "crop": {"size": 32, "window_px": 96.0}},
            r"'crop': '\[\?,1,8,8\]'.*expected.*'crop': '\[\?,1,32,32\]'",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused_with_both_sides(
    tmp_path: Path, metadata: object, message: str
) -> None:
    path = write_mean_network(tmp_path / "mean.onnx", metadata)
    with pytest.raises(IncompatibleCheckpoint, match=message):
        load_quality(path)


def test_other_outputs_garbage_and_unknown_crop_fields_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleCheckpoint, match=r"'score': '\[\?\]'.*expected.*'quality'"):
        load_quality(write_mean_network(tmp_path / "score.onnx", output="score"))
    (tmp_path / "garbage.onnx").write_bytes(b"not a network")
    with pytest.raises(IncompatibleCheckpoint, match="not readable as a network"):
        load_quality(tmp_path / "garbage.onnx")
    wrong = {**METADATA, "crop": {"size": 8, "zoom": 2}}
    with pytest.raises(InvalidConfig, match="unknown key zoom"):
        load_quality(write_mean_network(tmp_path / "zoom.onnx", wrong))


def test_crops_of_another_size_are_refused(tmp_path: Path) -> None:
    quality = load_quality(write_mean_network(tmp_path / "mean.onnx"))
    with pytest.raises(IncompatibleCheckpoint, match=r"\(2, 9, 9\) with 2 depths.*\(2, 8, 8\)"):
        quality.score(np.zeros((2, 9, 9), np.float32), np.zeros(2))


def test_answers_repeat_exactly_and_threads_may_share_a_network(tmp_path: Path) -> None:
    quality = load_quality(write_mean_network(tmp_path / "mean.onnx"))
    scenes = [scene(40 + i, i) for i in range(8)]
    alone = [quality(*s) for s in scenes]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda s: quality(*s), scenes))
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


def test_scoring_needs_no_torch(tmp_path: Path) -> None:
    path = write_mean_network(tmp_path / "mean.onnx")
    code = (
        "import sys; from antipodal.quality import load_quality; "
        f"load_quality({str(path)!r}); sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_signal_is_handled_after_networks_have_come_and_gone() -> None:
    code = (
        "import gc, os, signal\n"
        "from antipodal.quality import load_quality\n"
        "first, second = load_quality('builtin'), load_quality('builtin')\n"
        "del first; gc.collect(); del second; gc.collect()\n"
        "heard = []\n"
        "signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))\n"
        "os.kill(os.getpid(), signal.SIGALRM)\n"
        "raise SystemExit(len(heard))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 1


FORKED = """
import faulthandler, multiprocessing, sys, numpy as np
sys.path.insert(0, {tests!r})
from policy_scenes import YUMI, seen
from conftest import box
from antipodal.policy import make_policy
from antipodal.quality import load_quality
image, mask = seen(box(0.03, 0.05, 0.04))
def plan(_):
    return policy(image, mask, np.random.default_rng(0)).quality
policy = make_policy({name!r}, load_quality("builtin"), YUMI)
parent = plan(0)
end = faulthandler.dump_traceback_later, (30, False, sys.stderr, True)  # a child that hangs
with multiprocessing.get_context("fork").Pool(2, *end) as pool:
    assert all(np.array_equal(parent, child) for child in pool.map(plan, range(2)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("name", ["cem", "dense"])
def test_children_of_a_fork_plan_as_their_parent(name: str) -> None:
    code = FORKED.format(tests=str(Path(__file__).parent), name=name)
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_would_wait_for_the_threads_of_a_network_let_go_of_says_so() -> None:
    code = (
        "import faulthandler, gc, multiprocessing, sys\n"
        "from antipodal.errors import InvalidConfig\n"
        "from antipodal.quality import load_quality\n"
        "load_quality('builtin'); gc.collect()\n"
        "end = faulthandler.dump_traceback_later, (30, False, sys.stderr, True)\n"
        "with multiprocessing.get_context('fork').Pool(1, *end) as pool:\n"
        "    try: pool.apply(load_quality, ['builtin'])\n"
        "    except InvalidConfig as error: raise SystemExit('keep every network' in str(error))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 1


def test_a_network_that_is_pickled_says_what_to_do_instead() -> None:
    with pytest.raises(TypeError, match="load it in each process"):
        pickle.dumps(load_quality("builtin"))


def test_an_answer_that_rounding_puts_outside_of_the_unit_interval_is_its_end() -> None:
    said = np.array([1.0000001, -1e-7, 0.4], np.float32)
    network: Any = PerProcess(lambda: SimpleNamespace(start=lambda n, inputs: lambda: said))
    quality = NetworkQuality("fake", CropConfig(), "yumi", {}, "float32", network)
    answer = quality.score(np.zeros((3, 32, 32), np.float32), np.zeros(3))
    assert answer == pytest.approx([1.0, 0.0, 0.4]) and answer.min() == 0 and answer.max() == 1


def test_another_hand_is_told_and_its_window_grows_with_the_stroke() -> None:
    network, franka = load_quality("builtin"), load_gripper("franka_hand")
    told = network.for_gripper(franka)
    assert told.hand == tuple(franka.told) and network.hand == tuple(load_gripper("yumi").told)
    assert told.crop.window_m == pytest.approx(2 * franka.max_width)
    assert told.for_gripper(load_gripper("yumi")).crop.window_m == pytest.approx(0.1)
    image, grasps = scene(20)
    crops = crop_grasps(image, grasps, told.crop)
    answer = told(image, grasps)
    np.testing.assert_allclose(told.score(crops, grasps.depth), answer, atol=1e-6)
    hands = np.tile(franka.told, (20, 1))
    np.testing.assert_allclose(network.score(crops, grasps.depth, hands), answer, atol=1e-6)
    assert abs(network.score(crops, grasps.depth) - answer).max() > 0.01


def test_a_hand_of_its_own_and_networks_that_are_not_told_are_left_as_they_are(
    tmp_path: Path,
) -> None:
    network = load_quality("builtin")
    assert network.for_gripper(load_gripper("yumi")) is network
    franka = network.for_gripper(load_gripper("franka_hand"))
    assert franka.for_gripper(load_gripper("franka_hand")) is franka
    pixels = load_quality(write_mean_network(tmp_path / "mean.onnx"))
    assert pixels.for_gripper(load_gripper("franka_hand")) is pixels
