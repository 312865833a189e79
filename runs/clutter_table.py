"""The seeds of runs/clutter.sh as Markdown tables: rates, and paired differences from the first planner.

Usage: clutter_table.py OUT
"""

import sys
from pathlib import Path

import numpy as np

from antipodal.bench.clutter import clutter_numbers, is_plan
from antipodal.bench.report import short_names
from antipodal.bench.runner import read_rows
from antipodal.sim.trial import Outcome

N_RESAMPLES = 4000


def main(out: Path) -> None:
    """Print a line per planner over the rounds of all seeds."""
    rows = [
        row | {"round": f"{folder.name} {row['round']}"}
        for folder in sorted(out.glob("seed-*"))
        for row in read_rows(folder / "picks.parquet")
    ]
    names = short_names(list(dict.fromkeys(str(row["planner"]) for row in rows)))
    columns = "grasp success | of those with q > ½ | ECE | declutter | picks per plan | plan, ms"
    print(f"| planner | rounds | grasps | {columns} |")
    print("|---" * 9 + "|")
    for spec, name in names.items():
        p = clutter_numbers([row for row in rows if row["planner"] == spec], 0)
        if not p["n_grasps"]:
            print(f"| {name} | {p['n_rounds']} | 0 | – | – | – | – | – | – |")
            continue
        sure = f"{100 * p['precision']:.0f} % of {p['n_confident']}" if p["n_confident"] else "–"
        ece = "–" if p["ece"] is None else f"{p['ece']:.3f}"
        grasp, pile = (share(p, rate) for rate in ("grasp_success", "declutter"))
        print(
            f"| {name} | {p['n_rounds']} | {p['n_grasps']} | {grasp} | {sure} | {ece} | {pile} "
            f"| {p['picks_per_plan']:.2f} | {1e3 * p['plan_time_median']:.0f} |"
        )
    first, *others = names
    print(f"\n| {names[first]} − | grasp success | declutter |\n|---|---|---|")
    counts = {spec: per_round(rows, spec) for spec in names}
    for spec in others:
        cells = [lead(counts[first][k], counts[spec][k]) for k in (0, 1)]
        print(f"| {names[spec]} | {' | '.join(cells)} |")


def share(planner: dict, rate: str) -> str:
    """A rate in per cent with its 95 % interval."""
    low, high = planner[f"{rate}_interval"]
    return f"{100 * planner[f'{rate}_rate']:.0f} % [{100 * low:.0f}–{100 * high:.0f}]"


def per_round(rows: list[dict], spec: str) -> np.ndarray:
    """(2, R, 2): successes of grasps, and objects taken of those there were, in each usable round."""
    rows = [row for row in rows if is_plan(row)]
    usable = sorted({row["round"] for row in rows})
    found = np.zeros((2, len(usable), 2))
    for k, name in enumerate(usable):
        mine = [row for row in rows if row["planner"] == spec and row["round"] == name]
        grasps = [row["outcome"] for row in mine if row["outcome"] != Outcome.NO_GRASP.name]
        found[0, k] = grasps.count(Outcome.SUCCESS.name), len(grasps)
        found[1, k] = sum(r["n_taken"] for r in mine), max((r["n_before"] for r in mine), default=0)
    return found


def lead(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Difference of two shares in points, its 95 % interval over draws of rounds."""
    drawn = np.random.default_rng(0).integers(0, len(ours), (N_RESAMPLES, len(ours)))
    a, b = (x[drawn].sum(1) for x in (ours, theirs))
    low, high = 100 * np.quantile(a[:, 0] / a[:, 1] - b[:, 0] / b[:, 1], [0.025, 0.975])
    a, b = ours.sum(0), theirs.sum(0)
    return f"{100 * (a[0] / a[1] - b[0] / b[1]):+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
