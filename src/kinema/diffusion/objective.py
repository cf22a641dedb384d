"""The training objective: noise every cell to its own level, predict every clean cell.

Rectified flow x_t = (1 - t) x + t noise; the network predicts x, the loss is on x (Li & He 2025), so clean levels, where x is
all but given, weigh little by themselves. Known cells (t = 0) cannot err and add nothing.

Axes: B batch, T frames, K slots, F features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kinema.canvas.canvas import TextCondition
from kinema.canvas.tracks import GROUPS
from kinema.model.denoiser import Denoiser, precondition

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

TRACK_WEIGHTS = {"video": 1.0, "state": 3.0, "camera": 0.1, "scene": 0.2, "action": 0.1, "reward": 0.1, "terminated": 0.1}


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
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Mean squared error of every track, unweighted except for the state's features; scalars by track name."""
    noisy = noised(values, levels, noise)
    text = TextCondition(states=text_states, reads=text_reads)
    answers = model.network(noisy, levels, time_s, text, 2.5, time_bias, dtype)
    result = {}
    weights = feature_weights(time_s.device)
    for name, x in values.items():
        t = levels[name] if name == "state" else levels[name][..., None]
        error = (precondition(noisy[name], t, answers[name]) - x).square()
        if name == "state":
            here = (x[..., :1] > 0).float()
            only_exists = torch.zeros_like(weights)
            only_exists[0] = 1.0
            error = error * weights * (here + (1 - here) * (0.2 + 0.8 * only_exists))
        result[name] = error.mean()
    return result


def total(parts: dict[str, Tensor]) -> Tensor:
    """The weighted sum that is minimised."""
    return torch.stack([TRACK_WEIGHTS[name] * value for name, value in parts.items()]).sum()
