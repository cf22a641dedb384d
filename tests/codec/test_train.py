"""Laws of the codec's training: the seed decides it, the loss falls, and the constants normalize latents."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kinema.codec import CodecConfig
from kinema.codec.card import psnr
from kinema.codec.train import TrainConfig, Trainer, loss_of, spread


def squares(rng: np.random.Generator, count: int, side: int) -> Tensor:
    """A square of a random color on a random ground."""
    pictures = (
        np.repeat(rng.integers(0, 256, (count, 1, 1, 3)), side * side, 1).reshape(count, side, side, 3).astype(np.uint8)
    )
    for picture in pictures:
        top, left = rng.integers(0, side - 8, 2)
        picture[top : top + 8, left : left + 8] = rng.integers(0, 256, 3)
    return torch.from_numpy(pictures)


def trainer(seed: int) -> Trainer:
    config = TrainConfig(pixels=8 * 32 * 32, sides=((32, 0.5), (16, 0.5)), seed=seed, warmup=5)
    return Trainer(config, CodecConfig(width=16, channels=8, depth=1), squares, squares)


def weights(of: Trainer) -> Tensor:
    return torch.cat([p.detach().flatten() for p in of.average.parameters()])


def test_the_seed_decides_the_weights() -> None:
    runs = [trainer(seed) for seed in (0, 0, 1)]
    losses = [[run.step(0.1 * k)[0] for k in range(3)] for run in runs]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert not torch.equal(weights(runs[0]), weights(runs[2]))


def test_the_loss_falls_and_latents_are_normal() -> None:
    run = trainer(0)
    pictures = run.batch()
    still = torch.zeros(len(pictures), 8, pictures.shape[2] // 8, pictures.shape[3] // 8)
    before = run.loss(pictures, still)[0].item()
    for _ in range(60):
        run.step(0.2)
    assert run.loss(pictures, still)[0].item() < 0.8 * before
    codec = run.finish(20).cast(torch.float32)
    latents = codec.encode(run.batch()[None])
    assert latents.mean().abs() < 0.3
    assert 0.7 < latents.std() < 1.4


def test_the_decoder_alone_can_learn_on() -> None:
    start = trainer(0).finish(2)
    config = TrainConfig(pixels=8 * 32 * 32, sides=((32, 1.0),), warmup=1)
    run = Trainer(config, start.config, squares, squares, start)
    for _ in range(3):
        run.step(0.2)
    made = run.finish()
    for name, value in start.state_dict().items():
        same = torch.equal(made.state_dict()[name].float(), value.float())
        assert same != name.startswith("decoder"), name


def test_spread_is_least_for_zero_mean_and_unit_variance() -> None:
    normal = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert spread(normal).abs() < 1e-2
    for off in (normal + 1, normal * 3, normal / 3):
        assert spread(off) > 0.3


def test_training_begins_at_the_best_linear_codec() -> None:
    run = trainer(0)
    pictures = run.batch()
    flat = pictures.mean((0, 2, 3), keepdim=True).expand_as(pictures)
    assert psnr(run.codec.decoder(run.codec.encoder(pictures)), pictures) > psnr(flat, pictures) + 6


def test_the_loss_is_zero_only_for_the_truth_and_punishes_edges() -> None:
    true = torch.zeros(1, 3, 8, 8)
    flat, striped = true + 0.1, true.clone()
    striped[..., ::2], striped[..., 1::2] = 0.1, -0.1
    assert loss_of(true, true) == 0 < loss_of(flat, true) < loss_of(striped, true)
