"""The objects of a run: an object set, or any folder of meshes in metres, with the collection each one comes from."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import InvalidConfig
from ..files import file_hash
from ..mesh import TriMesh, load_mesh, repair
from ..objects.object_set import INDEX, ObjectRecord, load_object_set, mesh_files


@dataclass(frozen=True)
class BenchObject:
    """One object's file."""

    name: str
    """Unique in its run."""
    file: str
    """Relative to the folder of objects."""
    source: str
    """Collection: the sub-folder, or the family of a procedural object."""
    sha256: str
    """Of the file."""


Listed = TypeVar("Listed", BenchObject, ObjectRecord)
_log = logging.getLogger(__name__)


def list_objects(directory: str | Path) -> list[BenchObject]:
    """List the meshes of an object set or, recursively, of a folder, in the order of their names.

    Raises:
        UnknownAsset: no such folder, or no mesh in it.
    """
    directory = Path(directory)
    if (directory / INDEX).is_file():
        return [
            BenchObject(r.name, r.file, _collection(r.source), file_hash(directory / r.file))
            for r in load_object_set(directory).records
        ]
    files = mesh_files(directory, recursive=True)
    relative = [path.relative_to(directory) for path in files]
    named = Counter(path.with_suffix("") for path in relative)
    objects = []
    for path, file in zip(relative, files, strict=True):
        source = path.parts[0] if len(path.parts) > 1 else directory.resolve().name
        name = path if named[path.with_suffix("")] > 1 else path.with_suffix("")
        objects.append(BenchObject(str(name), str(path), source, file_hash(file)))
    return objects


def distinct(objects: Iterable[Listed], say: Callable[[str], None] = _log.warning) -> list[Listed]:
    """Leave out copies: of several files of one content the first stays, and one line names the others.

    A trial is a function of the seed, the mesh and k: the trials of copies are the same to the bit, and no interval may
    count them as independent.
    """
    first: dict[str, Listed] = {}
    copies = []
    for item in objects:
        kept = first.setdefault(item.sha256, item)
        if kept is not item:
            copies.append(f"{item.name} (as {kept.name})")
    if copies:
        say(f"warning: copies are left out, {len(copies)} of another's file: {', '.join(copies)}")
    return list(first.values())


def expect_usable(n_objects: int, unusable: Mapping[str, str]) -> None:
    """Raise InvalidConfig if none of the objects can be used, with the first one's reason."""
    if len(unusable) == n_objects:
        name, reason = next(iter(unusable.items()))
        raise InvalidConfig(f"none of {n_objects} objects can be used: {name}: {reason}")


def load_object(directory: str | Path, file: str, name: str) -> TriMesh:
    """Load and repair one object.

    Raises:
        InvalidMesh: not a usable mesh.
        UnknownAsset: the file is gone.
    """
    mesh = repair(load_mesh(Path(directory) / file)).mesh
    return TriMesh(mesh.vertices, mesh.faces, name, mesh.density)


def _collection(source: str) -> str:
    """``family:mug`` → mug; a file of an imported folder → its sub-folder, or "imported"."""
    if source.startswith("family:"):
        return source.removeprefix("family:")
    parts = Path(source).parts
    return parts[0] if len(parts) > 1 else "imported"
