"""Berkeley AUTOLAB's trained networks: a gqcnn model folder to one ONNX file (reference §7.3, §7.6).

Layouts: GQ-CNN 2.0, 2.1 and 4.0 for parallel jaws (crop and gripper depth), and FC-GQ-CNN (whole image minus gripper
depth, one output per angle). Layer sizes come from architecture.json, input and gripper mode from config.json,
normalisation from the .npy files, weights from the TensorFlow checkpoint. The networks are Berkeley's, under their
licence: imported from a path of yours, never part of this package.
"""

from __future__ import annotations

import dataclasses
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..camera import MAX_DEPTH
from ..crop import CropConfig
from ..dense_quality import load_dense_quality
from ..errors import AntipodalError, IncompatibleCheckpoint, UnknownAsset
from ..files import publishing
from ..quality import METADATA_SCHEMA
from .calibrate import Calibration
from .export import MAX_DIFFERENCE, check_name, max_difference, random_table, save_graph, write_onnx
from .fcgqcnn import FCGQCNN, load_fc_weights
from .gqcnn import GQCNN, GQCNNConfig, load_tf_weights
from .tf1_checkpoint import read_checkpoint

LICENCE = "UC Regents: educational, research, and not-for-profit purposes"
WINDOW_PX = 96.0
"""Side of the window of every published network, px of the image; 2.0 and 2.1 shrink it to 32."""
MODES = ("parallel_jaw", "legacy_parallel_jaw", "tf_image")
"""``gripper_mode`` (or ``input_data_mode``) of networks whose pose is the gripper's depth alone."""
DEPTH_COLUMN = 2
"""Where the depth stands in the four or more columns of the older pose statistics."""
CONVOLUTIONS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2")
FULL = ("fc3", "pc1", "fc4", "fc5")
WITHOUT_WEIGHTS = ("pc2", "base_model")
"""What an architecture may name besides: a layer of size 0, and where fine-tuning began."""


@dataclass(frozen=True, eq=False)
class BerkeleyModel:
    """What a model folder holds."""

    name: str
    gripper_mode: str
    layers: GQCNNConfig
    n_angles: int
    """Angles of a fully convolutional network; 0 for a GQ-CNN."""
    normalisation: Mapping[str, float]
    """Buffer of the network → mean or standard deviation, m."""
    weights: Mapping[str, np.ndarray]
    """TensorFlow's layouts, names without their scopes."""

    def network(self) -> GQCNN | FCGQCNN:
        """Build the network in torch."""
        if self.n_angles:
            network = FCGQCNN(self.layers, self.n_angles)
            load_fc_weights(network, self.weights)
        else:
            network = GQCNN(self.layers)
            load_tf_weights(network, self.weights)
        for name, value in self.normalisation.items():
            getattr(network, name).fill_(value)
        return network.eval()


def read_model(model_dir: str | Path) -> BerkeleyModel:
    """Read a gqcnn model folder.

    Raises:
        UnknownAsset: a file is missing.
        IncompatibleCheckpoint: a layout that is none of those above, or a damaged checkpoint.
    """
    folder = Path(model_dir)
    try:
        return _read_model(folder)
    except AntipodalError:
        raise
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise IncompatibleCheckpoint(
            f"{folder.name}: its configuration or checkpoint is incomplete or damaged "
            f"({type(error).__name__}: {error}): expected a folder as gqcnn saved it"
        ) from error


def _read_model(folder: Path) -> BerkeleyModel:
    config = _json(folder / "config.json")
    gqcnn = config.get("gqcnn", config.get("gqcnn_config"))
    if not isinstance(gqcnn, dict):
        raise IncompatibleCheckpoint(
            f"{folder / 'config.json'} has neither 'gqcnn' nor 'gqcnn_config': expected a gqcnn model folder"
        )
    mode = str(gqcnn.get("gripper_mode", gqcnn.get("input_data_mode")))
    if mode not in MODES:
        raise IncompatibleCheckpoint(
            f"{folder.name} has gripper mode '{mode}': expected a parallel-jaw network, {', '.join(MODES)}"
        )
    file = folder / "architecture.json"
    layers = _flat(_json(file) if file.is_file() else gqcnn.get("architecture", {}))
    n_angles = int(gqcnn.get("angular_bins", 0))
    dense = gqcnn.get("input_depth_mode") == "im_depth_sub"
    if dense != (n_angles > 0):
        raise IncompatibleCheckpoint(
            f"{folder.name} has input_depth_mode '{gqcnn.get('input_depth_mode')}' with {n_angles} angular bins: "
            "expected pose_stream without or im_depth_sub with angular bins"
        )
    return BerkeleyModel(
        folder.resolve().name,
        mode,
        _layers(folder.name, gqcnn, layers, n_angles),
        n_angles,
        _dense_statistics(folder) if dense else _statistics(folder),
        _weights(folder.name, read_checkpoint(folder / "model.ckpt"), n_angles),
    )


def import_berkeley(model_dir: str | Path, path: str | Path) -> dict[str, Any]:
    """Write a gqcnn model folder as ONNX, and compare the file with torch.

    Args:
        model_dir: folder with model.ckpt.*, config.json, architecture.json and the normalisation.
        path: of the file; written only if the check passes. :func:`antipodal.rivals.load_rival` makes a policy of it.

    Returns:
        ``path``, ``network``, ``architecture``, ``parameters``, ``bytes`` and ``max_difference``.

    Raises:
        UnknownAsset: a file is missing.
        IncompatibleCheckpoint: a layout that is not known, a damaged checkpoint, or answers that differ.
    """
    model, path = read_model(model_dir), Path(path)
    check_name(path)
    network = model.network()
    with publishing(path) as unchecked:
        difference = _write(model, network, unchecked)
        if not difference <= MAX_DIFFERENCE:
            raise IncompatibleCheckpoint(
                f"the imported network differs from torch by {difference:.2g}: expected at most {MAX_DIFFERENCE:g}; "
                "report this with the versions of torch and openvino"
            )
    return {
        "path": str(path),
        "network": model.name,
        "architecture": _metadata(model)["architecture"],
        "parameters": sum(p.numel() for p in network.parameters()),
        "bytes": path.stat().st_size,
        "max_difference": difference,
    }


def _write(model: BerkeleyModel, network: GQCNN | FCGQCNN, path: Path) -> float:
    """Write the file; return its largest difference from torch on random input."""
    rng = np.random.default_rng(0)
    if isinstance(network, GQCNN):
        size = model.layers.input_size
        write_onnx(network, Calibration(), size, _metadata(model), path)
        return max_difference(network, Calibration(), path, random_table(size, 64, rng))
    example = {"image": torch.full((1, 1, 120, 132), 0.7), "depth": torch.full((2, 1), 0.65)}
    auto = torch.export.Dim.DYNAMIC
    save_graph(network, example, ({2: auto, 3: auto}, {0: auto}), _metadata(model), path)
    image = rng.uniform(0.6, 0.8, (136, 152)).astype(np.float32)
    image[rng.random(image.shape) < 0.1] = 0.0
    depth = np.array([0.62, 0.7, 0.74])
    with torch.no_grad():
        want = network(
            torch.from_numpy(image)[None, None], torch.from_numpy(depth[:, None]).float()
        )
    return float(np.abs(load_dense_quality(path)(image, depth) - want.numpy()).max())


def _metadata(model: BerkeleyModel) -> dict[str, Any]:
    """What the file says about itself; ``architecture`` decides which policy it is for."""
    metadata = {
        "schema": METADATA_SCHEMA,
        "architecture": "fcgqcnn" if model.n_angles else "gqcnn",
        "crop": dataclasses.asdict(CropConfig(model.layers.input_size, WINDOW_PX)),
        "gripper": "yumi",
        "training": {
            "source": "Berkeley AUTOLAB, gqcnn",
            "network": model.name,
            "licence": LICENCE,
            "gripper_mode": model.gripper_mode,
            "normalisation": dict(model.normalisation),
        },
    }
    if model.n_angles:
        stride = 4 if model.layers.pool_after_conv2 else 2
        metadata["dense"] = {"stride": stride, "n_angles": model.n_angles}
    return metadata


def _layers(
    name: str, gqcnn: Mapping[str, Any], layers: Mapping[str, Any], n_angles: int
) -> GQCNNConfig:
    """Layer sizes as our configuration, or a refusal that names what does not fit."""

    def require(what: str, got: object, *expected: object) -> None:
        if got not in expected:
            raise IncompatibleCheckpoint(
                f"{name}: {what} is {got!r}: expected {' or '.join(repr(e) for e in expected)}, as in GQ-CNN 2.0, 2.1, "
                "4.0 and FC-GQ-CNN for parallel jaws"
            )

    for layer in _needed(n_angles):
        require(f"layer {layer}", layer if layer in layers else "missing", layer)
        kind = "conv" if layer in CONVOLUTIONS else layer[:2]
        expected = "fc_merge" if layer == "fc4" and not n_angles else kind
        require(f"type of {layer}", layers[layer].get("type", expected), expected)
    if more := sorted(set(layers) - {*CONVOLUTIONS, *FULL, *WITHOUT_WEIGHTS}):
        require("a further layer", more[0], "none")
    convolutions = [layers[c] for c in CONVOLUTIONS]
    first = convolutions[0]
    for layer, spec in zip(CONVOLUTIONS, convolutions, strict=True):
        require(f"{layer} num_filt", spec["num_filt"], first["num_filt"])
        require(f"{layer} pad", spec.get("pad", "SAME"), first.get("pad", "SAME"))
        norm_type = spec.get("norm_type", "local_response") if spec.get("norm") else None
        require(f"{layer} norm_type", norm_type, None, "local_response")
        require(
            f"{layer} pool_stride", spec.get("pool_stride", spec["pool_size"]), spec["pool_size"]
        )
    pools = tuple(spec["pool_size"] for spec in convolutions)
    require("pooling after the convolutions", pools, (1, 2, 1, 1), (1, 2, 1, 2))
    norms = tuple(int(spec.get("norm", 0)) for spec in convolutions)
    require("normalisation after the convolutions", norms, (0, 0, 0, 0), (0, 1, 0, 1))
    require("im_channels", gqcnn.get("im_channels", 1), 1)
    require("im_width", gqcnn.get("im_width"), gqcnn.get("im_height"))
    require("pc2 out_size", layers.get("pc2", {}).get("out_size", 0), 0)
    require("fc5 out_size", layers["fc5"]["out_size"], 2 * n_angles if n_angles else 2)
    lrn = tuple(gqcnn.get(k, v) for k, v in (("radius", 2), ("beta", 0.75), ("bias", 1.0)))
    require("radius, beta, bias of the normalisation", lrn, (2, 0.75, 1.0))
    return GQCNNConfig(
        int(gqcnn["im_height"]),
        tuple(int(spec["filt_dim"]) for spec in convolutions),  # type: ignore[arg-type]
        int(first["num_filt"]),
        pad=first.get("pad", "SAME") == "SAME",
        pool_after_conv2=pools[3] == 2,
        normalisation_alpha=float(gqcnn.get("alpha", 2e-5)) if norms[1] else 0.0,
        relu_coefficient=float(gqcnn.get("relu_coeff", 0.0)),
        n_fc3=int(layers["fc3"]["out_size"]),
        n_pc1=int(layers.get("pc1", {}).get("out_size", 16)),
        n_fc4=int(layers["fc4"]["out_size"]),
    )


def _flat(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Layers by name, whether they stand in streams (2018 on) or not."""
    layers: dict[str, Any] = {}
    for name, value in architecture.items():
        layers.update(value if name.endswith("_stream") else {name: value})
    return layers


def _needed(n_angles: int) -> tuple[str, ...]:
    """Layers of a network; a fully convolutional one has no stream for the pose."""
    return (*CONVOLUTIONS, *(name for name in FULL if name != "pc1" or not n_angles))


def _weights(
    folder: str, tensors: Mapping[str, np.ndarray], n_angles: int
) -> dict[str, np.ndarray]:
    """Weights of the layers by their names without scopes, in the form that is used since 2018.

    What an optimiser keeps hangs below its weight (``…/fc5_weights/Momentum``) and is passed over.
    """
    merge = {"fc4W_im": "fc4_input_1_weights", "fc4W_pose": "fc4_input_2_weights"}
    kinds = {"W": "_weights", "b": "_bias"}
    used = [f"{layer}{kind}" for layer in _needed(n_angles) for kind in kinds.values()]
    used += [] if n_angles else merge.values()
    found: dict[str, str] = {}
    for scoped in tensors:
        name = scoped.split("/")[-1]
        old = re.fullmatch(r"((?:conv|fc|pc)\d(?:_\d)?)([Wb])", name)
        name = old[1] + kinds[old[2]] if old else merge.get(name, name)
        if name not in used:
            if name.endswith(tuple(kinds.values())):
                raise IncompatibleCheckpoint(
                    f"{folder}: the checkpoint has weights '{scoped}' of a layer that is not known: expected "
                    f"{', '.join(_needed(n_angles))}"
                )
            continue
        if name in found:
            raise IncompatibleCheckpoint(
                f"{folder}: the checkpoint has '{found[name]}' and '{scoped}', expected one of them: save again what "
                "the network answers with"
            )
        found[name] = scoped
    return {name: tensors[scoped] for name, scoped in found.items()}


def _statistics(folder: Path) -> dict[str, float]:
    """Normalisation of a GQ-CNN: image and gripper depth."""
    return {
        "image_mean": _number(folder, (0, MAX_DEPTH), "im_mean.npy", "mean.npy"),
        "image_std": _number(folder, (0, 1), "im_std.npy", "std.npy"),
        "depth_mean": _number(folder, (0, MAX_DEPTH), "pose_mean.npy", of_pose=True),
        "depth_std": _number(folder, (0, 1), "pose_std.npy", of_pose=True),
    }


def _dense_statistics(folder: Path) -> dict[str, float]:
    """Normalisation of an FC-GQ-CNN: of the image minus the gripper depth."""
    return {
        "mean": _number(folder, (-1, 1), "im_depth_sub_mean.npy"),
        "std": _number(folder, (0, 1), "im_depth_sub_std.npy"),
    }


def _number(folder: Path, within: tuple[float, float], *names: str, of_pose: bool = False) -> float:
    """One statistic in m, between two numbers; of a pose with three or more columns, that of the depth."""
    path = next((folder / n for n in names if (folder / n).is_file()), None)
    if path is None:
        raise UnknownAsset(f"{folder / names[0]} is missing: expected the network's normalisation")
    try:
        values = np.atleast_1d(np.load(path, allow_pickle=False)).astype(float)
    except (ValueError, EOFError) as error:
        raise IncompatibleCheckpoint(f"{path} is not a .npy file of numbers") from error
    columns = of_pose and values.ndim == 1 and len(values) > DEPTH_COLUMN
    if values.shape != (1,) and not columns:
        more = ", or one for each column of the pose" if of_pose else ""
        raise IncompatibleCheckpoint(
            f"{path} holds shape {values.shape}: expected one number{more}"
        )
    value = float(values[DEPTH_COLUMN if columns else 0])
    if not within[0] < value < within[1]:
        raise IncompatibleCheckpoint(
            f"{path} says {value:g}: expected metres between {within[0]:g} and {within[1]:g}"
        )
    return value


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UnknownAsset(f"{path} is missing: expected a gqcnn model folder")
    try:
        value = json.loads(path.read_text())
    except ValueError as error:
        raise IncompatibleCheckpoint(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise IncompatibleCheckpoint(f"{path} holds a {type(value).__name__}: expected an object")
    return value
