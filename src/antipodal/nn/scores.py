"""How good predicted qualities are: numbers of (quality, success), written out; NaN (in reports None) where undefined.

``quality`` is a predicted probability (N,), ``success`` the truth (N,) as bool.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

DECISION = 0.5
"""A grasp is predicted to succeed from this quality on."""


def classification(
    quality: Float[np.ndarray, "N"], success: Bool[np.ndarray, "N"]
) -> dict[str, float | None]:
    """Every score at once, ready for JSON: None where it is undefined, as AUC without a success."""
    predicted = quality >= DECISION
    n_positive, n = int(success.sum()), len(success)
    true_positive = int((predicted & success).sum())
    false_positive = int((predicted & ~success).sum())
    recall = _ratio(true_positive, n_positive)
    specificity = _ratio(n - n_positive - false_positive, n - n_positive)
    accuracy = _ratio(int((predicted == success).sum()), n)
    scores = {
        "n": n,
        "positive_share": _ratio(n_positive, n),
        "accuracy": accuracy,
        "error_rate": 1 - accuracy,
        "balanced_accuracy": (recall + specificity) / 2,
        "precision": _ratio(true_positive, true_positive + false_positive),
        "recall": recall,
        "average_precision": average_precision(quality, success),
        "auc": area_under_roc(quality, success),
        "loss": cross_entropy(quality, success),
        "brier": float(np.mean((quality - success) ** 2)) if n else float("nan"),
        "ece": expected_calibration_error(quality, success),
        "true_positives": true_positive,
        "false_positives": false_positive,
        "false_negatives": n_positive - true_positive,
        "true_negatives": n - n_positive - false_positive,
    }
    return {name: None if np.isnan(value) else value for name, value in scores.items()}


class Curve(NamedTuple):
    """One point per distinct quality, from the strictest threshold to the loosest."""

    threshold: Float[np.ndarray, "T"]
    true_positives: Float[np.ndarray, "T"]
    false_positives: Float[np.ndarray, "T"]


def threshold_curve(quality: Float[np.ndarray, "N"], success: Bool[np.ndarray, "N"]) -> Curve:
    """Count what each threshold accepts; equal qualities enter together."""
    order = np.argsort(-quality, kind="stable")
    q, s = quality[order], success[order].astype(float)
    last = np.flatnonzero(np.append(np.diff(q) != 0, True)) if len(q) else np.empty(0, int)
    hits = np.cumsum(s)[last]
    return Curve(q[last], hits, last + 1 - hits)


def average_precision(quality: Float[np.ndarray, "N"], success: Bool[np.ndarray, "N"]) -> float:
    """AP = Σ (R_k − R_{k−1}) P_k over falling thresholds, without interpolation."""
    n_positive = int(success.sum())
    if n_positive == 0:
        return float("nan")
    _, hits, misses = threshold_curve(quality, success)
    return float((np.diff(hits, prepend=0.0) * hits / (hits + misses)).sum() / n_positive)


def area_under_roc(quality: Float[np.ndarray, "N"], success: Bool[np.ndarray, "N"]) -> float:
    """Probability that a success has a higher quality than a failure; ties count half."""
    n_positive = int(success.sum())
    n_negative = len(success) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    _, hits, misses = threshold_curve(quality, success)
    hits, misses = np.append(0.0, hits), np.append(0.0, misses)
    return float((np.diff(misses) * (hits[1:] + hits[:-1]) / 2).sum() / n_positive / n_negative)


def cross_entropy(quality: Float[np.ndarray, "N"], success: Bool[np.ndarray, "N"]) -> float:
    """Mean −log of the probability given to the truth, which is held above 1e-7."""
    if len(quality) == 0:
        return float("nan")
    given = np.where(success, quality, 1 - quality)
    return float(-np.log(np.maximum(given, 1e-7)).mean())


def calibration_bins(
    quality: Float[np.ndarray, "N"], success: Bool[np.ndarray, "N"], n_bins: int = 15
) -> Float[np.ndarray, "B 3"]:
    """Mean quality, share of successes and count in equal bins of quality; NaN in an empty bin."""
    index = np.clip((quality * n_bins).astype(int), 0, n_bins - 1)
    count = np.bincount(index, minlength=n_bins).astype(float)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, quality, n_bins) / count
        share = np.bincount(index, success.astype(float), n_bins) / count
    return np.stack([mean, share, count], -1)


def expected_calibration_error(
    quality: Float[np.ndarray, "N"], success: Bool[np.ndarray, "N"], n_bins: int = 15
) -> float:
    """ECE = Σ_b n_b/N · |mean quality − share of successes| [Guo17, §2]."""
    if len(quality) == 0:
        return float("nan")
    mean, share, count = calibration_bins(quality, success, n_bins).T
    used = count > 0
    return float((count[used] * np.abs(mean[used] - share[used])).sum() / len(quality))


def bootstrap_interval(
    groups: np.ndarray,
    quality: Float[np.ndarray, "N"],
    success: Bool[np.ndarray, "N"],
    rng: np.random.Generator,
    n_resamples: int = 200,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of accuracy, AP and AUC, drawing whole groups (objects) with replacement.

    A score that no draw defines, as AP without positives, has no entry.

    Datapoints of one object share its grasps' labels, so drawing datapoints would be over-confident (reference §10.52).
    """
    ids, inverse = np.unique(groups, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    scores = np.empty((n_resamples, 3))
    for k in range(n_resamples):
        drawn = np.concatenate([rows[i] for i in rng.integers(0, len(ids), len(ids))])
        q, s = quality[drawn], success[drawn]
        scores[k] = np.mean((q >= DECISION) == s), average_precision(q, s), area_under_roc(q, s)
    tail = (1 - level) / 2
    intervals = {}
    for name, column in zip(("accuracy", "average_precision", "auc"), scores.T, strict=True):
        column = column[np.isfinite(column)]
        if len(column):
            low, high = np.quantile(column, [tail, 1 - tail])
            intervals[name] = (float(low), float(high))
    return intervals


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
