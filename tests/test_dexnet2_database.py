"""Dex-Net's HDF5 database: frames against independent computations and the original's recorded grasps and poses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from antipodal.dataset.dexnet2_database import (
    DatabaseObject,
    grasps_from_configurations,
    read_database,
)
from antipodal.errors import CorruptDataset, UnknownAsset
from antipodal.mesh import TriMesh
from antipodal.sampling import sample_antipodal
from antipodal.stable_pose import StablePose, stable_poses
from conftest import box

OURS_FROM_DEXNET = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0.0]])
"""R_ours = R_dexnet @ this: the permutation of docs/conventions.md."""


def write_object(
    objects: h5py.Group,
    key: str,
    mesh: TriMesh,
    poses: list[StablePose],
    configurations: np.ndarray,
    gripper: str = "yumi_metal_spline",
) -> h5py.Group:
    """One object as the reference lays it out (§6.9); x0 is a corner of the resting face."""
    group = objects.create_group(key)
    group.attrs["mass"] = 1.0
    stored = group.create_group("mesh")
    stored["vertices"], stored["triangles"] = mesh.vertices, mesh.faces
    stable = group.create_group("stable_poses")
    stable.attrs["num_stable_poses"] = len(poses)
    for i, pose in enumerate(poses):
        R = pose.T_world_obj[:3, :3]
        attributes = stable.create_group(f"pose_{i}").attrs
        attributes["p"], attributes["r"] = pose.probability, R
        attributes["x0"] = mesh.vertices[np.argmin(mesh.vertices @ R[2])]
    grasps = group.create_group(f"grasps/{gripper}")
    grasps.attrs["num_grasps"] = len(configurations)
    for i, configuration in enumerate(configurations):
        grasp = grasps.create_group(f"grasp_{i}")
        grasp.attrs["id"], grasp.attrs["type"] = i, "ParallelJawPtGrasp3D"
        grasp.attrs["configuration"], grasp.attrs["frame"] = configuration, "object"
        grasp.create_group("metrics").attrs["robust_ferrari_canny"] = 0.001 * i
    return group


def configurations(n: int, rng: np.random.Generator) -> np.ndarray:
    """Random vectors: centre, axis, width, approach angle, jaw width, smallest width."""
    axis = rng.normal(size=(n, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    rest = [rng.normal(0, 0.01, (n, 3)), axis, np.full((n, 1), 0.05), rng.uniform(0, 6.2, (n, 1))]
    return np.hstack([*rest, np.zeros((n, 2))])


@pytest.fixture
def database(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Two data sets, three objects."""
    path = tmp_path / "dexnet_2.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["time_created"] = 0.0
        for dataset, names in (("3dnet", ["mug", "bowl"]), ("kit", ["salt"])):
            objects = file.create_group(f"datasets/{dataset}/objects")
            for k, name in enumerate(names):
                mesh = box(0.03, 0.04, 0.05 + 0.01 * k)
                write_object(objects, name, mesh, stable_poses(mesh), configurations(12, rng))
    return path


def read_all(path: Path) -> list[DatabaseObject]:
    return list(read_database(path))


def test_the_objects_of_all_data_sets_come_with_mesh_poses_grasps_and_metrics(database) -> None:
    found = read_all(database)
    assert [(o.dataset, o.name) for o in found] == [
        ("3dnet", "bowl"),
        ("3dnet", "mug"),
        ("kit", "salt"),
    ]
    assert [o.name for o in read_database(database, "kit")] == ["salt"]
    mug = found[1]
    assert np.allclose(mug.mesh.extents, [0.03, 0.04, 0.05])
    assert mug.mesh.is_watertight
    assert mug.mass == 1.0
    assert list(mug.grasps) == ["yumi_metal_spline"]
    grasps = mug.grasps["yumi_metal_spline"]
    # by number, not by text: grasp_2 comes before grasp_10
    assert grasps.grasp_id.tolist() == list(range(12))
    np.testing.assert_allclose(grasps.metrics["robust_ferrari_canny"], 0.001 * np.arange(12))
    assert np.allclose(grasps.grasps_obj.width, 0.05)


def test_stable_poses_rest_on_the_table_with_the_centre_of_mass_over_the_origin(database) -> None:
    for found in read_all(database):
        want = stable_poses(found.mesh)
        assert len(found.stable_poses) == len(want) == 6
        p = [pose.probability for pose in found.stable_poses]
        assert p == sorted(p, reverse=True)
        assert np.isclose(sum(p), 1)
        for pose in found.stable_poses:
            T = pose.T_world_obj
            heights = found.mesh.vertices @ T[2, :3] + T[2, 3]
            assert np.isclose(heights.min(), 0, atol=1e-12)
            assert np.isclose(np.sort(heights)[3], 0, atol=1e-9)  # a whole face touches
            assert np.allclose((T[:3, :3] @ found.mesh.center_of_mass + T[:3, 3])[:2], 0)


def test_the_frame_of_a_grasp_is_the_originals_with_its_axes_renamed(rng) -> None:
    """Dex-Net's frame built independently: a right-handed turn by −θ about its own y, after the zero-angle frame."""
    c = configurations(50, rng)
    grasps = grasps_from_configurations(c)
    np.testing.assert_allclose(grasps.center, c[:, :3], atol=1e-15)
    np.testing.assert_allclose(grasps.closing_axis, c[:, 3:6], atol=1e-12)
    for i, row in enumerate(c):
        y = row[3:6]
        x = np.array([y[1], -y[0], 0.0]) / np.hypot(y[0], y[1])
        R_dexnet = np.column_stack([x, y, np.cross(x, y)])
        R_dexnet = R_dexnet @ Rotation.from_euler("y", -row[7]).as_matrix()
        np.testing.assert_allclose(grasps.pose[i, :3, :3], R_dexnet @ OURS_FROM_DEXNET, atol=1e-12)


def test_the_approach_angle_turns_from_horizontal_to_upright_as_written_by_hand() -> None:
    c = np.zeros((4, 10))
    c[:, 6] = 0.05
    c[:3, 4] = 1.0  # closing along y: x = (1, 0, 0), z = (0, 0, 1)
    c[3, 5] = 1.0  # closing upright: x is (1, 0, 0) by definition, z = (0, −1, 0)
    c[:, 7] = [0.0, np.pi / 2, np.pi / 6, np.pi / 2]
    want = [[1, 0, 0], [0, 0, 1], [np.sqrt(3) / 2, 0, 0.5], [0, -1, 0]]
    np.testing.assert_allclose(grasps_from_configurations(c).approach_axis, want, atol=1e-12)


def test_the_originals_recorded_grasp_frames_are_ours(shared: Path) -> None:
    for name in ("box", "clown", "spray"):
        record = np.load(shared / f"parity/mesh/{name}.npz")
        # autolab's T_grasp_obj maps grasp to object coordinates: our T_obj_grasp, with its axes
        want = record["g_T_grasp_obj"][:, :3, :3] @ OURS_FROM_DEXNET
        grasps = grasps_from_configurations(record["g_config"])
        np.testing.assert_allclose(grasps.pose[:, :3, :3], want, atol=1e-9)
        np.testing.assert_allclose(grasps.center, record["g_T_grasp_obj"][:, :3, 3], atol=1e-12)


def test_recorded_table_alignments_fix_the_sign_of_the_approach_angle(shared: Path) -> None:
    """The angle to minus the table's normal that the original measured at the approach angle it chose."""
    for name in ("box", "clown", "spray"):
        record = np.load(shared / f"parity/mesh/{name}.npz")
        for j, k in enumerate(record["align_stp_index"]):
            grasps = grasps_from_configurations(record["align_perp_config"][j])
            down = -record["stp_r"][k][2]  # minus the table's normal in the object's frame
            angle = np.arccos(np.clip(grasps.approach_axis @ down, -1, 1))
            np.testing.assert_allclose(angle, record["align_perp_angles"][j][:, 1], atol=1e-6)


def test_recorded_stable_poses_come_back_through_a_database(shared: Path, tmp_path: Path) -> None:
    record = np.load(shared / "parity/mesh/spray.npz")
    mesh = TriMesh(record["vertices"], record["triangles"], "spray")
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        objects = file.create_group("datasets/mini/objects")
        group = write_object(objects, "spray", mesh, [], record["g_config"])
        for i, (p, r, x0) in enumerate(
            zip(record["stp_p"], record["stp_r"], record["stp_x0"], strict=True)
        ):
            attributes = group["stable_poses"].create_group(f"pose_{i}").attrs  # type: ignore[union-attr]
            attributes["p"], attributes["r"], attributes["x0"] = p, r, x0
    (found,) = read_all(tmp_path / "d.hdf5")
    order = np.argsort(-record["stp_p"], kind="stable")
    for pose, i in zip(found.stable_poses, order, strict=True):
        T, theirs = pose.T_world_obj, record["stp_T_table_obj"][i]
        assert pose.probability == record["stp_p"][i]
        np.testing.assert_allclose(T[:3, :3], theirs[:3, :3], atol=1e-6)
        assert np.isclose(T[2, 3], theirs[2, 3], atol=1e-6)  # theirs leaves x and y at 0
        assert np.isclose(T[2, :3] @ record["stp_x0"][i] + T[2, 3], 0, atol=1e-6)


def test_our_own_grasps_come_back_through_a_database(tmp_path: Path, rng) -> None:
    """Grasps of our sampler, their approach angle found by a search over the circle, not by our formula."""
    mesh = box(0.02, 0.03, 0.05)
    from antipodal.gripper import load_gripper

    sampled = sample_antipodal(mesh, load_gripper("yumi"), 10, rng)
    angles = np.linspace(0, 2 * np.pi, 20001)
    rows = []
    for grasp in sampled:
        y = grasp.closing_axis
        flat = np.hypot(y[0], y[1])
        x = np.array([y[1], -y[0], 0]) / flat if flat > 0 else np.array([1.0, 0, 0])
        candidates = np.outer(np.cos(angles), x) + np.outer(np.sin(angles), np.cross(x, y))
        best = angles[np.argmax(candidates @ grasp.approach_axis)]
        rows.append([*grasp.center, *y, float(grasp.width), best, 0, 0])
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        objects = file.create_group("datasets/mini/objects")
        write_object(objects, "box", mesh, [], np.array(rows))
    (found,) = read_all(tmp_path / "d.hdf5")
    np.testing.assert_allclose(
        found.grasps["yumi_metal_spline"].grasps_obj.pose, sampled.pose, atol=2e-4
    )


def test_metrics_that_only_some_grasps_have_are_nan_elsewhere_and_suction_is_passed_over(
    database: Path,
) -> None:
    with h5py.File(database, "r+") as file:
        grasps = file["datasets/kit/objects/salt/grasps/yumi_metal_spline"]
        grasps["grasp_3/metrics"].attrs["force_closure"] = 1.0  # type: ignore[index]
        grasps["grasp_5"].attrs["type"] = np.bytes_("VacuumPoint")  # type: ignore[index]
        del grasps["grasp_7/metrics"]  # type: ignore[index]
    (salt,) = read_database(database, "kit")
    found = salt.grasps["yumi_metal_spline"]
    assert found.grasp_id.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    has = np.isfinite(found.metrics["force_closure"])
    assert found.grasp_id[has].tolist() == [3]
    assert np.isnan(found.metrics["robust_ferrari_canny"]).tolist() == [
        i == 7 for i in found.grasp_id
    ]
    assert len(found.grasps_obj) == 11


def test_a_type_is_read_however_the_string_was_stored(database: Path) -> None:
    """As text, as bytes, or as an array of one."""
    with h5py.File(database, "r+") as file:
        grasps = file["datasets/kit/objects/salt/grasps/yumi_metal_spline"]
        name = np.bytes_("ParallelJawPtGrasp3D")
        grasps["grasp_1"].attrs["type"] = name  # type: ignore[index]
        grasps["grasp_2"].attrs["type"] = np.array([name])  # type: ignore[index]
        grasps["grasp_3"].attrs["type"] = np.array([np.bytes_("VacuumPoint")])  # type: ignore[index]
    (salt,) = read_database(database, "kit")
    ids = salt.grasps["yumi_metal_spline"].grasp_id.tolist()
    assert ids == [i for i in range(12) if i != 3]


def test_an_object_without_grasps_or_poses_has_none(database: Path) -> None:
    with h5py.File(database, "r+") as file:
        salt = file["datasets/kit/objects/salt"]
        assert isinstance(salt, h5py.Group)
        del salt["grasps"], salt["stable_poses"], salt.attrs["mass"]
        salt.create_group("grasps/baxter")
    (found,) = read_database(database, "kit")
    assert found.stable_poses == ()
    assert len(found.grasps["baxter"].grasps_obj) == 0
    assert np.isnan(found.mass)


SALT = "datasets/kit/objects/salt"


def _delete(name: str) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        del file[name]

    return damage


def _attribute(name: str, attribute: str, value: object) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        file[name].attrs[attribute] = value

    return damage


def _drop(name: str, attribute: str) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        del file[name].attrs[attribute]

    return damage


def _replace(name: str, values: object) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        del file[name]
        file[name] = np.asarray(values)

    return damage


def _grasp(z: float = 0.0, width: float = 0.05) -> list[float]:
    return [0, 0, z, 1, 0, 0, width, 0, 0, 0]


def _without_grasps(file: h5py.File) -> None:
    for i in range(12):
        del file[f"{SALT}/grasps/yumi_metal_spline/grasp_{i}"]


GRASP = f"{SALT}/grasps/yumi_metal_spline/grasp_2"
POSE = f"{SALT}/stable_poses/pose_1"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_delete("datasets"), "no group 'datasets'"),
        (_delete("datasets/kit/objects"), "no group 'objects'"),
        (_delete(f"{SALT}/mesh"), "no group 'mesh'"),
        (_delete(f"{SALT}/mesh/triangles"), "lacks the array 'triangles'"),
        (_replace(f"{SALT}/mesh/triangles", [[0, 1, 99]]), "vertex 99"),
        (_replace(f"{SALT}/mesh/vertices", np.full((8, 3), np.nan)), "non-finite"),
        (_replace(f"{SALT}/mesh", [1.0]), "no group 'mesh'"),
        (_attribute(POSE, "r", 2 * np.eye(3)), "not a rigid transform"),
        (_attribute(POSE, "r", np.ones(4)), "reshape"),
        (_drop(POSE, "p"), "attribute 'p'"),
        (_attribute(GRASP, "configuration", np.ones(3)), "10 numbers"),
        (_attribute(GRASP, "configuration", np.zeros(10)), "closing axis"),
        (_drop(GRASP, "configuration"), "attribute 'configuration'"),
        (_replace(f"{SALT}/mesh/vertices", 2000 * box(0.03, 0.04, 0.05).vertices), "millimetres?"),
        (_attribute(GRASP, "configuration", _grasp(width=50.0)), "id 2 opens by 50 m"),
        (_attribute(GRASP, "configuration", _grasp(width=-0.05)), "id 2 opens by -0.05 m"),
        (_attribute(GRASP, "configuration", _grasp(z=20.0)), "its centre 19.975 m outside"),
        (_attribute(POSE, "p", 50.0), "expected a probability"),
        (_attribute(POSE, "p", -0.2), "expected a probability"),
        (_attribute(POSE, "p", np.nan), "expected a probability"),
        (_attribute(POSE, "x0", [1.0, 1.0, 1.0]), "above the lowest vertex"),
        (_attribute(POSE, "x0", np.full(3, np.nan)), "above the lowest vertex"),
        (_without_grasps, "says 12 grasps and has none"),
    ],
)
def test_a_damaged_database_names_the_place_in_one_line(
    damage: Callable[[h5py.File], None], said: str, database: Path
) -> None:
    with h5py.File(database, "r+") as file:
        damage(file)
    with pytest.raises(CorruptDataset) as caught:
        read_all(database)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert "datasets" in message


def test_missing_and_foreign_files_are_refused(database: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownAsset, match="check the path"):
        read_all(tmp_path / "nowhere.hdf5")
    with pytest.raises(UnknownAsset, match="it has 3dnet, kit"):
        list(read_database(database, "egad"))
    (tmp_path / "page.hdf5").write_text("<html>404</html>")
    with pytest.raises(CorruptDataset, match="not an HDF5 file"):
        read_all(tmp_path / "page.hdf5")
    shutil.copy(database, tmp_path / "short.hdf5")
    with (tmp_path / "short.hdf5").open("r+b") as file:
        file.truncate(database.stat().st_size // 2)
    with pytest.raises(CorruptDataset, match=r"short\.hdf5"):
        read_all(tmp_path / "short.hdf5")
