"""The script of a film: its cast, its places and its shots, as strict data that a person can write by hand.

`read_script` reads the JSON and says of each error which shot it is in, what came and what was expected. The published schema is
`script_schema`, also docs/script.schema.json and `kinema direct --schema`.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

from kinema.errors import InputError, excerpt
from kinema.types import parse_json

try:
    from pydantic import BaseModel, ConfigDict, Field, ValidationError
except ImportError:
    raise InputError("directing needs the package pydantic; get it with: pip install 'kinema[direct]'") from None

VERSION = 1
"""Of the script's format."""
Framing = Literal["wide", "medium", "close"]
CameraMove = Literal["still", "pan left", "pan right", "tilt up", "tilt down", "zoom in", "zoom out", "follow"]
TransitionKind = Literal["cut", "dissolve", "fade"]
EventKind = Literal[
    "moves", "stops", "rests", "enters", "leaves", "hits", "pushes", "passes_behind", "comes_out", "falls", "bounces",
    "jumps", "reaches",
]  # fmt: skip
Direction = Literal["left", "right", "up", "down"]
NEEDS_OTHER: tuple[EventKind, ...] = ("hits", "pushes", "passes_behind", "reaches")
"""Events between two members of the cast."""
MOST_SHOTS = 200
MOST_ERRORS = 6
"""Errors that one message lists."""


class _Part(BaseModel):
    """A part of a script: fields that it does not have are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TakeBudget(_Part):
    """What filming may cost. takes: films of shots in all; seconds: of this machine. None: no limit but `per_shot`."""

    takes: int | None = Field(default=None, ge=1, le=100_000)
    seconds: float | None = Field(default=None, gt=0)
    per_shot: int = Field(default=6, ge=1, le=100)


class ProductionSettings(_Part):
    """What holds for the whole film. aspect: width to height, such as "16:9"; size: "WIDTHxHEIGHT", instead of the aspect; style:
    words that stand in every prompt of an open model; sound: a file that is laid under the film; title_card: show the title for so
    many seconds first."""

    title: str = Field(default="Untitled", min_length=1, max_length=200)
    aspect: str = Field(default="1:1", pattern=r"^[1-9]\d{0,3}:[1-9]\d{0,3}$")
    size: str | None = Field(default=None, pattern=r"^[1-9]\d{0,3}x[1-9]\d{0,3}$")
    fps: float | None = Field(default=None, ge=1, le=120)
    style: str = Field(default="", max_length=500)
    sound: str | None = None
    title_card: float = Field(default=0.0, ge=0, le=20)
    budget: TakeBudget = TakeBudget()


class CastIdentity(_Part):
    """What a member of the cast is in a world with a state: the words of the model's state schema."""

    kind: str
    color: str
    material: str = "plain"
    size: Literal["small", "medium", "large"] = "medium"


class CastMember(_Part):
    """Who or what is filmed. look: in words, such as "a red ball"; pictures: files that show it; loras: files with their scale,
    such as "mia.safetensors=0.8"; identity: for models with a state."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    name: str = Field(min_length=1, max_length=80)
    look: str = Field(min_length=1, max_length=500)
    pictures: tuple[str, ...] = ()
    loras: tuple[str, ...] = ()
    identity: CastIdentity | None = None


class FilmPlace(_Part):
    """Where it happens. background, view: the words of a model's state schema, for models with a state."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    name: str = Field(min_length=1, max_length=80)
    look: str = Field(default="", max_length=500)
    background: str | None = None
    view: str | None = None


class DialogueLine(_Part):
    """What is spoken, as subtitles show it. start_s: from the beginning of the shot; None: after the line before."""

    who: str = ""
    text: str = Field(min_length=1, max_length=500)
    start_s: float | None = Field(default=None, ge=0)


class ExpectedEvent(_Part):
    """Something that has to happen in a shot. who, other: ids of the cast; direction: of what moves, enters or leaves."""

    kind: EventKind
    who: str
    other: str | None = None
    direction: Direction | None = None

    def __str__(self) -> str:
        words = [self.who, self.kind.replace("_", " "), self.other or "", self.direction or ""]
        return " ".join(word for word in words if word)


class Cue(_Part):
    """A change of the world in the middle of a shot, for models with a state. at_s: after so many seconds; or when: a question with
    yes or no, such as "is the red ball behind the screen?", of which the first yes counts. do: the change in words, such as "add a
    blue box on the right" or "push the box left"."""

    at_s: float | None = Field(default=None, ge=0, strict=True)
    when: str | None = Field(default=None, min_length=1, max_length=200)
    do: str = Field(min_length=1, max_length=200)

    def __str__(self) -> str:
        return f"{self.do}, {f'at {self.at_s:g} s' if self.when is None else self.when}"


class Shot(_Part):
    """One shot. scene: of the same scene are shots that happen at one place, one after the other; cast: who can be seen in it;
    goes_on_from: id of an earlier shot from whose last picture it goes on; first_frame, last_frame: files of pictures; motion: how
    things move, in words; model: another model than the production's; events: what has to happen, in this order; cues: changes in
    the middle of it; actor: the folder of an agent, as `kinema agent train` makes it, that moves the shot's robot. A shot with cues
    or an actor is filmed by stepping a world from its first picture."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    scene: str = Field(default="1", min_length=1, max_length=40)
    prompt: str = Field(min_length=1, max_length=2000)
    seconds: float = Field(default=4.0, gt=0, le=600)
    framing: Framing = "wide"
    camera: CameraMove = "still"
    cast: tuple[str, ...] = ()
    place: str | None = None
    first_frame: str | None = None
    last_frame: str | None = None
    goes_on_from: str | None = None
    motion: str = Field(default="", max_length=500)
    dialogue: tuple[DialogueLine, ...] = ()
    sound: str = Field(default="", max_length=500)
    transition: TransitionKind = "cut"
    seed: int = Field(default=0, ge=0, lt=2**31)
    model: str | None = None
    guides: tuple[str, ...] = ()
    events: tuple[ExpectedEvent, ...] = ()
    cues: tuple[Cue, ...] = Field(default=(), max_length=20)
    actor: str | None = Field(default=None, min_length=1)

    @property
    def live(self) -> bool:
        """Whether it is filmed by stepping a world."""
        return bool(self.cues) or self.actor is not None


class Script(_Part):
    """A whole film, ready to be filmed."""

    version: Literal[1] = 1
    production: ProductionSettings = ProductionSettings()
    cast: tuple[CastMember, ...] = ()
    places: tuple[FilmPlace, ...] = ()
    shots: tuple[Shot, ...] = Field(min_length=1, max_length=MOST_SHOTS)

    @property
    def seconds(self) -> float:
        """Length of all shots together, in seconds, before transitions."""
        return sum(shot.seconds for shot in self.shots)

    def member(self, id: str) -> CastMember:
        """The member of the cast with an id. KeyError: there is none."""
        return next((member for member in self.cast if member.id == id), None) or _missing(id)

    def place_of(self, shot: Shot) -> FilmPlace | None:
        """Where a shot happens; None where it does not say."""
        return next((place for place in self.places if place.id == shot.place), None)

    def index_of(self, id: str) -> int:
        """The number of a shot from 0 on, by its id. InputError: there is no such shot."""
        for index, shot in enumerate(self.shots):
            if shot.id == id:
                return index
        raise InputError(f"there is no shot {excerpt(id)!r}: expected one of {', '.join(shot.id for shot in self.shots)}")

    def with_shot(self, shot: Shot) -> Script:
        """The script with another shot in the place of the one with this id."""
        shots = tuple(shot if one.id == shot.id else one for one in self.shots)
        return self.model_copy(update={"shots": shots})

    def to_json(self) -> str:
        """The script as JSON that `read_script` reads; what is as usual is left out."""
        content = {"version": VERSION, **self.model_dump(mode="json", exclude_defaults=True)}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def script_schema() -> dict[str, Any]:
    """The JSON Schema of a script."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Script.model_json_schema()}


def read_script(text: str) -> Script:
    """A script from its JSON.

    Args:
        text: JSON text.

    Returns:
        The script.

    Raises:
        InputError: The text is no JSON, or no script: one clause for each error, with its shot, what came and what was expected.
    """
    try:
        data = parse_json(text)
    except ValueError as error:
        why = str(error)
        if isinstance(error, json.JSONDecodeError):
            why = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise InputError(f"the script is no JSON: {why}; `kinema direct --schema` has its shape") from None
    return script_from(data)


def script_from(data: object) -> Script:
    """A script from plain data. InputError: as `read_script`."""
    if not isinstance(data, dict):
        raise InputError(f"the script is {_came(data)}: expected an object with version, cast and shots")
    try:
        script = Script.model_validate(data)
    except ValidationError as error:
        raise InputError(_listed([_line(data, entry) for entry in _own_errors(error)])) from None
    problems = list(_inconsistent(script))
    if problems:
        raise InputError(_listed(problems))
    return script


@contextmanager
def errors_named(what: str) -> Iterator[None]:
    """Turn what a part of a script refuses into InputError: one clause for each error, after `what` it is made of."""
    try:
        yield
    except ValidationError as error:
        raise InputError(f"{what}: {_listed([_line({}, entry) for entry in _own_errors(error)])}") from None


def _own_errors(error: ValidationError) -> list[Any]:
    """All errors but those that a list is too short, because entries of it have errors of their own."""
    entries = error.errors()
    places = [entry["loc"] for entry in entries]
    return [
        entry
        for entry in entries
        if entry["type"] != "too_short" or not any(one[:-1][: len(entry["loc"])] == entry["loc"] for one in places)
    ]


def number_of_shots(count: int) -> str:
    """ "1 shot", "2 shots"."""
    return "1 shot" if count == 1 else f"{count} shots"


def _missing(id: str) -> Any:
    raise KeyError(id)


def _listed(lines: list[str]) -> str:
    more = len(lines) - MOST_ERRORS
    return "; ".join(lines[:MOST_ERRORS]) + (f"; and {more} more errors" if more > 0 else "")


def _came(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return excerpt(text.encode("utf-8", "replace").decode(), 60)


def _line(data: dict[str, Any], entry: Any) -> str:
    """One error of pydantic in plain words."""
    location = list(entry["loc"])
    name = _where(data, location)
    kind, context, came = entry["type"], entry.get("ctx") or {}, entry.get("input")
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        return f"{name}: there is no such field; expected {_known_fields(location)}"
    expected = {
        "tuple_type": "a list",
        "model_type": "an object",
        "model_attributes_type": "an object",
        "literal_error": f"one of {', '.join(re.findall(_QUOTED, str(context.get('expected'))))}",
        "string_pattern_mismatch": _PATTERNS.get(str(location[-1]), 'letters, digits and hyphens, such as "red-ball"'),
    }.get(kind) or re.sub(r"^\w+ should (?:be |have )?", "", entry["msg"])
    near = difflib.get_close_matches(str(came), re.findall(_QUOTED, str(context.get("expected"))), 1) if came else []
    return f"{name}: {_came(came)} came, expected {expected}" + (f" (perhaps {near[0]})" if near else "")


_QUOTED = r"'([^']*)'"
_PATTERNS = {"aspect": 'width to height, such as "16:9"', "size": 'WIDTHxHEIGHT in pixels, such as "128x128"'}


def _where(data: dict[str, Any], location: list[Any]) -> str:
    """'shot 3 ("s3"), framing' of a path in the data."""
    words: list[str] = []
    value: Any = data
    for part in location:
        if isinstance(part, int):
            list_name = words.pop() if words else "entry"
            value = value[part] if isinstance(value, list) and part < len(value) else None
            id = value.get("id") if isinstance(value, dict) else None
            words.append(
                f"{_SINGULAR.get(list_name, list_name)} {part + 1}" + (f' ("{excerpt(str(id), 40)}")' if id else "")
            )
        else:
            value = value.get(part) if isinstance(value, dict) else None
            words.append(str(part))
    return ", ".join(words)


_SINGULAR = {"shots": "shot", "places": "place", "events": "event", "cast": "cast member", "dialogue": "line", "cues": "cue"}
_PARTS: dict[str, type[BaseModel]] = {
    "shots": Shot, "cast": CastMember, "places": FilmPlace, "events": ExpectedEvent, "dialogue": DialogueLine,
    "cues": Cue, "production": ProductionSettings, "identity": CastIdentity, "budget": TakeBudget,
}  # fmt: skip


def _known_fields(location: list[Any]) -> str:
    owner = next((part for part in reversed(location[:-1]) if part in _PARTS), None)
    model = Script if owner is None else _PARTS[owner]
    near = difflib.get_close_matches(str(location[-1]), model.model_fields, 1)
    return near[0] if near else f"one of {', '.join(model.model_fields)}"


def _inconsistent(script: Script) -> Iterator[str]:
    """A line for each name that stands twice or for nothing."""
    for list_name in ("cast", "places", "shots"):
        ids = [part.id for part in getattr(script, list_name)]
        for id in sorted({id for id in ids if ids.count(id) > 1}):
            yield f'two {list_name} have the id "{id}": expected one id each'
    members, places = {member.id for member in script.cast}, {place.id for place in script.places}
    earlier: list[str] = []
    for number, shot in enumerate(script.shots, 1):
        name = f'shot {number} ("{shot.id}")'
        for id in shot.cast:
            if id not in members:
                yield f'{name}, cast: "{id}" came, expected {_one_of(members)}'
        for count, line in enumerate(shot.dialogue, 1):
            if line.start_s is not None and line.start_s >= shot.seconds:
                yield f"{name}, line {count}, start_s: {line.start_s:g} came, expected less than the shot's {shot.seconds:g} s"
        for count, event in enumerate(shot.events, 1):
            yield from (f"{name}, event {count}: {problem}" for problem in _event_problems(event, shot.cast))
        for count, cue in enumerate(shot.cues, 1):
            yield from (f"{name}, cue {count}: {problem}" for problem in cue_problems(cue, shot.seconds))
        if shot.live and (shot.first_frame is not None or shot.last_frame is not None):
            yield f"{name}: cues and an actor begin with a staged picture, expected no first_frame and no last_frame"
        if shot.place is not None and shot.place not in places:
            yield f'{name}, place: "{shot.place}" came, expected {_one_of(places)}'
        if shot.goes_on_from is not None and shot.goes_on_from not in earlier:
            yield f'{name}, goes_on_from: "{shot.goes_on_from}" came, expected an earlier shot: {_one_of(earlier)}'
        earlier.append(shot.id)


def _event_problems(event: ExpectedEvent, cast: tuple[str, ...]) -> Iterator[str]:
    for field, id in (("who", event.who), ("other", event.other)):
        if id is not None and id not in cast:
            yield f'{field} "{id}" came, expected one of the shot\'s cast: {_one_of(cast)}'
    if event.kind in NEEDS_OTHER and event.other is None:
        yield f'"{event.kind}" came without "other": expected whom or what it {event.kind.replace("_", " ")}'


def cue_problems(cue: Cue, seconds: float = math.inf) -> Iterator[str]:
    """What is wrong with a cue of a shot of that length, one clause each; what it names may be there or not."""
    from kinema.simulation.edits import FORMS as CHANGES
    from kinema.simulation.edits import is_change
    from kinema.simulation.questions import FORMS as QUESTIONS
    from kinema.simulation.questions import is_yes_or_no

    if (cue.at_s is None) == (cue.when is None):
        yield f"{'neither' if cue.when is None else 'both'} at_s and when came, expected one of them"
    if cue.at_s is not None and cue.at_s >= seconds:
        yield f"at_s: {cue.at_s:g} came, expected less than the shot's {seconds:g} s"
    if cue.when is not None and not is_yes_or_no(cue.when):
        known = "; ".join(form for form in QUESTIONS if form.startswith(("is ", "has ", "did ")))
        yield f"when: {_came(cue.when)} came, expected a question with yes or no about things that are named: {known}"
    if not is_change(cue.do):
        yield f"do: {_came(cue.do)} came, expected a change of a thing that is named: {'; '.join(CHANGES)}"


def _one_of(names: Any) -> str:
    ordered = names if isinstance(names, list | tuple) else sorted(names)
    return ", ".join(ordered) or "nothing, since there is none"


EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)
