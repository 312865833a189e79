"""Motions of the hand as velocities, one for each block of simulation steps.

Each starts and ends at rest, and its velocities times the block's length add up to the whole way exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

DWELL = 0.1
"""s at rest after each motion, for the hand to arrive: its servo lags by 20 ms."""


def line(way: np.ndarray, mean_speed: float, block: float) -> Iterator[np.ndarray]:
    """Go along ``way`` (3,) m with the profile s(t) = t/T − sin(2π t/T)/2π, then rest for :data:`DWELL`.

    The largest speed is twice the mean, the largest acceleration 2π v²/d.
    """
    duration = float(np.linalg.norm(way)) / mean_speed
    yield from _blocks(lambda s: way * (s - np.sin(2 * np.pi * s) / (2 * np.pi)), duration, block)
    yield from rest(DWELL, block)


def oscillation(
    amplitude: np.ndarray, frequency: float, n_cycles: int, block: float
) -> Iterator[np.ndarray]:
    """Go A (1 − cos 2πft): the sinusoid of amplitude A (3,) m about its own centre, from rest to rest."""
    yield from _blocks(
        lambda s: amplitude * (1 - np.cos(2 * np.pi * n_cycles * s)), n_cycles / frequency, block
    )
    yield from rest(DWELL, block)


def rest(duration: float, block: float) -> Iterator[np.ndarray]:
    """Stand still."""
    return _blocks(lambda s: np.zeros(3), duration, block)


def _blocks(
    position: Callable[[float], np.ndarray], duration: float, block: float
) -> Iterator[np.ndarray]:
    """Differences of ``position`` over s = t / duration in [0, 1]."""
    n = max(1, round(duration / block))
    for i in range(n):
        yield (position((i + 1) / n) - position(i / n)) / block
