"""What predicted qualities are worth: ranking, calibration, loss; NaN where nothing defines a number.

``quality`` is predicted, (N,), ``success`` the truth (N,) as bool. Loss, Brier score and calibration read quality as a
probability, and take a truth that is itself one as it is; the others ask for its order alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Truth = Bool[np.ndarray, "N"] | Float[np.ndarray, "N"]
"""Success or failure, or the probability of success."""


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


def cross_entropy(quality: Float[np.ndarray, "N"], success: Truth) -> float:
    """Mean −s log q − (1 − s) log(1 − q), both logarithms of at least 1e-7."""
    if len(quality) == 0:
        return float("nan")
    log_q, log_rest = (np.log(np.maximum(p, 1e-7)) for p in (quality, 1 - quality))
    share = np.asarray(success, float)
    return float(-(share * log_q + (1 - share) * log_rest).mean())


def calibration_bins(
    quality: Float[np.ndarray, "N"], success: Truth, n_bins: int = 15
) -> Float[np.ndarray, "B 3"]:
    """Mean quality, share of successes and count in equal bins of quality; NaN in an empty bin."""
    index = np.clip((quality * n_bins).astype(int), 0, n_bins - 1)
    count = np.bincount(index, minlength=n_bins).astype(float)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, quality, n_bins) / count
        share = np.bincount(index, success.astype(float), n_bins) / count
    return np.stack([mean, share, count], -1)


def expected_calibration_error(
    quality: Float[np.ndarray, "N"], success: Truth, n_bins: int = 15
) -> float:
    """ECE = Σ_b n_b/N · |mean quality − share of successes| [Guo17, §2]."""
    if len(quality) == 0:
        return float("nan")
    mean, share, count = calibration_bins(quality, success, n_bins).T
    used = count > 0
    return float((count[used] * np.abs(mean[used] - share[used])).sum() / len(quality))


def brier_score(quality: Float[np.ndarray, "N"], success: Truth) -> float:
    """Mean of (q − success)²."""
    return float(np.mean((quality - success) ** 2)) if len(quality) else float("nan")
