"""Datapoints as tensors: one batch, a table in memory, and the statistics that a network normalises with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import CorruptDataset, InvalidConfig


class GraspBatch(NamedTuple):
    """What a network sees, and what it should answer."""

    crop: Float[Tensor, "N 1 S S"]
    """Absolute depth, float32 m; 0 = missing."""
    depth: Float[Tensor, "N 1"]
    """Depth of the grasp, float32 m."""
    success: Float[Tensor, "N"]
    """Probability of success: 0 or 1, or between where the label is soft. Whatever counts asks for > 0.5."""
    hand: Float[Tensor, "N 5"]
    """``antipodal.gripper.TOLD`` of each grasp's hand, float32 m."""


@dataclass(frozen=True, eq=False)
class GraspTable:
    """Datapoints in memory: half precision relative to the grasp, as they are stored."""

    relative: Float[Tensor, "N S S"]
    """Depth minus the grasp's depth, float16 m; NaN = missing."""
    depth: Float[Tensor, "N"]
    """float32 m."""
    success: Float[Tensor, "N"]
    """float32 in [0, 1]."""
    hand: Float[Tensor, "N 5"]
    """float32 m."""

    def __len__(self) -> int:
        return len(self.depth)

    def __getitem__(self, index: Any) -> GraspBatch:
        """Return the batch of these rows; an absolute crop is relative + depth, missing pixels become 0."""
        # numpy, not torch: loaders call this beside a network that trains, and torch would start its threads for it
        depth = self.depth.numpy()[index]
        crop = self.relative.numpy()[index].astype(np.float32)
        crop += depth[..., None, None]
        np.fmax(crop, 0.0, out=crop)
        return GraspBatch(
            torch.from_numpy(crop[..., None, :, :]),
            torch.from_numpy(np.array(depth)[..., None]),
            torch.from_numpy(np.array(self.success.numpy()[index])),
            torch.from_numpy(np.array(self.hand.numpy()[index])),
        )

    def rows(self, index: Int[np.ndarray, "M"]) -> GraspTable:
        """Return some of the rows."""
        i = torch.from_numpy(index)
        return GraspTable(self.relative[i], self.depth[i], self.success[i], self.hand[i])


class Normalisation(NamedTuple):
    """Scalar mean and standard deviation of all pixels and of all grasp depths, m (reference §7.1)."""

    image_mean: float
    image_std: float
    depth_mean: float
    depth_std: float


def grasp_table(
    relative: np.ndarray, depth: np.ndarray, success: np.ndarray, hand: np.ndarray
) -> GraspTable:
    """Build a table from arrays (N, S, S), (N), (N), (N, 5).

    Raises:
        InvalidConfig: shapes that do not fit together, or nothing in them.
    """
    n = len(depth)
    square = relative.ndim == 3 and relative.shape[1] == relative.shape[2]
    if n == 0 or not square or len(relative) != n or success.shape != (n,) or depth.shape != (n,):
        raise InvalidConfig(
            f"crops {relative.shape}, depths {depth.shape}, labels {success.shape}: "
            "expected (N, S, S), (N,), (N,) with N ≥ 1"
        )
    return GraspTable(
        torch.tensor(relative, dtype=torch.float16),
        torch.tensor(depth, dtype=torch.float32),
        torch.tensor(success, dtype=torch.float32),
        torch.tensor(hand, dtype=torch.float32),
    )


def table_batches(table: GraspTable, batch_size: int = 1024) -> Iterator[GraspBatch]:
    """All rows of a table, in order."""
    for start in range(0, len(table), batch_size):
        yield table[start : start + batch_size]


def normalisation(batches: Iterable[GraspBatch]) -> Normalisation:
    """Compute the statistics in one pass, in double precision; missing pixels do not count.

    Raises:
        CorruptDataset: there are no others.
    """
    pixels, depths = _Moments(), _Moments()
    for batch in batches:
        crop = batch.crop.numpy().ravel()
        pixels.add(crop, int(np.count_nonzero(crop)))  # a missing pixel adds 0 to both sums
        depths.add(batch.depth.numpy().ravel(), len(batch.depth))
    if pixels.n == 0:
        raise CorruptDataset(
            f"every pixel of {depths.n} training crops is missing: expected depths; regenerate the data set"
        )
    return Normalisation(*pixels.mean_and_scale(), *depths.mean_and_scale())


class _Moments:
    """Count, sum and sum of squares."""

    def __init__(self) -> None:
        self.n, self.sum, self.squares = 0, 0.0, 0.0

    def add(self, values: Float[np.ndarray, "N"], n: int) -> None:
        self.n += n
        self.sum += float(values.sum(dtype=float))
        self.squares += float(np.einsum("i,i", values, values, dtype=float))

    def mean_and_scale(self) -> tuple[float, float]:
        """The deviation may divide: it is at least 0.1 mm, for data of one depth."""
        mean = self.sum / self.n
        return mean, float(np.sqrt(max(self.squares / self.n - mean**2, 1e-8)))
