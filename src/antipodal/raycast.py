"""The one ray tracer: contact finding, collision rays and depth rendering all cast through here.

Embree (embreex) finds *which* triangle a ray meets, in float32; the distance is then recomputed in float64 on
that triangle's plane, so that contact points are exact to rounding and not to Embree's 1e-7 relative.
Plain arrays in and out; no frames, no units.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Hits(NamedTuple):
    """What each ray met. ``distance`` is inf and ``face`` −1 where it met nothing."""

    distance: Float[np.ndarray, "n"]
    """In multiples of the direction's length."""
    face: Int[np.ndarray, "n"]

    @property
    def found(self) -> Bool[np.ndarray, "n"]:
        """True where the ray met a triangle."""
        return self.face >= 0


class RayCaster:
    """Embree's tree over one triangle soup."""

    def __init__(self, vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> None:
        from embreex.mesh_construction import (
            TriangleMesh,
        )  # embreex is compiled: loaded with the first tree
        from embreex.rtcore_scene import EmbreeScene

        self._triangles = np.ascontiguousarray(vertices[faces], dtype=np.float64)
        a, b, c = np.moveaxis(self._triangles, 1, 0)
        self._normals = np.cross(b - a, c - a)
        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(self._scene, self._triangles.astype(np.float32))

    def first_hit(
        self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]
    ) -> Hits:
        """Cast n rays; return the first triangle of each, from either side."""
        o = np.asarray(origins, np.float64).reshape(-1, 3)
        d = np.asarray(directions, np.float64).reshape(-1, 3)
        if len(o) == 0:
            return Hits(np.empty(0), np.empty(0, np.int64))
        face = self._scene.run(
            np.ascontiguousarray(o, np.float32),
            np.ascontiguousarray(d, np.float32),
            query="INTERSECT",
        ).astype(np.int64)
        distance = np.full(len(o), np.inf)
        hit = face >= 0
        n = self._normals[face[hit]]
        slope = np.einsum("ij,ij->i", d[hit], n)
        offset = np.einsum("ij,ij->i", self._triangles[face[hit], 0] - o[hit], n)
        # a ray inside the triangle's plane has slope 0: it counts as a miss, its distance being undefined
        with np.errstate(divide="ignore", invalid="ignore"):
            distance[hit] = np.where(slope != 0, offset / slope, np.inf)
        face = np.where(np.isfinite(distance), face, -1)
        return Hits(distance, face)

    def all_hits(
        self,
        origins: Float[np.ndarray, "n 3"],
        directions: Float[np.ndarray, "n 3"],
        max_hits: int = 32,
    ) -> list[Hits]:
        """Cast n rays right through; element k holds the (k+1)-th hit of each ray. Stops when no ray hits.

        Each round starts 1 µm (or 1e-6 of the distance) behind the last hit.
        """
        o = np.array(origins, np.float64).reshape(-1, 3)
        d = np.asarray(directions, np.float64).reshape(-1, 3)
        length = np.linalg.norm(d, axis=-1)
        travelled = np.zeros(len(o))
        rounds: list[Hits] = []
        alive = np.arange(len(o))
        for _ in range(max_hits):
            h = self.first_hit(o[alive] + travelled[alive, None] * d[alive], d[alive])
            alive = alive[h.found]
            if len(alive) == 0:
                break
            distance, face = np.full(len(o), np.inf), np.full(len(o), -1)
            distance[alive] = travelled[alive] + h.distance[h.found]
            face[alive] = h.face[h.found]
            rounds.append(Hits(distance, face))
            travelled[alive] = distance[alive] + np.maximum(
                1e-6 / length[alive], 1e-6 * distance[alive]
            )
        return rounds
