"""A data set as tensors in memory, and its batches in an order that depends on the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from ..dataset.schema import SUCCESS_THRESHOLD
from ..dataset.store import Dataset
from ..errors import InvalidConfig


class GraspBatch(NamedTuple):
    """What a network sees, and what it should answer."""

    crop: Float[Tensor, "N 1 S S"]
    """Absolute depth, float32 m; 0 = missing."""
    depth: Float[Tensor, "N 1"]
    """Depth of the grasp, float32 m."""
    success: Float[Tensor, "N"]
    """0 or 1."""


@dataclass(frozen=True, eq=False)
class GraspTable(TorchDataset):
    """Datapoints in memory: half precision relative to the grasp, as they are stored."""

    relative: Float[Tensor, "N S S"]
    """Depth minus the grasp's depth, float16 m; NaN = missing."""
    depth: Float[Tensor, "N"]
    """float32 m."""
    success: Bool[Tensor, "N"]

    def __len__(self) -> int:
        return len(self.depth)

    def __getitem__(self, index: Any) -> GraspBatch:
        """Return the batch of these rows; an absolute crop is relative + depth, missing pixels become 0."""
        depth = self.depth[index]
        crop = self.relative[index].float() + depth[..., None, None]
        return GraspBatch(
            crop.nan_to_num(0.0).clamp_min(0.0).unsqueeze(-3),
            depth.unsqueeze(-1),
            self.success[index].float(),
        )

    def rows(self, index: Int[np.ndarray, "M"]) -> GraspTable:
        """Return some of the rows."""
        i = torch.from_numpy(index)
        return GraspTable(self.relative[i], self.depth[i], self.success[i])


class Normalisation(NamedTuple):
    """Scalar mean and standard deviation of all pixels and of all grasp depths, m (reference §7.1)."""

    image_mean: float
    image_std: float
    depth_mean: float
    depth_std: float


def read_table(dataset: Dataset, threshold: float = SUCCESS_THRESHOLD) -> GraspTable:
    """Read the whole data set; labels are robust ε > ``threshold`` and free of collision."""
    columns = dataset.read(["crop", "depth"])
    return grasp_table(columns["crop"], columns["depth"], dataset.labels(threshold))


def grasp_table(relative: np.ndarray, depth: np.ndarray, success: np.ndarray) -> GraspTable:
    """Build a table from arrays (N, S, S), (N), (N).

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
        torch.tensor(success, dtype=torch.bool),
    )


def normalisation(table: GraspTable, chunk: int = 8192) -> Normalisation:
    """Compute the statistics over every row, in double precision; missing pixels do not count."""
    n = pixel_sum = pixel_squares = 0.0
    for start in range(0, len(table), chunk):
        crop = table[start : start + chunk].crop.double()
        seen = crop > 0
        n += float(seen.sum())
        pixel_sum += float(crop.sum())
        pixel_squares += float(crop.square().sum())
    mean = pixel_sum / n
    depth = table.depth.double()
    return Normalisation(
        mean,
        _scale(pixel_squares / n - mean**2),
        float(depth.mean()),
        _scale(float(depth.var(correction=0))),
    )


def training_batches(table: GraspTable, batch_size: int, seed: int) -> DataLoader:
    """Batches in an order drawn anew for each epoch; Lightning tells the sampler which one.

    The last, incomplete batch is left out, so that every step has the same size, unless it is the only one.
    """
    return DataLoader(table, batch_size=None, sampler=EpochBatches(len(table), batch_size, seed))


def ordered_batches(table: GraspTable, batch_size: int = 1024) -> DataLoader:
    """All rows, in order."""
    return DataLoader(table, batch_size=None, sampler=EpochBatches(len(table), batch_size, None))


class EpochBatches(Sampler):
    """Index lists of one epoch. Resuming at epoch k gives the order that an uninterrupted run has there."""

    def __init__(self, n: int, batch_size: int, seed: int | None) -> None:
        if batch_size < 1:
            raise InvalidConfig(f"batch_size {batch_size}: expected at least 1")
        self.n, self.batch_size, self.seed, self.epoch = n, min(batch_size, n), seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n // self.batch_size if self.seed is not None else -(-self.n // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        order = np.arange(self.n)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n)
        for k in range(len(self)):
            yield torch.from_numpy(order[k * self.batch_size : (k + 1) * self.batch_size])


def _scale(variance: float) -> float:
    """A standard deviation that may divide: at least 0.1 mm, for data of one depth."""
    return float(np.sqrt(max(variance, 1e-8)))
