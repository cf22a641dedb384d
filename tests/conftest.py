"""Tiny real models that many tests share."""

from __future__ import annotations

import pytest
import torch

from kinema.codec import Autoencoder, CodecConfig
from kinema.model.config import DenoiserConfig
from kinema.model.denoiser import Denoiser
from kinema.models import Model, ModelConfig

torch.set_num_threads(1)

SMALL = DenoiserConfig(width=32, depth=2, heads=2, mlp_ratio=2, slots=4, latent_channels=24, patch=2, text_dim=384)


@pytest.fixture(scope="session")
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(SMALL).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def model() -> Model:
    """An untrained model of the smallest size, computing in float32."""
    torch.manual_seed(0)
    config = ModelConfig(
        name="untrained", denoiser=SMALL, codec="none", height=64, max_side=128, window=24, film_window=12, fps=(8.0, 32.0)
    )
    made = Model(config, Denoiser(SMALL), Autoencoder(CodecConfig(channels=24, width=16)).eval().requires_grad_(False))
    made.dtype = torch.float32
    made.denoiser.float()
    return made
