"""All procedural families, and objects drawn from them: closed, of one piece, of a size that a 5 cm jaw can hold.

Every family is a function ``(rng) → TriMesh``; :func:`make_object` draws again until the draw passes :func:`fault`.
They stand in for the paper's 3DNet and KIT meshes, and are free of any licence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..errors import InvalidConfig, UnknownAsset
from ..mesh import TriMesh
from . import families_flat as flat
from . import families_free as free
from . import families_rods as rods
from . import families_sloped as sloped
from . import families_turned as turned

Family = Callable[[np.random.Generator], TriMesh]

FAMILIES: Mapping[str, Family] = {
    "blob": free.blob,
    "boolean_mixture": free.boolean_mixture,
    "bottle": turned.bottle,
    "bowl": turned.bowl,
    "bracket": flat.bracket,
    "burr": free.burr,
    "carton": free.carton,
    "coil": rods.coil,
    "convex_hull": free.convex_hull,
    "extrusion": flat.extrusion,
    "folded_sheet": flat.folded_sheet,
    "frustum": sloped.frustum,
    "gear": flat.gear,
    "hammer": rods.hammer,
    "handle": rods.handle,
    "jack": rods.jack,
    "knob": turned.knob,
    "lattice": flat.lattice,
    "machine_part": free.machine_part,
    "metaballs": free.metaballs,
    "mug": turned.mug,
    "pinched": turned.pinched,
    "pipe": rods.pipe,
    "plate": flat.plate,
    "ring": rods.ring,
    "screwdriver": rods.screwdriver,
    "spool": turned.spool,
    "superquadric": free.superquadric,
    "tee": rods.tee,
    "turned_piece": turned.turned_piece,
    "vase": turned.vase,
    "wavy_sheet": flat.wavy_sheet,
    "wedge": sloped.wedge,
    "welded_boxes": free.welded_boxes,
    "wrench": rods.wrench,
}
"""The families by name."""

SIZE = (0.02, 0.20)
"""The longest side of an object lies in this interval, m."""
MAX_FACES = 3000
MAX_THICKNESS = 0.045
"""What must fit between jaws that open 50 mm, m."""
MAX_TILT = float(np.deg2rad(25.0))
"""Between the normals of two sides that count as parallel, rad."""
MIN_GRASPABLE = 0.05
"""Share of the surface that must have a parallel opposite side within MAX_THICKNESS."""
N_RAYS = 200
"""That measure it."""
MAX_DRAWS = 50


def make_object(family: str, rng: np.random.Generator) -> TriMesh:
    """Draw one object of a family; draws with a fault are thrown away.

    Raises:
        UnknownAsset: no such family; lists them.
    """
    check_family(family)
    reason = ""
    for _ in range(MAX_DRAWS):
        mesh = FAMILIES[family](rng)
        reason = fault(mesh, rng)
        if not reason:
            return replace(mesh, name=family)
    raise AssertionError(f"family {family}: {MAX_DRAWS} draws failed, the last: {reason}")


def check_family(family: str) -> None:
    """Raise UnknownAsset, with the known ones, unless there is such a family."""
    if family not in FAMILIES:
        raise UnknownAsset(
            f"unknown object family '{family}': expected one of {', '.join(sorted(FAMILIES))}"
        )


def make_objects(n: int, seed: int, families: Sequence[str] | None = None) -> list[TriMesh]:
    """Draw n objects, the families in turn. Object i depends on (seed, i) alone; its name is like ``bottle_0012``.

    Args:
        n: how many.
        seed: of the whole set.
        families: names to take turns; None for all.
    """
    names = sorted(FAMILIES) if families is None else list(families)
    if n < 0 or not names:
        raise InvalidConfig(f"{n} objects of {len(names)} families: expected n ≥ 0 and a family")
    return [make_one(i, seed, names) for i in range(n)]


def make_one(index: int, seed: int, families: Sequence[str]) -> TriMesh:
    """Draw object ``index`` of the set with this seed: what a parallel worker calls."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    family = families[index % len(families)]
    return replace(make_object(family, rng), name=f"{family}_{index:04d}")


def fault(mesh: TriMesh, rng: np.random.Generator) -> str:
    """Say what makes a mesh unfit as an object to grasp; empty if nothing does."""
    longest = float(mesh.extents.max())
    if not mesh.is_watertight or mesh.volume <= 0:
        return "not a closed outward surface"
    if len(np.unique(mesh.vertices.astype(np.float32), axis=0)) < len(mesh.vertices):
        return "vertices that a file's float32 cannot tell apart"
    if not SIZE[0] <= longest <= SIZE[1]:
        return f"longest side {longest:.3f} m outside {SIZE}"
    if len(mesh.faces) > MAX_FACES:
        return f"{len(mesh.faces)} faces: more than {MAX_FACES}"
    if (n_bodies := count_bodies(mesh)) != 1:
        return f"{n_bodies} pieces"
    if (share := graspable_share(mesh, rng)) < MIN_GRASPABLE:
        return f"only {share:.0%} of the surface has an opposite side within {MAX_THICKNESS} m"
    return ""


def count_bodies(mesh: TriMesh) -> int:
    """Number of pieces that share no vertex. A closed cavity counts as a piece."""
    import trimesh  # heavy: loaded with the first use

    edges = mesh.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    label = trimesh.graph.connected_component_labels(edges, len(mesh.vertices))
    return len(np.unique(label[mesh.faces[:, 0]]))


def graspable_share(mesh: TriMesh, rng: np.random.Generator) -> float:
    """Share of the surface behind which, straight through the body, a nearly parallel side lies within reach.

    A quick necessary condition for a parallel-jaw grasp; the real sampler is ``sampling.sample_antipodal``.
    """
    area = np.cumsum(mesh.face_areas)
    face = np.minimum(np.searchsorted(area, rng.random(N_RAYS) * area[-1]), len(area) - 1)
    weights = rng.dirichlet(np.ones(3), N_RAYS)
    inward = -mesh.face_normals[face]
    points = np.einsum("nk,nkd->nd", weights, mesh.triangles[face]) + 1e-5 * inward
    hits = mesh.raycaster.first_hit(points, inward)
    parallel = (mesh.face_normals[hits.face] * inward).sum(-1) > np.cos(MAX_TILT)
    return float((hits.found & parallel & (hits.distance < MAX_THICKNESS)).mean())
