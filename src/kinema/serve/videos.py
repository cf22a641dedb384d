"""The Videos API: what the official client of the service that ended speaks, and what that service never had."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response
from sqlalchemy import Row, select

from kinema import sizes
from kinema.errors import ApiError
from kinema.serve.access import Caller
from kinema.serve.asked import (
    BLEND,
    CHARACTER,
    CREATE,
    EDIT,
    EXTEND,
    LOOP,
    MOST_CHARACTERS,
    MOST_KEYFRAMES,
    MOST_SECONDS,
    MOVE,
    REMIX,
    RENDER,
    TRIM,
    camera_of,
    config_of,
    cost,
    cuts_of,
    is_heavy,
    model_for,
    normal,
)
from kinema.serve.errors import not_found, refuse
from kinema.serve.forms import MOST_TEXT, Field, body_of, described
from kinema.serve.house import House
from kinema.serve.publish import SHEET, STATE, THUMBNAIL, VIDEO, sheet_shape
from kinema.serve.store import is_id, new_id
from kinema.serve.tables import characters
from kinema.serve.work import shape_of
from kinema.serve.worldfile import scene_of

Route = TypeVar("Route", bound=Callable[..., Any])


def shown(house: House, job: Row[Any], *, place: tuple[int, float] | None = None) -> dict[str, Any]:
    """A video object. `place`: jobs before it, and pixel-seconds before it, where they were looked up."""
    eta = None
    live = job.status in ("queued", "in_progress")
    if live:
        speed = house.queue.speed(job.model, job.kind)
        left = job.pixel_seconds * (1 - job.progress / 100) + (place[1] if place is not None else 0.0)
        if speed is not None and (place is not None or job.status == "in_progress"):
            eta = round(speed * left / max(house.queue.hands() if place is not None else 1, 1), 2)
    request = job.request
    error = None if job.error_code is None else {"code": job.error_code, "message": job.error_message}
    return {
        "id": job.id, "object": "video", "created_at": int(job.created_at),
        "completed_at": None if job.completed_at is None else int(job.completed_at),
        "expires_at": None if job.expires_at is None else int(job.expires_at), "error": error, "model": job.model,
        "progress": round(job.progress), "prompt": job.prompt, "remixed_from_video_id": job.remixed_from, "seconds": job.seconds,
        "size": job.size, "status": job.status,
        "kinema": {
            "kind": job.kind, "fps": request.get("fps"), "seed": request.get("seed"), "steps": request.get("steps"),
            "guidance": request.get("guidance"), "strength": request.get("strength"), "priority": job.priority,
            "paused": job.paused,
            "cancelled": job.error_code == "cancelled" or (live and job.cancelled), "stage": job.stage,
            "position": None if place is None else place[0], "eta_s": eta, "started_at": job.started_at,
            "pixel_seconds": job.pixel_seconds, "frames": job.frames, "sources": job.sources, "attempts": job.attempts,
            "has_preview": job.status == "in_progress" and house.store.preview(job.id).exists(),
            "has_state": job.has_state,
            "deleted": job.deleted_at is not None, "bytes": job.bytes, "took_s": job.took_s, "settings": job.settings,
            "watermark": job.mark, "notes": request.get("notes") or [],
        },
    }  # fmt: skip


def routes(house: House) -> APIRouter:
    router = APIRouter(prefix="/v1/videos", tags=["videos"])
    queue, store = house.queue, house.store

    def accept(
        caller: Caller, kind: str, model: str, request: dict[str, Any], *, sources: list[str], given: dict[str, Any],
        remixed_from: str | None = None, seconds: float, size: str, called: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        refused = house.policies.check_prompt(request["prompt"])
        if refused:
            queue.note(caller.key_id, "policy.prompt", None, {"reason": refused})
            raise ApiError(400, refused, param="prompt", code="content_policy_violation")
        width, height = sizes.parse_size(size)
        job = {
            "id": new_id("video"), "key_id": caller.key_id, "kind": kind, "model": model, "prompt": called or request["prompt"],
            "seconds": f"{seconds:g}", "size": size, "request": request, "sources": sources, "remixed_from": remixed_from,
            "priority": given.get("priority") or 0, "shape": shape_of(kind, model, request),
            "pixel_seconds": cost(width, height, seconds, float(request["fps"]), request["steps"]),
        }  # fmt: skip
        store.check_space()
        row = queue.submit(job, limit=caller.concurrency)
        queue.note(caller.key_id, f"video.{kind}", row.id)
        house.metrics.accepted(kind)
        return shown(house, row, place=queue.ahead(row))

    def source(reference: dict[str, str]) -> dict[str, Any]:
        """Length and size of what a reference stands for."""
        if "video" in reference:
            job = queue.get(reference["video"], None)
            return {
                "seconds": float(job.seconds),
                "size": job.size,
                "fps": float(job.request.get("fps") or 16.0),
                "prompt": job.prompt,
            }
        row = house.uploads.find(reference["file"], None)
        return {"seconds": row.frames / row.fps, "size": f"{row.width}x{row.height}", "fps": row.fps, "prompt": ""}

    def fitted(model: str, size: str) -> str:
        return "x".join(map(str, sizes.nearest(config_of(model), *sizes.parse_size(size))))

    def by_looks(prompt: str, wanted: list[Any] | None, caller: Caller) -> str:
        """The prompt with the names of characters as what they look like, each name looked for once in what was written."""
        ids = dict.fromkeys(str(entry.get("id") if isinstance(entry, dict) else entry) for entry in wanted or [])
        if len(ids) > MOST_CHARACTERS:
            raise refuse("characters", f"{len(ids)} of them", f"up to {MOST_CHARACTERS}")
        cast = {found.name: found.looks for found in (character(id, caller) for id in ids)}
        if not cast:
            return prompt
        names = "|".join(re.escape(name) for name in sorted(cast, key=len, reverse=True))
        told = re.sub(rf"(?<!\w)({names})(?!\w)", lambda found: f"the {cast[found[1]]}", prompt)
        if len(told) > MOST_TEXT:
            raise refuse("prompt", f"{len(told)} characters with its characters put in", f"up to {MOST_TEXT}")
        return told

    def character(id: str, caller: Caller) -> Row[Any]:
        if not is_id(id, "char"):
            raise not_found("character", id)
        with house.database.reading() as db:
            row = db.execute(select(characters).where(characters.c.id == id)).first()
        if row is None or (caller.sees is not None and row.key_id != caller.sees):
            raise not_found("character", id)
        return row

    def made_from(
        caller: Caller, kind: str, given: dict[str, Any], names: tuple[str, ...], *, remixed_from: str | None = None
    ) -> dict[str, Any]:
        """A video made from others: edit, remix, extend, blend, loop, trim."""
        model, notes = model_for(given.get("model"))
        known = {
            name: house.uploads.resolve(given[name], caller.sees, caller.key_id, name)
            for name in names
            if given.get(name) is not None
        }
        if given.get("mask") is not None:
            known["mask"] = house.uploads.resolve(given["mask"], caller.sees, caller.key_id, "mask")
        first = source(known[names[0]])
        size = fitted(model, first["size"])
        width, height = sizes.parse_size(size)
        more = given.get("seconds") or (1.0 if kind == "loop" else 2.0)
        lengths = {
            "extend": first["seconds"] + more, "loop": first["seconds"] + more, "trim": 0.0, "edit": first["seconds"],
            "remix": first["seconds"], "blend": 0.0,
        }  # fmt: skip
        seconds = lengths[kind]
        if kind == "blend":
            seconds = first["seconds"] + more + source(known["b"])["seconds"]
        if kind == "trim":
            cuts = cuts_of(given["cuts"], first["seconds"])
            given, seconds = {**given, "cuts": cuts}, sum(end - start for start, end in cuts)
        sizes.check_duration(config_of(model), seconds, first["fps"], width, height, 1)
        seed = given.get("seed")
        request = {
            **{name: given.get(name) for name in ("steps", "guidance", "strict", "label", "strength", "before", "cuts")}, **known,
            "prompt": given.get("prompt") or "", "seconds": more, "size": size, "fps": first["fps"], "notes": notes,
            "seed": secrets.randbelow(2**31) if seed is None else seed,
        }  # fmt: skip
        sources = [reference["video"] for reference in known.values() if "video" in reference]
        return accept(
            caller, kind, model, request, sources=sources, given=given, remixed_from=remixed_from, seconds=seconds, size=size,
            called=request["prompt"] or first["prompt"],
        )  # fmt: skip

    def create(given: dict[str, Any], caller: Caller) -> dict[str, Any]:
        if given["blend"]:
            ends = {name: given["blend"].get(name) for name in ("a", "b")}
            for name, end in ends.items():
                if end is None:
                    raise ApiError(400, f"blend.{name} is missing: a video", param=f"blend.{name}", code="missing_value")
            return made_from(caller, "blend", {**given, **ends}, ("a", "b"))
        model, request, _ = normal(house, given)
        width, height = sizes.parse_size(request["size"])
        queue.check_quota(caller.key_id, cost(width, height, request["seconds"], request["fps"], request["steps"]))
        pictures = {"image": given["input_reference"], "last": given["last"]}
        if not request["prompt"].strip() and not any(pictures.values()) and not given["keyframes"]:
            raise ApiError(
                400, "prompt is missing: say what happens, or give a picture", param="prompt", code="missing_value"
            )
        request["prompt"] = by_looks(request["prompt"], given["characters"], caller)
        for name, reference in pictures.items():
            if reference is not None:
                param = "input_reference" if name == "image" else name
                request[name] = house.uploads.resolve(reference, caller.sees, caller.key_id, param)
        frames: list[dict[str, Any]] = []
        if len(given["keyframes"] or []) > MOST_KEYFRAMES:
            raise refuse("keyframes", f"{len(given['keyframes'])} of them", f"up to {MOST_KEYFRAMES}")
        for i, entry in enumerate(given["keyframes"] or []):
            if not isinstance(entry, dict) or "picture" not in entry:
                raise refuse(f"keyframes[{i}]", entry, '{"picture": reference, "at": seconds}')
            at = Field(name=f"keyframes[{i}].at", kind="number", about="seconds", low=0, high=MOST_SECONDS, required=True)
            second = at.read(entry.get("at"))
            if round(second * request["fps"]) >= round(request["seconds"] * request["fps"]):
                raise refuse(f"keyframes[{i}].at", second, f"a second before the end, {request['seconds']:g}")
            picture = house.uploads.resolve(entry["picture"], caller.sees, caller.key_id, f"keyframes[{i}].picture")
            frames.append({"picture": picture, "at": second})
        if frames:
            request["keyframes"] = frames
        if given["guides"]:
            request["camera"] = camera_of(given["guides"])
        references = [request.get("image"), request.get("last"), *(frame["picture"] for frame in frames)]
        return accept(
            caller, "generate", model, request, sources=[r["video"] for r in references if r and "video" in r], given=given,
            seconds=request["seconds"], size=request["size"],
        )  # fmt: skip

    def answered(given: dict[str, Any]) -> JSONResponse:
        live = given["status"] in ("queued", "in_progress")
        eta = given["kinema"]["eta_s"]
        wait = min(max(int(1000 * (eta if eta is not None else 1.0) / 2), 250), 5000) if live else 0
        return JSONResponse(given, headers={"openai-poll-after-ms": str(wait)} if live else {})

    def post(path: str, fields: tuple[Field, ...], about: str) -> Callable[[Route], Route]:
        return router.post(path, summary=about, openapi_extra=described(fields), responses=house.errors)

    @post("", CREATE, "Film a description")
    async def create_video(request: Request) -> JSONResponse:
        caller = await house.caller(request, "videos")
        given = await body_of(request, CREATE)
        heavy = any(map(is_heavy, given.values()))
        return answered(await house.apart(create, given, caller, heavy=heavy))

    @router.get("", summary="Videos, newest first", responses=house.errors)
    async def list_videos(
        request: Request, after: str | None = None, limit: int = 20, order: str = "desc", status: str | None = None,
        search: str | None = None,
    ) -> JSONResponse:  # fmt: skip
        caller = await house.caller(request, "read")
        if not 0 <= limit <= 100:
            raise refuse("limit", limit, "a whole number from 0 to 100")
        if order not in ("asc", "desc"):
            raise refuse("order", order, "asc or desc")
        if status is not None and status not in ("queued", "in_progress", "completed", "failed"):
            raise refuse("status", status, "queued, in_progress, completed or failed")

        def page() -> dict[str, Any]:
            found, more = queue.page(
                caller.sees, after=after, limit=limit, ascending=order == "asc", status=status, search=search and search[:500]
            )  # fmt: skip
            data = [shown(house, job) for job in found]
            ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
            return {"object": "list", "data": data, **ends, "has_more": more}

        return JSONResponse(await house.quick(page))

    for path, kind, fields, about in (
        ("/edits", "edit", EDIT, "Remake a video by words, all of it or where a mask is white"),
        ("/extensions", "extend", EXTEND, "Go on after a video, or lead up to it"),
        ("/blends", "blend", BLEND, "Lead from one video to another"),
        ("/loops", "loop", LOOP, "Lead from the end of a video back to its beginning"),
        ("/trims", "trim", TRIM, "Parts of a video, joined"),
    ):

        def one_kind(kind: str = kind, fields: tuple[Field, ...] = fields) -> Any:
            async def change(request: Request) -> JSONResponse:
                caller = await house.caller(request, "videos")
                given = await body_of(request, fields)
                names = ("a", "b") if kind == "blend" else ("video",)
                heavy = any(map(is_heavy, given.values()))
                return answered(await house.apart(made_from, caller, kind, given, names, heavy=heavy))

            change.__name__ = f"{kind}_video"
            return change

        post(path, fields, about)(one_kind())

    @post("/renders", RENDER, "Film a scene state, such as a changed one")
    async def render_state(request: Request) -> JSONResponse:
        caller = await house.caller(request, "videos")
        given = await body_of(request, RENDER)

        def film() -> dict[str, Any]:
            model, asked, _ = normal(house, given)
            scene = scene_of(given["state"])
            seconds = scene.num_frames / scene.fps
            width, height = sizes.parse_size(asked["size"])
            sizes.check_duration(config_of(model), seconds, scene.fps, width, height, 1)
            wanted = {**asked, "state": scene.to_dict(), "fps": scene.fps, "seconds": seconds}
            return accept(caller, "render", model, wanted, sources=[], given=given, seconds=seconds, size=asked["size"])

        return answered(await run_in_threadpool(film))

    @post("/characters", CHARACTER, "Remember who is seen in a video by a name")
    async def create_character(request: Request) -> dict[str, Any]:
        caller = await house.caller(request, "videos")
        given = await body_of(request, CHARACTER)

        def remember() -> dict[str, Any]:
            reference = house.uploads.resolve(given["video"], caller.sees, caller.key_id, "video")
            looks = house.looks(reference)
            with house.database.writing() as db:
                now = house.database.now(db)
                row = {
                    "id": new_id("char"),
                    "key_id": caller.key_id,
                    "created_at": now,
                    "name": given["name"][:80],
                    "looks": looks,
                }
                db.execute(characters.insert().values(**row))
            return character_shown(row)

        return await house.apart(remember)

    def character_shown(row: Any) -> dict[str, Any]:
        kept = row if isinstance(row, dict) else row._mapping
        return {
            "id": kept["id"], "object": "character", "name": kept["name"], "created_at": int(kept["created_at"]),
            "looks": kept["looks"],
        }  # fmt: skip

    @router.get("/characters", summary="Characters", responses=house.errors)
    async def list_characters(request: Request) -> dict[str, Any]:
        caller = await house.caller(request, "read")

        def all_of_them() -> dict[str, Any]:
            query = select(characters).order_by(characters.c.created_at)
            if caller.sees is not None:
                query = query.where(characters.c.key_id == caller.sees)
            with house.database.reading() as db:
                return {"object": "list", "data": [character_shown(row) for row in db.execute(query).all()]}

        return await run_in_threadpool(all_of_them)

    @router.get("/characters/{character_id}", summary="One character", responses=house.errors)
    async def get_character(request: Request, character_id: str) -> dict[str, Any]:
        caller = await house.caller(request, "read")
        return character_shown(await run_in_threadpool(character, character_id, caller))

    @router.get("/{video_id}", summary="One video", responses=house.errors)
    async def get_video(request: Request, video_id: str) -> JSONResponse:
        caller = await house.caller(request, "read")

        def look() -> dict[str, Any]:
            job = queue.get(video_id, caller.sees)
            return shown(house, job, place=queue.ahead(job) if job.status == "queued" else None)

        return answered(await house.quick(look))

    @router.delete("/{video_id}", summary="Delete a video; what is being made stops", responses=house.errors)
    async def delete_video(request: Request, video_id: str) -> dict[str, Any]:
        caller = await house.caller(request, "videos")
        await run_in_threadpool(queue.delete, video_id, caller.sees)
        await run_in_threadpool(queue.note, caller.key_id, "video.deleted", video_id)
        return {"id": video_id, "object": "video.deleted", "deleted": True}

    @post("/{video_id}/remix", REMIX, "Remake a video by other words")
    async def remix_video(request: Request, video_id: str) -> JSONResponse:
        caller = await house.caller(request, "videos")
        if not is_id(video_id, "video"):
            raise not_found("video", video_id)
        given = {**await body_of(request, REMIX), "video": video_id, "strength": 0.7}
        return answered(await run_in_threadpool(made_from, caller, "remix", given, ("video",), remixed_from=video_id))

    def action(name: str, about: str, do: Any) -> None:
        @router.post(f"/{{video_id}}/{name}", summary=about, responses=house.errors, name=f"{name}_video")
        async def act(request: Request, video_id: str) -> dict[str, Any]:
            caller = await house.caller(request, "videos")
            more = {"limit": caller.concurrency} if name == "retry" else {}
            job = await run_in_threadpool(lambda: do(video_id, caller.sees, **more))
            await run_in_threadpool(queue.note, caller.key_id, f"video.{name}", video_id)
            place = await run_in_threadpool(queue.ahead, job) if job.status == "queued" else None
            return await run_in_threadpool(shown, house, job, place=place)

    action("cancel", "Stop what waits or is being made", queue.cancel)
    action("pause", "Keep a place in the queue without being begun", lambda id, sees: queue.pause(id, sees, True))
    action("resume", "Go on after a pause", lambda id, sees: queue.pause(id, sees, False))

    action("retry", "Make a failed video again", queue.retry)
    action("restore", "Take a deletion back", queue.restore)

    @post("/{video_id}/move", MOVE, "Put a waiting video before another")
    async def move_video(request: Request, video_id: str) -> dict[str, Any]:
        caller = await house.caller(request, "videos")
        given = await body_of(request, MOVE)
        job = await run_in_threadpool(queue.move, video_id, caller.sees, given["before"])
        return await run_in_threadpool(lambda: shown(house, job, place=queue.ahead(job)))

    @router.api_route(
        "/{video_id}/content", methods=["GET", "HEAD"], summary="The video itself, or pictures of it", responses=house.errors
    )
    async def content(request: Request, video_id: str, variant: str = "video") -> Response:
        caller = await house.caller(request, "read")
        kinds = {
            "video": (VIDEO, "video/mp4"), "download": (VIDEO, "video/mp4"), "thumbnail": (THUMBNAIL, "image/jpeg"),
            "spritesheet": (SHEET, "image/jpeg"), "state": (STATE, "application/json"), "preview": ("", "image/jpeg"),
        }  # fmt: skip
        if variant not in kinds:
            raise refuse("variant", variant, "one of " + ", ".join(kinds))
        job = await house.quick(queue.get, video_id, caller.sees)
        name, media_type = kinds[variant]
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

    return router
