"""The autoencoder that changes nothing: latents are the pixels themselves. For tests and models that see pixels.

Axes as in `protocol`. Pixels in [-1, 1] are close enough to unit variance, so they pass through untouched.
"""

from __future__ import annotations

from torch import Tensor

from kinema.autoencoder.protocol import check_latents, check_video, to_uint8, to_unit
from kinema.types import Frames


class IdentityAutoencoder:
    """space_factor 1, time_factor 1, 3 channels; encode and decode return the same values exactly."""

    channels = 3
    space_factor = 1
    time_factor = 1

    def encode(self, video: Tensor) -> Tensor:
        """video: float [B, T, 3, H, W] in [-1, 1]; returned as it is, in float32."""
        check_video(video, self.space_factor)
        return video.float()

    def decode(self, latents: Tensor, num_frames: int | None = None) -> Tensor:
        """latents: float [B, T, 3, H, W]; returned cut to [-1, 1], in float32."""
        check_latents(latents, self.channels, self.time_factor, num_frames)
        return latents.float().clamp(-1, 1)

    def encode_frames(self, frames: Frames) -> Tensor:
        """frames: uint8 [T, H, W, 3]. Returns float32 [T, 3, H, W]."""
        return self.encode(to_unit(frames)[None])[0]

    def decode_frames(self, latents: Tensor, num_frames: int | None = None) -> Frames:
        """latents: float [T, 3, H, W]. Returns uint8 [T, H, W, 3]."""
        return to_uint8(self.decode(latents[None], num_frames)[0])
