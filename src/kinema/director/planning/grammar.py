"""Simple English sentences as events: who does what to whom, in which direction. No model is asked.

"A red ball rolls right and hits a blue box." is two clauses, `moves` and `hits`. "It", "the ball" and "the robot" mean what was
named before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kinema.director.script import CastIdentity, CastMember, Direction, EventKind, ExpectedEvent
from kinema.playground.vocabulary import article
from kinema.scene.scene import COLORS, MATERIALS, SIZES
from kinema.text.prompt_check import things_in

_GO = "(?:come|go|roll|slide|walk|drive|move|run)(?:e?s)?"
_VIEW = "(?:the )?(?:view|picture|frame|lab|room|scene)"
_VERBS: tuple[tuple[EventKind, str], ...] = (
    ("passes_behind", r"(?:pass|go|roll|slide|walk|drive|move|run|disappear|hide|vanish)(?:e?s)? (?:away )?behind"),
    ("comes_out", rf"{_GO} (?:back )?out(?: again)?(?! of {_VIEW})|reappears?|appears? again"),
    ("leaves", rf"leaves?(?: {_VIEW})?|exits?|{_GO} (?:away|off|out of {_VIEW})|disappears?"),
    ("enters", rf"enters?(?: {_VIEW})?|{_GO} (?:in\b(?! the)|into {_VIEW})|arrives?(?! at)|appears?|turns up"),
    ("stops", r"stops?|halts?|comes to (?:a )?(?:rest|stop|halt)|stands? still (?:there|now)"),
    (
        "hits",
        r"hits?|bump(?:s)? (?:into|against)|collides? with|crash(?:es)? into|strikes?|knocks? (?:into|against)|runs? into"
        r"|lands? on|meets?|touch(?:es)?",
    ),
    ("pushes", r"push(?:es)?|shoves?"),
    ("reaches", r"reach(?:es)?|gets? to|arrives? at"),
    ("bounces", r"bounces?"),
    ("jumps", r"jumps?|hops?|leaps?"),
    ("falls", r"falls?|drops?|tumbles? down"),
    ("rests", r"(?:stand|rest|wait|stay|lie|sit)s?(?: still)?|does(?: not|n['’]t) move|is (?:there|still)"),
    (
        "moves",
        r"rolls?|slides?|moves?|goe?s?|drives?|walks?|runs?|flies|tumbles?|is thrown|is tossed|rushes|hurries|heads?|crosses"
        r"|returns?|turns?(?: back)?|comes?",
    ),
)
_VERB = re.compile("|".join(rf"(?P<{kind}>\b(?:{words})\b)" for kind, words in _VERBS), re.IGNORECASE)
_DIRECTION = re.compile(r"\b(?:to the |from the |on the )?(left|right|up|down)(?:wards?)?\b", re.IGNORECASE)
_FROM = re.compile(r"\bfrom the (left|right)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"\s*(?:,?\s*\b(?:and then|then|and|while|until|before)\b|;|,)\s*", re.IGNORECASE)
_NOT = re.compile(
    r"\b(?:never|not|cannot|no longer|hardly|neither|nor|no|none|nobody|nothing|without)\b|n['’]t\b", re.IGNORECASE
)
_STILL = re.compile(r"\bdoes(?: not|n['’]t) move\b", re.IGNORECASE)
_SETTING = re.compile(r"(?:in|on|at|inside|outside|under|near|by|one|once|early|late|that)\b", re.IGNORECASE)
"""How a phrase begins that only says where or when."""
_PRONOUN = re.compile(r"\b(it|he|she|they)\b", re.IGNORECASE)
_OTHER_PRONOUN = re.compile(r"\b(it|him|her|them)\b", re.IGNORECASE)
FRAMINGS = (("close", r"\bclose[- ]?up\b|\bcloser\b"), ("medium", r"\bmedium shot\b"), ("wide", r"\bwide shot\b"))
CAMERAS = (
    ("zoom in", r"\bcamera (?:zooms|moves) in\b"), ("zoom out", r"\bcamera (?:zooms|moves) out\b"),
    ("pan left", r"\bcamera (?:pans|moves) (?:to the )?left\b"), ("pan right", r"\bcamera (?:pans|moves) (?:to the )?right\b"),
    ("follow", r"\bcamera follows\b"),
)  # fmt: skip


@dataclass(kw_only=True)
class NamedThing:
    """Something that a story names. words: 'large red ball'."""

    id: str
    kind: str
    color: str
    material: str = "plain"
    size: str = "medium"

    @property
    def look(self) -> str:
        """'a large red ball'."""
        size = "" if self.size == "medium" else f"{self.size} "
        material = "" if self.material == "plain" else f"{self.material} "
        return article(f"{size}{material}{self.color} {self.kind}")


@dataclass
class NamedThings:
    """What a story has named so far, by id, and what it was about last."""

    things: dict[str, NamedThing] = field(default_factory=dict)
    last: str | None = None
    last_other: str | None = None
    heading: dict[str, Direction] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def resolve(self, text: str) -> list[str]:
        """Ids of all that a text names, new ones among them."""
        return [self._thing(mention.text, mention.kind, mention.color) for mention in things_in(text)]

    def _thing(self, text: str, kind: str, color: str | None) -> str:
        known = [thing for thing in self.things.values() if thing.kind == kind and color in (None, thing.color)]
        another = re.match(r"(?:another|a second|a new)\b", text, re.IGNORECASE)
        if known and not (another and color is None):
            return known[-1].id
        if color is None:
            used = {thing.color for thing in self.things.values() if thing.kind == kind}
            color = next(name for name in (_USUAL.get(kind, "red"), *COLORS) if name not in used)
            self.notes.append(f"{text.lower()!r} has no color: it is filmed as {article(f'{color} {kind}')}")
        words = text.lower().split()
        size = next((word for word in words if word in SIZES), "medium")
        material = next((word for word in words if word in MATERIALS[1:]), "plain")
        thing = NamedThing(id=f"{color}-{kind}", kind=kind, color=color, material=material, size=size)
        self.things[thing.id] = thing
        return thing.id


def member_of(thing: NamedThing) -> CastMember:
    """Something that a story names, as a member of the cast."""
    return CastMember(
        id=thing.id, name=f"{thing.color} {thing.kind}", look=thing.look,
        identity=CastIdentity(kind=thing.kind, color=thing.color, material=thing.material, size=thing.size),  # type: ignore[arg-type]
    )  # fmt: skip


_USUAL = {
    "ball": "red",
    "box": "blue",
    "robot": "green",
    "screen": "green",
    "car": "yellow",
    "flag": "pink",
    "star": "yellow",
}


def events_of(sentence: str, memory: NamedThings) -> tuple[list[ExpectedEvent], list[str], list[str]]:
    """The events of a sentence.

    Args:
        sentence: One sentence.
        memory: What was named before; what the sentence names is added.

    Returns:
        The events in order; ids of all that the sentence names or means; and clauses in which no event was understood.
    """
    events: list[ExpectedEvent] = []
    involved: list[str] = []
    lost: list[str] = []
    subject: str | None = None
    denied = False
    for whole in (part for part in _CLAUSE.split(sentence) if part and part.strip()):
        clause, named = _without_denied(whole, memory)
        involved += named
        if clause != whole and not clause.strip():
            subject, denied = (named[0] if named else None), not named
            continue
        verb = _VERB.search(clause)
        before, after = (clause, "") if verb is None else (clause[: verb.start()], clause[verb.end() :])
        named, objects = memory.resolve(before), memory.resolve(after)
        involved += [*named, *objects]
        if verb is None:
            if not named and len(clause.split()) > 2 and not _SETTING.match(clause):
                lost.append(clause.strip())
            subject = named[0] if named else subject
            continue
        if named:
            subject, denied = named[0], False
        elif denied:
            lost.append(clause.strip())
            continue
        elif _PRONOUN.search(before) or subject is None:
            subject = memory.last if _PRONOUN.search(before) or not objects else objects.pop(0)
        if subject is None:
            lost.append(clause.strip())
            continue
        kind: EventKind = verb.lastgroup  # type: ignore[assignment]
        other = next((id for id in objects if id != subject), None)
        if other is None and _OTHER_PRONOUN.search(after):
            other = memory.last_other if memory.last_other != subject else memory.last
        events += _clause_events(kind, subject, other, clause, memory)
        involved.append(subject)
        involved += [other] if other else []
        memory.last = subject
        memory.last_other = other or memory.last_other
    return events, list(dict.fromkeys(involved)), lost


def _without_denied(clause: str, memory: NamedThings) -> tuple[str, list[str]]:
    """What a clause says that happens, without what it says that does not, and ids of what that names all the same. "A ball never
    moves" says nothing that happens, and names a ball; "no ball" names none; of "a ball rolls without a box" the first half stays.
    "Does not move" is what can be seen: it rests."""
    match = _NOT.search(_STILL.sub(lambda still: "-" * len(still[0]), clause))
    if match is None:
        return clause, []
    memory.notes.append(f"{clause.strip()!r} says what does not happen: it is neither filmed nor checked")
    if match[0].lower() == "without":
        return clause[: match.start()], []
    absent = match[0].lower() in ("no", "none", "nobody", "nothing", "neither", "nor")
    return "", memory.resolve(clause[: match.start()] if absent else clause)


def _clause_events(kind: EventKind, who: str, other: str | None, clause: str, memory: NamedThings) -> list[ExpectedEvent]:
    """The event of a clause, and a movement that its words tell besides: 'rolls right behind a screen'."""
    comes_from = _FROM.search(clause)
    match = _DIRECTION.search(clause)
    direction: Direction | None = match[1].lower() if match else None  # type: ignore[assignment]
    if comes_from:
        direction = "right" if comes_from[1].lower() == "left" else "left"
    if kind in ("hits", "pushes", "passes_behind", "reaches") and other is None:
        kind = "moves"
    if kind not in ("moves", "enters", "leaves", "hits", "pushes", "passes_behind"):
        direction = None
    if kind == "moves" and direction is None and re.search(r"\bback\b|\breturns?\b", clause) and who in memory.heading:
        direction = {"left": "right", "right": "left", "up": "down", "down": "up"}[memory.heading[who]]  # type: ignore[assignment]
    if direction:
        memory.heading[who] = direction
    takes_other = kind in ("hits", "pushes", "passes_behind", "reaches", "stops")
    return [ExpectedEvent(kind=kind, who=who, other=other if takes_other else None, direction=direction)]


_PHRASE: dict[EventKind, str] = {
    "moves": "{verb}{direction}", "stops": "stops", "rests": "stands still", "enters": "comes into view",
    "leaves": "leaves the view", "hits": "hits {other}", "pushes": "pushes {other}", "passes_behind": "passes behind {other}",
    "comes_out": "comes out", "falls": "falls", "bounces": "bounces", "jumps": "jumps", "reaches": "reaches {other}",
}  # fmt: skip
_MOVE = {"ball": "rolls", "star": "rolls", "box": "slides", "triangle": "slides", "car": "drives", "robot": "walks"}


def event_words(events: Sequence[ExpectedEvent], looks: Mapping[str, str]) -> str:
    """Events in the words of the Playground's captions: 'a red ball rolls right and hits a blue box'. looks: of the cast, by id."""
    runs: list[tuple[str, list[str]]] = []
    for event in events:
        kind = looks[event.who].split()[-1]
        heading = f" {event.direction}" if event.direction else ""
        words = _PHRASE[event.kind].format(
            verb=_MOVE.get(kind, "moves"), direction=heading, other=looks.get(str(event.other), "")
        )
        if event.kind == "stops" and event.other:
            words = f"stops at {looks[event.other]}"
        if event.kind == "enters" and event.direction:
            words += f" and {_MOVE.get(kind, 'moves')}{heading}"
        if event.kind in ("hits", "pushes", "passes_behind", "leaves") and event.direction:
            words = f"{_MOVE.get(kind, 'moves')}{heading} and {words}"
        if runs and runs[-1][0] == event.who:
            runs[-1][1].append(words)
        else:
            runs.append((event.who, [words]))
    return " and ".join(f"{looks[who]} {_joined(verbs)}" for who, verbs in runs)


def _joined(verbs: Sequence[str]) -> str:
    return verbs[0] if len(verbs) == 1 else f"{', '.join(verbs[:-1])} and {verbs[-1]}"
