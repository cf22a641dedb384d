"""The general network: a spacetime diffusion transformer over patches of video latents (Peebles & Xie 2022; Sora, 2024).

It knows nothing of what is filmed. Every frame, or every cell of a frame, has a noise level of its own: 0 is known, 1 is noise
alone (diffusion forcing, Chen et al. 2024). A frame's tokens are its patches, one slot per declared entity, and one token for what
is predicted of the frame as a whole, such as a reward. Blocks attend inside a frame and, every so many blocks, to other frames:
along time at the same place (factorized), or to all tokens of all frames (full). Text enters by cross-attention; level, actions and
other numbers modulate the norms (adaLN, with one projection for all blocks as in PixArt). Positions are real units, so size, shape,
duration and frame rate may vary.

A model may read the frames just before each frame as further channels (`context`), as DIAMOND does (Alonso et al. 2024): then its
frames can be trained side by side, each on true frames before it.

Axes: B clips, T frames, K frames of context, C channels, h x w latents, N tokens of a frame, M of them with a level of their own,
S slots, F numbers of a slot, W width, L tokens of text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.errors import ModelError
from kinema.models.attention import attend, rms_norm, rotary, rotary_2d, rotate
from kinema.models.priors import PicturePrior, Point, TurnedPoints, checked_places
from kinema.models.rules import MEMORY, Rule, as_read

LEVEL_FEATURES = 64
"""Sines and cosines that tell the network a level."""
HEIGHT_UNITS = 10.0
"""A picture's height in units of position."""
PLACE_WAVES = 8
"""Half waves across a picture that tell tokens where they are, from one to so many."""
TIME_UNITS = 16.0
"""A second in units of position."""


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """The network's shape, stored beside its weights. `SIZES` has the usual ones.

    ModelError: a number that is none, or a width that its heads do not divide."""

    width: int
    depth: int
    heads: int
    channels: int
    """Of the latents."""
    patch: int = 1
    """Latents along one side of a token."""
    context: int = 0
    """Frames before each frame that are read with it."""
    causal: bool = False
    """Whether frames read earlier ones only, where a batch does not say (`DiTInput.causal`)."""
    time_every: int = 2
    """Each so-many-th block reads other frames; 0: none does."""
    full: bool = False
    """How those blocks read them. False: after the attention inside a frame, tokens attend along time to those of their own place.
    True: one attention to all tokens of all frames, with the weights of the attention inside a frame."""
    text_dim: int = 0
    """Width of the text's states; 0: it reads no text."""
    known: dict[str, int] = field(default_factory=dict)
    """Numbers that a frame is given, such as actions and a rule's memory: name -> how many."""
    predicted: dict[str, int] = field(default_factory=dict)
    """Numbers of each frame that are predicted, such as rewards: name -> how many."""
    slots: int = 0
    """Declared entities of a frame."""
    slot_dim: int = 0
    """Numbers of an entity."""
    places: bool = False
    """Whether tokens know where in the picture they are, as they must where given numbers or a text say where things are: relative
    positions alone do not tell."""
    pointing: dict[str, list[Point]] = field(default_factory=dict)
    """Which of the given numbers may say where something is, by name."""
    pointing_if: dict[str, int] = field(default_factory=dict)
    """The column, by name, that is 1 where those numbers are known and 0 where they are not, and point nowhere."""
    bodies: dict[str, list[TurnedPoints]] = field(default_factory=dict)
    """Things that given numbers say the place and the angle of, by name, as the prior reads them."""
    prior: dict[str, list[int]] = field(default_factory=dict)
    """Name -> rows and columns of latents whose prior is made of these given numbers (`kinema.models.priors`); of one name."""
    relative: dict[str, list[float]] = field(default_factory=dict)
    """How much given numbers that are predicted usually change from frame to frame, by name. They are read as the last ones and the
    changes before, and predicted as changes: those by a rule that was found before training, and the rest."""
    choices: int = 0
    """The most amounts that a rule chooses the change of a number from (`kinema.models.rules`)."""
    hidden_if: dict[str, int] = field(default_factory=dict)
    """The column, by the name of what holds it, that is 1 where numbers in `relative` are not given but zeros; there they are
    predicted as they are. One column at most."""
    step_sizes: bool = False
    """Whether it reads the size of the sampler's step beside the level (`kinema.diffusion.shortcut`)."""

    def __post_init__(self) -> None:
        for name, kind in ((f.name, f.type) for f in fields(self)):
            value, least = getattr(self, name), int(name in ("width", "depth", "heads", "channels", "patch"))
            if kind == "int" and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise ModelError(f"{name} {value!r}: expected a whole number, at least {least}")
            if kind == "bool" and not isinstance(value, bool):
                raise ModelError(f"{name} {value!r}: expected true or false")
        if self.width % self.heads or (self.width // self.heads) % 4:
            raise ModelError(f"width {self.width} over {self.heads} heads: expected a multiple of 4 per head")
        for name, value in checked_places(self).items():
            object.__setattr__(self, name, value)
        for name, column in (*self.pointing_if.items(), *self.hidden_if.items()):
            if column not in range(self.known.get(name, 0)):
                raise ModelError(f"column {column} of {name}: expected one of the numbers that are given")
        if len(self.hidden_if) > 1:
            raise ModelError(f"hidden_if {self.hidden_if}: expected one column at most")
        for name, changes in self.relative.items():
            count, given = len(changes), self.known.get(name, 0)
            fits = given and count and not given % count and count == self.predicted.get(name)
            if not fits or not all(0 < change < math.inf for change in changes):
                raise ModelError(f"relative {name} {changes}: expected usual changes of given and predicted numbers")
        if bool(self.slots) != bool(self.slot_dim):
            raise ModelError(f"{self.slots} slots of {self.slot_dim} numbers: expected both or neither")

    @staticmethod
    def from_dict(data: Any) -> DiTConfig:
        """Of its entries as config.json holds them. ModelError: an entry is missing, unknown, or not as expected."""
        if not isinstance(data, dict):
            raise ModelError(f"network {data!r}: expected an object")
        try:
            return DiTConfig(**data)
        except TypeError as error:
            raise ModelError(f"the model's config does not fit this version: {error}") from None


SIZES: Mapping[str, tuple[int, int, int]] = {
    "nano": (32, 2, 2), "XXS": (192, 6, 6), "XS": (256, 6, 8), "S": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16),
    "XL": (1536, 32, 24),
}  # fmt: skip
"""Width, depth and heads by the usual names; nano is for tries of the machinery."""


@dataclass(frozen=True, kw_only=True)
class DiTInput:
    """What the network reads. Only `video`, `level` and `time_s` are of every model."""

    video: Tensor
    """[B, T, C, h, w], each frame, or each cell of it, noised to its level."""
    level: Tensor
    """[B, T] of frames, or [B, T, h, w] of latents. A patch has the mean level of its latents; slots, and what is predicted of a
    frame, have the highest one of the frame."""
    time_s: Tensor
    """[B, T], seconds."""
    context: Tensor | None = None
    """[B, T, K, C, h, w], the frames before each frame, oldest first."""
    vectors: dict[str, Tensor] = field(default_factory=dict)
    """What is known of each frame: name -> [B, T, numbers]."""
    slots: Tensor | None = None
    """[B, T, S, F], noised as the frame is."""
    slot_context: Tensor | None = None
    """[B, T, K, S, F]"""
    text: Tensor | None = None
    """[B, L, text_dim]"""
    text_mask: Tensor | None = None
    """[B, L], true where there is text."""
    causal: bool | None = None
    """Whether the frames of this batch read earlier ones only; None: as the network's config says."""
    step_size: Tensor | None = None
    """[B], size of the sampler's step as a share of its schedule, for networks with `step_sizes`; 0, or None: small."""


@dataclass
class FrameCache:
    """Keys, before rotation, and values [B, N, heads, T, D] of earlier frames for every block that reads them, and their times
    [B, T] in seconds; a pass puts its own into `new`. bias: [T], added to the scores of the earlier frames, which closes places of
    a cache of fixed length that hold none; None: all are read."""

    cached: list[tuple[Tensor, Tensor]]
    time_s: Tensor | None = None
    bias: Tensor | None = None
    new: list[tuple[Tensor, Tensor]] = field(default_factory=list)


class Attention(nn.Module):
    """Multi-head attention with normalized queries and keys."""

    def __init__(self, width: int, heads: int, reads: int | None = None) -> None:
        """reads: width of what keys and values are made of; None: of the queries' own tokens."""
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(reads or width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.sharpness = nn.Parameter(torch.full((heads, 1, 1), 2.0))

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], self.heads, -1).transpose(-2, -3)

    def keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [..., heads, M, D] of x [..., M, reads]."""
        k, v = self.kv(x).chunk(2, -1)
        return rms_norm(self._split(k)), self._split(v)

    def queries(self, x: Tensor) -> Tensor:
        return rms_norm(self._split(self.q(x))) * self.sharpness.to(x.dtype)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """[..., heads, M, D] each -> [..., M, width]."""
        return self.out(attend(q, k, v, bias).transpose(-2, -3).flatten(-2))  # type: ignore[no-any-return]


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift


class DiTBlock(nn.Module):
    """Attention inside a frame, to other frames where the block has it, and to the text; then an MLP."""

    def __init__(self, config: DiTConfig, reads_frames: bool) -> None:
        super().__init__()
        width = config.width
        self.reads_frames, self.full = reads_frames, reads_frames and config.full
        self.space = Attention(width, config.heads)
        self.time = Attention(width, config.heads) if reads_frames and not config.full else None
        self.text = Attention(width, config.heads, config.text_dim) if config.text_dim else None
        self.mlp_in, self.mlp_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.offsets = nn.Parameter(torch.zeros(9, width))

    def forward(
        self, x: Tensor, modulation: Tensor, at: Positions, text: TextTokens | None, cache: FrameCache | None
    ) -> Tensor:
        """x [B, T, N, W], modulation [B, T, M, 9, W] with M of N or 1."""
        m = (modulation + self.offsets.to(x.dtype)).unbind(3)
        y = _modulated(x, m[0], m[1])
        if self.full:
            x = x + m[2] * self._all_frames(y, at, cache)
        else:
            k, v = self.space.keys(y)
            x = x + m[2] * self.space(rotate(self.space.queries(y), *at.space), rotate(k, *at.space), v)
        if self.time is not None:
            y = _modulated(x, m[3], m[4]).transpose(1, 2).contiguous()  # else matmul copies the weights for every row
            k, v = _after_cached(*self.time.keys(y), cache)
            seen = self.time(rotate(self.time.queries(y), *at.now), rotate(k, *at.all), v, at.bias)
            x = x + m[5] * seen.transpose(1, 2)
        if self.text is not None and text is not None:
            y = F.layer_norm(x, x.shape[-1:]).flatten(1, 2)
            k, v = self.text.keys(text.states.to(x.dtype))
            x = x + (text.any * self.text(self.text.queries(y), k, v, text.bias)).reshape(x.shape)
        y = _modulated(x, m[6], m[7])
        made: Tensor = self.mlp_out(F.gelu(self.mlp_in(y), approximate="tanh"))
        return x + m[8] * made

    def _all_frames(self, y: Tensor, at: Positions, cache: FrameCache | None) -> Tensor:
        """Attention of y [B, T, N, W] to all tokens of all frames. The same pairs of numbers turn with place and time, so that in
        one frame it is the attention inside it."""
        q, k, v = (x.transpose(1, 3) for x in (self.space.queries(y), *self.space.keys(y)))
        k, v = _after_cached(k, v, cache)
        place = [x[:, None, None] for x in at.space]
        turned = rotate(rotate(q, *place), *at.now), rotate(rotate(k, *place), *at.all), v
        q, k, v = (x.permute(0, 2, 3, 1, 4).flatten(2, 3) for x in turned)
        return self.space(q, k, v, at.bias).reshape(y.shape)  # type: ignore[no-any-return]


def _after_cached(k: Tensor, v: Tensor, cache: FrameCache | None) -> tuple[Tensor, Tensor]:
    """Keys and values [B, N, heads, T, D] of a block after those of earlier frames, as the cache has them; it gets the new ones."""
    if cache is None:
        return k, v
    cache.new.append((k, v))
    if not cache.cached:
        return k, v
    old_k, old_v = cache.cached[len(cache.new) - 1]
    return torch.cat([old_k, k], -2), torch.cat([old_v, v], -2)


@dataclass
class Positions:
    """Cosines and sines of where tokens stand: inside a frame, of the frames of this pass, and of those that are read; and the bias
    of which frames may be read, None: all: [T, frames read], or of all their tokens with full attention."""

    space: tuple[Tensor, Tensor]
    now: tuple[Tensor, Tensor]
    all: tuple[Tensor, Tensor]
    bias: Tensor | None


@dataclass
class TextTokens:
    """States [B, L, text_dim], the bias [B, 1, 1, L] that closes padding, and 1 where there is any text, else 0 [B, 1, 1]: a bias
    that closes all tokens closes none."""

    states: Tensor
    bias: Tensor
    any: Tensor


def level_features(level: Tensor) -> Tensor:
    """Sines and cosines of levels [...] at frequencies from a quarter to 16: [..., LEVEL_FEATURES]."""
    angle = level[..., None].float() * 2 ** torch.linspace(-2, 4, LEVEL_FEATURES // 2, device=level.device) * 2 * math.pi
    return torch.cat([angle.sin(), angle.cos()], -1)


def patch_places(rows: int, columns: int, like: Tensor) -> Tensor:
    """Sines and cosines of where in the picture patches are, [rows, columns, 4 * PLACE_WAVES]."""
    waves = torch.arange(1, PLACE_WAVES + 1, device=like.device) * math.pi
    y, x = ((torch.arange(n, device=like.device) + 0.5)[:, None] / n * waves for n in (rows, columns))
    each = [z.expand(rows, columns, -1) for z in (y.sin()[:, None], y.cos()[:, None], x.sin()[None], x.cos()[None])]
    return torch.cat(each, -1).to(like.dtype)


class Pointing(nn.Module):
    """How far patches are, along both axes, from the places that numbers may stand for, which rise to the right and down: a token
    cannot easily find that out of numbers that are the same for all."""

    def __init__(self, edges: Tensor, width: int) -> None:
        """edges: [D, 2], about what each number is at either edge of the picture."""
        super().__init__()
        number, waves, (least, most) = torch.arange(len(edges)), 2 * PLACE_WAVES, edges.unbind(1)
        self.register_buffer("scale", 1 / (most - least))
        self.register_buffer("shift", -least / (most - least))
        self.mend = nn.Parameter(torch.zeros(2, len(edges)))
        self.rows, self.columns = (nn.Linear(waves * len(edges), width) for _ in range(2))
        # To begin with, a feature is of one pair, x and y.
        pair = torch.arange(width)[:, None] * -(-len(edges) // 2) // width
        for layer, axis in ((self.columns, 0), (self.rows, 1)):
            reads = (pair == number // 2) & (number % 2 == axis)
            layer.weight.data *= reads.repeat_interleave(waves, 1) * math.sqrt(len(edges))

    def forward(self, numbers: Tensor, known: Tensor, rows: int, columns: int) -> Tensor:
        """[B, W, rows, columns] of numbers [B, D], which point nowhere where known [B, D] is 0."""
        stretch, shift = 0.1 * self.mend.float()  # learned slowly: where all things point to must not tremble
        at = numbers.float() * self.get_buffer("scale") * (1 + stretch) + self.get_buffer("shift") + shift
        waves, along = torch.arange(1, PLACE_WAVES + 1, device=at.device) * math.pi, []
        for count, layer in ((rows, self.rows), (columns, self.columns)):
            angle = ((torch.arange(count, device=at.device)[:, None] + 0.5) / count - at[:, None])[..., None] * waves
            turned = torch.cat([angle.sin(), angle.cos()], -1) * known[:, None, :, None]
            along.append(layer(turned.flatten(2).to(layer.weight.dtype)).mT)
        made: Tensor = (1 + along[0][..., None]) * (1 + along[1][:, :, None]) - 1
        return made


class DiT(nn.Module):
    """The network. `forward` estimates what is clean: with `context` relative to the frame before (see `kinema.diffusion.flow`)."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        width, p, every = config.width, config.patch, config.time_every
        self.prior = PicturePrior(config) if config.prior else None
        self.video_in = nn.Conv2d(config.channels * (1 + config.context + len(config.prior)), width, p + 2, p, 1)
        self.slot_in = nn.Linear(config.slot_dim * (1 + config.context), width) if config.slots else None
        self.slot_names = nn.Parameter(torch.randn(config.slots, width) * 0.3) if config.slots else None
        self.frame_token = nn.Parameter(torch.randn(width) * 0.3)
        self.place_in = nn.Linear(4 * PLACE_WAVES, width) if config.places else None
        known, points = sum(config.known.values()), [at[1:] for one in config.pointing.values() for at in one]
        self.pointing = Pointing(torch.tensor(points), width) if points else None
        first, second = nn.Linear(LEVEL_FEATURES + known, width), nn.Linear(width, width)
        self.condition = nn.Sequential(first, nn.SiLU(), second, nn.SiLU())
        self.modulation = nn.Linear(width, 9 * width)
        self.blocks = nn.ModuleList(DiTBlock(config, bool(every) and i % every == every - 1) for i in range(config.depth))
        self.video_out = nn.Conv2d(width, (config.channels + len(config.prior)) * p * p, 3, padding=1)
        self.slot_out = nn.Linear(width, config.slot_dim) if config.slots else None
        self.heads = nn.ModuleDict({name: nn.Linear(width, numbers) for name, numbers in config.predicted.items()})
        ruled = {name: (len(changes), config.choices) for name, changes in config.relative.items()}
        self.rules = nn.ModuleDict({name: Rule(config.known, name, *sizes) for name, sizes in ruled.items()})
        self.step_in = nn.Linear(LEVEL_FEATURES, width, bias=False) if config.step_sizes else None
        for weight in nn.ModuleList([self.modulation, self.step_in or nn.Identity()]).parameters():
            nn.init.zeros_(weight)

    def open_gates(self) -> None:
        """Before training: blocks add what they make from the beginning, instead of nothing at first."""
        for block in self.blocks:
            block.get_parameter("offsets").data[2::3] = 1.0

    @property
    def cached_blocks(self) -> int:
        """How many blocks read other frames, and so have keys and values in a `FrameCache`."""
        return sum(bool(block.reads_frames) for block in self.blocks)

    def forward(self, given: DiTInput, cache: FrameCache | None = None) -> dict[str, Tensor]:
        """Estimates: "video" [B, T, C, h, w], "slots" [B, T, S, F], each of `predicted` [B, T, numbers], and "memory" [B, T, M].

        With a cache the frames of this pass read those of the cache too, and their own keys and values are added to `cache.new`.
        ModelError: levels of another shape than the video's, or a step size for a network that reads none.
        """
        config, (b, t, _, h, w) = self.config, given.video.shape
        video = given.video if given.context is None else torch.cat([given.context.flatten(2, 3), given.video], 2)
        if self.prior is not None and given.context is not None:
            prior = self.prior(given.vectors, given.context[:, :, -1]).to(video.dtype)
            video = torch.cat([prior, video], 2)
        patches = self.video_in(video.flatten(0, 1))
        rows, columns = patches.shape[-2:]
        if self.place_in is not None:
            patches = patches + self.place_in(patch_places(rows, columns, patches)).permute(2, 0, 1)
        if self.pointing is not None:
            points, known = [], []
            for name, places in config.pointing.items():
                numbers, gate = given.vectors[name].flatten(0, 1), config.pointing_if.get(name)
                points.append(numbers[:, [column for column, *_ in places]])
                known.append(torch.ones_like(points[-1]) if gate is None else numbers[:, [gate] * len(places)])
            patches = patches + self.pointing(torch.cat(points, -1), torch.cat(known, -1), rows, columns)
        extra = [self.frame_token.expand(b, t, 1, -1).to(patches.dtype)]
        if self.slot_in is not None and self.slot_names is not None and given.slots is not None:
            slots = given.slots[:, :, None]
            entered = slots if given.slot_context is None else torch.cat([given.slot_context, slots], 2)
            extra.append(self.slot_in(entered.movedim(2, -2).flatten(-2)) + self.slot_names.to(patches.dtype))
        x = torch.cat([*extra, patches.flatten(2).transpose(1, 2).unflatten(0, (b, t))], 2)
        at = self._positions(given, x.shape[2] - rows * columns, rows, columns, cache)
        text = None
        if given.text is not None and given.text_mask is not None:
            closed = torch.where(given.text_mask, 0.0, -1e4)[:, None, None]
            text = TextTokens(states=given.text, bias=closed, any=given.text_mask.any(-1)[:, None, None].to(patches.dtype))
        x, modulation = self.modulate(x, self._condition(given, x))
        for block in self.blocks:
            x = block(x, modulation, at, text, cache)
        x = F.layer_norm(x, x.shape[-1:])
        cells = x[:, :, -rows * columns :].transpose(2, 3).reshape(b * t, -1, rows, columns)
        made = F.pixel_shuffle(self.video_out(cells), config.patch)[..., :h, :w]
        if self.prior is not None:
            made = made[:, :-1] + torch.sigmoid(made[:, -1:] + self.prior.get_buffer("trust")) * prior.flatten(0, 1)
        result = {"video": made.reshape(b, t, *made.shape[1:])}
        if self.slot_out is not None:
            result["slots"] = self.slot_out(x[:, :, 1 : 1 + config.slots])
        result |= {name: head(x[:, :, 0]) for name, head in self.heads.items()}
        hidden = [given.vectors[name][..., column, None] > 0.5 for name, column in config.hidden_if.items()]
        for name, rule in self.rules.items():
            changes = torch.tensor(config.relative[name], device=x.device)
            ruled, memory = rule(self.numbers(given.vectors))
            ruled = changes * (ruled + rule.get_buffer("left") * result[name].float())
            moved = given.vectors[name][..., -len(changes) :].float() + ruled
            result |= {MEMORY: memory} if MEMORY in config.known else {}
            result[name] = torch.where(hidden[0], result[name].float(), moved) if hidden else moved
        return result

    def numbers(self, vectors: Mapping[str, Tensor]) -> Tensor:
        """All given numbers as they are read (`kinema.models.rules.as_read`)."""
        return as_read({name: vectors[name] for name in self.config.known}, self.config.relative)

    def modulate(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """How a condition [B, T, M, W] enters: tokens [B, T, N, W] as blocks get them, and the modulation [B, T, M, 9, W]."""
        return x, self.modulation(condition).unflatten(-1, (9, -1))

    def _condition(self, given: DiTInput, x: Tensor) -> Tensor:
        """Level, known numbers and step size: [B, T, M, W] for tokens x [B, T, N, W], M being N where cells have their levels, else
        1."""
        (b, t, _, h, w), level = given.video.shape, given.level[:, :, None]
        if given.level.shape == (b, t, h, w):
            cells = F.avg_pool2d(given.level.float(), self.config.patch).flatten(2)
            level = torch.cat([given.level.amax((2, 3))[..., None].expand(-1, -1, x.shape[2] - cells.shape[2]), cells], 2)
        elif given.level.shape != (b, t):
            raise ModelError(f"levels {list(given.level.shape)}: expected {[b, t]} of frames or {[b, t, h, w]} of latents")
        known = [self.numbers(given.vectors)[:, :, None].expand(-1, -1, level.shape[2], -1)] if self.config.known else []
        made: Tensor = self.condition[0](torch.cat([level_features(level), *known], -1).to(x.dtype))
        if self.step_in is not None:
            size = level.new_zeros(b) if given.step_size is None else given.step_size
            made = made + self.step_in(level_features(size).to(x.dtype))[:, None, None]
        elif given.step_size is not None:
            raise ModelError("a step size: expected none, as this network was not trained for few steps")
        return self.condition[1:](made)  # type: ignore[no-any-return]

    def _positions(self, given: DiTInput, extra: int, rows: int, columns: int, cache: FrameCache | None) -> Positions:
        """Tokens that stand for no place lie at the origin, which turns nothing."""
        time_s, device, dim = given.time_s, given.time_s.device, self.config.width // self.config.heads
        unit = HEIGHT_UNITS / rows
        cells = torch.cartesian_prod(*((torch.arange(count, device=device) + 0.5) * unit for count in (rows, columns)))
        places = torch.cat([torch.zeros(extra, 2, device=device), cells])
        read_s = time_s if cache is None or cache.time_s is None else torch.cat([cache.time_s, time_s], 1)
        first = read_s[:, -1:]
        now, read = (rotary(((s - first) * TIME_UNITS)[:, None, None], dim) for s in (time_s, read_s))
        bias = None
        if (self.config.causal if given.causal is None else given.causal) and time_s.shape[1] > 1:
            later = torch.ones(time_s.shape[1], read_s.shape[1], dtype=torch.bool, device=device)
            bias = torch.where(later.triu(1 + read_s.shape[1] - time_s.shape[1]), -1e4, 0.0)
        if cache is not None and cache.bias is not None:
            closed = torch.cat([cache.bias, cache.bias.new_zeros(time_s.shape[1])])[None]
            bias = closed if bias is None else bias + closed
        if self.config.full and bias is not None:
            bias = bias.repeat_interleave(len(places), 1)
            bias = bias.repeat_interleave(len(places), 0) if len(bias) > 1 else bias
        return Positions(space=rotary_2d(places, dim), now=now, all=read, bias=bias)
