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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kinema.datasets.folder_lock import locked
from kinema.director.record import ProductionRecord
from kinema.director.retakes import TakeRecord
from kinema.director.script import Script, number_of_shots, read_script
from kinema.errors import InputError, OutputError, excerpt
from kinema.media.write import replace_file, write_text
from kinema.types import parse_json

FORMAT = 1
SCRIPT, STATE, LOG = "script.json", "production.json", "log.jsonl"
DECIDED = ("refused", "accepted")
"""Lines of the log that say which take of a shot is used, and why no other one."""


class Production(ProductionRecord):
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
        super().__init__(*_read(folder))

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
            InputError: The folder holds a production already, or another script.
            OutputError: It cannot be written to.
        """
        there = f"{folder} holds a production; go on with: kinema direct resume {folder}"
        if (folder / STATE).exists():
            raise InputError(there)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror or error}") from None
        with locked(folder, "director", "folder"):
            if (folder / STATE).exists():
                raise InputError(there)
            if os.path.lexists(folder / SCRIPT) and _text(folder / SCRIPT) != script.to_json():
                raise InputError(
                    f"{folder} holds a {SCRIPT} that is of no production: give another --folder, or move that file"
                )
            write_text(folder / SCRIPT, script.to_json(), force=True)
            state = {"format": FORMAT, "model": model, "shots": {}}
            write_text(folder / STATE, json.dumps(state, indent=1), force=True)
        production = Production(folder)
        production.log("planned", why=f"{number_of_shots(len(script.shots))}, {script.seconds:g} s")
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
        """Hold the lock of the folder, so that one process at a time films; read script and decisions anew, which another one may
        have changed since the folder was opened; remove what a killed one left half-written, and open shots again that were
        changed in the script. InputError: another one holds it."""
        with locked(self.folder, "director", "folder"):
            self.script, self._state = _read(self.folder)
            for path in self.folder.rglob(".kinema-*.tmp*"):
                path.unlink(missing_ok=True)
            self.reopen_changed()
            yield

    # -- takes -----------------------------------------------------------------------------------------------------------

    def take_path(self, shot: str, number: int) -> Path:
        """The file of a take."""
        return self.folder / "takes" / shot / f"{number}.mp4"

    def takes(self, shot: str) -> list[TakeRecord]:
        """The takes of a shot that were filmed and checked, in order. InputError: a record is damaged."""
        records: list[TakeRecord] = []
        while True:
            path = self.take_path(shot, len(records) + 1).with_suffix(".json")
            if not path.is_file():
                return records
            try:
                records.append(TakeRecord.from_dict(parse_json(_text(path))))
            except ValueError as error:
                raise InputError(
                    f"{path} is damaged ({error}); remove it, and the take is checked again without being filmed"
                ) from None

    def is_filmed(self, shot: str, number: int) -> bool:
        """Whether the film of a take is there."""
        return self.take_path(shot, number).is_file()

    def save_film(self, shot: str, number: int, write: Callable[[Path], object]) -> None:
        """Publish the film of a take: whole or not at all, and never twice.

        Args:
            shot: The shot.
            number: Of the take.
            write: Makes a file of the path that it is given.

        Raises:
            InputError: The take is there already.
            OutputError: It could not be written.
        """
        path = self.take_path(shot, number)
        if path.exists():
            raise InputError(f"{path} is there already: a take is never written again")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent} cannot be made, for the takes of {shot}: {error.strerror or error}") from None
        replace_file(path, lambda temporary: (write(temporary), None)[1], force=False)

    def finish_take(self, shot: str, record: TakeRecord) -> None:
        """Write down the checks of a take that is filmed."""
        path = self.take_path(shot, record.plan.number).with_suffix(".json")
        write_text(path, json.dumps(record.to_dict(), indent=1), force=True)

    def _save_state(self) -> None:
        write_text(self.folder / STATE, json.dumps(self._state, indent=1), force=True)

    def _save_script(self) -> None:
        write_text(self.folder / SCRIPT, self.script.to_json(), force=True)

    # -- log -------------------------------------------------------------------------------------------------------------

    def log(self, what: str, shot: str = "", take: int | None = None, why: str = "") -> None:
        """Add a line to the log, and wait until it is on disk. A decision that was logged before a crash, and is made again now, is
        not logged twice."""
        line: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "what": what}
        line |= {name: value for name, value in (("shot", shot), ("take", take), ("why", why)) if value}
        if what in DECIDED and self._is_logged(line):
            return
        try:
            with (self.folder / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"{self.folder / LOG} could not be written: {error.strerror or error}") from None
        for listen in self.listeners:
            listen(line)

    def _is_logged(self, line: dict[str, Any]) -> bool:
        """Whether a decision about a shot stands in the log since anything else happened to the shot."""
        for earlier in reversed(self.lines()):
            if earlier.get("shot") == line["shot"]:
                if {**earlier, "at": line["at"]} == line:
                    return True
                if earlier.get("what") != "refused":
                    return False
        return False

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


def _read(folder: Path) -> tuple[Script, dict[str, Any]]:
    """The script and the state of a production's folder."""
    script = read_script(_text(folder / SCRIPT))
    try:
        return script, _checked_state(parse_json(_text(folder / STATE)))
    except ValueError as error:
        raise InputError(f"{folder / STATE} cannot be read ({error}); put the file back") from None


def _checked_state(state: Any) -> dict[str, Any]:
    """A state as it was read. ValueError: it is none, with what came and what was expected."""
    if not isinstance(state, dict):
        raise ValueError(f"expected an object, and {type(state).__name__} came")
    if state.get("format") != FORMAT:
        raise ValueError(f"it has format {excerpt(repr(state.get('format')), 40)}; this version reads {FORMAT}")
    if not isinstance(state.get("model"), str) or not isinstance(state.get("shots"), dict):
        raise ValueError("expected the name of a model, and an object of shots")
    for shot, entry in state["shots"].items():
        if not isinstance(entry, dict):
            raise ValueError(f"shots, {excerpt(shot, 40)}: expected an object")
        for name in ("used", "more", "again"):
            value = entry.get(name)
            if value is not None and (type(value) is not int or not -100 <= value < 10**6):
                raise ValueError(f"shots, {excerpt(shot, 40)}, {name}: expected a number of takes")
    return state


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
