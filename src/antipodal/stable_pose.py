"""Stable poses of an object on a table, with their quasi-static probabilities [Goldberg99].

A face of the convex hull is a resting face if the centre of mass projects inside it. Its prior is the solid angle
that it subtends at the centre of mass over 4π; unstable faces topple and hand their prior on. trimesh computes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from . import transforms
from .errors import InvalidMesh
from .mesh import TriMesh
from .values import rigid

if TYPE_CHECKING:
    import trimesh

MIN_PROBABILITY = 0.01
"""Dex-Net keeps poses more probable than this (reference §2.6)."""


@dataclass(frozen=True, eq=False)
class StablePose:
    """One resting pose."""

    T_world_obj: Float[np.ndarray, "4 4"]
    """Lowest point at z = 0, centre of mass over the origin."""
    probability: float
    """Share of random drops that end here."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "T_world_obj", rigid(self.T_world_obj, "T_world_obj", ndim=2))


def stable_poses(mesh: TriMesh, min_probability: float = MIN_PROBABILITY) -> list[StablePose]:
    """Return the stable poses with probability > ``min_probability``, most probable first.

    A ball of many facets may have none: each of its poses is rarer than that.

    Raises:
        InvalidMesh: the hull is flat, or the centre of mass lies outside it, so that nothing can rest or topple.
    """
    import trimesh  # heavy: loaded with the first use

    hull_input = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    try:
        with np.errstate(invalid="ignore", divide="ignore"):  # of a flat mesh
            hull = hull_input.convex_hull
    except (ValueError, IndexError, RuntimeError) as error:  # qhull's error is a RuntimeError
        raise InvalidMesh(
            f"{mesh.name}: no stable pose: {str(error).splitlines()[0]}: expected a solid body"
        ) from error
    _check_centre(mesh, hull)
    try:
        T, p = trimesh.poses.compute_stable_poses(
            hull_input,
            center_mass=mesh.center_of_mass,
            sigma=0,
            n_samples=1,
            threshold=min_probability,
        )
    except (ValueError, IndexError) as error:  # a hull of slivers
        raise InvalidMesh(f"{mesh.name}: no stable pose: {error}: expected a solid body") from error
    poses = []
    for pose, probability in zip(T, p, strict=True):
        R = np.array(pose)[:3, :3]
        t = -R @ mesh.center_of_mass
        t[2] = -(mesh.vertices @ R[2]).min()
        poses.append(StablePose(transforms.from_rt(R, t), float(probability)))
    return sorted(poses, key=lambda pose: -pose.probability)


def _check_centre(mesh: TriMesh, hull: trimesh.Trimesh) -> None:
    """Refuse a centre of mass outside the hull: trimesh would redraw it for ever."""
    normals = np.asarray(hull.face_normals)
    offset = np.einsum("fi,fi->f", normals, mesh.center_of_mass - np.asarray(hull.triangles_center))
    if not (offset < 0).all():
        raise InvalidMesh(
            f"{mesh.name}: the centre of mass is not inside the convex hull: expected a solid body, "
            "closed, not flat, with outward faces; repair it"
        )
