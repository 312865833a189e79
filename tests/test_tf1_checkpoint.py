"""TensorFlow checkpoints without TensorFlow: checksums in closed form, damage refused, TensorFlow's own files read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from antipodal.errors import AntipodalError, IncompatibleCheckpoint, UnknownAsset
from antipodal.nn.tf1_checkpoint import crc32c, read_checkpoint, unmasked
from tf1_writer import write_checkpoint

TENSORS = {
    "scope/a_weights": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "scope/a_weights_too": np.linspace(0, 1, 200),  # shares a prefix: the keys are compressed
    "b": np.array([-3, 5], np.int64),
    "empty": np.empty((0, 4), np.float32),
    "scalar": np.array(2.5, np.float32),
}


def plain_crc32c(data: bytes) -> int:
    """The definition, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"", 0),
    ],
)
def test_crc32c_has_the_values_of_the_rfc(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc  # RFC 3720, B.4, and the usual check value


@pytest.mark.parametrize("n", [1, 63, 64, 65, 100, 1000, 4097])
def test_crc32c_in_lanes_is_that_of_the_definition(n: int, rng: np.random.Generator) -> None:
    data = rng.integers(0, 256, n, np.uint8).tobytes()
    assert crc32c(data) == plain_crc32c(data)


def test_the_mask_is_leveldb_s() -> None:
    # leveldb/util/crc32c.h: rotate right by 15 bits and add a constant
    crc = 0x12345678
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    assert unmasked(masked) == crc


def test_written_tensors_come_back_bit_by_bit(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model.ckpt", TENSORS)
    read = read_checkpoint(tmp_path / "model.ckpt")
    assert set(read) == set(TENSORS)
    for name, value in TENSORS.items():
        assert read[name].dtype == value.dtype and read[name].shape == value.shape
        np.testing.assert_array_equal(read[name], value)


def test_every_damaged_byte_of_the_data_is_noticed(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    prefix = tmp_path / "model.ckpt"
    write_checkpoint(prefix, TENSORS)
    data = tmp_path / "model.ckpt.data-00000-of-00001"
    good = data.read_bytes()
    for at in rng.integers(0, len(good), 20):
        data.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        with pytest.raises(IncompatibleCheckpoint, match="wrong CRC"):
            read_checkpoint(prefix)
    data.write_bytes(good[:-1])
    with pytest.raises(IncompatibleCheckpoint, match="truncated"):
        read_checkpoint(prefix)


def test_a_damaged_index_is_an_error_in_one_line(tmp_path: Path) -> None:
    prefix = tmp_path / "model.ckpt"
    write_checkpoint(prefix, TENSORS)
    index = tmp_path / "model.ckpt.index"
    good = index.read_bytes()
    padding = range(len(good) - 44, len(good) - 8)  # of the footer: nobody reads it
    for at in set(range(len(good))) - set(padding):
        index.write_bytes(good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1 :])
        try:
            read = read_checkpoint(prefix)
        except AntipodalError as error:
            assert "\n" not in str(error)
        else:  # the handle of the meta-index block, which holds nothing
            np.testing.assert_array_equal(read["b"], TENSORS["b"])
    for n in (0, 10, len(good) // 2, len(good) - 1):
        index.write_bytes(good[:n])
        with pytest.raises(IncompatibleCheckpoint, match="magic number"):
            read_checkpoint(prefix)


def test_missing_files_and_foreign_types_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownAsset, match=r"model\.ckpt\.index is missing"):
        read_checkpoint(tmp_path / "model.ckpt")
    write_checkpoint(tmp_path / "model.ckpt", TENSORS)
    (tmp_path / "model.ckpt.data-00000-of-00001").unlink()
    with pytest.raises(UnknownAsset, match="data-00000-of-00001 is missing"):
        read_checkpoint(tmp_path / "model.ckpt")
    write_checkpoint(tmp_path / "model.ckpt", {"s": np.zeros(3, np.float32)}, dtype_number=7)
    with pytest.raises(IncompatibleCheckpoint, match="tensor s has TensorFlow's type 7"):
        read_checkpoint(tmp_path / "model.ckpt")


def test_checkpoints_that_tensorflow_wrote_hold_the_recorded_weights(shared: Path) -> None:
    network = shared / "parity" / "network"
    for folder, weights in (
        ("GQCNN-4.0-PJ-random", "gqcnn40_pj_weights.npz"),
        ("FCGQCNN-4.0-PJ-random", "fcgqcnn40_pj_as_gqcnn_weights.npz"),
    ):
        read = read_checkpoint(network / folder / "model.ckpt")
        want = np.load(network / weights)
        short = {name.split("/")[-1]: value for name, value in read.items()}
        assert set(short) == set(want.files)
        for name in want.files:
            np.testing.assert_array_equal(short[name], want[name])


@pytest.mark.parametrize(("name", "n"), [("GQCNN-4.0-PJ", 631_410), ("FC-GQCNN-4.0-PJ", 633_200)])
def test_published_checkpoints_have_the_published_sizes(shared: Path, name: str, n: int) -> None:
    read = read_checkpoint(shared / "rivals" / name / "model.ckpt")
    assert sum(value.size for value in read.values()) == n
