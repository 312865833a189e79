"""The manual does not lie: its names exist, its links lead somewhere, its commands exist, its code and figures run."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from antipodal.cli import GROUPS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
NAME = re.compile(r"`(antipodal(?:\.\w+)+)")
PYTHON = re.compile(r"^```python[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def resolve(dotted: str) -> object:
    """Import the longest module of a dotted name, then follow the attributes."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError as error:
            if not ".".join(parts[:n]).startswith(str(error.name)):
                raise  # an installed extra is missing, not our module
            continue
        for part in parts[n:]:
            thing = getattr(thing, part)
        return thing
    raise ModuleNotFoundError(dotted)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_dotted_name_resolves(page: Path) -> None:
    for dotted in sorted(set(NAME.findall(page.read_text()))):
        assert resolve(dotted) is not None, dotted


def test_the_pipeline_names_a_function_in_every_section() -> None:
    text = (ROOT / "docs" / "pipeline.md").read_text()
    _, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    assert len(sections) >= 15
    for section in sections:
        assert NAME.search(section), section.splitlines()[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.split("#")[0]).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", ["quickstart", "extending", "migration"])
def test_the_python_of_a_page_runs_from_top_to_bottom(page: str, tmp_path: Path) -> None:
    if page == "extending":
        pytest.importorskip("lightning", reason="its last section needs the train extra")
    blocks = PYTHON.findall((ROOT / "docs" / f"{page}.md").read_text())
    assert len(blocks) >= 2
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks))
    run = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert run.returncode == 0, run.stderr[-3000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_of_a_page_is_one_that_we_have(page: Path) -> None:
    text = page.read_text()
    written = [line for block in FENCED.findall(text) for line in block.splitlines()]
    written += re.findall(r"^    (antipodal .*)", text, re.MULTILINE)
    written += re.findall(r"`(antipodal [^`\n]*)`", text)
    for line in written:
        for command in re.findall(r"(?:^|&& )antipodal ([a-z][^&#|]*)", line):
            assert unknown_in(command.split()) == [], f"{page.name}: antipodal {command}"


def unknown_in(words: list[str]) -> list[str]:
    """Verbs or flags of a command line that the program does not have."""
    verbs: Any = GROUPS
    while isinstance(verbs, dict):
        if not words or words[0] == "…" or words[0].startswith(("VERB", "--help", "--version")):
            return []
        if "run" in verbs and words[0].startswith("--pol"):
            verbs = verbs["run"]
            continue
        if words[0] not in verbs:
            return words[:1]
        verbs, words = verbs[words[0]], words[1:]
    known = {"--help"}
    for name, parameter in inspect.signature(verbs, eval_str=True).parameters.items():
        name = next(iter(renamed(parameter.annotation)), name)
        known.add(f"--{name.replace('_', '-')}")
    flags = [word.split("=")[0].strip("[]") for word in words]
    return [flag for flag in flags if flag.startswith("--") and flag not in known]


def renamed(annotation: Any) -> list[str]:
    """The name that tyro is told to give a flag."""
    told = getattr(annotation, "__metadata__", ())
    return [m.name for m in told if getattr(m, "name", None)]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the manual's tools are the dependency group 'docs'")
    pytest.importorskip("mkdocstrings_handlers.python", reason="the same")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=quiet)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "robust_epsilon" in (tmp_path / "api" / "metrics.html").read_text()
    assert (tmp_path / "repository" / "examples" / "04_bring_your_own_planner.py.txt").is_file()


def test_the_figures_of_the_conventions_can_be_drawn_again(tmp_path: Path) -> None:
    script = ROOT / "docs" / "figures" / "draw_conventions.py"
    command = [sys.executable, str(script), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    for name in ("frames.png", "planar_grasp.png"):
        drawn, kept = cv2.imread(str(tmp_path / name)), cv2.imread(str(script.parent / name))
        assert drawn is not None and kept is not None
        assert drawn.shape == kept.shape
        difference = abs(drawn.astype(int) - kept.astype(int)).max(-1)
        # light and shadow of the first may be retouched; the geometry of both may not
        assert (difference > 80).mean() < 0.02, f"{name} is out of date: run {script.name}"
    # arrows are few pixels: each colour by itself (one of three reversed leaves 0.75 in common)
    drawn, kept = (cv2.imread(str(folder / "frames.png")) for folder in (tmp_path, script.parent))
    for bgr in ((47, 47, 214), (58, 157, 31), (214, 95, 31)):
        a, b = (abs(picture.astype(int) - bgr).max(-1) < 40 for picture in (drawn, kept))
        assert (a & b).sum() > 0.9 * (a | b).sum() > 0, f"an axis moved: run {script.name}"
