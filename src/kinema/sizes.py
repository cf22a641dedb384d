"""What a model can film, checked before any work: sizes, durations, frame rates, memory."""

from __future__ import annotations

import os
import re

from kinema.errors import InputError, SizeError
from kinema.models import ModelConfig

SMALLEST = 32


def parse_size(text: str) -> tuple[int, int]:
    """'128x72' -> (128, 72), width first."""
    found = re.fullmatch(r"\s*(\d{1,6})\s*[xX*]\s*(\d{1,6})\s*", text)
    if not found:
        raise SizeError(f"size {text[:80]!r}: expected WIDTHxHEIGHT in pixels, such as 64x64")
    return int(found[1]), int(found[2])


def nearest(config: ModelConfig, width: int, height: int) -> tuple[int, int]:
    """The nearest (width, height) of about the same shape that the model films."""
    scale = min(config.max_side / max(width, height), 1.0)
    scale = max(scale, SMALLEST / min(width, height))
    fit = [min(max(round(side * scale / 2) * 2, SMALLEST), config.max_side) for side in (width, height)]
    return fit[0], fit[1]


def check_size(config: ModelConfig, size: str | tuple[int, int] | None) -> tuple[int, int]:
    """(width, height), by default the model's own; SizeError names the nearest size that it films."""
    if size is None:
        return config.height, config.height
    if not isinstance(size, str) and len(size) != 2:
        raise SizeError(f"size {size}: expected (width, height) or 'WIDTHxHEIGHT'")
    width, height = parse_size(size) if isinstance(size, str) else size
    if width < 1 or height < 1:
        raise SizeError(f"size {width}x{height}: expected positive numbers of pixels")
    near = nearest(config, width, height)
    if (width, height) != near:
        raise SizeError(
            f"{config.name} cannot film {width}x{height}: it does even sides from {SMALLEST} to {config.max_side} pixels; "
            f"the nearest is {near[0]}x{near[1]}"
        )
    return width, height


def memory_needed(config: ModelConfig, frames: int, width: int, height: int, count: int) -> int:
    """Bytes that filming takes at its peak, by the pixels and the activations of one window."""
    pixels = frames * width * height * 3 * (1 + 4 + 4) * count
    cells = (width / 16) * (height / 16) + config.denoiser.slots + 1
    window = min(frames, config.window) * cells * config.denoiser.width * 4 * 24 * count
    return int(pixels + window + 0.6e9)


def memory_free() -> int:
    """Bytes of memory that this machine has free, or plenty where it does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 1 << 40


def check_duration(config: ModelConfig, seconds: float, fps: float, width: int, height: int, count: int) -> int:
    """The number of frames; SizeError for what cannot be filmed."""
    if not 0 < seconds < 1e12:
        raise SizeError(f"{seconds:g} seconds: expected more than 0, and fewer than fill the memory")
    low, high = config.fps
    if not low <= fps <= high:
        raise SizeError(f"{fps:g} frames a second: {config.name} films {low:g} to {high:g}")
    if count < 1:
        raise InputError(f"count {count}: expected at least 1")
    frames = max(round(seconds * fps), 1)
    needed, free = memory_needed(config, frames, width, height, count), memory_free()
    if needed > 0.9 * free:
        most = seconds * 0.9 * free / needed
        raise SizeError(
            f"{seconds:g} s at {width}x{height} and {fps:g} fps needs about {needed / 1e9:.1f} GB of the {free / 1e9:.1f} GB free; "
            f"about {most:.0f} s would fit"
        )
    return frames
