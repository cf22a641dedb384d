"""The training loop: draw a batch, one step, now and then a canary, a picture, a checkpoint.

A run is its recipe, its folder and its step. Everything random is a function of (seed, step), so a run that was killed goes
on from its last checkpoint exactly as if it had never stopped.
"""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinema.autoencoder import VideoAutoencoder, fast_dtype
from kinema.canvas.canvas import TextCondition
from kinema.datasets.episode_cache import EpisodeCache
from kinema.diffusion.losses import crop_losses, losses, still_losses, total
from kinema.diffusion.shortcut import lesson
from kinema.models.denoiser import Denoiser
from kinema.models.hub import find, read_config, read_weights
from kinema.training import checkpoint
from kinema.training.batches import Batch, kind_of
from kinema.training.flops import forward_flops, local_flops, measured_peak
from kinema.training.initialize import begin_with
from kinema.training.length import check_minutes
from kinema.training.loader import Loader
from kinema.training.optimizer import Optimizer
from kinema.training.probes import Probes
from kinema.training.recipes import KINDS, Phase, Recipe
from kinema.training.scheduled_sampling import Training, scheduled_sampling
from kinema.training.seeds import Draw, step_rng

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


Show = Callable[[Report], None]
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


class Trainer:
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
        check_minutes(minutes)
        self.recipe, self.out, self.caches, self.autoencoder = recipe, out, caches, autoencoder
        self.device, self.minutes = torch.device(device), minutes
        self.loader = Loader(recipe, caches, self.device)
        torch.manual_seed(recipe.seed)
        self.model = Denoiser(recipe.denoiser).to(self.device)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not recipe.trained or name.startswith(recipe.trained))
        self.optimizer = Optimizer(
            self.model,
            matrix_lr=recipe.matrix_lr,
            other_lr=recipe.other_lr,
            weight_decay=recipe.weight_decay,
            clip=recipe.clip,
            ema=recipe.ema,
        )
        self.dtype = precision_of(recipe, self.device)
        self.step, self.elapsed_s, self.stopping = 0, 0.0, False
        self.before = 0
        """Steps of the model that the run began with."""
        self.running: dict[str, float] = {}
        self.kind = ""
        """What the last step was: still, film, plan, live, or leap for a shortcut."""
        self._leaps = False
        self._unread: list[tuple[str, dict[str, Tensor]]] = []
        self.losses, self.still_losses = losses, still_losses
        if recipe.compile:
            torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, GRAPHS)
        if recipe.compile and self.device.type == "cpu":
            self.losses = torch.compile(losses, dynamic=False)
            self.still_losses = torch.compile(still_losses, dynamic=False)
        elif recipe.compile:
            for block in self.model.blocks:
                block.compile(dynamic=False)
        self.peak = measured_peak(self.device, self.dtype)
        self._probes: dict[str, Probes] = {}

    @property
    def done(self) -> float:
        """Share of the run behind us, by steps or by the time budget, whichever is further."""
        by_time = self.elapsed_s / (self.minutes * 60) if self.minutes is not None else 0.0
        return min(max(self.step / self.recipe.steps, by_time), 1.0)

    @property
    def phase(self) -> Phase:
        return next((phase for phase in self.recipe.phases if self.done < phase.until), self.recipe.phases[-1])

    def _rate(self) -> float:
        """Warm up, hold, fall to zero over the last stretch."""
        up = min((self.step + 1) / self.recipe.warmup, 1.0)
        down = min((1.0 - self.done) / self.recipe.cooldown, 1.0)
        return up * max(down, 0.01)

    def compute(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch that is on the device."""
        assert batch.noise is not None
        if batch.kind in ("crop", "still"):
            assert batch.pictures is not None and batch.cell_units is not None
            true = batch.pictures[:, 0].permute(0, 3, 1, 2).float() / 127.5 - 1.0
        if batch.kind == "crop":
            assert batch.window is not None and batch.counts is not None and batch.cell_units is not None
            return crop_losses(
                self.model,
                self.autoencoder.decode,
                batch.values,
                batch.levels,
                true,
                batch.cell_units,
                batch.window,
                batch.counts,
                self.dtype,
            )
        if batch.kind == "still":
            assert batch.cell_units is not None
            return self.still_losses(
                self.model,
                self.autoencoder.decode,
                batch.values,
                batch.levels,
                batch.noise,
                true,
                batch.cell_units,
                self.dtype,
            )
        return self.losses(
            self.model,
            batch.values,
            batch.levels,
            batch.noise,
            batch.time_s,
            batch.text_states,
            batch.text_reads,
            batch.time_bias,
            batch.step_size,
            batch.cell_units,
            self.dtype,
        )

    def _shortened(self, batch: Batch) -> Batch:
        """Sometimes, once plans are worth it, the same batch as a lesson in long steps."""
        rng = step_rng(self.recipe.seed, self.step, Draw.SHORTCUT)
        self._leaps = False
        if batch.kind != "plan" or self.done < self.recipe.shortcuts_from or rng.random() >= self.recipe.shortcut_share:
            return batch
        text = TextCondition(states=batch.text_states, reads=batch.text_reads)
        assert batch.noise is not None
        made = lesson(
            self.model, rng, batch.values, batch.levels, batch.noise, batch.time_s, text, batch.time_bias, self.dtype
        )
        self._leaps = True
        return replace(batch, values=made.values, levels=made.levels, noise=made.noise, step_size=made.step_size)

    def _own(self, batch: Batch) -> Batch:
        """Sometimes, of a batch that is stepped through, part of the past as the model makes it."""
        rng = step_rng(self.recipe.seed, self.step, Draw.OWN_PAST)
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
        """The batch of this step, on the device, with a past of the model's own or a lesson in long steps where it is time."""
        phase = self.phase
        drawn = self.loader.next(phase.name, kind_of(self.recipe, phase, self.step))
        return self._own(self._shortened(drawn.on(self.device, self.autoencoder, self.recipe.denoiser.patch)))

    def one_step(self) -> tuple[int, float]:
        """Clips in the batch, FLOPs spent. The losses stay on the device until `read`."""
        batch = self.draw()
        self.kind = "leap" if self._leaps else batch.kind
        self.learn(batch)
        return len(batch.time_s), self.flops_of(batch)

    def learn(self, batch: Batch) -> None:
        """One update of the weights by a batch that is on the device."""
        parts = self.compute(batch)
        total(parts).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(self._rate(), average_from=self.step / 10 + 2)
        self.step += 1
        self._unread.append((self.kind, {name: value.detach() for name, value in parts.items()}))

    def read(self) -> None:
        """Take the losses since the last reading into the running means; FloatingPointError where one is not a number."""
        for kind, parts in self._unread:
            for name, tensor in parts.items():
                value = float(tensor)
                if not np.isfinite(value):
                    raise FloatingPointError(
                        f"the loss of {kind} {name} is {value} at step {self.step}; the last checkpoint is in {self.out}"
                    )
                if name in SHOWN:
                    name = f"{kind} {name}"
                    self.running[name] = 0.97 * self.running.get(name, value) + 0.03 * value
        self._unread.clear()

    def use(self, caches: dict[str, EpisodeCache]) -> None:
        """Go on with other episodes."""
        counts = self.loader.counts
        self.loader.close()
        self.caches, self.loader = caches, Loader(self.recipe, caches, self.device)
        self.loader.counts = counts

    def run(self, show: Show | None = None, picture: Callable[[Denoiser, int], None] | None = None) -> None:
        """Train until the steps or the minutes are spent, or until Ctrl-C, which saves."""
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "recipe.json").write_text(json.dumps(asdict(self.recipe), indent=1, default=list))
        before = signal.signal(signal.SIGINT, self._interrupt)
        saved = time.monotonic()
        try:
            clips, flops, begun, since = 0, 0.0, time.monotonic(), time.monotonic()
            while self.done < 1.0 and not self.stopping:
                more, work = self.one_step()
                clips, flops = clips + more, flops + work
                if self.step % self.recipe.read_every == 0:
                    self.read()
                    self._note(clips, flops, time.monotonic() - since, show)
                    clips, flops, since = 0, 0.0, time.monotonic()
                self.elapsed_s += time.monotonic() - begun
                begun = time.monotonic()
                if self.step % self.recipe.canary_every == 0:
                    self._sing()
                if picture is not None and self.step % self.recipe.picture_every == 0:
                    picture(self.averaged(), self.step)
                if time.monotonic() - saved >= self.recipe.save_every_s:
                    self.save()
                    saved = time.monotonic()
                if self.step % self.recipe.canary_every == 0 or self.step % self.recipe.picture_every == 0:
                    since = time.monotonic()
                self.elapsed_s += time.monotonic() - begun
                begun = time.monotonic()
        finally:
            signal.signal(signal.SIGINT, before)
            self.loader.close()
        self.read()
        self.save()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        log.warning("stopping after this step; the run is saved and can be resumed")
        self.stopping = True

    def _note(self, clips: int, flops: float, seconds: float, show: Show | None) -> None:
        left = (1.0 - self.done) / max(self.done, 1e-6) * self.elapsed_s
        report = Report(
            step=self.step,
            steps=self.recipe.steps,
            phase=self.phase.name,
            parts=dict(self.running),
            clips_per_s=clips / seconds,
            gemm_share=flops / seconds / self.peak,
            eta_s=left,
            elapsed_s=self.elapsed_s,
        )
        if show is not None:
            show(report)

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
        model = Denoiser(self.recipe.denoiser).to(self.device)
        model.load_state_dict(self.optimizer.average, strict=True)
        return model.eval()

    def save(self) -> None:
        """A checkpoint, once the losses so far are known to be numbers."""
        self.read()
        checkpoint.save(
            self.out,
            {
                "recipe": json.loads(json.dumps(asdict(self.recipe), default=list)),
                "step": self.step,
                "before": self.before,
                "counts": dict(self.loader.counts),
                "elapsed_s": self.elapsed_s,
                "running": self.running,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
        )

    def begin(self, name: str) -> None:
        """Take over another model's weights, as far as they fit, and go on with batches that they have not seen."""
        folder = find(name)
        taken = begin_with(self.model, read_weights(folder))
        self.before = int(read_config(folder).trained.get("steps", 0))
        self.loader.counts = dict.fromkeys(KINDS, self.before)
        self.optimizer.begin_average()
        log.info("begins with %d of %d parameters of %s", taken, len(self.optimizer.average), name)

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint of the same recipe (its length may differ); InputError where it does not fit."""
        with checkpoint.fitting(self.out):
            self.model.load_state_dict(state["model"], strict=True)
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.elapsed_s, self.running = state["step"], state["elapsed_s"], dict(state["running"])
            self.before, self.loader.counts = state["before"], dict(state["counts"])
