"""Velocities of detected objects from their places in neighboring frames.

Between collisions an object moves at a constant velocity, or falls, or slows down evenly. For every frame, curves of such motions
are fitted by least squares to the places in windows of neighboring frames. The fit of the least expected error gives the velocity:
of a long window where the motion is smooth, of a short one beside a collision.

Axes: B batch, T frames, K slots, F features, S windows, N frames of a window, M terms of a curve.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kinema.scene.geometry import GRAVITY
from kinema.scene.schema import StateSchema

LONGEST = 8
"""Frames of the longest window."""
CURVED = 6
"""Frames of the shortest window to which an acceleration is fitted."""
GAP_S = 0.25
"""Frames of a window follow each other by this at most."""
AT_ONCE = 1024
"""Frames whose windows are fitted together."""
PLACE_ERROR = 0.02
"""Standard deviation of a detected place about a smooth path, in units (docs/training-log.md)."""


def estimate_velocity(
    state: Tensor, level: Tensor, seen: Tensor, time_s: Tensor, *, side: Tensor, schema: StateSchema
) -> Tensor:
    """The state with velocities from its places, wherever the velocity was not known and there are frames enough.

    Args:
        state: [B, T, K, F].
        level: Noise levels of the state [B, T, K, F]; a velocity at level 0 stays as it is.
        seen: In which frames the place of a slot was detected or known, bool [B, T, K].
        time_s: Seconds [B, T], rising; frames at one time give no velocity.
        side: Which samples are seen from the side, where things fall, bool [B].
        schema: Of the state.

    Returns:
        The state [B, T, K, F]. Frames whose place was not detected get the slope of the estimated places around them; single
        frames keep their velocity.
    """
    place = schema.position_scale * state[..., schema.slice("position")].cpu().double()
    times, side = time_s.cpu().double(), side.cpu()
    detected = _slopes(place, seen.cpu(), times, side)
    guessed = _slopes(place, torch.ones(place.shape[:3], dtype=torch.bool), times, side)
    slope = (torch.where(detected.isnan(), guessed, detected) / schema.velocity_scale).to(state)
    speed = schema.slice("velocity")
    result = state.clone()
    result[..., speed] = torch.where(slope.isnan() | (level[..., speed] == 0), state[..., speed], slope)
    return result


def _slopes(place: Tensor, seen: Tensor, times: Tensor, side: Tensor) -> Tensor:
    """`_best_slopes` of AT_ONCE frames after another, each with the neighbors that its windows reach: the same, in less memory."""
    frames, reach = place.shape[1], LONGEST - 1
    parts = []
    for begin in range(0, frames, AT_ONCE):
        first, stop = max(begin - reach, 0), min(begin + AT_ONCE + reach, frames)
        part = _best_slopes(place[:, first:stop], seen[:, first:stop], times[:, first:stop], side)
        parts.append(part[:, begin - first : begin - first + AT_ONCE])
    return torch.cat(parts, 1)


def _best_slopes(place: Tensor, seen: Tensor, times: Tensor, side: Tensor) -> Tensor:
    """Slopes in units a second [B, T, K, 2] of places [B, T, K, 2], each of the curve with the least expected error: the
    variance of its slope, more where residuals are larger than the places' own errors. NaN where no window is whole."""
    frames = place.shape[1]
    best = torch.full(place.shape[:3], float("inf"), dtype=place.dtype)
    slopes = torch.full_like(place, float("nan"))
    falling = -GRAVITY * side.to(place)
    for length in range(2, min(LONGEST, frames) + 1):
        clock = times.unfold(1, length, 1)
        steps = clock.diff(dim=-1)
        fitting = (steps.amin(-1) > 0) & (steps.amax(-1) <= GAP_S)
        whole = seen.unfold(1, length, 1).all(-1) & fitting[..., None]
        curves = [(1, torch.zeros_like(falling)), (1, falling)] + [(2, torch.zeros_like(falling))] * (length >= CURVED)
        for degree, pull in curves:
            slope, variance = _fit(place.unfold(1, length, 1), clock - clock.mean(-1, keepdim=True), degree, pull)
            for offset in range(length):
                there = slice(offset, offset + whole.shape[1])
                better = whole & (variance[..., offset] < best[:, there])
                best[:, there] = torch.where(better, variance[..., offset], best[:, there])
                slopes[:, there] = torch.where(better[..., None], slope[..., offset], slopes[:, there])
    return slopes


def _fit(windows: Tensor, clock: Tensor, degree: int, pull: Tensor) -> tuple[Tensor, Tensor]:
    """Curves of a degree under an acceleration pull [B] of y, fitted to windows [B, S, K, 2, N] at times clock [B, S, N].

    Returns:
        Slopes at each frame [B, S, K, 2, N], and their relative variance [B, S, K, N].
    """
    powers = torch.stack([clock**power for power in range(degree + 1)], -1)
    gradients = torch.stack([power * clock ** max(power - 1, 0) for power in range(degree + 1)], -1)
    inverse = torch.linalg.pinv(powers.mT @ powers, hermitian=True)
    fallen, falling = torch.zeros_like(windows), torch.zeros_like(windows)
    fallen[..., 1, :] = (0.5 * pull[:, None, None] * clock.square())[:, :, None]
    falling[..., 1, :] = (pull[:, None, None] * clock)[:, :, None]
    terms = torch.einsum("bsmn,bskdn->bskdm", inverse @ powers.mT, windows - fallen)
    residual = windows - fallen - torch.einsum("bsnm,bskdm->bskdn", powers, terms)
    free = max(2 * (clock.shape[-1] - degree - 1), 1)
    misfit = residual.square().sum((-1, -2)) / (free * PLACE_ERROR**2)
    variance = torch.einsum("bsnm,bsml,bsnl->bsn", gradients, inverse, gradients)
    slope = torch.einsum("bsnm,bskdm->bskdn", gradients, terms) + falling
    return slope, variance[:, :, None] * (1 + misfit.square())[..., None]
