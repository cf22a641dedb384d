"""A model of the general network as an engine: films of what its clips showed, from words and from known pictures.

One pass fills the unknown frames of a clip, whichever they are; so first and last pictures, keyframes, continuations either way and
passages are the same call. Frames are latent frames of the autoencoder, one for each picture where its time factor is 1; else films
have 1 + time factor * k frames, of which those asked for are taken.

Axes: T frames, C channels, h x w latents.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kinema.autoencoder import latent_frames, pixel_frames, to_uint8, to_unit
from kinema.devices import AUTO
from kinema.engines.compose import Parts, derived_workflows, film_workflow
from kinema.engines.protocol import Cancelled, Capabilities, FilmPlan, FilmRequest, FrameRule, Watch, Workflow, never
from kinema.errors import InputError, ModelError
from kinema.inference.dit_films import fill_frames
from kinema.inference.pipeline import Progress
from kinema.media import Clip
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.models.hub import DEFAULT, load, weights_sha256

STEPS, GUIDANCE, STRENGTH = 16, 3.0, 0.7
HISTORY = 4
"""Latent frames that a continuation goes on from, or half of those that the model films at once."""
PRIMITIVES: tuple[Workflow, ...] = ("generate", "keyframes", "extend", "edit")


def dit_capabilities(config: DiTModelConfig, name: str, folder: Path | None = None) -> Capabilities:
    """What a model of the general network films, by its config. folder: where its weights are, for their hash."""
    cell, factor = config.network.patch * config.space_factor, config.time_factor
    most = pixel_frames(config.frames, factor)
    rule = FrameRule(step=factor, offset=min(factor - 1, 1), least=1 + factor, most=most)
    return Capabilities(
        model=name, engine="kinema", family="DiT",
        workflows=() if config.film is None else derived_workflows(PRIMITIVES, FrameRule(), keeps=True),
        size=(config.width, config.height), fps=config.fps, seconds=config.seconds or most / config.fps, frames=rule,
        multiple=cell, masks=True, most_pixels=4 * config.width * config.height, steps=STEPS, guidance=GUIDANCE, strength=STRENGTH,
        weights_sha256="" if folder is None else weights_sha256(folder),
    )  # fmt: skip


class DiTEngine:
    """Films with a model of the general network.

    Args:
        model: The model, or its name or folder.
        device: "auto", "cpu", "cuda" or "mps", of one that is loaded here.

    Raises:
        ModelError: There is no such model, or its weights do not fit.
        InputError: It is no model that films.
    """

    def __init__(self, model: DiTModel | str | Path, *, name: str = "", device: str = AUTO) -> None:
        given = load(model, device=device) if isinstance(model, str | Path) else model
        if not isinstance(given, DiTModel):
            raise ModelError(f"{model} is no model of the general network")
        if given.config.film is None:
            recorded, source = (given.config.world or {}).get("env") or "a recording", given.source
            raise InputError(
                f"{given.config.name} is a world model of {recorded}, not one that films: step into it with"
                f" kinema play {source}, or train an agent with kinema agent train --inside {source}; to film, name {DEFAULT}"
            )
        self.model, self.name = given, name or given.source
        folder = Path(given.source)
        self._folder = folder if folder.is_dir() else None
        self._history = max(min(HISTORY, given.config.frames // 2), 1)

    @property
    def capabilities(self) -> Capabilities:
        """What the model films."""
        return dit_capabilities(self.model.config, self.name, self._folder)

    def film(
        self, request: FilmRequest, progress: Progress | None = None, cancelled: Callable[[], bool] = never,
        watch: Watch | None = None,
    ) -> list[Clip]:  # fmt: skip
        """Film a request; see `kinema.engines.Engine`."""
        capabilities = self.capabilities
        capabilities.check(request)

        def primitive(one: FilmRequest, plan: FilmPlan) -> Clip:
            def step(done: int, of: int) -> None:
                if cancelled():
                    raise Cancelled
                if progress is not None:
                    progress("film", done, of)

            return self._fill(one, plan, step)

        history = pixel_frames(self._history, self.model.config.time_factor)
        parts = Parts(capabilities=capabilities, primitive=primitive, primitives=PRIMITIVES, history=history)
        return [film_workflow(parts, one, progress) for one in request.each()]

    def close(self) -> None:
        """Nothing: the model stays loaded for the next that asks."""

    @torch.inference_mode()
    def _fill(self, request: FilmRequest, plan: FilmPlan, step: Callable[[int, int], None]) -> Clip:
        """One pass: known frames stand, the others are sampled."""
        model, (width, height) = self.model, plan.size
        ae = model.autoencoder
        frames = latent_frames(plan.frames, ae.time_factor)
        shape = (1, frames, ae.channels, height // ae.space_factor, width // ae.space_factor)
        known = torch.zeros(shape, device=model.device)
        unknown = torch.ones(1, frames, device=model.device)
        for at, latent in self._known(request, plan):
            known[0, at], unknown[0, at] = latent, float(request.workflow == "edit")
        strength = (STRENGTH if request.strength is None else request.strength) if request.workflow == "edit" else 1.0
        made = fill_frames(
            model, known, unknown, prompt=request.prompt, seed=request.seed, fps=plan.fps / ae.time_factor,
            steps=request.steps or STEPS, guidance=GUIDANCE if request.guidance is None else request.guidance, strength=strength,
            progress=step,
        )  # fmt: skip
        pixels = to_uint8(ae.decode(made, plan.frames))[0]
        return Clip(frames=np.ascontiguousarray(pixels), fps=plan.fps, caption=request.prompt)

    def _known(self, request: FilmRequest, plan: FilmPlan) -> list[tuple[int, Tensor]]:
        """Numbers of latent frames that are known, and their latents [C, h, w]; of an edit all frames, which it begins from. A
        picture in the midst of the frames of one latent stands still for all of them."""
        factor = self.model.autoencoder.time_factor
        if request.workflow in ("edit", "extend"):
            assert request.video is not None
            clip = request.video.resample(plan.fps).fit(*plan.size)
            if factor > 1 and request.workflow == "edit":  # the last frame stands still, not what moves in the last latent
                clip = clip.pick(np.arange(plan.frames).clip(max=clip.num_frames - 1))
            latents = self._encoded(clip)
            if request.workflow == "extend":
                return list(enumerate(latents[-self._history :]))
            return [(i, latents[min(i, len(latents) - 1)]) for i in range(latent_frames(plan.frames, factor))]
        placed: dict[int, Tensor] = {}
        for picture, at in request.pictures:
            frame = min(max(round(at * plan.fps), 0), plan.frames - 1)
            number = latent_frames(frame + 1, factor) - 1
            if factor > 1 and number in placed:
                raise InputError(
                    f"two pictures within {factor / plan.fps:g} s, at {at:g} s: {self.name} films {factor} frames as one; place"
                    " them further apart"
                )
            still = picture.fit(*plan.size).pick(np.zeros(1 + factor * (number > 0 and factor > 1), np.int64))
            placed[number] = self._encoded(still)[-1]
        return list(placed.items())

    def _encoded(self, clip: Clip) -> Tensor:
        """Latents [T, C, h, w]."""
        return self.model.autoencoder.encode(to_unit(clip.frames)[None].to(self.model.device)).float()[0]
