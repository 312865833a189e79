"""Measure a network on a data set: scores, intervals by object, pictures (reference §11.4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..dataset.schema import SUCCESS_THRESHOLD
from ..dataset.store import Dataset
from ..errors import IncompatibleCheckpoint, InvalidConfig
from ..files import write_json
from ..quality import load_quality
from . import plots
from .data import GraspTable, ordered_batches, read_table
from .run import describe, open_run
from .scores import DECISION, bootstrap_interval, classification
from .train import predict_log_odds

Rows = Literal["auto", "validation", "all"]
"""Which datapoints: "auto" is the validation split of the data set that the network was trained on, all of another."""


class Answers(NamedTuple):
    """What a network said of a data set, and the truth."""

    quality: Float[np.ndarray, "N"]
    success: Bool[np.ndarray, "N"]
    object_id: Int[np.ndarray, "N"]
    collision_free: Bool[np.ndarray, "N"]
    table: GraspTable


def evaluate(
    model: str | Path,
    dataset_dir: str | Path,
    output_dir: str | Path | None = None,
    rows: Rows = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """Score a run or an exported network.

    Args:
        model: a run directory, an ONNX file or a built-in model's name.
        dataset_dir: the data.
        output_dir: where to write ``evaluation.json`` and the plots; None: nothing is written.
        rows: which datapoints.
        seed: of the bootstrap.

    Returns:
        ``rows`` (which were used), every score of :func:`antipodal.nn.scores.classification`, ``intervals`` (95 %,
        by object), ``all_negative_accuracy``, ``by_collision`` and ``by_object`` (worst first).

    Raises:
        IncompatibleCheckpoint: the network's crop differs from the data set's.
        InvalidConfig: "validation" of a data set that the network was not trained on.
    """
    dataset = Dataset.open(dataset_dir)
    answers, used = predict(model, dataset, rows)
    quality, success = answers.quality, answers.success
    rng = np.random.default_rng(seed)
    report: dict[str, Any] = {
        "model": str(model),
        "dataset": str(dataset_dir),
        "rows": used,
        **classification(quality, success),
        "all_negative_accuracy": float(1 - success.mean()),
        "n_objects": len(np.unique(answers.object_id)),
        "intervals": bootstrap_interval(answers.object_id, quality, success, rng),
        "by_collision": {
            name: classification(quality[part], success[part])
            for name, part in (
                ("free", answers.collision_free),
                ("colliding", ~answers.collision_free),
            )
        },
        "by_object": error_by_object(answers),
    }
    if output_dir is not None:
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(report, folder / "evaluation.json")
        plots.write_plots(folder, quality, success, answers.table)
    return report


def predict(model: str | Path, dataset: Dataset, rows: Rows = "auto") -> tuple[Answers, str]:
    """Return the network's answers and a word for the rows that they are for."""
    network = _from_run(model) if (Path(model) / "config.json").is_file() else _from_onnx(model)
    if network.crop != dataset.config["crop"]:
        raise IncompatibleCheckpoint(
            f"{model} was trained on crops {network.crop}: the data set has {dataset.config['crop']}"
        )
    index, used = _choose(dataset, rows, network)
    threshold = float(network.training.get("success_threshold", SUCCESS_THRESHOLD))
    table = read_table(dataset, threshold).rows(index)
    facts = dataset.read(["object_id", "collision_free"])
    answers = Answers(
        network.quality(table),
        table.success.numpy(),
        facts["object_id"][index],
        facts["collision_free"][index],
        table,
    )
    return answers, used


def error_by_object(answers: Answers) -> list[dict[str, float]]:
    """Count and error rate of each object, worst first."""
    ids, inverse = np.unique(answers.object_id, return_inverse=True)
    wrong = (answers.quality >= DECISION) != answers.success
    n = np.bincount(inverse)
    rate = np.bincount(inverse, wrong) / n
    return [
        {"object_id": int(ids[i]), "n": int(n[i]), "error_rate": float(rate[i])}
        for i in np.lexsort((ids, -rate))
    ]


class _Network(NamedTuple):
    """A run or an ONNX file, seen alike."""

    quality: Callable[[GraspTable], np.ndarray]
    crop: dict[str, Any]
    training: dict[str, Any]
    """Its TrainConfig, or empty."""
    dataset: dict[str, Any]
    """What it knows of the data it was trained on."""


def _from_run(path: str | Path) -> _Network:
    run = open_run(path)

    def quality(table: GraspTable) -> np.ndarray:
        return run.calibration(predict_log_odds(run.network, table))

    return _Network(quality, run.config["crop"], run.config["train"], run.config["dataset"])


def _from_onnx(name_or_path: str | Path) -> _Network:
    network = load_quality(name_or_path)
    training = network.metadata["training"]

    def quality(table: GraspTable) -> np.ndarray:
        parts = [
            network.score(batch.crop[:, 0].numpy(), batch.depth[:, 0].numpy())
            for batch in ordered_batches(table)
        ]
        return np.concatenate(parts)

    crop = network.metadata["crop"]
    return _Network(quality, crop, training.get("config", {}), training.get("dataset", {}))


def _choose(dataset: Dataset, rows: Rows, network: _Network) -> tuple[Int[np.ndarray, "M"], str]:
    if rows not in ("auto", "validation", "all"):
        raise InvalidConfig(f"rows '{rows}': expected auto, validation or all")
    own = {k: v for k, v in network.dataset.items() if k != "path"} == describe(dataset)
    if rows == "all" or (rows == "auto" and not own):
        return np.arange(len(dataset)), "all"
    if not own:
        raise InvalidConfig(
            f"{dataset.path} is not the data set that the network was trained on: it has no validation split; use all"
        )
    training = network.training
    _, index = dataset.split(training["split"], training["seed"], training["train_fraction"])
    return index, f"validation {training['split']}"
