"""Trains the general network: one loop for whatever it learns from, films with captions or a recording."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from kinema.autoencoder import VideoAutoencoder, fast_dtype
from kinema.errors import InputError
from kinema.models.dit import DiT, DiTConfig, DiTInput
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.training import checkpoint
from kinema.training.caches import cache_folder
from kinema.training.compiling import can_compile
from kinema.training.loop import TrainingLoop
from kinema.training.optimizer import Optimizer
from kinema.training.seeds import seeded

Estimator = Callable[[DiTInput], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class DiTRecipe:
    """What every training of the general network has: rates, averages and lengths of the optimizer."""

    matrix_lr: float = 1e-3
    other_lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: int = 100
    cooldown: float = 0.4
    """The last share of the run, over which the learning rate falls."""
    ema: float = 0.998
    clip: float = 1.0
    compile: bool = True
    seed: int = 0
    save_every_s: float = 60.0


class Lesson(Protocol):
    """What a network learns from."""

    def losses(self, network: Estimator, step: int, done: float, device: torch.device) -> dict[str, Tensor]:
        """The losses of one step by name; their sum is minimized. done: share of the run that is done. The batch is a function of
        the recipe's seed and the step alone."""
        ...


class DiTTrainer(TrainingLoop):
    """One run in one folder, until the minutes are spent or the steps are taken, whichever is first; killed at any moment, it
    goes on from its last checkpoint."""

    smoothing = 0.95

    def __init__(
        self,
        recipe: DiTRecipe,
        config: DiTModelConfig,
        lesson: Lesson,
        out: Path,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        device: str = "cpu",
        data: dict[str, Any] | None = None,
    ) -> None:
        """data: identity of what is learned from, kept in checkpoints."""
        super().__init__(steps=steps, minutes=minutes, warmup=recipe.warmup, cooldown=recipe.cooldown)
        self.recipe, self.config, self.lesson, self.out, self.data = recipe, config, lesson, out, data
        self.device = torch.device(device)
        with seeded(recipe.seed):
            self.model = DiT(config.network).to(self.device)
        self.optimizer = Optimizer(self.model, recipe, average_every=5)
        if recipe.compile and can_compile(self.device.type):
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))
            for block in self.model.blocks:
                block.compile(dynamic=False)
        self.autoencoder_s = 0.0
        """Seconds that its autoencoder was trained on."""

    def network(self, given: DiTInput) -> dict[str, Tensor]:
        """The network in the fastest dtype of the device, float32 weights, float32 estimates."""
        dtype = fast_dtype(self.device)
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            return {name: x.float() for name, x in self.model(given).items()}

    def averaged_network(self) -> Estimator:
        """The network with the averaged weights, for evaluation."""
        averaged = self._averaged()

        def estimate(given: DiTInput) -> dict[str, Tensor]:
            return {name: x.float() for name, x in averaged(given).items()}

        return estimate

    def _averaged(self) -> DiT:
        with seeded(self.recipe.seed):
            averaged = DiT(self.config.network).to(self.device)
        averaged.load_state_dict(self.optimizer.average.module.state_dict())
        return averaged.eval().requires_grad_(False)

    def one_step(self) -> None:
        parts = self.lesson.losses(self.network, self.step, self.done, self.device)
        loss = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} at step {self.step}; the last checkpoint is in {self.out}")
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(self.rate())
        self.step += 1
        for name, value in parts.items():
            self.smooth(name, float(value.detach()))

    def run(self, show: Callable[[str], None] | None = None) -> None:
        """Until the run is done or Ctrl-C, which saves. `show` gets a line after each step."""

        def after_step() -> None:
            if show is not None:
                line = "  ".join(f"{name} {value:.4f}" for name, value in self.running.items())
                show(f"step {self.step}  {line}  {self.elapsed_s / 60:.1f} min, {self.eta_s / 60:.1f} left")

        self.loop(after_step, self.save, self.recipe.save_every_s)

    def save(self) -> None:
        checkpoint.save_checkpoint(
            self.out,
            {
                **self.state(),
                "config": json.loads(json.dumps(self.config.to_dict())),
                "recipe": asdict(self.recipe),
                "minutes": self.minutes,
                "steps": self.steps,
                "codec_s": self.autoencoder_s,
                "data": self.data,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
        )

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint of the same network; InputError where it does not fit."""
        with checkpoint.fitting(self.out):
            if DiTConfig.from_dict(state["config"]["network"]) != self.config.network:
                raise InputError(f"{self.out} holds a run of another recording or size; name another folder")
            self.model.load_state_dict(state["model"], strict=True)
            self.optimizer.load_state_dict(state["optimizer"], state["step"])
            self.go_on(state)
            self.autoencoder_s = float(state.get("codec_s", 0.0))

    def finished(self, autoencoder: VideoAutoencoder) -> DiTModel:
        """The averaged weights as a model."""
        return DiTModel(self.config, self._averaged(), autoencoder, device=str(self.device))
