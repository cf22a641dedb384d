"""Entities whose fields are numbers with names, as recordings of other environments have them; questions about them, and changes.

Understood are these questions: what is there; where is X; what is X's FIELD, what is the FIELD of X; what is the FIELD, where one
has it. And these changes: set X's FIELD to N, set X.FIELD to N; move X to N N; move X by N N. Values are in the recording's units.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from kinema.errors import InputError, excerpt
from kinema.simulation.questions import Answer
from kinema.simulation.references import check_is_text

Entities = Mapping[str, Mapping[str, float]]
"""Entity -> field -> number."""
FORMS = ("what is there", "where is X", "what is X's FIELD")
CHANGES = ("set X's FIELD to N", "move X to N N", "move X by N N")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"


def entities_of(numbers: Mapping[str, float]) -> Entities:
    """Numbers named "ball.x" by entity and field; those with other names are left out."""
    entities: dict[str, dict[str, float]] = {}
    for name, value in numbers.items():
        entity, dot, field = name.rpartition(".")
        if dot and entity and field:
            entities.setdefault(entity, {})[field] = value
    return entities


def answer_from_numbers(question: str, entities: Entities) -> Answer:
    """Answer a question.

    Args:
        question: Of one of FORMS.
        entities: What there is.

    Returns:
        The kind of the question, the answer as a value and as a sentence.

    Raises:
        InputError: The question is not understood, or names an entity or a field that there is not.
    """
    text = re.sub(r"[?!.]+\s*$", "", " ".join(question.replace("’", "'").split()))
    if re.fullmatch(r"what is (?:there|here)|what do you see", text, re.IGNORECASE):
        return Answer(
            kind="what is there", value={name: dict(fields) for name, fields in entities.items()},
            sentence="; ".join(f"{name}: {_listed(fields)}" for name, fields in entities.items()) + ".",
        )  # fmt: skip
    if (match := re.fullmatch(r"(?:what|how much|how many) is (?:the )?(\w+)", text, re.IGNORECASE)) is not None:
        owners = [name for name, fields in entities.items() if match[1].lower() in map(str.lower, fields)]
        if len(owners) != 1:
            there = f"{match[1]} is of {', '.join(owners)}" if owners else f"nothing has a {match[1]}"
            raise InputError(f"{there}; ask like this: {'; '.join(FORMS)}")
        return answer_from_numbers(f"what is {owners[0]}'s {match[1]}", entities)
    if (match := re.fullmatch(r"where (?:is|are) (?:the )?(.+)", text, re.IGNORECASE)) is not None:
        name, fields = _entity(match[1], entities)
        place = {field: value for field, value in fields.items() if field in ("x", "y", "z")}
        if not place:
            raise InputError(f"where {name} is was not recorded; it has {', '.join(fields)}")
        return Answer(kind="where", value=place, sentence=f"{name} is at {_listed(place)}.")
    match = re.fullmatch(r"(?:what|how much|how many) is (?:the )?(.+?)(?:'s | )(\w+)", text, re.IGNORECASE)
    other = re.fullmatch(r"(?:what|how much|how many) is (?:the )?(\w+) of (?:the )?(.+)", text, re.IGNORECASE)
    wanted = (other[2], other[1]) if other is not None else (match[1], match[2]) if match is not None else None
    if wanted is None:
        raise InputError(f"the question {excerpt(question)!r} is not understood; ask like this: {'; '.join(FORMS)}")
    name, fields = _entity(wanted[0], entities)
    field = _near(wanted[1], tuple(fields), f"{name} has no {excerpt(wanted[1])!r}")
    return Answer(kind="what", value=fields[field], sentence=f"{name}'s {field} is {fields[field]:.4g}.")


def change_from_text(text: str, entities: Entities) -> dict[str, float]:
    """What a change makes of the entities.

    Args:
        text: Of one of CHANGES.
        entities: What there is.

    Returns:
        New values by "entity.field".

    Raises:
        InputError: The change is not understood, or names an entity or a field that there is not.
    """
    check_is_text(text)
    plain = re.sub(r"[!.]+\s*$", "", " ".join(text.replace("’", "'").split()))
    if (
        match := re.fullmatch(rf"set (?:the )?(.+?)(?:'s |\.| )(\w+) (?:to|=) ({_NUMBER})", plain, re.IGNORECASE)
    ) is not None:
        name, fields = _entity(match[1], entities)
        field = _near(match[2], tuple(fields), f"{name} has no {excerpt(match[2])!r}")
        return {f"{name}.{field}": float(match[3])}
    pattern = rf"move (?:the )?(.+?) (to|by) \(?({_NUMBER})(?:, ?| )({_NUMBER})\)?"
    if (match := re.fullmatch(pattern, plain, re.IGNORECASE)) is not None:
        name, fields = _entity(match[1], entities)
        if not {"x", "y"} <= fields.keys():
            raise InputError(f"where {name} is was not recorded with x and y; it has {', '.join(fields)}")
        by = match[2].lower() == "by"
        places = zip("xy", (float(match[3]), float(match[4])), strict=True)
        return {f"{name}.{axis}": value + (fields[axis] if by else 0.0) for axis, value in places}
    raise InputError(f"the change {excerpt(text)!r} is not understood; say: {'; '.join(CHANGES)}")


def _entity(word: str, entities: Entities) -> tuple[str, Mapping[str, float]]:
    if f"the {word}".lower() in map(str.lower, entities):
        word = f"the {word}"
    name = _near(word, tuple(entities), f"there is no {excerpt(word)!r}")
    return name, entities[name]


def _near(word: str, names: tuple[str, ...], problem: str) -> str:
    """The name that a word is, in any case. InputError: none."""
    same = next((name for name in names if name.lower() == word.lower()), None)
    if same is None:
        near = difflib.get_close_matches(word.lower(), [name.lower() for name in names], 1)
        raise InputError(f"{problem}; expected one of {', '.join(names)}" + (f" (perhaps {near[0]})" if near else ""))
    return same


def _listed(fields: Mapping[str, float]) -> str:
    return ", ".join(f"{field} {value:.4g}" for field, value in fields.items())
