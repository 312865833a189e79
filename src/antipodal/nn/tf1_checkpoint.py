"""TensorFlow checkpoints (format V2) read with numpy alone: no TensorFlow, no protobuf.

``PREFIX.index`` is a LevelDB table, name → BundleEntryProto; ``PREFIX.data-00000-of-00001`` holds the raw tensors.

    table   block | block | … | index block | footer: two block handles, padding, magic number   (48 bytes)
    block   entries, restart points, their number | compression (1 byte, always 0) | masked CRC-32C
    entry   shared, unshared, length of value (varints) | rest of the key | value

Every block and every tensor carries a CRC-32C, and every one is checked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt32

from ..errors import IncompatibleCheckpoint, UnknownAsset

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 19: "<f2"}
"""TensorFlow's numbers of the types that numpy knows → numpy's names."""
CASTAGNOLI = 0x82F63B78
"""CRC-32C's polynomial, reflected."""


def read_checkpoint(prefix: str | Path) -> dict[str, np.ndarray]:
    """Read every tensor of a checkpoint.

    Args:
        prefix: path of the files without ``.index`` and ``.data-…``.

    Returns:
        Arrays by the variable's whole name, e.g. ``conv1_1/conv1_1_weights``.

    Raises:
        UnknownAsset: a file is missing.
        IncompatibleCheckpoint: not a checkpoint, truncated, damaged, or with a type that numpy has not.
    """
    prefix = Path(prefix)
    entries = dict(_table(_bytes(prefix.with_name(prefix.name + ".index"))))
    header = _message(entries.pop(b"", b""))
    n_shards = header.get(1, 1)
    if header.get(2, 0) != 0:
        raise IncompatibleCheckpoint(f"{prefix}: big-endian tensors: expected little-endian")
    shards = [
        _bytes(prefix.with_name(f"{prefix.name}.data-{i:05d}-of-{n_shards:05d}"))
        for i in range(n_shards)
    ]
    tensors = {}
    for key, value in entries.items():
        name, entry = key.decode(errors="replace"), _message(value)
        shard = shards[entry.get(3, 0)] if entry.get(3, 0) < n_shards else b""
        tensors[name] = _tensor(name, entry, shard, prefix)
    return tensors


def crc32c(data: bytes) -> int:
    """CRC-32C of bytes [RFC 3720, B.4], computed in √n lanes at once.

    A CRC that starts from 0 is linear over GF(2) and blind to leading zeros: the lanes are walked side by side, then
    each is advanced over those behind it. Starting from 0xFFFFFFFF, as CRC-32C does, is the same as inverting the first
    four bytes.
    """
    if len(data) < 64:
        crc = 0xFFFFFFFF
        for byte in data:
            crc = int(_byte_table()[(crc ^ byte) & 0xFF]) ^ (crc >> 8)
        return crc ^ 0xFFFFFFFF
    n_columns = int(np.ceil(np.sqrt(len(data))))
    n_lanes = -(-len(data) // n_columns)
    padding = n_lanes * n_columns - len(data)
    padded = np.zeros(n_lanes * n_columns, np.uint8)
    padded[padding:] = np.frombuffer(data, np.uint8)
    padded[padding : padding + 4] ^= 0xFF
    table, crc = _byte_table(), np.zeros(n_lanes, np.uint32)
    for column in padded.reshape(n_lanes, n_columns).T:
        crc = table[(crc ^ column) & 0xFF] ^ (crc >> np.uint32(8))
    advance, total = _advance(n_columns), 0
    for lane in crc.tolist():
        total = _apply(advance, total) ^ lane
    return total ^ 0xFFFFFFFF


def unmasked(crc: int) -> int:
    """Undo the rotation and offset under which LevelDB stores a CRC."""
    rotated = (crc - 0xA282EAD8) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


@cache
def _byte_table() -> UInt32[np.ndarray, "256"]:
    """CRC of each single byte."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ np.where(table & 1, np.uint32(CASTAGNOLI), np.uint32(0))
    return table


def _advance(n_bytes: int) -> list[int]:
    """Columns of the GF(2) matrix that takes a CRC over ``n_bytes`` zeros, by repeated squaring."""
    power = [int(_byte_table()[(1 << i) & 0xFF]) ^ ((1 << i) >> 8) for i in range(32)]
    result = [1 << i for i in range(32)]
    while n_bytes:
        if n_bytes & 1:
            result = [_apply(power, c) for c in result]
        power = [_apply(power, c) for c in power]
        n_bytes >>= 1
    return result


def _apply(matrix: list[int], vector: int) -> int:
    out = 0
    for i, column in enumerate(matrix):
        if vector >> i & 1:
            out ^= column
    return out


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise UnknownAsset(
            f"{path} is missing: a TensorFlow checkpoint has an .index and a .data-… file (format V2)"
        )
    return path.read_bytes()


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a LevelDB table."""
    if len(data) < FOOTER or struct.unpack("<Q", data[-8:])[0] != MAGIC:
        raise IncompatibleCheckpoint(
            f"checkpoint index of {len(data)} bytes without its magic number: expected a whole .index file of format V2"
        )
    footer = data[-FOOTER:]
    _, at = _varint(footer, 0)
    _, at = _varint(footer, at)  # the meta-index block is empty
    for _, handle in _entries(_block(data, footer, at)):
        yield from _entries(_block(data, handle, 0))


def _block(data: bytes, handle: bytes, at: int) -> bytes:
    """Contents of the block at a handle: (offset, size) as varints."""
    offset, at = _varint(handle, at)
    size, _ = _varint(handle, at)
    end = offset + size
    if end + 5 > len(data):
        raise IncompatibleCheckpoint(
            f"checkpoint index: a block ends at byte {end + 5} of {len(data)}: the file is truncated or damaged"
        )
    stored = struct.unpack("<I", data[end + 1 : end + 5])[0]
    if crc32c(data[offset : end + 1]) != unmasked(stored):
        raise IncompatibleCheckpoint(
            f"checkpoint index: the block at byte {offset} has a wrong CRC: the file is damaged"
        )
    if data[end] != 0:
        raise IncompatibleCheckpoint(
            f"checkpoint index: block compression {data[end]}: expected 0, as TensorFlow writes it"
        )
    return data[offset:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one block; each key says how much it shares with the one before."""
    n_restarts = struct.unpack("<I", block[-4:])[0]
    end, at, key = len(block) - 4 * (n_restarts + 1), 0, b""
    while at < end:
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Number at ``at`` in groups of seven bits, lowest first, and the place behind it."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise IncompatibleCheckpoint("checkpoint index: a number has no end: damaged")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _message(data: bytes) -> dict[int, Any]:
    """Fields of a protobuf message: integers, or bytes; a repeated bytes field (2) becomes a list."""
    fields: dict[int, Any] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            fields[number], at = _varint(data, at)
        elif wire == 2:
            length, at = _varint(data, at)
            fields.setdefault(number, []).append(data[at : at + length])
            at += length
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            fields[number] = int.from_bytes(data[at : at + size], "little")
            at += size
        else:
            raise IncompatibleCheckpoint(f"checkpoint index: protobuf wire type {wire}: damaged")
    return fields


def _tensor(name: str, entry: dict[int, Any], shard: bytes, prefix: Path) -> np.ndarray:
    """Array of a BundleEntryProto: dtype 1, shape 2, shard 3, offset 4, size 5, CRC 6, slices 7."""
    where = f"{prefix}: tensor {name}"
    dtype = DTYPES.get(entry.get(1, 0))
    if dtype is None or 7 in entry:
        kind = "is stored in slices" if 7 in entry else f"has TensorFlow's type {entry.get(1, 0)}"
        raise IncompatibleCheckpoint(f"{where} {kind}: expected a whole tensor of numbers")
    shape_proto = entry.get(2, [b""])[0]
    shape = [_message(d).get(1, 0) for d in _message(shape_proto).get(2, [])]
    offset, size = entry.get(4, 0), entry.get(5, 0)
    raw = shard[offset : offset + size]
    if len(raw) != size or size != int(np.prod(shape)) * np.dtype(dtype).itemsize:
        raise IncompatibleCheckpoint(
            f"{where} has {len(raw)} of {size} bytes for shape {tuple(shape)}: the data file is truncated"
        )
    if 6 in entry and crc32c(raw) != unmasked(entry[6]):
        raise IncompatibleCheckpoint(f"{where} has a wrong CRC: the data file is damaged")
    return np.frombuffer(raw, dtype).reshape(shape)
