"""How good predicted qualities are: numbers of (quality, success), written out; NaN (in reports None) where undefined.

``quality`` is a predicted probability (N,), ``success`` the truth (N,) as bool. Where the truth is itself a
probability, loss, Brier score and calibration take it as it is, and whatever counts asks whether it exceeds one half.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..scores import (
    Truth,
    area_under_roc,
    average_precision,
    brier_score,
    cross_entropy,
    expected_calibration_error,
)

DECISION = 0.5
"""A grasp is predicted to succeed from this quality on."""


def classification(
    quality: Float[np.ndarray, "N"],
    probability: Truth,
    ranking: Float[np.ndarray, "N"] | None = None,
) -> dict[str, float | None]:
    """Every score at once, ready for JSON: None where it is undefined, as AUC without a success.

    AP and AUC are of ``ranking``, if quality's order is not the network's: log-odds, or any quality of one calibration.
    """
    predicted, success = quality >= DECISION, probability > 0.5
    ranking = quality if ranking is None else ranking
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
        "average_precision": average_precision(ranking, success),
        "auc": area_under_roc(ranking, success),
        "loss": cross_entropy(quality, probability),
        "brier": brier_score(quality, probability),
        "ece": expected_calibration_error(quality, probability),
        "true_positives": true_positive,
        "false_positives": false_positive,
        "false_negatives": n_positive - true_positive,
        "true_negatives": n - n_positive - false_positive,
    }
    return {name: None if np.isnan(value) else value for name, value in scores.items()}


INTERVALS = (
    "accuracy", "balanced_accuracy", "precision", "recall", "average_precision", "auc", "loss", "brier", "ece",
)  # fmt: skip
"""Scores that :func:`bootstrap_interval` gives intervals of."""
N_RESAMPLES = 200
FEW_OBJECTS = 5
"""Below so many objects a score is warned of."""


def bootstrap_interval(
    groups: np.ndarray,
    quality: Float[np.ndarray, "N"],
    probability: Truth,
    rng: np.random.Generator,
    ranking: Float[np.ndarray, "N"] | None = None,
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the scores named in ``INTERVALS``, drawing whole groups (objects) with replacement.

    A score that no draw defines, as AP without positives, has no entry; of one object nothing has. The calibration
    error is a sum of absolute values, which each draw's own noise raises: its interval is the draws', mirrored at the
    estimate.

    Datapoints of one object share its grasps' labels, so drawing datapoints would be over-confident (reference §10.52).
    """
    ids, inverse = np.unique(groups, return_inverse=True)
    if len(ids) < 2:
        return {}
    order = np.argsort(inverse, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    ranking = quality if ranking is None else ranking
    scores = np.empty((N_RESAMPLES, len(INTERVALS)))
    for k in range(N_RESAMPLES):
        drawn = np.concatenate([rows[i] for i in rng.integers(0, len(ids), len(ids))])
        found = classification(quality[drawn], probability[drawn], ranking[drawn])
        scores[k] = [found[name] for name in INTERVALS]  # None, undefined, becomes NaN
    intervals = {}
    for name, column in zip(INTERVALS, scores.T, strict=True):
        column = column[np.isfinite(column)]
        if len(column):
            low, high = np.quantile(column, [0.025, 0.975])
            if name == "ece":
                twice = 2 * expected_calibration_error(quality, probability)
                low, high = max(twice - high, 0.0), max(twice - low, 0.0)
            intervals[name] = (float(low), float(high))
    return intervals


def few_objects(objects: np.ndarray) -> list[str]:
    """Warn where rows, whose objects these are, are of fewer than ``FEW_OBJECTS``: a line, or none."""
    n = len(np.unique(objects))
    if n >= FEW_OBJECTS:
        return []
    of = "1 object have no" if n == 1 else f"{n} objects have wide"
    return [
        f"scores of {len(objects)} rows of {of} intervals and say little of other objects: expected {FEW_OBJECTS} "
        "objects at least, better 50; make more of them"
    ]


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
