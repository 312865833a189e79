"""Draw the contact sheet of objects.md: three objects of every procedural family, standing in their likeliest pose.

    python docs/figures/draw_families.py [FOLDER]

The checks of the table are 5 cm wide.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

from antipodal import transforms
from antipodal.camera import CameraIntrinsics
from antipodal.mesh import TriMesh
from antipodal.objects import FAMILIES, make_objects
from antipodal.render.shade import PALETTE, Body, ShadeConfig, look_from, shade
from antipodal.stable_pose import stable_poses

SEED = 1
N_EACH = 3
N_COLUMNS = 4
WIDTH, HEIGHT = 380, 200
"""Of a family's picture, pixels."""
SPACING = 0.105
"""Between neighbouring objects, m: two checks of the table and a bit."""
LOOK = ShadeConfig(occlusion_rays=24, fade_distance=20.0)


def body(mesh: TriMesh, place: int, color: tuple[float, float, float]) -> Body:
    """The object in its likeliest pose, its longer side away from its neighbours, its top to the front."""
    T_world_obj = stable_poses(mesh)[0].T_world_obj
    points = transforms.apply(T_world_obj, mesh.vertices)[:, :2]
    longest = np.linalg.eigh(np.cov(points.T))[1][:, -1]
    if longest @ T_world_obj[:2, 2] < 0:
        longest = -longest
    turn = transforms.rot_z(np.deg2rad(-125.0) - np.arctan2(longest[1], longest[0]))
    middle = transforms.apply(turn, np.c_[points, np.zeros(len(points))])
    shift = [(place - (N_EACH - 1) / 2) * SPACING, 0, 0] - (middle.max(0) + middle.min(0)) / 2
    return Body(mesh, transforms.translation(shift) @ turn @ T_world_obj, color)


def picture(meshes: list[TriMesh], color: tuple[float, float, float]) -> np.ndarray:
    """Objects of one family in a row on the table."""
    camera = CameraIntrinsics(
        2.1 * WIDTH, 2.1 * WIDTH, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, WIDTH, HEIGHT
    )
    T_world_camera = look_from(np.deg2rad(-90), np.deg2rad(38), 0.76, (0.0, 0.03, 0.03))
    return shade(
        [body(mesh, k, color) for k, mesh in enumerate(meshes)], T_world_camera, camera, LOOK
    )


def draw(path: Path) -> None:
    """Draw all families, in the order of their names."""
    names = sorted(FAMILIES)
    objects = make_objects(N_EACH * len(names), SEED, names)
    n_rows = -(-len(names) // N_COLUMNS)
    dpi, title = 100, 24
    size = (N_COLUMNS * WIDTH / dpi, n_rows * (HEIGHT + title) / dpi)
    figure = plt.figure(figsize=size, dpi=dpi)
    for k, name in enumerate(names):
        row, column = divmod(k, N_COLUMNS)
        left, top = column / N_COLUMNS, 1 - row / n_rows
        share = HEIGHT / (HEIGHT + title) / n_rows
        axes = figure.add_axes((left, top - 1 / n_rows, 1 / N_COLUMNS, share))
        axes.imshow(picture(objects[k :: len(names)], PALETTE[k % len(PALETTE)]))
        axes.set_axis_off()
        figure.text(
            left + 0.5 / N_COLUMNS, top - title / 2 / (HEIGHT + title) / n_rows, name,
            ha="center", va="center", fontsize=13,
        )  # fmt: skip
    # 256 colours are enough for a sheet and a third of the bytes
    figure.savefig(path, dpi=dpi)
    plt.close(figure)
    reduce_colors(path)


def reduce_colors(path: Path) -> None:
    """Rewrite a PNG with a palette of 256 colours."""
    from PIL import Image

    Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    draw(folder / "families.png")
