"""What a benchmark run is: everything that its numbers depend on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import InvalidConfig, UnknownAsset
from ..sim.trial import TrialConfig
from .scenes import CAMERAS

ROTATION_PER_METRE = float(np.deg2rad(0.5)) / 0.002
"""rad/m: the protocol's 0.5° go with its 2 mm; other execution errors keep the ratio."""


@dataclass(frozen=True)
class BenchConfig:
    """The protocol's settings that a user may change."""

    n_trials: int = 5
    """Trials per object."""
    seed: int = 0
    """The only source of randomness."""
    camera: str = "dexnet"
    """A key of ``scenes.CAMERAS``."""
    execution_errors: tuple[float, ...] = (0.002,)
    """Standard deviations of the hand's position, m; the first is the headline's. Each plan is executed at each."""
    time_limit: float = 30.0
    """For one plan, s."""
    trial: TrialConfig = field(default_factory=TrialConfig)
    """Execution: approach, close, lift, carry, shake. Its own error is replaced by ``execution_errors``."""

    def __post_init__(self) -> None:
        if self.n_trials < 1:
            raise InvalidConfig(f"n_trials {self.n_trials}: expected at least 1")
        if self.seed < 0:
            raise InvalidConfig(f"seed {self.seed}: expected 0 or more")
        if self.camera not in CAMERAS:
            raise UnknownAsset(
                f"unknown camera set '{self.camera}': expected one of {', '.join(CAMERAS)}"
            )
        errors = self.execution_errors
        if not errors or len(set(errors)) < len(errors) or not all(0 <= e <= 0.05 for e in errors):
            raise InvalidConfig(f"execution errors {errors} m: expected different ones, 0 to 0.05")
        if not self.time_limit > 0:
            raise InvalidConfig(f"time_limit {self.time_limit} s: expected a positive number")

    def trial_config(self, execution_error: float) -> TrialConfig:
        """The trial at one execution error. The object rests already: it is only looked at for a moment."""
        return replace(
            self.trial,
            settle_window=min(self.trial.settle_window, 0.1),
            position_sigma=execution_error,
            rotation_sigma=execution_error * ROTATION_PER_METRE,
        )
