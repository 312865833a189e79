"""What trimesh misreads in a mesh file without a word: looked for in the file's own bytes, refused in words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from .errors import InvalidMesh

if TYPE_CHECKING:
    from trimesh import Trimesh

PARALLEL = 1 - 1e-8
"""|cos| of the angle between the normals of one plane: 0.14 mrad."""
NEAR = 1e-5
"""Distance of the points of one plane, of the mesh's longest side."""
SLIVER = 1e-9
"""A triangle whose height is a smaller share of its longest side has no normal."""
FOLDED_SHARE = 0.01
"""A polygon mesh with a larger share of its area in folds has lost a notch."""


def refuse_misread(path: Path, read: Trimesh) -> None:
    """Compare a file with what trimesh made of it, its vertices merged.

    Raises:
        InvalidMesh: an OBJ's indices count backwards or from 0, a PLY or OFF is cut off, a GLB's positions are packed
            in a way that trimesh does not undo, or polygons are concave, which trimesh cuts into fans.
    """
    check = CHECKS.get(path.suffix.lower())
    if check is None:
        return
    try:
        n_faces = check(path.read_bytes())
        if n_faces is None:
            return
        if len(read.faces) < n_faces:
            raise InvalidMesh(_cut_off(n_faces, len(read.faces), "faces"))
        if len(read.faces) > n_faces and _folded_share(read.vertices, read.faces) > FOLDED_SHARE:
            raise InvalidMesh("some of its polygons are concave: triangulate it in a mesh editor")
    except InvalidMesh as error:
        raise InvalidMesh(f"{path.name}: {error}") from None


def _obj(content: bytes) -> int:
    """Number of polygons; trimesh takes 0 for 1, and counts negative indices from the end of the file."""
    content = b"\n" + content.replace(b"\\\n", b"")
    lines = re.findall(rb"\nf[ \t][^\n]*", content)
    corners = b" ".join(lines) + b" "
    if re.search(rb"\s0+[/\s]", corners):
        raise InvalidMesh("a face names vertex 0: OBJ counts from 1; export it again")
    if re.search(rb"\s-", corners):
        face = re.search(rb"\nf[ \t]([^\n]*[ \t])?-", content)
        if face and re.search(rb"\nv[ \t]", content[face.end() :]):
            raise InvalidMesh(
                "its faces count vertices backwards from where they stand (negative indices): "
                "export it again with positive ones, or as PLY"
            )
    return len(lines)


def _ply(content: bytes) -> int:
    """Number of polygons that the header promises; all its lines must be there."""
    header, _, body = content.partition(b"end_header")
    counts = {name: int(n) for name, n in re.findall(rb"element\s+(\w+)\s+(\d+)", header)}
    if re.search(rb"format\s+ascii", header):
        n_said, n_lines = sum(counts.values()), sum(1 for line in body.splitlines() if line.strip())
        if n_lines < n_said:
            raise InvalidMesh(_cut_off(n_said, n_lines, "lines after its header"))
    return counts.get(b"face", 0)


def _off(content: bytes) -> int:
    """Number of polygons that the header promises; all its lines must be there."""
    lines = re.sub(rb"#[^\n]*", b"", content).partition(b"OFF")[2].split(b"\n")
    header, *rows = [line for line in lines if line.strip()]
    n_vertices, n_faces = (int(word) for word in header.split()[:2])
    if len(rows) < n_vertices + n_faces:
        raise InvalidMesh(_cut_off(n_vertices + n_faces, len(rows), "lines after its header"))
    return n_faces


def _glb(content: bytes) -> None:
    """Look through the JSON, the first chunk, for positions that trimesh takes as they lie."""
    document = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])
    for mesh in document.get("meshes", ()):
        for primitive in mesh["primitives"]:
            used = (primitive.get("attributes", {}).get("POSITION"), primitive.get("indices"))
            for accessor in (document["accessors"][i] for i in used if i is not None):
                for packing in ("normalized", "sparse"):
                    if accessor.get(packing):
                        raise InvalidMesh(
                            f"its positions or faces are packed ('{packing}' accessors): "
                            "export it without compression and quantization"
                        )


CHECKS = {".obj": _obj, ".ply": _ply, ".off": _off, ".glb": _glb}


def _cut_off(said: int, found: int, what: str) -> str:
    return f"{found} {what}, expected {said}: the file is cut off; copy or export it again"


def _folded_share(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> float:
    """Share of the area that lies on its own plane back to front: so a fan covers a polygon's notch.

    Planes are neighbours without an edge between them; faces without area, as a fan has on three corners in one line,
    join their neighbours.
    """
    from scipy.sparse import coo_array  # heavy: loaded with the first polygons
    from scipy.sparse.csgraph import connected_components

    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    normals = np.cross(b - a, c - a)
    doubled = np.linalg.norm(normals, axis=1)
    sliver = doubled <= SLIVER * np.square([b - a, c - b, a - c]).sum(-1).max(0)
    normals /= np.where(doubled > 0, doubled, 1)[:, None]
    ends = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges = ends[:, 0] * len(vertices) + ends[:, 1]
    order = np.argsort(edges, kind="stable")
    shared = edges[order[1:]] == edges[order[:-1]]
    one, other = order[:-1][shared] // 3, order[1:][shared] // 3
    along = np.abs(np.einsum("ij,ij->i", normals[one], normals[other])) > PARALLEL
    joined = along | sliver[one] | sliver[other]
    graph = coo_array(
        (np.ones(joined.sum()), (one[joined], other[joined])), shape=(len(faces), len(faces))
    )
    n_planes, plane = connected_components(graph, directed=False)
    largest = np.empty(n_planes, np.int64)
    by_area = np.argsort(doubled)
    largest[plane[by_area]] = by_area  # the last one written stays
    mine = largest[plane]
    off = np.abs(np.einsum("ij,ij->i", a - a[mine], normals[mine]))
    facing = np.einsum("ij,ij->i", normals, normals[mine])
    facing *= (np.abs(facing) > PARALLEL) & (off < NEAR * np.ptp(vertices, axis=0).max()) & ~sliver
    front = np.bincount(plane, doubled * (facing > 0))
    back = np.bincount(plane, doubled * (facing < 0))
    return float(np.minimum(front, back).sum() / max(doubled.sum(), 1e-300))
