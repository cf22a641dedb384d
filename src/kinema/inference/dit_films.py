"""Films of the general network: the unknown frames of a clip, from its known ones and a text."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kinema.diffusion.flow import sample, sampling_levels, shift_of
from kinema.diffusion.shortcut import step_size_of
from kinema.models.dit import DiTInput
from kinema.models.dit_model import DiTModel


@torch.inference_mode()
def fill_frames(
    model: DiTModel,
    known: Tensor,
    unknown: Tensor,
    *,
    prompt: str,
    seed: int,
    fps: float,
    steps: int,
    guidance: float,
    strength: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Latents [1, T, C, h, w] of a whole clip.

    known: latents [1, T, C, h, w], of which frames with `unknown` [1, T] 0 stand, or latents with `unknown` [1, T, h, w] 0. fps: of
    the latent frames. guidance: scale of classifier-free guidance (Ho & Salimans 2021), 1 for none. steps: of the sampler; 1, 2, 4
    and 8 are long steps of a model that was trained for few. strength: the first level of unknown frames; below 1 they begin from
    `known`.
    """
    states, mask = model.encode_texts([prompt])
    twice = guidance != 1.0 and bool(mask.any())
    rows, reads = (2, torch.cat([mask, torch.zeros_like(mask)])) if twice else (1, mask)
    time_s = (torch.arange(known.shape[1], device=model.device) / fps).expand(rows, -1)
    noise = torch.randn(known.shape, generator=torch.Generator().manual_seed(seed)).to(model.device)
    size = step_size_of(steps) if strength >= 1 else 0.0
    step_size = torch.full((rows,), size, device=model.device) if model.network.config.step_sizes else None

    def estimate(noisy: Tensor, level: Tensor) -> Tensor:
        given = DiTInput(
            video=noisy.to(model.dtype).expand(rows, -1, -1, -1, -1),
            level=level.expand(rows, *level.shape[1:]),
            time_s=time_s,
            text=states.expand(rows, -1, -1),
            text_mask=reads,
            step_size=step_size,
        )
        made: Tensor = model.network(given)["video"].float()
        return made[1:] + guidance * (made[:1] - made[1:]) if twice else made

    shift = shift_of(known.shape[1], *(known.shape[-2:] if model.config.shift_by_size else ()))
    levels = [max(min(strength, 1.0), 0.02) * level for level in sampling_levels(steps, shift=shift)]
    return sample(estimate, noise, unknown, known, levels, progress)
