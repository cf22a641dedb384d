"""Building a latent cache: clips and captions are encoded one after another; a build that was killed goes on.

Axes: T latent frames, C channels, h x w latent cells.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from kinema.autoencoder.protocol import VideoAutoencoder, pixel_frames
from kinema.datasets.clips import CaptionedClips, ClipEntry
from kinema.datasets.latent_shards import ShardReader, ShardWriter, written_shards
from kinema.errors import InputError, SizeError
from kinema.media.write import write_text
from kinema.text import TextEncoder
from kinema.text.folder_encoder import FolderEncoder
from kinema.types import Frame, parse_json

log = logging.getLogger(__name__)

FORMAT = 1
PLAN, INDEX = "plan.json", "index.json"
LATENTS, TEXT = "latents", "text"
TEXTS_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class LatentCacheConfig:
    """How clips are encoded.

    Attributes:
        short_side: Pixels of the shorter side of all pictures, a multiple of `patch_px`.
        patch_px: Pixels along a patch of the model; both sides are multiples of it.
        fps: The most frames a second.
        max_tokens: Tokens of a caption that are kept.
        piece_frames: Latent frames of a piece at most.
    """

    short_side: int = 64
    patch_px: int = 16
    fps: float = 16.0
    max_tokens: int = 48
    piece_frames: int = 64

    def __post_init__(self) -> None:
        if self.patch_px < 1 or self.short_side < self.patch_px or self.short_side % self.patch_px:
            raise SizeError(
                f"short_side {self.short_side}: expected a multiple of the patch, which has {self.patch_px} pixels"
            )
        if not 0 < self.fps <= 1000:
            raise SizeError(f"{self.fps} frames a second: expected above 0, up to 1000")
        if self.max_tokens < 2 or self.piece_frames < 2:
            raise InputError(f"max_tokens {self.max_tokens}, piece_frames {self.piece_frames}: expected 2 or more of both")

    def rate(self, entry: ClipEntry) -> float:
        """Frames a second at which a clip is stored."""
        return min(entry.fps, self.fps)

    def cropped(self, entry: ClipEntry) -> tuple[int, int]:
        """(height, width) of a clip's pictures when they are encoded: `ClipEntry.shrunk`, down to whole patches."""
        height, width = entry.shrunk(self.short_side)
        return height // self.patch_px * self.patch_px, width // self.patch_px * self.patch_px


def text_key(caption: str) -> str:
    """The name of a caption's states in their shard."""
    return hashlib.sha256(caption.encode()).hexdigest()[:32]


def autoencoder_hash(autoencoder: VideoAutoencoder) -> str:
    """What tells an autoencoder from others: a hash of its kind and its weights."""
    shape = f"{type(autoencoder).__name__} {autoencoder.channels} {autoencoder.space_factor} {autoencoder.time_factor}"
    weights = hashlib.sha256(shape.encode())
    if isinstance(autoencoder, nn.Module):
        for name, value in sorted(autoencoder.state_dict().items()):
            weights.update(name.encode() + value.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return weights.hexdigest()


def cache_identity(
    clips: CaptionedClips, autoencoder: VideoAutoencoder, text: TextEncoder, config: LatentCacheConfig
) -> dict[str, Any]:
    """What tells whether a cache is of the same clips, autoencoder, text encoder and settings, each under its name."""
    return {
        "clips": clips.identity(),
        "autoencoder": autoencoder_hash(autoencoder),
        "text encoder": f"{type(text).__name__} {text.dim}" + (f" {text.sha256}" if isinstance(text, FolderEncoder) else ""),
        "settings": asdict(config),
        "format": FORMAT,
    }


def claim_folder(folder: Path, identity: dict[str, Any]) -> None:
    """Note what the folder is made of; InputError where it is made of something else."""
    path = folder / PLAN
    if path.exists():
        try:
            there = dict(parse_json(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise InputError(f"{path} cannot be read ({str(error)[:80]}); delete the folder, and it is built anew") from None
        other = [name for name, value in identity.items() if there.get(name) != value]
        if other:
            raise InputError(
                f"{folder} holds a latent cache of other {' and '.join(other)}; name another folder, or delete it to build it anew"
            )
        return
    if any(folder.glob("*.safetensors")):
        raise InputError(f"{folder} holds files that are no latent cache; name another folder")
    write_text(path, json.dumps(identity, indent=1))


def piece_frames_of(folder: Path) -> int | None:
    """The most latent frames of a piece of the cache that was begun in a folder; None where none was. InputError: its plan cannot
    be read."""
    path = folder / PLAN
    try:
        return int(parse_json(path.read_text(encoding="utf-8"))["settings"]["piece_frames"]) if path.exists() else None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({str(error)[:80]}); delete the folder, and it is built anew") from None


class Builder:
    """One build of a cache."""

    def __init__(
        self,
        clips: CaptionedClips,
        folder: Path,
        autoencoder: VideoAutoencoder,
        text: TextEncoder,
        config: LatentCacheConfig,
    ) -> None:
        self.clips, self.folder, self.autoencoder, self.text, self.config = clips, folder, autoencoder, text, config
        factor = autoencoder.time_factor
        self.piece = config.piece_frames if factor == 1 else pixel_frames(config.piece_frames, factor)
        """Pixel frames of a piece."""

    def run(self, show: Callable[[int, int], None]) -> None:
        small = [entry.name for entry in self.clips.entries if min(entry.width, entry.height) < self.config.short_side]
        if small:
            log.warning(
                "%d clips are smaller than %d pixels and are enlarged, %s the first",
                len(small),
                self.config.short_side,
                small[0],
            )
        self._encode_clips(show)
        self._encode_texts()
        self._write_index()

    def _encode_clips(self, show: Callable[[int, int], None]) -> None:
        shards = written_shards(self.folder, LATENTS)
        ended = {int(number) for _, note in shards for number in note.get("ended", [])}
        stored = {name for names, _ in shards for name in names}
        writer = ShardWriter(self.folder, LATENTS, len(shards))
        for number in range(len(self.clips)):
            if number not in ended:
                first = 0
                while f"{number}.{first}" in stored:
                    first += 1
                self._encode_clip(number, first, writer)
                writer.note.setdefault("ended", []).append(number)
                writer.flush_if_due()
            show(number + 1, len(self.clips))
        writer.flush()

    def _encode_clip(self, number: int, piece: int, writer: ShardWriter) -> None:
        """Encode the pieces of a clip from one on."""
        entry = self.clips.entries[number]
        fps, (height, width) = self.config.rate(entry), self.config.cropped(entry)
        shrunk = entry.shrunk(self.config.short_side)
        top, left = (shrunk[0] - height) // 2, (shrunk[1] - width) // 2
        frames: list[Frame] = []

        def store() -> None:
            nonlocal piece
            latents = self.autoencoder.encode_frames(np.stack(frames))
            writer.add(f"{number}.{piece}", latents)
            piece += 1
            frames.clear()

        for frame in self.clips.frames(number, size=shrunk, fps=fps, start_s=piece * self.piece / fps):
            frames.append(frame[top : top + height, left : left + width])
            if len(frames) == self.piece:
                store()
                writer.flush_if_due()
        if frames:
            factor = self.autoencoder.time_factor
            del frames[pixel_frames((len(frames) - 1) // factor + 1, factor) :]  # those that fill no latent frame
            store()
        if not piece:
            raise InputError(f"{entry.name} has no frames at {fps:g} a second; delete it")

    def _encode_texts(self) -> None:
        shards = written_shards(self.folder, TEXT)
        stored = {name for names, _ in shards for name in names}
        captions = list(dict.fromkeys(caption for entry in self.clips.entries for caption in entry.captions))
        missing = [caption for caption in captions if text_key(caption) not in stored]
        writer = ShardWriter(self.folder, TEXT, len(shards))
        for begin in range(0, len(missing), TEXTS_AT_ONCE):
            some = missing[begin : begin + TEXTS_AT_ONCE]
            states, mask = self.text.encode(some, max_tokens=self.config.max_tokens)
            for caption, tokens, there in zip(some, states, mask, strict=True):
                writer.add(text_key(caption), torch.from_numpy(tokens[there]))
                writer.note.setdefault("tokens", {})[text_key(caption)] = int(there.sum())
            writer.flush_if_due()
        writer.flush()

    def _write_index(self) -> None:
        factor = self.autoencoder.space_factor
        places: dict[str, int] = {}
        lengths: dict[str, int] = {}
        for number, (names, _) in enumerate(written_shards(self.folder, LATENTS)):
            places |= dict.fromkeys(names, number)
            reader = ShardReader(self.folder, LATENTS)
            lengths |= {name: reader.length(number, name) for name in names}
        clips = []
        for number, entry in enumerate(self.clips.entries):
            height, width = self.config.cropped(entry)
            pieces: list[int] = []
            while (name := f"{number}.{len(pieces)}") in lengths:
                pieces.append(lengths[name])
            clips.append(
                {"name": entry.name, "captions": entry.captions, "fps": self.config.rate(entry), "license": entry.license,
                 "height": height // factor, "width": width // factor, "pieces": pieces}
            )  # fmt: skip
        tokens = {
            key: (number, count)
            for number, (_, note) in enumerate(written_shards(self.folder, TEXT))
            for key, count in note["tokens"].items()
        }
        captions = dict.fromkeys(caption for entry in self.clips.entries for caption in entry.captions)
        identity = parse_json((self.folder / PLAN).read_text(encoding="utf-8"))
        index = {
            "format": FORMAT, "config": asdict(self.config), "identity": identity,
            "channels": self.autoencoder.channels, "time_factor": self.autoencoder.time_factor, "text_dim": self.text.dim,
            "clips": clips, "places": places, "texts": {caption: tokens[text_key(caption)] for caption in captions},
        }  # fmt: skip
        write_text(self.folder / INDEX, json.dumps(index), force=True)
