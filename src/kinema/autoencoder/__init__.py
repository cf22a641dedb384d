"""Frames to latents and back: the Codec protocol, the learned autoencoder and the identity."""

from kinema.autoencoder.autoencoder import Autoencoder, CodecConfig
from kinema.autoencoder.identity import IdentityCodec
from kinema.autoencoder.protocol import Codec, latent_frames, pixel_frames, to_bytes, to_unit
from kinema.autoencoder.store import fast_dtype, load_codec, save_codec

__all__ = [
    "Autoencoder",
    "Codec",
    "CodecConfig",
    "IdentityCodec",
    "fast_dtype",
    "latent_frames",
    "load_codec",
    "pixel_frames",
    "save_codec",
    "to_bytes",
    "to_unit",
]
