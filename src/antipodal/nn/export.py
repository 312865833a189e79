"""A finished run as one ONNX file that :func:`antipodal.quality.load_quality` reads, checked against torch."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..dataset.store import Dataset
from ..errors import IncompatibleCheckpoint
from ..quality import METADATA_KEY, METADATA_SCHEMA, load_quality
from .calibrate import Calibration
from .data import GraspTable, grasp_table, read_table
from .networks import Network
from .run import Run, open_run

MAX_DIFFERENCE = 1e-4
"""Largest difference in quality between torch and OpenVINO, both in float32."""
N_CHECKED = 512


class Exported(nn.Module):
    """The graph of the file: network, calibration, sigmoid."""

    def __init__(self, network: Network, calibration: Calibration) -> None:
        super().__init__()
        self.network = network
        self.calibration = calibration

    def forward(
        self, crop: Float[Tensor, "N 1 S S"], depth: Float[Tensor, "N 1"]
    ) -> Float[Tensor, "N"]:
        scale, offset = self.calibration
        return torch.sigmoid(scale * self.network(crop, depth) + offset)


def export_run(
    run_dir: str | Path, path: str | Path, dataset_dir: str | Path | None = None
) -> dict[str, Any]:
    """Write the run's best network, calibrated, as ONNX, and compare it with torch.

    Args:
        run_dir: a finished run.
        path: of the file; written only if the check passes.
        dataset_dir: where to take crops for the check; default: the run's own data set, if it is still there.

    Returns:
        ``path``, ``bytes``, ``parameters``, ``max_difference`` and ``n_checked``, of which ``n_real`` are from data.

    Raises:
        UnknownAsset: no finished run.
        IncompatibleCheckpoint: OpenVINO's answers differ from torch's by more than 1e-4.
    """
    run, path = open_run(run_dir), Path(path)
    metadata = {
        "schema": METADATA_SCHEMA,
        "architecture": run.config["train"]["architecture"],
        "crop": run.config["crop"],
        "gripper": run.config["gripper"],
        "training": _provenance(run),
    }
    temporary = path.with_name(f".{path.stem}.tmp.onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_onnx(run.network, run.calibration, run.crop_size, metadata, temporary)
    real = _real_table(run, dataset_dir)
    try:
        tables = [random_table(run.crop_size, N_CHECKED, np.random.default_rng(0))]
        tables += [] if real is None else [real]
        difference = max(max_difference(run.network, run.calibration, temporary, t) for t in tables)
        if not difference <= MAX_DIFFERENCE:
            raise IncompatibleCheckpoint(
                f"the exported network differs from torch by {difference:.2g}: expected at most {MAX_DIFFERENCE:g}; "
                "report this with the versions of torch and openvino"
            )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "parameters": sum(p.numel() for p in run.network.parameters()),
        "max_difference": difference,
        "n_checked": sum(len(t) for t in tables),
        "n_real": 0 if real is None else len(real),
    }


def write_onnx(
    network: Network, calibration: Calibration, size: int, metadata: dict[str, Any], path: Path
) -> None:
    """Write the file without checking it. The batch is dynamic."""
    graph = Exported(network, calibration).eval()
    example = (torch.full((2, 1, size, size), 0.7), torch.full((2, 1), 0.65))
    n = torch.export.Dim("n")
    save_graph(graph, {"crop": example[0], "depth": example[1]}, ({0: n}, {0: n}), metadata, path)


def save_graph(
    graph: nn.Module,
    example: dict[str, Tensor],
    dynamic_shapes: Any,
    metadata: dict[str, Any],
    path: Path,
) -> None:
    """Write a module with one output, "quality", as ONNX with its description of itself."""
    with _quiet():
        program = torch.onnx.export(
            graph,
            tuple(example.values()),
            input_names=list(example),
            output_names=["quality"],
            dynamo=True,
            dynamic_shapes=dynamic_shapes,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    strip(proto)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(metadata)
    path.write_bytes(proto.SerializeToString())


def strip(proto: Any) -> None:
    """Drop the exporter's notes: stack traces with the paths of the machine that exported."""
    for item in [proto, proto.graph, *proto.functions]:
        del item.metadata_props[:]
        item.doc_string = ""
    for graph in [proto.graph, *proto.functions]:
        values = [*graph.value_info]
        if graph is proto.graph:
            values += [*graph.input, *graph.output, *graph.initializer]
        for item in [*graph.node, *values]:
            del item.metadata_props[:]
            item.doc_string = ""


@torch.no_grad()
def max_difference(
    network: Network, calibration: Calibration, path: Path, table: GraspTable
) -> float:
    """Return the largest |torch − OpenVINO| quality over a table."""
    batch = table[:]
    torch_quality = Exported(network, calibration).eval()(batch.crop, batch.depth)
    quality = load_quality(path).score(batch.crop[:, 0].numpy(), batch.depth[:, 0].numpy())
    return float(np.abs(torch_quality.double().numpy() - quality).max())


def random_table(size: int, n: int, rng: np.random.Generator) -> GraspTable:
    """Crops that try every branch: white noise of any amplitude, missing pixels, some missing everywhere."""
    amplitude = 10 ** rng.uniform(-4, -0.5, (n, 1, 1))
    relative = amplitude * rng.standard_normal((n, size, size)) + rng.uniform(
        -0.02, 0.08, (n, 1, 1)
    )
    relative[rng.random((n, size, size)) < rng.choice([0, 0.1, 0.5], (n, 1, 1))] = np.nan
    relative[0] = np.nan
    return grasp_table(relative, rng.uniform(0.3, 1.5, n), rng.random(n) < 0.5)


def _real_table(run: Run, dataset_dir: str | Path | None) -> GraspTable | None:
    path = Path(run.config["dataset"]["path"] if dataset_dir is None else dataset_dir)
    if dataset_dir is None and not (path / "dataset.json").is_file():
        return None
    table = read_table(Dataset.open(path))
    return table.rows(np.linspace(0, len(table) - 1, min(N_CHECKED, len(table))).astype(int))


def _provenance(run: Run) -> dict[str, Any]:
    """Where the weights come from, without the places on the machine that made them."""
    data = {k: v for k, v in run.config["dataset"].items() if k != "path"}
    return {
        "version": run.config["version"],
        "config": run.config["train"],
        "dataset": data,
        **{k: run.result[k] for k in ("n_train", "n_validation", "validation", "calibration")},
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks on operators of packages that are not installed, and on its own internals."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
            warnings.filterwarnings("ignore", message="# The axis name: .* will not be used")
            yield
    finally:
        log.setLevel(level)
