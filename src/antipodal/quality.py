"""A network as a quality function: ONNX file → OpenVINO on the CPU. No torch here.

The file answers for itself: its metadata (key ``antipodal``) hold the crop's geometry, the gripper it was trained for
and where it comes from; units and normalisation are inside the graph.

    inputs   "crop"  (N, 1, S, S) float32  absolute depth, m; 0 = missing
             "depth" (N, 1)       float32  depth of the grasp, m
             "hand"  (N, 5)       float32  ``antipodal.gripper.TOLD`` of the hand, m; only of networks that are told
    output   "quality" (N)        float32  probability of success

Networks may compute in bfloat16 where the CPU does. Metres in bfloat16 are 4 mm apart, so that everything before the
first convolution or dense layer, the network's own normalisation, stays float32: the graph is cut there.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from .camera import DepthImage
from .compiled import PerProcess, Precision, compiled, load_openvino, the_core
from .crop import CropConfig, crop_grasps
from .errors import IncompatibleCheckpoint, InvalidConfig, UnknownAsset
from .grasp import PlanarGrasp
from .gripper import TOLD, GripperModel
from .values import config_from_dict

METADATA_KEY = "antipodal"
METADATA_SCHEMA = 1
MAX_BATCH = 256
"""What an export's speed is measured with: more grasps at once are no faster for each."""
BATCH, LARGE_BATCH, LARGE = 5, 25, 8_000_000
"""Grasps in one request: few, so that all cores share a plan's; more for networks of more bytes than ``LARGE``, whose
weights are read from memory for each request. Shapes never change: nothing is compiled twice."""
MAX_PENDING = 64
"""Requests begun and not yet answered, at most: their crops are kept."""
MAX_STREAMS = 8
"""Cores that one network uses at most."""
PRODUCTS = frozenset({"Convolution", "GroupConvolution", "MatMul"})
"""Layers behind which numbers are no longer metres."""

Answer = Callable[[], np.ndarray]
"""Waits for what was begun: (N,)."""
Cropped = Callable[[slice], tuple[np.ndarray, np.ndarray]]
"""Crops (n, S, S) and depths (n) of some of the grasps."""
Inputs = Callable[[slice], dict[str, np.ndarray]]
"""What the network asks for some of the grasps: crop (n, 1, S, S), depth (n, 1), hand (n, 5)."""


@dataclass(frozen=True, eq=False)
class NetworkQuality:
    """A trained network. Calling it is a :data:`antipodal.policy.base.QualityFn`."""

    name: str
    crop: CropConfig
    """The window that it was trained with."""
    gripper: str
    """Name of the gripper that it scores for; as loaded, the one that it was trained for."""
    metadata: Mapping[str, Any]
    """Everything that the file says about itself: schema, architecture, crop, gripper, training."""
    precision: Precision
    """What it computes in: never auto."""
    _network: PerProcess[_Batched]
    hand: tuple[float, ...] | None = None
    """What it is told of the hand, m (``antipodal.gripper.TOLD``); None: it is not told, and knows one hand."""

    def for_gripper(self, gripper: GripperModel) -> NetworkQuality:
        """Score another hand's grasps: the network is told of it, and the crop grows with its stroke.

        Networks that are not told of a hand stay as they are.
        """
        told = tuple(gripper.told.tolist())
        if self.hand is None or told == self.hand:
            return self
        crop = self.crop
        if crop.window_m is not None:
            crop = replace(crop, window_m=crop.window_m * told[0] / self.hand[0])
        return replace(self, crop=crop, gripper=gripper.name, hand=told)

    def __call__(self, image: DepthImage, grasps: PlanarGrasp) -> Float[np.ndarray, "N"]:
        """Return each grasp's predicted probability of success, float64 in [0, 1]."""
        return self.start(image, grasps)()

    def start(self, image: DepthImage, grasps: PlanarGrasp) -> Answer:
        """Crop, and begin to compute; the caller may do something else before it asks for the answer."""
        return self._start(
            len(grasps),
            lambda part: (crop_grasps(image, grasps[part], self.crop), grasps.depth[part]),
            self.hand,
        )

    def score(
        self,
        crops: Float[np.ndarray, "N S S"],
        depth: Float[np.ndarray, "N"],
        hand: Float[np.ndarray, "N 5"] | None = None,
    ) -> Float[np.ndarray, "N"]:
        """Score crops (absolute depth, m; 0 = missing) with the depths of their grasps, m, and their hands.

        Without hands the one that it scores for is told. A network that is not told does not look at them.
        """
        size = self.crop.size
        if crops.shape != (len(depth), size, size):
            raise IncompatibleCheckpoint(
                f"crops {crops.shape} with {len(depth)} depths: {self.name} expects ({len(depth)}, {size}, {size})"
            )
        told = self.hand if hand is None else np.asarray(hand)
        return self._start(len(depth), lambda part: (crops[part], depth[part]), told)()

    def _start(self, n: int, cropped: Cropped, hand: Any) -> Answer:
        def inputs(part: slice) -> dict[str, np.ndarray]:
            crops, depth = cropped(part)
            given = {"crop": crops[:, None], "depth": depth[:, None]}
            if self.hand is not None:
                given["hand"] = np.broadcast_to(hand, (n, len(TOLD)))[part]
            return given

        answer = self._network.here().start(n, inputs)
        return lambda: np.clip(answer().astype(float), 0.0, 1.0)


def model_names() -> list[str]:
    """Names of the built-in networks."""
    return sorted(p.name.removesuffix(".onnx") for p in _assets() if p.name.endswith(".onnx"))


def load_quality(name_or_path: str | Path, precision: Precision = "float32") -> NetworkQuality:
    """Load a network by built-in name or from an ONNX file.

    Args:
        name_or_path: of the network.
        precision: float32 answers the same on every CPU; bfloat16 differs from it by up to 0.01 and is up to five times
            as fast; auto is the faster of the two here.

    Raises:
        UnknownAsset: neither a name nor a file; lists the names.
        InvalidConfig: bfloat16 on a CPU that does not have it, or of a quantised file.
        IncompatibleCheckpoint: not a network of this package; says what it is and what was expected.
    """
    file = read_network(name_or_path)
    if "dense" in file.metadata:
        raise IncompatibleCheckpoint(
            f"{file.name} is fully convolutional: antipodal.rivals.load_rival, or rival:{file.name} in the benchmark, "
            "plans with it"
        )
    try:
        crop = config_from_dict(CropConfig, file.metadata["crop"], f"{file.name}: crop")
    except TypeError as error:
        raise IncompatibleCheckpoint(
            f"{file.name}: metadata give the crop as {file.metadata['crop']!r}: expected size and window"
        ) from error
    expected = {
        "crop": f"[?,1,{crop.size},{crop.size}]",
        "depth": "[?,1]",
        "quality": "[?]",
    }
    hand = None
    if told := any("hand" in port.get_names() for port in file.model.inputs):
        expected["hand"] = f"[?,{len(TOLD)}]"
        hand = file.metadata.get("hand")
    _check_signature(file, expected)
    if told and not (isinstance(hand, list) and len(hand) == len(TOLD)):
        raise IncompatibleCheckpoint(
            f"{file.name} is told of its hand, but its metadata have {hand!r}: expected {', '.join(TOLD)} in m"
        )
    chosen = _chosen(precision, file)
    gripper = str(file.metadata["gripper"])
    network = _batched(file.model, crop.size, chosen)
    name, told = Path(file.name).stem, None if hand is None else tuple(map(float, hand))
    return NetworkQuality(name, crop, gripper, file.metadata, chosen, network, told)


class NetworkFile(NamedTuple):
    """An ONNX file, read but not compiled."""

    name: str
    """As it was asked for."""
    metadata: dict[str, Any]
    model: Any


def read_network(name_or_path: str | Path) -> NetworkFile:
    """Read a network by built-in name or from an ONNX file, and check what it says about itself.

    Raises:
        UnknownAsset: neither a name nor a file; lists the names.
        IncompatibleCheckpoint: not a network of this package.
    """
    name = str(name_or_path)
    if name in model_names():
        path = next(Path(str(p)) for p in _assets() if p.name == f"{name}.onnx")
    else:
        path = Path(name)
        if (path / "model.ckpt.index").is_file():
            raise IncompatibleCheckpoint(
                f"{name} is a model folder of gqcnn: 'antipodal import-berkeley {name} -o model.onnx' first"
            )
        if not path.is_file():
            raise UnknownAsset.named("model", name, model_names() or ["none built in"])
    if path.suffix != ".onnx":
        raise IncompatibleCheckpoint(f"{name}: expected an .onnx file from 'antipodal export'")
    try:
        model = the_core().read_model(path)
    except RuntimeError as error:
        raise IncompatibleCheckpoint(
            f"{name} is not readable as a network: expected an ONNX file from 'antipodal export'"
        ) from error
    return NetworkFile(name, _metadata(model, name), model)


def compile_network(file: NetworkFile, signature: Mapping[str, str]) -> Any:
    """Compile for the CPU in float32, after checking names and shapes of inputs and outputs.

    Raises:
        IncompatibleCheckpoint: another signature; prints both.
    """
    _check_signature(file, signature)
    return compiled(file.model, "float32")


def _check_signature(file: NetworkFile, signature: Mapping[str, str]) -> None:
    found = {
        port.get_any_name() if port.get_names() else "unnamed": str(port.get_partial_shape())
        for port in [*file.model.inputs, *file.model.outputs]
    }
    if found != signature:
        raise IncompatibleCheckpoint(f"{file.name} has {found}: expected {signature}")


def _chosen(precision: Precision, file: NetworkFile) -> Precision:
    """Decide what ``auto`` is, and refuse what cannot be."""
    if precision not in ("auto", "float32", "bfloat16"):
        raise InvalidConfig(f"precision {precision!r}: expected auto, float32 or bfloat16")
    able = "BF16" in the_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    # a quantised file names its 8-bit layers itself, and cutting its graph would part them
    able = able and file.metadata.get("precision") != "int8"
    if precision == "bfloat16" and not able:
        raise InvalidConfig(
            f"{file.name} in bfloat16: this CPU does not compute in it, or the file is quantised: say float32 or auto"
        )
    return "bfloat16" if able and precision != "float32" else "float32"


@dataclass(frozen=True, eq=False)
class _Batched:
    """A network compiled for batches of one size, several at a time: the inputs of N grasps → (N,)."""

    stages: tuple[Any, ...]
    """Compiled models; the outputs of each are the inputs of the next."""
    batch: int
    idle: deque[list[Any]]
    """Requests that no thread uses: each list one for each stage, joined. Two threads may ask at once."""

    def start(self, n: int, inputs: Inputs) -> Answer:
        """Begin to score n; each answer depends on its own inputs alone. The next are cropped meanwhile."""
        quality = np.empty(n, np.float32)
        busy: deque[tuple[list[Any], slice]] = deque()

        def collect() -> list[Any]:
            requests, part = busy.popleft()
            requests[-1].wait()
            quality[part] = requests[-1].get_output_tensor().data[: part.stop - part.start]
            return requests

        for start in range(0, n, self.batch):
            part = slice(start, min(start + self.batch, n))
            given = inputs(part)
            requests = collect() if len(busy) == MAX_PENDING else self._requests()
            # the rest of the batch keeps what was there: its answers are left out
            for name, values in given.items():
                requests[0].get_tensor(name).data[: len(values)] = values
            for request in requests[:-1]:
                request.infer()
            requests[-1].start_async()
            busy.append((requests, part))

        def answer() -> np.ndarray:
            while busy:
                self.idle.append(collect())
            return quality

        return answer

    def _requests(self) -> list[Any]:
        try:
            return self.idle.pop()
        except IndexError:
            requests = [stage.create_infer_request() for stage in self.stages]
        for tensor in requests[0].input_tensors:
            tensor.data[:] = 1.0  # a hand of no stroke would be divided by
        for first, second in pairwise(requests):
            for k, tensor in enumerate(first.output_tensors):
                second.set_input_tensor(k, tensor)
        return requests


def _batched(model: Any, size: int, precision: Precision) -> PerProcess[_Batched]:
    """Compile a network for crops of ``size`` px, for batches of one size."""
    large = sum(_bytes(node) for node in model.get_ordered_ops()) > LARGE
    batch = LARGE_BATCH if large else BATCH
    shapes = {"crop": [batch, 1, size, size], "depth": [batch, 1], "hand": [batch, len(TOLD)]}
    model.reshape({port.get_any_name(): shapes[port.get_any_name()] for port in model.inputs})
    # the cores that this process may use; not every system says so
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    n_streams = min(len(allowed), MAX_STREAMS)
    has_products = any(node.get_type_name() in PRODUCTS for node in model.get_ordered_ops())
    if precision == "float32" or not has_products:
        parts: list[tuple[Any, Precision, int]] = [(model, "float32", n_streams)]
    else:
        before, after = _cut(model)
        parts = [(before, "float32", 1), (after, "bfloat16", n_streams)]
    return PerProcess(lambda: _Batched(tuple(compiled(*part) for part in parts), batch, deque()))


def _bytes(node: Any) -> int:
    if node.get_type_name() != "Constant":
        return 0
    return int(np.prod(node.get_output_shape(0))) * node.get_element_type().size


def _cut(model: Any) -> tuple[Any, Any]:
    """Cut a graph before its first products: (metres → what they read, that → quality). The model is used up."""
    openvino = load_openvino()
    from openvino import opset13

    before, crossing = {p.get_friendly_name() for p in model.get_parameters()}, {}
    for node in model.get_ordered_ops():
        kind, name = node.get_type_name(), node.get_friendly_name()
        if kind in ("Parameter", "Constant", "Result"):
            continue
        sources = [node.input_value(k) for k in range(node.get_input_size())]
        known = [s for s in sources if s.get_node().get_friendly_name() in before]
        constant = [s for s in sources if s.get_node().get_type_name() == "Constant"]
        if kind not in PRODUCTS and known and len(known) + len(constant) == len(sources):
            before.add(name)
        else:
            crossing |= {(s.get_node().get_friendly_name(), s.get_index()): s for s in known}
    ends = list(crossing.values())
    head = openvino.Model(ends, model.get_parameters(), "metres").clone()  # pyright: ignore
    inputs = []
    for end in ends:
        entry = opset13.parameter(end.get_partial_shape(), end.get_element_type())
        for reader in list(end.get_target_inputs()):
            node = reader.get_node()
            if node.get_friendly_name() not in before and node.get_type_name() != "Result":
                reader.replace_source_output(entry.output(0))
        inputs.append(entry)
    return head, openvino.Model(model.get_results(), inputs, "products")  # pyright: ignore


def _metadata(model: Any, name: str) -> dict[str, Any]:
    key = ["framework", METADATA_KEY]
    if not model.has_rt_info(key):
        raise IncompatibleCheckpoint(
            f"{name} has no '{METADATA_KEY}' metadata: expected an ONNX file from 'antipodal export'"
        )
    try:
        metadata = json.loads(model.get_rt_info(key).astype(str))
    except ValueError as error:
        raise IncompatibleCheckpoint(
            f"{name}: its '{METADATA_KEY}' metadata are not JSON: expected a file from 'antipodal export'"
        ) from error
    expected = {"schema", "architecture", "crop", "gripper", "training"}
    if not isinstance(metadata, dict) or not expected <= set(metadata):
        found = sorted(metadata) if isinstance(metadata, dict) else type(metadata).__name__
        raise IncompatibleCheckpoint(
            f"{name}: metadata have {found}: expected {sorted(expected)}; export it again"
        )
    if metadata["schema"] != METADATA_SCHEMA:
        raise IncompatibleCheckpoint(
            f"{name} has metadata schema {metadata['schema']}: this release reads {METADATA_SCHEMA}; export it again"
        )
    return metadata


def _assets() -> list[Any]:
    folder = resources.files("antipodal") / "assets" / "models"
    return list(folder.iterdir()) if folder.is_dir() else []
