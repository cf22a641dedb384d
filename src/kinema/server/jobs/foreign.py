"""Whether what a video is to be made of is foreign to its model: said when a video is accepted or estimated, before it is made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kinema.engines.catalog import default_model
from kinema.errors import ApiError, MediaError
from kinema.inference import familiarity
from kinema.inference.canvas_io import resolve_model
from kinema.media import Clip
from kinema.server.jobs.render import sources_of

READS = ("generate", "edit", "remix", "extend", "blend", "loop", "restyle", "upscale")
"""Kinds of jobs for which a model estimates the state of what is given."""
MOST_KNOWN = 4096
"""So many answers are kept, so that a form that asks for estimates again and again has the model look once."""


class ForeignNotes:
    """Looks at the pictures and clips of requests with the model that will film them, on the processor.

    Args:
        load: Returns the clip of a reference {"file": id} or {"video": id}.
    """

    def __init__(self, load: Callable[[dict[str, str]], Clip]) -> None:
        self._load = load
        self._known: dict[tuple[str, str, bool], str] = {}
        self._lock = threading.Lock()

    def __call__(self, kind: str, model: str, request: dict[str, Any]) -> list[str]:
        """What `kinema.inference.familiarity.foreign_among` says of what a request is made of, as a list of one note or none."""
        if kind not in READS:
            return []
        reader = default_model() if kind == "restyle" else model  # states are estimated by the default model
        if reader not in familiarity.THRESHOLDS:
            return []
        left_out = kind == "generate" and bool(request["prompt"].strip())
        given = [request["video"]] if kind == "restyle" and "video" in request else sources_of(kind, request)
        notes = (self._look(reference, reader, left_out) for reference in given)
        return [note for note in [next(filter(None, notes), None)] if note]

    def _look(self, reference: dict[str, str], model: str, left_out: bool) -> str:
        ((_, id),) = reference.items()
        key = (id, model, left_out)
        with self._lock:
            if key not in self._known:
                if len(self._known) >= MOST_KNOWN:
                    self._known.clear()
                try:
                    clip = self._load(reference)
                except (OSError, ValueError, KeyError, ApiError, MediaError):
                    return ""  # it is gone; the job will say so
                self._known[key] = familiarity.foreign_among([clip], resolve_model(model, "cpu"), left_out=left_out)
            return self._known[key]
