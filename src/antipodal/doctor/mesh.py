"""What is wrong with a mesh: its unit, whether it is closed, whether the gripper can hold it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import AntipodalError
from ..gripper import GripperModel, load_gripper
from ..mesh import TriMesh, load_mesh, say_overlap
from .finding import Finding
from .finding import millimetres as _mm


def examine_mesh(
    path: str | Path, gripper: GripperModel | str | Path | None = None, unit: float = 1.0
) -> list[Finding]:
    """Examine a mesh: readable, its unit, closed, outward, and of a size that the gripper can hold.

    Args:
        path: the file.
        gripper: the hand that is to hold it, or None to leave that question.
        unit: metres per unit of the file.
    """
    try:
        hand = gripper if isinstance(gripper, GripperModel | None) else load_gripper(gripper)
        mesh = load_mesh(path, unit)
    except AntipodalError as error:
        return [Finding("error", str(error))]
    findings = [
        Finding(
            "ok",
            f"{mesh.name}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces, "
            f"{' × '.join(_mm(s) for s in mesh.extents)}",
        ),
        _size(mesh),
        _closed(mesh),
    ]
    flat = float((mesh.face_areas <= 0).mean())
    if flat > 0:
        findings.append(
            Finding("warning", f"{flat:.1%} of the faces have no area: repair drops them")
        )
    if hand is not None:
        findings.append(_fits(mesh, hand))
    return findings


def _size(mesh: TriMesh) -> Finding:
    largest, smallest = float(mesh.extents.max()), float(mesh.extents.min())
    if largest > 1.0:
        return Finding("warning", f"largest side {largest:g} m: large for an object; millimetres?")
    if largest < 0.005:
        return Finding("warning", f"largest side {largest * 1e3:g} mm: small; is the unit right?")
    if smallest <= 0:
        return Finding("error", "the mesh is flat: expected a body with volume")
    return Finding("ok", "size is that of an object in metres")


def _closed(mesh: TriMesh) -> Finding:
    if not mesh.is_watertight:
        return Finding(
            "warning",
            "not watertight: repair it, or its mass is taken about the bounding box' centre",
        )
    if mesh.volume < 0:
        return Finding("warning", "the faces are inside out: repair turns them")
    if told := say_overlap(mesh):
        return Finding("warning", told)
    return Finding("ok", f"watertight, {mesh.volume * 1e6:.1f} cm³")


def _fits(mesh: TriMesh, gripper: GripperModel) -> Finding:
    """Compare the stroke with the width of the hull, and with the thickness of single parts."""
    side, stroke = hull_width(mesh), gripper.max_width
    words = f"smallest side {_mm(side)}, stroke {_mm(stroke)}"
    if side < stroke:
        return Finding("ok", f"fits between the jaws of {gripper.name}: {words}")
    thin = float(np.percentile(wall_thickness(mesh), 5))
    if thin < stroke:
        return Finding(
            "warning",
            f"no side of this mesh fits between the jaws of {gripper.name}: {words}; parts of it are {_mm(thin)} thin",
        )
    return Finding(
        "error", f"no side of this mesh fits between the jaws of {gripper.name}: {words}"
    )


def hull_width(mesh: TriMesh) -> float:
    """Least distance of two parallel planes with the mesh between them, one along a face of its convex hull, m."""
    from scipy.spatial import ConvexHull, QhullError  # loaded with the first mesh

    try:
        hull = ConvexHull(mesh.vertices)
    except QhullError:  # flat: its own thickness is none
        return 0.0
    # equations: outward normal n and offset d with n·x + d ≤ 0
    inward = -(hull.points[hull.vertices] @ hull.equations[:, :3].T + hull.equations[:, 3])
    return float(inward.max(0).min())


def wall_thickness(mesh: TriMesh) -> np.ndarray:
    """Way straight through the material from the middle of up to 2000 faces (largest first), m."""
    largest = np.argsort(-mesh.face_areas)[:2000]
    inward = -mesh.face_normals[largest]
    # 1e-6 m: start behind the face itself
    start = mesh.triangles[largest].mean(1) + 1e-6 * inward
    hits = mesh.raycaster.first_hit(start, inward)
    return np.where(hits.found, hits.distance, np.inf)
