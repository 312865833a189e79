"""The data set on disk: one folder of Parquet tables, written atomically, read by column.

dataset.json            schema version, configuration, seed, hashes of the inputs and of the shards
objects.parquet         one row per object
poses.parquet           one row per stable pose
grasps.parquet          one row per grasp: pose, contacts, force closure, ε and robust ε
shards/part-00000.parquet …   one row per datapoint
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, Int

from ..errors import CorruptDataset, InvalidConfig, UnknownAsset
from ..files import file_hash, write_bytes
from ..gripper import TOLD
from .schema import SUCCESS_THRESHOLD, VERSION, shard_schema

SIDE_TABLES = ("objects", "poses", "grasps")
"""Tables beside the shards, by the name of their file."""

TargetName = Literal["robust", "success", "force_closure"]
TARGETS: tuple[TargetName, ...] = ("robust", "success", "force_closure")
SplitName = Literal["image_wise", "pose_wise", "object_wise"]
SPLIT_KEYS: dict[str, str | None] = {
    "image_wise": None,
    "pose_wise": "pose_id",
    "object_wise": "object_id",
}
"""What a split keeps together; the paper's image-wise split keeps nothing (reference §6.7)."""


@dataclass(frozen=True)
class Dataset:
    """A finished data set, opened for reading."""

    path: Path
    manifest: dict[str, Any]
    """The content of dataset.json."""

    @classmethod
    def open(cls, path: str | Path) -> Dataset:
        """Open a folder that :func:`antipodal.dataset.generate.generate` has finished.

        Raises:
            UnknownAsset: no data set there, but a training run, say.
            CorruptDataset: unfinished, of another schema version, or a shard is missing.
        """
        path = Path(path)
        file = path / "dataset.json"
        if not file.is_file():
            config = _config(path)
            if "model" in config:
                raise CorruptDataset(f"{path} is unfinished: run the same generate again to resume")
            if "train" in config:
                raise UnknownAsset(
                    f"{path} is a training run: expected a data set, a folder with dataset.json"
                )
            raise UnknownAsset(f"no data set in {path}: expected a folder with dataset.json")
        try:
            manifest = json.loads(file.read_text())
            version = manifest["schema_version"]
            shards = [s["file"] for s in manifest["shards"]]
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptDataset(
                f"{file} is not readable: {error!r}: restore or regenerate"
            ) from error
        if version != VERSION:
            raise CorruptDataset(
                f"{path} has schema version {version}: this release reads {VERSION}; regenerate it"
            )
        if not shards:
            raise CorruptDataset(f"{file} names no shards: restore or regenerate")
        for name in [*(f"{table}.parquet" for table in SIDE_TABLES), *shards]:
            if not (path / name).is_file():
                raise CorruptDataset(
                    f"{path} lacks {name}: expected {len(shards)} shards; regenerate it"
                )
        return cls(path, manifest)

    def __len__(self) -> int:
        return int(self.manifest["counts"]["n_datapoints"])

    @property
    def config(self) -> dict[str, Any]:
        """The generative model, as it was resolved."""
        return self.manifest["config"]

    @property
    def crop_size(self) -> int:
        """Side of the crops, px."""
        return int(self.config["crop"]["size"])

    def read(self, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Read whole columns of all shards, in order. ``crop`` comes as (N, size, size) float16.

        Memory is that of the result and of one shard: 2 kB a row for ``crop``, a few bytes for the rest.

        Raises:
            InvalidConfig: a name that is no column of ``schema.shard_schema``, or none.
        """
        whole: dict[str, np.ndarray] = {}
        start = 0
        for part in self.iterate(columns):
            n = len(part[columns[0]])
            for name, values in part.items():
                if name not in whole:
                    whole[name] = np.empty((len(self), *values.shape[1:]), values.dtype)
                whole[name][start : start + n] = values[: len(self) - start]
            start += n
        if start != len(self):
            raise CorruptDataset(
                f"{self.path}: dataset.json counts {len(self)} datapoints, its shards {start}: restore or regenerate"
            )
        return whole

    def iterate(
        self, columns: Sequence[str], shards: Sequence[int] | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """Read the same columns shard by shard, all or those numbered, for data sets that do not fit in memory."""
        _expect_columns(columns)
        for index in range(len(self.manifest["shards"])) if shards is None else shards:
            yield self._read_shard(index, columns)

    def take(self, columns: Sequence[str], rows: Int[np.ndarray, "M"]) -> dict[str, np.ndarray]:
        """Read some rows, by number, in the order given; memory is that of one shard and of the result.

        Raises:
            InvalidConfig: rows that are not there, or a mask; columns as in :meth:`read`.
        """
        _expect_columns(columns)
        sizes = [shard["n_datapoints"] for shard in self.manifest["shards"]]
        first = np.concatenate([[0], np.cumsum(sizes)])
        rows = _row_numbers(rows, int(first[-1]))
        owner = np.searchsorted(first, rows, side="right") - 1
        order = np.argsort(owner, kind="stable")
        parts = [
            self._read_shard(int(k), columns, rows[owner == k] - first[k]) for k in np.unique(owner)
        ]
        if not parts:
            return {name: column[:0] for name, column in next(self.iterate(columns)).items()}
        back = np.argsort(order)
        return {name: np.concatenate([part[name] for part in parts])[back] for name in columns}

    @property
    def grippers(self) -> list[dict[str, Any]]:
        """All numbers of the hands that it was made for; a shard names its own by its place here."""
        return self.manifest.get("grippers", [self.manifest["gripper"]])

    def hands(self) -> Float[np.ndarray, "N 5"]:
        """What a network may be told of each datapoint's hand, float32 m (``antipodal.gripper.TOLD``)."""
        numbers = np.array([[hand[name] for name in TOLD] for hand in self.grippers], np.float32)
        shards = self.manifest["shards"]
        owner = np.repeat(
            [s.get("gripper", 0) for s in shards], [s["n_datapoints"] for s in shards]
        )
        return numbers[owner]

    def table(self, name: Literal["objects", "poses", "grasps"]) -> pa.Table:
        """Read one of the side tables."""
        return read_table(self.path / f"{name}.parquet")

    def labels(self, threshold: float = SUCCESS_THRESHOLD) -> Bool[np.ndarray, "N"]:
        """S of each datapoint: collision-free and robust, E_Q > δ [Mahler17, §IV-B2].

        Raises:
            CorruptDataset: an E_Q that is NaN.
        """
        facts = self.read(["collision_free", "robust_epsilon"])
        self._expect_numbers(facts["robust_epsilon"], "robust_epsilon")
        # a NumPy scalar would compare in float64, where float32(δ) > δ
        return facts["collision_free"] & (facts["robust_epsilon"] > float(threshold))

    def targets(
        self, kind: TargetName, threshold: float = SUCCESS_THRESHOLD
    ) -> Float[np.ndarray, "N"]:
        """What a network should answer for each datapoint, float32 in [0, 1].

        Args:
            kind: "robust": the paper's label S, 0 or 1; "success": P(success) = P(free) · P(hold) as executed
                (:mod:`antipodal.success`); "force_closure": free of collision and in force closure without errors,
                0 or 1, an ablation.
            threshold: δ of "robust".

        Raises:
            InvalidConfig: an unknown kind, or a data set made without an execution.
            CorruptDataset: a target that is NaN.
        """
        if kind not in TARGETS:
            raise InvalidConfig(f"target '{kind}': expected one of {', '.join(TARGETS)}")
        if kind == "robust":
            return self.labels(threshold).astype(np.float32)
        if kind == "force_closure":
            return self._force_closure()
        if self.config.get("execution") is None:
            raise InvalidConfig(
                f"{self.path} knows no probability of success: expected one generated with --preset builtin, "
                "or --target robust"
            )
        facts = self.read(["free_share", "hold_probability"])
        target = facts["free_share"] * facts["hold_probability"]
        self._expect_numbers(target, "free_share or hold_probability")
        return target

    def _expect_numbers(self, values: Float[np.ndarray, "N"], name: str) -> None:
        if n := int(np.isnan(values).sum()):
            raise CorruptDataset(
                f"{self.path}: {n} datapoints have NaN as {name}: expected a number, or they would be learned as "
                "failures; restore or regenerate"
            )

    def _force_closure(self) -> Float[np.ndarray, "N"]:
        self.expect_one_hand("force closure")
        grasps = self.table("grasps").select(["grasp_id", "force_closure"])
        if not len(grasps):
            raise InvalidConfig(f"{self.path} has no table of grasps: force closure is unknown")
        closed = grasps["grasp_id"].to_numpy()[grasps["force_closure"].to_numpy()]
        facts = self.read(["collision_free", "grasp_id"])
        return (facts["collision_free"] & np.isin(facts["grasp_id"], closed)).astype(np.float32)

    def expect_one_hand(self, what: str) -> None:
        """Refuse what looks grasps up by number: in a joined data set hands share numbers.

        Raises:
            InvalidConfig: the data set knows several hands.
        """
        if len(self.grippers) > 1:
            raise InvalidConfig(
                f"{self.path} joins {len(self.grippers)} hands, whose grasps share numbers: "
                f"{what} is told of each hand's own data set"
            )

    def split(
        self, name: SplitName, seed: int, train_fraction: float = 0.8
    ) -> tuple[Int[np.ndarray, "T"], Int[np.ndarray, "V"]]:
        """Return the row numbers of training and validation: a function of the ids and a seed.

        Raises:
            InvalidConfig: an unknown split, or a side would be empty.
        """
        if name not in SPLIT_KEYS:
            raise InvalidConfig(f"split '{name}': expected one of {', '.join(SPLIT_KEYS)}")
        key = SPLIT_KEYS[name]
        if key is not None:
            return split_by_group(self.read([key])[key], seed, train_fraction, name)
        order = np.random.default_rng(seed).permutation(len(self))
        n_train = round(train_fraction * len(self))
        if not 0 < n_train < len(self):
            raise InvalidConfig(
                f"{name}: {train_fraction:g} of {len(self)} datapoints leaves a side empty"
            )
        return np.sort(order[:n_train]), np.sort(order[n_train:])

    def check(self) -> None:
        """Compare every shard and table with its recorded hash and size, and look for foreign files.

        Raises:
            CorruptDataset: names the first file that differs.
        """
        shards, tables = self.manifest["shards"], self.manifest.get("tables", [])
        for entry in [*shards, *tables]:
            if (got := file_hash(self.path / entry["file"])) != entry["sha256"]:
                raise CorruptDataset(
                    f"{entry['file']} has hash {got[:12]}: expected {entry['sha256'][:12]}; restore or regenerate"
                )
        for shard in shards:
            self._expect_crops(pq.read_schema(self.path / shard["file"]).field("crop"), shard)
        if (n := sum(shard["n_datapoints"] for shard in shards)) != len(self):
            raise CorruptDataset(
                f"dataset.json counts {len(self)} datapoints, its shards {n}: restore or regenerate"
            )
        known = {shard["file"] for shard in shards} | {f"{name}.parquet" for name in SIDE_TABLES}
        found = [*(self.path / "shards").iterdir(), *self.path.glob("*.parquet")]
        if foreign := sorted({str(p.relative_to(self.path)) for p in found} - known):
            raise CorruptDataset(
                f"{self.path} has foreign files: {', '.join(foreign)}; move them away"
            )

    def _read_shard(
        self, index: int, columns: Sequence[str], rows: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        shard = self.manifest["shards"][index]
        table = read_table(self.path / shard["file"], columns)
        if len(table) != shard["n_datapoints"]:
            raise CorruptDataset(
                f"dataset.json says {shard['n_datapoints']} datapoints in {shard['file']}, it holds {len(table)}: "
                "restore or regenerate"
            )
        if "crop" in columns:
            self._expect_crops(table.field("crop"), shard)
        if rows is not None:
            table = table.take(rows)
        return {name: self._column(table, name, shard["file"]) for name in columns}

    def _expect_crops(self, field: pa.Field, shard: dict[str, Any]) -> None:
        stored = getattr(field.type, "list_size", "another number of")
        if stored != self.crop_size**2:
            raise CorruptDataset(
                f"dataset.json says crops of {self.crop_size} px, {shard['file']} holds {stored} pixels each: "
                "restore or regenerate"
            )

    def _column(self, table: pa.Table, name: str, file: str) -> np.ndarray:
        column = table.column(name).combine_chunks()
        is_list = pa.types.is_fixed_size_list(column.type)
        # flatten() keeps the rows in order; .values would ignore a slice's offset
        values = column.flatten() if is_list else column
        if column.null_count or values.null_count:
            raise CorruptDataset(f"{file} has rows without '{name}': restore or regenerate")
        values = values.to_numpy(zero_copy_only=False)
        if not is_list:
            return values
        shape = (self.crop_size, self.crop_size) if name == "crop" else (column.type.list_size,)
        return values.reshape(len(column), *shape)


def split_by_group(
    groups: Int[np.ndarray, "N"], seed: int, train_fraction: float, name: str = "split"
) -> tuple[Int[np.ndarray, "T"], Int[np.ndarray, "V"]]:
    """Divide rows so that rows of one group stay together.

    A group's side is a function of the seed and its own number, whatever other groups there are: what one data set
    holds out, another of the same objects holds out too, and so does what is joined from both. The share is met about.

    Raises:
        InvalidConfig: there is one group only.
    """
    ids = np.unique(groups)
    if len(ids) < 2:
        raise InvalidConfig(
            f"{name}: {len(ids)} of 2 groups that it takes: one side would be empty; use more objects or another split"
        )
    beyond = np.random.default_rng(seed).random(int(ids[-1]) + 1)[ids] - train_fraction
    is_train = beyond < 0
    if is_train.all() or not is_train.any():  # of few groups the nearest changes sides
        nearest = np.argmin(np.abs(beyond))
        is_train[nearest] = not is_train[nearest]
    rows_train = np.isin(groups, ids[is_train])
    return np.flatnonzero(rows_train), np.flatnonzero(~rows_train)


def _expect_columns(columns: Sequence[str]) -> None:
    known = shard_schema(1).names
    if isinstance(columns, str):
        raise InvalidConfig(f"columns '{columns}': expected a list of names, ['{columns}']")
    if not len(columns):
        raise InvalidConfig(f"no columns: expected some of {', '.join(known)}")
    for name in columns:
        if name not in known:
            raise InvalidConfig(f"no column '{name}': expected one of {', '.join(known)}")


def _row_numbers(rows: Int[np.ndarray, "M"], n: int) -> Int[np.ndarray, "M"]:
    rows = np.asarray(rows)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise InvalidConfig(
            f"rows {rows.dtype} of shape {rows.shape}: expected row numbers (M,); of a mask, np.flatnonzero(mask)"
        )
    if len(bad := rows[(rows < 0) | (rows >= n)]):
        raise InvalidConfig(f"no row {bad[0]}: expected 0 to {n - 1}")
    return rows


def _config(path: Path) -> dict[str, Any]:
    """The folder's config.json, by which its maker is known; empty without a readable one."""
    try:
        config = json.loads((path / "config.json").read_text())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def read_table(
    path: Path, columns: Sequence[str] | None = None, schema: pa.Schema | None = None
) -> pa.Table:
    """Read a Parquet file.

    Raises:
        CorruptDataset: it is gone or damaged.
    """
    try:
        return pq.read_table(
            path,
            columns=None if columns is None else list(columns),
            schema=schema,
            page_checksum_verification=True,
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptDataset(
            f"{path} is not readable: {str(error).splitlines()[0]}; restore it, or make it again"
        ) from error


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet file atomically: a temporary name, then a rename."""
    write_bytes(parquet_bytes(table), path)


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file in memory: a function of its content alone."""
    sink = pa.BufferOutputStream()
    with parquet_writer(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def parquet_writer(sink: pa.BufferOutputStream, schema: pa.Schema) -> pq.ParquetWriter:
    """Write a file part by part. Crops are packed byte plane by byte plane, a third smaller than value by value.

    Each page has a checksum, which :func:`read_table` compares: a byte that was flipped is not learned from.
    """
    crops = {"crop.list.element": "BYTE_STREAM_SPLIT"} if "crop" in schema.names else None
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[n for n in schema.names if n != "crop"],  # pyright: ignore[reportArgumentType]
        column_encoding=crops,
        write_page_checksum=True,
    )
