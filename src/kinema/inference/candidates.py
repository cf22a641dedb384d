"""Choose the best of several plans: each candidate is scored by its physical errors and by how well the text explains it.

overlap     share of frames in which two solid things stand inside each other (screens and flags are scenery)
jitter      how far places are off the middle of their neighbors in time, at the median frame
cut off     share of things and frames whose middle lies beyond the sides of a picture narrower than the room
text gain   how much better the denoiser predicts the noised plan with the text than without it: the log likelihood ratio by which
            diffusion classifiers rank labels (Li et al. 2023, "Your Diffusion Model is Secretly a Zero-Shot Classifier")

Axes: N candidates, T frames, K slots, F features, C circles of a thing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kinema.canvas.canvas import Canvas, TextCondition
from kinema.models.hub import Model
from kinema.scene.encoding import project_identity
from kinema.scene.geometry import HALF_HEIGHT
from kinema.scene.schema import StateSchema, zoom_of

DEPTH = 0.25
"""Two things overlap from this depth on, as a share of the smaller one's circle."""
NOISE_LEVELS = (0.6, 0.85)
NOISE_SEED = 1
TEXT_GROUPS = ("exists", "kind", "color", "size", "position", "velocity")
OVERLAP_WEIGHT, JITTER_WEIGHT, CUT_OFF_WEIGHT = 1.0, 0.5, 1.0


def plan_scores(model: Model, drafts: Canvas, half_width: float = HALF_HEIGHT) -> Tensor:
    """The score of each plan [N]; higher is better. drafts: N finished plans of one text. half_width: of the picture that will be
    drawn, in units at zoom 1."""
    schema = drafts.schema
    state = project_identity(drafts.values["state"], schema)
    score = -OVERLAP_WEIGHT * overlap_share(state, schema) - JITTER_WEIGHT * jitter(state, schema)
    if half_width < HALF_HEIGHT:
        score = score - CUT_OFF_WEIGHT * cut_off(state, drafts.values["camera"], half_width, schema)
    return score + text_gain(model, drafts) if drafts.text is not None else score


def overlap_share(state: Tensor, schema: StateSchema) -> Tensor:
    """Share of frames in which two solid things overlap [N]. state: settled [N, T, K, F]."""
    kind = state[:, 0, :, schema.slice("kind")].argmax(-1)
    size = schema.size_units(state[:, 0, :, schema.slice("size")][..., 0])
    circles = torch.tensor(schema.circles, device=state.device)[kind]
    symmetry = torch.tensor(schema.symmetry, dtype=torch.float32, device=state.device)[kind]
    solid = (state[:, 0, :, 0] > 0) & (circles[..., 0] > 0)
    radius = circles[..., 0] * size
    turn = state[..., schema.slice("angle")]
    angle = torch.atan2(turn[..., 0], turn[..., 1]) / symmetry.clamp_min(1)[:, None]
    ahead = (circles[..., 1] * size)[:, None, :, None] * torch.stack([angle.cos(), angle.sin()], -1)
    center = state[..., schema.slice("position")] * schema.position_scale
    centers = torch.stack([center + ahead, center - ahead], 3)
    apart = (centers[:, :, :, None, :, None] - centers[:, :, None, :, None, :]).norm(dim=-1).amin((-1, -2))
    depth = radius[:, :, None] + radius[:, None, :] - DEPTH * torch.minimum(radius[:, :, None], radius[:, None, :])
    pairs = torch.triu(torch.ones(kind.shape[1], kind.shape[1], device=state.device), 1).bool()
    pairs = pairs & solid[:, :, None] & solid[:, None, :]
    inside: Tensor = ((apart < depth[:, None]) & pairs[:, None]).flatten(2).any(-1).float().mean(1)
    return inside


def cut_off(state: Tensor, camera: Tensor, half_width: float, schema: StateSchema) -> Tensor:
    """Share of things and frames whose middle lies beyond the left or right side of the picture [N]. state: settled [N, T, K, F];
    camera [N, T, 3], as the canvas holds it."""
    across = schema.position_scale * (state[..., schema.slice("position")][..., 0] - camera[..., None, 0])
    outside = across.abs() * zoom_of(camera)[..., None] > half_width
    alive = (state[..., 0] > 0).float()
    share: Tensor = (outside * alive).sum((1, 2)) / alive.sum((1, 2)).clamp_min(1)
    return share


def jitter(state: Tensor, schema: StateSchema) -> Tensor:
    """Units by which places are off the middle of their neighbors, median over frames, mean over things [N]; 0 for less than
    three frames. state: settled [N, T, K, F]."""
    if state.shape[1] < 3:
        return state.new_zeros(len(state))
    position = state[..., schema.slice("position")] * schema.position_scale
    off = (position[:, 1:-1] - (position[:, 2:] + position[:, :-2]) / 2).norm(dim=-1).median(1).values
    exists = (state[:, 0, :, 0] > 0).float()
    mean: Tensor = (off * exists).sum(1) / exists.sum(1).clamp_min(1)
    return mean


@torch.inference_mode()
def text_gain(model: Model, drafts: Canvas) -> Tensor:
    """Mean squared error without the text minus that with it [N], over NOISE_LEVELS and the groups of the state that a text is
    about. All drafts are noised by one fixed noise and denoised in one batch."""
    assert drafts.text is not None
    generator = torch.Generator().manual_seed(NOISE_SEED)
    noise = {name: torch.randn(x.shape[1:], generator=generator).to(x.device) for name, x in sorted(drafts.values.items())}
    count = len(NOISE_LEVELS)
    level = torch.tensor(NOISE_LEVELS, device=drafts.time_s.device).repeat_interleave(drafts.batch).repeat(2)

    def noised(name: str, x: Tensor) -> Tensor:
        share = level.reshape(-1, *[1] * (x.ndim - 1))
        return (1 - share) * _times(x, 2 * count) + share * noise[name]

    reads = _times(drafts.text.reads, count)
    canvas = replace(
        drafts,
        time_s=_times(drafts.time_s, 2 * count),
        values={name: noised(name, x) for name, x in drafts.values.items()},
        levels={
            name: level.reshape(-1, *[1] * (x.ndim - 1)).expand(-1, *x.shape[1:]).contiguous()
            for name, x in drafts.levels.items()
        },
        text=TextCondition(states=_times(drafts.text.states, 2 * count), reads=torch.cat([reads, torch.zeros_like(reads)])),
    )
    answer = model.denoiser(canvas, dtype=model.dtype)["state"]
    squared = (answer - _times(drafts.values["state"], 2 * count)).square().mean((1, 2))
    errors = torch.stack([squared[:, drafts.schema.slice(name)].mean(-1) for name in TEXT_GROUPS]).mean(0)
    with_text, without_text = errors.reshape(2, count, drafts.batch).mean(1)
    gain: Tensor = without_text - with_text
    return gain


def _times(x: Tensor, count: int) -> Tensor:
    """The batch so many times in a row."""
    return x.repeat(count, *[1] * (x.ndim - 1))


def copies(canvas: Canvas, count: int) -> Canvas:
    """One sample so many times, without the tokens that no frame of it reads."""
    assert canvas.batch == 1
    spread: Callable[[Tensor], Tensor] = lambda x: _times(x, count)
    text = canvas.text
    if text is not None:
        read = text.reads.flatten(0, 1).any(0)
        text = (
            TextCondition(states=spread(text.states[:, read]), reads=spread(text.reads[:, :, read])) if read.any() else None
        )
    return replace(
        canvas,
        time_s=spread(canvas.time_s),
        values={name: spread(x) for name, x in canvas.values.items()},
        levels={name: spread(x) for name, x in canvas.levels.items()},
        text=text,
    )
