"""Captions are true: they name every entity, their directions are those of the motion, and their words are published."""

import re

import numpy as np
import pytest

from kinema.playground import (
    VOCABULARY,
    Episode,
    SceneDistribution,
    full,
    one_shape,
    simulate,
    tiny,
    two_shapes,
    words_outside_captions,
)
from kinema.playground.tasks import Task
from kinema.playground.vocabulary import SYNONYMS, count_tokens
from kinema.scene.scene import COLORS, KINDS, SIZES

NAMES = {kind: "|".join({kind, *SYNONYMS.get(kind, ())}) for kind in KINDS}
THING = rf"(?P<color>{'|'.join(COLORS)}) (?P<kind>{'|'.join(NAMES.values())})"
WAY = r"(?P<way>(?:up|down)(?: and (?:left|right))?|left|right)"
MOTION = re.compile(rf"{THING} (?:is )?\w+ {WAY}\b(?! wall)")


@pytest.fixture(scope="module", params=["one_shape", "two_shapes", "tiny", "full"])
def episodes(request: pytest.FixtureRequest) -> list[Episode]:
    distribution = {"one_shape": one_shape, "two_shapes": two_shapes, "tiny": tiny, "full": full}[request.param]()
    return [simulate(distribution, seed, fps=16, num_frames=48) for seed in range(200)]


def slot_of(episode: Episode, color: str, kind: str) -> int:
    plain = next(name for name, also in NAMES.items() if kind in also.split("|"))
    scene = episode.scene
    return next(k for k in scene.entities if scene.name(k) == f"{color} {plain}")


def test_every_entity_is_named(episodes: list[Episode]) -> None:
    for episode in episodes:
        scene, captions = episode.scene, episode.captions
        for k in scene.entities:
            name = rf"{COLORS[scene.color[k]]} (?:{NAMES[KINDS[scene.kind[k]]]})\b"
            assert re.search(name, captions.short), (episode.seed, captions.short)
            assert re.search(name, captions.detailed.lower()), (episode.seed, captions.detailed)
            size = next(word for word, radius in SIZES.items() if abs(radius - scene.size[k]) < 1e-5)
            assert re.search(rf"{size} (?:bouncy |heavy )?{name}", captions.detailed.lower()), captions.detailed


def test_partial_captions_leave_out_a_color_or_a_kind_and_nothing_else(episodes: list[Episode]) -> None:
    known = {*COLORS, "thing", "a", "an", *(name for names in NAMES.values() for name in names.split("|"))}
    for episode in episodes:
        short, partial = episode.captions.short, episode.captions.partial
        assert partial is not None and partial != short
        words = [re.findall(r"\w+", text) for text in (partial, short)]
        assert [w for w in words[0] if w not in known] == [w for w in words[1] if w not in known]
        assert not re.search(r"\b(a [aeiou]|an [^aeiou])", partial), partial
        named = len(re.findall(THING, short))
        assert len(re.findall(THING, partial)) < named, (short, partial)


def test_directions_agree_with_the_first_second(episodes: list[Episode]) -> None:
    checked = 0
    for episode in episodes:
        for found in MOTION.finditer(episode.captions.short):
            scene, k = episode.scene, slot_of(episode, found["color"], found["kind"])
            way = found["way"]
            dx = float((scene.x[:16, k] - scene.x[0, k]).mean())
            dy = float((scene.y[:16, k] - scene.y[0, k]).mean())
            checked += 1
            for word, value in (("right", dx), ("left", -dx), ("up", dy), ("down", -dy)):
                if word in way.split():
                    assert value > 0, (episode.seed, episode.captions.short, dx, dy)
    assert checked > 60


def test_left_of_and_right_of_are_true(episodes: list[Episode]) -> None:
    pattern = re.compile(rf"{THING} (?P<side>left|right) of (?:an? )?(?:small |large )?(?P<rest>.*)")
    for episode in episodes:
        found = pattern.search(episode.captions.short)
        other = re.match(THING, found["rest"]) if found else None
        if found and other:
            a, b = slot_of(episode, found["color"], found["kind"]), slot_of(episode, other["color"], other["kind"])
            gap = float(episode.scene.x[0, a] - episode.scene.x[0, b])
            assert (gap < 0) == (found["side"] == "left")


def test_every_word_is_published_and_lengths_hold(episodes: list[Episode]) -> None:
    for episode in episodes:
        captions = episode.captions
        for text in (captions.short, captions.detailed, captions.task or ""):
            assert not words_outside_captions(text), text
        if len(episode.scene.entities) <= 3:
            assert count_tokens(captions.short) <= 20, captions.short
            assert count_tokens(captions.detailed) <= 56, captions.detailed


def test_events_told_are_events_that_happened(episodes: list[Episode]) -> None:
    told = {
        "collide": r"\bhits (?:an?|\w+ \w+)\b(?! wall)|bump\w+ into|collid\w+ with|they (?:collide|meet)|land\w+ on",
        "push": r"pushes",
        "reach_flag": r"reaches",
        "pass_behind": r"behind",
    }
    for episode in episodes:
        kinds = {event.kind for event in episode.events}
        for kind, words in told.items():
            if re.search(words, episode.captions.short):
                assert kind in kinds, (episode.seed, episode.captions.short)


def test_top_view_is_told_in_most_clips_and_wordings_vary() -> None:
    distribution = SceneDistribution(views={"top": 1.0})
    shorts = [simulate(distribution, seed, fps=16, num_frames=24).captions.short for seed in range(120)]
    assert np.mean(["from above" in text or "top view" in text for text in shorts]) > 0.5
    assert len(set(shorts)) > 110


def test_tasks_are_told_only_with_a_robot_and_read_back(episodes: list[Episode]) -> None:
    for episode in episodes:
        kinds = {KINDS[episode.scene.kind[k]] for k in episode.scene.entities}
        assert episode.has_action == ("robot" in kinds)
        if episode.captions.task:
            assert "robot" in kinds and Task.parse(episode.captions.task)


def test_the_vocabulary_covers_plain_prompts_and_names_strangers() -> None:
    for prompt in ("a red ball and a blue box", "a red ball moves right", "red ball left of a blue box"):
        assert not words_outside_captions(prompt)
    assert words_outside_captions("A dragon and a red ball fly over a dragon") == ["dragon", "fly", "over"]
    assert {*COLORS, *KINDS, *SIZES} <= VOCABULARY
