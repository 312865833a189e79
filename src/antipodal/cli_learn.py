"""Verbs that train, measure and export networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from .terminal import MaybeOutput, Output, emit, table

From = Annotated[Path | None, tyro.conf.arg(name="from")]
Precision = Literal["float32", "bfloat16", "int8"]
Target = Literal["robust", "success", "force_closure"]
Augmentation = Literal["paper", "paper_low", "paper_high", "sensor", "none"]


def train(
    dataset: Positional[Path],
    output: Output,
    model: Literal["paper", "two_pools", "compact"] = "compact",
    split: Literal["image_wise", "pose_wise", "object_wise"] | None = None,
    epochs: int | None = None,
    patience: int | None = None,
    precision: Literal["float32", "bfloat16"] | None = None,
    target: Target | None = None,
    augmentation: Augmentation | None = None,
    learning_rate: float | None = None,
    from_run: From = None,
    trained: Literal["all", "head"] = "all",
    positive_weight: float = 0.0,
    positive_loss_weight: float | None = None,
    memory: float = 4.0,
    devices: int | Literal["auto"] = "auto",
    seed: int | None = None,
    json: bool = False,
) -> int:
    """Train a Grasp Quality CNN. The same command resumes an interrupted run.

    Example: antipodal train data/pilot -o runs/compact --model compact

    Args:
        dataset: folder of the data set.
        output: folder for checkpoints, logs and the result.
        model: paper is GQ-CNN 2.0 (18,025,826 parameters), two_pools its smaller variant: for data of any preset.
            compact is our own: for data of generate --preset builtin, or with --target robust of any.
        split: what validation keeps apart; the preset's if not given.
        epochs: passes over the training split; the preset's if not given.
        patience: epochs in a row without a smaller validation loss that end training; never if not given.
        precision: bfloat16 is several times faster where the processor has it; the preset's if not given.
        target: robust is the paper's label, success its probability as executed, force_closure the ablation's; the
            preset's if not given. compact's is success, which data of the preset builtin have.
        augmentation: of training crops; paper_low and paper_high are its ablations with σ = 0 and 1 cm.
        learning_rate: the preset's if not given.
        from_run: finished run of the same model to start from: fine-tuning.
        trained: head leaves convolutions as they are.
        positive_weight: w > 1 draws 1/w of the failures in each epoch, 0 < w < 1 draws w of the successes; 0 is off.
        positive_loss_weight: of a success in the loss, of a failure 1; the preset's if not given.
        memory: GiB that crops may take, on each device; a larger data set is streamed.
        devices: how many GPUs share each batch, or processes where there is none; auto is every GPU.
        seed: of split, weights, batches and noise.
        json: print the result as JSON.
    """
    from .nn.config import PRESETS
    from .nn.pretrained import Pretrained
    from .nn.stream import Loading
    from .nn.train import speaks
    from .nn.train import train as run_training

    chosen = {"split": split, "n_epochs": epochs, "precision": precision, "seed": seed}
    chosen |= {"target": target, "learning_rate": learning_rate, "augmentation": augmentation}
    chosen |= {"patience": patience, "positive_loss_weight": positive_loss_weight}
    changes = {name: value for name, value in chosen.items() if value is not None}
    result = run_training(
        dataset,
        output,
        dataclasses.replace(PRESETS[model], **changes),
        progress=True,
        devices=devices,
        loading=Loading(memory=memory, positive_weight=positive_weight),
        start=None if from_run is None else Pretrained(from_run, trained),
    )
    if speaks():
        emit(result, training_text(result), json)
    return 0


def training_text(result: Mapping[str, Any]) -> str:
    """The scores on held-out datapoints, and one line on the time."""
    if result["datapoints_per_second"] is None:
        return table(result["validation"])
    time = (
        f"{result['datapoints_per_second']:.0f} datapoints/s on {result['hardware']}, "
        f"{100 * result['waited_for_data_share']:.1f} % of the time waiting for data"
    )
    return f"{table(result['validation'])}\n{time}"


def evaluate(
    model: Positional[Path],
    dataset: Positional[Path],
    plots: MaybeOutput = None,
    rows: Literal["auto", "validation", "training", "all"] = "auto",
    target: Target | None = None,
    json: bool = False,
) -> int:
    """Score a run or an ONNX file on a data set: accuracy, AP, ROC, calibration, with intervals over objects.

    Example: antipodal evaluate runs/compact data/pilot --plots out/evaluation

    Args:
        model: run folder, ONNX file, or builtin.
        dataset: folder of the data set.
        plots: folder for evaluation.html, evaluation.json, predictions.parquet and every picture.
        rows: auto is the validation split of the data set that the network was trained on, and all of another.
        target: which label is the truth; the one that the network learned if not given.
        json: print the result as JSON.
    """
    from .nn.evaluate import evaluate as score

    result = score(model, dataset, plots, rows, target=target)
    text = table(result)
    for name, (low, high) in result["intervals"].items():
        text += f"\n{name + ' (95 %)':<24} {low:.4g} to {high:.4g}"
    text += "".join(f"\nwarning: {words}" for words in result["warnings"])
    emit(result, text if plots is None else f"{text}\nreport: {plots / 'evaluation.html'}", json)
    return 0


def export(
    run: Positional[Path],
    output: Output,
    precision: tuple[Precision, ...] = ("float32",),
    dataset: Path | None = None,
    json: bool = False,
) -> int:
    """Write a run's network as ONNX, after checking that OpenVINO gives the same answers.

    Example: antipodal export runs/compact -o model.onnx --precision float32 int8

    Args:
        run: run folder.
        output: the .onnx file; of several precisions the first one's, beside it model_int8.onnx and so on.
        precision: other than float32 are compared with it on held-out datapoints: scores, size, speed.
        dataset: where to take crops from, if the run's own data set is gone.
        json: print the result as JSON.
    """
    from .nn.export import comparison_text, export_run

    result = export_run(run, output, dataset, precision)
    text = table(result)
    if "comparison" in result:
        text += f"\n\n{comparison_text(result['comparison'])}"
    emit(result, text, json)
    return 0


def import_berkeley(model_dir: Positional[Path], output: Output, json: bool = False) -> int:
    """Write one of Berkeley's trained networks as ONNX: GQ-CNN 2.0, 2.1, 4.0 or FC-GQ-CNN, parallel jaws.

    Their licence allows educational, research and not-for-profit use only.

    Example: antipodal import-berkeley GQCNN-4.0-PJ -o gqcnn4.onnx

    Args:
        model_dir: gqcnn model folder: model.ckpt.*, config.json, architecture.json, the normalisation.
        output: the .onnx file.
        json: print the result as JSON.
    """
    from .nn.berkeley import import_berkeley as write

    result = write(model_dir, output)
    emit(result, table(result), json)
    return 0


LEARN_VERBS = {
    "train": train,
    "evaluate": evaluate,
    "export": export,
    "import-berkeley": import_berkeley,
}
"""In the order in which the help lists them."""
