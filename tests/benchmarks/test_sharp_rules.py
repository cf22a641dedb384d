"""Laws of the event rules of benchmarks.sharp: they agree with the Playground's own detector, and a still picture passes none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from benchmarks.sharp import following
from benchmarks.sharp.events import EVENTS, FPS, FRAMES, Told
from benchmarks.sharp.following import judged
from benchmarks.sharp.paths import true_path
from benchmarks.sharp.rules import happened

from kinema.playground.renderer import render_scene

ACCEPTED, MISTAKEN = 0.85, 0.15
examples = cache(following.examples)


def by_numbers(told: Told) -> bool:
    """The rule on the scene's own places."""
    scene = told.episode.scene
    other = None if told.other is None else true_path(scene, told.other)
    return happened(told.event, true_path(scene, told.mover), other, scene.view, FPS)


def by_pixels(told: Told) -> bool:
    """The rule on what the parser reads in the true renderer's pictures."""
    return judged(told, np.asarray(render_scene(told.episode.scene, height=64, width=64)))


def accepted(event: str, count: int, rule: Callable[[Told], bool]) -> tuple[float, float]:
    """The shares that a rule accepts: of examples with the event, and of those without."""
    happens, lacks = examples(event, count)
    return float(np.mean([rule(one) for one in happens])), float(np.mean([rule(one) for one in lacks]))


@pytest.mark.parametrize("event", EVENTS)
def test_a_rule_agrees_with_the_detector_on_exact_places(event: str) -> None:
    """And a still picture passes no rule."""
    with_event, without = accepted(event, 16, by_numbers)
    assert with_event >= ACCEPTED and without <= MISTAKEN
    for told in examples(event, 16)[0]:
        still = told.episode.scene.frames(np.zeros(FRAMES, np.int64))
        assert not by_numbers(replace(told, episode=replace(told.episode, scene=still)))


@pytest.mark.slow
@pytest.mark.parametrize("event", EVENTS)
def test_a_rule_agrees_with_the_detector_on_pixels(event: str) -> None:
    with_event, without = accepted(event, 32, by_pixels)
    assert with_event >= ACCEPTED and without <= MISTAKEN


def test_a_thing_of_the_wrong_kind_does_not_count() -> None:
    told = examples("hits", 1)[0][0]
    scene = told.episode.scene
    assert told.other is not None
    mover, other = true_path(scene, told.mover), true_path(scene, told.other)
    assert happened("hits", mover, other, scene.view, FPS)
    assert not happened("hits", replace(mover, of_kind=0.2), other, scene.view, FPS)
