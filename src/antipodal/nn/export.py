"""A finished run as one ONNX file that :func:`antipodal.quality.load_quality` reads, checked against torch."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..dataset.schema import SUCCESS_THRESHOLD
from ..dataset.store import Dataset
from ..errors import IncompatibleCheckpoint, UnknownAsset
from ..files import partial_folder, write_bytes, write_json
from ..gripper import TOLD, load_gripper
from ..quality import MAX_BATCH, METADATA_KEY, METADATA_SCHEMA, load_quality
from .calibrate import Calibration
from .data import GraspTable, grasp_table, table_batches
from .networks import Network
from .precision import (
    CALIBRATION_BATCH,
    EXPORT_PRECISIONS,
    StoredPrecision,
    check_precisions,
    write_bfloat16,
    write_int8,
)
from .quiet import quiet
from .run import Run, describe, expect_crops, open_run, split_as
from .scores import classification
from .stream import GraspRows

MAX_DIFFERENCE = 1e-4
"""Largest difference in quality between torch and OpenVINO, both in float32."""
N_CHECKED = 512
N_CALIBRATION = 512
"""Training crops that show the range of activations for int8."""
N_COMPARED = 20_000
"""Held-out crops that the precisions are compared on."""
N_TIMED = 15
EXPORTERS_OWN = (".*treespec, LeafSpec.*", "# The axis name: .* will not be used")
"""Warnings of the exporter about its own internals."""


class Exported(nn.Module):
    """The graph of the file: network, calibration, sigmoid."""

    def __init__(self, network: Network, calibration: Calibration) -> None:
        super().__init__()
        self.network = network
        self.calibration = calibration

    def forward(
        self,
        crop: Float[Tensor, "N 1 S S"],
        depth: Float[Tensor, "N 1"],
        hand: Float[Tensor, "N 5"] | None = None,
    ) -> Float[Tensor, "N"]:
        scale, offset = self.calibration
        inputs = (crop, depth) if hand is None else (crop, depth, hand)
        return torch.sigmoid(scale * self.network(*inputs) + offset)


def export_run(
    run_dir: str | Path,
    path: str | Path,
    dataset_dir: str | Path | None = None,
    precisions: Sequence[StoredPrecision] = ("float32",),
) -> dict[str, Any]:
    """Write the run's best network, calibrated, as ONNX, and compare it with torch.

    Args:
        run_dir: a finished run.
        path: of the first precision's file, written only if the check passes; the others' names say theirs.
        dataset_dir: where to take crops from; default: the run's own data set, if it is still there.
        precisions: of :data:`antipodal.nn.precision.EXPORT_PRECISIONS`. More than float32 are compared with it on
            the validation split, in a table that is written beside the file as JSON.

    Returns:
        ``path``, ``bytes``, ``parameters``, ``max_difference`` and ``n_checked``, of which ``n_real`` are from data;
        for more than float32 also ``comparison``.

    Raises:
        UnknownAsset: no finished run, or no data to quantise or compare with.
        IncompatibleCheckpoint: OpenVINO's answers in float32 differ from torch's by more than 1e-4; a data set of
            other crops; a name that is not of an .onnx file.
    """
    check_precisions(precisions)
    run, path = open_run(run_dir), Path(path)
    check_name(path)
    dataset = _dataset(run, dataset_dir)
    if tuple(precisions) != ("float32",) and dataset is None:
        raise UnknownAsset(
            f"{run.config['dataset']['path']} is gone: {', '.join(precisions)} need crops; name a data set"
        )
    metadata = _metadata(run)
    with partial_folder(path) as folder:
        made: dict[StoredPrecision, Path] = {p: folder / f"{p}.onnx" for p in EXPORT_PRECISIONS}
        write_onnx(run.network, run.calibration, run.crop_size, metadata, made["float32"])
        checked = _check(run, made["float32"], dataset)
        if "bfloat16" in precisions:
            write_bfloat16(made["float32"], made["bfloat16"])
        if "int8" in precisions and dataset is not None:
            rows, _ = _rows(run, dataset)
            table = _some(dataset, rows, N_CALIBRATION)
            write_int8(made["float32"], made["int8"], [*table_batches(table, CALIBRATION_BATCH)])
        report: dict[str, Any] = {"path": str(path), **checked}
        if tuple(precisions) != ("float32",) and dataset is not None:
            used: dict[StoredPrecision, Path] = {
                p: made[p] for p in EXPORT_PRECISIONS if p in ("float32", *precisions)
            }
            report["comparison"] = compare_precisions(run, used, dataset)
        for k, precision in enumerate(precisions):
            file = path if k == 0 else path.with_name(f"{path.stem}_{precision}.onnx")
            os.replace(made[precision], file)
    report["bytes"] = path.stat().st_size
    if "comparison" in report:
        write_json(report, path.with_suffix(".json"))
    return report


def check_name(path: Path) -> None:
    """Refuse a name that nothing would read again.

    Raises:
        IncompatibleCheckpoint: a folder, or not the name of an .onnx file.
    """
    if path.suffix != ".onnx" or path.is_dir():
        raise IncompatibleCheckpoint(f"{path}: expected the name of an .onnx file")


def compare_precisions(
    run: Run, files: dict[StoredPrecision, Path], dataset: Dataset
) -> list[dict[str, Any]]:
    """One row per precision: size, scores on held-out rows and their change from float32, speed on this machine."""
    _, held_out = _rows(run, dataset)
    table = _some(dataset, held_out, N_COMPARED, run.config["train"])
    crops, depth = table[:].crop[:, 0].numpy(), table.depth.numpy()
    hand = table.hand.numpy()
    networks = {p: load_quality(file) for p, file in files.items()}
    qualities: dict[str, np.ndarray] = {
        p: network.score(crops, depth, hand) for p, network in networks.items()
    }
    seconds: dict[str, list[float]] = {p: [] for p in files}
    for _ in range(N_TIMED):  # in turn, so that what else the machine does meets all alike
        for precision, network in networks.items():
            begin = time.perf_counter()
            network.score(crops[:MAX_BATCH], depth[:MAX_BATCH])
            seconds[precision].append(time.perf_counter() - begin)
    truth = table.success.numpy()
    scores: dict[str, Any] = {p: classification(q, truth) for p, q in qualities.items()}
    rows = []
    for precision, file in files.items():
        difference = np.abs(qualities[precision] - qualities["float32"])
        row: dict[str, Any] = {
            "precision": precision,
            "bytes": file.stat().st_size,
            "n": len(table),
        }
        for name in ("accuracy", "average_precision", "ece"):
            row[name] = ours = scores[precision][name]
            base = scores["float32"][name]
            row[f"{name}_change"] = None if ours is None or base is None else ours - base
        row["max_difference"] = float(difference.max())
        row["mean_difference"] = float(difference.mean())
        n_timed = min(MAX_BATCH, len(depth))
        row["grasps_per_second"] = n_timed / float(np.median(seconds[precision]))
        rows.append(row)
    return rows


def comparison_text(rows: Sequence[dict[str, Any]]) -> str:
    """The comparison as a table for people."""
    lines = [
        f"{'precision':<10}{'kB':>8}{'accuracy':>10}{'change':>9}{'AP':>8}{'change':>9}{'max |Δq|':>10}"
        f"{'mean |Δq|':>11}{'grasps/s':>10}"
    ]
    for r in rows:
        ap, gain = (
            float("nan") if r[k] is None else r[k]
            for k in ("average_precision", "average_precision_change")
        )
        lines.append(
            f"{r['precision']:<10}{r['bytes'] / 1000:8.0f}{r['accuracy']:10.4f}{r['accuracy_change']:+9.4f}{ap:8.4f}"
            f"{gain:+9.4f}{r['max_difference']:10.4f}{r['mean_difference']:11.5f}{r['grasps_per_second']:10.0f}"
        )
    return "\n".join(lines)


def _check(run: Run, file: Path, dataset: Dataset | None) -> dict[str, Any]:
    """Compare a float32 file with torch, on noise and on data."""
    tables = [random_table(run.crop_size, N_CHECKED, np.random.default_rng(0))]
    tables += [] if dataset is None else [_some(dataset, np.arange(len(dataset)), N_CHECKED)]
    differences = [max_difference(run.network, run.calibration, file, t) for t in tables]
    difference = float(np.max(differences))  # of which one may be no number
    if not difference <= MAX_DIFFERENCE:
        raise IncompatibleCheckpoint(
            f"the exported network differs from torch by {difference:.2g}: expected at most {MAX_DIFFERENCE:g}; "
            "report this with the versions of torch and openvino"
        )
    return {
        "parameters": sum(p.numel() for p in run.network.parameters()),
        "max_difference": difference,
        "n_checked": sum(len(t) for t in tables),
        "n_real": sum(len(t) for t in tables[1:]),
    }


def write_onnx(
    network: Network, calibration: Calibration, size: int, metadata: dict[str, Any], path: Path
) -> None:
    """Write the file without checking it. The batch is dynamic."""
    graph = Exported(network, calibration).eval()
    example = {"crop": torch.full((2, 1, size, size), 0.7), "depth": torch.full((2, 1), 0.65)}
    if network.TOLD_OF_HAND:
        example["hand"] = torch.tensor(metadata["hand"])[None].repeat(2, 1)
    n = torch.export.Dim("n")
    save_graph(graph, example, {name: {0: n} for name in example}, metadata, path)


def save_graph(
    graph: nn.Module,
    example: dict[str, Tensor],
    dynamic_shapes: Any,
    metadata: dict[str, Any],
    path: Path,
    output: str = "quality",
) -> None:
    """Write a module with one output as ONNX with its description of itself."""
    # its log: operators of packages that are not installed
    with quiet("torch.onnx", logging.ERROR, *EXPORTERS_OWN):
        program = torch.onnx.export(
            graph,
            tuple(example.values()),
            input_names=list(example),
            output_names=[output],
            dynamo=True,
            dynamic_shapes=dynamic_shapes,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    strip(proto)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(metadata)
    write_bytes(proto.SerializeToString(), path)


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
    """Return the largest |torch − OpenVINO| quality over a table.

    Raises:
        IncompatibleCheckpoint: torch's own answers are not finite.
    """
    batch = table[:]
    torch_quality = Exported(network, calibration).eval()(batch.crop, batch.depth, batch.hand)
    if not torch_quality.isfinite().all():
        raise IncompatibleCheckpoint(
            "the network's own answers are not finite, before any export: has its training diverged? "
            "Train again with a lower --learning-rate"
        )
    inputs = (batch.crop[:, 0], batch.depth[:, 0], batch.hand)
    quality = load_quality(path).score(*(x.numpy() for x in inputs))
    return float(np.abs(torch_quality.double().numpy() - quality).max())


def random_table(size: int, n: int, rng: np.random.Generator) -> GraspTable:
    """Crops that try every branch: white noise of any amplitude, missing pixels, some missing everywhere."""
    amplitude = 10 ** rng.uniform(-4, -0.5, (n, 1, 1))
    relative = amplitude * rng.standard_normal((n, size, size)) + rng.uniform(
        -0.02, 0.08, (n, 1, 1)
    )
    relative[rng.random((n, size, size)) < rng.choice([0, 0.1, 0.5], (n, 1, 1))] = np.nan
    relative[0] = np.nan
    hand = load_gripper("yumi").told * rng.uniform(0.5, 2.0, (n, len(TOLD)))
    return grasp_table(relative, rng.uniform(0.3, 1.5, n), rng.random(n) < 0.5, hand)


def _dataset(run: Run, dataset_dir: str | Path | None) -> Dataset | None:
    path = Path(run.config["dataset"]["path"] if dataset_dir is None else dataset_dir)
    if dataset_dir is None and not (path / "dataset.json").is_file():
        return None
    dataset = Dataset.open(path)
    expect_crops(run.path, run.config["crop"], dataset)
    return dataset


def _rows(run: Run, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Rows that the network was trained on, and rows held out; of another data set, all are held out."""
    ours = {k: v for k, v in run.config["dataset"].items() if k != "path"}
    if ours != describe(dataset):
        return np.arange(len(dataset)), np.arange(len(dataset))
    return split_as(dataset, run.config["train"])


def _some(
    dataset: Dataset, rows: np.ndarray, n: int, training: dict[str, Any] | None = None
) -> GraspTable:
    """At most n of the rows, spread evenly, with the labels of a training."""
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, n).astype(int))]
    training = training or {}
    threshold = float(training.get("success_threshold", SUCCESS_THRESHOLD))
    success = dataset.targets(training.get("target", "robust"), threshold)
    return GraspRows(dataset, chosen, success).kept()


def _metadata(run: Run) -> dict[str, Any]:
    """What the file says about itself."""
    return {
        "schema": METADATA_SCHEMA,
        "architecture": run.config["train"]["architecture"],
        "crop": run.config["crop"],
        "gripper": run.config["gripper"],
        "hand": run.config["hand"],
        "training": _provenance(run),
        "precision": "float32",
    }


def _provenance(run: Run) -> dict[str, Any]:
    """Where the weights come from, without the places on the machine that made them."""
    data = {k: v for k, v in run.config["dataset"].items() if k != "path"}
    return {
        "version": run.config["version"],
        "config": run.config["train"],
        "dataset": data,
        **{k: run.result[k] for k in ("n_train", "n_validation", "validation", "calibration")},
    }
