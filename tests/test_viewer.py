"""What the viewer draws, without a browser: shapes, colours, filters, crops in space, kinds of input, wrong inputs."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("viser")

from antipodal.camera_files import save_depth
from antipodal.cli_view import view as view_command
from antipodal.contact import Contact, find_contacts
from antipodal.crop import CropConfig
from antipodal.dataset.dexnet2_export import export_tensors
from antipodal.dataset.dexnet2_import import import_tensors
from antipodal.dataset.generate import generate
from antipodal.dataset.model import PAPER
from antipodal.dataset.schema import SUCCESS_THRESHOLD
from antipodal.dataset.store import Dataset
from antipodal.draw_dataset import CELL_PX, draw_crop_grid
from antipodal.errors import InvalidConfig, UnknownAsset
from antipodal.gripper import load_gripper
from antipodal.mesh import TriMesh, save_mesh
from antipodal.planning import PlanInputs
from antipodal.policy import make_policy
from antipodal.quality import load_quality
from antipodal.render.depth import render
from antipodal.robust import Perturbation
from antipodal.values import config_from_dict
from antipodal.viewer.app import ViewOptions, prepare
from antipodal.viewer.colors import BAD, GOOD, MIDDLE, epsilon_colors, quality_colors
from antipodal.viewer.dataset_view import GRID, GRID_AXES, GRID_CENTER, GRID_SIZE, cell_at, spacing
from antipodal.viewer.depth_view import DepthView, plan_and_look
from antipodal.viewer.filters import LABELS, Filter, read_filter_facts, select
from antipodal.viewer.kinds import kind_of
from antipodal.viewer.mesh_grasps import as_it_is, examine_grasps, place
from antipodal.viewer.relief import COLUMNS, crop_relief
from antipodal.viewer.server import free_port, open_server
from antipodal.viewer.shapes import approach_stem, closing_rod, cone, hand_parts
from conftest import box, cylinder, sphere
from policy_scenes import standing

SMALL = dataclasses.replace(
    PAPER,
    n_grasps=12,
    n_jittered=6,
    images_per_pose=1,
    rescale_to=None,
    perturbation=Perturbation(n_samples=4),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two boxes and a cylinder."""
    shapes = [box(0.03, 0.02, 0.05), box(0.02, 0.03, 0.03), cylinder(0.015, 0.06, 24)]
    meshes = [dataclasses.replace(m, name=f"{m.name}_{i}") for i, m in enumerate(shapes)]
    folder = tmp_path_factory.mktemp("data") / "set"
    return generate(meshes, load_gripper("yumi"), folder, SMALL, seed=5)


# --- shapes and colours -----------------------------------------------------------------------


def test_the_cone_opens_into_the_object_with_the_slope_of_friction() -> None:
    contact = Contact(np.array([0.01, 0.0, 0.0]), np.array([-1.0, 0.0, 0.0]))
    shape = cone(contact, friction=0.5, height=0.02)
    apex, base, rim = shape.vertices[0], shape.vertices[1], shape.vertices[2:]
    np.testing.assert_allclose(apex, contact.point)
    np.testing.assert_allclose(base, [-0.01, 0, 0], atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(rim - base, axis=-1), 0.5 * 0.02)
    solid = TriMesh(shape.vertices, shape.faces)
    assert solid.is_watertight
    # a cone inscribed in the round one: outward faces, a little less volume than π r² h / 3
    assert 0.98 < solid.volume / (np.pi * 0.01**2 * 0.02 / 3) < 1


def test_rods_lie_along_closing_and_approach() -> None:
    rod, stem = closing_rod(), approach_stem()
    np.testing.assert_allclose(np.ptp(rod.vertices, 0)[0], 1.0)
    np.testing.assert_allclose(rod.vertices.mean(0), 0, atol=1e-15)
    assert stem.vertices[:, 2].max() == 0 and stem.vertices[:, 2].min() < 0  # +z is the approach


def test_the_hand_that_is_drawn_is_the_collision_model() -> None:
    gripper = load_gripper("robotiq_2f85")
    parts = hand_parts(gripper, 0.03)
    centers, sizes = gripper.boxes(0.03)
    assert [p.is_jaw for p in parts] == [True, True, False, False]
    for part, center, size in zip(parts, centers, sizes, strict=True):
        np.testing.assert_allclose(part.center, center)
        np.testing.assert_allclose(np.ptp(part.shape.vertices, 0), size)


def test_colours_are_red_yellow_green_at_their_stops() -> None:
    epsilon = np.array([0, 1, 3, 9]) * SUCCESS_THRESHOLD
    assert epsilon_colors(epsilon, SUCCESS_THRESHOLD).tolist() == [
        *map(list, (BAD, MIDDLE, GOOD, GOOD))
    ]
    assert quality_colors([0, 0.5, 1]).tolist() == [*map(list, (BAD, MIDDLE, GOOD))]


# --- a mesh -----------------------------------------------------------------------------------


def test_grasps_come_most_robust_first_with_their_own_contacts(rng: np.random.Generator) -> None:
    mesh = cylinder(0.015, 0.08)
    found = examine_grasps(mesh, load_gripper("yumi"), 30, rng)
    assert len(found.epsilon) > 10
    assert (np.diff(found.epsilon) <= 0).all()
    again, hit = find_contacts(mesh, found.grasps_obj)
    assert hit.all()
    np.testing.assert_allclose(found.contacts.point, again.point)
    # on a cylinder of radius 15 mm no antipodal pair is further apart than its diagonal, and most are a diameter
    assert np.median(found.gap) == pytest.approx(0.03, abs=0.003)


def test_in_each_pose_the_approach_is_as_steep_as_the_closing_axis_lets_it(
    rng: np.random.Generator,
) -> None:
    found = examine_grasps(box(0.03, 0.04, 0.1), load_gripper("yumi"), 25, rng)
    assert np.isclose(sum(pose.probability for pose in found.poses), 1.0, atol=0.02)
    for pose in found.poses:
        placed = place(found, pose)
        up = placed.grasps_world.approach_axis[:, 2]
        np.testing.assert_allclose(-up, np.cos(placed.tilt), atol=1e-9)
        assert not (placed.from_above & ~placed.free).any()
        # contacts do not move when the hand turns about the closing axis
        carried = found.grasps_obj.closing_axis @ pose.T_world_obj[:3, :3].T
        np.testing.assert_allclose(placed.grasps_world.closing_axis, carried, atol=1e-9)


def test_a_ball_without_a_pose_stands_on_the_table() -> None:
    ball = sphere(0.02)
    T = as_it_is(ball).T_world_obj
    assert ball.transformed(T).bounds[0, 2] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(T[:3, :3], np.eye(3))


# --- a data set -------------------------------------------------------------------------------


def test_a_filter_keeps_what_it_says_and_nothing_else(dataset: Dataset) -> None:
    facts = read_filter_facts(dataset)
    everything = select(facts, Filter())
    assert np.array_equal(everything, np.arange(len(dataset)))
    parts = [select(facts, Filter(label=label)) for label in LABELS]
    assert np.array_equal(np.sort(np.concatenate(parts)), everything)
    assert np.array_equal(parts[0], np.flatnonzero(dataset.labels()))
    free = dataset.read(["collision_free"])["collision_free"]
    assert np.array_equal(parts[2], np.flatnonzero(~free))
    of_one = [select(facts, Filter(object_id=i)) for i in facts.object_names]
    assert sum(map(len, of_one)) == len(dataset)
    epsilon = facts.numbers["robust_epsilon"]
    middle = select(facts, Filter(low=0.001, high=0.004))
    assert np.array_equal(middle, np.flatnonzero((epsilon >= 0.001) & (epsilon <= 0.004)))
    down = epsilon[select(facts, Filter(order="high first"))]
    assert (np.diff(down) <= 0).all()
    with pytest.raises(InvalidConfig, match="metric 'weight': expected one of robust_epsilon"):
        Filter(metric="weight")


def test_epsilon_is_that_of_the_datapoints_own_grasp(dataset: Dataset) -> None:
    facts = read_filter_facts(dataset)
    of_grasp = {g["grasp_id"]: g["epsilon"] for g in dataset.table("grasps").to_pylist()}
    ids = dataset.read(["grasp_id"])["grasp_id"]
    expected = np.array([of_grasp[i] for i in ids])
    np.testing.assert_array_equal(facts.numbers["epsilon"], expected.astype(np.float32))


def test_a_crop_lifted_back_lies_on_the_table_and_on_the_object(dataset: Dataset) -> None:
    """The world's z = 0 is the table: no point is under it, most are on it, and the jaws' centre is above it."""
    config = config_from_dict(CropConfig, dataset.config["crop"], "crop")
    heights = {
        row["object_id"]: max(row["extents"]) for row in dataset.table("objects").to_pylist()
    }
    rows = np.arange(0, len(dataset), 7)
    taken = dataset.take([*COLUMNS, "object_id"], rows)
    for i in range(len(rows)):
        relief = crop_relief({k: v[i] for k, v in taken.items()}, config)
        z = relief.points[:, 2]
        assert relief.in_world
        # float16 rounds by 0.05 mm, and shrunk pixels at an edge mix object and table
        assert z.min() > -0.002 and z.max() < heights[taken["object_id"][i]] + 0.002
        assert (np.abs(z) < 0.001).mean() > 0.3
        assert -0.02 < relief.grasp.center[2] < 0.2
        assert relief.grasp.approach_axis[2] == pytest.approx(-1.0, abs=1e-5)


def test_the_grasp_in_space_is_as_high_as_the_stored_grasp_of_its_object(dataset: Dataset) -> None:
    """Two roads to the height above the table: crop and camera, and T_world_obj · T_obj_grasp."""
    config = config_from_dict(CropConfig, dataset.config["crop"], "crop")
    poses = {p["pose_id"]: p for p in dataset.table("poses").to_pylist()}
    grasps = {g["grasp_id"]: g for g in dataset.table("grasps").to_pylist()}
    taken = dataset.take([*COLUMNS, "grasp_id", "pose_id"], np.arange(0, len(dataset), 5))
    for i in range(len(taken["grasp_id"])):
        relief = crop_relief({k: v[i] for k, v in taken.items()}, config)
        T_obj_grasp = np.reshape(grasps[taken["grasp_id"][i]]["T_obj_grasp"], (4, 4))
        T_world_obj = np.reshape(poses[taken["pose_id"][i]]["T_world_obj"], (4, 4))
        height = (T_world_obj @ T_obj_grasp)[2, 3]
        assert relief.grasp.center[2] == pytest.approx(height, abs=2e-5)


@pytest.mark.parametrize(
    "config", [CropConfig(), CropConfig(window_px=None, window_m=0.128)], ids=["px", "m"]
)
@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_a_relief_is_square_where_pixels_are_not(config: CropConfig, angle: float) -> None:
    """96 px at 0.6 m and a mean focal length of 450 px are 0.128 m, between the outer pixels' middles 31/32 of it."""
    row = {
        "crop": np.zeros((32, 32), np.float32),
        "center_px": np.array([300.0, 200.0]),
        "angle": angle,
        "depth": 0.6,
        "width": 0.05,
        "intrinsics": np.array([300.0, 600.0, 319.5, 239.5]),
        "T_world_camera": np.full(16, np.nan),
    }
    corners = crop_relief(row, config).points.reshape(32, 32, 3)[[0, 0, -1], [0, -1, 0]]
    along, down = corners[1:] - corners[0]
    assert along == pytest.approx(0.124 * np.array([np.cos(angle), np.sin(angle), 0.0]))
    assert down == pytest.approx(0.124 * np.array([-np.sin(angle), np.cos(angle), 0.0]))
    one = {name: np.asarray(value)[None] for name, value in row.items()}
    assert spacing(config, one) == pytest.approx(0.004)


def test_an_unknown_camera_leaves_the_crop_in_the_cameras_frame(dataset: Dataset) -> None:
    config = config_from_dict(CropConfig, dataset.config["crop"], "crop")
    row = {k: v[0].copy() for k, v in dataset.take(COLUMNS, np.array([0])).items()}
    row["T_world_camera"][:] = np.nan
    relief = crop_relief(row, config)
    assert not relief.in_world
    np.testing.assert_allclose(relief.grasp.center[2], row["depth"])
    assert np.median(relief.points[:, 2]) > 0.5


def test_a_set_in_the_originals_format_opens_as_ours_does(dataset: Dataset, tmp_path: Path) -> None:
    """Read back from tensors, where the poses of grasps in space are unknown."""
    export_tensors(dataset, tmp_path / "tensors")
    for optional in ("camera_poses", "camera_intrs"):
        for file in (tmp_path / "tensors").rglob(f"{optional}_*.npz"):
            file.unlink()
    imported = import_tensors(tmp_path / "tensors", tmp_path / "imported")
    kind, show = prepare(imported.path, ViewOptions())
    assert kind == "dataset"
    with open_server(port=0) as server:
        show(server)
    facts = read_filter_facts(imported)
    np.testing.assert_array_equal(
        select(facts, Filter()), select(read_filter_facts(dataset), Filter())
    )


def test_a_ray_meets_the_crop_whose_place_it_points_at() -> None:
    eye = np.array([0.1, -1.0, 0.4])
    for cell in range(GRID[0] * GRID[1]):
        line, column = divmod(cell, GRID[1])
        x = (column + 0.5) / GRID[1] - 0.5
        y = (line + 0.5) / GRID[0] - 0.5
        there = GRID_CENTER + GRID_AXES @ [x * GRID_SIZE[0], y * GRID_SIZE[1], 0.0]
        assert cell_at(eye, there - eye) == cell
        # the first line is above the last, the first column left of the last, seen from −y
        assert (there[2] > GRID_CENTER[2]) == (line < GRID[0] / 2)
        assert (there[0] < GRID_CENTER[0]) == (column < GRID[1] / 2)
    assert cell_at(eye, np.array([1.0, 1.0, 0.0])) is None
    assert cell_at(eye, np.array([1.0, 0.0, 0.0])) is None


def test_the_grid_shows_each_crop_in_its_place(dataset: Dataset) -> None:
    rows = np.arange(5)
    picture = draw_crop_grid(dataset, rows, [GOOD] * 5, (2, 3), marked=4)
    assert picture.shape == (2 * CELL_PX, 3 * CELL_PX, 3)
    cells = (
        picture.reshape(2, CELL_PX, 3, CELL_PX, 3).swapaxes(1, 2).reshape(6, CELL_PX, CELL_PX, 3)
    )
    assert (cells[5] == 255).all()  # no sixth datapoint
    green = (cells == GOOD).all(-1)
    assert all(mask.sum() > 100 for mask in green[:5])
    for mask in green[:5]:  # jaws: symmetric about the middle of the crop
        columns = np.flatnonzero(mask.any(0))
        assert columns.min() + columns.max() == pytest.approx(CELL_PX, abs=4)
    blue = (cells[:, 3] == (28, 111, 208)).all(-1).any(-1)
    assert blue.tolist() == [False, False, False, False, True, False]


# --- what a path is ---------------------------------------------------------------------------


def test_each_kind_of_input_is_known_by_what_it_is(dataset: Dataset, tmp_path: Path) -> None:
    save_mesh(box(), tmp_path / "a.ply")
    save_depth(render(standing(box())).image, tmp_path / "d.png")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "trials.parquet").write_bytes(b"")
    assert kind_of(tmp_path / "a.ply") == "mesh"
    assert kind_of(tmp_path / "d.png") == "depth"
    assert kind_of(dataset.path) == "dataset"
    assert kind_of(tmp_path / "run") == kind_of(tmp_path / "run" / "trials.parquet") == "trials"


def test_of_one_grasp_every_place_of_the_slider_is_that_one(tmp_path: Path) -> None:
    image = render(standing(box(0.03, 0.08, 0.04))).image
    policy = make_policy("antipodal", load_quality("builtin"), load_gripper("yumi"))
    seen = plan_and_look(PlanInputs(image, None, load_gripper("yumi"), policy), 0)
    plan = dataclasses.replace(
        seen.plan, grasps=seen.plan.grasps[:1], quality=seen.plan.quality[:1]
    )
    with open_server() as server:
        shown = DepthView(server, seen._replace(plan=plan))
        shown.choose(1)
        assert shown.looked_at == ("plan", 0) and "grasp 1 of 1" in shown.said.content
    with pytest.raises(InvalidConfig, match="port 70000: expected 0 to 65535"), open_server(70_000):
        pass


def test_a_taken_port_leads_to_the_next_free_one_and_the_last_to_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert port < free_port(port) < 65536
    with socket.create_server(("127.0.0.1", 65535)):
        with pytest.raises(InvalidConfig, match="port 65535: taken"), open_server(65535):
            pass


def test_wrong_inputs_are_one_line_and_open_no_server(tmp_path: Path) -> None:
    save_depth(render(standing(box())).image, tmp_path / "d.png")
    (tmp_path / "a.txt").write_text("no mesh")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "trials.parquet").write_bytes(b"")
    save_mesh(box(), tmp_path / "a.ply")
    for path, options, error, message in (
        (tmp_path / "gone.ply", {}, UnknownAsset, "no file or folder"),
        (tmp_path / "a.txt", {}, InvalidConfig, "expected a mesh"),
        (tmp_path, {}, InvalidConfig, "folder with dataset.json"),
        (tmp_path / "d.png", {}, InvalidConfig, "needs its camera: give --camera"),
        (tmp_path / "run", {}, UnknownAsset, "finished benchmark"),
        (tmp_path / "a.ply", {"n": 0}, InvalidConfig, "expected at least 1 grasp"),
        (tmp_path / "a.ply", {"gripper": "barrett"}, UnknownAsset, "unknown gripper 'barrett'"),
    ):
        with pytest.raises(error, match=message) as caught:
            prepare(path, ViewOptions(**options))
        assert "\n" not in str(caught.value)
    with pytest.raises(UnknownAsset, match="no file or folder"):
        view_command(tmp_path / "gone.ply", no_open=True)
