"""Which unit a folder of meshes is in. Only GLB files say; the sizes of things that one hand can hold do, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InvalidConfig, InvalidMesh
from ..mesh import load_mesh

UNITS = {"m": 1.0, "mm": 0.001, "cm": 0.01, "inch": 0.0254}
"""Metres per unit, by name, in the order in which they are tried."""
PLAUSIBLE_SIZE = (0.005, 1.0)
"""The longest side of a thing for one hand, m: outside it the unit must be wrong."""
TYPICAL_SIZE = (0.02, 0.5)
"""The median longest side of a folder of such things, m: what a guess aims at."""
IN_METRES = ".glb"
"""The one format that says its unit."""
N_MEASURED = 100
"""At most so many files, evenly over the folder, are measured for a guess."""


class Unit(NamedTuple):
    """Metres per unit of the files, and how that is known."""

    factor: float
    reason: str
    """In words; says "guessed" if it is."""


def read_unit(unit: float | str) -> Unit:
    """Take a unit at its word: a name of :data:`UNITS`, or metres per unit, as a number or its digits.

    Raises:
        InvalidConfig: neither a known name nor a positive finite number.
    """
    if unit in UNITS:
        return Unit(UNITS[str(unit)], f"{unit}, as given")
    try:
        factor = float(unit)
    except ValueError:
        factor = np.nan
    if not (np.isfinite(factor) and factor > 0):
        raise InvalidConfig(
            f"mesh unit '{unit}': expected {', '.join(UNITS)}, or metres per unit as a positive number"
        )
    return Unit(factor, f"{factor:g} m, as given")


def guess_unit(files: Sequence[Path]) -> Unit:
    """Guess one unit for all files but GLB: the first of m, mm, cm, inch that makes their median longest side typical.

    Where none does, the first that makes it plausible; else metres. Some sizes fit two units (10 can be a bead in mm or
    an apple in cm): the reason shows the size that follows, so that a person sees a wrong guess.
    """
    others = [path for path in files if path.suffix.lower() != IN_METRES]
    if len(others) < len(files):
        said = "m for GLB, as glTF says"
        guess = guess_unit(others) if others else None
        return guess._replace(reason=f"{guess.reason}; {said}") if guess else Unit(1.0, said)
    step = -(-len(files) // N_MEASURED)
    measured = [_longest_side(path) for path in files[::step]]
    sizes = [size for size in measured if size is not None]
    if not sizes:
        return Unit(1.0, "m: no file could be measured")
    median = float(np.percentile(sizes, 50, method="lower"))  # a size that occurs, even of two
    for low, high in (TYPICAL_SIZE, PLAUSIBLE_SIZE):
        for name, factor in UNITS.items():
            if low <= median * factor <= high:
                reason = (
                    f"{name}, guessed: the longest sides have the median {median:.4g}, "
                    f"that is {100 * median * factor:.3g} cm"
                )
                return Unit(factor, reason)
    return Unit(1.0, f"m: the longest sides have the median {median:.4g}, which fits no usual unit")


def fitting_units(size: float) -> list[str]:
    """Names of the units in which a longest side of ``size`` (in file units) is plausible."""
    return [n for n, f in UNITS.items() if PLAUSIBLE_SIZE[0] <= size * f <= PLAUSIBLE_SIZE[1]]


def _longest_side(path: Path) -> float | None:
    """Longest side in file units; None if the file is unreadable or fits no unit."""
    for factor in (1.0, 0.001):  # load_mesh refuses what is too large or too small to be metres
        try:
            return float(load_mesh(path, factor).extents.max()) / factor
        except InvalidMesh:
            continue
    return None
