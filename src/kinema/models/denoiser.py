"""The denoiser: takes all tracks with their noise levels, and predicts the clean value of every cell.

A frame is h x w video tokens, K slot tokens and one token for all vector tracks. Blocks alternate between attention inside
a frame and attention along time; text enters through the slot and vector tokens and reaches the video from there.

The network F is preconditioned per cell for flow x_t = (1 - t) x + t noise and data of unit variance, after Karras et al.
2022 (EDM, who write sigma for t / (1 - t)):

    x_hat = c_skip(t) x_t + c_out(t) F,   c_skip = (1 - t) / ((1 - t)^2 + t^2),   c_out = t / sqrt((1 - t)^2 + t^2)

so a known cell (t = 0) comes back exactly, and at level 1 the network predicts alone. Positions and velocities have a prior from
the other frames, with mean m and standard deviation s (`kinema.models.objects.motion_prior`), and the same derivation gives

    x_hat = m + (1 - t) s^2 / p (x_t - (1 - t) m) + t s / sqrt(p) F,   p = (1 - t)^2 s^2 + t^2.

The contact module corrects that mean (`kinema.models.objects.contacts`), and the occlusion module the visible share of slots that
others hide (`kinema.models.objects.occlusion`). The video's mean and standard deviation are predicted from
slots and setting alone (`kinema.models.objects.splatter.LocalHead`).

The action of the previous frame is added to every token of a frame, because attention alone learned its average effect only.

Axes: B batch, T frames, h x w video cells, P numbers per cell, K slots, F features,
D outputs of the detection head per place, L text tokens, C width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinema.canvas.canvas import Canvas, TextCondition
from kinema.models.attention import rms_norm, rotary, rotary_2d
from kinema.models.block import MLP, Block, KVCache, Linear
from kinema.models.config import DenoiserConfig
from kinema.models.convolutions import MAP, Conv, ConvHead, ConvStem, fourier, place_features
from kinema.models.objects.contacts import ContactModule
from kinema.models.objects.detection import detection_dim
from kinema.models.objects.motion_prior import GaussianPrior, MotionPrior, moving_share, output_for
from kinema.models.objects.occlusion import OcclusionModule
from kinema.models.objects.splatter import LocalHead, SlotSplatter
from kinema.scene.geometry import MIDDLE

CLOSED = -1e4
"""Added to the score of a key that must not be read."""


def causal_bias(frames: int, device: torch.device) -> Tensor:
    """Scores' bias [T, T] under which no frame reads a later one."""
    return torch.full((frames, frames), CLOSED, device=device).triu(1)


def cell_centers(h: int, w: int, cell_units: float, device: torch.device, middle: float = MIDDLE) -> Tensor:
    """Centers (y, x) of video cells in room units as the default camera sees them, y up: [h * w, 2]. middle: both coordinates of
    the middle of the picture (`StateSchema.center`)."""
    y = middle + cell_units * (h / 2 - 0.5 - torch.arange(h, device=device, dtype=torch.float32))
    x = middle + cell_units * (torch.arange(w, device=device, dtype=torch.float32) - w / 2 + 0.5)
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(h * w, 2)


def precondition(
    x_t: Tensor, level: Tensor, network: Tensor, mean: Tensor | float = 0.0, spread: Tensor | float = 1.0
) -> Tensor:
    """x_hat from the noisy value, its level and the network's answer, for data of this mean and spread; float32 throughout."""
    signal = 1.0 - level
    scale = torch.as_tensor(spread, device=level.device)
    power = ((signal * scale).square() + level.square()).clamp_min(1e-12)
    clean = mean + signal * scale.square() / power * (x_t - signal * mean) + level * scale * torch.rsqrt(power) * network
    return torch.where(level == 0, x_t, clean)


def cleaned(canvas: Canvas, answers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Clean values of every track of a noisy canvas from what `Denoiser.network` answers."""
    priors = {
        "state": (answers.get("mean", 0.0), answers.get("spread", 1.0)),
        "video": (answers.get("video mean", 0.0), answers.get("video spread", 1.0)),
    }
    return {
        name: precondition(x_t, canvas.level_of(name), answers[name], *priors.get(name, (0.0, 1.0)))
        for name, x_t in canvas.values.items()
    }


def clean_video(canvas: Canvas, answers: dict[str, Tensor]) -> Tensor:
    """Clean video [B, T, h, w, P] of a noisy canvas from what the network answers."""
    prior = answers["video mean"], answers["video spread"]
    return precondition(canvas.values["video"], canvas.level_of("video"), answers["video"], *prior)


def cell_units_of(canvas: Canvas) -> float:
    """Height of a video cell of a canvas with video, in units."""
    assert canvas.cell_units is not None, "a canvas with video says how high its cells are"
    return canvas.cell_units


@dataclass(frozen=True, kw_only=True)
class RolloutContext:
    """The cached frames: their times [B, W], their states and levels [B, W, K, F] for the motion prior, and the action of the last
    one with its level [B, D + 1]."""

    time_s: Tensor
    state: Tensor
    level: Tensor
    action: Tensor


@dataclass(frozen=True, kw_only=True)
class DenoiserInput:
    """What the network reads.

    Attributes:
        canvas: noisy values with their levels, on their clock, with their text.
        time_bias: [T, T], added to the scores of attention along time; None: every frame reads every other. With a context of W
            frames, [T, W + T].
        step_size: [B], size of the sampler's step as a share of the schedule (shortcut models, Frans et al. 2024); None: small.
        context, cache: earlier frames, whose keys and values are cached; those of the canvas are appended to `cache.new`.
    """

    canvas: Canvas
    time_bias: Tensor | None = None
    step_size: Tensor | None = None
    context: RolloutContext | None = None
    cache: KVCache | None = None


@dataclass(frozen=True, kw_only=True)
class _Expectations:
    """What is expected of the slots [B, T, K, F or C]: the motion prior's addition to their tokens, `drift`, and to the outputs;
    its mean and spread; the output of the contact and the occlusion module, and the share of the trunk's output to retain."""

    drift: Tensor
    output: Tensor
    prior: GaussianPrior
    correction: Tensor
    retained: Tensor


class Denoiser(nn.Module):
    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        self.schema = schema = config.schema
        c = config.width
        self.video_in = ConvStem(config)
        self.splatter = SlotSplatter(schema)
        self.state_in = MLP(2 * schema.features + 24 + config.slots, c, c)
        self.vectors = schema.vectors
        self.vector_in = MLP(sum(self.vectors.values()) + len(self.vectors), c, c)
        self.step_size_in = Linear(2, c, bias=False)
        self.action_in = Linear(2 * self.vectors["action"] + 1, c, bias=False)
        nn.init.zeros_(self.action_in.weight)
        self.motion_prior = MotionPrior(schema, c)
        self.contacts = ContactModule(schema)
        self.occlusion = OcclusionModule(schema) if config.occlusion else None
        self.text_in = Linear(config.text_dim, c)
        self.no_text = nn.Parameter(torch.randn(1, 1, c) * 0.5)
        self.blocks = nn.ModuleList(Block(config, along_time=bool(i % 2)) for i in range(config.depth))
        self.video_out = ConvHead(config)
        self.local_head = LocalHead(config)
        self.detection_head = Conv(MAP, detection_dim(schema), 1)
        self.state_out = MLP(c, c, schema.features)
        self.vector_out = Linear(c, sum(self.vectors.values()))
        for block in self.blocks:
            assert isinstance(block, Block)
            with torch.no_grad():
                block.mlp.down.weight.mul_(0.5)
                block.attention.out.weight.mul_(0.5)

    def _embed_state(self, state: Tensor, level: Tensor, place: Tensor) -> Tensor:
        b, t, k, _ = state.shape
        position = fourier(self.schema.position_units(place))
        slot = torch.eye(self.config.slots, device=state.device)[:k].expand(b, t, k, self.config.slots)
        tokens: Tensor = self.state_in(torch.cat([state, level * 2 - 1, position, slot], -1))
        return tokens

    def _embed_vectors(self, values: dict[str, Tensor], levels: dict[str, Tensor]) -> Tensor:
        vectors = torch.cat([values[name] for name in self.vectors], -1)
        known = torch.stack([levels[name] for name in self.vectors], -1) * 2 - 1
        token: Tensor = self.vector_in(torch.cat([vectors, known], -1))[:, :, None]
        return token

    def _text(self, text: TextCondition | None, batch: int, frames: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Keys [B, 1 + L, C], the learned token for "no text" first, and the bias [B, 1, T * (K + 1), 1 + L]."""
        no_text = self.no_text.to(dtype).expand(batch, 1, -1)
        readers = self.config.slots + 1
        if text is None:
            return rms_norm(no_text), no_text.new_zeros(batch, 1, frames * readers, 1)
        tokens = torch.cat([no_text, self.text_in(text.states.to(dtype))], 1)
        closed = torch.where(text.reads, 0.0, CLOSED)
        closed = torch.cat([closed.new_zeros(batch, frames, 1), closed], -1)
        return rms_norm(tokens), closed.repeat_interleave(readers, 1)[:, None]

    def network(self, given: DenoiserInput, dtype: torch.dtype) -> dict[str, Tensor]:
        """The network's outputs before preconditioning, by track; "mean" and "spread" [B, T, K, F] for the state's
        preconditioning; and where there is video, "video mean" and "video spread" [B, T, h, w, P], and "sight" [B, T, H, W, D]."""
        canvas, time_bias, context, cache = given.canvas, given.time_bias, given.context, given.cache
        values, levels, time_s = canvas.values, canvas.levels, canvas.time_s
        batch, frames = time_s.shape
        step_size = torch.zeros(batch, device=time_s.device) if given.step_size is None else given.step_size
        step_token = self.step_size_in(torch.stack([step_size, (step_size > 0).float()], -1))[:, None, None]
        expectations = self._motion(canvas, time_bias, context, exact=cache is not None)
        likely = expectations.prior.place(values["state"], levels["state"])
        state = self._embed_state(values["state"], levels["state"], likely) + step_token + expectations.drift
        tokens = [state, self._embed_vectors(values, levels) + step_token]
        middle = torch.full((batch, frames, 1, 2), self.schema.center, device=time_s.device)
        positions = torch.cat([self.schema.position_units(likely).flip(-1), middle], 2)
        readers, cells, local = self.config.slots + 1, 0, None
        if "video" in values:
            cell_units = cell_units_of(canvas)
            h, w = values["video"].shape[2:4]
            cells = h * w
            centers = cell_centers(h, w, cell_units, time_s.device, self.schema.center)
            local = self._local(canvas, dtype)
            tokens.insert(0, self.video_in(local[0], place_features(centers, cell_units), frames).float())
            positions = torch.cat([centers.expand(batch, frames, cells, 2), positions], 2)
        x = torch.cat(tokens, 2) + self._action_token(values["action"], levels["action"], time_s, time_bias, context)
        head = self.config.width // self.config.heads
        cos, sin = rotary_2d(positions.flatten(0, 1), head)
        in_space = cos[:, None], sin[:, None]
        clock = time_s if context is None else torch.cat([context.time_s, time_s], 1) - time_s[:, -1:]
        cos, sin = rotary((clock if cache is None else clock.double()) * 16.0, head)
        in_time = (
            cos.repeat_interleave(cells + readers, 0)[:, None],
            sin.repeat_interleave(cells + readers, 0)[:, None],
        )
        text_keys, text_bias = self._text(canvas.text, batch, frames, dtype)
        for block in self.blocks:
            assert isinstance(block, Block)
            run = block if cache is None and torch.is_grad_enabled() else block.forward
            if block.along_time:
                x = run(x, in_time, time_bias, text_keys, text_bias, readers, cache)
            else:
                x = run(x, in_space, None, text_keys, text_bias, readers)
        x = rms_norm(x)
        state_answer = self.state_out(x[:, :, cells : cells + self.config.slots].float()) + expectations.output
        answers = {"state": state_answer * expectations.retained + expectations.correction}
        answers["mean"], answers["spread"] = expectations.prior.over()
        vectors = self.vector_out(x[:, :, -1].float())
        answers |= dict(zip(self.vectors, vectors.split(list(self.vectors.values()), -1), strict=True))
        if local is not None:
            features, video_features, expected = local
            answers |= {"video": self.video_out(x[:, :, :cells].to(dtype), features, frames), **expected}
            answers["sight"] = self._detections(video_features, frames)
        return answers

    def _action_token(
        self, action: Tensor, level: Tensor, time_s: Tensor, bias: Tensor | None, context: RolloutContext | None
    ) -> Tensor:
        """Embedding [B, T, 1, C] of the previous frame's action; of an unknown action where a frame may not read that frame."""
        frames, width = action.shape[1:]
        actions = torch.cat([action, level[..., None]], -1)
        if context is None:
            first = torch.cat([torch.zeros_like(action[:, 0]), torch.ones_like(level[:, :1])], -1)
            earlier = time_s[:, :1] - 1 / 16
        else:
            first, earlier = context.action, context.time_s[:, -1:]
        actions = torch.cat([first[:, None], actions[:, :-1]], 1)
        elapsed = (time_s - torch.cat([earlier, time_s[:, :-1]], 1)).clamp(0.0, 0.25)[..., None] * 16
        known = 1 - actions[..., width:]
        if bias is not None:
            cached_frames = bias.shape[1] - frames
            reads = F.pad(bias, (1, 0), value=CLOSED).diagonal(cached_frames) > -1
            known = known * reads.float()[:, None]
        known_actions = actions[..., :width] * known
        token: Tensor = self.action_in(torch.cat([known_actions, known_actions * elapsed, known], -1))[:, :, None]
        return token

    def _motion(self, canvas: Canvas, bias: Tensor | None, context: RolloutContext | None, *, exact: bool) -> _Expectations:
        """What the motion prior, the contact and the occlusion module make of the slots. exact: compute in float64, so that the
        result does not depend on the number of frames."""
        state, level, time_s, now = canvas.values["state"], canvas.levels["state"], canvas.time_s, canvas.num_frames
        view = canvas.values["scene"][..., 0] * (1 - canvas.levels["scene"])
        own, own_level = state, level
        if context is not None:
            pairs = ((context.state, state), (context.level, level), (context.time_s, time_s))
            state, level, time_s = (torch.cat(pair, 1) for pair in pairs)
        if exact:
            state, level, time_s = state.double(), level.double(), time_s.double()
        drift, output, around = self.motion_prior(state, level, time_s, bias, now)
        contact, share = self.contacts(own, own_level, view, around.mean, around.spread)
        likely = around.place(state[:, -now:], level[:, -now:])
        around = GaussianPrior(mean=around.mean.float(), spread=around.spread.float(), columns=around.columns)
        correction, retained = around.answered(contact.float()), moving_share(share.float(), around.columns)
        if self.occlusion is not None:
            shown, share = (x.float()[..., None] for x in self.occlusion(own, own_level, likely))
            column = self.schema.slice("visible")
            shown = (1 - share) * output_for(own[..., column], own_level[..., column], 2 * shown - 1)
            correction = torch.cat([correction[..., : column.start], shown, correction[..., column.stop :]], -1)
            retained = torch.cat([retained[..., : column.start], share, retained[..., column.stop :]], -1)
        return _Expectations(
            drift=drift,
            output=output,
            prior=around,
            correction=correction,
            retained=retained,
        )

    def _local(
        self, canvas: Canvas, dtype: torch.dtype, *, blank: bool = False, window: Tensor | None = None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Features of the video fused with those of slots and setting, and of the video alone, [B * T, M, H, W] each; and the prior
        of the video, "video mean" and "video spread". blank: nothing of the video is known, so only the prior is computed.
        window [B, 2]: centers (y, x) of windows of pictures, in units from the center of the whole picture."""
        values, levels, cell_units, p = canvas.values, canvas.levels, cell_units_of(canvas), self.config.patch
        h, w = (p * n for n in values["video"].shape[2:4])
        places = cell_centers(h, w, cell_units / p, values["video"].device, self.schema.center)
        if window is not None:
            places = places + window[:, None, None]
        camera, scene = (values[name] * (1 - canvas.level_of(name)) for name in ("camera", "scene"))
        splats = self.splatter(values["state"], levels["state"], camera, scene, places, cell_units / p, (h, w), dtype)
        video, level = values["video"][:1, :1], levels["video"][:1, :1]
        blank_features = self.video_in.encode(torch.zeros_like(video), torch.ones_like(level), cell_units, dtype).expand_as(
            splats
        )
        expected_features = self.video_in.fuse(blank_features, splats)
        mean, spread = self.local_head(expected_features, values["video"].shape[1])
        expected = {"video mean": mean, "video spread": spread}
        if blank:
            return expected_features, blank_features, expected
        video_features = self.video_in.encode(values["video"], levels["video"], cell_units, dtype)
        return self.video_in.fuse(video_features, splats), video_features, expected

    def _detections(self, features: Tensor, frames: int) -> Tensor:
        answers: Tensor = self.detection_head(features)
        return answers.reshape(-1, frames, *answers.shape[1:]).movedim(2, -1)

    def forward_local(self, canvas: Canvas, dtype: torch.dtype) -> dict[str, Tensor]:
        """The outputs of `network` for the video, by the local parts alone, every frame by itself."""
        features, _, expected = self._local(canvas, dtype)
        return {"video": self.video_out(None, features, canvas.num_frames), **expected}

    def expect(self, canvas: Canvas, dtype: torch.dtype, window: Tensor | None = None) -> dict[str, Tensor]:
        """The prior of the video alone, "video mean" and "video spread", each [B, T, h, w, P]. window [B, 2]: of windows of larger
        pictures, their centers (y, x) in units from the center of the whole picture."""
        return self._local(canvas, dtype, blank=True, window=window)[2]

    def render(self, canvas: Canvas, *, dtype: torch.dtype = torch.float32, blank: bool | None = None) -> Tensor:
        """Clean video [B, T, h, w, P] of a canvas whose state, scene and camera are known, by the local parts alone. blank: whether
        nothing of the video is known; None: it is looked up.

        Every frame is drawn by itself. The trunk adds nothing to such pictures (docs/measurements/sharp.md, "the same with the
        trunk off"), and takes three quarters of the time.
        """
        if blank is None:
            blank = bool((canvas.levels["video"] == 1).all())
        features, _, around = self._local(canvas, dtype, blank=blank)
        drawn = self.video_out(None, features, canvas.num_frames)
        return clean_video(canvas, {"video": drawn, **around})

    def detect(self, video: Tensor, level: Tensor, cell_units: float, dtype: torch.dtype) -> Tensor:
        """The detection head's output [B, T, H, W, D] for video cells [B, T, h, w, P] at levels [B, T, h, w]."""
        return self._detections(self.video_in.encode(video, level, cell_units, dtype), video.shape[1])

    def detect_canvas(self, canvas: Canvas, *, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, float]:
        """The detection head's output [B, T, H, W, D] for a canvas's pictures, the centers [H * W, 2] (y, x) of its
        places in room units, and the height of a place."""
        video, level, p = canvas.values["video"], canvas.levels["video"], self.config.patch
        h, w = level.shape[2:4]
        units = cell_units_of(canvas)
        answers = self.detect(video, level, units, dtype).float()
        return answers, cell_centers(h * p, w * p, units / p, video.device, self.schema.center), units / p

    def recall(
        self,
        canvas: Canvas,
        context: RolloutContext | None,
        cache: KVCache,
        bias: Tensor | None,
        *,
        step_size: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> dict[str, Tensor]:
        """`forward` with cached earlier frames; the keys and values of these frames are appended to `cache.new`."""
        step_sizes = torch.full((canvas.batch,), step_size, device=canvas.time_s.device)
        given = DenoiserInput(canvas=canvas, time_bias=bias, step_size=step_sizes, context=context, cache=cache)
        return cleaned(canvas, self.network(given, dtype))

    def forward(
        self,
        canvas: Canvas,
        *,
        causal: bool = False,
        step_size: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> dict[str, Tensor]:
        """Clean values of every track, float32, shaped as the canvas's values.

        causal: frame t reads frames up to t only. step_size: size of a step as a share of the schedule, 0 for small ones.
        dtype: of the blocks' arithmetic.
        """
        step_sizes = torch.full((canvas.batch,), step_size, device=canvas.time_s.device)
        bias = causal_bias(canvas.num_frames, canvas.time_s.device) if causal else None
        given = DenoiserInput(canvas=canvas, time_bias=bias, step_size=step_sizes)
        return cleaned(canvas, self.network(given, dtype))
