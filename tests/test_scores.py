"""Scores of predicted qualities against closed forms and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from antipodal.scores import (
    area_under_roc,
    average_precision,
    brier_score,
    calibration_bins,
    cross_entropy,
    expected_calibration_error,
)


def test_scores_agree_with_scikit_learn_ties_included(rng: np.random.Generator) -> None:
    theirs = pytest.importorskip("sklearn.metrics")
    for _ in range(20):
        quality = rng.integers(1, 12, 60) / 12
        success = rng.random(60) < quality
        for ours, name in (
            (average_precision, "average_precision_score"),
            (area_under_roc, "roc_auc_score"),
            (brier_score, "brier_score_loss"),
            (cross_entropy, "log_loss"),
        ):
            expected = getattr(theirs, name)(success, quality)
            assert ours(quality, success) == pytest.approx(expected, abs=1e-12), name


def test_a_perfect_ranking_has_precision_one_and_the_reverse_what_counting_gives() -> None:
    success = np.array([True, True, False, False])
    assert average_precision(np.array([0.9, 0.8, 0.2, 0.1]), success) == 1.0
    # precisions 1/3 and 2/4 at the two hits
    reverse = average_precision(np.array([0.1, 0.2, 0.8, 0.9]), success)
    assert reverse == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_ranking_and_calibration_of_nothing_are_undefined() -> None:
    one, none = np.array([0.5]), np.array([False])
    assert np.isnan([average_precision(one, none), area_under_roc(one, none)]).all()
    nothing = one[:0], none[:0]
    assert np.isnan([f(*nothing) for f in (brier_score, expected_calibration_error)]).all()


def test_the_calibration_error_of_a_constant_quality_is_its_distance_from_the_rate() -> None:
    quality, success = np.full(10, 0.75), np.arange(10) < 4
    assert expected_calibration_error(quality, success) == pytest.approx(0.35)
    bins = calibration_bins(quality, success, 10)
    assert bins[7].tolist() == [0.75, 0.4, 10] and np.isnan(bins[:7, :2]).all()
    assert calibration_bins(np.array([1.0]), np.array([True]), 10)[9].tolist() == [1, 1, 1]
