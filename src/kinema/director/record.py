"""What is decided about a production: which take of each shot is used, what is locked, reworded, reordered, filmed again.

Where script, decisions, takes and log are kept is for subclasses: a folder (`kinema.director.production`), or a server's store.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinema.director.filming.takes import TakePlan
from kinema.director.planning.rewording import reworded
from kinema.director.retakes import Spent, TakeRecord, change_words
from kinema.director.script import Script, Shot, script_from
from kinema.director.shot_digest import shot_digest
from kinema.errors import InputError, excerpt
from kinema.media import Clip


class ProductionRecord(ABC):
    """A script with what is decided about its shots.

    Args:
        script: What is filmed.
        state: {"model": name, "shots": {id: decisions}}.

    Attributes:
        script: What is filmed.
    """

    def __init__(self, script: Script, state: dict[str, Any]) -> None:
        self.script = script
        self._state = state

    @property
    def state(self) -> dict[str, Any]:
        """The model, and what is decided about the shots."""
        return dict(self._state)

    # -- storage ---------------------------------------------------------------------------------------------------------

    @abstractmethod
    def takes(self, shot: str) -> list[TakeRecord]:
        """The takes of a shot that were filmed and checked, in order."""

    @abstractmethod
    def take_path(self, shot: str, number: int) -> Path:
        """The file of a take."""

    @abstractmethod
    def log(self, what: str, shot: str = "", take: int | None = None, why: str = "") -> None:
        """Add a line to the log."""

    @abstractmethod
    def _save_state(self) -> None:
        """Write `state`."""

    @abstractmethod
    def _save_script(self) -> None:
        """Write `script`."""

    def log_filmed(self, shot: str, plan: TakePlan) -> None:
        """Log that a take was filmed, with what it does otherwise than the one before."""
        self.log("filmed", shot, plan.number, change_words(plan))

    def log_checked(self, shot: str, record: TakeRecord) -> None:
        """Log what the checks of a take came to."""
        failed = "; ".join(one.saw for one in record.report.failures)
        self.log("checked", shot, record.plan.number, f"score {record.report.score:.2f}" + (f": {failed}" if failed else ""))

    def open_take(self, shot: str, number: int) -> Clip:
        """The film of a take, as its file has it."""
        return Clip.open(self.take_path(shot, number))

    @property
    def model(self) -> str:
        """The name of the model that films."""
        return str(self._state["model"])

    def spent(self, shot: str) -> Spent:
        """What the production has cost. shot: the one that is filmed now."""
        all_takes = {one.id: self.takes(one.id) for one in self.script.shots}
        return Spent(
            takes=sum(len(takes) for takes in all_takes.values()),
            seconds=sum(take.film_s for takes in all_takes.values() for take in takes),
            waiting=sum(not takes for id, takes in all_takes.items() if id != shot),
        )

    # -- decisions -------------------------------------------------------------------------------------------------------

    def _entry(self, shot: str) -> dict[str, Any]:
        entry = self._state["shots"].get(shot, {})
        return entry if isinstance(entry, dict) else {}

    def _set(self, shot: str, **values: Any) -> None:
        entries = {**self._state["shots"], shot: {**self._entry(shot), **values}}
        order = [*(one.id for one in self.script.shots), *entries]  # whichever shot was done first
        self._state = {**self._state, "shots": {id: entries[id] for id in dict.fromkeys(order) if id in entries}}
        self._save_state()

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
        self.log("accepted", shot, number, why)
        self._set(shot, used=number, digest=self.digest_of(shot))

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

    def digest_of(self, shot: str) -> str:
        """The digest of a shot as the script has it now."""
        return shot_digest(self.script, self.script.shots[self.script.index_of(shot)])

    def reopen_changed(self) -> None:
        """`reopen_if_changed` for every shot."""
        for shot in self.script.shots:
            self.reopen_if_changed(shot.id)

    def reopen_if_changed(self, shot: str) -> None:
        """Open a shot again that is another one in the script than its takes were filmed for, so that it is filmed anew. The take
        of a locked shot stays, which is noted."""
        takes, digest, number = self.takes(shot), self.digest_of(shot), self.used(shot)
        if number is None:
            filmed_for = takes[-1].shot_digest if len(takes) > self.reopened_after(shot) else ""
        else:
            take = takes[number - 1].shot_digest if 0 < number <= len(takes) else ""
            filmed_for = str(self._entry(shot).get("digest") or take)
        if filmed_for in ("", digest):
            return
        if self.is_locked(shot):
            self.log("noted", shot, why="it was changed in the script, but is locked: its take stays")
            return
        self.log("noted", shot, why="it was changed in the script: its takes are those of another shot")
        self.retake(shot)

    def reopened_after(self, shot: str) -> int:
        """How many takes a shot had when it was opened again; those are judged no more by whether they passed."""
        return int(self._entry(shot).get("again", 0))

    def reword(self, shot: str, prompt: str) -> None:
        """Film a shot again by other words, with the events and the cast that they name (`kinema.director.planning.rewording`).
        InputError: it is locked, or the words are none."""
        if self.is_locked(shot):
            raise InputError(f"shot {shot!r} is locked: unlock it first")
        script, notes = reworded(self.script, shot, prompt)
        self._replace_script(script)
        for note in notes:
            self.log("noted", shot, why=note)
        self.retake(shot)

    def replace_pictures(self, member: str, pictures: Sequence[str]) -> None:
        """Give a member of the cast other pictures, with which takes are compared from now on; no shot is filmed again. InputError:
        there is no such member."""
        ids = [one.id for one in self.script.cast]
        if member not in ids:
            known = f"expected one of {', '.join(ids)}" if ids else "the script has no cast"
            raise InputError(f"there is no cast member {excerpt(member)!r}: {known}")
        current = [shot.id for shot in self.script.shots if self._entry(shot.id).get("digest") == self.digest_of(shot.id)]
        cast = [
            one.model_copy(update={"pictures": tuple(pictures)}) if one.id == member else one for one in self.script.cast
        ]
        self._replace_script(self.script.model_copy(update={"cast": tuple(cast)}))
        for shot in current:
            self._set(shot, digest=self.digest_of(shot))
        self.log("noted", why=f'cast member "{member}" has {len(pictures)} picture{"" if len(pictures) == 1 else "s"}')

    def reorder(self, ids: list[str]) -> None:
        """Put the shots into another order; no shot is filmed again. InputError: not each shot once, or one before what it goes on
        from."""
        shots = {shot.id: shot for shot in self.script.shots}
        if sorted(ids) != sorted(shots):
            raise InputError(f"the order {','.join(ids)}: expected each of {','.join(shots)} once")
        self._replace_script(self.script.model_copy(update={"shots": tuple(shots[id] for id in ids)}))
        self.log("reordered", why=",".join(ids))

    def _replace_script(self, script: Script) -> None:
        self.script = script_from(json.loads(script.to_json()))
        self._save_script()

    def before(self, shot: Shot) -> Shot | None:
        """The shot before a shot in the film, if both are of one scene."""
        index = self.script.index_of(shot.id)
        if shot.goes_on_from is not None:
            return self.script.shots[self.script.index_of(shot.goes_on_from)]
        earlier = self.script.shots[index - 1] if index else None
        return earlier if earlier is not None and earlier.scene == shot.scene else None
