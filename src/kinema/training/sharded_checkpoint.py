"""Checkpoints of runs of several ranks: each writes its share while training goes on, and any number of ranks goes on from it.

A checkpoint is a folder OUT/checkpoints/STEP of torch.distributed.checkpoint. run.json in it says what `state.pt` of a run of one
process says beside its tensors; `.metadata` is written last, so a folder without it is unfinished. The last two stay. A run that
goes on with one process keeps `state.pt` again, and one kind replaces the other.
"""

from __future__ import annotations

import json
import shutil
import warnings
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from kinema.errors import InputError, OutputError
from kinema.training import checkpoint
from kinema.training.parallel import Ranks, together
from kinema.types import parse_json

FOLDER, ABOUT, COMPLETE = "checkpoints", "run.json", ".metadata"
HISTORY = 2
"""Checkpoints that stay."""


def _complete(out: Path) -> list[Path]:
    """Folders of the finished checkpoints of a run, oldest first."""
    return sorted(path.parent for path in (out / FOLDER).glob(f"*/{COMPLETE}"))


def holds_run(out: Path) -> bool:
    """Whether a folder holds a checkpoint of either kind."""
    return (out / checkpoint.NAME).exists() or bool(_complete(out))


def load_run(out: Path) -> dict[str, Any]:
    """The newest checkpoint of a run. One of several ranks comes without its tensors, "sharded" being its folder (`read_tensors`).

    InputError: there is none, or it is damaged.
    """
    folders = _complete(out)
    if not folders:
        return checkpoint.load_checkpoint(out)
    path = folders[-1] / ABOUT
    try:
        about: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
        about["step"] = int(about["step"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} cannot be read; delete {path.parent} to go on from an earlier checkpoint") from None
    if (out / checkpoint.NAME).exists():
        single = checkpoint.load_checkpoint(out)
        if single["step"] > about["step"]:
            return single
    return {**about, "sharded": folders[-1]}


def drop_sharded(out: Path) -> None:
    """Delete the checkpoints of several ranks, after one process has written its own."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)


class ShardedCheckpoints:
    """Writes the checkpoints of one run."""

    def __init__(self, out: Path, ranks: Ranks) -> None:
        self.out, self.ranks = out, ranks
        self._writing: tuple[Path, Future[Any]] | None = None
        self._last = -1

    def save(self, about: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Copy the tensors, and write them while the caller goes on. OutputError: the checkpoint before could not be written."""
        self.finish()
        if about["step"] == self._last:
            return
        folder = self.out / FOLDER / f"{about['step']:08d}"
        if self.ranks.first:
            try:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
            except OSError as error:
                raise OutputError(f"the checkpoint could not be written to {folder}: {error.strerror}") from None
        self.ranks.wait()
        with together():
            future = async_save(tensors, checkpoint_id=folder, process_group=self.ranks.saving)
        assert isinstance(future, Future)
        self._writing, self._last = (folder, future), about["step"]

    def finish(self) -> None:
        """Wait until the checkpoint that is being written is finished, then delete those that it replaces."""
        if self._writing is None:
            return
        (folder, future), self._writing = self._writing, None
        try:
            with together():
                future.result()
        except CheckpointException as error:
            reason = f"the checkpoint could not be written to {folder}: {_reason(error)}"
            raise OutputError(f"{reason}; the last one is intact") from None
        if self.ranks.first:
            (self.out / checkpoint.NAME).unlink(missing_ok=True)
            keep = _complete(self.out)[-HISTORY:]
            for other in (self.out / FOLDER).iterdir():
                if other not in keep:
                    shutil.rmtree(other, ignore_errors=True)


def stored_sizes(folder: Path) -> dict[str, torch.Size]:
    """Shapes of a checkpoint's tensors by name."""
    entries = FileSystemReader(folder).read_metadata().state_dict_metadata
    return {name: entry.size for name, entry in entries.items() if hasattr(entry, "size")}


def read_tensors(folder: Path, tensors: dict[str, Tensor], ranks: Ranks) -> None:
    """Fill tensors, whole or sharded, from a checkpoint. InputError: it lacks one, is damaged, or is of another network."""
    try:
        stored = stored_sizes(folder)
        other = next((name for name, x in tensors.items() if name in stored and stored[name] != x.shape), None)
        if other is not None:
            raise InputError(
                f"{folder} is of another version's network: {other} has {list(stored[other])} numbers, here"
                f" {list(tensors[other].shape)}; go on with the version that began it, or begin another run"
            )
        with warnings.catch_warnings(), together():
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)  # as it is with one process
            load(tensors, checkpoint_id=folder, process_group=ranks.saving, no_dist=ranks.size == 1)
    except CheckpointException as error:
        raise InputError(
            f"{folder} cannot be read: {_reason(error)}; delete it to go on from an earlier checkpoint"
        ) from None


def _reason(error: CheckpointException) -> str:
    failures = [failure[0] for failure in error.failures.values()]
    return " ".join(str(failures[0] if failures else error).split())[:160]
