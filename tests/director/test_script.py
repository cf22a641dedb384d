"""A script is read strictly, with one clear clause for each error."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kinema.director.script import Script, Shot, read_script, script_from, script_schema
from kinema.errors import InputError

GOOD: dict[str, Any] = {
    "version": 1,
    "cast": [
        {"id": "red-ball", "name": "ball", "look": "a red ball", "identity": {"kind": "ball", "color": "red"}},
        {"id": "blue-box", "name": "box", "look": "a blue box"},
    ],
    "places": [{"id": "lab", "name": "lab", "background": "lab"}],
    "shots": [
        {"id": "s1", "prompt": "a red ball rolls", "cast": ["red-ball", "blue-box"], "place": "lab"},
        {
            "id": "s2", "prompt": "it hits a box", "cast": ["red-ball", "blue-box"], "goes_on_from": "s1", "framing": "close",
            "events": [{"kind": "hits", "who": "red-ball", "other": "blue-box"}],
        },
    ],
}  # fmt: skip


def test_a_script_reads_what_it_writes() -> None:
    script = read_script(json.dumps(GOOD))
    assert script.shots[1].events[0].other == "blue-box" and script.seconds == 8.0
    assert read_script(script.to_json()) == script


def changed(path: list[Any], value: Any) -> str:
    data = json.loads(json.dumps(GOOD))
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (
            ["shots", 1, "framing"], "closeup",
            'shot 2 ("s2"), framing: "closeup" came, expected one of wide, medium, close (perhaps close)',
        ),
        (["shots", 0, "lenght"], 3, 'shot 1 ("s1"), lenght: there is no such field'),
        (["shots", 0, "seconds"], -1, 'shot 1 ("s1"), seconds: -1 came, expected greater than 0'),
        (["shots", 1, "goes_on_from"], "s9", 'shot 2 ("s2"), goes_on_from: "s9" came, expected an earlier shot: s1'),
        (["shots", 0, "cast"], ["dog"], 'shot 1 ("s1"), cast: "dog" came, expected blue-box, red-ball'),
        (["shots", 0, "place"], "moon", 'shot 1 ("s1"), place: "moon" came, expected lab'),
        (["shots", 1, "id"], "s1", 'two shots have the id "s1"'),
        (["shots", 1, "events"], [{"kind": "hits", "who": "red-ball"}], 'event 1: "hits" came without "other"'),
        (["shots", 1, "events", 0, "kind"], "explodes", "event 1, kind"),
        (["shots", 1, "prompt"], 7, 'shot 2 ("s2"), prompt: 7 came'),
        (["production"], {"aspect": "wide"}, 'aspect: "wide" came, expected width to height, such as "16:9"'),
        (["version"], 2, "version: 2 came"),
        (["shots"], [], "shots: [] came"),
    ],
)  # fmt: skip
def test_an_error_says_where_what_came_and_what_was_expected(path: list[Any], value: Any, says: str) -> None:
    with pytest.raises(InputError) as raised:
        read_script(changed(path, value))
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_text_that_is_no_json_is_named_by_its_line() -> None:
    with pytest.raises(InputError, match=r"line 2, column"):
        read_script('{"version": 1,\n "shots": [},]}')
    with pytest.raises(InputError, match="expected an object"):
        read_script("[]")


def test_the_published_schema_is_that_of_the_model() -> None:
    page = Path(__file__).parents[2] / "docs" / "script.schema.json"
    assert json.loads(page.read_text()) == script_schema(), "kinema direct --schema > docs/script.schema.json"
    assert set(script_schema()["properties"]) == set(Script.model_fields)


def test_the_script_in_the_guide_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "director.md").read_text()
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    script = read_script(text)
    fields = {
        name for names in re.findall(r"^\| (`[a-z_`, ]+) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", names)
    }
    assert script.shots[1].dialogue and fields <= set(Shot.model_fields) and {"events", "goes_on_from", "camera"} <= fields


def test_an_error_in_a_shot_is_said_once() -> None:
    """Not also that the list of shots is too short without it."""
    cases: list[tuple[dict[str, Any], str]] = [
        ({"framing": "closeup"}, 'framing: "closeup" came, expected one of'), ({"cues": {}}, "cues: {} came, expected a list"),
        ({"cues": ["x"]}, 'cue 1: "x" came, expected an object'), ({"actor": ""}, "actor"),
        ({"cues": [{"at_s": True, "do": "stop the ball"}]}, "at_s: true came"),
    ]  # fmt: skip
    for more, message in cases:
        with pytest.raises(InputError) as refused:
            script_from({"shots": [{"id": "a", "prompt": "a ball", **more}]})
        assert message in str(refused.value) and ";" not in str(refused.value), str(refused.value)
