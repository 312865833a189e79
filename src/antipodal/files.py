"""Write files so that a reader never meets half of one: a temporary name, then a rename."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json(value: Any, path: Path) -> None:
    """Write JSON atomically; the folder is made. Arrays and numpy numbers become lists and numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value, indent=1, default=plain) + "\n")
    os.replace(temporary, path)


def plain(value: Any) -> Any:
    """What JSON makes of a numpy array or number; anything else in words."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
