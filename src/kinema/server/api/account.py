"""Routes for models, estimates, files, the queue, usage, keys, webhooks, sign-in, verification and health."""

from __future__ import annotations

import math
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from safetensors import safe_open
from sqlalchemy import select

from kinema.errors import ApiError, KinemaError
from kinema.inference import limits
from kinema.inference.editing import EDIT_STRENGTH
from kinema.models.hub import CARD, WEIGHTS, available, find
from kinema.playground import VOCABULARY
from kinema.scene.scene import COLORS, KINDS
from kinema.server.api.errors import not_found
from kinema.server.api.forms import SMALL, Field, body_of, described, raw_body
from kinema.server.api.video_object import video_object
from kinema.server.api.video_schema import CREATE, MOST_SECONDS, config_of, cost, default_model, normalize, words_of
from kinema.server.auth import COOKIE, SCOPES, check_origin
from kinema.server.auth import shown as key_shown
from kinema.server.services import Services
from kinema.server.storage.tables import jobs, keys, ledger
from kinema.server.storage.uploads import MOST_BYTES, Sent
from kinema.server.webhooks import EVENTS

EXAMPLES = (
    "a red ball rolls right and hits a blue box",
    "a yellow car drives left behind a screen on a field",
    "a green robot jumps at night",
    "0-2: a blue ball bounces | 2-4: the blue ball rolls left",
)
KEY = (
    Field(name="name", kind="text", about="what it is for", required=True),
    Field(name="scopes", kind="list", about=f"some of {', '.join(SCOPES)}"),
    Field(name="expires_in_days", kind="number", about="days until it opens nothing any more", low=0.0001, high=36500),
    Field(name="quota", kind="number", about="pixel-seconds in all", low=1),
    Field(name="rate", kind="whole", about="requests a minute", low=1, high=10**6),
    Field(name="concurrency", kind="whole", about="videos waiting or being made", low=1, high=10**6),
)
WEBHOOK = (
    Field(name="url", kind="text", about="where to", required=True),
    Field(name="events", kind="list", about=f"some of {', '.join(EVENTS)}"),
)
FILE = (Field(name="file", kind="any", about="a picture or video, as a file part", required=True),)
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}
                }
            }
        },
    }
}  # fmt: skip


async def sent_file(request: Request) -> Sent:
    given = await raw_body(request, files=1)
    sent = given.get("file")
    if not isinstance(sent, Sent):
        raise ApiError(400, "file is missing: send multipart/form-data with a file part named `file`", param="file",
                       code="missing_value")  # fmt: skip
    return sent


def routes(services: Services) -> APIRouter:
    router = APIRouter()
    _health_routes(router, services)
    _model_routes(router, services)
    _file_routes(router, services)
    _usage_routes(router, services)
    _key_routes(router, services)
    _webhook_routes(router, services)
    _verify_routes(router, services)
    return router


def _health_routes(router: APIRouter, services: Services) -> None:
    @router.get("/healthz", tags=["health"], summary="The process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", tags=["health"], summary="Database, disk and workers are there", responses=services.errors)
    async def readyz() -> JSONResponse:
        def read_checks() -> tuple[bool, dict[str, Any]]:
            checks: dict[str, Any] = {}
            try:
                checks["jobs"] = services.queue.counts()
                checks["workers"] = services.throughput.num_workers()
                services.store.check_space()
            except (KinemaError, OSError) as error:
                return False, {**checks, "status": "not ready", "reason": str(error)}
            has_worker = checks["workers"] > 0
            return has_worker, {**checks, "status": "ready" if has_worker else "not ready: no worker was heard of lately"}

        ready, checks = await run_in_threadpool(read_checks)
        return JSONResponse(checks, status_code=200 if ready else 503)

    @router.get("/metrics", tags=["health"], summary="For Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(await run_in_threadpool(services.metrics.page), media_type="text/plain; version=0.0.4")


@cache
def parameters(folder: Path) -> int:
    """Weights of a model, read off the head of its file."""
    with safe_open(folder / WEIGHTS, "pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def model_shown(name: str) -> dict[str, Any]:
    config = config_of(name)
    folder = find(name)
    card = folder / CARD
    return {
        "id": name, "object": "model", "created": int((folder / "config.json").stat().st_mtime), "owned_by": "kinema",
        "kinema": {
            "default": name == default_model(), "size": "x".join(map(str, limits.default_size(config))),
            "sizes": limits.sizes_of(config), "heights": list(config.heights), "aspects": list(config.aspects),
            "fps": list(config.fps), "max_side": config.max_side, "max_seconds": MOST_SECONDS,
            "edit_strength": EDIT_STRENGTH,
            "parameters": parameters(folder), "world": config.world is not None,
            "card": card.read_text() if card.exists() else "", "lacks": list(config.lacks),
            "vocabulary": {
                "kinds": list(KINDS), "colors": list(COLORS), "words": sorted(VOCABULARY - set(config.lacks)),
                "verbs": [verb for verb in VERBS if verb in VOCABULARY], "examples": list(EXAMPLES),
            },
        },
    }  # fmt: skip


VERBS = (
    "rolls",
    "hits",
    "bounces",
    "drives",
    "jumps",
    "falls",
    "stops",
    "turns",
    "moves",
    "pushes",
    "hides",
    "slides",
    "walks",
)


def _model_routes(router: APIRouter, services: Services) -> None:
    @router.get("/v1/models", tags=["models"], summary="Models that film", responses=services.errors)
    async def list_models(request: Request) -> dict[str, Any]:
        await services.caller(request, "read")
        return {"object": "list", "data": await run_in_threadpool(lambda: [model_shown(name) for name in available()])}

    @router.get("/v1/models/{model_id}", tags=["models"], summary="One model", responses=services.errors)
    async def get_model(request: Request, model_id: str) -> dict[str, Any]:
        await services.caller(request, "read")
        if model_id not in available():
            raise not_found("model", model_id)
        return await run_in_threadpool(model_shown, model_id)

    @router.post(
        "/v1/estimate", tags=["videos"], summary="What a video would take, before it is asked for",
        openapi_extra=described(CREATE), responses=services.errors,
    )  # fmt: skip
    async def estimate(request: Request) -> dict[str, Any]:
        caller = await services.caller(request, "read")
        given = await body_of(request, CREATE)

        def compute() -> dict[str, Any]:
            model, settings, notes = normalize(services, given)
            width, height = (int(side) for side in settings["size"].split("x"))
            pixels = cost(width, height, settings["seconds"], settings["fps"], settings["steps"])
            speed = services.throughput.speed(model, "generate")
            before = sum(
                job.pixel_seconds * (1 - job.progress / 100) for job in services.queue.waiting(None) if not job.paused
            )
            unknown, hint = words_of(settings["prompt"], model)
            return {
                "model": model, "size": settings["size"], "pixel_seconds": pixels,
                "run_s": None if speed is None else round(speed * pixels, 2),
                "wait_s": None if speed is None else round(speed * before / max(services.throughput.num_workers(), 1), 2),
                "unknown_words": unknown, "hint": hint, "notes": notes, "quota": quota(services, caller.key_id),
            }  # fmt: skip

        return await run_in_threadpool(compute)


def quota(services: Services, key_id: str) -> dict[str, Any]:
    with services.database.reading() as db:
        row = db.execute(select(keys.c.quota, keys.c.used, keys.c.reserved).where(keys.c.id == key_id)).one()
    return {"limit": row.quota, "used": row.used, "reserved": row.reserved}


def _file_routes(router: APIRouter, services: Services) -> None:
    def file_shown(row: Any) -> dict[str, Any]:
        return {
            "id": row.id, "object": "file", "bytes": row.bytes, "created_at": int(row.created_at), "filename": row.filename,
            "width": row.width, "height": row.height, "frames": row.frames, "fps": row.fps, "purpose": "input",
        }  # fmt: skip

    @router.post(
        "/v1/files", tags=["files"], summary="Send a picture or video", openapi_extra=FORM, responses=services.errors
    )
    async def create_file(request: Request) -> dict[str, Any]:
        caller = await services.caller(request, "videos")
        sent = await sent_file(request)
        return file_shown(await services.run_apart(services.uploads.add, caller.key_id, sent))

    @router.get("/v1/files/{file_id}", tags=["files"], summary="What was sent", responses=services.errors)
    async def get_file(request: Request, file_id: str) -> dict[str, Any]:
        caller = await services.caller(request, "read")
        return file_shown(await run_in_threadpool(services.uploads.find, file_id, caller.sees))

    @router.get("/v1/files/{file_id}/content", tags=["files"], summary="Its pixels, written anew", responses=services.errors)
    async def file_content(request: Request, file_id: str) -> Response:
        caller = await services.caller(request, "read")

        def written() -> Response:
            row = services.uploads.find(file_id, caller.sees)
            clip = services.clip({"file": row.id})
            ending, media_type = (".png", "image/png") if clip.num_frames == 1 else (".mp4", "video/mp4")
            with tempfile.TemporaryDirectory(prefix="kinema-file-") as folder:
                return Response(clip.save(Path(folder) / f"file{ending}").read_bytes(), media_type=media_type)

        return await services.run_apart(written)

    @router.delete("/v1/files/{file_id}", tags=["files"], summary="Delete what was sent", responses=services.errors)
    async def delete_file(request: Request, file_id: str) -> dict[str, Any]:
        caller = await services.caller(request, "videos")
        await run_in_threadpool(services.uploads.remove, file_id, caller.sees)
        return {"id": file_id, "object": "file", "deleted": True}


def _usage_routes(router: APIRouter, services: Services) -> None:
    @router.get(
        "/v1/queue", tags=["queue"], summary="What is being made and what waits, in order", responses=services.errors
    )
    async def the_queue(request: Request) -> dict[str, Any]:
        caller = await services.caller(request, "read")

        def read_queue() -> dict[str, Any]:
            data, before, place = [], 0.0, 0
            for job in services.queue.waiting(caller.sees):
                if job.status == "in_progress" or job.paused:
                    data.append(video_object(services, job))
                else:
                    data.append(video_object(services, job, place=(place, before)))
                    place += 1
                if not job.paused:
                    before += job.pixel_seconds * (1 - job.progress / 100)
            return {"object": "list", "data": data, "paused": services.queue.is_held()}

        return await run_in_threadpool(read_queue)

    async def hold(request: Request, held: bool) -> dict[str, Any]:
        caller = await services.caller(request, "admin")
        await run_in_threadpool(services.queue.hold, held)
        await run_in_threadpool(services.queue.note, caller.key_id, "queue.paused" if held else "queue.resumed")
        return {"paused": held}

    @router.post("/v1/queue/pause", tags=["queue"], summary="Begin nothing more", responses=services.errors)
    async def pause_queue(request: Request) -> dict[str, Any]:
        return await hold(request, True)

    @router.post("/v1/queue/resume", tags=["queue"], summary="Go on", responses=services.errors)
    async def resume_queue(request: Request) -> dict[str, Any]:
        return await hold(request, False)

    @router.get("/v1/usage", tags=["access"], summary="Quota and ledger of this key", responses=services.errors)
    async def usage(request: Request, limit: int = 100) -> dict[str, Any]:
        caller = await services.caller(request, "read")

        def read_usage() -> dict[str, Any]:
            query = select(ledger).where(ledger.c.key_id == caller.key_id).order_by(ledger.c.id.desc())
            with services.database.reading() as db:
                rows = db.execute(query.limit(min(max(limit, 1), 1000))).all()
            lines = [{"at": row.at, "video": row.job, "kind": row.kind, "pixel_seconds": row.pixel_seconds} for row in rows]
            return {
                "quota": quota(services, caller.key_id), "rate_per_minute": caller.rate, "concurrency": caller.concurrency,
                "ledger": lines,
            }  # fmt: skip

        return await run_in_threadpool(read_usage)


def _key_routes(router: APIRouter, services: Services) -> None:
    @router.get("/v1/keys", tags=["access"], summary="All keys", responses=services.errors)
    async def list_keys(request: Request) -> dict[str, Any]:
        await services.caller(request, "admin")
        rows = await run_in_threadpool(services.auth.all)
        return {"object": "list", "data": [key_shown(row) for row in rows]}

    @router.post(
        "/v1/keys",
        tags=["access"],
        summary="A new key; told this once",
        openapi_extra=described(KEY),
        responses=services.errors,
    )
    async def make_key(request: Request) -> dict[str, Any]:
        caller = await services.caller(request, "admin")
        given = await body_of(request, KEY)
        days = given["expires_in_days"]

        def make() -> dict[str, Any]:
            scopes = tuple(str(scope) for scope in given["scopes"] or ("read", "videos", "worlds"))
            text, row = services.auth.make(
                given["name"], scopes, expires_s=None if days is None else 86400 * days, quota=given["quota"], rate=given["rate"],
                concurrency=given["concurrency"], by=caller.key_id,
            )  # fmt: skip
            return {**key_shown(row), "key": text}

        return await run_in_threadpool(make)

    @router.delete("/v1/keys/{key_id}", tags=["access"], summary="A key opens nothing any more", responses=services.errors)
    async def revoke_key(request: Request, key_id: str) -> dict[str, Any]:
        caller = await services.caller(request, "admin")
        return key_shown(await run_in_threadpool(lambda: services.auth.revoke(key_id, by=caller.key_id)))

    SESSION = (Field(name="key", kind="text", about="an API key", required=True),)

    @router.post(
        "/v1/session",
        tags=["access"],
        summary="Sign in to the Studio",
        openapi_extra=described(SESSION),
        responses=services.errors,
    )
    async def sign_in(request: Request) -> JSONResponse:
        check_origin(request)
        given = await body_of(request, SESSION, most=SMALL)
        caller = await run_in_threadpool(services.auth.caller, given["key"].strip())
        answer = JSONResponse({"key": who(caller)})
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, given["key"].strip(), max_age=30 * 86400, httponly=True, samesite="strict", secure=secure)
        return answer

    @router.get("/v1/session", tags=["access"], summary="Who is signed in", responses=services.errors)
    async def session(request: Request) -> dict[str, Any]:
        try:
            return {"key": who(await services.caller(request, "read"))}
        except ApiError as error:
            if error.code == "missing_api_key":
                return {"key": None}
            raise

    @router.delete("/v1/session", tags=["access"], summary="Sign out", responses=services.errors)
    async def sign_out(request: Request) -> JSONResponse:
        check_origin(request)
        answer = JSONResponse({"key": None})
        answer.delete_cookie(COOKIE)
        return answer

    def who(caller: Any) -> dict[str, Any]:
        return {"id": caller.key_id, "name": caller.name, "scopes": list(caller.scopes)}


def _webhook_routes(router: APIRouter, services: Services) -> None:
    def webhook_json(row: Any, *, secret: bool = False) -> dict[str, Any]:
        payload = {
            "id": row.id,
            "object": "webhook",
            "url": row.url,
            "events": row.events,
            "created_at": int(row.created_at),
        }
        return {**payload, "secret": row.secret} if secret else payload

    @router.get("/v1/webhooks", tags=["access"], summary="Webhooks", responses=services.errors)
    async def list_hooks(request: Request) -> dict[str, Any]:
        caller = await services.caller(request, "read")
        rows = await run_in_threadpool(services.webhooks.all, caller.key_id)
        return {"object": "list", "data": [webhook_json(row) for row in rows]}

    @router.post(
        "/v1/webhooks",
        tags=["access"],
        summary="Be told when videos end",
        openapi_extra=described(WEBHOOK),
        responses=services.errors,
    )
    async def make_hook(request: Request) -> dict[str, Any]:
        caller = await services.caller(request, "videos")
        given = await body_of(request, WEBHOOK)
        row = await run_in_threadpool(services.webhooks.make, caller.key_id, given["url"], given["events"] or [])
        return webhook_json(row, secret=True)

    @router.delete("/v1/webhooks/{hook_id}", tags=["access"], summary="Be told no more", responses=services.errors)
    async def remove_hook(request: Request, hook_id: str) -> dict[str, Any]:
        caller = await services.caller(request, "videos")
        await run_in_threadpool(services.webhooks.remove, hook_id, caller.key_id)
        return {"id": hook_id, "object": "webhook", "deleted": True}


def _verify_routes(router: APIRouter, services: Services) -> None:
    @router.post(
        "/v1/verify",
        tags=["provenance"],
        summary="Was this made by Kinema? For anyone",
        openapi_extra=FORM,
        responses=services.errors,
    )
    async def verify_file(request: Request) -> dict[str, Any]:
        def judge(sent: Sent) -> dict[str, Any]:
            if len(sent.content) > MOST_BYTES:
                raise ApiError(413, f"the file has more than {MOST_BYTES >> 20} MiB", code="too_large")
            verdict = services.uploads.judge(sent, services.anchors)
            signed = verdict["manifest"]["watermark_id"] if verdict["manifest"]["state"] == "valid" else None
            marks = [mark for mark in (verdict["watermark"]["id"], signed) if mark]
            with services.database.reading() as db:
                known = db.scalar(select(jobs.c.id).where(jobs.c.mark.in_(marks)).limit(1)) if marks else None
            return {**verdict, "known_video": known}

        return await services.run_apart_for_anyone(lambda: sent_file(request), judge)
