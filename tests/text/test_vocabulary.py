"""Laws of the vocabulary: inflections of known words are known, the rest is named, and every suggestion is itself known."""

from __future__ import annotations

import pytest

from kinema.playground.vocabulary import VOCABULARY
from kinema.text import FUNCTION_WORDS, suggest, unknown_words
from kinema.text.vocabulary import SYNONYMS

_WORDS = "red blue green ball box car large rolls slides stops jumps carry hit push"
SMALL = frozenset(_WORDS.split())


@pytest.mark.parametrize(
    "text",
    [
        "A RED Ball, rolls!",
        "two red balls and 3 boxes",
        "a ball rolled; it is rolling, it will roll",
        "boxes slide, slid, sliding",
        "the car's stopping, it stopped and it doesn't stop",
        "the ball’s jumping; it jumped 2.5s at 10x",
        "cars carried and carries a box, hitting, hits, pushes",
        "a video of a red ball",
        "",
        " .,;!? -- … ",
    ],
)
def test_known(text: str) -> None:
    assert unknown_words(text, SMALL) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red dragon eats a blue Castle", ["dragon", "eats", "castle"]),
        ("dragon, Dragon and DRAGON", ["dragon"]),
        ("a ball under a box", ["under"]),
        ("red-hot balls", ["hot"]),
        ("cared, bored, reds caring", ["cared", "bored", "caring"]),
        ("a red мяч 🎈", ["мяч", "🎈"]),
        ("3d ball", ["3d"]),
    ],
)
def test_unknown(text: str, expected: list[str]) -> None:
    assert unknown_words(text, SMALL) == expected


def test_every_word_of_the_playground_is_known_in_its_own_words() -> None:
    assert unknown_words(" ".join(sorted(VOCABULARY)), VOCABULARY) == []
    assert unknown_words(" ".join(sorted(FUNCTION_WORDS)), frozenset()) == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("crimson", "red"),
        ("Sphere", "ball"),
        ("cubes", "box"),
        ("vehicle", "car"),
        ("azure", "blue"),
        ("gigantic", "large"),
        ("leaping", "jumping"),
        ("gren", "green"),
        ("bleu", "blue"),
        ("rde", "red"),
        ("bals", "ball"),
        ("rolls", None),
        ("dragon", None),
        ("string", None),
        ("white", None),
        ("thee", None),
        ("every", "each"),
    ],
)
def test_suggest(word: str, expected: str | None) -> None:
    assert suggest(word, VOCABULARY) == expected


@pytest.mark.parametrize("word", ["whit", "wile", "thes", "anda", "itt", "frome", "whit" * 25_000])
def test_function_words_are_not_suggested_for_their_looks(word: str) -> None:
    assert suggest(word, VOCABULARY) not in FUNCTION_WORDS


def test_suggestions_are_in_the_vocabulary() -> None:
    for word in SYNONYMS:
        for vocabulary in (VOCABULARY, SMALL):
            meant = suggest(word, vocabulary)
            assert meant is None or meant in vocabulary, word
    assert suggest("crimson", frozenset({"blue"})) is None
