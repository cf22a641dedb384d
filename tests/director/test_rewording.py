"""Other words of a shot bring their own events and cast."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.director.conftest import PlainEngine

from kinema.director.planning.planner import plan_story
from kinema.director.planning.rewording import reworded
from kinema.director.planning.story import read_story
from kinema.director.production import Production
from kinema.director.script import Script, script_from
from kinema.engines.native import native_capabilities
from kinema.models.hub import read_config, weights_folder


@pytest.fixture(scope="module")
def script() -> Script:
    capabilities = native_capabilities(read_config(weights_folder() / "kinema-tiny"), "kinema-tiny")
    story = "A red ball rolls right. It hits a blue box.\n\nA green robot walks left."
    return plan_story(read_story(story), capabilities).script


def test_the_events_are_those_of_the_new_words(script: Script) -> None:
    shot = reworded(script, "s1", "a red ball rolls left")[0].shots[0]
    assert [str(event) for event in shot.events] == ["red-ball moves left"]
    assert shot.prompt == "a red ball rolls left" and set(shot.cast) == {"red-ball", "blue-box"}, "s2 goes on with the box"


def test_the_cast_is_that_of_the_new_words(script: Script) -> None:
    again, notes = reworded(script, "s3", "a yellow car drives right. It stops.")
    assert again.shots[2].cast == ("yellow-car",) and again.member("yellow-car").look == "a yellow car" and not notes
    assert [str(event) for event in again.shots[2].events] == ["yellow-car moves right", "yellow-car stops"]
    assert again.shots[:2] == script.shots[:2]


def test_it_is_who_acted_before(script: Script) -> None:
    assert [str(event) for event in reworded(script, "s1", "it falls")[0].shots[0].events] == ["red-ball falls"]


def test_words_that_are_not_understood_have_no_events_and_a_note(script: Script, tmp_path: Path) -> None:
    production = Production.create(tmp_path / "p", script, "kinema-tiny")
    production.reword("s1", "a storm of light")
    assert Production.open(tmp_path / "p").script.shots[0].events == ()
    assert any("its events are no longer checked" in line.get("why", "") for line in production.lines())


def test_a_cast_without_identities_stays(plain: PlainEngine) -> None:
    cast = [{"id": "mia", "name": "Mia", "look": "a woman"}]
    script = script_from({"cast": cast, "shots": [{"id": "s1", "prompt": "she walks", "cast": ["mia"]}]})
    again, notes = reworded(script, "s1", "a red ball rolls left")
    assert again.shots[0].cast == ("mia",) and not again.shots[0].events and not notes
