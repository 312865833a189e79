"""Short numbered programs: each runs alone in an empty folder and prints what the manual shows of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGE = (ROOT / "docs" / "examples.md").read_text()
NEEDS = {"07": "httpx", "08": "lightning", "09": "pyarrow", "10": "pyarrow"}
"""Extras: the module without which an example cannot run."""
NUMBER = re.compile(r"\s?[-+]?\d+(?:\.\d*)?\s?(?:e[-+]\d+)?")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.name)
def test_every_example_is_short_runs_and_prints_what_the_manual_says(
    example: Path, tmp_path: Path
) -> None:
    number = example.name[:2]
    if number in NEEDS:
        pytest.importorskip(NEEDS[number], reason=f"{example.name} needs an extra")
    assert len(example.read_text().splitlines()) <= 60
    run = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert run.returncode == 0, run.stderr
    assert words(run.stdout) == words(shown(example.name)), run.stdout


def test_the_examples_are_numbered_from_one_and_all_in_the_manual() -> None:
    assert len(EXAMPLES) >= 10
    assert [e.name[:2] for e in EXAMPLES] == [f"{i:02d}" for i in range(1, len(EXAMPLES) + 1)]
    for example in EXAMPLES:
        assert f"(../examples/{example.name})" in PAGE, f"{example.name} is not in docs/examples.md"


def shown(name: str) -> str:
    """The output that the manual shows of an example: the block after its program."""
    section = PAGE.split(f"(../examples/{name})", 1)[1].split("\n## ", 1)[0]
    found = re.search(r"^```text\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/examples.md shows no output of {name}"
    return found[1]


def words(text: str) -> list[str]:
    """Lines without their numbers: those may differ in the last digit from one processor to the next."""
    return [
        NUMBER.sub("N", re.sub(r"\s+", " ", line)).strip() for line in text.splitlines() if line
    ]
