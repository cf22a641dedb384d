"""Trains the shipped codec: python -m kinema.codec.train --out weights/codec-8x8 --minutes 12

Each step draws one batch, 60% Playground and 40% footage, of one size (mostly 64x64). Latents are disturbed by Gaussian
noise of up to 0.2, so that the decoder forgives a denoiser's small errors; the loss is L1 + L2 + L1 of the horizontal and
vertical differences, which keeps edges crisp, and a penalty that holds latents near zero mean and unit variance.
(Normalizing them by each batch's own statistics instead held PSNR at 25 dB: a few pictures say little about the mean
brightness of all.) Training begins at the best linear codec, which is worth its first thousand steps. Adam, a cosine
schedule over the time or the steps given, and an exponential moving average of the weights, whose normalizing constants
are measured at the end. Draws depend on the seed alone: with --steps instead of --minutes, the same machine gives the
same weights.

Axes: N pictures, C channels, H and W pixels, h and w cells.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kinema.codec.autoencoder import COARSE, FINE, Autoencoder, CodecConfig, to_depth
from kinema.codec.card import card, measure, psnr
from kinema.codec.pictures import Footage, Scenes
from kinema.codec.protocol import to_unit
from kinema.codec.store import fast_dtype, load_codec, save_codec

Draw = Callable[[np.random.Generator, int, int], Tensor]
"""(rng, count, side) to uint8 [count, side, side, 3]."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """pixels: per step; sides: sizes of pictures and how often each is drawn; footage_share: of each batch; linear_share:
    of the rate, for the linear paths; noise: the most that latents are disturbed by; spread: weight of that penalty;
    average: how much of the running average a step keeps."""

    pixels: int = 32 * 64 * 64
    sides: tuple[tuple[int, float], ...] = ((64, 0.7), (96, 0.15), (128, 0.15))
    footage_share: float = 0.4
    rate: float = 2e-3
    linear_share: float = 0.05
    warmup: int = 100
    noise: float = 0.2
    spread: float = 0.1
    average: float = 0.998
    seed: int = 0
    compile: bool = False


def loss_of(made: Tensor, true: Tensor) -> Tensor:
    """L1 + 2 L2 + L1 of differences between neighbors, for pictures [N, 3, H, W] in [-1, 1]."""
    off = made - true
    across = (off[..., 1:] - off[..., :-1]).abs().mean()
    down = (off[..., 1:, :] - off[..., :-1, :]).abs().mean()
    return off.abs().mean() + 2 * off.square().mean() + 0.5 * (across + down)


def spread(raw: Tensor) -> Tensor:
    """How far channels of latents [N, C, h, w] are from zero mean and unit variance: the divergence of Gaussians."""
    variance, mean = torch.var_mean(raw.float(), (0, 2, 3))
    return 0.5 * (mean.square() + variance - 1 - torch.log(variance + 1e-6)).mean()


@torch.no_grad()
def start_linear(codec: Autoencoder, batches: list[Tensor]) -> None:
    """Make `codec` begin as the best linear one for batches [N, 3, H, W]: whitened principal components of 8x8 blocks."""
    parts = [to_depth(to_depth(pictures, FINE), COARSE).movedim(1, 0).flatten(1) for pictures in batches]
    blocks = torch.cat(parts, 1).double()
    mean = blocks.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh((blocks - mean) @ (blocks - mean).T / blocks.shape[1])
    basis, scale = vectors[:, -codec.channels :], values[-codec.channels :].clamp_min(1e-8).sqrt()
    into, back = codec.encoder.linear, codec.decoder.linear
    assert into.bias is not None and back.bias is not None
    into.weight.copy_((basis / scale).T[:, :, None, None])
    into.bias.copy_(-((basis / scale).T @ mean)[:, 0])
    back.weight.copy_((basis * scale)[:, :, None, None])
    back.bias.copy_(mean[:, 0])
    codec.decoder.out.weight.mul_(0.1)


class Trainer:
    """One codec in training. `step(progress)` takes one optimizer step at a share 0..1 of the schedule."""

    def __init__(
        self, config: TrainConfig, codec: CodecConfig, scenes: Draw, clips: Draw, start: Autoencoder | None = None
    ) -> None:
        """start: train on from this codec, decoder only: its latents, and models that were trained on them, stay valid."""
        torch.manual_seed(config.seed)
        self.config = config
        self.rng = np.random.default_rng(config.seed)
        self.noise = torch.Generator().manual_seed(config.seed)
        self.scenes, self.clips = scenes, clips
        self.keep_latents = start is not None
        self.codec = copy.deepcopy(start).cast(torch.float32) if start else Autoencoder(codec)
        self.codec.train().requires_grad_(True).encoder.requires_grad_(not self.keep_latents)
        if not self.keep_latents:
            start_linear(self.codec, [self.batch() for _ in range(8)])
        self.average = copy.deepcopy(self.codec).requires_grad_(False)
        self.dtype = fast_dtype()
        self.objective = torch.compile(self.loss, dynamic=True) if config.compile else self.loss
        slow = [*self.codec.encoder.linear.parameters(), *self.codec.decoder.linear.parameters()]
        fast = [p for p in self.codec.parameters() if not any(p is other for other in slow)]
        parts = ((fast, 1.0), (slow, config.linear_share))
        self.groups = [{"params": [p for p in part if p.requires_grad], "share": share} for part, share in parts]
        self.optimizer = torch.optim.Adam(self.groups, lr=config.rate, betas=(0.9, 0.95), fused=True)
        self.steps = 0

    def batch(self) -> Tensor:
        """Pictures float32 [N, 3, H, W]: Playground first, then footage."""
        sides, odds = zip(*self.config.sides, strict=True)
        side = int(self.rng.choice(sides, p=odds))
        count = max(2, self.config.pixels // side**2)
        real = max(1, round(count * self.config.footage_share))
        drawn = [self.scenes(self.rng, count - real, side), self.clips(self.rng, real, side)]
        return to_unit(torch.cat(drawn))

    def loss(self, pictures: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the pictures made. noise: [N, C, h, w], already scaled."""
        raw = self.codec.encoder(pictures.to(self.dtype))
        made = self.codec.decoder(raw + noise.to(self.dtype)).float()
        return loss_of(made, pictures) + self.config.spread * spread(raw), made

    def step(self, progress: float) -> tuple[float, float]:
        """Loss and PSNR of one step on a fresh batch."""
        pictures = self.batch()
        count, _, height, width = pictures.shape
        strength = torch.rand(count, 1, 1, 1, generator=self.noise).square() * self.config.noise
        noise = strength * torch.randn(count, self.codec.channels, height // 8, width // 8, generator=self.noise)
        rate = self.config.rate * min((self.steps + 1) / self.config.warmup, 0.5 + 0.5 * math.cos(math.pi * progress))
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * max(rate, self.config.rate / 1000)
        self.optimizer.zero_grad(set_to_none=True)
        loss, made = self.objective(pictures, noise)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        keep = min(self.config.average, 1 - 10 / (self.steps + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.codec.parameters()), 1 - keep)
        return loss.item(), psnr(made.detach(), pictures)

    @torch.no_grad()
    def finish(self, batches: int = 40) -> Autoencoder:
        """The averaged codec with its normalizing constants, measured over fresh batches."""
        codec = self.average.cast(self.dtype).eval()
        if self.keep_latents:
            return codec
        raw = [codec.encoder(self.batch().to(self.dtype)).float().movedim(1, 0).flatten(1) for _ in range(batches)]
        every = torch.cat(raw, 1)
        codec.mean.copy_(every.mean(1))
        codec.std.copy_(every.std(1))
        return codec


def run(trainer: Trainer, minutes: float, steps: int | None, say: Callable[[str], None]) -> None:
    """Step until the time (or the number of steps) is up; `say` gets a line every few seconds."""
    start = last = time.monotonic()
    losses: list[tuple[float, float]] = []
    seen = 0
    while True:
        now = time.monotonic()
        progress = trainer.steps / steps if steps else (now - start) / (60 * minutes)
        if losses and (now - last > 10 or progress >= 1):
            loss, quality = np.mean(losses, 0)
            left = (now - start) * (1 / progress - 1)
            speed = seen / (now - last)
            say(
                f"step {trainer.steps}  loss {loss:.4f}  PSNR {quality:.2f} dB (noised)  "
                f"{speed:.0f} frames/s of 64x64  {max(0, left):.0f} s left"
            )
            last, seen, losses = now, 0, []
        if progress >= 1:
            return
        losses.append(trainer.step(progress))
        seen += trainer.config.pixels // 64**2


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m kinema.codec.train", description="Train the 8x8 codec on this machine.")
    parser.add_argument("--out", type=Path, required=True, help="folder for config.json, model.safetensors and README.md")
    parser.add_argument("--minutes", type=float, default=12, help="how long to train (default 12)")
    parser.add_argument("--steps", type=int, help="train this many steps instead: the same weights on every run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--noise", type=float, default=TrainConfig.noise, help="disturbance of latents to bear (default 0.2)"
    )
    parser.add_argument("--keep-latents", type=Path, metavar="CODEC", help="improve only this codec's decoder")
    parser.add_argument("--compile", action="store_true", help="use torch.compile: slower to start, faster per step")
    wish = parser.parse_args()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    start = load_codec(wish.keep_latents, dtype=torch.float32) if wish.keep_latents else None
    config = TrainConfig(seed=wish.seed, noise=wish.noise, compile=wish.compile)
    trainer = Trainer(config, start.config if start else CodecConfig(), Scenes().draw, Footage().draw, start)
    run(trainer, wish.minutes, wish.steps, say)
    codec = trainer.finish()
    save_codec(codec, wish.out)
    figures = measure(codec)
    say("  ".join(f"{name} {value:.2f}" for name, value in figures.items()))
    save_codec(codec, wish.out, card=card(codec, trainer.steps, " ".join(sys.argv[1:]), figures))


if __name__ == "__main__":
    main()
