"""Autoencoders on disk: a folder with config.json and model.safetensors, read strictly and written atomically.

The weights are bfloat16; the constants that normalize latents are float32. Nothing is guessed: a folder whose weights do not
fit its config in names or shapes is refused with one line.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from kinema.autoencoder.autoencoder import SPACE_FACTOR, Autoencoder, AutoencoderConfig
from kinema.autoencoder.diffusers_folder import diffusers_folder, diffusers_sha256, load_diffusers_autoencoder
from kinema.autoencoder.protocol import VideoAutoencoder
from kinema.devices import float32_default, kept_rng
from kinema.errors import InputError, ModelError, OutputError
from kinema.types import parse_json

FORMAT = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
CONSTANTS = ("mean", "std")


def fast_dtype(device: torch.device | str = "cpu") -> torch.dtype:
    """bfloat16 where products run faster in it (processors with its instructions, GPUs), else float32.

    oneDNN takes bfloat16 on every processor with AVX-512 and works it out by other instructions where it has none for it, which is
    three times as slow as float32.
    """
    if torch.device(device).type != "cpu":
        return torch.bfloat16
    supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if platform.machine() in ("x86_64", "AMD64"):
        supported = supported and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return torch.bfloat16 if supported else torch.float32


def load_autoencoder(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> Autoencoder:
    """Load what `save_autoencoder` wrote at `path`; it computes in `dtype`, by default `fast_dtype(device)`.

    ModelError: no such folder, not an autoencoder, or weights that do not fit the config.
    """
    folder = Path(path)
    with kept_rng(), float32_default():
        autoencoder = Autoencoder(read_autoencoder_config(folder / CONFIG))
    try:
        weights = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder / WEIGHTS} cannot be read: {error}; train it again or copy the whole folder") from None
    expected = autoencoder.state_dict()
    odd = sorted(expected.keys() ^ weights.keys()) or [k for k, v in expected.items() if v.shape != weights[k].shape]
    if odd:
        raise ModelError(f"{folder / WEIGHTS} does not fit {CONFIG}: {odd[0]} ({len(odd)} such); copy both from one save")
    autoencoder.load_state_dict(weights)
    autoencoder.use_dtype(dtype or fast_dtype(device)).to(device).eval().requires_grad_(False)
    return autoencoder


def load_video_autoencoder(path: str | Path, *, device: torch.device | str = "cpu") -> VideoAutoencoder:
    """The autoencoder in a folder, Kinema's own or one of diffusers (`kinema.autoencoder.diffusers_folder`).

    ModelError: no such folder, another kind of autoencoder, weights that do not fit, or diffusers is not installed.
    """
    place = diffusers_folder(path)
    return load_autoencoder(path, device=device) if place is None else load_diffusers_autoencoder(place, device)


def autoencoder_sha256(path: str | Path) -> str:
    """SHA-256 of an autoencoder: of the weights of Kinema's own, of all files of one of diffusers. ModelError: they cannot be
    read."""
    place = diffusers_folder(path)
    if place is not None:
        return diffusers_sha256(place)
    try:
        with (Path(path) / WEIGHTS).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"no autoencoder at {path}: {WEIGHTS} cannot be read: {error.strerror}") from None


def read_autoencoder_config(path: Path) -> AutoencoderConfig:
    """The config in `path`; ModelError if it is missing, unreadable, or of another kind of model."""
    try:
        data: dict[str, Any] = parse_json(path.read_text())
        if data.pop("format") != FORMAT or data.pop("model") != "codec" or data.pop("space_factor") != SPACE_FACTOR:
            raise ModelError(f"{path} is not an autoencoder of format {FORMAT} with a space factor of {SPACE_FACTOR}")
        return AutoencoderConfig(**data)
    except OSError:
        raise ModelError(
            f"no autoencoder at {path.parent}: {path.name} cannot be read; expected a folder with it and {WEIGHTS}"
        ) from None
    except ModelError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise ModelError(
            f"{path} is not an autoencoder's config ({error}); expected the file that save_autoencoder writes"
        ) from None


def save_autoencoder(autoencoder: Autoencoder, path: str | Path, *, card: str | None = None) -> None:
    """Write `autoencoder` to the folder `path`; each file appears whole or not at all. `card` becomes README.md."""
    folder = Path(path)
    head = {"format": FORMAT, "model": "codec", "space_factor": SPACE_FACTOR}
    weights = {
        name: value.detach().to("cpu", torch.float32 if name in CONSTANTS else torch.bfloat16).contiguous()
        for name, value in autoencoder.state_dict().items()
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".codec-", dir=folder))
        try:
            save_file(weights, scratch / WEIGHTS)
            (scratch / CONFIG).write_text(json.dumps(head | asdict(autoencoder.config), indent=2) + "\n")
            if card is not None:
                (scratch / "README.md").write_text(card, encoding="utf-8")
            for file in sorted(scratch.iterdir(), reverse=True):
                with file.open("rb") as written:
                    os.fsync(written.fileno())
                file.chmod(0o644)
                file.replace(folder / file.name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"the autoencoder could not be written to {folder}: {error.strerror or error}") from None
