"""Frozen values over numpy arrays: checked and locked on the way in, indexed over their leading axis.

Every value type of the package is a ``@dataclass(frozen=True, eq=False)`` whose ``__post_init__`` passes its
arrays through :func:`array`. Leading axes are batch axes: one grasp has a pose (4, 4), a thousand have (1000, 4, 4).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from . import transforms
from .errors import InvalidConfig, InvalidImage

Config = TypeVar("Config")

EXACT = 1e-6
"""Rotations are left alone that are off by less."""
RIGID_TOLERANCE = 1e-3
"""Largest entry of RᵀR − I: calibration files carry as few as four digits."""


def array(
    x: object,
    shape: tuple[int | None, ...],
    name: str,
    dtype: type = np.float64,
    error: type[ValueError] = InvalidConfig,
) -> np.ndarray:
    """Copy ``x``, check its trailing shape, numbers and finiteness, and lock it.

    Args:
        x: anything numpy understands.
        shape: the required trailing shape; ``None`` stands for any length.
        name: what the message calls it.
        error: the exception class to raise.
    """
    try:
        given = np.asarray(x)
        a = np.array(given, dtype=dtype)
    except (TypeError, ValueError) as cause:  # ragged lists, words
        raise error(f"{name} is not an array of numbers: {cause}") from cause
    n = len(shape)
    trailing = a.shape[a.ndim - n :] if a.ndim >= n else None
    if trailing is None or any(
        want not in (None, got) for want, got in zip(shape, trailing, strict=True)
    ):
        wanted = "(…, " + ", ".join("any" if s is None else str(s) for s in shape) + ")"
        raise error(f"{name} has shape {a.shape}: expected {wanted}")
    if np.issubdtype(a.dtype, np.floating) and not np.isfinite(a).all():
        raise error(
            f"{name} has {int((~np.isfinite(a)).sum())} non-finite entries: expected finite numbers"
        )
    if a.dtype.kind == "i" and given.dtype.kind == "f" and not (given == a).all():
        raise error(f"{name} has fractions: expected whole numbers")
    a.setflags(write=False)
    return a


def rigid(x: object, name: str, ndim: int | None = None) -> np.ndarray:
    """Check and lock rigid transforms (…, 4, 4): orthonormal, no mirror, last row 0 0 0 1.

    Args:
        x: the transforms.
        name: what the message calls them.
        ndim: 2 where a single one is expected; its rotation becomes the nearest exact one, since products of rounded
            ones would be refused.
    """
    T = array(x, (4, 4), name)
    if ndim is not None and T.ndim != ndim:
        raise InvalidConfig(f"{name} has shape {T.shape}: expected one transform (4, 4)")
    if np.abs(T[..., 3, :] - [0, 0, 0, 1]).max(initial=0.0) > RIGID_TOLERANCE:
        raise InvalidConfig(
            f"{name} is not a rigid transform (a last row is not 0 0 0 1): expected T[:3, :3] the rotation, T[:3, 3] "
            "the translation in metres; is it transposed?"
        )
    R = T[..., :3, :3]
    error = np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max(initial=0.0)
    if error > RIGID_TOLERANCE or (np.linalg.det(R) < 0).any():
        raise InvalidConfig(
            f"{name} is not a rigid transform (RᵀR differs from I by {error:.2g}, or it mirrors): "
            "expected an orthonormal rotation, a translation in metres and the last row 0 0 0 1"
        )
    if ndim == 2 and error > EXACT:
        U, _, Vt = np.linalg.svd(R)
        T = transforms.from_rt(U @ Vt, T[:3, 3])
        T.setflags(write=False)
    return T


POSITIVE, NOT_NEGATIVE, AT_LEAST_ONE = "a positive number", "a number ≥ 0", "at least 1"
SHARE, POSITIVE_SHARE = "a share in [0, 1]", "a share in (0, 1]"
RULES: dict[str, Callable[[float], bool]] = {
    POSITIVE: lambda x: x > 0,
    NOT_NEGATIVE: lambda x: x >= 0,
    AT_LEAST_ONE: lambda x: x >= 1,
    SHARE: lambda x: 0 <= x <= 1,
    POSITIVE_SHARE: lambda x: 0 < x <= 1,
}


def expect(config: object, what: str, rule: str, *names: str) -> None:
    """Refuse a setting whose named numbers break a rule; what is no number breaks each.

    Args:
        config: the frozen dataclass.
        what: what the message calls it.
        rule: a key of :data:`RULES`, which the message quotes.
        names: its fields.
    """
    for name in names:
        value = getattr(config, name)
        if not (is_number(value) and RULES[rule](value)):
            raise InvalidConfig(f"{what} {name} {value}: expected {rule}")


def is_number(value: object) -> bool:
    """Whether it is one finite real number; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    return bool(-np.inf < value < np.inf)


def doubled(names: Iterable[str]) -> str | None:
    """Return the first name that comes a second time, or None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def unmasked(x: object) -> np.ndarray:
    """Return an array with 0 where a ``numpy.ma`` array is masked, which others would read the number behind of."""
    filled = getattr(x, "filled", None)  # numpy.ma itself is loaded by those who use it
    return np.asarray(x if filled is None else filled(0))


def as_mask(pixels: np.ndarray, name: str) -> np.ndarray:
    """Return True where an object mask (…) is not 0; nan is no object.

    Args:
        pixels: booleans, whole numbers ≥ 0, or floats of 0 and 1: a probability is nowhere 0.
        name: what the message calls it.

    Raises:
        InvalidImage: other numbers, or none.
    """
    if pixels.dtype.kind not in "biuf":
        raise InvalidImage(
            f"{name} has dtype {pixels.dtype}: expected numbers, non-zero on the object"
        )
    with np.errstate(invalid="ignore"):
        mask, negative = np.asarray(pixels > 0), pixels < 0
    if negative.any():
        raise InvalidImage(
            f"{name} has {int(negative.sum())} negative values: expected 0 off the object, more on it"
        )
    if pixels.dtype.kind == "f" and (odd := mask & (pixels != 1)).any():
        raise InvalidImage(
            f"{name} has floats such as {pixels[odd][0]:.4g}: expected 0 and 1; threshold it"
        )
    return mask


def check_port(port: int) -> None:
    """Refuse what is no TCP port; 0 is any free one."""
    if not 0 <= port < 65536:
        raise InvalidConfig(f"port {port}: expected 0 to 65535")


class Batched:
    """``len``, iteration and indexing over the leading batch axis, for frozen dataclasses of arrays.

    ``_ranks`` gives each array field's rank without batch axes.
    """

    _ranks: ClassVar[dict[str, int]]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes: () for a single value."""
        name, rank = next(iter(self._ranks.items()))
        a = getattr(self, name)
        return a.shape[: a.ndim - rank]

    def _check_batch(self) -> None:
        shapes = {
            n: getattr(self, n).shape[: getattr(self, n).ndim - r] for n, r in self._ranks.items()
        }
        if len(set(shapes.values())) > 1:
            raise InvalidConfig(
                f"{type(self).__name__}: batch shapes differ: {shapes}; expected the same for each"
            )

    def __len__(self) -> int:
        if not self.batch_shape:
            raise TypeError(
                f"a single {type(self).__name__} has no length: give its arrays a leading axis"
            )
        return self.batch_shape[0]

    def __getitem__(self, index: Any) -> Self:
        if not self.batch_shape:
            raise TypeError(
                f"a single {type(self).__name__} cannot be indexed: give its arrays a leading axis"
            )
        part = object.__new__(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            object.__setattr__(part, field.name, getattr(self, field.name))
        for name, rank in self._ranks.items():
            whole = getattr(self, name)
            a = np.asarray(whole[index])
            if a.ndim < rank or a.shape[a.ndim - rank :] != whole.shape[whole.ndim - rank :]:
                raise InvalidConfig(
                    f"{type(self).__name__}: {index!r} reaches past the batch axes {self.batch_shape}"
                )
            # checked when it was made: to check its parts again would be most of a plan's work
            a.setflags(write=False)
            object.__setattr__(part, name, a)
        return part

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))


def config_from_dict(cls: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Build the frozen config dataclass ``cls``; an unknown or missing key is an error that lists the known ones."""
    if not isinstance(values, Mapping):
        raise InvalidConfig(f"{where}: {values!r}: expected keys and values")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise InvalidConfig(
            f"{where}: unknown key {', '.join(unknown)}: expected some of {', '.join(fields)}"
        )
    missing = [
        n
        for n, f in fields.items()
        if n not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InvalidConfig(f"{where}: missing key {', '.join(missing)}: add it")
    return cls(**values)


def check_seed(seed: int) -> None:
    """Refuse what numpy's generators do not take.

    Raises:
        InvalidConfig: a negative seed.
    """
    if seed < 0:
        raise InvalidConfig(f"seed {seed}: expected 0 or more")
