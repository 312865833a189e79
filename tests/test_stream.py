"""Datapoints from the disk: every row once, in an order that nothing but seed and epoch decides, in bounded memory."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from antipodal.dataset.store import Dataset
from antipodal.errors import CorruptDataset, InvalidConfig
from antipodal.nn.data import GraspBatch, normalisation, table_batches
from antipodal.nn.stream import GraspRows, GraspStream, Loading, Part
from synthetic_grasps import whole_table, write_boxes

pytestmark = pytest.mark.usefixtures("one_thread")
N, N_SHARDS = 1200, 12


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "boxes"
    return write_boxes(folder, N, np.random.default_rng(5), n_shards=N_SHARDS)


ROW_BYTES = 2 * 32 * 32 + 8
EVERYTHING, THREE_SHARDS = float(N * ROW_BYTES), 6.0 * N / N_SHARDS * ROW_BYTES


def source(dataset: Dataset, max_bytes: float = EVERYTHING, n_threads: int = 2) -> GraspRows:
    rows, _ = dataset.split("object_wise", 3)
    return GraspRows(dataset, rows, dataset.labels().astype(np.float32), max_bytes, n_threads)


def depths(batches: list[GraspBatch]) -> list[float]:
    return torch.cat([b.depth[:, 0] for b in batches]).tolist()


@pytest.mark.parametrize("max_bytes", [EVERYTHING, THREE_SHARDS], ids=["kept", "streamed"])
def test_an_epoch_has_every_row_once_with_its_own_label(dataset: Dataset, max_bytes: float) -> None:
    rows = source(dataset, max_bytes)
    assert rows.fits == (max_bytes == EVERYTHING)
    stream = GraspStream(rows, 30, seed=1)
    batches = list(stream)
    assert len(rows.rows) % 30 == 0
    assert len(batches) == len(stream) == len(rows.rows) // 30
    assert {b.crop.shape for b in batches} == {(30, 1, 32, 32)}
    whole = whole_table(dataset)
    place = {depth: i for i, depth in enumerate(whole.depth.tolist())}
    found = np.array([place[d] for d in depths(batches)])
    np.testing.assert_array_equal(np.sort(found), rows.rows)
    want = whole[found]
    torch.testing.assert_close(torch.cat([b.crop for b in batches]), want.crop)
    torch.testing.assert_close(torch.cat([b.success for b in batches]), want.success)


@pytest.mark.parametrize("max_bytes", [EVERYTHING, THREE_SHARDS], ids=["kept", "streamed"])
def test_order_is_a_function_of_seed_and_epoch_whatever_the_threads(
    dataset: Dataset, max_bytes: float
) -> None:
    def epoch(k: int, seed: int, n_threads: int) -> list[float]:
        stream = GraspStream(source(dataset, max_bytes, n_threads), 32, seed)
        stream.set_epoch(k)
        return depths(list(stream))

    first = epoch(0, 7, 1)
    assert first == epoch(0, 7, 5)
    # a run that resumes at epoch 2 sees what an uninterrupted one sees there
    straight = GraspStream(source(dataset, max_bytes), 32, seed=7)
    for k in range(3):
        straight.set_epoch(k)
        last = depths(list(straight))
    assert last == epoch(2, 7, 2)
    assert first != last and first != epoch(0, 8, 1)


def test_a_streamed_batch_mixes_shards(dataset: Dataset) -> None:
    rows = source(dataset, THREE_SHARDS)
    whole = whole_table(dataset)
    place = {depth: i for i, depth in enumerate(whole.depth.tolist())}
    batches = list(GraspStream(rows, 32, seed=0))
    shards = [len({place[d] * N_SHARDS // N for d in depths([b])}) for b in batches]
    assert np.mean(shards) > 2 and max(shards) >= 3


def test_without_a_seed_rows_come_in_order_to_the_last(dataset: Dataset) -> None:
    for max_bytes in (EVERYTHING, THREE_SHARDS):
        stream = GraspStream(source(dataset, max_bytes), 100)
        batches = list(stream)
        n_whole, rest = divmod(len(source(dataset).rows), 100)
        assert rest > 0
        assert [len(b.depth) for b in batches] == [100] * n_whole + [rest]
        assert len(stream) == n_whole + 1
        want = whole_table(dataset).depth[torch.from_numpy(source(dataset).rows)]
        assert depths(batches) == want.tolist()


def test_streaming_holds_two_pools_and_no_more(tmp_path: Path) -> None:
    big = write_boxes(tmp_path / "big", 12_000, np.random.default_rng(5), n_shards=40)
    success = big.labels().astype(np.float32)
    max_bytes = 4_000_000.0  # of 24.7 MB
    rows = GraspRows(big, np.arange(len(big)), success, max_bytes, n_threads=1)
    tracemalloc.start()
    n = sum(len(b.depth) for b in GraspStream(rows, 64, seed=0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n == 11_968
    # beside the pools: batches in float32 (0.26 MB each), and one shard's table (Arrow's own memory is not traced)
    assert peak < max_bytes + 2_000_000


def test_devices_share_each_batch(dataset: Dataset) -> None:
    rows = source(dataset, THREE_SHARDS)
    whole = list(GraspStream(rows, 40, seed=2))
    parts = [list(GraspStream(rows, 40, seed=2, part=Part(rank, 4))) for rank in range(4)]
    assert {len(p) for p in parts} == {len(whole)}
    for k, batch in enumerate(whole):
        for rank in range(4):
            assert torch.equal(parts[rank][k].depth, batch.depth[rank::4])


@pytest.mark.parametrize("max_bytes", [EVERYTHING, THREE_SHARDS], ids=["kept", "streamed"])
def test_resampling_draws_a_share_of_one_class_anew_each_epoch(
    dataset: Dataset, max_bytes: float
) -> None:
    rows = source(dataset, max_bytes)
    n_positive = int(rows.success[rows.rows].sum())
    n_negative = len(rows) - n_positive
    for weight, kept_positive, kept_negative in (
        (4.0, n_positive, round(n_negative / 4)),
        (0.5, round(n_positive / 2), n_negative),
        (1.0, n_positive, n_negative),
    ):
        stream = GraspStream(rows, 1, seed=0, positive_weight=weight)
        batches = list(stream)
        success = torch.cat([b.success for b in batches])
        assert int(success.sum()) == kept_positive
        assert len(success) == kept_positive + kept_negative == stream.n_per_epoch
        stream.set_epoch(1)
        again = list(stream)
        assert weight == 1.0 or set(depths(again)) != set(depths(batches))


def test_statistics_of_a_stream_are_those_of_the_table(dataset: Dataset) -> None:
    want = normalisation(table_batches(whole_table(dataset)))
    labels = dataset.labels().astype(np.float32)
    rows = GraspRows(dataset, np.arange(N), labels, THREE_SHARDS)
    assert normalisation(GraspStream(rows, 77)) == pytest.approx(want, rel=1e-12)


def test_an_epoch_that_is_broken_off_leaves_no_thread(dataset: Dataset) -> None:
    before = threading.active_count()
    batches = iter(GraspStream(source(dataset, THREE_SHARDS), 32, seed=0))
    next(batches)
    assert threading.active_count() > before
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_rows_by_number_come_in_the_order_asked_for(dataset: Dataset) -> None:
    rows = np.array([1100, 3, 700, 4])
    got = source(dataset).table(rows)
    assert got.depth.tolist() == whole_table(dataset).depth[torch.from_numpy(rows)].tolist()


def test_a_spoilt_shard_is_named(tmp_path: Path) -> None:
    spoilt = write_boxes(tmp_path / "boxes", 100, np.random.default_rng(0))
    success = np.zeros(100, np.float32)
    (tmp_path / "boxes" / "shards" / "part-00001.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CorruptDataset, match="part-00001"):
        list(GraspStream(GraspRows(spoilt, np.arange(100), success), 10, seed=0))


@pytest.mark.parametrize(
    ("column", "value"), [("crop", np.inf), ("crop", -np.inf), ("depth", np.nan)]
)
def test_depths_that_are_not_finite_are_refused_by_the_name_of_their_shard(
    tmp_path: Path, column: str, value: float
) -> None:
    spoilt = write_boxes(tmp_path / "boxes", 100, np.random.default_rng(0))
    file = tmp_path / "boxes" / "shards" / "part-00001.parquet"
    table = pq.read_table(file)
    k = table.schema.get_field_index(column)
    values = table[column].combine_chunks()
    flat = (values.flatten() if column == "crop" else values).to_numpy().copy()
    flat[7] = value
    flat = pa.array(flat)
    changed = pa.FixedSizeListArray.from_arrays(flat, 32 * 32) if column == "crop" else flat
    pq.write_table(table.set_column(k, table.schema.field(k), changed), file)
    source = GraspRows(spoilt, np.arange(100), np.zeros(100, np.float32))
    with pytest.raises(CorruptDataset, match=r"part-00001.parquet holds depths .* not finite"):
        list(GraspStream(source, 10, seed=0))


def test_impossible_loading_is_refused(dataset: Dataset) -> None:
    with pytest.raises(InvalidConfig, match="memory 0"):
        Loading(memory=0)
    with pytest.raises(InvalidConfig, match="positive_weight -1"):
        Loading(positive_weight=-1)
    with pytest.raises(InvalidConfig, match="batch_size 0"):
        GraspStream(source(dataset), 0)
    with pytest.raises(InvalidConfig, match="0 rows"):
        GraspRows(dataset, np.arange(0), dataset.labels().astype(np.float32))
