"""Where the cast is in a film's pictures, read by the independent parser (`kinema.playground.parser`), never by a model.

Axes: N frames that are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinema.director.filming.staging import CameraStop, camera_at
from kinema.director.script import CastIdentity
from kinema.media import Clip
from kinema.playground.parser import ParsedObject, parse_clip
from kinema.scene.geometry import ROOM_HEIGHT
from kinema.types import Floats

LOOKS_PER_SECOND = 8.0
SURE = 0.62
"""Score from which something that nobody expects counts."""


@dataclass(frozen=True, kw_only=True)
class MeasuredCast:
    """What the frames of a film show of its cast.

    Attributes:
        frames: int64 [N], numbers of the frames.
        fps: Frames per second of the film.
        identities: Of the cast, by id.
        place: For each id float64 [N, 2], x and y in units; NaN where it is not seen.
        exact: For each id bool [N], whether its kind was read right too, not its color alone.
        others: For each frame what else stands there.
        window: float64 [N, 4], the picture's left, right, lower and upper edge in units.
    """

    frames: NDArray[np.int64]
    fps: float
    identities: Mapping[str, CastIdentity]
    place: Mapping[str, Floats]
    exact: Mapping[str, NDArray[np.bool_]]
    others: Sequence[Sequence[ParsedObject]]
    window: Floats

    def seen(self, id: str) -> NDArray[np.bool_]:
        """In which frames someone is seen, bool [N]."""
        return ~np.isnan(self.place[id][:, 0])

    def name(self, id: str) -> str:
        """'red ball'."""
        identity = self.identities[id]
        return f"{identity.color} {identity.kind}"

    def last_place(self, id: str) -> tuple[float, float] | None:
        """Where someone is last seen, if in the last quarter of the film."""
        at = np.flatnonzero(self.seen(id))
        if not len(at) or at[-1] < 0.75 * (len(self.frames) - 1):
            return None
        x, y = self.place[id][at[-1]].tolist()
        return x, y


def measure_cast(clip: Clip, identities: Mapping[str, CastIdentity], stops: Sequence[CameraStop] = ()) -> MeasuredCast:
    """Read where the cast is.

    Args:
        clip: A film of the Playground's world.
        identities: The cast, by id.
        stops: The camera, as `camera_stops` returns it. Empty: the default one, at rest.

    Returns:
        The places, in about LOOKS_PER_SECOND frames a second, the last frame among them.
    """
    every = max(round(clip.fps / LOOKS_PER_SECOND), 1)
    frames = np.arange(clip.num_frames - 1, -1, -every)[::-1].copy()
    camera = camera_at(stops, (frames / clip.fps).tolist())
    parsed = parse_clip(np.stack([clip.frames[int(i)] for i in frames]), camera)
    place = {id: np.full((len(frames), 2), np.nan) for id in identities}
    exact = {id: np.zeros(len(frames), bool) for id in identities}
    others = []
    for n, objects in enumerate(parsed):
        others.append(_assign(objects, identities, n, place, exact))
    half = ROOM_HEIGHT / 2 / camera[:, 2]
    across = half * clip.frames.shape[2] / clip.frames.shape[1]
    window = np.stack([camera[:, 0] - across, camera[:, 0] + across, camera[:, 1] - half, camera[:, 1] + half], 1)
    return MeasuredCast(
        frames=frames, fps=clip.fps, identities=dict(identities), place=place, exact=exact, others=others,
        window=window.astype(np.float64),
    )  # fmt: skip


def _assign(
    objects: Sequence[ParsedObject], identities: Mapping[str, CastIdentity], n: int, place: dict[str, Floats],
    exact: dict[str, NDArray[np.bool_]],
) -> list[ParsedObject]:  # fmt: skip
    """Give each member of the cast its object in one frame: of its kind and color, or else, where nobody shares its color, of its
    color. Returns the objects of nobody that are sure."""
    left = list(objects)
    for whole in (True, False):
        for id, identity in identities.items():
            if not np.isnan(place[id][n, 0]):
                continue
            alone = sum(other.color == identity.color for other in identities.values()) == 1
            fitting = [
                one for one in left if one.color == identity.color and (one.kind == identity.kind if whole else alone)
            ]
            if fitting:
                best = min(fitting, key=lambda one: (_distance(one, place[id], n), -one.score))
                left.remove(best)
                place[id][n], exact[id][n] = (best.x, best.y), whole
    return [one for one in left if one.score >= SURE]


def _distance(one: ParsedObject, place: Floats, n: int) -> float:
    """From where it was last seen, in units; 0 if never."""
    before = np.flatnonzero(~np.isnan(place[:n, 0]))
    if not len(before):
        return 0.0
    x, y = place[before[-1]].tolist()
    return float(np.hypot(one.x - x, one.y - y))
