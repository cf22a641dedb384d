"""How far a run will come: its steps and its end by the speed of its first steps, and what runs of such a length have reached.

Only measured runs are named, each with the page that has its figures; where none is near, a forecast is steps and time alone.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

TIMED_STEPS, TIMED_S, LEAST_TIMED = 8, 30.0, 3
"""A forecast is made after so many timed steps, or after LEAST_TIMED that took so many seconds together."""
NEAR = 1.5
"""By how many times the targets of a measured run may differ from those of a run that it says something about."""
STRETCHES = 1000
"""Stretches in which the steps ahead are gone through."""


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """A finished run whose result was measured.

    Attributes:
        learned: What it learned from.
        steps: That it took.
        targets: Frames that its steps asked for, all together.
        kind: What runs that are compared have in common (`world_kind`, `film_kind`).
        reached: Its result, in the figures of `source`.
        beat: Whether that is better than the trivial answer: of worlds the last known picture, of films those of other texts.
        source: The page and the beginning of the heading under which its figures stand.
    """

    learned: str
    steps: int
    targets: int
    kind: str
    reached: str
    beat: bool
    source: tuple[str, str]


def world_kind(size: str, height: int, width: int, several: bool = False) -> str:
    """What worlds that are compared have in common: size of the network, pixels of a picture, one recording or several."""
    return f"world {size} {height}x{width}{' several' if several else ''}"


def film_kind(size: str, patch: int, short_side: int) -> str:
    """What models of captioned clips that are compared have in common: the network, latents along a token, pixels of a clip."""
    return f"film {size} {patch} {short_side}"


_LOG, _TEXTS = "docs/training-log.md", "docs/measurements/film-prompts.md"
_WORLDS = "docs/measurements/recorded-worlds.md"


def _world(learned: str, steps: int, ratio: str, source: tuple[str, str], rows: int = 6) -> MeasuredRun:
    reached = f"{ratio} of copying's error after 12 frames"
    kind = world_kind("XXS", 64, 64)
    return MeasuredRun(
        learned=learned, steps=steps, targets=8 * rows * steps, kind=kind, reached=reached, beat=True, source=source
    )


MEASURED = (
    _world("Pong", 1373, "0.43", (_LOG, "2026-11-29, Pong beside DIAMOND's own code again")),
    _world("MiniGrid Empty 6x6", 2179, "0.04", (_LOG, "2026-11-29, MiniGrid Empty 6x6 anew")),
    _world("Pong", 2398, "0.41", (_LOG, "2026-11-29, Pong with entities")),
    _world("Pong", 3414, "0.45", (_LOG, "2026-11-29, Pong by the general network")),
    _world("MiniGrid DoorKey 6x6", 3657, "0.17", (_LOG, "2026-11-29, MiniGrid DoorKey 6x6 by the general network")),
    _world("Breakout", 4910, "0.48", (_LOG, "2026-11-29, Breakout with entities")),
    _world("Pong without sticky actions", 5924, "0.34", (_LOG, "2026-11-30, Pong without sticky actions")),
    _world("Pong without sticky actions", 5050, "0.35", (_LOG, "2026-11-30, Pong without sticky actions by the new recipe"), 4),
    _world("MiniGrid DoorKey 6x6", 828, "0.02", (_WORLDS, "Recorded worlds"), 4),
    _world("Breakout without sticky actions", 1481, "0.26", (_LOG, "2026-12-01, Breakout and Pong with rules that remember"), 4),
    _world("Pong without sticky actions", 1901, "0.26", (_LOG, "2026-12-01, Pong by choices"), 4),
    _world("PushT", 5713, "0.56", (_LOG, "2026-11-30, PushT by the new recipe"), 4),
    MeasuredRun(
        learned="six environments at once", steps=4131, targets=48 * 4131, kind=world_kind("XXS", 64, 64, several=True),
        reached="0.52 (Pong), 0.50 (Breakout), 0.29 (Freeway) and 0.23 (DoorKey) of copying's error after 12 frames",
        beat=True, source=(_LOG, "2026-11-30, one model of six environments"),
    ),
    MeasuredRun(
        learned="12,000 films of the Playground", steps=4212, targets=96 * 4212, kind=film_kind("XXS", 1, 64),
        reached="the cast of the text in 18.8% of 48 films", beat=True, source=(_TEXTS, "Texts followed by a model"),
    ),
    MeasuredRun(
        learned="12,000 films of the Playground", steps=11799, targets=96 * 11799, kind=film_kind("XXS", 1, 64),
        reached="the cast of the text in 35.4% of 48 films", beat=True, source=(_LOG, "2026-11-30, kinema-film"),
    ),
    MeasuredRun(
        learned="447 clips of one shape", steps=1794, targets=96 * 1794, kind=film_kind("XS", 2, 64),
        reached="the shape of the text in 25% [8, 42] of 24 films", beat=False,
        source=(_LOG, "2026-11-29, a folder of 447 clips again"),
    ),
)  # fmt: skip
"""Of the usual recipes at 64 pixels. A step has 4 x 8 frames (worlds) or 8 x 12 (films). Those with 6 x 8 are of an earlier
recipe, by which as many frames taught a world less."""
EARLIER = MeasuredRun(
    learned="an earlier network", steps=267, targets=0, kind="",
    reached="copying the last picture was as good from the fourth frame on", beat=False,
    source=("docs/decisions/0031-general-network.md", "Context"),
)  # fmt: skip
"""A world that did not beat copying."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Of a whole run.

    Attributes:
        steps: That it will have taken.
        seconds: That they will have taken, those before a run went on included.
        left_s: Seconds until then.
        step_s: Of a step as they are at the beginning.
        targets: Frames that its steps will have asked for.
    """

    steps: int
    seconds: float
    left_s: float
    step_s: float
    targets: int

    def length(self) -> str:
        """Steps, targets and minutes in words."""
        minutes = f"{self.seconds / 60:.{1 if self.seconds < 600 else 0}f} minutes"
        return (
            f"about {about(self.steps)} steps ({about(self.targets)} frame targets) in {minutes}, {self.step_s:.2g} s a step"
        )


class StepTimes:
    """Seconds of the first steps, each for the effort of a plain one. The first step is left out, since compiling is in it."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._total_s, self._first = 0.0, True

    def add(self, seconds: float, effort: float) -> None:
        """Of one more step."""
        if self._first:
            self._first = False
            return
        self._seconds.append(seconds / effort)
        self._total_s += seconds

    def step_s(self) -> float | None:
        """Of a plain step; None while too few were timed."""
        count = len(self._seconds)
        enough = count >= TIMED_STEPS or (count >= LEAST_TIMED and self._total_s >= TIMED_S)
        return statistics.median(self._seconds) if enough else None


def forecast_run(
    step_s: float,
    *,
    step: int,
    elapsed_s: float,
    steps: int | None,
    minutes: float | None,
    effort: Callable[[int, float], float],
    targets: int,
) -> Forecast:
    """Go through the steps ahead.

    step_s: of a plain step. step, elapsed_s: where the run is. steps, minutes: what ends it, whichever is first; one at least.
    effort: of a step, given its number and the share of the run that is done, in plain steps. targets: of a step.
    """
    now, begun_s = step, elapsed_s
    by_steps = steps - step if steps is not None else math.inf
    by_time = (minutes * 60 - elapsed_s) / step_s if minutes is not None else math.inf
    together = max(1, math.ceil(min(by_steps, by_time) / STRETCHES))
    while True:
        done_steps = step / steps if steps is not None else 0.0
        done_time = elapsed_s / (minutes * 60) if minutes is not None else 0.0
        if (done := max(done_steps, done_time)) >= 1:
            break
        count = together if steps is None else min(together, steps - step)
        elapsed_s += count * step_s * effort(step, done)
        step += count
    left_s = elapsed_s - begun_s
    return Forecast(steps=step, seconds=elapsed_s, left_s=left_s, step_s=step_s, targets=targets * max(step, now))


def bought_before(forecast: Forecast, kind: str, learned: str = "") -> tuple[str, bool]:
    """What measured runs of this kind and about this length reached, in words, "" where there is none; and whether the run is
    shorter than every one of its kind that beat the trivial answer, and not near one.

    learned: the environment, or "". Runs of the same one are named first.
    """
    alike = [run for run in MEASURED if run.kind == kind]
    near = [run for run in alike if max(run.targets, forecast.targets) <= NEAR * min(run.targets, forecast.targets)]
    same = [run for run in near if learned and run.learned.casefold().startswith(learned.casefold())]
    best = min(same or near, key=lambda run: abs(math.log(run.targets / max(forecast.targets, 1))), default=None)
    beat = [run for run in alike if run.beat]
    short = bool(beat) and not any(run.beat for run in near) and all(run.targets > forecast.targets for run in beat)
    world = kind.startswith("world")
    if best is not None:
        text = f"{best.learned}, with {best.steps:,} steps: {best.reached} ({best.source[0]})"
        return (f"{text}; {_earlier()}" if world else text), short
    if short:
        least = min(beat, key=lambda run: run.targets)
        shortest = f"the shortest measured run that did is {least.learned}, with {least.steps:,} steps: {least.reached}"
        return (f"{_earlier()}; {shortest}" if world else shortest) + f" ({least.source[0]})", True
    return "", False


def _earlier() -> str:
    return f"with {EARLIER.steps} steps of {EARLIER.learned} {EARLIER.reached}"


def forecast_lines(forecast: Forecast, kind: str, learned: str = "") -> tuple[str, str | None]:
    """The forecast and what such a length bought before, and a warning where it is too short to beat the trivial answer."""
    bought, short = bought_before(forecast, kind, learned)
    if not short:
        return forecast.length() + (f". Measured before: {bought}" if bought else ""), None
    what = "worlds that beat copying the last picture" if kind.startswith("world") else "films that follow their texts"
    return (
        forecast.length(),
        f"{about(forecast.steps)} steps may be too few for {what}: {bought}; give it more --minutes or --steps",
    )


def done_at(seconds: float) -> str:
    """The clock in so many seconds, with the date unless it is today's."""
    then = time.localtime(time.time() + seconds)
    return time.strftime("%H:%M" if then[:3] == time.localtime()[:3] else "%Y-%m-%d %H:%M", then)


def about(count: int) -> str:
    """A number with two digits that count: "5,900" of 5,924."""
    digits = 10 ** max(len(str(count)) - 2, 0)
    return f"{round(count / digits) * digits:,}"
