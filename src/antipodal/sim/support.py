"""How the support moves on which an object lies: a path in the plane, sampled. Frame: world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

BLOCK = 0.01
"""s between two samples, and between two commands to the hand."""
LEG = (0.6, 1.4)
"""Shortest and longest time between two turns of a drift, s."""
MAX_ACCELERATION = 0.5
"""Of its turns, m/s²."""
RADIUS = 0.06
"""Beyond it the next direction points back, m."""
Vector = Float[np.ndarray, "3"]


@dataclass(frozen=True, eq=False)
class SupportPath:
    """Motion of the support in the plane, sampled every :data:`BLOCK`; it starts at the origin."""

    position: Float[np.ndarray, "N 3"]
    velocity: Float[np.ndarray, "N 3"]
    acceleration: Float[np.ndarray, "N 3"]

    def at(self, time: float) -> tuple[Vector, Vector, Vector]:
        """Position, velocity and acceleration; at its end it stands."""
        i = round(time / BLOCK)
        if i >= len(self.position):
            return self.position[-1], np.zeros(3), np.zeros(3)
        return self.position[i], self.velocity[i], self.acceleration[i]


def drift(speed: float, duration: float, rng: np.random.Generator) -> SupportPath:
    """Draw a path of constant speed that turns to a new direction at random times, and stays near where it began.

    Args:
        speed: m/s.
        duration: s.
        rng: random state.
    """
    n = round(duration / BLOCK)
    position, velocity, acceleration = (np.zeros((n, 3)) for _ in range(3))
    p, heading = np.zeros(2), rng.uniform(-np.pi, np.pi)
    v, turn_at = speed * _unit(heading), rng.uniform(*LEG)
    for i in range(n):
        if i * BLOCK >= turn_at:
            turn_at += rng.uniform(*LEG)
            heading += rng.uniform(np.pi / 4, np.pi) * rng.choice([-1.0, 1.0])
            if np.linalg.norm(p) > RADIUS:
                heading = np.arctan2(-p[1], -p[0]) + rng.uniform(-np.pi / 4, np.pi / 4)
        change = speed * _unit(heading) - v
        most = MAX_ACCELERATION * BLOCK
        change *= min(1.0, most / max(float(np.linalg.norm(change)), 1e-12))
        position[i, :2], velocity[i, :2], acceleration[i, :2] = p, v, change / BLOCK
        p, v = p + v * BLOCK + change * BLOCK / 2, v + change
    return SupportPath(position, velocity, acceleration)


def _unit(heading: float) -> np.ndarray:
    return np.array([np.cos(heading), np.sin(heading)])
