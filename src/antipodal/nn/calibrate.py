"""Platt scaling: make the predicted probability mean what it says [Platt99; Guo17, §4]."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

LARGEST_LOG_ODDS = 30.0
"""Of a probability that rounding made 0 or 1."""
MAX_STEPS = 50
"""Of Newton's method, which ends when it gains no more."""


class Calibration(NamedTuple):
    """quality = sigmoid(scale · log-odds + offset): monotone, so it never changes a ranking."""

    scale: float = 1.0
    """Positive; 1 / the temperature."""
    offset: float = 0.0

    def __call__(self, log_odds: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
        """Return probabilities, float64."""
        x = self.scale * np.asarray(log_odds, float) + self.offset
        return 0.5 * (1 + np.tanh(x / 2))


def fit_calibration(
    log_odds: Float[np.ndarray, "N"], success: Float[np.ndarray, "N"]
) -> Calibration:
    """Minimise the cross-entropy over scale and offset by Newton's method with halved steps.

    ``success`` is 0 or 1, or a probability. Targets are Platt's (n₊+1)/(n₊+2) and 1/(n₋+2), mixed where the label is
    soft, so that separable data give a finite scale. One class only, or a fit that would reverse the ranking, gives the
    identity.
    """
    success = np.asarray(success, float)
    n_positive = float(success.sum())
    n_negative = len(success) - n_positive
    if n_positive == 0 or n_negative == 0:
        return Calibration()
    high, low = (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2)
    target = success * high + (1 - success) * low
    features = np.stack([np.asarray(log_odds, float), np.ones(len(success))], -1)
    x = np.array([1.0, 0.0])
    loss = _loss(features @ x, target)
    for _ in range(MAX_STEPS):
        p = 0.5 * (1 + np.tanh(features @ x / 2))
        gradient = features.T @ (p - target)
        # 1e-6 keeps the matrix invertible where every log-odds is the same
        hessian = (features.T * (p * (1 - p))) @ features + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        while (new := _loss(features @ (x - step), target)) > loss and np.abs(step).max() > 1e-9:
            step = step / 2
        x, gain, loss = x - step, loss - new, new
        if gain < 1e-10 * len(success):
            break
    return Calibration(float(x[0]), float(x[1])) if x[0] > 0 else Calibration()


def calibrated_by_others(
    log_odds: Float[np.ndarray, "N"], success: Float[np.ndarray, "N"], group: Int[np.ndarray, "N"]
) -> Float[np.ndarray, "N"]:
    """Probabilities as the calibration gives them on what it was not fitted to: each half of the groups by the other's.

    Scores of the very rows that a calibration was fitted to flatter it, most of all its calibration error. One group
    alone has no others, and is calibrated by itself. Each half's calibration is monotone, both together are not: ranks
    (AP, AUC, their curves) are of the log-odds.
    """
    names, of = np.unique(group, return_inverse=True)
    if len(names) < 2:
        return fit_calibration(log_odds, success)(log_odds)
    first = np.random.default_rng(0).permutation(len(names))[of] < len(names) // 2
    quality = np.empty(len(log_odds))
    for judged in (first, ~first):
        fitted = fit_calibration(log_odds[~judged], success[~judged])
        quality[judged] = fitted(log_odds[judged])
    return quality


def log_odds_of(quality: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """The log-odds of probabilities, at most ±30."""
    q = np.asarray(quality, float)
    with np.errstate(divide="ignore"):
        return np.clip(np.log(q) - np.log1p(-q), -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)


def _loss(x: np.ndarray, target: np.ndarray) -> float:
    """Σ log(1 + eˣ) − target·x."""
    return float((np.logaddexp(0, x) - target * x).sum())
