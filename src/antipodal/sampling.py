"""Antipodal grasps on a mesh by rejection [Mahler16; Mahler17 §IV-A2; reference §3.2]. Frame: obj.

Of each surface point a few directions inside its friction cone are drawn; the far side of the object along each gives
the second contact. The jaws are then closed again from outside, and the pair is kept if the line through the contacts
lies in both cones, and if no kept grasp is nearly the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .contact import ContactModel, find_contacts, tangent_near
from .errors import InvalidMesh
from .grasp import Grasp
from .gripper import GripperModel
from .mesh import TriMesh
from .metrics import force_closure
from .values import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, expect

AXIS_DISTANCE = 0.05
"""Weight of the axes in the grasp distance: perpendicular closing axes are this far apart, m (reference §1.3)."""
_LIFT = 1e-6
"""A ray into the object starts this far along itself, so that it does not meet its own face, m."""


@dataclass(frozen=True)
class SamplingConfig:
    """Numbers of the sampler. Defaults: the paper's, else the 2017 release's (reference §3.2)."""

    friction: float = 0.6
    """Coulomb coefficient of the cones; the 2017 release has 0.75."""
    n_surface_points: int = 100
    """Drawn in each iteration."""
    n_samples_per_point: int = 2
    """Directions per surface point."""
    min_contact_distance: float = 0.0
    """Between the two contacts, m. Never below the gripper's own min_width."""
    min_grasp_distance: float = 0.0025
    """Coverage: least grasp distance between any two kept grasps, m."""
    n_iterations: int = 10
    """At most so many rounds."""
    oversampling: int = 5
    """Candidates asked for per missing grasp; doubles each round."""
    flip_fraction: float = 0.5
    """Share of directions drawn out of the object instead of into it."""

    def __post_init__(self) -> None:
        counts = ("n_surface_points", "n_samples_per_point", "n_iterations", "oversampling")
        expect(self, "sampling", AT_LEAST_ONE, *counts)
        expect(self, "sampling", POSITIVE, "friction")
        expect(self, "sampling", SHARE, "flip_fraction")
        expect(self, "sampling", NOT_NEGATIVE, "min_contact_distance", "min_grasp_distance")


PAPER_SAMPLING = SamplingConfig()


def sample_antipodal(
    mesh: TriMesh,
    gripper: GripperModel,
    n: int,
    rng: np.random.Generator,
    config: SamplingConfig = PAPER_SAMPLING,
) -> Grasp:
    """Draw up to ``n`` antipodal grasps; fewer, or none, where the object offers no more.

    Widths are the gripper's full opening. The approach about the closing axis is free at this stage and set by
    Dex-Net's rule for angle 0 (:func:`grasp_with_free_approach`); :mod:`antipodal.alignment` turns it to the table.

    Args:
        mesh: faces counter-clockwise from outside (``mesh.repair`` turns them); inside out it yields nothing.
        gripper: its widths bound the contact distance.
        n: how many grasps are wanted, ≥ 0.
        rng: random state.
        config: numbers of the sampler.
    """
    kept_centers, kept_axes = np.empty((0, 3)), np.empty((0, 3))
    multiple = config.oversampling
    for _ in range(config.n_iterations):
        missing = n - len(kept_centers)
        if missing <= 0:
            break
        centers, axes = _candidates(mesh, gripper, rng, config)
        asked = slice(0, missing * multiple)
        for center, closing_axis in zip(centers[asked], axes[asked], strict=True):
            distance = grasp_distance(center, closing_axis, kept_centers, kept_axes)
            if len(kept_centers) < n and (distance >= config.min_grasp_distance).all():
                kept_centers = np.vstack([kept_centers, center])
                kept_axes = np.vstack([kept_axes, closing_axis])
        multiple *= 2
    return grasp_with_free_approach(kept_centers, kept_axes, gripper.max_width)


def sample_surface(
    mesh: TriMesh, n: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Draw n points uniformly by area; return them and their outward normals.

    Raises:
        InvalidMesh: the surface has no area.
    """
    areas = mesh.face_areas
    if not areas.sum() > 0:
        raise InvalidMesh(f"{mesh.name} has no area: expected a surface to sample")
    face = rng.choice(len(areas), size=n, p=areas / areas.sum())
    a, b, c = np.moveaxis(mesh.triangles[face], 1, 0)
    u, v = rng.random((2, n, 1))
    root = np.sqrt(u)
    return (1 - root) * a + root * (1 - v) * b + root * v * c, mesh.face_normals[face]


def grasp_distance(
    center: Float[np.ndarray, "3"],
    closing_axis: Float[np.ndarray, "3"],
    centers: Float[np.ndarray, "n 3"],
    closing_axes: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, "n"]:
    """‖Δcentre‖ + 0.05 · (2/π) arccos|x₁·x₂| in m, of one grasp to n others (reference §1.3)."""
    cos = np.minimum(np.abs(closing_axes @ closing_axis), 1.0)
    return np.linalg.norm(centers - center, axis=-1) + AXIS_DISTANCE * 2 / np.pi * np.arccos(cos)


def grasp_with_free_approach(
    center: Float[np.ndarray, "*batch 3"],
    closing_axis: Float[np.ndarray, "*batch 3"],
    width: float,
) -> Grasp:
    """Give closing axes x Dex-Net's approach at angle 0: (x₁, −x₀, 0), or (1, 0, 0) if upright (reference §1.3)."""
    approach = np.zeros(closing_axis.shape)
    approach[..., 0], approach[..., 1] = closing_axis[..., 1], -closing_axis[..., 0]
    upright = np.linalg.norm(approach, axis=-1) < 1e-9
    approach[upright] = [1.0, 0.0, 0.0]
    return Grasp.from_axes(center, closing_axis, approach, width)


def _candidates(
    mesh: TriMesh, gripper: GripperModel, rng: np.random.Generator, config: SamplingConfig
) -> tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, "m 3"]]:
    """Centres and closing axes of one round's antipodal pairs, coverage not yet asked for."""
    points, outward = sample_surface(mesh, config.n_surface_points, rng)
    points = np.repeat(points, config.n_samples_per_point, 0)
    inward = -np.repeat(outward, config.n_samples_per_point, 0)
    # uniform in the cone's radius, not its area, as in the original
    radius = config.friction * rng.random(len(points))[:, None]
    angle = 2 * np.pi * rng.random(len(points))[:, None]
    t1 = tangent_near(inward, [1.0, 0.0, 0.0])
    t2 = np.cross(inward, t1)
    direction = inward + radius * (np.cos(angle) * t1 + np.sin(angle) * t2)
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    direction[rng.random(len(points)) < config.flip_fraction] *= -1
    hits = mesh.raycaster.first_hit(points + _LIFT * direction, direction)
    reach = hits.found & (hits.distance + _LIFT <= gripper.max_width)
    points, direction = points[reach], direction[reach]
    centers = points + direction * ((hits.distance[reach] + _LIFT) / 2)[:, None]
    grasps = grasp_with_free_approach(centers, direction, gripper.max_width)
    contacts, found = find_contacts(mesh, grasps)
    gap = np.linalg.norm(contacts.point[:, 1] - contacts.point[:, 0], axis=-1)
    wide_enough = gap >= max(config.min_contact_distance, gripper.min_width)
    closed = force_closure(contacts, model=ContactModel(friction=config.friction))
    good = found & wide_enough & closed
    return centers[good], direction[good]
