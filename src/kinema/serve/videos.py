"""The Videos API: what the official client of the service that ended speaks, and what that service never had."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response
from sqlalchemy import Row, select

from kinema import sizes
from kinema.errors import ApiError
from kinema.laying import camera_path
from kinema.models import DEFAULT, ModelConfig, available, find, read_config
from kinema.prompts import check_words
from kinema.serve.access import Caller
from kinema.serve.errors import not_found, refuse
from kinema.serve.forms import MOST_TEXT, Field, body_of, described
from kinema.serve.house import House
from kinema.serve.publish import SHEET, STATE, THUMBNAIL, VIDEO, sheet_shape
from kinema.serve.store import is_id, new_id
from kinema.serve.tables import characters
from kinema.serve.uploads import Sent
from kinema.serve.work import shape_of
from kinema.serve.worldfile import scene_of
from kinema.text.storyboard import parse_storyboard
from kinema.text.vocabulary import suggest, unknown_words
from kinema.worlds.playground import VOCABULARY

ALIASES = ("sora-2", "sora-2-pro")
"""Names that unmodified clients ask for; the default model answers, and the video says so."""
MOST_SECONDS = 600.0
MOST_CHARACTERS, MOST_KEYFRAMES = 16, 64
USUAL_FPS, USUAL_STEPS = 16.0, 16
"""What a pixel-second is made of; more frames or steps cost as many more."""
EMPTY = (
    Field(name="seed", kind="whole", about="the same seed on the same machine makes the same video", low=0, high=2**62 - 1),
    Field(name="steps", kind="whole", about="steps of the plan", low=1, high=200),
    Field(name="guidance", kind="number", about="how hard the words pull; 1: not at all", low=0, high=20),
    Field(name="strict", kind="flag", about="refuse words that the model does not know", default=False),
    Field(name="priority", kind="whole", about="within your own queue, higher first", low=-10, high=10, default=0),
    Field(name="label", kind="flag", about="a visible mark in the corner", default=False),
    Field(name="model", kind="text", about="a model's name"),
)
"""What every kind of video may be told."""
SECONDS = Field(name="seconds", kind="number", about="length of the video", low=0.01, high=MOST_SECONDS)
SIZE = Field(name="size", kind="text", about="WIDTHxHEIGHT in pixels")
CREATE = (
    Field(name="prompt", kind="text", about="what happens; '0-2: text | 2-4: text' in seconds is a storyboard", default=""),
    SECONDS,
    SIZE,
    Field(name="fps", kind="number", about="frames a second", low=1, high=120),
    Field(name="input_reference", kind="reference", about="the first picture"),
    Field(name="last", kind="reference", about="the last picture"),
    Field(name="keyframes", kind="list", about='pictures on the way: [{"picture": reference, "at": seconds}]'),
    Field(name="guides", kind="object", about='what is known of the way: {"camera": [[second, x, y, zoom], ...]}'),
    Field(name="blend", kind="object", about='lead from one video to another instead: {"a": reference, "b": reference}'),
    Field(name="characters", kind="list", about='[{"id": "char_..."}], by whose names the prompt may call them'),
    *EMPTY,
)
VIDEO_FIELD = Field(name="video", kind="reference", about="the video to go by", required=True)
PROMPT = Field(name="prompt", kind="text", about="what happens", default="")
EDIT = (
    Field(name="prompt", kind="text", about="what the video is remade by", required=True),
    VIDEO_FIELD,
    Field(name="strength", kind="number", about="0 keeps all, 1 nothing", low=0, high=1, default=0.6),
    Field(name="mask", kind="reference", about="a picture, white where the video may change"),
    *EMPTY,
)
REMIX = (Field(name="prompt", kind="text", about="what the video is remade by", required=True), *EMPTY)
EXTEND = (
    VIDEO_FIELD, SECONDS, PROMPT,
    Field(name="before", kind="flag", about="lead up to the video instead of going on after it", default=False), *EMPTY,
)  # fmt: skip
BLEND = (
    Field(name="a", kind="reference", about="the first video", required=True),
    Field(name="b", kind="reference", about="the second video", required=True), SECONDS, PROMPT, *EMPTY,
)  # fmt: skip
LOOP = (VIDEO_FIELD, SECONDS, PROMPT, *EMPTY)
TRIM = (
    VIDEO_FIELD,
    Field(name="cuts", kind="list", about="[[start, end], ...] in seconds, joined in this order", required=True),
    *EMPTY,
)
RENDER = (
    Field(name="state", kind="object", about="a scene, as variant=state tells it", required=True), SIZE,
    Field(name="prompt", kind="text", about="a note for the gallery", default=""), *EMPTY,
)  # fmt: skip
CHARACTER = (
    Field(name="name", kind="text", about="what prompts call it", required=True), VIDEO_FIELD,
)  # fmt: skip
MOVE = (Field(name="before", kind="text", about="the waiting video to stand before; none: to the end"),)


Route = TypeVar("Route", bound=Callable[..., Any])


def default_model() -> str:
    names = available()
    return DEFAULT if DEFAULT in names else names[0]


def config_of(name: str) -> ModelConfig:
    return read_config(find(name))


def model_for(given: str | None) -> tuple[str, list[str]]:
    """The model that films, and what is to be said about it. Only shipped or installed models have names here; folders do not."""
    if given in (None, ""):
        return default_model(), []
    if given in ALIASES:
        return default_model(), [f"{given} does not exist any more; {default_model()} films instead"]
    if given not in available():
        raise ApiError(
            404, f"no model {given[:80]!r}; there are {', '.join(available())}", type="invalid_request_error", param="model",
            code="model_not_found",
        )  # fmt: skip
    return given, []


def normal(house: House, given: dict[str, Any], caller: Caller) -> tuple[str, dict[str, Any], list[str]]:
    """The model, the request with all that was left open filled in, and notes; nothing is uploaded or accepted yet."""
    model, notes = model_for(given.get("model"))
    config = config_of(model)
    size = given.get("size")
    if size and given.get("model") in ALIASES:
        width, height = sizes.parse_size(size)
        if width < 1 or height < 1:
            raise refuse("size", size, "WIDTHxHEIGHT in pixels")
        near = "x".join(map(str, sizes.nearest(config, width, height)))
        if near != size:
            notes.append(f"{size} is more than {model} films; {near} instead")
            size = near
    width, height = sizes.check_size(config, size or None)
    seconds = given.get("seconds") or 4.0
    fps = given.get("fps") or 16.0
    sizes.check_duration(config, seconds, fps, width, height, 1)
    prompt = given.get("prompt") or ""
    for text, _, _ in parse_storyboard(prompt):
        check_words(text, strict=bool(given.get("strict")), model=model, lacks=config.lacks)
    house.allowed(prompt)
    seed = given.get("seed")
    request = {
        "prompt": prompt, "seconds": seconds, "size": f"{width}x{height}", "fps": fps,
        "seed": secrets.randbelow(2**31) if seed is None else seed, "steps": given.get("steps"), "guidance": given.get("guidance"),
        "strict": given.get("strict"), "label": given.get("label"), "notes": notes,
    }  # fmt: skip
    return model, request, notes


def cost(width: int, height: int, seconds: float, fps: float = USUAL_FPS, steps: int | None = None) -> float:
    """Pixel-seconds, as at the usual frame rate and number of steps; more of either costs more, and one frame is the least."""
    frames = max(round(seconds * fps), 1)
    return float(width * height * max(seconds, frames / USUAL_FPS) * max((steps or USUAL_STEPS) / USUAL_STEPS, 1.0))


def words_of(prompt: str, model: str) -> tuple[list[str], str | None]:
    """Words that a model has never met, and what was perhaps meant."""
    known = VOCABULARY - set(config_of(model).lacks)
    strange = unknown_words(prompt, known)
    meant = {word: suggest(word, known) for word in strange}
    hints = [f"{word} → {near}" for word, near in meant.items() if near]
    return strange, ", ".join(hints) or None


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
            cuts = _cuts(given["cuts"], first["seconds"])
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
        model, request, _ = normal(house, given, caller)
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
            request["camera"] = _camera(given["guides"])
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

        return JSONResponse(await run_in_threadpool(page))

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
            model, asked, _ = normal(house, given, caller)
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

        return answered(await run_in_threadpool(look))

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
        job = await run_in_threadpool(queue.get, video_id, caller.sees)
        name, media_type = kinds[variant]
        if variant == "preview":
            path = store.preview(job.id)
            if not path.exists():
                raise ApiError(404, f"{video_id} has no preview now", code="no_preview")
            return FileResponse(path, media_type=media_type, headers={"cache-control": "no-store"})
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


def is_heavy(given: Any) -> bool:
    """Whether a value holds bytes to be decoded, or an address to fetch them from."""
    if isinstance(given, str):
        return given.startswith(("data:", "http://", "https://"))
    if isinstance(given, dict):
        return any(map(is_heavy, given.values()))
    return isinstance(given, Sent) or (isinstance(given, list) and any(map(is_heavy, given)))


def _camera(guides: dict[str, Any]) -> list[list[float]]:
    """The stops of a camera, checked as the library will check them."""
    unknown = [name for name in guides if name != "camera"]
    if unknown:
        raise refuse("guides", ", ".join(unknown), '{"camera": [[second, x, y, zoom], ...]}')
    stops = guides.get("camera")
    one = Field(name="guides.camera", kind="number", about="second, x, y, zoom", low=-1e6, required=True)
    if (
        not isinstance(stops, list)
        or not all(isinstance(stop, list) and len(stop) == 4 for stop in stops)
        or not 0 < len(stops) <= 1000
    ):
        raise refuse("guides.camera", stops, "[[second, x, y, zoom], ...]")
    path = [[one.read(value) for value in stop] for stop in stops]
    camera_path([(a, b, c, d) for a, b, c, d in path], torch.zeros(1, 1))
    return path


def _cuts(given: list[Any], seconds: float) -> list[list[float]]:
    made = []
    for i, cut in enumerate(given):
        if not isinstance(cut, (list, tuple)) or len(cut) != 2:
            raise refuse(f"cuts[{i}]", json.dumps(cut), "[start, end] in seconds")
        start, end = (Field(name=f"cuts[{i}]", kind="number", about="seconds", low=0, required=True).read(v) for v in cut)
        if not start < end or end > seconds + 0.05:
            raise refuse(f"cuts[{i}]", cut, f"a part of the {seconds:g} s that there are")
        made.append([start, min(end, seconds)])
    if not made:
        raise refuse("cuts", given, "at least one [start, end] in seconds")
    return made
