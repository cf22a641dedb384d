"""Complaints about videos: anybody with a key sends them, administrators read and close them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import Field, WithJsonSchema

from kinema.server.api.bodies import Body, Filled, Route, Text
from kinema.server.api.dependencies import Admin, Reader, ServicesDep
from kinema.server.api.errors import ERRORS, refuse
from kinema.server.api.responses import Page, RowResponse, Seconds, check_page
from kinema.server.reports import REASONS

router = APIRouter(prefix="/v1/reports", tags=["access"], responses=ERRORS, route_class=Route)

Reason = Annotated[Any, WithJsonSchema({"type": "string", "enum": list(REASONS)})]
STATES = ("open", "closed")


class MakeReport(Body):
    video: Filled = Field(description="the id of a video of this server, whoever made it")
    reason: Reason = Field(description="likeness: shows somebody who did not agree to it")
    text: Text = Field("", description="what is wrong with it")


class ReceivedReport(RowResponse):
    """A report, as it is answered to whoever sent it."""

    id: str
    object: Literal["report"] = "report"
    created_at: Seconds
    video: str
    reason: str
    text: str


class VideoReport(ReceivedReport):
    """key_id: who complains. video_key_id: whose video it is. model: that of the video. closed_at: null while it is open."""

    key_id: str
    video_key_id: str
    model: str
    closed_at: Seconds | None


@router.post("", summary="Complain about a video")
async def make_report(
    caller: Reader, services: ServicesDep, given: Annotated[MakeReport, Depends(MakeReport.read)]
) -> ReceivedReport:
    if given.reason not in REASONS:
        raise refuse("reason", given.reason, ", ".join(REASONS))
    row = await run_in_threadpool(services.reports.make, caller.key_id, given.video, given.reason, given.text)
    return ReceivedReport.model_validate(row)


@router.get("", summary="Complaints about videos, newest first")
async def list_reports(
    caller: Admin,
    services: ServicesDep,
    state: Annotated[str | None, Query(json_schema_extra={"enum": [*STATES]})] = None,
    after: Annotated[str | None, Query(description="the last report of the page before")] = None,
    limit: Annotated[int, Query(json_schema_extra={"minimum": 0, "maximum": 100})] = 20,
) -> Page[VideoReport]:
    check_page(limit)
    if state is not None and state not in STATES:
        raise refuse("state", state, " or ".join(STATES))
    rows, more = await run_in_threadpool(lambda: services.reports.page(state=state, after=after, limit=limit))
    return Page.of([VideoReport.model_validate(row) for row in rows], more=more)


@router.post("/{report_id}/close", summary="A complaint was dealt with")
async def close_report(caller: Admin, services: ServicesDep, report_id: str) -> VideoReport:
    return VideoReport.model_validate(await run_in_threadpool(services.reports.close, report_id, caller.key_id))
