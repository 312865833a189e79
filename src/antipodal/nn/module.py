"""One optimisation step, as Lightning wants it told."""

from __future__ import annotations

import copy
import math
import platform
from collections.abc import Callable
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .augment import AUGMENTATIONS, augment
from .calibrate import Calibration
from .config import TrainConfig, expect_finite
from .data import GraspBatch
from .networks import Network
from .scores import classification

WARM_UP_FRACTION = 0.1
"""Share of the steps over which AdamW's learning rate rises."""
LOGGED_EVERY = 10
"""Steps."""
VALIDATION_SCORES = ("accuracy", "balanced_accuracy", "average_precision")


class GraspModule(pl.LightningModule):
    """The network with its loss, noise and optimiser."""

    def __init__(self, network: Network, config: TrainConfig, n_train: int) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.n_train = n_train
        self.n_seen = 0
        self._augmentation = AUGMENTATIONS[config.augmentation]
        self._answers: list[tuple[Tensor, Tensor]] = []
        self._sum, self._n_batches = torch.tensor(0.0), 0
        self._rounded: list[Network] = []  # in a list, so that it is no part of the module's state
        self._gradients: list[Tensor] = []

    def training_step(self, batch: GraspBatch, batch_idx: int) -> Tensor:
        crop = self.noisy(batch.crop)
        log_odds = self.working_network()(crop, batch.depth, batch.hand).float()
        loss = self.loss(log_odds, batch.success)
        self.n_seen += len(batch.success)
        accuracy = ((log_odds > 0) == (batch.success > 0.5)).float().mean()
        self._sum = self._sum + torch.stack([loss.detach(), accuracy])
        # seldom: Lightning's log takes a third of what a step costs beside the network
        if (self.global_step + 1) % LOGGED_EVERY == 0:
            self.log("training_loss_step", loss, prog_bar=True)
            self.log("learning_rate", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        self._n_batches += 1
        return loss

    def noisy(self, crop: Tensor) -> Tensor:
        """The crops of this step with its noise, in float32 whatever the network computes in."""
        # a function of seed, step and device: a resumed run draws what an uninterrupted one does, two devices differ
        key = (self.global_rank,) if self.global_rank else ()
        sequence = np.random.SeedSequence([self.config.seed, self.global_step], spawn_key=key)
        state = sequence.generate_state(2)
        seed = int(state[0]) << 31 | int(state[1]) >> 1
        generator = torch.Generator(self.device).manual_seed(seed)
        with torch.autocast(self.device.type, enabled=False):
            return augment(crop, self._augmentation, generator)

    def on_train_epoch_end(self) -> None:
        loss, accuracy = (self._sum / self._n_batches).unbind()
        self.log("training_loss_epoch", loss)
        self.log("training_accuracy", accuracy)
        self._sum, self._n_batches = torch.tensor(0.0), 0

    def loss(self, log_odds: Tensor, success: Tensor) -> Tensor:
        """The softmax' cross-entropy over two logits, written for their difference, successes weighted."""
        weight = log_odds.new_tensor(self.config.positive_loss_weight)
        return functional.binary_cross_entropy_with_logits(log_odds, success, pos_weight=weight)

    def working_network(self) -> Network:
        """The network that computes: on a CPU with bfloat16 a rounded copy, else itself.

        Autocast rounds every weight at every use and leaves the layout to chance; the copy is rounded once a step. The
        optimiser's own weights stay float32.
        """
        if self.config.precision != "bfloat16" or self.device.type != "cpu":
            return self.network
        if not self._rounded:
            self._rounded.append(rounded_copy(self.network))
            self._gradients = [torch.empty_like(p) for p in self.network.parameters()]
        rounded = self._rounded[0]
        with torch.no_grad():
            for ours, theirs in zip(rounded.parameters(), self.network.parameters(), strict=True):
                ours.copy_(theirs)
        for ours, theirs in zip(rounded.modules(), self.network.modules(), strict=True):
            ours.training = theirs.training  # a frozen normalisation stays as it is
        return rounded

    def on_after_backward(self) -> None:
        """Hand the rounded copy's gradients to the optimiser's weights, always in the same memory."""
        for rounded in self._rounded:
            columns = rounded.parameters(), self.network.parameters(), self._gradients
            for ours, theirs, memory in zip(*columns, strict=True):
                theirs.grad = None if ours.grad is None else memory.copy_(ours.grad)
                ours.grad = None

    def validation_step(self, batch: GraspBatch, batch_idx: int) -> None:
        log_odds = self.network(batch.crop, batch.depth, batch.hand).float()
        self._answers.append((log_odds, batch.success))

    def on_validation_epoch_end(self) -> None:
        log_odds, success = (torch.cat(x).double().cpu() for x in zip(*self._answers, strict=True))
        self._answers.clear()
        expect_finite(log_odds.numpy(), self.config.learning_rate)
        self.log("validation_loss", self.loss(log_odds, success).float(), prog_bar=True)
        scores = classification(Calibration()(log_odds.numpy()), success.numpy() > 0.5)
        for name in VALIDATION_SCORES:
            value = scores[name]
            self.log(f"validation_{name}", math.nan if value is None else value)

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(self.network, self.config)
        # not the trainer's estimate: it opens the loader before a checkpoint's place in it is known
        n_steps = self.config.n_epochs * max(1, self.n_train // self.config.batch_size)
        factor = learning_rate_factor(self.config, self.n_train, n_steps)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def hardware(device: torch.device, precision: str) -> str:
    """What computes, and in what."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = str(torch.cpu.get_capabilities().get("cpu_name") or platform.machine())
    return f"{name}, {torch.get_num_threads()} CPU threads, {precision}"


def computed_in(
    precision: Literal["float32", "bfloat16"], gpu: bool, n_devices: int = 1
) -> Literal["float32", "bfloat16"]:
    """What training computes in: float32 on a CPU that would only emulate bfloat16, 15 times slower.

    And in several processes of a CPU: DDP averages the gradients of the network, not of its rounded copy.
    """
    if gpu:
        return precision
    has = torch.cpu.get_capabilities()
    native = any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return precision if native and n_devices == 1 else "float32"


def rounded_copy(network: Network) -> Network:
    """Copy a network with the weights of its convolutions and products in bfloat16; buffers are shared."""
    rounded = copy.deepcopy(network)
    for ours, theirs in zip(rounded.modules(), network.modules(), strict=True):
        for name in theirs._buffers:
            ours._buffers[name] = theirs._buffers[name]
        if isinstance(ours, nn.Conv2d | nn.Linear):
            ours.to(torch.bfloat16)
    return rounded


def make_optimizer(network: Network, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD whose L2 holds for weights and biases, or AdamW whose decay spares biases and normalisations.

    Fused: one pass over the weights instead of four, of 18 million in GQ-CNN.
    """
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(), rate, config.momentum, weight_decay=decay, fused=True
        )
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, rate, weight_decay=decay, fused=True)


def learning_rate_factor(config: TrainConfig, n_train: int, n_steps: int) -> Callable[[int], float]:
    """Return step → factor on the learning rate.

    sgd: decay_rate^⌊step · batch / (decay_epochs · n_train)⌋ (reference §7.4); adamw: linear rise, then a cosine to 0.
    """
    if config.optimizer == "sgd":
        stair = config.decay_epochs * n_train
        return lambda step: config.decay_rate ** math.floor(step * config.batch_size / stair)
    warm_up = max(1, round(WARM_UP_FRACTION * n_steps))

    def cosine(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (
            1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1, n_steps - warm_up)))
        )

    return cosine
