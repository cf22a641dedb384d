"""The variants of recipes that benchmarks compare are what their names say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from benchmarks.film_recipe import LevelFeature, LevelToken, Variant, varied
from benchmarks.world_recipe import passes_of

from kinema.diffusion.flow import shift_of
from kinema.models.dit import DiT, DiTConfig, DiTInput
from kinema.training import dit_trainer, film_lesson
from kinema.training.world_lesson import RecordingsLesson, WorldRecipe

CONFIG = DiTConfig(width=16, depth=2, heads=2, channels=3, time_every=1)


@pytest.mark.parametrize(("kind", "changed"), [(LevelFeature, 7), (LevelToken, 1)])
def test_a_level_enters_as_tokens_and_norms_do_not_know_it(kind: type[LevelFeature], changed: int) -> None:
    torch.manual_seed(0)
    net, entered = kind(CONFIG), list[tuple[torch.Tensor, torch.Tensor]]()
    net.blocks[0].register_forward_pre_hook(lambda _, inputs: entered.append(inputs[:2]))
    given = DiTInput(video=torch.randn(1, 2, 3, 2, 3), level=torch.full((1, 2), 0.2), time_s=torch.zeros(1, 2))
    made = [net(one)["video"] for one in (given, replace(given, level=torch.full((1, 2), 0.9)))]
    assert not torch.allclose(*made)
    (first, low), (second, high) = entered
    assert (first != second).any(-1)[0, 0].sum() == changed and torch.equal(low, high)
    made[0].sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_variant_is_what_trainers_make_while_it_is_trained() -> None:
    with varied(Variant(network=LevelToken, shift=2.0)):
        assert dit_trainer.DiT is LevelToken and film_lesson.shift_of(12) == film_lesson.shift_of(1, 16, 16) == 2.0
    assert dit_trainer.DiT is DiT and film_lesson.shift_of is shift_of


def test_passes_over_its_own_past_count() -> None:
    lesson = SimpleNamespace(own_times=lambda step, done: 2 if done >= 0.5 else 0)
    assert passes_of(lesson) == 4.0  # type: ignore[arg-type]
    assert passes_of(RecordingsLesson([], replace(WorldRecipe(), own_share=0.0))) == 3.0
