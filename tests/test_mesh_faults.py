"""What trimesh misreads without a word is refused: indices of OBJ, notches of polygons, cut files, packed GLB."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from antipodal.errors import InvalidMesh
from antipodal.mesh import load_mesh, save_mesh
from conftest import box

CUBE = [f"v {0.04 * (i // 4):g} {0.04 * (i // 2 % 2):g} {0.04 * (i % 2):g}" for i in range(8)]
SIDES = [[1, 2, 4, 3], [5, 7, 8, 6], [1, 5, 6, 2], [3, 4, 8, 7], [1, 3, 7, 5], [2, 6, 8, 4]]
HAND = [[-50, 0], [50, 0], [50, 130], [35, 130], [35, 80], [-35, 80], [-35, 130], [-50, 130]]
"""Front of an open hand, mm: the tips of both fingers lie on one line."""


def faces(shift: int) -> list[str]:
    return ["f " + " ".join(str(i + shift) for i in side) for side in SIDES]


def prism(outline: list[list[int]], start: int) -> tuple[np.ndarray, list[list[int]]]:
    """A prism whose two caps are one polygon each, which begins at the corner ``start``."""
    n = len(outline)
    points = np.array([[x, y, z] for z in (0, 20) for x, y in outline]) / 1000
    cap = [(i + start) % n for i in range(n)]
    walls = [[i, (i + 1) % n, (i + 1) % n + n, i + n] for i in range(n)]
    return points, [cap[::-1], [i + n for i in cap], *walls]


def write(path: Path, points: np.ndarray, polygons: list[list[int]]) -> Path:
    corners = [" ".join(f"{x:.9g}" for x in point) for point in points]
    if path.suffix == ".obj":
        rows = [f"v {c}" for c in corners]
        rows += ["f " + " ".join(str(i + 1) for i in polygon) for polygon in polygons]
    else:
        head = f"OFF\n{len(points)} {len(polygons)} 0"
        if path.suffix == ".ply":
            head = f"ply\nformat ascii 1.0\nelement vertex {len(points)}\n"
            head += "".join(f"property float {axis}\n" for axis in "xyz")
            head += (
                f"element face {len(polygons)}\nproperty list uchar int vertex_indices\nend_header"
            )
        rows = [head, *corners]
        rows += [" ".join(map(str, [len(polygon), *polygon])) for polygon in polygons]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_an_obj_that_counts_backwards_is_refused_where_more_vertices_follow(tmp_path: Path) -> None:
    path = tmp_path / "relative.obj"
    far = [line.replace("v 0 ", "v 0.1 ") for line in CUBE]
    path.write_text("\n".join([*CUBE, *faces(-9), *far, *faces(-9)]))
    with pytest.raises(InvalidMesh, match=r"relative\.obj: .*backwards .*positive"):
        load_mesh(path)
    path.write_text("\n".join([*CUBE, *faces(-9)]))  # from the end of the file is right here
    assert np.isclose(load_mesh(path).volume, 0.04**3)
    path.write_text("\n".join([*CUBE, *faces(0)]))
    assert np.isclose(load_mesh(path).volume, 0.04**3)


@pytest.mark.parametrize("reference", ["{}", "{}/1", "{}//0", "{}/0/0"])
def test_an_obj_that_counts_from_zero_is_refused(tmp_path: Path, reference: str) -> None:
    rows = ["f " + " ".join(reference.format(i - 1) for i in side) for side in SIDES]
    (tmp_path / "zero.obj").write_text("\r\n".join([*CUBE, *rows]))
    with pytest.raises(InvalidMesh, match="vertex 0: OBJ counts from 1"):
        load_mesh(tmp_path / "zero.obj")


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
@pytest.mark.parametrize("start", range(8))
def test_a_notched_polygon_is_refused_wherever_it_begins(
    tmp_path: Path, suffix: str, start: int
) -> None:
    with pytest.raises(InvalidMesh, match=r"concave: triangulate it"):
        load_mesh(write(tmp_path / f"hand{suffix}", *prism(HAND, start)))


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_convex_polygons_and_triangles_of_a_concave_part_are_read(
    tmp_path: Path, suffix: str
) -> None:
    # six corners, one of them in the middle of a side, whose fan has a triangle without area
    outline = [[0, 0], [40, 0], [80, 0], [80, 60], [40, 90], [0, 60]]
    for start in range(6):
        mesh = load_mesh(write(tmp_path / f"house{suffix}", *prism(outline, start)))
        assert np.isclose(mesh.volume, (0.08 * 0.06 + 0.08 * 0.03 / 2) * 0.02)
    points, polygons = prism(HAND, 0)
    cut = [[7, 0, 5], [7, 5, 6], [0, 1, 4], [0, 4, 5], [1, 2, 4], [2, 3, 4]]
    caps = [triangle[::-1] for triangle in cut] + [[i + 8 for i in triangle] for triangle in cut]
    mesh = load_mesh(write(tmp_path / f"hand{suffix}", points, [*caps, *polygons[2:]]))
    assert np.isclose(mesh.volume, (0.1 * 0.08 + 2 * 0.015 * 0.05) * 0.02)


@pytest.mark.parametrize("suffix", [".ply", ".off"])
@pytest.mark.parametrize("n_lost", [1, 3, 11])
def test_a_file_that_was_cut_off_is_no_smaller_part(
    tmp_path: Path, suffix: str, n_lost: int
) -> None:
    solid = box(0.04, 0.06, 0.1)
    path = write(tmp_path / f"box{suffix}", solid.vertices, solid.faces.tolist())
    assert np.isclose(load_mesh(path).volume, solid.volume)
    path.write_text("\n".join(path.read_text().splitlines()[:-n_lost]) + "\n")
    with pytest.raises(InvalidMesh, match=rf"box\{suffix}: {20 - n_lost} lines .* 20: .*cut off"):
        load_mesh(path)


def test_polygons_of_several_sizes_are_read_or_to_be_made_triangles(tmp_path: Path) -> None:
    points, polygons = prism([[0, 0], [50, 0], [50, 40], [20, 60], [0, 40]], 0)
    with pytest.raises(InvalidMesh, match=r"not a readable mesh: export it again, as triangles"):
        load_mesh(write(tmp_path / "mixed.off", points, polygons))
    header = write(tmp_path / "mixed.ply", points, polygons).read_text().partition("end_header")[0]
    body = points.astype("<f4").tobytes()
    body += b"".join(struct.pack(f"<B{len(p)}i", len(p), *p) for p in polygons)
    header = header.replace("ascii", "binary_little_endian") + "end_header\n"
    (tmp_path / "mixed.ply").write_bytes(header.encode() + body)
    with pytest.raises(InvalidMesh, match=r"not a readable mesh: export it again, as triangles"):
        load_mesh(tmp_path / "mixed.ply")


def glb(path: Path, change: Mapping[str, object], accessor: str) -> Path:
    """A box, as trimesh writes it, with something more said about one of its accessors."""
    save_mesh(box(0.04, 0.06, 0.1), path)
    content = path.read_bytes()
    end = 20 + int.from_bytes(content[12:16], "little")
    document = json.loads(content[20:end])
    primitive = document["meshes"][0]["primitives"][0]
    which = primitive["indices"] if accessor == "indices" else primitive["attributes"][accessor]
    document["accessors"][which].update(change)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = struct.pack("<I4s", len(text), b"JSON") + text + content[end:]
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(rest)) + rest)
    return path


@pytest.mark.parametrize("accessor", ["POSITION", "indices"])
def test_a_glb_whose_numbers_are_packed_is_refused(tmp_path: Path, accessor: str) -> None:
    assert np.isclose(load_mesh(glb(tmp_path / "box.glb", {}, accessor)).volume, 0.04 * 0.06 * 0.1)
    for packing in ({"normalized": True}, {"sparse": {"count": 1}}):
        with pytest.raises(InvalidMesh, match=r"box\.glb: .*packed .*without compression"):
            load_mesh(glb(tmp_path / "box.glb", packing, accessor))
