"""Routes for estimates and the queue."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from kinema.server.api.forms import body_of, described
from kinema.server.api.usage import quota
from kinema.server.api.video_object import video_object
from kinema.server.api.video_schema import CREATE, cost, normalize, words_of
from kinema.server.services import Services


def routes(services: Services) -> APIRouter:
    router = APIRouter()
    _model_routes(router, services)
    _queue_routes(router, services)
    return router


def _model_routes(router: APIRouter, services: Services) -> None:
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
                "unknown_words": unknown, "hint": hint, "notes": notes, "quota": quota(services, caller.key_id).model_dump(),
            }  # fmt: skip

        return await run_in_threadpool(compute)


def _queue_routes(router: APIRouter, services: Services) -> None:
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
