"""Pictures of an evaluation: curves, calibration, errors, and the datapoints behind them. Files only, no windows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .data import GraspTable
from .scores import (
    DECISION,
    area_under_roc,
    average_precision,
    calibration_bins,
    expected_calibration_error,
    threshold_curve,
)

PLOTS = ("precision_recall", "roc", "calibration", "errors", "examples")
"""Names of the PNG files."""
N_EXAMPLES = 8


def write_plots(
    folder: Path,
    quality: Float[np.ndarray, "N"],
    success: Bool[np.ndarray, "N"],
    table: GraspTable,
) -> None:
    """Write the five PNG files into ``folder``."""
    _write(folder / "precision_recall.png", _precision_recall, quality, success)
    _write(folder / "roc.png", _roc, quality, success)
    _write(folder / "calibration.png", _calibration, quality, success)
    _write(folder / "errors.png", _errors, quality, success)
    _examples(folder / "examples.png", quality, success, table)


def _write(
    path: Path,
    draw: Callable[[Axes, np.ndarray, np.ndarray], None],
    quality: np.ndarray,
    success: np.ndarray,
) -> None:
    figure = Figure((4.5, 4.0), layout="constrained")
    draw(figure.add_subplot(), quality, success)
    FigureCanvasAgg(figure).print_png(str(path))


def _precision_recall(axes: Axes, quality: np.ndarray, success: np.ndarray) -> None:
    _, hits, misses = threshold_curve(quality, success)
    if success.any():
        axes.step(hits / success.sum(), hits / (hits + misses), where="post")
    axes.axhline(success.mean(), color="gray", linestyle=":", label="chance")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"average precision {average_precision(quality, success):.3f}")
    axes.legend(loc="lower left")


def _roc(axes: Axes, quality: np.ndarray, success: np.ndarray) -> None:
    _, hits, misses = threshold_curve(quality, success)
    if success.any() and not success.all():
        axes.plot(np.append(0, misses / (~success).sum()), np.append(0, hits / success.sum()))
    axes.plot([0, 1], [0, 1], color="gray", linestyle=":", label="chance")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"area under the curve {area_under_roc(quality, success):.3f}")
    axes.legend(loc="lower right")


def _calibration(axes: Axes, quality: np.ndarray, success: np.ndarray) -> None:
    mean, share, count = calibration_bins(quality, success).T
    used = count > 0
    axes.plot([0, 1], [0, 1], color="gray", linestyle=":", label="perfect")
    error = np.sqrt(share[used] * (1 - share[used]) / count[used])
    axes.errorbar(mean[used], share[used], 1.96 * error, marker="o", capsize=2, label="measured")
    axes.set(xlabel="predicted quality", ylabel="share of successes", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"expected calibration error {expected_calibration_error(quality, success):.3f}")
    axes.legend(loc="upper left")
    beside = axes.twinx()
    edges = np.linspace(0, 1, len(count) + 1)
    beside.bar(edges[:-1], count, np.diff(edges), align="edge", alpha=0.15, color="tab:blue")
    beside.set_ylabel("datapoints per bin")


def _errors(axes: Axes, quality: np.ndarray, success: np.ndarray) -> None:
    bins = np.linspace(0, 1, 51).tolist()
    for label, part in (("successes", success), ("failures", ~success)):
        if part.any():
            error = np.abs(quality[part] - success[part])
            weights = np.full(len(error), 1 / len(error))
            axes.hist(
                error, bins, weights=weights, histtype="step", label=f"{label} ({len(error)})"
            )
    axes.axvline(DECISION, color="gray", linestyle=":")
    axes.set(xlabel="|quality − truth|", ylabel="share of its class", xlim=(0, 1))
    axes.set_title("errors by class")
    axes.legend()


def _examples(path: Path, quality: np.ndarray, success: np.ndarray, table: GraspTable) -> None:
    """Draw the most confident datapoints of each cell of the confusion matrix; white is 3 cm above the grasp."""
    predicted = quality >= DECISION
    cells = (
        ("true +", predicted & success),
        ("false +", predicted & ~success),
        ("false −", ~predicted & success),
        ("true −", ~predicted & ~success),
    )
    figure = Figure((1.3 * N_EXAMPLES, 6.2), layout="constrained")
    grid = figure.subplots(4, N_EXAMPLES)
    confidence = np.abs(quality - DECISION)
    for row, (name, members) in zip(grid, cells, strict=True):
        index = np.flatnonzero(members)
        index = index[np.argsort(-confidence[index], kind="stable")][:N_EXAMPLES]
        for axes in row:
            axes.set_axis_off()
        for axes, i in zip(row, index, strict=False):
            crop = table.relative[i].float().numpy()
            axes.imshow(crop, "gray_r", vmin=-0.03, vmax=0.03)
            middle = (crop.shape[0] - 1) / 2
            axes.plot([0, crop.shape[1] - 1], [middle, middle], color="tab:red", linewidth=0.5)
            axes.set_title(f"{name}  {quality[i]:.2f}", fontsize=8)
    FigureCanvasAgg(figure).print_png(str(path))
