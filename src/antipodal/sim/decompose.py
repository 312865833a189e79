"""Convex pieces of a mesh, for an engine that collides convex bodies only: CoACD [Wei22], cached by the mesh's hash."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scipy.spatial

from ..errors import InvalidConfig, InvalidMesh
from ..files import writing
from ..mesh import TriMesh

CONVEX_TOLERANCE = 0.005
"""A closed mesh that fills its hull to this share counts as convex: half a per cent is under 0.1 mm on a 4 cm cube."""
MIN_PIECE_THICKNESS = 1e-5
"""Slivers thinner than this are dropped [m]: a hundredth of a millimetre is below any contact's softness."""

Pieces = tuple[TriMesh, ...]


@dataclass(frozen=True)
class DecomposeConfig:
    """How finely to cut."""

    threshold: float = 0.05
    """CoACD's concavity at which it stops cutting, share of the object's size, 0.01 to 1."""
    max_pieces: int = 32
    """At most this many pieces, after merging."""
    preprocess_resolution: int = 50
    """Voxels a side to which CoACD remeshes an input that is not manifold."""
    search_iterations: int = 60
    """Monte-Carlo tree search steps for each cut; CoACD's own default is 150."""
    seed: int = 0
    """CoACD's random state."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.threshold <= 1:
            raise InvalidConfig(f"threshold {self.threshold}: expected 0.01 to 1")
        if self.max_pieces < 1 or self.search_iterations < 1:
            raise InvalidConfig(
                f"max_pieces {self.max_pieces}, search_iterations {self.search_iterations}: expected at least 1"
            )


def convex_pieces(
    mesh: TriMesh, config: DecomposeConfig | None = None, cache: Path | None = None
) -> Pieces:
    """Cut the mesh into convex pieces in the obj frame; a convex mesh is one piece, its hull.

    Args:
        mesh: need not be watertight.
        config: how finely to cut.
        cache: a folder in which results are kept under a hash of mesh and config.

    Raises:
        InvalidMesh: the mesh is flat, or CoACD returned nothing with a volume.
    """
    config = config or DecomposeConfig()
    if cache is None:
        return _decompose(mesh, config)
    path = cache / f"{_key(mesh, config)}.npz"
    if path.is_file():
        return _read(path, mesh)
    pieces = _decompose(mesh, config)
    _write(path, pieces)
    return pieces


def is_convex(mesh: TriMesh) -> bool:
    """True if the mesh is closed and fills its convex hull up to :data:`CONVEX_TOLERANCE`."""
    hull_volume = _hull(mesh.vertices, mesh.name).volume
    return mesh.is_watertight and mesh.volume >= (1 - CONVEX_TOLERANCE) * hull_volume


def _decompose(mesh: TriMesh, config: DecomposeConfig) -> Pieces:
    if is_convex(mesh):
        return (_hull(mesh.vertices, mesh.name),)
    import coacd  # loads a library of 100 MB: only for what is not convex

    coacd.set_log_level("off")
    center, size = mesh.bounds.mean(0), float(mesh.extents.max())
    unit = (mesh.vertices - center) / size
    try:
        parts = coacd.run_coacd(
            coacd.Mesh(unit, mesh.faces.astype(np.int32)),
            threshold=config.threshold,
            max_convex_hull=config.max_pieces,
            preprocess_resolution=config.preprocess_resolution,
            mcts_iterations=config.search_iterations,
            decimate=False,  # CoACD's decimation shrinks a round piece by up to 8 % of its volume
            seed=config.seed,
        )
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InvalidMesh(f"{mesh.name}: CoACD failed: {error}: repair the mesh first") from error
    clipped = [_clip(vertices * size + center, mesh.vertices) for vertices, _ in parts]
    pieces = tuple(
        _hull(vertices, mesh.name)
        for vertices in clipped
        if _thickness(vertices) > MIN_PIECE_THICKNESS
    )
    if not pieces:
        raise InvalidMesh(f"{mesh.name}: CoACD found no solid piece: repair the mesh first")
    return pieces


def _clip(vertices: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Cut a convex piece back to the hull of the solid.

    Where CoACD has to remesh its input, it inflates it by half a voxel, 1 % of its size: more than a jaw's clearance.
    The faces on which the object rests, and most of those that jaws meet, lie on the hull.
    """
    import manifold3d

    piece = manifold3d.Manifold.hull_points(vertices) ^ manifold3d.Manifold.hull_points(solid)
    return np.asarray(piece.to_mesh64().vert_properties[:, :3], float)


def _thickness(vertices: np.ndarray) -> float:
    """Smallest singular extent of the points: zero if they are coplanar."""
    if len(vertices) < 4:
        return 0.0
    centered = vertices - vertices.mean(0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    return float(np.ptp(centered @ axes.T, axis=0).min())


def _hull(vertices: np.ndarray, name: str) -> TriMesh:
    if _thickness(vertices) <= MIN_PIECE_THICKNESS:
        raise InvalidMesh(
            f"{name} is thinner than {MIN_PIECE_THICKNESS * 1e3:g} mm: expected a solid body; give it a thickness"
        )
    hull = scipy.spatial.ConvexHull(vertices)
    used = np.unique(hull.simplices)
    index = np.zeros(len(vertices), int)
    index[used] = np.arange(len(used))
    points = vertices[used]
    faces = index[hull.simplices]
    normal = np.cross(
        points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]]
    )
    inside_out = (
        np.sum(normal * hull.equations[:, :3], -1) < 0
    )  # qhull does not orient its simplices
    faces[inside_out] = faces[inside_out][:, ::-1]
    return TriMesh(points, faces, name)


def _key(mesh: TriMesh, config: DecomposeConfig) -> str:
    h = hashlib.sha256(f"{asdict(config)} coacd {version('coacd')} hull 2".encode())
    h.update(mesh.content_hash.encode())
    return h.hexdigest()[:32]


def _read(path: Path, mesh: TriMesh) -> Pieces:
    with np.load(path) as f:
        return tuple(
            TriMesh(f[f"vertices_{i}"], f[f"faces_{i}"], mesh.name)
            for i in range(len(f.files) // 2)
        )


def _write(path: Path, pieces: Pieces) -> None:
    arrays = {f"vertices_{i}": p.vertices for i, p in enumerate(pieces)}
    arrays |= {f"faces_{i}": p.faces for i, p in enumerate(pieces)}
    with writing(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
