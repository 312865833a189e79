"""What an object is, in numbers a user asks for: size, poses, grasps, and how complex and how hard to grasp it is.

Complexity and difficulty span the plane on which [Morrison20] (EGAD) spreads its shapes; the measures here are our own,
chosen to depend neither on the triangles nor on the file's unit or frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..grasp import Grasp
from ..gripper import GripperModel
from ..mesh import TriMesh
from ..metrics import ferrari_canny
from ..robust import Metric, Perturbation, robust_epsilon
from ..sampling import sample_antipodal, sample_surface
from ..stable_pose import stable_poses

N_GRASPS = 100
"""Antipodal grasps looked for."""
N_DIFFICULTY_GRASPS = 40
"""Of them, so many are judged."""
DIFFICULTY_PERTURBATION = Perturbation(n_samples=10)
"""The paper's noise with fewer samples: the percentile over the grasps averages what a single ε loses."""
N_COMPLEXITY_POINTS = 1500
NEIGHBOURHOOD = 0.1
"""Radius within which the turn of the surface is measured, in units of √(surface area)."""
N_TURN_BINS = 37
"""Of the signed turn in [−π, π]; odd, so that a flat surface with its noise falls into one bin."""


def describe(mesh: TriMesh, gripper: GripperModel) -> dict[str, Any]:
    """Return size, volume, stable poses, antipodal grasps, complexity and difficulty of one mesh."""
    rng = np.random.default_rng(0)
    grasps = sample_antipodal(mesh, gripper, N_GRASPS, rng)
    return {
        "name": mesh.name,
        "extents": mesh.extents.tolist(),
        "volume": mesh.volume,
        "is_watertight": mesh.is_watertight,
        "n_faces": len(mesh.faces),
        "n_stable_poses": len(stable_poses(mesh)),
        "n_grasps": len(grasps),
        "complexity": complexity(mesh, rng),
        "difficulty": difficulty(mesh, grasps[:N_DIFFICULTY_GRASPS], gripper, rng),
    }


def difficulty(
    mesh: TriMesh,
    grasps_obj: Grasp,
    gripper: GripperModel,
    rng: np.random.Generator,
    metric: Metric = ferrari_canny,
) -> float:
    """75th percentile of robust ε over antipodal grasps all over the surface: **low is hard**; 0 without a grasp.

    Args:
        mesh: the object.
        grasps_obj: of :func:`~antipodal.sampling.sample_antipodal`; 40 are enough for a scatter.
        gripper: gives the contact radius.
        rng: random state.
        metric: the ε-quality; the data set's fast one is the same to 1e-9.
    """
    if len(grasps_obj) == 0:
        return 0.0
    epsilon = robust_epsilon(mesh, grasps_obj, gripper, rng, DIFFICULTY_PERTURBATION, metric=metric)
    return float(np.percentile(epsilon.mean, 75))


def complexity(mesh: TriMesh, rng: np.random.Generator) -> float:
    """Entropy in bits of how the surface turns between near points: H = −Σ p log₂ p, at most log₂ 37 = 5.2.

    Over pairs of surface points closer than 0.1·√area, the turn is the angle between their outward normals, positive
    where the surface is convex between them, (n₂ − n₁)·(p₂ − p₁) > 0. A histogram of curvature has been used like this
    since [Page03]; there it is each vertex's angular deficit, which changes with the triangles of the same shape: a
    finely divided box would be simpler than a coarse one. Turns between sampled points do not. A sphere or a
    box has 1 to 1.5 bits, a gear 3. Independent of scale; both sides of a sheet are near each other, and count.
    """
    from scipy.spatial import KDTree  # compiled

    points, normals = sample_surface(mesh, N_COMPLEXITY_POINTS, rng)
    radius = NEIGHBOURHOOD * np.sqrt(mesh.face_areas.sum())
    i, j = KDTree(points).query_pairs(radius, output_type="ndarray").T
    if len(i) == 0:
        return 0.0
    cos = np.clip((normals[i] * normals[j]).sum(-1), -1, 1)
    convex = ((normals[j] - normals[i]) * (points[j] - points[i])).sum(-1) >= 0
    turn = np.where(convex, 1, -1) * np.arccos(cos)
    share = np.histogram(turn, N_TURN_BINS, (-np.pi, np.pi))[0] / len(turn)
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())
