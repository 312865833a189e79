"""How to train, as one frozen value, and its presets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..dataset.schema import SUCCESS_THRESHOLD
from ..dataset.store import TARGETS, SplitName, TargetName
from ..errors import InvalidConfig
from ..values import AT_LEAST_ONE, POSITIVE, expect
from .augment import AUGMENTATIONS
from .networks import ARCHITECTURES

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The defaults are the paper's, where it is silent those of the released code (reference §7.4)."""

    architecture: Literal["gqcnn", "gqcnn_two_pools", "compact"] = "gqcnn"
    split: SplitName = "image_wise"
    """What validation keeps apart: single datapoints, stable poses or whole objects."""
    train_fraction: float = 0.8
    """Share of the split's groups that trains, (0, 1)."""
    n_train: int | None = None
    """Datapoints of the training side that are used, drawn with ``seed``; None: all."""
    seed: int = 24098
    """Of the split, the weights, the batches' order and the noise."""
    n_epochs: int = 5
    patience: int | None = None
    """Epochs in a row without a smaller validation loss that end training; None: never."""
    batch_size: int = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """"sgd": momentum and a staircase; "adamw": decoupled decay, a linear warm-up, then a cosine to 0."""
    learning_rate: float = 0.01
    """Of the first step (sgd), or the highest (adamw)."""
    momentum: float = 0.9
    """Only sgd."""
    weight_decay: float = 5e-4
    """L2: the loss has + decay · Σ w²/2 over weights and biases (sgd); decoupled and without biases (adamw)."""
    decay_rate: float = 0.95
    """Factor on the learning rate at each stair; only sgd."""
    decay_epochs: float = 0.66
    """Length of a stair, epochs; only sgd."""
    augmentation: Literal["paper", "paper_low", "paper_high", "sensor", "none"] = "paper"
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of convolutions and products in training, where the processor has it (else float32); the optimiser's weights,
    noise, normalisation and loss stay float32."""
    target: TargetName = "robust"
    """What is learned: the paper's label, or the probability of success as executed (``Dataset.targets``)."""
    positive_loss_weight: float = 1.0
    """Of a success in the cross-entropy that is trained on and chooses the epoch, of a failure 1 (reference §7.5)."""
    success_threshold: float = SUCCESS_THRESHOLD
    """δ: a grasp is a success if its robust ε exceeds it."""

    def __post_init__(self) -> None:
        for name, known in (
            ("architecture", ARCHITECTURES),
            ("optimizer", ("sgd", "adamw")),
            ("augmentation", AUGMENTATIONS),
            ("precision", PRECISIONS),
            ("target", TARGETS),
        ):
            if getattr(self, name) not in known:
                raise InvalidConfig(
                    f"train {name} '{getattr(self, name)}': expected one of {', '.join(known)}"
                )
        limits = (name for name in ("patience", "n_train") if getattr(self, name) is not None)
        expect(self, "train", AT_LEAST_ONE, "n_epochs", "batch_size", *limits)
        if not 0 <= self.seed < 2**63:
            raise InvalidConfig(f"train seed {self.seed}: expected 0 to 2⁶³ − 1")
        expect(
            self,
            "train",
            POSITIVE,
            "learning_rate",
            "decay_rate",
            "decay_epochs",
            "positive_loss_weight",
        )
        if not 0 < self.train_fraction < 1:
            raise InvalidConfig(f"train_fraction {self.train_fraction}: expected between 0 and 1")
        if not (0 <= self.momentum < 1 and self.weight_decay >= 0):
            raise InvalidConfig(
                f"train momentum {self.momentum}, weight_decay {self.weight_decay}: expected [0, 1) and ≥ 0"
            )


PAPER_TRAINING = TrainConfig()
COMPACT_TRAINING = TrainConfig(
    architecture="compact",
    split="object_wise",
    train_fraction=0.9,
    n_epochs=3,
    batch_size=256,
    optimizer="adamw",
    learning_rate=3e-3,
    weight_decay=0.02,
    augmentation="sensor",
    precision="bfloat16",
    target="success",
)
PRESETS = {
    "paper": PAPER_TRAINING,
    "two_pools": dataclasses.replace(PAPER_TRAINING, architecture="gqcnn_two_pools"),
    "compact": COMPACT_TRAINING,
}
"""Settings by the name that the command line uses."""


def expect_finite(log_odds: np.ndarray, learning_rate: float) -> None:
    """Refuse a network that has no answer.

    Raises:
        InvalidConfig: log-odds of validation that are not finite: training has diverged.
    """
    if n := int((~np.isfinite(log_odds)).sum()):
        raise InvalidConfig(
            f"training diverged at learning_rate {learning_rate:g}: {n} of {len(log_odds)} answers on validation are "
            "not finite; lower the --learning-rate, and train into a new folder"
        )
