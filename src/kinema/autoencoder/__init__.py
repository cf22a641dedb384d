"""Frames to latents and back: the protocol, the learned autoencoder and the identity."""

from kinema.autoencoder.autoencoder import Autoencoder, AutoencoderConfig
from kinema.autoencoder.identity import IdentityAutoencoder
from kinema.autoencoder.protocol import VideoAutoencoder, latent_frames, pixel_frames, to_uint8, to_unit
from kinema.autoencoder.store import (
    autoencoder_sha256,
    fast_dtype,
    load_autoencoder,
    load_video_autoencoder,
    save_autoencoder,
)

__all__ = [
    "Autoencoder",
    "AutoencoderConfig",
    "IdentityAutoencoder",
    "VideoAutoencoder",
    "autoencoder_sha256",
    "fast_dtype",
    "latent_frames",
    "load_autoencoder",
    "load_video_autoencoder",
    "pixel_frames",
    "save_autoencoder",
    "to_uint8",
    "to_unit",
]
