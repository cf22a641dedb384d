"""Training of the denoiser: draw a batch, one step, now and then a canary, a picture, a checkpoint.

A run is its recipe, its folder and its step. Everything random is a function of (seed, step), so a run that was killed goes
on from its last checkpoint exactly as if it had never stopped.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinema.autoencoder import VideoAutoencoder, fast_dtype
from kinema.datasets.episode_cache import EpisodeCache
from kinema.diffusion.losses import crop_losses, losses, still_losses, total
from kinema.diffusion.shortcut import shortcut_batch
from kinema.errors import DivergedError
from kinema.models.denoiser import Denoiser
from kinema.models.hub import find, read_slot_config, read_weights
from kinema.scene.schema import check_playground
from kinema.training import checkpoint
from kinema.training.batches import Batch, batch_kind
from kinema.training.compiling import can_compile
from kinema.training.flops import forward_flops, local_flops, measured_peak
from kinema.training.initialize import begin_with
from kinema.training.loader import Loader
from kinema.training.loop import TrainingLoop
from kinema.training.occlusion import fit_occlusion
from kinema.training.optimizer import Optimizer
from kinema.training.probes import Probes
from kinema.training.recipes import KINDS, Phase, Recipe
from kinema.training.scheduled_sampling import Training, scheduled_sampling
from kinema.training.seeds import StepDraw, seeded, step_rng

log = logging.getLogger(__name__)


@dataclass
class Report:
    """What a progress line shows."""

    step: int
    steps: int
    phase: str
    parts: dict[str, float]
    clips_per_s: float
    gemm_share: float
    eta_s: float
    elapsed_s: float


OnReport = Callable[[Report], None]
SHOWN = ("video", "sketch", "state", "sight", "picture")
GRAPHS = 64
"""Graphs that may be compiled of one function: one for each shape of pictures."""


def precision_of(recipe: Recipe, device: torch.device) -> torch.dtype:
    """The recipe's, or float32 on a processor that has no instructions for bfloat16 and would take fifty times as long in it."""
    wanted: torch.dtype = getattr(torch, recipe.precision)
    supported = fast_dtype(device)
    if wanted == torch.bfloat16 and supported != wanted:
        log.warning("this processor has no bfloat16 instructions: training in float32")
        return supported
    return wanted


class Trainer(TrainingLoop):
    """One run. `caches` maps phase names to opened caches; `picture(model, step)` draws sheets when it is time."""

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        caches: dict[str, EpisodeCache],
        autoencoder: VideoAutoencoder,
        *,
        device: torch.device | str = "cpu",
        minutes: float | None = None,
    ) -> None:
        super().__init__(steps=recipe.steps, minutes=minutes, warmup=recipe.warmup, cooldown=recipe.cooldown)
        check_playground(recipe.denoiser.schema, "recipes, which train on episodes of the Playground")
        self.recipe, self.out, self.caches, self.autoencoder = recipe, out, caches, autoencoder
        self.device = torch.device(device)
        self.loader = Loader(recipe, caches, self.device)
        with seeded(recipe.seed):
            self.model = Denoiser(recipe.denoiser).to(self.device)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not recipe.trained or name.startswith(recipe.trained))
        self.optimizer = Optimizer(self.model, recipe)
        self.dtype = precision_of(recipe, self.device)
        self.before = 0
        """Steps of the model that the run began with."""
        self._clips, self._flops, self._since = 0, 0.0, time.monotonic()
        """Clips and FLOPs since the last reading of the losses, and its time without canaries and pictures."""
        self._unread: list[tuple[str, dict[str, Tensor]]] = []
        self.losses, self.still_losses = losses, still_losses
        compiles = recipe.compile and can_compile(self.device.type)
        if compiles:
            torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, GRAPHS)
        if compiles and self.device.type == "cpu":
            self.losses = torch.compile(losses, dynamic=False)
            self.still_losses = torch.compile(still_losses, dynamic=False)
        elif compiles:
            for block in self.model.blocks:
                block.compile(dynamic=False)
        self.peak = measured_peak(self.device, self.dtype)
        self._probes: dict[str, Probes] = {}

    @property
    def phase(self) -> Phase:
        return next((phase for phase in self.recipe.phases if self.done < phase.until), self.recipe.phases[-1])

    def compute(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch that is on the device."""
        b, model, dtype, decode = batch, self.model, self.dtype, self.autoencoder.decode
        assert b.noise is not None
        if b.kind not in ("crop", "still"):
            return self.losses(model, b.canvas, b.noise, b.time_bias, b.step_size, dtype)
        assert b.pictures is not None
        true = b.pictures[:, 0].permute(0, 3, 1, 2).float() / 127.5 - 1.0
        if b.kind == "still":
            return self.still_losses(model, decode, b.canvas, b.noise, true, dtype)
        assert b.window is not None and b.counts is not None
        return crop_losses(model, decode, b.canvas, true, b.window, b.counts, dtype)

    def _shortened(self, batch: Batch) -> Batch:
        """Sometimes, once plans are worth it, the same batch as one that teaches long steps: of kind "leap"."""
        rng = step_rng(self.recipe.seed, self.step, StepDraw.SHORTCUT)
        if batch.kind != "plan" or self.done < self.recipe.shortcuts_from or rng.random() >= self.recipe.shortcut_share:
            return batch
        assert batch.noise is not None
        made = shortcut_batch(self.model, rng, batch.canvas, batch.noise, batch.time_bias, self.dtype)
        clean = made.clean
        return replace(
            batch, kind="leap", values=clean.values, levels=clean.levels, noise=made.noise, step_size=made.step_size
        )

    def _own(self, batch: Batch) -> Batch:
        """Sometimes, of a batch that is stepped through, part of the past as the model makes it."""
        rng = step_rng(self.recipe.seed, self.step, StepDraw.OWN_PAST)
        if not batch.live or rng.random() >= self.recipe.own_share:
            return batch
        return scheduled_sampling(Training(self.model, self.dtype, self.device), batch, rng, self.recipe.own_most)

    def flops_of(self, batch: Batch) -> float:
        """Of a step: forward, and backward at twice that where all parts are trained."""
        passes = 1 if self.recipe.trained else 3
        config, (clips, frames) = self.recipe.denoiser, batch.time_s.shape
        cells = batch.levels["video"].shape[2] * batch.levels["video"].shape[3] if "video" in batch.levels else 0
        if batch.kind in ("still", "crop"):
            return passes * local_flops(config, pictures=clips, cells=cells, prior_only=batch.kind == "crop")
        tokens = batch.text_states.shape[1] + 1
        return passes * forward_flops(config, batch=clips, frames=frames, cells=cells, text_tokens=tokens)

    def draw(self) -> Batch:
        """The batch of this step, on the device, with a past of the model's own or as one of long steps where it is time."""
        phase = self.phase
        drawn = self.loader.next(phase.name, batch_kind(self.recipe, phase, self.step))
        return self._own(self._shortened(drawn.on(self.device, self.autoencoder, self.recipe.denoiser.patch)))

    def one_step(self) -> None:
        """Draw a batch and learn it. The losses stay on the device until `read`."""
        batch = self.draw()
        self.learn(batch)
        self._clips += len(batch.time_s)
        self._flops += self.flops_of(batch)

    def learn(self, batch: Batch) -> None:
        """One update of the weights by a batch that is on the device."""
        parts = self.compute(batch)
        total(parts).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(self.rate())
        self.step += 1
        self._unread.append((batch.kind, {name: value.detach() for name, value in parts.items()}))

    def read(self) -> None:
        """Take the losses since the last reading into the running means; DivergedError where one is not a number."""
        for kind, parts in self._unread:
            for name, tensor in parts.items():
                value = float(tensor)
                if not np.isfinite(value):
                    raise DivergedError(
                        f"the loss of {kind} {name} is {value} at step {self.step}; the last checkpoint is in {self.out}"
                    )
                if name in SHOWN:
                    self.smooth(f"{kind} {name}", value)
        self._unread.clear()

    def use(self, caches: dict[str, EpisodeCache]) -> None:
        """Go on with other episodes."""
        counts = self.loader.counts
        self.loader.close()
        self.caches, self.loader = caches, Loader(self.recipe, caches, self.device)
        self.loader.counts = counts

    def run(self, show: OnReport | None = None, picture: Callable[[Denoiser, int], None] | None = None) -> None:
        """Train until the steps or the minutes are spent, or until Ctrl-C, which saves."""
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "recipe.json").write_text(json.dumps(asdict(self.recipe), indent=1, default=list))
        self._since = time.monotonic()
        try:
            self.loop(lambda: self._after_step(show, picture), self.save, self.recipe.save_every_s)
        finally:
            self.loader.close()

    def _after_step(self, show: OnReport | None, picture: Callable[[Denoiser, int], None] | None) -> None:
        """What is due: the losses and the progress, canaries, a picture."""
        if self.step % self.recipe.read_every == 0:
            self.read()
            if show is not None:
                show(self._report())
            self._clips, self._flops, self._since = 0, 0.0, time.monotonic()
        begun = time.monotonic()
        if self.step % self.recipe.canary_every == 0:
            self._sing()
        if picture is not None and self.step % self.recipe.picture_every == 0:
            picture(self.averaged(), self.step)
        self._since += time.monotonic() - begun

    def _report(self) -> Report:
        seconds = time.monotonic() - self._since
        return Report(
            step=self.step,
            steps=self.recipe.steps,
            phase=self.phase.name,
            parts=dict(self.running),
            clips_per_s=self._clips / seconds,
            gemm_share=self._flops / seconds / self.peak,
            eta_s=self.eta_s,
            elapsed_s=self.elapsed_s,
        )

    def _sing(self) -> None:
        phase = self.phase.name
        if phase not in self._probes:
            self._probes[phase] = Probes(
                self.recipe, self.caches[phase], self.autoencoder, device=self.device, dtype=self.dtype
            )
        answers = self._probes[phase](self.averaged())
        row = {"step": self.step, "phase": phase, "elapsed_s": round(self.elapsed_s, 1)}
        row |= {name: round(value, 4) for name, value in {**self.running, **answers}.items()}
        with (self.out / "canaries.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        log.info("canaries %s", "  ".join(f"{name} {value:.3g}" for name, value in answers.items()))

    def averaged(self) -> Denoiser:
        """A copy of the denoiser that holds the averaged weights."""
        averaged = self.optimizer.average.averaged()
        assert isinstance(averaged, Denoiser)
        return averaged

    def save(self) -> None:
        """A checkpoint, once the losses so far are known to be numbers."""
        self.read()
        checkpoint.save_checkpoint(
            self.out,
            {
                **self.state(),
                "recipe": json.loads(json.dumps(asdict(self.recipe), default=list)),
                "before": self.before,
                "counts": dict(self.loader.counts),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
        )

    def begin(self, name: str) -> None:
        """Take over another model's weights, as far as they fit, and go on with batches that they have not seen."""
        folder = find(name)
        weights = read_weights(folder)
        taken = begin_with(self.model, weights)
        if self.model.occlusion is not None and not any(name.startswith("occlusion.") for name in weights):
            error = fit_occlusion(self.model.occlusion, self.caches[self.recipe.meeting.name], seed=self.recipe.seed)
            log.info("occlusion from true states: visible shares off by %.3f", error)
        self.before = int(read_slot_config(folder).trained.get("steps", 0))
        self.loader.counts = dict.fromkeys(KINDS, self.before)
        self.optimizer.average.restart(self.model)
        log.info("begins with %d of %d parameters of %s", taken, len(list(self.model.parameters())), name)

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint of the same recipe (its length may differ); InputError where it does not fit."""
        with checkpoint.fitting(self.out):
            self.model.load_state_dict(state["model"], strict=True)
            self.optimizer.load_state_dict(state["optimizer"], state["step"])
            self.go_on(state)
            self.before, self.loader.counts = state["before"], dict(state["counts"])
