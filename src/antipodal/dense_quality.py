"""A fully convolutional network as a function of a whole depth image: ONNX file → OpenVINO on the CPU.

As in :mod:`antipodal.quality`, the file answers for itself; normalisation is inside the graph.

    inputs   "image" (1, 1, H, W) float32  absolute depth, m; 0 = missing
             "depth" (D, 1)       float32  depth of the grasps, m
    output   "quality" (D, A, h, w)        probability of success of each depth, angle and cell
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

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
    gripper: str
    metadata: Mapping[str, Any]
    _compiled: Any

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
        request = self._compiled.create_infer_request()
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
    compiled = compile_network(file, expected)
    return DenseQuality(
        Path(file.name).stem,
        int(crop["size"]),
        int(dense["stride"]),
        int(dense["n_angles"]),
        str(file.metadata["gripper"]),
        file.metadata,
        compiled,
    )
