"""Training: schedules, scores, calibration, resuming, and that it learns."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from scipy.special import expit
from sklearn import metrics as sklearn_metrics

import antipodal.nn.train as train_module
from antipodal.cli import run
from antipodal.dataset.store import Dataset
from antipodal.errors import IncompatibleCheckpoint, InvalidConfig, UnknownAsset
from antipodal.files import write_json
from antipodal.gripper import load_gripper
from antipodal.nn.calibrate import (
    Calibration,
    calibrated_by_others,
    fit_calibration,
    log_odds_of,
)
from antipodal.nn.compact import Compact
from antipodal.nn.config import COMPACT_TRAINING, PAPER_TRAINING, TrainConfig
from antipodal.nn.data import Normalisation
from antipodal.nn.module import GraspModule, learning_rate_factor, make_optimizer
from antipodal.nn.networks import build_network, set_normalisation
from antipodal.nn.plots import read_history
from antipodal.nn.pretrained import Pretrained
from antipodal.nn.run import open_run
from antipodal.nn.scores import bootstrap_interval, classification
from antipodal.nn.stream import GraspStream, Loading
from antipodal.nn.train import (
    count_devices,
    new_trainer,
    predict_log_odds,
    split_rows,
    train,
)
from antipodal.scores import (
    area_under_roc,
    average_precision,
    calibration_bins,
    expected_calibration_error,
)
from synthetic_grasps import write_boxes

TINY = replace(COMPACT_TRAINING, train_fraction=0.8, n_epochs=2, batch_size=32, seed=3)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    write_boxes(tmp_path / "boxes", 300, np.random.default_rng(11))
    return tmp_path / "boxes"


def predictions(n: int = 400, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    quality = rng.random(n)
    success = rng.random(n) < quality**2
    return (np.round(quality, 2) if ties else quality), success


# ---- schedules ------------------------------------------------------------------------------------------------


def test_paper_learning_rate_falls_by_five_percent_every_two_thirds_of_an_epoch() -> None:
    factor = learning_rate_factor(PAPER_TRAINING, n_train=12_800, n_steps=500)
    # a stair is 0.66 · 12800 / 128 = 66 steps
    assert [factor(s) for s in (0, 65, 66, 131, 132)] == [1, 1, 0.95, 0.95, 0.95**2]


def test_five_epochs_of_the_2017_schedule_leave_a_factor_of_0_277() -> None:
    config = replace(PAPER_TRAINING, decay_epochs=0.2)
    assert learning_rate_factor(config, 12_800, 500)(500) == pytest.approx(0.277, abs=5e-4)


def test_adamw_warms_up_then_falls_to_zero() -> None:
    factor = learning_rate_factor(COMPACT_TRAINING, 1000, n_steps=100)
    assert factor(0) == 0.1 and factor(9) == 1.0
    assert factor(55) == pytest.approx(0.5)
    assert factor(100) == pytest.approx(0.0)


def step_without_gradient(network: torch.nn.Module, config: TrainConfig) -> None:
    """One step from parameters that are all 2: what is left is the decay."""
    optimizer = make_optimizer(network, config)
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(2.0)
            p.grad = torch.zeros_like(p)
    optimizer.step()


def test_sgd_step_has_the_paper_s_l2_on_weights_and_biases() -> None:
    # with a zero gradient, one step shrinks every parameter by learning rate · decay
    network = build_network("gqcnn_two_pools", 8)
    step_without_gradient(network, PAPER_TRAINING)
    for p in network.parameters():
        torch.testing.assert_close(p.detach(), torch.full_like(p, 2.0 * (1 - 0.01 * 5e-4)))


def test_adamw_decays_weights_and_spares_biases_and_normalisations() -> None:
    network = build_network("compact")
    step_without_gradient(network, COMPACT_TRAINING)
    decayed = 2.0 * (1 - COMPACT_TRAINING.learning_rate * COMPACT_TRAINING.weight_decay)
    for p in network.parameters():
        left = decayed if p.ndim > 1 else 2.0
        torch.testing.assert_close(p.detach(), torch.full_like(p, left))


def test_each_step_of_training_has_noise_of_its_own() -> None:
    class Stepped(GraspModule):
        step = 0
        global_step = property(lambda self: self.step)  # type: ignore[assignment]

    module = Stepped(build_network("compact"), COMPACT_TRAINING, 10)
    crop = torch.full((4, 1, 32, 32), 0.7)
    first, again = module.noisy(crop), module.noisy(crop)
    module.step = 1
    assert torch.equal(first, again) and not torch.equal(first, module.noisy(crop))


def test_the_offset_of_a_calibration_is_added_after_the_scale() -> None:
    log_odds = np.array([0.0, 0.5])
    assert Calibration(2.0, 1.0)(log_odds) == pytest.approx(1 / (1 + np.exp([-1.0, -2.0])))


def test_a_quality_of_one_half_is_a_predicted_success() -> None:
    scores = classification(np.array([0.5, 0.5, 0.4]), np.array([True, False, True]))
    counts = [scores[n] for n in ("true_positives", "false_positives", "false_negatives")]
    assert counts == [1, 1, 1]


def test_a_weighted_loss_is_least_at_the_weighted_odds() -> None:
    # w p log σ(x) + (1 − p) log(1 − σ(x)) is greatest where the odds are w p : (1 − p)
    config = replace(PAPER_TRAINING, positive_loss_weight=3.0)
    module = GraspModule(build_network("gqcnn_two_pools", 8), config, 10)
    success = torch.tensor([1.0, 0.0, 0.0, 0.25])
    p = float(success.mean())
    x = torch.tensor(np.log(3 * p / (1 - p)), requires_grad=True)
    module.loss(x.float().repeat(4), success).backward()
    assert x.grad is not None and abs(float(x.grad)) < 1e-6


# ---- scores ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [PAPER_TRAINING, COMPACT_TRAINING])
def test_bfloat16_steps_the_float32_weights_nearly_as_float32_does(settings: TrainConfig) -> None:
    crop = 0.65 + 0.05 * torch.rand((4, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    depth, success = torch.full((4, 1), 0.66), (torch.arange(4) % 2).float()
    hand = torch.tensor(load_gripper("yumi").told, dtype=torch.float32).repeat(4, 1)
    gradients = []
    for precision in ("float32", "bfloat16"):
        network = build_network(settings.architecture)
        network.initialise(torch.Generator().manual_seed(1))
        set_normalisation(network, Normalisation(0.675, 0.015, 0.66, 0.01))
        module = GraspModule(network, replace(settings, precision=precision), 4)
        log_odds = module.working_network()(crop, depth, hand).float()
        torch.nn.functional.binary_cross_entropy_with_logits(log_odds, success).backward()
        module.on_after_backward()
        parameters = list(network.parameters())
        assert all(p.dtype == torch.float32 and p.grad is not None for p in parameters)
        gradients.append(torch.cat([p.grad.flatten() for p in parameters]))  # type: ignore[union-attr]
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99
    assert not torch.equal(*gradients)  # the second is not float32 again


@pytest.mark.parametrize("ties", [True, False])
def test_scores_agree_with_scikit_learn(ties: bool) -> None:
    quality, success = predictions(ties=ties)
    got = classification(quality, success)
    predicted = quality >= 0.5
    oracle = {
        "average_precision": sklearn_metrics.average_precision_score(success, quality),
        "auc": sklearn_metrics.roc_auc_score(success, quality),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(success, predicted),
        "accuracy": sklearn_metrics.accuracy_score(success, predicted),
        "precision": sklearn_metrics.precision_score(success, predicted),
        "recall": sklearn_metrics.recall_score(success, predicted),
        "brier": sklearn_metrics.brier_score_loss(success, quality),
    }
    for name, want in oracle.items():
        assert got[name] == pytest.approx(want, abs=1e-12), name
    cells = ["true_negatives", "false_positives", "false_negatives", "true_positives"]
    assert [got[c] for c in cells] == sklearn_metrics.confusion_matrix(
        success, predicted
    ).ravel().tolist()


def test_scores_that_do_not_exist_are_none_and_json_can_say_so() -> None:
    scores = classification(np.array([0.1, 0.2]), np.array([False, False]))
    assert scores["auc"] is scores["average_precision"] is scores["recall"] is None
    assert scores["accuracy"] == 1.0
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_a_constant_prediction_has_chance_scores() -> None:
    success = np.arange(100) < 21
    quality = np.full(100, 0.21)
    assert area_under_roc(quality, success) == 0.5
    assert average_precision(quality, success) == pytest.approx(0.21)
    assert expected_calibration_error(quality, success) == pytest.approx(0.0, abs=1e-12)


def test_calibration_bins_count_every_prediction_once() -> None:
    quality, success = predictions()
    quality[:2] = 0.0, 1.0
    bins = calibration_bins(quality, success, 10)
    assert bins[:, 2].sum() == len(quality)
    assert np.nansum(bins[:, 1] * bins[:, 2]) == pytest.approx(success.sum())


def test_bootstrap_by_object_is_wider_than_by_datapoint_where_objects_differ() -> None:
    rng = np.random.default_rng(0)
    objects = np.repeat(np.arange(10), 100)
    right = rng.random(1000) < np.repeat(np.linspace(0.5, 1.0, 10), 100)
    success = rng.random(1000) < 0.5
    quality = np.where(right == success, 0.9, 0.1)
    one = np.zeros(1000, int)
    assert bootstrap_interval(one, quality, success, np.random.default_rng(1)) == {}
    by_object = bootstrap_interval(objects, quality, success, np.random.default_rng(1))["accuracy"]
    by_point = bootstrap_interval(np.arange(1000), quality, success, np.random.default_rng(1))[
        "accuracy"
    ]
    assert by_object[0] < right.mean() < by_object[1]
    assert np.diff(by_object) > 2 * np.diff(by_point)


def test_scores_of_a_soft_label_ask_whether_q_is_the_probability() -> None:
    rng = np.random.default_rng(3)
    probability = rng.random(20_000)
    exact = classification(probability, probability)
    assert exact["ece"] == exact["brier"] == 0.0 and exact["accuracy"] == 1.0
    # the same loss and calibration, up to chance, as of the outcomes that it stands for
    drawn = classification(probability, rng.random(20_000) < probability)
    assert exact["loss"] == pytest.approx(drawn["loss"], abs=0.01)
    assert drawn["ece"] < 0.02
    got = fit_calibration(2 * np.log(probability / (1 - probability)) + 1, probability)
    assert got == pytest.approx(Calibration(0.5, -0.5), abs=0.01)


# ---- calibration ----------------------------------------------------------------------------------------------


def test_calibration_recovers_the_logistic_that_drew_the_labels() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 2, 40_000)
    truth = Calibration(0.5, -1.0)
    got = fit_calibration(x, rng.random(40_000) < truth(x))
    assert got == pytest.approx(truth, abs=0.05)


def test_calibration_is_finite_for_separable_and_identity_for_useless_data() -> None:
    x = np.linspace(-3, 3, 50)
    got = fit_calibration(x, x > 0)
    assert 1 < got.scale < 100 and np.isfinite(got.offset)
    assert fit_calibration(x, np.ones(50, bool)) == Calibration()
    assert fit_calibration(-x, x > 0) == Calibration()


def test_an_object_is_judged_by_what_others_calibrated() -> None:
    group = np.repeat([3, 8], 10_000)
    success = np.r_[np.arange(10_000) % 10 < 8, np.arange(10_000) % 10 < 3]
    log_odds = np.zeros(20_000)  # that says nothing
    share = calibrated_by_others(log_odds, success, group)
    assert share[group == 3] == pytest.approx(0.3, abs=0.01)
    assert share[group == 8] == pytest.approx(0.8, abs=0.01)
    alone = calibrated_by_others(log_odds[:10_000], success[:10_000], group[:10_000])
    assert alone == pytest.approx(0.8, abs=0.01)


def test_halves_of_other_base_rates_keep_the_ranking_that_two_calibrations_break() -> None:
    rng = np.random.default_rng(6)
    group = np.repeat(np.arange(12), 200)
    success = rng.random(2400) < np.where(group % 2, 0.9, 0.1)
    log_odds = 0.5 * success + rng.normal(size=2400)
    auc, ap = area_under_roc(log_odds, success), average_precision(log_odds, success)
    quality = calibrated_by_others(log_odds, success, group)
    assert area_under_roc(quality, success) < auc - 0.02
    scores = classification(quality, success, log_odds)
    assert (scores["auc"], scores["average_precision"]) == (auc, ap)
    # what reads q as a probability is of q
    plain = classification(quality, success)
    assert all(scores[name] == plain[name] for name in ("loss", "brier", "ece", "accuracy"))
    between = [
        bootstrap_interval(group, q, success, np.random.default_rng(1), log_odds)
        for q in (quality, Calibration()(log_odds))
    ]
    assert between[0]["auc"] == between[1]["auc"] and between[0]["auc"][0] < auc
    assert between[0]["ece"] != between[1]["ece"]


def test_the_interval_of_the_calibration_error_holds_it() -> None:
    def drawn(n_objects: int) -> tuple[np.ndarray, np.ndarray]:
        """Qualities, and chances whose log-odds are 1.3 times theirs, more or less by objects."""
        log_odds = rng.normal(0, 2, (n_objects, 100))
        chance = expit(1.3 * log_odds + rng.normal(0, 0.5, (n_objects, 1)))
        return expit(log_odds).ravel(), chance.ravel()

    rng, group = np.random.default_rng(0), np.repeat(np.arange(30), 100)
    truth = expected_calibration_error(*drawn(2000))
    held = 0
    for _ in range(30):
        q, chance = drawn(30)
        low, high = bootstrap_interval(group, q, rng.random(3000) < chance, rng)["ece"]
        held += low <= truth <= high
    assert held >= 24  # the draws' own interval lies above, and holds it in 11


def test_log_odds_of_what_rounding_made_certain_are_finite() -> None:
    assert log_odds_of(np.array([0.0, 1.0, 0.5])) == pytest.approx([-30, 30, 0])
    q = np.array([1e-6, 0.2, 0.999])
    assert Calibration()(log_odds_of(q)) == pytest.approx(q)


def test_calibration_never_increases_the_loss() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(0, 5, 500)
    success = rng.random(500) < Calibration(0.2, 1.0)(x)
    before = classification(Calibration()(x), success)
    after = classification(fit_calibration(x, success)(x), success)
    assert after["loss"] < before["loss"] and after["ece"] < before["ece"]  # type: ignore[operator]
    assert after["auc"] == pytest.approx(before["auc"])


# ---- runs -----------------------------------------------------------------------------------------------------


def test_ctrl_c_in_training_is_told_as_anywhere_else(
    boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(GraspModule, "training_step", stop)
    assert run(["train", str(boxes), "-o", str(tmp_path / "run"), "--epochs", "1"]) == 130
    assert capsys.readouterr().err.endswith("antipodal train: interrupted\n")


@pytest.fixture
def at_a_terminal() -> Iterator[None]:
    """Python hears Ctrl-C, also where the suite runs in the background of a shell that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("at_a_terminal")
@pytest.mark.parametrize("step", ["configure_optimizers", "training_step"])
def test_after_ctrl_c_in_training_the_next_one_is_heard(
    step: str, boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GraspModule, step, lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(boxes, tmp_path, TINY, accelerator="cpu")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_n_train_draws_rows_of_the_training_side_and_leaves_the_other_alone(boxes: Path) -> None:
    dataset = Dataset.open(boxes)
    whole, held_out = split_rows(dataset, TINY, Loading())
    some, same = split_rows(dataset, replace(TINY, n_train=50), Loading())
    assert len(np.unique(some.rows)) == 50 and np.isin(some.rows, whole.rows).all()
    np.testing.assert_array_equal(same.rows, held_out.rows)


@pytest.fixture(scope="module", params=[4.0, 1e-9])
def uninterrupted(
    request: pytest.FixtureRequest, one_thread: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Loading, dict[str, Any]]:
    """A run that keeps its data in memory, and one that streams it: folder with boxes and whole, loading, result."""
    folder, loading = tmp_path_factory.mktemp("uninterrupted"), Loading(request.param)
    write_boxes(folder / "boxes", 300, np.random.default_rng(11))
    result = train(folder / "boxes", folder / "whole", TINY, accelerator="cpu", loading=loading)
    return folder, loading, result


@pytest.mark.parametrize(("epoch", "batch"), [(0, 3), (1, 0), (1, 5)])
def test_a_run_that_was_cut_off_ends_as_an_uninterrupted_one(
    uninterrupted: tuple[Path, Loading, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    epoch: int,
    batch: int,
) -> None:
    """Cut at an epoch's start it goes on from the epoch before, within one from the batch before."""
    folder, loading, whole = uninterrupted
    boxes = folder / "boxes"
    cut = tmp_path / "cut"

    class Killed(Exception):
        pass

    started: list[tuple[int, int]] = []

    def die(module: GraspModule, batch_: object, index: int) -> None:
        started.append((module.current_epoch, index))
        if started[-1] == (epoch, batch) and not resuming:
            raise Killed

    resuming = False
    monkeypatch.setattr(GraspModule, "on_train_batch_start", die)
    monkeypatch.setattr(train_module, "SAVED_EVERY", 0.0)
    with pytest.raises(Killed):
        train(boxes, cut, TINY, accelerator="cpu", loading=loading)
    assert (cut / "checkpoints" / "last.ckpt").is_file() and not (cut / "result.json").exists()
    with pytest.raises(UnknownAsset, match="unfinished"):
        open_run(cut)
    resuming = True
    resumed = train(boxes, cut, TINY, accelerator="cpu", loading=loading)
    n_batches = whole["n_train"] // TINY.batch_size
    each_once = [(e, k) for e in range(TINY.n_epochs) for k in range(n_batches)]
    assert sorted(started) == sorted([*each_once, (epoch, batch)])  # the one that was cut
    ends = [run / "checkpoints" / "last.ckpt" for run in (folder / "whole", cut)]
    a, b = (torch.load(path, weights_only=True)["state_dict"] for path in ends)
    # whole batches; an epoch that is not the best is saved too
    assert int(a["network.stem_norm.num_batches_tracked"]) == 2 * n_batches
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert resumed["validation"] == whole["validation"]


def test_a_run_that_was_moved_still_knows_its_best_epoch(
    boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a rate that ruins every epoch after the first
    config = replace(TINY, n_epochs=2, optimizer="sgd", learning_rate=1e-3)
    monkeypatch.setattr(train_module, "SAVED_EVERY", 0.0)

    def die(module: GraspModule, batch_: object, index: int) -> None:
        if module.current_epoch == 1 and not resuming:
            raise KeyboardInterrupt
        if module.current_epoch == 1:
            with torch.no_grad():
                for p in module.network.parameters():
                    p.mul_(3)

    resuming = False
    monkeypatch.setattr(GraspModule, "on_train_batch_start", die)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(boxes, tmp_path / "run", config, accelerator="cpu")
    (tmp_path / "run").rename(tmp_path / "moved")
    resuming = True
    result = train(boxes, tmp_path / "moved", config, accelerator="cpu")
    assert result["best_epoch"] == 0
    assert not (tmp_path / "run").exists()


def test_noise_is_drawn_in_float32_within_autocast() -> None:
    crop = torch.full((4, 1, 32, 32), 0.7)
    module = GraspModule(build_network("compact", 32), COMPACT_TRAINING, 4)
    module.trainer = Trainer(logger=False, enable_checkpointing=False)
    want = module.noisy(crop)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module.noisy(crop), want)


def test_an_epochs_loss_and_accuracy_are_those_of_all_its_rows(boxes: Path, tmp_path: Path) -> None:
    # weights that do not move and no noise: one pass over the rows has the mean that its steps have
    config = replace(
        PAPER_TRAINING, architecture="gqcnn_two_pools", n_epochs=2, batch_size=10, n_train=230,
        learning_rate=1e-30, augmentation="none",
    )  # fmt: skip
    train(boxes, tmp_path / "run", config, accelerator="cpu")
    training, _ = split_rows(Dataset.open(boxes), config, Loading())
    network = open_run(tmp_path / "run").network
    log_odds = predict_log_odds(network, GraspStream(training, 46))
    scores = classification(Calibration()(log_odds), training.success[training.rows])
    history = read_history(tmp_path / "run")
    np.testing.assert_allclose(history["training_loss"][:, 1], scores["loss"], rtol=1e-4)
    np.testing.assert_allclose(history["training_accuracy"][:, 1], scores["accuracy"], rtol=1e-6)


def test_training_ends_once_its_patience_has(boxes: Path, tmp_path: Path) -> None:
    # weights that do not move: no epoch is better than the first
    config = replace(
        PAPER_TRAINING, architecture="gqcnn_two_pools", n_epochs=9, patience=2, learning_rate=1e-30
    )
    result = train(boxes, tmp_path / "run", config, accelerator="cpu")
    assert len(read_history(tmp_path / "run")["validation_loss"]) == 3
    assert result["best_epoch"] == 0
    # killed after the last epoch
    (tmp_path / "run" / "result.json").unlink()
    resumed = train(boxes, tmp_path / "run", config, accelerator="cpu")
    assert len(read_history(tmp_path / "run")["validation_loss"]) == 3
    assert resumed["validation"] == result["validation"]


def test_a_run_of_before_a_setting_came_or_went_is_still_itself(
    boxes: Path, tmp_path: Path
) -> None:
    config = replace(TINY, n_epochs=1)
    result = train(boxes, tmp_path / "run", config, accelerator="cpu")
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    del saved["train"]["patience"]
    saved["train"]["calibrate"] = True  # a setting that is no more
    (tmp_path / "run" / "config.json").write_text(json.dumps(saved))
    assert train(boxes, tmp_path / "run", config, accelerator="cpu") == result


def test_a_larger_hands_depths_are_normalised_in_its_size_and_fine_tuning_keeps_that(
    boxes: Path, tmp_path: Path
) -> None:
    config = replace(TINY, n_epochs=1, n_train=32)
    large = Path(shutil.copytree(boxes, tmp_path / "large"))
    manifest = json.loads((large / "dataset.json").read_text())
    manifest["gripper"]["max_width"] *= 1.6
    write_json(manifest, large / "dataset.json")
    train(large, tmp_path / "run", config, accelerator="cpu")
    depth = split_rows(Dataset.open(large), config, Loading())[0].kept().depth.numpy() / 1.6
    network = open_run(tmp_path / "run").network
    assert isinstance(network, Compact)
    seen = (depth - network.depth_mean.item()) / network.depth_std.item()
    assert (seen.mean(), seen.std()) == pytest.approx((0, 1), abs=1e-4)
    start = Pretrained(tmp_path / "run", "all")
    train(boxes, tmp_path / "tuned", config, accelerator="cpu", start=start)
    tuned = open_run(tmp_path / "tuned").network
    assert isinstance(tuned, Compact) and tuned.depth_mean == network.depth_mean


def test_a_batch_larger_than_an_epoch_lowers_the_rate_by_what_is_drawn(
    boxes: Path, tmp_path: Path
) -> None:
    # one step an epoch, one stair an epoch
    config = replace(
        PAPER_TRAINING, architecture="gqcnn_two_pools", n_epochs=3, n_train=20, decay_epochs=1.0,
        decay_rate=0.5,
    )  # fmt: skip
    train(boxes, tmp_path / "run", config, accelerator="cpu")
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    (rate,) = last["lr_schedulers"][0]["_last_lr"]
    assert rate == pytest.approx(config.learning_rate / 2**3)


def test_run_leaves_its_settings_scores_and_logs_and_is_not_trained_twice(
    boxes: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    config = replace(TINY, n_epochs=1)
    result = train(boxes, run_dir, config, accelerator="cpu")
    assert train(boxes, run_dir, config, accelerator="cpu") == result
    saved = json.loads((run_dir / "config.json").read_text())
    assert TrainConfig(**saved["train"]) == config
    assert saved["gripper"] == "yumi" and saved["crop"]["window_px"] == 96.0
    with (run_dir / "logs" / "version_0" / "metrics.csv").open() as file:
        columns = next(csv.reader(file))
    assert {"training_loss_epoch", "validation_loss", "validation_average_precision"} <= set(
        columns
    )
    assert list((run_dir / "tensorboard").rglob("events*"))
    sides = split_rows(Dataset.open(boxes), config, Loading())
    assert [result["n_train"], result["n_validation"]] == [len(side.rows) for side in sides]
    assert result["n_train"] + result["n_validation"] == 300
    with pytest.raises(InvalidConfig, match=r"other settings \(seed 3 → 4\)"):
        train(boxes, run_dir, replace(config, seed=4), accelerator="cpu")
    # a network of another size under the same name
    run = open_run(run_dir)
    torch.save({"fc": torch.zeros(3)}, run_dir / "model.pt")
    with pytest.raises(IncompatibleCheckpoint, match=r"holds 3 numbers: compact expects \d+"):
        open_run(run_dir)
    assert run.crop_size == 32


def test_a_run_that_streams_its_data_ends_as_one_that_keeps_them(
    tmp_path: Path,
) -> None:
    # one shard: a pool cannot be smaller, so both shuffle alike, and only the reading differs
    write_boxes(tmp_path / "boxes", 200, np.random.default_rng(11), n_shards=1)
    config = replace(TINY, n_epochs=1)
    ends = []
    for name, memory in (("kept", 4.0), ("streamed", 1e-9)):
        result = train(
            tmp_path / "boxes",
            tmp_path / name,
            config,
            accelerator="cpu",
            loading=Loading(memory=memory),
        )
        assert 0 <= result["waited_for_data_share"] <= 1
        ends.append(open_run(tmp_path / name).network.state_dict())
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[0])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_fine_tuning_the_head_leaves_convolutions_and_batch_statistics_alone(
    boxes: Path, tmp_path: Path, precision: Literal["float32", "bfloat16"]
) -> None:
    config = replace(TINY, n_epochs=1, precision=precision)
    train(boxes, tmp_path / "base", config, accelerator="cpu")
    start = Pretrained(tmp_path / "base", "head")
    other = replace(config, seed=4)
    tuned = train(boxes, tmp_path / "tuned", other, accelerator="cpu", start=start)
    before, after = (open_run(tmp_path / name).network.state_dict() for name in ("base", "tuned"))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.startswith("head.") for name in moved)
    # the settings say where the weights came from, wherever the base run lies
    with pytest.raises(InvalidConfig, match=r"other settings \(start\)"):
        train(boxes, tmp_path / "tuned", other, accelerator="cpu")
    moved_base = shutil.copytree(tmp_path / "base", tmp_path / "elsewhere")
    again = Pretrained(moved_base, "head")
    assert train(boxes, tmp_path / "tuned", other, accelerator="cpu", start=again) == tuned


def test_weights_of_another_network_are_no_start(boxes: Path, tmp_path: Path) -> None:
    train(boxes, tmp_path / "base", replace(TINY, n_epochs=1), accelerator="cpu")
    start = Pretrained(tmp_path / "base")
    with pytest.raises(IncompatibleCheckpoint, match=r"is compact on crops .*: expected gqcnn"):
        train(boxes, tmp_path / "tuned", PAPER_TRAINING, accelerator="cpu", start=start)
    assert not (tmp_path / "tuned").exists()
    with pytest.raises(UnknownAsset, match="no run in"):
        train(
            boxes, tmp_path / "t", TINY, accelerator="cpu", start=Pretrained(tmp_path / "nowhere")
        )


def test_training_that_diverges_says_so_and_leaves_no_result(boxes: Path, tmp_path: Path) -> None:
    config = replace(TINY, learning_rate=1e10)
    for _ in range(2):  # resumed, too
        with pytest.raises(InvalidConfig, match=r"diverged at learning_rate 1e\+10: .* not finite"):
            train(boxes, tmp_path / "run", config, accelerator="cpu")
    assert not (tmp_path / "run" / "result.json").exists()


def test_settings_reach_the_trainer(tmp_path: Path) -> None:
    # DDP is Lightning's: what is ours is that it is asked for, and that we divide the batches ourselves
    two = new_trainer(tmp_path, TINY, progress=False, accelerator="cpu", n_devices=2)
    assert two.world_size == 2 and isinstance(two.strategy, DDPStrategy)
    assert two.max_epochs == TINY.n_epochs
    one = new_trainer(tmp_path, TINY, False, "cpu", count_devices("auto", 0, TINY.batch_size))
    assert one.world_size == 1 and isinstance(one.strategy, SingleDeviceStrategy)


def test_devices_that_are_not_there_are_refused_before_the_folder_is_taken(
    boxes: Path, tmp_path: Path
) -> None:
    assert count_devices("auto", 4, 128) == 4 and count_devices(2, 4, 128) == 2
    for n in (0, -1):
        with pytest.raises(InvalidConfig, match=f"{n} devices: expected at least 1"):
            train(boxes, tmp_path / "run", TINY, accelerator="cpu", devices=n)
    with pytest.raises(InvalidConfig, match="batch_size 32 on 3 devices: expected a multiple"):
        train(boxes, tmp_path / "run", TINY, accelerator="cpu", devices=3)
    assert not (tmp_path / "run").exists()
    with pytest.raises(InvalidConfig, match="8 devices: expected 1 to 4"):
        count_devices(8, 4, 128)


@pytest.mark.slow
def test_two_processes_train_as_one_does(boxes: Path, tmp_path: Path) -> None:
    code = """
import sys
from dataclasses import replace
from antipodal.nn.config import TrainConfig
from antipodal.nn.train import train
config = TrainConfig(
    architecture="gqcnn_two_pools", n_epochs=1, batch_size=80, augmentation="none", precision=sys.argv[4]
)
train(sys.argv[1], sys.argv[2], config, accelerator="cpu", devices=int(sys.argv[3]))
"""
    script = tmp_path / "train.py"
    script.write_text(code)
    # two processes of a CPU compute in float32, whatever they are told
    asked = {"one": ("1", "float32"), "two": ("2", "float32"), "rounded": ("2", "bfloat16")}
    for name, settings in asked.items():
        command = [sys.executable, str(script), str(boxes), str(tmp_path / name), *settings]
        subprocess.run(command, check=True, timeout=300)
    one, *others = (open_run(tmp_path / name) for name in asked)
    for two in others:
        assert two.result["n_devices"] == 2 and two.result["hardware"].endswith("float32")
        for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True):
            # the mean of two halves' gradients is the whole's, up to rounding
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="expected one of sgd, adamw"):
        TrainConfig(optimizer="rmsprop")  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="seed -1"):
        TrainConfig(seed=-1)
    with pytest.raises(InvalidConfig, match="n_epochs 0"):
        TrainConfig(n_epochs=0)
    with pytest.raises(InvalidConfig, match=r"train_fraction 1\.0"):
        TrainConfig(train_fraction=1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "required"),
    [
        (replace(COMPACT_TRAINING, n_epochs=4, batch_size=128), 0.85),
        # 100 steps of SGD: measured 0.81
        (replace(PAPER_TRAINING, architecture="gqcnn_two_pools", augmentation="sensor", n_epochs=4), 0.75),
    ],
    ids=["compact", "gqcnn_two_pools"],
)  # fmt: skip
def test_networks_learn_finger_clearance(
    tmp_path: Path, config: TrainConfig, required: float
) -> None:
    write_boxes(tmp_path / "boxes", 4000, np.random.default_rng(0))
    result = train(tmp_path / "boxes", tmp_path / "run", config, accelerator="cpu")
    # chance, and any constant answer, is 0.5
    assert result["validation"]["balanced_accuracy"] > required
