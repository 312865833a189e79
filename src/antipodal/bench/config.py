"""What a benchmark run is: everything that its numbers depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import InvalidConfig, UnknownAsset
from ..render.scene import CameraDistribution
from ..sim.trial import TrialConfig
from ..values import config_from_dict
from ..watched import MAX_TIME
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
    camera: str | CameraDistribution = "dexnet"
    """A key of ``scenes.CAMERAS``, or a cell's own."""
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
        if isinstance(self.camera, str) and self.camera not in CAMERAS:
            raise UnknownAsset(
                f"unknown camera set '{self.camera}': expected one of {', '.join(CAMERAS)}"
            )
        errors = self.execution_errors
        if not errors or len(set(errors)) < len(errors) or not all(0 <= e <= 0.05 for e in errors):
            raise InvalidConfig(f"execution errors {errors} m: expected different ones, 0 to 0.05")
        if not 0 < self.time_limit <= MAX_TIME:
            raise InvalidConfig(
                f"time_limit {self.time_limit} s: expected more than 0, at most {MAX_TIME:g}"
            )

    @property
    def cameras(self) -> CameraDistribution:
        """Where trials are seen from."""
        return CAMERAS[self.camera] if isinstance(self.camera, str) else self.camera

    @property
    def camera_name(self) -> str:
        """The same in words."""
        if isinstance(self.camera, str):
            return self.camera
        near, far = self.camera.radius
        steep, flat = np.degrees(self.camera.polar)
        focal = float(np.mean(self.camera.focal_px))
        return (
            f"{self.camera.width} × {self.camera.height} px, f {focal:.0f} px, {near:.2f}–{far:.2f} m away, "
            f"{steep:.0f}–{flat:.0f}° off the vertical"
        )

    def trial_config(self, execution_error: float) -> TrialConfig:
        """The trial at one execution error. The object rests already: it is only looked at for a moment."""
        return replace(
            self.trial,
            settle_window=min(self.trial.settle_window, 0.1),
            position_sigma=execution_error,
            rotation_sigma=execution_error * ROTATION_PER_METRE,
        )


def bench_config(values: Mapping[str, Any]) -> BenchConfig:
    """Read a run's configuration back from its config.json."""
    trial = config_from_dict(TrialConfig, values["trial"], "config.json: trial")
    changed = {
        **values,
        "trial": trial,
        "execution_errors": tuple(values["execution_errors"]),
    }
    if isinstance(camera := values["camera"], Mapping):
        plain = {key: tuple(v) if isinstance(v, list) else v for key, v in camera.items()}
        changed["camera"] = config_from_dict(CameraDistribution, plain, "config.json: camera")
    return config_from_dict(BenchConfig, changed, "config.json: config")
