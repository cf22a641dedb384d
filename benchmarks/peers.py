"""Kinema beside its peers in one run: python -m benchmarks.peers [--quick] [--codec-minutes M] [--write]

The denoiser against diffusers' `WanTransformer3DModel` and `LTXVideoTransformer3DModel` of the same width, depth and number of
tokens, forward and training step, each eager and compiled, in float32 and bfloat16; the general network, as `kinema train video`
trains it, against the same two; a second of video by our sampler against their
pipelines; our codec against `AutoencoderKLLTXVideo` and `AutoencoderKLWan` at 8 x 8 x 4 compression, each trained for the same
minutes on the same pictures first (without that their PSNR is that of noise). Runs are interleaved, figures are medians.
Needs `pip install 'kinema[open-weights]'`.

Axes: B clips, T frames, N tokens of a frame, C latent channels.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import torch
import torch.nn.functional as F
from benchmarks.autoencoder import machine
from benchmarks.first_light import ROOT
from torch import Tensor, nn

import kinema
from kinema.autoencoder import Autoencoder, AutoencoderConfig, load_autoencoder
from kinema.canvas.canvas import TextCondition, blank
from kinema.inference.sampling import SamplingConfig
from kinema.models.config import DenoiserConfig
from kinema.models.denoiser import Denoiser, DenoiserInput
from kinema.models.dit import SIZES, DiT, DiTConfig, DiTInput
from kinema.models.dit_model import MAX_TOKENS
from kinema.models.hub import weights_folder
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene
from kinema.training.film_lesson import FilmRecipe
from kinema.training.optimizer import Optimizer

WIDTH, DEPTH, HEADS, TEXT = 192, 8, 4, 384
CHANNELS = 96
"""Numbers of a token: a cell of 2 x 2 latents of 24 channels."""
WORDS = 16
GRID = (3, 7)
"""Tokens of a frame for peers: as many as our 4 x 4 cells, four slots and one vector."""
LATENT = 24
"""Channels of a latent."""
CLIPS, FRAMES = 8, 20
NAMES = ("kinema", "wan", "ltx")
PARTS = ("steps", "general", "sampling", "codec", "growth")
GENERAL = ("XS", "S")
MODES = (("eager", torch.float32), ("eager", torch.bfloat16), ("compiled", torch.float32), ("compiled", torch.bfloat16))

Step = Callable[[], Tensor]


@dataclass
class Row:
    what: str
    who: str
    values: dict[str, float] = field(default_factory=dict)


def peer(name: str, channels: int, patch: int = 1, size: tuple[int, int, int] = (WIDTH, DEPTH, HEADS)) -> nn.Module:
    """A peer's transformer of a width, a depth and as many heads. patch: latents along one side of a token of Wan's; LTX's has
    them packed into channels."""
    from diffusers import LTXVideoTransformer3DModel, WanTransformer3DModel

    width, depth, heads = size
    if name == "wan":
        made: nn.Module = WanTransformer3DModel(
            patch_size=(1, patch, patch), num_attention_heads=heads, attention_head_dim=width // heads, in_channels=channels,
            out_channels=channels, text_dim=TEXT, ffn_dim=4 * width, num_layers=depth,
        )  # fmt: skip
    else:
        made = LTXVideoTransformer3DModel(
            in_channels=channels, out_channels=channels, num_attention_heads=heads, attention_head_dim=width // heads,
            cross_attention_dim=width, num_layers=depth, caption_channels=TEXT,
        )  # fmt: skip
    return made


def forward_of(name: str, clips: int, frames: int, dtype: torch.dtype) -> tuple[nn.Module, Step]:
    """A network and one forward pass of it, to a mean squared error of its video answer."""
    torch.manual_seed(0)
    words = torch.randn(clips, WORDS, TEXT)
    if name == "kinema":
        config = DenoiserConfig(
            width=WIDTH, depth=DEPTH, heads=HEADS, mlp_ratio=4, slots=4, latent_channels=24, patch=2, text_dim=TEXT
        )
        model: nn.Module = Denoiser(config)
        canvas = blank(batch=clips, frames=frames, fps=16.0, slots=4, grid=(4, 4), cell_values=CHANNELS)
        values = {key: torch.randn_like(value) for key, value in canvas.values.items()}
        text = TextCondition(states=words, reads=torch.ones(clips, frames, WORDS, dtype=torch.bool))
        given = DenoiserInput(canvas=replace(canvas, values=values, text=text), time_bias=torch.zeros(frames, frames))
        target = torch.randn_like(values["video"])

        def ours() -> Tensor:
            found = model.network(given, dtype)  # type: ignore[operator]
            return F.mse_loss(found["video"], target) + 0.1 * found["state"].square().mean()

        return model, ours
    return peer_forward(name, peer(name, CHANNELS), torch.randn(clips, CHANNELS, frames, *GRID), words, GRID, dtype)


def peer_forward(
    name: str, model: nn.Module, video: Tensor, words: Tensor, grid: tuple[int, int], dtype: torch.dtype
) -> tuple[nn.Module, Step]:
    """A peer and one forward pass of it over video [B, C, T, h, w]. grid: tokens of a frame, which LTX's takes packed."""
    clips, frames = len(video), video.shape[2]
    level = torch.full((clips,), 500.0)
    if name == "wan":
        goal = torch.randn_like(video)

        def wan() -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                found = model(video, level, words, return_dict=False)[0]
            return F.mse_loss(found.float(), goal)

        return model, wan
    flat = video.reshape(clips, -1, frames, grid[0] * grid[1]).flatten(2).transpose(1, 2).contiguous()
    aim, mask = torch.randn_like(flat), torch.ones(words.shape[:2])

    def ltx() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            found = model(flat, words, level, mask, num_frames=frames, height=grid[0], width=grid[1], return_dict=False)[0]
        return F.mse_loss(found.float(), aim)

    return model, ltx


def median_of(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each call, taken in turns."""
    return {name: float(np.median(seconds)) for name, seconds in in_turns(calls, rounds).items()}


def in_turns(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, after one to warm up. With one thread they are the processor's own: wall time is also
    that of other processes."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begun = clock()
            call()
            taken[name].append(clock() - begun)
    return taken


def training(
    clips: int, frames: int, rounds: int, modes: tuple[tuple[str, torch.dtype], ...] = MODES
) -> tuple[list[Row], float]:
    """Seconds of a forward pass and of a training step (AdamW for all) of every network in every mode; and FLOPs of ours."""
    forwards: dict[str, Callable[[], object]] = {}
    steps: dict[str, Callable[[], object]] = {}
    for name in NAMES:
        for how, dtype in modes:
            model, loss = forward_of(name, clips, frames, dtype)
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
            if how == "compiled":
                loss = torch.compile(loss, dynamic=False)
            label = f"{name}, {how}, {str(dtype).removeprefix('torch.')}"

            def step(loss: Step = loss, optimizer: torch.optim.AdamW = optimizer) -> None:
                optimizer.zero_grad(set_to_none=True)
                loss().backward()  # type: ignore[no-untyped-call]
                optimizer.step()

            def forward(loss: Step = loss) -> None:
                with torch.no_grad():
                    loss()

            steps[label], forwards[label] = step, forward
    rows = []
    for what, calls in (("training step", steps), ("forward", forwards)):
        for label, seconds in median_of(calls, rounds).items():
            rows.append(Row(what, label, {"seconds": seconds}))
            print(f"{what}: {label}: {seconds:.3f} s", flush=True)
    return rows, flops_of(clips, frames)


def flops_of(clips: int, frames: int) -> float:
    """Of one forward pass of ours."""
    return _flops(forward_of("kinema", clips, frames, torch.float32)[1])


def _flops(loss: Step) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        loss()
    return float(counter.get_total_flops())


def best(rows: list[Row], what: str, who: str, how: str) -> float:
    """Seconds of a network's best precision."""
    return min(r.values["seconds"] for r in rows if r.what == what and r.who.startswith(f"{who}, {how}"))


def ratios(rows: list[Row]) -> list[Row]:
    """Ours, as it trains (compiled), against the better peer, eager and compiled."""
    found = []
    for what in ("training step", "forward"):
        own = best(rows, what, "kinema", "compiled")
        for how in ("eager", "compiled"):
            other = min(best(rows, what, name, how) for name in NAMES[1:])
            found.append(Row(f"{what}: ours against the better peer {how}", "", {"ratio": other / own}))
        eager = best(rows, what, "kinema", "eager")
        other = min(best(rows, what, name, "eager") for name in NAMES[1:])
        found.append(Row(f"{what}: both eager", "", {"ratio": other / eager}))
    return found


# The general network


BLOCKS = {"kinema": "blocks", "wan": "blocks", "ltx": "transformer_blocks"}
"""Where blocks are, which are compiled one by one: as our trainer does, and as diffusers advises ("regional compilation")."""


def general_forward(name: str, size: str, dtype: torch.dtype) -> tuple[nn.Module, Step]:
    """A network of one of the general network's sizes and one forward pass over a batch of `FilmRecipe`, with as many tokens of
    video and of text for each. Ours has one token a frame besides, a level for each frame, and attention inside frames and along
    time in every block, where the peers attend over all tokens."""
    torch.manual_seed(0)
    recipe = FilmRecipe(size=size)
    side, (width, depth, heads) = recipe.short_side // 8, SIZES[size]
    words = torch.randn(recipe.batch, MAX_TOKENS, TEXT)
    video = torch.randn(recipe.batch, recipe.frames, LATENT, side, side)
    if name != "kinema":
        grid = (side // recipe.patch, side // recipe.patch)
        if name == "wan":
            return peer_forward(
                name, peer(name, LATENT, recipe.patch, SIZES[size]), video.transpose(1, 2), words, grid, dtype
            )
        packed = torch.randn(recipe.batch, LATENT * recipe.patch**2, recipe.frames, *grid)
        return peer_forward(name, peer(name, packed.shape[1], 1, SIZES[size]), packed, words, grid, dtype)
    model = DiT(
        DiTConfig(
            width=width, depth=depth, heads=heads, channels=LATENT, patch=recipe.patch, time_every=recipe.time_every, text_dim=TEXT
        )
    )  # fmt: skip
    time_s = (torch.arange(recipe.frames) / recipe.fps).expand(recipe.batch, -1)
    given = DiTInput(
        video=video, level=torch.rand(recipe.batch, recipe.frames), time_s=time_s, text=words,
        text_mask=torch.ones(words.shape[:2], dtype=torch.bool),
    )  # fmt: skip
    goal = torch.randn_like(video)

    def ours() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            found = model(given)["video"]
        return F.mse_loss(found.float(), goal)

    return model, ours


def general(size: str, rounds: int, modes: tuple[tuple[str, torch.dtype], ...] = MODES) -> tuple[list[Row], list[Row]]:
    """Seconds of a forward pass with its backward one, and with the usual optimizer of each (Muon, AdamW and the average of the
    weights for ours, AdamW for the peers); and ratios, each the median over rounds."""
    passes: dict[str, Callable[[], object]] = {}
    steps: dict[str, Callable[[], object]] = {}
    rows = []
    for name in NAMES:
        for how, dtype in modes:
            model, loss = general_forward(name, size, dtype)
            if how == "compiled":
                for block in model.get_submodule(BLOCKS[name]).children():
                    block.compile(dynamic=False)
            label = f"{name}, {how}, {str(dtype).removeprefix('torch.')}"

            def both(loss: Step = loss, model: nn.Module = model) -> None:
                model.zero_grad(set_to_none=True)
                loss().backward()  # type: ignore[no-untyped-call]

            passes[label] = both
            if (how, dtype) == MODES[-1]:
                steps[label] = _stepping(both, model, name)
        flops, parameters = _flops(general_forward(name, size, torch.float32)[1]), sum(p.numel() for p in model.parameters())
        rows.append(Row(f"general {size}: network", name, {"parameters": parameters, "GFLOP of a step": 3 * flops / 1e9}))
        print(rows[-1], flush=True)
    ratios: list[Row] = []
    for what, calls in (("forward and backward", passes), ("with optimizer", steps)):
        taken = in_turns(calls, rounds)
        for label, seconds in taken.items():
            rows.append(Row(f"general {size}: {what}", label, {"seconds": float(np.median(seconds))}))
            print(f"general {size}: {what}: {label}: {rows[-1].values['seconds']:.3f} s", flush=True)
        ratios += ratios_in_turns(f"general {size}: {what}", taken)
    return rows, ratios


def _stepping(passes: Callable[[], None], model: nn.Module, name: str) -> Callable[[], None]:
    """With the optimizer of each project."""
    ours, theirs = Optimizer(model, FilmRecipe()), torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        passes()
        if name == "kinema":
            ours.step(1e-3)
        else:
            theirs.step()

    return step


def ratios_in_turns(what: str, taken: dict[str, list[float]]) -> list[Row]:
    """Ours against the better peer, each in its better precision: the median of the ratios of each round."""
    found = []
    own = _fastest(taken, "kinema", "compiled")
    for how in ("eager", "compiled"):
        others = [_fastest(taken, name, how) for name in NAMES[1:]]
        if all(others):
            other = min(others, key=lambda seconds: float(np.median(seconds)))
            found.append(Row(f"{what}: ours against the better peer {how}", "", {"ratio": median_ratio(other, own)}))
    eager = [_fastest(taken, name, "eager") for name in NAMES]
    if all(eager):
        other = min(eager[1:], key=lambda seconds: float(np.median(seconds)))
        found.append(Row(f"{what}: both eager", "", {"ratio": median_ratio(other, eager[0])}))
    return found


def median_ratio(a: list[float], b: list[float]) -> float:
    """Of two calls that took turns."""
    return float(np.median(np.array(a) / np.array(b)))


def _fastest(taken: dict[str, list[float]], name: str, how: str) -> list[float]:
    """Of a network's precisions, the times of the fastest; [] where it did not run in this way."""
    mine = [seconds for label, seconds in taken.items() if label.startswith(f"{name}, {how}")]
    return min(mine, key=lambda seconds: float(np.median(seconds)), default=[])


# Sampling


def pipelines(steps: int) -> dict[str, Callable[[], object]]:
    """A second of 64 x 64 video from words by each: the same network size, as many steps of the plan or the film, guidance on.

    Text is given as states, and ours encodes its words within. Their autoencoders compress 8 x 8 x 4, ours 8 x 8 x 1 as
    shipped, so their networks have a fourth of our frames to go through."""
    from diffusers import FlowMatchEulerDiscreteScheduler, LTXPipeline, WanPipeline

    words, none = torch.randn(1, WORDS, TEXT), torch.randn(1, WORDS, TEXT)
    wan = WanPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=wan_codec(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        transformer=peer("wan", LATENT, 2),
    )
    ltx = LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=ltx_codec(),
        text_encoder=None,
        tokenizer=None,
        transformer=peer("ltx", LATENT),
    )
    wan.set_progress_bar_config(disable=True)
    ltx.set_progress_bar_config(disable=True)
    mask = torch.ones(1, WORDS)
    model = kinema.load("kinema-tiny")

    def theirs_wan() -> object:
        return wan(
            height=64, width=64, num_frames=17, num_inference_steps=steps, guidance_scale=2.0, prompt_embeds=words,
            negative_prompt_embeds=none, output_type="np",
        )  # fmt: skip

    def theirs_ltx() -> object:
        return ltx(
            height=64, width=64, num_frames=17, num_inference_steps=steps, guidance_scale=2.0, prompt_embeds=words,
            prompt_attention_mask=mask, negative_prompt_embeds=none, negative_prompt_attention_mask=mask, output_type="np",
        )  # fmt: skip

    def ours() -> object:
        return kinema.generate(
            "a red ball rolls right and hits a blue box",
            model=model,
            seconds=1,
            size=(64, 64),
            options=SamplingConfig(num_plan_steps=steps),
        )

    return {"kinema": ours, "wan": theirs_wan, "ltx": theirs_ltx}


# Codecs


def wan_codec() -> nn.Module:
    """8 x 8 x 4 as it comes, narrowed to about as many numbers as ours."""
    from diffusers import AutoencoderKLWan

    made: nn.Module = AutoencoderKLWan(
        base_dim=16, z_dim=24, dim_mult=[1, 2, 2, 2], num_res_blocks=1, latents_mean=[0.0] * 24, latents_std=[1.0] * 24
    )  # fmt: skip
    return made.eval()


def ltx_codec() -> nn.Module:
    """8 x 8 x 4: patches of 2 x 2, then two halvings of space and time."""
    from diffusers import AutoencoderKLLTXVideo

    made: nn.Module = AutoencoderKLLTXVideo(
        latent_channels=24, block_out_channels=(24, 32, 48), decoder_block_out_channels=(24, 32, 48),
        down_block_types=("LTXVideoDownBlock3D",) * 3,
        layers_per_block=(1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1), spatio_temporal_scaling=(True, True, False),
        decoder_spatio_temporal_scaling=(True, True, False), decoder_inject_noise=(False,) * 4, downsample_type=("conv",) * 3,
        upsample_residual=(False,) * 3, upsample_factor=(1,) * 3, patch_size=2, patch_size_t=1,
    )  # fmt: skip
    return made.eval()


def pictures(first: int, count: int, frames: int = 9) -> Tensor:
    """Playground clips [B, 3, T, 64, 64] in [-1, 1]."""
    clips = [
        np.asarray(render_scene(simulate(tiny(), first + i, fps=16.0, num_frames=frames).scene, height=64, width=64))
        for i in range(count)
    ]
    return torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0


def there_and_back(name: str, autoencoder: nn.Module) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Encode and decode clips [B, 3, T, H, W]."""
    if name.startswith("kinema"):
        return (lambda x: autoencoder.encode(x.transpose(1, 2))), (lambda z: autoencoder.decode(z).transpose(1, 2))  # type: ignore[operator]
    return (lambda x: autoencoder.encode(x).latent_dist.mode()), (lambda z: autoencoder.decode(z, return_dict=False)[0])  # type: ignore[operator]


def codecs(minutes: float, rounds: int) -> list[Row]:
    """Each trained for as many minutes on the same pictures; then PSNR on fresh ones and frames a second of decoding."""
    made: dict[str, nn.Module] = {
        "kinema": Autoencoder(AutoencoderConfig(channels=24, depth=3, time_factor=4)),
        "wan": wan_codec(),
        "ltx": ltx_codec(),
    }
    test, rows = pictures(900_500_000, 12), []
    train = pictures(800_000_000, 400) if minutes else test
    for name, autoencoder in made.items():
        encode, decode = there_and_back(name, autoencoder.train().requires_grad_(True))
        optimizer = torch.optim.AdamW(autoencoder.parameters(), lr=1e-3, betas=(0.9, 0.98))
        begun, step = time.time(), 0
        while time.time() - begun < 60 * minutes:
            rate = min(1.0, (step + 1) / 50, 2 * (1 - (time.time() - begun) / (60 * minutes)))
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * max(rate, 0.02)
            some = train[torch.randint(0, len(train), (4,))]
            with torch.autocast("cpu", torch.bfloat16):
                back = decode(encode(some))
            optimizer.zero_grad(set_to_none=True)
            F.l1_loss(back.float()[:, :, : some.shape[2]], some).backward()
            nn.utils.clip_grad_norm_(autoencoder.parameters(), 1.0)
            optimizer.step()
            step += 1
        autoencoder.eval().requires_grad_(False)
        rows.append(Row("codec", name, {"steps": step, "parameters": sum(p.numel() for p in autoencoder.parameters())}))
    shipped = load_autoencoder(weights_folder() / "codec-8x8")
    made["kinema, as shipped"] = shipped  # type: ignore[assignment]
    rows.append(Row("codec", "kinema, as shipped", {}))
    calls: dict[str, Callable[[], object]] = {}
    with torch.inference_mode():
        for row, (name, autoencoder) in zip(rows, made.items(), strict=True):
            encode, decode = there_and_back(name, autoencoder)
            latents = encode(test)
            back = decode(latents).float()[:, :, : test.shape[2]].clamp(-1, 1)
            row.values["psnr"] = float(10 * math.log10(4.0 / float((back - test).square().mean())))
            for dtype in (torch.float32, torch.bfloat16):
                calls[f"{name}/{dtype}"] = _decoding(decode, latents, dtype)
        seconds = median_of(calls, rounds)
    frames = len(test) * test.shape[2]
    for row in rows:
        row.values["decode"] = frames / min(value for key, value in seconds.items() if key.startswith(f"{row.who}/"))
        print(f"codec {row.who}: {row.values}", flush=True)
    return rows


def _decoding(decode: Callable[[Tensor], Tensor], latents: Tensor, dtype: torch.dtype) -> Callable[[], object]:
    def call() -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            return decode(latents)

    return call


# What limits


def ceilings() -> dict[str, float]:
    """Measured: GFLOP/s of a large product in both precisions, GB/s of a copy."""
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(2048, 2048).to(dtype)
        seconds = median_of({"": lambda a=a: a @ a}, 10)[""]  # type: ignore[misc]
        found[f"GFLOP/s {str(dtype).removeprefix('torch.')}"] = 2 * 2048**3 / seconds / 1e9
    plain, copy = torch.randn(1 << 26), torch.empty(1 << 26)
    found["GB/s copied"] = 2 * plain.numel() * 4 / median_of({"": lambda: copy.copy_(plain)}, 8)[""] / 1e9
    return found


def traffic(clips: int, frames: int) -> float:
    """Bytes that a compiled training step has to move at least: weights three times, kept activations once each way."""
    tokens = clips * frames * 21
    weights = sum(p.numel() for p in forward_of("kinema", 1, 2, torch.float32)[0].parameters())
    per_block = 10 * WIDTH * 2 + 4 * WIDTH * 2 * 2
    return 3 * 4 * weights + 2 * tokens * per_block * DEPTH


def growth(rounds: int) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Seconds of a forward pass by frames and by clips, eager, each network in its better precision."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {"frames": {}, "clips": {}}
    for axis, sizes in (("frames", (10, 20, 40, 80)), ("clips", (1, 4, 16))):
        for size in sizes:
            clips, frames = (2, size) if axis == "frames" else (size, FRAMES)
            calls: dict[str, Callable[[], object]] = {}
            for name in NAMES:
                for dtype in (torch.float32, torch.bfloat16):
                    _, loss = forward_of(name, clips, frames, dtype)

                    def call(loss: Step = loss) -> None:
                        with torch.no_grad():
                            loss()

                    calls[f"{name}/{dtype}"] = call
            seconds = median_of(calls, rounds)
            for name in NAMES:
                least = min(value for key, value in seconds.items() if key.startswith(f"{name}/"))
                found[axis].setdefault(name, []).append((float(size), least))
            print(f"{axis} {size}: " + ", ".join(f"{name} {found[axis][name][-1][1]:.3f} s" for name in NAMES), flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds, no compiling in float32; of the general network nothing in it"
    )
    parser.add_argument(
        "--codec-minutes", type=float, default=3.0, help="training of each codec before it is timed (default: 3)"
    )
    parser.add_argument("--steps", type=int, default=16, help="of every sampler (default: 16)")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=list(PARTS), help="some of it; the rest of the page is kept"
    )
    parser.add_argument("--write", action="store_true", help="write docs/measurements/peers.md")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    rounds = 3 if given.quick else 7
    modes = tuple(m for m in MODES if not (given.quick and m == MODES[2]))
    print(machine())
    limits = ceilings()
    print(limits)
    rows: list[Row] = []
    summary: list[Row] = []
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    if "steps" in given.parts:
        rows, flops = training(CLIPS, FRAMES, rounds, modes)
        summary = ratios(rows)
        own = best(rows, "training step", "kinema", "compiled")
        rate = 3 * flops / own / 1e9
        limits |= {
            "GFLOP/s of our training step": rate,
            "share of the product peak": rate / limits["GFLOP/s bfloat16"],
            "seconds by products alone": 3 * flops / limits["GFLOP/s bfloat16"] / 1e9,
            "seconds by memory alone": traffic(CLIPS, FRAMES) / limits["GB/s copied"] / 1e9,
            "seconds": own,
        }
        print(limits)
    if "general" in given.parts:
        for size in GENERAL:
            measured, compared = general(size, rounds + 2, tuple(m for m in modes if not (given.quick and m == MODES[0])))
            rows, summary = rows + measured, summary + compared
            if given.write:
                write(rows, summary, limits, curves, given)
    if "sampling" in given.parts:
        sampled = median_of(pipelines(given.steps), rounds)
        rows += [Row("a second of video", name, {"seconds": seconds}) for name, seconds in sampled.items()]
        other = min(sampled[name] for name in NAMES[1:])
        summary.append(Row("a second of video: ours against the better pipeline", "", {"ratio": other / sampled["kinema"]}))
    if "codec" in given.parts:
        found = codecs(given.codec_minutes, rounds)
        rows += found
        by = {row.who: row.values for row in found}
        speed = by["kinema"]["decode"] / max(by["wan"]["decode"], by["ltx"]["decode"])
        summary.append(Row("codec decode: ours against the faster peer", "", {"ratio": speed}))
    if "growth" in given.parts:
        curves = growth(2 if given.quick else 5)
    for row in summary:
        print(f"{row.what}: {row.values['ratio']:.2f}x", flush=True)
    if given.write:
        write(rows, summary, limits, curves, given)
    return 0


def write(
    rows: list[Row], summary: list[Row], limits: dict[str, float], curves: dict[str, dict[str, list[tuple[float, float]]]],
    given: argparse.Namespace,
) -> None:  # fmt: skip
    from kinema.evaluation.report import _curves

    kept = ROOT / "docs" / "measurements" / "peers.json"
    measured: dict[str, str] = {}
    if kept.exists() and set(given.parts) != set(PARTS):
        old = json.loads(kept.read_text())
        rows = [Row(**row) for row in old["rows"] if row["what"] not in {row.what for row in rows}] + rows
        summary = [Row(**row) for row in old["summary"] if row["what"] not in {row.what for row in summary}] + summary
        limits, curves = {**limits, **old["limits"]}, curves or old["growth"]
        measured = old["measured"]

    bars = {
        "training step: ours against the better peer eager": 3.0,
        "training step: ours against the better peer compiled": 1.2,
        **{f"general {size}: forward and backward: ours against the better peer compiled": 1.3 for size in GENERAL},
        "a second of video: ours against the better pipeline": 3.0,
        "codec decode: ours against the faster peer": 2.0,
    }
    lines = ["| what | bar | measured | met |", "|---|---|---|---|"]
    for row in summary:
        bar, ratio = bars.get(row.what), row.values["ratio"]
        lines.append(
            f"| {row.what} | {'-' if bar is None else f'>= {bar:g}x'} | {ratio:.2f}x |"
            f" {'' if bar is None else 'yes' if ratio >= bar else '**no**'} |"
        )
    lines += ["", "| what | who | |", "|---|---|---|"]
    for row in rows:
        told = ", ".join(
            f"{key} {value:,.3f}" if value < 100 else f"{key} {value:,.0f}" for key, value in row.values.items()
        )
        lines.append(f"| {row.what} | {row.who} | {told} |")
    lines += ["", "| limits | |", "|---|---|", *(f"| {key} | {value:,.3g} |" for key, value in limits.items())]
    folder = ROOT / "docs" / "measurements"
    command = (
        f"python -m benchmarks.peers{' --quick' * given.quick} --codec-minutes {given.codec_minutes:g} --steps {given.steps}"
    )
    measured |= dict.fromkeys(given.parts, f"`{command}`, {date.today()}, {machine()}")
    head = (
        "# Beside peers\n\n"
        + "\n".join(f"- {part}: {how}" for part, how in measured.items())
        + f"\n\nWidth {WIDTH}, depth {DEPTH}, {HEADS} heads, {CLIPS} clips of {FRAMES} frames of 21 tokens. General: the network of"
        f" `kinema train video` at sizes {' and '.join(GENERAL)}, {FilmRecipe().batch} clips of {FilmRecipe().frames} frames of 16"
        f" tokens, {MAX_TOKENS} tokens of text; width, depth and heads are the same for each. Ours attends inside frames and along"
        " time in every block, which takes more parameters and products than the peers' one attention over all tokens.\n\n"
    )
    pictures_folder = ROOT / "docs" / "pictures"
    shown = []
    for axis, lines_ in curves.items():
        drawn = _curves(lines_, (axis, "seconds of a forward pass"))
        page = drawn[drawn.index("<svg") : drawn.index("</svg>") + 6]
        page = page.replace("<svg ", "<svg xmlns='http://www.w3.org/2000/svg' ", 1).replace("var(--line)", "#bbb")
        (pictures_folder / f"peers-{axis}.svg").write_text(page + "\n")
        shown.append(f"![forward pass by {axis}](../pictures/peers-{axis}.svg)")
    keys = "Blue: kinema, red: wan, green: ltx."
    (folder / "peers.md").write_text(head + "\n".join([*lines, "", *shown, "", keys]) + "\n")
    data = {
        "measured": measured,
        "rows": [row.__dict__ for row in rows],
        "summary": [row.__dict__ for row in summary],
        "limits": limits,
        "growth": curves,
    }
    (folder / "peers.json").write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
