"""A model that is not ours, for the arena: python -m benchmarks.outside [--minutes M] [--out FILE]

diffusers' `WanTransformer3DModel`, small, taught by flow matching to go on from eight frames of the Playground on latents of our
codec: what a researcher would have after so many minutes with the usual parts and no state. Then

    kinema arena run --quick --model benchmarks.outside:make

Axes: B clips, T frames, C channels, h x w latents.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from benchmarks.first_light import ROOT
from diffusers import WanTransformer3DModel
from numpy.typing import NDArray
from torch import Tensor, nn

from kinema.codec import load_codec
from kinema.models import weights_folder
from kinema.worlds.playground import simulate, tiny
from kinema.worlds.render import render

KNOWN, AHEAD = 8, 16
STEPS = 8
FILE = ROOT / "out" / "outside.pt"
WORDS = 16
Frames = NDArray[np.uint8]


def network() -> nn.Module:
    made: nn.Module = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=4, attention_head_dim=48, in_channels=24, out_channels=24, text_dim=64,
        ffn_dim=768, num_layers=6,
    )  # fmt: skip
    return made


def answer(model: nn.Module, latents: Tensor, level: Tensor) -> Tensor:
    """Velocity [B, C, T, h, w] of latents whose first KNOWN frames are known; level [B], 0 to 1."""
    batch, _, frames, height, width = latents.shape
    each = (1000.0 * level)[:, None].expand(batch, frames).clone()
    each[:, :KNOWN] = 0.0
    tokens = each.repeat_interleave(height * width // 4, 1)
    found: Tensor = model(latents, tokens, torch.zeros(batch, WORDS, 64), return_dict=False)[0]
    return found


def train(minutes: float, out: Path) -> None:
    codec = load_codec(weights_folder() / "codec-8x8")
    kept = []
    for seed in range(600):
        scene = simulate(tiny(), 860_000_000 + seed, fps=16.0, num_frames=64).scene
        kept.append(codec.encode_frames(np.asarray(render(scene, height=64, width=64))).half())
    every = torch.stack(kept)
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    begun, step, loss = time.time(), 0, torch.zeros(())
    while time.time() - begun < 60 * minutes:
        rate = min(1.0, (step + 1) / 50, 3 * (1 - (time.time() - begun) / (60 * minutes)))
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * max(rate, 0.02)
        rows = torch.randint(0, len(every), (8,))
        start = int(torch.randint(0, 64 - KNOWN - AHEAD, ()))
        clean = every[rows, start : start + KNOWN + AHEAD].float().transpose(1, 2)
        level = torch.sigmoid(torch.randn(8)) * 0.98 + 0.02
        noise = torch.randn_like(clean)
        mixed = torch.lerp(clean, noise, level[:, None, None, None, None])
        mixed[:, :, :KNOWN] = clean[:, :, :KNOWN]
        with torch.autocast("cpu", torch.bfloat16):
            found = answer(model, mixed, level)
        loss = F.mse_loss(found[:, :, KNOWN:].float(), (noise - clean)[:, :, KNOWN:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 50 == 0:
            print(f"step {step}, loss {float(loss.detach()):.3f}, {(time.time() - begun) / 60:.1f} min", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), out)


class Outside:
    """Goes on eight frames at a time from the last eight."""

    name = "wan-small"

    def __init__(self, file: Path) -> None:
        self.model = network()
        self.model.load_state_dict(torch.load(file, weights_only=True))
        self.model.eval()
        self.codec = load_codec(weights_folder() / "codec-8x8")

    def round_trip(self, frames: Frames) -> Frames:
        return np.asarray(self.codec.decode_frames(self.codec.encode_frames(frames)))

    @torch.inference_mode()
    def predict(
        self, context_frames: Frames, actions: NDArray[np.float32] | None, text: str, horizon: int, seed: int
    ) -> Frames:
        if not len(context_frames):
            return np.full((horizon, 64, 64, 3), 128, np.uint8)
        shown = np.concatenate([np.repeat(context_frames[:1], KNOWN, 0), context_frames])[-KNOWN:]
        known = self.codec.encode_frames(shown).float().transpose(0, 1)[None]
        generator, done = torch.Generator().manual_seed(seed), []
        for _ in range(-(-horizon // AHEAD)):
            latents = torch.cat([known, torch.randn(1, 24, AHEAD, 8, 8, generator=generator)], 2)
            for i in range(STEPS, 0, -1):
                with torch.autocast("cpu", torch.bfloat16):
                    away = answer(self.model, latents, torch.tensor([i / STEPS]))
                latents[:, :, KNOWN:] -= away[:, :, KNOWN:].float() / STEPS
            done.append(latents[:, :, KNOWN:])
            known = latents[:, :, -KNOWN:]
        made = torch.cat(done, 2)[0].transpose(0, 1)[:horizon]
        return np.asarray(self.codec.decode_frames(made))


def make() -> Outside:
    return Outside(FILE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--out", type=Path, default=FILE)
    given = parser.parse_args()
    train(given.minutes, given.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
