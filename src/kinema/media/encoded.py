"""Clips as bytes, to be sent: MP4, or an animated PNG that holds every pixel as it is."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from kinema.media.clip import Clip
from kinema.media.write import KEY, pack


def encode_clip(clip: Clip, form: str) -> bytes:
    """A clip as MP4, or as an animated PNG that holds every pixel as it is."""
    if form == "mp4":
        with tempfile.TemporaryDirectory() as folder:
            return clip.save(Path(folder) / "clip.mp4").read_bytes()
    pictures = [Image.fromarray(frame) for frame in clip.frames]
    waits = np.diff(np.round(np.arange(clip.num_frames + 1) * 1000 / clip.fps)).tolist()
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", json.dumps(clip.settings))
    text.add_text(KEY, pack(clip))
    made = io.BytesIO()
    pictures[0].save(made, "PNG", save_all=True, append_images=pictures[1:], duration=waits, loop=0, pnginfo=text)
    return made.getvalue()
