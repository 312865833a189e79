"""Datapoints from the disk to the network: bounded memory, read in the background, in an order that is repeatable.

    shards ──readers──▶ pool k + 1          (threads: unpacking releases the interpreter's lock)
                        pool k ──order──▶ batch n + 1, made by one thread ──▶ batch n, at the network

A *pool* holds the rows of several shards, and rows are shuffled within it. What fits in the memory allowed is one pool,
read once and kept; otherwise each epoch draws the shards in another order and fills two pools of half the size in turn.
The order is a function of (seed, epoch, rows, memory allowed), never of the threads or of their speed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from ..dataset.store import Dataset
from ..errors import CorruptDataset, InvalidConfig
from .data import GraspBatch, GraspTable

FIRST_POOL = 1 / 8
"""An epoch's first pool is this much of a full one, and the next ones double: training starts soon."""
GIBIBYTE = 2**30


@dataclass(frozen=True)
class Loading:
    """How datapoints come from the disk."""

    memory: float = 4.0
    """GiB that crops may take, training and validation together; beside it each reader holds one shard."""
    positive_weight: float = 0.0
    """Resampling by class in each epoch (reference §7.5): w > 1 draws 1/w of the failures, 0 < w < 1 draws w of the
    successes, 0 takes everything, as the paper's networks were trained."""

    def __post_init__(self) -> None:
        if not self.memory > 0:
            raise InvalidConfig(f"loading memory {self.memory} GiB: expected more than 0")
        if not 0 <= self.positive_weight < np.inf:
            raise InvalidConfig(
                f"positive_weight {self.positive_weight}: expected 0 (off) or a positive number"
            )


class Part(NamedTuple):
    """This process' share of every batch, where several train together: rows rank, rank + size, …"""

    rank: int = 0
    size: int = 1


class GraspRows:
    """Some rows of a data set, with their labels; crops are read when they are asked for."""

    def __init__(
        self,
        dataset: Dataset,
        rows: Int[np.ndarray, "M"],
        success: Float[np.ndarray, "N"],
        max_bytes: float = 4 * GIBIBYTE,
        n_threads: int = 2,
    ) -> None:
        """Choose rows.

        Args:
            dataset: where from.
            rows: numbers of rows, rising.
            success: the label of every row of the data set.
            max_bytes: that crops may take.
            n_threads: readers; they decide nothing but the speed.
        """
        if len(rows) == 0 or len(success) != len(dataset):
            raise InvalidConfig(
                f"{len(rows)} rows, {len(success)} labels of {len(dataset)} datapoints: expected ≥ 1 row and all labels"
            )
        self.dataset, self.rows, self.success = dataset, rows, np.asarray(success, np.float32)
        self.hands = dataset.hands()
        self.max_bytes, self.n_threads = max_bytes, n_threads
        sizes = [shard["n_datapoints"] for shard in dataset.manifest["shards"]]
        self._first = np.concatenate([[0], np.cumsum(sizes)])
        self._kept: GraspTable | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_bytes(self) -> int:
        """That all rows take in memory."""
        return len(self) * (2 * self.dataset.crop_size**2 + 28)

    @property
    def fits(self) -> bool:
        """Everything may be kept."""
        return self.n_bytes <= self.max_bytes

    def table(self, rows: Int[np.ndarray, "K"]) -> GraspTable:
        """Read rows of the data set into memory, in the order given."""
        order = np.argsort(rows, kind="stable")
        with ThreadPoolExecutor(self.n_threads) as readers:
            return self.start(rows[order], readers).table().rows(np.argsort(order))

    def start(self, rows: Int[np.ndarray, "K"], readers: ThreadPoolExecutor) -> Reading:
        """Begin to read rows in the background; each run of rows from one shard is one reading of it."""
        size = self.dataset.crop_size
        relative = np.empty((len(rows), size, size), np.float16)
        depth = np.empty(len(rows), np.float32)

        def fill(shard: int, places: slice) -> None:
            (part,) = self.dataset.iterate(["crop", "depth"], [shard])
            local = rows[places] - self._first[shard]
            np.take(part["crop"], local, axis=0, out=relative[places])
            np.take(part["depth"], local, out=depth[places])
            file = self.dataset.path / self.dataset.manifest["shards"][shard]["file"]
            _expect_finite(relative[places], depth[places], file)

        owner = self.shard_of(rows)
        ends = np.concatenate([[0], np.flatnonzero(np.diff(owner)) + 1, [len(rows)]])
        tasks = [
            readers.submit(fill, int(owner[begin]), slice(begin, end))
            for begin, end in itertools.pairwise(ends.tolist())
        ]
        columns = (relative, depth, self.success[rows], self.hands[rows])
        return Reading(GraspTable(*map(torch.from_numpy, columns)), tasks)

    def kept(self) -> GraspTable:
        """All rows, read once."""
        if self._kept is None:
            with ThreadPoolExecutor(self.n_threads) as readers:
                self._kept = self.start(self.rows, readers).table()
        return self._kept

    def shard_of(self, rows: Int[np.ndarray, "K"]) -> Int[np.ndarray, "K"]:
        """Number of the shard that holds each row."""
        return np.searchsorted(self._first, rows, side="right") - 1


class Reading(NamedTuple):
    """A pool being filled."""

    destination: GraspTable
    tasks: list[Future[None]]

    def table(self) -> GraspTable:
        """Wait until it is full."""
        for task in self.tasks:
            task.result()
        return self.destination


class GraspStream:
    """Batches of rows, epoch after epoch. Lightning sets the epoch and iterates.

    With a seed, the last, incomplete batch of an epoch is left out, so that every step has the same size, unless it is
    the only one. Without one, all rows come in order.
    """

    batch_sampler = None  # Lightning asks for one where there is a sampler

    def __init__(
        self,
        source: GraspRows,
        batch_size: int,
        seed: int | None = None,
        positive_weight: float = 0.0,
        part: Part | None = None,
    ) -> None:
        if batch_size < 1:
            raise InvalidConfig(f"batch_size {batch_size}: expected at least 1")
        self.source, self.seed, self.part, self.epoch = source, seed, part or Part(), 0
        self.positive_weight = positive_weight
        self.seconds_waited = 0.0
        """That whoever iterates has waited for data, so far."""
        self._taken = self._passed = 0
        self.n_per_epoch = len(self._drawn(0))
        """Rows that an epoch draws."""
        self.batch_size = min(batch_size, self.n_per_epoch)

    @property
    def sampler(self) -> GraspStream:
        """Lightning looks here for ``set_epoch``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch; takes effect with the first batch."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """How many batches of this epoch have been taken; Lightning keeps it with a checkpoint, …"""
        return {"taken": self._taken}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """… and gives it back before it goes on within an epoch: so many are passed over, once."""
        self._passed = state["taken"]

    def __len__(self) -> int:
        whole, rest = divmod(self.n_per_epoch, self.batch_size)
        return whole + (self.seed is None and rest > 0)

    def __iter__(self) -> Iterator[GraspBatch]:
        batches = self._batches(self.epoch)
        self._taken, self._passed = self._passed, 0
        for _ in range(self._taken):
            next(batches)
        maker = ThreadPoolExecutor(1)
        try:
            ahead = maker.submit(next, batches, None)
            while True:
                start = time.perf_counter()
                batch = ahead.result()
                self.seconds_waited += time.perf_counter() - start
                if batch is None:
                    return
                ahead = maker.submit(next, batches, None)
                self._taken += 1
                yield batch
        finally:  # also of an epoch that is broken off
            maker.shutdown(cancel_futures=True)
            batches.close()

    def _batches(self, epoch: int) -> Generator[GraspBatch, None, None]:
        rest: list[GraspTable] = []
        for pool, order in self._pools(epoch):
            start, taken = 0, self.batch_size - sum(map(len, rest))
            while start + taken <= len(order):
                yield self._batch([*rest, pool.rows(order[start : start + taken])])
                start, taken, rest = start + taken, self.batch_size, []
            if start < len(order):
                rest = [*rest, pool.rows(order[start:])]
            del pool  # before the next one is asked for: two at a time
        if rest and self.seed is None:
            yield self._batch(rest)

    def _batch(self, parts: list[GraspTable]) -> GraspBatch:
        table = parts[0] if len(parts) == 1 else _joined(parts)
        return table[self.part.rank :: self.part.size]

    def _pools(self, epoch: int) -> Iterator[tuple[GraspTable, Int[np.ndarray, "K"]]]:
        """Tables, and the order in which to take their rows."""
        source, drawn = self.source, self._drawn(epoch)
        rng = None if self.seed is None else np.random.default_rng([self.seed, epoch])
        if source.fits:
            order = np.searchsorted(source.rows, drawn)
            yield source.kept(), order if rng is None else rng.permutation(order)
            return
        readers = ThreadPoolExecutor(source.n_threads)
        try:
            ahead: Reading | None = None
            for rows in [*self._plan(drawn, rng), None]:
                following = None if rows is None else source.start(rows, readers)
                if ahead is not None:
                    table = ahead.table()
                    order = np.arange(len(table))
                    yield table, order if rng is None else rng.permutation(order)
                    del table
                ahead = following
        finally:
            readers.shutdown(cancel_futures=True)

    def _plan(
        self, drawn: Int[np.ndarray, "K"], rng: np.random.Generator | None
    ) -> list[Int[np.ndarray, "P"]]:
        """Divide the rows into pools of whole shards, two of which fit in memory; a shard is never divided."""
        owner = self.source.shard_of(drawn)
        shards, first, n = np.unique(owner, return_index=True, return_counts=True)
        turn = np.arange(len(shards)) if rng is None else rng.permutation(len(shards))
        row_bytes = self.source.n_bytes / len(self.source)
        full = max(1, int(self.source.max_bytes / 2 / row_bytes))
        limit, pools, held = max(1, int(FIRST_POOL * full)), [], []
        for k in turn:
            if held and sum(map(len, held)) + n[k] > limit:
                pools.append(np.concatenate(held))
                held, limit = [], min(full, 2 * limit)
            held.append(drawn[first[k] : first[k] + n[k]])
        return [*pools, np.concatenate(held)]

    def _drawn(self, epoch: int) -> Int[np.ndarray, "K"]:
        """The rows of one epoch: all, or those that resampling by class leaves; always as many."""
        rows, w = self.source.rows, self.positive_weight
        if self.seed is None or w in (0.0, 1.0):
            return rows
        thinned = (self.source.success[rows] > 0.5) == (w < 1)
        n_kept = round(thinned.sum() * min(w, 1 / w))
        rng = np.random.default_rng([self.seed, epoch, 1])
        chosen = rng.choice(np.flatnonzero(thinned), n_kept, replace=False)
        drawn = rows[np.sort(np.concatenate([np.flatnonzero(~thinned), chosen]))]
        if len(drawn) == 0:
            raise InvalidConfig(f"positive_weight {w} leaves no datapoint of {len(rows)}")
        return drawn


def _joined(parts: list[GraspTable]) -> GraspTable:
    columns = zip(*((p.relative, p.depth, p.success, p.hand) for p in parts), strict=True)
    return GraspTable(*(torch.cat(column) for column in columns))


def _expect_finite(relative: np.ndarray, depth: np.ndarray, file: Path) -> None:
    # by their bits: np.isinf of float16 takes half as long as reading it. A sign, five ones, ten zeros are infinity
    if (relative.view(np.uint16) << 1 == 0xF800).any() or not np.isfinite(depth).all():
        raise CorruptDataset(
            f"{file} holds depths that are not finite: expected metres, and NaN where a crop's pixel is missing; "
            "restore or regenerate"
        )
