"""A self-made past changes what is remembered, never what is asked for, and only what the model makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from kinema.models.denoiser import Denoiser
from kinema.scene.schema import IDENTITY, PLAYGROUND
from kinema.training.batches import Batch
from kinema.training.scheduled_sampling import Training, scheduled_sampling


def _batch(denoiser: Denoiser) -> Batch:
    from kinema.canvas.canvas import blank

    canvas = blank(batch=3, frames=16, fps=16.0, slots=4)
    generator = torch.Generator().manual_seed(0)
    values = {name: torch.randn(value.shape, generator=generator) * 0.3 for name, value in canvas.values.items()}
    values["state"][..., 0] = torch.where(torch.arange(4) < 2, 1.0, -1.0)
    past = torch.arange(16) % 3 != 2
    levels = {name: torch.zeros_like(level) for name, level in canvas.levels.items()}
    return Batch(
        kind="live", values=values, levels=levels, noise_seed=0, noise=values, time_s=canvas.time_s,
        text_states=torch.zeros(3, 2, 384),
        text_reads=torch.zeros(3, 16, 2, dtype=torch.bool), time_bias=torch.zeros(16, 16), step_size=torch.zeros(3),
        captions=[""] * 3, past=past,
    )  # fmt: skip


def test_only_the_past_changes(denoiser: Denoiser) -> None:
    batch = _batch(denoiser)
    training = Training(denoiser, torch.float32, torch.device("cpu"))
    changed = torch.zeros(16, dtype=torch.bool)
    for seed in range(6):
        own = scheduled_sampling(training, batch, np.random.default_rng(seed), 8)
        off = (own.values["state"] - batch.values["state"]).abs()
        changed |= off.amax((0, 2, 3)) > 0
        for group in IDENTITY:
            assert float(off[..., PLAYGROUND.slice(group)].max()) == 0.0
        assert float(off[:, :, 2:].max()) == 0.0, "empty slots stay as they are"
        assert all(torch.equal(own.values[name], value) for name, value in batch.values.items() if name != "state")
    assert batch.past is not None and not bool((changed & ~batch.past).any())
    assert int(changed.sum()) >= 3


def test_rows_without_actions_keep_the_truth(denoiser: Denoiser) -> None:
    batch = _batch(denoiser)
    unknown = replace(batch, levels={**batch.levels, "action": torch.ones_like(batch.levels["action"])})
    own = scheduled_sampling(Training(denoiser, torch.float32, torch.device("cpu")), unknown, np.random.default_rng(0), 8)
    assert torch.equal(own.values["state"], batch.values["state"])
