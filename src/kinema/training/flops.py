"""How much arithmetic a step is, and how much this machine can do: the share printed beside the loss."""

from __future__ import annotations

import time
from collections import deque
from functools import cache

import torch

from kinema.models.config import DenoiserConfig
from kinema.models.convolutions import DRAWING, MAP, SEEING
from kinema.models.dit import LEVEL_FEATURES, PLACE_WAVES, DiTConfig, DiTInput
from kinema.models.objects.splatter import BASIS, OFFSET, SLOT
from kinema.models.priors import prior_products

PEAKS = {
    "A100": 312e12, "H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12, "L40S": 362e12, "L4": 121e12,
    "RTX 4090": 165e12, "RTX 3090": 71e12,
}  # fmt: skip
"""Dense bfloat16 FLOP/s that makers state of chips, by a part of their name, the longest that fits counting."""

RECENT = 50
"""Steps whose speed `Speed.figures` gives."""


def forward_flops(config: DenoiserConfig, *, batch: int, frames: int, cells: int, text_tokens: int) -> float:
    """Multiply-adds times two of one forward pass: matrix products and attention, nothing else."""
    c, readers = config.width, config.slots + 1
    tokens = batch * frames * (cells + readers)
    per_token = (4 + 2 * config.mlp_ratio) * c * c * config.depth
    space = config.depth // 2
    text = space * (2 * c * c * batch * frames * readers + 2 * c * c * batch * text_tokens)
    attention = space * tokens * (2 * c * (cells + readers) + 2 * c * frames)
    attention += space * 2 * c * batch * frames * readers * text_tokens
    ends = batch * frames * (cells * 2 * MAP * config.patch**2 * c + readers * 4 * c * c)
    local = local_flops(config, pictures=batch * frames, cells=cells) if cells else 0.0
    return 2.0 * (tokens * per_token + text + attention + ends) + local


def local_flops(config: DenoiserConfig, *, pictures: int, cells: int, prior_only: bool = False) -> float:
    """The same of the local parts alone: convolutions over latents, and stamps. prior_only: nothing of the video is seen."""
    places = pictures * cells * config.patch**2
    seeing = 0 if prior_only else MAP * SEEING + config.latent_channels + 1
    convolutions = 9 * MAP * (seeing + MAP * (DRAWING + 2) + config.latent_channels + 1)
    offsets = config.slots * (24 * OFFSET + OFFSET * BASIS + BASIS * MAP)
    things = pictures * config.slots * (2 * config.schema.features * SLOT + SLOT * SLOT + SLOT * BASIS * MAP)
    return 2.0 * (places * (convolutions + offsets) + things)


def measured_peak(device: torch.device | str = "cpu", dtype: torch.dtype = torch.bfloat16, size: int = 2048) -> float:
    """FLOP/s of a large matrix product here and now: the best of a few."""
    generator = torch.Generator(device).manual_seed(0)  # nothing else that is random depends on this
    a, b = (torch.randn(size, size, device=device, generator=generator).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        begun = time.perf_counter()
        product = a @ b
        if product.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return 2.0 * size**3 / best


def dit_tokens(config: DiTConfig, given: DiTInput) -> int:
    """Tokens of the general network of this input: patches, slots, and one for each frame as a whole. Text is not counted."""
    (b, t, _, h, w), p = given.video.shape, config.patch
    return int(b * t * (-(-h // p) * -(-w // p) + 1 + config.slots))


def dit_flops(config: DiTConfig, given: DiTInput) -> float:
    """Multiply-adds times two of one forward pass of the general network over this input: products, attention and convolutions."""
    (b, t), c, p = given.video.shape[:2], config.width, config.patch
    tokens = dit_tokens(config, given)
    patches = tokens - b * t * (1 + config.slots)
    words = 0 if given.text is None else b * given.text.shape[1]
    timed = config.depth // config.time_every if config.time_every else 0
    per_token = config.depth * 12 * c * c + (0 if config.full else timed * 4 * c * c)
    inside, across = tokens // (b * t), tokens // b if config.full else t
    attention = (config.depth - timed * config.full) * 2 * c * tokens * inside + timed * 2 * c * tokens * across
    if words:
        per_token += config.depth * 2 * c * c
        attention += config.depth * 2 * c * (words * config.text_dim + tokens * (words // b))
    condition = (LEVEL_FEATURES + sum(config.known.values())) * c + c * c + 9 * c * c
    conditions = b * t if given.level.ndim == 2 else tokens
    frame = sum(config.predicted.values()) * c + config.slots * config.slot_dim * (2 + config.context) * c
    has_prior = len(config.prior)
    reads, makes = config.channels * (1 + config.context + has_prior), config.channels + has_prior
    ends = patches * c * (reads * (p + 2) ** 2 + makes * 9 * p * p) + b * t * prior_products(config)
    points, (rows, columns) = sum(map(len, config.pointing.values())), (-(-side // p) for side in given.video.shape[-2:])
    frame += 2 * PLACE_WAVES * points * (rows + columns) * c
    steps = b * LEVEL_FEATURES * c if config.step_sizes else 0
    return 2.0 * (tokens * per_token + attention + conditions * condition + b * t * frame + steps + ends)


@cache
def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s that the chip can do: what its maker states, of a known one in bfloat16; else that of a large product here and now."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" and dtype == torch.bfloat16 else ""
    stated = [key for key in PEAKS if key in name]
    return PEAKS[max(stated, key=len)] if stated else measured_peak(device, dtype)


class Speed:
    """How much of the chip's peak steps use ("MFU", Chowdhery et al. 2022): arithmetic that the step needs, each backward pass
    being two forward ones, and nothing that is only done to save memory. And how many tokens are learned from in a second."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._flops, self._tokens, self._begun = 0.0, 0, time.perf_counter()
        self._last: deque[tuple[float, int, float]] = deque(maxlen=RECENT)
        """FLOPs, tokens and seconds of the last steps."""

    def begin(self) -> None:
        """Before a step."""
        self._flops, self._tokens, self._begun = 0.0, 0, time.perf_counter()

    def count(self, passes: list[tuple[float, int]]) -> None:
        """Take the FLOPs and tokens of forward passes of which the last has a backward pass; empties the list."""
        last_flops, last_tokens = passes[-1]
        self._flops += sum(flops for flops, _ in passes) + 2 * last_flops
        self._tokens += last_tokens
        passes.clear()

    def end(self) -> None:
        """After a step."""
        self._last.append((self._flops, self._tokens, time.perf_counter() - self._begun))

    @property
    def mfu(self) -> float:
        """Share of the peak in the last step, 0 before the first."""
        return self._last[-1][0] / self._last[-1][2] / peak_flops(self.device, self.dtype) if self._last else 0.0

    def figures(self) -> dict[str, float]:
        """Of the last steps, RECENT at most: milliseconds a step, tokens a second, MFU; and the peak in TFLOP/s. Empty before the
        first."""
        if not self._last:
            return {}
        flops, tokens, seconds = (sum(values) for values in zip(*self._last, strict=True))
        peak = peak_flops(self.device, self.dtype)
        return {
            "ms_a_step": 1000 * seconds / len(self._last),
            "tokens_per_s": tokens / seconds,
            "mfu": flops / seconds / peak,
            "peak_tflops": peak / 1e12,
        }
