"""Benchmark runs of several seeds as one table: whole objects are drawn, with all their trials of all seeds.

    python runs/seeds_table.py RUN … [--planners SPEC …] [--minus SPEC]

Each RUN is a folder that ``antipodal bench run`` wrote: the same objects, another seed each. Of the planners that all
of them have (or those given) it prints rates over the graspable trials and over all, and paired differences from one.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from benchmark_table import SLIPS, label, read
from jaxtyping import Bool, Float, Int

from antipodal.bench.report import open_trials, outcomes_of
from antipodal.bench.scores import CONFIDENT, N_BINS, Interval, Outcomes, widened
from antipodal.scores import average_precision, brier_score, expected_calibration_error

N_RESAMPLES = 4000
SUREST = 0.9
KEPT = 0.94
"""Share of its lifts at which planners of another calibration are compared."""
BINS = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--planners", nargs="*")
    parser.add_argument("--minus", default="heuristic")
    given = parser.parse_args()
    trials, weights = pooled(given.runs, given.planners)
    first = next(iter(trials.values()))
    print(f"{len(first.success)} trials, {first.graspable.sum()} graspable\n")
    other, against = trials[given.minus], label(given.minus)
    fates = "hits object, table | missed | slips: lift, carry, shake"
    print(
        f"| planner | success | precision (q > ½) | its surest nine tenths | {fates} | − {against} |"
    )
    print("|---" * 8 + "|")
    by_success = sorted(trials, key=lambda p: -trials[p].success[first.graspable].sum())
    graspable = weights * first.graspable
    executed = {planner: kept(t, weights) for planner, t in trials.items()}
    for planner in by_success:
        t = trials[planner]
        cells = [
            f"{t.success[t.graspable].sum()} of {t.graspable.sum()}, {share(t, graspable)}",
            share(t, graspable * confident(t)),
            f"{100 * surest(t):.1f} %",
            *fate(given.runs, planner),
            lead(t, graspable, other, graspable),
        ]
        print(f"| {label(planner)} | {' | '.join(cells)} |")
    columns = f"success | precision (q > ½) | of all its lifts | precision at {KEPT:.0%} of them"
    print(f"\nOver all trials\n\n| planner | {columns} | − {against} | AP |")
    print("|---" * 7 + "|")
    for planner in by_success:
        t = trials[planner]
        cells = [
            f"{100 * t.success.mean():.1f} %",
            share(t, weights * confident(t)),
            f"{100 * confident(t)[t.success].mean():.1f} %",
            share(t, executed[planner]),
            lead(t, executed[planner], other, executed[given.minus]),
            f"{average_precision(told(t), t.success):.3f}",
        ]
        print(f"| {label(planner)} | {' | '.join(cells)} |")
    bins = " | ".join(f"q {low:.1f}–{high:.1f}" for low, high in pairwise(BINS))
    print(
        f"\nIts plans: how many, which share of them holds\n\n| planner | no plan | {bins} | Brier score | ECE |"
    )
    print("|---" * (len(BINS) + 3) + "|")
    for planner in by_success:
        t = trials[planner]
        planned = t[~np.isnan(t.quality)]
        cells = [
            str(len(t.success) - len(planned.success)),
            *(inside(planned, low, high) for low, high in pairwise(BINS)),
            f"{brier_score(planned.quality, planned.success):.3f}",
            f"{expected_calibration_error(planned.quality, planned.success, N_BINS):.3f}",
        ]
        print(f"| {label(planner)} | {' | '.join(cells)} |")


def pooled(
    folders: list[Path], planners: list[str] | None
) -> tuple[dict[str, Outcomes], Int[np.ndarray, "draws N"]]:
    """Trials of each planner at the first execution error, and how often each draw of objects has each of them.

    The first draw has each once: what is measured.
    """
    runs = [open_trials(folder) for folder in folders]
    chosen = planners or [p for p in runs[0].planners if all(p in run.planners for run in runs)]
    trials = {
        p: outcomes_of(pa.concat_tables([run.of(p, run.errors[0]) for run in runs])) for p in chosen
    }
    of = trials[chosen[0]].object_id
    if not all(np.array_equal(t.object_id, of) for t in trials.values()):
        raise SystemExit(
            "the runs have other objects or trials: expected the same, another seed each"
        )
    n = int(of.max()) + 1
    drawn = np.random.default_rng(0).integers(0, n, (N_RESAMPLES, n))
    draws = [np.bincount(draw, minlength=n)[of] for draw in (np.arange(n), *drawn)]
    return trials, np.stack(draws)


def fate(folders: list[Path], planner: str) -> list[str]:
    """What the graspable trials came to that were not lifted."""
    n = sum((Counter(read(f)["planners"][planner]["outcomes"]) for f in folders), Counter())
    groups = (("COLLIDED_OBJECT", "COLLIDED_TABLE"), ("MISSED",), SLIPS)
    return [", ".join(str(n[outcome]) for outcome in group) for group in groups]


def told(t: Outcomes) -> Float[np.ndarray, "N"]:
    """Quality, 0 where nothing was planned."""
    return np.nan_to_num(t.quality)


def confident(t: Outcomes) -> Bool[np.ndarray, "N"]:
    """What a planner would execute."""
    return told(t) > CONFIDENT


def kept(t: Outcomes, weights: Int[np.ndarray, "draws N"]) -> Int[np.ndarray, "draws N"]:
    """What a planner would execute of each draw: the highest threshold that keeps :data:`KEPT` of its lifts there."""
    q = told(t)
    order = np.argsort(-q, kind="stable")
    lifts = np.cumsum((weights * t.success)[:, order], 1)
    last = (lifts >= KEPT * lifts[:, -1:]).argmax(1)
    return weights * (q >= q[order][last][:, None])


def rates(success: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of successes in each draw."""
    return (weights @ success) / np.maximum(weights.sum(1), 1)


def share(t: Outcomes, weights: np.ndarray) -> str:
    """Share of successes, with its interval, %."""
    value, *draws = 100 * rates(t.success, weights)
    low, high = interval(value, draws, t.object_id[weights[0] > 0])
    return f"{value:.1f} % [{max(low, 0):.1f}–{min(high, 100):.1f}]"


def interval(value: float, draws: list[float], object_id: np.ndarray) -> Interval:
    """95 % interval of a share or a difference of shares of these objects."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return widened(value, (low, high), max(len(np.unique(object_id)), 2))


def lead(ours: Outcomes, here: np.ndarray, theirs: Outcomes, there: np.ndarray) -> str:
    """Difference of two planners' shares, each among some of its own trials, points; nothing beside itself."""
    if ours is theirs:
        return ""
    difference, *draws = 100 * (rates(ours.success, here) - rates(theirs.success, there))
    low, high = interval(difference, draws, ours.object_id[(here[0] > 0) | (there[0] > 0)])
    return f"{difference:+.1f} [{low:+.1f}, {high:+.1f}]"


def surest(t: Outcomes) -> float:
    """Success among the nine tenths of the graspable trials with the highest quality."""
    order = np.argsort(-told(t)[t.graspable], kind="stable")
    return float(t.success[t.graspable][order[: round(SUREST * len(order))]].mean())


def inside(t: Outcomes, low: float, high: float) -> str:
    """How many plans have a quality between the two, and which share of them holds."""
    here = (t.quality >= low) & ((t.quality < high) | (high == 1.0))
    return f"{here.sum()}, {100 * t.success[here].mean():.0f} %" if here.any() else "0"


if __name__ == "__main__":
    main()
