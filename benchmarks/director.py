"""The director: stories as films, checks against planted faults, retakes, kills, speed: python -m benchmarks.director

    stories    stories of kinema-tiny: planned events that happen, in order, and the same cast; directed, against the same shots
               filmed once each without anything handed over, and against one film of all prompts at once
    faults     checks against faults planted in films of the simulator, whose truth is known: recall and false alarms
    kills      random kill -9 of `kinema direct` with kinema-tiny and with a tiny Wan: nothing filmed twice, no take changed or
               lost, the same takes and the same film in the end
    look       a picture of a thing in pictures where it is elsewhere, or another thing in its place: the image encoder of `--look`
               against color and sharpness (needs kinema[look])
    retakes    shots whose first take was refused: their score before and after retakes with the change that answers the reason, and
               with another seed alone; of the stories, and of harder ones
    speed      a film of 60 s in 8 shots at 128 px, checks included, against its playback time

--parts names some, the rest of the page is kept; --count how many stories, films of each fault and kills; --write keeps the page.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.autoencoder import machine

from kinema.director.checking.looks import LIMIT, LookEncoder
from kinema.director.checking.observed import observe_events
from kinema.director.checking.pixel_checks import check_pixels, sharpness_of
from kinema.director.checking.state_checks import check_cast
from kinema.director.checking.take_report import TakeReport, check_take
from kinema.director.checking.tracks import measure_cast
from kinema.director.direct import Director
from kinema.director.filming.staging import TALL, ground_of, identities_of, staged_picture, staged_scene
from kinema.director.filming.takes import TakePlan, film_take
from kinema.director.planning.planner import plan_story
from kinema.director.planning.story import read_story
from kinema.director.production import Production
from kinema.director.script import CastIdentity, ExpectedEvent, ProductionSettings, Script, Shot, TakeBudget
from kinema.engines import Engine, FilmRequest
from kinema.engines.diffusers.tiny.models import make_tiny
from kinema.engines.native import engine_for
from kinema.media import Clip
from kinema.playground import is_held_out
from kinema.playground.camera import visible
from kinema.playground.episode import to_scene
from kinema.playground.events import find_events
from kinema.playground.physics import Actor, EpisodeSetup, PhysicsWorld
from kinema.playground.renderer import render_scene
from kinema.scene.geometry import FLOOR, SOLID
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, SIZES, Scene
from kinema.statistics import auroc, bootstrap, mean_interval
from kinema.types import Frames

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "measurements" / "director.md"
PARTS = ("stories", "retakes", "faults", "kills", "look", "speed")
FPS, FRAMES, SIDE = 16.0, 64, 64


# -- stories -------------------------------------------------------------------------------------------------------------


def story_of(seed: int) -> str:
    """A story of three scenes with five to seven shots, 20 to 30 s."""
    rng = random.Random(f"story/{seed}")
    colors = rng.sample(COLORS, 5)
    ball, box, robot, screen, star = (
        f"{color} {kind}" for color, kind in zip(colors, ("ball", "box", "robot", "screen", "star"), strict=True)
    )
    place, other, last = rng.sample(("in the lab", "in the desert", "at night", "in the snow", "on a field"), 3)
    first = [
        f"{place.capitalize()}, a {ball} rolls right and hits a {box}. It stops.",
        f"{place.capitalize()}, a {ball} rolls to the right. A {box} stands still.",
        f"{place.capitalize()}, a {ball} rolls right and passes behind a {screen}. It comes out.",
    ]
    then = [
        f"A {robot} comes in from the right.",
        f"A {robot} comes in from the right. It walks left.",
        f"The ball rolls to the left. A {robot} comes in.",
    ]
    second = [
        f"{other.capitalize()}, a {star} falls and bounces.",
        f"{other.capitalize()}, a {star} falls. It rolls to the right.",
        f"{other.capitalize()}, a {robot} walks right and pushes a {box}. It stops.",
        f"{other.capitalize()}, a {robot} jumps. It walks left.",
    ]
    car = f"{rng.choice(colors)} car"
    third = [
        f"{last.capitalize()}, a {car} drives right. It drives left.",
        f"{last.capitalize()}, a {car} drives left. A {robot} comes in.",
        f"{last.capitalize()}, a {car} drives right. It leaves.",
    ]
    return f"{rng.choice(first)} {rng.choice(then)}\n\n{rng.choice(second)}\n\n{rng.choice(third)}"


@dataclass
class Tally:
    """Events that happen in order of those planned, shots whose cast is right of all, and seconds of work."""

    happened: int = 0
    events: int = 0
    whole: int = 0
    shots: int = 0
    seconds: float = 0.0
    score: float = 0.0

    def add(self, script: Script, shot: Shot, clip: Clip) -> None:
        report, happened = judge(script, shot, clip)
        self.happened += happened
        self.events += len(shot.events)
        self.whole += all(one.passed for one in report.results if not one.name.startswith("event"))
        self.shots += 1
        self.score += report.score

    def row(self, name: str) -> str:
        return (
            f"| {name} | {share(self.happened, self.events)} | {share(self.whole, self.shots)} |"
            f" {self.score / max(self.shots, 1):.2f} | {self.seconds:.0f} s |"
        )


def judge(script: Script, shot: Shot, clip: Clip) -> tuple[TakeReport, int]:
    """What a shot shows, by other frames than the director's checks looked at; and how many of its events happen."""
    cast = measure_cast(clip.cut(slice(None, -1)), identities_of(script, shot))
    results, _ = check_cast(shot, cast)
    return TakeReport(results=tuple(results)), sum(one.frame is not None for one in observe_events(cast, shot.events))


def share(part: int, whole: int) -> str:
    """'85% (80 to 89)' with its interval."""
    mean, low, high = mean_interval([1.0] * part + [0.0] * (whole - part))
    return f"{mean:.0%} ({low:.0%} to {high:.0%})"


def direct_story(engine: Engine, script: Script, folder: Path) -> Production:
    production = Production.create(folder, script, "kinema-tiny")
    Director(production, engine).film_all()
    return production


def bench_stories(count: int) -> list[str]:
    engine = engine_for(None)
    names = ("directed", "the same, one take each", "each shot by its prompt alone", "one film of all prompts")
    tallies = {name: Tally() for name in names}
    takes = Counter[str]()
    lengths = []
    for seed in range(count):
        settings = ProductionSettings(title=f"story {seed}")
        script = plan_story(read_story(story_of(seed)), engine.capabilities, settings).script
        lengths.append((len(script.shots), script.seconds))
        for name, per_shot in ((names[0], 6), (names[1], 1)):
            budget = ProductionSettings(title=settings.title, budget=TakeBudget(per_shot=per_shot))
            with tempfile.TemporaryDirectory() as folder:
                begun = time.perf_counter()
                own = script.model_copy(update={"production": budget})
                production = direct_story(engine, own, Path(folder) / "p")
                tallies[name].seconds += time.perf_counter() - begun
                takes[name] += sum(len(production.takes(shot.id)) for shot in script.shots)
                for shot in script.shots:
                    tallies[name].add(script, shot, production.open_take(shot.id, production.used(shot.id) or 1))
        begun = time.perf_counter()
        for shot in script.shots:
            request = FilmRequest(workflow="generate", prompt=shot.prompt, seconds=shot.seconds, seed=seed)
            tallies[names[2]].add(script, shot, engine.film(request)[0])
        tallies[names[2]].seconds += time.perf_counter() - begun
        film_at_once(engine, script, seed, tallies[names[3]])
        print(f"story {seed}: " + "; ".join(tally.row(name) for name, tally in tallies.items()), file=sys.stderr, flush=True)
    rows = [tally.row(name) for name, tally in tallies.items()]
    first, best = tallies[names[1]], tallies[names[0]]
    extra = takes[names[0]] / max(takes[names[1]], 1)
    shots, seconds = zip(*lengths, strict=True)
    return [
        f"{count} stories of {min(shots)} to {max(shots)} shots, {min(seconds):g} to {max(seconds):g} s, 64x64, no language model.",
        "",
        "| filmed | planned events that happen, in order | shots with the right cast | mean score | time |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"Retakes: {extra:.2f} takes a shot; the mean score rises by"
        f" {100 * (best.score - first.score) / max(best.shots, 1):.0f} points. The judge reads"
        " the pictures as the director's checks do, in other frames.",
    ]


def film_at_once(engine: Engine, script: Script, seed: int, tally: Tally) -> None:
    """All prompts as one storyboard, cut where the shots are; each part is judged."""
    parts, start = [], 0.0
    for shot in script.shots:
        parts.append(f"{start:g}-{start + shot.seconds:g}: {shot.prompt}")
        start += shot.seconds
    begun = time.perf_counter()
    film = engine.film(FilmRequest(workflow="generate", prompt=" | ".join(parts), seconds=start, seed=seed))[0]
    tally.seconds += time.perf_counter() - begun
    at = 0
    for shot in script.shots:
        frames = round(shot.seconds * film.fps)
        tally.add(script, shot, film.cut(slice(at, at + frames)))
        at += frames


# -- retakes -------------------------------------------------------------------------------------------------------------


def hard_story_of(seed: int) -> str:
    """A story of three scenes of three things each, whose leads have the colors that no training episode gave their kinds."""
    rng = random.Random(f"hard/{seed}")
    ball, star, robot, car = (f"{unseen_color(kind)} {kind}" for kind in ("ball", "star", "robot", "car"))
    box, flag, triangle = (
        f"{rng.choice([color for color in COLORS if color != unseen_color(kind)])} {kind}"
        for kind in ("box", "flag", "triangle")
    )
    place, other, last = rng.sample(("in the lab", "in the desert", "at night", "in the snow", "on a field"), 3)
    first = [
        f"A {ball} rolls right and hits a {box}. It stops. The ball rolls left.",
        f"A {ball} rolls to the left. A {star} stands still. The ball rolls to the right.",
    ]
    second = [
        f"A {robot} walks right and pushes a {box}. It stops. The robot jumps.",
        f"A {robot} walks left. A {star} stands still. The robot jumps.",
    ]
    third = [
        f"There is a {triangle}. A {car} drives right. It drives left.",
        f"There is a {triangle}. A {car} drives left. It leaves.",
    ]
    return "\n\n".join(
        f"{where.capitalize()}, there is a {flag}. {rng.choice(what)}"
        for where, what in zip((place, other, last), (first, second, third), strict=True)
    )


def unseen_color(kind: str) -> str:
    """The color that is held out for a kind."""
    return next(color for number, color in enumerate(COLORS) if is_held_out(KINDS.index(kind), number))


@dataclass(frozen=True, kw_only=True)
class Retaken:
    """The takes of a shot whose first one was refused. scores: by the director's checks, judged: by the judge, each from 0 to 1."""

    scores: list[float]
    judged: list[float]
    passed: bool

    def used(self, most: int) -> int:
        """The take that the director uses of so many, from 0 on."""
        return max(range(min(most, len(self.scores))), key=lambda take: (self.scores[take], -take))


PER_SHOT = 6
"""Takes of a shot at most, as `kinema direct` has it."""
STORIES: dict[str, Callable[[int], str]] = {"the stories": story_of, "three things, unseen colors": hard_story_of}


def bench_retakes(count: int, minutes: float = 25.0) -> list[str]:
    """minutes: after which no further story is begun."""
    engine, begun = engine_for(None), time.perf_counter()
    found = {stories: FoundRetakes() for stories in STORIES}
    for seed, stories in ((seed, stories) for seed in range(count) for stories in STORIES):
        if time.perf_counter() - begun > 60 * minutes:
            break
        script = plan_story(
            read_story(STORIES[stories](seed)),
            engine.capabilities,
            ProductionSettings(title=f"{stories} {seed}", budget=TakeBudget(per_shot=PER_SHOT)),
        ).script
        with tempfile.TemporaryDirectory() as folder:
            found[stories].add(engine, direct_story(engine, script, Path(folder) / "p"))
        print(f"{stories} {seed}: {'; '.join(found[stories].rows(stories))}", file=sys.stderr, flush=True)
    told = "; ".join(
        f"{stories}: {one.films} films, {len(one.retaken[CHANGED])} of {one.shots} first takes refused,"
        f" {one.takes / max(one.shots, 1):.2f} takes a shot in all"
        for stories, one in found.items()
    )
    return [
        f"Shots whose first take the director refused, 64x64. {told[0].upper()}{told[1:]}. In the harder films each scene has three"
        " things, and its lead has the color that no training episode gave its kind.",
        "",
        "Score in points of 100, by the director's checks, of the take that is used: the first, the better of two, the best of up"
        f" to {PER_SHOT}. The judge reads other frames of the same takes.",
        "",
        "| films | retakes with | n | first take | of two | gain | of six | gain | gain by the judge | takes | pass in the end |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(row for stories, one in found.items() for row in one.rows(stories)),
    ]


CHANGED, BY_SEED = "the change that answers the reason", "another seed alone"


@dataclass
class FoundRetakes:
    """What is known of the retakes of films of one kind."""

    retaken: dict[str, list[Retaken]] = field(default_factory=lambda: {CHANGED: [], BY_SEED: []})
    films: int = 0
    shots: int = 0
    takes: int = 0

    def add(self, engine: Engine, production: Production) -> None:
        """Look at a film."""
        self.films += 1
        script = production.script
        for shot in script.shots:
            records = production.takes(shot.id)
            self.shots += 1
            self.takes += len(records)
            if not records[0].report.passed:
                changed = [(record.report, production.open_take(shot.id, record.plan.number)) for record in records]
                self.retaken[CHANGED].append(_retaken(script, shot, changed))
                self.retaken[BY_SEED].append(_retaken(script, shot, takes_by_seed(engine, production, shot, changed)))

    def rows(self, films: str) -> list[str]:
        return [_retake_row(films, name, some) for name, some in self.retaken.items() if some]


def _retaken(script: Script, shot: Shot, takes: Sequence[tuple[TakeReport, Clip]]) -> Retaken:
    return Retaken(
        scores=[report.score for report, _ in takes],
        judged=[judge(script, shot, clip)[0].score for _, clip in takes],
        passed=any(report.passed for report, _ in takes),
    )


def takes_by_seed(
    engine: Engine, production: Production, shot: Shot, directed: Sequence[tuple[TakeReport, Clip]]
) -> list[tuple[TakeReport, Clip]]:
    """The takes of a shot if nothing but its seed changed from one to the next. directed: those of the director, of which the first
    is the same, and so are those of the same number that changed nothing else."""
    records, script = production.takes(shot.id), production.script
    before_shot = production.before(shot)
    before = Director(production, engine).handover(before_shot)
    made = [directed[0]]
    while not made[-1][0].passed and len(made) < PER_SHOT:
        number = len(made) + 1
        if number <= len(records) and records[number - 1].plan.change == "seed":
            made.append(directed[number - 1])
            continue
        plan = TakePlan(number=number, seed=(shot.seed * 1009 + number - 1) % 2**31, change="seed")
        clip = film_take(engine, script, shot, plan, before=before if shot.goes_on_from is not None else None)
        with tempfile.TemporaryDirectory() as folder:
            clip.save(Path(folder) / "take.mp4")
            clip = Clip.open(Path(folder) / "take.mp4")
        report = check_take(script, shot, clip, engine.capabilities, before=before, before_shot=before_shot)
        made.append((report, clip))
    return made


def _retake_row(stories: str, name: str, retaken: Sequence[Retaken]) -> str:
    def mean(values: Sequence[float]) -> str:
        middle, low, high = mean_interval(values)
        return f"{100 * middle:.0f} ({100 * low:.0f} to {100 * high:.0f})"

    two, six = ([one.scores[one.used(most)] for one in retaken] for most in (2, PER_SHOT))
    first = [one.scores[0] for one in retaken]
    judged = [one.judged[one.used(PER_SHOT)] - one.judged[0] for one in retaken]
    cells = [
        stories, name, str(len(retaken)), mean(first), mean(two), mean(np.subtract(two, first).tolist()), mean(six),
        mean(np.subtract(six, first).tolist()), mean(judged), f"{sum(len(one.scores) for one in retaken) / len(retaken):.1f}",
        share(sum(one.passed for one in retaken), len(retaken)),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


# -- faults --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TrueFilm:
    """A film of the simulator, and the shot that it is. lead: the slot that moves."""

    scene: Scene
    shot: Shot
    identities: dict[str, CastIdentity]
    lead: int

    def clip(self) -> Clip:
        return Clip(frames=render_scene(self.scene, height=SIDE, width=SIDE), fps=FPS)


def actor(kind: str, color: str, x: float, **more: Any) -> Actor:
    size = SIZES["medium"]
    y = more.pop("y", FLOOR + SOLID[kind].below * size)
    return Actor(kind=kind, color=color, material="plain", size=size, x=x, y=y, **more)


def _hit(rng: random.Random, c: list[str]) -> tuple[list[Actor], list[ExpectedEvent], float]:
    events = [_event("moves", f"{c[0]}-ball", "right"), _event("hits", f"{c[0]}-ball", other=f"{c[1]}-box")]
    return [actor("ball", c[0], 1.8, vx=rng.uniform(2.6, 3.6)), actor("box", c[1], rng.uniform(6.0, 7.0))], events, 10.0


def _behind(rng: random.Random, c: list[str]) -> tuple[list[Actor], list[ExpectedEvent], float]:
    ball, screen = f"{c[0]}-ball", f"{c[1]}-screen"
    events = [_event("moves", ball, "right"), _event("passes_behind", ball, other=screen), _event("comes_out", ball)]
    return [actor("ball", c[0], 1.6, vx=rng.uniform(2.2, 3.0)), actor("screen", c[1], 5.0)], events, 10.0


def _fall(rng: random.Random, c: list[str]) -> tuple[list[Actor], list[ExpectedEvent], float]:
    star = f"{c[0]}-star"
    events = [_event("falls", star), _event("bounces", star)]
    return [actor("star", c[0], rng.uniform(3, 5), y=rng.uniform(6.5, 8), vx=0.9), actor("box", c[1], 8.4)], events, 10.0


def _drive(rng: random.Random, c: list[str]) -> tuple[list[Actor], list[ExpectedEvent], float]:
    speed = rng.uniform(1.2, 1.7)
    events = [_event("moves", f"{c[0]}-car", "left")]
    return [actor("car", c[0], 8.4, vx=-speed, angle=np.pi, motor=-speed), actor("flag", c[1], 3.0)], events, 10.0


def _event(kind: str, who: str, direction: str | None = None, other: str | None = None) -> ExpectedEvent:
    return ExpectedEvent.model_validate({"kind": kind, "who": who, "direction": direction, "other": other})


_SCENES: tuple[Callable[[random.Random, list[str]], tuple[list[Actor], list[ExpectedEvent], float]], ...] = (
    _hit, _behind, _fall, _drive,
)  # fmt: skip
_TRUE_EVENTS = {
    "hits": "collide",
    "passes_behind": "pass_behind",
    "comes_out": "come_out",
    "falls": "fall",
    "bounces": "bounce",
}


def true_film(seed: int) -> TrueFilm:
    """A film in which, by the simulator, the events of its shot happen."""
    for attempt in range(50):
        rng = random.Random(f"film/{seed}/{attempt}")
        actors, events, width = _SCENES[seed % len(_SCENES)](rng, rng.sample(COLORS, 3))
        order = sorted(range(len(actors)), key=lambda i: actors[i].kind)
        actors = [actors[i] for i in order]
        setup = EpisodeSetup(view="side", background=rng.choice(BACKGROUNDS), room_width=width, scenario="", actors=actors)
        world = PhysicsWorld(setup, FPS)
        rows = [world.rows()]
        for _ in range(FRAMES - 1):
            world.step((0.0, 0.0))
            rows.append(world.rows())
        track = np.asarray(rows, np.float32)
        camera = np.tile(np.asarray([5.0, 5.0, 1.0], np.float32), (FRAMES, 1))
        seen, window = visible(setup, track[:, :, 0], track[:, :, 1], camera, 1.0)
        happened = {event.kind for event in find_events(setup, world.contacts, track, seen, window, FPS)}
        far = np.ptp(track[:, :, 0], axis=0).max() > 1.5
        if all(_TRUE_EVENTS.get(event.kind, "") in happened or (event.kind == "moves" and far) for event in events):
            scene = to_scene(setup, track, seen, camera, FPS, len(actors))
            identities = {f"{one.color}-{one.kind}": CastIdentity(kind=one.kind, color=one.color) for one in actors}
            lead = next(i for i, one in enumerate(actors) if f"{one.color}-{one.kind}" == events[0].who)
            shot = Shot(id="s1", prompt="a true film", seconds=FRAMES / FPS, cast=tuple(identities), events=tuple(events))
            return TrueFilm(scene=scene, shot=shot, identities=identities, lead=lead)
    raise AssertionError(f"no film of seed {seed}")


def _color(film: TrueFilm, rng: random.Random) -> Clip:
    """From some frame on the lead has a color that nobody has."""
    used = set(film.scene.color.tolist())
    color = film.scene.color.copy()
    color[film.lead] = rng.choice([i for i in range(len(COLORS)) if i not in used])
    return _spliced(film, replace(film.scene, color=color), rng.randint(4, 24))


def _missing(film: TrueFilm, rng: random.Random) -> Clip:
    """From some frame on somebody is not there."""
    kind = film.scene.kind.copy()
    kind[rng.randrange(len(kind))] = -1
    return _spliced(film, replace(film.scene, kind=kind), rng.randint(0, 20))


def _direction(film: TrueFilm, rng: random.Random) -> Clip:
    """All moves the other way."""
    clip = film.clip()
    mirrored = clip.frames[:, :, ::-1]
    return replace(clip, frames=np.ascontiguousarray(mirrored))


def _jump(film: TrueFilm, rng: random.Random) -> Clip:
    """The lead stands three units away from one frame to the next."""
    at = rng.randint(6, 14)
    x = film.scene.x.copy()
    x[at:, film.lead] += 3.0 if x[at, film.lead] < 5 else -3.0
    return Clip(frames=render_scene(replace(film.scene, x=x), height=SIDE, width=SIDE), fps=FPS)


def _frozen(film: TrueFilm, rng: random.Random) -> Clip:
    """The picture stands still from an early frame on."""
    at = rng.randint(3, 8)
    return film.clip().pick(np.minimum(np.arange(FRAMES), at))


def _early_cut(film: TrueFilm, rng: random.Random) -> Clip:
    """Another film begins before the end."""
    at, other = rng.randint(16, 56), true_film(rng.randint(1000, 2000))
    backgrounds = [name for name in BACKGROUNDS if name != film.scene.background]
    frames = render_scene(replace(other.scene, background=rng.choice(backgrounds)), height=SIDE, width=SIDE)
    clip = film.clip()
    return replace(clip, frames=np.concatenate([clip.frames[:at], frames[: FRAMES - at]]))


def _spliced(film: TrueFilm, changed: Scene, at: int) -> Clip:
    clip = film.clip()
    frames = clip.frames.copy()
    frames[at:] = render_scene(changed, height=SIDE, width=SIDE)[at:]
    return replace(clip, frames=frames)


_FAULTS: dict[str, tuple[Callable[[TrueFilm, random.Random], Clip], tuple[str, ...]]] = {
    "swapped color": (_color, ("colors", "cast", "count")), "missing thing": (_missing, ("cast", "permanence", "event")),
    "wrong direction": (_direction, ("event",)), "jump": (_jump, ("jumps",)), "frozen": (_frozen, ("frozen", "event")),
    "early cut": (_early_cut, ("cuts",)),
}  # fmt: skip
"""How each fault is planted, and the checks that name it."""


def report_of(film: TrueFilm, clip: Clip) -> TakeReport:
    """The checks of a film of the simulator, written to a file and read back as takes are."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Clip.open(clip.save(Path(folder) / "take.mp4"))
    results, last = check_cast(film.shot, measure_cast(clip, film.identities))
    return TakeReport(results=(*results, *check_pixels(clip, seconds=film.shot.seconds, still_from=last)))


def bench_faults(count: int) -> list[str]:
    rows, found, named, planted = [], 0, 0, 0
    for fault, (plant, checks) in _FAULTS.items():
        caught = right = films = 0
        seeds = iter(range(10_000))
        while films < count:
            film = true_film(next(seeds))
            if fault == "wrong direction" and film.shot.events[0].direction is None:
                continue
            films += 1
            report = report_of(film, plant(film, random.Random(f"{fault}/{films}")))
            names = {one.name.split(":")[0] for one in report.failures}
            caught += not report.passed
            right += bool(names & set(checks))
            if report.passed:
                print(f"missed: {fault} in film {films}: {film.shot.events}", file=sys.stderr)
        rows.append(f"| {fault} | {share(caught, films)} | {share(right, films)} |")
        found, named, planted = found + caught, named + right, planted + films
    alarms, false = 0, Counter[str]()
    clean = len(_FAULTS) * count
    for seed in range(clean):
        film = true_film(20_000 + seed)
        report = report_of(film, film.clip())
        alarms += not report.passed
        false.update(one.name.split(":")[0] for one in report.failures)
        for one in report.failures:
            print(f"false alarm in film {seed}: {one.name}: {one.saw}", file=sys.stderr)
    return [
        f"{planted} films of the simulator with a fault each, {clean} without; written as MP4 and read back, 64x64.",
        "",
        "| fault | found | found by a check of its kind |",
        "|---|---|---|",
        *rows,
        f"| all | {share(found, planted)} | {share(named, planted)} |",
        f"| none (false alarms) | {share(alarms, clean)} | {', '.join(f'{name} {n}' for name, n in false.most_common()) or '-'} |",
    ]


# -- looks ---------------------------------------------------------------------------------------------------------------


LOOK_SIDE = 128
OTHERS = {
    "another kind, same color": (True, False),
    "same kind, another color": (False, True),
    "another kind and color": (True, True),
}
"""What stands in the place of a thing: whether its kind, and whether its color is another one."""


def thing_picture(rng: random.Random, one: CastIdentity, beside: CastIdentity | None, background: str) -> Frames:
    """A picture of a thing alone from near, or somewhere beside another one; uint8 [LOOK_SIDE, LOOK_SIDE, 3]."""
    if beside is None:
        cast, places, camera = {"one": one}, {"one": (5.0, ground_of(one))}, (5.0, ground_of(one), 4.5)
    else:
        left, right = rng.sample([2.0, 4.0, 6.0, 8.0], 2)
        cast, camera = {"one": one, "beside": beside}, (5.0, 5.0, rng.choice([1.0, 1.25]))
        places = {"one": (left, ground_of(one)), "beside": (right, ground_of(beside))}
    scene = staged_scene(cast, places, camera=camera, fps=FPS, aspect=1.0, background=background)
    picture: Frames = staged_picture(scene, LOOK_SIDE, LOOK_SIDE).frames[0]
    return picture


def bench_look(count: int) -> list[str]:
    encoder = LookEncoder()
    kinds = [kind for kind in KINDS if kind not in TALL]
    scores: dict[str, dict[str, list[float]]] = {
        way: {name: [] for name in ("same", *OTHERS)} for way in ("encoder", "color", "sharpness")
    }
    for number in range(count):
        rng = random.Random(f"look/{1000 + number}")
        colors, (kind, beside_kind, other_kind) = rng.sample(COLORS, 3), rng.sample(kinds, 3)
        backgrounds = rng.sample(BACKGROUNDS, 2)
        beside = CastIdentity(kind=beside_kind, color=colors[1])
        reference = thing_picture(rng, CastIdentity(kind=kind, color=colors[0]), None, backgrounds[0])
        features = encoder.features([reference])
        for name, (new_kind, new_color) in {"same": (False, False), **OTHERS}.items():
            one = CastIdentity(kind=other_kind if new_kind else kind, color=colors[2 if new_color else 0])
            picture = thing_picture(random.Random(number), one, beside, backgrounds[1])
            scores["encoder"][name].append(encoder.likeness(features, picture))
            off = np.abs(picture.mean((0, 1)) - reference.mean((0, 1))).max()
            scores["color"][name].append(-float(off))
            scores["sharpness"][name].append(-abs(float(np.log(sharpness_of(picture) / sharpness_of(reference)))))

    def line(name: str) -> str:
        cells = []
        for way in scores.values():
            same, other = np.asarray(way["same"]), np.asarray(way[name])
            low, high = bootstrap(count, lambda rows, a=same, b=other: auroc(a[rows].tolist(), b[rows].tolist()))  # type: ignore[misc]
            cells.append(f"{auroc(way['same'], way[name]):.2f} ({low:.2f} to {high:.2f})")
        passing = sum(value >= LIMIT for value in scores["encoder"][name])
        return f"| {name} | {' | '.join(cells)} | {share(passing, count)} |"

    passing = sum(value >= LIMIT for value in scores["encoder"]["same"])
    return [
        f"{count} things drawn by the simulator's renderer, {LOOK_SIDE}x{LOOK_SIDE}: a near picture of each is looked for in a"
        " picture of another place, in which the same thing or another one stands somewhere beside a third. AUROC of the same"
        " against another:",
        "",
        f"| in its place | encoder | mean color | sharpness | passes (limit {LIMIT:.2f}) |",
        "|---|---|---|---|---|",
        *map(line, OTHERS),
        f"| nothing else: the same | - | - | - | {share(passing, count)} |",
    ]


# -- kills and speed -----------------------------------------------------------------------------------------------------


def command(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "kinema.cli.main", "direct", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each take."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("takes/*/*.mp4"))
        if not path.name.startswith(".")
    }


KILLED = "A red ball rolls right and hits a blue box. A green robot comes in from the right. The robot walks left."
KILLED_OPEN = (
    "A man opens a door. He smiles at a dog.\n\nThe dog runs over a field. It finds a ball.\n\nThe man sits at a fire."
)
FIRST_KILL_S = 2.0
"""Seconds after which a process is killed at the earliest."""


@dataclass
class KillTally:
    """Kills of one engine's productions. films: kills that left a film without its checks; halves: that left a half-written file;
    twice: takes filmed twice; changed: times a take that was there had changed or was gone; differs: productions with other takes
    or another film than the one that nobody killed."""

    kills: int = 0
    productions: int = 0
    films: int = 0
    halves: int = 0
    twice: int = 0
    changed: int = 0
    differs: int = 0


def bench_kills(count: int) -> list[str]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        wan = make_tiny("wan", Path(name) / "wan")
        engines = {
            "kinema-tiny": (KILLED, "--takes", "2"),
            "a tiny Wan of random weights": (KILLED_OPEN, "--model", str(wan), "--size", "64x48", "--takes", "2"),
        }
        for number, (engine, words) in enumerate(engines.items()):
            folder = Path(name) / str(number)
            folder.mkdir()
            tally, whole_s, takes = kill_productions(folder, words, count // len(engines))
            rows.append(
                f"| {engine} | {tally.kills} in {tally.productions}, of {takes} takes in {whole_s:.0f} s | {tally.films} |"
                f" {tally.halves} | {tally.twice} | {tally.changed} | {tally.differs} |"
            )
    return [
        "`kill -9` of `kinema direct` at random times, and `kinema direct resume` afterwards, until each film is there.",
        "",
        "| engine | kills, productions | left a film unchecked | left a half-written file | takes filmed twice | takes changed or"
        " lost | other takes or another film than without kills |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def kill_productions(root: Path, words: Sequence[str], kills: int) -> tuple[KillTally, float, int]:
    """Productions of one story, killed at random times until there were so many kills.

    Returns:
        What came of it; seconds that a production takes which nobody kills; and its takes.
    """
    whole, begun = root / "whole", time.perf_counter()
    film = root / "film.mp4"
    assert command(*words, "--folder", str(whole), "-o", str(film), "--unsigned").wait() == 0
    whole_s = time.perf_counter() - begun
    wanted = {**digests(whole), "film": hashlib.sha256(film.read_bytes()).hexdigest()}
    rng, tally = random.Random(0), KillTally()
    while tally.kills < kills:
        tally.productions += 1
        folder = root / f"p{tally.productions}"
        film = folder / "film.mp4"
        seen: dict[str, str] = {}
        while True:
            resumes = (folder / "production.json").exists()
            folder.mkdir(exist_ok=True)
            given = ("resume", str(folder)) if resumes else (*words, "--folder", str(folder), "-o", str(film))
            process = command(*given, "--unsigned")
            try:
                process.wait(rng.uniform(FIRST_KILL_S, 1.1 * whole_s) if tally.kills < kills else None)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                tally.kills += 1
                tally.films += any(not path.with_suffix(".json").exists() for path in folder.glob("takes/*/[0-9]*.mp4"))
                tally.halves += any(folder.rglob(".kinema-*.tmp*"))
            now = digests(folder)
            tally.changed += any(now.get(path) != digest for path, digest in seen.items())
            seen = now
            if process.returncode == 0:
                break
            if process.returncode > 0:
                raise RuntimeError(process.stderr.read().decode() if process.stderr else "failed")
        lines = Production.open(folder).lines()
        filmed = Counter((line["shot"], line["take"]) for line in lines if line["what"] == "filmed")
        tally.twice += sum(number - 1 for number in filmed.values())
        tally.differs += {**digests(folder), "film": hashlib.sha256(film.read_bytes()).hexdigest()} != wanted
        shutil.rmtree(folder)
    return tally, whole_s, len(wanted) - 1


LONG = (
    "In the lab, a red ball rolls right. A green robot comes in from the right. It walks left. The robot jumps.\n\n"
    "At night, a yellow car drives left. The car drives right. A pink star falls. The star rolls to the left."
)


def bench_speed(count: int) -> list[str]:
    engine = engine_for(None)
    settings = ProductionSettings(title="speed", size="128x128")
    script = plan_story(read_story(LONG), engine.capabilities, settings).script
    shots = tuple(shot.model_copy(update={"seconds": 7.5}) for shot in script.shots)
    script = script.model_copy(update={"shots": shots})
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        production = direct_story(engine, script, Path(folder) / "p")
        seconds = time.perf_counter() - begun
        takes = [take for shot in shots for take in production.takes(shot.id)]
        once = sum(production.takes(shot.id)[0].film_s for shot in shots)
    return [
        f"{len(shots)} shots, {script.seconds:g} s at 128x128: {once:.0f} s for the first takes with their checks"
        f" ({once / script.seconds:.1f} times the playback time), {seconds:.0f} s with all {len(takes)} takes."
    ]


BENCHES: dict[str, Callable[..., list[str]]] = {
    "stories": bench_stories, "retakes": bench_retakes, "faults": bench_faults, "kills": bench_kills,
    "look": bench_look, "speed": bench_speed,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--count",
        type=int,
        help="stories (40), of retakes (40 of each kind), films of each fault (20), kills of both engines (100), things (100)",
    )
    parser.add_argument("--minutes", type=float, default=25.0, help="of retakes, after which no further story is begun (25)")
    parser.add_argument("--write", action="store_true", help=f"keep the page {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args(argv)
    usual = {"stories": 40, "retakes": 40, "faults": 20, "kills": 100, "look": 100, "speed": 1}
    kept_path = PAGE.with_suffix(".json")
    kept: dict[str, list[str]] = json.loads(kept_path.read_text()) if kept_path.exists() else {}
    for part in arguments.parts:
        begun = time.perf_counter()
        more = {"minutes": arguments.minutes} if part == "retakes" else {}
        lines = BENCHES[part](arguments.count or usual[part], **more)
        took_s = time.perf_counter() - begun
        kept[part] = [f"{time.strftime('%Y-%m-%d')}, {machine()}, {took_s / 60:.0f} minutes.", "", *lines]
        print("\n".join(kept[part]), "\n", flush=True)
        if arguments.write:
            kept_path.write_text(json.dumps(kept, indent=1) + "\n")
            PAGE.write_text(page(kept), encoding="utf-8")
    return 0


def page(kept: dict[str, list[str]]) -> str:
    lines = ["# The director: figures", "", "`python -m benchmarks.director --write`", ""]
    for part in (name for name in PARTS if name in kept):
        lines += [f"## {part.capitalize()}", "", *kept[part], ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
