"""Canvases from prompts and pixels, and clips from filled canvases.

Axes: T frames, H x W pixels, h x w video cells, P numbers per cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinema.autoencoder import to_uint8, to_unit
from kinema.canvas.canvas import Canvas, blank
from kinema.canvas.patchify import from_cells, to_cells
from kinema.devices import AUTO, resolve_device
from kinema.diffusion.seeds import LIMIT
from kinema.errors import InputError
from kinema.media import Clip
from kinema.media.frame_buffer import FrameBuffer, each, held
from kinema.models.hub import DEFAULT, Model, load_slot_model
from kinema.scene.encoding import decode_scene, encode_camera
from kinema.scene.geometry import MIDDLE, cell_units
from kinema.scene.schema import check_playground
from kinema.text.prompt_check import check_limits, check_rewrite, check_words, with_cast
from kinema.text.storyboard import parse_storyboard
from kinema.types import Frames

AT_ONCE = 128
"""Frames that are encoded or decoded in one pass."""

_loaded: dict[tuple[str, torch.device], Model] = {}


def resolve_model(model: Model | str | Path | None, device: str | torch.device = AUTO) -> Model:
    """The model itself on whatever device it is; or the model of a name or folder on this device, loaded once per process.

    For what makes and takes clips and scenes, which are the Playground's: ModelError for a model of another state schema.
    """
    if isinstance(model, Model):
        check_playground(model.config.denoiser.schema, f"clips and worlds of {model.config.name}")
        return model
    if model is not None and not isinstance(model, str | Path):
        raise InputError(f"a model that is {type(model).__name__}: expected a kinema.Model, its name or its folder")
    check_named(model)
    key = str(model or DEFAULT), resolve_device(device)
    if key not in _loaded:
        loaded = load_slot_model(key[0], device=key[1])
        check_playground(loaded.config.denoiser.schema, f"clips and worlds of {loaded.config.name}")
        _loaded[key] = loaded
    return _loaded[key]


def check_named(model: object) -> None:
    """InputError for a blank text in place of a model's name, which is no wish for the default."""
    if isinstance(model, str) and not model.strip():
        raise InputError(
            f"the name of the model is empty: expected one that kinema models lists; leave it out for {DEFAULT}"
        )


def encode_frames(model: Model, frames: Frames, height: int, width: int) -> Tensor:
    """Pixels [T, H, W, 3] -> cells [1, T, h, w, P], padded at the right and bottom to whole cells of (height, width)."""
    pad = ((0, 0), (0, height - frames.shape[1]), (0, width - frames.shape[2]), (0, 0))
    parts = []
    at_once = _at_once(model, len(frames))
    for begin in range(0, len(frames), at_once):
        video = to_unit(np.pad(frames[begin : begin + at_once], pad, mode="edge"))[None].to(model.device)
        with torch.inference_mode():
            parts.append(to_cells(model.autoencoder.encode(video).float(), model.config.denoiser.patch))
    return torch.cat(parts, 1)


def cells_of(model: Model, frames: Frames, height: int, width: int) -> Callable[[Tensor], Tensor]:
    """What encodes pictures [T, H, W, 3] at the frames of given numbers [n], as `encode_frames` does. Short clips are encoded once;
    of long ones only those frames are read and encoded, each time, so that their cells are never in memory together."""
    if len(frames) <= AT_ONCE or model.autoencoder.time_factor != 1:
        cells = encode_frames(model, frames, height, width)
        return lambda index: cells[:, index]
    return lambda index: encode_frames(model, held(each(frames, index.cpu().numpy()), len(index)), height, width)


def _at_once(model: Model, frames: int) -> int:
    """How many of so many frames are encoded or decoded in one pass: all of them where latents depend on those before."""
    return AT_ONCE if model.autoencoder.time_factor == 1 else frames


def blank_canvas(
    model: Model, *, count: int, frames: int, fps: float, height: int, width: int, start_s: float = 0.0, video: bool = True
) -> Canvas:
    """A canvas of this model on which nothing is known. video: whether it has a video track."""
    cell = model.config.cell_px
    grid = video_grid(model, height, width) if video else None
    config = model.config.denoiser
    return blank(
        batch=count, frames=frames, fps=fps, slots=config.slots, schema=config.schema, grid=grid, cell_values=config.cell_values,
        cell_units=cell_units(height / cell), start_s=start_s, device=model.device,
    )  # fmt: skip


def video_grid(model: Model, height: int, width: int) -> tuple[int, int]:
    """Video cells (down, across) of pictures of a size in pixels."""
    cell = model.config.cell_px
    return -(-height // cell), -(-width // cell)


def unknown_cells(model: Model, frames: int, height: int, width: int) -> Tensor:
    """The video [1, T, h, w, P] of a blank canvas."""
    return torch.zeros(1, frames, *video_grid(model, height, width), model.config.denoiser.cell_values, device=model.device)


def padded_size(model: Model, height: int, width: int) -> tuple[int, int]:
    """Height and width in pixels, up to whole cells."""
    cell = model.config.cell_px
    return -(-height // cell) * cell, -(-width // cell) * cell


def encode_prompt(model: Model, canvas: Canvas, prompt: str, strict: bool) -> Canvas:
    """The canvas with a prompt or storyboard as its text condition. Misspelt words are corrected, and a warning names what the
    model cannot film; with `strict` either is an error."""
    if not isinstance(prompt, str):
        raise InputError(f"a prompt that is {type(prompt).__name__} {str(prompt)[:40]!r}: expected text")
    config = model.config
    spans = parse_storyboard(check_rewrite(prompt, strict=strict, lacks=config.lacks, schema=config.denoiser.schema))
    for text, _, _ in spans:
        check_words(text, strict=strict, model=config.name, lacks=config.lacks, schema=config.denoiser.schema)
    frame_s = float(canvas.time_s[0, 1] - canvas.time_s[0, 0]) if canvas.num_frames > 1 else 0.0
    check_limits(
        spans, strict=strict, model=config.name, slots=config.denoiser.slots, schema=config.denoiser.schema,
        duration_s=max(float(canvas.time_s.max()) + frame_s, 1e-6),
    )  # fmt: skip
    return replace(canvas, text=model.condition(with_cast(spans, config.denoiser.schema), canvas.time_s))


def camera_path(stops: Sequence[tuple[float, float, float, float]], time_s: Tensor) -> Tensor:
    """The camera track [B, T, 3] at times time_s [B, T], linear between stops (second, x, y, zoom)."""
    try:
        path = np.asarray(stops, np.float64).reshape(-1, 4)
    except (TypeError, ValueError):
        raise InputError(f"camera {stops!r}: expected (second, x, y, zoom) for each stop", param="camera") from None
    if not len(path):
        raise InputError("camera: expected at least one stop, (second, x, y, zoom)", param="camera")
    if not np.isfinite(path).all() or (path[:, 0] < 0).any() or (np.diff(path[:, 0]) <= 0).any():
        raise InputError("camera: expected stops at rising seconds from 0 on, all of them finite", param="camera")
    if not ((path[:, 3] >= 0.25) & (path[:, 3] <= 8)).all() or np.abs(path[:, 1:3] - MIDDLE).max() > 20:
        raise InputError(
            "camera: expected a zoom from 0.25 to 8, and places within 20 units of the room's middle, (5, 5)", param="camera"
        )
    clock = time_s.cpu().numpy()
    log_zoom = np.interp(clock, path[:, 0], np.log2(path[:, 3]))
    centers = [np.interp(clock, path[:, 0], path[:, axis]) for axis in (1, 2)]
    camera = np.stack([*centers, 2.0**log_zoom], -1).astype(np.float32)
    return torch.from_numpy(encode_camera(camera)).to(time_s.device)


def decode_clips(
    model: Model,
    canvas: Canvas,
    *,
    fps: float,
    height: int,
    width: int,
    captions: Sequence[str],
    settings: Sequence[dict[str, Any]],
) -> list[Clip]:
    """The finished canvas as clips, one for each sample: pixels from the video track, the scene from the others."""
    return clips_of(
        canvas, decode_cells(model, [canvas.values["video"]], canvas.num_frames, height, width),
        fps=fps, captions=captions, settings=settings,
    )  # fmt: skip


def decode_cells(model: Model, parts: Iterable[Tensor], frames: int, height: int, width: int) -> list[Frames]:
    """Video cells as pixels uint8 [T, H, W, 3], one array for each sample.

    Args:
        model: The model with the autoencoder.
        parts: Cells [B, n, h, w, P] of frames that follow one another. Each part is decoded as it comes, where pictures do not
            depend on those before.
        frames: T, the frames of all parts together.
        height, width: H and W; what the cells show beyond is cut off.
    """
    if model.autoencoder.time_factor != 1:
        parts = [torch.cat(list(parts), 1)]
    buffers: list[FrameBuffer] = []
    for part in parts:
        latents = from_cells(part, model.config.denoiser.patch)
        buffers = buffers or [FrameBuffer(frames) for _ in range(len(part))]
        for piece in torch.split(latents, _at_once(model, latents.shape[1]), 1):
            with torch.inference_mode():
                pictures = to_uint8(model.autoencoder.decode(piece))[:, :, :height, :width]
            for buffer, shown in zip(buffers, pictures, strict=True):
                for picture in shown:
                    buffer.append(picture)
    return [buffer.take() for buffer in buffers]


def clips_of(
    canvas: Canvas, pictures: Sequence[Frames], *, fps: float, captions: Sequence[str], settings: Sequence[dict[str, Any]]
) -> list[Clip]:
    """Pictures [T, H, W, 3] of each sample as clips, with the scenes of a finished canvas."""
    tracks = {name: canvas.values[name].float().cpu().numpy() for name in ("state", "camera", "scene")}
    return [
        Clip(
            frames=pictures[i],
            fps=fps,
            state=decode_scene(tracks["state"][i], tracks["camera"][i], tracks["scene"][i], fps=fps),
            caption=captions[i],
            settings=settings[i],
        )
        for i in range(len(pictures))
    ]


def check_seed(seed: int) -> int:
    """A whole number from 0 up to 2^62."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < LIMIT:
        raise InputError(f"seed {seed!r}: expected a whole number from 0 to 2^62")
    return int(seed)
