"""Train the paper's learned baselines on a data set of ours [Mahler17, §VI-C]; ``runs/baselines.sh`` calls it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..crop import CropConfig
from ..dataset.store import Dataset, SplitName
from ..errors import InvalidConfig
from ..files import write_json
from ..nn.scores import bootstrap_interval, classification
from ..render.noise import NoiseModel, add_noise
from ..values import POSITIVE, config_from_dict, expect
from .learned import KINDS, LearnedQuality, features, fill_farthest, save_learned, svm_margin

PLATT_FRACTION = 0.2
"""Share of the training side kept from the support vector machine to turn its margins into probabilities."""
SENSOR = NoiseModel(
    gamma_shape=1 / 0.003**2, gaussian_sigma=0.0025, gaussian_rate=1.0, gaussian_field="rbf",
    length_scale_px=4 / 3,
)  # fmt: skip
"""Correlated noise and depth scale of a structured-light sensor, without missing pixels: the baselines see filled
images."""


@dataclass(frozen=True)
class LearningConfig:
    """How the baselines are trained; the defaults are the paper's where it gives them (reference §8.5)."""

    n_forest: int = 20_000
    """Datapoints for the forest: the paper's small set had 189,000; at depth 10 few are enough."""
    n_svm: int = 8_000
    """Datapoints for the machine: time grows with the square."""
    n_validation: int = 20_000
    """Datapoints of the other objects that scores are computed on."""
    n_trees: int = 200
    max_depth: int = 10
    c: float = 1.0
    """Penalty of the machine."""
    split: SplitName = "object_wise"
    """The paper's is image-wise."""
    train_fraction: float = 0.8
    split_seed: int = 24098
    """As the networks': the same objects are held out."""
    seed: int = 0
    noise: NoiseModel = field(default_factory=lambda: SENSOR)
    """Added to every training crop once."""

    def __post_init__(self) -> None:
        counts = ("n_forest", "n_svm", "n_validation", "n_trees", "max_depth")
        expect(self, "learning", POSITIVE, *counts, "c")


class Examples(NamedTuple):
    """Some datapoints."""

    relative: Float[np.ndarray, "N S S"]
    """Depth minus the grasp's depth, float32 m; NaN = missing."""
    depth: Float[np.ndarray, "N"]
    success: Bool[np.ndarray, "N"]
    object_id: Int[np.ndarray, "N"]


def train_baselines(
    dataset_dir: str | Path, output_dir: str | Path, config: LearningConfig | None = None
) -> dict[str, Any]:
    """Train both baselines; write ``forest.npz``, ``svm.npz`` and ``baselines.json`` with their scores.

    Args:
        dataset_dir: a finished data set.
        output_dir: where to write.
        config: sizes, hyper-parameters, split.

    Returns:
        For each baseline the scores on held-out datapoints, clean as the networks are evaluated, with 95 % intervals
        by object.

    Raises:
        UnknownAsset, CorruptDataset: no data set there.
        InvalidConfig: a side of the split would be empty, or the training rows are all of one class.
    """
    config = config or LearningConfig()
    dataset = Dataset.open(dataset_dir)
    rng = np.random.default_rng(config.seed)
    train, held_out = dataset.split(config.split, config.split_seed, config.train_fraction)
    chosen = _choose(train, max(config.n_forest, config.n_svm), rng)
    examples = read_examples(dataset, chosen)
    examples = examples._replace(relative=noisy(examples, config.noise, rng))
    validation = read_examples(dataset, _choose(held_out, config.n_validation, rng))
    crop = config_from_dict(CropConfig, dataset.config["crop"], f"{dataset.path}: crop")
    report: dict[str, Any] = {}
    for kind in KINDS:
        arrays = train_kind(kind, examples, config)
        quality = LearnedQuality(kind, crop, arrays, {})
        report[kind] = evaluate_learned(quality, validation, config.seed)
        facts = {"config": asdict(config), "dataset": str(dataset_dir), "scores": report[kind]}
        quality = LearnedQuality(kind, crop, arrays, json.loads(json.dumps(facts)))
        save_learned(quality, Path(output_dir) / f"{kind}.npz")
    write_json(report, Path(output_dir) / "baselines.json")
    return report


def train_kind(kind: str, examples: Examples, config: LearningConfig) -> dict[str, np.ndarray]:
    """Train one baseline on rows in random order; return its arrays.

    Raises:
        InvalidConfig: all rows of one class.
    """
    rows = slice(0, config.n_forest if kind == "forest" else config.n_svm)
    examples = Examples(*(column[rows] for column in examples))
    if len(np.unique(examples.success)) < 2:
        raise InvalidConfig(
            f"{len(examples.success)} training rows are all of one class: expected successes and failures; "
            "use more datapoints"
        )
    scale = feature_scale(examples)
    x = features(kind, examples.relative, scale)
    train = train_forest if kind == "forest" else train_svm
    return {"scale": scale, **train(x, examples, config)}


def train_forest(
    x: Float[np.ndarray, "N D"], examples: Examples, config: LearningConfig
) -> dict[str, np.ndarray]:
    """Grow the trees and lay them out one after another."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        config.n_trees, max_depth=config.max_depth, random_state=config.seed, n_jobs=-1
    )
    forest.fit(x, examples.success)
    trees = [tree.tree_ for tree in forest.estimators_]
    root = np.cumsum([0, *(t.node_count for t in trees[:-1])])

    def children(name: str) -> np.ndarray:
        parts = [getattr(t, name) for t in trees]
        moved = [np.where(p >= 0, p + r, -1) for p, r in zip(parts, root, strict=True)]
        return np.concatenate(moved).astype(np.int32)

    value = np.concatenate([t.value[:, 0, 1] / t.value[:, 0].sum(-1) for t in trees])
    return {
        "root": root.astype(np.int32),
        "left": children("children_left"),
        "right": children("children_right"),
        "feature": np.concatenate([t.feature for t in trees]).astype(np.int32),
        # float64: a float32 threshold would send values that equal it the other way
        "threshold": np.concatenate([t.threshold for t in trees]),
        "value": value.astype(np.float32),
    }


def train_svm(
    x: Float[np.ndarray, "N D"], examples: Examples, config: LearningConfig
) -> dict[str, np.ndarray]:
    """Fit the machine on most objects, or datapoints as the split is, and Platt's line on the margins of the others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    apart = config.split == "object_wise"
    group = examples.object_id if apart else np.arange(len(examples.object_id))
    ids = np.unique(group)
    kept = np.random.default_rng(config.seed).permutation(ids)[: round(PLATT_FRACTION * len(ids))]
    for_line = np.isin(group, kept)
    both = all(len(np.unique(examples.success[side])) == 2 for side in (for_line, ~for_line))
    if not both:  # few objects: the line is fitted to the machine's own rows
        for_line[:] = True
    fitted = ~for_line if both else for_line
    machine = SVC(C=config.c, kernel="rbf", gamma="scale").fit(x[fitted], examples.success[fitted])
    arrays = {
        "vectors": machine.support_vectors_.astype(np.float32),
        "dual": machine.dual_coef_[0].astype(np.float64),
        "kernel": np.array([machine._gamma, machine.intercept_[0]]),
    }
    margin = svm_margin(arrays, x[for_line])[:, None]
    line = LogisticRegression().fit(margin, examples.success[for_line])
    return {**arrays, "platt": np.array([line.coef_[0, 0], line.intercept_[0]])}


def evaluate_learned(
    quality: LearnedQuality, examples: Examples, seed: int = 0
) -> dict[str, float | dict[str, tuple[float, float]] | None]:
    """Score a baseline on datapoints as they are stored, without noise, like the networks."""
    chunks = range(0, len(examples.success), 2000)
    q = np.concatenate([quality.score(examples.relative[k : k + 2000]) for k in chunks])
    rng = np.random.default_rng(seed)
    intervals = bootstrap_interval(examples.object_id, q, examples.success, rng)
    return {**classification(q, examples.success), "intervals": intervals}


def read_examples(dataset: Dataset, rows: Int[np.ndarray, "M"]) -> Examples:
    """Read some rows, in the order asked for, a shard at a time."""
    facts = dataset.take(["crop", "depth", "object_id"], rows)
    crop = facts["crop"].astype(np.float32)
    return Examples(crop, facts["depth"], dataset.labels()[rows], facts["object_id"])


def noisy(
    examples: Examples, noise: NoiseModel, rng: np.random.Generator
) -> Float[np.ndarray, "N S S"]:
    """Return the relative crops with noise on what is not missing."""
    depth = examples.depth[:, None, None]
    absolute = np.nan_to_num(examples.relative + depth)
    crops = add_noise(absolute, rng, noise)
    return np.where(crops > 0, crops - depth, np.nan)


def feature_scale(examples: Examples) -> Float[np.ndarray, "4"]:
    """Mean and deviation of all pixels, mean and deviation of the grasps' heights above the farthest pixel, m."""
    filled = fill_farthest(examples.relative).astype(np.float64)
    height = filled.max((1, 2))
    return np.array(
        [filled.mean(), max(filled.std(), 1e-4), height.mean(), max(height.std(), 1e-4)]
    )


def _choose(rows: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(rows)[:n]
