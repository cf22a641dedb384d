"""Autoencoders of diffusers from a local folder: Wan's, LTX-Video's, and those of single pictures. Nothing is fetched.

They compute in float32. Latents are normalized by the mean and deviation, or the scale, that the model's config or weights name.
Frames that do not fill a latent frame are filled up with the last one before they are encoded, and cut off after decoding.

Axes: B batch, T pixel frames, S latent frames, C channels, H and W pixels, h and w cells.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kinema.autoencoder.protocol import check_latents, check_video, latent_frames, pixel_frames, to_uint8, to_unit
from kinema.devices import float32_default, kept_rng
from kinema.errors import ModelError
from kinema.types import Frames, parse_json

KINDS = ("AutoencoderKLWan", "AutoencoderKLLTXVideo", "AutoencoderKL")
PICTURES_AT_ONCE = 8
"""Pictures in one pass of an autoencoder of single pictures."""


def diffusers_folder(folder: Path | str) -> Path | None:
    """Where the files of an autoencoder of diffusers lie: in the folder, or in vae/ in it; None where there is none."""
    for place in (Path(folder), Path(folder) / "vae"):
        try:
            config = parse_json((place / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(config, dict) and str(config.get("_class_name", "")).startswith("Autoencoder"):
            return place
    return None


def diffusers_sha256(place: Path) -> str:
    """SHA-256 over an autoencoder's config and weights. ModelError: a file cannot be read."""
    digest = hashlib.sha256()
    try:
        for path in sorted(
            path for path in place.iterdir() if path.suffix in (".json", ".safetensors", ".bin") and path.is_file()
        ):
            with path.open("rb") as file:
                digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    except OSError as error:
        raise ModelError(f"the autoencoder in {place} cannot be read: {error.strerror}") from None
    return digest.hexdigest()


class DiffusersAutoencoder(nn.Module):
    """An autoencoder of diffusers as `kinema.autoencoder.VideoAutoencoder`.

    LTX-Video's decoder looks ahead: a latent frame changes pictures before it. All encoders are causal.

    Attributes:
        mean: [C], of raw latents.
        std: [C], likewise.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self._config = network, getattr(network, "config")  # noqa: B009  # of diffusers, which has no types
        self.kind = type(network).__name__
        config = self._config
        if self.kind == "AutoencoderKLWan":
            self.channels, self.space_factor = int(config.z_dim), int(config.scale_factor_spatial)
            self.time_factor = int(config.scale_factor_temporal)
            mean, std = torch.tensor(config.latents_mean), torch.tensor(config.latents_std)
        elif self.kind == "AutoencoderKLLTXVideo":
            self.channels = int(config.latent_channels)
            self.space_factor = int(getattr(network, "spatial_compression_ratio"))  # noqa: B009
            self.time_factor = int(getattr(network, "temporal_compression_ratio"))  # noqa: B009
            mean = getattr(network, "latents_mean").clone()  # noqa: B009
            std = getattr(network, "latents_std") / config.scaling_factor  # noqa: B009
        else:
            self.channels, self.space_factor = int(config.latent_channels), 2 ** (len(config.block_out_channels) - 1)
            self.time_factor = 1
            mean = torch.full((self.channels,), float(config.shift_factor or 0.0))
            std = torch.full((self.channels,), 1.0 / float(config.scaling_factor))
        if not mean.shape == std.shape == (self.channels,) or not bool((std > 0).all()):
            raise ModelError(
                f"{self.kind} with {self.channels} channels has {mean.numel()} means and {std.numel()} deviations of latents;"
                " expected one of each for a channel, deviations above 0"
            )
        self.register_buffer("mean", mean.float())
        self.register_buffer("std", std.float())

    def encode(self, video: Tensor) -> Tensor:
        """video: float [B, T, 3, H, W] in [-1, 1], sides multiples of the space factor. Returns float32 [B, S, C, h, w]. InputError
        or SizeError: another shape."""
        check_video(video, self.space_factor)
        count = latent_frames(video.shape[1], self.time_factor)
        lacks = pixel_frames(count, self.time_factor) - video.shape[1]
        filled = torch.cat([video, video[:, -1:].expand(-1, lacks, -1, -1, -1)], 1).float()
        raw = (
            self._pictures(filled, self._encoded)
            if self.time_factor == 1
            else self._encoded(filled.transpose(1, 2)).transpose(1, 2)
        )
        expected = (len(video), count, self.channels, *(side // self.space_factor for side in video.shape[-2:]))
        if tuple(raw.shape) != expected:
            raise ModelError(f"{self.kind} makes latents {tuple(raw.shape)} where its config says {expected}")
        return (raw - self.mean[:, None, None]) / self.std[:, None, None]

    def decode(self, latents: Tensor, num_frames: int | None = None) -> Tensor:
        """latents: float [B, S, C, h, w]. Returns float32 [B, T, 3, H, W] in [-1, 1], T = num_frames if given. InputError or
        SizeError: another shape, or other latents than such a number of frames has."""
        frames = check_latents(latents, self.channels, self.time_factor, num_frames)
        raw = latents.float() * self.std[:, None, None] + self.mean[:, None, None]
        made = (
            self._pictures(raw, self._decoded)
            if self.time_factor == 1
            else self._decoded(raw.transpose(1, 2)).transpose(1, 2)
        )
        return made[:, :frames].clamp(-1, 1)

    def _encoded(self, x: Tensor) -> Tensor:
        made: Tensor = self.network.encode(x).latent_dist.mode()  # type: ignore[operator]
        return made.float()

    def _decoded(self, x: Tensor) -> Tensor:
        timed = self.kind == "AutoencoderKLLTXVideo" and self._config.timestep_conditioning
        at = {"temb": torch.zeros(len(x), device=x.device)} if timed else {}
        made: Tensor = self.network.decode(x, **at).sample  # type: ignore[operator]
        return made.float()

    @staticmethod
    def _pictures(x: Tensor, run: Any) -> Tensor:
        """run over [B, T, ...] picture by picture."""
        flat = x.flatten(0, 1)
        made = torch.cat([run(flat[i : i + PICTURES_AT_ONCE]) for i in range(0, len(flat), PICTURES_AT_ONCE)])
        return made.reshape(*x.shape[:2], *made.shape[1:])

    @torch.inference_mode()
    def encode_frames(self, frames: Frames) -> Tensor:
        """frames: uint8 [T, H, W, 3]. Returns float32 [S, C, h, w]."""
        return self.encode(to_unit(frames)[None].to(self.mean.device))[0]

    @torch.inference_mode()
    def decode_frames(self, latents: Tensor, num_frames: int | None = None) -> Frames:
        """latents: float [S, C, h, w]. Returns uint8 [T, H, W, 3]."""
        return to_uint8(self.decode(latents[None].to(self.mean.device), num_frames)[0])


def load_diffusers_autoencoder(place: Path, device: torch.device | str = "cpu") -> DiffusersAutoencoder:
    """The autoencoder of diffusers in a folder. ModelError: diffusers is not installed, another kind than `KINDS`, or weights that
    do not fit."""
    try:
        import diffusers
    except ImportError:
        raise ModelError("an autoencoder of diffusers needs diffusers: pip install 'kinema[open-weights]'") from None
    kind = str(parse_json((place / "config.json").read_text(encoding="utf-8"))["_class_name"])
    if kind not in KINDS:
        raise ModelError(f"{place} holds an autoencoder of kind {kind!r}; expected one of {', '.join(KINDS)}")
    try:
        with kept_rng(), float32_default():
            network, about = getattr(diffusers, kind).from_pretrained(
                place, local_files_only=True, torch_dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ModelError(f"the autoencoder in {place} cannot be loaded: {reason[:200]}") from None
    if about["missing_keys"]:
        lacks = sorted(about["missing_keys"])
        raise ModelError(f"the autoencoder in {place} lacks weights: {lacks[0]} ({len(lacks)} such); copy the whole folder")
    return DiffusersAutoencoder(network).to(device).eval().requires_grad_(False)
