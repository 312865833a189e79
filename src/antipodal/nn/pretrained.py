"""Start from trained weights instead of random ones (fine-tuning, reference §7.7)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn

from ..errors import IncompatibleCheckpoint, InvalidConfig
from .networks import Network
from .run import open_run


@dataclass(frozen=True)
class Pretrained:
    """Where the weights come from, and which of them are trained on."""

    run: Path
    """A finished training run."""
    trained: Literal["all", "head"] = "all"
    """"head": convolutions and batch statistics stay as they are, as Dex-Net 2.1 was trained [Mahler17b]."""

    def __post_init__(self) -> None:
        if self.trained not in ("all", "head"):
            raise InvalidConfig(f"trained '{self.trained}': expected all or head")


def load_pretrained(
    start: Pretrained, network: Network, architecture: str, crop: dict[str, object]
) -> str:
    """Copy the weights and the normalisation of a run into ``network``; return the SHA-256 of the weights.

    Raises:
        UnknownAsset: no finished run there.
        IncompatibleCheckpoint: another architecture or another size of crop; prints both. Another window is another
            gripper's (``GenerativeModel.window_strokes``): what training is to get used to.
    """
    run = open_run(start.run)
    theirs = (run.config["train"]["architecture"], run.config["crop"])
    if (theirs[0], theirs[1]["size"]) != (architecture, crop["size"]):
        raise IncompatibleCheckpoint(
            f"{start.run} is {theirs[0]} on crops {theirs[1]}: expected {architecture} on {crop} to start from"
        )
    network.load_state_dict(run.network.state_dict())
    if start.trained == "head":
        freeze_convolutions(network)
    digest = hashlib.sha256()
    for name, weight in sorted(run.network.state_dict().items()):
        digest.update(name.encode() + weight.numpy().tobytes())
    return digest.hexdigest()


def freeze_convolutions(network: nn.Module) -> None:
    """Leave only the dense layers to the optimiser."""
    network.requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            layer.requires_grad_(True)
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()  # its averages are weights too; Lightning leaves the mode of a layer as it finds it
