"""Training batches: windows of a bank, drawn and coded as a pure function of (seed, step), so a resumed run sees the same.

Axes: B batch, T frames, K slots, F features, h x w video cells, P numbers per cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.canvas.cells import to_cells
from kinema.canvas.tracks import Fields, encode_camera, encode_reward, encode_setting, encode_state, encode_terminated
from kinema.codec import Codec
from kinema.data.bank import FRAMES, Bank, Windows
from kinema.diffusion.levels import draw, draw_live, draw_stills
from kinema.model.denoiser import CLOSED
from kinema.train.recipe import Recipe
from kinema.worlds.render import render_batch

HELD_BACK = 200
"""The last episodes of a bank are never trained on; canaries use them."""

ENDING = 0.4
"""Share of the stretches to be stepped through in which a task is done, where the bank has such."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    values: dict[str, Tensor]
    levels: dict[str, Tensor]
    noise: dict[str, Tensor]
    time_s: Tensor
    text_states: Tensor
    text_reads: Tensor
    time_bias: Tensor
    stride: Tensor
    """Share of the way that each answer is for, [B]; 0 but for shortcuts."""
    captions: list[str]
    live: bool = False
    past: Tensor | None = None
    """Of a batch that is stepped through: which frames are the past [T]."""


def draw_windows(rng: np.random.Generator, bank: Bank, *, batch: int, frames: int, film: bool, text_drop: float) -> Windows:
    """Plans span whole episodes from their start at 16 (or 32) frames a second; films are short, from anywhere at 8 to 32."""
    episodes = rng.integers(0, len(bank) - HELD_BACK, batch)
    strides = rng.choice((1, 2, 4), batch, p=(0.15, 0.65, 0.2)) if film else rng.choice((1, 2), batch, p=(0.2, 0.8))
    strides = np.minimum(strides, FRAMES // frames)
    latest = FRAMES - strides * (frames - 1) - 1
    anywhere = rng.random(batch) < (0.6 if film else 0.15)
    starts = np.where(anywhere, (rng.random(batch) * (latest + 1)).astype(np.int64), 0)
    told = ~anywhere & (rng.random(batch) >= text_drop)
    which = np.where(told, rng.choice((0, 0, 1, 2), batch), -1)
    return bank.windows(episodes, starts, strides, frames, which)


def draw_live_windows(rng: np.random.Generator, bank: Bank, *, batch: int, frames: int, text_drop: float) -> Windows:
    """Stretches from anywhere in whole episodes, some of which are sure to hold the frame in which a task is done.

    Of episodes at 16 frames a second in which somebody acts every frame is kept: what was done between two of
    them is what the first tells."""
    episodes = rng.integers(0, len(bank) - HELD_BACK, batch)
    strides = np.minimum(rng.choice((1, 2), batch, p=(0.2, 0.8)), FRAMES // frames)
    if bank.acts:
        strides = np.minimum(strides, max(int(bank.fps / 16), 1))
    span = strides * (frames - 1)
    starts = (rng.random(batch) * (FRAMES - span)).astype(np.int64)
    which = np.where(rng.random(batch) >= text_drop, rng.choice((0, 1, 2, 2), batch), -1)
    done = np.flatnonzero(bank.end[: len(bank) - HELD_BACK] > 0)
    if len(done):
        ending = rng.random(batch) < ENDING
        episodes = np.where(ending, rng.choice(done, batch), episodes)
        end = bank.end[episodes]
        first, last = np.maximum(end - span, 0), np.minimum(end - 1, FRAMES - 1 - span)
        starts = np.where(ending, (first + rng.random(batch) * (last - first + 1)).astype(np.int64), starts)
        which = np.where(ending & (which >= 0), 2, which)
    return bank.windows(episodes, starts, strides, frames, which)


def pictures(fields: Fields, height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Draw windows: uint8 [B, T, H, W, 3]."""
    batch, frames, slots = fields.x.shape

    def each_frame(values: NDArray[Any]) -> Tensor:
        spread = np.repeat(values[:, None], frames, 1)
        return torch.from_numpy(np.ascontiguousarray(spread.reshape(batch * frames, *values.shape[1:]))).to(device)

    drawn = render_batch(
        kind=each_frame(fields.kind),
        color=each_frame(fields.color),
        size=each_frame(fields.size),
        x=torch.from_numpy(fields.x.reshape(-1, slots)).to(device),
        y=torch.from_numpy(fields.y.reshape(-1, slots)).to(device),
        angle=torch.from_numpy(fields.angle.reshape(-1, slots)).to(device),
        view=each_frame(fields.view),
        background=each_frame(fields.background),
        camera=torch.from_numpy(fields.camera.reshape(-1, 3)).to(device),
        height=height,
        width=width,
    )
    return drawn.reshape(batch, frames, height, width, 3)


def encode_pictures(codec: Codec, drawn: Tensor, patch: int) -> Tensor:
    """uint8 [B, T, H, W, 3] -> video cells [B, T, h, w, P]."""
    with torch.no_grad():
        latents = codec.encode(drawn.permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0)
    return to_cells(latents.float(), patch)


def encode_windows(
    windows: Windows, *, codec: Codec | None, patch: int, size: int, device: torch.device | str
) -> dict[str, Tensor]:
    """Every track of the canvas; video only when a codec is given."""
    fields = windows.fields
    frames = fields.x.shape[1]
    tracks = {
        "state": encode_state(fields),
        "camera": encode_camera(fields.camera),
        "scene": encode_setting(fields.view, fields.background, frames),
        "action": windows.action,
        "reward": encode_reward(windows.reward),
        "terminated": encode_terminated(windows.terminated),
    }
    values = {name: torch.from_numpy(track).to(device) for name, track in tracks.items()}
    if codec is not None:
        values["video"] = encode_pictures(codec, pictures(fields, size, size, device), patch)
    return values


def draw_time_bias(rng: np.random.Generator, frames: int) -> NDArray[np.float32]:
    """Who may read whom along time: everyone (film), the past only (live), or either within stretches of random length.

    Stretches teach short clips, down to stills, at the cost of long ones.
    """
    index = np.arange(frames)
    cuts = rng.random(frames) < rng.choice((0.1, 0.25, 1.0), p=(0.5, 0.35, 0.15)) if rng.random() < 0.4 else index < 0
    stretch = np.cumsum(cuts)
    closed = stretch[:, None] != stretch[None, :]
    if rng.random() < 0.4:
        closed |= index[None, :] > index[:, None]
    return np.where(closed, CLOSED, 0.0).astype(np.float32)


def _packed(tensors: dict[str, Tensor], pieces: int) -> dict[str, Tensor]:
    """[B * pieces, T / pieces, ...] -> [B, T, ...]: several short clips end to end in one row."""
    return {name: x.reshape(x.shape[0] // pieces, x.shape[1] * pieces, *x.shape[2:]) for name, x in tensors.items()}


@dataclass(frozen=True, kw_only=True)
class Stills:
    """Single pictures of as many episodes, for the local parts."""

    values: dict[str, Tensor]
    levels: dict[str, Tensor]
    noise: dict[str, Tensor]
    pictures: Tensor
    """The true pictures [B, 3, H, W] in [-1, 1]."""


def is_still(recipe: Recipe, step: int, still_share: float) -> bool:
    """Whether the batch of a step is of stills."""
    return bool(np.random.default_rng((recipe.seed, step, 2)).random() < still_share)


def make_stills(recipe: Recipe, bank: Bank, codec: Codec, step: int, device: torch.device | str) -> Stills:
    """The stills of one step."""
    rng = np.random.default_rng((recipe.seed, step))
    windows = draw_windows(rng, bank, batch=recipe.still_batch, frames=1, film=True, text_drop=1.0)
    values = encode_windows(windows, codec=None, patch=recipe.denoiser.patch, size=recipe.size, device=device)
    drawn = pictures(windows.fields, recipe.size, recipe.size, device)
    values["video"] = encode_pictures(codec, drawn, recipe.denoiser.patch)
    grid = (values["video"].shape[2], values["video"].shape[3])
    levels = draw_stills(rng, batch=recipe.still_batch, slots=recipe.denoiser.slots, grid=grid)
    return Stills(
        values=values,
        levels={name: torch.from_numpy(level).to(device) for name, level in levels.items()},
        noise=_noise(rng, values, device),
        pictures=drawn[:, 0].permute(0, 3, 1, 2).float() / 127.5 - 1.0,
    )


def _noise(rng: np.random.Generator, values: dict[str, Tensor], device: torch.device | str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    return {name: torch.randn(value.shape, generator=generator).to(device) for name, value in values.items()}


def make(
    recipe: Recipe,
    bank: Bank,
    codec: Codec,
    step: int,
    device: torch.device | str,
    film_share: float = 0.5,
    acting: Bank | None = None,
) -> Batch:
    """The batch of one step; `acting` holds episodes in which somebody acts.

    Some film batches are packed: each row holds several short clips or stills of different episodes that cannot see each other,
    which shows perceiving and rendering as many more scenes at the same cost.
    """
    rng = np.random.default_rng((recipe.seed, step))
    film = bool(rng.random() < film_share)
    if not film and rng.random() < recipe.live_share:
        moved = acting is not None and rng.random() < recipe.acting_share
        return _make_live(recipe, acting if moved and acting is not None else bank, rng, device)
    pieces = int(rng.choice(recipe.packs)) if film and rng.random() < recipe.packed_share else 1
    rows, length = (recipe.film_batch, recipe.film_frames) if film else (recipe.plan_batch, recipe.plan_frames)
    batch, frames = rows * pieces, length // pieces
    told = recipe.text_drop if pieces == 1 else 1.0
    windows = draw_windows(rng, bank, batch=batch, frames=frames, film=film, text_drop=told)
    patch = recipe.denoiser.patch
    values = encode_windows(windows, codec=codec if film else None, patch=patch, size=recipe.size, device=device)
    grid = (values["video"].shape[2], values["video"].shape[3]) if film else None
    levels = draw(rng, batch=batch, frames=frames, slots=recipe.denoiser.slots, grid=grid, shares=recipe.shares)
    noise = _noise(rng, values, device)
    clock = {"time_s": torch.from_numpy(np.arange(frames, dtype=np.float32) / windows.fps[:, None]).to(device)}
    if pieces == 1:
        bias = draw_time_bias(rng, frames)
    else:
        bias = np.kron(np.eye(pieces) - 1, np.ones((frames, frames))).astype(np.float32) * -CLOSED
    mask = torch.from_numpy(windows.text_mask)[:rows, None].expand(-1, length, -1).contiguous()
    return Batch(
        values=_packed(values, pieces),
        levels=_packed({name: torch.from_numpy(level).to(device) for name, level in levels.items()}, pieces),
        noise=_packed(noise, pieces),
        time_s=_packed(clock, pieces)["time_s"],
        text_states=torch.from_numpy(windows.text_states)[:rows].to(device),
        text_reads=mask.to(device),
        time_bias=torch.from_numpy(bias).to(device),
        stride=torch.zeros(rows, device=device),
        captions=windows.captions,
    )


def _make_live(recipe: Recipe, bank: Bank, rng: np.random.Generator, device: torch.device | str) -> Batch:
    """A batch in which every frame that is not the past is a next frame, told by the past alone."""
    batch, frames = recipe.plan_batch, recipe.plan_frames
    windows = draw_live_windows(rng, bank, batch=batch, frames=frames, text_drop=recipe.text_drop)
    values = encode_windows(windows, codec=None, patch=recipe.denoiser.patch, size=recipe.size, device=device)
    levels, past = draw_live(rng, batch=batch, frames=frames, slots=recipe.denoiser.slots)
    index = np.arange(frames)
    closed = (index[None, :] > index[:, None]) | (~past[None, :] & (index[None, :] != index[:, None]))
    mask = torch.from_numpy(windows.text_mask)[:, None].expand(-1, frames, -1).contiguous()
    return Batch(
        values=values,
        levels={name: torch.from_numpy(level).to(device) for name, level in levels.items()},
        noise=_noise(rng, values, device),
        time_s=torch.from_numpy(index.astype(np.float32) / windows.fps[:, None]).to(device),
        text_states=torch.from_numpy(windows.text_states).to(device),
        text_reads=mask.to(device),
        time_bias=torch.from_numpy(np.where(closed, CLOSED, 0.0).astype(np.float32)).to(device),
        stride=torch.zeros(batch, device=device),
        captions=windows.captions,
        live=True,
        past=torch.from_numpy(past),
    )
