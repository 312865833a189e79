"""A set of objects: a folder of meshes in metres with ``objects.json``, which says where each comes from.

    my_objects/
    ├── objects.json          {"schema": 1, "content_hash": …, "source": {…}, "objects": [ObjectRecord, …],
    │                          "refused": {file: reason}}
    ├── bottle_0002.ply       binary PLY, metres, closed, outward
    └── …

A plain folder of meshes without ``objects.json`` loads too, in the order of its file names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidConfig, InvalidMesh, UnknownAsset
from ..files import alone, file_hash, write_json
from ..mesh import MESH_SUFFIXES, Repair, TriMesh, load_mesh, repair, save_mesh
from ..values import check_seed, config_from_dict
from .families import FAMILIES, check_family, make_one
from .units import IN_METRES, PLAUSIBLE_SIZE, fitting_units, guess_unit, read_unit

SCHEMA = 1
INDEX = "objects.json"
MAX_ROUNDING = 1e-4
"""Sides that a file's float32 changes by more are not the object's, m."""
UNFINISHED = ".unfinished"
"""Lies in a folder until its index does."""

Progress = Callable[[int, int], None]
"""Called with (done, total) after each object."""


@dataclass(frozen=True)
class ObjectRecord:
    """What is known about one object."""

    name: str
    file: str
    """Relative to the folder."""
    sha256: str
    """Of the file; empty in a plain folder."""
    source: str
    """``family:<name>`` of a procedural object, else the file that it was imported from."""
    licence: str = "unknown"
    unit: float = 1.0
    """Metres per unit of the source file; the file here is in metres."""
    repairs: tuple[str, ...] = ()
    """What was done to the mesh, in words."""

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and isinstance(self.file, str)):
            raise InvalidConfig(f"object {self.name!r}, file {self.file!r}: expected two words")
        path = Path(self.file)
        if path.is_absolute() or ".." in path.parts:
            raise InvalidConfig(
                f"object file '{self.file}': expected a path inside the set's folder"
            )
        object.__setattr__(self, "repairs", tuple(self.repairs))


@dataclass(frozen=True, eq=False)
class ObjectSet:
    """Objects of a folder. Meshes are read when asked for: ``set[i]``."""

    directory: Path
    records: tuple[ObjectRecord, ...]
    source: Mapping[str, Any] = field(default_factory=dict)
    """How the set was made: kind, seed, version or folder."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """File → why it is not in the set."""

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over names and file hashes in their order: two sets with the same hash are the same objects."""
        digest = hashlib.sha256()
        for record in self.records:
            content = record.sha256 or file_hash(self.directory / record.file)
            digest.update(f"{record.name}\0{content}\n".encode())
        return digest.hexdigest()

    @property
    def names(self) -> list[str]:
        """Names of the objects, in order: the index is the object_id of data sets."""
        return [record.name for record in self.records]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> TriMesh:
        return self._load(self.records[index])

    def __iter__(self) -> Iterator[TriMesh]:
        return (self._load(record) for record in self.records)

    def _load(self, record: ObjectRecord) -> TriMesh:
        return replace(load_mesh(self.directory / record.file), name=record.name)

    def check(self) -> list[str]:
        """Compare each file, and the list, with the recorded hashes; return what is wrong, in words."""
        faults = []
        index = self.directory / INDEX
        stored = _read_index(index).get("content_hash") if index.is_file() else None
        if stored is not None and stored != self.content_hash:
            faults.append(f"{INDEX} was changed since the set was made: names or hashes differ")
        return faults + self.check_files()

    def check_files(self) -> list[str]:
        """Compare each file with its recorded hash; return what is wrong, in words."""
        faults = []
        for record in self.records:
            path = self.directory / record.file
            if not path.is_file():
                faults.append(f"{record.file} is missing: make or import the set again")
            elif record.sha256 and file_hash(path) != record.sha256:
                faults.append(
                    f"{record.file} was changed since the set was made, its hash differs: make or import the set again"
                )
        return faults


def make_object_set(
    directory: str | Path,
    n: int,
    seed: int,
    families: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> ObjectSet:
    """Write n procedural objects; object i depends on (seed, i) and the families alone.

    Raises:
        InvalidConfig: n < 1, the folder holds other meshes, or another process is at it.
        UnknownAsset: an unknown family.
    """
    if n < 1:
        raise InvalidConfig(f"{n} objects: expected at least 1")
    check_seed(seed)
    names = sorted(FAMILIES) if families is None else list(families)
    for name in names:
        check_family(name)
    directory, records = Path(directory), []
    with _emptied(directory):
        for i in range(n):
            mesh = make_one(i, seed, names)
            file = f"{mesh.name}.ply"
            save_mesh(mesh, directory / file)
            source = f"family:{names[i % len(names)]}"
            records.append(
                ObjectRecord(mesh.name, file, file_hash(directory / file), source, "Apache-2.0")
            )
            if progress:
                progress(i + 1, n)
        source_info = {"kind": "procedural", "seed": seed, "n": n, "families": names}
        return _write(ObjectSet(directory, tuple(records), source_info))


def import_meshes(
    source: str | Path,
    directory: str | Path,
    unit: float | str | None = None,
    licence: str = "unknown",
    progress: Progress | None = None,
) -> ObjectSet:
    """Repair the meshes of a folder, recursively, and write them as a set; what cannot be used is refused by name.

    Args:
        source: folder of STL, OBJ, PLY, OFF, GLB.
        directory: where the set goes.
        unit: metres per unit of the files, or m, mm, cm, inch. None: one unit is guessed for the whole folder,
            GLB files are in metres; ``source`` of the set says how. A file of implausible size is refused with the
            units that would fit.
        licence: of the files, for the record.
        progress: called after each file.

    Raises:
        UnknownAsset: no such folder, or no mesh in it.
        InvalidMesh: every file was refused; gives the first reasons.
        InvalidConfig: ``directory`` lies in ``source``, holds other meshes, or another process is at it.
    """
    source = Path(source)
    files = mesh_files(source, recursive=True)
    if source.resolve() in (Path(directory).resolve(), *Path(directory).resolve().parents):
        raise InvalidConfig(f"{directory} lies in {source}: expected a folder outside the meshes'")
    taken_unit = guess_unit(files) if unit is None else read_unit(unit)
    directory, emptied = Path(directory), False
    records: dict[str, ObjectRecord] = {}
    refused: dict[str, str] = {}
    with ExitStack() as held:
        for i, path in enumerate(files):
            relative = str(path.relative_to(source))
            name = _free_name(path.relative_to(source), records)
            says_metres = unit is None and path.suffix.lower() == IN_METRES
            factor = 1.0 if says_metres else taken_unit.factor
            try:
                mesh, repairs = _import(path, factor)
                # a set of before is replaced once there is something to replace it with
                if not emptied:
                    held.enter_context(_emptied(directory))
                    emptied = True
                digest = _save(replace(mesh, name=name), directory)
            except InvalidMesh as error:
                refused[relative] = str(error).removeprefix(f"{path.name}: ")
            else:
                records[name] = ObjectRecord(
                    name,
                    f"{name}.ply",
                    digest,
                    relative,
                    licence,
                    factor,
                    tuple(repairs),
                )
            if progress:
                progress(i + 1, len(files))
        if not records:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(refused.items())[:3])
            raise InvalidMesh(f"{source}: none of {len(files)} meshes can be used: {reasons}")
        info = {
            "kind": "imported",
            "folder": source.resolve().name,
            "unit": taken_unit.factor,
            "unit_reason": taken_unit.reason,
        }
        return _write(ObjectSet(directory, tuple(records.values()), info, refused))


def load_object_set(directory: str | Path) -> ObjectSet:
    """Open a set, or a plain folder of meshes in metres.

    Raises:
        UnknownAsset: no such folder, neither ``objects.json`` nor a mesh in it, or a set that is not finished.
        InvalidConfig: ``objects.json`` is not readable or of another schema.
    """
    directory = Path(directory)
    index = directory / INDEX
    if not index.is_file():
        files = mesh_files(directory, recursive=False)
        records = tuple(ObjectRecord(p.stem, p.name, "", p.name) for p in files)
        return ObjectSet(directory, records, {"kind": "folder"})
    content = _read_index(index)
    listed = content.get("objects", [])
    records = tuple(config_from_dict(ObjectRecord, values, str(index)) for values in listed)
    return ObjectSet(directory, records, content.get("source", {}), content.get("refused", {}))


def _read_index(index: Path) -> dict[str, Any]:
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidConfig(f"{index}: not readable as JSON: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        got = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise InvalidConfig(
            f"{index}: schema {got}: expected {SCHEMA}; make or import the set again"
        )
    return content


def _import(path: Path, unit: float) -> Repair:
    """Load, check the size and repair one file; InvalidMesh says why not."""
    mesh = load_mesh(path, unit)
    size = float(mesh.extents.max())
    if not PLAUSIBLE_SIZE[0] <= size <= PLAUSIBLE_SIZE[1]:
        fits = fitting_units(size / unit)
        hint = f"it would fit in {' or '.join(fits)}" if fits else "no usual unit fits"
        raise InvalidMesh(
            f"longest side {size:g} m: expected {PLAUSIBLE_SIZE[0]}–{PLAUSIBLE_SIZE[1]} m; {hint}"
        )
    mesh, actions = repair(mesh)
    if not mesh.is_watertight:
        done = [action for action in actions if not action.startswith("still")]
        raise InvalidMesh(
            f"not closed{' after the repair' if done else ''}: {_unmatched_edges(mesh)} of its edges do not join "
            "exactly two faces the same way round"
            + (f" ({'; '.join(done)})" if done else "")
            + "; close it in a mesh editor"
        )
    if mesh.volume <= 0:
        raise InvalidMesh(f"volume {mesh.volume:g} m³: expected a solid body")
    return Repair(mesh, actions)


def _save(mesh: TriMesh, directory: Path) -> str:
    """Write a mesh of a set and return the file's hash; what float32 opens or distorts is refused."""
    wrong = np.abs(np.ptp(mesh.vertices.astype(np.float32), axis=0) - mesh.extents).max()
    if wrong > MAX_ROUNDING:
        raise InvalidMesh(
            f"{np.abs(mesh.bounds).max():.3g} m from its origin, where float32 rounds its sides by "
            f"{1e3 * wrong:.2g} mm: move it to the origin in a mesh editor"
        )
    path = directory / f"{mesh.name}.ply"
    save_mesh(mesh, path)
    if not load_mesh(path).is_watertight:
        path.unlink()
        raise InvalidMesh(
            "closed only by vertices nearer than float32 tells apart: merge them in a mesh editor"
        )
    return file_hash(path)


def _unmatched_edges(mesh: TriMesh) -> int:
    """Number of edges that are not run through exactly once in each direction."""
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    unique, which = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
    forth = np.bincount(which.ravel(), edges[:, 0] < edges[:, 1], len(unique))
    return int(((forth != 1) | (np.bincount(which.ravel()) != 2)).sum())


def _free_name(relative: Path, taken: Mapping[str, Any]) -> str:
    """Name of an object from its path; files that differ in folder or suffix alone must not overwrite each other."""
    name = "_".join(relative.with_suffix("").parts)
    if name in taken:
        name = f"{name}_{relative.suffix[1:].lower()}"
    n, free = 2, name
    while free in taken:
        n, free = n + 1, f"{name}_{n}"
    return free


def mesh_files(directory: Path, recursive: bool) -> list[Path]:
    """Meshes of a plain folder.

    Raises:
        UnknownAsset: no such folder, no mesh in it, or a set that is not finished.
    """
    if not directory.is_dir():
        raise UnknownAsset(f"no folder {directory}: expected a folder of meshes; check the path")
    if (directory / UNFINISHED).is_file():
        raise UnknownAsset(f"{directory} is unfinished: run the same 'antipodal objects' again")
    files = sorted(directory.rglob("*") if recursive else directory.iterdir())
    files = [p for p in files if p.is_file() and p.suffix.lower() in MESH_SUFFIXES]
    if not files:
        raise UnknownAsset(
            f"{directory} holds neither {INDEX} nor a mesh: expected {', '.join(MESH_SUFFIXES)} files"
        )
    return files


def holds_meshes(directory: Path) -> bool:
    """Whether a mesh lies in the folder itself."""
    return any(p.suffix.lower() in MESH_SUFFIXES for p in directory.iterdir())


@contextmanager
def _emptied(directory: Path) -> Iterator[None]:
    """Hold the folder, which is made; a set or half of one in it is removed, other people's meshes are not touched."""
    with alone(directory):
        if (directory / INDEX).is_file():
            for record in load_object_set(directory).records:
                (directory / record.file).unlink(missing_ok=True)
            (directory / INDEX).unlink()
        elif (directory / UNFINISHED).is_file():
            for path in directory.glob("*.ply"):
                path.unlink()
        if holds_meshes(directory):
            raise InvalidConfig(
                f"{directory} already holds meshes that no {INDEX} lists: expected an empty folder; choose another"
            )
        (directory / UNFINISHED).touch()
        yield


def _write(objects: ObjectSet) -> ObjectSet:
    """Write ``objects.json`` atomically."""
    content = {
        "schema": SCHEMA,
        "content_hash": objects.content_hash,
        "source": dict(objects.source),
        "objects": [dataclasses.asdict(record) for record in objects.records],
        "refused": dict(objects.refused),
    }
    write_json(content, objects.directory / INDEX)
    (objects.directory / UNFINISHED).unlink(missing_ok=True)
    return objects
