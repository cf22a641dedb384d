"""Velocities from places: laws of motions whose velocity is known."""

import torch
from torch import Tensor

from kinema.inference.velocities import estimate_velocity
from kinema.scene.geometry import GRAVITY
from kinema.scene.schema import PLAYGROUND

FPS = 16.0
TIME = (torch.arange(12) / FPS).double()


def estimated(
    x: Tensor, y: Tensor, *, side: bool = False, seen: Tensor | None = None, time_s: Tensor = TIME, level: float = 1.0
) -> Tensor:
    """Velocities [T, 2] in units a second of one slot at places x, y [T] in units, whose own velocity was (3, 3) on the track."""
    state = torch.zeros(1, len(x), 1, PLAYGROUND.features)
    state[0, :, 0, PLAYGROUND.slice("position")] = PLAYGROUND.position_track(torch.stack([x, y], -1)).float()
    state[0, :, 0, PLAYGROUND.slice("velocity")] = 3.0
    seen = torch.ones(len(x), dtype=torch.bool) if seen is None else seen
    result = estimate_velocity(
        state, torch.full_like(state, level), seen[None, :, None], time_s[None], side=torch.tensor([side]), schema=PLAYGROUND
    )
    return result[0, :, 0, PLAYGROUND.slice("velocity")] * PLAYGROUND.velocity_scale


def trembling(count: int, spread: float = 0.014) -> Tensor:
    return spread * torch.randn(count, generator=torch.Generator().manual_seed(0)).double()


def test_straight_motion_is_known_to_a_twentieth_at_the_ends_too() -> None:
    speed = estimated(2.0 + 1.5 * TIME + trembling(12), 5.0 - 0.5 * TIME + trembling(12).flip(0))
    assert (speed - torch.tensor([1.5, -0.5])).abs().max() < 0.1


def test_what_falls_is_as_fast_in_the_last_frame_as_its_fall_says() -> None:
    height = 9.0 - GRAVITY * TIME**2 / 2 + trembling(12)
    ones = torch.full_like(TIME, 5.0)
    speed = estimated(ones, height, side=True)
    assert abs(float(speed[-1, 1]) + GRAVITY * float(TIME[-1])) < 0.15
    assert abs(float(speed[0, 1])) < 0.15


def test_a_bounce_parts_what_was_before_from_what_is_after() -> None:
    x = torch.where(TIME[6] > TIME, 4.0 + 2.0 * TIME, 4.0 + 2.0 * TIME[6] - 1.0 * (TIME - TIME[6]))
    speed = estimated(x + trembling(12, 0.005), torch.full_like(TIME, 5.0))[:, 0]
    assert (speed[:5] - 2.0).abs().max() < 0.15
    assert (speed[8:] + 1.0).abs().max() < 0.15


def test_places_that_were_not_detected_do_not_count() -> None:
    x = 2.0 + 1.5 * TIME
    x[3] = 9.0
    seen = torch.ones(12, dtype=torch.bool)
    seen[3] = False
    speed = estimated(x, torch.full_like(TIME, 5.0), seen=seen)[:, 0]
    assert (speed[torch.arange(12) != 3] - 1.5).abs().max() < 1e-3


def test_a_place_that_was_not_detected_moves_as_the_places_around_it() -> None:
    x = 2.0 + 1.5 * TIME
    seen = torch.ones(12, dtype=torch.bool)
    seen[3] = False
    assert abs(float(estimated(x, torch.full_like(TIME, 5.0), seen=seen)[3, 0]) - 1.5) < 1e-3


def test_known_velocities_and_single_frames_stay() -> None:
    straight = 2.0 + 1.5 * TIME
    assert (estimated(straight, straight, level=0.0) == 3.0 * PLAYGROUND.velocity_scale).all()
    assert (estimated(straight[:1], straight[:1], time_s=TIME[:1]) == 3.0 * PLAYGROUND.velocity_scale).all()
    far = TIME[:3] * 10
    assert (estimated(straight[:3], straight[:3], time_s=far) == 3.0 * PLAYGROUND.velocity_scale).all()


def test_uneven_frames_are_read_by_their_times() -> None:
    uneven = torch.tensor([0.0, 0.05, 0.2, 0.22, 0.4, 0.5]).double()
    speed = estimated(1.0 + 2.0 * uneven, 5.0 + 0.0 * uneven, time_s=uneven)[:, 0]
    assert (speed - 2.0).abs().max() < 1e-3


def test_frames_at_one_time_give_no_velocity() -> None:
    x = torch.tensor([2.0, 2.0, 2.15, 2.3]).double()
    twice = torch.tensor([0.0, 0.0, 0.1, 0.2]).double()
    speed = estimated(x, 0.0 * x, time_s=twice)[:, 0]
    assert (speed[1:] - 1.5).abs().max() < 1e-3
    assert speed[0] == 3.0 * PLAYGROUND.velocity_scale
    assert (estimated(x, x, time_s=0.0 * twice) == 3.0 * PLAYGROUND.velocity_scale).all()
