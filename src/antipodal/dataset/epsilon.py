"""ε of two soft fingers by listing what a facet of their hull can be: the number of ``metrics.ferrari_canny``, faster.

ε is the least distance of a facet of the hull from the origin, and for *every* direction n the support function
h(n) = max_k w_k·n bounds it: ε ≤ h(n)/‖n‖, with equality at the normal of the nearest facet [Ferrari92]. So it is
enough to try a set of directions that holds all facet normals: ε is the least h(n)/‖n‖ of them. No facet has to be
recognised, no tolerance decides, and a direction computed inaccurately can only give too large a bound.

The set is small because each jaw's generators are e edges of a pyramid, which span only three dimensions and are a
polygon in a plane, and two opposite torsions ±t. A facet n·w = 1 meets a polygon in nothing, a corner, an edge or all
of it, and cannot hold both +t and −t. Its normal is fixed by six independent generators, so by one of

* three of each jaw: an edge and a torsion, or the whole polygon: (2e + 1)² directions;
* four of one jaw, the polygon and a torsion, and two of the other, an edge, or a corner and a torsion: 12 e directions.

That needs every facet to miss the origin (ε > 0): see :func:`origin_is_inside`, which finds the grasps with ε = 0 too.
The few that rounding decides go to ``metrics.epsilon``, by qhull.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numba import njit
from numpy.typing import ArrayLike

from ..contact import PAPER_CONTACT_MODEL, Contact, ContactModel
from ..metrics import epsilon, force_closure, wrench_space

MARGIN = 1e-6
"""What lies nearer to a border than this is left to qhull: f near a side, contacts near each other, μ or r near 0."""
PARALLEL = 1e-11
"""Normals at a smaller sine count as parallel: generators that move by δ move ε by δ at most, here by 1e-11 ‖t‖."""
LONGEST = 1000.0
"""Rounding comes to 1e-12 of the longest generator at most: hulls of longer ones (levers of 1 m) are left to qhull."""
FAR = 1e9
"""A side that bounds x beyond this bounds nothing."""


def fast_ferrari_canny(
    contacts: Contact, center_of_mass: ArrayLike, model: ContactModel = PAPER_CONTACT_MODEL
) -> Float[np.ndarray, "*batch"]:
    """Compute ``metrics.ferrari_canny`` to 1e-9, about ten times faster; a ``Metric``, so that ``robust`` takes it.

    0 where a jaw slips and where the hull is flat. The first call in a process loads the compiled code, or compiles it.

    Args:
        contacts: (…, 2), obj frame.
        center_of_mass: (…, 3) m.
        model: friction and torque_scale one per grasp, or one for all.
    """
    values = np.zeros(contacts.point.shape[:-2])
    closed = force_closure(contacts, model=model)
    if model.contact_radius == 0 or not closed.any():
        return values  # hard fingers cannot turn the object about the line: flat
    com = np.broadcast_to(np.asarray(center_of_mass, float), (*closed.shape, 3))
    values[closed] = _ferrari_canny(contacts[closed], com[closed], _at(model, closed))
    return values


class OriginIsInside(NamedTuple):
    """Whether the origin is inside the hull of the generators; neither where rounding would decide."""

    yes: Bool[np.ndarray, "N"]
    no: Bool[np.ndarray, "N"]
    """On its surface: ε = 0."""


def origin_is_inside(contacts: Contact, model: ContactModel) -> OriginIsInside:
    """Test whether a positive sum of all generators vanishes, for N grasps in force closure.

    The torsions cancel out in pairs, so forces are needed strictly inside both pyramids, f and −f, whose moment d × f
    (d = p₁ − p₀) the torsions balance: d × f ∈ span(n₀, n₁), that is f = d + x n₀ × n₁. A pyramid's sides are planes
    c·f = 0, c = cos α t + sin α b − μ cos(π/e) n for the middles α of the polygon's sides: each bounds x.
    """
    line = contacts.point[:, 1] - contacts.point[:, 0]
    distance = np.linalg.norm(line, axis=-1, keepdims=True)
    d = line / np.where(distance > 0, distance, 1.0)
    k = np.cross(contacts.inward_normal[:, 0], contacts.inward_normal[:, 1])
    sine = np.linalg.norm(k, axis=-1, keepdims=True)
    k = k / np.where(sine > 0, sine, 1.0)
    cd, ck = _sides(contacts, model, d), _sides(contacts, model, k)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = np.clip(np.where(ck == 0, -np.copysign(np.inf, cd), -cd / ck), -FAR, FAR)
    width = np.where(ck >= 0, bound, FAR).min(-1) - np.where(ck < 0, bound, -FAR).max(-1)
    distance, sine = distance[:, 0], sine[:, 0]
    soft = np.minimum(model.friction, model.contact_radius) > MARGIN
    full = soft & (distance > MARGIN)  # the generators span all six dimensions
    yes = (cd < -MARGIN).all(-1) | ((sine > MARGIN) & (width > MARGIN))
    no = np.where(sine > MARGIN, width < -MARGIN, (sine <= PARALLEL) & (cd >= 0).any(-1))
    return OriginIsInside(full & yes, full & no & ~yes)


def epsilon_inside(
    wrench_space: Float[np.ndarray, "N K 6"], n_edges: int
) -> Float[np.ndarray, "N"]:
    """ε of N hulls that hold the origin inside: generators as ``metrics.wrench_space`` orders them, K = 2 (e + 2)."""
    values = np.empty(len(wrench_space))
    _epsilons(np.ascontiguousarray(wrench_space, np.float64), n_edges, values)
    return values


def _ferrari_canny(
    contacts: Contact, center_of_mass: Float[np.ndarray, "N 3"], model: ContactModel
) -> Float[np.ndarray, "N"]:
    """ε of N soft grasps in force closure."""
    inside = origin_is_inside(contacts, model)
    values = np.zeros(len(contacts))
    wrenches = wrench_space(contacts, center_of_mass, model)
    fast = inside.yes & (np.abs(wrenches).max((-2, -1)) < LONGEST)
    values[fast] = epsilon_inside(wrenches[fast], model.n_edges)
    rest = ~(fast | inside.no)
    values[rest] = epsilon(wrenches[rest])
    return values


def _sides(
    contacts: Contact, model: ContactModel, direction: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "N 2e"]:
    """c·f of each side of both pyramids, f = ± direction: negative inside."""
    f = np.stack([direction, -direction], 1)
    bitangent = np.cross(contacts.inward_normal, contacts.tangent)
    x, y, z = (
        (f * axis).sum(-1)[..., None]
        for axis in (contacts.tangent, bitangent, contacts.inward_normal)
    )
    middle = 2 * np.pi * (np.arange(model.n_edges) + 0.5) / model.n_edges
    apothem = np.broadcast_to(model.friction, len(f)) * math.cos(math.pi / model.n_edges)
    sides = x * np.cos(middle) + y * np.sin(middle) - apothem[:, None, None] * z
    return sides.reshape(len(f), -1)


def _at(model: ContactModel, where: Bool[np.ndarray, "*batch"]) -> ContactModel:
    """The models of some grasps."""
    friction, scale = (
        np.broadcast_to(np.asarray(a, float), where.shape)[where]
        for a in (model.friction, model.torque_scale)
    )
    return ContactModel(friction, model.n_edges, model.contact_radius, scale)


@njit(cache=True, nogil=True, error_model="numpy")
def _epsilons(W: np.ndarray, e: int, values: np.ndarray) -> None:
    """Fill ``values`` (N,) from W (N, 2 (e + 2), 6)."""
    A = np.empty(W.shape[1:])
    B = np.empty(W.shape[1:])
    for index in range(len(W)):
        best = 0.0
        for k in range(W.shape[1]):  # h(n)/‖n‖ is at most the longest generator
            best = max(best, math.sqrt((W[index, k] ** 2).sum()))
        for jaw in range(2):
            best = _four_and_two(W[index], A, e, jaw, best)
        values[index] = _three_and_three(W[index], A, B, e, best)


@njit(cache=True, nogil=True, error_model="numpy")
def _three_and_three(W: np.ndarray, A: np.ndarray, B: np.ndarray, e: int, best: float) -> float:
    """Directions fixed by three generators of each jaw.

    The first jaw's three rows are turned into the first three coordinates (Householder): there n = (y, z) with y known.
    """
    A[:] = W
    _reflect(A, e, 0)
    for j in range(e):
        B[:] = A
        _reflect(B, j, 1)
        _reflect(B, (j + 1) % e, 2)
        for sign in (1.0, -1.0):
            best = _meet_three(B, (e, j, (j + 1) % e), sign, e, best)
    B[:] = W
    rows = (0, e // 3, 2 * e // 3)
    for column in range(3):
        _reflect(B, rows[column], column)
    return _meet_three(B, rows, 1.0, e, best)


@njit(cache=True, nogil=True, error_model="numpy")
def _four_and_two(W: np.ndarray, A: np.ndarray, e: int, jaw: int, best: float) -> float:
    """Directions fixed by the polygon and a torsion of ``jaw``, and two generators of the other."""
    own, other = jaw * (e + 2), (1 - jaw) * (e + 2)
    A[:] = W
    rows = (own + e, own, own + e // 3, own + 2 * e // 3)
    for column in range(4):
        _reflect(A, rows[column], column)
    t = other + e
    y = np.empty(4)
    b = np.empty(len(W))
    for sign in (1.0, -1.0):
        _substitute(A, rows, sign, y, b)
        for j in range(e):
            row, following = other + j, other + (j + 1) % e
            best = _meet_two(A, y, b, row, following, 1.0, best)
            for turn in (1.0, -1.0):
                best = _meet_two(A, y, b, row, t, turn, best)
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def _meet_two(
    A: np.ndarray, y: np.ndarray, b: np.ndarray, first: int, second: int, value: float, best: float
) -> float:
    """Solve w_first·n = 1 and w_second·n = value for the last two coordinates of n."""
    r, s = A[first, 4:], A[second, 4:]
    det = r[0] * s[1] - r[1] * s[0]
    if det == 0:
        return best
    p, q = 1.0 - b[first], value - b[second]
    z = ((p * s[1] - q * r[1]) / det, (q * r[0] - p * s[0]) / det)
    square = y[0] ** 2 + y[1] ** 2 + y[2] ** 2 + y[3] ** 2 + z[0] ** 2 + z[1] ** 2
    if not 1.0 < best * best * square < np.inf:
        return best
    norm = math.sqrt(square)
    support = 0.0
    for k in range(len(A)):
        support = max(support, b[k] + A[k, 4] * z[0] + A[k, 5] * z[1])
        if not support < best * norm:
            return best
    return support / norm


@njit(cache=True, nogil=True, error_model="numpy")
def _meet_three(
    A: np.ndarray, rows: tuple[int, int, int], sign: float, e: int, best: float
) -> float:
    """Given the first jaw's three rows, try every three of the second's: edges with either torsion, and the polygon.

    What is left are three equations for z, solved by the adjugate: its columns do not depend on the torsion's sign.
    """
    y = np.empty(3)
    b = np.empty(len(A))
    _substitute(A, rows, sign, y, b)
    base = e + 2
    known = y[0] ** 2 + y[1] ** 2 + y[2] ** 2
    for j in range(e + 1):
        k0, k1, k2 = base + e, base + j, base + (j + 1) % e
        if j == e:
            k0, k1, k2 = base, base + e // 3, base + 2 * e // 3
        r, s, t = A[k0, 3:], A[k1, 3:], A[k2, 3:]
        st, tr, rs = _cross(s, t), _cross(t, r), _cross(r, s)
        det = r[0] * st[0] + r[1] * st[1] + r[2] * st[2]
        if det == 0:
            continue
        for turn in (1.0, -1.0):
            if j == e and turn < 0:
                continue
            p, q, u = (turn - b[k0]) / det, (1.0 - b[k1]) / det, (1.0 - b[k2]) / det
            z0 = p * st[0] + q * tr[0] + u * rs[0]
            z1 = p * st[1] + q * tr[1] + u * rs[1]
            z2 = p * st[2] + q * tr[2] + u * rs[2]
            square = known + z0 * z0 + z1 * z1 + z2 * z2
            if not 1.0 < best * best * square < np.inf:
                continue
            norm = math.sqrt(square)
            limit = best * norm
            support = 0.0
            for k in range(len(A)):
                support = max(support, b[k] + A[k, 3] * z0 + A[k, 4] * z1 + A[k, 5] * z2)
                if not support < limit:
                    break
            if support < limit:
                best = support / norm
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def _substitute(
    A: np.ndarray, rows: tuple[int, ...], first: float, y: np.ndarray, b: np.ndarray
) -> None:
    """Solve w·n = (first, 1, 1, …) for the rows, lower triangular now, and put each generator's share w·(y, 0) in b."""
    for c in range(len(y)):
        y[c] = first if c == 0 else 1.0
        for d in range(c):
            y[c] -= A[rows[c], d] * y[d]
        y[c] /= A[rows[c], c]
    for k in range(len(A)):
        b[k] = 0.0
        for c in range(len(y)):
            b[k] += A[k, c] * y[c]


@njit(cache=True, nogil=True, error_model="numpy")
def _reflect(A: np.ndarray, row: int, column: int) -> None:
    """Turn the coordinates from ``column`` on so that ``row`` has nothing beyond it (a Householder reflection)."""
    square = 0.0
    for c in range(column, 6):
        square += A[row, c] ** 2
    if square == 0:
        return
    head = A[row, column] + math.copysign(math.sqrt(square), A[row, column])
    scale = 2 / (square - A[row, column] ** 2 + head**2)
    A[row, column] = head  # the row is the reflection's vector until its own turn
    for k in range(len(A)):
        if k != row:
            share = 0.0
            for c in range(column, 6):
                share += A[k, c] * A[row, c]
            for c in range(column, 6):
                A[k, c] -= scale * share * A[row, c]
    A[row, column] = -math.copysign(math.sqrt(square), head)
    for c in range(column + 1, 6):
        A[row, c] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _cross(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
