"""Fill missing depth with what lies behind it.

A hole beside an object is the shadow that it casts on a stereo or structured-light sensor: what was not seen there is
the background. A hole within a surface has only that surface around it. Both are filled with the mean of the farther
half of the hole's rim, measured along the approach. Edges and obstacles are sought in the filled image; networks get
the image with its holes.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from ..camera import DepthImage
from .rays import along, bounds


def fill_holes(image: DepthImage, approach_axis: Float[np.ndarray, "3"]) -> DepthImage:
    """Return the image without missing pixels.

    Args:
        image: at least one pixel of it is valid.
        approach_axis: unit, camera frame; a table across it has a rim of one distance, however tilted the camera.
    """
    if image.valid.all():
        return image
    import cv2  # heavy: loaded with the first image

    missing = ~image.valid
    # with a rim of valid pixels, or of the image's border, around it
    window = bounds(missing, rim=1)
    missing, distance = missing[window], along(image, approach_axis, window)
    n, found = cv2.connectedComponents(missing.view(np.uint8), connectivity=4)
    labels, pixels = np.asarray(found, np.intp), np.flatnonzero(missing)
    level = _levels(labels, pixels, distance, n)
    v, u = np.divmod(pixels, missing.shape[1])
    v, u = v + window[0].start, u + window[1].start
    slope = image.intrinsics.deproject(np.stack([u, v], -1), np.ones(len(u))) @ approach_axis
    mended = level[labels.ravel()[pixels]] / np.maximum(slope, 1e-3)
    depth = np.array(image.depth)
    # a ray along the table never meets it: leave the pixel missing
    depth[v, u] = np.where((slope > 1e-3) & (mended < 1e3), mended, 0.0)
    return image.with_depth(depth)


def _levels(
    labels: Int[np.ndarray, "h w"],
    pixels: Int[np.ndarray, "m"],
    distance: Float[np.ndarray, "h w"],
    n: int,
) -> Float[np.ndarray, "n"]:
    """Distance of what lies behind each hole: the mean of the farther half of its rim, m; 0 without a rim.

    Args:
        labels: 1 … n − 1 on the holes, 0 elsewhere.
        pixels: flat indices of the holes.
        distance: of the surface.
        n: one more than there are holes.
    """
    height, width = labels.shape
    v, u = np.divmod(pixels, width)
    hole, behind = labels.ravel(), distance.ravel()
    holes, rims = [], []
    for step, inside in (
        (-width, v > 0),
        (width, v < height - 1),
        (-1, u > 0),
        (1, u < width - 1),
    ):
        here = pixels[inside]
        touching = hole[here + step] == 0
        holes.append(hole[here[touching]])
        rims.append(behind[here[touching] + step])
    of, rim = np.concatenate(holes), np.concatenate(rims)
    nearest, farthest = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(nearest, of, rim)
    np.maximum.at(farthest, of, rim)
    nearest[0] = farthest[0] = 0.0  # label 0 is no hole
    far = rim >= ((nearest + farthest) / 2)[of]
    total = np.bincount(of[far], rim[far], n)
    return total / np.maximum(np.bincount(of[far], minlength=n), 1)
