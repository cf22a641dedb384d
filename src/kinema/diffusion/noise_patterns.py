"""Noise levels: their distribution, and the noise patterns of training, which match the canvases of inference.

Video is redundant: almost everything is visible at level 0.7, so levels are shifted to the noisy end,
t = s u / (1 + (s - 1) u) with s = 3 (Esser et al. 2024, section 5.3.2 there for resolution), and some are exactly 1.
Independent levels per frame are diffusion forcing (Chen et al. 2024); independent levels per track are what UniDiffuser and
Unified World Models do.

Axes: B batch, T frames, K slots, F features, h x w video cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.diffusion.flow import shift_levels
from kinema.scene.schema import IDENTITY, StateSchema

Levels = dict[str, NDArray[np.float32]]
SHIFT = 3.0
IDENTITY_KNOWN = {"plan": 0.25, "film": 0.5}
"""Probability that identities are known. It is higher with pictures, because positions are ambiguous as long as it is unknown which
slot holds which object (slots are sorted by kind and color)."""

DETECTED_SHARE = 0.85
"""Probability that a state is roughly known from detections, where the pictures are known and the state is not."""


def shift(u: NDArray[Any] | float, amount: float = SHIFT) -> NDArray[Any] | float:
    """Even steps u in [0, 1] -> levels that dwell at the noisy end."""
    return shift_levels(u, amount)


@dataclass(frozen=True, kw_only=True)
class PatternMix:
    """How often each pattern is drawn when the canvas has video. Without video the patterns are those of `_plan`."""

    perceive: float
    render: float
    predict: float
    joint: float


def _level(rng: np.random.Generator, certain: float = 0.15) -> float:
    return 1.0 if rng.random() < certain else float(shift(rng.random()))


def _context(rng: np.random.Generator) -> float:
    """The level of known earlier frames: clean, or slightly noisy, so that errors do not accumulate in rollouts."""
    return 0.0 if rng.random() < 0.6 else float(rng.uniform(0.0, 0.1))


def _few(rng: np.random.Generator, frames: int) -> int:
    """A number of known frames, mostly small, at least 1 and fewer than all."""
    return min(int(np.exp(rng.uniform(0.0, np.log(max(frames, 1))))), frames - 1)


def _plan(rng: np.random.Generator, frames: int) -> NDArray[np.float32]:
    """Levels per frame for a canvas without video: all unknown, forcing, a known prefix, known ends or frames."""
    pattern, level = rng.random(), _level(rng)
    levels = np.full(frames, level, np.float32)
    if pattern < 0.45:
        return levels
    if pattern < 0.62:
        return np.array([_level(rng) for _ in range(frames)], np.float32)
    known = _context(rng)
    if pattern < 0.87:
        levels[: _few(rng, frames)] = known
    elif pattern < 0.94:
        levels[: _few(rng, frames // 2)] = known
        levels[frames - _few(rng, frames // 2) :] = known
    else:
        levels[rng.random(frames) < rng.uniform(0.05, 0.5)] = known
    return levels


def _set_detected_levels(rng: np.random.Generator, state: NDArray[np.float32], schema: StateSchema) -> None:
    """Set levels of a state with detections: identities and positions are roughly known in most frames; changes state [T, K, F] in
    place. Existence, kind and color are mostly known exactly; the other fields are unknown."""
    rough = np.exp(rng.uniform(np.log(0.008), np.log(0.3)))
    state[...] = 1.0
    for group in ("exists", "kind", "color"):
        state[..., schema.slice(group)] = 0.0 if rng.random() < 0.85 else rough
    shown = rng.random(state.shape[:2]) >= rng.choice((0.0, 0.1, 0.5), p=(0.4, 0.4, 0.2))
    state[..., schema.slice("position")] = np.where(shown[..., None], np.float32(rough), np.float32(1.0))


def _slots(rng: np.random.Generator, state: NDArray[np.float32], identity: float, schema: StateSchema) -> None:
    """Sometimes identity, one slot, or one field of one slot is known for the whole clip; changes state [T, K, F] in place."""
    if rng.random() < identity:
        for group in IDENTITY:
            state[..., schema.slice(group)] = 0.0
    if rng.random() < 0.1:
        state[:, rng.integers(state.shape[1])] = 0.0
    if rng.random() < 0.1:
        group = list(schema.groups)[rng.integers(len(schema.groups))]
        state[:, rng.integers(state.shape[1]), schema.slice(group)] = 0.0


def _vectors(
    rng: np.random.Generator, per_frame: NDArray[np.float32], known: dict[str, float], schema: StateSchema
) -> Levels:
    """Vector tracks follow the state's levels, but each is known for the whole clip with its own probability."""
    return {name: np.zeros_like(per_frame) if rng.random() < known[name] else per_frame.copy() for name in schema.vectors}


_PLAN_KNOWN = {"camera": 0.5, "scene": 0.4, "action": 0.6, "reward": 0.0, "terminated": 0.0}
_RENDER_KNOWN = {"camera": 1.0, "scene": 1.0, "action": 0.5, "reward": 0.5, "terminated": 0.5}
_FILM_KNOWN = {"camera": 0.3, "scene": 0.1, "action": 0.3, "reward": 0.0, "terminated": 0.0}


def _film(
    rng: np.random.Generator, frames: int, shares: PatternMix
) -> tuple[NDArray[np.float32], NDArray[np.float32], dict[str, float]]:
    """Per-frame levels of state and of video, and how likely each vector track is known."""
    pattern = rng.random()
    state = np.full(frames, _level(rng, certain=0.55), np.float32)
    video = np.full(frames, _level(rng, certain=0.5), np.float32)
    if pattern < shares.perceive:
        video[:] = 0.0 if rng.random() < 0.7 else rng.uniform(0.0, 0.3)
        if rng.random() < 0.15:
            state[: _few(rng, frames)] = _context(rng)
        return state, video, _FILM_KNOWN
    if pattern < shares.perceive + shares.render:
        state[:] = 0.0 if rng.random() < 0.6 else rng.uniform(0.0, 0.1)
        if rng.random() < 0.3:
            video[: _few(rng, frames)] = _context(rng)
        return state, video, _RENDER_KNOWN
    if pattern < shares.perceive + shares.render + shares.predict:
        known = int(rng.choice((1, 2, 3, 3, 3, 4, 6, 8)))
        video[:] = 1.0 if rng.random() < 0.7 else np.maximum(video, state)
        video[: max(min(known, frames - 1), 0)] = _context(rng)
        if rng.random() < 0.25:
            state[: min(known, frames - 1)] = _context(rng)
        return state, video, _FILM_KNOWN
    if rng.random() < 0.5:
        state = np.array([_level(rng) for _ in range(frames)], np.float32)
        video = np.array([_level(rng) for _ in range(frames)], np.float32)
    return state, np.maximum(state, video), _FILM_KNOWN


def sample_levels(
    rng: np.random.Generator,
    *,
    batch: int,
    frames: int,
    slots: int,
    grid: tuple[int, int] | None,
    shares: PatternMix,
    schema: StateSchema,
) -> Levels:
    """Levels for a training batch, one pattern per sample; without `grid` the canvas has no video."""
    rows: list[Levels] = []
    for _ in range(batch):
        if grid is None:
            state, known, detected = _plan(rng, frames), _PLAN_KNOWN, False
            row: Levels = {}
        else:
            state, video, known = _film(rng, frames, shares)
            detected = float(video.max()) <= 0.3 and rng.random() < DETECTED_SHARE
            row = {"video": np.broadcast_to(video[:, None, None], (frames, *grid)).copy()}
        row |= _vectors(rng, state, known, schema)
        row["state"] = np.broadcast_to(state[:, None, None], (frames, slots, schema.features)).copy()
        if detected:
            _set_detected_levels(rng, row["state"], schema)
        else:
            _slots(rng, row["state"], IDENTITY_KNOWN["plan" if grid is None else "film"], schema)
        rows.append(row)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def draw_rollout_levels(
    rng: np.random.Generator, *, batch: int, frames: int, slots: int, schema: StateSchema
) -> tuple[Levels, NDArray[np.bool_]]:
    """Levels of a rollout batch, and which frames are past [T]; each of the others is a next frame that no frame reads. Identities,
    camera and setting are known, and so are the past frames' vector tracks, though some samples have no actions."""
    past = rng.random(frames) >= rng.uniform(0.2, 0.6)
    past[0] = True
    rough = np.where(rng.random(batch) < 0.6, 0.0, rng.uniform(0.0, 0.06, batch)).astype(np.float32)
    ahead = np.where(rng.random((batch, frames)) < 0.7, 1.0, shift(rng.random((batch, frames)))).astype(np.float32)
    state = np.broadcast_to(
        np.where(past, rough[:, None], ahead)[..., None, None], (batch, frames, slots, schema.features)
    ).copy()
    for group in IDENTITY:
        state[..., schema.slice(group)] = 0.0
    vector_level = np.broadcast_to(np.where(past, 0.0, ahead), (batch, frames)).astype(np.float32)
    acted = rng.random((batch, 1)) < 0.9
    levels: Levels = {"state": state, **{name: vector_level.copy() for name in schema.vectors}}
    levels["action"] = np.where(past & acted, 0.0, 1.0).astype(np.float32)
    for name in ("camera", "scene"):
        levels[name][:] = 0.0
    return levels, past


def draw_stills(rng: np.random.Generator, *, batch: int, slots: int, grid: tuple[int, int], schema: StateSchema) -> Levels:
    """Levels of a batch of stills for the local parts: the first half to be rendered, the second half to be detected."""
    drawn = np.arange(batch) < batch // 2
    clear = np.where(rng.random(batch) < 0.7, 0.0, rng.uniform(0.0, 0.3, batch))
    known = np.where(rng.random(batch) < 0.7, 0.0, rng.uniform(0.0, 0.1, batch))
    hidden = np.where(rng.random(batch) < 0.7, 1.0, shift(rng.random(batch)))
    video = np.where(drawn, hidden, clear).astype(np.float32)[:, None]
    state = np.where(drawn, known, 1.0).astype(np.float32)[:, None]
    setting = np.where(drawn, 0.0, 1.0).astype(np.float32)[:, None]
    return {
        "video": np.broadcast_to(video[..., None, None], (batch, 1, *grid)).copy(),
        "state": np.broadcast_to(state[..., None, None], (batch, 1, slots, schema.features)).copy(),
        **{name: setting.copy() for name in schema.vectors},
    }
