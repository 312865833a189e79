"""Analytic grasp metrics on two soft-finger contacts: wrench spaces and what can be read off them (reference §4).

A metric is a function (contacts, center_of_mass, model) → (…), one value per grasp; :data:`METRICS` lists them. A
``wrench_space`` is (…, K, 6): K generators, force before torque, torque divided by ``model.torque_scale``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from .contact import PAPER_CONTACT_MODEL, Contact, ContactModel

FORCE_CLOSURE_DISTANCE = 1e-3
"""The origin counts as inside the hull if no further away than this (Dex-Net's wrench_norm_thresh)."""
FACET_TOLERANCE = 1e-10
"""No generator may lie further outside a facet's plane than this; otherwise the hull is built again with merging."""
GRAVITY_WRENCH = np.array([0.0, 0.0, -0.1 * 9.81, 0.0, 0.0, 0.0])
"""Weight of 0.1 kg along −z of the obj frame (reference §4.5)."""


def closing_cosines(contacts: Contact) -> Float[np.ndarray, "*batch 2"]:
    """cos∠(closing direction, inward normal) of each jaw: the share of its force along the normal.

    Each jaw closes along the line to the other contact; contacts that coincide have none, and get 0.
    """
    line = contacts.point[..., 1, :] - contacts.point[..., 0, :]
    length = np.linalg.norm(line, axis=-1, keepdims=True)
    unit = line / np.where(length > 0, length, 1.0)
    return (np.stack([unit, -unit], -2) * contacts.inward_normal).sum(-1)


def force_closure(
    contacts: Contact,
    center_of_mass: ArrayLike | None = None,
    model: ContactModel = PAPER_CONTACT_MODEL,
) -> Bool[np.ndarray, "*batch"]:
    """Antipodal test: the line through the contacts lies in both friction cones, tan∠ ≤ μ (Nguyen's condition).

    It is the slip test of Dex-Net's whole path too (reference §3.3). The centre of mass plays no part.
    """
    cos = closing_cosines(contacts)
    tangential = np.sqrt(np.maximum(1 - cos**2, 0))
    mu = np.asarray(model.friction, float)[..., None]
    return np.asarray(((cos > 0) & (tangential <= mu * cos)).all(-1))


def wrench_space(
    contacts: Contact, center_of_mass: ArrayLike, model: ContactModel = PAPER_CONTACT_MODEL
) -> Float[np.ndarray, "*batch K 6"]:
    """Generators of both jaws, each jaw's scaled by its closing cosine s = max(cos, 0) (reference §3.3)."""
    share = np.maximum(closing_cosines(contacts), 0)[..., None, None]
    wrenches = share * contacts.wrenches(center_of_mass, model)
    *batch, jaws, k, _ = wrenches.shape
    return wrenches.reshape(*batch, jaws * k, 6)


def epsilon(wrench_space: Float[np.ndarray, "*batch K 6"]) -> Float[np.ndarray, "*batch"]:
    """Radius of the largest ball about the origin in the hull of the generators [Ferrari92; reference §4.1].

    ε = min over facets n·w ≤ b of b, if all b > 0; otherwise, and for a flat hull, 0.
    """
    from scipy.spatial import ConvexHull, QhullError  # compiled: loaded with the first hull

    generators = np.asarray(wrench_space, float)
    values = np.zeros(generators.shape[:-2])
    for index in np.ndindex(values.shape):
        W = generators[index]
        try:
            # Q0: coplanar facets are not merged first. They share their offset, and it takes a quarter of the time
            facets = ConvexHull(W, qhull_options="Q0").equations
            if (W @ facets[:, :-1].T + facets[:, -1]).max() > FACET_TOLERANCE:
                facets = ConvexHull(W).equations
        except QhullError:
            try:
                facets = ConvexHull(W).equations
            except QhullError:  # flat: rank below 6, no ball
                continue
        values[index] = max(float(-facets[:, -1].max()), 0.0)
    return values


def origin_distance(wrench_space: Float[np.ndarray, "*batch K 6"]) -> Float[np.ndarray, "*batch"]:
    """Distance of the origin from the hull, min ‖Wᵀα‖ with α ≥ 0, Σα = 1; 0 inside.

    Non-negative least squares of [Wᵀ; 1ᵀ] x = [0; 1]: its x is α* up to a factor (Lawson & Hanson's LDP).
    """
    from scipy.optimize import nnls  # compiled

    generators = np.asarray(wrench_space, float)
    values = np.empty(generators.shape[:-2])
    target = np.append(np.zeros(6), 1.0)
    for index in np.ndindex(values.shape):
        W = generators[index]
        x, _ = nnls(np.vstack([W.T, np.ones(len(W))]), target)
        values[index] = np.linalg.norm(W.T @ x) / x.sum()
    return values


def ferrari_canny(
    contacts: Contact, center_of_mass: ArrayLike, model: ContactModel = PAPER_CONTACT_MODEL
) -> Float[np.ndarray, "*batch"]:
    """ε-quality with L1 bounded forces: the jaws' closing forces sum to at most 1 [Mahler17 §IV-A1; Ferrari92].

    0 where a jaw slips (no hull is built there), and where the hull is flat, as with hard fingers.
    """
    return _where_closed(epsilon, contacts, center_of_mass, model)


def ferrari_canny_linf(
    contacts: Contact, center_of_mass: ArrayLike, model: ContactModel = PAPER_CONTACT_MODEL
) -> Float[np.ndarray, "*batch"]:
    """ε-quality with L∞ bounded forces: each jaw's closing force is at most 1 (Minkowski sum; reference §4.1)."""

    def minkowski(wrenches: np.ndarray) -> np.ndarray:
        zero = np.zeros((*wrenches.shape[:-2], 1, 6))
        k = wrenches.shape[-2] // 2
        first = np.concatenate([zero, wrenches[..., :k, :]], -2)
        second = np.concatenate([zero, wrenches[..., k:, :]], -2)
        sums = first[..., :, None, :] + second[..., None, :, :]
        return epsilon(sums.reshape(*wrenches.shape[:-2], (k + 1) ** 2, 6))

    return _where_closed(minkowski, contacts, center_of_mass, model)


def force_closure_qp(
    contacts: Contact, center_of_mass: ArrayLike, model: ContactModel = PAPER_CONTACT_MODEL
) -> Bool[np.ndarray, "*batch"]:
    """Origin in the hull of the friction cones' generators, to 1e-3 (reference §4.5), with hard fingers.

    Soft fingers would make it always true: the torsions come in ± pairs. False where a jaw slips.
    """
    hard = ContactModel(model.friction, model.n_edges, 0.0, model.torque_scale)

    def reaches(wrenches: np.ndarray) -> np.ndarray:
        return origin_distance(wrenches) < FORCE_CLOSURE_DISTANCE

    return _where_closed(reaches, contacts, center_of_mass, hard) > 0


def wrench_resistance(
    contacts: Contact,
    center_of_mass: ArrayLike,
    model: ContactModel = PAPER_CONTACT_MODEL,
    wrench: ArrayLike = GRAVITY_WRENCH,
    max_force: float = 20.0,
) -> Float[np.ndarray, "*batch"]:
    """How little force resists an external wrench: 1/F − 1/(2 max_force), 0 if F > 2 max_force or none does.

    F is the least total closing force of both jaws, min Σα with Wᵀα = −wrench, α ≥ 0: a linear programme. Dex-Net's
    experimental metric takes the norm of a regularised least-squares force instead (reference §4.5).

    Args:
        contacts: of both jaws.
        center_of_mass: (…, 3) m.
        model: friction, torsion, torque scale.
        wrench: (6,) external force N and torque N·m about the centre of mass, obj frame; unscaled.
        max_force: of one jaw, N.
    """
    from scipy.optimize import linprog  # compiled

    external = np.asarray(wrench, float)

    def value(wrenches: np.ndarray, scales: np.ndarray) -> np.ndarray:
        values = np.zeros(wrenches.shape[:-2])
        for index in np.ndindex(values.shape):
            W = wrenches[index]
            target = -np.concatenate([external[:3], external[3:] / scales[index]])
            solution = linprog(np.ones(len(W)), A_eq=W.T, b_eq=target)
            if solution.status == 0 and solution.fun > 0:
                values[index] = max(1 / solution.fun - 1 / (2 * max_force), 0.0)
        return values

    closed = force_closure(contacts, model=model)
    scales = np.broadcast_to(np.asarray(model.torque_scale, float), closed.shape)
    result = np.zeros(closed.shape)
    result[closed] = value(wrench_space(contacts, center_of_mass, model)[closed], scales[closed])
    return result


def partial_closure(
    contacts: Contact, center_of_mass: ArrayLike, model: ContactModel = PAPER_CONTACT_MODEL
) -> Bool[np.ndarray, "*batch"]:
    """Whether the jaws can carry the weight at all, within their force limit (reference §4.5)."""
    return wrench_resistance(contacts, center_of_mass, model) > 0


def min_singular(
    contacts: Contact, center_of_mass: ArrayLike, model: ContactModel = PAPER_CONTACT_MODEL
) -> Float[np.ndarray, "*batch"]:
    """Smallest singular value of the grasp matrix: 0 if some wrench is out of reach of any force."""
    return _singular_values(contacts, center_of_mass, model)[..., -1]


def wrench_volume(
    contacts: Contact, center_of_mass: ArrayLike, model: ContactModel = PAPER_CONTACT_MODEL
) -> Float[np.ndarray, "*batch"]:
    """√∏σ of the grasp matrix' singular values, as the original computes it (the literature's volume is ∏σ)."""
    return np.sqrt(np.prod(_singular_values(contacts, center_of_mass, model), -1))


def grasp_isotropy(
    contacts: Contact, center_of_mass: ArrayLike, model: ContactModel = PAPER_CONTACT_MODEL
) -> Float[np.ndarray, "*batch"]:
    """σ_min / σ_max of the grasp matrix, in [0, 1]; 0 where both jaws push nothing."""
    sigma = _singular_values(contacts, center_of_mass, model)
    return sigma[..., -1] / np.where(sigma[..., 0] > 0, sigma[..., 0], 1.0)


Metric = Callable[[Contact, ArrayLike, ContactModel], np.ndarray]
"""(contacts (…, 2), center_of_mass (…, 3) m, model) → (…)."""

METRICS: dict[str, Metric] = {
    "ferrari_canny": ferrari_canny,
    "ferrari_canny_linf": ferrari_canny_linf,
    "force_closure": force_closure,
    "force_closure_qp": force_closure_qp,
    "grasp_isotropy": grasp_isotropy,
    "min_singular": min_singular,
    "partial_closure": partial_closure,
    "wrench_resistance": wrench_resistance,
    "wrench_volume": wrench_volume,
}
"""By name."""


def _where_closed(
    function: Callable[[np.ndarray], np.ndarray],
    contacts: Contact,
    center_of_mass: ArrayLike,
    model: ContactModel,
) -> Float[np.ndarray, "*batch"]:
    """Apply a function of wrench spaces where no jaw slips; 0 elsewhere."""
    closed = force_closure(contacts, model=model)
    values = np.zeros(closed.shape)
    values[closed] = function(wrench_space(contacts, center_of_mass, model)[closed])
    return values


def _singular_values(
    contacts: Contact, center_of_mass: ArrayLike, model: ContactModel
) -> np.ndarray:
    return np.linalg.svd(wrench_space(contacts, center_of_mass, model), compute_uv=False)
