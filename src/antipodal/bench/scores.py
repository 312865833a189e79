"""What the trials amount to: rates with intervals, calibration, and who beats whom.

Definitions [Mahler17, §VI-A]: success rate, precision (success among grasps with quality > 0.5), robust grasp rate
(share of plans with quality > 0.5), planning time. Objects, not trials, are the independent unit, of shares as of
comparisons. NaN (in reports null) where nothing defines a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import expit, logit
from scipy.stats import rankdata
from scipy.stats import t as student_t

from ..scores import (
    area_under_roc,
    average_precision,
    brier_score,
    calibration_bins,
    expected_calibration_error,
    threshold_curve,
)

CONFIDENT = 0.5
"""A grasp counts as planned to succeed above this quality."""
LEVEL_Z = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""
N_BINS = 10
"""Of quality in [0, 1], for the calibration."""
N_RESAMPLES = 2000
"""Bootstrap draws of a comparison."""
MIN_OBJECTS = 5
"""Of a comparison's interval."""


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One planner's trials at one execution error, in the order of (object, k)."""

    success: Bool[np.ndarray, "N"]
    graspable: Bool[np.ndarray, "N"]
    quality: Float[np.ndarray, "N"]
    """NaN where nothing was planned."""
    object_id: Int[np.ndarray, "N"]

    def __getitem__(self, chosen: Bool[np.ndarray, "N"]) -> Outcomes:
        """The trials where ``chosen`` holds."""
        return Outcomes(
            self.success[chosen],
            self.graspable[chosen],
            self.quality[chosen],
            self.object_id[chosen],
        )


def wilson(n_success: float, n: float) -> Interval:
    """Score interval of a share of independent trials [Wilson27]: the p at which |p̂ − p| = z √(p(1−p)/n)."""
    if n == 0:
        return Interval(float("nan"), float("nan"))
    z2 = LEVEL_Z**2
    p = n_success / n
    center = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = LEVEL_Z / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # at 0 and n successes the bound is exact, and rounding must not push it past the share
    low = 0.0 if n_success == 0 else float(center - half)
    high = 1.0 if n_success == n else float(center + half)
    return Interval(low, high)


def share_interval(success: Bool[np.ndarray, "N"], group: Shaped[np.ndarray, "N"]) -> Interval:
    """Interval of a share whose trials come in groups, as those of one object do: Wilson's of fewer trials [Rao92].

    Of n/d, d being how much the groups raise the variance of the share above that of independent trials:
    Σ_g (Σ_{i∈g} (s_i − p̂))² = d · n p̂ (1 − p̂) · (G − 1)/G. Where all trials agree nothing tells how alike those of a
    group are, and each group counts as one. Of a single group it is the interval of that object alone.
    """
    n, n_success = len(success), int(success.sum())
    ids, inverse = np.unique(group, return_inverse=True)
    n_groups = len(ids)
    if n_groups < 2:
        return wilson(n_success, n)
    if n_success in (0, n):
        return wilson(n_success * n_groups / n, n_groups)
    p = n_success / n
    variance = float((np.bincount(inverse, success - p) ** 2).sum()) * n_groups / (n_groups - 1)
    effect = max(1.0, variance / (n * p * (1 - p)))
    return wilson(n_success / effect, n / effect)


def widened(mean: float, interval: tuple[float, float], n_groups: int) -> Interval:
    """Make a bootstrap's 95 % interval of n groups as wide as Student's.

    Draws of n groups vary by (n − 1)/n of the groups' variance, and the fewer they are the worse they know it.
    """
    width = student_t.ppf(0.975, n_groups - 1) / LEVEL_Z * np.sqrt(n_groups / (n_groups - 1))
    low, high = (float(mean + width * (end - mean)) for end in interval)
    return Interval(low, high)


def auc_interval(
    quality: Float[np.ndarray, "N"], success: Bool[np.ndarray, "N"], group: Shaped[np.ndarray, "N"]
) -> Interval:
    """Interval of the area under the ROC curve A of trials that come in groups [Obuchowski97].

    A is a mean over pairs; a success' part in it is the share of failures below it, a failure's that of successes above
    it [DeLong88]. What they differ by from A, over n₊ and n₋, added up in each group and squared, is the variance. Its
    normal interval is taken on ln A/(1 − A), which keeps it within 0 and 1. NaN where A is undefined, 0 or 1.
    """
    area, nan = area_under_roc(quality, success), float("nan")
    if not 0 < area < 1:
        return Interval(nan, nan)
    rank, own = rankdata(quality), np.empty(len(quality))
    for kind in (success, ~success):
        own[kind] = rankdata(quality[kind])
    n_others = np.where(success, (~success).sum(), success.sum())
    below = (rank - own) / n_others  # ties count half
    part = (np.where(success, below, 1 - below) - area) / (len(quality) - n_others)
    variance = (np.bincount(np.unique(group, return_inverse=True)[1], part) ** 2).sum()
    half = LEVEL_Z * np.sqrt(variance) / (area * (1 - area))
    return Interval(*(float(expit(logit(area) + side * half)) for side in (-1, 1)))


def rate(success: Bool[np.ndarray, "N"]) -> float:
    """Share of True; NaN of nothing."""
    return float(success.mean()) if len(success) else float("nan")


class Coverage(NamedTuple):
    """Success among the trials that a planner takes on if it abstains below a quality."""

    coverage: Float[np.ndarray, "T"]
    """Share of all graspable trials that are taken on, rising."""
    success_rate: Float[np.ndarray, "T"]
    """Among them."""
    threshold: Float[np.ndarray, "T"]
    """The quality, falling."""


def success_coverage(outcomes: Outcomes) -> Coverage:
    """One point per distinct quality. A trial without a grasp is never taken on: the curve may end below 1."""
    planned = ~np.isnan(outcomes.quality)
    threshold, hits, misses = threshold_curve(outcomes.quality[planned], outcomes.success[planned])
    taken = hits + misses
    return Coverage(taken / max(1, len(outcomes.success)), hits / taken, threshold)


def beats(a: Outcomes, b: Outcomes, rng: np.random.Generator) -> dict[str, float | list[float]]:
    """Compare two planners on their shared graspable trials: difference of success rates, drawn by object.

    Both must list the same trials. Whole objects are drawn with replacement, with both planners' trials on them.

    Returns:
        ``difference`` (a − b), its 95 % ``interval`` (:func:`widened`), and ``probability``, the share of draws in
        which a is ahead (ties count half). Of fewer than ``MIN_OBJECTS`` objects interval and probability are NaN:
        drawing again from one or two says nothing of others.
    """
    assert np.array_equal(a.object_id, b.object_id) and np.array_equal(a.graspable, b.graspable)
    use = a.graspable
    gain = a.success[use].astype(float) - b.success[use].astype(float)
    nan = float("nan")
    ids, inverse = np.unique(a.object_id[use], return_inverse=True)
    if len(ids) < MIN_OBJECTS:
        mean = float(gain.mean()) if len(gain) else nan
        return {"difference": mean, "interval": [nan, nan], "probability": nan}
    total, count = np.bincount(inverse, gain), np.bincount(inverse)
    drawn = rng.integers(0, len(ids), (N_RESAMPLES, len(ids)))
    difference = total[drawn].sum(-1) / count[drawn].sum(-1)
    low, high = np.quantile(difference, [0.025, 0.975])
    ahead = float((difference > 0).mean() + (difference == 0).mean() / 2)
    mean = float(gain.mean())
    return {
        "difference": mean,
        "interval": list(widened(mean, (low, high), len(ids))),
        "probability": ahead,
    }


class Reliability(NamedTuple):
    """Grasps of like quality: one row per bin of quality that holds any."""

    quality: Float[np.ndarray, "B"]
    """Mean."""
    success_rate: Float[np.ndarray, "B"]
    n: Int[np.ndarray, "B"]


def calibration(quality: Float[np.ndarray, "N"], success: Bool[np.ndarray, "N"]) -> Reliability:
    """Group planned grasps by quality in equal bins of [0, 1]."""
    mean, share, count = calibration_bins(quality, success, N_BINS).T
    used = count > 0
    return Reliability(mean[used], share[used], count[used].astype(int))


def summarise(
    outcomes: Outcomes, is_probability: bool = True
) -> dict[str, float | list[float] | int]:
    """Every number of one planner but its times: over the graspable trials, with ``_all`` over all of them.

    A q that is no probability of success has neither calibration error nor Brier score: NaN.
    """
    reachable = outcomes[outcomes.graspable]
    values: dict[str, float | list[float] | int] = {
        "n_trials": len(outcomes.success),
        "n_graspable": len(reachable.success),
        "graspable_share": rate(outcomes.graspable),
        **_rates(reachable, ""),
        **_rates(outcomes, "_all"),
        **_of_quality(reachable, is_probability, ""),
        **_of_quality(outcomes, is_probability, "_all"),
    }
    return values


def _of_quality(outcomes: Outcomes, is_probability: bool, suffix: str) -> dict[str, float]:
    """How much was planned, and what its q is worth."""
    planned = ~np.isnan(outcomes.quality)
    quality, success = outcomes.quality[planned], outcomes.success[planned]
    judged = (quality, success) if is_probability else (quality[:0], success[:0])
    return {
        f"planned_share{suffix}": rate(planned),
        f"average_precision{suffix}": average_precision(quality, success),
        f"ece{suffix}": expected_calibration_error(*judged, N_BINS),
        f"brier{suffix}": brier_score(*judged),
    }


def _rates(outcomes: Outcomes, suffix: str) -> dict[str, float | list[float]]:
    with np.errstate(invalid="ignore"):
        confident = outcomes.quality > CONFIDENT
    success, group = outcomes.success, outcomes.object_id
    return {
        f"success_rate{suffix}": rate(success),
        f"success_interval{suffix}": list(share_interval(success, group)),
        f"precision{suffix}": rate(success[confident]),
        f"precision_interval{suffix}": list(share_interval(success[confident], group[confident])),
        f"robust_grasp_rate{suffix}": rate(confident),
        f"robust_grasp_interval{suffix}": list(share_interval(confident, group)),
    }
