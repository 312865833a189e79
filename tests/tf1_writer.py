"""Write TensorFlow checkpoints (format V2), from the format's description: the reader's other half."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

NUMBERS = {"float32": 1, "float64": 2, "int32": 3, "int64": 9}
RESTART_INTERVAL = 16


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    table = _byte_table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _byte_table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Entries with shared prefixes, restart points, type, CRC."""
    out, restarts, last = bytearray(), [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % RESTART_INTERVAL == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(last), len(key)) and last[shared] == key[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        last = key
    restarts = restarts or [0]
    out += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    return bytes(out) + b"\0" + masked_crc(bytes(out) + b"\0")


def write_checkpoint(
    prefix: Path, tensors: Mapping[str, np.ndarray], dtype_number: int | None = None
) -> None:
    """Write ``prefix``.index and ``prefix``.data-00000-of-00001."""
    data = bytearray()
    entries = [(b"", b"\x08\x01\x1a\x02\x08\x01")]  # one shard, version 1
    for name in sorted(tensors):
        value = tensors[name]
        raw = value.tobytes()
        dims = b"".join(b"\x12" + field(varint_field(1, n)) for n in value.shape)
        number = dtype_number or NUMBERS[value.dtype.name]
        entry = varint_field(1, number) + b"\x12" + field(dims)
        entry += varint_field(4, len(data)) + varint_field(5, len(raw))
        entry += b"\x35" + masked_crc(raw)
        entries.append((name.encode(), entry))
        data += raw
    table, handles = bytearray(), []
    for contents, key in ((entries, entries[-1][0]), ([], None)):
        written = block(contents)
        handles.append((key, varint(len(table)) + varint(len(written) - 5)))
        table += written
    index = block([(handles[0][0], handles[0][1])])
    footer = handles[1][1] + varint(len(table)) + varint(len(index) - 5)
    table += index + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    prefix.with_name(prefix.name + ".index").write_bytes(table)
    prefix.with_name(prefix.name + ".data-00000-of-00001").write_bytes(data)


def varint_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def field(data: bytes) -> bytes:
    return varint(len(data)) + data
