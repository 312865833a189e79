"""Hooks of the manual's site: links from a page to a file of the repository lead to a copy of it in the site."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(
    r"\]\((?:\.\./)+((?:src|examples|tests|runs|benchmarks|deploy)/[\w./-]+|\w+\.(?:md|toml|cff))(#[\w-]+)?\)"
)
"""](../examples/04_bring_your_own_planner.py): something beside docs/."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file of the repository that a page links to; a link to what does not exist stays, and is an error."""
    for page in list(files.documentation_pages()):
        for name, _ in LINK.findall(page.content_string):
            source = ROOT / name
            if source.is_file() and files.get_file_from_path(_place(name)) is None:
                files.append(File.generated(config, _place(name), abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let those links lead to the copies."""
    up = "../" * page.file.src_uri.count("/")

    def replaced(match: re.Match[str]) -> str:
        return f"]({up}{_place(match[1])})" if (ROOT / match[1]).is_file() else match[0]

    return LINK.sub(replaced, markdown)


def _place(name: str) -> str:
    """Where a file of the repository lies in the site; as text, so that browsers show it."""
    return f"repository/{name}.txt"
