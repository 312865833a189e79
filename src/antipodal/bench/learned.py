"""The paper's learned baselines: a random forest on raw pixels, and a support vector machine on HOG [Mahler17, §VI-C].

* ML-RF: 200 trees, at most 10 deep, on the aligned crop and the grasp's depth, all pixels standardised by one mean and
  one deviation.
* ML-SVM: RBF kernel, C = 1, on the crop's histogram of oriented gradients [Dalal05] and the grasp's depth.

scikit-learn trains them; what is kept are their numbers, as plain arrays in one ``.npz``, and :class:`LearnedQuality`
evaluates those with numpy. A pickle would run code when it is opened and would bind to one release of scikit-learn.

Deviation: the crop is taken relative to the grasp's depth, and the grasp's depth from the crop's farthest pixel. The
paper's cameras all stood 0.65–0.75 m from the table, so that absolute depths meant the same; ours do not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..camera import DepthImage
from ..crop import CropConfig, crop_grasps
from ..errors import IncompatibleCheckpoint, UnknownAsset
from ..files import writing
from ..grasp import PlanarGrasp
from ..values import config_from_dict

SCHEMA = 1
"""Of the ``.npz``; raised when an array changes its meaning."""
CELL = 4
"""Side of a HOG cell, px: 8 × 8 cells in a crop of 32."""
N_ORIENTATIONS = 9
"""Unsigned gradient directions, 20° each."""
CLIP = 0.2
"""A block's entries are clipped here after normalisation, and normalised again (L2-Hys)."""
GRADIENT_FLOOR = 0.5
"""Added to a block's norm, m: depth has a scale, and a bare table's noise should not look like an edge."""
KINDS = ("forest", "svm")
"""Baselines that a file can hold."""


@dataclass(frozen=True, eq=False)
class LearnedQuality:
    """A trained baseline. Calling it is a :data:`antipodal.policy.base.QualityFn`."""

    kind: str
    """``forest`` or ``svm``."""
    crop: CropConfig
    arrays: Mapping[str, np.ndarray]
    """Its numbers; see :mod:`antipodal.bench.learning`."""
    metadata: Mapping[str, Any]
    """How it was trained, and its scores."""

    def __call__(self, image: DepthImage, grasps: PlanarGrasp) -> Float[np.ndarray, "N"]:
        """Return each grasp's predicted probability of success. Missing pixels are filled first, as in the paper."""
        if len(grasps) == 0:
            return np.empty(0)
        crops = crop_grasps(image.inpaint(), grasps, self.crop)
        relative = np.where(crops > 0, crops - grasps.depth[:, None, None], np.nan)
        return self.score(relative)

    def score(self, relative: Float[np.ndarray, "N S S"]) -> Float[np.ndarray, "N"]:
        """Score crops: depth minus the grasp's depth, m; NaN = missing."""
        x = features(self.kind, relative, self.arrays["scale"])
        predict = forest_probability if self.kind == "forest" else svm_probability
        return predict(self.arrays, x)


def features(
    kind: str, relative: Float[np.ndarray, "N S S"], scale: Float[np.ndarray, "4"]
) -> Float[np.ndarray, "N D"]:
    """Return what a baseline looks at, float32: pixels or their HOG, and how far the grasp is above the farthest pixel.

    Args:
        kind: of :data:`KINDS`.
        relative: crops, m; a missing pixel counts as the farthest of its crop.
        scale: mean and deviation of all pixels, mean and deviation of all heights, m.
    """
    filled = fill_farthest(relative)
    height = (filled.max((1, 2)) - np.float32(scale[2])) / np.float32(scale[3])
    if kind == "svm":
        return np.concatenate([hog(filled), height[:, None]], 1)
    pixels = (filled - np.float32(scale[0])) / np.float32(scale[1])
    return np.concatenate([pixels.reshape(len(filled), -1), height[:, None]], 1)


def fill_farthest(relative: Float[np.ndarray, "N S S"]) -> Float[np.ndarray, "N S S"]:
    """Return float32 crops whose NaN are replaced by the crop's largest value, 0 where all are missing."""
    values = np.asarray(relative, np.float32)
    known = np.isfinite(values)
    farthest = np.where(known, values, -np.inf).max((1, 2), initial=-np.inf)
    farthest = np.where(np.isfinite(farthest), farthest, 0.0).astype(np.float32)
    return np.where(known, values, farthest[:, None, None])


def hog(images: Float[np.ndarray, "N S S"]) -> Float[np.ndarray, "N D"]:
    """Return histograms of oriented gradients [Dalal05]: unsigned, blocks of 2 × 2 cells, L2-Hys.

    A pixel votes with its gradient's magnitude for the two orientations nearest to its own; cells do not share pixels.
    S is a multiple of :data:`CELL`.
    """
    n, n_cells = len(images), images.shape[1] // CELL
    dv, du = np.gradient(np.asarray(images, np.float32), axis=(1, 2))
    magnitude = np.hypot(du, dv)
    turn = np.arctan2(dv, du) / np.pi * N_ORIENTATIONS
    low = np.floor(turn)
    share = turn - low
    cells = np.zeros((n, n_cells, n_cells, N_ORIENTATIONS), np.float32)
    for offset, weight in ((0, 1 - share), (1, share)):
        orientation = (low + offset).astype(np.int64) % N_ORIENTATIONS
        for k in range(N_ORIENTATIONS):
            vote = np.where(orientation == k, magnitude * weight, 0.0)
            cells[..., k] += vote.reshape(n, n_cells, CELL, n_cells, CELL).sum((2, 4))
    blocks = np.concatenate(
        [cells[:, :-1, :-1], cells[:, :-1, 1:], cells[:, 1:, :-1], cells[:, 1:, 1:]], -1
    )
    blocks = np.minimum(
        blocks / (np.linalg.norm(blocks, axis=-1, keepdims=True) + GRADIENT_FLOOR), CLIP
    )
    blocks = blocks / (np.linalg.norm(blocks, axis=-1, keepdims=True) + GRADIENT_FLOOR)
    return blocks.reshape(n, -1)


def forest_probability(
    arrays: Mapping[str, np.ndarray], x: Float[np.ndarray, "N D"]
) -> Float[np.ndarray, "N"]:
    """Mean over the trees of the share of successes in the leaf that a datapoint falls into.

    The trees lie one after another: ``root`` (T) is each one's first node; ``left``, ``right`` are −1 in a leaf.
    """
    left, right = arrays["left"], arrays["right"]
    feature, threshold = arrays["feature"], arrays["threshold"]
    node = np.broadcast_to(arrays["root"], (len(x), len(arrays["root"]))).copy()
    rows = np.arange(len(x))[:, None]
    while (inner := left[node] >= 0).any():
        below = x[rows, np.where(inner, feature[node], 0)] <= threshold[node]
        node = np.where(inner, np.where(below, left[node], right[node]), node)
    return arrays["value"][node].mean(1, dtype=np.float64)


def svm_probability(
    arrays: Mapping[str, np.ndarray], x: Float[np.ndarray, "N D"]
) -> Float[np.ndarray, "N"]:
    """σ(a f + b) with f = Σ_i α_i exp(−γ ‖x − x_i‖²) + c: the machine's margin and Platt's line [Platt99]."""
    slope, intercept = arrays["platt"]
    return 1.0 / (1.0 + np.exp(-(slope * svm_margin(arrays, x) + intercept)))


def svm_margin(
    arrays: Mapping[str, np.ndarray], x: Float[np.ndarray, "N D"]
) -> Float[np.ndarray, "N"]:
    """Signed distance from the decision in units of the margin: f of :func:`svm_probability`."""
    vectors = arrays["vectors"]
    gamma, constant = arrays["kernel"]
    square = (x**2).sum(1)[:, None] + (vectors**2).sum(1) - 2 * (x @ vectors.T)
    return np.exp(-gamma * np.maximum(square, 0)) @ arrays["dual"] + constant


def save_learned(quality: LearnedQuality, path: str | Path) -> None:
    """Write a baseline as ``.npz``, whole or not at all."""
    path = Path(path)
    header: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": quality.kind,
        "crop": vars(quality.crop),
        "training": dict(quality.metadata),
    }
    arrays: dict[str, Any] = {"header": np.array(json.dumps(header)), **quality.arrays}
    with writing(path) as file:
        np.savez_compressed(file, **arrays)


def load_learned(path: str | Path) -> LearnedQuality:
    """Read a baseline that :func:`save_learned` wrote. Nothing in the file is executed.

    Raises:
        UnknownAsset: no such file.
        IncompatibleCheckpoint: not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise UnknownAsset(f"no model in {path}: expected an .npz that runs/baselines.sh made")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        schema, kind = header["schema"], header["kind"]
        crop = config_from_dict(CropConfig, header["crop"], f"{path}: crop")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise IncompatibleCheckpoint(
            f"{path} is not a baseline of ours: expected an .npz that runs/baselines.sh made"
        ) from error
    if schema != SCHEMA or kind not in KINDS:
        raise IncompatibleCheckpoint(
            f"{path} holds a {kind} of schema {schema}: expected {' or '.join(KINDS)} of schema {SCHEMA}; "
            "train it again"
        )
    return LearnedQuality(kind, crop, arrays, header["training"])
