"""Measure a network on a data set: scores, intervals by object, and where it errs (reference §11.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..dataset.schema import SUCCESS_THRESHOLD
from ..dataset.store import Dataset, TargetName
from ..errors import IncompatibleCheckpoint, InvalidConfig
from ..quality import load_quality
from .calibrate import calibrated_by_others, log_odds_of
from .data import GraspBatch
from .evaluation_files import write_evaluation
from .plots import Scored
from .run import Run, describe, expect_crops, open_run, split_as
from .scores import DECISION, bootstrap_interval, classification, few_objects
from .stream import GIBIBYTE, GraspRows, GraspStream
from .train import ORDERED_BATCH, predict_log_odds

Rows = Literal["auto", "validation", "training", "all"]
"""Which datapoints: "auto" is the validation split of the data set that the network was trained on, all of another."""
N_TRAINING = 20_000
"""Training datapoints that are scored beside the validation split's, spread over all of them."""
N_DEPTH_BINS = 8


class Answers(NamedTuple):
    """What a network said of some rows of a data set, and the truth."""

    quality: Float[np.ndarray, "N"]
    """Probability of success."""
    ranking: Float[np.ndarray, "N"]
    """The network's own quality, of one calibration: what orders the rows where that alone is asked."""
    success: Float[np.ndarray, "N"]
    """Label in [0, 1]."""
    rows: GraspRows
    facts: dict[str, np.ndarray]
    """Of these rows: object_id, pose_id, collision_free, depth."""

    @property
    def wrong(self) -> Bool[np.ndarray, "N"]:
        """The decision was not what happened."""
        return (self.quality >= DECISION) != (self.success > 0.5)

    @property
    def scored(self) -> Scored:
        """Prediction and truth alone."""
        return Scored(self.quality, self.success)

    @property
    def ranked(self) -> Scored:
        """Order and truth alone."""
        return Scored(self.ranking, self.success)


def evaluate(
    model: str | Path,
    dataset_dir: str | Path,
    output_dir: str | Path | None = None,
    rows: Rows = "auto",
    seed: int = 0,
    target: TargetName | None = None,
) -> dict[str, Any]:
    """Score a run or an exported network.

    Args:
        model: a run directory, an ONNX file or a built-in model's name.
        dataset_dir: the data.
        output_dir: where to write everything that docs/learning.md lists; None: nothing is written.
        rows: which datapoints.
        seed: of the bootstrap.
        target: which label is the truth; default: the one that the network learned.

    Returns:
        ``rows`` (which were used), ``warnings`` (of few objects), every score of
        :func:`antipodal.nn.scores.classification`, ``intervals`` (95 %, by object), ``all_negative_accuracy``,
        ``by_collision``, ``by_depth``, ``by_pose`` and ``by_object`` (worst first); on the network's own validation
        split also ``training``, the scores of some training rows. There the calibration was fitted, so that each half
        of the objects is calibrated anew by the other half, but for AP and AUC, which are of the network's own order.

    Raises:
        IncompatibleCheckpoint: the network's crop differs from the data set's.
        InvalidConfig: "validation" or "training" of a data set that the network was not trained on; ``output_dir``
            is a data set.
    """
    if output_dir is not None and (Path(output_dir) / "dataset.json").is_file():
        raise InvalidConfig(
            f"{output_dir} holds a data set, which predictions.parquet would be foreign to: choose another folder"
        )
    dataset = Dataset.open(dataset_dir)
    network = _open(model)
    label: TargetName = target or network.training.get("target", "robust")
    index, used = _choose(dataset, rows, network)
    answers = predict(network, dataset, index, label)
    if used.startswith("validation"):
        answers = by_others(answers)
    splits = {used: answers}
    report = {
        "model": str(model),
        "dataset": str(dataset_dir),
        "rows": used,
        "target": label,
        **describe_answers(answers, np.random.default_rng(seed)),
        "warnings": few_objects(answers.facts["object_id"]),
    }
    if used.startswith("validation"):
        index, name = _choose(dataset, "training", network)
        some = np.unique(np.linspace(0, len(index) - 1, N_TRAINING).astype(int))
        splits[name] = predict(network, dataset, index[some], label)
        report["training"] = classification(splits[name].quality, splits[name].success)
    if output_dir is not None:
        write_evaluation(Path(output_dir), report, splits, network.run)
    return report


def by_others(answers: Answers) -> Answers:
    """The answers where no object's calibration was fitted to it; those of a run's validation split all were."""
    log_odds, objects = log_odds_of(answers.ranking), answers.facts["object_id"]
    return answers._replace(quality=calibrated_by_others(log_odds, answers.success, objects))


def describe_answers(answers: Answers, rng: np.random.Generator) -> dict[str, Any]:
    """Every number of one set of answers."""
    columns = (answers.quality, answers.success, answers.ranking)
    objects, free = answers.facts["object_id"], answers.facts["collision_free"]
    parts = (("free", free), ("colliding", ~free))
    return {
        **classification(*columns),
        "all_negative_accuracy": float(1 - (answers.success > 0.5).mean()),
        "n_objects": len(np.unique(objects)),
        "intervals": bootstrap_interval(
            objects, answers.quality, answers.success, rng, answers.ranking
        ),
        "by_collision": {name: classification(*(c[p] for c in columns)) for name, p in parts},
        "by_depth": error_by_depth(answers),
        "by_pose": error_by(answers, "pose_id"),
        "by_object": error_by(answers, "object_id", _object_names(answers.rows.dataset)),
    }


def predict(
    network: Network, dataset: Dataset, index: Int[np.ndarray, "M"], target: TargetName
) -> Answers:
    """Return the network's answers for rows of a data set, which are streamed.

    Raises:
        IncompatibleCheckpoint: another crop, or answers that are not finite.
    """
    expect_crops(network.name, network.crop, dataset)
    threshold = float(network.training.get("success_threshold", SUCCESS_THRESHOLD))
    success = dataset.targets(target, threshold)
    # a pass needs each crop once: a gibibyte keeps two readers busy
    source = GraspRows(dataset, index, success, GIBIBYTE)
    facts = dataset.read(["object_id", "pose_id", "collision_free", "depth"])
    quality = network.quality(GraspStream(source, ORDERED_BATCH))
    if n := int((~np.isfinite(quality)).sum()):
        raise IncompatibleCheckpoint(
            f"{network.name} answers {n} of {len(quality)} datapoints with no number: did its training diverge? "
            "Train again with a lower learning rate"
        )
    of_rows = {k: v[index] for k, v in facts.items()}
    return Answers(quality, quality, success[index], source, of_rows)


def error_by(
    answers: Answers, column: str, names: dict[int, str] | None = None
) -> list[dict[str, Any]]:
    """Count, share of successes and error rate of each object or pose, worst first."""
    ids, inverse = np.unique(answers.facts[column], return_inverse=True)
    n = np.bincount(inverse)
    rate = np.bincount(inverse, answers.wrong) / n
    positive = np.bincount(inverse, answers.success > 0.5) / n
    found = []
    for i in np.lexsort((ids, -rate)):
        row = {column: int(ids[i]), "n": int(n[i]), "positive_share": float(positive[i])}
        row["error_rate"] = float(rate[i])
        found.append(row if names is None else {**row, "name": names.get(int(ids[i]), "")})
    return found


def error_by_depth(answers: Answers) -> list[dict[str, Any]]:
    """Error rate in bins of the grasp's depth with equally many datapoints."""
    depth = answers.facts["depth"]
    edges = np.unique(np.quantile(depth, np.linspace(0, 1, N_DEPTH_BINS + 1)))
    which = np.clip(np.searchsorted(edges, depth, side="right") - 1, 0, max(len(edges) - 2, 0))
    found = []
    for k in np.unique(which):
        part = which == k
        low, high = float(depth[part].min()), float(depth[part].max())
        rate, positive = answers.wrong[part].mean(), (answers.success[part] > 0.5).mean()
        found.append(
            {
                "name": f"{low:.2f}–{high:.2f} m",
                "depth": [low, high],
                "n": int(part.sum()),
                "positive_share": float(positive),
                "error_rate": float(rate),
            }
        )
    return found


class Network(NamedTuple):
    """A run or an ONNX file, seen alike."""

    name: str
    quality: Callable[[Iterable[GraspBatch]], np.ndarray]
    crop: dict[str, Any]
    training: dict[str, Any]
    """Its TrainConfig, or empty."""
    dataset: dict[str, Any]
    """What it knows of the data it was trained on."""
    run: Run | None


def _open(model: str | Path) -> Network:
    return _from_run(model) if (Path(model) / "config.json").is_file() else _from_onnx(model)


def _from_run(path: str | Path) -> Network:
    run = open_run(path)

    def quality(batches: Iterable[GraspBatch]) -> np.ndarray:
        return run.calibration(predict_log_odds(run.network, batches))

    training, dataset = run.config["train"], run.config["dataset"]
    return Network(str(path), quality, run.config["crop"], training, dataset, run)


def _from_onnx(name_or_path: str | Path) -> Network:
    network = load_quality(name_or_path)
    training = network.metadata["training"]

    def quality(batches: Iterable[GraspBatch]) -> np.ndarray:
        parts = [
            network.score(*(x.numpy() for x in (b.crop[:, 0], b.depth[:, 0], b.hand)))
            for b in batches
        ]
        return np.concatenate(parts)

    name, crop = str(name_or_path), network.metadata["crop"]
    return Network(
        name, quality, crop, training.get("config", {}), training.get("dataset", {}), None
    )


def _choose(dataset: Dataset, rows: Rows, network: Network) -> tuple[Int[np.ndarray, "M"], str]:
    known = ("auto", "validation", "training", "all")
    if rows not in known:
        raise InvalidConfig(f"rows '{rows}': expected one of {', '.join(known)}")
    own = {k: v for k, v in network.dataset.items() if k != "path"} == describe(dataset)
    if rows == "all" or (rows == "auto" and not own):
        return np.arange(len(dataset)), "all"
    if not own:
        raise InvalidConfig(
            f"{dataset.path} is not the data set that the network was trained on: it has no {rows} split; use all"
        )
    train, held_out = split_as(dataset, network.training)
    name = "training" if rows == "training" else "validation"
    return (train if name == "training" else held_out), f"{name} {network.training['split']}"


def _object_names(dataset: Dataset) -> dict[int, str]:
    table = dataset.table("objects")
    return dict(zip(table["object_id"].to_pylist(), table["name"].to_pylist(), strict=True))
