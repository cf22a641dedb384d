"""Laws of autoencoders: counts, causality, independence of frames, round trips, sizes, and weights that load strictly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kinema.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    IdentityAutoencoder,
    VideoAutoencoder,
    latent_frames,
    load_autoencoder,
    pixel_frames,
    save_autoencoder,
    to_uint8,
    to_unit,
)
from kinema.errors import InputError, ModelError, OutputError, SizeError

SHIPPED = Path(__file__).parents[2] / "weights" / "codec-8x8"


def tiny(time_factor: int = 1) -> Autoencoder:
    torch.manual_seed(0)
    autoencoder = Autoencoder(AutoencoderConfig(width=16, channels=4, depth=1, time_factor=time_factor)).eval()
    autoencoder.mean.normal_()
    autoencoder.std.uniform_(0.5, 2)
    return autoencoder.requires_grad_(False)


def clip(frames: int, height: int = 16, width: int = 24, batch: int = 1, seed: int = 1) -> Tensor:
    return torch.rand(batch, frames, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("autoencoder", [IdentityAutoencoder(), tiny(1), tiny(2), tiny(4)], ids=["identity", "1", "2", "4"])
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 6, 9])
def test_counts_come_back(autoencoder: VideoAutoencoder, frames: int) -> None:
    assert isinstance(autoencoder, VideoAutoencoder)
    video = clip(frames, batch=2)
    latents = autoencoder.encode(video)
    side = autoencoder.space_factor
    assert latents.shape == (2, latent_frames(frames, autoencoder.time_factor), autoencoder.channels, 16 // side, 24 // side)
    made = autoencoder.decode(latents, frames)
    assert made.shape == video.shape and made.dtype == torch.float32
    assert made.abs().max() <= 1
    assert autoencoder.decode(latents).shape[1] == pixel_frames(latents.shape[1], autoencoder.time_factor) >= frames


def test_counts_agree() -> None:
    for factor in (1, 2, 4):
        for frames in range(1, 20):
            latents = latent_frames(frames, factor)
            assert latents == int(np.ceil((frames - 1) / factor)) + 1
            assert pixel_frames(latents, factor) - factor < frames <= pixel_frames(latents, factor)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_the_future_cannot_leak(factor: int) -> None:
    autoencoder, video = tiny(factor), clip(9)
    latents, made = autoencoder.encode(video), autoencoder.decode(autoencoder.encode(video))
    for changed in range(9):
        other = video.clone()
        other[:, changed:] = clip(9, seed=2)[:, changed:]
        first = latent_frames(changed + 1, factor) - 1
        other_latents = autoencoder.encode(other)
        assert torch.equal(other_latents[:, :first], latents[:, :first])
        assert not torch.equal(other_latents[:, first], latents[:, first])
        known = pixel_frames(first, factor) if first else 0
        assert torch.equal(autoencoder.decode(other_latents)[:, :known], made[:, :known])


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_the_first_latent_is_the_first_picture_alone(factor: int) -> None:
    autoencoder, video = tiny(factor), clip(9)
    assert torch.allclose(autoencoder.encode(video)[:, 0], autoencoder.encode(video[:, :1])[:, 0], atol=1e-5)


def test_frames_are_independent_without_time_folding() -> None:
    autoencoder, video = tiny(1), clip(7)
    latents = autoencoder.encode(video)
    some = [5, 0, 3]
    assert torch.allclose(autoencoder.encode(video[:, some]), latents[:, some], atol=1e-5)
    assert torch.allclose(autoencoder.decode(latents[:, some]), autoencoder.decode(latents)[:, some], atol=1e-5)
    other = video.clone()
    other[:, 3] = 0
    unchanged = [0, 1, 2, 4, 5, 6]
    assert torch.equal(autoencoder.encode(other)[:, unchanged], latents[:, unchanged])


def test_chunks_do_not_show() -> None:
    autoencoder = tiny(1)
    video = clip(9, 256, 256)
    whole = autoencoder.encode(video)
    assert torch.allclose(whole[:, 8:], autoencoder.encode(video[:, 8:]), atol=1e-5)
    assert torch.allclose(autoencoder.decode(whole)[:, 8:], autoencoder.decode(whole[:, 8:]), atol=1e-5)


def test_identity_is_exact() -> None:
    autoencoder = IdentityAutoencoder()
    frames = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
    assert np.array_equal(autoencoder.decode_frames(autoencoder.encode_frames(frames)), frames)
    video = clip(3, 5, 7)
    assert torch.equal(autoencoder.decode(autoencoder.encode(video)), video)


def test_bytes_and_floats_are_inverse() -> None:
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    assert np.array_equal(to_uint8(to_unit(every)), every)
    assert to_unit(every).min() == -1 and to_unit(every).max() == 1


@pytest.mark.parametrize("height, width, said", [(60, 64, "64x64"), (64, 100, "96x64"), (4, 8, "8x8")])
def test_odd_sizes_name_the_nearest(height: int, width: int, said: str) -> None:
    with pytest.raises(SizeError, match=said) as wrong:
        tiny().encode(clip(1, height, width))
    assert "\n" not in str(wrong.value)


def test_wrong_input_is_refused() -> None:
    autoencoder = tiny(4)
    with pytest.raises(InputError, match="expected float"):
        autoencoder.encode(torch.zeros(1, 2, 16, 16, 3))
    with pytest.raises(InputError, match="expected float"):
        autoencoder.decode(torch.zeros(1, 2, 5, 2, 2))
    with pytest.raises(SizeError, match="they stand for 2 to 5"):
        autoencoder.decode(torch.zeros(1, 2, 4, 2, 2), 6)
    with pytest.raises(InputError, match="expected uint8"):
        autoencoder.encode_frames(np.zeros((1, 16, 16, 3)))  # type: ignore[arg-type]
    for wrong in ({"time_factor": 3}, {"width": 20}, {"channels": 0}):
        with pytest.raises(InputError, match=r"expected|at least"):
            AutoencoderConfig(**wrong)


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    autoencoder = tiny(2).use_dtype(torch.bfloat16)
    save_autoencoder(autoencoder, tmp_path / "codec", card="# card\n")
    assert sorted(file.name for file in (tmp_path / "codec").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = load_autoencoder(tmp_path / "codec", dtype=torch.bfloat16)
    assert again.config == autoencoder.config
    for name, value in autoencoder.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert torch.equal(again.encode(clip(5)), autoencoder.encode(clip(5)))


def test_loading_is_strict(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no autoencoder at"):
        load_autoencoder(tmp_path)
    save_autoencoder(tiny(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for wrong, said in (
        ({"width": 32}, "does not fit"),
        ({"depth": 2}, "does not fit"),
        ({"width": 17}, "not an autoencoder's config"),
        ({"hue": 1}, "not an autoencoder's config"),
        ({"format": 9}, "not an autoencoder of format"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | wrong))
        with pytest.raises(ModelError, match=said) as error:
            load_autoencoder(tmp_path)
        assert "\n" not in str(error.value)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not an autoencoder's config"):
        load_autoencoder(tmp_path)
    save_autoencoder(tiny(), tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-10])
    with pytest.raises(ModelError, match="cannot be read"):
        load_autoencoder(tmp_path)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="could not be written"):
        save_autoencoder(tiny(), tmp_path / "file" / "codec")


def test_the_shipped_autoencoder_keeps_a_drawn_picture() -> None:
    autoencoder = load_autoencoder(SHIPPED)
    assert (autoencoder.space_factor, autoencoder.time_factor, autoencoder.channels) == (8, 1, 24)
    y, x = np.mgrid[:64, :64]
    frames = np.full((2, 64, 64, 3), (120, 170, 220), np.uint8)
    frames[:, 48:] = (90, 140, 70)
    for k, left in enumerate((20, 40)):
        frames[k, (x - left) ** 2 + (y - 36) ** 2 < 8**2] = (220, 40, 40)
    latents = autoencoder.encode_frames(frames)
    error = autoencoder.decode_frames(latents).astype(np.float64) - frames
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 28
    assert latents.abs().max() < 12
