"""The means along time: they find the noise of a smooth path, and look only where they may."""

from __future__ import annotations

import torch

from kinema.canvas.tracks import STATE_FEATURES
from kinema.model.denoiser import CLOSED, causal_bias, precondition
from kinema.model.trend import COLUMNS, REACH, answers

FRAMES = 48
TIME_S = torch.arange(FRAMES)[None] / 16.0


def path() -> torch.Tensor:
    state = torch.zeros(1, FRAMES, 1, STATE_FEATURES)
    state[0, :, 0, COLUMNS] = torch.linspace(-1, 1, FRAMES)[:, None]
    return state


def noised(level: float) -> tuple[torch.Tensor, torch.Tensor]:
    levels = torch.full_like(path(), level)
    noise = torch.randn(path().shape, generator=torch.Generator().manual_seed(0))
    return (1 - level) * path() + level * noise, levels


def test_their_answer_mends_most_of_a_small_noise() -> None:
    for level in (0.05, 0.15):
        x, levels = noised(level)
        said, trust = answers(x, levels, TIME_S, None)
        wide = said[..., len(COLUMNS) :]
        mended = precondition(x[..., COLUMNS], levels[..., COLUMNS], wide)
        inner = slice(14, -14)
        before = (x / (1 - level) - path())[:, inner][..., COLUMNS].square().mean().sqrt()
        after = (mended - path()[..., COLUMNS])[:, inner].square().mean().sqrt()
        assert after < 0.6 * before, level
        assert trust.min() > 0.5 and len(REACH) == 2


def test_unknown_neighbors_say_nothing() -> None:
    x, levels = noised(1.0)
    said, trust = answers(x, levels, TIME_S, None)
    assert said.abs().max() < 1e-3 and trust.max() < 1e-3


def test_they_keep_to_the_mask() -> None:
    x, levels = noised(0.2)
    other = x.clone()
    other[:, 24:] += 1.0
    for bias in (causal_bias(FRAMES, torch.device("cpu")), torch.full((FRAMES, FRAMES), CLOSED).fill_diagonal_(0.0)):
        here, there = (answers(state, levels, TIME_S, bias)[0][:, :24] for state in (x, other))
        assert torch.equal(here, there)
    assert not torch.equal(answers(x, levels, TIME_S, None)[0][:, :24], answers(other, levels, TIME_S, None)[0][:, :24])
