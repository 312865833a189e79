"""What the package promises as a whole: light to import, silent, every name and asset sound."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import antipodal
from antipodal import errors
from antipodal.gripper import gripper_names
from antipodal.values import config_from_dict

PACKAGE = Path(str(resources.files("antipodal")))
HEAVY = ["torch", "lightning", "mujoco", "coacd", "cv2", "openvino", "trimesh", "scipy"]
HEAVY += ["matplotlib", "fcl", "embreex", "manifold3d", "pyarrow", "tyro", "networkx"]
LIGHT_MODULES = ["values", "transforms", "raycast", "camera", "camera_files", "mesh", "stable_pose"]
LIGHT_MODULES += ["gripper", "grasp", "crop", "policy"]


def loaded_by(*modules: str) -> set[str]:
    """Top-level modules in a fresh interpreter after importing ours."""
    code = f"import sys, {', '.join(modules)}; print(*{{m.split('.')[0] for m in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return set(run.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("antipodal") & set(HEAVY)


def test_importing_the_value_types_loads_nothing_heavy_either() -> None:
    assert not loaded_by(*(f"antipodal.{m}" for m in LIGHT_MODULES)) & set(HEAVY)


def test_loading_a_network_tells_nobody(tmp_path: Path) -> None:
    """OpenVINO's import would look up its makers' host, and leave an identity in the home folder."""
    told = tmp_path / "told"
    code = f"""
import sys
def hear(event, _):
    if event in ("socket.connect", "socket.getaddrinfo", "os.fork", "subprocess.Popen"):
        open({str(told)!r}, "a").write(event)
sys.addaudithook(hear)
import antipodal
antipodal.load_quality("builtin")
"""
    env = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD", "JENKINS_URL")}
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run([sys.executable, "-c", code], check=True, env={**env, "HOME": str(home)})
    assert not told.exists(), told.read_text()
    assert not list(home.iterdir())


def test_public_names_resolve_and_are_exported_one_by_one() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    aliases = [a for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names]
    for alias in aliases:
        assert alias.asname == alias.name, f"export as `{alias.name} as {alias.name}`"
        assert getattr(antipodal, alias.name) is not None
    modules = [n.module or "" for n in tree.body if isinstance(n, ast.ImportFrom)]
    assert len(aliases) > 40
    assert modules == sorted(modules)
    major, minor, patch = antipodal.__version__.split(".")[:3]
    assert major.isdigit() and minor.isdigit() and patch[0].isdigit()


def test_every_error_is_ours_and_also_what_python_would_raise() -> None:
    tree = {
        name: cls
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, errors.AntipodalError)
    }
    for name, cls in tree.items():
        assert name in (errors.__doc__ or ""), f"{name} is missing from the tree in the docstring"
        if cls is not errors.AntipodalError:
            builtins = (ValueError, LookupError, RuntimeError, OSError)
            assert issubclass(cls, builtins)
    assert errors.NoGraspFound("none", {"edges": 3}).counts == {"edges": 3}
    diverged = errors.SimulationDiverged("nan", seed=7, step=12)
    assert (diverged.seed, diverged.step) == (7, 12)


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_library_neither_prints_nor_seeds_nor_reads_the_environment(path: Path) -> None:
    tree = ast.parse(path.read_text())
    cli = path.name == "cli.py"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            assert cli or call != "print", f"{path.name}:{node.lineno}: print"
            assert call not in ("np.random.seed", "random.seed"), f"{path.name}:{node.lineno}"
        if isinstance(node, ast.Attribute):
            where = f"{path.name}:{node.lineno}"
            assert ast.unparse(node) not in ("os.environ", "os.getenv"), where
    assert ast.get_docstring(tree), f"{path.name} has no docstring"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_public_name_has_a_docstring(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        named = isinstance(node, ast.FunctionDef | ast.ClassDef)
        if named and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}:{node.lineno}: {node.name}"


def configs() -> list[type]:
    """Every config dataclass of the package that has defaults for all fields."""
    found: dict[str, type] = {}
    for info in pkgutil.walk_packages([str(PACKAGE)], "antipodal."):
        first = info.name.split(".")[1]
        if first in ("cli", "demo"):
            continue
        try:
            module = importlib.import_module(info.name)
        except ImportError:  # an extra that is not installed
            continue
        for cls in vars(module).values():
            if not (isinstance(cls, type) and cls.__module__.startswith("antipodal.")):
                continue
            if dataclasses.is_dataclass(cls) and cls.__name__.endswith("Config"):
                fields = dataclasses.fields(cls)
                missing = dataclasses.MISSING
                if all(
                    f.default is not missing or f.default_factory is not missing for f in fields
                ):
                    found[f"{cls.__module__}.{cls.__name__}"] = cls
    return [found[name] for name in sorted(found)]


def test_every_config_is_frozen_and_goes_through_json() -> None:
    assert len(configs()) > 3
    for cls in configs():
        config = cls()
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, dataclasses.fields(cls)[0].name, None)
        written = json.loads(json.dumps(dataclasses.asdict(config)))
        flat = {
            f.name: tuple(written[f.name]) if isinstance(written[f.name], list) else written[f.name]
            for f in dataclasses.fields(cls)
            if not dataclasses.is_dataclass(getattr(config, f.name))
        }
        assert config_from_dict(cls, flat, cls.__name__) == config
        with pytest.raises(errors.InvalidConfig, match="unknown key surprise: expected some of"):
            config_from_dict(cls, {"surprise": 1}, cls.__name__)


def test_every_asset_folder_of_a_gripper_is_a_gripper() -> None:
    folders = {p.name for p in (PACKAGE / "assets" / "grippers").iterdir() if p.is_dir()}
    assert folders == set(gripper_names())


def test_no_file_of_the_package_exceeds_four_megabytes() -> None:
    for path in PACKAGE.rglob("*"):
        assert not path.is_file() or path.stat().st_size <= 4 * 2**20, path
