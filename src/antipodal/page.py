"""What every HTML report shares: one style sheet, charts as SVG text, pictures inside the file. It opens offline."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape
from importlib import resources
from string import Template
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
COLORS = (
    "#0b6e99", "#d9480f", "#2b8a3e", "#9c36b5", "#c79100", "#1098ad", "#c2255c", "#5c677d",
    "#364fc7", "#74b816", "#a0522d", "#343a40",
)  # fmt: skip
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "antipodal",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
}


def fill(template: str, **fields: str) -> str:
    """Fill a page of assets/report; ``$style`` is the style sheet."""
    folder = resources.files("antipodal") / "assets" / "report"
    page = Template((folder / template).read_text(encoding="utf-8"))
    return page.substitute(style=(folder / "style.css").read_text(encoding="utf-8"), **fields)


def cards(said: Iterable[tuple[str, str]]) -> str:
    """The large numbers at the top: (number, what it is)."""
    return "".join(f'<div class="card"><b>{big}</b><span>{what}</span></div>' for big, what in said)


def picture(png: bytes, alt: str) -> str:
    """An <img> that holds its own bytes."""
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def chart(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty chart in the house style, inches."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def percent(axes: Axes, which: str) -> None:
    """Ticks from 0 % to 100 % on the axis "x" or "y"."""
    ticks = np.linspace(0, 1, 6)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(ticks, [f"{100 * t:.0f} %" for t in ticks])


def legend(axes: Axes) -> None:
    """A legend at the right, if there is anything to explain."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9, handlelength=1.4
        )  # fmt: skip


def svg(figure: Figure) -> str:
    """The figure as an <svg> element, without the XML head."""
    out = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    out = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
