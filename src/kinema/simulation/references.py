"""References to entities in plain English: 'the red ball', 'car', 'the large blue one' -> an entity of a state."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kinema.errors import InputError, excerpt
from kinema.scene.scene import COLORS, KINDS, SIZES
from kinema.simulation.state import Entity

NOT_OF_A_THING = frozenset({
    "not", "no", "never", "without", "nor", "neither", "and", "or", "but", "on", "at", "in", "behind", "left", "right", "above",
    "below", "near", "next", "isn", "hasn", "didn", "wasn",
})  # fmt: skip
"""Words that a phrase for one thing does not have: with them it says more, which would be lost."""
ANY = ("thing", "things", "one", "ones", "object", "objects", "entity", "entities", "it")


def check_is_text(value: object) -> None:
    """InputError: no text."""
    if not isinstance(value, str):
        raise InputError(f"{type(value).__name__} {str(value)[:40]!r}: expected text")


def plain(text: str) -> str:
    """Lower case, one space, no punctuation. InputError: no text."""
    check_is_text(text)
    words = re.sub(r"[^a-z0-9.,+\- ]", " ", text.lower().replace("grey", "gray"))
    return " ".join(re.sub(r"[.,](?!\d)", " ", words).split())


def traits(phrase: str) -> dict[str, str]:
    """kind, color and size that a phrase names; InputError if it names two of one sort."""
    named: dict[str, str] = {}
    for word in plain(phrase).split():
        if word in NOT_OF_A_THING:
            raise InputError(
                f"{word!r} in {excerpt(phrase.strip())!r} is not understood; name one thing, such as the red ball"
            )
        single = word[:-1] if word.endswith("s") and word[:-1] in KINDS else "box" if word == "boxes" else word
        for trait, names in (("kind", KINDS), ("color", COLORS), ("size", tuple(SIZES))):
            if single in names:
                if named.get(trait, single) != single:
                    raise InputError(
                        f"{excerpt(phrase.strip())!r} names two: a {named[trait]} and a {single} one; name one thing"
                    )
                named[trait] = single
    return named


def names_a_thing(phrase: str) -> bool:
    """Whether a phrase can be of a thing; it may be there or not."""
    try:
        return bool(traits(phrase)) or bool(set(plain(phrase).split()) & set(ANY))
    except InputError:
        return False


def matching_entities(phrase: str, entities: Sequence[Entity]) -> list[Entity]:
    """All entities that match a phrase."""
    wanted = traits(phrase)
    return [e for e in entities if all(getattr(e, trait) == value for trait, value in wanted.items())]


def listed(entities: Sequence[Entity]) -> str:
    names = [f"the {e.name}" for e in entities]
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names) or "nothing"


def one(phrase: str, entities: Sequence[Entity]) -> Entity:
    """The entity that a phrase names; InputError lists the entities if it names none or several."""
    wanted = traits(phrase)
    words = set(plain(phrase).split())
    if not wanted and not (words & set(ANY) and len(entities) == 1):
        raise InputError(f"{excerpt(phrase.strip())!r} names no thing; there is {listed(entities)}")
    matches = matching_entities(phrase, entities)
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise InputError(f"there is no {' '.join(wanted.values())} here; there is {listed(entities)}")
    raise InputError(f"{excerpt(phrase.strip())!r} may be {listed(matches)}; name its color and kind")
