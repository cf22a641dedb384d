"""The occlusion module fitted on true states alone, before it is trained beside a trunk: thousands of its steps take a minute."""

from __future__ import annotations

import numpy as np
import torch

from kinema.datasets.episode_cache import EpisodeCache
from kinema.models.objects.occlusion import OcclusionModule
from kinema.scene.encoding import encode_state
from kinema.training.batches import training_part

FRAMES = 20_000
TRUNK = 0.9
"""Visible share that the trunk says of everything near a screen (docs/training-log.md)."""


def fit_occlusion(
    module: OcclusionModule, cache: EpisodeCache, *, steps: int = 2_500, batch: int = 512, seed: int = 0
) -> float:
    """Fit a new module to the visible shares of single frames in which something is hidden.

    Returns:
        The root mean square error of the shares of hidden things in the frames that are held back, 0 to 1; NaN where the cache has
        no such frames, and the module stays as it is.
    """
    rng = np.random.default_rng(seed)
    episodes, frames = training_part(cache, cache.covered)
    if len(episodes) < batch:
        return float("nan")
    pick = rng.integers(0, len(episodes), FRAMES)
    ones = np.ones(FRAMES, np.int64)
    fields = cache.windows(episodes[pick], frames[pick], ones, 1, -ones).fields
    device = module.extent.device
    states = torch.from_numpy(encode_state(fields)).to(device)
    exists = torch.from_numpy(fields.kind >= 0)[:, None].to(device)
    target = torch.from_numpy(fields.visible).to(device)
    held = FRAMES // 20
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def error(rows: torch.Tensor) -> torch.Tensor:
        state = states[rows]
        place = state[..., module.schema.slice("position")]
        shown, retained = module(state, torch.zeros_like(state), place)
        missed: torch.Tensor = (retained * TRUNK + (1 - retained) * shown - target[rows])[exists[rows]]
        return missed

    with torch.enable_grad():
        for _ in range(steps):
            rows = torch.from_numpy(rng.integers(held, FRAMES, batch)).to(device)
            optimizer.zero_grad()
            error(rows).square().mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    optimizer.zero_grad()
    with torch.no_grad():
        return float(error(torch.arange(held, device=device)).square().mean().sqrt())
