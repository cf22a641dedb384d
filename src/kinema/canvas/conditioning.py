"""Layouts: every capability is defined by which cells of a canvas are known.

Each function takes a canvas and returns it with some cells set and their levels lowered. Generating, extending, infilling, editing,
perceiving, rendering and simulating differ in nothing else. The functions compose: one canvas can have known frames, a known slot
and a known camera.

Axes: B batch, T frames, h x w video cells, P numbers per cell, K slots, F features, n given frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kinema.canvas.canvas import Canvas
from kinema.errors import InputError
from kinema.scene.schema import IDENTITY

WITHIN = 0.3
"""Noise level at which positions of objects that are edited behind a mask enter the plan."""


def known_frames(canvas: Canvas, frames: Sequence[int], video: Tensor) -> Canvas:
    """Pictures [B, n, h, w, P] are known at these frames: first, last, every other, the ends of a loop."""
    return canvas.write("video", frames, video)


def condition_extend(canvas: Canvas, clip: Tensor, *, before: bool = False) -> Canvas:
    """The clip [B, n, h, w, P] at one end, the rest to be filmed after it or (before=True) leading up to it."""
    n, total = clip.shape[1], canvas.num_frames
    if n >= total:
        raise InputError(f"a clip of {n} frames leaves nothing to extend on a canvas of {total}")
    return known_frames(canvas, range(total - n, total) if before else range(n), clip)


def condition_infill(canvas: Canvas, frames: Sequence[int], pictures: Tensor) -> Canvas:
    """Pictures at some frames, the gaps between them to be filled."""
    beyond = [i for i in frames if not 0 <= i < canvas.num_frames]
    if beyond:
        raise InputError(f"frames {beyond} lie outside the canvas of {canvas.num_frames} frames")
    return known_frames(canvas, frames, pictures)


def condition_edit(canvas: Canvas, clip: Tensor, *, strength: float, mask: Tensor | None = None) -> Canvas:
    """The whole clip is known at level `strength`, inside the mask [h, w] (True: change) or everywhere; exactly outside of it."""
    if not 0.0 < strength <= 1.0:
        raise InputError(f"strength {strength}: expected above 0 (keep all) and up to 1 (keep nothing)")
    canvas = canvas.write("video", slice(None), clip, strength)
    if mask is None:
        return canvas
    level = canvas.levels["video"]
    if mask.shape != level.shape[2:]:
        raise InputError(f"mask of {tuple(mask.shape)} cells, expected {tuple(level.shape[2:])}")
    return canvas.with_levels({"video": torch.where(mask.to(level.device), level, 0.0)})


def edit_state(canvas: Canvas, state: Tensor, *, strength: float, freed: Tensor, renamed: Tensor) -> Canvas:
    """The state [1, T, K, F] of a clip that is edited behind a mask: known where it is not freed (bool [T, K]), else at level
    `strength`, except for positions, which are at most at level WITHIN, so that objects stay in the mask. Identities of renamed
    slots (bool [K]) are unknown."""
    canvas = canvas.write("state", slice(None), state)
    level = torch.where(freed[None, ..., None].to(state.device), strength, canvas.levels["state"])
    place = canvas.schema.slice("position")
    level[..., place] = level[..., place].clamp(max=WITHIN)
    for group in IDENTITY:
        columns = canvas.schema.slice(group)
        level[..., columns] = torch.where(renamed[None, None, :, None].to(state.device), 1.0, level[..., columns])
    return canvas.with_levels({"state": level})


def condition_perceive(canvas: Canvas, video: Tensor) -> Canvas:
    """The whole video is known; the state is unknown."""
    return canvas.write("video", slice(None), video)


def with_video(canvas: Canvas, video: Tensor) -> Canvas:
    """A canvas without a video track, with one that is known."""
    return canvas.with_track("video", video, torch.zeros_like(video[..., 0]))


def known_state(canvas: Canvas, state: Tensor, frames: Sequence[int] | slice = slice(None), level: float = 0.0) -> Canvas:
    """Every field of every slot [B, n, K, F] is known at these frames; at a level above 0, approximately."""
    return canvas.write("state", frames, state, level)


def condition_render(canvas: Canvas, state: Tensor, camera: Tensor, setting: Tensor) -> Canvas:
    """State, camera and setting are known; the video is unknown."""
    canvas = known_state(canvas, state)
    canvas = canvas.write("camera", slice(None), camera)
    return canvas.write("scene", slice(None), setting)


def known_vector(canvas: Canvas, track: str, value: Tensor, frames: Sequence[int] | slice = slice(None)) -> Canvas:
    """Camera, scene, action, reward or terminated [B, n, D] at these frames."""
    return canvas.write(track, frames, value)


def fix_identity(canvas: Canvas, identity: Tensor) -> Canvas:
    """The identities of a state [B, K, F] are known in every frame; its other fields are unknown."""
    state, level = canvas.values["state"].clone(), canvas.levels["state"].clone()
    for group in IDENTITY:
        columns = canvas.schema.slice(group)
        state[..., columns] = identity[:, None, :, columns].to(state)
        level[..., columns] = 0.0
    return canvas.with_track("state", state, level)
