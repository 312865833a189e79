"""The service under nonsense: mutated images, mutated headers, and schemathesis against its own description."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="needs the extra 'serve'")

from antipodal.service.faults import Fault
from antipodal.service.headers import check_image
from service_process import Service, npy, running

SIZE = (48, 64)
MAX_PIXELS = 2**14
REQUEST = (
    '{"camera": {"intrinsics": {"fx": 80, "fy": 80, "cx": 31.5, "cy": 23.5, "width": 64, "height": 48}},'
    ' "depth_unit": %s}'
)
N_MUTANTS = 60


def scene() -> np.ndarray:
    """A block on a table, m."""
    depth = np.full(SIZE, 0.7, np.float32)
    depth[18:30, 26:38] = 0.65
    return depth


def files(image: np.ndarray) -> dict[str, tuple[bytes, float | None]]:
    """The same image in each format, with its unit."""
    counts = (image * 1e4).astype(np.uint16)
    found = {".npy": (npy(image), None), ".png": (encoded(".png", counts), 1e-4)}
    for name, compression in (("none", 1), ("LZW", 5), ("deflate", 8)):
        flags = [cv2.IMWRITE_TIFF_COMPRESSION, compression]
        found[f".tiff {name}"] = (encoded(".tiff", counts, flags), 1e-4)
    found[".tiff float"] = (encoded(".tiff", image), None)
    return found


def encoded(suffix: str, image: np.ndarray, flags: list[int] | None = None) -> bytes:
    return cv2.imencode(suffix, image, flags or [])[1].tobytes()


FILES = files(scene())
MASKS = files((scene() < 0.7).astype(np.float32))


def with_checksums(content: bytes) -> bytes:
    """Mend a PNG's checksums, so that what is wrong in its chunks gets as far as it can."""
    data, offset = bytearray(content), 8
    while offset + 12 <= len(data):
        end = offset + 8 + int.from_bytes(data[offset : offset + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[offset + 4 : end]).to_bytes(4, "big")
        offset = end + 4
    return bytes(data)


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut, repeat or insert; most often near the header, where it hurts."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        near = min(len(data), 200) if rng.random() < 0.6 else len(data)
        at = int(rng.integers(near)) if near else 0
        match int(rng.integers(5)):
            case 0 if data:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                data[at : at + 4] = rng.bytes(4)
            case 2:
                data[at : at + 4] = bytes([255] * 4)
            case 3:
                del data[at : at + int(rng.integers(1, 40))]
            case _:
                data[at:at] = data[at : at + int(rng.integers(1, 40))]
    png = content.startswith(b"\x89PNG") and rng.random() < 0.7
    return with_checksums(bytes(data)) if png else bytes(data)


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Service]:
    with running(["--workers", "1"], tmp_path_factory.mktemp("fuzz")) as running_service:
        yield running_service


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("field", ["depth", "mask"])
def test_a_mutated_image_is_planned_or_refused(service, kind, field) -> None:
    rng = np.random.default_rng([list(FILES).index(kind), field == "mask"])
    depth, unit = FILES[kind]
    content = depth if field == "depth" else MASKS[kind][0]
    data = {"request": REQUEST % ("null" if unit is None else unit)}
    (pid,) = service.workers()
    seen = set()
    with httpx.Client(timeout=30, trust_env=False) as http:
        for i in range(N_MUTANTS // (1 if field == "depth" else 3)):
            mutant = {field: mutate(content, rng) if i else content}
            parts = {"depth": depth} | mutant
            sent = {name: (name, part) for name, part in parts.items()}
            response = http.post(f"{service.url}/v1/plan", data=data, files=sent)
            assert response.status_code in (200, 413, 422), (i, response.text)
            seen.add(response.status_code)
    assert seen >= {200, 422}
    assert service.workers() == [pid]  # no decoder brought it down


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"\x93NUMPY", b"\x89PNG\r\n\x1a\n", b"II*\x00", b"MM\x00*", b""]),
    st.binary(max_size=200),
)
@example(b"\x93NUMPY", b"")
@example(b"II*\x00", b"\xff\xff\xff\xff")
def test_any_bytes_are_a_header_or_a_fault(magic: bytes, rest: bytes) -> None:
    try:
        header = check_image(magic + rest, "it", MAX_PIXELS)
    except Fault as fault:
        assert fault.code in ("invalid_image", "too_many_pixels")
    else:
        assert 1 <= header.width * header.height <= MAX_PIXELS


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.integers(0, 2**32))
def test_what_passes_the_header_check_decodes_to_the_size_that_it_claims(kind, seed) -> None:
    content = mutate(FILES[kind][0], np.random.default_rng(seed))
    try:
        header = check_image(content, "it", MAX_PIXELS)
    except Fault:
        return
    if header.suffix == ".npy":
        try:
            decoded = np.load(io.BytesIO(content), allow_pickle=False)
        except ValueError:
            return
    else:
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None:
            return
    assert decoded.shape[:2] == (header.height, header.width)


@pytest.mark.parametrize("kind", FILES)
def test_the_header_check_reads_what_is_there(kind) -> None:
    header = check_image(FILES[kind][0], "it", MAX_PIXELS)
    assert header == (kind.split()[0], SIZE[1], SIZE[0])
    with pytest.raises(Fault, match="claims 3072 pixels: expected at most 3071"):
        check_image(FILES[kind][0], "it", SIZE[0] * SIZE[1] - 1)


def test_a_chunk_that_leaves_the_file_is_refused_before_the_decoder_hangs_on_it() -> None:
    content = FILES[".png"][0]
    start = content.index(b"IDAT") - 4
    for length in (0xFFFFFFFF, 0x7FFFFFFF, 10**6):
        longer = content[:start] + length.to_bytes(4, "big") + content[start + 4 :]
        with pytest.raises(Fault, match="is the file complete"):
            check_image(longer, "it", MAX_PIXELS)
    for cut in range(8, len(content)):
        with pytest.raises(Fault, match="PNG"):
            check_image(content[:cut], "it", MAX_PIXELS)


def test_a_tiff_of_several_pages_is_refused() -> None:
    counts = (scene() * 1e4).astype(np.uint16)
    content = cv2.imencodemulti(".tiff", [counts, counts])[1].tobytes()
    with pytest.raises(Fault, match="it is a TIFF of several pages: expected one"):
        check_image(content, "it", MAX_PIXELS)


def test_arrays_of_either_order_dtype_and_version_are_understood(tmp_path: Path) -> None:
    for array in (np.asfortranarray(scene()), scene().astype(">f8"), scene() > 0.66):
        assert check_image(npy(array), "it", MAX_PIXELS)[1:] == (SIZE[1], SIZE[0])
    for version in ((1, 0), (2, 0), (3, 0)):
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, scene(), version)
        assert check_image(buffer.getvalue(), "it", MAX_PIXELS)[1:] == (SIZE[1], SIZE[0])
    records = np.zeros(SIZE, [("a", "<f4")])
    for wrong in (records, np.zeros(5), np.zeros(SIZE, "U3"), np.zeros(SIZE, np.complex64)):
        with pytest.raises(Fault):
            check_image(npy(wrong), "it", MAX_PIXELS)


def test_schemathesis_finds_nothing(service, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    program = shutil.which("st", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("schemathesis has no command 'st' beside this interpreter")
    # random bytes in a valid schema are no depth image: that they are refused is right
    command = [
        program,
        "run",
        f"{service.url}/openapi.json",
        "--phases",
        "examples,coverage,fuzzing",
    ]
    command += ["--max-examples", "10", "--seed", "1", "--max-time", "90", "--no-shrink"]
    command += ["--exclude-checks", "positive_data_acceptance", "--suppress-health-check", "all"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stdout
    found = re.search(r"(\d+) generated, (\d+) passed", run.stdout)
    assert found and found[1] == found[2] and "Tested: 4" in run.stdout, run.stdout
    asked = [e for e in service.log() if e["event"] == "request" and e["path"] != "/readyz"]
    assert {e["status"] for e in asked} <= {200, 404, 405, 413, 415, 421, 422}
