"""Was a file made by Kinema? For anyone, without a key."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlalchemy import select

from kinema.errors import ApiError
from kinema.server.api.dependencies import FILE_FORM, ServicesDep, sent_file
from kinema.server.api.errors import ERRORS
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


class WatermarkResponse(BaseModel):
    found: bool
    id: str | None
    score: float | None
    agreement: float | None


class VerificationResponse(BaseModel):
    """verdict: in one sentence. known_video: a video of this server that carries the same mark."""

    made_by_kinema: bool
    verdict: str
    manifest: ManifestResponse
    watermark: WatermarkResponse
    known_video: str | None


@router.post("", summary="Was this made by Kinema? For anyone", openapi_extra=FILE_FORM)
async def verify_file(request: Request, services: ServicesDep) -> VerificationResponse:
    def judge(sent: Sent) -> VerificationResponse:
        if len(sent.content) > MOST_BYTES:
            raise ApiError(413, f"the file has more than {MOST_BYTES >> 20} MiB", code="too_large")
        verdict = VerificationResponse.model_validate(
            {**services.uploads.judge(sent, services.anchors), "known_video": None}
        )
        signed = verdict.manifest.watermark_id if verdict.manifest.state == "valid" else None
        marks = [mark for mark in (verdict.watermark.id, signed) if mark]
        if marks:
            with services.database.reading() as db:
                verdict.known_video = db.scalar(select(jobs.c.id).where(jobs.c.mark.in_(marks)).limit(1))
        return verdict

    return await services.run_apart_for_anyone(lambda: sent_file(request), judge)
