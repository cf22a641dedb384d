"""The first picture of each shot, before anything is filmed."""

from __future__ import annotations

from collections.abc import Iterator

from kinema.director.filming.takes import Handover, film_size, stage_shot
from kinema.director.script import Script, Shot
from kinema.engines import Capabilities
from kinema.media import Clip


def staged_stills(script: Script, capabilities: Capabilities) -> Iterator[tuple[Shot, Clip]]:
    """The first picture of every shot as it is staged for a model with a state, each shot after the planned end of the one that it
    goes on from.

    Args:
        script: The script.
        capabilities: Of a model with a state.

    Yields:
        A shot and its picture, a clip of one frame.
    """
    size, fps = film_size(script, capabilities), script.production.fps or capabilities.fps
    ends: dict[str, Handover] = {}
    for shot in script.shots:
        staged = stage_shot(script, shot, size, fps, ends.get(shot.goes_on_from or ""))
        ends[shot.id] = Handover(clip=staged.last, stops=staged.stops)
        yield shot, staged.pictures.cut(slice(-1, None))
