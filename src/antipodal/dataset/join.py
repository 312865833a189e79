"""Several hands' data sets of the same objects as one: what a network that is told of its hand learns from.

Shards are linked, not copied. Objects keep their numbers, so that an object-wise split holds out the same objects for
every hand; grasps, poses and images of different hands share numbers, and are told apart by their shards.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InvalidConfig
from ..files import file_hash, write_json
from .store import SIDE_TABLES, Dataset, write_table


def join(parts: Sequence[Dataset], path: str | Path) -> Dataset:
    """Join data sets into ``path``; the first one's hand is what others are measured in.

    Args:
        parts: made from one object set, each for one hand, with crops of as many strokes.
        path: folder; a finished one of these parts is opened.

    Raises:
        InvalidConfig: no datapoints, or some of them twice; crops that are not in metres, or of other strokes than the
            first one's; another generative model; objects of one number and two names; or ``path`` holds something
            else. Nothing is written then.
    """
    path = Path(path)
    if not _shards(parts):
        raise InvalidConfig(
            f"{len(parts)} data sets without a datapoint to join: expected one of a hand at least"
        )
    if (path / "dataset.json").is_file():
        return _opened(parts, path)
    windows = [_strokes(part) for part in parts]
    for part, window in zip(parts, windows, strict=True):
        if window != windows[0]:
            raise InvalidConfig(
                f"{part.path} has crops of {window}: expected those of {parts[0].path}, {windows[0]}"
            )
    _check_models(parts)
    _check_rows(parts)
    _check_objects(parts)
    _check_empty(path, parts)
    (path / "shards").mkdir(parents=True, exist_ok=True)
    shards = [_link(parts[k], shard, k, path) for k, shard in _shards(parts)]
    for name in SIDE_TABLES:
        tables = [part.table(name) for part in parts]
        if name == "objects":  # each part numbers all of them, also those that another hand took
            tables = [t.filter(pc.greater(t["n_datapoints"], 0)) for t in tables]  # pyright: ignore
        write_table(pa.concat_tables(tables), path / f"{name}.parquet")
    first = parts[0].manifest
    manifest = {
        **first,
        "grippers": [part.manifest["gripper"] for part in parts],
        "counts": {
            "n_datapoints": sum(s["n_datapoints"] for s in shards),
            "n_objects": first["counts"]["n_objects"],
        },
        "shards": shards,
        "tables": [
            {"file": f"{name}.parquet", "sha256": file_hash(path / f"{name}.parquet")}
            for name in SIDE_TABLES
        ],
    }
    write_json(manifest, path / "dataset.json")
    return Dataset.open(path)


def _shards(parts: Sequence[Dataset]) -> list[tuple[int, dict[str, Any]]]:
    """Every shard that holds something, with its hand's number."""
    return [
        (k, shard)
        for k, part in enumerate(parts)
        for shard in part.manifest["shards"]
        if shard["n_datapoints"]
    ]


def _check_models(parts: Sequence[Dataset]) -> None:
    """Everything but the crop's window, which goes with the hand, is told of all parts by the first one's."""
    for part in parts:
        ours, first = (p.config | {"crop": None} for p in (part, parts[0]))
        names = sorted(ours.keys() | first.keys())
        if differing := [name for name in names if ours.get(name) != first.get(name)]:
            raise InvalidConfig(
                f"{part.path} was made otherwise than {parts[0].path} ({', '.join(differing)} differ): expected parts "
                "of one generative model"
            )


def _check_rows(parts: Sequence[Dataset]) -> None:
    owner: dict[str, int] = {}
    for k, shard in _shards(parts):
        if (other := owner.setdefault(shard["sha256"], k)) != k:
            raise InvalidConfig(
                f"{parts[k].path} holds rows that {parts[other].path} holds too ({shard['file']}): expected each once"
            )


def _check_empty(path: Path, parts: Sequence[Dataset]) -> None:
    """An earlier join that was stopped may have left some of what is written now, and no more."""
    ours = {_file(shard, k) for k, shard in _shards(parts)} | {f"{n}.parquet" for n in SIDE_TABLES}
    found = {
        str(p.relative_to(path)) for p in path.rglob("*") if p.is_file() and p.suffix != ".tmp"
    }
    if foreign := sorted(found - ours):
        raise InvalidConfig(
            f"{path} holds {foreign[0]} (of {len(foreign)} files of something else): expected an empty folder"
        )


def _check_objects(parts: Sequence[Dataset]) -> None:
    """Sizes may differ, and with them hashes; names may not."""
    names: dict[int, str] = {}
    for part in parts:
        table = part.table("objects")
        table = table.filter(pc.greater(table["n_datapoints"], 0))  # pyright: ignore
        columns = (table[name].to_pylist() for name in ("object_id", "name"))
        for number, name in zip(*columns, strict=True):
            if names.setdefault(number, name) != name:
                raise InvalidConfig(
                    f"{part.path}: object {number} is {name}, in another part {names[number]}: expected parts of one "
                    "object set, or the held-out objects of one are trained on in another"
                )


def _opened(parts: Sequence[Dataset], path: Path) -> Dataset:
    found = Dataset.open(path)
    held = [(shard.get("gripper"), shard["sha256"]) for shard in found.manifest["shards"]]
    if held != [(k, shard["sha256"]) for k, shard in _shards(parts)]:
        raise InvalidConfig(
            f"{path} holds another data set: expected what joins these {len(parts)}, or an empty folder"
        )
    return found


def _strokes(part: Dataset) -> tuple[int, float]:
    """Size and window of the crops: px, strokes of the hand."""
    crop = part.config["crop"]
    if crop["window_m"] is None or len(part.grippers) > 1:
        raise InvalidConfig(
            f"{part.path}: expected one hand, and crops in metres (--preset builtin)"
        )
    return crop["size"], round(crop["window_m"] / part.manifest["gripper"]["max_width"], 6)


def _link(part: Dataset, shard: dict[str, Any], hand: int, path: Path) -> dict[str, Any]:
    source = part.path / shard["file"]
    file = _file(shard, hand)
    (path / file).unlink(missing_ok=True)
    try:
        os.link(source, path / file)
    except OSError:  # another disk
        shutil.copy2(source, path / file)
    return {**shard, "file": file, "gripper": hand}


def _file(shard: dict[str, Any], hand: int) -> str:
    return f"shards/{hand:02d}-{Path(shard['file']).name}"
