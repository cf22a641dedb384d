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
from kinema.datasets import episode_clips
from kinema.datasets.episode_cache import EpisodeCache
from kinema.datasets.episode_clips import EpisodeClips
from kinema.datasets.lerobot import Dataset
from kinema.datasets.recorder import record
from kinema.diffusion.losses import total
from kinema.diffusion.shortcut import shortcut_batch
from kinema.models.dit import DiT
from kinema.scene.encoding import Fields
from kinema.training import trainer as training
from kinema.training.batches import make_batch
from kinema.training.film_lesson import ClipsLesson, FilmRecipe
from kinema.training.films import film_config
from kinema.training.probes import Probes
from kinema.training.recipes import KINDS, smoke
from kinema.training.recordings import Recordings
from kinema.training.scheduled_sampling import Training, scheduled_sampling
from kinema.training.trainer import Trainer
from kinema.training.world_lesson import RecordingsLesson, WorldRecipe
from kinema.training.world_stages import config_for


@pytest.fixture
def autoencoder() -> Autoencoder:
    made = Autoencoder(AutoencoderConfig(channels=24, depth=3)).use_dtype(torch.bfloat16)
    return made.to("meta").eval().requires_grad_(False)


@pytest.fixture
def run(
    smoke_caches: dict[str, EpisodeCache], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autoencoder: Autoencoder
) -> Iterator[Trainer]:
    monkeypatch.setattr(training, "measured_peak", lambda device, dtype: 1e15)
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


@pytest.mark.parametrize("done", [0.0, 1.0], ids=["pictures", "video"])
def test_a_step_of_films_of_the_playground(
    smoke_caches: dict[str, EpisodeCache], autoencoder: Autoencoder, monkeypatch: pytest.MonkeyPatch, done: float
) -> None:
    """The renderer groups pictures by what it reads back from the device: here it draws nothing."""

    def blank(fields: Fields, height: int, width: int, device: str) -> torch.Tensor:
        return torch.empty(*fields.x.shape[:2], height, width, 3, dtype=torch.uint8, device=device)

    monkeypatch.setattr(episode_clips, "render_windows", blank)
    recipe = FilmRecipe(size="nano", batch=2, frames=4, pictures_first=0.5, picture_share=0.0)
    clips = EpisodeClips(smoke_caches["one shape"], autoencoder, device="meta")
    network = DiT(film_config(clips, recipe, "x").network).to("meta")
    (loss,) = ClipsLesson(clips, recipe).losses(network, 0, done, torch.device("meta")).values()
    loss.backward()
    assert loss.device.type == "meta" and any(p.grad is not None for p in network.blocks.parameters())


def test_a_step_of_a_world_with_a_past_of_its_own(tmp_path: Path) -> None:
    record("CartPole-v1", tmp_path / "cart", episodes_wanted=3, size=(32, 48))
    recipe = WorldRecipe(size="nano", batch=2, frames=3, own_share=1.0)
    on_cpu = Autoencoder(AutoencoderConfig(channels=24, depth=3)).eval().requires_grad_(False)
    data = Dataset.open(tmp_path / "cart")
    recordings = Recordings(data, on_cpu, None)
    network, lesson = DiT(config_for(data, recordings, recipe, "x").network), RecordingsLesson(recordings, recipe)
    lesson.begin(network)
    losses = lesson.losses(network.to("meta"), 0, 1.0, torch.device("meta"))
    torch.stack(list(losses.values())).sum().backward()
    assert {x.device.type for x in losses.values()} == {"meta"}
    assert any(p.grad is not None for p in network.blocks.parameters())
