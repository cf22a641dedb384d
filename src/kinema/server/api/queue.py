"""What is being made and what waits."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from kinema.server.api.dependencies import Admin, Reader, ServicesDep
from kinema.server.api.errors import ERRORS
from kinema.server.api.responses import Listing
from kinema.server.api.video_object import Video, video_object
from kinema.server.auth import Caller
from kinema.server.services import Services

router = APIRouter(prefix="/v1/queue", tags=["queue"], responses=ERRORS)


class QueueState(BaseModel):
    """paused: whether nothing more is begun."""

    paused: bool


class WaitingVideos(Listing[Video], QueueState):
    pass


@router.get("", summary="What is being made and what waits, in order")
async def the_queue(caller: Reader, services: ServicesDep) -> WaitingVideos:
    def read_queue() -> WaitingVideos:
        data, before, place = [], 0.0, 0
        for job in services.queue.waiting(caller.sees):
            if job.status == "in_progress" or job.paused:
                data.append(video_object(services, job))
            else:
                data.append(video_object(services, job, place=(place, before)))
                place += 1
            if not job.paused:
                before += job.pixel_seconds * (1 - job.progress / 100)
        return WaitingVideos(data=data, paused=services.queue.is_held())

    return await run_in_threadpool(read_queue)


async def hold(services: Services, caller: Caller, held: bool) -> QueueState:
    await run_in_threadpool(services.queue.hold, held)
    await run_in_threadpool(services.queue.note, caller.key_id, "queue.paused" if held else "queue.resumed")
    return QueueState(paused=held)


@router.post("/pause", summary="Begin nothing more")
async def pause_queue(caller: Admin, services: ServicesDep) -> QueueState:
    return await hold(services, caller, True)


@router.post("/resume", summary="Go on")
async def resume_queue(caller: Admin, services: ServicesDep) -> QueueState:
    return await hold(services, caller, False)
