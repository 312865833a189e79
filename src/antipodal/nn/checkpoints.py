"""Checkpoints of a run: what Lightning saves and finds, through our own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from .weights import load_weights, save_weights


class DurableFiles(TorchCheckpointIO):
    """Lightning's, that writes beside the file: its own goes through $TMPDIR, and moves from there are no one step."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        save_weights(checkpoint, Path(path))

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        return load_checkpoint(Path(path))


class Kept(ModelCheckpoint):
    """Lightning's, that knows its best epoch in a folder which has been moved, too."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = Path(str(self.dirpath))

        def moved(path: str) -> str:
            return str(here / Path(path).name) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        state_dict = {**state_dict, **{name: moved(state_dict[name]) for name in paths}}
        state_dict["best_k_models"] = {
            moved(path): score for path, score in state_dict["best_k_models"].items()
        }
        super().load_state_dict({**state_dict, "dirpath": self.dirpath})


def load_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint, or say in one line that it is damaged."""
    remedy = f"restore it, or delete the folder {file.parent}, and the same train begins anew"
    return load_weights(file, remedy)
