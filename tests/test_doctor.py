"""What the doctor says about healthy and sick inputs."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import trimesh
from scipy.ndimage import gaussian_filter

from antipodal import transforms
from antipodal.camera import CameraIntrinsics, DepthImage
from antipodal.camera_files import Camera, save_depth
from antipodal.doctor import (
    examine,
    examine_camera,
    examine_depth,
    examine_gripper,
    examine_mesh,
)
from antipodal.doctor.camera import TRAINED_DISTANCE, TRAINED_PITCH, TRAINED_TILT
from antipodal.doctor.mesh import hull_width, wall_thickness
from antipodal.gripper import gripper_names, load_gripper
from antipodal.gripper_files import save_gripper
from antipodal.mesh import TriMesh, joined
from antipodal.render.depth import render_depth
from antipodal.render.noise import observe
from conftest import box, cylinder, sphere
from policy_scenes import INTRINSICS, YUMI, camera, seen, standing

HEALTHY = Camera("overhead", INTRINSICS, camera())


def said(findings, severity: str) -> str:
    """All messages of one severity."""
    return " | ".join(f.message for f in findings if f.severity == severity)


def picture() -> np.ndarray:
    return np.array(seen(box())[0].depth)


def write(mesh: TriMesh, path) -> str:
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(path)
    return str(path)


def test_a_healthy_image_has_nothing_but_good_findings_with_its_numbers():
    findings = examine_depth(picture(), HEALTHY)
    assert {f.severity for f in findings} == {"ok"}
    words = said(findings, "ok")
    assert "looks 12.7° off the table's normal" in words
    assert "table at 0.700 m along the optical axis" in words


def test_a_file_with_its_camera_file_is_found_by_its_suffix(tmp_path):
    image, _ = seen(box())
    save_depth(image, tmp_path / "view.png")
    findings = examine(tmp_path / "view.png", camera=tmp_path / "view.camera.json")
    assert {f.severity for f in findings} == {"ok"}
    assert "needs its camera" in said(examine(tmp_path / "view.png"), "error")
    assert "fitted to each image" not in said(examine(tmp_path / "view.camera.json"), "ok")


@pytest.mark.parametrize(
    ("spoil", "severity", "words"),
    [
        (lambda d: d * 1000, "error", "millimetres"),
        (lambda d: d / 1000, "error", "is the unit right"),
        (lambda d: np.where(d > 0.7, np.nan, d), "error", "NaN"),
        (lambda d: np.zeros_like(d), "error", "0 everywhere"),
        (lambda d: d[:240], "error", "the camera says"),
        (lambda d: np.stack([d] * 3, -1), "error", "one channel"),
        (lambda d: np.where(np.arange(640) < 400, 0.0, d), "warning", "of the pixels are missing"),
        (lambda d: np.where(np.arange(640) < 620, 0.0, d), "error", "expected depth on most"),
    ],
    ids=["mm", "km", "nan", "zero", "cut", "colour", "holes", "almost empty"],
)
def test_sick_depth_is_named(spoil, severity, words):
    findings = examine_depth(spoil(picture()), HEALTHY)
    assert words in said(findings, severity)


def test_a_view_beyond_the_training_range_is_a_warning():
    steep, _ = seen(box(), tilt=0.8)
    assert "looks 45.8° off" in said(
        examine_depth(np.array(steep.depth), Camera("", INTRINSICS, steep.T_world_camera)),
        "warning",
    )
    far = np.full(INTRINSICS.shape, 1.1)
    findings = examine_depth(far, INTRINSICS)
    assert "table at 1.100 m" in said(findings, "warning")
    assert "nothing stands on the table" in said(findings, "warning")


def test_noise_has_no_table_and_a_wrong_pose_disagrees_with_the_image(rng):
    noise = rng.uniform(0.3, 1.5, INTRINSICS.shape)
    assert "no table" in said(examine_depth(noise, INTRINSICS), "warning")
    wrong = Camera("", INTRINSICS, camera(tilt=np.deg2rad(12.7 + 15)))
    findings = examine_depth(picture(), wrong)
    assert "15.0° off the world's horizontal" in said(findings, "error")
    inverse = Camera("", INTRINSICS, transforms.inverse(camera()))
    assert "its inverse fits" in said(examine_depth(picture(), inverse), "error")
    upwards = Camera("", INTRINSICS, transforms.translation([0.0, 0.0, 0.7]))
    assert "90° above the horizon" in said(examine_depth(picture(), upwards), "error")


def test_cameras_are_read_and_their_oddities_named(tmp_path):
    assert {f.severity for f in examine("primesense")} == {"ok"}
    assert "unknown camera" in said(examine_camera("leica"), "error")
    path = tmp_path / "odd.json"
    path.write_text('{"fx": 600, "fy": 300, "cx": 20, "cy": 239.5, "width": 640, "height": 480}')
    words = said(examine(path), "warning")
    assert "principal point (20, 240)" in words
    assert "fx / fy = 2.00" in words
    up = tmp_path / "up.json"
    pose = np.eye(4).tolist()
    up.write_text(
        f'{{"fx": 525, "fy": 525, "cx": 319.5, "cy": 239.5, "width": 640, "height": 480, "T_world_camera": {pose}}}'
    )
    assert "90° above the horizon" in said(examine(up), "error")


def test_a_hand_with_a_built_in_ones_name_and_other_numbers_is_warned_of(tmp_path):
    save_gripper(dataclasses.replace(YUMI, max_width=0.06), tmp_path / "my.toml")
    assert "gripper yumi: a built-in gripper has this name" in said(
        examine(tmp_path / "my.toml"), "warning"
    )
    for name in gripper_names():  # a copy is the same hand, its quaternion rounded or not
        save_gripper(load_gripper(name), tmp_path / "copy.toml")
        assert {f.severity for f in examine(tmp_path / "copy.toml")} == {"ok"}


def test_grippers_are_read_and_their_oddities_named(tmp_path):
    for name in ("yumi", "franka_hand", "robotiq_2f85"):
        assert {f.severity for f in examine(name)} == {"ok"}
    assert "unknown gripper" in said(examine_gripper("claw"), "error")
    path = tmp_path / "gripper.toml"
    path.write_text(
        'name = "tweezers"\nmax_width = 0.008\nmax_force = 5.0\njaw_thickness = 0.004\njaw_width = 0.004\n'
        "finger_depth = 0.02\ntip_overhang = 0.004\ncontact_radius = 0.002\npalm_boxes = []\n"
    )
    words = said(examine(tmp_path / "gripper.toml"), "warning")
    assert "stroke of 8 mm is narrower" in words
    assert "less than 10 mm" in words
    assert "no palm_boxes" in words
    assert "strokes of 41 mm to 137 mm: 'antipodal retarget' makes one for 8 mm" in words
    # of the hand that an image is planned for it is said too
    assert "strokes of 41 mm" in said(examine_depth(picture(), HEALTHY, gripper=path), "warning")
    path.write_text("name = 'half'\nmax_width = 0.05\n")
    assert "missing key" in said(examine(path), "error")


@pytest.mark.parametrize(
    ("T_gripper_grasp", "severity", "words"),
    [
        (transforms.translation([0, 0, 0.12]), "ok", "120 mm behind the grasp's centre, the jaws"),
        (np.eye(4), "warning", "0 mm behind .* before the palm's face"),
        (transforms.translation([0, 0, -0.12]), "warning", "120 mm in front of .* into the table"),
        (transforms.look_at([0, 0, 0], [1, 0, 0]), "warning", "before the palm's face"),
        (
            transforms.rot_y(np.pi / 2) @ transforms.translation([0, 0.03, 0.12]),
            "warning",
            "behind and 30 mm beside the grasp's centre, the jaws close along its z, and its z is 90° off the approach",
        ),
    ],
)
def test_the_doctor_says_where_the_base_of_a_hand_is(T_gripper_grasp, severity, words):
    hand = dataclasses.replace(YUMI, T_gripper_grasp=T_gripper_grasp)
    assert re.search(words, said(examine_gripper(hand), severity))


def test_meshes_are_measured_against_the_jaws(tmp_path):
    good = examine(write(box(0.04, 0.06, 0.08), tmp_path / "good.ply"))
    assert {f.severity for f in good} == {"ok"}
    assert "smallest side 40 mm, stroke 50 mm" in said(good, "ok")
    words = said(examine(write(box(0.062, 0.07, 0.08), tmp_path / "wide.stl")), "error")
    assert words.endswith(
        "no side of this mesh fits between the jaws of yumi: smallest side 62 mm, stroke 50 mm"
    )
    franka = examine(tmp_path / "wide.stl", gripper="franka_hand")
    assert "fits between the jaws of franka_hand" in said(franka, "ok")
    assert "unknown gripper" in said(examine_mesh(tmp_path / "wide.stl", "claw"), "error")


def test_a_wide_but_hollow_object_is_only_a_warning(tmp_path):
    ring = trimesh.creation.annulus(r_min=0.045, r_max=0.055, height=0.09)
    path = tmp_path / "ring.ply"
    ring.export(path)
    words = said(examine(path), "warning")
    assert "smallest side 90 mm" in words and "parts of it are 10 mm thin" in words


def test_sick_meshes_are_named(tmp_path):
    assert "millimetres" in said(examine(write(box(40, 40, 40), tmp_path / "mm.ply")), "error")
    open_box = TriMesh(box().vertices, box().faces[:-1])
    assert "not watertight" in said(examine(write(open_box, tmp_path / "open.ply")), "warning")
    inside_out = TriMesh(box().vertices, box().faces[:, ::-1])
    assert "inside out" in said(examine(write(inside_out, tmp_path / "in.ply")), "warning")
    crossed = joined([box(0.1, 0.03, 0.03), box(0.03, 0.1, 0.03)], "crossed")
    assert "count twice" in said(examine(write(crossed, tmp_path / "crossed.ply")), "warning")
    assert "no mesh" in said(examine(tmp_path / "absent.stl"), "error")
    (tmp_path / "text.obj").write_text("hello")
    assert "text.obj" in said(examine(tmp_path / "text.obj"), "error")


def test_the_width_of_a_hull_does_not_depend_on_how_the_mesh_is_turned(rng):
    for mesh, width in ((box(0.03, 0.05, 0.07), 0.03), (cylinder(0.02, 0.03), 0.03)):
        for R in transforms.random_rotations(5, rng):
            turned = mesh.transformed(transforms.from_rt(R, [0.1, 0.2, 0.3]))
            assert hull_width(turned) == pytest.approx(width, abs=1e-6)


def test_wall_thickness_of_a_ball_is_its_diameter():
    thick = wall_thickness(sphere(0.03))
    assert thick == pytest.approx(np.full(len(thick), 0.06), rel=0.01)


def test_an_unknown_thing_lists_what_is_known():
    words = said(examine("thing.docx"), "error")
    assert "yumi" in words and "primesense" in words and ".ply" in words


def test_the_stated_unit_is_applied():
    counts = np.round(picture() * 1000).astype(np.uint16)
    findings = examine_depth(counts, HEALTHY, unit=0.001)
    assert not said(findings, "error")
    assert "table at 0.700 m" in said(findings, "ok")


def test_the_gripper_may_be_given_as_a_value(tmp_path):
    path = write(box(0.04, 0.04, 0.04), tmp_path / "cube.ply")
    assert examine_mesh(path, YUMI) == examine_mesh(path, "yumi")


def test_depth_of_a_loaded_image_equals_depth_of_its_array(tmp_path):
    image: DepthImage = seen(box())[0]
    np.save(tmp_path / "view.npy", image.depth)
    assert examine_depth(tmp_path / "view.npy", HEALTHY) == examine_depth(
        np.array(image.depth), HEALTHY
    )


def test_a_noisy_and_a_bowed_table_are_told_apart(rng):
    flat = picture()
    words = said(examine_depth(flat, HEALTHY), "ok")
    assert "scatter by 0.0 mm" in words
    noisy = np.where(flat > 0, flat + rng.normal(0, 0.005, flat.shape), 0)
    assert "average several frames" in said(examine_depth(noisy, HEALTHY), "warning")
    # as sensors interpolate and round: neighbours nearly equal, hills of 4 mm (1 σ) some pixels wide
    smooth = gaussian_filter(rng.normal(0, 1, flat.shape), 3.0)
    hilly = np.round(flat + 0.004 * smooth / smooth.std(), 3)
    words = said(examine_depth(np.where(flat > 0, hilly, 0), HEALTHY), "warning")
    scatter = re.search(r"scatter by (\d\.\d) mm", words)
    assert scatter is not None and float(scatter[1]) == pytest.approx(4.0, abs=0.4)
    # 1 cm higher towards the corners than in the middle, as an uncorrected lens leaves it
    v, u = np.mgrid[:480, :640]
    bowed = 0.7 - 0.022 * np.hypot(u - 320, v - 240) ** 2 / 400**2
    found = examine_depth(bowed, INTRINSICS)
    assert "mm off one plane: is the lens distortion corrected" in said(found, "warning")


def test_what_stands_on_the_table_is_measured_against_the_stroke():
    wide = np.array(seen(box(0.09, 0.08, 0.04))[0].depth)
    words = said(examine_depth(wide, HEALTHY, gripper="yumi"), "warning")
    assert "0 of 1 outlines are narrower than the stroke of yumi, 50 mm" in words
    assert "take a wider gripper" in words
    fine = said(examine_depth(picture(), HEALTHY, gripper="yumi"), "ok")
    assert "1 of 1 outlines are narrower" in fine
    assert re.search(r"the narrowest side measures (39|40|41) mm", fine)
    huge = np.array(seen(box(0.3, 0.3, 0.05), tilt=0.0)[0].depth) * 3.0
    words = said(examine_depth(huge, INTRINSICS, gripper="yumi"), "warning")
    assert "no object's size: check the depth unit" in words
    assert "unknown gripper" in said(examine_depth(picture(), HEALTHY, gripper="claw"), "error")


def test_what_a_slanted_noisy_view_smears_over_the_sides_is_not_measured():
    """A block of 60 mm: its edges' pixels on the way to the table made it 73 mm wide."""
    scene = standing(box(0.06, 0.06, 0.06), yaw=0.3, tilt=np.deg2rad(25.0))
    noisy = np.array(observe(render_depth(scene), np.random.default_rng(0)).depth)
    view = Camera("", INTRINSICS, scene.T_world_camera)
    words = said(examine_depth(noisy, view, gripper="franka_hand"), "ok")
    found = re.search(r"the narrowest side measures (\d+) mm in the top 20 mm", words)
    assert found is not None and int(found[1]) == pytest.approx(60, abs=4)


def test_many_flying_pixels_are_a_warning_that_says_what_to_do(rng):
    depth = picture()
    lone = (np.arange(480)[:, None] % 4 == 0) & (np.arange(640) % 4 == 0)
    depth[lone] -= rng.uniform(0.05, 0.2, int(lone.sum()))
    assert "plan with --repair all" in said(examine_depth(depth, HEALTHY), "warning")
    assert "fly between surfaces" in said(examine_depth(picture(), HEALTHY), "ok")


def test_the_range_it_compares_with_is_the_built_in_models_training():
    trained = pytest.importorskip("antipodal.dataset.model").BUILTIN.camera
    assert (TRAINED_DISTANCE, TRAINED_TILT) == (trained.radius, trained.polar)
    assert TRAINED_PITCH == trained.radius[1] / trained.focal_px[0]


def test_too_few_pixels_are_a_warning():
    coarse = CameraIntrinsics(*(x / 4 for x in (525.0, 525.0, 319.5, 239.5)), 160, 120)
    findings = examine_depth(picture()[2::4, 2::4], Camera("far", coarse, camera()))
    pitch = 4 * 0.7 / INTRINSICS.fx * 1e3
    assert f"a pixel covers {pitch:.1f} mm of the table" in said(findings, "warning")
    assert "a pixel covers" not in said(examine_depth(picture(), HEALTHY), "warning")
