"""What a take of a shot depends on, as a digest: where it changes, takes are of another shot."""

from __future__ import annotations

import hashlib
import json

from kinema.director.script import Script, Shot

NOT_FILMED = {"id", "scene", "transition", "dialogue", "sound", "guides"}
"""Fields of a shot that no take depends on."""


def shot_digest(script: Script, shot: Shot) -> str:
    """SHA-256, in hexadecimal, of what of a script a shot is filmed and checked by: its own fields, its cast, its place, and size,
    shape, rate and style of the film."""
    settings = script.production
    place = script.place_of(shot)
    depends = {
        "shot": shot.model_dump(mode="json", exclude=NOT_FILMED, exclude_defaults=True),
        "cast": [script.member(id).model_dump(mode="json", exclude_defaults=True) for id in shot.cast],
        "place": None if place is None else place.model_dump(mode="json", exclude_defaults=True),
        "film": [settings.aspect, settings.size, settings.fps, settings.style],
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
