"""Cancelling, progress and previews of a pipeline while it films.

Pipelines differ in what they offer: some have a callback, some a flag, modular ones neither. All of them call a network and a
scheduler, so these are listened to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from kinema.engines.protocol import Cancelled, Watch
from kinema.inference.pipeline import Progress

NETWORKS = ("transformer", "transformer_2", "unet", "prior")


class StepHooks:
    """While it is entered, a pipeline reports its steps and ends with `Cancelled` before its next network call when asked to.

    Args:
        pipeline: A pipeline with its components.
        steps: How many steps it takes.
        progress: Called with ("film", steps done, steps).
        cancelled: Asked before each call of a network.
        watch: Called with a small picture of the latents after each step.
    """

    def __init__(
        self, pipeline: Any, steps: int, progress: Progress | None, cancelled: Callable[[], bool], watch: Watch | None
    ) -> None:
        self.pipeline, self.steps, self.progress = pipeline, steps, progress
        self.cancelled, self.watch = cancelled, watch
        self.done = 0
        self._handles: list[Any] = []
        self._stepped: Any = None

    def __enter__(self) -> StepHooks:
        for name in NETWORKS:
            network = getattr(self.pipeline, name, None)
            if isinstance(network, torch.nn.Module):
                self._handles.append(network.register_forward_pre_hook(self._before_network))
        scheduler = getattr(self.pipeline, "scheduler", None)
        if scheduler is not None and hasattr(scheduler, "step"):
            self._stepped = scheduler.step
            scheduler.step = self._step
        self._report()
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        if self._stepped is not None:
            with contextlib.suppress(AttributeError):
                del self.pipeline.scheduler.step

    def _before_network(self, *_: object) -> None:
        if self.cancelled():
            raise Cancelled

    def _step(self, *arguments: Any, **named: Any) -> Any:
        made = self._stepped(*arguments, **named)
        self.done += 1
        self._report()
        if self.watch is not None:
            latents = made[0] if isinstance(made, tuple) else made.prev_sample
            picture = small_picture(latents)
            if picture is not None:
                self.watch(picture)
        return made

    def _report(self) -> None:
        if self.cancelled():
            raise Cancelled
        if self.progress is not None:
            self.progress("film", min(self.done, self.steps), self.steps)


def small_picture(latents: torch.Tensor) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    """The middle frame of latents [B, C, T, h, w] as a picture uint8 [h, w, 3]: the three directions in which the channels vary
    most, so that shapes can be seen while colors cannot. None for latents of another form."""
    if latents.ndim != 5:
        return None
    frame = latents[0, :, latents.shape[2] // 2].float().cpu()
    flat = frame.flatten(1).T - frame.flatten(1).mean(1)
    if flat.shape[1] < 3 or not torch.isfinite(flat).all():
        return None
    directions = torch.linalg.svd(flat, full_matrices=False).Vh[:3]
    shown = flat @ directions.T
    low, high = shown.amin(0), shown.amax(0)
    scaled = (shown - low) / (high - low).clamp_min(1e-6) * 255
    return np.asarray(scaled.reshape(*frame.shape[1:], 3).round().to(torch.uint8).numpy())
