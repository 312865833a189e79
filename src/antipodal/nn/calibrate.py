"""Platt scaling: make the predicted probability mean what it says [Platt99; Guo17, §4]."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import expit, logit

LARGEST_LOG_ODDS = 30.0
"""Of a probability that rounding made 0 or 1."""


class Calibration(NamedTuple):
    """quality = sigmoid(scale · log-odds + offset): monotone, so it never changes a ranking."""

    scale: float = 1.0
    """Positive; 1 / the temperature."""
    offset: float = 0.0

    def __call__(self, log_odds: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
        """Return probabilities, float64."""
        return expit(self.scale * np.asarray(log_odds, float) + self.offset)


def fit_calibration(
    log_odds: Float[np.ndarray, "N"], success: Float[np.ndarray, "N"]
) -> Calibration:
    """Minimise the cross-entropy over scale and offset.

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

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        said = features @ x
        return np.logaddexp(0, said).sum() - target @ said, (expit(said) - target) @ features

    scale, offset = minimize(
        loss, [1.0, 0.0], jac=True, method="BFGS", options={"gtol": 1e-9}
    ).x.tolist()
    return Calibration(scale, offset) if scale > 0 else Calibration()


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
    return np.clip(logit(np.asarray(quality, float)), -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
