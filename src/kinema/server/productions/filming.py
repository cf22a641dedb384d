"""What a worker does for a production: it films and checks one take, or cuts the film."""

from __future__ import annotations

from pathlib import Path

from kinema.director.checking.looks import LookChecks, LookEncoder
from kinema.director.checking.take_report import check_take
from kinema.director.delivery.film import edited_shots, joined_film
from kinema.director.filming.takes import TakePlan, film_take, handover_of
from kinema.director.retakes import TakeRecord
from kinema.director.script import Script, Shot
from kinema.engines.protocol import Engine
from kinema.errors import ApiError, InputError
from kinema.inference.pipeline import Progress
from kinema.media import Clip
from kinema.server.jobs.leases import Claim
from kinema.server.jobs.publish import VIDEO
from kinema.server.jobs.sources import GoneUploadError, Sources
from kinema.server.productions.productions import Productions
from kinema.server.productions.stored import StoredProduction
from kinema.server.storage.job_rows import CUT


class ProductionJobs:
    """Makes the jobs of productions.

    Args:
        productions: The productions.
        sources: Loads takes and pictures.
    """

    def __init__(self, productions: Productions, sources: Sources) -> None:
        self.productions, self.sources = productions, sources
        self._encoder: LookEncoder | None = None

    def make(self, claim: Claim, engine: Engine | None, progress: Progress) -> Clip:
        """Film a take, or cut the film.

        Raises:
            InputError: The production is gone, or the model cannot film this.
            EngineError: The engine failed.
        """
        production = self._load(claim)
        if claim.kind == CUT:
            edit, clips = edited_shots(production)
            return joined_film(production, edit, clips)
        assert engine is not None
        request, script = claim.request, production.script
        shot = script.shots[script.index_of(request["shot"])]
        before = handover_of(self.sources.clip(request["before"])) if request["goes_on"] else None
        names = {"image": shot.first_frame, "last": shot.last_frame}
        pictures = {name: self._picture(request[field]) for field, name in names.items() if name and request.get(field)}
        self._looks(claim, script, shot)  # what it will be compared with is there
        plan = TakePlan(**request["plan"])
        return film_take(engine, script, shot, plan, before=before, pictures=pictures, progress=progress)

    def check(self, claim: Claim, path: Path, film_s: float) -> TakeRecord:
        """Check a take that was filmed, as its file has it. film_s: how long it was filmed."""
        production, request = self._load(claim), claim.request
        shot = production.script.shots[production.script.index_of(request["shot"])]
        before = None if request["before"] is None else handover_of(self.sources.clip(request["before"]))
        capabilities = production.capabilities_of(shot)
        clip = Clip.open(path)
        report = check_take(production.script, shot, clip, capabilities, before=before, before_shot=production.before(shot))
        looks = self._looks(claim, production.script, shot)
        if looks is not None:
            report = looks.with_looks(report, shot, clip)
        return TakeRecord(plan=TakePlan(**request["plan"]), report=report, film_s=film_s)

    def _looks(self, claim: Claim, script: Script, shot: Shot) -> LookChecks | None:
        """What compares a take with the pictures of its cast, if that was asked for and somebody has some. InputError: one is gone,
        or this worker lacks the package."""
        references = claim.request.get("looks")
        if not references:
            return None
        self._encoder = self._encoder or LookEncoder()
        pictures = {one["file"]: self._picture(one) for one in references}
        seen = script.model_copy(update={"cast": tuple(script.member(id) for id in shot.cast)})
        return LookChecks(seen, pictures=pictures, encoder=self._encoder)

    def _picture(self, reference: dict[str, str]) -> Clip:
        """A picture that the script names. InputError: it is gone; another upload has an id that the script does not know."""
        try:
            return self.sources.clip(reference)
        except GoneUploadError as error:
            raise InputError(f"{error}, and make a new production of the script with the new id in it") from None

    def _load(self, claim: Claim) -> StoredProduction:
        """The production of a job, whose takes can be opened."""
        id = claim.request["production"]
        try:
            production = self.productions.get(id, None)
        except ApiError:
            raise InputError(f"the production {id} was deleted") from None
        production.path_of = self._path_of
        return production

    def _path_of(self, video: str) -> Path:
        job = self.sources.queue.get(video, None, deleted=True)
        if job.artifact is None:
            raise InputError(f"the take {video} is gone; film its shot again")
        return self.sources.store.video(job.id, job.artifact) / VIDEO
