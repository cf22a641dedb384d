"""The words of the Playground: what its captions can say, and which prompt words lie outside its world."""

from __future__ import annotations

import re

from kinema.scene.scene import COLORS, KINDS, MATERIALS, SIZES

SYNONYMS = {"ball": ("ball", "ball", "ball", "ball", "circle"), "box": ("box", "box", "box", "box", "square")}
"""Names of a kind, in the proportion in which captions use them; a kind not listed has only its own."""

PLACES = {
    "field": ("on a field", "on a green field", "in a meadow"),
    "desert": ("in a desert", "in the desert"),
    "night": ("at night", "in the night"),
    "snow": ("in the snow", "in snow"),
    "lab": ("in a lab", "in a laboratory"),
}
FROM = {"side": ("seen from the side", "in side view"), "top": ("seen from above", "in top view")}

GROUND_VERBS = {
    "ball": ("rolls", "rolls", "moves", "goes"),
    "star": ("rolls", "tumbles", "moves", "goes"),
    "box": ("slides", "slides", "moves", "goes"),
    "triangle": ("slides", "slides", "moves", "goes"),
    "car": ("drives", "drives", "moves", "goes"),
    "robot": ("walks", "moves", "goes", "runs"),
}
TOP_VERBS = {
    "ball": ("rolls", "slides", "moves", "goes"),
    "car": ("drives", "drives", "moves", "goes"),
    "robot": ("moves", "goes", "walks"),
}
SLIDES = ("slides", "slides", "moves", "goes")
FLIES = ("is thrown", "flies", "is tossed")
FALLS = ("falls", "drops", "falls down")
RESTS = ("stands still", "rests", "does not move", "stays")
REST_MANY = ("stand still", "rest", "do not move", "stay")
ONGOING = {
    "rolls": "rolling",
    "tumbles": "tumbling",
    "slides": "sliding",
    "moves": "moving",
    "goes": "going",
    "drives": "driving",
    "walks": "walking",
    "runs": "running",
    "jumps": "jumping",
    "flies": "flying",
    "falls": "falling",
    "drops": "dropping",
    "bounces": "bouncing",
    "hits": "hitting",
    "bumps": "bumping",
    "collides": "colliding",
    "lands": "landing",
    "pushes": "pushing",
    "passes": "passing",
    "comes": "coming",
    "leaves": "leaving",
    "enters": "entering",
    "reaches": "reaching",
    "stops": "stopping",
    "is": "being",
}
"""How a verb reads in 'a red ball rolling right'."""

LANDS = ("lands on", "lands on", "falls onto")
HITS = ("hits", "hits", "bumps into", "collides with")

_GRAMMAR = """
a an the thing and of with while then they it each other nothing in on at is to from past behind below above
left right up down top bottom middle side view seen high not
bounces off wall ceiling floor collide meet hit pushes passes goes comes out again into leaves enters reaches stops jumps
falls moves
push bring reach go touch
camera zooms cuts
medium
"""


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


VOCABULARY: frozenset[str] = frozenset(
    _words(" ".join([_GRAMMAR, *SLIDES, *FLIES, *FALLS, *RESTS, *REST_MANY, *HITS, *LANDS, *ONGOING.values()]))
    | _words(
        " ".join(word for table in (PLACES, FROM, GROUND_VERBS, TOP_VERBS) for words in table.values() for word in words)
    )
    | {*KINDS, *COLORS, *MATERIALS[1:], *SIZES}
    | {name for names in SYNONYMS.values() for name in names}
)
"""Every lower-case word that a caption can hold."""


def words_outside_captions(prompt: str) -> list[str]:
    """Words of a prompt that no caption can hold, in order, each once."""
    words = re.findall(r"[a-z]+(?:'[a-z]+)?", prompt.lower())
    return list(dict.fromkeys(word for word in words if word not in VOCABULARY))


def count_tokens(text: str) -> int:
    """Words and punctuation marks: what a word-piece tokenizer makes of these plain words."""
    return len(re.findall(r"[a-zA-Z]+|[^\sa-zA-Z]", text))


def ongoing(words: str) -> str:
    """'rolls right' -> 'rolling right'."""
    verb, _, rest = words.partition(" ")
    return f"{ONGOING.get(verb, verb)} {rest}".rstrip()


def article(words: str) -> str:
    """'an orange ball', 'a red ball'."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def listing(parts: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
