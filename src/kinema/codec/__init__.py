"""Frames to latents and back: the Codec protocol, the learned autoencoder and the identity."""

from kinema.codec.autoencoder import Autoencoder, CodecConfig
from kinema.codec.identity import IdentityCodec
from kinema.codec.protocol import Codec, latent_frames, pixel_frames, to_bytes, to_unit
from kinema.codec.store import fast_dtype, load_codec, save_codec

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
