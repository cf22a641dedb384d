"""The routes of the Videos API, compatible with the official client of the discontinued service, and extended."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response

from kinema.errors import ApiError
from kinema.inference.editing import EDIT_STRENGTH
from kinema.server.api.errors import not_found, refuse
from kinema.server.api.forms import Field, body_of, described, token_of
from kinema.server.api.video_object import FastJSONResponse, video_object, video_response
from kinema.server.api.video_schema import BLEND, CHARACTER, CREATE, EDIT, EXTEND, LOOP, MOVE, REMIX, RENDER, TRIM, is_heavy
from kinema.server.characters import character_shown
from kinema.server.jobs.publish import SHEET, STATE, THUMBNAIL, VIDEO, sheet_shape
from kinema.server.jobs.submission import Submission, Take
from kinema.server.services import Services
from kinema.server.storage.artifacts import is_id

Route = TypeVar("Route", bound=Callable[..., Any])
Post = Callable[[str, tuple[Field, ...], str], Callable[[Route], Route]]
FILES = {
    "video": (VIDEO, "video/mp4"),
    "download": (VIDEO, "video/mp4"),
    "thumbnail": (THUMBNAIL, "image/jpeg"),
    "spritesheet": (SHEET, "image/jpeg"),
    "state": (STATE, "application/json"),
    "preview": ("", "image/jpeg"),
}
"""Variants of a video: file name and media type."""


def routes(services: Services) -> APIRouter:
    """All routes below /v1/videos; those with a word before those with an id."""
    router = APIRouter(prefix="/v1/videos", tags=["videos"])
    submission = Submission(services)

    def post(path: str, fields: tuple[Field, ...], about: str) -> Callable[[Route], Route]:
        return router.post(path, summary=about, openapi_extra=described(fields), responses=services.errors)

    _create_routes(router, services, submission, post)
    _character_routes(router, services, submission, post)
    _read_routes(router, services)
    _queue_routes(router, services, post)
    return router


def _create_routes(router: APIRouter, services: Services, submission: Submission, post: Post[Any]) -> None:
    async def submit(request: Request, fields: tuple[Field, ...], take: Take, **fixed: Any) -> JSONResponse:
        """Accept a request once, even if its client repeats it."""
        caller = await services.caller(request, "videos")
        given = {**await body_of(request, fields), **fixed}
        heavy = any(map(is_heavy, given.values()))
        return video_response(
            await services.run_apart(submission.once, take, given, caller, token_of(request), request.url.path, heavy=heavy)
        )

    @post("", CREATE, "Film a description")
    async def create_video(request: Request) -> JSONResponse:
        return await submit(request, CREATE, submission.create)

    for path, kind, fields, about in (
        ("/edits", "edit", EDIT, "Remake a video by words, all of it or where a mask is white"),
        ("/extensions", "extend", EXTEND, "Go on after a video, or lead up to it"),
        ("/blends", "blend", BLEND, "Lead from one video to another"),
        ("/loops", "loop", LOOP, "Lead from the end of a video back to its beginning"),
        ("/trims", "trim", TRIM, "Parts of a video, joined"),
    ):

        def one_kind(kind: str = kind, fields: tuple[Field, ...] = fields) -> Any:
            take = partial(submission.change, kind, ("a", "b") if kind == "blend" else ("video",))

            async def change(request: Request) -> JSONResponse:
                return await submit(request, fields, take)

            change.__name__ = f"{kind}_video"
            return change

        post(path, fields, about)(one_kind())

    @post("/renders", RENDER, "Film a scene state, such as a changed one")
    async def render_state(request: Request) -> JSONResponse:
        return await submit(request, RENDER, submission.render)

    @post("/{video_id}/remix", REMIX, "Remake a video by other words")
    async def remix_video(request: Request, video_id: str) -> JSONResponse:
        if not is_id(video_id, "video"):
            raise not_found("video", video_id)
        take = partial(submission.change, "remix", ("video",), remixed_from=video_id)
        return await submit(request, REMIX, take, video=video_id, strength=EDIT_STRENGTH)


def _character_routes(router: APIRouter, services: Services, submission: Submission, post: Post[Any]) -> None:
    @post("/characters", CHARACTER, "Remember who is seen in a video by a name")
    async def create_character(request: Request) -> dict[str, Any]:
        caller = await services.caller(request, "videos")
        given = await body_of(request, CHARACTER)
        return character_shown(await services.run_apart(submission.characters.remember, given, caller))

    @router.get("/characters", summary="Characters", responses=services.errors)
    async def list_characters(request: Request) -> dict[str, Any]:
        caller = await services.caller(request, "read")
        rows = await run_in_threadpool(submission.characters.all, caller)
        return {"object": "list", "data": [character_shown(row) for row in rows]}

    @router.get("/characters/{character_id}", summary="One character", responses=services.errors)
    async def get_character(request: Request, character_id: str) -> dict[str, Any]:
        caller = await services.caller(request, "read")
        return character_shown(await run_in_threadpool(submission.characters.find, character_id, caller))


def _read_routes(router: APIRouter, services: Services) -> None:
    queue, store = services.queue, services.store

    @router.get("", summary="Videos, newest first", responses=services.errors)
    async def list_videos(
        request: Request, after: str | None = None, limit: int = 20, order: str = "desc", status: str | None = None,
        search: str | None = None,
    ) -> JSONResponse:  # fmt: skip
        caller = await services.caller(request, "read")
        if not 0 <= limit <= 100:
            raise refuse("limit", limit, "a whole number from 0 to 100")
        if order not in ("asc", "desc"):
            raise refuse("order", order, "asc or desc")
        if status is not None and status not in ("queued", "in_progress", "completed", "failed"):
            raise refuse("status", status, "queued, in_progress, completed or failed")

        def page() -> dict[str, Any]:
            rows, more = queue.page(
                caller.sees, after=after, limit=limit, ascending=order == "asc", status=status, search=search and search[:500]
            )  # fmt: skip
            data = [video_object(services, job) for job in rows]
            ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
            return {"object": "list", "data": data, **ends, "has_more": more}

        return FastJSONResponse(await services.run_query(page))

    @router.get("/{video_id}", summary="One video", responses=services.errors)
    async def get_video(request: Request, video_id: str) -> JSONResponse:
        caller = await services.caller(request, "read")

        def load() -> dict[str, Any]:
            job = queue.get(video_id, caller.sees)
            return video_object(services, job, place=queue.ahead(job) if job.status == "queued" else None)

        return video_response(await services.run_query(load))

    @router.head("/{video_id}/content", include_in_schema=False)
    @router.get("/{video_id}/content", summary="The video itself, or pictures of it", responses=services.errors)
    async def content(request: Request, video_id: str, variant: str = "video") -> Response:
        caller = await services.caller(request, "read")
        if variant not in FILES:
            raise refuse("variant", variant, "one of " + ", ".join(FILES))
        job = await services.run_query(queue.get, video_id, caller.sees)
        name, media_type = FILES[variant]
        if variant == "preview":
            try:  # read at once: a worker may replace it, or be done with it, at any moment
                picture = store.preview(job.id).read_bytes()
            except FileNotFoundError:
                raise ApiError(404, f"{video_id} has no preview now", code="no_preview") from None
            return Response(picture, media_type=media_type, headers={"cache-control": "no-store"})
        if job.status != "completed" or job.artifact is None:
            raise ApiError(
                404, f"{video_id} is {job.status.replace('_', ' ')}; there is content when it is completed",
                code="not_completed",
            )  # fmt: skip
        path = store.video(job.id, job.artifact) / name
        if not path.exists():
            raise ApiError(404, f"{video_id} has no {variant}", code="no_such_variant")
        headers = {"cache-control": "private, max-age=3600"}
        if variant == "spritesheet":
            columns, rows, frames = sheet_shape(job.frames)
            headers["x-kinema-spritesheet"] = f"columns={columns};rows={rows};frames={frames}"
        given_name = f"{video_id}.mp4" if variant == "download" else None
        return FileResponse(path, media_type=media_type, headers=headers, filename=given_name)


def _queue_routes(router: APIRouter, services: Services, post: Post[Any]) -> None:
    queue = services.queue

    @router.delete("/{video_id}", summary="Delete a video; what is being made stops", responses=services.errors)
    async def delete_video(request: Request, video_id: str) -> dict[str, Any]:
        caller = await services.caller(request, "videos")
        await run_in_threadpool(queue.delete, video_id, caller.sees)
        await run_in_threadpool(queue.note, caller.key_id, "video.deleted", video_id)
        return {"id": video_id, "object": "video.deleted", "deleted": True}

    def action(name: str, about: str, do: Any) -> None:
        @router.post(f"/{{video_id}}/{name}", summary=about, responses=services.errors, name=f"{name}_video")
        async def act(request: Request, video_id: str) -> dict[str, Any]:
            caller = await services.caller(request, "videos")
            more = {"limit": caller.concurrency} if name == "retry" else {}
            job = await run_in_threadpool(lambda: do(video_id, caller.sees, **more))
            await run_in_threadpool(queue.note, caller.key_id, f"video.{name}", video_id)
            place = await run_in_threadpool(queue.ahead, job) if job.status == "queued" else None
            return await run_in_threadpool(video_object, services, job, place=place)

    action("cancel", "Stop what waits or is being made", queue.cancel)
    action("pause", "Keep a place in the queue without being begun", lambda id, sees: queue.pause(id, sees, True))
    action("resume", "Go on after a pause", lambda id, sees: queue.pause(id, sees, False))
    action("retry", "Make a failed video again", queue.retry)
    action("restore", "Take a deletion back", queue.restore)

    @post("/{video_id}/move", MOVE, "Put a waiting video before another")
    async def move_video(request: Request, video_id: str) -> dict[str, Any]:
        caller = await services.caller(request, "videos")
        given = await body_of(request, MOVE)
        job = await run_in_threadpool(queue.move, video_id, caller.sees, given["before"])
        return await run_in_threadpool(lambda: video_object(services, job, place=queue.ahead(job)))
