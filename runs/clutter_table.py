"""The seeds of runs/clutter.sh as one Markdown table. Usage: clutter_table.py OUT"""

import sys
from pathlib import Path

from antipodal.bench.clutter import clutter_numbers
from antipodal.bench.report import short_names
from antipodal.bench.runner import read_rows


def main(out: Path) -> None:
    """Print a line per planner over the rounds of all seeds."""
    rows = [
        row | {"round": (folder.name, row["round"])}
        for folder in sorted(out.glob("seed-*"))
        for row in read_rows(folder / "picks.parquet")
    ]
    names = short_names(list(dict.fromkeys(str(row["planner"]) for row in rows)))
    print("| planner | rounds | grasps | grasp success | declutter | picks per plan | plan, ms |")
    print("|---|---|---|---|---|---|---|")
    for spec, name in names.items():
        p = clutter_numbers([row for row in rows if row["planner"] == spec], 0)
        if not p["n_grasps"]:
            print(f"| {name} | {p['n_rounds']} | 0 | – | – | – | – |")
            continue
        grasp, pile = (share(p, rate) for rate in ("grasp_success", "declutter"))
        print(
            f"| {name} | {p['n_rounds']} | {p['n_grasps']} | {grasp} | {pile} | {p['picks_per_plan']:.2f} "
            f"| {1e3 * p['plan_time_median']:.0f} |"
        )


def share(planner: dict, rate: str) -> str:
    """A rate in per cent with its 95 % interval."""
    low, high = planner[f"{rate}_interval"]
    return f"{100 * planner[f'{rate}_rate']:.0f} % [{100 * low:.0f}–{100 * high:.0f}]"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
