"""Direct a production: film each shot, check it, take it again within the budget, and go on from wherever it stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kinema.director.checking.critic import Critic
from kinema.director.checking.looks import LookChecks
from kinema.director.filming.actors import check_actors, check_live
from kinema.director.filming.stills import staged_stills
from kinema.director.filming.takes import Handover, TakePlan, film_size, handover_of
from kinema.director.next_step import next_steps, plan_take, use_best
from kinema.director.production import Production
from kinema.director.retakes import TakeRecord
from kinema.director.script import Shot
from kinema.director.take_maker import TakeMaker, TakeOrder
from kinema.director.take_processes import CheckedTake, TakeProcesses
from kinema.engines import Engine, FilmRequest
from kinema.engines.native import engine_for
from kinema.errors import InputError, KinemaError, OutputError
from kinema.inference.pipeline import Progress
from kinema.media import Clip
from kinema.provenance import Identity

OnTake = Callable[[Shot, TakeRecord], None]
"""Called with each take that was checked."""


class Director:
    """Films a production.

    Args:
        production: The production, whose lock is held.
        engine: What films.
        identity: Who signs the takes. None: they are not signed.
        critic: Asked about every take besides the checks. None: nobody.
        looks: Compares every take with the pictures of its cast. None: nothing does.
        progress: Called with (stage, steps done, steps in all).
        on_take: Called with each take that was checked.
        open_engine: From a model's name to its engine, for shots that name another model, and for processes that film side by side.
    """

    def __init__(
        self, production: Production, engine: Engine, *, identity: Identity | None = None, critic: Critic | None = None,
        looks: LookChecks | None = None, progress: Progress | None = None, on_take: OnTake | None = None,
        open_engine: Callable[[str], Engine] = engine_for,
    ) -> None:  # fmt: skip
        self.production, self.engine, self.identity, self.critic = production, engine, identity, critic
        self.looks, self.progress, self.on_take, self.open_engine = looks, progress, on_take, open_engine

    def engine_of(self, shot: Shot) -> Engine:
        """What films a shot: the model that it names, or the production's."""
        return self.engine if shot.model is None else self.open_engine(shot.model)

    def film_all(self, *, workers: int = 1) -> None:
        """Film every shot that is not done, in the order of the script, each after the shot that it goes on from.

        Args:
            workers: Takes that are made side by side, each in a process of its own with an engine of its own, which `open_engine`
                opens there; it has to be a function that can be pickled. Shots, takes and their bytes are those of one worker. 1:
                takes are made here. Where the budget limits takes or seconds in all, there is one take at a time.

        Raises:
            InputError: The engine cannot film a shot, or workers is no number from 1 on. What is known before of models and actors
                of shots with cues is said before anything is filmed.
            EngineError: It failed; what was filmed before, and takes that were being made beside it, stay, and a later call goes
                on.
        """
        if type(workers) is not int or workers < 1:
            raise InputError(f"workers {workers!r}: expected a whole number from 1 on")
        production = self.production
        waiting = [shot for shot in production.script.shots if production.used(shot.id) is None]
        check_live(production.script, lambda shot: self.engine_of(shot).capabilities, waiting)
        check_actors(production.script, production.folder, waiting)
        if min(workers, len(waiting)) > 1:
            self._film_side_by_side(min(workers, len(waiting)))
        for shot in production.script.shots:
            if production.used(shot.id) is None:
                self.film_shot(shot)

    def film_shot(self, shot: Shot) -> TakeRecord:
        """Film takes of one shot until one passes or the budget ends, and use the best one."""
        production, maker = self.production, self._maker()
        while (plan := plan_take(production, shot, self.engine_of(shot).capabilities)) is not None:
            order, begun = self._order(shot, plan), time.perf_counter()
            try:
                before = maker.before(order)
                if not order.is_filmed:
                    clip = maker.film(order, before, self.progress)
                    self._take_film(order, lambda path, order=order, clip=clip: maker.write(order, clip, path))  # type: ignore[misc]
                report, digest = maker.check(order, before)
            except KinemaError as error:
                self._log_error(order, error)
                raise
            self._take_checks(order, CheckedTake(report=report, film_s=time.perf_counter() - begun, shot_digest=digest))
        return use_best(production, shot)

    def _film_side_by_side(self, workers: int) -> None:
        """Film every shot that is not done by processes. After an error no further take is begun, and those that are being made are
        taken in."""
        production = self.production
        errors: dict[str, KinemaError] = {}
        with TakeProcesses(
            maker=self._maker(), open_engine=self.open_engine, count=workers, progress=self.progress
        ) as processes:
            while True:
                if not errors:
                    steps = next_steps(
                        production, lambda shot: self.engine_of(shot).capabilities, most=workers, making=processes.making
                    )
                    for shot, plan in steps:
                        order = self._order(shot, plan)
                        try:
                            processes.begin(order)
                        except KinemaError as error:
                            self._log_error(order, error)
                            errors[shot.id] = error
                            break
                if not processes.making:
                    break
                order, made = processes.wait()
                if isinstance(made, Path):
                    self._take_film(order, made.replace)
                    processes.check(order)
                elif isinstance(made, CheckedTake):
                    self._take_checks(order, made)
                else:
                    self._log_error(order, made)
                    errors[order.shot.id] = made
        for shot in production.script.shots:
            if shot.id in errors:
                raise errors[shot.id]

    def _maker(self) -> TakeMaker:
        production = self.production
        return TakeMaker(
            script=production.script, folder=production.folder, model=production.model, engine_of=self.engine_of,
            identity=self.identity, critic=self.critic, looks=self.looks,
        )  # fmt: skip

    def _order(self, shot: Shot, plan: TakePlan) -> TakeOrder:
        """What it takes to make a take."""
        production, before = self.production, self.production.before(shot)
        number = None if before is None else production.used(before.id)
        return TakeOrder(
            shot=shot, plan=plan, digest=production.digest_of(shot.id), path=production.take_path(shot.id, plan.number),
            is_filmed=production.is_filmed(shot.id, plan.number), before=before,
            before_path=None if before is None or number is None else production.take_path(before.id, number),
        )  # fmt: skip

    def _take_film(self, order: TakeOrder, write: Callable[[Path], object]) -> None:
        """Put the film of a take in its place. write: makes the file of a path."""
        self.production.save_film(order.shot.id, order.plan.number, write)
        self.production.log_filmed(order.shot.id, order.plan)

    def _take_checks(self, order: TakeOrder, made: CheckedTake) -> None:
        """Write down the checks of a take."""
        production, shot = self.production, order.shot
        record = TakeRecord(plan=order.plan, report=made.report, film_s=made.film_s, shot_digest=made.shot_digest)
        production.finish_take(shot.id, record)
        production.log_checked(shot.id, record)
        if self.on_take is not None:
            self.on_take(shot, record)
        production.reopen_if_changed(shot.id)

    def _log_error(self, order: TakeOrder, error: KinemaError) -> None:
        with contextlib.suppress(OutputError):  # a full disk is told by `error`
            self.production.log("stopped", order.shot.id, order.plan.number, str(error))

    def handover(self, shot: Shot | None) -> Handover | None:
        """The used take of a shot, as its file has it, and its camera. None: it has none."""
        if shot is None or (number := self.production.used(shot.id)) is None:
            return None
        return handover_of(self.production.open_take(shot.id, number))

    def film_stills(self) -> list[str]:
        """Make the first picture of every shot, before anything is filmed. Returns the names of the files."""
        script, capabilities = self.production.script, self.engine.capabilities
        names = []
        for shot, still in staged_stills(script, capabilities) if capabilities.state else self._stills():
            path = self.production.folder / "stills" / f"{shot.id}.png"
            path.parent.mkdir(exist_ok=True)
            still.save(path, force=True)
            names.append(path.name)
        return names

    def _stills(self) -> Iterator[tuple[Shot, Clip]]:
        """The first picture of every shot, by a model without a state."""
        script, capabilities = self.production.script, self.engine.capabilities
        size = film_size(script, capabilities)
        for shot in script.shots:
            if "still" in capabilities.workflows:
                request = FilmRequest(workflow="still", prompt=shot.prompt, size=size, seed=shot.seed)
                yield shot, self.engine.film(request)[0]
            else:
                self.production.log("noted", shot.id, why=f"{capabilities.model} makes no stills")
