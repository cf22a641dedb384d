"""Rollout of a recorded world: the next frame from the few before it as channels, and from those further back by cached keys and
values.

A frame's keys and values are those of the pass that predicted it from noise, which reads the frames before it; so predicting a
frame and remembering it is one pass. A step costs the same whatever the age of the world.

Axes: B worlds, T frames, K frames of context, C channels, h x w latents, D numbers of a vector track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from kinema.canvas.canvas import TextCondition
from kinema.diffusion.flow import sample
from kinema.inference.frame_state import FrameState, Pair
from kinema.models.dit import DiT, DiTInput, FrameCache
from kinema.models.dit_model import DiTModel
from kinema.models.rules import MEMORY, NUMBER_WAVES, Rule

WANTED = "wanted"
"""What a network knows of the frame that it predicts, where it was trained for it (`wanted_numbers`)."""


def wanted_numbers(numbers: Tensor, given: Tensor, hidden: Tensor) -> Tensor:
    """[..., `wanted_width`]: the entities' numbers [..., D] of the predicted frame, and sines and cosines of them, where they are
    given [...], else zeros; whether they are; whether those of the frames before it are hidden [...]."""
    given, hidden = (x[..., None].to(numbers.dtype).expand(*numbers.shape[:-1], 1) for x in (given, hidden))
    waves = [f(numbers * wave) for wave in NUMBER_WAVES for f in (torch.sin, torch.cos)]
    return torch.cat([torch.cat([numbers, *waves], -1) * given, given, hidden], -1)


def wanted_width(entity_numbers: int) -> int:
    """How many numbers `wanted_numbers` makes of those of the entities."""
    return entity_numbers * (1 + 2 * len(NUMBER_WAVES)) + 2


def _before(model: DiTModel, states: Sequence[FrameState]) -> tuple[Tensor, dict[str, Tensor]]:
    """The last K frames [B, K, C, h, w], and what was known at them [B, K * D] by name, of a rule's memory that of the last one
    [B, M]; where there are fewer the first is repeated, with no action."""
    recent = list(states[-model.config.network.context :])
    missing = model.config.network.context - len(recent)
    recent = [*(replace(recent[0], acted=False) for _ in range(missing)), *recent]
    video = torch.stack([state.tracks["video"].float() for state in recent], 1)
    actions = [s.tracks["action"] if s.acted else torch.zeros_like(s.tracks["action"]) for s in recent]
    known = {"action": torch.cat(actions, -1)}
    if "sensors" in model.config.network.known:
        known["sensors"] = torch.cat([state.tracks["sensors"] for state in recent], -1)
    if MEMORY in model.config.network.known:
        known[MEMORY] = recent[-1].tracks[MEMORY]
    if WANTED in model.config.network.known:
        known[WANTED] = video.new_zeros(len(video), model.config.network.known[WANTED])
    return video, known


def _remembered(states: Sequence[FrameState], window: int) -> FrameCache:
    """The keys and values of the last frames that have some, `window` at most."""
    with_kv = [state for state in states[-window:] if state.kv]
    if not with_kv:
        return FrameCache(cached=[])
    times = torch.tensor([state.time_s for state in with_kv], device=with_kv[0].tracks["action"].device)
    per_block = zip(*(state.kv or () for state in with_kv), strict=True)
    cached = [(torch.cat([k for k, _ in pairs], -2), torch.cat([v for _, v in pairs], -2)) for pairs in per_block]
    return FrameCache(cached=cached, time_s=times.expand(with_kv[0].batch, -1))


@dataclass(frozen=True, kw_only=True)
class FrameInput:
    """What a frame is predicted from, beside the cache. `kinema.envs.web` exports a step with these as its inputs."""

    noise: Tensor
    """[B, C, h, w], unit normal."""
    context: Tensor
    """[B, K, C, h, w], float32, the latents of the frames before, oldest first."""
    known: dict[str, Tensor]
    """What was known at those frames: name -> [B, K * D]; of a rule's memory that of the last one [B, M]."""
    time_s: Tensor
    """[B, 1], seconds of the predicted frame, on the clock of the cache."""
    text: Tensor | None = None
    """[B, L, text_dim], with `text_mask` [B, L]."""
    text_mask: Tensor | None = None
    first: Sequence[int] = ()
    """Columns of "sensors" that are predicted in a pass of their own; the frame is painted with them given."""
    bounds: tuple[Tensor, Tensor] | None = None
    """Of "sensors", [D] each: the least and the most they can be. Where it is given there is a rule of them, on whose grid they are
    rounded. None: they are left as they are predicted."""


def denoise_frame(
    network: DiT, given: FrameInput, cache: FrameCache, *, spread: float, steps: int = 1
) -> tuple[dict[str, Tensor], list[Pair]]:
    """The frame after those of `given.context`; the network computes in the dtype of its weights.

    cache: earlier frames; it is left as it is. spread: `DiTModelConfig.spread`. steps: of the sampler.

    Returns the estimates by name, "video" [B, C, h, w], each of `predicted` [B, D] and a rule's memory in float32, and the frame's
    own keys and values of every block with time attention: those of the first pass from noise that makes the picture.
    """
    passes: list[tuple[FrameCache, dict[str, Tensor]]] = []
    known = given.known
    dtype = network.frame_token.dtype
    context = given.context[:, None].to(dtype)

    def estimate(noisy: Tensor, level: Tensor) -> Tensor:
        mine = replace(cache, new=[])
        inputs = DiTInput(
            video=noisy.to(dtype),
            level=level,
            time_s=given.time_s,
            context=context,
            vectors={name: x[:, None] for name, x in known.items()},
            text=given.text,
            text_mask=given.text_mask,
        )
        tracks = network(inputs, mine)
        if given.bounds is not None:
            rule = cast(Rule, network.rules["sensors"])
            tracks["sensors"] = rule.within(tracks["sensors"].float(), *given.bounds)
        passes.append((mine, tracks))
        return passes[-1][1]["video"].float()

    levels = [1 - i / steps for i in range(steps + 1)]
    noise, painted = given.noise[:, None], 0
    if given.first:
        estimate(noise, torch.ones_like(given.time_s))
        numbers = passes[0][1]["sensors"][:, 0, list(given.first)].float()
        yes = torch.ones_like(numbers[:, 0])
        known, painted = known | {WANTED: wanted_numbers(numbers, yes, 0 * yes)}, 1
    made = sample(estimate, noise, torch.ones_like(given.time_s), torch.zeros_like(noise), levels)
    tracks = {name: x[:, 0].float() for name, x in passes[0][1].items() if name != "video"}
    return {**tracks, "video": given.context[:, -1] + spread * made[:, 0]}, passes[painted][0].new


def _noise_like(video: Tensor, seeds: Sequence[int] | torch.Generator) -> Tensor:
    """Unit noise of the shape of latents [B, C, h, w], from a seed for each world or from a generator for all."""
    if isinstance(seeds, torch.Generator):
        return torch.randn(video.shape, generator=seeds, device=seeds.device).to(video.device)
    streams = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(video.shape[1:], generator=stream) for stream in streams]).to(video.device)


def _input(
    video: Tensor,
    known: dict[str, Tensor],
    seconds: float,
    seeds: Sequence[int] | torch.Generator,
    text: TextCondition | None,
) -> FrameInput:
    """What a frame is predicted from: the frames before it [B, K, C, h, w], what was known at them, its time, noise and text."""
    return FrameInput(
        noise=_noise_like(video[:, -1], seeds),
        context=video,
        known=known,
        time_s=torch.full((len(video), 1), seconds, device=video.device),
        text=None if text is None else text.states,
        text_mask=None if text is None else text.reads[:, 0],
    )


@torch.inference_mode()
def predict_frame(
    model: DiTModel,
    states: Sequence[FrameState],
    *,
    fps: float,
    seeds: Sequence[int] | torch.Generator,
    steps: int = 1,
    text: TextCondition | None = None,
    window: int | None = None,
) -> FrameState:
    """The frame after the last of the states, whose action is known or taken as none.

    seeds: one for each world, so that a world does not depend on those beside it but by rounding; or a generator for all. steps: of
    the sampler.
    window: frames that attention along time reads, by default the model's.
    """
    video, known = _before(model, states)
    last, earlier = states[-1], _remembered(states, window or model.config.frames)
    given = _input(video, known, last.time_s + 1 / fps, seeds, text)
    given = replace(given, first=model.config.first_columns, bounds=model.number_bounds)
    tracks, pairs = denoise_frame(model.network, given, earlier, spread=model.config.spread, steps=steps)
    tracks["action"] = torch.zeros_like(last.tracks["action"])
    return FrameState(time_s=last.time_s + 1 / fps, tracks=tracks, kv=tuple(pairs))


@torch.inference_mode()
def paint_numbers(
    model: DiTModel,
    states: Sequence[FrameState],
    numbers: Tensor,
    *,
    seeds: Sequence[int] | torch.Generator,
    steps: int = 1,
    text: TextCondition | None = None,
) -> FrameState:
    """The last of the states as it would be with other numbers of the entities [B, D], its picture painted anew; of a model with
    WANTED."""
    last = states[-1]
    video, known = _before(model, [replace(state, acted=False) for state in states])
    yes = torch.ones(last.batch, device=model.device)
    known[WANTED] = wanted_numbers(numbers.to(model.device), yes, 0 * yes)
    given = _input(video, known, 0.0, seeds, text)
    made, _ = denoise_frame(model.network, given, FrameCache(cached=[]), spread=model.config.spread, steps=steps)
    made["sensors"][:, model.config.entity_columns] = numbers.to(model.device).float()
    changed = {name: made[name] for name in ("video", "sensors")}
    return replace(last, tracks={**last.tracks, **changed}, acted=False, kv=None)


@torch.inference_mode()
def read_numbers(model: DiTModel, video: Tensor, text: TextCondition | None = None) -> Tensor:
    """All numbers [B, D] of frames [B, C, h, w], read off their latents alone; of a model with WANTED."""
    network, count = model.network, len(video)
    sizes = network.config.known
    none = {name: torch.zeros(count, 1, numbers, device=video.device) for name, numbers in sizes.items()}
    none[WANTED][..., -1] = 1.0
    still = video[:, None].to(network.frame_token.dtype)
    zero = torch.zeros(count, 1, device=video.device)
    inputs = DiTInput(
        video=torch.zeros_like(still),
        level=zero,
        time_s=zero,
        context=still[:, :, None].expand(-1, -1, network.config.context, -1, -1, -1),
        vectors=none,
        text=None if text is None else text.states,
        text_mask=None if text is None else text.reads[:, 0],
    )
    return network(inputs)["sensors"][:, 0].float()  # type: ignore[no-any-return]


@torch.inference_mode()
def remember(
    model: DiTModel,
    states: Sequence[FrameState],
    text: TextCondition | None = None,
    *,
    fps: float,
    window: int | None = None,
) -> list[FrameState]:
    """Recorded frame states with the keys and values that predicting each of them would have left, from fixed noise."""
    done: list[FrameState] = list(states[:1])
    for state in states[1:]:
        generator = torch.Generator().manual_seed(0)
        made = predict_frame(model, done, fps=fps, seeds=generator, text=text, window=window)
        done.append(replace(state, kv=made.kv))
    return done
