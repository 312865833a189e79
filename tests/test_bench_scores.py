"""The benchmark's numbers against closed forms, invariances and a second way to compute them."""

from __future__ import annotations

import numpy as np
import pytest

from antipodal.bench.scores import (
    LEVEL_Z,
    N_RESAMPLES,
    Outcomes,
    beats,
    calibration,
    share_interval,
    success_coverage,
    summarise,
    wilson,
)


def trials(
    success: list[int],
    quality: list[float],
    graspable: list[int] | None = None,
    per_object: int = 1,
) -> Outcomes:
    n = len(success)
    return Outcomes(
        np.array(success, bool),
        np.ones(n, bool) if graspable is None else np.array(graspable, bool),
        np.array(quality, float),
        np.arange(n) // per_object,
    )


@pytest.mark.parametrize(("k", "n"), [(1, 10), (5, 10), (82, 100), (123, 150)])
def test_the_wilson_bounds_are_the_shares_that_the_data_just_do_not_refute(k: int, n: int) -> None:
    for p in wilson(k, n):
        assert abs(k / n - p) == pytest.approx(LEVEL_Z * np.sqrt(p * (1 - p) / n), rel=1e-12)
    assert wilson(k, n).low < k / n < wilson(k, n).high


def test_the_wilson_interval_of_the_protocols_orientation_figure() -> None:
    # 82 % of 150 trials: the protocol quotes 75–87
    low, high = wilson(123, 150)
    assert (round(100 * low), round(100 * high)) == (75, 87)


def test_no_success_and_only_successes_have_one_sided_intervals() -> None:
    z2 = LEVEL_Z**2
    assert wilson(0, 8) == pytest.approx((0.0, z2 / (8 + z2)))
    assert wilson(8, 8) == pytest.approx((8 / (8 + z2), 1.0))
    assert all(np.isnan(wilson(0, 0)))


@pytest.mark.parametrize("n_success", [0, 1, 9, 29, 30])
@pytest.mark.parametrize("per_object", [1, 7])
def test_trials_that_agree_on_each_object_count_as_one(n_success: int, per_object: int) -> None:
    rng = np.random.default_rng(n_success)
    order = rng.permutation(30 * per_object)
    success = np.repeat(np.arange(30) < n_success, per_object)[order]
    found = share_interval(success, np.repeat(np.arange(30), per_object)[order])
    # 30 objects know their own variance as 29 would that knew their mean; where all agree they say nothing of it
    n = 29 if 0 < n_success < 30 else 30
    assert found == pytest.approx(wilson(n_success * n / 30, n))


def test_objects_that_succeed_once_each_make_no_interval_narrower_than_independent_trials() -> None:
    success = np.tile([True, False], 20)
    assert share_interval(success, np.repeat(np.arange(20), 2)) == pytest.approx(wilson(20, 40))


def test_an_interval_of_lifts_of_objects_holds_the_truth_as_often_as_it_says() -> None:
    rng, truth, n_runs = np.random.default_rng(0), 0.5, 500
    held = np.zeros(2)
    for _ in range(n_runs):  # 40 objects, some easier than others, 50 lifts of each
        success = (rng.random((50, 40)) < rng.beta(1, 1, 40)).ravel()
        grouped = share_interval(success, np.tile(np.arange(40), 50))
        alone = wilson(int(success.sum()), len(success))
        held += [grouped.low < truth < grouped.high, alone.low < truth < alone.high]
    assert held[0] / n_runs == pytest.approx(0.95, abs=0.03)
    assert held[1] / n_runs < 0.5  # what it would be if lifts were independent


def test_lifts_of_four_objects_that_all_hold_are_no_eighty_of_eighty() -> None:
    success, object_id = np.ones(80, bool), np.repeat(np.arange(4), 20)
    assert share_interval(success, object_id) == pytest.approx(wilson(4, 4))
    assert share_interval(success, np.zeros(80)) == pytest.approx(wilson(80, 80))  # of this object
    rng, truth, n_runs = np.random.default_rng(0), 0.95, 1000
    held = 0
    # 10 objects unlike each other: the variance of their chances is half of p (1 − p)
    for _ in range(n_runs):
        lifts = rng.random((20, 10)) < rng.beta(truth, 1 - truth, 10)
        low, high = share_interval(lifts.ravel(), np.tile(np.arange(10), 20))
        held += low <= truth <= high
    assert held / n_runs > 0.8  # 0.69 with 200 of 200 for what all hold


@pytest.mark.parametrize("n_objects", [5, 8, 30])
def test_equal_planners_differ_in_one_comparison_of_twenty(n_objects: int) -> None:
    rng, n_runs = np.random.default_rng(n_objects), 1000
    apart = 0
    for _ in range(n_runs):
        chance = rng.beta(4, 1, n_objects)
        a, b = (
            trials([*map(int, (rng.random((n_objects, 12)) < chance[:, None]).ravel())],
                   [0.9] * 12 * n_objects, per_object=12)
            for _ in range(2)
        )  # fmt: skip
        low, high = beats(a, b, rng)["interval"]  # type: ignore[misc]
        apart += low > 0 or high < 0
    assert apart / n_runs == pytest.approx(0.05, abs=0.03)  # a bootstrap's own: 0.15 of 5 objects


def test_a_planners_calibration_error_is_that_of_ten_bins(rng: np.random.Generator) -> None:
    quality = rng.random(300)
    success = rng.random(300) < quality
    values = summarise(trials(success.tolist(), quality.tolist()))
    bins = calibration(quality, success)
    gap = (bins.n * np.abs(bins.quality - bins.success_rate)).sum() / 300
    assert len(bins.n) == 10 and values["ece"] == pytest.approx(gap, abs=1e-12)


def test_grasps_of_one_quality_fall_into_one_bin() -> None:
    quality, success = np.full(10, 0.75), np.arange(10) < 4
    bins = calibration(quality, success)
    assert (bins.quality, bins.success_rate, bins.n) == ([0.75], [0.4], [10])
    assert calibration(np.array([1.0]), np.array([True])).quality == [1.0]


def test_success_against_coverage_ends_at_the_share_that_was_planned() -> None:
    curve = success_coverage(trials([1, 0, 1, 0], [0.9, 0.5, 0.5, np.nan]))
    assert curve.coverage.tolist() == [0.25, 0.75]
    assert curve.success_rate.tolist() == [1.0, pytest.approx(2 / 3)]
    assert curve.threshold.tolist() == [0.9, 0.5]
    assert len(success_coverage(trials([0], [np.nan])).coverage) == 0


def test_rates_count_what_the_paper_defines() -> None:
    outcomes = trials(
        [1, 1, 0, 0, 1, 0], [0.9, 0.6, 0.7, np.nan, 0.4, 0.8], graspable=[1, 1, 1, 1, 1, 0]
    )
    values = summarise(outcomes)
    assert values["n_trials"] == 6
    assert values["graspable_share"] == pytest.approx(5 / 6)
    assert values["success_rate"] == pytest.approx(3 / 5)
    assert values["success_rate_all"] == pytest.approx(3 / 6)
    assert values["precision"] == pytest.approx(2 / 3)
    assert values["precision_all"] == pytest.approx(2 / 4)
    assert values["robust_grasp_rate"] == pytest.approx(3 / 5)
    assert values["planned_share"] == pytest.approx(4 / 5)
    assert values["brier"] == pytest.approx((0.1**2 + 0.4**2 + 0.7**2 + 0.6**2) / 4)


def test_a_quality_of_one_half_is_not_over_one_half() -> None:
    values = summarise(trials([1, 0], [0.5, 0.6]))
    assert (values["robust_grasp_rate"], values["precision"]) == (0.5, 0.0)


def test_the_intervals_of_a_summary_are_those_of_its_objects() -> None:
    rng = np.random.default_rng(0)
    alike = np.repeat(rng.random(40) < 0.6, 5)
    quality = np.repeat(rng.random(40), 5)
    confident = quality > 0.5
    values = summarise(trials(alike.tolist(), quality.tolist(), per_object=5))
    for suffix in ("", "_all"):
        for name, good in (
            ("success", alike),
            ("precision", alike[confident]),
            ("robust_grasp", confident),
        ):
            n_objects = len(good) // 5
            as_many = wilson(good.mean() * (n_objects - 1), n_objects - 1)
            assert values[f"{name}_interval{suffix}"] == pytest.approx([*as_many])


def test_a_quality_that_is_no_probability_has_no_calibration_but_an_order() -> None:
    outcomes = trials([1, 1, 0, 0], [0.9, 0.6, 0.7, 0.4])
    ranked, judged = summarise(outcomes, is_probability=False), summarise(outcomes)
    blank = {"ece", "brier", "ece_all", "brier_all"}
    assert all(np.isnan(ranked[name]) for name in blank)
    assert ranked.keys() == judged.keys()
    assert all(ranked[name] == judged[name] for name in ranked.keys() - blank)


def test_the_scores_of_q_over_all_trials_count_the_ungraspable_ones() -> None:
    values = summarise(trials([1, 0, 0, 0], [0.9, 0.8, 0.2, np.nan], graspable=[1, 0, 1, 1]))
    assert values["brier"] == pytest.approx((0.1**2 + 0.2**2) / 2)
    assert values["brier_all"] == pytest.approx((0.1**2 + 0.8**2 + 0.2**2) / 3)
    assert values["ece_all"] == pytest.approx((0.1 + 0.8 + 0.2) / 3)
    assert (values["planned_share"], values["planned_share_all"]) == (2 / 3, 3 / 4)
    worse = summarise(trials([1, 0], [0.8, 0.9], graspable=[1, 0]))
    assert (worse["average_precision"], worse["average_precision_all"]) == (1.0, 0.5)


def test_without_a_graspable_trial_the_rates_are_undefined_and_nothing_fails() -> None:
    values = summarise(trials([0, 0], [0.9, np.nan], graspable=[0, 0]))
    assert np.isnan(values["success_rate"])
    assert np.isnan(values["average_precision"])
    assert values["success_rate_all"] == 0.0


def test_comparing_a_planner_with_itself_gives_nothing_and_the_reverse_the_opposite(
    rng: np.random.Generator,
) -> None:
    success_a, success_b = rng.random(200) < 0.8, rng.random(200) < 0.6
    quality = [0.5] * 200
    a = trials(success_a.tolist(), quality, per_object=5)
    b = trials(success_b.tolist(), quality, per_object=5)
    same = beats(a, a, np.random.default_rng(1))
    assert (same["difference"], same["interval"], same["probability"]) == (0.0, [0.0, 0.0], 0.5)
    ab, ba = beats(a, b, np.random.default_rng(1)), beats(b, a, np.random.default_rng(1))
    assert (
        ab["difference"]
        == -ba["difference"]
        == pytest.approx(np.mean(success_a) - np.mean(success_b))
    )
    assert ab["interval"] == pytest.approx([-x for x in reversed(ba["interval"])])  # type: ignore[arg-type]
    assert ab["probability"] == pytest.approx(1 - ba["probability"])  # type: ignore[operator]


@pytest.mark.parametrize("n_objects", [1, 2, 4, 5])
def test_a_few_objects_give_no_interval(n_objects: int, rng: np.random.Generator) -> None:
    # equal gains on each: whatever is drawn, the difference is the same, as if it were certain
    n = 4 * n_objects
    a = trials([1, 1, 1, 0] * n_objects, [0.5] * n, per_object=4)
    b = trials([1, 1, 0, 0] * n_objects, [0.5] * n, per_object=4)
    found = beats(a, b, rng)
    assert found["difference"] == 0.25
    assert np.isnan(found["interval"]).all() == np.isnan(found["probability"]) == (n_objects < 5)


def test_trials_of_one_object_do_not_count_as_independent() -> None:
    # all ten trials of an object agree: the interval is that of the objects, wider by √10 than of independent trials
    rng = np.random.default_rng(3)
    per_object = rng.random(60) < 0.7
    win = np.repeat(per_object, 10).tolist()
    nothing, quality = [0] * 600, [0.5] * 600
    by_object = beats(
        trials(win, quality, per_object=10), trials(nothing, quality, per_object=10), rng
    )
    by_trial = beats(trials(win, quality), trials(nothing, quality), rng)
    width = [np.diff(x["interval"])[0] for x in (by_object, by_trial)]  # type: ignore[arg-type]
    assert width[0] / width[1] == pytest.approx(np.sqrt(10), rel=0.15)
    p = np.mean(per_object)
    assert width[0] == pytest.approx(2 * LEVEL_Z * np.sqrt(p * (1 - p) / 60), rel=0.15)


def test_planners_are_compared_on_graspable_trials_alone(rng: np.random.Generator) -> None:
    graspable = [1, 1, 1, 0] * 6
    a = trials([1, 1, 0, 0] * 6, [0.5] * 24, graspable, per_object=4)
    b = trials([1, 0, 0, 1] * 6, [0.5] * 24, graspable, per_object=4)
    found = beats(a, b, rng)
    assert found["difference"] == pytest.approx(1 / 3)
    assert found["interval"] == pytest.approx([1 / 3, 1 / 3])


def test_an_object_of_many_trials_counts_by_them() -> None:
    # one object of 90 trials that a wins, nine of 2 that b wins: a is ahead whenever the first is drawn
    object_id = np.repeat(np.arange(10), [90] + [2] * 9)
    first, all_of_them = object_id == 0, np.ones(108, bool)
    a, b = (Outcomes(s, all_of_them, np.full(108, 0.5), object_id) for s in (first, ~first))
    found = beats(a, b, np.random.default_rng(0))
    assert found["difference"] == pytest.approx((90 - 18) / 108)
    assert found["probability"] == pytest.approx(1 - 0.9**10, abs=0.05)


def test_a_comparisons_interval_leaves_out_one_draw_in_forty_on_either_side() -> None:
    rng = np.random.default_rng(3)
    win = rng.random(1000) < 0.5
    quality = [0.5] * 1000
    found = beats(trials(win.tolist(), quality), trials([0] * 1000, quality), rng)
    width = np.diff(found["interval"])[0]  # type: ignore[arg-type]
    p = win.mean()
    # a quantile's own error is √(0.025 · 0.975 / n) over the density there, 0.058: 2.7 / √n deviations
    error = 2.7 / np.sqrt(N_RESAMPLES) / LEVEL_Z
    assert width == pytest.approx(2 * LEVEL_Z * np.sqrt(p * (1 - p) / 1000), rel=3 * error)


def test_planners_on_other_trials_are_not_compared(rng: np.random.Generator) -> None:
    a, b = trials([1] * 6, [0.5] * 6), trials([1] * 6, [0.5] * 6, graspable=[0] + [1] * 5)
    with pytest.raises(AssertionError):
        beats(a, b, rng)
