"""Who may import whom: downwards only, and each heavy library in its own corner (read from the source with ``ast``)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "antipodal"

LAYERS: dict[int, set[str]] = {
    0: {
        "errors",
        "files",
        "watched",
        "values",
        "transforms",
        "raycast",
        "camera",
        "camera_files",
        "png",
        "tiff",
    }
    | {"mesh", "mesh_faults", "stable_pose", "gripper", "grasp", "camera_formats"}
    | {"camera_pose", "urdf"}
    | {"gripper_files", "gripper_questions", "gripper_boxes", "gripper_urdf", "gripper_mesh"},
    1: {"contact", "sampling", "metrics", "robust", "alignment", "collision", "crop", "objects"}
    | {"scores", "pads", "success", "waypoints"},
    2: {
        "render",
        "policy",
        "compiled",
        "quality",
        "dense_quality",
        "rivals",
        "planning",
        "doctor",
        "page",
    },
    3: {"dataset", "nn"},
    4: {"sim"},
    5: {"draw", "draw_dataset", "draw_gripper", "bench"},
    6: {
        "cli",
        "cli_bench",
        "cli_dataset",
        "cli_gripper",
        "cli_view",
        "cli_plan",
        "cli_learn",
        "cli_serve",
        "cli_retarget",
        "retarget",
        "retarget_ready",
        "retarget_verdict",
        "demo",
        "terminal",
        "service",
        "viewer",
    },
}
"""A module's own row and the rows below it are what it may import. A new module is entered here."""

CORNERS: dict[str, set[str]] = {
    "torch": {"nn"},
    "lightning": {"nn"},
    "onnx": {"nn"},
    "onnxruntime": {"nn"},
    "sklearn": {"nn", "bench"},
    "mujoco": {"sim"},
    "coacd": {"sim"},
    "pyarrow": {"dataset", "nn", "bench"},
    "ray": {"dataset"},
    "numba": {"dataset"},
    "h5py": {"dataset"},
    "openvino": {"compiled", "quality"},
    "fcl": {"collision"},
    "manifold3d": {"objects", "sim"},
    "embreex": {"raycast"},
    "tyro": {
        "cli",
        "cli_bench",
        "cli_dataset",
        "cli_gripper",
        "cli_view",
        "cli_plan",
        "cli_learn",
        "cli_retarget",
    }
    | {"cli_serve", "terminal"},
    "rich": {"cli", "demo", "terminal"},
    "small_gicp": {"bench"},
    "PIL": {"bench"},
    "fastapi": {"service"},
    "starlette": {"service"},
    "python_multipart": {"service"},
    "pydantic": {"service"},
    "uvicorn": {"service"},
    "prometheus_client": {"service"},
    "httpx": {"service"},
    "viser": {"viewer"},
    "yaml": {"camera_formats"},
    "matplotlib": {"draw", "draw_gripper", "page", "draw_dataset", "nn", "bench"},
}
"""Where a heavy library may be imported."""

EVERYWHERE = {"numpy", "jaxtyping", "scipy", "trimesh", "cv2"}

FORBIDDEN = [("policy", "nn"), ("policy", "dataset"), ("sim", "policy"), ("dataset", "nn")]
"""They meet as callables or as files, never as imports."""

HEAVY_AT_IMPORT = {"scipy", "trimesh", "cv2", "openvino", "mujoco", "coacd", "torch", "fcl"}
"""Modules of the rows 0 to 2 load these where they are used, so that `import antipodal` stays light."""

FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """The first name below ``antipodal``: 'policy' for policy/cem.py, '' for __init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def layer_of(module: str) -> int:
    for layer, modules in LAYERS.items():
        if module in modules:
            return layer
    raise AssertionError(f"antipodal.{module} is in no layer: enter it in LAYERS")


def imports(path: Path, top_level_only: bool = False) -> Iterator[tuple[str, str, int]]:
    """Yield ('own', module, line) and ('other', library, line) of each import in a file."""
    tree = ast.parse(path.read_text())
    package = ["antipodal", *path.relative_to(PACKAGE).parts[:-1]]
    skipped = {
        id(n)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for n in ast.walk(block)
    }
    for node in tree.body if top_level_only else ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            # `from . import a, b` imports modules, or names of the package's own __init__
            names = [".".join([*base, a.name]) for a in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first != "antipodal":
                yield "other", first, node.lineno
            elif rest and not rest[0].startswith("_"):
                yield "own", rest[0], node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_its_own_row_and_the_rows_below(path: Path) -> None:
    module = module_of(path)
    if not module:
        return  # the package's front door
    layer = layer_of(module)
    for kind, name, line in imports(path):
        if kind == "own":
            assert layer_of(name) <= layer, f"{path.name}:{line}: {module} imports {name} above it"
            assert (module, name) not in FORBIDDEN, f"{path.name}:{line}: {module} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_stay_in_their_corner(path: Path) -> None:
    module = module_of(path)
    for kind, name, line in imports(path):
        if kind == "own" or name in EVERYWHERE or name in sys.stdlib_module_names:
            continue
        assert name in CORNERS, f"{path.name}:{line}: {name} is in no corner: enter it in CORNERS"
        assert module in CORNERS[name], f"{path.name}:{line}: {name} is for {sorted(CORNERS[name])}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_lower_rows_load_heavy_libraries_where_they_use_them(path: Path) -> None:
    module = module_of(path)
    if module and layer_of(module) > 2:
        return
    for kind, name, line in imports(path, top_level_only=True):
        assert kind == "own" or name not in HEAVY_AT_IMPORT, f"{path.name}:{line}: {name}"


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    banned = {
        "utils",
        "util",
        "helpers",
        "core",
        "common",
        "misc",
        "managers",
        "factory",
        "registry",
        "types",
    }
    assert not {p.stem for p in FILES} & banned
    assert not {p.name for p in PACKAGE.rglob("*") if p.is_dir()} & banned


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_and_functions_keep_the_house_limits(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 450, "split the module"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            docstring = len((ast.get_docstring(node, clean=False) or "").splitlines())
            assert length - docstring <= 60, (
                f"{path.name}:{node.lineno}: {node.name} is {length} lines"
            )
