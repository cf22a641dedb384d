"""The routes of the Videos API, compatible with the official client of the discontinued service, and extended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field
from sqlalchemy import Row

from kinema.errors import ApiError
from kinema.server.api.bodies import Body, Route, Text
from kinema.server.api.dependencies import Filmer, Reader, ServicesDep
from kinema.server.api.errors import ERRORS, not_found, refuse
from kinema.server.api.responses import ORDERS, Deleted, Page, check_page
from kinema.server.api.video_object import LIVE, Video, video_object
from kinema.server.api.video_schema import (
    MOST_TAGS,
    BlendVideos,
    CreateVideo,
    EditVideo,
    ExtendVideo,
    JoinVideos,
    LabelVideo,
    LoopVideo,
    RemixVideo,
    RenderState,
    RestyleVideo,
    TrimVideo,
    UpscaleVideo,
    VideoRequest,
    is_heavy,
)
from kinema.server.auth import Caller
from kinema.server.jobs.listing import NO_PROJECT, SORTS, Filters, page_of
from kinema.server.jobs.submission import FILMED, Submission, Take
from kinema.server.jobs.unwanted import stop_unwanted
from kinema.server.library import plain_tags
from kinema.server.services import Services
from kinema.server.storage.artifacts import is_id

router = APIRouter(prefix="/v1/videos", tags=["videos"], responses=ERRORS, route_class=Route)

MOST_TOKEN = 255
STATUSES = ("queued", "in_progress", "completed", "failed")


class MoveVideo(Body):
    before: Text | None = Field(None, description="the waiting video to stand before; none: to the end")


def polled(video: Video, response: Response) -> Video:
    """Say in a header when to ask for a video again."""
    if video.poll_after_ms is not None:
        response.headers["openai-poll-after-ms"] = str(video.poll_after_ms)
    return video


@dataclass(frozen=True, kw_only=True)
class Submitter:
    """Accepts the request of a route once, even if its client repeats it."""

    request: Request
    response: Response
    services: Services
    submission: Submission
    caller: Caller
    token: str | None

    async def __call__(self, given: Body, take: Take) -> Video:
        video = await self.services.run_apart(
            self.submission.once, take, given, self.caller, self.token, self.request.url.path, heavy=is_heavy(given)
        )
        return polled(video, self.response)

    async def change(self, kind: str, given: VideoRequest) -> Video:
        return await self(given, partial(self.submission.change, kind, given))


async def get_submitter(
    request: Request,
    response: Response,
    caller: Filmer,
    services: ServicesDep,
    idempotency_key: Annotated[str | None, Header(description="the same request sent again is not a second one")] = None,
) -> Submitter:
    token = idempotency_key
    if token is not None and not 0 < len(token) <= MOST_TOKEN:
        raise ApiError(400, f"Idempotency-Key of {len(token)} characters: expected 1 to {MOST_TOKEN}", code="invalid_value")
    return Submitter(
        request=request, response=response, services=services, submission=Submission(services), caller=caller, token=token
    )


Submit = Annotated[Submitter, Depends(get_submitter)]


@router.post("", summary="Film a description")
async def create_video(submit: Submit, given: Annotated[CreateVideo, Depends(CreateVideo.read)]) -> Video:
    return await submit(given, partial(submit.submission.create, given))


@router.post("/edits", summary="Remake a video by words, all of it or where a mask is white")
async def edit_video(submit: Submit, given: Annotated[EditVideo, Depends(EditVideo.read)]) -> Video:
    return await submit.change("edit", given)


@router.post("/extensions", summary="Go on after a video, or lead up to it")
async def extend_video(submit: Submit, given: Annotated[ExtendVideo, Depends(ExtendVideo.read)]) -> Video:
    return await submit.change("extend", given)


@router.post("/blends", summary="Lead from one video to another")
async def blend_videos(submit: Submit, given: Annotated[BlendVideos, Depends(BlendVideos.read)]) -> Video:
    return await submit.change("blend", given)


@router.post("/loops", summary="Lead from the end of a video back to its beginning")
async def loop_video(submit: Submit, given: Annotated[LoopVideo, Depends(LoopVideo.read)]) -> Video:
    return await submit.change("loop", given)


@router.post("/trims", summary="Parts of a video, joined")
async def trim_video(submit: Submit, given: Annotated[TrimVideo, Depends(TrimVideo.read)]) -> Video:
    return await submit.change("trim", given)


@router.post("/joins", summary="Parts of several videos, joined")
async def join_videos(submit: Submit, given: Annotated[JoinVideos, Depends(JoinVideos.read)]) -> Video:
    return await submit(given, partial(submit.submission.join, given))


@router.post("/renders", summary="Film a scene state, such as a changed one")
async def render_state(submit: Submit, given: Annotated[RenderState, Depends(RenderState.read)]) -> Video:
    return await submit(given, partial(submit.submission.render, given))


@router.post("/restyles", summary="Paint a video's state, or one that is given, with another model")
async def restyle_video(submit: Submit, given: Annotated[RestyleVideo, Depends(RestyleVideo.read)]) -> Video:
    return await submit(given, partial(submit.submission.restyle, given))


@router.post("/upscales", summary="Show a video larger")
async def upscale_video(submit: Submit, given: Annotated[UpscaleVideo, Depends(UpscaleVideo.read)]) -> Video:
    return await submit.change("upscale", given)


@router.post("/{video_id}/remix", summary="Remake a video by other words")
async def remix_video(submit: Submit, given: Annotated[RemixVideo, Depends(RemixVideo.read)], video_id: str) -> Video:
    if not is_id(video_id, "video"):
        raise not_found("video", video_id)
    edit = EditVideo(**dict(given), video=video_id)
    return await submit(edit, partial(submit.submission.change, "remix", edit, remixed_from=video_id))


async def get_filters(
    after: Annotated[str | None, Query(description="the last video of the page before")] = None,
    limit: Annotated[int, Query(json_schema_extra={"minimum": 0, "maximum": 100})] = 20,
    order: Annotated[str, Query(json_schema_extra={"enum": [*ORDERS]})] = "desc",
    sort: Annotated[str, Query(json_schema_extra={"enum": [*SORTS]})] = "created",
    status: Annotated[str | None, Query(json_schema_extra={"enum": [*STATUSES]})] = None,
    search: Annotated[str | None, Query(description="a part of the prompt or title")] = None,
    model: str | None = None,
    favorite: bool | None = None,
    project: Annotated[str | None, Query(description=f"an id; {NO_PROJECT}: videos that are in no project")] = None,
    tag: Annotated[list[str] | None, Query(description="given several times: videos that have all of them")] = None,
) -> Filters:
    check_page(limit, order)
    if status is not None and status not in STATUSES:
        raise refuse("status", status, "queued, in_progress, completed or failed")
    if sort not in SORTS:
        raise refuse("sort", sort, " or ".join(SORTS))
    tags = tuple(plain_tags(tag or ()))
    if len(tags) > MOST_TAGS:
        raise refuse("tag", f"{len(tags)} of them", f"up to {MOST_TAGS}")
    return Filters(
        after=after, limit=limit, ascending=order == "asc", sort=sort, status=status, search=search and search[:500],
        model=model, favorite=favorite, project=project, tags=tags,
    )  # fmt: skip


@router.get("", summary="Videos, newest first")
async def list_videos(
    caller: Reader, services: ServicesDep, filters: Annotated[Filters, Depends(get_filters)]
) -> Page[Video]:
    def page() -> Page[Video]:
        rows, more = page_of(services.database, caller.sees, filters)
        return Page.of([video_object(services, job) for job in rows], more=more)

    return await services.run_query(page)


@router.get("/{video_id}", summary="One video")
async def get_video(caller: Reader, services: ServicesDep, video_id: str, response: Response) -> Video:
    def load() -> Video:
        job = services.queue.get(video_id, caller.sees)
        return video_object(services, job, place=services.queue.ahead(job) if job.status == "queued" else None)

    return polled(await services.run_query(load), response)


@router.post("/{video_id}", summary="Change title, tags, favorite or project")
async def label_video(
    caller: Filmer,
    services: ServicesDep,
    video_id: str,
    given: Annotated[LabelVideo, Depends(LabelVideo.read)],
) -> Video:
    def label() -> Video:
        job = services.library.label(video_id, caller.sees, given.given_labels())
        return video_object(services, job, place=services.queue.ahead(job) if job.status == "queued" else None)

    return await run_in_threadpool(label)


class DeletedVideo(Deleted):
    """restorable: whether it can be restored (for a week). needed_by: unfinished videos that are made from it; its bytes go when
    they have ended. ingredient_of: finished videos whose own manifests name it, with its hash and what its manifest said."""

    restorable: bool
    needed_by: list[str]
    ingredient_of: list[str]


@router.delete("/{video_id}", summary="Delete a video and all its files; what is being made stops")
async def delete_video(
    caller: Filmer,
    services: ServicesDep,
    video_id: str,
    restorable: Annotated[bool, Query(description="keep it for a week, in which it can be restored")] = False,
) -> DeletedVideo:
    def delete() -> DeletedVideo:
        services.queue.delete(video_id, caller.sees, restorable=restorable)
        stop_unwanted(services.store, services.queue.get(video_id, caller.sees, deleted=True))
        services.queue.note(caller.key_id, "video.deleted", video_id, {"restorable": restorable})
        made = services.queue.made_from(video_id)
        services.delete_bytes(services.queue.delete_removed())
        return DeletedVideo(
            id=video_id, object="video.deleted", restorable=restorable,
            needed_by=[job.id for job in made if job.status in LIVE],
            ingredient_of=[job.id for job in made if job.status == "completed"],
        )  # fmt: skip

    return await run_in_threadpool(delete)


@dataclass(frozen=True, kw_only=True)
class QueuedVideo:
    """The video of an address, to do something with in the queue."""

    services: Services
    caller: Caller
    video_id: str

    async def act(self, name: str, do: Callable[..., Row[Any]], *arguments: Any, **options: Any) -> Video:
        def work() -> Video:
            job = do(self.video_id, self.caller.sees, *arguments, **options)
            if name != "move":
                self.services.queue.note(self.caller.key_id, f"video.{name}", self.video_id)
            place = self.services.queue.ahead(job) if job.status == "queued" else None
            return video_object(self.services, job, place=place)

        return await run_in_threadpool(work)


async def get_queued(caller: Filmer, services: ServicesDep, video_id: str) -> QueuedVideo:
    return QueuedVideo(services=services, caller=caller, video_id=video_id)


Queued = Annotated[QueuedVideo, Depends(get_queued)]


@router.post("/{video_id}/cancel", summary="Stop what waits or is being made")
async def cancel_video(video: Queued) -> Video:
    def cancel(video_id: str, sees: str | None) -> Row[Any]:
        job = video.services.queue.cancel(video_id, sees)
        stop_unwanted(video.services.store, job)
        return job

    return await video.act("cancel", cancel)


@router.post("/{video_id}/pause", summary="Keep a place in the queue without being begun")
async def pause_video(video: Queued) -> Video:
    return await video.act("pause", video.services.queue.pause, True)


@router.post("/{video_id}/resume", summary="Go on after a pause")
async def resume_video(video: Queued) -> Video:
    return await video.act("resume", video.services.queue.pause, False)


@router.post("/{video_id}/retry", summary="Make a failed video again")
async def retry_video(video: Queued) -> Video:
    def retry(video_id: str, sees: str | None, **options: Any) -> Row[Any]:
        job = video.services.queue.get(video_id, sees)
        if job.kind in FILMED:
            video.services.licenses.check(video.caller.key_id, job.model)
        return video.services.queue.retry(video_id, sees, **options)

    return await video.act("retry", retry, limit=video.caller.concurrency)


@router.post("/{video_id}/restore", summary="Take a deletion back")
async def restore_video(video: Queued) -> Video:
    return await video.act("restore", video.services.queue.restore)


@router.post("/{video_id}/move", summary="Put a waiting video before another")
async def move_video(video: Queued, given: Annotated[MoveVideo, Depends(MoveVideo.read)]) -> Video:
    return await video.act("move", video.services.queue.move, given.before)
