"""From a story to a script by a language model, whose answers are repaired, and never trusted.

Enums are normalized, unknown fields dropped, then the script is read as strictly as one that a person wrote. What is wrong with it
is sent back, with a cap on the tries.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import Any, get_args

from kinema.director.endpoint import ChatEndpoint, json_in
from kinema.director.planning.planner import PlannedScript, with_notes
from kinema.director.script import (
    NEEDS_OTHER,
    CameraMove,
    CastMember,
    DialogueLine,
    Direction,
    EventKind,
    ExpectedEvent,
    FilmPlace,
    Framing,
    ProductionSettings,
    Script,
    Shot,
    TransitionKind,
    script_from,
    script_schema,
)
from kinema.engines import Capabilities
from kinema.errors import EngineError, InputError, excerpt
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS

TRIES = 4
"""Answers that are asked for, the first among them."""
_ENUMS: dict[str, tuple[str, ...]] = {
    "framing": get_args(Framing), "camera": get_args(CameraMove), "transition": get_args(TransitionKind),
    "kind": get_args(EventKind), "direction": get_args(Direction),
}  # fmt: skip
_SYNONYMS = {
    "closeup": "close", "close up": "close", "extreme close up": "close", "mid": "medium", "full": "wide", "long": "wide",
    "establishing": "wide", "static": "still", "none": "still", "fixed": "still", "pan": "pan right", "dolly in": "zoom in",
    "push in": "zoom in", "dolly out": "zoom out", "pull out": "zoom out", "tracking": "follow", "track": "follow",
    "crossfade": "dissolve", "fade in": "fade", "fade out": "fade", "fade to black": "fade", "hard cut": "cut", "collides": "hits",
    "exits": "leaves", "arrives": "enters", "hides": "passes_behind", "reappears": "comes_out", "rolls": "moves", "walks": "moves",
    "slides": "moves", "drives": "moves", "stands": "rests",
}  # fmt: skip
_NEUTRAL = {"framing": "wide", "camera": "still", "transition": "cut"}


def plan_with_llm(
    story: str,
    endpoint: ChatEndpoint,
    capabilities: Capabilities,
    settings: ProductionSettings | None = None,
    tries: int = TRIES,
) -> PlannedScript:
    """Plan a story by a language model.

    Args:
        story: The story's text.
        endpoint: Where it is asked.
        capabilities: Of the model that films.
        settings: Of the production; what the language model says of it is not used.
        tries: Answers that are asked for at most.

    Returns:
        A script that is as strict as any, with notes.

    Raises:
        EngineError: No valid script came in so many tries; the message has the last problem.
    """
    settings = settings or ProductionSettings()
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": instructions(capabilities)},
        {"role": "user", "content": story},
    ]
    problem, last = "", ""
    for _ in range(tries):
        answer = endpoint.ask(messages, script_schema(), "script")
        try:
            data, notes = normalized(json_in(answer))
            script = script_from({**data, "production": settings.model_dump(mode="json")})
            _check_identities(script, capabilities)
            return with_notes(script, capabilities, notes)
        except InputError as error:
            problem = str(error)
        again = " It is the same answer as before: change it." if answer == last else ""
        last = answer
        messages = [
            *messages[:2],
            {"role": "assistant", "content": excerpt(answer, 8000)},
            {
                "role": "user",
                "content": f"That is no valid script: {problem}.{again} Answer with the whole corrected JSON only.",
            },
        ]
    raise EngineError(f"{endpoint.model} gave no valid script in {tries} tries: {problem}", "upstream_failed")


def instructions(capabilities: Capabilities) -> str:
    """What a language model is told about scripts and the model that films."""
    lines = [
        "You are a film director. Turn the user's story into a script: one JSON object with version 1, cast, places and shots.",
        "Each shot shows one simple action. ids are lower-case words with hyphens. Every id in a shot's cast is in the cast.",
        f"The video model {capabilities.model} films {capabilities.filmed}; a shot lasts about {capabilities.seconds:g} seconds.",
        *(f"{name}: {', '.join(_ENUMS[name])}." for name in ("framing", "camera", "transition")),
        f"events: what has to be seen, each with kind ({', '.join(_ENUMS['kind'])}), who, and for {', '.join(NEEDS_OTHER)} other.",
        "goes_on_from: id of the shot before in the same scene.",
    ]
    if capabilities.state:
        lines += [
            f"Each cast member has identity: kind ({', '.join(KINDS)}) and color ({', '.join(COLORS)}); up to four in a scene.",
            f"Each place has background: {', '.join(BACKGROUNDS)}.",
            "A prompt is in plain words, such as: in a lab, a red ball rolls right and hits a blue box.",
        ]
    lines.append("Answer with JSON only.")
    return "\n".join(lines)


def _check_identities(script: Script, capabilities: Capabilities) -> None:
    """InputError where a member of the cast is not of the model's world."""
    if not capabilities.state:
        return
    for member in script.cast:
        if member.identity is None:
            raise InputError(f'cast member "{member.id}", identity is missing: expected kind and color')
        for name, known in (("kind", KINDS), ("color", COLORS)):
            value = getattr(member.identity, name)
            if value not in known:
                raise InputError(
                    f'cast member "{member.id}", identity, {name}: "{value}" came, expected one of {", ".join(known)}'
                )


def normalized(data: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """An answer with its enums in the script's words and without fields that scripts do not have; and notes of what was changed.
    Framings, cameras and transitions that nobody knows become the neutral ones."""
    notes: list[str] = []
    inner = data.get("script")
    data = inner if isinstance(inner, dict) and "shots" not in data else data
    cast = [_known(one, CastMember, notes) for one in _list(data, "cast")]
    places = [_known(one, FilmPlace, notes) for one in _list(data, "places")]
    shots = []
    for number, shot in enumerate(_list(data, "shots"), 1):
        shot = _known(shot, Shot, notes)
        if isinstance(shot, dict):
            shot["id"] = _id(shot.get("id", f"s{number}"))
            _enums(shot, ("framing", "camera", "transition"), f"shot {number}", notes)
            shot["events"] = [_event(event, number, notes) for event in _list(shot, "events")]
            shot["dialogue"] = [
                {"text": line} if isinstance(line, str) else _known(line, DialogueLine, notes)
                for line in _list(shot, "dialogue")
            ]
            for name in ("place", "goes_on_from"):
                if isinstance(shot.get(name), str | int):
                    shot[name] = _id(shot[name]) or None
            shot["cast"] = [_id(id) if isinstance(id, str) else id for id in _list(shot, "cast")]
            shot = {name: value for name, value in shot.items() if value is not None}
            if isinstance(shot.get("scene"), int):
                shot["scene"] = str(shot["scene"])
        shots.append(shot)
    for part in (*cast, *places):
        if isinstance(part, dict) and isinstance(part.get("id"), str):
            part["id"] = _id(part["id"])
    return {"version": 1, "cast": cast, "places": places, "shots": shots}, list(dict.fromkeys(notes))


def _list(data: dict[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    return value if isinstance(value, list) else [] if value is None else [value]


def _known(part: Any, model: Any, notes: list[str]) -> Any:
    if not isinstance(part, dict):
        return part
    unknown = sorted(set(part) - set(model.model_fields))
    if unknown:
        notes.append(f"the language model's fields {', '.join(map(str, unknown[:4]))} are left out")
    return {name: value for name, value in part.items() if name in model.model_fields}


def _event(event: Any, number: int, notes: list[str]) -> Any:
    event = _known(event, ExpectedEvent, notes)
    if isinstance(event, dict):
        _enums(event, ("kind", "direction"), f"shot {number}", notes)
        for name in ("who", "other"):
            if isinstance(event.get(name), str):
                event[name] = _id(event[name])
        return {name: value for name, value in event.items() if value not in (None, "")}
    return event


def _enums(part: dict[str, Any], names: tuple[str, ...], where: str, notes: list[str]) -> None:
    """Put the values of these fields into the script's words."""
    for name in names:
        value = part.get(name)
        if not isinstance(value, str) or value in _ENUMS[name]:
            continue
        plain = re.sub(r"[\s_-]+", " ", value.strip().lower()).removesuffix(" shot")
        options = {option.replace("_", " "): option for option in _ENUMS[name]}
        fitting = options.get(_SYNONYMS.get(plain, plain).replace("_", " "))
        if fitting is None:
            near = difflib.get_close_matches(plain, options, 1, cutoff=0.7)
            fitting = options[near[0]] if near else _NEUTRAL.get(name)
        if fitting is not None:
            part[name] = fitting
            notes.append(f"{where}: {name} {json.dumps(excerpt(value, 40))} is read as {fitting!r}")


def _id(value: Any) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-")[:40]
