"""Rollout of a world: predict one frame after another from the cached frames before it.

A step passes two frames through the network: the last frame, whose action is known only now, and the next frame, which is
unknown. The keys and values of the last frame are then added to the cache. Attention reads a window of cached frames, so a step
costs the same whatever the age of the world.

Axes: B batch, T frames, K slots, F features, W remembered frames, D numbers of a vector track.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.autoencoder import to_uint8
from kinema.canvas.canvas import Canvas, TextCondition, levels_of
from kinema.canvas.patchify import from_cells
from kinema.diffusion.samplers import euler, noise_canvas, schedule
from kinema.diffusion.seeds import ending_rng
from kinema.diffusion.shortcut import step_size_of
from kinema.errors import InputError
from kinema.inference.dit_rollout import predict_frame, remember
from kinema.inference.frame_state import FrameState, Pair
from kinema.models.block import KVCache
from kinema.models.denoiser import CLOSED, Denoiser, RolloutContext
from kinema.models.dit_model import DiTModel
from kinema.models.hub import Model
from kinema.scene.encoding import project_for_render
from kinema.scene.geometry import cell_units
from kinema.scene.schema import IDENTITY, StateSchema

WINDOW = 32
"""Frames that attention reads from the cache: two seconds at 16 frames a second."""


class Stepper(Protocol):
    """What `prefill` and `step` need of a model: a `Model`, or a denoiser in training."""

    @property
    def denoiser(self) -> Denoiser: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def shortcuts(self) -> bool: ...


def task_condition(model: Model | DiTModel, task: str | None, batch: int = 1) -> TextCondition | None:
    """The text of a task that holds at all times, for so many worlds; None without a task."""
    if isinstance(model, DiTModel):
        if not task or not model.config.network.text_dim:
            return None
        states, mask = model.encode_texts([task] * batch)
        return TextCondition(states=states, reads=mask[:, None])
    return model.condition([(task or "", 0.0, 1e9)], torch.zeros(batch, 1, device=model.device))


def split_frames(tracks: dict[str, Tensor], start_s: float, fps: float) -> list[FrameState]:
    """Tracks [B, T, ...] as one frame state per frame, without cached keys and values."""
    frames = tracks["action"].shape[1]
    return [
        FrameState(time_s=start_s + t / fps, tracks={name: x[:, t] for name, x in tracks.items()}) for t in range(frames)
    ]


def _known(states: Sequence[FrameState], text: TextCondition | None, schema: StateSchema) -> Canvas:
    """Frame states as a canvas on which everything is known except the actions of frames without one."""
    first = states[0]
    device = first.tracks["action"].device
    values = {name: torch.stack([m.tracks[name] for m in states], 1) for name in first.tracks}
    levels = {name: levels_of(name, x, 0.0) for name, x in values.items()}
    for t, state in enumerate(states):
        if not state.acted:
            levels["action"][:, t] = 1.0
            values["action"][:, t] = 0.0
    time_s = torch.tensor([m.time_s for m in states], device=device).expand(first.batch, -1)
    return Canvas(
        time_s=time_s,
        values=values,
        levels=levels,
        text=_read_text(text, len(states)),
        schema=schema,
    )


def _read_text(text: TextCondition | None, frames: int) -> TextCondition | None:
    """The text, read in every frame."""
    return text and TextCondition(states=text.states, reads=text.reads[:, :1].expand(-1, frames, -1))


def next_canvas(state: FrameState, fps: float, text: TextCondition | None, schema: StateSchema) -> Canvas:
    """A canvas of the frame after this one: identities, camera and setting are known, everything else is unknown."""
    values = {name: x[:, None].clone() for name, x in state.tracks.items()}
    levels = {name: levels_of(name, x, 1.0) for name, x in values.items()}
    for group in IDENTITY:
        levels["state"][..., schema.slice(group)] = 0.0
    for name in ("camera", "scene"):
        levels[name][:] = 0.0
    time_s = torch.full((state.batch, 1), state.time_s + 1 / fps, device=values["action"].device)
    return Canvas(
        time_s=time_s,
        values=values,
        levels=levels,
        text=_read_text(text, 1),
        schema=schema,
    )


def _joined(a: Canvas, b: Canvas) -> Canvas:
    text = a.text and b.text and TextCondition(states=a.text.states, reads=torch.cat([a.text.reads, b.text.reads], 1))
    return replace(
        a,
        time_s=torch.cat([a.time_s, b.time_s], 1),
        values={name: torch.cat([a.values[name], b.values[name]], 1) for name in a.values},
        levels={name: torch.cat([a.levels[name], b.levels[name]], 1) for name in a.levels},
        text=text,
    )


def _cached(states: Sequence[FrameState]) -> tuple[RolloutContext | None, list[Pair]]:
    if not states:
        return None, []
    last = states[-1]
    state = torch.stack([m.tracks["state"] for m in states], 1)
    time_s = torch.tensor([m.time_s for m in states], device=last.tracks["action"].device).expand(last.batch, -1)
    cached = [m.kv for m in states if m.kv is not None]
    pairs = [
        (torch.cat([kv[i][0] for kv in cached], 2), torch.cat([kv[i][1] for kv in cached], 2)) for i in range(len(cached[0]))
    ]
    unsure = torch.full_like(last.tracks["action"][:, :1], 0.0 if last.acted else 1.0)
    action = torch.cat([last.tracks["action"], unsure], -1)
    return RolloutContext(time_s=time_s, state=state, level=torch.zeros_like(state), action=action), pairs


def sliding_window_mask(before: int, frames: int, window: int, device: torch.device) -> Tensor:
    """Bias [frames, before + frames]: each frame reads itself and the `window` frames before it."""
    now = torch.arange(before, before + frames, device=device)[:, None]
    other = torch.arange(before + frames, device=device)
    return torch.where((other <= now) & (other >= now - window), 0.0, CLOSED)


def _split(new_pairs: list[Pair], frame: int) -> tuple[Pair, ...]:
    return tuple((k[:, :, frame : frame + 1], v[:, :, frame : frame + 1]) for k, v in new_pairs)


@torch.inference_mode()
def prefill(
    model: Stepper, states: Sequence[FrameState], text: TextCondition | None = None, *, window: int = WINDOW
) -> list[FrameState]:
    """The frame states with keys and values for all but the last, computed in one pass; existing ones are computed again."""
    if len(states) < 2:
        return list(states)
    canvas, cache = _known(states[:-1], text, model.denoiser.schema), KVCache(cached=[])
    frames = canvas.num_frames
    model.denoiser.recall(canvas, None, cache, sliding_window_mask(0, frames, window, model.device), dtype=model.dtype)
    return [*(replace(m, kv=_split(cache.new, t)) for t, m in enumerate(states[:-1])), states[-1]]


@torch.inference_mode()
def step(
    model: Stepper,
    states: Sequence[FrameState],
    action: Tensor | None,
    *,
    fps: float,
    seeds: Sequence[int] | torch.Generator,
    steps: int = 1,
    text: TextCondition | None = None,
    window: int = WINDOW,
) -> tuple[FrameState, FrameState]:
    """Predict one frame. Returns the last frame state, now with its action ([B, 2] or None), keys and values, and the next one."""
    last = states[-1]
    if action is not None:
        last = replace(last, tracks={**last.tracks, "action": action}, acted=True)
    else:
        last = replace(last, acted=False)
    context, pairs = _cached(states[-1 - window : -1])
    before = 0 if context is None else context.time_s.shape[1]
    wanted = noise_canvas(next_canvas(last, fps, text, model.denoiser.schema), seeds)
    bias = sliding_window_mask(before, 2, window, model.device)
    given = Earlier(context=context, pairs=pairs, bias=bias)
    later = None if steps == 1 else lambda last: _cached([*states[-1 - window : -1], last][-window:])
    return step_from_noise(model, last, wanted, given, fps=fps, steps=steps, text=text, later=later)


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What a step reads of the frames before the last one. Axes as above, W frames."""

    context: RolloutContext | None
    pairs: list[Pair]
    """Keys and values [N, H, W, D] of every block along time."""
    bias: Tensor
    """[2, W + 2], which of them and of each other the last frame and the next one read."""


def step_from_noise(
    model: Stepper,
    last: FrameState,
    wanted: Canvas,
    given: Earlier,
    *,
    fps: float,
    steps: int = 1,
    text: TextCondition | None = None,
    later: Callable[[FrameState], tuple[RolloutContext | None, list[Pair]]] | None = None,
) -> tuple[FrameState, FrameState]:
    """`step` with the noise drawn: wanted is the next frame's canvas at its noise. later: of the last frame with its keys and
    values, what passes after the first read; only for more than one step."""
    both = _joined(_known([last], text, model.denoiser.schema), wanted)
    step_size = step_size_of(steps) if model.shortcuts and steps > 1 else 0.0
    cache = KVCache(cached=given.pairs)
    clean = model.denoiser.recall(both, given.context, cache, given.bias, step_size=step_size, dtype=model.dtype)
    last = replace(last, kv=_split(cache.new, 0))
    later_context, later_pairs = (None, []) if later is None else later(last)
    first = {name: value[:, 1:] for name, value in clean.items()}
    answers = iter([first])

    def denoise(canvas: Canvas) -> dict[str, Tensor]:
        answer = next(answers, None)
        if answer is not None:
            return answer
        return model.denoiser.recall(
            canvas, later_context, KVCache(cached=later_pairs), None, step_size=step_size, dtype=model.dtype
        )

    finished = euler(denoise, wanted, schedule(list(wanted.values), steps))
    tracks = {name: value[:, 0] for name, value in finished.values.items()}
    tracks["state"] = torch.where(wanted.levels["state"][:, 0] == 0, last.tracks["state"], tracks["state"])
    return last, FrameState(time_s=last.time_s + 1 / fps, tracks=tracks)


def termination_prob(state: FrameState) -> NDArray[np.float32]:
    """Probability [B] that each world's task ends in this frame: a one-step prediction is the mean of a track that is 1 or -1."""
    track = state.tracks["terminated"][:, 0].float().cpu().numpy()
    return np.asarray(np.clip((track + 1) / 2, 0, 1), np.float32)


def terminated(state: FrameState, seeds: Sequence[int]) -> NDArray[np.bool_]:
    """Whether each world's task ends in this frame [B], drawn with `termination_prob` from its seed."""
    drawn = np.array([ending_rng(seed).random() for seed in seeds])
    return np.asarray(drawn < termination_prob(state))


@torch.inference_mode()
def predict_action(
    model: Model, states: Sequence[FrameState], text: TextCondition | None = None, *, window: int = WINDOW
) -> Tensor:
    """The action [B, D] that the model predicts for the last frame, from the states alone; all actions are unknown to it."""
    canvas = _known([replace(m, acted=False) for m in states[-window - 1 :]], text, model.denoiser.schema)
    bias = sliding_window_mask(0, canvas.num_frames, window, model.device)
    return model.denoiser.recall(canvas, None, KVCache(cached=[]), bias, dtype=model.dtype)["action"][:, -1]


@torch.inference_mode()
def render_frames(model: Model, states: Sequence[FrameState], height: int, width: int) -> NDArray[np.uint8]:
    """Pictures uint8 [B, T, height, width, 3] of frame states, each drawn from its state alone."""
    batch, frames = states[0].batch, len(states)
    shown = to_uint8(draw_frames(model, states, height, width))
    return np.ascontiguousarray(shown).reshape(batch, frames, height, width, 3)


def draw_frames(model: Model, states: Sequence[FrameState], height: int, width: int) -> Tensor:
    """Pictures of frame states, floats [B * T, 3, height, width] in [-1, 1], each drawn from its state alone."""
    patch = model.config.denoiser.patch
    cell = model.config.cell_px
    grid = (-(-height // cell), -(-width // cell))
    known = _known(states, None, model.denoiser.schema)
    known = known.with_values({"state": project_for_render(known.values["state"], known.schema)})
    batch, frames = known.time_s.shape
    shape = (batch * frames, 1, *grid)
    video = torch.zeros(*shape, model.config.denoiser.cell_values, device=model.device)
    alone = replace(known.map(lambda x: x.flatten(0, 1)[:, None], None), cell_units=cell_units(height / cell))
    canvas = alone.with_track("video", video, levels_of("video", video, 1.0))
    clean = model.denoiser.render(canvas, dtype=model.dtype, blank=True)
    return model.autoencoder.decode(from_cells(clean, patch))[:, 0, :, :height, :width]


class Rollout(ABC):
    """Running worlds of one model, B side by side: frame states up to the current one, stepped together.

    A subclass sets the attributes, gives the seeds, and says how many frames are retained.
    """

    model: Model | DiTModel
    fps: float
    steps: int
    """Of the sampler, each frame."""
    window: int = WINDOW
    _text: TextCondition | None = None
    _frame_states: list[FrameState]

    @abstractmethod
    def _seeds(self, frame: int) -> list[int]:
        """The seed of each world [B] for what is drawn at a frame."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop frames that are no longer retained."""

    @property
    def time_s(self) -> float:
        """Seconds since the world began."""
        return self._frame_states[-1].time_s

    @property
    def frame_index(self) -> int:
        """Number of the current frame; 0 where the world began."""
        return round(self.time_s * self.fps)

    @property
    def past_frames(self) -> int:
        """Number of retained frames before this one, to which the world can be rewound."""
        return len(self._frame_states) - 1

    def _predict(self, action: Tensor | None) -> None:
        """Step one frame with encoded actions [B, D], or None where they are unknown."""
        states, seeds = self._frame_states, self._seeds(self.frame_index)
        if isinstance(self.model, DiTModel):
            if action is not None:
                states[-1] = replace(states[-1], tracks={**states[-1].tracks, "action": action}, acted=True)
            self._frame_states = [*states, predict_frame(
                self.model, states, fps=self.fps, seeds=seeds, steps=self.steps, text=self._text, window=self.window
            )]  # fmt: skip
        else:
            last, new = step(
                self.model, states, action, fps=self.fps, seeds=seeds, steps=self.steps, text=self._text, window=self.window
            )  # fmt: skip
            states[-1:] = [last, new]
        self._forget()

    def _prefilled(self, states: Sequence[FrameState], text: TextCondition | None) -> list[FrameState]:
        """Known frame states, ready to be stepped from."""
        if isinstance(self.model, DiTModel):
            return remember(self.model, states, text, fps=self.fps, window=self.window)
        return prefill(self.model, states, text, window=self.window)

    def _terminations(self) -> NDArray[np.bool_]:
        """Which worlds end in this frame [B], drawn with the model's termination probability."""
        return terminated(self._frame_states[-1], self._seeds(self.frame_index))

    def branch(self) -> Self:
        """Another world that shares the past; neither changes the other."""
        other = object.__new__(type(self))
        other.__dict__ = {**self.__dict__, "_frame_states": list(self._frame_states)}
        return other

    def rewind(self, frames: int = 16) -> Self:
        """Go back by some frames and drop the later ones. Returns the world itself."""
        if not isinstance(frames, int | np.integer) or isinstance(frames, bool) or not 0 <= frames <= self.past_frames:
            raise InputError(f"{frames} frames back: expected 0 to {self.past_frames}, which this world remembers")
        if frames:
            self._frame_states = self._frame_states[:-frames]
        return self
