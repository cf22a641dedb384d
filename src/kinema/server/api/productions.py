"""Productions: films of stories, planned, filmed in shots that are checked, decided on, and delivered."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, StreamingResponse

from kinema.director.filming.stills import staged_stills
from kinema.errors import ApiError
from kinema.server.api.bodies import Route
from kinema.server.api.dependencies import Filmer, Reader, ServicesDep
from kinema.server.api.errors import ERRORS, refuse
from kinema.server.api.production_schema import (
    AcceptTake,
    ChangeShot,
    CompareLooks,
    CreateProduction,
    LockShot,
    OrderShots,
    ProductionEvent,
    ProductionObject,
    ProductionSummary,
    ReplacePictures,
    ResumeProduction,
    RewordShot,
    production_object,
    summary_of,
)
from kinema.server.api.responses import Deleted, Listing, Page, check_page
from kinema.server.api.served_file import ServedFile
from kinema.server.auth import Caller
from kinema.server.jobs.publish import VIDEO
from kinema.server.productions.delivery import TEXTS, edit_text, production_files
from kinema.server.productions.planning import check_look, check_pictures, check_texts, plan_production
from kinema.server.productions.stored import StoredProduction
from kinema.server.services import Services
from kinema.server.storage.zip_stream import file_name, zip_stream

router = APIRouter(prefix="/v1/productions", tags=["productions"], responses=ERRORS, route_class=Route)

FORMATS = ("mp4", *TEXTS, "zip")
MOST_EVENTS = 500
DELIVERED: dict[str, Any] = {kind: {} for kind in ("video/mp4", "text/plain", "application/x-subrip", "application/zip")}


class EventListing(Listing[ProductionEvent]):
    """last_id: ask for what comes after it."""

    last_id: int
    has_more: bool


@dataclass(frozen=True, kw_only=True)
class NamedProduction:
    """The production of an address, to decide something about."""

    services: Services
    caller: Caller
    production_id: str

    async def change(
        self, name: str, decide: Callable[[StoredProduction], None], *, version: int | None, go_on: bool = False
    ) -> ProductionObject:
        def work() -> ProductionObject:
            changed = self.services.productions.change(
                self.production_id, self.caller.sees, decide, go_on=go_on, version=version, limit=self.caller.concurrency
            )
            self.services.queue.note(self.caller.key_id, f"production.{name}", self.production_id)
            return production_object(self.services, changed)

        return await run_in_threadpool(work)


async def get_named(caller: Filmer, services: ServicesDep, production_id: str) -> NamedProduction:
    return NamedProduction(services=services, caller=caller, production_id=production_id)


Decided = Annotated[NamedProduction, Depends(get_named)]


@router.post("", summary="Plan a film of a story, and film it")
async def create_production(
    caller: Filmer, services: ServicesDep, given: Annotated[CreateProduction, Depends(CreateProduction.read)]
) -> ProductionObject:
    def work() -> ProductionObject:
        services.store.check_space()
        new = plan_production(services, caller, given)
        made = services.productions.create(new, limit=caller.concurrency)
        services.queue.note(caller.key_id, "production.created", made.row.id)
        return production_object(services, made)

    if given.llm:
        return await to_thread.run_sync(work, limiter=services.planners)
    return await services.run_apart(work)


@router.get("", summary="Productions, newest first")
async def list_productions(
    caller: Reader,
    services: ServicesDep,
    after: Annotated[str | None, Query(description="the last production of the page before")] = None,
    limit: Annotated[int, Query(json_schema_extra={"minimum": 0, "maximum": 100})] = 20,
) -> Page[ProductionSummary]:
    check_page(limit)

    def page() -> Page[ProductionSummary]:
        some, more = services.productions.page(caller.sees, after, limit)
        return Page.of([ProductionSummary(**summary_of(one)) for one in some], more=more)

    return await run_in_threadpool(page)


@router.get("/{production_id}", summary="One production: its script, takes, checks, and what is being made")
async def get_production(caller: Reader, services: ServicesDep, production_id: str) -> ProductionObject:
    return await run_in_threadpool(lambda: production_object(services, services.productions.get(production_id, caller.sees)))


@router.get("/{production_id}/events", summary="Its log: what was done and why, oldest first")
async def list_events(
    caller: Reader,
    services: ServicesDep,
    production_id: str,
    after: Annotated[int, Query(description="`last_id` of the answer before", json_schema_extra={"minimum": 0})] = 0,
    limit: Annotated[int, Query(json_schema_extra={"minimum": 1, "maximum": MOST_EVENTS})] = 100,
) -> EventListing:
    if not 1 <= limit <= MOST_EVENTS:
        raise refuse("limit", limit, f"a whole number from 1 to {MOST_EVENTS}")
    if not 0 <= after < 2**31:
        raise refuse("after", after, "the number of an event, or 0")

    def read() -> EventListing:
        rows, more = services.productions.events(production_id, caller.sees, after, limit)
        events = [ProductionEvent.model_validate(row, from_attributes=True) for row in rows]
        return EventListing(data=events, last_id=events[-1].id if events else after, has_more=more)

    return await run_in_threadpool(read)


@router.post("/{production_id}/resume", summary="Film on, from wherever it stopped")
async def resume_production(
    named: Decided, given: Annotated[ResumeProduction, Depends(ResumeProduction.read)]
) -> ProductionObject:
    def decide(production: StoredProduction) -> None:
        if given.stop_after == "stills" and not production.capabilities_of().state:
            raise refuse("stop_after", "stills", "script or shots: its model makes no stills before it films")
        production.stop_after = given.stop_after

    return await named.change("resumed", decide, version=given.version, go_on=True)


@router.post("/{production_id}/stop", summary="Stop what is being made for it; `resume` goes on")
async def stop_production(named: Decided) -> ProductionObject:
    def work() -> ProductionObject:
        stopped = named.services.productions.stop(named.production_id, named.caller.sees)
        named.services.queue.note(named.caller.key_id, "production.stopped", named.production_id)
        return production_object(named.services, stopped)

    return await run_in_threadpool(work)


@router.post("/{production_id}/order", summary="Put the shots into another order; none is filmed again")
async def order_shots(named: Decided, given: Annotated[OrderShots, Depends(OrderShots.read)]) -> ProductionObject:
    return await named.change("reordered", lambda production: production.reorder(given.order), version=given.version)


@router.post(
    "/{production_id}/cast/{member}/pictures", summary="Give a member of the cast other pictures; no shot is filmed again"
)
async def replace_pictures(
    named: Decided, member: str, given: Annotated[ReplacePictures, Depends(ReplacePictures.read)]
) -> ProductionObject:
    await run_in_threadpool(check_pictures, named.services, named.caller, "pictures", member, given.pictures)
    return await named.change(
        "pictured", lambda production: production.replace_pictures(member, given.pictures), version=given.version
    )


@router.post("/{production_id}/look", summary="Compare takes with the pictures of their cast, or no longer")
async def compare_looks(named: Decided, given: Annotated[CompareLooks, Depends(CompareLooks.read)]) -> ProductionObject:
    def decide(production: StoredProduction) -> None:
        if given.look:
            check_look(production.script)
        production.compare_looks(look=given.look)

    return await named.change("compared", decide, version=given.version)


@router.post("/{production_id}/shots/{shot}/retake", summary="Film a shot again; no other one changes")
async def retake_shot(named: Decided, shot: str, given: Annotated[ChangeShot, Depends(ChangeShot.read)]) -> ProductionObject:
    def decide(production: StoredProduction) -> None:
        if production.stop_after in ("script", "stills"):
            raise ApiError(409, f"nothing of {named.production_id} is filmed yet; resume it", code="not_filmed")
        production.retake(shot)

    return await named.change("retake", decide, version=given.version, go_on=True)


@router.post("/{production_id}/shots/{shot}/accept", summary="Use a take of a shot")
async def accept_take(named: Decided, shot: str, given: Annotated[AcceptTake, Depends(AcceptTake.read)]) -> ProductionObject:
    def decide(production: StoredProduction) -> None:
        production.script.index_of(shot)
        if production.is_locked(shot):
            raise ApiError(409, f"shot {shot!r} is locked; unlock it first", code="locked")
        production.use(shot, given.take, "asked for")

    return await named.change("accepted", decide, version=given.version)


@router.post("/{production_id}/shots/{shot}/lock", summary="Keep a shot as it is, or unlock it")
async def lock_shot(named: Decided, shot: str, given: Annotated[LockShot, Depends(LockShot.read)]) -> ProductionObject:
    return await named.change(
        "locked", lambda production: production.lock(shot, is_locked=given.locked), version=given.version
    )


@router.post("/{production_id}/shots/{shot}/reword", summary="Give a shot other words, by which `resume` films it")
async def reword_shot(named: Decided, shot: str, given: Annotated[RewordShot, Depends(RewordShot.read)]) -> ProductionObject:
    check_texts(named.services, named.caller, iter([given.prompt]))
    return await named.change(
        "reworded", lambda production: production.reword(shot, given.prompt.strip()), version=given.version
    )


@router.get(
    "/{production_id}/shots/{shot}/still", summary="The first picture of a shot, before it is filmed",
    response_class=Response, responses={200: {"content": {"image/png": {}}, "description": "the picture"}},
)  # fmt: skip
async def get_still(
    caller: Reader,
    services: ServicesDep,
    production_id: str,
    shot: str,
    t: Annotated[str | None, Query(description="has no meaning; makes the address of a changing picture a new one")] = None,
) -> Response:
    def draw() -> bytes:
        production = services.productions.get(production_id, caller.sees)
        production.script.index_of(shot)
        capabilities = production.capabilities_of()
        if not capabilities.state:
            raise ApiError(404, f"{capabilities.model} makes no stills before it films", code="no_still")
        still = next(still for one, still in staged_stills(production.script, capabilities) if one.id == shot)
        picture = io.BytesIO()
        still.picture(0).save(picture, "PNG")
        return picture.getvalue()

    content = await services.run_apart(draw)
    return Response(content, media_type="image/png", headers={"cache-control": "private, max-age=60"})


@router.get(
    "/{production_id}/film", summary="The film, its edit, its subtitles, or the whole production", response_class=FileResponse,
    responses={200: {"content": DELIVERED, "description": "the file of the format"}},
)  # fmt: skip
async def get_film(
    request: Request,
    caller: Reader,
    services: ServicesDep,
    production_id: str,
    format: Annotated[
        str, Query(json_schema_extra={"enum": [*FORMATS]}, description="zip: what `kinema direct resume` goes on with")
    ] = "mp4",
) -> Response:
    if format not in FORMATS:
        raise refuse("format", format, "one of " + ", ".join(FORMATS))
    production = await run_in_threadpool(services.productions.get, production_id, caller.sees)
    name = file_name(production.row.title, production_id, f".{format}", set())
    if format == "mp4":
        path = await run_in_threadpool(_film_path, services, production)
        return ServedFile(path, media_type="video/mp4", filename=name)
    if format in TEXTS:
        text = await run_in_threadpool(edit_text, production, format, lambda id: _frames_of(services, id))
        headers = {"content-disposition": _attachment(name)}
        return Response(text, media_type=TEXTS[format], headers=headers)

    def opened() -> list[tuple[str, Any]]:
        lines, _ = services.productions.events(production_id, None, 0, 100_000)
        return production_files(
            production, lines, path_of=lambda id: _path_of(services, id), picture_of=services.store.file,
            frames_of=lambda id: _frames_of(services, id),
        )  # fmt: skip

    files = await services.run_apart(opened)
    headers = {"content-disposition": _attachment(name), "cache-control": "no-store"}
    if request.method == "HEAD":
        for _, file in files:
            file.close()
        return Response(media_type="application/zip", headers=headers)
    return StreamingResponse(zip_stream(files), media_type="application/zip", headers=headers)


@router.delete("/{production_id}", summary="Delete a production and its takes; finished films stay as videos")
async def delete_production(caller: Filmer, services: ServicesDep, production_id: str) -> Deleted:
    def work() -> Deleted:
        services.productions.delete(production_id, caller.sees)
        services.queue.note(caller.key_id, "production.deleted", production_id)
        services.delete_bytes(services.queue.delete_removed())
        return Deleted(id=production_id, object="production.deleted")

    return await run_in_threadpool(work)


def _attachment(name: str) -> str:
    """The header that names a download."""
    return FileResponse("", filename=name).headers["content-disposition"]


def _path_of(services: Services, video: str) -> Path:
    """The file of a video; 404 if it is gone."""
    job = services.queue.get(video, None, deleted=True)
    if job.artifact is None:
        raise ApiError(404, f"{video} was deleted or expired", code="video_not_found")
    return services.store.video(job.id, job.artifact) / VIDEO


def _frames_of(services: Services, video: str) -> int:
    return int(services.queue.get(video, None, deleted=True).frames or 1)


def _film_path(services: Services, production: StoredProduction) -> Path:
    if not production.film_is_current or production.film is None:
        raise ApiError(
            409, f"{production.row.id} has no film of its present takes; resume it, and wait until it is completed",
            code="not_completed",
        )  # fmt: skip
    return _path_of(services, production.film)
