"""How many datapoints a second a step of training takes, noise and optimiser included, of each network and precision.

    python benchmarks/training.py [--seconds 20] [--network gqcnn compact] [--turns 2]

Random crops in memory, each preset's own batch. The same work four times, turn by turn, each in a process of its own:
in float32 and bfloat16 (float32 again on a processor without it), with glibc as it is and with
:func:`~antipodal.nn.allocator.kept_memory`.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import time
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Literal

import numpy as np
import torch

from antipodal.nn.allocator import kept_memory
from antipodal.nn.config import PRESETS
from antipodal.nn.data import GraspBatch
from antipodal.nn.module import GraspModule, computed_in, make_optimizer
from antipodal.nn.networks import build_network

Precision = Literal["float32", "bfloat16"]
NETWORKS = {"gqcnn": ("paper", 32), "compact": ("compact", 40)}
"""Preset and side of its crops, px."""
WARM_UP = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--network", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    arguments = parser.parse_args()
    cases: list[tuple[Precision, bool]] = [
        ("float32", False), ("float32", True), ("bfloat16", False), ("bfloat16", True)
    ]  # fmt: skip
    has = [name for name, there in torch.cpu.get_capabilities().items() if there is True]
    print(f"{torch.get_num_threads()} threads, {' '.join(n for n in has if '16' in n)}")
    print("network  computes in  memory   datapoints/s")
    for network in arguments.network:
        rates = {case: [] for case in cases}
        for _ in range(arguments.turns):
            for case in cases:
                rates[case].append(in_process(network, *case, arguments.seconds))
        for (precision, kept), found in rates.items():
            memory = "kept" if kept else "glibc's"
            print(
                f"{network:8} {precision:12} {memory:8} {' '.join(f'{rate:.0f}' for rate in found)}"
            )


def in_process(network: str, precision: Precision, kept: bool, seconds: float) -> float:
    """Datapoints/s in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(rate, (network, precision, kept, seconds))


def rate(name: str, precision: Precision, kept: bool, seconds: float) -> float:
    """Datapoints/s of whole steps."""
    preset, size = NETWORKS[name]
    config = dataclasses.replace(PRESETS[preset], precision=computed_in(precision, gpu=False))
    network = build_network(config.architecture, size)
    network.initialise(torch.Generator().manual_seed(0))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = GraspModule(network, config, 1)
    optimizer = make_optimizer(network, config)
    # what the step asks of Lightning
    module.trainer = SimpleNamespace(global_step=0, global_rank=0)  # type: ignore[assignment]
    batch, n = random_batch(config.batch_size, size), 0
    with kept_memory() if kept else nullcontext():
        for _ in range(WARM_UP):
            step(module, batch, optimizer)
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            step(module, batch, optimizer)
            n += config.batch_size
        return n / (time.perf_counter() - begin)


def step(module: GraspModule, batch: GraspBatch, optimizer: torch.optim.Optimizer) -> None:
    module.training_step(batch, 0).backward()
    module.on_after_backward()
    optimizer.step()
    optimizer.zero_grad()


def random_batch(n: int, size: int) -> GraspBatch:
    """A table seen from 0.6 m, roughly."""
    rng = np.random.default_rng(0)
    crop = rng.normal(0.6, 0.02, (n, 1, size, size))
    depth, success = rng.normal(0.6, 0.02, (n, 1)), rng.random(n) > 0.5
    hand = np.tile([0.05, 0.005, 0.01, 0.01, 0.04], (n, 1))
    return GraspBatch(
        *(torch.from_numpy(x.astype(np.float32)) for x in (crop, depth, success, hand))
    )


if __name__ == "__main__":
    main()
