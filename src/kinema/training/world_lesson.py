"""Recordings as batches for a world model: what a training row shows, and what is asked of it.

Each row is a stretch of an episode. Every frame of it is asked for, noised to a level of its own, with the true frames before it as
channels and the actions that were taken at them. What is predicted is the change from the frame before. The past is a little noisy,
and from a part of the run on it is often what the network itself made of the true past, several times over (as in scheduled
sampling, Bengio et al. 2015), so that a rollout's own errors are nothing new.

Where a recording has entities, some rows teach to change a world by them: what is asked for is then a frame from elsewhere in the
episode, whose entities are given. And in some the numbers of the past are hidden, so that they are read off pictures.

Axes: B rows, T frames that are asked for, K frames of context before each, C channels, h x w latents, D numbers of a vector track.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from kinema.diffusion.flow import draw_levels, mean_one, noise_to, squared_error
from kinema.errors import InputError
from kinema.inference.dit_rollout import WANTED, wanted_numbers
from kinema.models.dit import SIZES, DiT, DiTInput
from kinema.models.rules import MEMORY, Rule
from kinema.training.dit_trainer import DiTRecipe, Estimator
from kinema.training.parallel import WHOLE, Share
from kinema.training.recordings import Recordings, contexts
from kinema.training.rule_rollouts import fill_memory
from kinema.training.seeds import StepDraw, step_rng

MOVED = 0.25
"""Change of a latent from one frame to the next above which its cell counts as changed."""
CHANGED = 4.0
"""How much more a changed cell weighs: most of a picture stands still."""
HELD_OUT_WORLD_LEVELS = (0.5, 1.0)
"""At which held-out errors are measured; a rollout asks at the last one, 1."""
HELD_OUT_BATCHES, HELD_OUT_ROWS = 2, 12
FOUND_MINUTES, FOUND_STEPS = 60.0, 100
"""The longest training a share of which a rule or a prior is looked for, and how many of its steps are as long as one of the
network, about."""


@dataclass(frozen=True, kw_only=True)
class WorldRecipe(DiTRecipe):
    """How a recorded world is trained. size: of the network, by its usual name. frames: that a row asks for."""

    matrix_lr: float = 2e-3
    other_lr: float = 2e-3
    open_gates: bool = True
    pure_share: float = 0.5
    """Share of the frames that are noise alone (level 1): from there a rollout makes a frame in its only step."""
    size: str = "XXS"
    context: int = 4
    """Frames before each frame that are read with it."""
    time_every: int = 3
    """Each so-many-th block attends along time besides, to frames further back; 0: none does."""
    window: int = 32
    """Frames that attention along time reads in a rollout."""
    frames: int = 8
    batch: int = 4
    noise: float = 0.1
    """The most that the past is disturbed by."""
    own_share: float = 0.5
    """Share of the steps, from `own_from` (a share of the run) on, in which the past is the network's own work; before that it is
    mush, and teaches mush."""
    own_from: float = 0.35
    own_most: int = 8
    """How many times over, at most; few times are the most usual."""
    wanted_share: float = 0.15
    """Share of the rows that teach to paint a frame of which the entities are given; of recordings with entities. 0: none does."""
    numbers_share: float = 0.8
    """Share of the frames in other rows whose entities are given too: a rollout predicts entities first, then paints them. 0: it
    does not."""
    hidden_share: float = 0.1
    """Share of the rows in which the numbers of the past are hidden; of recordings with entities."""
    relative: bool = True
    """Whether numbers are predicted as changes from the last ones (`DiTConfig.relative`), and their errors count in what they
    usually change by."""
    rule_share: float = 0.15
    """Share of the time, of FOUND_MINUTES at most, in which is found how numbers change (`kinema.training.rules`); 0: a line
    alone, and no memory."""
    prior_share: float = 0.05
    """The same for what pictures look like by numbers of entities (`kinema.training.priors`); 0: no priors."""
    numbers_weight: float = 0.05
    """By which errors of numbers count, beside those of rewards and ends: more drowns the picture."""
    before: ClassVar[Mapping[str, Any]] = {
        "numbers_share": 0.0, "relative": False, "numbers_weight": 0.3, "rule_share": 0.0, "prior_share": 0.0,
        "wanted_share": 0.0, "hidden_share": 0.0, "told_alike": False, "points": False, "pure_share": 0.25, "open_gates": False,
    }  # fmt: skip
    told_alike: bool = True
    """Whether in rows that paint told entities all cells weigh alike: most of them change, and would drown the other rows."""
    points: bool = True
    """Whether tokens are shown how far they are from where actions and told numbers may point (`DiTConfig.pointing`)."""
    spread: float = 0.4
    """Of the change from one frame to the next, in units of the latents; it is what noise is scaled to."""
    autoencoder: str = "codec-8x8"
    autoencoder_share: float = 0.1
    """Share of the time in which this autoencoder is trained on over the recording's pictures; with 0 it is kept."""
    text_encoder: str = ""
    """Folder of a text encoder of transformers; "" for the one that comes with Kinema."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.pure_share <= 1:
            raise InputError(f"pure_share {self.pure_share}: expected a share, from 0 to 1")
        if self.size not in SIZES:
            raise InputError(f"size {self.size!r}: expected one of {', '.join(SIZES)}")
        if self.context < 1 or self.frames < 1:
            raise InputError(f"{self.frames} frames with {self.context} before each: expected at least 1 of both")
        for name in ("rule_share", "prior_share"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: expected a share, from 0 to below 1")
        if self.autoencoder_share + self.rule_share + self.prior_share >= 1:
            raise InputError(
                f"autoencoder_share, rule_share and prior_share {self.autoencoder_share}, {self.rule_share} and {self.prior_share}:"
                " expected less than 1 in all, as the rest is for the network"
            )
        if not 0 <= self.numbers_weight < math.inf:
            raise InputError(f"numbers_weight {self.numbers_weight}: expected a number, at least 0")
        if not 0 <= self.numbers_share < 1:
            raise InputError(
                f"numbers_share {self.numbers_share}: expected a share from 0 to below 1, as the rest teaches them"
            )
        if min(self.wanted_share, self.hidden_share) < 0 or self.wanted_share + self.hidden_share > 1:
            raise InputError(
                f"wanted_share {self.wanted_share} and hidden_share {self.hidden_share}: expected shares of 1 together at most"
            )

    def found_length(self, share: float, minutes: float | None, steps: int | None) -> tuple[float, int | None]:
        """How many seconds and steps are for what is found in a share of a run of such a length before its network learns,
        whichever ends first; None: any number."""
        seconds = math.inf if minutes is None else 60 * min(FOUND_MINUTES, minutes) * share
        return seconds, None if steps is None else round(FOUND_STEPS * steps * share)


@dataclass(frozen=True, kw_only=True)
class WorldBatch:
    """Tracks [B, K + T, ...] of which those before each frame are known, what is asked for [B, T, ...], levels [B, T], unit noise
    of the T frames, and text."""

    tracks: dict[str, Tensor]
    targets: dict[str, Tensor]
    level: Tensor
    noise: Tensor
    past: Tensor
    """[B, K + T, C, h, w] as the network is shown it."""
    weight: Tensor
    """[B, T, 1, h, w] of the picture's errors: cells that change weigh more. Its mean over the whole batch is 1."""
    lives: Tensor
    """[B, 1, 1], by which errors of what happens count: 0 where what is asked for does not follow. Its mean over the batch is 1."""
    number_weight: Tensor
    """[B, T, D], by which errors of numbers count: 0 where they are given; more where those before are known and they change
    little."""
    time_s: Tensor
    spread: float
    wanted: Tensor | None = None
    """[B, T, `wanted_width`] (`kinema.inference.dit_rollout.wanted_numbers`)."""
    text: Tensor | None = None
    text_mask: Tensor | None = None

    @property
    def before(self) -> int:
        return self.past.shape[1] - self.level.shape[1]

    def clean(self) -> Tensor:
        """The change [B, T, C, h, w] from the frame before as it is shown, in units of the spread."""
        return (self.targets["video"] - self.past[:, self.before - 1 : -1]) / self.spread

    def given(self, level: Tensor) -> DiTInput:
        """What the network reads, at these levels."""
        known = ("action", "sensors")
        vectors = {name: contexts(self.tracks[name], self.before).flatten(2) for name in known if name in self.tracks}
        if MEMORY in self.tracks:
            vectors[MEMORY] = self.tracks[MEMORY][:, self.before - 1 : -1]
        return DiTInput(
            video=noise_to(self.clean(), level, self.noise),
            level=level,
            time_s=self.time_s,
            context=contexts(self.past, self.before),
            vectors=vectors if self.wanted is None else vectors | {WANTED: self.wanted},
            text=self.text,
            text_mask=self.text_mask,
        )

    def with_past(self, made: Tensor) -> WorldBatch:
        """The same with frames [B, T, C, h, w] as the past of those after them; what is asked for stays true."""
        return replace(self, past=torch.cat([self.past[:, : self.before], made], 1))


def _shares(counted: Tensor) -> Tensor:
    """Weights of what is counted, whose mean is 1, and 0 of the rest; zeros where nothing is."""
    return mean_one(counted.float()) if counted.any() else torch.zeros(counted.shape)


def draw_world_batch(
    recordings: Recordings,
    recipe: WorldRecipe,
    step: int,
    device: torch.device,
    share: Share = WHOLE,
    *,
    held_back: bool = False,
) -> WorldBatch:
    """A share of the batch of one step, a function of (seed, step) alone. held_back: of windows that training never sees, with a
    past as it was recorded, and nothing but what follows asked for."""
    rows = share.rows(recipe.batch)
    rng = np.random.default_rng((recipe.seed, step))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    b, t = recipe.batch, recipe.frames
    places = recordings.choose_windows(rng, b, t, held_back=held_back)
    tracks = recordings.windows(places, t, recipe.context)
    task = tracks.pop("task")
    if not recordings.sensors:
        del tracks["sensors"]
    video, k = tracks["video"], recipe.context
    targets = {name: x[:, k:] for name, x in tracks.items() if name not in ("action", MEMORY)}
    lives, wanted, jumps = torch.ones(b, 1, 1), None, torch.zeros(b, dtype=torch.bool)
    unit = recordings.changes if recipe.relative else torch.ones(recordings.sensors)
    number_weight = (unit**-2).expand(b, t, -1)
    if recordings.entity_columns and recipe.wanted_share:
        kind = torch.rand(b, generator=generator) if not held_back else torch.full((b,), recipe.wanted_share)
        jumps, hidden = kind < recipe.wanted_share, kind > 1 - recipe.hidden_share
        others = recordings.windows(recordings.elsewhere(rng, places, t), t, 0)
        targets = {name: torch.where(jumps.view(-1, *[1] * (x.dim() - 1)), others[name], x) for name, x in targets.items()}
        some = torch.zeros(b, t, dtype=torch.bool)
        if recipe.numbers_share and not held_back:
            some = torch.rand(b, t, generator=generator) < recipe.numbers_share
        with_numbers = jumps[:, None] | some & ~hidden[:, None]
        wanted = wanted_numbers(
            targets["sensors"][..., recordings.entity_columns], with_numbers, hidden[:, None].expand(b, t)
        )
        number_weight = torch.where(hidden[:, None, None], 1.0, number_weight) * _shares(~with_numbers)[..., None]
        for name, unknown in (("action", jumps), ("sensors", hidden), (MEMORY, hidden)):
            if name in tracks:
                tracks[name] = torch.where(unknown[:, None, None], 0.0, tracks[name])
        lives = _shares(~jumps)[:, None, None]
    rough = torch.rand(b, 1, 1, 1, 1, generator=generator) * (0.0 if held_back else recipe.noise)
    text = mask = None
    if recordings.text is not None:
        text, mask = recordings.text[0][task][rows].to(device), recordings.text[1][task][rows].to(device)
    changed = ((targets["video"] - video[:, k - 1 : -1]).abs() > MOVED).any(2, keepdim=True)
    if recipe.told_alike:
        changed &= ~jumps.view(-1, 1, 1, 1, 1)
    level, noise = (
        draw_levels((b, t), generator, pure=recipe.pure_share),
        torch.randn(b, t, *video.shape[2:], generator=generator),
    )
    past = video + rough * torch.randn(video.shape, generator=generator)
    return WorldBatch(
        tracks={name: x[rows].to(device) for name, x in tracks.items()},
        targets={name: x[rows].to(device) for name, x in targets.items()},
        lives=lives[rows].to(device),
        number_weight=recipe.numbers_weight * number_weight[rows].to(device),
        wanted=None if wanted is None else wanted[rows].to(device),
        level=level[rows].to(device),
        noise=noise[rows].to(device),
        past=past[rows].to(device),
        weight=mean_one(1 + CHANGED * changed)[rows].to(device),
        time_s=(torch.arange(t) / recordings.fps).expand(b, -1)[rows].to(device),
        spread=recipe.spread,
        text=text,
        text_mask=mask,
    )


def with_own_frames(network: Estimator, batch: WorldBatch, times: int) -> WorldBatch:
    """The batch with a past that is the network's own work in one step from noise, so many times over. Gradients stay on, though
    none are taken: without them a compiled network would be compiled once more."""
    for _ in range(times):
        made = network(batch.given(torch.ones_like(batch.level)))["video"].detach().float()
        batch = batch.with_past(batch.past[:, batch.before - 1 : -1] + batch.spread * made)
    return batch


def world_losses(network: Estimator, batch: WorldBatch) -> dict[str, Tensor]:
    """Squared errors of what is asked for, by track."""
    made, clean = network(batch.given(batch.level)), batch.clean()
    losses = {"video": squared_error(made["video"], clean, batch.weight)}
    for name, counts in (("reward", batch.lives), ("terminated", batch.lives), ("sensors", batch.number_weight)):
        if name in made:
            losses[name] = squared_error(made[name], batch.targets[name], counts)
    return losses


class RecordingsLesson:
    """What a world model learns from (`kinema.training.dit_trainer.Lesson`)."""

    def __init__(
        self,
        recordings: Recordings | Sequence[tuple[Recordings, float]],
        recipe: WorldRecipe,
        rule: Mapping[str, Tensor] | None = None,
        prior: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Several recordings come with their weights; each step is of one of them. rule: weights of that of the numbers
        (`kinema.training.rules.find_rule`); None: nothing is known of how they change. prior: of what pictures look like by
        numbers (`kinema.training.priors.find_prior`)."""
        self.rule, self.prior = rule, prior
        several = [(recordings, 1.0)] if isinstance(recordings, Recordings) else list(recordings)
        self.recordings, weights = [one for one, _ in several], np.array([weight for _, weight in several], np.float64)
        self.shares, self.recipe = weights / weights.sum(), recipe

    def recordings_of(self, step: int) -> Recordings:
        """What this step learns from."""
        rng = step_rng(self.recipe.seed, step, StepDraw.RECORDING)
        return self.recordings[int(rng.choice(len(self.recordings), p=self.shares))]

    def own_times(self, step: int, done: float) -> int:
        """How many times over the past of this step is the network's own work: 0, or 1 to `own_most`, once being the most usual."""
        rng = step_rng(self.recipe.seed, step, StepDraw.OWN_PAST)
        if done < self.recipe.own_from or rng.random() >= self.recipe.own_share:
            return 0
        return min(int(2 ** rng.choice(4, p=(0.6, 0.2, 0.12, 0.08))), self.recipe.own_most)

    def begin(self, network: DiT) -> None:
        """The network gets the rule by which numbers change, and the prior of its pictures; recordings are filled with the memory
        of the rule."""
        for rule in network.rules.values():
            if self.rule is not None:
                rule.load_state_dict(self.rule)
            for recordings in self.recordings:
                fill_memory(cast(Rule, rule), recordings, network.config)
        if self.prior is not None and network.prior is not None:
            network.prior.load_state_dict(self.prior)

    @property
    def targets(self) -> int:
        """Frames that a step asks for."""
        return self.recipe.batch * self.recipe.frames

    def effort(self, step: int, done: float) -> float:
        """About how long a step takes: making a past takes a pass forward each time, a plain step as long as three."""
        return 1 + self.own_times(step, done) / 3

    def losses(
        self, network: Estimator, step: int, done: float, device: torch.device, share: Share = WHOLE
    ) -> dict[str, Tensor]:
        batch = draw_world_batch(self.recordings_of(step), self.recipe, step, device, share)
        return world_losses(network, with_own_frames(network, batch, self.own_times(step, done)))

    def held_out_batches(
        self, device: torch.device, share: Share = WHOLE, *, count: int = HELD_OUT_BATCHES
    ) -> list[WorldBatch]:
        """Shares of batches of windows that training never sees: the same windows and noise whatever the run's seed, batch and
        step (of other windows where so many ranks cannot share HELD_OUT_ROWS). Every recording has as many, about `count` batches
        in all; one of a single episode has none. Their past is as it was recorded."""
        batches, recipe = list[WorldBatch](), self.recipe
        rows = recipe.batch if HELD_OUT_ROWS % share.of else HELD_OUT_ROWS
        for recordings in self.recordings:
            if recordings.num_held_back:
                fixed = replace(recipe, seed=0, batch=rows, frames=min(recipe.frames, recordings.longest(held_back=True)))
                for number in range(max(1, count // len(self.recordings))):
                    batches.append(draw_world_batch(recordings, fixed, number, device, share, held_back=True))
        return batches

    @torch.no_grad()
    def held_out_figures(
        self, network: Estimator, device: torch.device, *, share: Share = WHOLE, count: int = HELD_OUT_BATCHES
    ) -> dict[str, float]:
        """Errors on `held_out_batches`, by name; the mean of those of all shares is that of the whole. {} where nothing is held
        back.

        "held_out_LEVEL": squared error of the pictures' change, in units of `spread`, changed cells weighing more, with all frames
        at one level. "held_out_copying": the same of the last true picture. "held_out_reward" and the like: of other tracks, at
        level 1."""
        figures, batches = dict[str, float](), self.held_out_batches(device, share, count=count)
        for batch in batches:
            parts = {"copying": squared_error(torch.zeros_like(batch.clean()), batch.clean(), batch.weight)}
            for level in HELD_OUT_WORLD_LEVELS:
                losses = world_losses(network, replace(batch, level=torch.full_like(batch.level, level)))
                parts[f"{level:g}"] = losses.pop("video")
            for name, value in (parts | losses).items():
                figures[f"held_out_{name}"] = figures.get(f"held_out_{name}", 0.0) + float(value) / len(batches)
        return figures
