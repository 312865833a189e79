"""The ray tracer against spheres, boxes, a torus and the test of every triangle."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import trimesh

from antipodal import transforms
from antipodal.raycast import Hits, RayCaster
from conftest import box, moller_trumbore, sphere


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def random_rays(n: int, reach: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    origins = 0.3 * unit(rng.normal(size=(n, 3)))
    return origins, unit(rng.uniform(-reach, reach, (n, 3)) - origins)


def slab_entry(o: np.ndarray, d: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances at which rays enter and leave a box centred on the origin."""
    a, b = (-half - o) / d, (half - o) / d
    return np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)


def all_hits(
    caster: RayCaster,
    origins: np.ndarray,
    directions: np.ndarray,
    max_hits: int = 32,
) -> list[Hits]:
    """Cast n rays right through; element k holds the (k+1)-th hit of each ray. Stops when no ray hits.

    Each round starts 1 µm (or 1e-6 of the distance) behind the last hit. A ray meets a triangle at most once: a
    grazing ray that float32 puts before the same triangle again is moved on and not counted twice.
    """
    o = np.array(origins, np.float64).reshape(-1, 3)
    d = np.asarray(directions, np.float64).reshape(-1, 3)
    n, length = len(o), np.linalg.norm(d, axis=-1)
    travelled, count, last = np.zeros(n), np.zeros(n, int), np.full(n, -1)
    distance, face = np.full((max_hits, n), np.inf), np.full((max_hits, n), -1)
    alive = np.arange(n)
    for _ in range(2 * max_hits):
        h = caster.first_hit(o[alive] + travelled[alive, None] * d[alive], d[alive])
        alive, there, met = alive[h.found], h.distance[h.found], h.face[h.found]
        if len(alive) == 0:
            break
        there = travelled[alive] + np.maximum(there, 0.0)
        new = met != last[alive]
        rays = alive[new]
        distance[count[rays], rays], face[count[rays], rays] = there[new], met[new]
        count[rays] += 1
        last[alive] = met
        travelled[alive] = there + np.maximum(1e-6 / length[alive], 1e-6 * there)
        alive = alive[count[alive] < max_hits]
    return [Hits(distance[k], face[k]) for k in range(int(count.max(initial=0)))]


def test_a_box_is_entered_and_left_where_the_slabs_say(rng: np.random.Generator) -> None:
    o, d = random_rays(3000, 0.04, rng)
    half = np.array([0.02, 0.03, 0.015])
    enter, leave = slab_entry(o, d, half)
    caster = box(*(2 * half)).raycaster
    first = caster.first_hit(o, d)
    clear = np.abs(leave - enter) > 1e-6  # float32 decides at the very edge
    assert np.array_equal(first.found[clear], (enter < leave)[clear])
    both = first.found & clear
    assert both.sum() > 500
    assert np.abs(first.distance - enter)[both].max() < 1e-12
    rounds = all_hits(caster, o, d)
    assert len(rounds) == 2
    assert np.abs(rounds[1].distance - leave)[both].max() < 1e-12


def test_distances_come_in_multiples_of_the_direction(rng: np.random.Generator) -> None:
    o, d = random_rays(500, 0.02, rng)
    caster = box().raycaster
    near, far = caster.first_hit(o, d), caster.first_hit(o, 0.25 * d)
    assert np.array_equal(near.face, far.face)
    assert np.allclose(far.distance[near.found], 4 * near.distance[near.found], rtol=1e-12)


def test_a_miss_is_infinite_and_has_no_face() -> None:
    hits = box().raycaster.first_hit(np.array([[0, 0, 1.0]]), np.array([[0, 0, 1.0]]))
    assert not hits.found[0]
    assert hits.distance[0] == np.inf
    assert hits.face[0] == -1
    assert len(box().raycaster.first_hit(np.empty((0, 3)), np.empty((0, 3))).face) == 0
    assert all_hits(box().raycaster, np.empty((0, 3)), np.empty((0, 3))) == []


def test_triangles_are_met_from_both_sides() -> None:
    caster = RayCaster(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]]), np.array([[0, 1, 2]]))
    o = np.array([[0.2, 0.2, 1.0], [0.2, 0.2, -1.0]])
    assert np.array_equal(caster.first_hit(o, -o * [0, 0, 1]).distance, [1.0, 1.0])


def test_a_fine_sphere_is_met_at_its_analytic_distance(rng: np.random.Generator) -> None:
    r = 0.02
    mesh = sphere(r, 5)
    o, d = random_rays(4000, r, rng)
    b = np.sum(o * d, -1)
    discriminant = b**2 - (np.sum(o * o, -1) - r**2)
    central = discriminant > (0.5 * r) ** 2  # away from the silhouette
    hits = mesh.raycaster.first_hit(o, d)
    assert hits.found[central].all()
    analytic = -b[central] - np.sqrt(discriminant[central])
    # a chord of the icosphere lies at most h²/8r inside; divided by the incidence's cosine ≥ ½
    sagitta = np.linalg.norm(mesh.triangles[:, 0] - mesh.triangles[:, 1], axis=-1).max() ** 2 / (
        4 * r
    )
    error = hits.distance[central] - analytic
    assert error.min() > -1e-9
    assert error.max() < 2 * sagitta


def test_the_same_distances_as_testing_every_triangle(rng: np.random.Generator) -> None:
    mesh = trimesh.creation.torus(0.03, 0.012, major_sections=24, minor_sections=12)
    o, d = random_rays(2000, 0.03, rng)
    ours = RayCaster(mesh.vertices, mesh.faces).first_hit(o, d)
    theirs = moller_trumbore(np.asarray(mesh.triangles), o, d)
    assert 500 < ours.found.sum() < 2000
    assert np.array_equal(ours.found, np.isfinite(theirs))
    assert np.abs(ours.distance[ours.found] - theirs[ours.found]).max() < 1e-12


@pytest.mark.parametrize("sections", [16, 64])
def test_a_closed_surface_is_crossed_an_even_number_of_times(
    sections: int, rng: np.random.Generator
) -> None:
    mesh = trimesh.creation.torus(0.03, 0.01, major_sections=sections, minor_sections=sections)
    o, d = random_rays(20_000, 0.04, rng)
    rounds = all_hits(RayCaster(mesh.vertices, mesh.faces), o, d)
    count = np.sum([h.found for h in rounds], 0)
    assert (count == 4).sum() > 500  # right through both walls of the ring
    assert not (count % 2).any()
    distances = np.stack([np.nan_to_num(h.distance, posinf=1e9) for h in rounds])
    assert (np.diff(distances, axis=0) >= 0).all()


def test_crossings_alternate_between_entering_and_leaving(rng: np.random.Generator) -> None:
    mesh = sphere(0.02, 3)
    o, d = random_rays(2000, 0.018, rng)
    rounds = all_hits(mesh.raycaster, o, d)
    for k, hits in enumerate(rounds[:2]):
        ray = hits.found
        facing = np.sum(mesh.face_normals[hits.face[ray]] * d[ray], -1)
        assert (facing < 0).all() if k == 0 else (facing > 0).all()


def test_a_ray_from_inside_hits_once(rng: np.random.Generator) -> None:
    d = unit(rng.normal(size=(500, 3)))
    rounds = all_hits(sphere(0.02, 3).raycaster, np.zeros((500, 3)), d)
    assert len(rounds) == 1
    assert rounds[0].found.all()


def test_max_hits_bounds_the_rounds() -> None:
    heights = np.arange(10.0)
    vertices = np.concatenate([[[0, 0, z], [1, 0, z], [0, 1, z]] for z in heights])
    caster = RayCaster(vertices, np.arange(30).reshape(-1, 3))
    rounds = all_hits(caster, np.array([[0.2, 0.2, -1.0]]), np.array([[0, 0, 1.0]]), max_hits=4)
    assert [float(h.distance[0]) for h in rounds] == [1.0, 2.0, 3.0, 4.0]
    assert len(all_hits(caster, np.array([[0.2, 0.2, -1.0]]), np.array([[0, 0, 1.0]]))) == 10


def test_a_triangle_seen_edge_on_is_met_within_its_own_height(rng: np.random.Generator) -> None:
    """Its plane is ill-conditioned there: unclipped, float32's choice put hits tens of metres away."""
    wall = np.array([[-0.02, 0.013, -0.02], [0.02, 0.013, -0.02], [0, 0.013, 0.02]])
    n = 50_000
    o = np.stack(
        [rng.uniform(-0.02, 0.02, n), 0.013 + rng.normal(scale=3e-8, size=n), np.full(n, 0.3)], 1
    )
    d = np.stack([np.zeros(n), rng.normal(scale=1e-7, size=n), -np.ones(n)], 1)
    R = transforms.random_rotations(1, rng)[0]
    hits = RayCaster(wall @ R.T, np.array([[0, 1, 2]])).first_hit(o @ R.T, d @ R.T)
    assert hits.found.sum() > 100
    height = 0.3 - hits.distance[hits.found]
    assert height.min() > -0.02 - 1e-9
    assert height.max() < 0.02 + 1e-9


def test_a_grazing_ray_meets_a_triangle_once(rng: np.random.Generator) -> None:
    """Moving on by 1 µm along it climbs 1 nm over the face, which float32 cannot tell from nothing."""
    floor = np.array([[-1.0, -1.0, 0.1], [1.0, -1.0, 0.1], [0.0, 2.0, 0.1]])
    n = 5000
    ends = np.stack([rng.uniform(-0.2, 0.2, n), rng.uniform(-0.2, 0.2, n), np.full(n, 0.1)], 1)
    d = unit(np.stack([rng.normal(size=n), rng.normal(size=n), np.full(n, -1e-3)], 1))
    rounds = all_hits(RayCaster(floor, np.array([[0, 1, 2]])), ends - 0.3 * d, d)
    assert len(rounds) == 1
    assert rounds[0].found.mean() > 0.999
    assert np.abs(rounds[0].distance[rounds[0].found] - 0.3).max() < 1e-9


def test_thousands_of_trees_live_side_by_side() -> None:
    """In a process of its own: with a device a tree, Embree crashed at about the thousandth."""
    program = """
import numpy as np
from antipodal.raycast import RayCaster
corners, up = np.array([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 2.0, 0.0]]), np.array([[0, 0, 1.0]])
casters = [RayCaster(corners + [0, 0, height], np.array([[0, 1, 2]])) for height in range(3000)]
print(*(int(caster.first_hit(-up, up).distance[0]) for caster in casters))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert [int(d) for d in found.stdout.split()] == list(range(1, 3001))
