"""Figures of a run for TensorBoard and Weights & Biases, neither of which is a dependency of Kinema (extra `boards`)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kinema.errors import InputError, excerpt

RUN_NAME = "wandb-run.txt"
"""The file in a run's folder with its name at Weights & Biases, by which a run that goes on is the same there."""


def check_boards(tensorboard: Path | None, wandb: str | None) -> None:
    """InputError where figures shall be written for a package that is not installed, or under a name that is none."""
    for option, package, wished in (("--tensorboard", "tensorboard", tensorboard), ("--wandb", "wandb", wandb)):
        if wished is not None and find_spec(package) is None:
            raise InputError(f"{option} needs the package {package}; install it: pip install {package}")
    if wandb is not None and not wandb.strip():
        raise InputError("--wandb: the project's name is empty; give it one")


class Boards:
    """Writes the figures of one run."""

    def __init__(
        self, out: Path, *, tensorboard: Path | None = None, wandb: str | None = None, about: Mapping[str, Any] | None = None
    ) -> None:
        """out: folder of the run. tensorboard: folder that `tensorboard --logdir` shows. wandb: project at Weights & Biases, whose
        own variables hold (WANDB_MODE=offline writes into `out`/wandb and sends nothing). about: settings of the run.

        InputError: a package is not installed, or Weights & Biases does not begin a run."""
        check_boards(tensorboard, wandb)
        self._writers: list[Callable[[int, dict[str, float]], None]] = []
        self._closers: list[Callable[[], None]] = []
        if tensorboard is not None:
            self._open_tensorboard(tensorboard)
        if wandb is not None:
            self._open_wandb(wandb, out, dict(about or {}))

    def __call__(self, step: int, figures: dict[str, float]) -> None:
        """Write figures by name."""
        for write in self._writers:
            write(step, figures)

    def close(self) -> None:
        """After the last figures of a run that has come to its end."""
        for close in self._closers:
            close()

    def _open_tensorboard(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(folder))

        def write(step: int, figures: dict[str, float]) -> None:
            for name, value in figures.items():
                writer.add_scalar(name, value, step)
            writer.flush()

        self._writers.append(write)
        self._closers.append(writer.close)

    def _open_wandb(self, project: str, out: Path, about: dict[str, Any]) -> None:
        import wandb

        path = out / RUN_NAME
        name = path.read_text(encoding="utf-8").strip() if path.exists() else uuid.uuid4().hex[:12]
        path.write_text(f"{name}\n", encoding="utf-8")
        try:
            run = wandb.init(project=project, id=name, name=out.name, resume="allow", dir=str(out), config=about)
        except Exception as error:  # no key, no network, a name that it does not take: each has its own class there
            reason = excerpt(" ".join(str(error).split()), 160)
            raise InputError(
                f"--wandb: Weights & Biases does not begin a run ({reason}); `wandb login`, or set WANDB_MODE=offline"
            ) from None
        run.define_metric("*", step_metric="step")  # a run that goes on from its checkpoint repeats some steps
        self._writers.append(lambda step, figures: run.log({**figures, "step": step}))
        self._closers.append(run.finish)
