"""A network as a quality function: ONNX file → OpenVINO on the CPU. No torch here.

The file answers for itself: its metadata (key ``antipodal``) hold the crop's geometry, the gripper it was trained for
and where it comes from; units and normalisation are inside the graph.

    inputs   "crop"  (N, 1, S, S) float32  absolute depth, m; 0 = missing
             "depth" (N, 1)       float32  depth of the grasp, m
    output   "quality" (N)        float32  probability of success
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from .camera import DepthImage
from .crop import CropConfig, crop_grasps
from .errors import IncompatibleCheckpoint, UnknownAsset
from .grasp import PlanarGrasp
from .values import config_from_dict

METADATA_KEY = "antipodal"
METADATA_SCHEMA = 1
MAX_BATCH = 256
"""Grasps scored at once: bounds the memory (GQ-CNN 2.0 needs 0.5 MB each) and costs no speed."""


@dataclass(frozen=True, eq=False)
class NetworkQuality:
    """A trained network. Calling it is a :data:`antipodal.policy.base.QualityFn`."""

    name: str
    crop: CropConfig
    """The window that it was trained with."""
    gripper: str
    """Name of the gripper that it was trained for."""
    metadata: Mapping[str, Any]
    """Everything that the file says about itself: schema, architecture, crop, gripper, training."""
    _compiled: Any

    def __call__(self, image: DepthImage, grasps: PlanarGrasp) -> Float[np.ndarray, "N"]:
        """Return each grasp's predicted probability of success, float64 in [0, 1]."""
        if len(grasps) == 0:
            return np.empty(0)
        return self.score(crop_grasps(image, grasps, self.crop), grasps.depth)

    def score(
        self, crops: Float[np.ndarray, "N S S"], depth: Float[np.ndarray, "N"]
    ) -> Float[np.ndarray, "N"]:
        """Score crops (absolute depth, m; 0 = missing) with the depths of their grasps, m."""
        size = self.crop.size
        if crops.shape != (len(depth), size, size):
            raise IncompatibleCheckpoint(
                f"crops {crops.shape} with {len(depth)} depths: {self.name} expects ({len(depth)}, {size}, {size})"
            )
        crop = np.ascontiguousarray(crops[:, None], np.float32)
        z = np.asarray(depth, np.float32)[:, None]
        quality = np.empty(len(crop))
        # a request of one's own: two threads may ask at once
        request = self._compiled.create_infer_request()
        for start in range(0, len(crop), MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            answer = request.infer({"crop": crop[part], "depth": z[part]})
            quality[part] = answer["quality"]
        return np.clip(quality, 0.0, 1.0)


def model_names() -> list[str]:
    """Names of the built-in networks."""
    return sorted(p.name.removesuffix(".onnx") for p in _assets() if p.name.endswith(".onnx"))


def load_quality(name_or_path: str | Path) -> NetworkQuality:
    """Load a network by built-in name or from an ONNX file.

    Raises:
        UnknownAsset: neither a name nor a file; lists the names.
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
    compiled = compile_network(file, expected)
    return NetworkQuality(
        Path(file.name).stem, crop, str(file.metadata["gripper"]), file.metadata, compiled
    )


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
    import openvino  # heavy: loaded with the first network

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
        model = openvino.Core().read_model(path)
    except RuntimeError as error:
        raise IncompatibleCheckpoint(
            f"{name} is not readable as a network: expected an ONNX file from 'antipodal export'"
        ) from error
    return NetworkFile(name, _metadata(model, name), model)


def compile_network(file: NetworkFile, signature: Mapping[str, str]) -> Any:
    """Compile for the CPU, after checking names and shapes of inputs and outputs.

    Raises:
        IncompatibleCheckpoint: another signature; prints both.
    """
    import openvino

    found = {
        port.get_any_name() if port.get_names() else "unnamed": str(port.get_partial_shape())
        for port in [*file.model.inputs, *file.model.outputs]
    }
    if found != signature:
        raise IncompatibleCheckpoint(f"{file.name} has {found}: expected {signature}")
    # float32 said aloud: the default may pick bfloat16 on CPUs that have it, answers would depend on the machine, and
    # metres in bfloat16 are 4 mm apart; a quantised file names its 8-bit layers itself
    return openvino.Core().compile_model(file.model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


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
