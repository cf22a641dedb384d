"""Captions of a clip, written by a small grammar from what really happened: short, detailed, partial, and as a task.

Every wording is drawn by the episode's own generator, so one kind of clip is told in many ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from kinema.playground.events import Event
from kinema.playground.motions import Clause, Motions
from kinema.playground.physics import EpisodeSetup
from kinema.playground.tasks import Task
from kinema.playground.vocabulary import (
    FROM,
    PLACES,
    REST_MANY,
    RESTS,
    SYNONYMS,
    article,
    count_tokens,
    listing,
    ongoing,
)
from kinema.scene.geometry import ROOM_HEIGHT
from kinema.scene.scene import COLORS, KINDS, MATERIALS, SIZES, Scene

SHORT_TOKENS = 20
DETAILED_TOKENS = 48
"""Lengths that captions of up to four entities keep to; more entities take more words."""

RICHNESS = ((2, True, True), (1, True, True), (1, False, True), (1, False, False), (0, False, False))
"""(events told, sizes told, setting told) of a short caption, from the richest to the barest."""


@dataclass(frozen=True, kw_only=True)
class Captions:
    """short: one or two clauses. detailed: setting, entities, events. task: an order to the robot, or None. partial: the short
    one, in which some things have no color or are only called a thing, so that color and kind are learned apart; or None."""

    short: str
    detailed: str
    task: str | None = None
    partial: str | None = None


def write_captions(
    scene: Scene, events: tuple[Event, ...], cast: EpisodeSetup, cuts: tuple[int, ...], task: Task | None, rng: Random
) -> Captions:
    """The captions of one clip."""
    writer = _Writer(scene, events, cast, cuts, rng)
    short, detailed, order = writer.short(), writer.detailed(), task.say(rng) if task else None
    return Captions(short=short, detailed=detailed, task=order, partial=writer.partial(short))


class _Writer:
    """One clip's words."""

    def __init__(
        self, scene: Scene, events: tuple[Event, ...], cast: EpisodeSetup, cuts: tuple[int, ...], rng: Random
    ) -> None:
        self.scene, self.cast, self.cuts, self.rng = scene, cast, cuts, rng
        self.motions = Motions(scene, events, cast, rng)
        self.clauses = self.motions.timeline()
        plain = {slot: KINDS[scene.kind[slot]] for slot in scene.entities}
        self.kinds = {slot: rng.choice(SYNONYMS.get(kind, (kind,))) for slot, kind in plain.items()}
        self.size_word = {slot: self._size(slot) for slot in scene.entities}
        sized = rng.random() < 0.5
        self.sized = {slot: sized and rng.random() < 0.8 for slot in scene.entities}
        self.articles = rng.random() > 0.15
        self.ongoing = rng.random() < 0.1

    def _size(self, slot: int) -> str:
        return min(SIZES, key=lambda name: abs(SIZES[name] - float(self.scene.size[slot])))

    def _name(self, slot: int, sizes: bool) -> str:
        """'a small red ball'."""
        size = f"{self.size_word[slot]} " if sizes and self.sized[slot] and self.size_word[slot] != "medium" else ""
        words = f"{size}{COLORS[self.scene.color[slot]]} {self.kinds[slot]}"
        return article(words) if self.articles else words

    def _where(self, slot: int) -> str:
        """'on the left': where the entity starts in the first picture."""
        pan_x, pan_y, zoom = (float(v) for v in self.scene.camera[0])
        u = (float(self.scene.x[0, slot]) - pan_x) * zoom / ROOM_HEIGHT
        v = (float(self.scene.y[0, slot]) - pan_y) * zoom / ROOM_HEIGHT
        if max(abs(u), abs(v)) > 0.55:
            return "out of view"
        across = "left" if u < -1 / 6 else "right" if u > 1 / 6 else ""
        if self.motions.side:
            if self.motions.airborne(slot):
                return f"high on the {across}" if across else "high in the middle"
            return f"on the {across}" if across else "in the middle"
        up = "bottom" if v < -1 / 6 else "top" if v > 1 / 6 else ""
        if up:
            return f"at the {up} {across}".rstrip()
        return f"on the {across}" if across else "in the middle"

    # -- short ---------------------------------------------------------------------------------------------------------

    def short(self) -> str:
        """One or two clauses that mention every entity."""
        setting = self._setting()
        style = self.rng.random()
        text = ""
        for extras, sizes, with_setting in RICHNESS:
            core = self._core(extras, sizes, style)
            text = core
            if with_setting and setting:
                text = f"{setting}, {core}" if style * 10 % 1 < 0.25 else f"{core} {setting}"
            if count_tokens(text) <= SHORT_TOKENS:
                break
        return text

    def _setting(self) -> str:
        words = []
        if self.rng.random() < 0.3:
            words.append(self.rng.choice(PLACES[self.scene.background]))
        if self.rng.random() < (0.7 if self.scene.view == "top" else 0.06):
            words.append(self.rng.choice(FROM[self.scene.view]))
        return " ".join(words)

    def _lead(self) -> int | None:
        """The entity that the short caption is about; None when nothing happens."""
        movers = [slot for slot, moves in self.motions.moves.items() if moves]
        return self.cast.lead if self.cast.lead in movers else (movers[0] if movers else None)

    def _core(self, extras: int, sizes: bool, style: float) -> str:
        lead = self._lead()
        if lead is None or style < 0.08:
            return self._still(sizes, lead is None and style > 0.4)
        mine = [c for c in self.clauses if c.slot == lead]
        chosen = self._choose(mine[1:], extras)
        if len(self.scene.entities) == 2 and chosen and style > 0.4 and extras and not self.ongoing:
            meeting = self._meeting(lead, mine[0], chosen[0], sizes)
            if meeting:
                return meeting
        mentioned = {lead, *(c.other for c in chosen)}
        verbs = [mine[0].words, *(self._fill(c, sizes) for c in chosen)]
        verbs = [ongoing(words) for words in verbs] if self.ongoing else verbs
        text = f"{self._name(lead, sizes)} {_verbs(verbs)}"
        rest = [slot for slot in self.scene.entities if slot not in mentioned]
        movers = [slot for slot in rest if self.motions.moves[slot]]
        still = [slot for slot in rest if not self.motions.moves[slot]]
        if still:
            text += f" {self._beside(lead, still, sizes, extras > 0)}"
        if movers:
            openings = {c.slot: c for c in self.clauses if c.kind == "start"}
            clauses = [f"{self._name(slot, sizes)} {openings[slot].words}" for slot in movers]
            if self.ongoing:
                clauses = [f"{self._name(slot, sizes)} {ongoing(openings[slot].words)}" for slot in movers]
            text += f" {'and' if self.ongoing else self.rng.choice(('while', 'and'))} {listing(clauses)}"
        return text

    def _meeting(self, lead: int, opening: Clause, first: Clause, sizes: bool) -> str:
        """'a red ball rolls right and a blue box slides left and they collide', where that is what happens first."""
        theirs = [c for c in self.clauses if c.slot == first.other and c.kind == "start"]
        if first.kind != "collide" or not theirs:
            return ""
        both = [f"{self._name(lead, sizes)} {opening.words}", f"{self._name(theirs[0].slot, sizes)} {theirs[0].words}"]
        return f"{listing(both)} and they {self.rng.choice(('collide', 'meet', 'hit each other'))}"

    def _fill(self, clause: Clause, sizes: bool) -> str:
        return clause.words if clause.other is None else clause.words.format(other=self._name(clause.other, sizes))

    def _choose(self, clauses: list[Clause], extras: int) -> list[Clause]:
        """The events to tell: those that name others first, each other once; then as many more as fit."""
        chosen: list[Clause] = []
        others: set[int] = set()
        for clause in clauses:
            if clause.other is not None and clause.other not in others and len(chosen) < max(extras, 1):
                others.add(clause.other)
                chosen.append(clause)
        for clause in clauses:
            if clause.other is None and len(chosen) < extras and clause.words not in [c.words for c in chosen]:
                if clause.words == "stops" and self.rng.random() < 0.4:
                    continue
                chosen.append(clause)
        return sorted(chosen, key=lambda c: c.time_s)

    def _beside(self, lead: int, still: list[int], sizes: bool, places: bool) -> str:
        """'with a pink flag on the right', 'past a green screen'."""
        names = listing([self._name(slot, sizes) for slot in still])
        if len(still) > 1:
            return f"with {names}"
        x, mine = float(self.scene.x[0, still[0]]), self.scene.x[:, lead]
        if self.motions.side and (float(mine[0]) - x) * (float(mine[-1]) - x) < -0.5 and self.rng.random() < 0.7:
            return f"past {names}"
        if not places or self.rng.random() < 0.35:
            return f"with {names}"
        return f"with {names} {self._where(still[0])}"

    def _still(self, sizes: bool, say_still: bool) -> str:
        """'a red ball and a blue box stand still', 'a red ball left of a blue box', or the plain list."""
        slots = list(self.scene.entities)
        names = [self._name(slot, sizes) for slot in slots]
        if len(slots) == 2 and self.rng.random() < 0.6:
            gap = float(self.scene.x[0, slots[0]] - self.scene.x[0, slots[1]])
            rise = float(self.scene.y[0, slots[0]] - self.scene.y[0, slots[1]])
            if abs(gap) > 0.8 and abs(gap) > abs(rise):
                return f"{names[0]} {'left' if gap < 0 else 'right'} of {names[1]}"
            if abs(rise) > 0.8 and not self.motions.side:
                return f"{names[0]} {'above' if rise > 0 else 'below'} {names[1]}"
        if not say_still:
            return listing(names) if len(slots) > 1 or self.rng.random() < 0.4 else f"{names[0]} {self._where(slots[0])}"
        verb = self.rng.choice(RESTS if len(slots) == 1 else REST_MANY)
        return f"{listing(names)} {verb}"

    # -- partial -------------------------------------------------------------------------------------------------------

    def partial(self, short: str) -> str:
        """The short caption with the color or the kind of at least one thing left out: 'a ball rolls right and hits a blue
        thing'."""
        forms = [self.rng.choice(("whole", "kind", "color")) for _ in self.scene.entities]
        if all(form == "whole" for form in forms):
            forms[self.rng.randrange(len(forms))] = self.rng.choice(("kind", "color"))
        for slot, form in zip(self.scene.entities, forms, strict=True):
            color, kind = COLORS[self.scene.color[slot]], self.kinds[slot]
            left = {"whole": f"{color} {kind}", "kind": kind, "color": f"{color} thing"}[form]
            named = re.compile(rf"\b(an? )?((?:{'|'.join(SIZES)}) )?{color} {kind}\b")
            short = named.sub(lambda match, left=left: _renamed(match, left), short)  # type: ignore[misc]
        return short

    # -- detailed ------------------------------------------------------------------------------------------------------

    def detailed(self) -> str:
        """Setting, entities, then events in order of time, as far as the length allows."""
        place, view = self.rng.choice(PLACES[self.scene.background]), self.rng.choice(FROM[self.scene.view])
        opening = _sentence(f"{place}, {view}")
        text = ""
        budget = DETAILED_TOKENS + 8 * max(0, len(self.scene.entities) - 4)
        for articles, places in ((True, True), (False, True), (False, False)):
            entities = [self._full(slot, articles, places) for slot in self.scene.entities]
            text = f"{opening} {_sentence(listing(entities))}"
            if count_tokens(text) + min(16, 8 * len(self.clauses)) <= budget:
                break
        story: list[Clause] = []
        rest = ""
        for clause in self.clauses:
            more = self._story([*story, clause])
            if story and count_tokens(f"{text} {more}") > budget:
                break
            story.append(clause)
            rest = more
        if not story:
            rest = _sentence("nothing moves" if len(self.scene.entities) > 1 else f"it {self.rng.choice(RESTS)}")
        camera = self._camera()
        fits = camera and count_tokens(f"{text} {rest} {camera}") <= budget + 6
        return f"{text} {rest} {camera}" if fits else f"{text} {rest}"

    def _camera(self) -> str:
        """What the first shot's camera does; '' at rest."""
        start, end = self.scene.camera[0], self.scene.camera[(self.cuts[0] if self.cuts else self.scene.num_frames) - 1]
        moves = []
        if abs(end[0] - start[0]) > 0.8:
            moves.append(f"moves {'right' if end[0] > start[0] else 'left'}")
        if abs(float(end[2] / start[2]) - 1) > 0.15:
            moves.append(f"zooms {'in' if end[2] > start[2] else 'out'}")
        if self.cuts:
            moves.append("cuts")
        return _sentence(f"the camera {listing(moves)}") if moves else ""

    def _full(self, slot: int, articles: bool, places: bool) -> str:
        material = MATERIALS[self.scene.material[slot]]
        words = f"{self.size_word[slot]} {material} " if material != "plain" else f"{self.size_word[slot]} "
        words += f"{COLORS[self.scene.color[slot]]} {self.kinds[slot]}"
        return (article(words) if articles else words) + (f" {self._where(slot)}" if places else "")

    def _definite(self, slot: int) -> str:
        """'the ball', or 'the red ball' where two things share a kind."""
        twins = [s for s in self.scene.entities if self.scene.kind[s] == self.scene.kind[slot]]
        return f"the {COLORS[self.scene.color[slot]]} {self.kinds[slot]}" if len(twins) > 1 else f"the {self.kinds[slot]}"

    def _story(self, clauses: list[Clause]) -> str:
        """Clauses in order, consecutive ones of one subject joined."""
        runs: list[tuple[set[int], str, list[str]]] = []
        starts = 0
        for clause in clauses:
            subjects, name = {clause.slot}, self._definite(clause.slot)
            words = clause.words.format(other=self._definite(clause.other)) if clause.other is not None else clause.words
            if clause.kind == "collide" and len(runs) == 2 and runs[0][0] | runs[1][0] == {clause.slot, clause.other}:
                subjects, name, words = runs[0][0] | runs[1][0], "they", "collide"
            if runs and runs[-1][0] == subjects:
                runs[-1][2].append(words)
            else:
                runs.append((subjects, name, [words]))
                starts += clause.kind == "start"
        sentences = [f"{name} {_verbs(verbs)}" for _, name, verbs in runs]
        first = " while ".join([listing(sentences[: starts - 1]), sentences[starts - 1]]) if starts > 1 else sentences[0]
        return _sentence(", then ".join([first, *sentences[max(starts, 1) :]]))


def _renamed(match: re.Match[str], name: str) -> str:
    """A thing's name in a caption under another name, with the article that fits it."""
    words = f"{match[2] or ''}{name}"
    return article(words) if match[1] else words


def _verbs(verbs: list[str]) -> str:
    """Verb phrases in a row; 'bounces off the floor and bounces off the left wall' says 'bounces' once."""
    pairs = zip(["", *verbs], verbs, strict=False)
    again = ("bounces off", "bouncing off")
    return listing(
        [now.partition(" ")[2] if before.startswith(again) and now.startswith(again) else now for before, now in pairs]
    )


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
