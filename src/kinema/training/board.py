"""Figures of a run for TensorBoard, which is not a dependency of Kinema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kinema.errors import InputError


def open_board(folder: Path) -> Callable[[int, dict[str, float]], None]:
    """What writes figures by name and step into a folder that `tensorboard --logdir` shows. InputError: it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("--tensorboard needs the package tensorboard; install it: pip install tensorboard") from None
    writer = SummaryWriter(str(folder))

    def write(step: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return write
