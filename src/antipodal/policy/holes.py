"""Fill missing depth with what lies behind it.

A hole beside an object is the shadow that it casts on a stereo or structured-light sensor: what was not seen there is
the background. A hole within a surface has only that surface around it. Both are filled with the mean of the farther
half of the hole's rim, measured along the approach. Edges and obstacles are sought in the filled image; networks get
the image with its holes.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..camera import DepthImage
from .rays import along


def fill_holes(image: DepthImage, approach_axis: Float[np.ndarray, "3"]) -> DepthImage:
    """Return the image without missing pixels.

    Args:
        image: at least one pixel of it is valid.
        approach_axis: unit, camera frame; a table across it has a rim of one distance, however tilted the camera.
    """
    if image.valid.all():
        return image
    import cv2  # heavy: loaded with the first image

    distance, missing = along(image, approach_axis), ~image.valid
    n, found = cv2.connectedComponents(missing.view(np.uint8), connectivity=4)
    labels = np.asarray(found, np.int64)
    hole, rim = _rims(labels, missing, distance)
    nearest, farthest = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(nearest, hole, rim)
    np.maximum.at(farthest, hole, rim)
    nearest[0] = farthest[0] = 0.0  # label 0 is no hole
    far = rim >= ((nearest + farthest) / 2)[hole]
    total = np.bincount(hole[far], rim[far], n)
    level = total / np.maximum(np.bincount(hole[far], minlength=n), 1)
    v, u = np.nonzero(missing)
    slope = image.intrinsics.deproject(np.stack([u, v], -1), np.ones(len(u))) @ approach_axis
    depth = np.array(image.depth)
    # a ray along the table never meets it: leave the pixel missing
    depth[v, u] = np.where(slope > 1e-3, level[labels[v, u]] / np.maximum(slope, 1e-3), 0.0)
    return image.with_depth(np.where(depth < 1e3, depth, 0.0))


def _rims(
    labels: np.ndarray, missing: np.ndarray, distance: np.ndarray
) -> tuple[np.ndarray, Float[np.ndarray, "R"]]:
    """Label of the hole and distance of the surface at every valid neighbour of a missing pixel."""
    holes, rims = [], []
    here, there = np.s_[:-1], np.s_[1:]
    for a, b in (((here,), (there,)), ((slice(None), here), (slice(None), there))):
        for inner, outer in ((a, b), (b, a)):
            touching = missing[inner] & ~missing[outer]
            holes.append(labels[inner][touching])
            rims.append(distance[outer][touching])
    return np.concatenate(holes), np.concatenate(rims)
