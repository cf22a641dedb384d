"""A production: a folder with a script, its takes, their checks and a log. Whatever kills the process, the next one goes on.

    script.json           the script
    production.json       the model, and which take of each shot is used or locked
    takes/SHOT/N.mp4      a take, published by a rename once it is whole
    takes/SHOT/N.json     its plan, checks and cost: with it the take counts as done
    stills/SHOT.png       the first picture of a shot, where stills were asked for
    log.jsonl             what was done and why, one line each
    film.mp4, film.srt, film.otio, film.edl

Takes are never written again. A take whose film is there without its checks is checked, not filmed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kinema.datasets.folder_lock import locked
from kinema.director.checking.take_report import TakeReport
from kinema.director.filming.takes import TakePlan
from kinema.director.retakes import Spent, TakeRecord
from kinema.director.script import Script, Shot, read_script, script_from
from kinema.errors import InputError, OutputError
from kinema.media import Clip
from kinema.media.write import replace_file, write_text
from kinema.provenance import Identity
from kinema.provenance.manifest import sign

FORMAT = 1
SCRIPT, STATE, LOG = "script.json", "production.json", "log.jsonl"


class Production:
    """An open production.

    Args:
        folder: Its folder, which holds a script and a state: see `create` and `open`.

    Attributes:
        script: What is filmed.
        listeners: Called with each new line of the log, once it is on disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        self.script = read_script(_text(folder / SCRIPT))
        try:
            self._state: dict[str, Any] = json.loads(_text(folder / STATE))
        except ValueError as error:
            raise InputError(f"{folder / STATE} cannot be read ({error}); put the file back") from None
        if self._state.get("format") != FORMAT:
            raise InputError(f"{folder / STATE} has format {self._state.get('format')!r}; this version reads {FORMAT}")

    @staticmethod
    def create(folder: Path, script: Script, model: str, notes: tuple[str, ...] = ()) -> Production:
        """Make a production in a new or empty folder.

        Args:
            folder: The folder.
            script: What is filmed.
            model: The name of the model that films.
            notes: What was found out while planning, for the log.

        Returns:
            The production.

        Raises:
            InputError: The folder holds a production already.
            OutputError: It cannot be written to.
        """
        if (folder / STATE).exists():
            raise InputError(f"{folder} holds a production; go on with: kinema direct resume {folder}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror or error}") from None
        write_text(folder / SCRIPT, script.to_json(), force=True)
        state = {"format": FORMAT, "model": model, "shots": {}}
        write_text(folder / STATE, json.dumps(state, indent=1), force=True)
        production = Production(folder)
        production.log("planned", why=f"{len(script.shots)} shots, {script.seconds:g} s")
        for note in notes:
            production.log("noted", why=note)
        return production

    @staticmethod
    def open(folder: Path) -> Production:
        """Open a production. InputError: the folder holds none, or one of another version."""
        if not (folder / STATE).is_file():
            raise InputError(f"{folder} holds no production: expected the folder that `kinema direct` made")
        return Production(folder)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock of the folder, so that one process at a time films, and remove what a killed one left half-written.
        InputError: another one holds it."""
        with locked(self.folder, "director", "folder"):
            for path in self.folder.rglob(".kinema-*.tmp*"):
                path.unlink(missing_ok=True)
            yield

    @property
    def model(self) -> str:
        """The name of the model that films."""
        return str(self._state["model"])

    # -- takes -----------------------------------------------------------------------------------------------------------

    def take_path(self, shot: str, number: int) -> Path:
        """The file of a take."""
        return self.folder / "takes" / shot / f"{number}.mp4"

    def takes(self, shot: str) -> list[TakeRecord]:
        """The takes of a shot that were filmed and checked, in order."""
        records: list[TakeRecord] = []
        while True:
            path = self.take_path(shot, len(records) + 1).with_suffix(".json")
            if not path.is_file():
                return records
            data = json.loads(_text(path))
            records.append(
                TakeRecord(
                    plan=TakePlan(**data["plan"]), report=TakeReport.from_dict(data["report"]), film_s=float(data["film_s"])
                )
            )

    def spent(self, shot: str) -> Spent:
        """What the production has cost. shot: the one that is filmed now."""
        all_takes = {one.id: self.takes(one.id) for one in self.script.shots}
        return Spent(
            takes=sum(len(takes) for takes in all_takes.values()),
            seconds=sum(take.film_s for takes in all_takes.values() for take in takes),
            waiting=sum(not takes for id, takes in all_takes.items() if id != shot),
        )

    def is_filmed(self, shot: str, number: int) -> bool:
        """Whether the film of a take is there."""
        return self.take_path(shot, number).is_file()

    def save_film(self, shot: str, number: int, clip: Clip, identity: Identity | None = None) -> None:
        """Publish the film of a take, signed if there is an identity: whole or not at all, and never twice.

        Raises:
            InputError: The take is there already.
            OutputError: It could not be written.
        """
        path = self.take_path(shot, number)
        if path.exists():
            raise InputError(f"{path} is there already: a take is never written again")
        path.parent.mkdir(parents=True, exist_ok=True)

        def write(temporary: Path) -> None:
            clip.save(temporary, force=True)
            if identity is not None:
                model = str(clip.settings.get("model", self.model))
                sign(temporary, identity, model=model, settings=clip.settings, title=f"{shot}, take {number}")

        replace_file(path, write, force=False)

    def open_take(self, shot: str, number: int) -> Clip:
        """The film of a take, as its file has it."""
        return Clip.open(self.take_path(shot, number))

    def finish_take(self, shot: str, record: TakeRecord) -> None:
        """Write down the checks of a take that is filmed."""
        path = self.take_path(shot, record.plan.number).with_suffix(".json")
        data = {"plan": asdict(record.plan), "report": record.report.to_dict(), "film_s": round(record.film_s, 3)}
        write_text(path, json.dumps(data, indent=1), force=True)

    # -- decisions -------------------------------------------------------------------------------------------------------

    def _entry(self, shot: str) -> dict[str, Any]:
        entry = self._state["shots"].get(shot, {})
        return entry if isinstance(entry, dict) else {}

    def _set(self, shot: str, **values: Any) -> None:
        shots = {**self._state["shots"], shot: {**self._entry(shot), **values}}
        self._state = {**self._state, "shots": shots}
        write_text(self.folder / STATE, json.dumps(self._state, indent=1), force=True)

    def used(self, shot: str) -> int | None:
        """The number of the take that is used. None: the shot is not done."""
        number = self._entry(shot).get("used")
        return number if isinstance(number, int) else None

    def is_locked(self, shot: str) -> bool:
        """Whether a shot may not be filmed again."""
        return bool(self._entry(shot).get("locked"))

    def allowed(self, shot: str) -> int:
        """How many takes of a shot there may be in all."""
        return self.script.production.budget.per_shot + int(self._entry(shot).get("more", 0))

    def use(self, shot: str, number: int, why: str) -> None:
        """Use a take. InputError: there is no such take."""
        if not 1 <= number <= len(self.takes(shot)):
            raise InputError(f"shot {shot!r} has no take {number}: expected 1 to {len(self.takes(shot))}")
        self._set(shot, used=number)
        self.log("accepted", shot, number, why)

    def lock(self, shot: str, *, is_locked: bool = True) -> None:
        """Keep a shot as it is, or let it be filmed again. InputError: it is not done."""
        self.script.index_of(shot)
        if is_locked and self.used(shot) is None:
            raise InputError(f"shot {shot!r} has no take to lock: film it first")
        self._set(shot, locked=is_locked)
        self.log("locked" if is_locked else "unlocked", shot)

    def retake(self, shot: str, takes: int | None = None) -> None:
        """Film a shot again: so many further takes at most, by default as many as any shot has. InputError: it is locked."""
        self.script.index_of(shot)
        if self.is_locked(shot):
            raise InputError(f"shot {shot!r} is locked: unlock it first")
        more = len(self.takes(shot)) + (takes or self.script.production.budget.per_shot)
        self._set(shot, used=None, more=more - self.script.production.budget.per_shot, again=len(self.takes(shot)))
        self.log("reopened", shot)

    def reopened_after(self, shot: str) -> int:
        """How many takes a shot had when it was opened again; those are judged no more by whether they passed."""
        return int(self._entry(shot).get("again", 0))

    def reword(self, shot: str, prompt: str) -> None:
        """Film a shot again by other words. InputError: it is locked, or the words are none."""
        if self.is_locked(shot):
            raise InputError(f"shot {shot!r} is locked: unlock it first")
        old = self.script.shots[self.script.index_of(shot)]
        self._replace_script(self.script.with_shot(old.model_copy(update={"prompt": prompt})))
        self.retake(shot)

    def reorder(self, ids: list[str]) -> None:
        """Put the shots into another order; no shot is filmed again. InputError: not each shot once, or one before what it goes on
        from."""
        shots = {shot.id: shot for shot in self.script.shots}
        if sorted(ids) != sorted(shots):
            raise InputError(f"the order {','.join(ids)}: expected each of {','.join(shots)} once")
        self._replace_script(self.script.model_copy(update={"shots": tuple(shots[id] for id in ids)}))
        self.log("reordered", why=",".join(ids))

    def _replace_script(self, script: Script) -> None:
        checked = script_from(json.loads(script.to_json()))
        write_text(self.folder / SCRIPT, checked.to_json(), force=True)
        self.script = checked

    def before(self, shot: Shot) -> Shot | None:
        """The shot before a shot in the film, if both are of one scene."""
        index = self.script.index_of(shot.id)
        if shot.goes_on_from is not None:
            return self.script.shots[self.script.index_of(shot.goes_on_from)]
        earlier = self.script.shots[index - 1] if index else None
        return earlier if earlier is not None and earlier.scene == shot.scene else None

    # -- log -------------------------------------------------------------------------------------------------------------

    def log(self, what: str, shot: str = "", take: int | None = None, why: str = "") -> None:
        """Add a line to the log, and wait until it is on disk."""
        line: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "what": what}
        line |= {name: value for name, value in (("shot", shot), ("take", take), ("why", why)) if value}
        try:
            with (self.folder / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"{self.folder / LOG} could not be written: {error.strerror or error}") from None
        for listen in self.listeners:
            listen(line)

    def lines(self) -> list[dict[str, Any]]:
        """The log. A last line that a crash cut off is left out."""
        lines = []
        path = self.folder / LOG
        for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                lines.append(json.loads(text))
            except ValueError:
                continue
        return lines


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
