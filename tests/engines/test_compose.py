"""Workflows made of others: long films in parts, with colors that do not run away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinema.engines import Capabilities, FilmRequest
from kinema.engines.compose import Parts, derived_workflows, film_workflow, matched
from kinema.engines.protocol import FilmPlan, FrameRule, Workflow
from kinema.errors import InputError
from kinema.media import Clip

SHIFT = np.array([4.0, -3.0, 2.0])
"""How much redder, less green and bluer a part of the model below is than the picture it goes on from."""


def parts(*primitives: Workflow, most: int = 9, history: int = 0, guard: bool = True) -> Parts:
    """A model that films a smooth picture, and repeats the last one that it is given, a little off in color."""
    rule = FrameRule(step=4, offset=1, most=most)
    able = Capabilities(
        model="drifting", engine="diffusers", family="none", workflows=derived_workflows(primitives, rule), size=(16, 16), fps=8.0,
        seconds=1.0, frames=rule,
    )  # fmt: skip
    slope = np.linspace(40, 200, 256).reshape(1, 16, 16, 1).repeat(3, -1)

    def film(request: FilmRequest, plan: FilmPlan) -> Clip:
        known = slope
        if request.workflow in ("image", "extend"):
            clip = request.video if request.workflow == "extend" else request.pictures[0][0]
            assert clip is not None
            known = clip.frames[-1:] + SHIFT
            if request.workflow == "extend":
                assert clip.num_frames == history
        pixels = np.rint(known.clip(0, 255)).astype(np.uint8).repeat(plan.frames, 0)
        return Clip(frames=pixels, fps=plan.fps)

    return Parts(capabilities=able, primitive=film, primitives=primitives, history=history, guard=guard)


def drift(made: Clip) -> float:
    """How far the colors of the last picture are from those of the first."""
    return float(np.abs(made.frames[-1].mean((0, 1)) - made.frames[0].mean((0, 1))).max())


@pytest.mark.parametrize(("primitives", "history"), [(("generate", "image"), 0), (("generate", "extend"), 5)])
def test_the_color_guard_keeps_long_films_from_drifting(primitives: tuple[Workflow, ...], history: int) -> None:
    request = FilmRequest(workflow="generate", seconds=8.0)
    guarded = film_workflow(parts(*primitives, history=history), request)
    free = film_workflow(parts(*primitives, history=history, guard=False), request)
    assert guarded.num_frames == free.num_frames == 64
    assert drift(free) > 20 and drift(guarded) < 1.5


def test_extend_keeps_the_film_and_its_colors() -> None:
    pixels = np.random.default_rng(0).integers(60, 190, (6, 16, 16, 3), np.uint8)
    video = Clip(frames=pixels, fps=8.0)
    made = film_workflow(parts("generate", "extend", history=5), FilmRequest(workflow="extend", video=video, seconds=2.0))
    assert made.num_frames == 22 and (made.frames[:6] == pixels).all()
    assert np.abs(made.frames[6:].mean((1, 2)) - pixels[-1].mean((0, 1))).max() < 1.5
    short = film_workflow(
        parts("image", "extend", history=5), FilmRequest(workflow="extend", video=video.cut(slice(2)), seconds=2.0)
    )
    assert short.num_frames == 18  # two frames are no history, so it goes on from the last picture


def test_what_cannot_go_on_is_not_filmed_longer() -> None:
    with pytest.raises(InputError, match=r"films up to 1.125 s at once"):
        film_workflow(parts("generate"), FilmRequest(workflow="generate", seconds=3.0))
    picture = Clip(frames=np.zeros((1, 16, 16, 3), np.uint8), fps=1.0)
    late = FilmRequest(workflow="first_last", seconds=3.0, pictures=((picture, 0.0), (picture, 2.9)))
    with pytest.raises(InputError, match=r"a picture at 2\.9 s"):
        film_workflow(parts("image", "first_last"), late)


def test_a_film_that_leads_to_a_last_picture_ends_with_it() -> None:
    """Where the model films more frames than are wanted, some between are left out, not the last ones."""
    usual = parts("first_last")

    def numbered(request: FilmRequest, plan: FilmPlan) -> Clip:
        pixels = np.arange(plan.frames, dtype=np.uint8)[:, None, None, None].repeat(16, 1).repeat(16, 2).repeat(3, 3)
        return Clip(frames=pixels, fps=plan.fps)

    picture = Clip(frames=np.zeros((1, 16, 16, 3), np.uint8), fps=1.0)
    request = FilmRequest(workflow="first_last", seconds=0.75, first=picture, last=picture)
    made = film_workflow(replace(usual, primitive=numbered), request)
    assert made.frames[:, 0, 0, 0].tolist() == [0, 2, 3, 5, 6, 8] and made.duration_s == 0.75


def test_derived_workflows() -> None:
    rule = FrameRule(step=4, offset=1)
    assert derived_workflows(("generate",), rule) == ("generate", "still")
    assert derived_workflows(("generate",), FrameRule(step=33)) == ("generate",)
    assert derived_workflows(("image", "first_last"), rule) == ("image", "first_last", "extend", "infill", "blend")
    assert derived_workflows(("keyframes",), rule) == ("image", "first_last", "keyframes", "extend", "infill", "blend")


def test_matched_of_the_same_picture_changes_nothing() -> None:
    frames = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), np.uint8)
    assert (matched(frames, frames[:1], frames[:1]) == frames).all()
