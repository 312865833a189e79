"""What a TIFF file says of itself, and whether its pixels lie as the camera saw them.

OpenCV mirrors an image whose orientation (tag 274) is 2, 3 or 4, so that its depths no longer belong to the camera's
numbers. Plain bytes in, no frames, no units.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .errors import InvalidImage

SIGNATURES = {b"II*\x00": "<", b"MM\x00*": ">"}
"""First bytes of a file, and its byte order."""
BIG_SIGNATURES = {b"II+\x00": "<", b"MM\x00+": ">"}
"""The same of BigTIFF."""
ORIENTATION = 274
NUMBERS = (256, 257, 259, ORIENTATION, 277, 322, 323)
"""Tags that must be one whole number: width, height, compression, orientation, channels, a tile's width and height."""
MAX_TAGS = 256
"""Entries of a directory."""


def check_tiff(content: bytes, name: str) -> dict[int, int]:
    """Return the first directory's whole numbers by tag; of one given twice the larger, whichever is read.

    Raises:
        InvalidImage: a broken directory, several pages, or an image that is stored turned or mirrored.
    """
    tags: dict[int, int] = {}
    try:
        for tag, value in _numbers(content, name):
            tags[tag] = max(value, tags.get(tag, 0))
    except (struct.error, OverflowError) as error:
        raise InvalidImage(
            f"{name}: its TIFF directory leaves the file: is it complete?"
        ) from error
    if (turned := tags.get(ORIENTATION, 1)) != 1:
        raise InvalidImage(
            f"{name} has TIFF orientation {turned}, so that it is read mirrored or turned and does not fit its camera: "
            "expected 1 or none; set tag 274 to 1 if the pixels are stored as the camera saw them, else write them so"
        )
    return tags


def _numbers(content: bytes, name: str) -> Iterator[tuple[int, int]]:
    is_big = content[:4] in BIG_SIGNATURES
    order = (SIGNATURES | BIG_SIGNATURES)[content[:4]]
    at, offset, count, entry = (8, "Q", "Q", "HHQ") if is_big else (4, "I", "H", "HHI")
    kinds = {3: "H", 4: "I"} | ({16: "Q"} if is_big else {})
    (start,) = struct.unpack_from(order + offset, content, at)
    (n,) = struct.unpack_from(order + count, content, start)
    if n > MAX_TAGS:
        raise InvalidImage(f"{name} has {n} TIFF tags: expected at most {MAX_TAGS}")
    head, field = struct.calcsize(order + entry), struct.calcsize(order + offset)
    start += struct.calcsize(order + count)
    for place in range(start, start + n * (head + field), head + field):
        tag, kind, length = struct.unpack_from(order + entry, content, place)
        if kind in kinds and length == 1:
            yield tag, struct.unpack_from(order + kinds[kind], content, place + head)[0]
        elif tag in NUMBERS:
            raise InvalidImage(
                f"{name}: TIFF tag {tag} has type {kind}, {length} values: expected one whole number"
            )
    if struct.unpack_from(order + offset, content, start + n * (head + field)) != (0,):
        raise InvalidImage(f"{name} is a TIFF of several pages: expected one")
