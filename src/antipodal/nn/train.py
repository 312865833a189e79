"""Train a network on a data set: one readable loop, run by Lightning [Mahler17, §IV-B3].

RUN/config.json          every setting, the data set's description, versions
RUN/checkpoints/         last.ckpt (resume) and best.ckpt (smallest validation loss)
RUN/logs/, tensorboard/  losses and scores per epoch, CSV and TensorBoard
RUN/model.pt             the best weights; written at the end
RUN/result.json          validation scores, calibration, duration; written last
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from .. import __version__
from ..dataset.store import Dataset
from ..errors import InvalidConfig
from ..files import write_json
from .calibrate import Calibration, fit_calibration
from .config import TrainConfig
from .data import GraspTable, normalisation, ordered_batches, read_table, training_batches
from .module import GraspModule
from .networks import build_network, set_normalisation
from .run import SCHEMA, describe, read_config
from .scores import classification


def train(
    dataset_dir: str | Path,
    run_dir: str | Path,
    config: TrainConfig,
    resume: bool = True,
    progress: bool = False,
    accelerator: str = "auto",
) -> dict[str, Any]:
    """Train, or go on training, in ``run_dir``; a finished run returns at once.

    Args:
        dataset_dir: a finished data set.
        run_dir: made if absent.
        config: how.
        resume: continue after the last whole epoch if ``run_dir`` holds an unfinished run of the same settings.
        progress: draw a progress bar on stderr.
        accelerator: Lightning's word: "auto", "cpu", "gpu".

    Returns:
        The content of ``result.json``.

    Raises:
        InvalidConfig: ``run_dir`` holds a run of other settings (they are listed), or any run and ``resume`` is off.
    """
    dataset, run_dir = Dataset.open(dataset_dir), Path(run_dir)
    # before the folder is claimed: a split that cannot be leaves no trace
    train_rows, validation_rows = dataset.split(config.split, config.seed, config.train_fraction)
    description = run_config(dataset, config)
    _open_run(run_dir, description, resume)
    if (run_dir / "result.json").is_file():
        return json.loads((run_dir / "result.json").read_text())
    table = read_table(dataset, config.success_threshold)
    training, validation = table.rows(train_rows), table.rows(validation_rows)
    module = _new_module(config, training, dataset.crop_size)
    start = time.monotonic()
    _fit(module, training, validation, run_dir, config, progress, accelerator)
    seconds = time.monotonic() - start
    best = torch.load(run_dir / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    module.load_state_dict(best["state_dict"])
    log_odds = predict_log_odds(module.network, validation)
    success = validation.success.numpy()
    calibration = fit_calibration(log_odds, success) if config.calibrate else Calibration()
    result = {
        "n_train": len(training),
        "n_validation": len(validation),
        "train_positive_share": float(training.success.float().mean()),
        "validation": classification(calibration(log_odds), success),
        "validation_uncalibrated": classification(Calibration()(log_odds), success),
        "calibration": calibration._asdict(),
        "best_epoch": int(best["epoch"]),
        "seconds": seconds,
        "datapoints_per_second": module.n_seen / seconds,
        "hardware": module.hardware,
    }
    temporary = run_dir / "model.pt.tmp"
    torch.save(module.network.state_dict(), temporary)
    os.replace(temporary, run_dir / "model.pt")
    write_json(result, run_dir / "result.json")
    return result


def run_config(dataset: Dataset, config: TrainConfig) -> dict[str, Any]:
    """What ``config.json`` of a run holds."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "train": dataclasses.asdict(config),
        "crop": dataset.config["crop"],
        "gripper": dataset.manifest["gripper"]["name"],
        "dataset": {"path": str(dataset.path), **describe(dataset)},
    }


@torch.no_grad()
def predict_log_odds(network: torch.nn.Module, table: GraspTable) -> np.ndarray:
    """Return the network's log-odds of every row, float64, without noise."""
    network.eval()
    device = next(network.parameters()).device
    parts = [
        network(batch.crop.to(device), batch.depth.to(device)).double().cpu().numpy()
        for batch in ordered_batches(table)
    ]
    return np.concatenate(parts)


def _new_module(config: TrainConfig, training: GraspTable, crop_size: int) -> GraspModule:
    network = build_network(config.architecture, crop_size)
    network.initialise(torch.Generator().manual_seed(config.seed))
    set_normalisation(network, normalisation(training))
    # a third faster on a CPU, and twice with bfloat16: oneDNN's own layout
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return GraspModule(network, config, len(training))


def _fit(
    module: GraspModule,
    training: GraspTable,
    validation: GraspTable,
    run_dir: Path,
    config: TrainConfig,
    progress: bool,
    accelerator: str,
) -> None:
    folder = run_dir / "checkpoints"
    # two callbacks: with save_last, Lightning writes no last.ckpt after an epoch that is not the best.
    # best comes first, so that last.ckpt remembers which epoch that is
    best, last = (
        ModelCheckpoint(
            folder,
            name,
            monitor=monitor,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        for name, monitor in (("best", "validation_loss"), ("last", None))
    )
    bar = [RichProgressBar(console_kwargs={"stderr": True})] if progress else []
    resume_from = folder / "last.ckpt"
    # on a CPU the module rounds by itself, faster
    gpu = accelerator not in ("auto", "cpu") or (
        accelerator == "auto" and torch.cuda.is_available()
    )
    autocast = gpu and config.precision == "bfloat16"
    with _quiet():
        trainer = pl.Trainer(
            accelerator=accelerator,
            devices=1,
            precision="bf16-mixed" if autocast else "32-true",
            max_epochs=config.n_epochs,
            logger=[CSVLogger(run_dir, "logs"), TensorBoardLogger(run_dir, "tensorboard")],
            callbacks=[*bar, best, last],
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
        )
        trainer.fit(
            module,
            training_batches(training, config.batch_size, config.seed),
            ordered_batches(validation),
            ckpt_path=resume_from if resume_from.is_file() else None,
            weights_only=True,
        )


def _open_run(run_dir: Path, description: dict[str, Any], resume: bool) -> None:
    """Write ``config.json``, or compare it with the one that is there."""
    run_dir.mkdir(parents=True, exist_ok=True)
    file = run_dir / "config.json"
    if not file.is_file():
        write_json(description, file)
        return
    if not resume:
        raise InvalidConfig(
            f"{run_dir} already holds a run: expected an empty folder, or let it resume"
        )
    # through JSON, so that tuples and lists compare equal
    old, new = read_config(file), json.loads(json.dumps(description))
    for description in (old, new):
        description["dataset"].pop("path", None)
    differing = [
        f"{name} {old['train'].get(name)!r} → {value!r}"
        for name, value in new["train"].items()
        if old["train"].get(name) != value
    ]
    differing += [name for name in ("dataset", "crop", "gripper") if old.get(name) != new[name]]
    if differing:
        raise InvalidConfig(
            f"{run_dir} holds a run with other settings ({'; '.join(differing)}): "
            "use another folder, or the same settings"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what Lightning says about a loader without workers (the data are in memory) and other good practice."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # resuming is meant to find checkpoints, and a small data set may have fewer batches than a log line
            warnings.filterwarnings("ignore", message="Checkpoint directory .* is not empty")
            warnings.filterwarnings("ignore", message="The number of training batches")
            # Lightning's own use of torch
            warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
            yield
    finally:
        log.setLevel(level)
