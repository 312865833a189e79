"""Compare two planners on the same simulated lifts, trial by trial: a benchmark of the size of a nutshell.

With your own meshes: `antipodal bench run --policy builtin-cem random --objects meshes -o out/bench`.
"""

from __future__ import annotations

from pathlib import Path

from antipodal.bench.config import BenchConfig
from antipodal.bench.report import make_report, open_trials
from antipodal.bench.runner import BenchRun, run_bench
from antipodal.objects import make_object_set

PLANNERS = ("builtin-cem", "random")

if __name__ == "__main__":
    make_object_set("objects", 3, seed=4, families=("carton", "screwdriver"))
    config = BenchConfig(n_trials=1, seed=0)
    run_bench(
        BenchRun(PLANNERS, Path("objects"), Path("bench"), config=config, workers=1, n_timed=0)
    )
    trials = open_trials("bench")
    for row in trials.table.select(["object", "planner", "outcome", "graspable"]).to_pylist():
        said = "graspable" if row["graspable"] else "not graspable"
        held = "held" if row["outcome"] == "SUCCESS" else "failed"
        print(f"{row['object']:<18} {said:<14} {row['planner']:<12} {held}")
    report = make_report(trials)
    for name in PLANNERS:
        low, high = report["planners"][name]["success_interval"]
        print(f"{name}: between {low:.0%} and {high:.0%}, with 95 % confidence")
