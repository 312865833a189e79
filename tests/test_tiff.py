"""TIFF files whose pixels are not stored as the camera saw them: what is read is what is stored, or nothing is."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from antipodal.camera import CameraIntrinsics
from antipodal.camera_files import load_depth, load_mask
from antipodal.errors import InvalidImage
from antipodal.service.faults import Fault
from antipodal.service.headers import check_image
from antipodal.tiff import check_tiff

CAMERA = CameraIntrinsics(5.0, 5.0, 1.0, 0.5, 3, 2)
COUNTS = np.array([[500, 600, 700], [800, 900, 0]], np.uint16)
"""Of one pixel nothing came back; as a mask it is no object."""
ORIENTATION = 274


def tiff(*entries: tuple[int, int, int], order: str = "<", big: bool = False) -> bytes:
    """COUNTS, uncompressed, with further (tag, type, value)."""
    offset, count, start = ("Q", "Q", 16) if big else ("I", "H", 8)
    pixels = COUNTS.astype(f"{order}u2").tobytes()
    height, width = COUNTS.shape
    tags = [
        *((256, 4, width), (257, 4, height), (258, 3, 16), (259, 3, 1), (262, 3, 1)),
        *((273, 4, start), (277, 3, 1), (278, 4, height), (279, 4, len(pixels)), *entries),
    ]
    directory = struct.pack(order + count, len(tags))
    for tag, kind, value in sorted(tags):
        number = struct.pack(order + {1: "B", 3: "H", 4: "I", 16: "Q"}[kind], value)
        directory += struct.pack(f"{order}HH{offset}", tag, kind, 1)
        directory += number.ljust(struct.calcsize(order + offset), b"\0")
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}H", 43 if big else 42)
    if big:
        head += struct.pack(f"{order}HH", 8, 0)
    end = struct.pack(order + offset, 0)
    return head + struct.pack(order + offset, start + len(pixels)) + pixels + directory + end


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
def test_a_mirrored_image_is_refused_and_one_as_it_was_seen_is_read(
    order: str, big: bool, tmp_path: Path
) -> None:
    path = tmp_path / "depth.tiff"
    for entry in ([], [(ORIENTATION, 3, 1)], [(ORIENTATION, 4, 1)]):
        path.write_bytes(tiff(*entry, order=order, big=big))
        seen = load_depth(path, CAMERA, 0.001).depth
        np.testing.assert_array_equal(seen, (COUNTS * 0.001).astype(np.float32))
        np.testing.assert_array_equal(load_mask(path, COUNTS.shape), COUNTS > 0)
    for orientation in (2, 3, 4, 6, 8):
        path.write_bytes(tiff((ORIENTATION, 3, orientation), order=order, big=big))
        words = rf"depth\.tiff has TIFF orientation {orientation}, .* not fit its camera"
        with pytest.raises(InvalidImage, match=words):
            load_depth(path, CAMERA, 0.001)
        with pytest.raises(InvalidImage, match=words):
            load_mask(path, COUNTS.shape)


def test_the_service_refuses_a_mirrored_image_by_its_header() -> None:
    assert check_image(tiff((ORIENTATION, 3, 1)), "depth", 6) == (".tiff", 3, 2)
    with pytest.raises(Fault, match="depth has TIFF orientation 3") as caught:
        check_image(tiff((ORIENTATION, 3, 3)), "depth", 6)
    assert caught.value.code == "invalid_image"


def test_an_orientation_that_the_decoder_may_read_otherwise_is_refused() -> None:
    """It takes whole numbers of any type, and one of two."""
    with pytest.raises(InvalidImage, match="tag 274 has type 1"):
        check_tiff(tiff((ORIENTATION, 1, 2)), "it")
    with pytest.raises(InvalidImage, match="orientation 2"):
        check_tiff(tiff((ORIENTATION, 16, 2), big=True), "it")
    with pytest.raises(InvalidImage, match="orientation 4"):
        check_tiff(tiff((ORIENTATION, 3, 1), (ORIENTATION, 3, 4)), "it")


@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
def test_a_directory_that_leaves_the_file_is_refused(big: bool) -> None:
    content = tiff(big=big)
    for cut in range(4, len(content) - (12 if big else 4)):  # what follows is not read
        with pytest.raises(InvalidImage, match="leaves the file"):
            check_tiff(content[:cut], "it")
    at = slice(8, 16) if big else slice(4, 8)
    far = content[: at.start] + b"\xff" * (at.stop - at.start) + content[at.stop :]
    with pytest.raises(InvalidImage, match="leaves the file"):
        check_tiff(far, "it")
