"""Cues: changes of the world in the middle of a shot, by a time or an answer, from a story, a script or a program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.director.conftest import PlainEngine

from kinema.director.checking.take_report import check_take
from kinema.director.filming.live import GIVEN, LiveDirector
from kinema.director.filming.takes import TakePlan, film_take
from kinema.director.planning.cues import cue_of, seems_a_cue
from kinema.director.planning.grammar import NamedThings, events_of
from kinema.director.planning.planner import plan_story
from kinema.director.planning.rewording import reworded
from kinema.director.planning.story import read_story
from kinema.director.script import Cue, Script, Shot, script_from
from kinema.engines.native import engine_for
from kinema.errors import InputError, MediaError
from kinema.playground.tasks import Task
from kinema.simulation.world import World

STORY = (
    "A red ball rolls right and passes behind a yellow screen. When it is behind the screen, add a blue box on the right. "
    "After 3 seconds, change the background to night. The ball moves left."
)
FIRST = TakePlan(number=1, seed=0)


def one_shot(**shot: Any) -> Script:
    """A ball and a robot in one shot of 64x64 pixels."""
    cast = [
        {"id": id, "name": id, "look": f"a {color} {id}", "identity": {"kind": id, "color": color}}
        for id, color in (("ball", "red"), ("robot", "green"))
    ]
    shots = [{"id": "s1", "prompt": "a red ball and a green robot", "seconds": 1, "cast": ["ball", "robot"], **shot}]
    return script_from({"production": {"size": "64x64"}, "cast": cast, "shots": shots})


@pytest.mark.parametrize(
    ("sentence", "when", "do"),
    [
        ("When the ball touches the box, stop the box.", "did the ball touch the box?", "stop the box"),
        ("As soon as it stops, remove it.", "has the red ball stopped?", "remove the red ball"),
        (
            "Once the ball is on the right, then push it left hard!",
            "is the ball on the right?",
            "push the red ball left hard",
        ),
        ("When the ball disappears, add a blue box.", "is the ball hidden?", "add a blue box"),
        ("When it stops add a blue box on the right.", "has the red ball stopped?", "add a blue box on the right"),
        ("If the ball is moving, make it green.", "is the ball moving?", "make the red ball green"),
        ("After 1.5 s, make the ball green.", 1.5, "make the ball green"),
        ("After two seconds remove the red ball.", 2.0, "remove the red ball"),
        ("After 500 ms, stop the ball", 0.5, "stop the ball"),
        ("At 3 seconds, make the ball green.", 3.0, "make the ball green"),
        ("At second 3, stop the ball.", 3.0, "stop the ball"),
        ("In half a second then remove it.", 0.5, "remove the red ball"),
        ("Two seconds later, push it left.", 2.0, "push the red ball left"),
        ("Push it left hard after 2 seconds.", 2.0, "Push the red ball left hard"),
        ("Add a blue box when the ball stops.", "has the ball stopped?", "Add a blue box"),
        ("Stop the ball as soon as it is on the right.", "is the red ball on the right?", "Stop the ball"),
        ("Then add a blue box on the left.", 2.0, "add a blue box on the left"),
        ("Now push it left!", 2.0, "push the red ball left"),
        ("Change the background to night.", 2.0, "Change the background to night"),
        ("After that, make the ball bigger.", 2.0, "make the ball bigger"),
    ],
)
def test_a_sentence_is_a_cue(sentence: str, when: str | float, do: str) -> None:
    memory = NamedThings()
    events_of("A red ball rolls right.", memory)
    planned = cue_of(sentence, memory)
    assert planned is not None and seems_a_cue(sentence) == (not sentence.startswith("Once"))
    assert (planned.cue.at_s if isinstance(when, float) else planned.cue.when, planned.cue.do) == (when, do)
    assert planned.brought == (["blue-box"] if "add a blue box" in do.lower() else [])
    assert planned.timeless == (not re.search(r"\d|second|when|once|if|as soon as", sentence.lower()))
    assert planned.removed == (["red-ball"] if do.startswith("remove") else [])


@pytest.mark.parametrize(
    "sentence",
    [
        "When the ball rolls, it is night.", "A ball rolls right.", "Once upon a time, a ball rolled.", "When, add a box.",
        "When it is not moving, add a blue box.", "When it stops, add a dragon.", "When a dragon comes, add a blue box.",
        "After 2 seconds, add a blue box on the left and push it right.", "When the ball is on the moon, stop the ball.",
        "Then the robot jumps.", "At 3 seconds the robot jumps.", "Push the ball.", "A blue box appears.", "Turn left.",
        "The ball pushes the box left.", "Then it stops.", "Don't push the ball left.", "Never add a blue box.",
        "Push in on the ball.", "It adds a blue box.", "Remove the ball and add a box.", "Two seconds later, the ball stops.",
        "Slide to the left.", "At night, a ball rolls.", "In the lab, add nothing.", "Add a blue box when a dragon comes.",
        "Make it night.",
    ],
)  # fmt: skip
def test_other_sentences_are_none(sentence: str) -> None:
    memory = NamedThings()
    events_of("A red ball rolls right.", memory)
    assert cue_of(sentence, memory) is None and set(memory.things) == {"red-ball"}


def test_an_order_without_a_time_comes_next() -> None:
    """After the cue before it, or with a change whose moment is a question; in time to be seen; which a note says."""
    memory = NamedThings()
    events_of("A red ball rolls right.", memory)
    cues: list[Cue] = []
    for sentence in ("Add a blue box.", "Then push it left.", "Two seconds later, stop it.", "When it stops, remove the box.",
                     "Make it green."):  # fmt: skip
        planned = cue_of(sentence, memory, cues)
        assert planned is not None
        cues.append(planned.cue)
    assert [(cue.at_s, cue.when) for cue in cues] == [
        (2.0, None), (3.0, None), (5.0, None), *[(None, "has the red ball stopped?")] * 2,
    ]  # fmt: skip
    assert cue_of("One second later, add a green star.", memory, cues) is None, "nobody knows yet when that is"
    short = [planned.cue for planned in (cue_of("Add a blue box.", memory, seconds=1.0),) if planned]
    later = cue_of("Then stop the ball.", memory, short, 1.0)
    assert short[0].at_s == 0.5 and later is not None and later.cue.at_s == 0.75


def test_orders_in_a_story_are_given_in_the_shot_before_them() -> None:
    story = "A red ball rolls right. Add a blue box on the right. Then push the ball left. The ball rolls left."
    planned = plan_story(read_story(story), engine_for("kinema-tiny").capabilities)
    first, second = planned.script.shots
    assert [cue.at_s for cue in first.cues] == [2.0, 3.0] and second.cues == () and second.cast == ("red-ball", "blue-box")
    assert first.cast == ("red-ball",) and first.seconds == 6.0
    notes = [note for note in planned.notes if "does not say when: it is given after" in note]
    assert len(notes) == 2 and "'Add a blue box on the right' does" in notes[0] and "after 3 s" in notes[1]
    opening = plan_story(read_story("Add a red ball. It rolls right."), engine_for("kinema-tiny").capabilities).script.shots
    assert [shot.cues for shot in opening] == [()], "what a story begins with is there from the beginning"
    again, _ = reworded(planned.script, "s2", "A red ball rolls left. Add a pink star.")
    assert again.shots[1].cues == (Cue(at_s=2.0, do="Add a pink star"),)


def test_what_seems_a_cue_and_is_none_is_noted() -> None:
    able = engine_for("kinema-tiny").capabilities
    for sentence in (
        "When it stops, it turns blue.",
        "When the ball hits the box, the box gets bigger.",
        "After 2 seconds, add a star.",
    ):
        notes = plan_story(read_story(f"A red ball rolls right. {sentence}"), able).notes
        assert any("is no cue that is understood" in note for note in notes), sentence
    (shot,) = plan_story(
        read_story("A red ball rolls right. When it touches the blue box, add a green star."), able
    ).script.shots
    assert shot.cast == ("red-ball", "blue-box"), "whom a question names is there from the beginning"


def test_what_a_cue_takes_away_is_gone_in_the_next_shot() -> None:
    story = (
        "A red ball rolls right. A green star is on the left. After 0.5 seconds, remove the green star. The ball rolls left."
    )
    planned = plan_story(read_story(story), engine_for("kinema-tiny").capabilities)
    first, second = planned.script.shots
    assert first.cast == ("red-ball", "green-star") and second.cast == ("red-ball",) and "star" not in second.prompt
    painted = plan_story(
        read_story("A red ball rolls right. After 1 second, make the ball green."), engine_for(None).capabilities
    )
    assert any("'make the ball green' holds to the end of its shot" in note for note in painted.notes)


def test_other_words_for_a_shot_plan_its_cues_anew() -> None:
    script = plan_story(read_story(STORY), engine_for("kinema-tiny").capabilities).script
    again, _ = reworded(script, "s1", "A red ball rolls left. When it stops, push the ball right.")
    assert again.shots[0].cues == (Cue(when="has the red ball stopped?", do="push the ball right"),)
    assert again.shots[0].prompt == "A red ball rolls left."
    plain, notes = reworded(script, "s1", "A red ball rolls left.")
    assert plain.shots[0].cues == () and "its cues are gone: the new words have none" in notes


def test_a_story_with_cues_is_planned() -> None:
    """A cue belongs to the shot before it; what it brings in is there from the next shot on; its words are no place."""
    first, second = plan_story(read_story(STORY), engine_for("kinema-tiny").capabilities).script.shots
    assert first.cues == (
        Cue(when="is the red ball behind the screen?", do="add a blue box on the right"),
        Cue(at_s=3.0, do="change the background to night"),
    )
    assert first.cast == ("red-ball", "yellow-screen") and second.cast == ("red-ball", "yellow-screen", "blue-box")
    assert (first.place, first.seconds, second.cues, first.live, second.live) == ("lab-side", 6.0, (), True, False)


@pytest.mark.parametrize(
    ("cue", "message"),
    [
        ({"do": "stop the ball"}, "neither at_s and when came"),
        ({"at_s": 0.5, "when": "is the ball moving?", "do": "stop the ball"}, "both at_s and when came"),
        ({"at_s": 1, "do": "stop the ball"}, "at_s: 1 came, expected less than the shot's 1 s"),
        (
            {"when": "where is the ball?", "do": "stop the ball"},
            "expected a question with yes or no about things that are named: is X visible",
        ),
        ({"at_s": 0.5, "do": "explode"}, 'do: "explode" came, expected a change of a thing that is named: move X'),
        ({"at_s": -1, "do": "stop the ball"}, "at_s"),
    ],
)
def test_a_cue_that_cannot_be_given_is_refused(cue: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=r'shot 1 \("s1"\), cue 1') as refused:
        one_shot(cues=[cue])
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_shot_with_cues_is_filmed_and_checked() -> None:
    """The change is seen from its moment on and not before; a cue whose moment never comes fails."""
    cues = [
        {"at_s": 0.5, "do": "add a blue box on the left"}, {"when": "is the blue box there?", "do": "stop the ball"},
        {"when": "is there a pink star?", "do": "remove the blue box"},
    ]  # fmt: skip
    with pytest.raises(InputError, match="cue 2"):
        one_shot(cues=cues)
    cues[1]["when"] = "is there a blue box?"
    script = one_shot(cues=cues)
    engine, shot = engine_for("kinema-tiny"), script.shots[0]
    clip = film_take(engine, script, shot, FIRST)
    assert (clip.num_frames, clip.size, clip.settings["layout"]) == (16, "64x64", "live")
    assert [(one["number"], one["at_s"]) for one in clip.settings[GIVEN]] == [(0, 0.5), (1, 0.5625)]
    assert clip.state is not None
    slot = next(k for k in clip.state.entities if clip.state.name(k) == "blue box")
    assert not clip.state.visible[:8, slot].any() and clip.state.visible[9:, slot].min() > 0.5
    blue = (clip.frames[..., 2].astype(int) - clip.frames[..., 0] > 60).sum((1, 2))
    assert blue[:8].max() < 10 < blue[9:].min()
    results = {one.name: one for one in check_take(script, shot, clip, engine.capabilities).results}
    passed = [one.passed for name, one in results.items() if name.startswith("cue")]
    assert passed == [True, True, False]
    assert results["count"].passed and results["cuts"].passed, "a thing that a cue brings in is expected"
    again = film_take(engine, script, shot, FIRST)
    assert (again.frames == clip.frames).all(), "same seed, same film"


class Rightwards:
    """Stands for a trained agent: always moves right."""

    task: Task | None = Task.parse("reach the flag")
    env = None

    def begin(self, count: int) -> None:
        self.seen: list[np.ndarray] = []

    def act(self, observation: np.ndarray, scenes: list[Any], actions: Any) -> np.ndarray:
        self.seen.append(observation)
        return np.array([[1.0, 0.0]], np.float32)


def test_an_actor_moves_the_robot() -> None:
    world = World(start=engine_start(), seed=0, size="64x64")
    agent = Rightwards()
    director = LiveDirector(world, [Cue(when="is the green robot moving?", do="add a pink star at the top")], agent)  # type: ignore[arg-type]
    begun = next(one.x for one in world.state.entities if one.kind == "robot")
    for _ in range(24):
        director.step()
    assert next(one.x for one in world.state.entities if one.kind == "robot") > begun + 0.5
    assert [one.number for one in director.given] == [0] and 0 < director.given[0].at_s < 1.5
    assert len(agent.seen) == 24 and agent.seen[0].shape[0] == 1
    agent.task = None
    with pytest.raises(InputError, match="expected an agent with a task"):
        LiveDirector(world, (), agent)  # type: ignore[arg-type]


def engine_start() -> Any:
    from kinema.director.filming.takes import stage_shot

    script = one_shot()
    return stage_shot(script, script.shots[0], (64, 64), 16.0, None).pictures.state


def test_who_cannot_be_steered_is_told(tmp_path: Path, plain: PlainEngine) -> None:
    script = one_shot(cues=[{"at_s": 0.5, "do": "stop the ball"}])
    with pytest.raises(InputError, match='shot "s1": cues and actors need a model with a state, and plain has none'):
        film_take(plain, script, script.shots[0], FIRST)  # type: ignore[arg-type]
    acted = one_shot(actor="nobody")
    with pytest.raises(MediaError, match="holds no agent"):
        film_take(engine_for("kinema-tiny"), acted, acted.shots[0], FIRST, folder=tmp_path)
    with pytest.raises(InputError, match="expected no first_frame"):
        one_shot(actor="a", first_frame="p.png")


def test_a_cue_that_cannot_be_made_fails_its_take_alone() -> None:
    """It names what is not there: the film is made, the other cues are given, and the check says why."""
    script = one_shot(cues=[{"at_s": 0.1, "do": "remove the pink star"}, {"at_s": 0.5, "do": "make the ball blue"}])
    engine, shot = engine_for("kinema-tiny"), script.shots[0]
    clip = film_take(engine, script, shot, FIRST)
    results = {one.name: one for one in check_take(script, shot, clip, engine.capabilities).results}
    lost, painted = (results[f"cue: {cue}"] for cue in shot.cues)
    assert not lost.passed and lost.saw.startswith("at 0.12 s: there is no pink star here") and painted.passed
    assert results["colors"].passed and results["count"].passed, "what a cue paints may look otherwise"


def test_a_shot_is_filmed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A world forgets frames of more than a minute ago; parts are rendered before, to the same film."""
    script = one_shot(cues=[{"at_s": 0.25, "do": "push the ball left"}])
    whole = film_take(engine_for("kinema-tiny"), script, script.shots[0], FIRST)
    monkeypatch.setattr("kinema.director.filming.live.PART_S", 0.3)
    parts = film_take(engine_for("kinema-tiny"), script, script.shots[0], FIRST)
    assert parts.num_frames == whole.num_frames == 16 and parts.state is not None and whole.state is not None
    assert np.abs(parts.frames.astype(int) - whole.frames).mean() < 4
    for name in ("x", "y", "visible", "camera"):
        assert np.array_equal(getattr(parts.state, name), getattr(whole.state, name)), name


@pytest.mark.parametrize(
    ("cue", "message"),
    [
        (Cue(do="stop the ball"), "neither at_s and when came"), (Cue(at_s=1, do="dance"), 'do: "dance" came'),
        (Cue(when="what will happen next?", do="stop the ball"), "expected a question with yes or no"),
        (Cue(when="is the ball not moving?", do="stop the ball"), "expected a question with yes or no"),
        (Cue(at_s=1, do="add a star"), "expected a change"), (Cue(at_s=1, do="push it and stop it"), "expected a change"),
        ("stop", "expected a kinema.director.script.Cue"),
    ],
)  # fmt: skip
def test_a_director_refuses_cues_that_it_could_never_give(cue: Any, message: str) -> None:
    world = World(start=engine_start(), seed=0, size="64x64")
    with pytest.raises(InputError) as refused:
        LiveDirector(world, [cue])
    assert message in str(refused.value) and str(refused.value).startswith("cue 1")


def test_the_words_of_a_cue_are_shown() -> None:
    shot = Shot(id="s1", prompt="x", cues=(Cue(at_s=2, do="stop the ball"), Cue(when="is it hidden?", do="stop the ball")))
    assert [str(cue) for cue in shot.cues] == ["stop the ball, at 2 s", "stop the ball, is it hidden?"]
