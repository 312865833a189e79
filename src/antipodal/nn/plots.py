"""Pictures of an evaluation, one function each: curves, calibration, errors, the course of training, filters, crops."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..page import COLORS, FAINT, GRID, STYLE, chart, legend, percent
from ..scores import (
    area_under_roc,
    average_precision,
    calibration_bins,
    expected_calibration_error,
    threshold_curve,
)

SPLIT_COLORS = {"validation": COLORS[0], "training": COLORS[1], "all": COLORS[0]}
"""The same in every picture of a page."""
ERROR_BINS = 100
RELATIVE_RANGE = 0.03
"""A crop is drawn from white, this far above the grasp, to black, as far below it, m."""


class Scored(NamedTuple):
    """Predicted qualities and the truth of some rows."""

    quality: Float[np.ndarray, "N"]
    success: Float[np.ndarray, "N"]
    """Label in [0, 1]."""

    @property
    def truth(self) -> np.ndarray:
        """Success or failure."""
        return self.success > 0.5


def precision_recall(splits: Mapping[str, Scored]) -> Figure:
    """Precision against recall over all thresholds."""
    figure, axes = chart(5.6, 4.2)
    for name, scored in splits.items():
        color, quality, truth = SPLIT_COLORS[name], scored.quality, scored.truth
        if truth.any():
            _, hits, misses = threshold_curve(quality, truth)
            recall, precision = hits / truth.sum(), hits / (hits + misses)
            label = f"{name}: AP {average_precision(quality, truth):.3f}"
            # P_k holds from R_{k−1} to R_k: the area below the line is the AP
            x, y = np.append(0, recall), np.append(precision[0], precision)
            axes.step(x, y, where="pre", color=color, label=label)
        axes.axhline(truth.mean(), color=color, linestyle=":", linewidth=1)
    return _unit_square(figure, axes, "recall", "precision; dotted: chance")


def roc(splits: Mapping[str, Scored]) -> Figure:
    """True against false positive rate over all thresholds."""
    figure, axes = chart(5.6, 4.2)
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", linewidth=1)
    for name, scored in splits.items():
        color, quality, truth = SPLIT_COLORS[name], scored.quality, scored.truth
        if truth.any() and not truth.all():
            _, hits, misses = threshold_curve(quality, truth)
            x, y = np.append(0, misses / (~truth).sum()), np.append(0, hits / truth.sum())
            label = f"{name}: AUC {area_under_roc(quality, truth):.3f}"
            axes.plot(x, y, color=color, label=label)
    return _unit_square(figure, axes, "false positive rate", "true positive rate")


def calibration(splits: Mapping[str, Scored]) -> Figure:
    """Share of successes among grasps of like quality; on the diagonal q means what it says."""
    figure, axes = chart(5.6, 4.2)
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", linewidth=1)
    for name, scored in splits.items():
        color = SPLIT_COLORS[name]
        mean, share, count = calibration_bins(scored.quality, scored.success).T
        used = count > 0
        error = 1.96 * np.sqrt(share[used] * (1 - share[used]) / count[used])
        label = f"{name}: ECE {expected_calibration_error(scored.quality, scored.success):.3f}"
        axes.errorbar(mean[used], share[used], error, color=color, capsize=2, lw=1.2, label=label)
        size = 8 + 90 * count[used] / count.max()
        axes.scatter(mean[used], share[used], size, color=color, zorder=3)
    return _unit_square(figure, axes, "predicted quality", "share of successes")


def error_histogram(name: str, scored: Scored, positive: bool) -> Figure:
    """|quality − truth| of a split's successes, or of its failures: right of ½ are the errors.

    Truth is 0 or 1, also where the label is a probability: |q − P| over ½ is another thing than a wrong decision.
    """
    figure, axes = chart(5.6, 3.0)
    part = scored.truth == positive
    edges = np.linspace(0, 1, ERROR_BINS + 1)
    count = np.histogram(scored.quality[part], edges)[0]
    if positive:  # mirrored, not 1 − q: ½ itself is said to succeed, which is right here
        count = count[::-1]
    axes.hist(edges[:-1], edges.tolist(), weights=count, color=SPLIT_COLORS[name])
    axes.axvline(0.5, color=FAINT, linestyle=":")
    axes.set(
        xlabel=f"|quality − truth| of {int(part.sum())} {'successes' if positive else 'failures'}",
        ylabel="datapoints",
        xlim=(0, 1),
    )
    axes.grid(axis="y", color=GRID)
    return figure


def error_rates(groups: Sequence[Mapping[str, Any]], label: str) -> Figure:
    """One bar per group, as wide as the group is large."""
    figure, axes = chart(5.6, 3.0)
    n = np.array([g["n"] for g in groups], float)
    right = np.cumsum(n / max(n.sum(), 1))
    axes.bar(
        right - n / n.sum(),
        [g["error_rate"] or 0 for g in groups],
        n / n.sum(),
        align="edge",
        color=COLORS[0],
        edgecolor="white",
        linewidth=0.5 if len(groups) < 100 else 0.0,
    )
    if len(groups) <= 12:
        axes.set_xticks(
            right - n / n.sum() / 2,
            [str(g.get("name") or g.get("object_id", g.get("pose_id"))) for g in groups],
            rotation=25,
        )
    else:
        percent(axes, "x")
    axes.set(xlabel=label, ylabel="error rate", xlim=(0, 1))
    axes.grid(axis="y", color=GRID)
    return figure


def read_history(run_dir: Path) -> dict[str, Float[np.ndarray, "E 2"]]:
    """Epochs and values of everything that training logged per epoch; of a resumed run all parts."""
    values: dict[str, dict[int, float]] = {}
    logs = sorted((run_dir / "logs").glob("version_*"), key=lambda p: int(p.name.split("_")[1]))
    for log in logs:
        if not (log / "metrics.csv").is_file():
            continue  # it was cut off before the first line
        with (log / "metrics.csv").open() as file:
            for line in csv.DictReader(file):
                for name, text in line.items():
                    if text and name.removesuffix("_epoch") != "step":
                        values.setdefault(name.removesuffix("_epoch"), {})[int(line["epoch"])] = (
                            float(text)
                        )
    return {name: np.array(sorted(v.items())) for name, v in values.items()}


def training_losses(history: Mapping[str, np.ndarray]) -> Figure:
    """Mean loss of each epoch; the training batches are noisy, the validation crops are not."""
    lines = {"training": "training_loss", "validation": "validation_loss"}
    return _history(history, lines, "cross-entropy")


def training_errors(
    history: Mapping[str, np.ndarray], chance: Mapping[str, float] | None = None
) -> Figure:
    """Error rate of each epoch; with ``chance``, of each split, as a share of a constant answer's.

    A split whose constant answer never errs has no such share, and no line.
    """
    label = "error rate" if chance is None else "error rate ÷ that of a constant answer"
    lines, errors = {}, {}
    for name in ("training", "validation"):
        column, whole = f"{name}_accuracy", 1.0 if chance is None else chance[name]
        if column in history and whole > 0:
            epoch, accuracy = history[column].T
            lines[name] = column
            errors[column] = np.column_stack([epoch, (1 - accuracy) / whole])
    return _history(errors, lines, label)


def filters(weight: Float[np.ndarray, "F C k k"]) -> Figure:
    """The first convolution's filters: one row of pictures per input channel, each filter scaled by itself."""
    n, channels = weight.shape[:2]
    columns = min(n, 16)
    rows = -(-n // columns) * channels
    with matplotlib.rc_context(STYLE):
        figure = Figure((0.5 * columns, 0.5 * rows), layout="tight")
        grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for i in range(n):
        for c in range(channels):
            image = weight[i, c]
            reach = float(np.abs(image).max()) or 1.0
            axes = grid[(i // columns) * channels + c, i % columns]
            axes.imshow(image, "RdBu_r", vmin=-reach, vmax=reach)
    return figure


def crop_picture(relative: Float[np.ndarray, "S S"]) -> np.ndarray:
    """A crop as grey values (7·S, 7·S) uint8: white is near; the red line's place, the closing axis, is its middle."""
    depth = np.nan_to_num(np.asarray(relative, float), nan=RELATIVE_RANGE)
    grey = np.clip(0.5 - 0.5 * depth / RELATIVE_RANGE, 0, 1)
    return np.kron((255 * grey).astype(np.uint8), np.ones((7, 7), np.uint8))


def _history(history: Mapping[str, np.ndarray], lines: Mapping[str, str], label: str) -> Figure:
    figure, axes = chart(5.6, 3.4)
    for name, column in lines.items():
        if column in history:
            epoch, value = history[column].T
            axes.plot(epoch + 1, value, "o-", ms=4, color=SPLIT_COLORS[name], label=name)
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(color=GRID)
    legend(axes)
    return figure


def _unit_square(figure: Figure, axes: Any, x: str, y: str) -> Figure:
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1.01), ylim=(0, 1.02))
    percent(axes, "x")
    percent(axes, "y")
    axes.grid(color=GRID)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", frameon=False, fontsize=9)
    return figure
