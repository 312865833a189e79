"""Files of a run that a kill, a full disk or a bad copy has spoilt."""

from __future__ import annotations

import resource
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from antipodal.errors import IncompatibleCheckpoint
from antipodal.nn.config import COMPACT_TRAINING
from antipodal.nn.train import new_trainer, train
from synthetic_grasps import write_boxes

TINY = replace(COMPACT_TRAINING, n_epochs=1, batch_size=32, seed=3)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    write_boxes(folder / "boxes", 100, np.random.default_rng(11))
    train(folder / "boxes", folder / "run", TINY, accelerator="cpu")
    return folder


def halve(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [halve, empty])
@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("result.json", "delete its result.json"),
        ("checkpoints/last.ckpt", "delete the folder .*checkpoints"),
        ("checkpoints/best.ckpt", "delete the folder .*checkpoints"),
    ],
)
def test_a_damaged_file_of_a_run_is_named_with_what_to_do(
    finished: Path, tmp_path: Path, file: str, told: str, damage: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished / "run", run)
    if file != "result.json":  # killed after its last epoch
        (run / "result.json").unlink()
    damage(run / file)
    with pytest.raises(IncompatibleCheckpoint, match=rf"{file} is damaged \(\w+\): .*{told}") as e:
        train(finished / "boxes", run, TINY, accelerator="cpu")
    assert "\n" not in str(e.value)


def test_a_run_begins_anew_once_its_damaged_checkpoints_are_deleted(
    finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished / "run", run)
    (run / "result.json").unlink()
    shutil.rmtree(run / "checkpoints")
    again = train(finished / "boxes", run, TINY, accelerator="cpu")
    (tmp_path / "run" / "checkpoints" / "last.ckpt.1-ab.tmp").write_bytes(b"half")
    (run / "result.json").unlink()
    assert (
        train(finished / "boxes", run, TINY, accelerator="cpu")["validation"] == again["validation"]
    )
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_full_disk_leaves_the_checkpoint_of_before_and_is_told_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a folder for temporary files may lie on another disk, and a move from there can be cut: it is not used
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    run = tmp_path / "run"
    trainer = new_trainer(run, TINY, False, "cpu", 1)
    files, last = trainer.strategy.checkpoint_io, run / "checkpoints" / "last.ckpt"
    files.save_checkpoint({"k": torch.zeros(10)}, last)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(OSError, match=r"too large.*last\.ckpt"):
            files.save_checkpoint({"k": torch.ones(1_000_000)}, last)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files.load_checkpoint(last)["k"].tolist() == [0] * 10
    assert list(last.parent.iterdir()) == [last]
