"""The reports of runs/benchmark.sh as the Markdown tables of docs/benchmark.md. Usage: benchmark_table.py OUT"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NAMES = {
    "oracle": "oracle (true mesh and pose)",
    "reg": "REG (known mesh)",
    "heuristic": "best heuristic: no learning",
    "builtin-cem": "**built-in model, CEM**",
    "builtin-fixed": "**built-in model, fixed set**",
    "builtin-cem-bfloat16": "**built-in model, CEM, bfloat16**",
    "builtin-fixed-bfloat16": "**built-in model, fixed set, bfloat16**",
    "builtin-dense-bfloat16": "**built-in model, dense, bfloat16**",
    "builtin-dense-fast": "**built-in model, dense, `FAST_DENSE`**",
    "builtin-dense": "**built-in model, dense**",
    "igq": "IGQ",
    "random": "random antipodal",
    "rf": "ML-RF",
    "svm": "ML-SVM",
    "gqcnn-fixed": "GQ-CNN 2.0, ours, fixed set",
    "gqcnn-cem": "GQ-CNN 2.0, ours, CEM",
    "rival": "Berkeley {}, as released",
    "rival-clear": "Berkeley {}, with our clearance check",
}
SLIPS = ("SLIPPED_LIFT", "SLIPPED_CARRY", "SLIPPED_SHAKE")
CONDITIONS = {
    "franka": "Franka hand (8 cm)",
    "robotiq": "Robotiq 2F-85",
    "transfer": "camera set `transfer`",
    "error": "execution error 0 and 5 mm",
    "rival": "camera set `rival`",
}

Report = dict[str, Any]


def main(out: Path) -> None:
    """Print everything that is there."""
    report = read(out / "dexnet")
    print(main_table(report), outcome_table(report), comparison_lines(report), sep="\n\n")
    for folder, title in CONDITIONS.items():
        if (out / folder / "report.json").is_file():
            print(f"\n{title}\n\n{condition_table(read(out / folder))}")


def read(folder: Path) -> Report:
    """The report of one run."""
    return json.loads((folder / "report.json").read_text())


def main_table(report: Report) -> str:
    """A line per planner, the best first."""
    lines = [
        "| planner | success | of all trials | precision (q > ½) | of all trials | robust grasp rate "
        "| AP | ECE | plan, ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, p in ranked(report):
        values = [rate(p, "success_rate"), percent(p["success_rate_all"]), percent(p["precision"])]
        values += [
            percent(p["precision_all"]),
            percent(p["robust_grasp_rate"]),
            number(p["average_precision"]),
        ]
        time = p["plan_time_median"]
        values += [number(p["ece"]), "" if time is None else f"{1e3 * time:.0f}"]
        lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(lines)


def outcome_table(report: Report) -> str:
    """What the graspable trials came to."""
    lines = [
        "| planner | success | hits object | hits table | missed | slips: lift, carry, shake | no grasp |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, p in ranked(report):
        n = {"NO_GRASP": 0} | p["outcomes"]
        values = [n["SUCCESS"], n["COLLIDED_OBJECT"], n["COLLIDED_TABLE"], n["MISSED"]]
        slips = ", ".join(str(n[slip]) for slip in SLIPS)
        lines.append(
            f"| {name} | {' | '.join(map(str, values))} | {slips} | {n['NO_GRASP'] + n['UNSTABLE']} |"
        )
    return "\n".join(lines)


def comparison_lines(report: Report) -> str:
    """Paired differences that the built-in model has a part in, in points."""
    lines = []
    for c in report["comparisons"]:
        if any(spec.startswith("builtin") for spec in (c["better"], c["worse"])):
            low, high = (points(x) for x in c["interval"])
            lines.append(
                f"* {label(c['better'])} − {label(c['worse'])}: {points(c['difference'])} [{low}, {high}]"
            )
    return "\n".join(lines)


def condition_table(report: Report) -> str:
    """Success at each execution error, with the number of graspable trials."""
    ranking = ranked(report)
    errors = [e["execution_error"] for e in ranking[0][1]["by_execution_error"]]
    heads = [f"{1e3 * e:g} mm" for e in errors]
    lines = [f"| planner | graspable | {' | '.join(heads)} |", "|---" * (2 + len(heads)) + "|"]
    for name, p in ranking:
        rates = [rate(e, "success_rate") for e in p["by_execution_error"]]
        lines.append(f"| {name} | {p['n_graspable']} of {p['n_trials']} | {' | '.join(rates)} |")
    return "\n".join(lines)


def ranked(report: Report) -> list[tuple[str, Report]]:
    """Planners with the names that they have in the text, by success."""
    by_success = sorted(
        report["planners"].items(), key=lambda item: -(item[1]["success_rate"] or 0)
    )
    return [(label(spec), planner) for spec, planner in by_success]


def label(spec: str) -> str:
    """The name in the text."""
    kind, _, file = spec.partition(":")
    return NAMES.get(kind, spec).format(Path(file).stem)


def rate(values: Report, name: str) -> str:
    """A rate in per cent with its 95 % interval."""
    low, high = values[name.replace("rate", "interval")]
    if low is None:
        return percent(values[name])
    return f"{percent(values[name])} [{100 * low:.0f}–{100 * high:.0f}]"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f}"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
