"""Train the dense network on labelled views, and write it, calibrated, as :mod:`antipodal.dense_quality` reads it."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from ..dataset.dense import LabelledViews
from ..dense_quality import WindowQuality, load_window_quality
from ..errors import IncompatibleCheckpoint
from ..files import claim, publishing, write_json
from ..gripper import GripperModel
from ..policy.height_window import CELL, MARGIN, N_ANGLES, SIDES, SIZE, TIP_DEPTHS
from ..quality import METADATA_SCHEMA
from ..scores import area_under_roc, expected_calibration_error
from .calibrate import Calibration, fit_calibration
from .config import expect_finite
from .dense import DenseNetwork
from .export import MAX_DIFFERENCE, save_graph
from .weights import load_weights, save_weights

SHAPE = (N_ANGLES, len(TIP_DEPTHS), SIZE, SIZE)
"""Of the answer on one window."""


@dataclass(frozen=True)
class DenseTraining:
    """How it is trained."""

    n_epochs: int = 12
    batch_size: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    validation_share: float = 0.08
    """Of the views, the last of them: but for at most one, of other objects."""
    n_proposed: int = 16
    """The best entries of a view, by which the validation judges."""
    seed: int = 0


class Batch(NamedTuple):
    """Some windows with their labels."""

    height: Float[Tensor, "B 1 S S"]
    place: Int[Tensor, "B N"]
    quality: Float[Tensor, "B N"]
    weight: Float[Tensor, "B N"]
    """0 where a label's surroundings are cut off."""


def train_dense(
    views: LabelledViews,
    directory: str | Path,
    config: DenseTraining,
    report: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train, or go on where it was interrupted; ``directory`` holds ``last.pt`` and ``metrics.json``.

    Raises:
        InvalidConfig: ``directory`` holds a training of other settings or on other views.
        IncompatibleCheckpoint: its ``last.pt`` is damaged.
    """
    directory = Path(directory)
    digest = hashlib.sha256()
    for column in views:
        digest.update(column.tobytes())
    told = {**asdict(config), "views": digest.hexdigest()}
    claim(directory / "config.json", told, "training")
    torch.manual_seed(config.seed)
    network = DenseNetwork()
    n_validation = max(1, round(config.validation_share * len(views.height)))
    train, held_out = (
        LabelledViews(*(column[some] for column in views))
        for some in (slice(None, -n_validation), slice(-n_validation, None))
    )
    n_steps = math.ceil(len(train.height) / config.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=n_steps * config.n_epochs, pct_start=0.15
    )
    first, history = 0, []
    if (directory / "last.pt").is_file():
        state = load_weights(
            directory / "last.pt", "restore or delete it, and the same training begins anew"
        )
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first, history = state["epoch"], state["history"]
    for epoch in range(first, config.n_epochs):
        network.train()
        total = 0.0
        for batch in batches(train, config, np.random.default_rng([config.seed, epoch])):
            optimizer.zero_grad()
            loss = loss_of(network, batch)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        scores = {
            "epoch": epoch + 1,
            "loss": total / n_steps,
            **validate(network, held_out, config),
        }
        expect_finite(np.array([scores["validation_loss"]]), config.learning_rate)
        history.append(scores)
        _save(directory, network, optimizer, schedule, epoch + 1, history)
        if report:
            report(scores)
    return {
        "config": asdict(config),
        "n_train": len(train.height),
        "n_validation": n_validation,
        "parameters": sum(p.numel() for p in network.parameters()),
        **history[-1],
    }


def loss_of(network: DenseNetwork, batch: Batch) -> Tensor:
    """Cross-entropy with the labels."""
    features = network.features(batch.height.to(memory_format=torch.channels_last))
    chosen = network.head_at(features, batch.place)
    loss = functional.binary_cross_entropy_with_logits(
        chosen, batch.quality, batch.weight, reduction="sum"
    )
    return loss / batch.weight.sum().clamp(min=1.0)


def batches(
    views: LabelledViews, config: DenseTraining, rng: np.random.Generator
) -> Iterator[Batch]:
    """Shuffled batches, each turned and mirrored in one of the square's eight ways and cut to one of the sides."""
    order = rng.permutation(len(views.height))
    for start in range(0, len(order), config.batch_size):
        some = np.sort(order[start : start + config.batch_size])
        a, b, c = rng.integers(2, size=3) > 0
        height, place = moved(views.height[some].astype(np.float32), views.place[some], (a, b, c))
        side = int(rng.choice(SIDES))
        yield cut(height, place, views.quality[some], side)


def cut(
    height: Float[np.ndarray, "B S S"],
    place: Int[np.ndarray, "B N"],
    quality: Float[np.ndarray, "B N"],
    side: int,
) -> Batch:
    """Cut windows to their middle; labels whose margin is cut off weigh nothing."""
    rim = (SIZE - side) // 2
    channel, x, y = place // SIZE**2, place // SIZE % SIZE - rim, place % SIZE - rim
    least = MARGIN if rim else 0
    inside = (np.minimum(x, y) >= least) & (np.maximum(x, y) < side - least)
    place = np.where(inside, (channel * side + x) * side + y, 0)
    return Batch(
        torch.from_numpy(np.ascontiguousarray(height[:, rim : rim + side, rim : rim + side]))[
            :, None
        ],
        torch.from_numpy(place.astype(np.int64)),
        torch.from_numpy(quality.astype(np.float32) / 255),
        torch.from_numpy(inside.astype(np.float32)),
    )


def moved(
    height: Float[np.ndarray, "B S S"],
    place: Int[np.ndarray, "B N"],
    how: tuple[bool, bool, bool],
) -> tuple[Float[np.ndarray, "B S S"], Int[np.ndarray, "B N"]]:
    """Mirror x, mirror y, swap x and y, each if ``how`` says so, with the angles that the closing axes then have.

    θ → π − θ where one axis is mirrored, θ → π/2 − θ where they are swapped.
    """
    a, d, x, y = np.unravel_index(place, SHAPE)
    if how[0]:
        height, x, a = height[:, ::-1], SIZE - 1 - x, N_ANGLES - 1 - a
    if how[1]:
        height, y, a = height[:, :, ::-1], SIZE - 1 - y, N_ANGLES - 1 - a
    if how[2]:
        height, x, y, a = height.swapaxes(1, 2), y, x, (N_ANGLES // 2 - 1 - a) % N_ANGLES
    return np.ascontiguousarray(height), np.ravel_multi_index((a, d, x, y), SHAPE)


def validate(
    network: DenseNetwork, views: LabelledViews, config: DenseTraining
) -> dict[str, float]:
    """Cross-entropy, and what the best labelled entry is worth: of all, and of the ``n_proposed`` told best."""
    losses, best, proposed = [], [], []
    for log_odds, quality in answers(network, views):
        loss = functional.binary_cross_entropy_with_logits(log_odds, quality)
        losses.append(loss.item())
        top = log_odds.topk(config.n_proposed).indices
        best.append(quality.max().item())
        proposed.append(quality[top].max().item())
    return {
        "validation_loss": float(np.mean(losses)),
        "best": float(np.mean(best)),
        "best_of_proposed": float(np.mean(proposed)),
    }


@torch.no_grad()
def answers(
    network: DenseNetwork, views: LabelledViews
) -> Iterator[tuple[Float[Tensor, "N"], Float[Tensor, "N"]]]:
    """Log-odds and labels of the labelled entries, view by view."""
    network.eval()
    for k in range(len(views.height)):
        some = slice(k, k + 1)
        height = views.height[some].astype(np.float32)
        batch = cut(height, views.place[some], views.quality[some], SIZE)
        yield network.head_at(network.features(batch.height), batch.place)[0], batch.quality[0]


def calibrate_dense(
    network: DenseNetwork, fitted: LabelledViews, judged: LabelledViews
) -> tuple[DenseNetwork, dict[str, Any]]:
    """Return the network whose answers are log-odds of success, and how good they are.

    Args:
        network: orders entries; its answer is scaled and offset.
        fitted: views whose labels are the truth, …
        judged: … and others, of other objects, that say how well it is met.
    """
    log_odds, truth = _told(network, fitted)
    calibration = fit_calibration(log_odds, truth)
    calibrated = copy.deepcopy(network)
    assert calibrated.head.bias is not None
    with torch.no_grad():
        calibrated.head.weight.mul_(calibration.scale)
        calibrated.head.bias.mul_(calibration.scale).add_(calibration.offset)
    log_odds, truth = _told(network, judged)
    return calibrated, {
        "calibration": calibration._asdict(),
        "n_judged": len(truth),
        "mean_truth": float(truth.mean()),
        "ece_before": expected_calibration_error(Calibration()(log_odds), truth),
        "ece": expected_calibration_error(calibration(log_odds), truth),
        "auc": area_under_roc(log_odds, truth > 0.5),
    }


def _told(
    network: DenseNetwork, views: LabelledViews
) -> tuple[Float[np.ndarray, "M"], Float[np.ndarray, "M"]]:
    """Log-odds and labels of all labelled entries."""
    columns = zip(*answers(network, views), strict=True)
    log_odds, truth = (np.concatenate(column).astype(float) for column in columns)
    return log_odds, truth


def write_dense(
    network: DenseNetwork, path: str | Path, gripper: GripperModel, training: Mapping[str, Any]
) -> float:
    """Write the network as ONNX with what its cells are; return the largest difference from torch in quality.

    Raises:
        IncompatibleCheckpoint: it differs by more than 1e-4: the file is not written.
    """
    path = Path(path)
    graph = network.eval()
    metadata = {
        "schema": METADATA_SCHEMA,
        "architecture": "dense",
        "gripper": gripper.name,
        "crop": {"size": SIZE, "window_m": SIZE * CELL * gripper.max_width},
        "cells": {
            "sides": list(SIDES),
            "margin": MARGIN,
            "angles": N_ANGLES,
            "tip_depths": list(TIP_DEPTHS),
        },
        "training": dict(training),
    }
    side = torch.export.Dim("quarter_side", min=4, max=1024)
    example = {"height": torch.zeros(1, 1, SIZE, SIZE)}
    with publishing(path) as part:
        shapes = ({2: 4 * side, 3: 4 * side},)
        save_graph(graph, example, shapes, metadata, part, output="log_odds")
        difference = _difference(network, load_window_quality(part))
        if difference > MAX_DIFFERENCE:
            raise IncompatibleCheckpoint(
                f"the written network differs from torch by {difference:.2g} in quality: expected {MAX_DIFFERENCE:g}"
            )
    return difference


def _difference(network: DenseNetwork, told: WindowQuality) -> float:
    """Largest difference in quality on random windows of each side."""
    largest = 0.0
    for side in told.sides:
        height = torch.rand(side, side, generator=torch.Generator().manual_seed(side))
        with torch.no_grad():
            want = torch.sigmoid(network(height[None, None])[0]).flatten().numpy()
        found = told(height.numpy(), np.argwhere(np.ones((side, side), bool))).ravel()
        largest = max(largest, float(np.abs(want - 1 / (1 + np.exp(-found))).max()))
    return largest


def _save(
    directory: Path,
    network: DenseNetwork,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    epoch: int,
    history: list[dict[str, Any]],
) -> None:
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "epoch": epoch,
        "history": history,
    }
    save_weights(state, directory / "last.pt")
    write_json(history, directory / "metrics.json")
