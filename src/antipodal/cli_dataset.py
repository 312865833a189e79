"""The verbs of ``antipodal dataset``: what is in a data set, whether it is whole, and the original's formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from .terminal import Output, emit, progress_bar

if TYPE_CHECKING:
    from .dataset.store import Dataset


def dataset_info(dataset: Positional[Path], plots: Path | None = None, json: bool = False) -> int:
    """Say what is in a data set; draw it with --plots DIR.

    Example: antipodal dataset info data/pilot --plots out/pilot

    Args:
        dataset: folder of the data set.
        plots: folder for the pictures.
        json: print the summary as JSON.
    """
    from .dataset.store import Dataset
    from .dataset.summary import summary

    opened = Dataset.open(dataset)
    facts = summary(opened)
    text = f"{provenance_text(opened)}\n{summary_text(facts)}"
    if plots is not None:
        from .draw_dataset import save_dataset_plots

        facts["plots"] = [str(p) for p in save_dataset_plots(opened, plots)]
        text += "\npictures: " + ", ".join(facts["plots"])
    emit(facts, text, json)
    return 0


def dataset_check(dataset: Positional[Path]) -> int:
    """Compare every shard with its recorded hash. Exit 1 if something differs.

    Example: antipodal dataset check data/pilot

    Args:
        dataset: folder of the data set.
    """
    from .dataset.store import Dataset
    from .errors import CorruptDataset

    try:
        opened = Dataset.open(dataset)
        opened.check()
    except CorruptDataset as error:
        emit({}, f"corrupt: {error}", False)
        return 1
    emit(
        {},
        f"{dataset}: {len(opened)} datapoints, {len(opened.manifest['shards'])} shards, all hashes match",
        False,
    )
    return 0


def dataset_import(
    source: Positional[Path], output: Output, gripper: str | None = None, json: bool = False
) -> int:
    """Read the original's tensor data set (depth_ims_tf_table_00000.npz, …) into our format.

    Example: antipodal dataset import dexnet_2_tensor_dataset -o data/dexnet2

    Args:
        source: folder with tensors/, or with the tensors themselves (before 2018).
        output: new folder for the data set.
        gripper: name, or a gripper.toml; without it the one that our export noted, else yumi.
        json: print the summary as JSON.
    """
    from .dataset.dexnet2_import import import_tensors
    from .dataset.summary import summary

    with progress_bar("files") as progress:
        made = import_tensors(source, output, gripper, progress)
    facts = {**summary(made), "unknown": made.manifest["imported"]["unknown"]}
    text = f"{len(made)} datapoints in {output}: {facts['positive_share']:.1%} positive"
    if facts["unknown"]:
        text += f"; not in the source: {', '.join(facts['unknown'])}"
    emit(facts, text, json)
    return 0


def dataset_export(
    dataset: Positional[Path], output: Output, seed: int = 0, json: bool = False
) -> int:
    """Write a data set as the original's tensors, with its three splits, for gqcnn and autolab_core.

    Example: antipodal dataset export data/pilot -o data/pilot_tensors

    Args:
        dataset: folder of the data set.
        output: new folder for the tensors.
        seed: of the splits.
        json: print the result as JSON.
    """
    from .dataset.dexnet2_export import export_tensors
    from .dataset.store import Dataset

    with progress_bar("files") as progress:
        made = export_tensors(Dataset.open(dataset), output, seed, progress=progress)
    lines = [f"{made['n_datapoints']} datapoints in {output}; splits: {', '.join(made['splits'])}"]
    lines += [f"no split {name}: {reason}" for name, reason in made["left_out"].items()]
    emit(made, "\n".join(lines), json)
    return 0


def summary_text(facts: Mapping[str, Any]) -> str:
    """What is in a data set, and what is not and why, in a few lines."""
    n = max(facts["n_datapoints"], 1)
    lines = [
        f"{facts['n_datapoints']} datapoints: {facts['n_grasps']} grasps of {facts['n_objects']} objects in "
        f"{facts['n_poses']} stable poses, {facts['n_images']} images",
        f"positive (free, robust ε > {facts['success_threshold']:g}): {facts['positive_share']:.1%}, "
        f"on {facts['objects_with_positives']} of {facts['n_objects']} objects",
    ]
    lines += [
        f"  {name:<28} {count:>9} {count / n:6.1%}"
        for name, count in facts["datapoints_by_outcome"].items()
        if count
    ]
    if placed := facts["placements"]:
        lines.append(
            f"grasps in their poses: {placed['all']}, of which left out for a closing axis too steep to the table: "
            f"{placed['closing axis too steep']}"
        )
    if facts["n_objects_refused"]:
        lines.append(f"objects that gave nothing: {facts['n_objects_refused']}")
    lines += [f"  {count:>4} × {reason}" for reason, count in facts["refused_by_reason"].items()]
    return "\n".join(lines)


def provenance_text(dataset: Dataset) -> str:
    """Where a data set comes from: version, seed, gripper, camera, crop."""
    manifest, config = dataset.manifest, dataset.config
    said = [f"antipodal {manifest.get('version', '?')}", f"seed {manifest.get('seed', '?')}"]
    said.append(f"gripper {manifest.get('gripper', {}).get('name', '?')}")
    if config.get("kind") == "imported":
        said.append("imported from the original's tensors")
    if camera := config.get("camera"):
        low, high = camera["radius"]
        said.append(f"camera {low:g}–{high:g} m away")
    crop = config["crop"]
    window = f"{crop['window_px']:g} px" if crop.get("window_px") else f"{crop['window_m']:g} m"
    return ", ".join([*said, f"crops of {window} in {crop['size']}×{crop['size']} px"])


DATASET_VERBS: dict[str, Callable[..., int]] = {
    "info": dataset_info,
    "check": dataset_check,
    "import": dataset_import,
    "export": dataset_export,
}
"""Verbs by their name on the command line."""
