"""report.html: one self-contained file that opens offline; numbers of report.json, charts, pictures of failures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..dataset.schema import SUCCESS_THRESHOLD
from ..files import write_bytes
from ..page import cards, fill, picture
from .charts import (
    OUTCOME_COLORS,
    calibration_chart,
    color_of,
    coverage_chart,
    outcome_chart,
    success_chart,
)
from .gallery import Failure, failures
from .graspable import FREE_SHARE
from .report import THIRDS, Trials, short_names

Planners = dict[str, dict[str, Any]]


def write_page(
    trials: Trials,
    report: dict[str, Any],
    objects: Path | None = None,
    said: Sequence[str] = (),
) -> Path:
    """Write report.html beside the trials; return its path.

    Args:
        trials: the finished run.
        report: its numbers.
        objects: folder of the meshes, where it has moved since.
        said: sentences that come first: what the numbers mean to whoever asked.
    """
    names = short_names(list(report["planners"]))
    report = _renamed(report, names)
    found = [
        f._replace(row=f.row | {"planner": names[f.row["planner"]]})
        for f in failures(trials, objects)
    ]
    planners: Planners = report["planners"]
    order = sorted(planners, key=lambda name: -(planners[name]["success_rate"] or 0.0))
    page = fill(
        "page.html",
        title="Grasp benchmark",
        subtitle=_subtitle(report),
        cards=_cards(planners, order),
        short=_short(said),
        success=success_chart(planners, order),
        table=_table(planners, order),
        matrix=_matrix(report, order),
        coverage=coverage_chart(planners),
        calibration=calibration_chart(planners),
        outcomes=outcome_chart(planners, order),
        groups=_groups(planners, order),
        gallery=_gallery(found, order),
        notes=_notes(report, order),
    )
    path = trials.folder / "report.html"
    write_bytes(page.encode(), path)
    return path


def _renamed(report: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The report with its planners by other names."""
    return report | {
        "planners": {names[n]: p for n, p in report["planners"].items()},
        "comparisons": [
            c | {"better": names[c["better"]], "worse": names[c["worse"]]}
            for c in report["comparisons"]
        ],
    }


def _subtitle(report: dict[str, Any]) -> str:
    return (
        f"{report['n_objects']} objects × {report['n_trials_per_object']} trials · "
        f"gripper {escape(report['gripper'])} · camera set {escape(report['camera'])} · "
        f"execution error {1e3 * report['execution_error']:g} mm · "
        f"seed {report['seed']} · antipodal {escape(report['version'])}"
    )


def _cards(planners: Planners, order: Sequence[str]) -> str:
    best = planners[order[0]]
    low, high = best["success_interval"]
    said = [
        (_pct(best["success_rate"]), f"success of {escape(order[0])} [{_pct(low)}–{_pct(high)}]"),
        (_pct(best["graspable_share"]), f"of {best['n_trials']} trials are graspable"),
        (str(len(order)), "planners on the same trials"),
    ]
    timed = [n for n in order if planners[n]["plan_time_median"] is not None]
    if timed:
        fastest = min(timed, key=lambda n: planners[n]["plan_time_median"])
        said.append(
            (_ms(planners[fastest]["plan_time_median"]), f"fastest plan: {escape(fastest)}")
        )
    return cards(said)


def _short(said: Sequence[str]) -> str:
    if not said:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in said)
    return f"<section><h2>In short</h2><ul>{items}</ul></section>"


def _table(planners: Planners, order: Sequence[str]) -> str:
    heads = (
        "planner", "success", "all trials", "precision<br>(q&gt;½)", "precision,<br>all trials",
        "robust grasp<br>rate", "AP", "ECE", "Brier",
        "planned", "plan time<br>median", "p90",
    )  # fmt: skip
    rows = []
    for i, name in enumerate(order):
        p = planners[name]
        cells = [
            _dot(planners, name) + escape(name),
            f"<b>{_pct(p['success_rate'])}</b>{_between(p['success_interval'])}",
            _pct(p["success_rate_all"]),
            f"{_pct(p['precision'])}{_between(p['precision_interval'])}",
            f"{_pct(p['precision_all'])}{_between(p['precision_interval_all'])}",
            _pct(p["robust_grasp_rate"]),
            _num(p["average_precision"]),
            _if_probability(p, "ece"),
            _if_probability(p, "brier"),
            _pct(p["planned_share"]),
            _ms(p["plan_time_median"]),
            _ms(p["plan_time_p90"]),
        ]
        row = "".join(f"<td>{c}</td>" for c in cells)
        rows.append(f"<tr{' class=first' if i == 0 else ''}>{row}</tr>")
    head = "".join(f"<th>{h}</th>" for h in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _matrix(report: dict[str, Any], order: Sequence[str]) -> str:
    """Row minus column, in points."""
    gain: dict[tuple[str, str], tuple[float | None, bool]] = {}
    for c in report["comparisons"]:
        d, (low, high) = c["difference"], c["interval"]
        sure = low is not None and (low > 0 or high < 0)
        gain[c["better"], c["worse"]] = (d, sure)
        gain[c["worse"], c["better"]] = (None if d is None else -d, sure)
    lines = []
    for a in order:
        cells = []
        for b in order:
            d, sure = gain.get((a, b), (None, False))
            text = "–" if d is None else f"{points:+d}" if (points := round(100 * d)) else "0"
            color = "transparent" if d is None else _gain_color(d)
            weight = "700" if sure else "400"
            cells.append(
                f'<td class="heat" style="background:{color};font-weight:{weight}">{text}</td>'
            )
        lines.append(f"<tr><td>{_dot(report['planners'], a)}{escape(a)}</td>{''.join(cells)}</tr>")
    head = "".join(f"<th>{escape(n)}</th>" for n in order)
    return f'<table class="matrix"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _groups(planners: Planners, order: Sequence[str]) -> str:
    """Sources, difficulties and execution errors as columns; one line per planner."""
    first = planners[order[0]]
    sources = [s for s in first["by_source"] if first["by_source"][s]["n_graspable"]]
    thirds = [t for t in THIRDS if t in first["by_difficulty"]]
    errors = range(len(first["by_execution_error"]))
    head = "".join(f"<th>{escape(s)}</th>" for s in sources) + "".join(
        f"<th>{t}</th>" for t in thirds
    )
    for i in errors:
        head += f"<th>{1e3 * first['by_execution_error'][i]['execution_error']:g} mm</th>"
    lines = []
    for name in order:
        p = planners[name]
        shares = [p["by_source"][s] for s in sources] + [p["by_difficulty"][t] for t in thirds]
        shares += [p["by_execution_error"][i] for i in errors]
        cells = "".join(_heat(s) for s in shares)
        lines.append(f"<tr><td>{_dot(planners, name)}{escape(name)}</td>{cells}</tr>")
    return f'<table class="matrix"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _gallery(found: Sequence[Failure], order: Sequence[str]) -> str:
    """One fold per planner, the best planner's open."""
    if not found:
        return "<p>No failed grasp on a graspable trial, or the meshes are not at hand.</p>"
    parts = []
    for name in order:
        shown = [_card(f) for f in found if f.row["planner"] == name]
        if shown:
            opened = " open" if not parts else ""
            head = f"<details{opened}><summary>{escape(name)}</summary>"
            parts.append(f'{head}<div class="gallery">{"".join(shown)}</div></details>')
    return "".join(parts)


def _card(failure: Failure) -> str:
    row = failure.row
    images = picture(failure.seen, "depth image") + picture(failure.ended, "end of the attempt")
    color = OUTCOME_COLORS.get(row["outcome"], "#343a40")
    said = row["outcome"].replace("_", " ").lower()
    epsilon = "" if row["epsilon"] is None else f" · robust ε {row['epsilon']:.4f}"
    return (
        f"<figure><div>{images}</div><figcaption><b>{escape(row['object'])}</b>"
        f'<span class="tag" style="background:{color}">{said}</span><br>'
        f"q = {row['quality']:.2f}{epsilon} · trial {failure.number}</figcaption></figure>"
    )


def _notes(report: dict[str, Any], order: Sequence[str]) -> str:
    planners = report["planners"]
    measured: dict[str, list[str]] = {}
    for name in order:
        measured.setdefault(planners[name]["plan_time_measured"], []).append(name)
    times = "; ".join(
        how if len(measured) == 1 else f"{how}: {', '.join(names)}"
        for how, names in measured.items()
    )
    lines = [
        "<p><b>Graspable</b>: the oracle, who knows mesh and pose, finds a grasp whose robust ε is "
        f"above {SUCCESS_THRESHOLD:g} and which at least {FREE_SHARE:.0%} of the approaches displaced by the execution "
        "error reach free. "
        "<b>Precision</b>: success among grasps with q &gt; ½; over all trials also where the oracle knows none, "
        "so that it asks whether a planner knows when not to. <b>Robust grasp rate</b>: share of trials "
        "planned with q &gt; ½. <b>AP</b>: average precision of q. <b>ECE</b>: expected calibration error of q "
        "against the lift, in ten bins, and <b>Brier</b>: mean square of their difference, both over the graspable "
        "trials in which something was planned; the built-in planners' q is fitted to lifts, "
        "that of other networks to labels. "
        "All planners met the same poses, friction, sensor noise and execution errors.</p>",
        f"<p>Plan times: {escape(times)}.</p>",
    ]
    blank = {n: planners[n]["quality_is_no_probability"] for n in order}
    items = "".join(
        f"<li><b>{escape(n)}</b>: {escape(why)}</li>" for n, why in blank.items() if why
    )
    if items:
        lines.append(
            "<p>ECE, Brier score and calibration ask whether q is the share of grasps that hold. They are blank where "
            f"q is no probability:</p><ul>{items}</ul>"
        )
    for name in order:
        reasons = planners[name]["reasons"]
        if reasons:
            items = "".join(f"<li>{r['count']} × {escape(r['reason'])}</li>" for r in reasons)
            lines.append(
                f"<details><summary>{escape(name)}: why nothing was executed</summary><ul>{items}</ul></details>"
            )
    unusable = report["unusable_objects"]
    if unusable:
        items = "".join(f"<li><b>{escape(n)}</b>: {escape(r)}</li>" for n, r in unusable.items())
        lines.append(f"<p>{len(unusable)} objects could not be simulated:</p><ul>{items}</ul>")
    return "".join(lines)


def _heat(share: dict[str, Any]) -> str:
    if share["success_rate"] is None:
        return '<td class="heat">–</td>'
    r = share["success_rate"]
    # from a pale red over white to green: lightness carries it too
    color = f"hsl({10 + 120 * r:.0f} 60% {92 - 22 * abs(r - 0.5):.0f}%)"
    return f'<td class="heat" style="background:{color}">{100 * r:.0f}<small>{share["n_graspable"]}</small></td>'


def _gain_color(d: float) -> str:
    strength = min(1.0, abs(d) / 0.3)
    return f"hsl({135 if d > 0 else 5} 60% {98 - 22 * strength:.0f}%)"


def _dot(planners: Planners, name: str) -> str:
    return f'<span class="dot" style="background:{color_of(list(planners), name)[0]}"></span>'


def _between(interval: Sequence[float | None]) -> str:
    low, high = interval
    return "" if low is None or high is None else f"<small>{100 * low:.0f}–{100 * high:.0f}</small>"


def _pct(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _num(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _if_probability(planner: dict[str, Any], score: str) -> str:
    """A score of q as a probability; blank, with the reason when one points at it, where q is none."""
    why = planner["quality_is_no_probability"]
    return _num(planner[score]) if why is None else f'<span title="{escape(why)}">&nbsp;</span>'


def _ms(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.0f} ms"
