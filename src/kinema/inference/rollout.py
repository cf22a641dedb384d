"""Live mode: one frame after another, each from what is remembered of those before.

A frame is looked at once more when the next is wanted, because only then is it known what was done in it; its keys and values
are kept, so a step costs the same whether the world is a second old or an hour. Both frames pass the network together, the
old one known, the new one unknown.

Axes: B batch, T frames, K slots, F features, W remembered frames, D numbers of a vector track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.autoencoder import to_bytes
from kinema.canvas.canvas import Canvas, TextCondition
from kinema.canvas.patchify import from_cells
from kinema.diffusion.samplers import euler, schedule, start
from kinema.diffusion.shortcut import step_size_of
from kinema.models.block import KVCache
from kinema.models.denoiser import CLOSED, Denoiser, RolloutContext
from kinema.models.hub import Model
from kinema.scene.encoding import IDENTITY, group_slice, project_for_render

WINDOW = 32
"""Frames that are remembered: two seconds at 16 a second."""

Pair = tuple[Tensor, Tensor]


class HasShortcuts(Protocol):
    @property
    def shortcuts(self) -> bool: ...


class Stepper(Protocol):
    """What can be stepped: a model, or a denoiser in training."""

    @property
    def denoiser(self) -> Denoiser: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def config(self) -> HasShortcuts: ...


@dataclass(frozen=True, kw_only=True)
class FrameState:
    """One frame of a world, never changed: its time, its tracks (state [B, K, F], vectors [B, D]), whether its action is known,
    and what blocks along time keep of it ([N, H, 1, D] each) once the next frame was wanted."""

    time_s: float
    tracks: dict[str, Tensor]
    acted: bool = False
    memory: tuple[Pair, ...] | None = None

    @property
    def batch(self) -> int:
        return int(self.tracks["state"].shape[0])


def frame_states(tracks: dict[str, Tensor], start_s: float, fps: float) -> list[FrameState]:
    """Tracks [B, T, ...] as moments that nothing remembers yet."""
    frames = tracks["state"].shape[1]
    return [
        FrameState(time_s=start_s + t / fps, tracks={name: x[:, t] for name, x in tracks.items()}) for t in range(frames)
    ]


def _known(moments: Sequence[FrameState], text: TextCondition | None) -> Canvas:
    """Moments as a canvas on which all is known but actions that were not told."""
    first = moments[0]
    device = first.tracks["state"].device
    values = {name: torch.stack([m.tracks[name] for m in moments], 1) for name in first.tracks}
    levels = {name: torch.zeros(x.shape if name == "state" else x.shape[:-1], device=device) for name, x in values.items()}
    for t, moment in enumerate(moments):
        if not moment.acted:
            levels["action"][:, t] = 1.0
            values["action"][:, t] = 0.0
    time_s = torch.tensor([m.time_s for m in moments], device=device).expand(first.batch, -1)
    return Canvas(
        time_s=time_s, values=values, levels=levels, text=_read_text(text, len(moments)), cell_units=_cell_units(values)
    )


def _cell_units(values: dict[str, Tensor]) -> float | None:
    """Height of a cell of pictures that fill their cells, as those of recorded worlds do."""
    return 10.0 / values["video"].shape[2] if "video" in values else None


def _read_text(text: TextCondition | None, frames: int) -> TextCondition | None:
    """The text, read in every frame."""
    return text and TextCondition(states=text.states, reads=text.reads[:, :1].expand(-1, frames, -1))


def _next(moment: FrameState, fps: float, text: TextCondition | None) -> Canvas:
    """The frame after this one: who is there, the camera and the setting stay, all else is open."""
    values = {name: x[:, None].clone() for name, x in moment.tracks.items()}
    levels = {name: torch.ones(x.shape if name == "state" else x.shape[:-1], device=x.device) for name, x in values.items()}
    for group in IDENTITY:
        levels["state"][..., group_slice(group)] = 0.0
    for name in ("camera", "scene"):
        levels[name][:] = 0.0
    time_s = torch.full((moment.batch, 1), moment.time_s + 1 / fps, device=values["state"].device)
    return Canvas(time_s=time_s, values=values, levels=levels, text=_read_text(text, 1), cell_units=_cell_units(values))


def _joined(a: Canvas, b: Canvas) -> Canvas:
    text = a.text and b.text and TextCondition(states=a.text.states, reads=torch.cat([a.text.reads, b.text.reads], 1))
    return replace(
        a,
        time_s=torch.cat([a.time_s, b.time_s], 1),
        values={name: torch.cat([a.values[name], b.values[name]], 1) for name in a.values},
        levels={name: torch.cat([a.levels[name], b.levels[name]], 1) for name in a.levels},
        text=text,
    )


def _cached(moments: Sequence[FrameState]) -> tuple[RolloutContext | None, list[Pair]]:
    if not moments:
        return None, []
    state = torch.stack([m.tracks["state"] for m in moments], 1)
    time_s = torch.tensor([m.time_s for m in moments], device=state.device).expand(len(state), -1)
    kept = [m.memory for m in moments if m.memory is not None]
    pairs = [
        (torch.cat([memory[i][0] for memory in kept], 2), torch.cat([memory[i][1] for memory in kept], 2))
        for i in range(len(kept[0]))
    ]
    last = moments[-1]
    unsure = torch.full_like(last.tracks["action"][:, :1], 0.0 if last.acted else 1.0)
    deed = torch.cat([last.tracks["action"], unsure], -1)
    video, level = last.tracks.get("video"), torch.zeros_like(state)
    return RolloutContext(time_s=time_s, state=state, level=level, video=video, deed=deed), pairs


def sliding_window_mask(before: int, frames: int, window: int, device: torch.device) -> Tensor:
    """Bias [frames, before + frames]: each frame reads itself and the `window` frames before it."""
    now = torch.arange(before, before + frames, device=device)[:, None]
    other = torch.arange(before + frames, device=device)
    return torch.where((other <= now) & (other >= now - window), 0.0, CLOSED)


def _split(fresh: list[Pair], frame: int) -> tuple[Pair, ...]:
    return tuple((k[:, :, frame : frame + 1], v[:, :, frame : frame + 1]) for k, v in fresh)


@torch.inference_mode()
def prefill(
    model: Stepper, moments: Sequence[FrameState], text: TextCondition | None = None, *, window: int = WINDOW
) -> list[FrameState]:
    """Moments of which all but the last are remembered, in one pass; those that were remembered before are looked at anew."""
    if len(moments) < 2:
        return list(moments)
    canvas, memory = _known(moments[:-1], text), KVCache(past=[])
    frames = canvas.num_frames
    model.denoiser.recall(canvas, None, memory, sliding_window_mask(0, frames, window, model.device), dtype=model.dtype)
    return [*(replace(m, memory=_split(memory.fresh, t)) for t, m in enumerate(moments[:-1])), moments[-1]]


@torch.inference_mode()
def step(
    model: Stepper,
    moments: Sequence[FrameState],
    action: Tensor | None,
    *,
    fps: float,
    seeds: Sequence[int] | torch.Generator,
    steps: int = 1,
    text: TextCondition | None = None,
    window: int = WINDOW,
) -> tuple[FrameState, FrameState]:
    """The last moment, now remembered with what was done in it (action [B, 2] or None), and the one after it."""
    last = moments[-1]
    if action is not None:
        last = replace(last, tracks={**last.tracks, "action": action}, acted=True)
    else:
        last = replace(last, acted=False)
    past, pairs = _cached(moments[-1 - window : -1])
    before = 0 if past is None else past.time_s.shape[1]
    wanted = start(_next(last, fps, text), seeds)
    both = _joined(_known([last], text), wanted)
    stride = step_size_of(steps) if model.config.shortcuts and steps > 1 else 0.0
    memory, bias = KVCache(past=pairs), sliding_window_mask(before, 2, window, model.device)
    clean = model.denoiser.recall(both, past, memory, bias, stride=stride, dtype=model.dtype)
    last = replace(last, memory=_split(memory.fresh, 0))
    later_past, later_pairs = _cached([*moments[-1 - window : -1], last][-window:]) if steps > 1 else (None, [])
    first = {name: value[:, 1:] for name, value in clean.items()}
    answers = iter([first])

    def denoise(canvas: Canvas) -> dict[str, Tensor]:
        given = next(answers, None)
        if given is not None:
            return given
        return model.denoiser.recall(canvas, later_past, KVCache(past=later_pairs), None, stride=stride, dtype=model.dtype)

    done = euler(denoise, wanted, schedule(list(wanted.values), steps))
    tracks = {name: value[:, 0] for name, value in done.values.items()}
    tracks["state"] = torch.where(wanted.levels["state"][:, 0] == 0, last.tracks["state"], tracks["state"])
    return last, FrameState(time_s=last.time_s + 1 / fps, tracks=tracks)


def termination_prob(moment: FrameState) -> NDArray[np.float32]:
    """How likely each world's task is done in this very frame [B]: one step answers with a mean, of a track that is 1 or -1."""
    told = moment.tracks["terminated"][:, 0].float().cpu().numpy()
    return np.asarray(np.clip((told + 1) / 2, 0, 1), np.float32)


def terminated(moment: FrameState, seeds: Sequence[int]) -> NDArray[np.bool_]:
    """Whether it is done: drawn with that chance, the same for the same seed."""
    drawn = np.array([np.random.default_rng((seed, 7)).random() for seed in seeds])
    return np.asarray(drawn < termination_prob(moment))


@torch.inference_mode()
def predict_action(
    model: Model, moments: Sequence[FrameState], text: TextCondition | None = None, *, window: int = WINDOW
) -> Tensor:
    """What the model expects somebody to do in the last of these moments [B, D], whatever was done before."""
    canvas = _known([replace(m, acted=False) for m in moments[-window - 1 :]], text)
    bias = sliding_window_mask(0, canvas.num_frames, window, model.device)
    return model.denoiser.recall(canvas, None, KVCache(past=[]), bias, dtype=model.dtype)["action"][:, -1]


@torch.inference_mode()
def render_frames(model: Model, moments: Sequence[FrameState], height: int, width: int) -> NDArray[np.uint8]:
    """Pictures uint8 [B, T, height, width, 3] of moments, each frame by itself from its state."""
    patch = model.config.denoiser.patch
    cell = model.config.cell_px
    grid = (-(-height // cell), -(-width // cell))
    known = _known(moments, None)
    known = known.with_values({**known.values, "state": project_for_render(known.values["state"])}, known.levels)
    batch, frames = known.time_s.shape
    shape = (batch * frames, 1, *grid)
    video = torch.zeros(*shape, model.config.denoiser.cell_values, device=model.device)
    canvas = replace(
        known,
        time_s=known.time_s.reshape(-1, 1),
        values={**{name: x.flatten(0, 1)[:, None] for name, x in known.values.items()}, "video": video},
        levels={
            **{name: x.flatten(0, 1)[:, None] for name, x in known.levels.items()},
            "video": torch.ones(shape, device=model.device),
        },
        cell_units=10.0 * cell / height,
    )
    clean = model.denoiser.render(canvas, dtype=model.dtype)
    shown = to_bytes(model.codec.decode(from_cells(clean, patch)))[:, 0, :height, :width]
    return np.ascontiguousarray(shown).reshape(batch, frames, height, width, 3)
