"""Reading back what was written; splits as functions of ids and a seed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antipodal.dataset.store import Dataset, TargetName, split_by_group, write_table
from antipodal.errors import CorruptDataset, InvalidConfig, UnknownAsset
from synthetic_grasps import write_boxes


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(0, 9), min_size=20, max_size=60))
def test_a_split_keeps_groups_together_and_loses_nothing(seed: int, groups: list[int]) -> None:
    ids = np.array([*groups, *range(10)])
    train, validation = split_by_group(ids, seed, 0.8)
    assert not set(ids[train]) & set(ids[validation])
    np.testing.assert_array_equal(np.sort([*train, *validation]), np.arange(len(ids)))
    assert 0 < len(set(ids[train])) < 10


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sets(st.integers(0, 99), min_size=20, max_size=60))
def test_what_one_set_holds_out_another_of_some_of_the_objects_holds_out(
    seed: int, some: set[int]
) -> None:
    """Joined with another hand's data, or without objects that gave nothing, nothing held out is trained on."""
    every, few = np.arange(100), np.array(sorted(some))
    held_out = set(every[split_by_group(every, seed, 0.8)[1]])
    assert set(few[split_by_group(few, seed, 0.8)[1]]) == held_out & some or not held_out & some


def test_the_share_is_met_about_and_few_groups_have_two_sides() -> None:
    train, _ = split_by_group(np.arange(10_000), 5, 0.8)
    assert abs(len(train) - 8000) < 5 * np.sqrt(10_000 * 0.8 * 0.2)
    for seed in range(50):
        for n in (2, 3):
            train, validation = split_by_group(np.arange(n), seed, 0.9)
            assert len(train) + len(validation) == n and min(len(train), len(validation)) == 1


def test_a_split_is_a_function_of_its_seed() -> None:
    ids = np.repeat(np.arange(50), 3)
    again = split_by_group(ids, 3, 0.8)
    np.testing.assert_array_equal(split_by_group(ids, 3, 0.8)[0], again[0])
    assert not np.array_equal(split_by_group(ids, 4, 0.8)[0], again[0])


def test_a_split_with_an_empty_side_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="side would be empty"):
        split_by_group(np.zeros(10, int), 0, 0.8)


def test_no_data_set_is_an_unknown_asset(tmp_path) -> None:
    with pytest.raises(UnknownAsset, match="no data set"):
        Dataset.open(tmp_path)


def test_an_unfinished_data_set_says_how_to_go_on(tmp_path) -> None:
    (tmp_path / "config.json").write_text('{"model": {}}')
    with pytest.raises(CorruptDataset, match="resume"):
        Dataset.open(tmp_path)


def test_counts_that_contradict_the_shards_are_refused(tmp_path, rng: np.random.Generator) -> None:
    made = write_boxes(tmp_path / "set", 30, rng)
    for wrong in (29, 31):
        counts = {"counts": {"n_datapoints": wrong, "n_objects": 10}}
        other = Dataset(made.path, made.manifest | counts)
        with pytest.raises(CorruptDataset, match=f"counts {wrong} datapoints, its shards 30"):
            other.read(["depth"])
        with pytest.raises(CorruptDataset, match=f"counts {wrong} datapoints, its shards 30"):
            other.check()


def test_crops_of_another_size_than_said_are_found(tmp_path, rng: np.random.Generator) -> None:
    made = write_boxes(tmp_path / "set", 30, rng)
    config = made.config | {"crop": made.config["crop"] | {"size": 20}}
    other = Dataset(made.path, made.manifest | {"config": config})
    for use in (other.check, lambda: other.read(["crop"])):
        with pytest.raises(CorruptDataset, match=r"says crops of 20 px, .* holds 1024 pixels each"):
            use()


def test_shards_that_changed_places_are_refused_however_they_are_read(
    tmp_path, rng: np.random.Generator
) -> None:
    made = write_boxes(tmp_path / "set", 31, rng)
    first, second = sorted((made.path / "shards").iterdir())
    whole = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(whole)
    for use in (made.labels, lambda: made.take(["depth"], np.arange(31))):
        with pytest.raises(CorruptDataset, match=r"says 16 datapoints in .*00000.* it holds 15"):
            use()


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize(
    ("column", "target"),
    [("robust_epsilon", "robust"), ("collision_free", "robust"), ("hold_probability", "success")],
)
def test_a_fact_that_is_missing_is_no_failure_to_learn(
    column: str, target: TargetName, missing: float | None, tmp_path, rng: np.random.Generator
) -> None:
    made = write_boxes(tmp_path / "set", 31, rng, n_shards=1)
    execution = Dataset(made.path, made.manifest | {"config": made.config | {"execution": {}}})
    (file,) = (made.path / "shards").iterdir()
    table = pq.read_table(file)
    for name in ("free_share", "hold_probability"):
        table = table.set_column(
            table.schema.get_field_index(name), name, pa.array(np.ones(31, np.float32))
        )
    pq.write_table(table, file)
    assert np.isfinite(execution.targets(target)).all()
    index = table.schema.get_field_index(column)
    kind = table.schema.field(index).type
    if pa.types.is_boolean(kind) and missing is not None:
        return  # a bool is never NaN
    values = table[column].to_pylist()
    values[3] = missing
    pq.write_table(table.set_column(index, column, pa.array(values, kind)), file)
    with pytest.raises(CorruptDataset, match=rf"{column}.*regenerate"):
        execution.targets(target)


def test_a_column_is_its_shards_one_after_the_other(tmp_path, rng: np.random.Generator) -> None:
    made = write_boxes(tmp_path / "set", 31, rng)
    parts = list(made.iterate(["crop", "collision_free"]))
    assert len(parts) == 2
    for name, column in made.read(["crop", "collision_free"]).items():
        np.testing.assert_array_equal(column, np.concatenate([part[name] for part in parts]))


def test_a_column_or_row_that_is_not_there_is_no_damage(tmp_path, rng: np.random.Generator) -> None:
    made = write_boxes(tmp_path / "set", 30, rng)
    some = np.arange(3)
    for read in (
        made.read,
        lambda columns: made.take(columns, some),
        lambda c: next(made.iterate(c)),
    ):
        with pytest.raises(
            InvalidConfig, match=r"no column 'free_shares': expected one of crop, .* free_share,"
        ):
            read(["depth", "free_shares"])
        with pytest.raises(InvalidConfig, match=r"expected a list of names, \['crop'\]"):
            read("crop")
        with pytest.raises(InvalidConfig, match="no columns: expected some of crop"):
            read([])
    for rows, words in (([0, 30], "no row 30: expected 0 to 29"), ([-1], "no row -1")):
        with pytest.raises(InvalidConfig, match=words):
            made.take(["depth"], np.array(rows))
    with pytest.raises(InvalidConfig, match=r"of a mask, np\.flatnonzero"):
        made.take(["depth"], made.labels())
    assert made.take(["depth"], np.array([]))["depth"].shape == (0,)


def test_packing_crops_loses_no_bit(tmp_path, rng: np.random.Generator) -> None:
    """Also where depths are missing, and for every other pattern of bits."""
    bits = rng.integers(0, 2**16, (40, 32 * 32), np.uint16)
    crops = pa.FixedSizeListArray.from_arrays(pa.array(bits.view(np.float16).ravel()), 32 * 32)
    table = pa.table({"crop": crops}, pa.schema([("crop", pa.list_(pa.float16(), 32 * 32))]))
    write_table(table, tmp_path / "crops.parquet")
    back = pq.read_table(tmp_path / "crops.parquet")["crop"].combine_chunks().flatten()
    np.testing.assert_array_equal(back.to_numpy().view(np.uint16), bits.ravel())


def test_a_flipped_byte_of_a_shard_is_not_read_and_shards_without_checksums_are(
    tmp_path, rng: np.random.Generator
) -> None:
    made = write_boxes(tmp_path / "set", 60, rng, n_shards=1)
    (file,) = (made.path / "shards").iterdir()
    whole, table = made.read(["crop"])["crop"], pq.read_table(file)
    content = file.read_bytes()
    first = pq.read_metadata(file).row_group(0).column(table.schema.get_field_index("depth"))
    for place in range(first.dictionary_page_offset + 80, first.dictionary_page_offset + 200, 30):
        file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(CorruptDataset, match=rf"{file.name} is not readable") as e:
            made.read(["depth"])
        assert "\n" not in str(e.value)
    pq.write_table(table, file)
    np.testing.assert_array_equal(made.read(["crop"])["crop"], whole)
