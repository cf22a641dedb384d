"""What pictures look like by the numbers of their entities, found before a network learns pictures
(`kinema.models.priors.PicturePrior`).

Each latent is learned on its own, of a few in each frame, most of them where a picture is not as usual. A step of that costs a
hundredth of a step of the network for pictures, which would take hours to find out where things with an angle are painted.

Axes: N frames, D numbers that a prior reads, C channels, h x w latents.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kinema.inference.dit_rollout import WANTED, wanted_numbers
from kinema.models.dit import DiTConfig
from kinema.models.priors import PicturePrior
from kinema.training.found_parts import fit_part
from kinema.training.recordings import Recordings
from kinema.training.rule_examples import CHECKED, frame_ranges
from kinema.training.seeds import seeded

log = logging.getLogger(__name__)

FRAMES, LATENTS, RATE, DECAY = 128, 16, 3e-3, 0.01
"""Frames of a step, and latents of each."""
CHECKED_FRAMES, USUAL_FRAMES = 128, 1024
"""That check it; of which the usual picture is the mean."""
UNKNOWN = 0.1
"""Share of the frames in which actions are not known, as of frames that are painted from nothing but numbers."""
BETTER = 0.9
"""The share of the error of the usual picture below which a prior tells something that holds elsewhere too."""
SMALLEST, MOST_TRUST = 1e-6, 4.0
"""Error, in usual units, that is none; and the most and the least that a prior is trusted at a latent. It is so by the ratio of its
error to that of the frame before, as of two guesses whose errors have nothing to do with each other."""


@dataclass(frozen=True, kw_only=True)
class PriorFrames:
    """Frames of episodes to learn a prior from."""

    recordings: Recordings
    places: list[tuple[int, int]]
    """Number of the episode, and of the frame in it."""

    def __len__(self) -> int:
        return len(self.places)

    def latents(self, which: Tensor, back: int = 0) -> Tensor:
        """[N, C, h, w] of these frames, or of those so many before them."""
        at = (self.places[i] for i in which.tolist())
        return torch.stack([self.recordings.episodes[episode]["video"][frame - back] for episode, frame in at]).float()

    def reads(self, which: Tensor, prior: PicturePrior, unknown: Tensor) -> Tensor:
        """[N, D], what a prior of these frames reads, with actions but where they are unknown [N]."""
        at = [self.places[i] for i in which.tolist()]
        episodes = self.recordings.episodes
        numbers, action = (
            torch.stack([episodes[episode][name][frame - back] for episode, frame in at]).float()
            for name, back in (("sensors", 0), ("action", 1))
        )
        yes = torch.ones(len(at))
        given = wanted_numbers(numbers[:, self.recordings.entity_columns], yes, 0 * yes)
        return prior.reads({WANTED: given, "action": torch.where(unknown[:, None], 0.0, action)})


def _draw(latents: Tensor, usual: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Numbers [N, count] of latents of frames [N, C, h, w], half of them by how far they are from the usual ones [C, h, w]."""
    far = (latents - usual).square().mean(1).flatten(1)
    odds = 1 / far.shape[1] + far / far.sum(1, keepdim=True).clamp_min(SMALLEST)
    return torch.multinomial(odds, count, replacement=True, generator=generator)


def _errors(prior: PicturePrior, reads: Tensor, cells: Tensor, beside: Tensor) -> Tensor:
    """Mean squared error at latents [N, n] that are `beside` [N, C, h * w] of the usual ones, in units."""
    truth = torch.gather(beside, 2, cells[:, None].expand(-1, beside.shape[1], -1)).transpose(1, 2)
    return (prior.at(reads, cells) - truth).square().mean()


def find_prior(
    recordings: Recordings,
    config: DiTConfig,
    *,
    spread: float,
    seconds: float,
    steps: int | None,
    seed: int,
    show: Callable[[str], None] | None = None,
) -> dict[str, Tensor]:
    """The weights of a prior of a recording's pictures, found in so long or so many steps, whichever ends first; kept as it was
    when frames that check it were closest. spread: that of the recipe. show: gets a line now and then."""
    began, generator = time.monotonic(), torch.Generator().manual_seed(seed)
    with seeded(seed):
        prior = PicturePrior(config)
    parts: list[list[tuple[int, int]]] = [[], []]
    for which, (number, begin, end) in enumerate(frame_ranges(recordings, config)):
        parts[which % CHECKED == 1] += [(number, frame) for frame in range(begin, end)]
    seen, check = (PriorFrames(recordings=recordings, places=places) for places in parts)
    if not len(seen) or not len(check):
        log.info("prior: none, as episodes are too short")
        return prior.state_dict()
    some = seen.latents(torch.randint(len(seen), (min(USUAL_FRAMES, len(seen)),), generator=generator))
    usual, unit = prior.get_buffer("usual"), prior.get_buffer("unit")
    usual.copy_(some.mean(0))
    prior.get_buffer("spread").fill_(spread)
    unit.copy_((some - usual).square().mean((0, 2, 3)).sqrt().clamp_min(SMALLEST))

    def beside(latents: Tensor) -> Tensor:
        return ((latents - usual) / unit[:, None, None]).flatten(2)

    of_check = torch.randint(len(check), (CHECKED_FRAMES,), generator=generator)
    checked, check_beside = check.latents(of_check), beside(check.latents(of_check))
    check_reads = check.reads(of_check, prior, torch.zeros(CHECKED_FRAMES, dtype=torch.bool))
    check_cells = _draw(checked, usual, usual[0].numel(), generator)
    with torch.no_grad():
        usual_error = float(_errors(prior, check_reads, check_cells, check_beside))

    def loss() -> Tensor:
        drawn = torch.randint(len(seen), (FRAMES,), generator=generator)
        latents = seen.latents(drawn)
        reads = seen.reads(drawn, prior, torch.rand(FRAMES, generator=generator) < UNKNOWN)
        return _errors(prior, reads, _draw(latents, usual, LATENTS, generator), beside(latents))

    def say(step: int, error: float) -> None:
        if show is not None:
            show(f"prior: step {step}  error {error / max(usual_error, SMALLEST):.2f} of the usual picture")

    step, error = fit_part(
        prior, loss, lambda: _errors(prior, check_reads, check_cells, check_beside), before=usual_error, rate=RATE,
        decay=DECAY, seconds=seconds - (time.monotonic() - began), steps=steps, show=say,
    )  # fmt: skip
    with torch.no_grad():
        every = torch.arange(usual[0].numel()).expand(CHECKED_FRAMES, -1)
        missed = (prior.at(check_reads, every).transpose(1, 2) - check_beside).square().mean((0, 1))
    moved = (check_beside - beside(check.latents(of_check, back=1))).square().mean((0, 1))
    trust = (moved.clamp_min(SMALLEST) / missed.clamp_min(SMALLEST)).log().clamp(-MOST_TRUST, MOST_TRUST)
    prior.get_buffer("trust").copy_(trust.view(usual.shape[1:]))
    prior.get_buffer("useful").fill_(float(error < BETTER * usual_error))
    log.info(
        "prior: after %d steps it errs by %.2f of the usual picture, in frames kept to check it",
        step,
        error / max(usual_error, SMALLEST),
    )
    return prior.state_dict()
