"""Training batches: windows of an episode cache, drawn as a pure function of (seed, kind, number), so a resumed run sees the same.

There are five kinds. `still`: single pictures of as many episodes, for the local parts that see and draw. `crop`: windows of
such pictures, for what draws known states. `film`: short clips with video. `plan`: long clips without. `live`: the same, stepped
through frame by frame. `make_batch` draws a batch on the CPU, pictures rendered and all, which worker processes may do ahead
(`kinema.training.loader`); `Batch.on` moves it to the model's device, encodes its pictures and draws its noise there.

Axes: B batch, T frames, K slots, F features, h x w video cells, P numbers per cell, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinema.autoencoder import VideoAutoencoder
from kinema.canvas.canvas import Canvas, TextCondition, levels_of
from kinema.canvas.patchify import to_cells
from kinema.datasets.episode_cache import FRAMES, EpisodeCache, Windows, trained_on
from kinema.datasets.episode_clips import render_windows
from kinema.diffusion.noise_patterns import draw_rollout_levels, draw_stills, sample_levels
from kinema.models.denoiser import CLOSED
from kinema.scene.encoding import Fields, encode_camera, encode_reward, encode_setting, encode_state, encode_terminated
from kinema.scene.geometry import HALF_HEIGHT
from kinema.training.recipes import KINDS, Phase, Recipe, Shape
from kinema.training.seeds import StepDraw, batch_rng, step_rng

ENDING = 0.4
"""Share of the stretches to be stepped through in which a task is done, where the episode cache has such."""
SCREENED = 0.35
"""Share of the stretches of meetings in which something is hidden, where the episode cache has such."""
PARTIAL = 3
"""Caption of an episode cache in which words of kind or color are left out here and there, so that each is learned by itself."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One step's work. On the CPU `values` has no video yet but `pictures` has what it shows; after `on` it is complete."""

    kind: str
    values: dict[str, Tensor]
    levels: dict[str, Tensor]
    noise_seed: int
    time_s: Tensor
    text_states: Tensor
    text_reads: Tensor
    time_bias: Tensor
    step_size: Tensor
    """Share of the way that each answer is for, [B]; 0 but for shortcuts."""
    captions: list[str]
    cell_units: float | None = None
    """Height of a video cell in room units; None without video."""
    pictures: Tensor | None = None
    """uint8 [B, T, H, W, 3]."""
    noise: dict[str, Tensor] | None = None
    past: Tensor | None = None
    """Of a batch that is stepped through: which frames are the past [T]."""
    window: Tensor | None = None
    """Of windows of pictures: their centers (y, x) in units from the centers of the whole pictures, [B, 2]."""
    counts: Tensor | None = None
    """Of windows: 0 for cells at an edge that was cut, else 1, [h, w]."""

    @property
    def canvas(self) -> Canvas:
        """The clean tracks with their levels and text."""
        text = TextCondition(states=self.text_states, reads=self.text_reads)
        return Canvas(time_s=self.time_s, values=self.values, levels=self.levels, text=text, cell_units=self.cell_units)

    @property
    def live(self) -> bool:
        return self.kind == "live"

    def on(self, device: torch.device | str, autoencoder: VideoAutoencoder, patch: int) -> Batch:
        """The batch on a device, with the video encoded and noise for every track."""

        def moved(x: Any) -> Any:
            if isinstance(x, Tensor):
                return x.to(device, non_blocking=True)
            return {name: moved(value) for name, value in x.items()} if isinstance(x, dict) else x

        there: dict[str, Any] = {field.name: moved(getattr(self, field.name)) for field in fields(self)}
        values, pictures = dict(there["values"]), there["pictures"]
        if pictures is not None:
            values["video"] = encode_pictures(autoencoder, pictures, patch)
        there |= {"values": values, "text_states": there["text_states"].float(), "past": self.past}
        return Batch(**there | {"noise": draw_noise(self.noise_seed, values)})

    def pinned(self) -> Batch:
        """The same in page-locked memory, from which a GPU fetches while it computes."""

        def locked(x: Any) -> Any:
            if isinstance(x, Tensor):
                return x.pin_memory()
            return {name: locked(value) for name, value in x.items()} if isinstance(x, dict) else x

        return replace(self, **{field.name: locked(getattr(self, field.name)) for field in fields(self)})

    def pin_memory(self) -> Batch:
        """What a data loader calls."""
        return self.pinned()


def draw_noise(seed: int, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Unit Gaussian noise for every track, made where the track lies; the same for the same seed and device."""
    device = next(iter(values.values())).device
    if device.type == "meta":
        return {name: torch.empty_like(value) for name, value in values.items()}
    generator = torch.Generator(device).manual_seed(seed)
    return {name: torch.randn(x.shape, generator=generator, device=device) for name, x in values.items()}


def draw_windows(
    rng: np.random.Generator, cache: EpisodeCache, *, batch: int, frames: int, film: bool, text_drop: float
) -> Windows:
    """Plans span whole episodes from their start at 16 (or 32) frames a second; films are short, from anywhere at 8 to 32."""
    episodes = rng.integers(0, trained_on(cache), batch)
    strides = rng.choice((1, 2, 4), batch, p=(0.15, 0.65, 0.2)) if film else rng.choice((1, 2), batch, p=(0.2, 0.8))
    strides = np.minimum(strides, FRAMES // frames)
    latest = FRAMES - strides * (frames - 1) - 1
    anywhere = rng.random(batch) < (0.6 if film else 0.15)
    starts = np.where(anywhere, (rng.random(batch) * (latest + 1)).astype(np.int64), 0)
    captioned = ~anywhere & (rng.random(batch) >= text_drop)
    which = np.where(captioned, rng.choice((0, 1, 2, PARTIAL), batch), -1)
    return cache.windows(episodes, starts, strides, frames, which)


def draw_live_windows(
    rng: np.random.Generator, cache: EpisodeCache, *, batch: int, frames: int, text_drop: float
) -> Windows:
    """Stretches from anywhere in whole episodes, some of which are sure to hold the frame in which a task is done.

    Of episodes at 16 frames a second in which somebody acts every frame is kept: what was done between two of
    them is what the first tells."""
    episodes = rng.integers(0, trained_on(cache), batch)
    strides = np.minimum(rng.choice((1, 2), batch, p=(0.2, 0.8)), FRAMES // frames)
    if cache.acts:
        strides = np.minimum(strides, max(int(cache.fps / 16), 1))
    span = strides * (frames - 1)
    starts = (rng.random(batch) * (FRAMES - span)).astype(np.int64)
    which = np.where(rng.random(batch) >= text_drop, rng.choice((0, 1, 2, 2), batch), -1)
    done = np.flatnonzero(cache.end[: trained_on(cache)] > 0)
    if len(done):
        ending = rng.random(batch) < ENDING
        episodes = np.where(ending, rng.choice(done, batch), episodes)
        end = cache.end[episodes]
        first, last = np.maximum(end - span, 0), np.minimum(end - 1, FRAMES - 1 - span)
        starts = np.where(ending, (first + rng.random(batch) * (last - first + 1)).astype(np.int64), starts)
        which = np.where(ending & (which >= 0), 2, which)
    return cache.windows(episodes, starts, strides, frames, which)


def training_part(
    cache: EpisodeCache, frames: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Those of the episodes and frames that are not held back."""
    trained = frames[0] < trained_on(cache)
    return frames[0][trained], frames[1][trained]


def draw_meeting_windows(
    rng: np.random.Generator, cache: EpisodeCache, *, batch: int, frames: int, past: NDArray[np.bool_], text_drop: float
) -> Windows:
    """Stretches in which a next frame, one that `past` [T] does not hold, is the first after a contact (`EpisodeCache.jolts`), or,
    in some where there are screens, one in which a thing is hidden (`EpisodeCache.covered`)."""
    episodes, times = training_part(cache, cache.jolts)
    pick = rng.integers(0, len(episodes), batch)
    episodes, times = episodes[pick], times[pick]
    behind, hidden = training_part(cache, cache.covered)
    if len(behind):
        pick = rng.integers(0, len(behind), batch)
        screened = rng.random(batch) < SCREENED
        episodes, times = np.where(screened, behind[pick], episodes), np.where(screened, hidden[pick], times)
    strides = np.minimum(rng.choice((1, 2), batch, p=(0.2, 0.8)), FRAMES // frames)
    targets = np.flatnonzero(~past)
    targets = targets[targets >= min(2, frames - 1)]
    targets = targets if len(targets) else np.arange(frames)
    late = (rng.random(batch) * strides).astype(np.int64)
    begins = (times + late)[:, None] - strides[:, None] * targets
    latest = FRAMES - 1 - strides * (frames - 1)
    fits = (begins >= 0) & (begins <= latest[:, None])
    at = (rng.random(fits.shape) + fits).argmax(1)
    starts = begins[np.arange(batch), at].clip(0, latest)
    which = np.where(rng.random(batch) >= text_drop, rng.choice((0, 1, PARTIAL), batch), -1)
    return cache.windows(episodes, starts, strides, frames, which)


def encode_pictures(autoencoder: VideoAutoencoder, drawn: Tensor, patch: int) -> Tensor:
    """uint8 [B, T, H, W, 3] -> video cells [B, T, h, w, P]."""
    with torch.no_grad():
        latents = autoencoder.encode(drawn.permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0)
    return to_cells(latents.float(), patch)


def encode_windows(windows: Windows) -> dict[str, Tensor]:
    """Every track of the canvas but the video, on the CPU."""
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
    return {name: torch.from_numpy(track) for name, track in tracks.items()}


def seen_at(fields: Fields, shape: Shape) -> Fields:
    """What a picture of this shape shows of each thing: upright pictures cut off what stands at the sides."""
    half = HALF_HEIGHT * shape.width / shape.height
    if half >= HALF_HEIGHT:
        return fields
    zoom = fields.camera[..., None, 2]
    size = np.maximum(fields.size[:, None] * zoom, 0.1)
    inside = (half + size - np.abs(fields.x - fields.camera[..., None, 0]) * zoom) / (2 * size)
    return replace(fields, visible=(fields.visible * inside.clip(0, 1)).astype(np.float32))


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


def batch_kind(recipe: Recipe, phase: Phase, step: int) -> str:
    """Which kind of batch a step is."""
    rng = step_rng(recipe.seed, step, StepDraw.KIND)
    if rng.random() < phase.still_share:
        return "crop" if step_rng(recipe.seed, step, StepDraw.CROP).random() < recipe.crop_share else "still"
    if rng.random() < phase.film_share:
        return "film"
    return "live" if rng.random() < recipe.live_share else "plan"


def make_batch(recipe: Recipe, caches: Mapping[str, EpisodeCache], phase: str, kind: str, number: int) -> Batch:
    """Batch `number` of a kind, from the episode cache of a phase."""
    rng = batch_rng(recipe.seed, KINDS.index(kind), number)
    if kind == "still":
        return _still(recipe, caches[phase], rng)
    if kind == "crop":
        return _crop(recipe, caches[phase], rng)
    if kind == "film":
        return _film(recipe, caches[phase], rng)
    if kind == "plan":
        return _clips(recipe, caches[phase], rng, kind, None, recipe.plan_batch, recipe.plan_frames, 1)
    chance = rng.random()
    if chance < recipe.meeting_share:
        return _live(recipe, caches[recipe.meeting.name], rng, meeting=True)
    acts = chance < recipe.meeting_share + recipe.acting_share
    return _live(recipe, caches[recipe.acting.name if acts else phase], rng)


def _shape(rng: np.random.Generator, shapes: tuple[Shape, ...]) -> Shape:
    shares = np.array([shape.share for shape in shapes])
    return shapes[int(rng.choice(len(shapes), p=shares / shares.sum()))]


def _still(recipe: Recipe, cache: EpisodeCache, rng: np.random.Generator) -> Batch:
    """Single pictures, which see neither each other nor a text."""
    shape = _shape(rng, recipe.still_shapes)
    count = max(recipe.still_pixels // (shape.height * shape.width) // 2 * 2, 2)
    windows = draw_windows(rng, cache, batch=count, frames=1, film=True, text_drop=1.0)
    windows = replace(windows, fields=seen_at(windows.fields, shape))
    levels = draw_stills(
        rng,
        batch=count,
        slots=recipe.denoiser.slots,
        grid=shape.cells(recipe.denoiser.cell_px),
        schema=recipe.denoiser.schema,
    )
    return Batch(
        kind="still",
        values=encode_windows(windows),
        levels={name: torch.from_numpy(level) for name, level in levels.items()},
        noise_seed=int(rng.integers(2**62)),
        time_s=torch.zeros(count, 1),
        text_states=torch.zeros(count, 0, windows.text_states.shape[-1]),
        text_reads=torch.zeros(count, 1, 0, dtype=torch.bool),
        time_bias=torch.zeros(1, 1),
        step_size=torch.zeros(count),
        captions=[],
        cell_units=shape.cell_units(recipe.denoiser.cell_px),
        pictures=render_windows(windows.fields, shape.height, shape.width),
    )


def draw_window_corners(
    rng: np.random.Generator, fields: Fields, shape: Shape, side: int, cell_px: int
) -> NDArray[np.int64]:
    """First rows and columns [B, 2], in cells of `cell_px` pixels, of windows of at most `side` x `side` cells, each around a thing
    or, one in four, anywhere."""
    (rows, columns), units = shape.cells(cell_px), shape.cell_units(cell_px)
    picks = (rng.random(fields.kind.shape) + (fields.kind >= 0)).argmax(1)[:, None]
    x, y = (np.take_along_axis(values[:, 0], picks, 1)[:, 0] for values in (fields.x, fields.y))
    camera = fields.camera[:, 0]
    at = np.stack(
        [
            rows / 2 - (y - camera[:, 1]) * camera[:, 2] / units,
            columns / 2 + (x - camera[:, 0]) * camera[:, 2] / units,
        ],
        1,
    )
    at = np.where(rng.random(len(at))[:, None] < 0.25, rng.random(at.shape) * np.array([rows, columns]), at)
    most = np.array([max(rows - side, 0), max(columns - side, 0)])
    corners: NDArray[np.int64] = np.rint(at + rng.uniform(-1, 1, at.shape) - side / 2).astype(np.int64).clip(0, most)
    return corners


def _crop(recipe: Recipe, cache: EpisodeCache, rng: np.random.Generator) -> Batch:
    """Windows of single pictures of known states."""
    shape = _shape(rng, recipe.still_shapes)
    px = recipe.denoiser.cell_px
    whole_rows, whole_columns = shape.cells(px)
    side = recipe.crop_side // px
    rows, columns = min(whole_rows, side), min(whole_columns, side)
    count = max(recipe.still_pixels // 2 // (rows * columns * px * px), 1)
    windows = draw_windows(rng, cache, batch=count, frames=1, film=True, text_drop=1.0)
    corners = draw_window_corners(rng, windows.fields, shape, side, px)
    whole = render_windows(windows.fields, shape.height, shape.width)
    cut = [whole[i, :, px * y : px * (y + rows), px * x : px * (x + columns)] for i, (y, x) in enumerate(corners)]
    centers = corners + np.array([rows / 2, columns / 2]) - np.array([whole_rows, whole_columns]) / 2
    counts = torch.ones(rows, columns)
    if rows < whole_rows:
        counts[[0, -1]] = 0.0
    if columns < whole_columns:
        counts[:, [0, -1]] = 0.0
    values = encode_windows(windows)
    levels = {name: levels_of(name, x, 0.0) for name, x in values.items()}
    return Batch(
        kind="crop",
        values=values,
        levels={**levels, "video": torch.ones(count, 1, rows, columns)},
        noise_seed=int(rng.integers(2**62)),
        time_s=torch.zeros(count, 1),
        text_states=torch.zeros(count, 0, windows.text_states.shape[-1]),
        text_reads=torch.zeros(count, 1, 0, dtype=torch.bool),
        time_bias=torch.zeros(1, 1),
        step_size=torch.zeros(count),
        captions=[],
        cell_units=shape.cell_units(recipe.denoiser.cell_px),
        pictures=torch.stack(cut),
        window=torch.from_numpy((centers * (-1, 1) * shape.cell_units(px)).astype(np.float32)),
        counts=counts,
    )


def _film(recipe: Recipe, cache: EpisodeCache, rng: np.random.Generator) -> Batch:
    """Clips with video. Some batches are packed: each row holds several short clips or stills of different episodes that cannot
    see each other, which shows perceiving and rendering as many more scenes at the same cost."""
    shape = _shape(rng, recipe.film_shapes)
    h, w = shape.cells(recipe.denoiser.cell_px)
    rows = max(recipe.film_cells // (recipe.film_frames * h * w), 1)
    pieces = int(rng.choice(recipe.packs)) if rng.random() < recipe.packed_share else 1
    return _clips(recipe, cache, rng, "film", shape, rows, recipe.film_frames, pieces)


def _clips(
    recipe: Recipe,
    cache: EpisodeCache,
    rng: np.random.Generator,
    kind: str,
    shape: Shape | None,
    rows: int,
    length: int,
    pieces: int,
) -> Batch:
    """Rows of `pieces` clips each, `length` frames in all."""
    batch, frames = rows * pieces, length // pieces
    text_drop = recipe.text_drop if pieces == 1 else 1.0
    windows = draw_windows(rng, cache, batch=batch, frames=frames, film=shape is not None, text_drop=text_drop)
    if shape is not None:
        windows = replace(windows, fields=seen_at(windows.fields, shape))
    grid = None if shape is None else shape.cells(recipe.denoiser.cell_px)
    levels = sample_levels(
        rng,
        batch=batch,
        frames=frames,
        slots=recipe.denoiser.slots,
        grid=grid,
        shares=recipe.shares,
        schema=recipe.denoiser.schema,
    )
    values = encode_windows(windows)
    drawn: dict[str, Tensor] = {}
    if shape is not None:
        drawn = {"pictures": render_windows(windows.fields, shape.height, shape.width)}
    clock = {"time_s": torch.from_numpy(np.arange(frames, dtype=np.float32) / windows.fps[:, None])}
    if pieces == 1:
        bias = draw_time_bias(rng, frames)
    else:
        bias = np.kron(np.eye(pieces) - 1, np.ones((frames, frames))).astype(np.float32) * -CLOSED
    mask = torch.from_numpy(windows.text_mask)[:rows, None].expand(-1, length, -1).contiguous()
    return Batch(
        kind=kind,
        values=_packed(values, pieces),
        levels=_packed({name: torch.from_numpy(level) for name, level in levels.items()}, pieces),
        noise_seed=int(rng.integers(2**62)),
        time_s=_packed(clock, pieces)["time_s"],
        text_states=torch.from_numpy(windows.text_states[:rows].astype(np.float16)),
        text_reads=mask,
        time_bias=torch.from_numpy(bias),
        step_size=torch.zeros(rows),
        captions=windows.captions,
        cell_units=None if shape is None else shape.cell_units(recipe.denoiser.cell_px),
        pictures=_packed(drawn, pieces).get("pictures"),
    )


def _live(recipe: Recipe, cache: EpisodeCache, rng: np.random.Generator, *, meeting: bool = False) -> Batch:
    """A batch in which every frame that is not the past is a next frame, told by the past alone; of meetings, shorter rows and
    as many more, so that a fair share of what is asked for is a contact."""
    frames = recipe.meeting_frames if meeting else recipe.plan_frames
    batch = recipe.plan_batch * recipe.plan_frames // frames
    levels, past = draw_rollout_levels(
        rng, batch=batch, frames=frames, slots=recipe.denoiser.slots, schema=recipe.denoiser.schema
    )
    if meeting:
        windows = draw_meeting_windows(rng, cache, batch=batch, frames=frames, past=past, text_drop=recipe.text_drop)
    else:
        windows = draw_live_windows(rng, cache, batch=batch, frames=frames, text_drop=recipe.text_drop)
    index = np.arange(frames)
    closed = (index[None, :] > index[:, None]) | (~past[None, :] & (index[None, :] != index[:, None]))
    mask = torch.from_numpy(windows.text_mask)[:, None].expand(-1, frames, -1).contiguous()
    return Batch(
        kind="live",
        values=encode_windows(windows),
        levels={name: torch.from_numpy(level) for name, level in levels.items()},
        noise_seed=int(rng.integers(2**62)),
        time_s=torch.from_numpy(index.astype(np.float32) / windows.fps[:, None]),
        text_states=torch.from_numpy(windows.text_states.astype(np.float16)),
        text_reads=mask,
        time_bias=torch.from_numpy(np.where(closed, CLOSED, 0.0).astype(np.float32)),
        step_size=torch.zeros(batch),
        captions=windows.captions,
        past=torch.from_numpy(past),
    )
