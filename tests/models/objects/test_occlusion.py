"""Occlusion: a new module changes next to nothing; one that was fitted says what the Playground counts; and what it does not retain
of the trunk is its own answer, exactly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.conftest import SMALL
from torch import Tensor

from kinema.canvas.canvas import blank
from kinema.datasets.episode_cache import EpisodeCache
from kinema.models.denoiser import Denoiser
from kinema.models.objects.occlusion import OcclusionModule
from kinema.scene.schema import PLAYGROUND
from kinema.training.occlusion import fit_occlusion

BALL, SCREEN = PLAYGROUND.kinds.index("ball"), PLAYGROUND.kinds.index("screen")


def scene(things: list[tuple[int, float, float]]) -> Tensor:
    """One frame [1, 1, K, F] of (kind, x, y) in units, of middle size; kind -1: nothing."""
    state = -torch.ones(1, 1, len(things), PLAYGROUND.features)
    for k, (kind, x, y) in enumerate(things):
        state[..., k, PLAYGROUND.slice("size")] = 0.0
        state[..., k, PLAYGROUND.slice("position")] = PLAYGROUND.position_track(torch.tensor([x, y]))
        if kind >= 0:
            state[..., k, 0] = 1.0
            state[..., k, PLAYGROUND.slice("kind").start + kind] = 1.0
    return state


def asked(module: OcclusionModule, state: Tensor, level: float = 0.0) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        shown, retained = module(state, torch.full_like(state, level), state[..., PLAYGROUND.slice("position")])
    return shown[0, 0], retained[0, 0]


def test_a_new_module_retains_what_the_trunk_says() -> None:
    shown, retained = asked(OcclusionModule(PLAYGROUND), scene([(BALL, 5, 2), (SCREEN, 5, 2)]))
    assert (retained > 0.97).all() and (shown > 0.97).all()


@pytest.fixture(scope="module")
def fitted(meetings: EpisodeCache) -> OcclusionModule:
    torch.manual_seed(0)
    module = OcclusionModule(PLAYGROUND)
    assert fit_occlusion(module, meetings, steps=300, batch=256) < 0.15
    return module


def test_a_fitted_module_hides_what_is_behind_a_screen_alone(fitted: OcclusionModule) -> None:
    shown, retained = asked(fitted, scene([(BALL, 5, 1.2), (SCREEN, 5, 1.5)]))
    assert shown[0] < 0.15 and retained[0] < 0.2
    assert shown[1] > 0.85 or retained[1] > 0.85
    beside, kept = asked(fitted, scene([(BALL, 8.5, 1.2), (SCREEN, 5, 1.5)]))
    assert beside[0] > 0.99 and kept[0] > 0.99


def test_what_is_not_known_to_be_there_hides_nothing(fitted: OcclusionModule) -> None:
    for state, level in ((scene([(BALL, 5, 1.2), (-1, 5, 1.5)]), 0.0), (scene([(BALL, 5, 1.2), (SCREEN, 5, 1.5)]), 1.0)):
        shown, retained = asked(fitted, state, level)
        assert (shown == 1).all() and (retained == 1).all()


def test_what_is_not_retained_is_the_modules_answer() -> None:
    """A denoiser whose module retains nothing predicts just its share, at every level; other fields are the trunk's."""
    torch.manual_seed(0)
    plain, hiding = Denoiser(SMALL).eval(), Denoiser(replace(SMALL, occlusion=True)).eval()
    hiding.load_state_dict({**hiding.state_dict(), **plain.state_dict()})
    assert hiding.occlusion is not None
    with torch.no_grad():
        hiding.occlusion.last.bias.copy_(torch.tensor([0.0, 30.0]))
    state = scene([(BALL, 5, 1.2), (SCREEN, 5, 1.5), (-1, 5, 5), (-1, 5, 5)])
    canvas = blank(batch=1, frames=1, fps=16.0, slots=4, grid=None)
    canvas.values["state"][:] = state
    canvas.levels["state"][:] = 0.0
    column = PLAYGROUND.slice("visible")
    for level in (1.0, 0.5):
        canvas.levels["state"][..., column] = level
        with torch.no_grad():
            one, other = plain(canvas)["state"], hiding(canvas)["state"]
        assert (other[0, 0, :2, column] - 0.0).abs().max() < 0.03
        rest = [i for i in range(PLAYGROUND.features) if i not in range(column.start, column.stop)]
        assert (one[..., rest] - other[..., rest]).abs().max() < 1e-5
