"""Everything that an evaluation leaves in a folder: numbers, predictions, pictures and one page (reference §11.4)."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from .. import __version__
from ..dataset.store import write_table
from ..files import write_bytes, write_json
from ..page import cards, fill, picture, png, svg
from . import plots
from .run import Run
from .scores import DECISION, INTERVALS

if TYPE_CHECKING:
    from .evaluate import Answers

N_EXAMPLES = 10
"""Crops of each cell of the confusion matrix and each split."""
N_WORST = 24
"""Most confident errors of each kind on the page."""
TITLES = {"precision_recall": "Precision and recall", "roc": "Receiver operating characteristic"}
CELLS = ("true_positive", "false_positive", "false_negative", "true_negative")


class Example(NamedTuple):
    """One datapoint's picture."""

    png: bytes
    quality: float
    success: float
    object_id: int


def write_evaluation(
    folder: Path, report: dict[str, Any], splits: Mapping[str, Answers], run: Run | None
) -> None:
    """Write evaluation.json, predictions.parquet, charts as PNG, crops, and evaluation.html."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(report, folder / "evaluation.json")
    write_table(predictions_table(splits), folder / "predictions.parquet")
    charts = draw_charts(report, splits, run)
    for name, figure in charts.items():
        write_bytes(png(figure), folder / f"{name}.png")
    worst: dict[str, list[Example]] = {}
    for k, (name, answers) in enumerate(splits.items()):
        for cell in CELLS:
            shown = N_WORST if k == 0 and cell.startswith("false") else N_EXAMPLES
            found = examples(answers, cell, shown)
            place = folder / "examples" / name.split()[0]
            for i, example in enumerate(found[:N_EXAMPLES]):
                write_bytes(example.png, place / f"{cell}_{i:03d}.png")
            if k == 0:
                worst[cell] = found
    page = evaluation_page(report, charts, worst)
    write_bytes(page.encode(), folder / "evaluation.html")


def predictions_table(splits: Mapping[str, Answers]) -> pa.Table:
    """One row per datapoint scored: split, its number in the data set, quality, ranking, success, object, pose."""
    tables = [
        pa.table(
            {
                "split": pa.array([name.split()[0]] * len(a.quality)).dictionary_encode(),
                "row": a.rows.rows,
                "quality": a.quality.astype(np.float32),
                "ranking": a.ranking.astype(np.float32),
                "success": a.success.astype(np.float32),
                "object_id": a.facts["object_id"],
                "pose_id": a.facts["pose_id"],
            }
        )
        for name, a in splits.items()
    ]
    return pa.concat_tables(tables, promote_options="permissive")


def draw_charts(
    report: Mapping[str, Any], splits: Mapping[str, Answers], run: Run | None
) -> dict[str, Figure]:
    """Every chart by the name of its file."""
    scored = {name.split()[0]: answers.scored for name, answers in splits.items()}
    ranked = {name.split()[0]: answers.ranked for name, answers in splits.items()}
    charts = {
        "precision_recall": plots.precision_recall(ranked),
        "roc": plots.roc(ranked),
        "calibration": plots.calibration(scored),
        "error_by_object": plots.error_rates(
            report["by_object"], "objects, worst first; width: datapoints"
        ),
        "error_by_pose": plots.error_rates(
            report["by_pose"], "stable poses, worst first; width: datapoints"
        ),
        "error_by_depth": plots.error_rates(report["by_depth"], "depth of the grasp"),
    }
    for name, one in scored.items():
        for word, positive in (("positive", True), ("negative", False)):
            charts[f"{word}_{name}_errors"] = plots.error_histogram(name, one, positive)
    if run is not None:
        history = plots.read_history(run.path)
        shares = {
            "training": run.result["train_positive_share"],
            "validation": run.result["validation"]["positive_share"],
        }
        charts["training_losses"] = plots.training_losses(history)
        charts["training_error_rates"] = plots.training_errors(history)
        charts["training_normalised_error_rates"] = plots.training_errors(
            history, {name: min(share, 1 - share) for name, share in shares.items()}
        )
        weights = [p for p in run.network.parameters() if p.ndim == 4]
        charts["first_filters"] = plots.filters(weights[0].detach().float().numpy())
    return charts


def examples(answers: Answers, cell: str, n: int) -> list[Example]:
    """The most confident datapoints of one cell of the confusion matrix."""
    predicted, truth = answers.quality >= DECISION, answers.success > 0.5
    right, said = cell.split("_")
    members = np.flatnonzero(
        (predicted == (said == "positive")) & ((truth == predicted) == (right == "true"))
    )
    order = np.argsort(-np.abs(answers.quality[members] - DECISION), kind="stable")
    chosen = members[order][:n]
    if not len(chosen):
        return []
    crops = answers.rows.table(answers.rows.rows[chosen]).relative.float().numpy()
    return [
        Example(
            _crop_png(crop),
            float(answers.quality[i]),
            float(answers.success[i]),
            int(answers.facts["object_id"][i]),
        )
        for crop, i in zip(crops, chosen, strict=True)
    ]


def evaluation_page(
    report: Mapping[str, Any], charts: Mapping[str, Figure], worst: Mapping[str, list[Example]]
) -> str:
    """The page as one HTML text that needs nothing from outside."""
    drawn = [
        f'<section><h2>{escape(_title(name))}</h2><div class="chart">{svg(figure)}</div></section>'
        for name, figure in charts.items()
        if name != "first_filters"
    ]
    filters = charts.get("first_filters")
    return fill(
        "evaluation.html",
        title="Network evaluation",
        subtitle=escape(
            f"{report['model']} on {report['dataset']} · {report['rows']} · {report['n']} datapoints of "
            f"{report['n_objects']} objects · target {report['target']} · antipodal {__version__}"
        ),
        warnings="".join(f'<p class="warning">{escape(words)}</p>' for words in report["warnings"]),
        cards=cards(_cards(report)),
        table=_scores_table(report),
        confusion=_confusion(report),
        charts="".join(drawn),
        filters=""
        if filters is None
        else picture(png(filters), "filters of the first convolution"),
        false_positives=_gallery(worst["false_positive"]),
        false_negatives=_gallery(worst["false_negative"]),
        objects=_objects(report["by_object"]),
    )


def _cards(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    shown = (
        ("accuracy", "accuracy"),
        ("average_precision", "average precision"),
        ("ece", "calibration error"),
    )
    said = []
    for name, words in shown:
        between = report["intervals"].get(name)
        interval = "" if between is None else f" [{_number(between[0])}–{_number(between[1])}]"
        said.append((_number(report[name]), words + interval))
    said.append((_number(report["all_negative_accuracy"]), "accuracy of always answering “fails”"))
    return said


def _scores_table(report: Mapping[str, Any]) -> str:
    columns = {report["rows"]: report, "grasps that are free": report["by_collision"]["free"]}
    columns["grasps in collision"] = report["by_collision"]["colliding"]
    if "training" in report:
        columns["some training rows"] = report["training"]
    names = [n for n in report["by_collision"]["free"] if not n.startswith(("true_", "false_"))]
    head = "".join(f"<th>{escape(c)}</th>" for c in columns)
    lines = []
    for name in names:
        cells = [f"<td>{_number(values.get(name))}</td>" for values in columns.values()]
        if name in INTERVALS and name in report["intervals"]:
            low, high = report["intervals"][name]
            cells[0] = cells[0].replace(
                "</td>", f"<small>{_number(low)}–{_number(high)}</small></td>"
            )
        lines.append(f"<tr><td>{escape(name.replace('_', ' '))}</td>{''.join(cells)}</tr>")
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _confusion(report: Mapping[str, Any]) -> str:
    rows = (
        ("it succeeds", "true_positives", "false_negatives"),
        ("it fails", "false_positives", "true_negatives"),
    )
    body = "".join(
        f"<tr><td>{truth}</td><td>{report[a]}</td><td>{report[b]}</td></tr>" for truth, a, b in rows
    )
    head = "<tr><th></th><th>q ≥ ½</th><th>q &lt; ½</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _gallery(found: list[Example]) -> str:
    if not found:
        return "<p>None.</p>"
    cards = [
        f"<figure>{picture(e.png, 'crop')}<figcaption>q = {e.quality:.2f} · "
        f"{'P' if 0 < e.success < 1 else 'S'} = {e.success:.2g} · object {e.object_id}</figcaption></figure>"
        for e in found
    ]
    return f'<div class="crops">{"".join(cards)}</div>'


def _objects(rows: list[dict[str, Any]]) -> str:
    head = "<tr><th>object</th><th>datapoints</th><th>successes</th><th>error rate</th></tr>"
    body = "".join(
        f"<tr><td>{escape(r['name'] or str(r['object_id']))}</td><td>{r['n']}</td>"
        f"<td>{_number(r['positive_share'])}</td><td>{_number(r['error_rate'])}</td></tr>"
        for r in rows[:20]
    )
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _crop_png(relative: np.ndarray) -> bytes:
    """The crop, seven times enlarged, the closing axis as a red line on either side of the middle."""
    grey = cv2.cvtColor(plots.crop_picture(relative), cv2.COLOR_GRAY2BGR)
    middle, width = grey.shape[0] // 2, grey.shape[1]
    for part in (slice(0, width // 4), slice(3 * width // 4, width)):
        grey[middle, part] = (40, 60, 220)
    done, data = cv2.imencode(".png", grey)
    assert done
    return data.tobytes()


def _title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " ").capitalize())


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
