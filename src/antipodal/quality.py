"""A network as a quality function: ONNX file → OpenVINO on the CPU. No torch here.

The file answers for itself: its metadata (key ``antipodal``) hold the crop's geometry, the gripper it was trained for
and where it comes from; units and normalisation are inside the graph.

    inputs   "crop"  (N, 1, S, S) float32  absolute depth, m; 0 = missing
             "depth" (N, 1)       float32  depth of the grasp, m
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
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from .camera import DepthImage
from .crop import CropConfig, crop_grasps
from .errors import IncompatibleCheckpoint, InvalidConfig, UnknownAsset
from .grasp import PlanarGrasp
from .gripper import GripperModel, gripper_names, load_gripper
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

Precision = Literal["auto", "float32", "bfloat16"]
"""What products are computed in; auto is bfloat16 where the CPU has it and the file is not quantised."""


Answer = Callable[[], np.ndarray]
"""Waits for what was begun: (N,)."""
Cropped = Callable[[slice], tuple[np.ndarray, np.ndarray]]
"""Crops (n, S, S) and depths (n) of some of the grasps."""


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
    _network: _Batched
    scale: float = 1.0
    """Stroke of the hand that it scores for, in strokes of the hand that it was trained for."""
    tip_shift: float = 0.0
    """What brings the fingertips of the one, so scaled, to those of the other, m along the approach."""

    def for_gripper(self, gripper: GripperModel) -> NetworkQuality:
        """Score another hand's grasps: the crop shrinks about the fingertips until its stroke is the trained one's.

        Hand and object scaled alike touch alike: a crop in units of the stroke, measured from the fingertips, is one
        that the network knows. Networks of windows in pixels, and of hands that are not built in, stay as they are.
        """
        window = self.crop.window_m
        if window is None or gripper.name == self.gripper or self.gripper not in gripper_names():
            return self
        trained = load_gripper(self.gripper)
        scale = gripper.max_width / trained.max_width
        return replace(
            self,
            crop=replace(self.crop, window_m=scale * window),
            gripper=gripper.name,
            scale=scale,
            tip_shift=trained.tip_overhang - gripper.tip_overhang / scale,
        )

    def __call__(self, image: DepthImage, grasps: PlanarGrasp) -> Float[np.ndarray, "N"]:
        """Return each grasp's predicted probability of success, float64 in [0, 1]."""
        return self.start(image, grasps)()

    def start(self, image: DepthImage, grasps: PlanarGrasp) -> Answer:
        """Crop, and begin to compute; the caller may do something else before it asks for the answer."""
        return self._start(
            len(grasps),
            lambda part: self.as_trained(
                crop_grasps(image, grasps[part], self.crop), grasps.depth[part]
            ),
        )

    def as_trained(
        self, crops: Float[np.ndarray, "N S S"], depth: Float[np.ndarray, "N"]
    ) -> tuple[Float[np.ndarray, "N S S"], Float[np.ndarray, "N"]]:
        """Return this hand's crops and depths as the trained hand, of its own size, would have seen them."""
        if self.scale == 1 and self.tip_shift == 0:
            return crops, depth
        # depths too: the network takes from them how finely its window is seen
        return np.where(crops > 0, crops / self.scale + self.tip_shift, 0.0), depth / self.scale

    def score(
        self, crops: Float[np.ndarray, "N S S"], depth: Float[np.ndarray, "N"]
    ) -> Float[np.ndarray, "N"]:
        """Score crops (absolute depth, m; 0 = missing) with the depths of their grasps, m."""
        size = self.crop.size
        if crops.shape != (len(depth), size, size):
            raise IncompatibleCheckpoint(
                f"crops {crops.shape} with {len(depth)} depths: {self.name} expects ({len(depth)}, {size}, {size})"
            )
        return self._start(len(depth), lambda part: (crops[part], depth[part]))()

    def _start(self, n: int, cropped: Cropped) -> Answer:
        answer = self._network.start(n, cropped)
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
    _check_signature(file, expected)
    chosen = _chosen(precision, file)
    gripper = str(file.metadata["gripper"])
    network = _batched(file.model, crop.size, chosen)
    return NetworkQuality(Path(file.name).stem, crop, gripper, file.metadata, chosen, network)


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
        if not path.is_file():
            raise UnknownAsset.named("model", name, model_names() or ["none built in"])
    if path.suffix != ".onnx":
        raise IncompatibleCheckpoint(f"{name}: expected an .onnx file from 'antipodal export'")
    try:
        model = _core().read_model(path)
    except RuntimeError as error:
        raise IncompatibleCheckpoint(
            f"{name} is not readable as a network: expected an ONNX file from 'antipodal export'"
        ) from error
    return NetworkFile(name, _metadata(model, name), model)


@cache
def _core() -> Any:
    """OpenVINO's one core of this process, which stays; heavy: loaded with the first network.

    Its CPU plugin gives the thread that loads it a stack for signals. Of two cores of which the first goes first, the
    second leaves the first's stack behind, which is unmapped by then: the next signal, an interrupt too, ends the
    process (OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


def compile_network(file: NetworkFile, signature: Mapping[str, str]) -> Any:
    """Compile for the CPU in float32, after checking names and shapes of inputs and outputs.

    Raises:
        IncompatibleCheckpoint: another signature; prints both.
    """
    _check_signature(file, signature)
    return _compiled(file.model, "float32")


def _check_signature(file: NetworkFile, signature: Mapping[str, str]) -> None:
    found = {
        port.get_any_name() if port.get_names() else "unnamed": str(port.get_partial_shape())
        for port in [*file.model.inputs, *file.model.outputs]
    }
    if found != signature:
        raise IncompatibleCheckpoint(f"{file.name} has {found}: expected {signature}")


def _compiled(model: Any, precision: Precision, n_streams: int | None = None) -> Any:
    """Compile for the CPU, for so many requests at a time of one core each, or for one on all cores."""
    # said aloud: the default may pick bfloat16 on CPUs that have it, also for metres
    options = {"INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision]}
    if n_streams is not None:
        options |= {"NUM_STREAMS": str(n_streams), "INFERENCE_NUM_THREADS": str(n_streams)}
    return _core().compile_model(model, "CPU", options)


def _chosen(precision: Precision, file: NetworkFile) -> Precision:
    """Decide what ``auto`` is, and refuse what cannot be."""
    if precision not in ("auto", "float32", "bfloat16"):
        raise InvalidConfig(f"precision {precision!r}: expected auto, float32 or bfloat16")
    able = "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    # a quantised file names its 8-bit layers itself, and cutting its graph would part them
    able = able and file.metadata.get("precision") != "int8"
    if precision == "bfloat16" and not able:
        raise InvalidConfig(
            f"{file.name} in bfloat16: this CPU does not compute in it, or the file is quantised: say float32 or auto"
        )
    return "bfloat16" if able and precision != "float32" else "float32"


@dataclass(frozen=True, eq=False)
class _Batched:
    """A network compiled for batches of one size, several at a time: N crops and depths → (N,)."""

    stages: tuple[Any, ...]
    """Compiled models; the outputs of each are the inputs of the next."""
    batch: int
    idle: deque[list[Any]]
    """Requests that no thread uses: each list one for each stage, joined. Two threads may ask at once."""

    def start(self, n: int, cropped: Cropped) -> Answer:
        """Begin to score n; each answer depends on its own crop and depth alone. The next are cropped meanwhile."""
        quality = np.empty(n, np.float32)
        busy: deque[tuple[list[Any], slice]] = deque()

        def collect() -> list[Any]:
            requests, part = busy.popleft()
            requests[-1].wait()
            quality[part] = requests[-1].get_output_tensor().data[: part.stop - part.start]
            return requests

        for start in range(0, n, self.batch):
            part = slice(start, min(start + self.batch, n))
            crops, depth = cropped(part)
            requests = collect() if len(busy) == MAX_PENDING else self._requests()
            # the rest of the batch keeps what was there: its answers are left out
            requests[0].get_tensor("crop").data[: len(depth), 0] = crops
            requests[0].get_tensor("depth").data[: len(depth), 0] = depth
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
            tensor.data[:] = 0.0
        for first, second in pairwise(requests):
            for k, tensor in enumerate(first.output_tensors):
                second.set_input_tensor(k, tensor)
        return requests


def _batched(model: Any, size: int, precision: Precision) -> _Batched:
    """Compile a network for crops of ``size`` px, for batches of one size."""
    large = sum(_bytes(node) for node in model.get_ordered_ops()) > LARGE
    batch = LARGE_BATCH if large else BATCH
    model.reshape({"crop": [batch, 1, size, size], "depth": [batch, 1]})
    # the cores that this process may use; not every system says so
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    n_streams = min(len(allowed), MAX_STREAMS)
    has_products = any(node.get_type_name() in PRODUCTS for node in model.get_ordered_ops())
    if precision == "float32" or not has_products:
        stages = (_compiled(model, "float32", n_streams),)
    else:
        before, after = _cut(model)
        stages = (_compiled(before, "float32", 1), _compiled(after, "bfloat16", n_streams))
    return _Batched(stages, batch, deque())


def _bytes(node: Any) -> int:
    if node.get_type_name() != "Constant":
        return 0
    return int(np.prod(node.get_output_shape(0))) * node.get_element_type().size


def _cut(model: Any) -> tuple[Any, Any]:
    """Cut a graph before its first products: (metres → what they read, that → quality). The model is used up."""
    import openvino
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
