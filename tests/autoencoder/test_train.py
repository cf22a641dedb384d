"""Laws of the autoencoder's training: the seed decides it, the loss falls, and the constants normalize latents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from kinema.autoencoder import AutoencoderConfig
from kinema.autoencoder.image_loss import image_loss
from kinema.errors import InputError
from kinema.training.autoencoder.card import psnr
from kinema.training.autoencoder.train import AutoencoderTrainer, TrainConfig, deepened, spread


def squares(rng: np.random.Generator, count: int, side: int) -> Tensor:
    """A square of a random color on a random ground."""
    pictures = (
        np.repeat(rng.integers(0, 256, (count, 1, 1, 3)), side * side, 1).reshape(count, side, side, 3).astype(np.uint8)
    )
    for picture in pictures:
        top, left = rng.integers(0, side - 8, 2)
        picture[top : top + 8, left : left + 8] = rng.integers(0, 256, 3)
    return torch.from_numpy(pictures)


def squares_and_where(rng: np.random.Generator, count: int, side: int) -> tuple[Tensor, Tensor]:
    pictures = squares(rng, count, side)
    return pictures, (pictures != pictures[:, :1, :1]).any(-1)


def trainer(seed: int, steps: int = 300) -> AutoencoderTrainer:
    config = TrainConfig(pixels=8 * 32 * 32, sides=((32, 0.5), (16, 0.5)), seed=seed, warmup=5)
    shape = AutoencoderConfig(width=16, channels=8, depth=1)
    return AutoencoderTrainer(config, shape, squares_and_where, squares, steps=steps)


def weights(of: AutoencoderTrainer) -> Tensor:
    return torch.cat([p.detach().flatten() for p in of.average.parameters()])


def test_the_seed_decides_the_weights() -> None:
    runs = [trainer(seed, steps=3) for seed in (0, 0, 1)]
    for run in runs:
        run.run(lambda line: None)
    assert runs[0].running == runs[1].running != runs[2].running
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert not torch.equal(weights(runs[0]), weights(runs[2]))


def test_the_loss_falls_and_latents_are_normal() -> None:
    run = trainer(0)
    pictures, weight = run.batch()
    still = torch.zeros(len(pictures), 8, pictures.shape[2] // 8, pictures.shape[3] // 8)
    before = run.loss(pictures, weight, still)[0].item()
    for _ in range(60):
        run.one_step()
    assert run.loss(pictures, weight, still)[0].item() < 0.8 * before
    autoencoder = run.finish(20).use_dtype(torch.float32)
    latents = autoencoder.encode(run.batch()[0][None])
    assert latents.mean().abs() < 0.3
    assert 0.7 < latents.std() < 1.4


def test_the_decoder_alone_can_learn_on() -> None:
    start = trainer(0).finish(2)
    config = TrainConfig(pixels=8 * 32 * 32, sides=((32, 1.0),), warmup=1)
    run = AutoencoderTrainer(config, start.config, squares_and_where, squares, start, keep_latents=True, steps=3)
    run.run(lambda line: None)
    made = run.finish()
    for name, value in start.state_dict().items():
        same = torch.equal(made.state_dict()[name].float(), value.float())
        assert same != name.startswith("decoder"), name


def test_spread_is_least_for_zero_mean_and_unit_variance() -> None:
    normal = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert spread(normal).abs() < 1e-2
    for off in (normal + 1, normal * 3, normal / 3):
        assert spread(off) > 0.3


def test_training_begins_at_the_best_linear_autoencoder() -> None:
    run = trainer(0)
    pictures, _ = run.batch()
    flat = pictures.mean((0, 2, 3), keepdim=True).expand_as(pictures)
    assert psnr(run.autoencoder.decoder(run.autoencoder.encoder(pictures)), pictures) > psnr(flat, pictures) + 6


def test_the_loss_is_zero_only_for_the_truth_and_punishes_edges() -> None:
    true = torch.zeros(1, 3, 8, 8)
    flat, striped = true + 0.1, true.clone()
    striped[..., ::2], striped[..., 1::2] = 0.1, -0.1
    even = torch.ones(1, 1, 8, 8)
    assert image_loss(true, true, even) == 0 < image_loss(flat, true, even) < image_loss(striped, true, even)


def test_a_mistake_on_a_thing_costs_more_than_one_on_the_scenery() -> None:
    true, weight = torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    weight[..., 2:4, 2:4] = 6.0
    on, off = true.clone(), true.clone()
    on[..., 2:4, 2:4], off[..., 5:7, 5:7] = 0.2, 0.2
    assert image_loss(on, true, weight) > 4 * image_loss(off, true, weight)


def test_an_autoencoder_that_grows_deeper_begins_as_it_was() -> None:
    start = trainer(0).finish(2).use_dtype(torch.float32)
    grown = deepened(start, replace(start.config, depth=3))
    pictures = squares(np.random.default_rng(3), 4, 32).movedim(-1, 1).float()[None] / 127.5 - 1
    torch.testing.assert_close(grown.decode(grown.encode(pictures)), start.decode(start.encode(pictures)))
    with pytest.raises(InputError, match="only depth"):
        deepened(start, replace(start.config, width=32))
