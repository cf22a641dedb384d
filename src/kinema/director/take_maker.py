"""Make one take: film it, and check what its file shows. What is decided about takes is written down by others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kinema.director.checking.critic import Critic
from kinema.director.checking.looks import LookChecks
from kinema.director.checking.take_report import TakeReport, check_take
from kinema.director.filming.takes import Handover, TakePlan, film_take, handover_of
from kinema.director.script import Script, Shot
from kinema.engines import Engine
from kinema.engines.ledger import FolderRecords, Ledger
from kinema.engines.upstream import UpstreamEngine
from kinema.inference.pipeline import Progress
from kinema.media import Clip
from kinema.provenance import Identity
from kinema.provenance.manifest import sign

FILMED_FOR = "shot_digest"
"""Setting of a take's film: the digest of the shot that it was filmed for."""


@dataclass(frozen=True, kw_only=True)
class TakeOrder:
    """A take that is to be made.

    digest: of the shot as the script has it now. path: the take's file. is_filmed: whether that is there, so that it is only
    checked. before, before_path: the shot before it in its scene, and the file of its take that is used; None: there is none.
    """

    shot: Shot
    plan: TakePlan
    digest: str
    path: Path
    is_filmed: bool = False
    before: Shot | None = None
    before_path: Path | None = None


@dataclass(frozen=True, kw_only=True)
class TakeMaker:
    """Films and checks takes of a production.

    Attributes:
        script: The script.
        folder: Of the production.
        model: The name of the production's model.
        engine_of: What films a shot.
        identity: Who signs the takes. None: they are not signed.
        critic: Asked about every take besides the checks. None: nobody.
        looks: Compares every take with the pictures of its cast. None: nothing does.
    """

    script: Script
    folder: Path
    model: str
    engine_of: Callable[[Shot], Engine]
    identity: Identity | None = None
    critic: Critic | None = None
    looks: LookChecks | None = None

    def before(self, order: TakeOrder) -> Handover | None:
        """The used take of the shot before, as its file has it."""
        return None if order.before_path is None else handover_of(Clip.open(order.before_path))

    def film(self, order: TakeOrder, before: Handover | None, progress: Progress | None = None) -> Clip:
        """Film a take. InputError: the engine cannot film this. EngineError: it failed."""
        shot, plan, engine = order.shot, order.plan, self.engine_of(order.shot)
        if isinstance(engine, UpstreamEngine):
            token = f"{self.folder.resolve().name}-{shot.id}-{plan.number}"
            engine.ledger = Ledger(FolderRecords(order.path.parent), token, f"{plan.number}.asked")
        linked = before if shot.goes_on_from is not None else None
        clip = film_take(engine, self.script, shot, plan, before=linked, folder=self.folder, progress=progress)
        return replace(clip, settings={**clip.settings, FILMED_FOR: order.digest})

    def write(self, order: TakeOrder, clip: Clip, path: Path) -> None:
        """Write the film of a take, signed if there is an identity. OutputError: it cannot be written."""
        clip.save(path, force=True)
        if self.identity is not None:
            model = str(clip.settings.get("model", self.model))
            title = f"{order.shot.id}, take {order.plan.number}"
            sign(path, self.identity, model=model, settings=clip.settings, title=title)

    def check(self, order: TakeOrder, before: Handover | None) -> tuple[TakeReport, str]:
        """Check a take as its file has it.

        Returns:
            The report, and the digest of the shot that it was filmed for.
        """
        shot, clip = order.shot, Clip.open(order.path)
        capabilities = self.engine_of(shot).capabilities
        report = check_take(self.script, shot, clip, capabilities, before=before, before_shot=order.before)
        if self.looks is not None:
            report = self.looks.with_looks(report, shot, clip)
        if self.critic is not None:
            report = self.critic.with_opinion(report, self.script, shot, clip)
        return report, str(clip.settings.get(FILMED_FOR, order.digest))
