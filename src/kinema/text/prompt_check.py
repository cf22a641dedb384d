"""Prompts against a model's world: which words it has never met, what it cannot film, and what to say instead.

A prompt beyond a model's world is answered with what will not be right, never with silent nonsense. What things are called follows
from the model's state schema; other words are those of the Playground's captions.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from kinema.errors import VocabularyError, excerpt
from kinema.playground import VOCABULARY
from kinema.playground.vocabulary import PLACES, SYNONYMS, article, listing
from kinema.scene.schema import PLAYGROUND, StateSchema
from kinema.text.spelling import corrections
from kinema.text.storyboard import TextSpan
from kinema.text.vocabulary import suggest, unknown_words

log = logging.getLogger(__name__)


def _plural(name: str) -> str:
    return "boxes" if name == "box" else f"{name}s"


_NUMBERS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "several": 3, "many": 3,
    "some": 2, "both": 2, "few": 3,
}  # fmt: skip
_PLACE_NOUNS = {name.split()[-1] for names in PLACES.values() for name in names}
MOST_NAMED = 8
"""Unknown or corrected words that one message lists."""
_STACKED = re.compile(
    r"\b(?:on top of|atop|stack(?:ed|s|ing)?|piled?|(?:stands?|sits?|rests?|lies) (?:still )?on an?)\b", re.I
)
_ABOVE = re.compile(r"(?<!from )\b(above|below)\b", re.IGNORECASE)
_NEGATED = re.compile(r"\b(no(?! longer)|without|never)\s+(?:an? )?[a-z]+", re.IGNORECASE)


@dataclass(frozen=True)
class Mention:
    """One mention of a kind of thing in a prompt. color: None where none is named. count: how many of it."""

    text: str
    kind: str
    color: str | None
    count: int


@dataclass(frozen=True, kw_only=True)
class _Names:
    """What the things of a schema are called: kinds by their names and synonyms, and by the plurals of these; and a pattern that
    finds a mention of things."""

    kind_of: dict[str, str]
    plurals: dict[str, str]
    thing: re.Pattern[str]


@cache
def _names(schema: StateSchema) -> _Names:
    kind_of = {name: kind for kind in schema.kinds for name in (kind, *SYNONYMS.get(kind, ()))}
    plurals = {_plural(name): kind for name, kind in kind_of.items()}
    adjectives = "|".join((*schema.sizes, *schema.materials, *schema.colors))
    colors, kinds = "|".join(schema.colors), "|".join([*kind_of, *plurals])
    thing = re.compile(
        r"(?:\b(?P<count>another|" + "|".join(_NUMBERS) + r"|\d+)\s+)?"
        rf"(?P<words>(?:\b(?:{adjectives})\s+)*)"
        r"\b(?P<kind>" + "|".join(sorted([*kind_of, *plurals], key=len, reverse=True)) + r")\b"
        rf"(?P<each>,?\s*(?:\(|:)?\s*(?:one\s+)?(?:{colors})(?:\s*,\s*(?:one\s+)?(?:{colors}))*"
        rf"\s*,?\s+and\s+(?:one\s+)?(?:{colors})\b\)?(?!\s+(?:{kinds})\b),?)?",
        re.IGNORECASE,
    )  # fmt: skip
    return _Names(kind_of=kind_of, plurals=plurals, thing=thing)


def rewrite(prompt: str, lacks: Sequence[str] = (), schema: StateSchema = PLAYGROUND) -> tuple[str, list[str]]:
    """The prompt as it is filmed, and one line for each change: typos corrected, and 'two balls, one red and one blue' told as 'a
    red ball and a blue ball'."""
    notes, names = [], _names(schema)
    meant = corrections(prompt, _known(lacks, schema))
    for word, right in meant.items():
        prompt = re.sub(rf"(?<![\w]){re.escape(word)}(?![\w])", right, prompt, flags=re.IGNORECASE)
        notes.append(f"{excerpt(word)!r} is read as {right!r}")

    def one_of_each(match: re.Match[str]) -> str:
        colors = re.findall("|".join(schema.colors), (match["each"] or "").lower())
        count, kind = _NUMBERS.get((match["count"] or "").lower(), 0), match["kind"].lower()
        if (
            kind not in names.plurals
            or len(set(colors)) != len(colors)
            or len(colors) != (count or len(colors))
            or len(colors) < 2
        ):
            return match[0]
        name = next(single for single in names.kind_of if kind in (f"{single}s", f"{single}es"))
        made = listing([article(f"{match['words'].lower()}{color} {name}") for color in colors])
        notes.append(f"{excerpt(match[0].strip(' ,'))!r} is read as {excerpt(made)!r}")
        return made

    return names.thing.sub(one_of_each, prompt), notes


def things_in(text: str, schema: StateSchema = PLAYGROUND) -> list[Mention]:
    """What a text names, in order."""
    things: list[Mention] = []
    names = _names(schema)
    for match in names.thing.finditer(text):
        kind, words = match["kind"].lower(), match["words"].lower().split()
        given = (match["count"] or "").lower()
        count = (
            int(given.lstrip("0")[:9] or "0") if given.isdigit() else _NUMBERS.get(given, 2 if kind in names.plurals else 1)
        )
        color = next((word for word in words if word in schema.colors), None)
        named = names.kind_of.get(kind) or names.plurals[kind]
        again = given == "another" and color is not None and any((t.kind, t.color) == (named, color) for t in things)
        things.append(Mention(match[0].strip(" ,"), named, color, 2 if again else count))
    return things


def names_something(text: str, lacks: Sequence[str] = (), schema: StateSchema = PLAYGROUND) -> bool:
    """Whether a text names an object or a place that the world has."""
    things = [thing for thing in things_in(text, schema) if thing.kind not in lacks]
    return bool(things) or bool(_PLACE_NOUNS & set(re.findall(r"[a-z]+", text.lower())))


def late_parts(spans: Sequence[TextSpan], duration_s: float) -> list[str]:
    """A line for each part of a storyboard that begins when the film has ended."""
    return [
        f"{excerpt(text)!r} begins at {start_s:g} s, but the film ends at {duration_s:g} s; ask for more seconds, or move the part"
        for text, start_s, _ in spans
        if start_s >= duration_s
    ]


def limits_of(
    spans: Sequence[TextSpan], slots: int, schema: StateSchema = PLAYGROUND, duration_s: float = math.inf
) -> list[str]:
    """What of a prompt will not be filmed as it is told: one plain line each. slots: how many things the model films at once.
    duration_s: length of the film."""
    notes = late_parts(spans, duration_s)
    names: set[tuple[str, str | None]] = set()
    for text, _, _ in spans:
        things = things_in(text, schema)
        names |= {(thing.kind, thing.color) for thing in things}
        twice = [
            thing for i, thing in enumerate(things)
            if thing.color and re.search(rf"\b(?:an?|one) (?:\w+ )*?{thing.color} {_any_name(thing.kind)}\b.*"
                                         rf"\b(?:an?|one) (?:\w+ )*?{thing.color} {_any_name(thing.kind)}\b", text, re.I)
            and any(other.kind == thing.kind and other.color == thing.color for other in things[:i])
        ]  # fmt: skip
        for thing in [*(thing for thing in things if thing.count > 1), *twice]:
            if thing.count > slots:
                notes.append(f"{excerpt(thing.text)!r}: at most {slots} things are filmed; name fewer")
            else:
                notes.append(
                    f"{excerpt(thing.text)!r}: no two things of one kind and color can be filmed; give each a color of its own,"
                    f" such as 'a red {thing.kind} and a blue {thing.kind}'"
                )
        if stacked := _STACKED.search(text):
            notes.append(
                f"{excerpt(stacked[0])!r}: things do not stand on each other here; say 'a red ball left of a blue box'"
            )
        if (above := _ABOVE.search(text)) and "from above" not in text.lower() and "top view" not in text.lower():
            notes.append(f"{above[0]!r} is only filmed in the top view; add 'seen from above'")
        if negated := _NEGATED.search(text):
            notes.append(f"{excerpt(negated[0])!r}: what is named appears, even if it is said not to; leave it out")
    named = [(kind, color) for kind, color in names if color or kind not in {kind for kind, color in names if color}]
    if len(named) > slots:
        notes.append(f"{len(named)} things are named; at most {slots} are filmed")
    late = late_things(spans, schema)
    if late:
        notes.append(f"{listing(late)}: a later shot cannot bring in a new thing; it is there from the start")
    return list(dict.fromkeys(notes))


def late_things(spans: Sequence[TextSpan], schema: StateSchema = PLAYGROUND) -> list[str]:
    """Things ('a blue box') that only a later shot names; they have to be in the cast from the start."""
    timed = [span for span in spans if span.start_s > 0]
    before = {(t.kind, t.color) for span in spans if span.start_s <= 0 for t in things_in(span.text, schema)}
    kinds = {kind for kind, _ in before}
    late = [t for span in timed for t in things_in(span.text, schema) if t.count == 1]
    new = [t for t in late if (t.kind, t.color) not in before and (t.color or t.kind not in kinds)]
    return list(dict.fromkeys(article(f"{t.color} {t.kind}" if t.color else t.kind) for t in new))


def with_cast(spans: Sequence[TextSpan], schema: StateSchema = PLAYGROUND) -> tuple[TextSpan, ...]:
    """The spans of a storyboard; if a later shot names something new, also one throughout that names all things, since who
    is there is decided once for all shots."""
    if not late_things(spans, schema):
        return tuple(spans)
    things = [t for span in spans for t in things_in(span.text, schema)]
    colored = {t.kind for t in things if t.color}
    names = [article(f"{t.color} {t.kind}" if t.color else t.kind) for t in things if t.color or t.kind not in colored]
    return (*spans, TextSpan(listing(list(dict.fromkeys(names))), 0.0, float("inf")))


def check_words(
    prompt: str, *, strict: bool, model: str, lacks: Sequence[str] = (), schema: StateSchema = PLAYGROUND
) -> list[str]:
    """Words that the model has never met; with `strict` they are an error, else a warning. lacks: words of its world that it
    was not fed."""
    known = _known(lacks, schema)
    strange = unknown_words(prompt, known)
    if not strange:
        return []
    meant = {word: suggest(word, known) for word in strange}
    hints = [f"{excerpt(word)!r}" + (f" (perhaps {meant[word]!r})" if meant[word] else "") for word in strange]
    kinds = [_plural(kind) for kind in schema.kinds if kind not in lacks]
    films = f"; it films {', '.join(kinds)}" if kinds else ""
    _say(f"{model} does not know {_first(hints)}{films}", strict, "and an open-weights model knows more")
    return strange


def check_limits(
    spans: Sequence[TextSpan], *, strict: bool, model: str, slots: int, schema: StateSchema = PLAYGROUND,
    duration_s: float = math.inf,
) -> list[str]:  # fmt: skip
    """What `limits_of` finds; with `strict` an error, else a warning each."""
    notes = limits_of(spans, slots, schema, duration_s)
    for note in notes:
        _say(f"{model} films this otherwise than it is told: {note}", strict)
    return notes


def check_rewrite(prompt: str, *, strict: bool, lacks: Sequence[str] = (), schema: StateSchema = PLAYGROUND) -> str:
    """The prompt as it is filmed (`rewrite`), with a warning for each change; with `strict` a change is an error."""
    filmed, notes = rewrite(prompt, lacks, schema)
    if notes:
        _say(f"the prompt: {_first(notes, '; ')}", strict)
    return filmed


def _first(parts: Sequence[str], between: str = ", ") -> str:
    """The first MOST_NAMED parts, and how many more there are."""
    more = len(parts) - MOST_NAMED
    return between.join(parts[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _say(message: str, strict: bool, more: str = "") -> None:
    if strict:
        raise VocabularyError(message)
    log.warning("%s. Going on; --strict refuses instead%s", message, f", {more}" if more else "")


def known_words(schema: StateSchema) -> frozenset[str]:
    """Words of a world: those of the Playground's captions, with the names of this schema in place of the Playground's."""
    if schema == PLAYGROUND:
        return VOCABULARY
    return (VOCABULARY - _own_words(PLAYGROUND)) | _own_words(schema)


def _own_words(schema: StateSchema) -> frozenset[str]:
    names = _names(schema)
    return frozenset((*names.kind_of, *names.plurals, *schema.colors, *schema.sizes, *schema.materials, *schema.backgrounds))


def _known(lacks: Sequence[str], schema: StateSchema) -> frozenset[str]:
    return known_words(schema) - set(lacks)


def _any_name(kind: str) -> str:
    return f"(?:{'|'.join(dict.fromkeys((kind, *SYNONYMS.get(kind, ()))))})"
