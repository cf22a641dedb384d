"""Films and sound of what a pipeline returned."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.errors import EngineError
from kinema.media.sound import RATES, Sound
from kinema.types import Frames


def frames_of(made: Any, sample: int = 0) -> Frames:
    """Pixels uint8 [T, H, W, 3] of one of the films that a pipeline returned."""
    frames = _output(made, "frames", "videos", "video", "images")
    whole = isinstance(frames, list) and not isinstance(frames[0], list | np.ndarray)
    first = frames[sample] if (isinstance(frames, list) and not whole) or (not whole and np.ndim(frames) == 5) else frames
    if isinstance(first, list):
        first = np.stack([np.asarray(picture) for picture in first])
    if isinstance(first, torch.Tensor):
        first = first.float().cpu().numpy()
    array: NDArray[Any] = np.asarray(first)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if not np.isfinite(array).all():
        raise EngineError("the model made pixels that are no numbers; use --dtype fp32 or bf16")
    pixels: Frames = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    return pixels


def sound_of(made: Any, pipeline: Any, sample: int = 0) -> Sound | None:
    """The sound of one of the films that a pipeline returned, if it made some."""
    audio = _output(made, "audio", "sound")
    if audio is None:
        return None
    samples = audio[sample] if np.ndim(audio) == 3 or isinstance(audio, list) else audio
    array = samples.float().cpu().numpy() if isinstance(samples, torch.Tensor) else np.asarray(samples)
    array = array[:, None] if array.ndim == 1 else array.T if array.shape[0] in (1, 2) else array
    rates = [getattr(getattr(pipeline, name, None), "config", {}) for name in ("vocoder", "sound_tokenizer", "audio_vae")]
    rate = int(
        _output(made, "sampling_rate")
        or next((one[key] for one in rates for key in ("output_sampling_rate", "sampling_rate") if key in one), 24_000)
    )
    if rate not in RATES:
        raise EngineError(f"the model made sound of {rate} samples a second; expected one of {', '.join(map(str, RATES))}")
    return Sound(samples=np.rint(array.clip(-1, 1) * 32767).astype(np.int16), rate=rate)


def _output(made: Any, *names: str) -> Any:
    """What a pipeline returned under one of these names; None if there is none."""
    for name in names:
        value = made.get(name) if isinstance(made, dict) else getattr(made, name, None)
        if value is not None:
            return value
    return None
