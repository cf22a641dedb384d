"""Where the cast of a shot stands, for models with a state: in its first picture, and in its last one if it is planned.

A shot is staged from the events that it expects and from where the shot before ended: who moves right begins on the left, who
enters stands out of the picture, who is passed behind stands in the middle. A staged picture is a `Clip` of one frame with its
state (`kinema.scene.Scene`), by which a model knows the same cast in every shot.

Units: a room is 10 high and wide; x to the right, y up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kinema.director.script import CastIdentity, ExpectedEvent, Script, Shot
from kinema.errors import InputError
from kinema.media import Clip
from kinema.playground.renderer import render_scene
from kinema.scene.geometry import DEFAULT_CAMERA, FLOOR, MIDDLE, ROOM_HEIGHT, SOLID
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, MATERIALS, SIZES, VIEWS, Scene

Position = tuple[float, float]
"""x and y in units."""
CameraStop = tuple[float, float, float, float]
"""Second, x, y and zoom."""
ZOOM = {"wide": 1.0, "medium": 1.25, "close": 1.5}
OUTSIDE = 1.6
"""How far from the picture's edge those stand who enter or have left, in units."""
GAP = 0.3
"""Between two who stand beside each other."""
TALL = ("screen", "flag")
STARTS = {"right": 2.0, "left": 8.0}
FAR = {"right": 6.8, "left": 3.2}
SPEED = 2.6
"""Of who moves in a shot's first picture, in units a second."""
MOVES = 1.6
"""Units that who moves gets ahead at least in a shot."""
SHIFT = 1.0
"""How far something moves that is hit."""


def width_of(identity: CastIdentity) -> float:
    """How far something reaches to either side of its center, in units."""
    return SOLID[identity.kind].across * SIZES[identity.size]


def ground_of(identity: CastIdentity) -> float:
    """Height of the center of something that stands on the ground of the side view."""
    return FLOOR + SOLID[identity.kind].below * SIZES[identity.size]


def identities_of(script: Script, shot: Shot) -> dict[str, CastIdentity]:
    """Identities of a shot's cast. InputError: a member has none."""
    known = {}
    for id in shot.cast:
        identity = script.member(id).identity
        if identity is None:
            raise InputError(
                f'cast member "{id}" has no identity, which a model with a state needs: {{"kind": "ball", "color": "red"}}'
            )
        known[id] = identity
    return known


def direction_of(shot: Shot, who: str) -> str | None:
    """The first direction that a shot's events give someone."""
    return next((event.direction for event in shot.events if event.who == who and event.direction), None)


def opening_positions(
    shot: Shot, identities: Mapping[str, CastIdentity], before: Mapping[str, Position] | None = None
) -> dict[str, Position]:
    """Where everyone stands in a shot's first picture.

    Args:
        shot: The shot.
        identities: Of its cast.
        before: Where those stand who were in the shot before, at its end. None: the shot begins anew.

    Returns:
        A place for each member of the cast.
    """
    places = {id: place for id, place in (before or {}).items() if id in identities}
    entering = {event.who for event in shot.events if event.kind == "enters"} - set(places)
    events = sorted(shot.events, key=lambda event: event.kind == "rests")
    for event in events:
        heading = event.direction if event.direction in STARTS else "right"
        if event.other and event.other not in places and event.other not in entering:
            middle = identities[event.other].kind in TALL and event.kind == "passes_behind"
            wanted = MIDDLE if middle else FAR[heading]
            if event.who in places:
                wanted = _beyond(places[event.who][0], heading)
            places[event.other] = _free(wanted, identities, event.other, places)
        if event.who not in places and event.who not in entering:
            moving = event.kind not in ("rests", "falls", "bounces", "jumps", "stops")
            wanted = STARTS[heading] if moving else MIDDLE
            if event.kind == "leaves":
                wanted = FAR[heading]
            height = 7.5 if event.kind in ("falls", "bounces") else None
            places[event.who] = _free(wanted, identities, event.who, places, height)
    aside = {"right": 8.6, "left": 1.4}.get(_first_heading(shot), MIDDLE)
    for id in identities:
        if id not in places and id not in entering:
            places[id] = _free(aside, identities, id, places)
    for id in identities:
        if id in entering:
            places[id] = (entry_side(shot, id, places), ground_of(identities[id]))
    return places


def _first_heading(shot: Shot) -> str:
    """The direction in which somebody moves first; "" where nobody moves across."""
    across = ("moves", "leaves", "hits", "pushes", "passes_behind", "stops")
    return next((event.direction or "right" for event in shot.events if event.kind in across), "")


def entry_side(shot: Shot, who: str, places: Mapping[str, Position]) -> float:
    """x of someone who is about to enter: from the side against its direction, by default the emptier one."""
    heading = direction_of(shot, who)
    if heading not in STARTS:
        standing = [x for x, _ in places.values() if 0 <= x <= ROOM_HEIGHT]
        heading = "left" if not standing or sum(standing) / len(standing) < MIDDLE else "right"
    return ROOM_HEIGHT + OUTSIDE if heading == "left" else -OUTSIDE


def places_in(state: Scene, identities: Mapping[str, CastIdentity], frame: int = -1) -> dict[str, Position]:
    """Where a state has the cast in one of its frames."""
    names = {f"{identity.color} {identity.kind}": id for id, identity in identities.items()}
    slots = {names[state.name(k)]: k for k in reversed(state.entities) if state.name(k) in names}
    return {id: (float(state.x[frame, k]), float(state.y[frame, k])) for id, k in slots.items()}


def closing_positions(
    shot: Shot, identities: Mapping[str, CastIdentity], opening: Mapping[str, Position]
) -> dict[str, Position]:
    """Where everyone stands after a shot's events, from where they stand before them."""
    places = dict(opening)
    for event in shot.events:
        x, y = places[event.who]
        heading = _heading(event, places, shot)
        sign = 1.0 if heading == "right" else -1.0
        ground = ground_of(identities[event.who])
        if event.kind in ("falls", "bounces"):
            places[event.who] = (x, ground)
        elif event.kind == "enters":
            edge = 0.0 if x < MIDDLE else ROOM_HEIGHT
            inward = 2.2 if edge == 0.0 else -2.2
            places[event.who] = _free(
                edge + inward, identities, event.who, {k: v for k, v in places.items() if k != event.who}
            )
        elif event.kind == "leaves":
            places[event.who] = (ROOM_HEIGHT + OUTSIDE if sign > 0 else -OUTSIDE, y)
        elif event.kind in ("moves", "comes_out") and heading in ("left", "right"):
            places[event.who] = (_walk(event.who, x, sign, identities, places), y)
        elif event.other is not None:
            places |= _meeting(event, sign, identities, places)
    return places


def _heading(event: ExpectedEvent, places: Mapping[str, Position], shot: Shot) -> str:
    if event.direction:
        return event.direction
    if event.kind == "leaves" and direction_of(shot, event.who) in STARTS:
        return str(direction_of(shot, event.who))
    if event.kind == "leaves":
        return "right" if places[event.who][0] > MIDDLE else "left"
    if event.other is not None:
        return "right" if places[event.other][0] > places[event.who][0] else "left"
    return "right" if places[event.who][0] < MIDDLE else "left"


def _walk(
    who: str, x: float, sign: float, identities: Mapping[str, CastIdentity], places: Mapping[str, Position], far: float = 3.5
) -> float:
    """Where someone gets to who moves on by `far` units, unless something that can be bumped into or the edge comes first."""
    target = min(max(x + sign * far, 1.2), ROOM_HEIGHT - 1.2)
    for id, (other, _) in places.items():
        solid = id != who and identities[id].kind not in TALL
        if solid and 0 < sign * (other - x) < sign * (target - x) + 1.0:
            target = other - sign * (width_of(identities[id]) + width_of(identities[who]) + GAP)
    return target if sign * (target - x) > 0 else x


def _meeting(
    event: ExpectedEvent, sign: float, identities: Mapping[str, CastIdentity], places: Mapping[str, Position]
) -> dict[str, Position]:
    """Where the two of an event stand after it."""
    assert event.other is not None
    (_, y), (other, height) = places[event.who], places[event.other]
    reach = width_of(identities[event.who]) + width_of(identities[event.other])
    if event.kind == "passes_behind":
        return {event.who: (other + sign * (reach + GAP), y)}
    if event.kind == "stops":
        return {event.who: (other - sign * (reach + GAP), y)}
    if event.kind == "reaches":
        return {event.who: (other - sign * GAP, y)}
    pushed = 2.0 * SHIFT if event.kind == "pushes" else SHIFT
    standing = {id: place for id, place in places.items() if id != event.who}
    moved = _walk(event.other, other, sign, identities, standing, pushed)
    near = 0.05 if event.kind == "pushes" else SHIFT
    return {event.other: (moved, height), event.who: (moved - sign * (reach + near), y)}


def _beyond(x: float, heading: str) -> float:
    away = x + 4.0 if heading == "right" else x - 4.0
    return away if 1.0 <= away <= ROOM_HEIGHT - 1.0 else ROOM_HEIGHT - x


def _free(
    wanted: float,
    identities: Mapping[str, CastIdentity],
    id: str,
    places: Mapping[str, Position],
    height: float | None = None,
) -> Position:
    """The place nearest to the wanted one where nobody stands."""
    mine = width_of(identities[id])
    options = sorted(np.arange(1.2, ROOM_HEIGHT - 1.1, 0.2).tolist(), key=lambda x: abs(x - wanted))

    def clearance(x: float) -> float:
        return min((abs(x - other) - mine - width_of(identities[who]) for who, (other, _) in places.items()), default=9.0)

    chosen = next((x for x in options if clearance(x) >= GAP), None)
    if chosen is None:
        chosen = max(options, key=clearance)
    return chosen, ground_of(identities[id]) if height is None else height


def opening_speeds(
    shot: Shot, known: Mapping[str, Position], opening: Mapping[str, Position], identities: Mapping[str, CastIdentity]
) -> dict[str, float]:
    """Speeds in units a second with which those move in the first picture who are the first to move: so slow that they reach nobody
    in the shot whom they are not to meet. Those stand still who were in the shot before, whose own speeds are handed over."""
    met = {event.other for event in shot.events}
    for event in shot.events:
        if event.kind in ("moves", "leaves", "hits", "passes_behind") and event.who not in known:
            heading = event.direction or "right"
            if heading in ("up", "down"):
                return {}
            sign, x = (1.0 if heading == "right" else -1.0), opening[event.who][0]
            ahead = [
                sign * (other - x) - width_of(identities[id]) - width_of(identities[event.who])
                for id, (other, _) in opening.items()
                if id != event.who and id not in met and identities[id].kind not in TALL and sign * (other - x) > 0
            ]
            slow = max(min(ahead, default=99.0) - GAP, MOVES) / shot.seconds
            return {event.who: sign * min(SPEED, slow)}
        if event.kind != "rests":
            return {}
    return {}


def in_motion(scene: Scene, speeds: Mapping[int, float], frames: int) -> Scene:
    """A staged scene of one frame as one of several, the last of which is that frame: slots move at speeds in units a second."""
    at = np.arange(1 - frames, 1, dtype=np.float32)[:, None] / scene.fps
    vx = np.zeros((1, scene.num_slots), np.float32)
    for slot, speed in speeds.items():
        vx[0, slot] = speed
    many: dict[str, Any] = {
        name: np.repeat(getattr(scene, name), frames, 0) for name in ("y", "vy", "angle", "visible", "camera")
    }
    return replace(scene, x=scene.x + vx * at, vx=np.repeat(vx, frames, 0), **many)


def camera_stops(shot: Shot, places: Mapping[str, Position], aspect: float) -> tuple[CameraStop, ...]:
    """The camera of a shot: stops (second, x, y, zoom). aspect: width to height of the picture."""
    zoom = ZOOM[shot.framing]
    begin = end = zoom
    if shot.camera == "zoom in":
        end = zoom * 1.4
    elif shot.camera == "zoom out":
        begin = zoom * 1.4
    elif shot.camera.startswith("pan") and zoom == 1.0:
        begin = end = ZOOM["medium"]
    inside = [x for x, _ in places.values() if 0 <= x <= ROOM_HEIGHT] or [MIDDLE]
    middle = sum(inside) / len(inside)
    shift = {"pan right": 1.0, "pan left": -1.0}.get(shot.camera, 0.0)
    stops = []
    for second, x, z in ((0.0, middle - shift, begin), (shot.seconds, middle + shift, end)):
        half = ROOM_HEIGHT / 2 / z
        across = min(half * aspect, ROOM_HEIGHT / 2)
        place = min(max(x, across), ROOM_HEIGHT - across)
        low = min(max(FLOOR + 0.75 * half, half), ROOM_HEIGHT - half)
        stops.append((second, place if z > 1.0 else MIDDLE, low if z > 1.0 else MIDDLE, z))
    return tuple(stops)


def camera_at(stops: Sequence[CameraStop], times_s: Sequence[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The camera (x, y, zoom) at some times, float32 [N, 3]; without stops the default camera."""
    if not stops:
        return np.tile(np.asarray(DEFAULT_CAMERA, np.float32), (len(times_s), 1))
    seconds = [stop[0] for stop in stops]
    return np.stack([np.interp(times_s, seconds, [stop[axis] for stop in stops]) for axis in (1, 2, 3)], 1).astype(
        np.float32
    )


def staged_scene(
    identities: Mapping[str, CastIdentity], places: Mapping[str, Position], *, background: str = "lab", view: str = "side",
    camera: Sequence[float] = DEFAULT_CAMERA, fps: float = 16.0, aspect: float = 1.0,
) -> Scene:  # fmt: skip
    """A scene of one frame in which the cast stands still at these places, its slots in the order of `identities`.

    Raises:
        InputError: A background, view, kind, color, material or size that there is not.
    """
    check_scene_words(identities, background, view)
    ids, count = list(identities), max(len(identities), 1)
    fixed: dict[str, Any] = {
        "kind": np.full(count, -1, np.int8), "color": np.zeros(count, np.int8), "material": np.zeros(count, np.int8),
        "size": np.zeros(count, np.float32),
    }  # fmt: skip
    moving: dict[str, Any] = {name: np.zeros((1, count), np.float32) for name in ("x", "y", "vx", "vy", "angle", "visible")}
    x, y, zoom = (float(value) for value in camera)
    half = ROOM_HEIGHT / 2 / zoom
    for slot, id in enumerate(ids):
        identity, (own_x, own_y) = identities[id], places[id]
        fixed["kind"][slot], fixed["color"][slot] = KINDS.index(identity.kind), COLORS.index(identity.color)
        fixed["material"][slot], fixed["size"][slot] = MATERIALS.index(identity.material), SIZES[identity.size]
        inside = abs(own_x - x) < half * aspect + 0.3 and abs(own_y - y) < half + 0.3
        for name, value in (("x", own_x), ("y", own_y), ("visible", float(inside))):
            moving[name][0, slot] = value
    return Scene(
        fps=fps, view=view, background=background, camera=np.asarray([[x, y, zoom]], np.float32), **fixed, **moving
    )  # fmt: skip


def check_scene_words(identities: Mapping[str, CastIdentity], background: str, view: str) -> None:
    """InputError: a background, view, kind, color or material that there is not. identities: of the cast, by id."""
    named = [("background", background, BACKGROUNDS), ("view", view, VIEWS)]
    for id, identity in identities.items():
        named += [
            (f'kind of "{id}"', identity.kind, KINDS), (f'color of "{id}"', identity.color, COLORS),
            (f'material of "{id}"', identity.material, MATERIALS),
        ]  # fmt: skip
    for what, word, known in named:
        if word not in known:
            raise InputError(f"{what}: {word!r} came, expected one of {', '.join(known)}")


def staged_picture(scene: Scene, width: int, height: int) -> Clip:
    """The pictures of a scene, with it as their state."""
    return Clip(frames=render_scene(scene, height=height, width=width), fps=scene.fps, state=scene)


def seen_by(scene: Scene, camera: Sequence[float]) -> Scene:
    """A scene seen by another camera (x, y, zoom)."""
    return replace(scene, camera=np.tile(np.asarray(camera, np.float32), (scene.num_frames, 1)))
