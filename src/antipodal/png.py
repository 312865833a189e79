"""Whether a PNG file is whole: every chunk with its length and checksum.

OpenCV 5.0's decoder never returns from a chunk that claims to be longer than the file. So nothing is decoded that does
not pass here. Plain bytes in, no frames, no units.
"""

from __future__ import annotations

import struct
import zlib

from .errors import InvalidImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def check_png(content: bytes, name: str) -> tuple[int, int]:
    """Walk all chunks; return (width, height) as the file claims them.

    Raises:
        InvalidImage: damaged, cut off or animated.
    """
    kinds: list[bytes] = []
    offset = len(SIGNATURE)
    while offset + 12 <= len(content) and kinds[-1:] != [b"IEND"]:
        length, kind = struct.unpack_from(">I4s", content, offset)
        end = offset + 8 + length
        if end + 4 > len(content):
            break
        if int.from_bytes(content[end : end + 4], "big") != zlib.crc32(content[offset + 4 : end]):
            raise InvalidImage(f"{name}: a PNG with a wrong checksum: was it damaged?")
        kinds.append(kind)
        offset = end + 4
    whole = content.startswith(SIGNATURE + b"\x00\x00\x00\x0dIHDR")
    if not whole or kinds[-1:] != [b"IEND"] or b"IDAT" not in kinds:
        raise InvalidImage(f"{name}: a PNG that ends too early: is the file complete?")
    if b"acTL" in kinds:
        raise InvalidImage(f"{name} is an animated PNG: expected one image")
    width, height = struct.unpack_from(">II", content, 16)
    return width, height
