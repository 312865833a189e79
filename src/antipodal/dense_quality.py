"""Fully convolutional networks, ONNX file → OpenVINO on the CPU: Berkeley's of a whole depth image, ours of heights.

As in :mod:`antipodal.quality`, the file answers for itself; normalisation is inside the graph.

    Berkeley's   "image" (1, 1, H, W) float32  absolute depth, m; 0 = missing
                 "depth" (D, 1)       float32  depth of the grasps, m
              →  "quality" (D, A, h, w)        probability of success of each depth, angle and cell
    ours         "height" (1, 1, S, S) float32 a window of heights, strokes (:mod:`antipodal.policy.height_window`)
              →  "log_odds" (1, A · D, S, S)   of success of each angle, tip depth and cell
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .compiled import PerProcess
from .errors import IncompatibleCheckpoint, InvalidImage
from .quality import compile_network, read_network


@dataclass(frozen=True, eq=False)
class DenseQuality:
    """A trained network: (image, depths) → quality of every cell."""

    name: str
    window_px: int
    """Side of the window that one cell sees, px. Cell (r, c) sees rows stride · r to stride · r + window."""
    stride: int
    """Pixels between two cells."""
    n_angles: int
    _compiled: PerProcess[Any]

    @property
    def angles(self) -> Float[np.ndarray, "A"]:
        """Angle of each output channel, rad: bins of π/A in Berkeley's order, downwards from π/2 (reference §8.6)."""
        return np.pi / 2 - (np.arange(self.n_angles) + 0.5) * np.pi / self.n_angles

    def __call__(
        self, depth_image: Float[np.ndarray, "H W"], depths: Float[np.ndarray, "D"]
    ) -> Float[np.ndarray, "D A h w"]:
        """Score every cell at every depth, float32 in [0, 1]; one depth at a time, which bounds the memory.

        Raises:
            InvalidImage: smaller than one window.
        """
        if min(depth_image.shape) < self.window_px:
            raise InvalidImage(
                f"depth image {depth_image.shape[1]}×{depth_image.shape[0]} px: {self.name} needs at least "
                f"{self.window_px} px on each side"
            )
        image = np.ascontiguousarray(depth_image, np.float32)[None, None]
        # an odd size leaves the network a last cell whose window is not whole
        h, w = ((s - self.window_px) // self.stride + 1 for s in depth_image.shape)
        request = self._compiled.here().create_infer_request()
        out = []
        for depth in np.asarray(depths, np.float32):
            answer = request.infer({"image": image, "depth": depth.reshape(1, 1)})
            out.append(np.array(answer["quality"][0, :, :h, :w]))
        return np.stack(out) if out else np.empty((0, self.n_angles, h, w), np.float32)


def load_dense_quality(path: str | Path) -> DenseQuality:
    """Load a fully convolutional network from an ONNX file.

    Raises:
        UnknownAsset: no such file.
        IncompatibleCheckpoint: not such a network; says what it is and what was expected.
    """
    file = read_network(path)
    dense, crop = file.metadata.get("dense"), file.metadata["crop"]
    if not isinstance(dense, dict) or not {"stride", "n_angles"} <= set(dense):
        raise IncompatibleCheckpoint(
            f"{file.name} is a network for crops: expected a fully convolutional one ('dense' in its metadata)"
        )
    expected = {
        "image": "[1,1,?,?]",
        "depth": "[?,1]",
        "quality": f"[?,{dense['n_angles']},1..,1..]",
    }
    compiled = PerProcess(lambda: compile_network(file, expected))
    return DenseQuality(
        Path(file.name).stem,
        int(crop["size"]),
        int(dense["stride"]),
        int(dense["n_angles"]),
        compiled,
    )


class _Window(NamedTuple):
    """The network for windows of one side."""

    compiled: Any
    idle: deque[Any]
    """Requests that no thread uses: two may ask at once."""


@dataclass(frozen=True, eq=False)
class WindowQuality:
    """Our trained network: heights of a window → log-odds of every angle, tip depth and cell."""

    metadata: Mapping[str, Any]
    _windows: PerProcess[Mapping[int, _Window]]
    """For those of each side: shapes never change, nothing is compiled twice."""

    def __call__(
        self, height: Float[np.ndarray, "S S"], cells: Int[np.ndarray, "K 2"]
    ) -> Float[np.ndarray, "A D K"]:
        """Answer for every angle and tip depth at some cells, float32; S is one of :attr:`sides`."""
        side = len(height)
        window = self._windows.here()[side]
        try:
            request = window.idle.pop()
        except IndexError:
            request = window.compiled.create_infer_request()
        request.get_input_tensor().data[0, 0] = height
        request.infer()
        answer = request.get_output_tensor().data[0]
        flat = answer.reshape(len(answer), -1).take(cells[:, 0] * side + cells[:, 1], axis=-1)
        window.idle.append(request)
        n_angles = self.metadata["cells"]["angles"]
        return flat.reshape(n_angles, len(flat) // n_angles, len(cells))

    @property
    def sides(self) -> tuple[int, ...]:
        """Cells along the windows that it is compiled for."""
        return tuple(self.metadata["cells"]["sides"])


@cache
def shipped_window_quality() -> WindowQuality:
    """The network that comes with the package, loaded once in a process."""
    folder = resources.files("antipodal") / "assets" / "models" / "dense"
    return load_window_quality(str(folder / "dense.onnx"))


def load_window_quality(path: str | Path) -> WindowQuality:
    """Load a network of windows of heights from an ONNX file.

    Raises:
        UnknownAsset: no such file.
        IncompatibleCheckpoint: not such a network; says what it is and what was expected.
    """
    file = read_network(path)
    cells = file.metadata.get("cells")
    if not isinstance(cells, dict) or not {"angles", "tip_depths", "sides"} <= set(cells):
        raise IncompatibleCheckpoint(
            f"{file.name} is no network of windows of heights: expected one ('cells' in its metadata)"
        )
    n = cells["angles"] * len(cells["tip_depths"])

    def windows() -> dict[int, _Window]:
        model, made = file.model.clone(), {}
        for side in cells["sides"]:
            model.reshape({"height": [1, 1, side, side]})
            expected = {"height": f"[1,1,{side},{side}]", "log_odds": f"[1,{n},{side},{side}]"}
            made[side] = _Window(compile_network(file._replace(model=model), expected), deque())
        return made

    return WindowQuality(file.metadata, PerProcess(windows))
