"""Every exception of the package.

Each message says what was wrong, what came, what was expected and what to do.

    AntipodalError
    ├─ InvalidMesh(ValueError)            not watertight where needed, empty, "extents 120 m: millimetres?"
    ├─ InvalidImage(ValueError)           shape does not fit the intrinsics, no valid depth, wrong unit
    ├─ InvalidConfig(ValueError)          unknown field (the known ones are listed), value out of range
    ├─ UnknownAsset(LookupError)          gripper, camera, model or object name; lists what there is
    ├─ NoGraspFound(RuntimeError)         ``Plan.best`` of an empty plan; carries the rejection counts
    ├─ CorruptDataset(OSError)            schema version, missing shard, hash mismatch
    ├─ IncompatibleCheckpoint(ValueError) architecture or input size differ; both are printed
    └─ SimulationDiverged(RuntimeError)   NaN or a runaway body in MuJoCo; carries seed and step

Misuse raises; outcomes are values: a failed lift is a ``TrialResult``, an image without grasps an empty ``Plan``.
"""

from __future__ import annotations

from collections.abc import Mapping


class AntipodalError(Exception):
    """Base of every error that a user can cause and mend."""


class InvalidMesh(AntipodalError, ValueError):
    """A mesh that cannot be used: empty, degenerate, of absurd size, or open where it must be closed."""


class InvalidImage(AntipodalError, ValueError):
    """A depth image or mask that cannot be used: wrong shape, wrong unit, nothing in it."""


class InvalidConfig(AntipodalError, ValueError):
    """A value that is unknown, missing or out of its range."""


class UnknownAsset(AntipodalError, LookupError):
    """A gripper, camera, model, preset or file that is not there."""

    @classmethod
    def named(cls, kind: str, name: str, known: list[str]) -> UnknownAsset:
        """Build the usual message: what was asked for, what exists, how to bring one's own."""
        return cls(
            f"unknown {kind} '{name}': expected one of {', '.join(sorted(known))}, "
            f"or the path of a {kind} file that exists"
        )


class NoGraspFound(AntipodalError, RuntimeError):
    """The plan is empty. ``counts`` says how many candidates each stage rejected."""

    def __init__(self, message: str, counts: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.counts = dict(counts or {})


class CorruptDataset(AntipodalError, OSError):
    """A data set on disk that contradicts its own description."""


class IncompatibleCheckpoint(AntipodalError, ValueError):
    """A network file whose architecture or input differs from what is asked of it."""


class SimulationDiverged(AntipodalError, RuntimeError):
    """The physics engine lost the state. Carries the seed and the step at which it happened."""

    def __init__(self, message: str, seed: int, step: int) -> None:
        super().__init__(message)
        self.seed = seed
        self.step = step
