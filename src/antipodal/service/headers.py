"""Read the header of an image file and refuse what would be too large, before anything is allocated or decoded.

A PNG of 100 kB may say that it holds ten thousand megapixels; so may the header of a ``.npy``. Only the first bytes are
parsed here, by rules stricter than the decoders': what these do not understand does not reach a decoder.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import InvalidImage
from ..png import SIGNATURE as PNG
from ..png import check_png
from ..tiff import SIGNATURES as TIFF
from ..tiff import check_tiff
from .faults import Fault

NPY = b"\x93NUMPY"
MAX_CHANNELS = 4
COMPRESSIONS = {1: "none", 5: "LZW", 8: "deflate", 32773: "PackBits", 32946: "deflate"}
"""The lossless ones; a depth image has no business with the others."""

_ITEM = (
    r"(?:'descr'\s*:\s*'(?P<descr>[<>|=]?[a-zA-Z?]\d{0,4})'"
    r"|'fortran_order'\s*:\s*(?P<order>True|False)"
    r"|'shape'\s*:\s*\(\s*(?P<shape>\d{1,9}(?:\s*,\s*\d{1,9}){0,3}\s*,?)?\s*\))"
)
_NPY_ITEM = re.compile(_ITEM)
_NAMELESS = re.sub(r"\?P<\w+>", "?:", _ITEM)
_NPY_HEADER = re.compile(rf"\s*\{{\s*{_NAMELESS}(?:\s*,\s*{_NAMELESS}){{2}}\s*,?\s*\}}\s*")


class Header(NamedTuple):
    """What an image file says of itself."""

    suffix: str
    """.png, .tiff or .npy, from the content."""
    width: int
    height: int


def check_image(content: bytes, name: str, max_pixels: int) -> Header:
    """Recognise an image by its first bytes and check the size that it claims.

    Args:
        content: the file.
        name: what messages call it.
        max_pixels: most pixels allowed.

    Raises:
        Fault: no PNG, TIFF or .npy; a broken header; or too many pixels.
    """
    try:
        header = _read(content, name, max_pixels)
    except InvalidImage as error:
        raise Fault("invalid_image", str(error)) from error
    if header.width < 1 or header.height < 1:
        raise Fault(
            "invalid_image", f"{name} is {header.width}×{header.height} px: expected at least one"
        )
    _check_pixels(header.width * header.height, name, max_pixels)
    return header


def _read(content: bytes, name: str, max_pixels: int) -> Header:
    if content.startswith(PNG):
        return Header(".png", *check_png(content, name))
    if content[:4] in TIFF:
        return _tiff(content, name, max_pixels)
    if content.startswith(NPY):
        return _npy(content, name, max_pixels)
    raise InvalidImage(
        f"{name} begins with {content[:8].hex(' ') or 'nothing'}: expected a 16-bit PNG, a TIFF or a .npy file"
    )


def _check_pixels(n: int, name: str, max_pixels: int) -> None:
    if n > max_pixels:
        raise Fault("too_many_pixels", f"{name} claims {n} pixels: expected at most {max_pixels}")


def _tiff(content: bytes, name: str, max_pixels: int) -> Header:
    tags = check_tiff(content, name)
    width, height = tags.get(256, 0), tags.get(257, 0)
    if (compression := tags.get(259, 1)) not in COMPRESSIONS:
        known = ", ".join(sorted(set(COMPRESSIONS.values())))
        raise Fault(
            "invalid_image", f"{name} has TIFF compression {compression}: expected one of {known}"
        )
    channels = tags.get(277, 1)
    if not 1 <= channels <= MAX_CHANNELS:
        raise Fault("invalid_image", f"{name} has {channels} channels: expected 1")
    _check_pixels(tags.get(322, 0) * tags.get(323, 0), f"a tile of {name}", max_pixels)
    return Header(".tiff", width, height)


def _npy(content: bytes, name: str, max_pixels: int) -> Header:
    length_size = 2 if content[6:7] == b"\x01" else 4
    start = 8 + length_size
    length = int.from_bytes(content[8:start], "little")
    text = content[start : start + length].decode("latin-1")
    if (
        len(content) < 12
        or content[6] not in (1, 2, 3)
        or length > 4096
        or not _NPY_HEADER.fullmatch(text)
    ):
        raise Fault(
            "invalid_image",
            f"{name}: a .npy header of {length} bytes that describes no plain array of numbers: "
            "expected what numpy.save writes for float32",
        )
    found = {k: v for m in _NPY_ITEM.finditer(text) for k, v in m.groupdict().items() if v}
    if set(found) != {"descr", "order", "shape"}:
        raise Fault("invalid_image", f"{name}: its .npy header lacks a shape: expected (H, W)")
    shape = [int(n) for n in re.findall(r"\d+", found["shape"])]
    kind, item_size = found["descr"][-2:-1], found["descr"][-1:]
    if kind not in tuple("fiub") or item_size not in tuple("1248"):
        raise Fault(
            "invalid_image", f"{name} has dtype '{found['descr']}': expected float32 metres"
        )
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] > MAX_CHANNELS):
        raise Fault("invalid_image", f"{name} has shape {tuple(shape)}: expected (height, width)")
    height, width, channels = [*shape, 1][:3]
    _check_pixels(width * height, name, max_pixels)
    want, got = width * height * channels * int(item_size), len(content) - start - length
    if want != got:
        raise Fault(
            "invalid_image",
            f"{name} holds {got} bytes of values: expected {want} for shape {tuple(shape)}",
        )
    return Header(".npy", width, height)
