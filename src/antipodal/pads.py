"""Where two flat pads of finite size touch an object, and how much friction it takes to hold it there.

The contact model of [Mahler17] closes along one line. A jaw is a pad: it stops where the *first* of its points touches,
perhaps 10 mm beside that line, and against an edge or a tip it pushes along its own normal. Here each pad is a grid of
rays; its contact patch is the cells within ``PATCH_DEPTH`` of the first. A pair of cells, one per pad, holds at
friction μ if the line between them lies in both friction cones, tan∠ ≤ μ (Nguyen's condition), and the least μ over
all pairs is the grasp's *required friction*. Where many pairs need as little, as between two flat faces, the forces act
at the mean of them. Frame: ``obj``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .grasp import Grasp
from .gripper import GripperModel
from .mesh import TriMesh

CELLS = 7
"""Rays along each side of a pad."""
PATCH_DEPTH = 0.0007
"""Cells within this of the first touch count as touching, m: what a soft pad gives way."""
TIE = 1e-6
"""Pairs of cells whose friction exceeds the least by no more than this share the forces."""
NEVER = 9.0
"""Required friction where a pad meets nothing."""


class PadContacts(NamedTuple):
    """What closing two pads comes to."""

    required_friction: Float[np.ndarray, "N"]
    """Least μ that holds; ``NEVER`` where a pad meets nothing before the other."""
    push: Float[np.ndarray, "N 2"]
    """Which way the squeeze drives the object across the closing axis: y and z of the mean of the two inward normals.
    z near 1: out below, like a wet pip; near −1: into the palm; 0 where the two faces lean alike or not at all."""
    lever: Float[np.ndarray, "N"]
    """Distance of the line of the forces from the centre of mass, across the closing axis, m."""
    separation: Float[np.ndarray, "N"]
    """Distance of the pads when both touch, m; 0 where they do not."""


def close_pads(mesh: TriMesh, grasps_obj: Grasp, gripper: GripperModel) -> PadContacts:
    """Close both pads from the grasp's width until they touch.

    Args:
        mesh: counter-clockwise faces.
        grasps_obj: N of them; z of the grasp frame is the approach, x the closing axis.
        gripper: whose finger faces are the pads.
    """
    n = len(grasps_obj)
    cells = _cells(gripper)
    hits = [_pad_distances(mesh, grasps_obj, cells, side) for side in (-1.0, 1.0)]
    first = np.stack([distance.min(1, initial=np.inf) for distance, _ in hits], 1)
    separation = grasps_obj.width - first.sum(1)
    touching = np.isfinite(separation) & (separation > 0)
    required, push, lever = np.full(n, NEVER), np.zeros((n, 2)), np.zeros(n)
    R = grasps_obj.pose[:, :3, :3]
    offset = np.einsum("nij,ni->nj", R, grasps_obj.center - mesh.center_of_mass)
    boundary = _is_boundary()
    for i in np.flatnonzero(touching):
        patches = [
            np.flatnonzero(d[i] < first[i, j] + PATCH_DEPTH) for j, (d, _) in enumerate(hits)
        ]
        n_left, n_right = (
            _pad_or_face(normal[i, patch] @ R[i], boundary[patch], side)
            for (_, normal), patch, side in zip(hits, patches, (-1.0, 1.0), strict=True)
        )
        left, right = (cells[patch] for patch in patches)
        friction = _pair_friction(left, right, n_left, n_right, separation[i])
        required[i] = friction.min()
        a, b = np.nonzero(friction <= required[i] + TIE)
        push[i] = (n_left[a] + n_right[b])[:, 1:].mean(0) / 2
        lever[i] = np.linalg.norm((left[a] + right[b]).mean(0) / 2 + offset[i, 1:])
    return PadContacts(required, push, lever, np.where(touching, separation, 0.0))


def _cells(gripper: GripperModel) -> Float[np.ndarray, "K 2"]:
    """(y, z) of a pad's cells in the grasp frame, m."""
    y = np.linspace(-0.5, 0.5, CELLS) * gripper.jaw_width
    z = gripper.tip_overhang - np.linspace(1, 0, CELLS) * gripper.finger_depth
    return np.stack(np.meshgrid(y, z, indexing="ij"), -1).reshape(-1, 2)


def _is_boundary() -> np.ndarray:
    inside = np.zeros((CELLS, CELLS), bool)
    inside[1:-1, 1:-1] = True
    return ~inside.ravel()


def _pad_distances(
    mesh: TriMesh, grasps_obj: Grasp, cells: np.ndarray, side: float
) -> tuple[Float[np.ndarray, "N K"], Float[np.ndarray, "N K 3"]]:
    """Travel of each cell of one pad until it touches, inf where it does not, and the inward normals there."""
    n, k = len(grasps_obj), len(cells)
    R, center = grasps_obj.pose[:, :3, :3], grasps_obj.center
    local = np.empty((n, k, 3))
    local[..., 0] = side * grasps_obj.width[:, None] / 2
    local[..., 1:] = cells
    origins = local @ np.swapaxes(R, 1, 2) + center[:, None]
    directions = np.broadcast_to(-side * R[:, None, :, 0], origins.shape)
    hits = mesh.raycaster.first_hit(origins.reshape(-1, 3), directions.reshape(-1, 3))
    normals = -mesh.face_normals[np.maximum(hits.face, 0)].reshape(n, k, 3)
    distance = hits.distance.reshape(n, k)
    from_outside = (normals * directions).sum(-1) > 0
    reached = from_outside & (distance < grasps_obj.width[:, None])
    return np.where(reached, distance, np.inf), normals


def _pad_or_face(
    normals: np.ndarray, boundary: np.ndarray, side: float
) -> Float[np.ndarray, "P 3"]:
    """Inward contact normals in the grasp frame: the pad's own, but the face's where the pad ends."""
    return np.where(boundary[:, None], normals, [-side, 0.0, 0.0])


def _pair_friction(
    left: np.ndarray, right: np.ndarray, n_left: np.ndarray, n_right: np.ndarray, separation: float
) -> Float[np.ndarray, "P Q"]:
    """Tangent of the larger angle between the line of each pair of cells and the two contact normals."""
    line = np.empty((len(left), len(right), 3))
    line[..., 0] = separation
    line[..., 1:] = right[None] - left[:, None]
    line /= np.linalg.norm(line, axis=-1, keepdims=True)
    cos = np.minimum((line * n_left[:, None]).sum(-1), -(line * n_right[None]).sum(-1))
    cos = np.clip(cos, 1 / np.sqrt(1 + NEVER**2), 1.0)
    return np.sqrt(1 - cos**2) / cos
