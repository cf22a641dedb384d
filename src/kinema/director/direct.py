"""Direct a production: film each shot, check it, take it again within the budget, and go on from wherever it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from kinema.director.checking.critic import Critic
from kinema.director.checking.looks import LookChecks
from kinema.director.checking.take_report import check_take
from kinema.director.filming.actors import check_actors, check_live
from kinema.director.filming.stills import staged_stills
from kinema.director.filming.takes import Handover, TakePlan, film_size, film_take, handover_of
from kinema.director.next_step import plan_take, use_best
from kinema.director.production import Production
from kinema.director.retakes import TakeRecord
from kinema.director.script import Shot
from kinema.engines import Engine, FilmRequest
from kinema.engines.ledger import FolderRecords, Ledger
from kinema.engines.native import engine_for
from kinema.engines.upstream import UpstreamEngine
from kinema.inference.pipeline import Progress
from kinema.media import Clip
from kinema.provenance import Identity

FILMED_FOR = "shot_digest"
"""Setting of a take's film: the digest of the shot that it was filmed for."""
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
        open_engine: From a model's name to its engine, for shots that name another model.
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

    def film_all(self) -> None:
        """Film every shot that is not done, in the order of the script, each after the shot that it goes on from.

        Raises:
            InputError: The engine cannot film a shot. What is known before of models and actors of shots with cues is said before
                anything is filmed.
            EngineError: It failed; what was filmed before stays, and a later call goes on.
        """
        production = self.production
        waiting = [shot for shot in production.script.shots if production.used(shot.id) is None]
        check_live(production.script, lambda shot: self.engine_of(shot).capabilities, waiting)
        check_actors(production.script, production.folder, waiting)
        for shot in production.script.shots:
            if self.production.used(shot.id) is None:
                self.film_shot(shot)

    def film_shot(self, shot: Shot) -> TakeRecord:
        """Film takes of one shot until one passes or the budget ends, and use the best one."""
        production = self.production
        before_shot = production.before(shot)
        before = self.handover(before_shot)
        while (plan := plan_take(production, shot, self.engine_of(shot).capabilities)) is not None:
            self._take(shot, plan, before, before_shot)
            production.reopen_if_changed(shot.id)
        return use_best(production, shot)

    def _take(self, shot: Shot, plan: TakePlan, before: Handover | None, before_shot: Shot | None) -> None:
        """Film and check one take, or check one that was filmed before a crash."""
        production, begun, engine = self.production, time.perf_counter(), self.engine_of(shot)
        linked = before if shot.goes_on_from is not None else None
        if not production.is_filmed(shot.id, plan.number):
            if isinstance(engine, UpstreamEngine):
                folder = production.take_path(shot.id, plan.number).parent
                token = f"{production.folder.resolve().name}-{shot.id}-{plan.number}"
                engine.ledger = Ledger(FolderRecords(folder), token, f"{plan.number}.asked")
            clip = film_take(
                engine, production.script, shot, plan, before=linked, folder=production.folder, progress=self.progress
            )
            clip = replace(clip, settings={**clip.settings, FILMED_FOR: production.digest_of(shot.id)})
            production.save_film(shot.id, plan.number, clip, self.identity)
            production.log("filmed", shot.id, plan.number, change_words(plan))
        clip = production.open_take(shot.id, plan.number)
        report = check_take(production.script, shot, clip, engine.capabilities, before=before, before_shot=before_shot)
        if self.looks is not None:
            report = self.looks.with_looks(report, shot, clip)
        if self.critic is not None:
            report = self.critic.with_opinion(report, production.script, shot, clip)
        digest = str(clip.settings.get(FILMED_FOR, production.digest_of(shot.id)))
        record = TakeRecord(plan=plan, report=report, film_s=time.perf_counter() - begun, shot_digest=digest)
        production.finish_take(shot.id, record)
        failed = "; ".join(one.saw for one in report.failures)
        production.log("checked", shot.id, plan.number, f"score {report.score:.2f}" + (f": {failed}" if failed else ""))
        if self.on_take is not None:
            self.on_take(shot, record)

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


def change_words(plan: TakePlan) -> str:
    """What a take does otherwise, and why, for the log."""
    words: dict[str, str] = {
        "": "first take", "seed": "another seed", "keyframe": "a planned end", "simpler": "a simpler prompt",
    }  # fmt: skip
    return words[plan.change] + (f", since {plan.reason}" if plan.reason else "")
