"""One production of a server's store, with its takes, as it is within one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from kinema.director.filming.takes import film_size
from kinema.director.planning.planner import picture_notes
from kinema.director.record import ProductionRecord
from kinema.director.retakes import TakeRecord
from kinema.director.script import Shot, script_from
from kinema.engines.catalog import capabilities_named
from kinema.engines.protocol import Capabilities
from kinema.server.storage.tables import production_events, production_jobs, productions, takes


def _nowhere(video: str) -> Path:
    raise AssertionError(f"{video}: films are not opened here")


class StoredProduction(ProductionRecord):
    """A production with its takes.

    Args:
        row: Of the table of productions.
        taken: Rows of its takes, by shot and number.
        making: Shots by the jobs that are being made for it; None for a cut.
        path_of: The file of a video, by its id. Left out where no film is opened.

    Attributes:
        row: As it was read.
        path_of: The file of a video, by its id.
        making: Shots by the jobs that are being made for it.
        film, film_edit, stop_after, notes, error: What `save` writes of it, beside script and decisions. error: code and message.
    """

    def __init__(
        self, row: Row[Any], taken: Sequence[Row[Any]], making: Mapping[str, str | None],
        path_of: Callable[[str], Path] = _nowhere,
    ) -> None:  # fmt: skip
        super().__init__(script_from(row.script), row.state)
        self.row, self.path_of = row, path_of
        self.making = dict(making)
        self.film: str | None = row.film
        self.film_edit: str | None = row.film_edit
        self.stop_after: str | None = row.stop_after
        self.notes: list[str] = list(row.notes)
        self.error: tuple[str | None, str | None] = (row.error_code, row.error_message)
        self._videos: dict[str, list[str]] = {}
        self._records: dict[str, list[TakeRecord]] = {}
        for take in taken:
            self._keep(take.shot, take.job, TakeRecord.from_dict(take.record))
        self._added: list[dict[str, Any]] = []
        self._lines: list[dict[str, Any]] = []

    @staticmethod
    def load(db: Connection, row: Row[Any], path_of: Callable[[str], Path] = _nowhere) -> StoredProduction:
        """The production of a row, with its takes."""
        mine = select(takes).where(takes.c.production == row.id).order_by(takes.c.shot, takes.c.number)
        making = db.execute(select(production_jobs).where(production_jobs.c.production == row.id)).all()
        return StoredProduction(row, db.execute(mine).all(), {one.job: one.shot for one in making}, path_of)

    def _keep(self, shot: str, video: str, record: TakeRecord) -> None:
        self._videos.setdefault(shot, []).append(video)
        self._records.setdefault(shot, []).append(record)

    def takes(self, shot: str) -> list[TakeRecord]:
        return list(self._records.get(shot, ()))

    def video_of(self, shot: str, number: int) -> str:
        """The id of the video of a take."""
        return self._videos[shot][number - 1]

    def take_path(self, shot: str, number: int) -> Path:
        return self.path_of(self.video_of(shot, number))

    def add_take(self, shot: str, video: str, record: TakeRecord) -> None:
        """Add a take that was filmed and checked."""
        self._keep(shot, video, record)
        entry = {"production": self.row.id, "shot": shot, "number": record.plan.number, "job": video}
        self._added.append({**entry, "record": record.to_dict()})

    def log(self, what: str, shot: str = "", take: int | None = None, why: str = "") -> None:
        self._lines.append({"what": what, "shot": shot or None, "take": take, "why": why})

    def _save_state(self) -> None:
        """It is written by `save`."""

    def _save_script(self) -> None:
        """It is written by `save`."""

    def capabilities_of(self, shot: Shot | None = None) -> Capabilities:
        """Of the model that films a shot, or of the production's."""
        return capabilities_named((shot and shot.model) or self.model)

    @property
    def look(self) -> bool:
        """Whether takes are compared with the pictures of their cast."""
        return bool(self._state.get("look"))

    def look_pictures(self, shot: Shot) -> list[str]:
        """Ids of the uploads that takes of a shot are compared with."""
        pictured = [name for id in shot.cast for name in self.script.member(id).pictures] if self.look else []
        return list(dict.fromkeys(pictured))

    def replace_pictures(self, member: str, pictures: Sequence[str]) -> None:
        outdated = picture_notes(self.script)
        super().replace_pictures(member, pictures)
        self.notes = list(
            dict.fromkeys([*(note for note in self.notes if note not in outdated), *picture_notes(self.script)])
        )

    def compare_looks(self, *, look: bool) -> None:
        """Compare takes with the pictures of their cast from now on, or no longer."""
        rest = {name: value for name, value in self._state.items() if name != "look"}
        self._state = {**rest, "look": True} if look else rest
        self.log("noted", why=f"takes are {'' if look else 'not '}compared with the pictures of the cast from now on")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the film in pixels."""
        return film_size(self.script, self.capabilities_of())

    @property
    def fps(self) -> float:
        """Frames per second of the film."""
        return self.script.production.fps or self.capabilities_of().fps

    @property
    def edit(self) -> str | None:
        """The hash of what a cut depends on: the used takes in their order, and transitions. None: a shot has no take."""
        used = [(shot.id, self.used(shot.id), shot.transition) for shot in self.script.shots]
        if any(number is None for _, number, _ in used):
            return None
        return hashlib.sha256(json.dumps(used).encode()).hexdigest()

    @property
    def film_is_current(self) -> bool:
        """Whether the film that was cut last is that of the present takes in their present order."""
        return self.film is not None and self.film_edit == self.edit

    def decided(self, shot: str) -> tuple[Any, ...]:
        """What a take of a shot depends on: where it changes, a take that is being made is of no use any more."""
        present = next((one for one in self.script.shots if one.id == shot), None)
        pictures = [] if present is None else self.look_pictures(present)
        return present, self.used(shot), self.reopened_after(shot), pictures

    @property
    def status(self) -> str:
        """planned, filming, filmed, completed or failed."""
        if self.making:
            return "filming"
        if self.error[0] is not None:
            return "failed"
        if self.edit is None:
            return "planned"
        return "completed" if self.film_is_current else "filmed"

    def save(self, db: Connection, now: float) -> None:
        """Write all that has changed, as the next version."""
        values = {
            "script": json.loads(self.script.to_json()), "state": self._state,
            "film": self.film, "film_edit": self.film_edit, "stop_after": self.stop_after, "notes": self.notes,
            "error_code": self.error[0], "error_message": self.error[1], "version": self.row.version + 1, "updated_at": now,
        }  # fmt: skip
        db.execute(productions.update().where(productions.c.id == self.row.id).values(**values))
        for take in self._added:
            db.execute(takes.insert().values(**take))
        for line in self._lines:
            db.execute(production_events.insert().values(production=self.row.id, at=now, **line))
