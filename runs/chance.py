"""What a plan's q is worth: a and b of antipodal.policy.weighed, fitted to what became of executed plans.

    python runs/chance.py [-o OUT] [-n OBJECTS] [--seed SEED]

A plan's best grasp is the one that its judges overrate most, above all on an object that the hand cannot hold. So the
objects are procedural ones of a seed of their own, 0.8 to 3 times as large as they are made: half of them have no
robust grasp as they lie. The benchmark executes the built-in planners' plans with the YuMi and the Franka hand, and a
logistic function of ln w is fitted to all of it. Two processes; resumable.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from antipodal.bench.config import BenchConfig
from antipodal.bench.runner import BenchRun, read_rows, run_bench
from antipodal.files import claim, partial_folder
from antipodal.mesh import save_mesh
from antipodal.objects import make_objects
from antipodal.policy.weighed import DEFAULT_WEIGHED
from antipodal.scores import brier_score, expected_calibration_error
from antipodal.sim.trial import Outcome

PLANNERS = ("builtin-cem", "builtin-fixed", "builtin-dense")
TRIALS = {"yumi": 3, "franka_hand": 2}
SCALES = 0.8, 3.0
"""Log-uniform between."""
NOT_EXECUTED = (Outcome.NO_GRASP.name, Outcome.UNSTABLE.name)
BINS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0)
N_RESAMPLES = 200


def main() -> None:
    """Make, lift, fit, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("out/chance"))
    parser.add_argument("-n", "--n-objects", type=int, default=120)
    parser.add_argument("--seed", type=int, default=191)
    options = parser.parse_args()
    folder = options.output / "objects"
    told = {"n_objects": options.n_objects, "seed": options.seed}
    claim(options.output / "config.json", told, "set of objects")
    if not folder.is_dir():
        make(folder, options.n_objects, options.seed)
    rows = []
    for hand, n_trials in TRIALS.items():
        config = BenchConfig(n_trials, options.seed)
        pieces, output = options.output / "pieces", options.output / hand
        run = BenchRun(PLANNERS, folder, output, hand, config, cache=pieces, n_timed=0)
        rows += [row | {"hand": hand} for row in read_rows(run_bench(run))]
    rows = [row for row in rows if row["outcome"] not in NOT_EXECUTED]
    for hand in (*TRIALS, None):
        for planner in (*PLANNERS, None):
            some = [
                r for r in rows if hand in (None, r["hand"]) and planner in (None, r["planner"])
            ]
            report(f"{hand or 'both hands'}, {planner or 'all'}", some)


def make(folder: Path, n: int, seed: int) -> None:
    """Objects of many sizes."""
    rng = np.random.default_rng(seed)
    with partial_folder(folder) as unfinished:
        for mesh in sorted(make_objects(n, seed), key=lambda mesh: mesh.name):
            scale = np.exp(rng.uniform(*np.log(SCALES)))
            save_mesh(mesh.scaled(scale), unfinished / f"{mesh.name}.ply")
        unfinished.rename(folder)


def report(name: str, rows: list[dict]) -> None:
    """Print a and b with 95 % intervals over objects, and what q says before and after."""
    config = DEFAULT_WEIGHED
    q = np.clip([row["quality"] for row in rows], 1e-6, 1 - 1e-6)
    success = np.array([row["success"] for row in rows])
    if success.all() or not success.any():
        print(f"{name}: {len(rows)} plans, all with one outcome: nothing to fit, take more objects")
        return
    log_w = (np.log(q / (1 - q)) - config.intercept) / config.slope
    ids, inverse = np.unique([row["object"] for row in rows], return_inverse=True)
    members = [np.flatnonzero(inverse == k) for k in range(len(ids))]
    rng, draws = np.random.default_rng(0), []
    for _ in range(N_RESAMPLES):
        drawn = np.concatenate([members[k] for k in rng.integers(0, len(ids), len(ids))])
        if 0 < success[drawn].mean() < 1:
            draws.append(fit(log_w[drawn], success[drawn]))
    a, b = fit(log_w, success)
    (a_low, b_low), (a_high, b_high) = np.quantile(draws, [0.025, 0.975], axis=0)
    print(f"{name}: {len(rows)} plans of {len(ids)} objects, {success.mean():.3f} lifted")
    print(f"  a {a:.2f} [{a_low:.2f}, {a_high:.2f}], b {b:.2f} [{b_low:.2f}, {b_high:.2f}]")
    for when, p in (("q as it is", q), ("q fitted here", 1 / (1 + np.exp(-a - b * log_w)))):
        yes = p > 0.5
        print(
            f"  {when:<14} Brier {brier_score(p, success):.4f}, ECE {expected_calibration_error(p, success):.3f}, "
            f"q > ½: {yes.mean():.3f} of the plans, of which {success[yes].mean():.3f} lifted, "
            f"{success[yes].sum() / success.sum():.3f} of all lifts"
        )
    for low, high in itertools.pairwise(BINS):
        inside = (q >= low) & (q < high)
        if inside.any():
            print(
                f"    q {low:.1f}–{high:.1f}: {inside.sum():5d}, q {q[inside].mean():.2f}, {success[inside].mean():.2f}"
            )


def fit(log_w: np.ndarray, success: np.ndarray) -> tuple[float, float]:
    """Intercept and slope of the log-odds of success over ln w."""
    model = LogisticRegression(C=1e3).fit(log_w[:, None], success)
    return float(model.intercept_[0]), float(model.coef_[0, 0])


if __name__ == "__main__":
    main()
