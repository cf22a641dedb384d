"""The training objective: noise every cell to its own level, predict every clean cell.

Rectified flow x_t = (1 - t) x + t noise; the network predicts x, the loss is on x (Li & He 2025), weighted towards
clean levels, where x is all but given and what is left to mend (a trembling path) would weigh next to nothing. Known cells
(t = 0) cannot err and add nothing.

Axes: B batch, T frames, K slots, F features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kinema.canvas.canvas import TextCondition
from kinema.canvas.tracks import GROUPS
from kinema.model.denoiser import Denoiser, cell_centers, precondition
from kinema.model.sight import sight_loss

GROUP_WEIGHTS = {
    "exists": 1.0,
    "kind": 0.5,
    "color": 0.5,
    "material": 0.1,
    "size": 0.5,
    "position": 4.0,
    "velocity": 1.5,
    "angle": 0.3,
    "visible": 0.3,
}
"""Weight of one feature of each group: where and how fast matters most, and categories have many features each."""

TRACK_WEIGHTS = {
    "video": 1.0,
    "state": 3.0,
    "camera": 0.1,
    "scene": 0.2,
    "action": 0.1,
    "reward": 0.1,
    "terminated": 0.1,
}
SIGHT_WEIGHT = 0.3
RAMP = 0.25
FLOOR = 0.03
CELL_UNITS = 2.5
"""Height of a video cell in room units in training, at any size that is 4 cells high."""


def ramp(level: Tensor) -> Tensor:
    """Weight of an error of a picture at a level: 1 at level 1, 5 close to level 0."""
    return (1 + RAMP) / (level + RAMP)


def even(level: Tensor) -> Tensor:
    """Weight of an error of anything else: about what makes the bare network's answer count alike at every level (as in Karras
    et al. 2022), so 1 at level 1, 15 at level 1/6, 34 close to level 0. Less, and planned paths tremble."""
    share = level.square() / ((1 - level).square() + level.square())
    return (1 + FLOOR) / (share + FLOOR)


def feature_weights(device: torch.device | str = "cpu") -> Tensor:
    """Weights [F] of the state's features, mean 1."""
    weights = torch.tensor([GROUP_WEIGHTS[name] for name, width in GROUPS.items() for _ in range(width)], device=device)
    return weights / weights.mean()


def noised(values: dict[str, Tensor], levels: dict[str, Tensor], noise: dict[str, Tensor]) -> dict[str, Tensor]:
    """x_t = (1 - t) x + t noise, each cell at its own level; exactly x where the level is 0."""
    mixed = {}
    for name, x in values.items():
        t = levels[name] if name == "state" else levels[name][..., None]
        mixed[name] = torch.where(t == 0, x, (1 - t) * x + t * noise[name])
    return mixed


def losses(
    model: Denoiser,
    values: dict[str, Tensor],
    levels: dict[str, Tensor],
    noise: dict[str, Tensor],
    time_s: Tensor,
    text_states: Tensor,
    text_reads: Tensor,
    time_bias: Tensor,
    stride: Tensor,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Mean squared error of every track, weighted by level and, in the state, by feature; scalars by track name, and by
    "sight" where there is video."""
    noisy = noised(values, levels, noise)
    text = TextCondition(states=text_states, reads=text_reads)
    answers = model.network(noisy, levels, time_s, text, CELL_UNITS, time_bias, stride, dtype)
    result = {}
    weights = feature_weights(time_s.device)
    for name, x in values.items():
        t = levels[name] if name == "state" else levels[name][..., None]
        error = (precondition(noisy[name], t, answers[name]) - x).square() * (ramp(t) if name == "video" else even(t))
        if name == "state":
            here = (x[..., :1] > 0).float()
            only_exists = torch.zeros_like(weights)
            only_exists[0] = 1.0
            error = error * weights * (here + (1 - here) * (0.2 + 0.8 * only_exists))
        result[name] = error.mean()
    if "video" in values:
        sight, level = answers["sight"], levels["video"]
        patch = sight.shape[2] // level.shape[2]
        centers = cell_centers(sight.shape[2], sight.shape[3], CELL_UNITS / patch, time_s.device)
        finer = level.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
        result["sight"] = sight_loss(sight, values["state"], values["camera"], finer, centers, CELL_UNITS / patch)
    return result


def total(parts: dict[str, Tensor]) -> Tensor:
    """The weighted sum that is minimised."""
    weights = {**TRACK_WEIGHTS, "sight": SIGHT_WEIGHT}
    return torch.stack([weights[name] * value for name, value in parts.items()]).sum()
