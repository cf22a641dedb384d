"""Checks of takes against the simulator's own pictures: faults are found, and what is right passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kinema.director.checking.observed import observe_events
from kinema.director.checking.pixel_checks import check_pixels
from kinema.director.checking.results import TakeCheck
from kinema.director.checking.state_checks import BeforeCut, check_cast
from kinema.director.checking.take_report import TakeReport
from kinema.director.checking.tracks import measure_cast
from kinema.director.filming.staging import in_motion, staged_scene
from kinema.director.script import CastIdentity, ExpectedEvent, Shot
from kinema.media import Clip
from kinema.playground.renderer import render_scene
from kinema.scene.scene import COLORS, Scene

BALL, BOX = CastIdentity(kind="ball", color="red"), CastIdentity(kind="box", color="blue")
CAST = {"ball": BALL, "box": BOX}
FRAMES, FPS = 32, 16.0


def scene(ball: tuple[float, float] = (2.0, 2.5), box: float = 8.2, cast: dict[str, CastIdentity] = CAST) -> Scene:
    """Two seconds in which a ball moves from a place at a speed. Stops of pictures are those of the default camera."""
    first = staged_scene(cast, {"ball": (ball[0], 1.85), "box": (box, 1.75)}, background="snow")
    moved = in_motion(first, {0: ball[1]}, FRAMES)
    return replace(moved, x=(moved.x - moved.x[0] + first.x[0]).astype(np.float32))


def film(one: Scene) -> Clip:
    return Clip(frames=render_scene(one, height=64, width=64), fps=FPS, state=one)


def shot(*events: tuple[Any, ...], cast: tuple[str, ...] = ("ball", "box")) -> Shot:
    made = [
        ExpectedEvent.model_validate(dict(zip(("kind", "who", "other", "direction"), event, strict=False)))
        for event in events
    ]
    return Shot(id="s1", prompt="x", seconds=FRAMES / FPS, cast=cast, events=tuple(made))


def failures(one: Shot, clip: Clip, **more: Any) -> dict[str, str]:
    results, last = check_cast(one, measure_cast(clip, CAST), **more)
    results = [*results, *check_pixels(clip, seconds=one.seconds, still_from=last)]
    return {check.name.split(":")[0]: check.saw for check in results if not check.passed}


RIGHT = ("moves", "ball", None, "right")


def test_a_right_film_passes() -> None:
    assert failures(shot(RIGHT, ("rests", "box")), film(scene())) == {}


def test_places_are_measured_in_units() -> None:
    cast = measure_cast(film(scene()), CAST)
    x = cast.place["ball"][:, 0]
    assert abs(x[0] - 2.0) < 0.4 and abs(x[-1] - (2.0 + 2.5 * 31 / 16)) < 0.4 and cast.seen("box").all()


def test_a_swapped_color_is_named_with_its_frames() -> None:
    one = scene()
    color = one.color.copy()
    color[0] = COLORS.index("cyan")
    clip = film(one)
    frames = clip.frames.copy()
    frames[8:] = render_scene(replace(one, color=color), height=64, width=64)[8:]
    assert failures(shot(RIGHT), replace(clip, frames=frames))["colors"].startswith("red ball is cyan in frames ")


def test_someone_missing_is_named() -> None:
    one = scene()
    kind = one.kind.copy()
    kind[1] = -1
    clip = film(one)
    frames = clip.frames.copy()
    frames[10:] = render_scene(replace(one, kind=kind), height=64, width=64)[10:]
    found = failures(shot(RIGHT), replace(clip, frames=frames))
    assert "blue box" in found["cast"] and "cast" in found


def test_a_second_one_is_counted() -> None:
    three = {**CAST, "more": CastIdentity(kind="star", color="yellow")}
    first = staged_scene(three, {"ball": (2, 1.85), "box": (8.2, 1.75), "more": (5, 1.8)}, background="snow")
    found = failures(shot(("rests", "ball")), film(in_motion(first, {}, FRAMES)))
    assert "a yellow star that nobody expects" in found["count"]


def test_the_wrong_direction_is_named() -> None:
    assert "moved 0." in failures(shot(RIGHT), film(scene(ball=(7.0, -2.0), box=1.2)))["event"]


def test_a_jump_is_named_by_its_frames() -> None:
    one = scene()
    x = one.x.copy()
    x[16:, 0] += 3.0
    assert "red ball jumps" in failures(shot(RIGHT), film(replace(one, x=np.minimum(x, 9.0))))["jumps"]


def test_someone_who_vanishes_in_the_open_is_named() -> None:
    one = scene(ball=(3.0, 0.5))
    y = one.y.copy()
    y[10:, 0] = -9.0
    assert "red ball vanishes at x 3." in failures(shot(), film(replace(one, y=y)))["permanence"]


def test_frozen_cut_black_and_flickering_frames_are_named() -> None:
    clip = film(scene())
    frozen = clip.pick(np.minimum(np.arange(FRAMES), 6))
    assert "nothing moves from frame" in failures(shot(RIGHT), frozen)["frozen"]
    other = render_scene(replace(scene(), background="night"), height=64, width=64)
    cut = replace(clip, frames=np.concatenate([clip.frames[:20], other[20:]]))
    assert failures(shot(RIGHT), cut)["cuts"] == "another shot begins in frame 20"
    black = clip.frames.copy()
    black[5:8] = 0
    assert "black frames 5-7" in failures(shot(RIGHT), replace(clip, frames=black))["black"]
    light = clip.frames.astype(np.int16)
    light[::2] -= 12
    assert "brightness jumps" in failures(shot(RIGHT), replace(clip, frames=light.clip(0, 255).astype(np.uint8)))["flicker"]
    assert failures(shot(RIGHT), clip.cut(slice(24)))["length"] == "1.50 s of 2 s"


def test_still_pictures_after_the_last_event_are_no_fault() -> None:
    one = scene(ball=(2.0, 4.0))
    x = one.x.copy()
    x[:, 0] = np.minimum(x[:, 0], 5.0)
    assert failures(shot(RIGHT, ("stops", "ball")), film(replace(one, x=x))) == {}


def test_sharpness_and_color_are_those_of_the_shot_before() -> None:
    clip = film(scene())
    blurred = clip.frames.astype(np.float32).mean((1, 2), keepdims=True) + 0 * clip.frames
    soft = replace(clip, frames=blurred.astype(np.uint8))
    names = {one.name for one in check_pixels(soft, seconds=2.0, before=clip, alike=True) if not one.passed}
    assert "sharpness" in names
    night = Clip(frames=render_scene(replace(scene(), background="night"), height=64, width=64), fps=FPS)
    names = {one.name for one in check_pixels(night, seconds=2.0, before=clip, alike=True) if not one.passed}
    assert "color" in names
    assert all(one.passed for one in check_pixels(clip, seconds=2.0, before=clip, alike=True))


def test_events_are_found_in_order_and_with_frames() -> None:
    cast = measure_cast(film(scene(ball=(2.0, 4.0), box=5.6)), CAST)
    hits = observe_events(cast, shot(("hits", "ball", "box")).events)[0]
    assert hits.frame is not None and 4 <= hits.frame <= 16 and "touch" in hits.saw
    never = observe_events(measure_cast(film(scene(ball=(2.0, 0.5))), CAST), shot(("hits", "ball", "box")).events)[0]
    assert never.frame is None and "never nearer than" in never.saw


def test_entering_and_leaving_need_the_edge() -> None:
    enters = shot(("enters", "ball", None, "right"))
    assert failures(enters, film(scene(ball=(-1.2, 3.0)))) == {}
    assert "is there from frame" in failures(enters, film(scene(ball=(4.0, 0.2))))["event"]
    leaves = shot(("leaves", "ball"))
    assert failures(leaves, film(scene(ball=(7.0, 4.0), box=3.0))) == {}
    assert "is still seen" in failures(leaves, film(scene()))["event"]


def test_a_cut_keeps_places_and_directions() -> None:
    first = scene(ball=(2.0, 2.5))
    end = measure_cast(film(first).cut(slice(16, None)), CAST)
    before = BeforeCut(cast=end, shot=shot(RIGHT))
    goes_on = film(scene(ball=(float(first.x[-1, 0]), 1.0), box=8.2))
    assert "where at the cut" not in failures(shot(), goes_on, before=before)
    elsewhere = failures(shot(), film(scene(ball=(2.0, 2.5))), before=before)
    assert "red ball stands" in elsewhere["where at the cut"]
    back = film(scene(ball=(float(first.x[-1, 0]), -2.5)))
    assert "right before the cut and left after it" in failures(shot(), back, before=before)["direction across the cut"]
    turned = shot(("moves", "ball", None, "left"))
    assert "direction across the cut" not in failures(turned, back, before=before)


def test_a_report_is_kept_as_json() -> None:
    report = TakeReport(
        results=(
            TakeCheck(name="a", passed=False, saw="x", frames=(3,), weight=2.0),
            TakeCheck(name="b", passed=True, saw="y"),
        )
    )
    assert report.score == pytest.approx(1 / 3) and [one.name for one in report.failures] == ["a"]
    assert TakeReport.from_dict(report.to_dict()) == report
