"""Laws of autoencoders of diffusers: the protocol's shapes, causal encoders, latents by the config's constants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers", reason="needs kinema[open-weights]")

from kinema.autoencoder import (
    VideoAutoencoder,
    autoencoder_sha256,
    latent_frames,
    load_video_autoencoder,
    pixel_frames,
    to_unit,
)
from kinema.engines.diffusers.tiny import parts
from kinema.errors import ModelError, SizeError

MAKE: dict[str, Any] = {"wan": parts.wan_vae, "wan5b": parts.wan_5b_vae, "ltx": parts.ltx_vae, "pictures": parts.picture_vae}
FACTORS = {"wan": (8, 4), "wan5b": (16, 4), "ltx": (32, 8), "pictures": (8, 1)}


@pytest.fixture(scope="module", params=list(MAKE))
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, VideoAutoencoder]:
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    MAKE[request.param]().save_pretrained(folder / "vae")
    before = torch.get_rng_state()
    made = load_video_autoencoder(folder)
    assert torch.equal(torch.get_rng_state(), before)
    return request.param, folder, made


def test_it_speaks_the_protocol(opened: tuple[str, Path, VideoAutoencoder]) -> None:
    kind, folder, made = opened
    assert isinstance(made, VideoAutoencoder)
    space, time = FACTORS[kind]
    assert (made.space_factor, made.time_factor) == (space, time)
    frames = np.random.default_rng(0).integers(0, 256, (7, 64, 32, 3)).astype(np.uint8)
    latents = made.encode_frames(frames)
    assert latents.dtype == torch.float32
    assert tuple(latents.shape) == (latent_frames(7, time), made.channels, 64 // space, 32 // space)
    assert made.decode_frames(latents, 7).shape == (7, 64, 32, 3)
    assert len(made.decode_frames(latents)) == pixel_frames(len(latents), time)
    torch.testing.assert_close(made.encode_frames(frames[:1]), latents[:1], atol=1e-4, rtol=1e-4)  # the first picture alone
    with pytest.raises(SizeError, match="multiples of"):
        made.encode(torch.zeros(1, 1, 3, space, space + 4))
    assert autoencoder_sha256(folder) == autoencoder_sha256(folder / "vae")


def test_latents_are_normalized_by_the_config(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wan, pictures = parts.wan_vae(), parts.picture_vae()
    video = to_unit(np.random.default_rng(0).integers(0, 256, (1, 5, 32, 32, 3)).astype(np.uint8))
    wan.save_pretrained(tmp_path / "wan")
    pictures.register_to_config(scaling_factor=0.5, shift_factor=0.1)
    pictures.save_pretrained(tmp_path / "pictures")
    with torch.no_grad():
        raw = wan.encode(video.transpose(1, 2)).latent_dist.mode().transpose(1, 2)
        flat = pictures.encode(video[0]).latent_dist.mode()
    mean, std = (torch.tensor(values)[:, None, None] for values in (wan.config.latents_mean, wan.config.latents_std))
    torch.testing.assert_close(
        load_video_autoencoder(tmp_path / "wan").encode(video), (raw - mean) / std, atol=1e-4, rtol=1e-4
    )
    made = load_video_autoencoder(tmp_path / "pictures").encode(video)[0]
    torch.testing.assert_close(made, (flat - 0.1) * 0.5, atol=1e-4, rtol=1e-4)


def test_half_a_folder_is_refused(tmp_path: Path) -> None:
    parts.picture_vae().save_pretrained(tmp_path / "vae")
    next((tmp_path / "vae").glob("*.safetensors")).unlink()
    with pytest.raises(ModelError, match="cannot be loaded") as error:
        load_video_autoencoder(tmp_path)
    assert "\n" not in str(error.value)
