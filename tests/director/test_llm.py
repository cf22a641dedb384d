"""A language model's answers are repaired, within a cap: against an endpoint over HTTP that does what endpoints do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.director.conftest import PlainEngine
from tests.director.test_planning import native
from tests.director.test_script import GOOD

from kinema.director.checking.critic import RUBRIC, Critic
from kinema.director.checking.take_report import TakeReport
from kinema.director.endpoint import ChatEndpoint, json_in
from kinema.director.planning.llm import normalized, plan_with_llm
from kinema.director.script import script_from
from kinema.engines import FilmRequest
from kinema.errors import EngineError, InputError

FULL = json.loads(json.dumps(GOOD))
FULL["cast"][1]["identity"] = {"kind": "box", "color": "blue"}


class StandIn:
    """Answers requests by a list: text, (status, headers), or "stall"; the last one over and over."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers, self.bodies, self.keys = answers, [], []
        stand = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                stand.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                stand.keys.append(self.headers.get("authorization"))
                answer = stand.answers[min(len(stand.bodies), len(stand.answers)) - 1]
                if answer == "stall":
                    time.sleep(1.0)
                    return
                status, headers, text = (answer[0], answer[1], "busy") if isinstance(answer, tuple) else (200, {}, answer)
                body = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"


@pytest.fixture
def stand_in() -> Iterator[Callable[[list[Any]], StandIn]]:
    made: list[StandIn] = []

    def make(answers: list[Any]) -> StandIn:
        made.append(StandIn(answers))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def endpoint(stand: StandIn, **more: Any) -> ChatEndpoint:
    return ChatEndpoint(url=stand.url, model="scripted", key="secret", **{"timeout_s": 5.0, "sleep": lambda s: None, **more})


def without(path: list[Any]) -> str:
    data = json.loads(json.dumps(FULL))
    at = data
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return json.dumps(data)


GOOD_TEXT = json.dumps(FULL)


@pytest.mark.parametrize(
    ("answers", "requests"),
    [
        ([GOOD_TEXT], 1),
        (["Sure! Here is it:\n```json\n" + GOOD_TEXT + "\n```\nEnjoy."], 1),
        ([GOOD_TEXT.replace("]}]}", "],},]}")], 1),
        (["I would rather talk about films.", GOOD_TEXT], 2),
        ([without(["shots", 0, "prompt"]), GOOD_TEXT], 2),
        ([without(["cast", 0, "identity"]), GOOD_TEXT], 2),
        ([(429, {"retry-after": "7"}), GOOD_TEXT], 2),
        ([(503, {}), (500, {}), GOOD_TEXT], 3),
        ([(400, {}), GOOD_TEXT], 2),
        (["", GOOD_TEXT], 2),
        (["stall", GOOD_TEXT], 2),
    ],
)  # fmt: skip
def test_a_valid_script_comes_within_the_cap(stand_in: Any, answers: list[Any], requests: int) -> None:
    stand = stand_in(answers)
    planned = plan_with_llm("A ball hits a box.", endpoint(stand, timeout_s=0.4), native())
    assert [shot.id for shot in planned.script.shots] == ["s1", "s2"] and len(stand.bodies) == requests
    assert stand.keys[0] == "Bearer secret"


def test_errors_are_sent_back_with_their_text(stand_in: Any) -> None:
    stand = stand_in([without(["shots", 0, "prompt"]), GOOD_TEXT])
    plan_with_llm("A ball hits a box.", endpoint(stand), native())
    repair = stand.bodies[1]["messages"][-1]["content"]
    assert 'shot 1 ("s1"), prompt is missing' in repair
    assert stand.bodies[0]["response_format"]["type"] == "json_schema"


def test_without_structured_output_it_is_asked_for_plain_json(stand_in: Any) -> None:
    stand = stand_in([(400, {}), (400, {}), GOOD_TEXT])
    plan_with_llm("A ball hits a box.", endpoint(stand), native())
    forms = [body.get("response_format", {}).get("type") for body in stand.bodies]
    assert forms == ["json_schema", "json_object", None]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([without(["shots", 0, "prompt"])], 'gave no valid script in 4 tries: shot 1 ("s1"), prompt is missing'),
        (["no"], "gave no valid script in 4 tries: the answer holds no JSON object"),
        ([(429, {"retry-after": "1"})], "gave no answer in 4 tries: HTTP 429"),
        ([(401, {})], "answered 401"),
        (["stall"], "gave no answer in 4 tries: no answer in 0.2 s"),
    ],
)
def test_an_endpoint_that_never_answers_well_ends_in_one_line(stand_in: Any, answers: list[Any], says: str) -> None:
    stand = stand_in(answers)
    with pytest.raises(EngineError) as raised:
        plan_with_llm("A ball.", endpoint(stand, timeout_s=0.2), native())
    assert says in str(raised.value) and len(stand.bodies) <= 4


def test_a_repeated_answer_is_named(stand_in: Any) -> None:
    bad = without(["shots", 0, "prompt"])
    stand = stand_in([bad, bad, GOOD_TEXT])
    plan_with_llm("A ball.", endpoint(stand), native())
    assert "same answer as before" in stand.bodies[2]["messages"][-1]["content"]


def test_waits_are_as_long_as_asked_for_up_to_a_limit(stand_in: Any) -> None:
    waits: list[float] = []
    stand = stand_in([(429, {"retry-after": "7"}), (429, {"retry-after": "9999"}), GOOD_TEXT])
    plan_with_llm("A ball.", endpoint(stand, sleep=waits.append), native())
    assert waits == [7.0, 30.0]


def test_enums_are_normalized_and_unknown_fields_left_out() -> None:
    data = json.loads(GOOD_TEXT)
    data["shots"][0] |= {
        "framing": "Extreme Close-Up",
        "camera": "Dolly In",
        "transition": "crossfade",
        "mood": "sad",
        "scene": 1,
    }
    data["shots"][1] |= {"id": "Shot 2", "goes_on_from": "S1", "framing": "fisheye from mars"}
    data["shots"][1]["events"] = [{"kind": "collides", "who": "Red Ball", "other": "blue_box"}]
    clean, notes = normalized({"script": data})
    script = script_from(clean)
    first, second = script.shots
    assert (first.framing, first.camera, first.transition) == ("close", "zoom in", "dissolve")
    assert second.framing == "wide" and second.events[0].kind == "hits" and second.goes_on_from == "s1"
    assert any("mood" in note for note in notes) and any("fisheye" in note for note in notes)


def test_json_is_taken_out_of_prose() -> None:
    assert json_in('so {"a": [1, 2,],} it is') == {"a": [1, 2]}
    with pytest.raises(InputError, match="holds no JSON object"):
        json_in("[1, 2]")


def test_an_address_and_a_model_are_needed() -> None:
    with pytest.raises(InputError, match="expected an address"):
        ChatEndpoint(url="localhost", model="x")
    with pytest.raises(InputError, match="--llm-model"):
        ChatEndpoint(url="http://127.0.0.1", model="")


def test_a_critic_marks_a_take_with_pictures(stand_in: Any, plain: PlainEngine) -> None:
    marks = {name: {"mark": 4, "why": "fine"} for name in RUBRIC} | {"cast": {"mark": 1, "why": "the box is red in frame 3"}}
    stand = stand_in(["well", json.dumps(marks)])
    (clip,) = plain.film(FilmRequest(workflow="generate", prompt="a ball"))
    script = script_from(FULL)
    report = Critic(endpoint(stand)).with_opinion(TakeReport(results=()), script, script.shots[0], clip)
    assert [one.name for one in report.failures] == ["critic: cast"] and "frame 3" in report.failures[0].saw
    content = stand.bodies[0]["messages"][0]["content"]
    assert sum(part["type"] == "image_url" for part in content) == 6
