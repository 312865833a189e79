"""The networks by name, and what they share: metres in, log-odds out, normalisation in buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..errors import InvalidConfig
from .compact import Compact, CompactConfig
from .data import GraspBatch, Normalisation, normalisation
from .gqcnn import GQCNN, GQCNN_2_0_TWO_POOLS, GQCNNConfig

Network = GQCNN | Compact
"""(crop (N, 1, S, S) m, depth (N, 1) m, hand (N, 5) m) → (N) log-odds of success."""

ARCHITECTURES: dict[str, Callable[[int], Any]] = {
    "gqcnn": lambda size: GQCNN(GQCNNConfig(size)),
    "gqcnn_two_pools": lambda size: GQCNN(replace(GQCNN_2_0_TWO_POOLS, input_size=size)),
    "compact": lambda size: Compact(CompactConfig(size)),
}
"""Name → network for crops of ``size`` px."""


def build_network(architecture: str, crop_size: int = 32) -> Network:
    """Return the network of that name with undefined weights.

    Raises:
        InvalidConfig: an unknown name; lists the known ones.
    """
    if architecture not in ARCHITECTURES:
        raise InvalidConfig(
            f"architecture '{architecture}': expected one of {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[architecture](crop_size)


def network_for(architecture: str, crop: Mapping[str, Any], stroke: float) -> Network:
    """Return the network of that name for crops as a data set describes them, of a hand of that stroke, m.

    Crops whose window is in pixels count as two strokes wide.
    """
    network = build_network(architecture, int(crop["size"]))
    if isinstance(network, Compact) and crop["window_m"] is not None:
        network.config = replace(network.config, window_strokes=round(crop["window_m"] / stroke, 6))
    return network


def normalise(network: Network, batches: Iterable[GraspBatch]) -> None:
    """Give a network the statistics of what it sees: depths in its own hand's size, if it is told of the hand."""
    if isinstance(network, Compact):
        batches = (b._replace(depth=b.depth / network.scale(b.hand)) for b in batches)
    set_normalisation(network, normalisation(batches))


def set_normalisation(network: Network, statistics: Normalisation) -> None:
    """Write those of the statistics that the network uses into its buffers."""
    buffers = dict(network.named_buffers())
    for name, value in statistics._asdict().items():
        if name in buffers:
            buffers[name].fill_(value)
