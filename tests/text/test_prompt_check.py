"""Laws of prompts: what will not be filmed as it is told has one plain line, and what can be filmed has none."""

from __future__ import annotations

import logging

import pytest
import torch

from kinema.canvas.canvas import Canvas
from kinema.errors import InputError, VocabularyError
from kinema.inference.canvas_io import blank_canvas, encode_prompt
from kinema.models.hub import Model
from kinema.playground import full, simulate, tiny
from kinema.scene.scene import KINDS
from kinema.text.prompt_check import (
    check_limits,
    check_rewrite,
    check_words,
    late_things,
    limits_of,
    rewrite,
    things_in,
    with_cast,
)
from kinema.text.storyboard import parse_storyboard


def lines(prompt: str, slots: int = 4) -> list[str]:
    return limits_of(parse_storyboard(prompt), slots)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("two red balls roll right", "no two things of one kind and color"),
        ("three stars", "no two things of one kind and color"),
        ("red boxes slide", "no two things of one kind and color"),
        ("a red ball hits another red ball", "no two things of one kind and color"),
        ("a red ball hits a red ball", "no two things of one kind and color"),
        ("ten balls", "at most 4 things"),
        ("a red ball, a blue box, a green star, a pink car and a cyan robot", "5 things are named; at most 4"),
        ("a ball on top of a box", "do not stand on each other"),
        ("two stacked boxes", "do not stand on each other"),
        ("a red ball above a blue box", "only filmed in the top view"),
        ("a field without a ball", "appears, even if it is said not to"),
        ("no robot", "appears, even if it is said not to"),
        ("0-2: a red ball rolls | 2-4: a blue box slides", "a blue box: a later shot cannot bring in a new thing"),
    ],
)
def test_what_cannot_be_filmed_is_named(prompt: str, said: str) -> None:
    assert any(said in line for line in lines(prompt)), lines(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "", "a large red ball rolls right and hits a blue box", "a robot does not move", "nothing moves",
        "a red ball hits another box",
        "a red ball rolls and the red ball stops", "0-2: a red ball rolls right | 2-4: a red ball stops", "seen from above",
        "0-2: a red ball rolls | 2-4: the ball stops", "a red ball above a blue box seen from above",
    ],
)  # fmt: skip
def test_what_can_be_filmed_is_not_warned_of(prompt: str) -> None:
    assert lines(prompt) == []


def test_captions_of_the_world_are_not_warned_of() -> None:
    for distribution in (tiny(), full()):
        for seed in range(150):
            captions = simulate(distribution, seed, fps=16.0, num_frames=32).captions
            for text in (captions.short, captions.detailed):
                found = [line for line in lines(text, 8) if "top view" not in line]
                assert not found and rewrite(text) == (text, []), (text, found)


def test_colors_that_are_told_apart_are_filmed_apart() -> None:
    for told in ("two balls, one red and one blue, roll", "two balls: red and blue roll"):
        filmed, notes = rewrite(told)
        assert filmed == "a red ball and a blue ball roll" and len(notes) == 1
    for left in ("two red balls roll", "two balls roll", "three balls, one red and one blue"):
        assert rewrite(left)[0] == left, "nothing is invented"


def test_things_are_found_with_count_and_color() -> None:
    found = [(t.kind, t.color, t.count) for t in things_in("two large red circles and a square with 3 pink flags")]
    assert found == [("ball", "red", 2), ("box", None, 1), ("flag", "pink", 3)]


def test_changes_are_said_and_strict_refuses(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert check_rewrite("a RDE bal", strict=False) == "a red ball"
    assert len(caplog.records) == 1 and "'rde' is read as 'red'; 'bal' is read as 'ball'" in caplog.text
    with pytest.raises(VocabularyError, match="'rde' is read as 'red'"):
        check_rewrite("a rde bal", strict=True)
    with pytest.raises(VocabularyError, match="things do not stand on each other"):
        check_limits(parse_storyboard("a ball on top of a box"), strict=True, model="m", slots=4)


def test_only_kinds_that_the_model_films_are_named() -> None:
    with pytest.raises(VocabularyError, match="m does not know 'dragon'; it films balls, boxes, triangles, stars, cars,"):
        check_words("a dragon", strict=True, model="m")
    lacks = [*(kind for kind in KINDS if kind not in ("ball", "flag")), "thing"]
    with pytest.raises(VocabularyError, match=r"^m does not know 'box'; it films balls, flags$"):
        check_words("a red box", strict=True, model="m", lacks=lacks)


LONG = "q" * 100_000


@pytest.mark.parametrize(
    "prompt",
    [
        f"a {LONG} ball",
        f"a ball without {LONG}",
        f"{'9' * 100_000} balls",
        f"two{' ' * 100_000}balls",
        f"2-1: a {LONG}",
        f"3-2: {LONG}",
        f"1{'0' * 100_000}-:",
        " ".join(f"zq{i}v" for i in range(1000)),
        "rde bla yelow squre trianlge bleu geren rihgt lfet",
    ],
)
def test_long_words_are_not_repeated_whole(prompt: str, caplog: pytest.LogCaptureFixture) -> None:
    messages = []
    try:
        spans = parse_storyboard(check_rewrite(prompt, strict=False))
        check_words(spans[0].text, strict=False, model="m")
        check_limits(spans, strict=False, model="m", slots=4)
    except InputError as error:
        messages.append(str(error))
    messages += [record.getMessage() for record in caplog.records]
    assert messages and max(map(len, messages)) < 600


def test_the_whole_cast_is_told_from_the_start(model: Model) -> None:
    spans = parse_storyboard("0-1: a red ball rolls | 1-2: a blue box slides and the ball stops")
    assert late_things(spans) == ["a blue box"] and with_cast(spans)[-1].text == "a red ball and a blue box"
    assert with_cast(spans[:1]) == spans[:1]

    def told(prompt: str) -> Canvas:
        canvas = blank_canvas(model, count=1, frames=16, fps=8.0, height=64, width=64)
        return encode_prompt(model, canvas, prompt, False)

    text = told("0-1: a red ball rolls | 1-2: a blue box slides").text
    plain = told("0-1: a red ball rolls | 1-2: the red ball stops").text
    assert text is not None and plain is not None
    assert (text.reads.all(1).any(), plain.reads.all(1).any()) == (torch.tensor(True), torch.tensor(False))


def test_what_is_filmed_is_what_was_meant(model: Model) -> None:
    canvas = blank_canvas(model, count=1, frames=4, fps=8.0, height=64, width=64)
    wrong, right = (encode_prompt(model, canvas, prompt, False).text for prompt in ("a rde bal", "a red ball"))
    assert wrong is not None and right is not None and torch.equal(wrong.states, right.states)


def test_a_part_that_begins_after_the_film_is_named() -> None:
    spans = parse_storyboard("0-1: a red ball rolls right | 1-2: the ball falls | 5-: the ball stops")
    (line,) = limits_of(spans, 4, duration_s=2.0)
    assert line == "'the ball stops' begins at 5 s, but the film ends at 2 s; ask for more seconds, or move the part"
    assert limits_of(spans, 4, duration_s=5.5) == limits_of(spans, 4) == []


def test_a_canvas_knows_when_its_film_ends(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    canvas = blank_canvas(model, count=1, frames=24, fps=24.0, height=64, width=64)
    encode_prompt(model, canvas, "0-0.9: a red ball rolls right | 0.9-: the ball stops", True)
    with pytest.raises(VocabularyError, match="'the ball stops' begins at 1 s, but the film ends at 1 s"):
        encode_prompt(model, canvas, "0-1: a red ball rolls right | 1-: the ball stops", True)
    encode_prompt(model, canvas, "0-1: a red ball rolls right | 1-: the ball stops", False)
    assert "but the film ends at 1 s" in caplog.text
