"""What a number of GPUs would take for the general network's larger sizes: python -m benchmarks.scale [--write]

Nothing is measured. Weights and stored activations are counted in a dry run on the meta device of torch, where tensors have shapes
and no numbers; arithmetic is that of `kinema.training.flops.dit_flops`; traffic and times are formulas over the figures of `Chip`.
--write puts the tables into docs/scale.md.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kinema.models.dit import SIZES, DiT, DiTConfig, DiTInput
from kinema.training.flops import PEAKS, dit_flops
from kinema.training.parallel import recompute_blocks

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
BEGIN, END = "<!-- written by python -m benchmarks.scale --write -->", "<!-- end -->"
NAMES, GPUS, PER_MACHINE = ("B", "L", "XL"), (8, 64, 1000), 8
CHANNELS, TEXT_DIM, WORDS = 8, 384, 64
CLIP = (16, 32, 32)
"""Latent frames, height and width of a clip: with a space factor of 8, 256 x 256 pixels."""
PATCH = 2
WEIGHT_BYTES, GRADIENT_BYTES, ADAM_BYTES, AVERAGE_BYTES = 4, 4, 8, 4
"""Of a parameter, all in float32; AdamW holds two moments."""


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A GPU as its maker states it, and the share of its peak that is assumed."""

    name: str = "H100"
    memory_gb: float = 80.0
    inside_gb_s: float = 450.0
    """To the other GPUs of its machine, one way."""
    outside_gb_s: float = 50.0
    """To those of other machines, one way: 400 Gbit/s a GPU."""
    mfu: float = 0.4
    """Assumed."""

    @property
    def flops(self) -> float:
        """FLOP/s in bfloat16 that are assumed to be reached."""
        return PEAKS[self.name] * self.mfu


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What one clip of a size takes. Bytes and FLOPs are of a step, a forward and a backward pass."""

    parameters: int
    block: int
    """Parameters of the largest block."""
    tokens: int
    flops: float
    stored: int
    """Bytes kept for the backward pass."""
    stored_recompute: int
    """The same where blocks are computed once more in it."""


def network(size: str | tuple[int, int, int]) -> DiTConfig:
    """The configuration of a model that films, by its usual name or by width, depth and heads."""
    width, depth, heads = SIZES[size] if isinstance(size, str) else size
    return DiTConfig(width=width, depth=depth, heads=heads, channels=CHANNELS, patch=PATCH, text_dim=TEXT_DIM, time_every=1)


def one_clip(config: DiTConfig, device: str = "meta", frames: int = CLIP[0]) -> DiTInput:
    """A batch of one."""
    _, height, width = CLIP
    return DiTInput(
        video=torch.empty(1, frames, config.channels, height, width, device=device),
        level=torch.empty(1, frames, device=device),
        time_s=torch.empty(1, frames, device=device),
        text=torch.empty(1, WORDS, config.text_dim, device=device),
        text_mask=torch.empty(1, WORDS, dtype=torch.bool, device=device),
    )


def stored_bytes(model: DiT, given: DiTInput) -> int:
    """What a forward pass keeps for its backward pass, weights aside, each storage once."""
    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
            alive.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        model(given)
    return sum(kept.values())


def dry_run(size: str | tuple[int, int, int], frames: int = CLIP[0]) -> DryRun:
    """Build a size on the meta device, in bfloat16 as passes are, and pass one clip of so many latent frames through it."""
    config = network(size)
    with torch.device("meta"):
        model = DiT(config).bfloat16()
    given = one_clip(config, frames=frames)
    narrow = DiTInput(
        video=given.video.bfloat16(), level=given.level, time_s=given.time_s, text=given.text, text_mask=given.text_mask
    )
    stored = stored_bytes(model, narrow)
    recompute_blocks(model)
    _, height, width = CLIP
    return DryRun(
        parameters=sum(p.numel() for p in model.parameters()),
        block=max(sum(p.numel() for p in block.parameters()) for block in model.blocks),
        tokens=frames * (height // PATCH) * (width // PATCH),
        flops=3 * dit_flops(config, given),
        stored=stored,
        stored_recompute=stored_bytes(model, narrow),
    )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One size on so many GPUs. Bytes are of one GPU."""

    size: str
    gpus: int
    parallel: str
    state: float
    """Bytes of weights, gradients, moments and average, and of the blocks that are gathered at a time."""
    clips: int
    """Of each GPU in a step, a power of two that fits beside the state."""
    recompute: bool
    inside: float
    """Bytes that a GPU sends inside its machine in a step."""
    outside: float
    """Bytes that it sends to other machines."""
    step_s: float
    tokens_s: float
    """Of all GPUs."""
    bound: str
    """What a step's time is: arithmetic or traffic. They are assumed to overlap."""


def state_bytes(run: DryRun, shards: int) -> float:
    """Of one GPU that holds one of so many shards; sharded blocks are gathered in bfloat16, this one and the next."""
    per = WEIGHT_BYTES + GRADIENT_BYTES + ADAM_BYTES + AVERAGE_BYTES
    return per * run.parameters / shards + (2 * 2 * run.block if shards > 1 else 0)


def traffic(run: DryRun, gpus: int, parallel: str) -> tuple[float, float]:
    """Bytes that a GPU sends in a step, inside its machine and to others.

    Ring algorithms: all-gather and reduce-scatter of n bytes over k send n (k - 1) / k; all-reduce twice that. Sharded weights are
    gathered twice in bfloat16 and their gradients scattered in float32; "hybrid" then averages shards across machines.
    """
    here, machines = min(gpus, PER_MACHINE), max(gpus // PER_MACHINE, 1)
    if parallel == "replicate":
        sent = 2 * GRADIENT_BYTES * run.parameters * (gpus - 1) / gpus
        return (sent, 0.0) if machines == 1 else (sent, sent / here)
    inside = (2 * 2 + GRADIENT_BYTES) * run.parameters * (here - 1) / here
    outside = 2 * GRADIENT_BYTES * run.parameters / here * (machines - 1) / machines
    return inside, outside


def planned(size: str, run: DryRun, gpus: int, chip: Chip) -> Plan:
    """Replicated where weights and eight clips fit one GPU with a margin, else sharded inside machines."""
    room = 0.85 * chip.memory_gb * 1e9
    parallel = "replicate" if state_bytes(run, 1) < room / 2 else "shard" if gpus <= PER_MACHINE else "hybrid"
    state = state_bytes(run, 1 if parallel == "replicate" else min(gpus, PER_MACHINE))
    recompute = run.stored * 8 > room - state
    stored = run.stored_recompute + run.stored / SIZES[size][1] if recompute else run.stored
    clips = 1
    while 2 * clips * stored <= room - state and clips < 32:
        clips *= 2
    inside, outside = traffic(run, gpus, parallel)
    arithmetic = clips * run.flops * (4 / 3 if recompute else 1) / chip.flops
    moving = max(inside / chip.inside_gb_s, outside / chip.outside_gb_s) / 1e9
    step = max(arithmetic, moving)
    return Plan(
        size=size, gpus=gpus, parallel=parallel, state=state, clips=clips, recompute=recompute, inside=inside, outside=outside,
        step_s=step, tokens_s=gpus * clips * run.tokens / step, bound="arithmetic" if arithmetic >= moving else "traffic",
    )  # fmt: skip


def fits(run: DryRun, depth: int, shards: int, chip: Chip) -> bool:
    """Whether a GPU that holds one of so many shards can pass one clip, blocks being computed again in the backward pass."""
    return state_bytes(run, shards) + run.stored_recompute + run.stored / depth <= 0.85 * chip.memory_gb * 1e9


def longest_clip(size: str, chip: Chip) -> tuple[int, DryRun]:
    """Latent frames, a power of two, of the longest clip that one GPU of a sharding machine can pass, and its dry run."""
    frames, run = CLIP[0], dry_run(size)
    while fits(longer := dry_run(size, 2 * frames), SIZES[size][1], PER_MACHINE, chip):
        frames, run = 2 * frames, longer
    return frames, run


def largest_network(shards: int, chip: Chip) -> DryRun:
    """The widest network of XL's depth, in steps of 1024 (heads of 64), of which so many GPUs hold a share and one passes
    a clip."""
    depth, width = SIZES["XL"][1], 1024
    run = dry_run((width, depth, width // 64))
    while fits(wider := dry_run((width + 1024, depth, width // 64 + 16)), depth, shards, chip):
        width, run = width + 1024, wider
    return run


def tensor_traffic(size: str, run: DryRun, plan: Plan) -> float:
    """Bytes that a GPU would send in a step of the same batch if its machine split every layer (Megatron-LM, Shoeybi et al. 2019):
    four all-reduces of all tokens in bfloat16 in a block's forward pass, for attention in space, in time and to the text, and the
    MLP, as many in its backward pass, and the first ones again where blocks are computed again."""
    width, depth, _ = SIZES[size]
    passes = 3 if plan.recompute else 2
    tokens = PER_MACHINE * plan.clips * run.tokens
    return depth * 4 * passes * 2 * (PER_MACHINE - 1) / PER_MACHINE * 2 * tokens * width


def limits(chip: Chip) -> Iterator[str]:
    """The table of what would need tensor or context parallelism."""
    few, many = (largest_network(gpus, chip).parameters / 1e9 for gpus in (PER_MACHINE, 64))
    yield (
        f"Where tensor and context parallelism would be needed, on the same chip: with more than {few:.0f} billion parameters"
        f" sharded in {PER_MACHINE} GPUs, or more than {many:.0f} billion in 64, no clip fits beside a GPU's share of the state,"
        " blocks being computed again; and of these sizes, sharded in a machine, a clip of twice this length does not:"
    )
    yield ""
    yield "| size | longest clip of one GPU | its step | sent in a step by `--parallel` | by tensor parallelism in a machine |"
    yield "|---|---|---|---|---|"
    for size in NAMES:
        run = dry_run(size)
        plan = planned(size, run, PER_MACHINE, chip)
        frames, longest = longest_clip(size, chip)
        step_s = longest.flops * 4 / 3 / chip.flops
        split = tensor_traffic(size, run, plan)
        yield (
            f"| {size} | {frames:,} latent frames, {longest.tokens:,} patches | {step_s:.1f} s |"
            f" {plan.inside / 1e9:.1f} GB, {plan.inside / 1e9 / chip.inside_gb_s:.2f} s |"
            f" {split / 1e9:.0f} GB, {split / 1e9 / chip.inside_gb_s:.2f} s |"
        )


def lines(chip: Chip) -> Iterator[str]:
    """The tables of the page."""
    runs = {size: dry_run(size) for size in NAMES}
    frames, height, width = CLIP
    yield "Computed, not measured."
    yield ""
    yield f"A clip: {frames} latent frames of {height} x {width}, {next(iter(runs.values())).tokens:,} patches."
    yield ""
    yield "| size | parameters | FLOPs of a clip's step | activations of a clip | with `--recompute` | state | sharded in 8 |"
    yield "|---|---|---|---|---|---|---|"
    for size, run in runs.items():
        yield (
            f"| {size} | {run.parameters / 1e6:,.0f}M | {run.flops / 1e12:.1f}T | {run.stored / 1e9:.1f} GB |"
            f" {run.stored_recompute / 1e9:.1f} GB | {state_bytes(run, 1) / 1e9:.1f} GB | {state_bytes(run, 8) / 1e9:.1f} GB |"
        )
    yield ""
    yield (
        f"On {chip.name} with {chip.memory_gb:.0f} GB, {PEAKS[chip.name] / 1e12:.0f} TFLOP/s of which {100 * chip.mfu:.0f}% are"
        f" assumed, {chip.inside_gb_s:.0f} GB/s inside a machine of {PER_MACHINE} and {chip.outside_gb_s:.0f} GB/s between"
        " machines. State, traffic and clips are of one GPU; tokens are of all:"
    )
    yield ""
    yield "| size | GPUs | `--parallel` | state | clips | `--recompute` | traffic inside, between | step | tokens/s | bound by |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for size, run in runs.items():
        for gpus in GPUS:
            plan = planned(size, run, gpus, chip)
            yield (
                f"| {size} | {gpus:,} | {plan.parallel} | {plan.state / 1e9:.1f} GB | {plan.clips} |"
                f" {'yes' if plan.recompute else 'no'} | {plan.inside / 1e9:.1f}, {plan.outside / 1e9:.1f} GB |"
                f" {plan.step_s:.2f} s | {plan.tokens_s / 1e6:.2f}M | {plan.bound} |"
            )
    yield ""
    yield from limits(chip)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    given = parser.parse_args()
    text = "\n".join(lines(Chip()))
    print(text)
    if given.write:
        page = PAGE.read_text(encoding="utf-8")
        pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
        assert pattern.search(page), f"{PAGE} has no place for the tables"
        PAGE.write_text(pattern.sub(lambda _: f"{BEGIN}\n\n{text}\n\n{END}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
