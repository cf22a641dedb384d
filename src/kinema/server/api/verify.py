"""Was a file made by Kinema? For anyone, without a key."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlalchemy import Row, select

from kinema.errors import ApiError
from kinema.provenance import Copies, same_content
from kinema.server.api.dependencies import FILE_FORM, ServicesDep, sent_file
from kinema.server.api.errors import ERRORS
from kinema.server.jobs.publish import COPIES
from kinema.server.services import Services
from kinema.server.storage.tables import jobs
from kinema.server.storage.uploads import MOST_BYTES, Sent

router = APIRouter(prefix="/v1/verify", tags=["provenance"], responses=ERRORS)


class ManifestResponse(BaseModel):
    """As `kinema.provenance.manifest.Manifest`; watermark_id as ten hexadecimal digits."""

    state: Literal["valid", "invalid", "none"]
    trusted: bool
    model: str
    settings_hash: str
    made_at: str
    watermark_id: str | None
    signer: str
    title: str
    reason: str
    making: Literal["created", "composite", "edited", ""]
    sources: list[str]
    from_kinema: bool


class WatermarkResponse(BaseModel):
    found: bool
    id: str | None
    score: float | None
    agreement: float | None


class VerificationResponse(BaseModel):
    """verdict: in one sentence. tags: what Kinema's tags in the file say, which anybody can write. known_video: a video of this
    server that carries the same mark and shows the same."""

    made_by_kinema: bool
    verdict: str
    manifest: ManifestResponse
    watermark: WatermarkResponse
    tags: dict[str, str]
    known_video: str | None


def _shows(services: Services, job: Row[Any, Any], copies: Copies) -> bool:
    """Whether a film shows the same as a job's video, if that is still there."""
    if job.artifact is None:
        return False
    path = services.store.film_file(job.id, job.artifact, COPIES)
    try:
        with np.load(path, allow_pickle=False) as stored:
            return same_content(copies, stored["copies"])
    except (OSError, ValueError, KeyError):
        return False


@router.post("", summary="Was this made by Kinema? For anyone", openapi_extra=FILE_FORM)
async def verify_file(request: Request, services: ServicesDep) -> VerificationResponse:
    def judge(sent: Sent) -> VerificationResponse:
        if len(sent.content) > MOST_BYTES:
            raise ApiError(413, f"the file has more than {MOST_BYTES >> 20} MiB", code="too_large")
        judged = services.uploads.judge(sent, services.anchors)
        copies = np.asarray(judged.pop("copies"), np.uint8)
        verdict = VerificationResponse.model_validate({**judged, "known_video": None})
        signed = verdict.manifest.watermark_id if verdict.manifest.state == "valid" else None
        marks = [mark for mark in (verdict.watermark.id, signed) if mark]
        if marks:
            with services.database.reading() as db:
                known = db.execute(select(jobs.c.id, jobs.c.artifact).where(jobs.c.mark.in_(marks))).all()
            verdict.known_video = next((job.id for job in known if _shows(services, job, copies)), None)
        return verdict

    return await services.run_apart_for_anyone(lambda: sent_file(request), judge)
