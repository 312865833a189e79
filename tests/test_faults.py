"""Long runs meet crashes, hangs, full disks and kill -9: nothing finished is lost, and the culprit is named."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from antipodal.cli import run
from antipodal.dataset.events import Event, ObjectRefused, Start
from antipodal.dataset.execution import Execution
from antipodal.dataset.generate import generate
from antipodal.dataset.model import PAPER, GenerativeModel
from antipodal.dataset.shard import ShardJob, Unreadable, make_shard
from antipodal.dataset.store import Dataset
from antipodal.dataset.summary import summary
from antipodal.dataset.worker import shard_task
from antipodal.errors import AntipodalError, InvalidConfig
from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh, save_mesh
from antipodal.robust import Perturbation
from antipodal.watched import Watched
from conftest import box

SMALL: GenerativeModel = dataclasses.replace(
    PAPER,
    n_grasps=6,
    images_per_pose=1,
    rescale_to=None,
    perturbation=Perturbation(n_samples=2),
)
YUMI = load_gripper("yumi")


class SegmentationFault(TriMesh):
    """A mesh that ends whichever process asks for its volume, as a bug in compiled code would."""

    @property
    def volume(self) -> float:
        os.kill(os.getpid(), signal.SIGSEGV)
        return 0.0


class Endless(TriMesh):
    """A mesh whose volume is never known."""

    @property
    def volume(self) -> float:
        while True:
            time.sleep(1)


class KilledOnce(TriMesh):
    """A mesh during which the system ends the process, but only the first time: ``name`` is the file that remembers."""

    @property
    def volume(self) -> float:
        if not Path(self.name).exists():
            Path(self.name).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 1e-5


class Surprising(TriMesh):
    """A mesh for which the mathematics raises what nobody expected."""

    @property
    def volume(self) -> float:
        raise FloatingPointError("a pole\nof the second order")


def boxes(n: int) -> list[TriMesh]:
    return [
        dataclasses.replace(box(0.03, 0.02 + 0.001 * i, 0.05), name=f"box_{i}") for i in range(n)
    ]


def as_(kind: type[TriMesh], mesh: TriMesh, name: str = "") -> TriMesh:
    return kind(mesh.vertices, mesh.faces, name or kind.__name__)


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def rows_of(dataset: Dataset, object_id: int) -> list[np.ndarray]:
    """All facts of the datapoints of one object."""
    names = ["crop", "depth", "center_px", "robust_epsilon", "collision_free", "grasp_id"]
    rows = dataset.read([*names, "object_id"])
    return [rows[name][rows["object_id"] == object_id] for name in names]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Eleven boxes in two shards, undisturbed."""
    return generate(boxes(11), YUMI, tmp_path_factory.mktemp("whole") / "set", SMALL, seed=1)


def test_objects_that_crash_hang_or_surprise_are_named_and_the_others_unharmed(
    whole: Dataset, tmp_path: Path
) -> None:
    meshes = boxes(11)
    meshes[2] = as_(SegmentationFault, meshes[2])
    meshes[5] = as_(Endless, meshes[5])
    meshes[9] = as_(Surprising, meshes[9])
    events: list[Event] = []
    execution = Execution(workers=2, max_object_time=20.0)
    made = generate(meshes, YUMI, tmp_path / "set", SMALL, 1, None, execution, events.append)
    reasons = {
        "SegmentationFault": "crashed its worker 2 times (SIGSEGV)",
        "Endless": "took longer than 20 s",
        "Surprising": "failed with FloatingPointError: a pole of the second order",
    }
    assert {r["name"]: r["reason"] for r in summary(made)["refused"]} == reasons
    assert {e.name: e.reason for e in events if isinstance(e, ObjectRefused)} == reasons
    for object_id in set(range(11)) - {2, 5, 9}:
        for got, want in zip(rows_of(made, object_id), rows_of(whole, object_id), strict=True):
            assert len(want)
            np.testing.assert_array_equal(got, want)


def test_a_refusal_is_kept_when_the_run_resumes(whole: Dataset, tmp_path: Path) -> None:
    """The second run would wait for ever, or for its own limit, if it tried the object again."""

    class Stopped(Exception):
        pass

    def stop_at_refusal(event: Event) -> None:
        if isinstance(event, ObjectRefused):
            raise Stopped

    meshes = boxes(9)
    meshes[0] = as_(Endless, meshes[0])
    with pytest.raises(Stopped):
        execution = Execution(max_object_time=10.0)
        generate(meshes, YUMI, tmp_path / "set", SMALL, 1, None, execution, stop_at_refusal)
    events: list[Event] = []
    generate(meshes, YUMI, tmp_path / "set", SMALL, 1, report=events.append)
    start = next(e for e in events if isinstance(e, Start))
    assert (start.n_resumed, start.n_refused) == (8, 1)
    made = Dataset.open(tmp_path / "set")
    assert summary(made)["refused"] == [{"name": "Endless", "reason": "took longer than 10 s"}]


def test_a_worker_that_the_system_kills_once_costs_nothing(tmp_path: Path) -> None:
    meshes = boxes(3)
    meshes[1] = as_(KilledOnce, meshes[1], str(tmp_path / "killed"))
    job = ShardJob(0, 0, tuple(meshes), YUMI, SMALL, 1, None)
    worker = Watched(shard_task(60.0))
    shard = worker.run(job)
    worker.close()
    assert (tmp_path / "killed").exists()
    assert shard.refused == []
    assert shard == make_shard(job)


def test_workers_that_do_not_start_end_the_run_in_one_line(monkeypatch, capfd) -> None:
    monkeypatch.setattr(sys, "path", ["/nowhere"])
    with pytest.raises(AntipodalError, match="end before their first object"):
        Watched(shard_task(60.0)).run(ShardJob(0, 0, tuple(boxes(1)), YUMI, SMALL, 1, None))
    assert "ModuleNotFoundError" in capfd.readouterr().err


def test_a_mesh_that_cannot_be_read_keeps_its_place(whole: Dataset, tmp_path: Path, capsys) -> None:
    objects = tmp_path / "objects"
    objects.mkdir()
    for mesh in boxes(3):
        save_mesh(mesh, objects / f"{mesh.name}.stl")
    (objects / "box_0a.obj").write_text("v 0 0 0\nv nan 0 0\nv 0 0.03 0\nf 1 2 3\n")
    (objects / "box_0b.stl").write_text("solid nothing")
    assert run(["generate", str(objects), "-o", str(tmp_path / "set"), "--n-datapoints", "40"]) == 0
    said = capsys.readouterr()
    assert "objects that gave nothing: 2" in said.out
    refused = {r["name"]: r["reason"] for r in summary(Dataset.open(tmp_path / "set"))["refused"]}
    assert list(refused) == ["box_0a", "box_0b"]
    assert "nan" in refused["box_0a"].lower() or "finite" in refused["box_0a"]
    assert "box_0b" in said.err


def test_an_unreadable_object_is_a_row_with_its_reason() -> None:
    shard = make_shard(ShardJob(0, 0, (Unreadable("gone", "no file"),), YUMI, SMALL, 1, None))
    assert (shard.n_objects, shard.n_datapoints, shard.refused) == (1, 0, [("gone", "no file")])


def test_a_full_disk_keeps_what_is_finished_and_says_what_to_do(
    whole: Dataset, tmp_path: Path
) -> None:
    """The kernel refuses to write files above a limit that the shards of datapoints exceed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match="make room, then the same command resumes") as caught:
            generate(boxes(11), YUMI, tmp_path / "set", SMALL, seed=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.errno == errno.EFBIG
    assert not list((tmp_path / "set").rglob("*.tmp"))
    generate(boxes(11), YUMI, tmp_path / "set", SMALL, seed=1)
    assert hashes(tmp_path / "set") == hashes(whole.path)


def test_a_damaged_shard_of_an_unfinished_run_is_made_anew(whole: Dataset, tmp_path: Path) -> None:
    """A machine that loses power may leave a file with holes."""

    class Stopped(Exception):
        pass

    def stop_when(event: Event) -> None:
        if not isinstance(event, Start):
            raise Stopped

    with pytest.raises(Stopped):
        generate(boxes(11), YUMI, tmp_path / "set", SMALL, seed=1, report=stop_when)
    (shard,) = (tmp_path / "set" / "shards").iterdir()
    shard.write_bytes(shard.read_bytes()[:-50])
    generate(boxes(11), YUMI, tmp_path / "set", SMALL, seed=1)
    assert hashes(tmp_path / "set") == hashes(whole.path)


def test_a_run_that_was_stopped_while_clearing_up_is_finished(whole: Dataset) -> None:
    before = hashes(whole.path)
    (whole.path / "parts").mkdir()
    (whole.path / "parts" / "grasps-00001.parquet").write_bytes(b"left over")
    generate(boxes(11), YUMI, whole.path, SMALL, seed=1)
    assert hashes(whole.path) == before


def test_two_runs_in_one_folder_do_not_mix(whole: Dataset, tmp_path: Path) -> None:
    def start_another(event: Event) -> None:
        if isinstance(event, Start):
            with pytest.raises(InvalidConfig, match="another process is writing"):
                generate(boxes(11), YUMI, tmp_path / "set", SMALL, seed=1)

    generate(boxes(11), YUMI, tmp_path / "set", SMALL, seed=1, report=start_another)
    assert hashes(tmp_path / "set") == hashes(whole.path)


def test_kill_9_and_the_same_command_give_the_same_bytes(tmp_path: Path) -> None:
    """The whole process group dies as soon as the first shard is there; no worker outlives it."""
    for mesh in boxes(12):
        (tmp_path / "objects").mkdir(exist_ok=True)
        save_mesh(mesh, tmp_path / "objects" / f"{mesh.name}.ply")
    command = [sys.executable, "-c", "from antipodal.cli import main; main()", "generate"]
    command += [str(tmp_path / "objects"), "--n-datapoints", "300", "--workers", "2", "--json"]
    killed = tmp_path / "killed"
    child = subprocess.Popen(
        [*command, "-o", str(killed)], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    with child:
        assert child.stderr is not None
        for line in child.stderr:
            if json.loads(line)["event"] == "progress":
                break
        os.killpg(child.pid, signal.SIGKILL)
    assert not (killed / "dataset.json").exists()
    assert (killed / "parts").is_dir()
    for folder in (killed, tmp_path / "whole"):
        done = subprocess.run([*command, "-o", str(folder)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert hashes(killed) == hashes(tmp_path / "whole")
    Dataset.open(killed).check()
