"""What following a grasp takes, remembers and answers (:mod:`antipodal.policy.closed_loop`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from ..grasp import Grasp
from ..values import NOT_NEGATIVE, POSITIVE, POSITIVE_SHARE, expect
from .warm_start import shifted


class Phase(StrEnum):
    """What a frame did to the grasp."""

    PLANNED = "planned"
    """Found from scratch in this frame."""
    TRACKED = "tracked"
    """Carried along with the object, and refined unless it is partly hidden or the hand is on its way in."""
    BLOCKED = "blocked"
    """Carried along with the object, but may not be executed now: something is in its way, or it is not as asked."""
    SWITCHED = "switched"
    """Given up for one that has been clearly better for several frames, or after as many in which it was blocked."""
    COASTED = "coasted"
    """Not seen; moved on with its last velocity."""
    LOST = "lost"
    """There is none: nothing was found, or the object is gone that a hand is on its way to."""


@dataclass(frozen=True)
class ClosedLoopConfig:
    """How a grasp is followed. Defaults: frames at 20 Hz, objects at up to 0.1 m/s."""

    n_candidates: int = 40
    """Drawn around the grasp in each frame."""
    position_sigma: float = 0.005
    """Their spread across the approach, m."""
    depth_sigma: float = 0.003
    """Along the approach, m."""
    angle_sigma: float = 0.12
    """About the approach, rad."""
    n_challengers: int = 16
    """Antipodal candidates drawn anywhere in the window, to find a better grasp."""
    elite_fraction: float = 0.25
    """Share of the candidates whose mean is the frame's measurement, in (0, 1]."""
    smoothing_time: float = 0.3
    """Time constant of the low-pass on the grasp's place and angle on its object, s."""
    position_gain: float = 0.85
    """α: share of the innovation that goes into the object's place, in (0, 1]. Both gains fall where less than half of
    it is in sight."""
    velocity_gain: float = 0.7
    """β: the share that goes, over the time since it was seen, into its velocity, in (0, 1]."""
    turning_time: float = 0.15
    """Time constant of the mean velocity that ``Tracked.turning`` is measured against, s."""
    max_speed: float = 0.5
    """What seems faster than this is not the same object, m/s."""
    switch_margin: float = 0.15
    """A challenger is clearly better if its quality is higher by this."""
    switch_frames: int = 3
    """So often in a row."""
    switch_distance: float = 0.015
    """Nearer than this is the same grasp, m, …"""
    switch_angle: float = 0.35
    """… if its closing axis differs by less than this, rad."""
    window_radius: float = 0.12
    """What is looked at around the grasp, m."""
    min_seen_fraction: float = 0.15
    """The object counts as seen if this share of what it looked like is in sight."""
    max_coast: float = 0.5
    """After so long without seeing the object it is planned from scratch, or, if committed, lost where the camera sees
    past its place, s; …"""
    max_blocked: float = 1.5
    """… after so long without a candidate that may be executed too: one noisy frame says little."""

    def __post_init__(self) -> None:
        positive = ("position_sigma", "depth_sigma", "angle_sigma", "smoothing_time", "max_speed")
        positive += ("n_candidates", "switch_frames", "window_radius", "turning_time")
        expect(self, "closed loop", POSITIVE, *positive)
        expect(
            self,
            "closed loop",
            NOT_NEGATIVE,
            "n_challengers",
            "switch_margin",
            "switch_distance",
            "switch_angle",
            "max_coast",
            "max_blocked",
        )
        expect(
            self,
            "closed loop",
            POSITIVE_SHARE,
            "elite_fraction",
            "position_gain",
            "velocity_gain",
            "min_seen_fraction",
        )


DEFAULT_CLOSED_LOOP = ClosedLoopConfig()
"""For a depth camera at 20 Hz, 0.2–0.8 m away."""


@dataclass(frozen=True, eq=False)
class Tracked:
    """The answer to one frame."""

    grasp: Grasp | None
    """Single, fixed frame: the world if the image has its pose, else the camera. None = lost."""
    velocity: Float[np.ndarray, "3"]
    """Of the object, fixed frame, m/s."""
    quality: float
    """Predicted probability of success of the grasp, smoothed; 0 = blocked or lost."""
    phase: Phase
    reason: str = ""
    """Why it was planned, switched, coasted, blocked or lost; empty where it is simply tracked."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Candidates of this frame by what became of them."""
    turning: float = 0.0
    """How much the velocity has changed of late, m/s: while it changes, where the grasp will be is a guess."""
    warnings: tuple[str, ...] = ()
    """Of the plan that this grasp comes from, a line each: a camera's pose or a unit that the image contradicts."""

    def ahead(self, seconds: float) -> Grasp | None:
        """Where the grasp will be: moved on with the velocity."""
        return None if self.grasp is None else shifted(self.grasp, seconds * self.velocity)


@dataclass(frozen=True, eq=False)
class Track:
    """What is remembered of the frames before; fixed frame."""

    time: float
    grasp: Grasp
    quality: float
    velocity: Float[np.ndarray, "3"]
    mean_velocity: Float[np.ndarray, "3"]
    """Low-passed."""
    points: Float[np.ndarray, "P 3"]
    """Of the object, as it was last seen whole, where it is now."""
    pixel_area: float
    """Of one of their pixels then, m²."""
    open_border: float
    """Share of its rim that had depth when it was planned for."""
    alone: bool
    """Whether it was the only object in the window when it was last seen."""
    seen_at: float
    """When the object was last seen, s."""
    free_at: float
    """When a candidate around the grasp was last free, s."""
    warnings: tuple[str, ...]
    """Of the plan."""
    reason: str = ""
    """Why it coasts, if it does."""
    challenger: Grasp | None = None
    n_challenged: int = 0
    n_blocked: int = 0
    """Frames in a row in which it might not be executed, though a candidate around it might."""
    gone: bool = False
    """Whether the camera saw past its place, and has not seen it since."""
