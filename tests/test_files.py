"""Files that several processes write at once."""

from __future__ import annotations

import errno
import fcntl
import io
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from antipodal.draw import save_figure
from antipodal.errors import InvalidConfig
from antipodal.files import alone, partial_folder, publishing, write_bytes, writing
from antipodal.mesh import save_mesh
from antipodal.quality import METADATA_KEY
from conftest import sphere

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


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """The kernel refuses what a file has beyond ``size`` bytes, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def write_graph(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("torch")
    from antipodal.nn.precision import write_bfloat16

    weights = onnx.numpy_helper.from_array(np.ones((100, 100), np.float32), "weights")
    graph = onnx.helper.make_graph([], "big", [], [], [weights])
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, {METADATA_KEY: "{}"})
    source = io.BytesIO(model.SerializeToString())
    write_bfloat16(source, path)  # type: ignore[arg-type]


WRITERS: dict[str, Callable[[Path], object]] = {
    "picture.png": lambda path: save_figure(Figure(), path),
    "part.ply": lambda path: save_mesh(sphere(0.02, 3), path),
    "network.onnx": write_graph,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_names_the_file_that_did_not_fit(name: str, tmp_path: Path) -> None:
    with full_disk(1000), pytest.raises(OSError, match="too large") as caught:
        WRITERS[name](tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)


def test_a_picture_that_does_not_fit_on_the_disk_leaves_the_one_of_before(tmp_path: Path) -> None:
    path = tmp_path / "plan.png"
    save_figure(Figure(), path)
    kept = path.read_bytes()
    with full_disk(100), pytest.raises(OSError, match="too large"):
        save_figure(Figure(), path)
    assert path.read_bytes() == kept and list(tmp_path.iterdir()) == [path]


def test_what_fails_its_check_is_not_published(tmp_path: Path) -> None:
    path = tmp_path / "made" / "network.onnx"
    with publishing(path) as unchecked:
        unchecked.write_bytes(b"good")
        assert unchecked.suffix == ".onnx" and not path.exists()
    with pytest.raises(ValueError, match="differs"), publishing(path) as unchecked:
        unchecked.write_bytes(b"bad")
        raise ValueError("differs from torch")
    assert path.read_bytes() == b"good" and list(path.parent.iterdir()) == [path]


KILLED = """
import os, sys
from pathlib import Path
from antipodal import files
with getattr(files, sys.argv[1])(Path(sys.argv[2])) as place:
    (place / "half" if place.is_dir() else place).write_bytes(b"of a network")
    os._exit(9)
"""


@pytest.mark.parametrize("how", [partial_folder, publishing])
def test_what_kills_left_is_gone_after_the_next(
    how: Callable[[Path], AbstractContextManager[Path]], tmp_path: Path
) -> None:
    path = tmp_path / "made" / "network.onnx"
    for _ in range(2):
        command = [sys.executable, "-c", KILLED, how.__name__, str(path)]
        assert subprocess.run(command, check=False).returncode == 9
    assert len(list(path.parent.iterdir())) == 1  # of all the killed together
    with how(path) as place:
        folder = place if how is partial_folder else place.parent
        assert list(folder.iterdir()) == []
        (folder / path.name).write_bytes(b"whole")
    left = [path] if how is publishing else []
    assert list(path.parent.iterdir()) == left


def test_a_folder_is_held_on_windows_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locking(descriptor: int, mode: int, n_bytes: int) -> None:
        """Hold a file as Windows' own is said to: EACCES where another holds it."""
        assert (mode, n_bytes) == (2, 1)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PermissionError(errno.EACCES, "Permission denied") from error

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))
    monkeypatch.setitem(sys.modules, "fcntl", None)
    told = pytest.raises(InvalidConfig, match="another process is writing")
    with alone(tmp_path), told, alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


@pytest.mark.parametrize("how", [partial_folder, publishing])
def test_a_second_writer_of_one_name_is_told_so_and_harms_nothing(
    how: Callable[[Path], AbstractContextManager[Path]], tmp_path: Path
) -> None:
    path = tmp_path / "network.onnx"
    with publishing(path) as unfinished:
        unfinished.write_bytes(b"the first")
        told = f"another process is writing {path}"
        with pytest.raises(InvalidConfig, match=re.escape(told)), how(path):
            pass
    assert path.read_bytes() == b"the first" and list(tmp_path.iterdir()) == [path]
