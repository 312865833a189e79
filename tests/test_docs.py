"""The manual does not lie: its names exist, its links lead somewhere, its examples and figures run."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NAME = re.compile(r"`(antipodal(?:\.\w+)+)")
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


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.name)
def test_every_example_runs_and_is_short(example: Path, tmp_path: Path) -> None:
    assert len(example.read_text().splitlines()) <= 60
    run = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


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
