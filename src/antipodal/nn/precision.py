"""Smaller copies of an exported network: weights stored in bfloat16, or products computed in 8 bits.

Metres stay float32 in all of them: only convolutions and dense layers behind the network's own normalisation change.
A file in bfloat16 only stores weights so; told to compute in it as a whole, OpenVINO rounds depth too, to 4 mm, and
qualities moved by up to 0.47 on a network that int8 moved by 0.03. What computes in bfloat16 behind that point is
:mod:`antipodal.quality`'s choice when it loads a file, whatever it stores.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import InvalidConfig
from ..files import write_bytes
from ..quality import METADATA_KEY
from .data import GraspBatch
from .quiet import quiet

StoredPrecision = Literal["float32", "bfloat16", "int8"]
EXPORT_PRECISIONS: tuple[StoredPrecision, ...] = ("float32", "bfloat16", "int8")
PRODUCTS = ("Conv", "Gemm", "MatMul")
CALIBRATION_BATCH = 64
BFLOAT16 = helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)


def check_precisions(precisions: Sequence[str]) -> None:
    """Refuse an unknown precision, one named twice, or none.

    Raises:
        InvalidConfig: lists the known ones.
    """
    unknown = [p for p in precisions if p not in EXPORT_PRECISIONS]
    if unknown or not precisions or len(set(precisions)) < len(precisions):
        raise InvalidConfig(
            f"precisions {', '.join(precisions) or 'none'}: expected some of {', '.join(EXPORT_PRECISIONS)}, once each"
        )


def write_bfloat16(source: Path, path: Path) -> None:
    """Store matrices and filters rounded to bfloat16: half the size, as fast as before."""
    model = onnx.load(source)
    graph = model.graph
    casts = []
    for weight in list(graph.initializer):
        if (
            weight.data_type != TensorProto.FLOAT
            or len(weight.dims) < 2
            or weight.name.endswith("coordinates")
        ):
            continue
        values = numpy_helper.to_array(weight).astype(BFLOAT16)
        rounded = numpy_helper.from_array(values, f"{weight.name}_bfloat16")
        casts.append(helper.make_node("Cast", [rounded.name], [weight.name], to=TensorProto.FLOAT))
        graph.initializer.remove(weight)
        graph.initializer.append(rounded)
    for cast in reversed(casts):
        graph.node.insert(0, cast)
    _save(model, "bfloat16", path)


def write_int8(source: Path, path: Path, calibration: Sequence[GraspBatch]) -> None:
    """Quantise products to 8 bits: weights per channel, activations by the range that ``calibration`` shows.

    The first convolution, which reads depth, and the last layer, which says the answer, stay float32.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(calibration)

        def get_next(self) -> Any:
            """The next batch, or None, which ends the calibration."""
            batch = next(self.batches, None)
            if batch is None:
                return None
            given = batch._asdict()
            return {name: given[name].numpy() for name in inputs}

    graph = onnx.load(source).graph
    inputs = [entry.name for entry in graph.input]
    products = [node.name for node in graph.node if node.op_type in PRODUCTS]
    with quiet("", logging.ERROR):  # the quantiser advises on the root logger
        quantize_static(
            source,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(PRODUCTS),
            nodes_to_exclude=[products[0], products[-1]],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    _save(onnx.load(path), "int8", path)


def _save(model: Any, precision: StoredPrecision, path: Path) -> None:
    """Write with the precision in the metadata."""
    entries = {p.key: p.value for p in model.metadata_props}
    metadata = {**json.loads(entries[METADATA_KEY]), "precision": precision}
    del model.metadata_props[:]
    helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata)})
    write_bytes(model.SerializeToString(), path)
