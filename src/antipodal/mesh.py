"""Triangle meshes as values: load, repair, rescale, mass properties. Frame: ``obj``, as in the file, in metres."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from . import transforms
from .errors import InvalidConfig, InvalidMesh, UnknownAsset
from .files import write_bytes
from .mesh_faults import refuse_misread
from .raycast import RayCaster
from .values import array

DENSITY = 500.0
"""kg/m³ where nothing better is known: a hollow or foamed household object."""
SAY_UNIT = (
    "Give --mesh-unit mm, say; a verb without it takes what 'antipodal objects import FOLDER --mesh-unit mm -o OUT' "
    "makes (in Python: load_mesh(…, unit=0.001))"
)
"""What to do about a mesh in another unit, true of every verb that reads meshes by themselves."""
MAX_EXTENT = 5.0
"""A mesh larger than this is taken for another unit [m]."""
N_LINES = 48
"""Lines along each side of the grid that looks for overlaps."""
OVERLAP_SHARE = 0.01
"""An overlap of a larger share of the volume is told."""
MESH_SUFFIXES = (".stl", ".obj", ".ply", ".off", ".glb")


@dataclass(frozen=True, eq=False)
class TriMesh:
    """A triangle mesh: a value, not a god object; everything else is a function."""

    vertices: Float[np.ndarray, "V 3"]
    """m, obj frame."""
    faces: Int[np.ndarray, "F 3"]
    """Vertex indices, counter-clockwise seen from outside."""
    name: str = "object"
    density: float = DENSITY
    """kg/m³, uniform."""

    def __post_init__(self) -> None:
        vertices = array(self.vertices, (None, 3), f"{self.name}: vertices", error=InvalidMesh)
        faces = array(self.faces, (None, 3), f"{self.name}: faces", np.int64, InvalidMesh)
        if len(faces) == 0:
            raise InvalidMesh(
                f"{self.name} has no faces: expected a triangle mesh; is it a point cloud or a CAD file?"
            )
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise InvalidMesh(
                f"{self.name}: faces name vertex {faces.max()}, but there are {len(vertices)}"
            )
        if not self.density > 0:
            raise InvalidMesh(f"{self.name}: density {self.density}: expected a positive kg/m³")
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", faces)

    @cached_property
    def triangles(self) -> Float[np.ndarray, "F 3 3"]:
        """Corner points of each face, m."""
        return self.vertices[self.faces]

    @cached_property
    def _area_vectors(self) -> Float[np.ndarray, "F 3"]:
        a, b, c = np.moveaxis(self.triangles, 1, 0)
        return np.cross(b - a, c - a) / 2

    @cached_property
    def face_areas(self) -> Float[np.ndarray, "F"]:
        """m²."""
        return np.linalg.norm(self._area_vectors, axis=-1)

    @cached_property
    def face_normals(self) -> Float[np.ndarray, "F 3"]:
        """Outward unit normals; zero where a face has no area."""
        area = self.face_areas[:, None]
        return self._area_vectors / np.where(area > 0, area, 1.0)

    @cached_property
    def bounds(self) -> Float[np.ndarray, "2 3"]:
        """Lower and upper corner of the bounding box, m."""
        return np.stack([self.vertices.min(0), self.vertices.max(0)])

    @property
    def extents(self) -> Float[np.ndarray, "3"]:
        """Sides of the bounding box, m."""
        return self.bounds[1] - self.bounds[0]

    @cached_property
    def is_watertight(self) -> bool:
        """True if every edge is shared by exactly two faces that run through it in opposite directions."""
        edges = self.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        forth, back = (
            edges[:, 0] * len(self.vertices) + edges[:, 1],
            edges[:, 1] * len(self.vertices) + edges[:, 0],
        )
        return len(np.unique(forth)) == len(forth) and np.array_equal(np.sort(forth), np.sort(back))

    @cached_property
    def volume(self) -> float:
        """m³ enclosed, by the divergence theorem; negative if the faces are inside out."""
        return float(self._tetrahedra(self.bounds.mean(0))[1].sum())

    @cached_property
    def mass(self) -> float:
        """kg: volume × density."""
        return self.volume * self.density

    @cached_property
    def center_of_mass(self) -> Float[np.ndarray, "3"]:
        """Volume centroid, m; the bounding box' centre where the mesh is not watertight (reference 10.11)."""
        middle = self.bounds.mean(0)
        if not (self.is_watertight and self.volume > 0):
            return middle
        corners, volumes = self._tetrahedra(middle)
        return middle + volumes @ corners.sum(1) / (4 * self.volume)

    @cached_property
    def inertia(self) -> Float[np.ndarray, "3 3"]:
        """Inertia tensor about the centre of mass in the axes of the obj frame, kg·m².

        Exact for a watertight mesh. Σ V/20 (s sᵀ + a aᵀ + b bᵀ + c cᵀ), s = a + b + c, is ∫ x xᵀ over the signed
        tetrahedra (0, a, b, c) that the faces span with the centre of mass; the tensor is tr(∫) − ∫.
        """
        corners, volumes = self._tetrahedra(self.center_of_mass)
        total = corners.sum(1)
        squares = np.einsum("fki,fkj->fij", corners, corners) + total[:, :, None] * total[:, None]
        moments = self.density * np.einsum("f,fij->ij", volumes, squares) / 20
        return np.trace(moments) * np.eye(3) - moments

    def _tetrahedra(
        self, apex: Float[np.ndarray, "3"]
    ) -> tuple[Float[np.ndarray, "F 3 3"], Float[np.ndarray, "F"]]:
        """Each face's corners as seen from ``apex`` and the signed volume that it spans with it."""
        corners = self.triangles - apex
        return corners, np.linalg.det(corners) / 6

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of vertices and faces: names the geometry, whatever the file was called."""
        digest = hashlib.sha256(np.ascontiguousarray(self.vertices).tobytes())
        digest.update(np.ascontiguousarray(self.faces).tobytes())
        return digest.hexdigest()

    @cached_property
    def raycaster(self) -> RayCaster:
        """Embree's tree over this mesh."""
        return RayCaster(self.vertices, self.faces)

    def scaled(self, factor: float) -> TriMesh:
        """Return the mesh scaled about the origin."""
        if not factor > 0:
            raise InvalidMesh(f"{self.name}: scale {factor}: expected a positive factor")
        return replace(self, vertices=self.vertices * factor)

    def transformed(self, T_new_obj: transforms.Transform) -> TriMesh:
        """Return the mesh moved by a rigid transform."""
        return replace(self, vertices=transforms.apply(T_new_obj, self.vertices))


def joined(meshes: Sequence[TriMesh], name: str) -> TriMesh:
    """Several meshes of one frame as one."""
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes[:-1])])
    faces = np.concatenate([m.faces + k for m, k in zip(meshes, starts, strict=True)])
    return TriMesh(np.concatenate([m.vertices for m in meshes]), faces, name)


class Repair(NamedTuple):
    """A repaired mesh and, in words, what was done to it."""

    mesh: TriMesh
    actions: list[str]


def load_mesh(path: str | Path, unit: float = 1.0, say_unit: str = SAY_UNIT) -> TriMesh:
    """Load STL, OBJ, PLY, OFF or GLB; scenes are merged into one mesh. Nothing is repaired here.

    Args:
        path: the file.
        unit: metres per unit of the file, e.g. 0.001.
        say_unit: what to do, in words, about a mesh that is in another unit.

    Raises:
        UnknownAsset: no such file.
        InvalidMesh: not a mesh, empty, cut off, of concave polygons, or so large that its unit must be another.
    """
    import trimesh  # heavy: loaded with the first use

    path = Path(path)
    if not (np.isfinite(unit) and unit > 0):
        raise InvalidConfig(f"mesh unit {unit}: expected metres per unit of the file, e.g. 0.001")
    if not path.is_file():
        raise UnknownAsset(f"no mesh {path}: check the path")
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise InvalidMesh(
            f"{path.name} is a '{path.suffix}' file: expected one of {', '.join(MESH_SUFFIXES)}"
        )
    try:
        loaded = trimesh.load_mesh(path, process=False)
    except (
        Exception
    ) as error:  # trimesh raises whatever its readers stumble over; each means "unreadable"
        raise InvalidMesh(
            f"{path.name} is not a readable mesh: export it again, as triangles and as a whole ({error})"
        ) from error
    if isinstance(loaded, trimesh.Scene):
        loaded = loaded.to_mesh() if loaded.geometry else None
    if not isinstance(loaded, trimesh.Trimesh) or len(loaded.faces) == 0:
        raise InvalidMesh(
            f"{path.name} has no faces: expected a triangle mesh; is it a point cloud or an empty export?"
        )
    if n_bad := int((~np.isfinite(loaded.vertices)).any(1).sum()):
        raise InvalidMesh(
            f"{path.name}: {n_bad} of {len(loaded.vertices)} vertices are NaN or infinite: export the mesh again"
        )
    loaded.merge_vertices(merge_tex=True, merge_norm=True)
    refuse_misread(path, loaded)
    mesh = TriMesh(np.asarray(loaded.vertices) * unit, loaded.faces, path.stem)
    if (size := float(mesh.extents.max())) > MAX_EXTENT:
        raise InvalidMesh(
            f"{path.name}: extents {size:g} m: expected below {MAX_EXTENT:g} m; is it in millimetres? {say_unit}"
        )
    if size < 1e-4:
        raise InvalidMesh(
            f"{path.name}: extents {size:g} m: expected at least 0.1 mm; is its unit right? {say_unit}"
        )
    return mesh


def save_mesh(mesh: TriMesh, path: str | Path) -> None:
    """Write the mesh in metres; the suffix chooses the format."""
    import trimesh

    path, content = Path(path), io.BytesIO()
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    solid.export(content, file_type=path.suffix[1:].lower())
    write_bytes(content.getvalue(), path)


def repair(mesh: TriMesh) -> Repair:
    """Merge vertices, drop degenerate faces, close holes, orient outward; say each thing that was done.

    What stays wrong is said too: a surface that is still open, parts that overlap.

    Raises:
        InvalidMesh: nothing with an area is left.
    """
    import trimesh

    work = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    actions: list[str] = []

    def say(what: str, before: int, after: int) -> None:
        if before != after:
            actions.append(f"{what}: {before} → {after}")

    n_vertices, n_faces = len(work.vertices), len(work.faces)
    work.merge_vertices()
    work.update_faces(work.unique_faces() & work.nondegenerate_faces())
    work.remove_unreferenced_vertices()
    if mesh.is_watertight and not work.is_watertight:
        # slivers without area can be what closes a surface at a vertex in the middle of an edge
        work = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    say("merged and dropped vertices", n_vertices, len(work.vertices))
    say("dropped degenerate and duplicate faces", n_faces, len(work.faces))
    if len(work.faces) == 0:
        raise InvalidMesh(f"{mesh.name}: every face is degenerate: expected a mesh with area")
    if not work.is_watertight:
        n_faces = len(work.faces)
        trimesh.repair.fill_holes(work)
        if (
            not work.is_watertight
        ):  # larger than a quadrilateral: exact where the rim is flat and convex
            trimesh.repair.fill_holes(work, use_fan=True)
        say("closed holes, faces", n_faces, len(work.faces))
    if not work.is_winding_consistent:
        trimesh.repair.fix_winding(work)
        actions.append("made the winding consistent")
    repaired = TriMesh(work.vertices, work.faces, mesh.name, mesh.density)
    if repaired.volume < 0:
        repaired = replace(repaired, faces=repaired.faces[:, ::-1])
        actions.append("turned the faces outward")
    if inward := _inside_out(repaired, work.face_adjacency):
        turned, faces = np.concatenate(inward), repaired.faces.copy()
        faces[turned] = faces[turned, ::-1]
        repaired = replace(repaired, faces=faces)
        actions.append(f"turned the faces of {len(inward)} of its bodies outward")
    if not repaired.is_watertight:
        actions.append("still not watertight: mass properties use the bounding box' centre")
    elif told := say_overlap(repaired):
        actions.append(told)
    return Repair(repaired, actions)


def say_overlap(mesh: TriMesh) -> str:
    """What of a watertight mesh counts twice, in words; empty where nothing does."""
    if mesh.volume <= 0 or (twice := overlap(mesh)) <= OVERLAP_SHARE * mesh.volume:
        return ""
    return (
        f"parts of it overlap: about {1e6 * twice:.3g} cm³ count twice in volume, mass and centre of mass; "
        "unite them in a mesh editor"
    )


def overlap(mesh: TriMesh) -> float:
    """Volume that a watertight mesh encloses more than once, m³, each further time counted: ∫ max(w − 1, 0) dV.

    w is how often a point is enclosed: 2 where two bodies overlap, 0 in a cavity, 1 on either side of where they
    touch. Integrated along 48 × 48 lines parallel to z; the grid is off the middle, where edges like to lie.
    """
    step = mesh.extents[:2] / N_LINES
    # x and y of the three corners in lines of the grid: line k is at x = k
    xy = ((mesh.triangles[..., :2] - mesh.bounds[0, :2]) / step - 0.4567).transpose(2, 1, 0)
    first = np.maximum(np.ceil(xy.min(1)), 0).astype(np.int64)
    n = np.maximum(np.floor(xy.max(1)).astype(np.int64) - first + 1, 0)
    n_lines = n.prod(0)
    face = np.repeat(np.arange(len(n_lines)), n_lines)
    within = np.arange(len(face)) - np.repeat(np.cumsum(n_lines) - n_lines, n_lines)
    line = first[:, face] + np.stack([within % n[0, face], within // n[0, face]])
    x, y = xy[:, :, face] - line[:, None]
    # twice the areas that a line's foot spans with the sides: barycentric coordinates of the opposite corners
    areas = x * np.roll(y, -1, axis=0) - np.roll(x, -1, axis=0) * y
    hit = (areas > 0).all(0) | (areas < 0).all(0)
    face, line, areas = face[hit], line[0, hit] + N_LINES * line[1, hit], areas[:, hit]
    total = areas.sum(0)
    z = (np.roll(areas, -1, axis=0) * mesh.triangles[face, :, 2].T).sum(0) / total
    turn = -np.sign(total)  # upwards, a line enters through faces that look down
    whole = np.bincount(line, turn, N_LINES**2)[line] == 0  # else it met an edge
    z, line, turn = z[whole], line[whole], turn[whole]
    order = np.lexsort((z, line))
    enclosed = np.cumsum(turn[order])[:-1]  # 0 between lines
    return float(np.maximum(enclosed - 1, 0) @ np.diff(z[order]) * step.prod())


def _inside_out(
    mesh: TriMesh, face_adjacency: Int[np.ndarray, "e 2"]
) -> list[Int[np.ndarray, "f"]]:
    """Faces of each closed body that points inward and is no cavity of another."""
    import trimesh

    bodies = trimesh.graph.connected_components(
        face_adjacency, nodes=np.arange(len(mesh.faces)), min_len=1
    )
    if len(bodies) < 2:
        return []
    corners = mesh.triangles
    volumes = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    found = []
    for faces in bodies:
        if volumes[faces].sum() >= 0:
            continue
        body = trimesh.Trimesh(mesh.vertices, mesh.faces[faces], process=False)
        rest = np.concatenate([other for other in bodies if other is not faces])
        around = trimesh.Trimesh(mesh.vertices, mesh.faces[rest], process=False)
        # what lies within another body is a hole in it
        if body.is_watertight and not around.contains(corners[faces[:1], 0])[0]:
            found.append(faces)
    return found


def rescale(mesh: TriMesh, target: float = 0.04) -> TriMesh:
    """Scale so that the bounding box' smallest side is ``target`` m: Dex-Net's rule, default 4 cm (reference §2.5)."""
    smallest = float(mesh.extents.min())
    if smallest <= 0:
        raise InvalidMesh(
            f"{mesh.name} is flat: its smallest side is 0 and cannot become {target} m"
        )
    return mesh.scaled(target / smallest)
