"""Stories and screenplays become shots without any model."""

from __future__ import annotations

import pytest
from tests.director.conftest import PlainEngine

from kinema.director.planning.grammar import NamedThings, event_words, events_of
from kinema.director.planning.planner import plan_story
from kinema.director.planning.story import read_story
from kinema.director.script import ProductionSettings
from kinema.engines.native import native_capabilities
from kinema.errors import InputError
from kinema.models.hub import read_config, weights_folder


def native():
    return native_capabilities(read_config(weights_folder() / "kinema-tiny"), "kinema-tiny")


def events(sentence: str, things: NamedThings | None = None) -> list[str]:
    return [str(event) for event in events_of(sentence, things or NamedThings())[0]]


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("A red ball rolls right and hits a blue box.", ["red-ball moves right", "red-ball hits blue-box"]),
        ("A green robot comes in from the right.", ["green-robot enters left"]),
        (
            "A ball rolls behind a purple screen, then it comes out.",
            ["red-ball passes behind purple-screen", "red-ball comes out"],
        ),
        ("A yellow car drives left and leaves the view.", ["yellow-car moves left", "yellow-car leaves"]),
        ("A pink star falls and bounces.", ["pink-star falls", "pink-star bounces"]),
        ("A robot pushes a blue box to the right.", ["green-robot pushes blue-box right"]),
        ("A red ball stops at a blue box.", ["red-ball stops blue-box"]),
        ("There is a blue box.", []),
    ],
)
def test_sentences_are_events(sentence: str, wanted: list[str]) -> None:
    assert events(sentence) == wanted


def test_pronouns_and_names_mean_what_was_named_before() -> None:
    things = NamedThings()
    events("A red ball rolls right.", things)
    assert events("It hits a blue box.", things) == ["red-ball hits blue-box"]
    assert events("A green robot comes in.", things) == ["green-robot enters"]
    assert events("The ball rolls back.", things) == ["red-ball moves left"]
    assert events_of("A dragon eats it.", things)[2] == ["A dragon eats it."]


def test_events_are_told_in_the_words_of_the_captions() -> None:
    things = NamedThings()
    found = events_of("A red ball rolls right and bumps into a blue box.", things)[0]
    looks = {id: thing.look for id, thing in things.things.items()}
    assert event_words(found, looks) == "a red ball rolls right and hits a blue box"


def test_a_story_is_planned_for_a_model_with_a_state() -> None:
    story = (
        "A red ball rolls across the lab. It stops at a blue box. A green robot comes in.\n\nAt night, a pink star falls."
    )
    planned = plan_story(read_story(story), native())
    shots = planned.script.shots
    assert [shot.cast for shot in shots] == [
        ("red-ball", "blue-box"),
        ("red-ball", "blue-box", "green-robot"),
        ("pink-star",),
    ]
    assert [shot.goes_on_from for shot in shots] == [None, "s1", None]
    assert [str(event) for event in shots[0].events] == ["red-ball moves", "red-ball stops blue-box"]
    assert shots[2].prompt == "at night, a pink star falls"
    assert [place.background for place in planned.script.places] == ["lab", "night"]
    assert not planned.notes and planned.estimate.film_s == 12.0
    for takes, most in ((None, 18), (40, 18), (5, 5), (1, 3)):
        settings = ProductionSettings.model_validate({"budget": {"takes": takes}})
        assert plan_story(read_story(story), native(), settings).estimate.most_takes == most, "each shot gets one take"


def test_what_cannot_be_filmed_is_noted_before() -> None:
    assert not plan_story(read_story("In the snow, a red ball rolls right."), native()).notes
    notes = " ".join(plan_story(read_story("A small red ball rolls. A dragon eats it."), native()).notes)
    assert "does not know 'small'" in notes and "'A dragon eats it'" in notes
    crowd = "A red ball, a blue ball, a green ball, a yellow ball and a pink ball stand still."
    with pytest.raises(InputError, match="holds up to 4 in a scene"):
        plan_story(read_story(crowd), native())


def test_an_open_model_films_a_sentence_a_shot(plain: PlainEngine) -> None:
    planned = plan_story(read_story('An old man opens a door. He smiles. "Come in," he says.'), plain.capabilities)
    first, second = planned.script.shots
    assert second.prompt == "The old man smiles" and second.goes_on_from == first.id
    assert second.dialogue[0].text == "Come in" and first.seconds == 2.0
    assert planned.estimate.seconds == pytest.approx(2.0, rel=0.02)


FOUNTAIN = """Title: The Box
Author: Nobody

INT. LAB - NIGHT

A red ball rolls right. [[a note]]

ROBOT
(loudly)
Stop that ball!

DISSOLVE TO:

EXT. DESERT - DAY

/* cut this */
A pink star falls.
"""


def test_fountain_is_read() -> None:
    story = read_story(FOUNTAIN)
    assert story.title == "The Box" and [scene.heading for scene in story.scenes] == [
        "INT. LAB - NIGHT",
        "EXT. DESERT - DAY",
    ]
    (first,), (second,) = (scene.beats for scene in story.scenes)
    assert first.text == "A red ball rolls right" and first.dialogue[0].who == "Robot"
    assert first.dialogue[0].text == "Stop that ball!" and second.transition == "dissolve"


def test_a_story_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no sentence"):
        read_story(" \n\n ...")
