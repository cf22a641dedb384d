"""Stories and scripts that cannot be filmed end in one line; what does not happen is no event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.director.conftest import PlainEngine

from kinema.director.delivery.edit_list import EditedShot, srt_of
from kinema.director.planning.grammar import NamedThings, events_of
from kinema.director.planning.planner import plan_story, with_notes
from kinema.director.planning.story import read_story
from kinema.director.script import read_script, script_from
from kinema.engines.native import native_capabilities
from kinema.errors import InputError
from kinema.models.hub import read_config, weights_folder

SHOT = {"id": "s1", "prompt": "a red ball rolls", "cast": ["ball"], "place": "here"}
SCRIPT: dict[str, Any] = {
    "cast": [{"id": "ball", "name": "ball", "look": "a red ball", "identity": {"kind": "ball", "color": "red"}}],
    "places": [{"id": "here", "name": "here", "background": "lab"}],
    "shots": [SHOT],
}


def native():
    return native_capabilities(read_config(weights_folder() / "kinema-tiny"), "kinema-tiny")


@pytest.mark.parametrize("text", ["Nothing happens.", "the the the", "-5", "🎬", "No ball moves."])
def test_a_story_that_is_not_understood_says_so(text: str) -> None:
    with pytest.raises(InputError, match=r"nothing that kinema-tiny films \(.+\); it films") as error:
        plan_story(read_story(text), native())
    assert "\n" not in str(error.value)


def test_a_story_of_more_shots_than_a_script_holds_is_refused(plain: PlainEngine) -> None:
    story = read_story("A red ball rolls right. A blue box falls. " * 101)
    for capabilities in (native(), plain.capabilities):
        with pytest.raises(InputError, match="202 shots: expected up to 200"):
            plan_story(story, capabilities)


@pytest.mark.parametrize(
    "text", ["A man walks " + "very " * 500 + "slowly.", 'A man says "' + "a" * 600 + '" loudly to all.']
)
def test_a_sentence_that_is_too_long_is_refused(text: str, plain: PlainEngine) -> None:
    with pytest.raises(InputError, match=r"expected at most \d+ characters"):
        plan_story(read_story(text), plain.capabilities)


@pytest.mark.parametrize(
    ("sentence", "wanted", "named"),
    [
        ("A red ball never moves.", [], ["red-ball"]),
        ("A red ball does not fall.", [], ["red-ball"]),
        ("A red ball doesn't hit a blue box.", [], ["red-ball", "blue-box"]),
        ("No ball rolls and falls.", [], []),
        ("There is no blue box.", [], []),
        ("A red ball rolls right without hitting a blue box.", ["red-ball moves right"], ["red-ball"]),
        ("A red ball does not fall and rolls left.", ["red-ball moves left"], ["red-ball"]),
    ],
)
def test_what_does_not_happen_is_no_event(sentence: str, wanted: list[str], named: list[str]) -> None:
    memory = NamedThings()
    events, involved, _ = events_of(sentence, memory)
    assert [str(event) for event in events] == wanted and involved == named
    assert any("does not happen" in note for note in memory.notes)


def test_to_not_move_is_to_rest() -> None:
    memory = NamedThings()
    assert [str(one) for one in events_of("A red ball does not move.", memory)[0]] == ["red-ball rests"] and not memory.notes


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("cast", 0, "identity", "color"), "mauve", 'shot 1 ("s1"), color of "ball": \'mauve\' came'),
        (("cast", 0, "identity", "kind"), "dog", 'shot 1 ("s1"), kind of "ball": \'dog\' came'),
        (("cast", 0, "identity", "material"), "silk", 'shot 1 ("s1"), material of "ball": \'silk\' came'),
        (("places", 0, "background"), "moon", "shot 1 (\"s1\"), background: 'moon' came"),
    ],
)
def test_words_that_the_model_does_not_have_are_found_when_planning(path: tuple[Any, ...], value: str, says: str) -> None:
    data = json.loads(json.dumps(SCRIPT))
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(InputError) as error:
        with_notes(script_from(data), native())
    assert says in str(error.value)


@pytest.mark.parametrize("text", ['{"version": ' + "9" * 5000 + "}", "[" * 100_000, '{"shots": NaN}', '{"a": "\\ud800"}'])
def test_json_that_cannot_be_read_is_one_line(text: str) -> None:
    with pytest.raises(InputError) as error:
        read_script(text)
    str(error.value).encode()


def test_speech_lies_in_its_shot() -> None:
    late = {**SCRIPT, "shots": [{**SHOT, "seconds": 2, "dialogue": [{"text": "Hello", "start_s": 2}]}]}
    with pytest.raises(InputError, match="line 1, start_s: 2 came, expected less than the shot's 2 s"):
        script_from(late)


def test_subtitles_have_no_empty_lines() -> None:
    script = script_from({**SCRIPT, "shots": [{**SHOT, "dialogue": [{"who": "A\n\nB", "text": "One\n\n \nTwo"}]}]})
    edit = [EditedShot(id="s1", take=1, path=Path("1.mp4"), start=0, frames=32)]
    assert srt_of(edit, script, 8.0).split("\n", 2)[2] == "A B: One\nTwo\n"
