"""Questions and changes: what is understood, what it says and does, and what is said when it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kinema.errors import InputError
from kinema.models.hub import Model
from kinema.scene.scene import Scene
from kinema.simulation.edits import Change, parse
from kinema.simulation.questions import answer, is_yes_or_no
from kinema.simulation.state import State
from kinema.simulation.world import World

MakeScene = Callable[..., Scene]


@pytest.fixture
def world(model: Model, scene: MakeScene) -> World:
    return World(model, scene(), seed=3)


@pytest.mark.parametrize(
    ("question", "value", "words"),
    [
        ("How many things are there?", 3, "There are 3: the red ball, the blue box and the green robot."),
        ("how many balls are there", 1, "There is 1: the red ball."),
        ("what color is the box?", "blue", "The box is blue."),
        ("is the robot hidden?", False, "No, 100% of the green robot is seen."),
        ("is the robot visible?", True, "Yes, 100% of the green robot is seen."),
        ("how large is the red ball", pytest.approx(0.85), "medium"),
        ("did the red ball touch the blue box?", False, "did not touch"),
        ("when did the ball hit the box", None, "did not touch"),
        ("Is the red ball left of the blue box?", True, "Yes, the red ball is left of the blue box."),
        ("is the ball to the right of the box", False, "No, the red ball is not right of the blue box."),
        ("is the red ball on the left", True, "Yes, the red ball is on the left."),
        ("is the ball out of the picture?", False, "not out of the picture"),
        ("is the red ball moving?", True, "Yes, the red ball is moving."),
        ("is the red ball at rest?", False, "No, the red ball is not at rest."),
        ("is the red ball behind the blue box?", False, "No, the red ball is not behind the blue box."),
        ("is there a green robot?", True, "Yes, there is the green robot."),
        ("is there a pink star?", False, "No."),
        ("what is there?", ["red ball", "blue box", "green robot"], "lab, seen from the side"),
    ],
)
def test_questions(world: World, question: str, value: object, words: str) -> None:
    reply = world.ask(question)
    assert reply.value == value and words in reply.sentence


def test_what_is_behind_and_what_is_above(scene: MakeScene) -> None:
    """The ball is hidden at the box, and the robot is high up."""
    film = scene(2)
    x, y, visible = film.x.copy(), film.y.copy(), film.visible.copy()
    x[:, 0], visible[:, 0], y[:, 2] = x[:, 1], 0.0, 8.0
    states = [State.of(replace(film, x=x, y=y, visible=visible).frames(slice(0, 1)), 0.0)]
    asked = (
        "is the ball behind the box",
        "is the robot behind the box",
        "is the robot above the box",
        "is the robot below the box",
    )
    assert [answer(question, states, list).value for question in asked] == [True, False, True, False]
    with pytest.raises(InputError, match="are one thing"):
        answer("is the ball behind the red ball", states, list)


def test_which_questions_are_answered_by_yes_or_no() -> None:
    """By their form; what they name may be there or not."""
    assert all(map(is_yes_or_no, ("Is the ball hidden?", "did the box touch the star", "is there a red flag")))
    assert not any(map(is_yes_or_no, ("where is the ball", "is the ball happy", "did the ball", "how fast is the ball", "")))


def test_where_how_fast_and_what_next(world: World) -> None:
    where = world.ask("where is the red ball?")
    assert where.value["x"] == pytest.approx(2.375, abs=1e-4) and "on the left" in str(where)
    assert world.ask("how fast is the red ball moving?").value == pytest.approx(2.0, abs=1e-4)
    assert "right at 2.0" in str(world.ask("how fast is the red ball"))
    before = world.past_frames
    assert "Within 1.5 s" in str(world.ask("what will happen next?"))
    assert world.past_frames == before


def test_what_will_happen_is_told_in_seconds_from_now(scene: MakeScene) -> None:
    """The ball rolls at 2 units a second toward the box, from about 1.25 units before it touches; the world is 10 s old."""
    film = replace(scene(16), y=scene(16).y.clip(max=1.2))
    states = [State.of(film.frames(slice(t, t + 1)), 10.0 + t / 16) for t in range(16)]
    reply = answer("what will happen next?", states[:1], lambda: states[1:])
    touch = reply.value[0]
    assert (touch["event"], touch["a"], touch["b"]) == ("touch", "red ball", "blue box")
    assert touch["in_s"] == pytest.approx(0.625, abs=0.13)
    assert f"touches the blue box in {touch['in_s']:.1f} s" in reply.sentence and "Within 0.9 s" in reply.sentence


def test_when_they_touched_is_the_first_time_of_several(scene: MakeScene) -> None:
    """The ball lies at the box in the frames 3 to 5 and again from 9 on."""
    film = scene(12)
    x, y = film.x.copy(), film.y.copy()
    x[:, 0], y[:, 0] = 1.0, y[:, 1]
    x[[3, 4, 5, 9, 10, 11], 0] = x[[3, 4, 5, 9, 10, 11], 1] - 1.0
    film = replace(film, x=x, y=y)
    states = [State.of(film.frames(slice(t, t + 1)), t / 16) for t in range(12)]
    reply = answer("when did the red ball touch the blue box?", states, list)
    assert reply.value == pytest.approx(3 / 16) and "first touched the blue box at 0.19 s" in reply.sentence
    assert answer("when did the ball hit the box", states[:3], list).value is None


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ("move the box left", "move the blue box left by 2"),
        ("Move the box to the right!", "move the blue box to (8.0, 1.2)"),
        ("move the ball to 3, 5", "move the red ball to (3.0, 5.0)"),
        ("move the ball up by 1.5", "move the red ball up by 1.5"),
        ("remove the robot", "remove the green robot"),
        ("add a large yellow star on the right", "add a large yellow star at x = 8"),
        ("add a yellow ball at the bottom", "add a medium yellow ball at x = 5"),
        ("make the ball purple", "make the red ball purple"),
        ("make the box bigger", "make the blue box bigger"),
        ("stop the ball", "stop the red ball"),
        ("push the box right hard", "push the blue box right hard"),
        ("change the background to night", "change the background to night"),
    ],
)
def test_changes_are_understood(world: World, text: str, understood: str) -> None:
    assert world.edit(text) == understood
    world.step()


LONG = "q" * 100_000


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        f"where is {LONG}",
        f"how many {LONG}",
        f"did the ball touch the red ball {LONG}",
        f"how fast is the red blue {LONG}",
    ],
)
def test_long_questions_are_not_repeated_whole(world: World, text: str) -> None:
    with pytest.raises(InputError) as error:
        world.ask(text)
    assert "q" * 60 in str(error.value) or "are one thing" in str(error.value) or "names two" in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    "text", [LONG, f"remove {LONG}", f"add a red {LONG}", f"move the ball up by {'9' * 100_000}", f"add a {LONG}"]
)
def test_long_changes_are_not_repeated_whole(world: World, text: str) -> None:
    with pytest.raises(InputError) as error:
        world.edit(text)
    assert len(str(error.value)) < 800
    world._advance(2)
    with pytest.raises(InputError) as error:
        world.what_if(f"{text} had not", since=1)
    assert len(str(error.value)) < 900


def test_changes_do_what_they_say_and_nothing_else(world: World) -> None:
    def things() -> dict[str, object]:
        return {e.name: e for e in world.state.entities}

    first = things()
    world.edit("move the box left")
    assert world.state.entities[1].x == pytest.approx(first["blue box"].x - 2.0, abs=1e-4)  # type: ignore[attr-defined]
    assert world.state.entities[0].x == pytest.approx(first["red ball"].x, abs=1e-5)  # type: ignore[attr-defined]
    world.edit("add a yellow star on the right")
    assert list(things()) == ["red ball", "blue box", "yellow star", "green robot"], "slots are in canonical order"
    world.edit("make the star red")
    world.edit("stop the ball")
    assert things()["red ball"].speed == 0.0  # type: ignore[attr-defined]
    world.edit("push the ball left gently")
    assert things()["red ball"].vx == pytest.approx(-1.5, abs=1e-4)  # type: ignore[attr-defined]
    world.edit("change the background to night")
    assert world.state.background == "night"


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        ("make the ball bigger", 1.3),
        ("make the ball smaller", 1 / 1.3),
        ("make the ball 1.5 times larger", 1.5),
        ("make the ball 2 times smaller", 0.5),
    ],
)
def test_sizes_change_by_what_is_said(scene: MakeScene, text: str, factor: float) -> None:
    before = scene(3)
    after = parse(text, State.of(before, 0.0)).apply(before)
    np.testing.assert_allclose(after.size, before.size * [factor, 1, 1, 1], rtol=1e-6)
    np.testing.assert_array_equal(after.x, before.x)


def test_what_is_moved_is_in_sight_in_every_frame(scene: MakeScene) -> None:
    before = replace(scene(3), visible=0.5 * scene(3).visible)
    after = parse("move the ball up by 3", State.of(before, 0.0)).apply(before)
    np.testing.assert_allclose(after.y - before.y, [[3, 0, 0, 0]] * 3)
    np.testing.assert_allclose(after.visible, [[1.0, 0.5, 0.5, 0.0]] * 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("move the car left", "there is no car here; there is the red ball"),
        ("make it dance", "not understood; there is the red ball"),
        ("add a red ball", "already"),
        ("add a ball", "expected a color"),
        ("move the ball left by 1000000", "10 units wide"),
        ("move the ball left by 1e308", "10 units wide"),
        ("make the ball 1e308 times larger", r"1e308 times larger: the red ball can be up to \d\.\d times larger"),
        ("make the ball 1e999 times smaller", r"1e999 times smaller: the red ball can be up to \d\.\d times smaller"),
        ("move the ball to 500, 5", "outside the room"),
        ("add a blue star next to the box", "'next' in"),
        ("add a yellow star in a corner", "'in' in"),
    ],
)
def test_what_is_not_understood_is_said_and_changes_nothing(world: World, text: str, said: str) -> None:
    before = world.state
    with pytest.raises(InputError, match=said):
        world.edit(text)
    assert world.state.entities == before.entities
    with pytest.raises(InputError, match="ask like this"):
        world.ask("why?")
    with pytest.raises(InputError, match="there is no"):
        world.ask("where is the pink star?")
    with pytest.raises(InputError, match="names no kind"):
        world.ask("how many dogs are there?")
    world.edit("add a blue ball")
    with pytest.raises(InputError, match="a red ball already"):
        world.edit("make the blue ball red")


def test_what_is_no_text_is_said_so(world: World) -> None:
    with pytest.raises(InputError, match="the question None is no text"):
        world.ask(None)  # type: ignore[arg-type]
    world.step()
    for call in (world.edit, lambda cause: world.what_if(cause, since=1)):
        with pytest.raises(InputError, match="NoneType 'None': expected text"):
            call(None)  # type: ignore[arg-type]


def test_another_parser_takes_the_place_of_the_grammar(model: Model, scene: MakeScene) -> None:
    def robotic(text: str, now: State) -> Change:
        return parse({"weg damit": "remove the ball"}[text], now)

    world = World(model, scene(), parser=robotic)
    assert world.edit("weg damit") == "remove the red ball"
