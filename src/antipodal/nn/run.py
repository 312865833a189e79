"""A finished training run, opened: its network with the best weights, and what it says about itself."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from ..dataset.store import Dataset
from ..errors import IncompatibleCheckpoint, UnknownAsset
from .calibrate import Calibration
from .networks import Network, network_for
from .weights import damaged, load_weights

SCHEMA = 1
"""Version of the run directory's layout."""
DESCRIPTION = ("config", "gripper", "seed", "counts")
"""What a run remembers of its data set's dataset.json."""
REMEDY = "copy the run again, or delete its result.json and run the same train"
"""Of a finished run whose files are damaged."""


@dataclass(frozen=True, eq=False)
class Run:
    """What :func:`antipodal.nn.train.train` left in a folder."""

    path: Path
    network: Network
    calibration: Calibration
    config: dict[str, Any]
    """The content of config.json."""
    result: dict[str, Any]
    """The content of result.json."""

    @property
    def crop_size(self) -> int:
        """Side of the network's crop, px."""
        return int(self.config["crop"]["size"])


def open_run(path: str | Path) -> Run:
    """Load a finished run on the CPU.

    Raises:
        UnknownAsset: no run there, or an unfinished one.
        IncompatibleCheckpoint: another layout, damaged files, or weights that do not fit the architecture it names.
    """
    path = Path(path)
    if not (path / "config.json").is_file():
        raise UnknownAsset(f"no run in {path}: expected a folder that 'antipodal train' has made")
    config = read_config(path / "config.json")
    if config.get("schema") != SCHEMA:
        raise IncompatibleCheckpoint(
            f"{path} has run schema {config.get('schema')}: this release reads {SCHEMA}; train again"
        )
    if not (path / "result.json").is_file():
        raise UnknownAsset(f"the run in {path} is unfinished: run the same train again to resume")
    stroke = config.get("hand", [math.nan])[0]  # runs of 0.1.0 do not say
    network = network_for(config["train"]["architecture"], config["crop"], stroke)
    result = read_result(path)
    weights = load_weights(path / "model.pt", REMEDY)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        found = sum(w.numel() for w in weights.values())
        expected = sum(w.numel() for w in network.state_dict().values())
        raise IncompatibleCheckpoint(
            f"{path}/model.pt holds {found} numbers: {config['train']['architecture']} expects {expected}; "
            "is it from another run?"
        ) from error
    network.eval()
    return Run(path, network, Calibration(**result["calibration"]), config, result)


def read_result(path: Path) -> dict[str, Any]:
    """Read the ``result.json`` of a run.

    Raises:
        IncompatibleCheckpoint: it is damaged.
    """
    try:
        return json.loads((path / "result.json").read_text())
    except (ValueError, OSError) as error:
        raise damaged(path / "result.json", error, REMEDY) from error


def read_config(file: Path) -> dict[str, Any]:
    """Read the ``config.json`` of a run.

    Raises:
        UnknownAsset: it is something else's.
    """
    try:
        config = json.loads(file.read_text())
    except ValueError:
        config = None
    if not isinstance(config, dict) or "train" not in config or "dataset" not in config:
        raise UnknownAsset(
            f"{file.parent} is no training run: expected a folder that 'antipodal train' has made"
        )
    return config


def expect_crops(name: object, crop: Mapping[str, Any], dataset: Dataset) -> None:
    """Refuse a data set of other crops than a network's.

    Raises:
        IncompatibleCheckpoint: names both.
    """
    if crop != dataset.config["crop"]:
        raise IncompatibleCheckpoint(
            f"{name} was trained on crops {crop}: {dataset.path} has {dataset.config['crop']}"
        )


def split_as(
    dataset: Dataset, training: Mapping[str, Any]
) -> tuple[Int[np.ndarray, "T"], Int[np.ndarray, "V"]]:
    """Row numbers that a training, as a run's ``config.json`` has it, learns from, and those that it holds out."""
    seed, n_train = training["seed"], training.get("n_train")
    train, held_out = dataset.split(training["split"], seed, training["train_fraction"])
    if n_train is not None and n_train < len(train):
        train = np.sort(np.random.default_rng(seed).choice(train, n_train, replace=False))
    return train, held_out


def describe(dataset: Dataset) -> dict[str, Any]:
    """What identifies a data set's content, wherever it lies: how it was made, and one hash over its shards'."""
    hashes = "".join(shard["sha256"] for shard in dataset.manifest["shards"])
    described = {name: dataset.manifest[name] for name in DESCRIPTION}
    return {**described, "sha256": hashlib.sha256(hashes.encode()).hexdigest()}
