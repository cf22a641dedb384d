"""From a story to a script without any language model.

For a model with a state and a vocabulary, sentences are understood by a small grammar (`kinema.director.planning.grammar`):
who is in a scene, what happens, what is expected to be seen. For others each sentence is a shot. What the model cannot film is
noted before anything is filmed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from kinema.director.filming.actors import check_live
from kinema.director.filming.staging import TALL, check_scene_words
from kinema.director.filming.takes import film_size
from kinema.director.planning.cues import PlannedCue, cue_of, seems_a_cue
from kinema.director.planning.grammar import CAMERAS, FRAMINGS, NamedThings, event_words, events_of, member_of
from kinema.director.planning.story import Beat, Story, StoryScene
from kinema.director.script import (
    MOST_SHOTS,
    CastMember,
    Cue,
    DialogueLine,
    ExpectedEvent,
    FilmPlace,
    ProductionSettings,
    Script,
    Shot,
    errors_named,
    number_of_shots,
)
from kinema.engines import Capabilities
from kinema.errors import InputError, excerpt
from kinema.playground.vocabulary import PLACES, listing
from kinema.scene.scene import BACKGROUNDS

MOST_CAST = 4
"""Objects that a Kinema model holds in one scene."""
SHOT_S, EVENT_S = 4.0, 1.0
"""Length of a shot of up to two events, and what each further one adds, in seconds."""
CUE_S = 2.0
"""Seconds for which the change of a timed cue is seen at least."""
UNFILMED_CAMERA = ("follow", "tilt up", "tilt down")
"""Camera moves that models with a state do not film: they are filmed with the camera at rest."""


@dataclass(frozen=True, kw_only=True)
class FilmEstimate:
    """What a script costs to film. seconds: of this machine for one take of each shot, by `kinema models check`; None: not
    measured. most_takes: that its budget allows, one for each shot at least."""

    film_s: float
    shots: int
    seconds: float | None
    most_takes: int

    def __str__(self) -> str:
        time = "not measured: `kinema models check` does it"
        if self.seconds is not None:
            time = f"about {self.seconds:.0f} s for one take each"
        return f"{number_of_shots(self.shots)}, {self.film_s:g} s; time {time}; up to {self.most_takes} takes"


@dataclass(frozen=True, kw_only=True)
class PlannedScript:
    """A script, and what is to be known before it is filmed. notes: what will not be filmed as the story has it."""

    script: Script
    notes: tuple[str, ...]
    estimate: FilmEstimate


def plan_story(story: Story, capabilities: Capabilities, settings: ProductionSettings | None = None) -> PlannedScript:
    """Plan a story for a model.

    Args:
        story: The story.
        capabilities: What the model can film.
        settings: Of the production. None: the usual ones with the story's title.

    Returns:
        The script, with notes and an estimate.

    Raises:
        InputError: Nothing of the story is understood, or it has more shots or longer sentences than a script holds.
    """
    planner = _ForState(capabilities) if capabilities.state else _ForAny(capabilities)
    with errors_named("the story cannot be planned"):
        settings = settings or ProductionSettings(title=story.title)
        for number, scene in enumerate(story.scenes, 1):
            planner.plan_scene(scene, str(number))
        _check_shots(len(planner.shots), planner.notes, capabilities)
        script = Script(
            production=settings,
            cast=tuple(planner.cast()),
            places=tuple(planner.places.values()),
            shots=tuple(planner.shots),
        )
    return with_notes(script, capabilities, planner.notes)


def _check_shots(count: int, notes: Sequence[str], capabilities: Capabilities) -> None:
    if count == 0:
        why = "; ".join(excerpt(note, 120) for note in dict.fromkeys(notes[:3]))
        raise InputError(f"the story has nothing that {capabilities.model} films ({why}); it films {capabilities.filmed}")
    if count > MOST_SHOTS:
        raise InputError(f"the story has {count} shots: expected up to {MOST_SHOTS}; film it in parts")


def with_notes(script: Script, capabilities: Capabilities, notes: Sequence[str] = ()) -> PlannedScript:
    """A script with what its model cannot film as it says, and an estimate. InputError: a shot's cast or place has words that are
    none of the model's state, or a shot has cues or an actor and the model no state."""
    own = [shot for shot in script.shots if shot.model in (None, capabilities.model)]
    check_live(script, lambda shot: capabilities, own)
    if capabilities.state:
        _check_state_words(script, capabilities)
    more = [*notes, *unfilmable(script, capabilities)]
    return PlannedScript(script=script, notes=tuple(dict.fromkeys(more)), estimate=estimate_of(script, capabilities))


def _check_state_words(script: Script, capabilities: Capabilities) -> None:
    """InputError: the first shot whose cast or place has words that are none of the model's state."""
    for number, shot in enumerate(script.shots, 1):
        if shot.model is not None and shot.model != capabilities.model:
            continue
        place = script.place_of(shot)
        try:
            identities = {id: one for id in shot.cast if (one := script.member(id).identity) is not None}
            check_scene_words(identities, (place and place.background) or "lab", (place and place.view) or "side")
        except InputError as error:
            raise InputError(f'shot {number} ("{shot.id}"), {error}') from None


def estimate_of(script: Script, capabilities: Capabilities) -> FilmEstimate:
    """What a script costs to film by a model."""
    size = film_size(script, capabilities)
    times = [capabilities.time_of(shot.seconds, size, None) for shot in script.shots]
    known = [time for time in times if time is not None]
    budget = script.production.budget
    return FilmEstimate(
        film_s=script.seconds,
        shots=len(script.shots),
        seconds=sum(known) if len(known) == len(times) else None,
        most_takes=min(max(budget.takes or budget.per_shot * len(times), len(times)), budget.per_shot * len(times)),
    )


def picture_notes(script: Script) -> list[str]:
    """One line for each member of the cast whose pictures no model is given."""
    return [
        f'cast member "{member.id}": pictures are not given to the model, which films it by its look in words'
        for member in script.cast
        if member.pictures
    ]


def unfilmable(script: Script, capabilities: Capabilities) -> list[str]:
    """What of a script a model does not film as it says: one line each, with its shot."""
    notes = picture_notes(script)
    for number, shot in enumerate(script.shots, 1):
        name = f'shot {number} ("{shot.id}")'
        if shot.model is not None and shot.model != capabilities.model:
            notes.append(f"{name}: it is filmed by {shot.model}, whose limits are checked when it is filmed")
            continue
        strange, hint = capabilities.unknown_words(shot.prompt)
        if strange:
            notes.append(
                f"{name}: {capabilities.model} does not know {', '.join(strange[:6])}" + (f" ({hint})" if hint else "")
            )
        if not capabilities.films_something(shot.prompt):
            notes.append(f"{name}: its prompt names nothing that {capabilities.model} films; it films {capabilities.filmed}")
        if capabilities.most_seconds is not None and shot.seconds > capabilities.most_seconds:
            notes.append(f"{name}: {shot.seconds:g} s, and {capabilities.model} films up to {capabilities.most_seconds:g} s")
        if capabilities.state and shot.camera in UNFILMED_CAMERA:
            notes.append(f'{name}: camera "{shot.camera}" is filmed at rest')
        if capabilities.state and len(shot.cast) > MOST_CAST:
            notes.append(f"{name}: {len(shot.cast)} of the cast, and {capabilities.model} films up to {MOST_CAST} at once")
        if shot.guides:
            notes.append(f"{name}: guides are not used yet: it is filmed without {', '.join(shot.guides)}")
        if shot.goes_on_from is not None and not capabilities.state and "image" not in capabilities.workflows:
            notes.append(
                f"{name}: {capabilities.model} takes no first picture, so it does not go on from {shot.goes_on_from}"
            )
    return notes


class _ForState:
    """Plans for a model with a state."""

    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities, self.memory = capabilities, NamedThings()
        self.shots: list[Shot] = []
        self.places: dict[str, FilmPlace] = {}
        self.own_notes: list[str] = []
        self.absent: set[str] = set()

    @property
    def notes(self) -> list[str]:
        return [*self.memory.notes, *self.own_notes]

    def cast(self) -> list[CastMember]:
        """All that the story names, once each."""
        return [member_of(thing) for thing in self.memory.things.values()]

    def plan_scene(self, scene: StoryScene, name: str) -> None:
        """Add the shots of a scene."""
        understood: list[Understood] = []
        texts = [scene.heading]
        for beat in scene.beats:
            before = understood[-1][0].cues if understood else []
            if understood and (planned := cue_of(beat.text, self.memory, before)) is not None:
                last, events, involved = understood[-1]
                understood[-1] = (_cued(last, beat, planned), events, [*involved, *planned.named])
                if planned.timeless:
                    when = planned.cue.when or f"after {planned.cue.at_s:g} s"
                    self.own_notes.append(
                        f"scene {name}: {beat.text!r} does not say when: it is given {when}; say After 2 seconds, or When X stops"
                    )
                if re.match(r"(?:make|paint|turn|color|recolor)\b", planned.cue.do, re.IGNORECASE):
                    self.own_notes.append(f"scene {name}: {planned.cue.do!r} holds to the end of its shot")
                continue
            if seems_a_cue(beat.text):
                self.own_notes.append(
                    f"scene {name}: {beat.text!r} is no cue that is understood, and is filmed as a sentence; a cue comes after what"
                    " happens: When X is behind Y, add a blue box"
                )
            texts.append(beat.text)
            events, involved, lost = events_of(beat.text, self.memory)
            self.own_notes += [f"scene {name}: no event is understood in {clause!r}; it is not filmed" for clause in lost]
            if events or involved:
                understood.append((beat, events, involved))
            elif not lost:
                self.own_notes.append(f"scene {name}: {beat.text!r} names nothing that {self.capabilities.model} films")
        if not understood:
            return
        self._forget_sizes()
        place = self._place(texts)
        present, entering = self._present(understood)
        brought = {id for beat, _, _ in understood for id in beat.brought}
        present, entering = present - brought, entering - brought
        self._check_count(present | entering | brought, name)
        merged = _merged(understood, {id for id, thing in self.memory.things.items() if thing.kind in TALL})
        previous: str | None = None
        for beat, events, _ in merged:
            entering_now = {event.who for event in events if event.kind == "enters"}
            present |= entering_now & entering
            shot = self._shot(beat, events, [id for id in self.memory.things if id in present], place, name, previous)
            self.shots.append(shot)
            previous = shot.id
            present = (present | set(beat.brought)) - set(beat.removed)
            present -= {event.who for event in events if event.kind == "leaves"}
            entering |= {event.who for event in events if event.kind == "leaves"}

    def _present(self, understood: Sequence[Understood]) -> tuple[set[str], set[str]]:
        """Who of a scene is there from its beginning, and who enters later."""
        first: dict[str, str] = {}
        for _, events, involved in understood:
            for event in events:
                first.setdefault(event.who, event.kind)
                if event.other:
                    first.setdefault(event.other, "")
            for id in involved:
                first.setdefault(id, "")
        entering = {id for id, kind in first.items() if kind == "enters"}
        return set(first) - entering, entering

    def _forget_sizes(self) -> None:
        """Things of a size that the model does not know are filmed in its usual one."""
        for thing in self.memory.things.values():
            if thing.size != "medium" and self.capabilities.unknown_words(thing.size)[0]:
                unknown = f"{self.capabilities.model} does not know {thing.size!r}"
                self.own_notes.append(f"{unknown}: {thing.look} is filmed at its usual size")
                thing.size = "medium"

    def _check_count(self, cast: set[str], name: str) -> None:
        if len(cast) > MOST_CAST:
            raise InputError(
                f"scene {name} has {listing(sorted(cast))}: {self.capabilities.model} holds up to {MOST_CAST} in a scene; "
                "name fewer, or begin another scene after an empty line"
            )

    def _place(self, texts: Sequence[str]) -> FilmPlace:
        text = " ".join(texts).lower()
        words = {
            background: {phrase.split()[-1] for phrase in PLACES[background]} | {background} for background in BACKGROUNDS
        }
        background = next((one for one in BACKGROUNDS if words[one] & set(re.findall(r"[a-z]+", text))), None)
        if background is None:
            background = next(reversed(self.places.values())).background if self.places else "lab"
        view = "top" if re.search(r"\b(?:from above|top view)\b", text) else "side"
        id = f"{background}-{view}"
        if id not in self.places:
            self.places[id] = FilmPlace(
                id=id, name=str(background), look=PLACES[str(background)][0], background=background, view=view
            )  # fmt: skip
        return self.places[id]

    def _shot(
        self, beat: Beat, events: list[ExpectedEvent], cast: list[str], place: FilmPlace, scene: str, previous: str | None
    ) -> Shot:
        looks = {id: self.memory.things[id].look for id in cast}
        if not events:
            events = [ExpectedEvent(kind="rests", who=cast[0])]
        named = {id for event in events for id in (event.who, event.other) if id}
        others = [looks[id] for id in cast if id not in named]
        prompt = f"{place.look}, {event_words(events, looks)}" + (f" with {listing(others)}" if others else "")
        if place.view == "top":
            prompt += " seen from above"
        text = beat.text.lower()
        return Shot(
            id=f"s{len(self.shots) + 1}", scene=scene, prompt=prompt, cast=tuple(cast), events=tuple(events), place=place.id,
            seconds=_length(events, beat.cues), cues=tuple(beat.cues), goes_on_from=previous, dialogue=tuple(beat.dialogue),
            transition=beat.transition if self.shots else "cut", seed=len(self.shots),
            framing=_first_of(FRAMINGS, text, "wide"), camera=_first_of(CAMERAS, text, "still"),  # type: ignore[arg-type]
        )  # fmt: skip


def _cued(beat: Beat, sentence: Beat, planned: PlannedCue) -> Beat:
    """A sentence with a cue that another one gives it."""
    return replace(
        beat, cues=[*beat.cues, planned.cue], brought=[*beat.brought, *planned.brought], removed=[*beat.removed, *planned.removed],
        dialogue=[*beat.dialogue, *sentence.dialogue],
    )  # fmt: skip


def _length(events: Sequence[ExpectedEvent], cues: Sequence[Cue]) -> float:
    """Of a shot, in seconds: what a cue does is seen for a while after it."""
    latest = max((cue.at_s for cue in cues if cue.at_s is not None), default=0.0)
    return max(SHOT_S + EVENT_S * (max(len(events) - 2, 0) + len(cues)), latest + CUE_S)


def _first_of(table: Sequence[tuple[str, str]], text: str, usual: str) -> str:
    return next((value for value, pattern in table if re.search(pattern, text)), usual)


Understood = tuple[Beat, list[ExpectedEvent], list[str]]
"""A sentence, its events, and whom it names."""
CONTINUED = ("stops", "comes_out", "bounces")
"""Events that end what the sentence before began: both are one shot."""


def _merged(understood: Sequence[Understood], scenery: Collection[str]) -> list[Understood]:
    """One entry a shot. Sentences without an event, such as "There is a blue box.", and what scenery does, belong to the next
    one; a scene of such alone is one shot. What goes on with an event belongs to it."""
    shots: list[Understood] = []
    waiting: list[DialogueLine] = []
    cued: list[Cue] = []
    brought: list[str] = []
    removed: list[str] = []
    for beat, events, involved in understood:
        acted = [event for event in events if not (event.kind == "rests" and event.who in scenery)]
        last = shots[-1] if shots else None
        if not acted:
            waiting = [*waiting, *beat.dialogue]
            if last is not None:
                last[0].cues += beat.cues
                last[0].brought += beat.brought
                last[0].removed += beat.removed
            else:
                cued, brought, removed = [*cued, *beat.cues], [*brought, *beat.brought], [*removed, *beat.removed]
        elif last is not None and acted[0].kind in CONTINUED and last[1][-1].who == acted[0].who:
            last[1].extend(acted)
            last[0].dialogue += [*waiting, *beat.dialogue]
            last[0].cues += beat.cues
            last[0].brought += beat.brought
            last[0].removed += beat.removed
            waiting = []
        else:
            joined = replace(
                beat, dialogue=[*waiting, *beat.dialogue], cues=[*cued, *beat.cues], brought=[*brought, *beat.brought],
                removed=[*removed, *beat.removed],
            )  # fmt: skip
            shots.append((joined, acted, involved))
            waiting, cued, brought, removed = [], [], [], []
    if not shots:
        return [(replace(understood[0][0], cues=cued, brought=brought, removed=removed), *understood[0][1:])]
    shots[-1][0].dialogue += waiting
    return shots


class _ForAny:
    """Plans for a model of whose world nothing is known: each sentence is a shot, which goes on from the one before it."""

    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self.shots: list[Shot] = []
        self.places: dict[str, FilmPlace] = {}
        self.notes: list[str] = []

    def cast(self) -> list[CastMember]:
        """Nobody: sentences say who is seen."""
        return []

    def plan_scene(self, scene: StoryScene, name: str) -> None:
        """Add the shots of a scene."""
        previous: str | None = None
        subject = ""
        place = None
        if scene.heading:
            place = f"p{len(self.places) + 1}"
            self.places[place] = FilmPlace(id=place, name=scene.heading[:80], look=_place_words(scene.heading))
        seconds = min(self.capabilities.seconds, self.capabilities.most_seconds or self.capabilities.seconds)
        for beat in scene.beats:
            prompt, subject = _with_subject(beat.text, subject)
            shot = Shot(
                id=f"s{len(self.shots) + 1}", scene=name, prompt=prompt, seconds=seconds, place=place, goes_on_from=previous,
                dialogue=tuple(beat.dialogue), transition=beat.transition if self.shots else "cut", seed=len(self.shots),
                framing=_first_of(FRAMINGS, prompt.lower(), "wide"), camera=_first_of(CAMERAS, prompt.lower(), "still"),  # type: ignore[arg-type]
            )  # fmt: skip
            self.shots.append(shot)
            previous = shot.id


_PRONOUN = re.compile(r"^(it|he|she|they)\b", re.IGNORECASE)
_NOUN_PHRASE = re.compile(
    r"^((?:an?|the|two|three|some)\s+(?:[\w'-]+\s+){0,4}?[\w'-]+?)(?=\s+(?:[a-z]+s|is|are|has|have)\b)", re.IGNORECASE
)


def _with_subject(sentence: str, subject: str) -> tuple[str, str]:
    """A sentence with the subject of the one before in the place of its pronoun; and its own subject."""
    if subject and _PRONOUN.match(sentence):
        return _PRONOUN.sub(subject[0].upper() + subject[1:], sentence), subject
    match = _NOUN_PHRASE.match(sentence)
    return sentence, re.sub(r"^an?\b", "the", match[1], flags=re.IGNORECASE) if match else subject


def _place_words(heading: str) -> str:
    """'in a lab at night' of 'INT. LAB - NIGHT'."""
    words = re.sub(r"^(?:int|ext|est|i/e)[./ ]+(?:ext[. ]+)?", "", heading, flags=re.IGNORECASE)
    return ", ".join(part.strip().lower() for part in words.split(" - ") if part.strip())
