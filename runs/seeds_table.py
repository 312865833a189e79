"""Benchmark runs of several seeds as one table: whole objects are drawn, with all their trials of all seeds.

    python runs/seeds_table.py RUN … [--planners SPEC …] [--minus SPEC]

Each RUN is a folder that ``antipodal bench run`` wrote: the same objects, another seed each. Of the planners that all
of them have (or those given) it prints rates over the graspable trials and over all, and paired differences from one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from benchmark_table import label
from jaxtyping import Bool, Float, Int

from antipodal.scores import average_precision, brier_score

N_RESAMPLES = 4000
CONFIDENT = 0.5
SUREST = 0.9
COLUMNS = ["planner", "object", "k", "execution_error", "graspable", "quality", "success"]


class Trials(NamedTuple):
    """One planner's trials of all seeds, in the same order for each planner."""

    graspable: Bool[np.ndarray, "N"]
    success: Bool[np.ndarray, "N"]
    quality: Float[np.ndarray, "N"]
    """0 where nothing was planned."""

    @property
    def confident(self) -> Bool[np.ndarray, "N"]:
        return self.quality > CONFIDENT


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
    against = label(given.minus)
    print(f"| planner | success | precision (q > ½) | its surest nine tenths | − {against} |")
    print("|---" * 5 + "|")
    by_success = sorted(trials, key=lambda p: -trials[p].success[first.graspable].sum())
    for planner in by_success:
        t = trials[planner]
        cells = [
            f"{t.success[t.graspable].sum()} of {t.graspable.sum()}, {share(t.success, t.graspable, weights)}",
            share(t.success, t.graspable & t.confident, weights),
            f"{100 * surest(t):.1f} %",
            lead(trials, planner, given.minus, weights, "graspable"),
        ]
        print(f"| {label(planner)} | {' | '.join(cells)} |")
    print(
        f"\nOver all trials\n\n| planner | success | precision | AP | Brier score | − {against} |"
    )
    print("|---" * 6 + "|")
    for planner in by_success:
        t = trials[planner]
        cells = [
            f"{100 * t.success.mean():.1f} %",
            share(t.success, t.confident, weights),
            f"{average_precision(t.quality, t.success):.3f}",
            f"{brier_score(t.quality, t.success):.3f}",
            lead(trials, planner, given.minus, weights, "confident"),
        ]
        print(f"| {label(planner)} | {' | '.join(cells)} |")


def pooled(
    runs: list[Path], planners: list[str] | None
) -> tuple[dict[str, Trials], Int[np.ndarray, "draws N"]]:
    """Trials of each planner, and how often each draw of objects has each of them."""
    rows: dict[str, dict[tuple, tuple]] = {}
    found = []
    for seed, run in enumerate(runs):
        table = pq.read_table(run / "trials.parquet", columns=COLUMNS).to_pylist()
        for r in table:
            key = (r["object"], seed, r["k"], r["execution_error"])
            rows.setdefault(r["planner"], {})[key] = (r["graspable"], r["success"], r["quality"])
        found.append({r["planner"] for r in table})
    chosen = planners or [p for p in rows if all(p in some for some in found)]
    keys = sorted(rows[chosen[0]])
    trials = {}
    for planner in chosen:
        graspable, success, quality = zip(*(rows[planner][key] for key in keys), strict=True)
        told = np.nan_to_num(np.array(quality, float))
        trials[planner] = Trials(np.array(graspable), np.array(success), told)
    objects, of = np.unique([key[0] for key in keys], return_inverse=True)
    drawn = np.random.default_rng(0).integers(0, len(objects), (N_RESAMPLES, len(objects)))
    weights = np.stack([np.bincount(draw, minlength=len(objects))[of] for draw in drawn])
    return trials, weights


def rates(success: np.ndarray, where: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of successes among some trials, for each draw."""
    return (weights @ (success & where)) / np.maximum(weights @ where, 1)


def share(success: np.ndarray, where: np.ndarray, weights: np.ndarray) -> str:
    """Share of successes among some trials, with its interval, %."""
    low, high = np.quantile(rates(success, where, weights), [0.025, 0.975])
    return f"{100 * success[where].mean():.1f} % [{100 * low:.1f}–{100 * high:.1f}]"


def lead(trials: dict[str, Trials], a: str, b: str, weights: np.ndarray, where: str) -> str:
    """Difference of two planners' shares, each among its own trials of that kind, points."""
    if a == b:
        return ""
    ours, theirs = trials[a], trials[b]
    here, there = getattr(ours, where), getattr(theirs, where)
    draws = rates(ours.success, here, weights) - rates(theirs.success, there, weights)
    low, high = 100 * np.quantile(draws, [0.025, 0.975])
    difference = ours.success[here].mean() - theirs.success[there].mean()
    return f"{100 * difference:+.1f} [{low:+.1f}, {high:+.1f}]"


def surest(t: Trials) -> float:
    """Success among the nine tenths of the graspable trials with the highest quality."""
    order = np.argsort(-t.quality[t.graspable], kind="stable")
    return float(t.success[t.graspable][order[: round(SUREST * len(order))]].mean())


if __name__ == "__main__":
    main()
