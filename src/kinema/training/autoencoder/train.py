"""Trains an autoencoder: python -m kinema.training.autoencoder.train --out FOLDER --minutes 30 --compile; the shipped one:
make train-codec

Each step draws one batch, Playground and some footage, of one size (mostly 64x64). Latents are disturbed by Gaussian noise of
up to 0.1, so that the decoder forgives a denoiser's small errors; the loss is L1 + L2 + L1 of the horizontal and vertical
differences, which keeps edges crisp, and a penalty that holds latents near zero mean and unit variance. Pixels of things
weigh many times as much as scenery, or latents are spent on stars in the sky while stars on the ground blur into boxes.
(Normalizing them by each batch's own statistics instead held PSNR at 25 dB: a few pictures say little about the mean
brightness of all.) Training begins at the best linear autoencoder, which is worth its first thousand steps. Adam, a cosine
schedule over the time or the steps given, and an exponential moving average of the weights, whose normalizing constants
are measured at the end. Draws depend on the seed alone: with --steps instead of --minutes, the same machine gives the
same weights.

An autoencoder that joins frames learns from short clips in place of pictures, of a first picture and two groups of frames.

Axes: N pictures or clips, T frames of a clip, C channels, H and W pixels, h and w cells.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinema.autoencoder.autoencoder import (
    COARSE,
    FINE,
    SPACE_FACTOR,
    Autoencoder,
    AutoencoderConfig,
    Residual,
    to_depth,
    with_previous_group,
)
from kinema.autoencoder.image_loss import image_loss
from kinema.autoencoder.protocol import latent_frames, to_unit
from kinema.autoencoder.store import fast_dtype, load_autoencoder, save_autoencoder
from kinema.errors import InputError, KinemaError
from kinema.inference.canvas_io import check_seed
from kinema.training.autoencoder.card import autoencoder_card, measure, psnr
from kinema.training.autoencoder.pictures import Footage, Scenes
from kinema.training.command import TrainingParser
from kinema.training.compiling import can_compile
from kinema.training.length import check_minutes, check_steps
from kinema.training.loop import TrainingLoop
from kinema.training.optimizer import WeightAverage
from kinema.training.seeds import seeded

Draw = Callable[[np.random.Generator, int, int], Tensor]
"""(rng, count, side) to uint8 [count, side, side, 3], or of clips [count, T, side, side, 3]."""
DrawThings = Callable[[np.random.Generator, int, int], tuple[Tensor, Tensor]]
"""The same, and where things are: bool [count, side, side], or [count, T, side, side]."""

SAVE_EVERY_S = 60.0
"""Between checkpoints, of a run that keeps some."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """pixels: per step; sides: sizes of pictures and how often each is drawn; footage_share: of each batch; linear_share:
    of the rate, for the linear paths; noise: the most that latents are disturbed by; spread: weight of that penalty;
    average: how much of the running average a step keeps; things: weight of a pixel of a thing, where scenery has 1."""

    pixels: int = 32 * 64 * 64
    sides: tuple[tuple[int, float], ...] = ((64, 0.9), (96, 0.05), (128, 0.05))
    footage_share: float = 0.1
    rate: float = 2e-3
    linear_share: float = 0.05
    warmup: int = 100
    noise: float = 0.1
    spread: float = 0.1
    average: float = 0.998
    things: float = 16.0
    seed: int = 0
    compile: bool = False

    def __post_init__(self) -> None:
        check_seed(self.seed)


def spread(raw: Tensor) -> Tensor:
    """How far channels of latents [N, C, h, w] are from zero mean and unit variance: the divergence of Gaussians."""
    variance, mean = torch.var_mean(raw.float(), (0, 2, 3))
    return 0.5 * (mean.square() + variance - 1 - torch.log(variance + 1e-6)).mean()


@torch.no_grad()
def start_linear(autoencoder: Autoencoder, batches: list[Tensor]) -> None:
    """Make `autoencoder` begin as the best linear one for batches [N, 3, H, W], or of clips [N, T, 3, H, W]: whitened principal
    components of blocks, which are of the group of frames that a latent stands for; it takes nothing from the group before."""
    own = 3 * autoencoder.time_factor
    groups = [groups_of(autoencoder, pictures)[:, -own:] for pictures in batches]
    parts = [to_depth(to_depth(group, FINE), COARSE).movedim(1, 0).flatten(1) for group in groups]
    blocks = torch.cat(parts, 1).double()
    mean = blocks.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh((blocks - mean) @ (blocks - mean).T / blocks.shape[1])
    basis, scale = vectors[:, -autoencoder.channels :], values[-autoencoder.channels :].clamp_min(1e-8).sqrt()
    into, back = autoencoder.encoder.linear, autoencoder.decoder.linear
    assert into.bias is not None and back.bias is not None
    blocks_in = into.weight.view(autoencoder.channels, SPACE_FACTOR**2, -1)
    blocks_in.zero_()[:, :, -own:] = (basis / scale).T.reshape(autoencoder.channels, SPACE_FACTOR**2, own)
    into.bias.copy_(-((basis / scale).T @ mean)[:, 0])
    back.weight.zero_()[:, -autoencoder.channels :, 0, 0] = (basis * scale).float()
    back.bias.copy_(mean[:, 0])
    autoencoder.decoder.out.weight.mul_(0.1)


def clip_frames(time_factor: int) -> int | None:
    """Frames of a clip that an autoencoder of this time factor learns from; None: it learns from single pictures."""
    return None if time_factor == 1 else 1 + 2 * time_factor


def groups_of(autoencoder: Autoencoder, pictures: Tensor) -> Tensor:
    """What the encoder reads of pictures [N, 3, H, W], or of clips [N, T, 3, H, W]: [N or N * S, channels, H, W]."""
    return pictures if pictures.dim() == 4 else autoencoder.group(pictures).flatten(0, 1)


def deepened(start: Autoencoder, config: AutoencoderConfig) -> Autoencoder:
    """A trainable copy of `start` in float32, with further residual blocks that begin as nothing if `config` is deeper."""
    autoencoder = Autoencoder(config)
    for module in autoencoder.modules():
        if isinstance(module, Residual):
            nn.init.zeros_(module.mix.weight)
    try:
        missing = autoencoder.load_state_dict(start.state_dict(), strict=False).missing_keys
    except RuntimeError:
        raise InputError(
            f"the autoencoder is {start.config}, which does not grow into {config}; only depth may differ"
        ) from None
    grown = [name for name in missing if ".near." not in name and ".wide." not in name]
    if grown:
        raise InputError(f"the autoencoder lacks {grown[0]}; only depth may grow")
    return autoencoder


class AutoencoderTrainer(TrainingLoop):
    """One autoencoder in training."""

    smoothing = 0.98

    def __init__(
        self,
        config: TrainConfig,
        autoencoder: AutoencoderConfig,
        scenes: DrawThings,
        clips: Draw,
        start: Autoencoder | None = None,
        keep_latents: bool = False,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        """scenes, clips: draw pictures, or clips of `clip_frames(time_factor)` frames. start: train on from this autoencoder,
        deepened to `autoencoder`. keep_latents: its decoder only, so that models that were trained on its latents stay valid.
        minutes, steps: length of the run, whichever ends first; InputError without either."""
        super().__init__(steps=steps, minutes=minutes, warmup=config.warmup)
        self.config = config
        self.rng = np.random.default_rng(config.seed)
        self.noise = torch.Generator().manual_seed(config.seed)
        self.scenes, self.clips = scenes, clips
        self.keep_latents, self.device = keep_latents, torch.device(device)
        with seeded(config.seed):
            self.autoencoder = deepened(start, autoencoder) if start else Autoencoder(autoencoder)
            self.autoencoder.to(self.device).train().requires_grad_(True).encoder.requires_grad_(not self.keep_latents)
            if start is None:
                start_linear(self.autoencoder, [self.batch()[0] for _ in range(8)])
        self.average = WeightAverage(self.autoencoder, config.average, first=1.1)
        self.dtype = fast_dtype(self.device)
        self.objective = (
            torch.compile(self.loss, dynamic=False) if config.compile and can_compile(self.device.type) else self.loss
        )
        slow = [*self.autoencoder.encoder.linear.parameters(), *self.autoencoder.decoder.linear.parameters()]
        fast = [p for p in self.autoencoder.parameters() if not any(p is other for other in slow)]
        parts = ((fast, 1.0), (slow, config.linear_share))
        self.groups = [{"params": [p for p in part if p.requires_grad], "share": share} for part, share in parts]
        self.optimizer = torch.optim.Adam(self.groups, lr=config.rate, betas=(0.9, 0.95), fused=True)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Pictures float32 [N, 3, H, W], or clips [N, T, 3, H, W]; of the Playground first, then footage; weights of their pixels
        [N, 1, H, W], or [N, T, 1, H, W]."""
        sides, odds = zip(*self.config.sides, strict=True)
        side = int(self.rng.choice(sides, p=odds))
        count = max(2, self.config.pixels // side**2 // (clip_frames(self.autoencoder.time_factor) or 1))
        real = max(1, round(count * self.config.footage_share))
        drawn, things = self.scenes(self.rng, count - real, side)
        weight = torch.ones(count, *drawn.shape[1:-1])
        weight[: count - real][things] = self.config.things
        pictures = to_unit(torch.cat([drawn, self.clips(self.rng, real, side)]))
        return pictures.to(self.device), weight.unsqueeze(-3).to(self.device)

    def loss(self, pictures: Tensor, weight: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the pictures made. weight: [N, 1, H, W]; noise: [N, C, h, w], already scaled; of clips [N * S, C, h, w]."""
        raw = self.autoencoder.encoder(groups_of(self.autoencoder, pictures).to(self.dtype))
        disturbed = raw + noise.to(self.dtype)
        if pictures.dim() == 4:
            made = self.autoencoder.decoder(disturbed).float()
        else:
            latents = with_previous_group(disturbed.unflatten(0, (len(pictures), -1)))
            groups = self.autoencoder.decoder(latents.flatten(0, 1)).float().unflatten(0, latents.shape[:2])
            made = self.autoencoder.ungroup(groups, pictures.shape[1]).flatten(0, 1)
            pictures, weight = pictures.flatten(0, 1), weight.flatten(0, 1)
        return image_loss(made, pictures, weight) + self.config.spread * spread(raw), made

    def rate(self) -> float:
        """The factor of the learning rate: warm up, fall as a cosine."""
        return min(self.warmed, 0.5 + 0.5 * math.cos(math.pi * self.done))

    def one_step(self) -> None:
        """One step on a fresh batch."""
        pictures, weight = self.batch()
        height, width = pictures.shape[-2:]
        count = len(pictures) * (
            1 if pictures.dim() == 4 else latent_frames(pictures.shape[1], self.autoencoder.time_factor)
        )
        strength = torch.rand(count, 1, 1, 1, generator=self.noise).square() * self.config.noise
        noise = strength * torch.randn(
            count, self.autoencoder.channels, height // SPACE_FACTOR, width // SPACE_FACTOR, generator=self.noise
        )
        rate = self.config.rate * self.rate()
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * max(rate, self.config.rate / 1000)
        self.optimizer.zero_grad(set_to_none=True)
        loss, made = self.objective(pictures, weight, noise.to(self.device))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.autoencoder.parameters(), 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.autoencoder)
        self.step += 1
        self.smooth("loss", loss.item())
        self.smooth("psnr", psnr(made, pictures.flatten(0, -4)))

    def run(self, say: Callable[[str], None], save: Callable[[], None] | None = None) -> None:
        """Until the run is done. `say` gets a line every ten seconds and at the end. save: writes `checkpoint`, each minute and at
        the end; without it the run keeps none, as one of few minutes does not."""
        shown, at = 0, time.monotonic()

        def after_step() -> None:
            nonlocal shown, at
            now = time.monotonic()
            if now - at > 10 or self.done >= 1.0:
                speed = (self.step - shown) * (self.config.pixels // 64**2) / (now - at)
                say(
                    f"step {self.step}  loss {self.running['loss']:.4f}  PSNR {self.running['psnr']:.2f} dB (noised)  "
                    f"{speed:.0f} frames/s of 64x64  {self.eta_s:.0f} s left"
                )
                shown, at = self.step, now

        self.loop(after_step, save, SAVE_EVERY_S)

    def checkpoint(self) -> dict[str, Any]:
        """All that changes in a run."""
        return {
            **self.state(), "model": self.autoencoder.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(), "noise": self.noise.get_state(),
            "rng": json.dumps(self.rng.bit_generator.state),
        }  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `checkpoint` of a run of the same config, bit for bit. Errors of every class where it does not fit."""
        self.autoencoder.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.noise.set_state(state["noise"])
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.go_on(state)

    @torch.no_grad()
    def finish(self, batches: int = 40) -> Autoencoder:
        """The averaged autoencoder with its normalizing constants, measured over fresh batches."""
        autoencoder = self.average.averaged().use_dtype(self.dtype)
        if self.keep_latents:
            return autoencoder
        groups = (groups_of(autoencoder, self.batch()[0]).to(self.dtype) for _ in range(batches))
        every = torch.cat([autoencoder.encoder(group).float().movedim(1, 0).flatten(1) for group in groups], 1)
        autoencoder.mean.copy_(every.mean(1))
        autoencoder.std.copy_(every.std(1))
        return autoencoder


def main() -> None:
    parser = TrainingParser(
        prog="python -m kinema.training.autoencoder.train", description="Train the 8x8 autoencoder on this machine."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for config.json, model.safetensors and README.md")
    parser.add_argument("--minutes", type=float, default=12, help="how long to train (default 12)")
    parser.add_argument("--steps", type=int, help="train this many steps instead: the same weights on every run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--channels", type=int, default=24, help="numbers per latent cell (default 24)")
    parser.add_argument(
        "--noise", type=float, default=TrainConfig.noise, help="disturbance of latents to bear (default 0.1)"
    )
    parser.add_argument("--footage", type=float, default=TrainConfig.footage_share, help="share of footage (default 0.1)")
    parser.add_argument("--things", type=float, default=TrainConfig.things, help="weight of a thing's pixel (default 16)")
    parser.add_argument("--rate", type=float, default=TrainConfig.rate, help="learning rate (default 0.002)")
    parser.add_argument("--large", type=float, default=0.1, help="share of batches larger than 64x64 (default 0.1)")
    parser.add_argument("--depth", type=int, default=3, help="residual blocks per resolution of the decoder (default 3)")
    older = parser.add_mutually_exclusive_group()
    older.add_argument(
        "--go-on", type=Path, metavar="AUTOENCODER", help="start from this autoencoder, which may be shallower"
    )
    older.add_argument("--keep-latents", type=Path, metavar="AUTOENCODER", help="improve only this autoencoder's decoder")
    parser.add_argument("--compile", action="store_true", help="use torch.compile: slower to start, faster per step")
    wish = parser.parse_args()
    try:
        _train(wish)
    except KinemaError as error:
        parser.error(str(error))


def _train(wish: argparse.Namespace) -> None:
    check_minutes(wish.minutes)
    check_steps(wish.steps)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    origin = wish.go_on or wish.keep_latents
    start = load_autoencoder(origin, dtype=torch.float32) if origin else None
    config = TrainConfig(
        seed=wish.seed,
        noise=wish.noise,
        compile=wish.compile,
        footage_share=wish.footage,
        things=wish.things,
        rate=wish.rate,
        sides=((64, 1 - wish.large), (96, wish.large / 2), (128, wish.large / 2)),
    )
    shape = (
        replace(start.config, depth=max(wish.depth, start.config.depth))
        if start
        else AutoencoderConfig(channels=wish.channels, depth=wish.depth)
    )
    keep, minutes = wish.keep_latents is not None, wish.minutes if wish.steps is None else None
    trainer = AutoencoderTrainer(
        config, shape, Scenes().draw, Footage().draw, start, keep, minutes=minutes, steps=wish.steps
    )
    trainer.run(say)
    autoencoder = trainer.finish()
    save_autoencoder(autoencoder, wish.out)
    figures = measure(autoencoder)
    say("  ".join(f"{name} {value:.2f}" for name, value in figures.items()))
    save_autoencoder(
        autoencoder, wish.out, card=autoencoder_card(autoencoder, trainer.step, " ".join(sys.argv[1:]), figures)
    )


if __name__ == "__main__":
    main()
