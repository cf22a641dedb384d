"""What a model can film, checked before any work: sizes, durations, frame rates, memory.

Sizes come from the model's config alone (`heights`, `aspects`, `max_side`). A height is one of those it was trained at. A width
is a whole number of video cells, from that of the narrowest aspect to that of the widest. The picture is always ten room
units high, so a larger height shows the same room in more detail, and a larger width shows more of it.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np

from kinema.errors import InputError, SizeError
from kinema.media import Clip
from kinema.models.hub import Model, ModelConfig

log = logging.getLogger(__name__)

Size = tuple[int, int]
"""(width, height) in pixels."""
READING_BYTES = 192 << 20
"""Frames that are read for a model take about so much memory at most, as long as their pictures stay large enough."""
FAR = 1.5
"""A clip more than this many times higher than the largest height is filmed at the model's default height."""


def parse_size(text: str) -> Size:
    """'128x72' -> (128, 72), width first."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*[xX*]\s*(\d{1,6})\s*", text)
    if not match:
        raise SizeError(f"size {text[:80]!r}: expected WIDTHxHEIGHT in pixels, such as 64x64", param="size")
    return int(match[1]), int(match[2])


def is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _aspect(text: str) -> float:
    """'16:9' -> 1.78."""
    across, _, up = text.partition(":")
    return int(across) / int(up)


def _width(config: ModelConfig, height: int, aspect: float) -> int:
    """The width of this aspect in whole cells, halves rounded up."""
    cell = config.cell_px
    return max(int(height * aspect / cell + 0.5), 1) * cell


def _within(config: ModelConfig, height: int) -> tuple[int, int]:
    """The narrowest and the widest picture of this height."""
    most = config.max_side // config.cell_px * config.cell_px
    widths = [_width(config, height, _aspect(aspect)) for aspect in config.aspects]
    return min(min(widths), most), min(max(widths), most)


def _heights(config: ModelConfig) -> list[int]:
    return [height for height in sorted(config.heights) if height <= config.max_side]


def sizes_of(config: ModelConfig) -> list[str]:
    """The sizes to offer: every trained height in every trained aspect, "WIDTHxHEIGHT", as the config lists them."""
    sizes = [
        f"{width}x{height}"
        for aspect in config.aspects
        for height in _heights(config)
        if (width := _width(config, height, _aspect(aspect))) <= config.max_side
    ]
    return list(dict.fromkeys(sizes))


def default_size(config: ModelConfig) -> Size:
    """The config's height, square if the model films squares, else in its first aspect."""
    narrow, wide = _within(config, config.height)
    square = narrow <= config.height <= wide
    return config.height if square else min(_width(config, config.height, _aspect(config.aspects[0])), wide), config.height


def films_size(config: ModelConfig, width: int, height: int) -> bool:
    """Whether the model films exactly this size."""
    if height not in _heights(config) or width % config.cell_px:
        return False
    narrow, wide = _within(config, height)
    return narrow <= width <= wide


def _scaled(config: ModelConfig, width: int, height: int, target: float) -> Size:
    """This shape at the trained height nearest to `target` at which it is within the model's longest side."""
    heights = [h for h in _heights(config) if _width(config, h, width / height) <= config.max_side] or _heights(config)
    chosen = min(heights, key=lambda h: (abs(h - target), h))
    narrow, wide = _within(config, chosen)
    return min(max(_width(config, chosen, width / height), narrow), wide), chosen


def nearest(config: ModelConfig, width: int, height: int) -> Size:
    """The size of about the same shape that the model films and that is nearest in height."""
    return (width, height) if films_size(config, width, height) else _scaled(config, width, height, height)


def fitted_size(config: ModelConfig, width: int, height: int) -> Size:
    """The size at which a given picture or clip is filmed: its own if the model films it, else of the trained height nearest to
    its own (the default height for what is much larger than all of them), with the width that its shape asks for."""
    if films_size(config, width, height):
        return width, height
    far = height > FAR * _heights(config)[-1]
    return _scaled(config, width, height, config.height if far else height)


def at_own_height(config: ModelConfig, width: int, height: int) -> Size:
    """The size at which a given picture or clip is perceived: the model's own height, with the width of its aspect."""
    return _scaled(config, width, height, config.height)


def check_size(config: ModelConfig, size: str | Size | None) -> Size:
    """(width, height), by default the model's own; SizeError names the nearest size that it films."""
    if size is None:
        return default_size(config)
    if isinstance(size, str):
        width, height = parse_size(size)
    elif isinstance(size, Sequence | np.ndarray) and len(size) == 2 and all(is_whole(side) for side in size):
        width, height = int(size[0]), int(size[1])
    else:
        raise SizeError(
            f"size {size!r}: expected 'WIDTHxHEIGHT' or (width, height) in whole pixels, such as '64x64'", param="size"
        )
    if width < 1 or height < 1:
        raise SizeError(f"size {width}x{height}: expected positive numbers of pixels", param="size")
    if not films_size(config, width, height):
        near, heights = nearest(config, width, height), _heights(config)
        if len(heights) == len(config.aspects) == 1:
            raise SizeError(f"{config.name} cannot film {width}x{height}: it films {near[0]}x{near[1]} only", param="size")
        raise SizeError(
            f"{config.name} cannot film {width}x{height}: its heights are {', '.join(map(str, heights))} pixels, its shapes"
            f" {', '.join(config.aspects)} and those between, its widths whole multiples of {config.cell_px}, and no side is over"
            f" {config.max_side}; the nearest is {near[0]}x{near[1]}",
            param="size",
        )
    return width, height


MEMORY, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def memory_needed(config: ModelConfig, frames: int, width: int, height: int, count: int, *, by_window: bool = False) -> int:
    """Bytes that filming takes at its peak, by the pixels and the activations of one window. by_window: the pictures are made
    window by window and held in a file; of all frames only the states are in memory."""
    shown = min(frames, config.film_window) if by_window else frames
    pixels = shown * width * height * 3 * (1 + 4 + 4) * count
    cells = (width / config.cell_px) * (height / config.cell_px) + config.denoiser.slots + 1
    window = min(frames, config.window) * cells * config.denoiser.width * 4 * 24 * count
    states = frames * config.denoiser.slots * config.denoiser.schema.features * 4 * 12 * count if by_window else 0
    return int(pixels + states + window + 0.6e9)


def memory_free() -> int:
    """Bytes of memory that this process can still get: what the system calls available, which counts caches that it would give up,
    within the limits of its container. Plenty where nothing says."""
    available = [1 << 40]
    with suppress(OSError, ValueError, IndexError):
        lines = MEMORY.read_text().splitlines()
        available.append(1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")))
    with suppress(OSError, ValueError):  # "max": no limit
        available.append(int((CGROUP / "memory.max").read_text()) - int((CGROUP / "memory.current").read_text()))
    return max(min(available), 0)


def check_duration(
    config: ModelConfig, seconds: float, fps: float, width: int, height: int, count: int, *, by_window: bool = False
) -> int:
    """The number of frames; SizeError for what cannot be filmed. by_window: as in `memory_needed`."""
    for name, value in (("seconds", seconds), ("fps", fps)):
        if not is_number(value):
            raise InputError(f"{name} {value!r}: expected a number", param=name)
    if not 0 < seconds < 1e12:
        raise SizeError(f"{seconds:g} seconds: expected more than 0, and fewer than fill the memory", param="seconds")
    low, high = config.fps
    if not low <= fps <= high:
        raise SizeError(
            f"{fps:g} frames a second: {config.name} films {low:g} to {high:g}; choose such a rate (fps=, --fps)",
            param="fps",
        )
    if not is_whole(count) or count < 1:
        raise InputError(f"count {count!r}: expected a whole number from 1 on")
    frames = max(round(seconds * fps), 1)
    needed, free = memory_needed(config, frames, width, height, count, by_window=by_window), memory_free()
    if needed > 0.9 * free:
        most = seconds * 0.9 * free / needed
        raise SizeError(
            f"{seconds:g} s at {width}x{height} and {fps:g} fps needs about {needed / 1e9:.1f} GB of the {free / 1e9:.1f} GB free; "
            f"about {most:.0f} s would fit",
            param="seconds",
        )
    return frames


def size_for(model: Model, clip: Clip, size: str | Size | None) -> Size:
    """(width, height) at which a given clip is filmed: the size asked for, or else that of `fitted_size`."""
    if size is not None:
        return check_size(model.config, size)
    return fitted_size(model.config, clip.frames.shape[2], clip.frames.shape[1])


def fit_size(model: Model, clip: Clip, size: str | Size | None = None) -> Clip:
    """The clip at a size that the model films (`size_for`): itself, every pixel as given, where that is its own size. A film that
    is taken at another size than its own without being asked to is warned of."""
    width, height = size_for(model, clip, size)
    if size is None and clip.num_frames > 1 and clip.size != f"{width}x{height}":
        log.warning("the clip is taken at %dx%d, the size of %s that fits it best", width, height, model.config.name)
    return clip.fit(width, height)


def fit_rate(model: Model, clip: Clip) -> Clip:
    """The clip at a frame rate that the model films: its own, or a whole share or multiple of it, with a warning."""
    low, high = model.config.fps
    if low <= clip.fps <= high:
        return clip
    fps = clip.fps / math.ceil(clip.fps / high) if clip.fps > high else clip.fps * math.ceil(low / clip.fps)
    if clip.num_frames == 1:
        return replace(clip, fps=fps, state=clip.state and replace(clip.state, fps=fps))
    log.warning("%s films %g to %g frames a second: the clip's %g become %g", model.config.name, low, high, clip.fps, fps)
    return clip.resample(fps)


class ReadOptions(TypedDict):
    """How pictures of a file are read: arguments of `Clip.of`."""

    longest: int
    within: int


def reading(model: Model) -> ReadOptions:
    """How pictures of a file are read for a model: up to twice as large as it films, so that they are
    shrunk well, and those of long films smaller."""
    return {"longest": 2 * model.config.max_side, "within": READING_BYTES}


def fit_to_model(model: Model, clip: Clip, size: str | Size | None = None) -> Clip:
    """The clip at a size and a frame rate that the model films."""
    return fit_rate(model, fit_size(model, clip, size))
