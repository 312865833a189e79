"""What the dense network learns from, and that it learns: labels, the square's symmetries, resuming, the file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from antipodal.dataset import dense
from antipodal.dataset.dense import (
    N_LABELS,
    N_TRUE,
    LabelledViews,
    cell_chance,
    cell_quality,
    label_view,
    load_views,
    make_views,
)
from antipodal.dense_quality import load_window_quality
from antipodal.errors import IncompatibleCheckpoint, InvalidConfig
from antipodal.nn.dense import DenseNetwork
from antipodal.nn.train_dense import (
    Batch,
    DenseTraining,
    answers,
    calibrate_dense,
    cut,
    loss_of,
    moved,
    train_dense,
    validate,
    write_dense,
)
from antipodal.policy.constraints import check_grasps
from antipodal.policy.height_window import (
    CELL,
    MARGIN,
    N_ANGLES,
    SIDES,
    SIZE,
    TIP_DEPTHS,
    Cells,
    height_windows,
    to_grasps,
)
from antipodal.quality import load_quality
from conftest import box
from policy_scenes import YUMI, standing, view_of

SHAPE = (N_ANGLES, len(TIP_DEPTHS), SIZE, SIZE)
MIRRORS = [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)]


def middle_angles_are_good(views: int, rng: np.random.Generator) -> LabelledViews:
    """Heights whose labels are 1 for the middle half of the angles, wherever they are."""
    coarse = rng.random((views, 12, 12)).astype(np.float32)
    height = np.kron(coarse, np.ones((8, 8), np.float32))
    place = rng.integers(np.prod(SHAPE), size=(views, 500))
    good = np.abs(np.unravel_index(place, SHAPE)[0] - 7.5) < 4
    return LabelledViews(height.astype(np.float16), place, np.where(good, 255, 0).astype(np.uint8))


def test_labels_are_zero_where_a_grasp_may_not_be_executed_and_else_the_networks(rng):
    view, quality = view_of(box(0.03, 0.08, 0.05), yaw=0.3), load_quality("builtin")
    (window,) = height_windows(view, YUMI)
    some = Cells(
        rng.integers(N_ANGLES, size=400),
        rng.integers(len(TIP_DEPTHS), size=400),
        window.cells[rng.integers(len(window.cells), size=400)],
    )
    q = cell_quality(view, window, some, YUMI, quality)
    grasps = to_grasps(view, window, some, YUMI)
    keep = check_grasps(view, grasps, YUMI).keep
    assert 10 < keep.sum() < 390
    assert (q[~keep] == 0).all()
    assert q[keep] == pytest.approx(quality(view.image, grasps[keep]))


def test_the_object_itself_says_that_a_box_is_held_across_its_narrow_side_alone(rng):
    mesh, yaw = box(0.03, 0.08, 0.05), 0.3
    view = view_of(mesh, yaw)
    (window,) = height_windows(view, YUMI)
    some = Cells(
        rng.integers(N_ANGLES, size=600),
        np.full(600, 3),
        window.cells[rng.integers(len(window.cells), size=600)],
    )
    placed = mesh.transformed(standing(mesh, yaw).T_world_obj)
    chance = cell_chance(placed, view, window, some, YUMI, rng)
    world = (
        to_grasps(view, window, some, YUMI)
        .to_grasp(view.image.intrinsics, view.approach_axis)
        .in_frame(view.image.T_world_camera)
    )
    turned = np.degrees(np.arccos(np.abs(world.closing_axis[:, :2] @ [np.cos(yaw), np.sin(yaw)])))
    off = world.center[:, :2] @ np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    middle = np.abs(off[:, 0]) < 0.006
    across = middle & (turned < 8) & (np.abs(off[:, 1]) < 0.02)
    along = turned > 75  # 8 cm do not go between jaws that open 5 cm
    assert across.sum() > 3 and along.sum() > 50
    assert (chance[across] > 0.6).all()
    assert (chance[along] < 0.05).all()


def test_calibrated_answers_are_the_truths_probabilities_in_the_order_of_before(rng):
    views = middle_angles_are_good(4, rng)
    network = DenseNetwork()
    torch.nn.init.normal_(network.head.weight, std=3.0)
    told = np.stack([log_odds.numpy() for log_odds, _ in answers(network, views)])
    truth = 1 / (1 + np.exp(-(0.5 * told + 1.0)))
    views = views._replace(quality=np.rint(255 * truth).astype(np.uint8))
    calibrated, worth = calibrate_dense(network, views, views)
    again = np.stack([log_odds.numpy() for log_odds, _ in answers(calibrated, views)])
    assert again == pytest.approx(0.5 * told + 1.0, abs=0.05)
    assert worth["ece"] < 0.01 < worth["ece_before"]
    assert (np.argsort(again.ravel()) == np.argsort(told.ravel())).mean() > 0.99


def test_a_view_is_a_function_of_seed_and_number_and_shards_are_not_made_twice(tmp_path):
    def quality(image, grasps):
        return np.full(len(grasps), 0.5)

    (one,), (again,) = label_view(4, 7, YUMI, quality), label_view(4, 7, YUMI, quality)
    for a, b in zip(one, again, strict=True):
        assert (a == b).all()
    assert one.place.shape == (1, N_LABELS)
    assert set(np.unique(one.quality)) == {0, 128}  # refused, and 0.5 of 255
    make_views(tmp_path, 2, 7, YUMI, quality, "half")
    written = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    make_views(tmp_path, 2, 7, YUMI, quality, "half")
    assert written
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == written
    assert len(load_views(tmp_path).height) == 2
    (true,) = label_view(4, 7, YUMI, None)
    assert true.place.shape == (1, N_TRUE)
    assert true.quality.max() > 128 > true.quality.mean()
    # nor do those of another seed, number or teacher pass for these
    for number, seed, teacher in ((2, 8, "half"), (3, 7, "half"), (2, 7, "another")):
        with pytest.raises(InvalidConfig, match="holds another"):
            make_views(tmp_path, number, seed, YUMI, quality, teacher)


@pytest.mark.parametrize("how", MIRRORS)
def test_mirrored_windows_stand_for_mirrored_grasps(how, rng):
    view = view_of(box(0.03, 0.08, 0.05), yaw=0.3)
    (window,) = height_windows(view, YUMI, (SIZE,))
    place = rng.integers(np.prod(SHAPE), size=(1, 100))
    height, there = moved(window.height[None], place, how)

    def decoded(w, entries):
        a, d, x, y = np.unravel_index(entries[0], SHAPE)
        some = Cells(a, d, np.stack([x, y], 1))
        grasps = to_grasps(view, w, some, YUMI).to_grasp(view.image.intrinsics, view.approach_axis)
        R = view.relief.R_relief_camera
        return grasps.center @ R.T, grasps.closing_axis @ R.T

    center, axis = decoded(window, place)
    other, other_axis = decoded(window._replace(height=height[0]), there)
    middle = window.corner + (SIZE - 1) / 2 * CELL * window.stroke
    for k in (0, 1):
        if how[k]:
            center[:, k] = 2 * middle[k] - center[:, k]
            axis[:, k] *= -1
    if how[2]:
        swapped = (center[:, :2] - middle)[:, ::-1] + middle
        center, axis = np.column_stack([swapped, center[:, 2]]), axis[:, [1, 0, 2]]
    assert other == pytest.approx(center, abs=1e-9)
    assert np.abs((other_axis * axis).sum(-1)) == pytest.approx(1.0)


def test_the_head_at_some_entries_is_the_head_everywhere(rng):
    network = DenseNetwork().eval()
    height = torch.from_numpy(rng.random((2, 1, SIZE, SIZE), dtype=np.float32))
    place = torch.from_numpy(rng.integers(np.prod(SHAPE), size=(2, 300)))
    with torch.no_grad():
        want = network(height).flatten(1).gather(1, place)
        assert network.head_at(network.features(height), place) == pytest.approx(want, abs=1e-4)


def test_cutting_windows_keeps_the_labels_that_see_enough(rng):
    height, place = (
        rng.random((2, SIZE, SIZE), dtype=np.float32),
        rng.integers(np.prod(SHAPE), size=(2, 2000)),
    )
    quality = rng.integers(256, size=place.shape).astype(np.uint8)
    whole, small = cut(height, place, quality, SIZE), cut(height, place, quality, SIDES[0])
    assert whole.weight.all()
    rim = (SIZE - SIDES[0]) // 2
    kept = small.weight.numpy() > 0
    x, y = place // SIZE % SIZE, place % SIZE
    far = (np.minimum(x, y) >= rim + MARGIN) & (np.maximum(x, y) < SIZE - rim - MARGIN)
    assert (kept == far).all()
    volumes = [
        np.repeat(h[:, None], np.prod(SHAPE[:2]), 1) for h in (height, small.height.numpy()[:, 0])
    ]
    seen = [
        np.take_along_axis(v.reshape(2, -1), p, 1)
        for v, p in zip(volumes, (place, small.place.numpy()), strict=True)
    ]
    assert (seen[0][kept] == seen[1][kept]).all()


def test_it_learns_resumes_and_its_file_answers_alike(tmp_path, rng):
    views = middle_angles_are_good(9, rng)
    config = DenseTraining(n_epochs=4, batch_size=2, learning_rate=1e-2)
    losses = []
    whole = train_dense(views, tmp_path / "whole", config, lambda s: losses.append(s["loss"]))
    assert losses[-1] < 0.9 * losses[0]

    class Stop(Exception):
        pass

    def stop(scores):
        if scores["epoch"] == 1:
            raise Stop

    with pytest.raises(Stop):
        train_dense(views, tmp_path / "stopped", config, stop)
    resumed = train_dense(views, tmp_path / "stopped", config)
    assert resumed["validation_loss"] == pytest.approx(whole["validation_loss"], rel=1e-3)
    network = DenseNetwork()
    state = torch.load(tmp_path / "whole" / "last.pt", weights_only=True)
    network.load_state_dict(state["network"])
    again = validate(network, LabelledViews(*(c[-1:] for c in views)), config)
    assert again["validation_loss"] == pytest.approx(whole["validation_loss"], rel=1e-3)
    assert write_dense(network, tmp_path / "dense.onnx", YUMI, {"seed": 0}) < 1e-4
    told = load_window_quality(tmp_path / "dense.onnx")
    with torch.no_grad():
        want = network.eval()(torch.from_numpy(views.height[:1].astype(np.float32))[None])
    cells = rng.integers(told.sides[-1], size=(50, 2))
    got = told(views.height[0].astype(np.float32), cells)
    assert got == pytest.approx(want[0].numpy().reshape(SHAPE)[:, :, *cells.T], abs=1e-2)
    assert told.metadata["gripper"] == "yumi"


def test_a_training_on_other_views_or_settings_is_not_gone_on_with(tmp_path, rng):
    views, config = middle_angles_are_good(3, rng), DenseTraining(n_epochs=1, batch_size=2)
    train_dense(views, tmp_path, config)
    others = (
        views._replace(height=views.height + np.float16(0.5)),
        views._replace(place=views.place[:, ::-1].copy()),
        views._replace(quality=255 - views.quality),
    )
    changed = [(other, config) for other in others]
    for given in (*changed, (views, DenseTraining(n_epochs=2, batch_size=2))):
        with pytest.raises(InvalidConfig, match="training"):
            train_dense(given[0], tmp_path, given[1])
    again: list[object] = []
    train_dense(views, tmp_path, config, again.append)
    assert not again  # finished: nothing is trained a second time


def test_half_made_labels_are_refused_wherever_the_gap_is(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(dense, "SHARD", 1)
    monkeypatch.setattr(dense, "label_view", lambda *_: [middle_angles_are_good(1, rng)])
    monkeypatch.setattr(dense, "N_TRUE", 500)
    make_views(tmp_path, 3, 7, YUMI, None, "")
    assert len(load_views(tmp_path).height) == 3
    for k in range(3):
        shard = tmp_path / f"views_{k:04d}.npz"
        kept = shard.read_bytes()
        shard.unlink()
        with pytest.raises(InvalidConfig, match="2 of 3 files of views"):
            load_views(tmp_path)
        shard.write_bytes(kept)
    with pytest.raises(InvalidConfig, match="no views"):
        load_views(tmp_path / "elsewhere")


def test_a_training_that_diverges_or_whose_file_is_damaged_says_so(tmp_path, rng):
    views = middle_angles_are_good(3, rng)
    wild = DenseTraining(n_epochs=1, batch_size=2, learning_rate=1e30)
    with pytest.raises(InvalidConfig, match=r"diverged at learning_rate 1e\+30"):
        train_dense(views, tmp_path / "wild", wild)
    config = DenseTraining(n_epochs=1, batch_size=2)
    train_dense(views, tmp_path / "cut", config)
    (tmp_path / "cut" / "last.pt").write_bytes(b"PK")
    with pytest.raises(
        IncompatibleCheckpoint, match=r"last.pt is damaged \(\w+\): restore or delete"
    ):
        train_dense(views, tmp_path / "cut", config)


def test_the_loss_is_the_mean_over_the_labels_that_count() -> None:
    rng = torch.Generator().manual_seed(0)
    log_odds = torch.randn((3, 7), generator=rng)
    weight = (torch.rand((3, 7), generator=rng) > 0.4).float()
    quality = torch.rand((3, 7), generator=rng)
    network: Any = SimpleNamespace(features=lambda height: height, head_at=lambda *_: log_odds)
    place = torch.zeros(3, 7, dtype=torch.int64)
    batch = Batch(torch.zeros(3, 1, 4, 4), place, quality, weight)
    q = torch.sigmoid(log_odds)
    loss = -(quality * q.log() + (1 - quality) * (1 - q).log())
    torch.testing.assert_close(loss_of(network, batch), loss[weight > 0].mean())
    assert float(loss_of(network, batch._replace(weight=torch.zeros(3, 7)))) == 0
