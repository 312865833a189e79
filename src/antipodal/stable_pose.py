"""Stable poses of an object on a table, with their quasi-static probabilities [Goldberg99].

A face of the convex hull is a resting face if the centre of mass projects inside it. Its prior is the solid angle
that it subtends at the centre of mass over 4π; unstable faces topple and hand their prior on. trimesh 5 computes the
same (the tests compare), but a sliver of the hull makes its prior NaN and loses the pose that the sliver topples to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from . import transforms
from .errors import InvalidMesh
from .mesh import TriMesh
from .values import rigid

MIN_PROBABILITY = 0.01
"""Dex-Net keeps poses more probable than this (reference §2.6)."""
MIN_SHARE = 0.5
"""Of all drops that must end in such a pose; else the surface they end on is round, and its facets count."""
FLAT = 1e-4
"""Neighbouring triangles of the hull whose unit normals differ by less are one face: float32 files bend planes so."""
SAME_NORMAL = 2e-3
"""Faces whose unit normals differ by less are one resting face: the triangles of a flat side."""


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
    faces = _resting_faces(mesh)
    sink = _sinks(faces)
    resting, where = np.unique(sink, return_inverse=True)
    shares = np.bincount(where, faces.solid_angle / (4 * np.pi))
    found = [
        (faces.outward[resting[k]], share)
        for k, share in _joined(faces.outward[resting], shares)
        if share > min_probability
    ]
    return [_rest(mesh, down, share) for down, share in sorted(found, key=lambda pose: -pose[1])]


def resting_poses(mesh: TriMesh, min_probability: float = MIN_PROBABILITY) -> list[StablePose]:
    """Stable poses to draw from: those more probable than ``min_probability``, most probable first.

    All of them, where less than half of the drops end in these: on a ball or a bolt of many facets each is rarer.

    Raises:
        InvalidMesh: there is none.
    """
    poses = stable_poses(mesh, min_probability)
    if sum(pose.probability for pose in poses) < MIN_SHARE:
        poses = stable_poses(mesh, 0.0)
    if not poses:
        raise InvalidMesh(f"{mesh.name}: no stable pose: expected a solid body that can rest")
    return poses


def _joined(
    outward: Float[np.ndarray, "n 3"], shares: Float[np.ndarray, "n"]
) -> list[tuple[int, float]]:
    """Add to each face the shares of those less probable that look the same way; (face, share) of the rest."""
    from scipy.spatial import KDTree

    alike = KDTree(outward).query_ball_point(outward, SAME_NORMAL)
    taken = np.zeros(len(outward), bool)
    joined = []
    for face in np.argsort(-shares, kind="stable"):
        if not taken[face]:
            members = [k for k in alike[face] if not taken[k]]
            taken[members] = True
            joined.append((int(face), float(shares[members].sum())))
    return joined


class _Faces(NamedTuple):
    """Flat faces of the convex hull, seen from the centre of mass, and their borders: E edges, from both sides."""

    outward: Float[np.ndarray, "F 3"]
    distance: Float[np.ndarray, "F"]
    """Of the centre of mass from each face's plane: its height over the table when the object rests there."""
    centroid: Float[np.ndarray, "F 3"]
    solid_angle: Float[np.ndarray, "F"]
    border: Float[np.ndarray, "E 2 3"]
    face: Int[np.ndarray, "E"]
    """Whose border it is."""
    beyond: Int[np.ndarray, "E"]
    """The face on its other side."""


def _resting_faces(mesh: TriMesh) -> _Faces:
    """Join the triangles of the hull that lie in one plane."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import ConvexHull, QhullError  # compiled: loaded with the first use

    points = mesh.vertices - mesh.center_of_mass
    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError) as error:
        raise InvalidMesh(
            f"{mesh.name}: no stable pose: {str(error).splitlines()[0]}: expected a solid body"
        ) from error
    if not (hull.equations[:, 3] < 0).all():
        raise InvalidMesh(
            f"{mesh.name}: the centre of mass is not inside the convex hull: expected a solid body, "
            "closed, not flat, with outward faces; repair it"
        )
    triangles, outward = points[hull.simplices], hull.equations[:, :3]
    n = len(triangles)
    pairs = np.stack([np.repeat(np.arange(n), 3), hull.neighbors.ravel()])
    bend = np.linalg.norm(outward[pairs[0]] - outward[pairs[1]], axis=-1)
    flat = pairs[:, bend < FLAT]
    joined = coo_array((np.ones(flat.shape[1], bool), flat), (n, n))
    n_faces, face = connected_components(joined, directed=False)

    def total(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(face, v, n_faces) for v in values.reshape(n, -1).T], -1)

    area = np.linalg.norm(np.cross(*(triangles[:, 1:] - triangles[:, :1]).swapaxes(0, 1)), axis=-1)
    area = np.maximum(area, 1e-300)[:, None]  # slivers among themselves
    mean_outward = total(area * outward)
    mean_outward /= np.linalg.norm(mean_outward, axis=-1, keepdims=True)
    edge = pairs[:, face[pairs[0]] != face[pairs[1]]]
    opposite = np.tile(np.arange(3), n)[face[pairs[0]] != face[pairs[1]]]
    ends = np.stack([(opposite + 1) % 3, (opposite + 2) % 3], -1)
    return _Faces(
        mean_outward,
        total(-hull.equations[:, 3:] * area)[:, 0] / total(area)[:, 0],
        total(area * triangles.mean(1)) / total(area),
        total(_solid_angles(triangles))[:, 0],
        triangles[edge[0][:, None], ends],
        face[edge[0]],
        face[edge[1]],
    )


def _solid_angles(triangles: Float[np.ndarray, "F 3 3"]) -> Float[np.ndarray, "F"]:
    """Solid angle of each triangle at the origin [Van Oosterom83]: exact for slivers too."""
    a, b, c = np.moveaxis(triangles, 1, 0)
    la, lb, lc = (np.linalg.norm(v, axis=-1) for v in (a, b, c))
    volume = np.abs((a * np.cross(b, c)).sum(-1))
    ab, bc, ca = ((p * q).sum(-1) for p, q in ((a, b), (b, c), (c, a)))
    return 2 * np.arctan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb)


def _sinks(faces: _Faces) -> Int[np.ndarray, "F"]:
    """The face on which an object comes to rest that lands on each of them.

    On a face that does not hold the centre of mass' foot it topples over the edge that the ray from the face's centroid
    to the foot crosses. The next face holds the centre of mass lower, so that no chain is closed.
    """
    n = len(faces.outward)
    foot = faces.outward * faces.distance[:, None] - faces.centroid
    first, second = np.moveaxis(faces.border, 1, 0)
    across = np.cross(second - first, faces.outward[faces.face])  # in the plane, square to the edge
    reach = (across * (first - faces.centroid[faces.face])).sum(-1)
    along = (across * foot[faces.face]).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossed = np.where(along * reach > 0, reach / along, np.inf)
    nearest_last = np.lexsort((-crossed, faces.face))
    target, part = np.arange(n), np.full(n, np.inf)
    target[faces.face[nearest_last]] = faces.beyond[nearest_last]
    part[faces.face[nearest_last]] = crossed[nearest_last]
    topples = (part < 1) & (faces.distance[target] < faces.distance)
    sink = np.where(topples, target, np.arange(n))
    while not np.array_equal(sink, further := sink[sink]):
        sink = further
    return sink


def _rest(mesh: TriMesh, down_obj: Float[np.ndarray, "3"], probability: float) -> StablePose:
    """Stand the object on the face whose outward normal is ``down_obj``."""
    z = -down_obj
    horizontal = np.array([-z[1], z[0], 0.0])
    length = np.linalg.norm(horizontal)
    x = horizontal / length if length > 1e-9 else np.array([1.0, 0.0, 0.0])
    y = np.cross(z, x)
    R = np.array([x, y / np.linalg.norm(y), z])
    t = -R @ mesh.center_of_mass
    t[2] = -(mesh.vertices @ R[2]).min()
    return StablePose(transforms.from_rt(R, t), probability)
