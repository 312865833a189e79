"""Train a network on a data set: one readable loop, run by Lightning [Mahler17, §IV-B3].

RUN/config.json          every setting, the data set's description, versions
RUN/checkpoints/         last.ckpt (resume; every few minutes) and best.ckpt (smallest validation loss)
RUN/logs/, tensorboard/  losses and scores per epoch, CSV and TensorBoard
RUN/model.pt             the best weights; written at the end
RUN/result.json          validation scores, calibration, duration; written last
"""

from __future__ import annotations

import dataclasses
import json
import logging
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from .. import __version__
from ..dataset.store import Dataset
from ..errors import InvalidConfig
from ..files import write_json
from ..gripper import TOLD
from .allocator import kept_memory
from .calibrate import Calibration, calibrated_by_others, fit_calibration
from .checkpoints import DurableFiles, Kept, load_checkpoint
from .config import TrainConfig, expect_finite
from .data import GraspBatch
from .module import LOGGED_EVERY, GraspModule, computed_in, hardware
from .networks import Network, network_for, normalise
from .pretrained import Pretrained, load_pretrained
from .quiet import quiet
from .run import SCHEMA, describe, read_config, read_result, split_as
from .scores import classification, few_objects
from .stream import GIBIBYTE, GraspRows, GraspStream, Loading, Part
from .weights import save_weights

_log = logging.getLogger(__name__)

ORDERED_BATCH = 1024
"""Rows of a batch where nothing is learned."""
SAVED_EVERY = 300.0
"""What a kill costs at most, s of training."""
KNOWN = (
    # several devices each validate on everything, and so agree
    "It is recommended to use .self.log.*sync_dist",
    # a frozen normalisation is meant
    "Found .* in eval mode at the start of training",
    # resuming is meant to find checkpoints, and a small data set may have fewer batches than a log line
    "Checkpoint directory .* is not empty",
    "The number of training batches",
    # Lightning's own use of torch
    ".*treespec, LeafSpec.*",
)
"""What Lightning says about good practice that we know of."""


def train(
    dataset_dir: str | Path,
    run_dir: str | Path,
    config: TrainConfig,
    *,
    progress: bool = False,
    accelerator: str = "auto",
    devices: int | Literal["auto"] = 1,
    loading: Loading | None = None,
    start: Pretrained | None = None,
) -> dict[str, Any]:
    """Train in ``run_dir``, or go on where it was last saved; a finished run returns at once.

    Args:
        dataset_dir: a finished data set.
        run_dir: made if absent.
        config: how.
        progress: draw a progress bar on stderr.
        accelerator: Lightning's word: "auto", "cpu", "gpu".
        devices: how many GPUs share each batch, or processes where there is none; "auto" is every GPU. With more than
            one, Lightning's DDP starts the program that calls this once more for each of the others.
        loading: memory of the loader, resampling by class.
        start: trained weights to start from; None: random ones.

    Returns:
        The content of ``result.json``.

    Raises:
        InvalidConfig: ``run_dir`` holds a run of other settings (they are listed); devices that are not there, or do
            not divide a batch; training diverges.
        IncompatibleCheckpoint: a file of the run in ``run_dir`` is damaged.
    """
    loading = loading or Loading()
    n_gpus = 0 if accelerator == "cpu" else torch.cuda.device_count()
    n_devices = count_devices(devices, n_gpus, config.batch_size)
    dataset, run_dir = Dataset.open(dataset_dir), Path(run_dir)
    # before the folder is claimed: a split that cannot be, or weights that do not fit, leave no trace
    training, validation = split_rows(dataset, config, loading)
    stroke = dataset.manifest["gripper"]["max_width"]
    network = network_for(config.architecture, dataset.config["crop"], stroke)
    description = run_config(dataset, config, loading)
    if start is not None:
        digest = load_pretrained(start, network, config.architecture, dataset.config["crop"])
        description["start"] = {"sha256": digest, "trained": start.trained, "path": str(start.run)}
    _open_run(run_dir, description)
    if (run_dir / "result.json").is_file():
        return read_result(run_dir)
    if speaks():
        for words in few_objects(dataset.read(["object_id"])["object_id"][validation.rows]):
            _log.warning("validation: %s", words)
    if start is None:
        _begin(network, training, config.seed, run_dir)
    # a third faster on a CPU, and twice with bfloat16: oneDNN's own layout
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trainer = new_trainer(run_dir, config, progress, accelerator, n_devices)
    part = Part(trainer.global_rank, trainer.world_size)
    stream = GraspStream(training, config.batch_size, config.seed, loading.positive_weight, part)
    gpu = trainer.strategy.root_device.type != "cpu"
    precision = computed_in(config.precision, gpu, trainer.world_size)
    # a batch is never larger than an epoch, and the rate falls by what is drawn
    working = dataclasses.replace(config, precision=precision, batch_size=stream.batch_size)
    module = GraspModule(network, working, stream.n_per_epoch)
    held_out = GraspStream(validation, ORDERED_BATCH)
    seconds = _fit(trainer, module, stream, held_out, run_dir)
    if trainer.is_global_zero:
        best = _restore_best(module, run_dir, trainer.strategy.root_device)
        said = _describe(module, stream, held_out, seconds, trainer)
        _write_result(network, {**said, "best_epoch": best}, run_dir)
    trainer.strategy.barrier()
    return read_result(run_dir)


def count_devices(devices: int | Literal["auto"], n_gpus: int, batch_size: int) -> int:
    """How many devices share each batch.

    Raises:
        InvalidConfig: fewer than one, more than there are GPUs, or a number that does not divide the batch.
    """
    n = max(1, n_gpus) if devices == "auto" else devices
    if not 1 <= n <= (n_gpus or n):
        raise InvalidConfig(
            f"{n} devices: expected 1 to {n_gpus}"
            if n_gpus
            else f"{n} devices: expected at least 1"
        )
    if batch_size % n:
        raise InvalidConfig(f"batch_size {batch_size} on {n} devices: expected a multiple of {n}")
    return n


def speaks() -> bool:
    """Whether this process speaks for those of all devices."""
    return rank_zero_only.rank == 0  # type: ignore[attr-defined]


def _begin(network: Network, training: GraspRows, seed: int, run_dir: Path) -> None:
    """Draw weights, and take the normalisation from the training rows."""
    network.initialise(torch.Generator().manual_seed(seed))
    if not _last_checkpoint(run_dir).is_file():  # it holds them
        normalise(network, GraspStream(training, ORDERED_BATCH))


def split_rows(
    dataset: Dataset, config: TrainConfig, loading: Loading
) -> tuple[GraspRows, GraspRows]:
    """Training and validation rows; the memory allowed is shared out by their number."""
    sides = split_as(dataset, dataclasses.asdict(config))
    success = dataset.targets(config.target, config.success_threshold)
    n = sum(map(len, sides))
    training, validation = (
        GraspRows(dataset, rows, success, loading.memory * GIBIBYTE * len(rows) / n)
        for rows in sides
    )
    return training, validation


def run_config(dataset: Dataset, config: TrainConfig, loading: Loading) -> dict[str, Any]:
    """What ``config.json`` of a run holds."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "train": dataclasses.asdict(config),
        "loading": dataclasses.asdict(loading),
        "start": None,
        "crop": dataset.config["crop"],
        "gripper": dataset.manifest["gripper"]["name"],
        "hand": [dataset.manifest["gripper"][name] for name in TOLD],
        "dataset": {"path": str(dataset.path), **describe(dataset)},
    }


@torch.no_grad()
def predict_log_odds(network: torch.nn.Module, batches: Iterable[GraspBatch]) -> np.ndarray:
    """Return the network's log-odds of every row, float64, without noise."""
    network.eval()
    device = next(network.parameters()).device
    parts = [
        network(batch.crop.to(device), batch.depth.to(device), batch.hand.to(device))
        .double()
        .cpu()
        .numpy()
        for batch in batches
    ]
    return np.concatenate(parts)


def new_trainer(
    run_dir: Path,
    config: TrainConfig,
    progress: bool,
    accelerator: str,
    n_devices: int,
) -> pl.Trainer:
    """Lightning's trainer; several devices are DDP, and each takes its rows of every batch."""
    folder = run_dir / "checkpoints"
    # two callbacks: with save_last, Lightning writes no last.ckpt after an epoch that is not the best.
    # best comes first, so that last.ckpt remembers which epoch that is
    best, last = (
        Kept(
            folder,
            name,
            monitor=monitor,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        for name, monitor in (("best", "validation_loss"), ("last", None))
    )
    others: list[pl.Callback] = []
    if progress:
        others.append(RichProgressBar(console_kwargs={"stderr": True}))
    if config.patience is not None:
        others.append(_Patience("validation_loss", patience=config.patience))
    # on a CPU the module rounds by itself, faster
    gpu = accelerator not in ("auto", "cpu") or (
        accelerator == "auto" and torch.cuda.is_available()
    )
    autocast = gpu and config.precision == "bfloat16"
    with quiet("lightning.pytorch", logging.WARNING, *KNOWN):
        return pl.Trainer(
            accelerator=accelerator,
            devices=n_devices,
            use_distributed_sampler=False,
            precision="bf16-mixed" if autocast else "32-true",
            max_epochs=config.n_epochs,
            logger=[CSVLogger(run_dir, "logs"), TensorBoardLogger(run_dir, "tensorboard")],
            plugins=[DurableFiles()],
            callbacks=[*others, best, last, _SavedWithin(_last_checkpoint(run_dir))],
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=LOGGED_EVERY,
        )


class _SavedWithin(pl.Callback):
    """Saves within an epoch too: the next step is a function of the weights, the step and the batches taken."""

    def __init__(self, file: Path) -> None:
        self.file, self.saved = file, time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        # after the last batch the epoch's end saves
        if batch_idx + 1 == trainer.num_training_batches:
            return
        # all devices save or none, and seldom ask each other
        if trainer.world_size > 1 and batch_idx % 100:
            return
        if trainer.strategy.broadcast(time.monotonic() - self.saved >= SAVED_EVERY):
            trainer.save_checkpoint(self.file)
            self.saved = time.monotonic()


class _Patience(EarlyStopping):
    """Lightning's, that is at its end too when a run is resumed which had come to it."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = self.wait_count >= self.patience


def _fit(
    trainer: pl.Trainer,
    module: GraspModule,
    training: GraspStream,
    validation: GraspStream,
    run_dir: Path,
) -> float:
    """Train to the last epoch; return how long it took, s."""
    last, begin = _last_checkpoint(run_dir), time.monotonic()
    interrupted = signal.getsignal(signal.SIGINT)
    if trainer.is_global_zero:
        for left in last.parent.glob("*.ckpt.*.tmp"):  # by a kill while it was written
            left.unlink()
    with quiet("lightning.pytorch", logging.WARNING, *KNOWN), kept_memory():
        try:
            trainer.fit(
                module,
                training,
                validation,
                ckpt_path=last if last.is_file() else None,
                weights_only=True,
            )
        except SystemExit as end:
            # Lightning makes an exit with 1 of Ctrl-C
            if isinstance(end.__context__, KeyboardInterrupt):
                raise end.__context__ from None
            raise
        finally:
            # and, after one before the first step, ignores the next; a thread may train, but not set this
            if signal.getsignal(signal.SIGINT) is not interrupted:
                signal.signal(signal.SIGINT, interrupted)
    return time.monotonic() - begin


def _restore_best(module: GraspModule, run_dir: Path, device: torch.device) -> int:
    """Load the epoch with the smallest validation loss; return its number."""
    best = load_checkpoint(run_dir / "checkpoints" / "best.ckpt")
    module.load_state_dict(best["state_dict"])
    module.network.to(device)  # Lightning has taken it back to the CPU
    return int(best["epoch"])


def _describe(
    module: GraspModule,
    stream: GraspStream,
    held_out: GraspStream,
    seconds: float,
    trainer: pl.Trainer,
) -> dict[str, Any]:
    """What was learned from how much, how well and how fast; no rates where a kill left nothing more to learn."""
    training, seen = stream.source, module.n_seen * trainer.world_size
    # before the last validation, which is not timed
    waited = stream.seconds_waited + held_out.seconds_waited
    return {
        "n_train": len(training),
        "n_validation": len(held_out.source),
        "train_positive_share": float((training.success[training.rows] > 0.5).mean()),
        **_validate(module, held_out),
        "seconds": seconds,
        "datapoints_per_second": seen / seconds if seen else None,
        "waited_for_data_share": waited / seconds if seen else None,
        "hardware": hardware(trainer.strategy.root_device, module.config.precision),
        "n_devices": trainer.world_size,
    }


def _validate(module: GraspModule, validation: GraspStream) -> dict[str, Any]:
    """Scores before and after calibration, which is fitted to all rows; an object is judged by that of others."""
    log_odds = predict_log_odds(module.network, validation)
    expect_finite(log_odds, module.config.learning_rate)
    source = validation.source
    success = source.success[source.rows]
    objects = source.dataset.read(["object_id"])["object_id"][source.rows]
    calibrated = calibrated_by_others(log_odds, success, objects)
    return {
        "validation": classification(calibrated, success, log_odds),
        "validation_uncalibrated": classification(Calibration()(log_odds), success, log_odds),
        "calibration": fit_calibration(log_odds, success)._asdict(),
    }


def _write_result(network: Network, result: dict[str, Any], run_dir: Path) -> None:
    save_weights(network.cpu().state_dict(), run_dir / "model.pt")
    write_json(result, run_dir / "result.json")


def _last_checkpoint(run_dir: Path) -> Path:
    return run_dir / "checkpoints" / "last.ckpt"


def _open_run(run_dir: Path, description: dict[str, Any]) -> None:
    """Write ``config.json``, or compare it with the one that is there."""
    run_dir.mkdir(parents=True, exist_ok=True)
    file = run_dir / "config.json"
    if not file.is_file():
        write_json(description, file)
        return
    # through JSON, so that tuples and lists compare equal
    old, new = read_config(file), json.loads(json.dumps(description))
    for description in (old, new):
        for place in ("dataset", "start"):
            (description.get(place) or {}).pop("path", None)
    # a setting that came later was at its default
    was = {**dataclasses.asdict(TrainConfig()), **old["train"]}
    differing = [
        f"{name} {was[name]!r} → {value!r}"
        for name, value in new["train"].items()
        if was[name] != value
    ]
    others = ("dataset", "crop", "gripper", "start", "loading")
    differing += [name for name in others if old.get(name) != new[name]]
    if differing:
        raise InvalidConfig(
            f"{run_dir} holds a run with other settings ({'; '.join(differing)}): "
            "use another folder, or the same settings"
        )
