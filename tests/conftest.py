"""Shared places, shapes, an oracle. Tests that need data beside the repository skip, saying so, where it is absent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh

from antipodal.mesh import TriMesh

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder with real meshes, real images and the original's recorded outputs."""
    if not SHARED.is_dir():
        pytest.skip("the development data (../shared) is not here")
    return SHARED


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch with one thread: two wait for each other more than they compute on networks this small."""
    import torch  # only the tests of networks need it

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def rng() -> np.random.Generator:
    """A fixed random state."""
    return np.random.default_rng(20170712)


def to_trimesh_value(mesh: trimesh.Trimesh, name: str = "object") -> TriMesh:
    """Our value of a trimesh primitive."""
    return TriMesh(mesh.vertices, mesh.faces, name)


def box(x: float = 0.04, y: float = 0.04, z: float = 0.04) -> TriMesh:
    """A box centred on the origin, sides in m."""
    return to_trimesh_value(trimesh.creation.box((x, y, z)), "box")


def sphere(radius: float = 0.02, subdivisions: int = 4) -> TriMesh:
    """An icosphere centred on the origin."""
    return to_trimesh_value(
        trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius), "sphere"
    )


def cylinder(radius: float = 0.02, height: float = 0.08, sections: int = 64) -> TriMesh:
    """A cylinder about z, centred on the origin."""
    return to_trimesh_value(
        trimesh.creation.cylinder(radius=radius, height=height, sections=sections), "cylinder"
    )


def moller_trumbore(triangles: np.ndarray, o: np.ndarray, d: np.ndarray) -> np.ndarray:
    """First distance of each ray by testing every triangle in float64 [Möller97]; inf for a miss."""
    a, b, c = np.moveaxis(triangles, 1, 0)
    p = np.cross(d[:, None], c - a)
    determinant = np.sum(p * (b - a), -1)
    u = np.sum((o[:, None] - a) * p, -1) / determinant
    q = np.cross(o[:, None] - a, b - a)
    v = np.sum(q * d[:, None], -1) / determinant
    t = np.sum(q * (c - a), -1) / determinant
    return np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0), t, np.inf).min(1)
