"""The means along time: they find the noise of a smooth path, and look only where they may."""

from __future__ import annotations

import torch

from kinema.models.denoiser import CLOSED, causal_bias, precondition
from kinema.models.objects.motion_prior import REACH, MotionPrior, MovingColumns, answers, expected
from kinema.scene.schema import PLAYGROUND

FRAMES = 48
COLUMNS = MovingColumns.of(PLAYGROUND)
TIME_S = torch.arange(FRAMES)[None] / 16.0


def path() -> torch.Tensor:
    state = torch.zeros(1, FRAMES, 1, PLAYGROUND.features)
    state[0, :, 0, COLUMNS.moving] = torch.linspace(-1, 1, FRAMES)[:, None]
    return state


def noised(level: float) -> tuple[torch.Tensor, torch.Tensor]:
    levels = torch.full_like(path(), level)
    noise = torch.randn(path().shape, generator=torch.Generator().manual_seed(0))
    return (1 - level) * path() + level * noise, levels


def test_their_answer_mends_most_of_a_small_noise() -> None:
    for level in (0.05, 0.15):
        x, levels = noised(level)
        said, trust = answers(x, levels, TIME_S, None, FRAMES, COLUMNS)
        begin = len(COLUMNS.answered) // len(REACH)
        wide = said[..., begin : begin + len(COLUMNS.moving)]
        mended = precondition(x[..., COLUMNS.moving], levels[..., COLUMNS.moving], wide)
        inner = slice(14, -14)
        before = (x / (1 - level) - path())[:, inner][..., COLUMNS.moving].square().mean().sqrt()
        after = (mended - path()[..., COLUMNS.moving])[:, inner].square().mean().sqrt()
        assert after < 0.6 * before, level
        assert trust[..., begin : begin + len(COLUMNS.moving)].min() > 0.5


def test_a_line_through_the_past_and_its_speeds_lead_to_the_next_place() -> None:
    """An unknown last frame after a known straight path: the line's end, its slope and where speeds lead are the truth."""
    velocity = torch.tensor([0.5, -0.3])
    state = torch.zeros(1, FRAMES, 1, PLAYGROUND.features)
    state[..., PLAYGROUND.slice("velocity")] = velocity
    state[0, :, 0, COLUMNS.place] = TIME_S[0, :, None] * velocity * COLUMNS.per_second
    levels = torch.zeros_like(state)
    levels[:, -1] = 1.0
    unknown = state.clone()
    unknown[:, -1] = torch.randn(PLAYGROUND.features, generator=torch.Generator().manual_seed(1))
    said, trust = answers(unknown, levels, TIME_S, None, FRAMES, COLUMNS)
    begin = len(COLUMNS.answered) // len(REACH) + len(COLUMNS.moving)
    line, slope, lead = said[0, -1, 0, begin : begin + 6].split(2)
    place = state[0, -1, 0, COLUMNS.place]
    torch.testing.assert_close(lead, place, atol=0.03, rtol=0)
    torch.testing.assert_close(line, place, atol=0.08, rtol=0)
    torch.testing.assert_close(slope, velocity, atol=0.06, rtol=0)
    assert trust[0, -1].min() > 0.4


def test_unknown_neighbors_say_nothing() -> None:
    x, levels = noised(1.0)
    said, trust = answers(x, levels, TIME_S, None, FRAMES, COLUMNS)
    assert said.abs().max() < 1e-3 and trust.max() < 1e-3


def test_they_keep_to_the_mask() -> None:
    x, levels = noised(0.2)
    other = x.clone()
    other[:, 24:] += 1.0
    for bias in (causal_bias(FRAMES, torch.device("cpu")), torch.full((FRAMES, FRAMES), CLOSED).fill_diagonal_(0.0)):
        here, there = (answers(state, levels, TIME_S, bias, FRAMES, COLUMNS)[0][:, :24] for state in (x, other))
        assert torch.equal(here, there)
    here, there = (answers(state, levels, TIME_S, None, FRAMES, COLUMNS)[0][:, :24] for state in (x, other))
    assert not torch.equal(here, there)


def test_what_is_expected_of_a_place() -> None:
    """After a known straight path the next place is expected where it leads, closely; with nothing known, anywhere."""
    velocity = torch.tensor([0.5, -0.3])
    state = torch.zeros(1, FRAMES, 1, PLAYGROUND.features)
    state[..., PLAYGROUND.slice("velocity")] = velocity
    state[0, :, 0, COLUMNS.place] = TIME_S[0, :, None] * velocity * COLUMNS.per_second
    levels = torch.zeros_like(state)
    levels[:, -1] = 1.0
    unknown = state.clone()
    unknown[:, -1] = torch.randn(PLAYGROUND.features, generator=torch.Generator().manual_seed(1))
    found = expected(unknown, levels, TIME_S, None, FRAMES, COLUMNS)
    torch.testing.assert_close(found.mean[0, -1, 0], state[0, -1, 0, COLUMNS.place + COLUMNS.speed], atol=0.02, rtol=0)
    assert 0.01 < found.spread[0, -1, 0, 0] < 0.06 and 0.05 < found.spread[0, -1, 0, 2] < 0.3
    torch.testing.assert_close(found.place(unknown, levels)[0, -1, 0], found.mean[0, -1, 0, :2])
    torch.testing.assert_close(found.place(unknown, levels)[0, :-1, 0], state[0, :-1, 0, COLUMNS.place], atol=1e-5, rtol=0)
    found = expected(unknown, torch.ones_like(levels), TIME_S, None, FRAMES, COLUMNS)
    assert found.mean.abs().max() == 0.0 and found.spread.min() == 1.0


def test_an_answer_of_nothing_smooths_a_noisy_path() -> None:
    """Noise at level 0.05 on a steady path and its speed: the expectation alone takes off half of it."""
    steady = path()
    steady[..., PLAYGROUND.slice("velocity")] = 2 / (FRAMES - 1) * 16 / COLUMNS.per_second
    levels = torch.full_like(steady, 0.05)
    x = 0.95 * steady + 0.05 * torch.randn(steady.shape, generator=torch.Generator().manual_seed(0))
    wide, near = expected(x, levels, TIME_S, None, FRAMES, COLUMNS).over()
    clean = precondition(x, levels, torch.zeros_like(x), wide, near)
    inner = slice(8, -8)
    after = (clean - steady)[:, inner][..., COLUMNS.place].square().mean().sqrt()
    before = (x / 0.95 - steady)[:, inner][..., COLUMNS.place].square().mean().sqrt()
    assert after < 0.6 * before


def test_the_last_frames_alone_are_told_what_they_are_told_among_all() -> None:
    rng = torch.Generator().manual_seed(0)
    state, levels = (torch.rand(2, FRAMES, 3, PLAYGROUND.features, generator=rng) for _ in range(2))
    times, bias = TIME_S[:1].expand(2, -1), torch.zeros(FRAMES, FRAMES)
    trend = MotionPrior(PLAYGROUND, 16)
    whole, few = trend(state, levels, times, bias, FRAMES), trend(state, levels, times, bias[-2:], 2)
    for a, b in zip((*whole[:2], whole[2].mean, whole[2].spread), (*few[:2], few[2].mean, few[2].spread), strict=True):
        assert torch.allclose(a[:, -2:], b, atol=1e-5)


def test_where_all_is_known_the_nearest_frame_alone_says_how_fast() -> None:
    """A frame further away has nothing to add to one in between that is known; where that is noisy it has."""
    state = torch.zeros(1, FRAMES, 1, PLAYGROUND.features)
    state[0, :, 0, COLUMNS.speed] = (torch.arange(FRAMES) * 0.05)[:, None]
    last = float(state[0, -2, 0, COLUMNS.speed[0]])

    def at(level: float) -> float:
        levels = torch.full_like(state, level)
        levels[:, -1] = 1.0
        return float(expected(state * (1 - level), levels, TIME_S, None, 1, COLUMNS).mean[0, 0, 0, 2])

    assert abs(at(0.0) - last) < 0.05 * last and at(0.3) < at(0.05) < at(0.0)
