"""Anybody's own planner: imported by name, given the gripper if it asks for it, known by the files it is made of."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..camera import DepthImage
from ..errors import InvalidConfig, UnknownAsset
from ..gripper import GripperModel
from ..policy.base import Plan
from .planner import Planner, image_planner

FILES = "FILES"
"""Name of a module's list of further files that its planner is made of, weights say, relative to its own."""
INSTALLED = ("site-packages", "dist-packages")
"""Folders of what was installed."""


def outsider(module: str, name: str, gripper: GripperModel) -> Planner:
    """Import anybody's planner, also from a module in the folder where one stands.

    It is function(image, mask, rng) → Plan, one with a further parameter ``gripper``, or a whole
    :class:`~.planner.Planner`, which has ``knows``.

    Raises:
        UnknownAsset: no such module or function.
        InvalidConfig: the module cannot be imported, or the function takes something else.
    """
    found = _imported(module, name)
    if hasattr(found, "knows") and not isinstance(found, type):
        return found
    options = {"gripper": gripper} if _takes_gripper(found) else {}
    if not _takes(found, **options):
        raise InvalidConfig(
            f"planner {module}:{name}: takes {inspect.signature(found)}: "
            "expected (image, mask, rng) or (image, mask, rng, gripper)"
        )

    def policy(image: DepthImage, mask: Any, rng: np.random.Generator) -> Plan:
        plan = found(image, mask, rng, **options)
        if not isinstance(plan, Plan):
            raise InvalidConfig(f"it returned a {type(plan).__name__}: expected a Plan")
        return plan

    return image_planner(policy)


def outsider_files(module: str) -> list[Path]:
    """The files that an imported planner is made of: its module, what that imports from beside it, and ``FILES``.

    Imports are read from the source, also those inside functions, and followed as far as they stay in the folder where
    the module was found (of an installed package: in the package); this package is left out, its version is compared.

    Raises:
        InvalidConfig: ``FILES`` names something that is no file.
    """
    first = _source(module)
    if first is None:
        return []
    root = first.parents[module.count(".") + (first.name == "__init__.py")]
    found, missing = {module: first}, [module]
    while missing:
        name = missing.pop()
        for other in [*_above(name), *_imports(name, found[name])]:
            path = _source(other) or _beside(other, root)
            if path is not None and other not in found and _is_own(path, root, module):
                found[other] = path
                missing.append(other)
    return [first, *sorted({*found.values()} - {first}), *_named(module, first.parent)]


def _imported(module: str, name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise  # the module is there, and what it imports is not
        raise UnknownAsset(
            f"planner {module}:{name}: no module '{module}': expected one in this folder or installed"
        ) from error
    except ImportError:
        raise
    except Exception as error:  # other people's code
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise InvalidConfig(f"planner {module}:{name}: cannot be imported: {said}") from error
    if not callable(found):
        raise UnknownAsset(
            f"planner {module}:{name}: the module has no such function: "
            "expected function(image, mask, rng) returning a Plan"
        )
    return found


def _takes_gripper(function: Callable[..., Any]) -> bool:
    """Whether a parameter has that name, also behind a decorator that hands everything on."""
    try:
        own = "gripper" in inspect.signature(function, follow_wrapped=False).parameters
        named = "gripper" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # compiled code that does not say
        return False
    return own or (named and _takes(function, gripper=None))


def _takes(function: Callable[..., Any], **options: object) -> bool:
    """Whether it can be called with (image, mask, rng) and these; True where nobody knows."""
    try:
        parameters = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return True
    try:
        parameters.bind(None, None, None, **options)
    except TypeError:
        return False
    return True


def _imports(module: str, path: Path) -> Iterator[str]:
    """Dotted names that a source file may import."""
    try:
        tree = ast.parse(path.read_bytes() if path.suffix == ".py" else b"")
    except (SyntaxError, ValueError):  # never imported, or it would have said so
        return
    package = module.split(".")[: None if path.name == "__init__.py" else -1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *([node.module] if node.module else [])]
            if base:
                yield ".".join(base)
            yield from (".".join([*base, alias.name]) for alias in node.names)


def _above(module: str) -> list[str]:
    """The packages that are imported with a module."""
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _source(module: str) -> Path | None:
    """The file of a module that is loaded."""
    file = getattr(sys.modules.get(module), "__file__", None)
    path = Path(file).absolute() if file else None
    return path if path is not None and path.is_file() else None


def _beside(module: str, root: Path) -> Path | None:
    """The file of a module that is not loaded yet."""
    stem = root.joinpath(*module.split("."))
    files = (stem / "__init__.py", stem.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


def _is_own(path: Path, root: Path, module: str) -> bool:
    """Whether a file is part of the planner and not of what is installed around it."""
    if not path.is_relative_to(root) or path.is_relative_to(Path(__file__).absolute().parents[1]):
        return False
    if path.relative_to(root).parts[0] == module.split(".")[0]:
        return True
    python = Path(sysconfig.get_path("stdlib"))
    return not {*INSTALLED} & {*path.parts} and not path.is_relative_to(python)


def _named(module: str, folder: Path) -> list[Path]:
    """What the module's ``FILES`` lists."""
    listed = getattr(sys.modules[module], FILES, ())
    if not isinstance(listed, list | tuple):
        raise InvalidConfig(f"planner {module}: {FILES} is {listed!r}: expected a list of paths")
    files = [folder / str(name) for name in listed]
    for file in files:
        if not file.is_file():
            raise InvalidConfig(f"planner {module}: {FILES} names {file}: there is no such file")
    return files
