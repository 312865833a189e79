"""Soft-finger point contacts of two jaws: where they touch, their friction cones and their wrenches.

Everything is in the obj frame. Two jaws are the last batch axis, of length 2: N grasps have contacts of batch shape
(N, 2). Model: Coulomb friction with a soft finger's torsion [Mahler17 §IV-A; reference §3.3].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from .errors import InvalidConfig
from .grasp import Grasp
from .mesh import TriMesh
from .values import Batched, array


@dataclass(frozen=True)
class ContactModel:
    """What turns two contacts into wrenches. ``friction`` and ``torque_scale`` may be arrays, one entry per grasp."""

    friction: float | Float[np.ndarray, "*batch"] = 0.5
    """Coulomb coefficient μ ≥ 0 [Mahler17, supplement §I: mean of γ]."""
    n_edges: int = 8
    """Edges of the pyramid inscribed in the friction cone, ≥ 3."""
    contact_radius: float = 0.01
    """Radius of the soft finger's patch, m; 0 is a hard finger. Normally ``gripper.contact_radius``."""
    torque_scale: float | Float[np.ndarray, "*batch"] = 0.001
    """Torques are divided by this length, m (Dex-Net's torque_scaling is its inverse: 1000)."""

    def __post_init__(self) -> None:
        if self.n_edges < 3:
            raise InvalidConfig(f"n_edges {self.n_edges}: expected at least 3 edges of the cone")
        if not np.all(np.asarray(self.friction) >= 0):
            raise InvalidConfig(f"friction {self.friction}: expected no negative coefficient")
        if not (self.contact_radius >= 0 and np.all(np.asarray(self.torque_scale) > 0)):
            raise InvalidConfig(
                f"contact_radius {self.contact_radius}, torque_scale {self.torque_scale}: "
                "expected lengths in metres, the radius ≥ 0 and the scale > 0"
            )


PAPER_CONTACT_MODEL = ContactModel()


@dataclass(frozen=True, eq=False)
class Contact(Batched):
    """Frictional point contacts in the obj frame."""

    point: Float[np.ndarray, "*batch 3"]
    """m."""
    inward_normal: Float[np.ndarray, "*batch 3"]
    """Unit, into the object: the direction in which a jaw pushes."""
    tangent: Float[np.ndarray, "*batch 3"] = None  # pyright: ignore[reportAssignmentType]
    """Unit, perpendicular to the normal: the first edge of the cone lies above it. Default: from the obj frame's x."""

    _ranks: ClassVar[dict[str, int]] = {"point": 1, "inward_normal": 1, "tangent": 1}

    def __post_init__(self) -> None:
        normal = array(self.inward_normal, (3,), "contact inward_normal")
        if normal.size and np.abs(np.linalg.norm(normal, axis=-1) - 1).max() > 1e-6:
            raise InvalidConfig("contact inward_normal: expected unit vectors")
        tangent = tangent_near(normal, [1.0, 0.0, 0.0]) if self.tangent is None else self.tangent
        object.__setattr__(self, "point", array(self.point, (3,), "contact point"))
        object.__setattr__(self, "inward_normal", normal)
        object.__setattr__(self, "tangent", array(tangent, (3,), "contact tangent"))
        self._check_batch()

    def friction_cone(
        self, friction: ArrayLike, n_edges: int = 8
    ) -> Float[np.ndarray, "*batch e 3"]:
        """Edges f_j = n + μ (cos(2πj/e) t₁ + sin(2πj/e) t₂), each with unit normal component (reference §3.3).

        Args:
            friction: μ, broadcast against the batch axes.
            n_edges: e.
        """
        angle = 2 * np.pi * np.arange(n_edges)[:, None] / n_edges
        t1 = self.tangent[..., None, :]
        t2 = np.cross(self.inward_normal, self.tangent)[..., None, :]
        mu = np.asarray(friction, float)[..., None, None]
        return self.inward_normal[..., None, :] + mu * (np.cos(angle) * t1 + np.sin(angle) * t2)

    def wrenches(
        self, center_of_mass: ArrayLike, model: ContactModel = PAPER_CONTACT_MODEL
    ) -> Float[np.ndarray, "*batch k 6"]:
        """Wrench (force, torque / torque_scale) of each generator at unit normal force, about the centre of mass.

        The edges of the cone give (f, (p − c) × f); a soft finger adds the pure torques ±π r² μ n (reference §3.3; the
        area stands for the torsional limit, so that r² scales with length, not with area).

        Args:
            center_of_mass: (…, 3) m, one per grasp: without the jaws' axis.
            model: its friction and torque_scale are one per grasp as well.
        """
        mu = np.asarray(model.friction, float)[..., None]
        scale = np.asarray(model.torque_scale, float)[..., None, None, None]
        arm = (self.point - np.asarray(center_of_mass, float)[..., None, :])[..., None, :]
        forces = self.friction_cone(mu, model.n_edges)
        wrenches = np.concatenate([forces, np.cross(arm, forces) / scale], -1)
        if model.contact_radius == 0:
            return wrenches
        torsion = (
            np.pi * model.contact_radius**2 * mu[..., None] * self.inward_normal / scale[..., 0]
        )
        torsion = np.concatenate([np.zeros_like(torsion), torsion], -1)[..., None, :]
        return np.concatenate([wrenches, torsion, -torsion], -2)


def tangent_near(
    inward_normal: Float[np.ndarray, "*batch 3"], direction: ArrayLike
) -> Float[np.ndarray, "*batch 3"]:
    """Project an axis ``direction`` (…, 3) onto the plane of each normal, unit; where it is parallel, the next axis."""
    d = np.broadcast_to(np.asarray(direction, float), inward_normal.shape)
    tangent = d - np.sum(d * inward_normal, -1, keepdims=True) * inward_normal
    parallel = np.linalg.norm(tangent, axis=-1, keepdims=True) < 1e-6
    other = (
        np.roll(d, 1, -1)
        - np.sum(np.roll(d, 1, -1) * inward_normal, -1, keepdims=True) * inward_normal
    )
    tangent = np.where(parallel, other, tangent)
    return tangent / np.linalg.norm(tangent, axis=-1, keepdims=True)


class FoundContacts(NamedTuple):
    """Contacts of each grasp, and whether they exist."""

    contacts: Contact
    """(N, 2): the jaw from −x of the grasp frame, then the one from +x. Where not found: the grasp's centre."""
    found: Bool[np.ndarray, "N"]


def find_contacts(mesh: TriMesh, grasps_obj: Grasp) -> FoundContacts:
    """Close both jaws from ±width/2 along the closing axis until they touch the mesh (reference §3.2, step 6).

    Not found: a jaw meets nothing before it reaches the other jaw, starts inside the object (its first hit is a back
    face), or the two contacts come in the wrong order. The cone's first edge lies above the grasp frame's y, so that
    every metric moves with the grasp.

    Args:
        mesh: closed or not; its faces must be counter-clockwise from outside (``mesh.repair`` turns them).
        grasps_obj: N of them.
    """
    n = len(grasps_obj)
    axis = grasps_obj.closing_axis
    axis = axis / np.linalg.norm(axis, axis=-1, keepdims=True)  # poses may carry four digits
    directions = np.stack([axis, -axis], 1)
    origins = grasps_obj.center[:, None] - directions * (grasps_obj.width / 2)[:, None, None]
    hits = mesh.raycaster.first_hit(origins.reshape(-1, 3), directions.reshape(-1, 3))
    distance, face = hits.distance.reshape(n, 2), hits.face.reshape(n, 2)
    normals = np.where((face >= 0)[..., None], -mesh.face_normals[face], directions)
    from_outside = (normals * directions).sum(-1) > 0
    found = (face >= 0).all(-1) & from_outside.all(-1) & (distance.sum(-1) < grasps_obj.width)
    travel = np.where(found[:, None], distance, (grasps_obj.width / 2)[:, None])
    normals = np.where(found[:, None, None], normals, directions)
    y = np.broadcast_to(grasps_obj.pose[:, None, :3, 1], normals.shape)
    contacts = Contact(origins + travel[..., None] * directions, normals, tangent_near(normals, y))
    return FoundContacts(contacts, found)
