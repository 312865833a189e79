"""Files that several processes write at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from antipodal.files import partial_folder, publishing, write_bytes, writing

WRITER = """
import sys
from pathlib import Path
from antipodal.files import write_bytes
for _ in range(200):
    write_bytes(sys.argv[2].encode() * 10_000, Path(sys.argv[1]))
"""


def test_two_writers_of_one_file_leave_one_of_their_contents_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / "shared"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), letter]) for letter in "ab"
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    assert path.read_bytes() in (b"a" * 10_000, b"b" * 10_000)
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_raised_while_a_file_is_written_leaves_the_old_one_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / "kept"
    write_bytes(b"old", path)
    with pytest.raises(KeyboardInterrupt), writing(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_what_fails_its_check_is_not_published(tmp_path: Path) -> None:
    path = tmp_path / "made" / "network.onnx"
    with publishing(path) as unchecked:
        unchecked.write_bytes(b"good")
        assert unchecked.suffix == ".onnx" and not path.exists()
    with pytest.raises(ValueError, match="differs"), publishing(path) as unchecked:
        unchecked.write_bytes(b"bad")
        raise ValueError("differs from torch")
    assert path.read_bytes() == b"good" and list(path.parent.iterdir()) == [path]


def test_what_a_kill_left_of_a_partial_folder_is_gone_after_the_next(tmp_path: Path) -> None:
    path = tmp_path / "made" / "network.onnx"
    killed = partial_folder(path)
    (killed.__enter__() / "half").write_bytes(b"of a network")
    with partial_folder(path) as folder:
        assert list(folder.iterdir()) == []
    assert list(path.parent.iterdir()) == []
