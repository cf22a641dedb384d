"""Cancelling, progress and previews of a pipeline while it films.

Pipelines differ in what they offer: some have a callback, some a flag, modular ones neither. All of them call a network and show a
bar of progress, so these are listened to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from kinema.engines.protocol import Cancelled, Watch
from kinema.inference.pipeline import Progress

NETWORKS = ("transformer", "transformer_2", "transformer_ref", "unet", "latent_upsampler")


class StepHooks:
    """While it is entered, a pipeline reports its steps and ends with `Cancelled` before its next network call when asked to.

    Args:
        pipeline: A pipeline with its components.
        steps: How many steps it takes in one pass.
        passes: How often it takes all its steps.
        progress: Called with ("film", steps done, steps in all).
        cancelled: Asked before each call of a network, and before the autoencoder decodes.
        watch: Called with a small picture of the latents after each step.
    """

    def __init__(
        self,
        pipeline: Any,
        steps: int,
        passes: int,
        progress: Progress | None,
        cancelled: Callable[[], bool],
        watch: Watch | None,
    ) -> None:
        self.pipeline, self.steps, self.passes, self.progress = pipeline, steps, passes, progress
        self.cancelled, self.watch = cancelled, watch
        self.done = self.total = 0
        self._shown = [pipeline, *_inner_blocks(getattr(pipeline, "_blocks", None))]
        self._handles: list[Any] = []
        self._bars = 0
        self._time: float | None = None
        self._latents: torch.Tensor | None = None

    def __enter__(self) -> StepHooks:
        self._check()
        for name in NETWORKS:
            network = getattr(self.pipeline, name, None)
            if isinstance(network, torch.nn.Module):
                self._handles.append(network.register_forward_pre_hook(self._before_network, with_kwargs=True))
        decoder = getattr(getattr(self.pipeline, "vae", None), "decoder", None)
        if isinstance(decoder, torch.nn.Module):
            self._handles.append(decoder.register_forward_pre_hook(self._check))
        for shown in self._shown:
            shown.progress_bar = self._bar
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        for shown in self._shown:
            with contextlib.suppress(AttributeError):
                del shown.progress_bar
        if kind is None and self.progress is not None:
            self.total = self.total or self.steps * self.passes
            self.progress("film", self.total, self.total)

    def _check(self, *_: object) -> None:
        if self.cancelled():
            raise Cancelled

    def _before_network(self, network: torch.nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._check()
        if self.watch is not None:
            latents = named.get("hidden_states", arguments[0] if arguments else None)
            self._latents = latents if isinstance(latents, torch.Tensor) else None
        if not self._bars:
            self._count_times(named.get("timestep"))

    def _count_times(self, timestep: Any) -> None:
        """Without a bar, a new time of diffusion is a new step."""
        time = float(timestep.flatten()[0]) if isinstance(timestep, torch.Tensor) else None
        if time is not None and time != self._time:
            self.total = self.steps * self.passes
            if self._time is not None:
                self.step()
            self._time = time

    @contextlib.contextmanager
    def _counted(self, total: int) -> Iterator[_Bar]:
        self._bars += 1
        self.total = max(self.total, total * self.passes, self.done + total)
        yield _Bar(self)

    def _bar(self, iterable: Iterable[Any] | None = None, total: int | None = None) -> Any:
        """In place of the pipeline's own bar."""
        if iterable is None:
            return self._counted(total or 0)
        items = list(iterable)
        self._bars += 1
        self.total = max(self.total, self.done + len(items))
        return self._each(items)

    def _each(self, items: list[Any]) -> Iterator[Any]:
        for item in items:
            yield item
            self.step()

    def step(self, steps: int = 1) -> None:
        """Report so many more steps."""
        self._check()
        self.done += steps
        if self.progress is not None:
            self.progress("film", min(self.done, self.total), self.total)
        if self.watch is not None and self._latents is not None:
            picture = small_picture(self._latents)
            if picture is not None:
                self.watch(picture)


def _inner_blocks(blocks: Any) -> Iterator[Any]:
    """The blocks inside those of a modular pipeline; each may show a bar of its own."""
    for inner in getattr(blocks, "sub_blocks", {}).values():
        yield inner
        yield from _inner_blocks(inner)


class _Bar:
    """What a pipeline sees of its bar of progress."""

    def __init__(self, hooks: StepHooks) -> None:
        self._hooks = hooks

    def update(self, steps: int = 1) -> None:
        self._hooks.step(steps)

    def set_postfix(self, *_: object, **__: object) -> None:
        """Notes beside the bar are not shown."""


def small_picture(latents: torch.Tensor) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    """The middle frame of latents [B, C, T, h, w] as a picture uint8 [h, w, 3]: the three directions in which the channels vary
    most, so that shapes can be seen while colors cannot. None for latents of another form."""
    if latents.ndim != 5:
        return None
    frame = latents[0, :, latents.shape[2] // 2].float().cpu()
    flat = frame.flatten(1).T - frame.flatten(1).mean(1)
    if min(flat.shape) < 3 or not torch.isfinite(flat).all():
        return None
    directions = torch.linalg.svd(flat, full_matrices=False).Vh[:3]
    shown = flat @ directions.T
    low, high = shown.amin(0), shown.amax(0)
    scaled = (shown - low) / (high - low).clamp_min(1e-6) * 255
    return np.asarray(scaled.reshape(*frame.shape[1:], 3).round().to(torch.uint8).numpy())
