"""Every training step on torch's "meta" device in place of a GPU's: mixing devices raises there as it does on one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinema.autoencoder import Autoencoder
from kinema.autoencoder.autoencoder import AutoencoderConfig
from kinema.datasets.episode_cache import EpisodeCache
from kinema.diffusion.losses import total
from kinema.diffusion.shortcut import shortcut_batch
from kinema.training import trainer as training
from kinema.training.batches import make_batch
from kinema.training.probes import Probes
from kinema.training.recipes import KINDS, smoke
from kinema.training.scheduled_sampling import Training, scheduled_sampling
from kinema.training.trainer import Trainer


@pytest.fixture
def run(smoke_caches: dict[str, EpisodeCache], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainer]:
    monkeypatch.setattr(training, "measured_peak", lambda device, dtype: 1e15)
    autoencoder = (
        Autoencoder(AutoencoderConfig(channels=24, depth=3))
        .use_dtype(torch.bfloat16)
        .to("meta")
        .eval()
        .requires_grad_(False)
    )
    yield Trainer(smoke(), tmp_path, smoke_caches, autoencoder, device="meta")


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_each_kind(run: Trainer, kind: str) -> None:
    batch = make_batch(run.recipe, run.caches, "one shape", kind, 0).on("meta", run.autoencoder, 2)
    parts = run.compute(batch)
    assert {x.device.type for x in parts.values()} == {"meta"}
    total(parts).backward()
    moved = [p for p in run.model.parameters() if p.grad is not None]
    assert moved and all(p.grad is not None and p.grad.device.type == "meta" for p in moved)


def test_a_batch_that_teaches_long_steps(run: Trainer) -> None:
    b = make_batch(run.recipe, run.caches, "one shape", "plan", 0).on("meta", run.autoencoder, 2)
    assert b.noise is not None
    made = shortcut_batch(run.model, np.random.default_rng(0), b.canvas, b.noise, b.time_bias, torch.bfloat16)
    assert made.step_size.device.type == "meta"
    assert {x.device.type for x in made.clean.values.values()} == {"meta"}


def test_a_past_of_its_own(run: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which rows are stepped is read back from the device: here all of them."""
    monkeypatch.setattr(torch.Tensor, "nonzero", lambda x: torch.arange(len(x), device=x.device)[:, None])
    monkeypatch.setattr(torch.Tensor, "__float__", lambda x: 1 / 16)
    batch = make_batch(run.recipe, run.caches, "one shape", "live", 0).on("meta", run.autoencoder, 2)
    made = scheduled_sampling(Training(run.model, torch.bfloat16, run.device), batch, np.random.default_rng(0), 2)
    assert made.values["state"].device.type == "meta"


def test_canaries_and_averages(run: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they answer cannot be read back from this device, so it is taken for zeros."""
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: torch.zeros(x.shape, dtype=x.dtype) if x.is_meta else cpu(x))
    small = replace(run.recipe, height=64)
    ask = Probes(small, run.caches["one shape"], run.autoencoder, device="meta", dtype=torch.bfloat16, count=2)
    assert ask(run.averaged())["render"] >= 0
