"""Checks of a take: what was measured, whether it is as the script says, and in which frames.

Films of models with a state are read by the independent parser: who is there and in which color, how many, where at a cut,
which way across it, what happens and in which order, and that nobody vanishes or jumps. Of any film: length, cuts that nobody
planned, black or frozen frames, flicker, sharpness and color against the shot before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kinema.director.checking.pixel_checks import check_pixels
from kinema.director.checking.results import TakeCheck
from kinema.director.checking.state_checks import BeforeCut, check_cast
from kinema.director.checking.tracks import measure_cast
from kinema.director.filming.live import GIVEN
from kinema.director.filming.staging import (
    CameraStop,
    camera_stops,
    closing_positions,
    identities_of,
    opening_positions,
    places_in,
)
from kinema.director.filming.takes import Handover, film_size
from kinema.director.script import CastIdentity, Script, Shot
from kinema.engines import Capabilities
from kinema.media import Clip
from kinema.scene.scene import COLORS, KINDS


@dataclass(frozen=True, kw_only=True)
class TakeReport:
    """All checks of a take."""

    results: tuple[TakeCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(result.passed for result in self.results)

    @property
    def score(self) -> float:
        """Weight of the checks that passed, of all: 0 to 1."""
        total = sum(result.weight for result in self.results)
        return 1.0 if not total else sum(result.weight for result in self.results if result.passed) / total

    @property
    def failures(self) -> tuple[TakeCheck, ...]:
        """Checks that did not pass, the heaviest first."""
        return tuple(sorted((one for one in self.results if not one.passed), key=lambda one: -one.weight))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "passed": self.passed,
            "score": round(self.score, 4),
            "checks": [{**asdict(one), "frames": list(one.frames)} for one in self.results],
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> TakeReport:
        """The inverse of `to_dict`."""
        return TakeReport(results=tuple(TakeCheck(**{**one, "frames": tuple(one["frames"])}) for one in data["checks"]))


def check_take(
    script: Script, shot: Shot, clip: Clip, capabilities: Capabilities, *, before: Handover | None = None,
    before_shot: Shot | None = None,
) -> TakeReport:  # fmt: skip
    """Check one take.

    Args:
        script: The script.
        shot: The shot that was filmed.
        clip: The take.
        capabilities: Of the model that filmed it.
        before: The take before the cut, if both are of one scene.
        before_shot: Its shot.

    Returns:
        The report.
    """
    results: list[TakeCheck] = []
    still_from: int | None = None
    if reads_state(script, shot, capabilities):
        identities = identities_of(script, shot)
        goes_on = before is not None and before_shot is not None and shot.goes_on_from == before_shot.id
        stops, absent = staged_camera(script, shot, capabilities, identities, before if goes_on else None)
        cast = measure_cast(clip, identities, stops)
        cut = None
        if goes_on and before is not None and before_shot is not None:
            known = identities_of(script, before_shot)
            cut = BeforeCut(cast=measure_cast(last_second(before.clip), known, _late(before, before_shot)), shot=before_shot)
        changed, brought = changed_by_cues(clip, identities)
        results, last = check_cast(shot, cast, absent=absent, before=cut, changed=changed, brought=brought)
        still_from = last
    cues = check_cues(shot, clip)
    results += cues
    moving = shot.camera != "still" or shot.live or any(event.kind not in ("rests", "stops") for event in shot.events)
    results += check_pixels(
        clip, seconds=shot.seconds, before=None if before is None else before.clip, moving=moving, still_from=still_from,
        alike=before_shot is not None and before_shot.framing == shot.framing and before_shot.place == shot.place,
        changed=frozenset(frame for cue in cues for frame in cue.frames),
    )  # fmt: skip
    return TakeReport(results=tuple(results))


def check_cues(shot: Shot, clip: Clip) -> list[TakeCheck]:
    """Whether each cue of a shot was given while it was filmed."""
    given = {int(one["number"]): one for one in clip.settings.get(GIVEN, ())}
    results = []
    for number, cue in enumerate(shot.cues):
        one = given.get(number)
        problem = "its moment never came" if one is None else one.get("problem", "")
        saw = problem if one is None else f"at {float(one['at_s']):.2f} s: {problem or one['understood']}"
        frames = () if one is None else (min(round(float(one["at_s"]) * clip.fps), clip.num_frames - 1),)
        results.append(TakeCheck(name=f"cue: {cue}", passed=not problem, saw=saw, frames=frames, weight=2.0))
    return results


def changed_by_cues(clip: Clip, identities: Mapping[str, CastIdentity]) -> tuple[frozenset[str], frozenset[str]]:
    """Ids of the cast that cues moved, changed or took away, and names of the things that they brought in, such as "blue box"."""
    changed, brought = set(), set()
    for one in clip.settings.get(GIVEN, ()):
        words = str(one["understood"])
        names = {id: f"{identity.color} {identity.kind}" for id, identity in identities.items()}
        if words.startswith("add "):
            brought |= {f"{color} {kind}" for color in COLORS for kind in KINDS if f"{color} {kind}" in words}
        elif not words.startswith(("push ", "stop ")):
            now = {id for id, name in names.items() if name in words}
            changed |= now
            brought |= {f"{color} {identities[id].kind}" for id in now for color in COLORS if words.endswith(f" {color}")}
    return frozenset(changed), frozenset(brought)


def reads_state(script: Script, shot: Shot, capabilities: Capabilities) -> bool:
    """Whether a take can be read by the parser: the model has a state, and all of the cast have an identity in it."""
    return capabilities.state and bool(shot.cast) and all(script.member(id).identity is not None for id in shot.cast)


def staged_camera(
    script: Script, shot: Shot, capabilities: Capabilities, identities: Mapping[str, CastIdentity], before: Handover | None
) -> tuple[tuple[CameraStop, ...], frozenset[str]]:
    """The camera with which a shot was staged, and who stands out of its picture without an event that brings them in."""
    width, height = film_size(script, capabilities)
    state = None if before is None else before.clip.state
    opening = opening_positions(shot, identities, {} if state is None else places_in(state, identities))
    stops = camera_stops(shot, {**opening, **closing_positions(shot, identities, opening)}, width / height)
    entering = {event.who for event in shot.events if event.kind == "enters"}
    half = 5.0 / stops[0][3] * width / height
    outside = {id for id, (x, _) in opening.items() if abs(x - stops[0][1]) > half + 0.3}
    return stops, frozenset(outside - entering)


def last_second(clip: Clip) -> Clip:
    """The end of a clip, one second long at most."""
    return clip.cut(slice(-max(round(clip.fps), 1), None))


def _late(before: Handover, shot: Shot) -> Sequence[CameraStop]:
    """The camera of the last second of a shot, its time from 0 on."""
    shift = max(before.clip.duration_s - 1.0, 0.0)
    return tuple((second - shift, *at) for second, *at in before.stops)  # type: ignore[misc]
