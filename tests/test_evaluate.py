"""Evaluation: the numbers of a run's own split, the files, and one page that needs nothing from outside."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.cbook import STEP_LOOKUP_MAP
from matplotlib.colors import to_hex, to_rgba_array

from antipodal.dataset.store import Dataset
from antipodal.errors import IncompatibleCheckpoint, InvalidConfig, UnknownAsset
from antipodal.files import write_json
from antipodal.nn.config import COMPACT_TRAINING, TrainConfig
from antipodal.nn.evaluate import evaluate
from antipodal.nn.evaluation_files import draw_charts
from antipodal.nn.plots import (
    Scored,
    calibration,
    crop_picture,
    error_histogram,
    precision_recall,
    read_history,
    roc,
    training_errors,
    training_losses,
)
from antipodal.nn.run import open_run, split_as
from antipodal.nn.scores import classification
from antipodal.nn.stream import GraspRows, GraspStream, Loading
from antipodal.nn.train import predict_log_odds, split_rows, train
from antipodal.scores import area_under_roc, average_precision
from synthetic_grasps import write_boxes

pytestmark = pytest.mark.usefixtures("one_thread")
SEED = 5
"""Its split holds out three of the ten objects."""
ORIGINAL = {
    "precision_recall", "roc", "training_losses", "training_error_rates", "training_normalised_error_rates",
    "first_filters", "positive_training_errors", "positive_validation_errors", "negative_training_errors",
    "negative_validation_errors",
}  # fmt: skip
"""Pictures that the original's analysis draws (reference §11.4)."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, a run of one epoch on it, and its evaluation."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_boxes(folder / "boxes", 300, np.random.default_rng(11))
    config = replace(
        COMPACT_TRAINING, train_fraction=0.8, n_epochs=1, batch_size=32, seed=SEED, target="robust"
    )
    train(folder / "boxes", folder / "run", config, accelerator="cpu")
    evaluate(folder / "run", folder / "boxes", folder / "report")
    return folder


@pytest.fixture(scope="module")
def report(place: Path) -> dict[str, Any]:
    return json.loads((place / "report" / "evaluation.json").read_text())


def test_predictions_are_not_written_into_a_data_set(place: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"boxes holds a data set, .*choose another folder"):
        evaluate(place / "run", place / "boxes", place / "boxes")
    Dataset.open(place / "boxes").check()


def test_a_training_run_is_no_unfinished_data_set(place: Path) -> None:
    with pytest.raises(UnknownAsset, match="run is a training run: expected a data set"):
        Dataset.open(place / "run")


def test_a_run_is_scored_on_its_own_validation_split(place: Path, report: dict[str, Any]) -> None:
    result = json.loads((place / "run" / "result.json").read_text())
    train, held_out = map(len, Dataset.open(place / "boxes").split("object_wise", SEED))
    assert train + held_out == 300
    assert report["rows"] == "validation object_wise" and report["n"] == held_out
    for name, value in result["validation"].items():
        assert report[name] == pytest.approx(value), name
    assert report["training"]["n"] == train
    for by in ("by_object", "by_pose"):
        assert sum(o["n"] for o in report[by]) == held_out
    rates = [o["error_rate"] for o in report["by_object"]]
    assert rates == sorted(rates, reverse=True)
    by_depth = report["by_depth"]
    assert sum(o["n"] * o["error_rate"] for o in by_depth) == pytest.approx(
        held_out * report["error_rate"]
    )
    assert all(a["depth"][1] <= b["depth"][0] for a, b in itertools.pairwise(by_depth))
    low, high = report["intervals"]["balanced_accuracy"]
    assert low <= report["balanced_accuracy"] <= high


def test_rankings_are_the_networks_though_two_calibrations_judge_its_validation_split(
    place: Path, report: dict[str, Any]
) -> None:
    dataset, held_out = Dataset.open(place / "boxes"), _held_out(place / "boxes")
    rows = GraspRows(dataset, held_out, dataset.targets("robust"))
    log_odds = predict_log_odds(open_run(place / "run").network, GraspStream(rows, 100))
    success = rows.success[held_out] > 0.5
    result = json.loads((place / "run" / "result.json").read_text())
    for said in (report, result["validation"], result["validation_uncalibrated"]):
        assert said["auc"] == pytest.approx(area_under_roc(log_odds, success), abs=1e-12)
        assert said["average_precision"] == pytest.approx(
            average_precision(log_odds, success), abs=1e-12
        )
    page = (place / "report" / "evaluation.html").read_text()
    for label in (f"AUC {report['auc']:.3f}", f"AP {report['average_precision']:.3f}"):
        assert f"validation: {label}" in page
    # the two are not one monotone function of what the network says
    table = pq.read_table(place / "report" / "predictions.parquet")
    validation = np.array(table["split"].to_pylist()) == "validation"
    judged, own = (table[c].to_numpy()[validation] for c in ("quality", "ranking"))
    assert area_under_roc(judged, success) != pytest.approx(report["auc"], abs=1e-3)
    np.testing.assert_allclose(own, open_run(place / "run").calibration(log_odds), atol=1e-6)
    np.testing.assert_array_equal(
        *(table[c].to_numpy()[~validation] for c in ("quality", "ranking"))
    )


def test_predictions_on_disk_give_the_scores_again(place: Path, report: dict[str, Any]) -> None:
    table = pq.read_table(place / "report" / "predictions.parquet")
    held_out = np.array(table["split"].to_pylist()) == "validation"
    quality, success, ranking = (
        table[c].to_numpy()[held_out].astype(float) for c in ("quality", "success", "ranking")
    )
    again = classification(quality, success, ranking)
    for name in ("accuracy", "average_precision", "auc", "loss"):
        assert again[name] == pytest.approx(report[name], abs=1e-6)
    assert sorted(table["row"].to_pylist()) == list(range(300))


def test_everything_that_the_original_draws_is_there_and_on_one_page(place: Path) -> None:
    folder = place / "report"
    assert {p.stem for p in folder.glob("*.png")} == ORIGINAL | {
        "calibration", "error_by_depth", "error_by_object", "error_by_pose",
    }  # fmt: skip
    page = (folder / "evaluation.html").read_text()
    assert page.count("<svg") == len(ORIGINAL) + 3  # all but the filters, which are a picture
    outside = [
        u for u in re.findall(r"(?:src|href)=\"([^\"]*)", page) if not u.startswith(("data:", "#"))
    ]
    assert outside == [] and "$" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.S)
    for split in ("training", "validation"):
        names = {p.name.rsplit("_", 1)[0] for p in (folder / "examples" / split).iterdir()}
        assert names <= {f"{a}_{b}" for a in ("true", "false") for b in ("positive", "negative")}
        assert len(names) >= 2
        assert cv2.imread(str(next((folder / "examples" / split).iterdir()))).shape == (224, 224, 3)


def test_another_data_set_is_scored_whole(place: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(place / "boxes", tmp_path / "moved")
    assert evaluate(place / "run", moved)["rows"] == "validation object_wise"
    assert evaluate(place / "run", moved, rows="training")["n"] == len(
        Dataset.open(moved).split("object_wise", SEED)[0]
    )
    # as many datapoints of another draw are another data set
    write_boxes(tmp_path / "other", 300, np.random.default_rng(98))
    other = evaluate(place / "run", tmp_path / "other", tmp_path / "report")
    assert other["rows"] == "all" and other["n"] == 300 and "training" not in other
    assert (tmp_path / "report" / "evaluation.html").is_file()
    with pytest.raises(InvalidConfig, match="no validation split"):
        evaluate(place / "run", tmp_path / "other", rows="validation")
    with pytest.raises(IncompatibleCheckpoint, match="trained on crops"):
        evaluate("builtin", place / "boxes")


def test_a_run_that_learned_from_some_rows_says_of_those_that_it_was_trained_on_them(
    place: Path, tmp_path: Path
) -> None:
    some = Path(shutil.copytree(place / "run", tmp_path / "run"))
    config = json.loads((some / "config.json").read_text())
    config["train"]["n_train"] = 50
    write_json(config, some / "config.json")
    dataset = Dataset.open(place / "boxes")
    trained, held_out = split_rows(dataset, TrainConfig(**config["train"]), Loading())
    report = evaluate(some, place / "boxes", tmp_path / "report", rows="training")
    assert report["n"] == len(trained) == 50
    table = pq.read_table(tmp_path / "report" / "predictions.parquet")
    np.testing.assert_array_equal(table["row"].to_numpy(), trained.rows)
    for got, want in zip(split_as(dataset, config["train"]), (trained, held_out), strict=True):
        np.testing.assert_array_equal(got, want.rows)


def test_force_closure_is_a_label_of_the_table_of_grasps(place: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(place / "boxes", tmp_path / "boxes"))
    with pytest.raises(InvalidConfig, match="no table of grasps"):
        Dataset.open(folder).targets("force_closure")
    closed = np.arange(300) % 3 == 0
    grasps = pa.table(
        {"grasp_id": np.arange(300, dtype=np.int32)[::-1], "force_closure": closed[::-1]}
    )
    pq.write_table(grasps, folder / "grasps.parquet")
    # every box's grasp is free, and grasp i is row i
    np.testing.assert_array_equal(Dataset.open(folder).targets("force_closure"), closed)
    report = evaluate(place / "run", folder, target="force_closure")
    assert report["target"] == "force_closure"
    assert report["positive_share"] == pytest.approx(closed[_held_out(folder)].mean())


def _held_out(folder: Path) -> np.ndarray:
    return Dataset.open(folder).split("object_wise", SEED)[1]


def test_the_area_below_the_drawn_precision_is_the_average_precision() -> None:
    rng = np.random.default_rng(8)
    quality = np.round(rng.random(60), 1)  # ties
    success = (rng.random(60) < quality).astype(float)
    figure = precision_recall({"validation": Scored(quality, success)})
    line = figure.axes[0].lines[0]
    x, y = STEP_LOOKUP_MAP[line.get_drawstyle()](line.get_xdata(), line.get_ydata())
    assert (x[0], x[-1]) == (0, 1)
    assert np.trapezoid(y, x) == pytest.approx(average_precision(quality, success > 0.5))


@pytest.mark.parametrize("binary", [False, True])
def test_right_of_the_histograms_middle_are_the_errors_of_the_confusion_matrix(
    binary: bool,
) -> None:
    rng = np.random.default_rng(4)
    quality = np.append(rng.random(400), [0.5, 0.5, 0.0, 1.0])
    success = np.append(rng.random(400), [0.9, 0.1, 1.0, 0.0])
    success = np.round(success) if binary else success
    counted = classification(quality, success)
    for positive, n, errors in (
        (True, "true_positives", "false_negatives"),
        (False, "true_negatives", "false_positives"),
    ):
        axes = error_histogram("validation", Scored(quality, success), positive).axes[0]
        right = [bar.get_height() for bar in axes.patches if bar.get_x() + 1e-9 > 0.5]
        assert sum(right) == counted[errors] > 0
        assert sum(bar.get_height() for bar in axes.patches) == counted[n] + counted[errors]
        if binary:
            truth = float(positive)
            error = np.abs(quality - truth)[(success == truth) & (quality != 0.5)]
            assert (
                sum(bar.get_height() for bar in axes.patches if bar.get_x() < 0.245)
                == (error < 0.25).sum()
            )


def test_a_split_has_one_colour_in_every_picture() -> None:
    rng = np.random.default_rng(3)
    scored = Scored(rng.random(50), rng.random(50))
    splits = {"validation": scored, "training": scored}
    course = np.array([[0.0, 0.5], [1.0, 0.4]])
    history = {f"{s}_{v}": course for s in splits for v in ("loss", "accuracy")}
    figures = [precision_recall(splits), roc(splits), calibration(splits)]
    figures += [training_losses(history), training_errors(history)]
    seen: dict[str, set[str]] = {}
    for figure in figures:
        legend = figure.axes[0].get_legend()
        assert legend is not None
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            name = text.get_text().split(":")[0]
            seen.setdefault(name, set()).add(to_hex(to_rgba_array(handle.get_color())[0]))
    for name in splits:
        axes = error_histogram(name, scored, True).axes[0]
        seen[name].add(to_hex(axes.patches[0].get_facecolor()))
    assert {name: len(colors) for name, colors in seen.items()} == dict.fromkeys(splits, 1)
    assert not seen["training"] & seen["validation"]


def test_a_network_that_always_answers_no_errs_as_a_constant_answer_does_in_both_splits() -> None:
    shares = {"training": 0.3, "validation": 0.1}
    history = {f"{s}_accuracy": np.array([[0.0, 1 - share]]) for s, share in shares.items()}
    axes = training_errors(history, shares).axes[0]
    np.testing.assert_allclose([np.asarray(line.get_ydata()) for line in axes.lines], 1.0)
    assert len(axes.lines) == 2
    figure = training_errors(history, {"training": 0.3, "validation": 0.0})
    assert [line.get_label() for line in figure.axes[0].lines] == ["training"]


def test_the_normalised_error_is_of_each_splits_own_share(
    place: Path, report: dict[str, Any]
) -> None:
    run, shares = open_run(place / "run"), []
    for split in split_as(Dataset.open(place / "boxes"), run.config["train"]):
        share = Dataset.open(place / "boxes").labels()[split].mean()
        shares.append(min(share, 1 - share))
    history = read_history(run.path)
    axes = draw_charts(report, {}, run)["training_normalised_error_rates"].axes[0]
    for line, name, share in zip(axes.lines, ("training", "validation"), shares, strict=True):
        want = (1 - history[f"{name}_accuracy"][:, 1]) / share
        np.testing.assert_allclose(np.asarray(line.get_ydata(), float), want, rtol=1e-5)


def test_scores_of_few_objects_are_warned_of(
    place: Path, report: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Three of ten objects are held out here; of all ten there is nothing to say, of one there are no intervals."""
    assert [w for w in report["warnings"] if "of 3 objects have wide intervals" in w]
    assert report["warnings"][0] in (place / "report" / "evaluation.html").read_text()
    assert evaluate(place / "run", place / "boxes", rows="all")["warnings"] == []
    write_boxes(tmp_path / "boxes", 60, np.random.default_rng(1), n_objects=2)
    train(
        tmp_path / "boxes",
        tmp_path / "run",
        replace(COMPACT_TRAINING, n_epochs=1),
        accelerator="cpu",
    )
    assert "validation: scores of 30 rows of 1 object have no intervals" in caplog.text
    report = evaluate(tmp_path / "run", tmp_path / "boxes")
    assert "1 object have no intervals" in report["warnings"][0] and report["intervals"] == {}


def test_a_crop_s_near_pixels_are_light_and_what_is_missing_is_far() -> None:
    crop = np.array([[-0.03, 0.0], [0.03, np.nan]])
    grey = crop_picture(crop)
    assert grey.shape == (14, 14)
    assert [int(grey[v, u]) for v, u in ((0, 0), (0, 7), (7, 0), (7, 7))] == [255, 127, 0, 0]


def test_history_of_a_resumed_run_is_one(tmp_path: Path) -> None:
    for version, rows in ((0, [(0, 0.5), (1, 0.4)]), (1, [(1, 0.3), (2, 0.2)]), (10, [(3, 0.1)])):
        folder = tmp_path / "logs" / f"version_{version}"
        folder.mkdir(parents=True)
        with (folder / "metrics.csv").open("w") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", "step", "training_loss_epoch"])
            writer.writerows([[e, 10 * e, v] for e, v in rows])
            writer.writerow([3, 40, ""])
    (tmp_path / "logs" / "version_11").mkdir()
    want = [[0, 0.5], [1, 0.3], [2, 0.2], [3, 0.1]]
    np.testing.assert_array_equal(read_history(tmp_path)["training_loss"], want)
