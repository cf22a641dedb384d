"""The HTTP and WebSocket routes of worlds. A world belongs to the key that made it; for other keys there is none, except for scope
"admin"."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response, WebSocket
from fastapi.responses import FileResponse
from numpy.typing import NDArray
from starlette.background import BackgroundTask

from kinema.errors import ApiError, InputError, KinemaError
from kinema.media import Clip
from kinema.media.encoded import encode_clip
from kinema.scene.scene import Scene
from kinema.server.api.bodies import Route, raw_body
from kinema.server.api.dependencies import FILE_FORM, CallerDep, Filmer, ManagerDep, ServicesDep, caller_who
from kinema.server.api.errors import ERRORS, refuse
from kinema.server.api.responses import Deleted, Page
from kinema.server.api.served_file import ServedFile
from kinema.server.api.video_object import Video
from kinema.server.api.world_schema import (
    START_EXAMPLE,
    Alternative,
    AnswerResponse,
    AskWhatIf,
    AskWorld,
    BranchWorld,
    ChangedWorld,
    CreateWorld,
    EditWorld,
    MoveThing,
    RecordWorld,
    RenameWorld,
    RewindWorld,
    Start,
    StepResponse,
    StepWorld,
    WorldResponse,
)
from kinema.server.auth import Caller
from kinema.server.jobs.submission import Submission
from kinema.server.services import Services
from kinema.server.storage.uploads import Sent
from kinema.server.worlds.files import scene_of
from kinema.server.worlds.live import FAILED, LATER, NOT_FOUND, REFUSED, encode_async, error_text, live, to_api_error
from kinema.server.worlds.manager import WorldManager
from kinema.server.worlds.session import Command, WorldSession, step_of
from kinema.server.worlds.uploaded import MAX_BYTES
from kinema.simulation.world import AHEAD_S

READ, WRITE = ("read", "worlds", "admin"), ("worlds", "admin")
MAX_SESSIONS = 16
"""Live sessions of one key at a time."""
FIRST_FRAMES = 8
"""What beginning a world costs; planning its first moment takes as long as making so many."""
SEEN_S = 4.0
"""The last seconds of a video are where a world begins; more would be looked at in vain."""


class WorldRoute(Route):
    """Converts errors of the library to API errors (`to_api_error`)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def with_api_errors(request: Request) -> Response:
            try:
                return await handle(request)
            except InputError as error:
                raise to_api_error(error) from None

        return with_api_errors


router = APIRouter(prefix="/v1/worlds", tags=["worlds"], responses=ERRORS, route_class=WorldRoute)


def require_scope(caller: Caller, scopes: tuple[str, ...]) -> None:
    """403 unless the caller has one of these scopes."""
    if not set(scopes) & set(caller.scopes):
        raise ApiError(403, f"this key may not do that; it needs the scope {scopes[-2]!r}", code="missing_scope")


Watcher = Annotated[Caller, Depends(caller_who(lambda caller: require_scope(caller, READ)))]
Player = Annotated[Caller, Depends(caller_who(lambda caller: require_scope(caller, WRITE)))]


@asynccontextmanager
async def billed(services: Services, caller: Caller, size: str, frames: int) -> AsyncIterator[list[int]]:
    """Bill frames, and refund those that the block does not generate. Yields a list of one number, the frames left."""
    await services.charge(caller, size, frames)
    left = [frames]
    try:
        yield left
    finally:
        if left[0]:
            await services.charge(caller, size, -left[0])


@dataclass(frozen=True, kw_only=True)
class WorldAccess:
    """The world of an address, which the caller may read, or change."""

    manager: WorldManager
    services: Services
    caller: Caller
    session: WorldSession

    def billed(self, frames: int) -> Any:
        return billed(self.services, self.caller, self.session.meta.size, frames)

    async def world(self) -> WorldResponse:
        return WorldResponse.of(self.session, await self.manager.now(self.session))

    async def change(self, command: Command) -> ChangedWorld:
        return ChangedWorld.of(self.session, await self.manager.execute(self.session, command))


async def get_readable(id: str, caller: Watcher, services: ServicesDep, manager: ManagerDep) -> WorldAccess:
    return WorldAccess(manager=manager, services=services, caller=caller, session=manager.find(id, caller))


async def get_writable(id: str, caller: Player, services: ServicesDep, manager: ManagerDep) -> WorldAccess:
    return WorldAccess(manager=manager, services=services, caller=caller, session=manager.find(id, caller))


Readable = Annotated[WorldAccess, Depends(get_readable)]
Writable = Annotated[WorldAccess, Depends(get_writable)]


async def picture_url(frame: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(await encode_async(frame, None, lossless=True)).decode()


async def film_url(clip: Clip, form: str) -> str:
    data = await asyncio.to_thread(encode_clip, clip, form)
    return f"data:{'video/mp4' if form == 'mp4' else 'image/png'};base64," + base64.b64encode(data).decode()


async def start_of(given: CreateWorld, services: Services, caller: Caller) -> str | Clip | Scene:
    """Words, a clip or a state: whichever was given, one at most."""
    start = {name: value for name, value in given.start or () if value is not None}
    names = sorted(start) + ["prompt"] * (given.prompt is not None)
    if len(names) > 1:
        expected = f"one of {', '.join(Start.model_fields)}, such as {json.dumps(START_EXAMPLE)}"
        raise refuse("start", " and ".join(names), expected)
    match start:
        case {"state": state}:
            return await asyncio.to_thread(scene_of, state)
        case {"picture": reference}:
            clip = await services.resolve(reference, caller)
            return clip.cut(slice(0, 1))
        case {"video": reference}:
            clip = await services.resolve(reference, caller)
            return clip.cut(slice(-max(round(SEEN_S * clip.fps), 1), None))
    prompt: str = given.prompt or start.get("prompt", "")
    services.check_prompt(prompt)
    return prompt


async def world_file(request: Request) -> Sent:
    """A .world file, the one part of a form; its length is checked before it is read."""
    size = request.headers.get("content-length", "")
    if not size.isdecimal() or int(size) > MAX_BYTES + 65536:
        raise ApiError(413, f"a world file is at most {MAX_BYTES >> 20} MiB, sent with its length", code="too_large")
    file = (await raw_body(request)).get("file")
    if not isinstance(file, Sent):
        raise ApiError(400, "expected a form with one part `file`, a .world file", param="file", code="missing_value")
    return file


@router.post("", summary="Begin a world")
async def create_world(
    caller: Player,
    services: ServicesDep,
    manager: ManagerDep,
    given: Annotated[CreateWorld, Depends(CreateWorld.read)],
) -> WorldResponse:
    services.check_prompt(given.task or "")
    start = await start_of(given, services, caller)
    session = await manager.create(
        caller.key_id, start, model=given.model, name=given.name, seed=given.seed, fps=given.fps, size=given.size,
        task=given.task, most=caller.max_worlds,
    )  # fmt: skip
    await services.charge(caller, session.meta.size, FIRST_FRAMES)
    return WorldResponse.of(session, await manager.now(session))


@router.get("", summary="Worlds, newest first")
async def list_worlds(caller: Watcher, manager: ManagerDep) -> Page[WorldResponse]:
    sessions = manager.list_for(caller)
    return Page.of([WorldResponse.of(one, one.snapshot.now if one.snapshot else one.meta.now) for one in sessions])


@router.post("/open", summary="Go on with a world from its file", openapi_extra=FILE_FORM)
async def open_saved_world(caller: Player, manager: ManagerDep, file: Annotated[Sent, Depends(world_file)]) -> WorldResponse:
    name = Path(file.name).stem or "opened"
    session = await manager.open(caller.key_id, file.content, name, most=caller.max_worlds)
    return WorldResponse.of(session, await manager.now(session))


@router.get("/{id}", summary="One world")
async def get_world(on: Readable) -> WorldResponse:
    return await on.world()


@router.delete("/{id}", summary="Delete a world for good")
async def delete_world(on: Writable, id: str) -> Deleted:
    await on.manager.delete(on.session)
    return Deleted(id=id, object="world.deleted")


@router.post("/{id}/rename", summary="Call a world otherwise")
async def rename_world(on: Writable, given: Annotated[RenameWorld, Depends(RenameWorld.read)]) -> WorldResponse:
    await on.manager.rename(on.session, given.name)
    return await on.world()


@router.post("/{id}/branch", summary="Another world with the same past")
async def branch_world(on: Writable, given: Annotated[BranchWorld, Depends(BranchWorld.read)]) -> WorldResponse:
    new = await on.manager.branch(on.session, on.caller.key_id, given.name, most=on.caller.max_worlds)
    return WorldResponse.of(new, await on.manager.now(new))


@router.get(
    "/{id}/frame", summary="The picture now", response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "a picture"}},
)  # fmt: skip
async def get_frame(
    on: Readable,
    scale: Annotated[int, Query(ge=1, le=8)] = 1,
    t: Annotated[str | None, Query(description="has no meaning; makes the address of a changing picture a new one")] = None,
) -> Response:
    snapshot = await on.manager.snapshot(on.session)
    assert snapshot.frame is not None
    size = scale * max(snapshot.frame.shape[:2])
    picture = await encode_async(snapshot.frame, size, lossless=True)
    return Response(picture, media_type="image/png", headers={"cache-control": "no-store"})


@router.get(
    "/{id}/clip", summary="The last frames as a video", response_class=Response,
    responses={200: {"content": {"video/mp4": {}, "image/png": {}}, "description": "a video, or an animated PNG"}},
)  # fmt: skip
async def get_clip(
    on: Readable, frames: Annotated[int | None, Query(ge=1)] = None, format: Literal["mp4", "png"] = "mp4"
) -> Response:
    num_frames = (await on.manager.now(on.session))["past_frames"] + 1
    async with on.billed(min(frames or num_frames, num_frames)) as left:
        made = await on.manager.clip(on.session, frames)
        left[0] = 0
    kind = "video/mp4" if format == "mp4" else "image/png"
    data = await asyncio.to_thread(encode_clip, made, format)
    return Response(data, media_type=kind, headers={"cache-control": "no-store"})


@router.post("/{id}/videos", summary="The last frames as a video of the gallery")
async def record_world(on: Readable, caller: Filmer, given: Annotated[RecordWorld, Depends(RecordWorld.read)]) -> Video:
    """The frames as they were played; the queue writes and signs the file."""
    on.services.check_prompt(given.name or "")
    clip = await on.manager.clip(on.session, given.frames)
    meta, submission = on.session.meta, Submission(on.services)
    return await on.services.run_apart(
        submission.once, partial(submission.record, clip, given.name or meta.name, meta.model), given, caller, None, ""
    )


@router.get("/{id}/scene", summary="The state of all frames")
async def get_scene(on: Readable) -> dict[str, Any]:
    world = await on.manager.branch_with_state(on.session)
    return await asyncio.to_thread(lambda: world.scene.to_dict())


@router.get(
    "/{id}/file", summary="The world as a file", response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "a .world file"}},
)  # fmt: skip
async def get_world_file(on: Readable, id: str) -> FileResponse:
    folder = tempfile.TemporaryDirectory()
    try:
        path = await on.manager.export(on.session, Path(folder.name) / "it.world")
    except BaseException:
        folder.cleanup()
        raise
    return ServedFile(
        path, media_type="application/octet-stream", filename=f"{id}.world", background=BackgroundTask(folder.cleanup)
    )


@router.post("/{id}/ask", summary="Ask about a world")
async def ask_world(on: Readable, given: Annotated[AskWorld, Depends(AskWorld.read)]) -> AnswerResponse:
    async with on.billed(round(AHEAD_S * on.session.meta.fps)) as left:
        answer = await on.manager.ask(on.session, given.question)
        if answer.kind == "next":  # only this one makes frames
            left[0] = 0
    return AnswerResponse(text=answer.sentence, value=answer.value, kind=answer.kind)


@router.post("/{id}/what_if", summary="What would have happened otherwise")
async def ask_what_if(on: Readable, given: Annotated[AskWhatIf, Depends(AskWhatIf.read)]) -> Alternative:
    on.session.check_state()
    on.services.check_prompt(given.cause)
    async with on.billed(2 * given.since) as left:
        result = await on.manager.what_if(on.session, given.cause, given.since)
        left[0] = 0
    happened, instead = [await film_url(clip, given.format) for clip in (result.happened, result.instead)]
    return Alternative(understood=result.understood, happened=happened, instead=instead)


@router.post("/{id}/step", summary="Let time go on")
async def step_world(on: Writable, given: Annotated[StepWorld, Depends(StepWorld.read)]) -> StepResponse:
    command = step_of(given.action, on.session.meta.controls)
    async with on.billed(given.frames) as left:
        while left[0]:
            snapshot = await on.manager.execute(on.session, command, urgent=True, picture=left[0] == 1)
            left[0] -= 1
    assert snapshot.frame is not None
    return StepResponse(**snapshot.now, model_ms=round(snapshot.model_ms, 3), frame=await picture_url(snapshot.frame))


@router.post("/{id}/edit", summary="Change a world by words")
async def edit_world(on: Writable, given: Annotated[EditWorld, Depends(EditWorld.read)]) -> ChangedWorld:
    if on.session.meta.controls is not None:
        await on.manager.branch_with_entities(on.session)
    on.services.check_prompt(given.text)
    return await on.change(["edit", given.text])


@router.post("/{id}/move", summary="Put a thing elsewhere")
async def move_thing(on: Writable, given: Annotated[MoveThing, Depends(MoveThing.read)]) -> ChangedWorld:
    on.session.check_state()
    return await on.change(["move", given.slot, given.x, given.y])


@router.post("/{id}/rewind", summary="Go back in time")
async def rewind_world(on: Writable, given: Annotated[RewindWorld, Depends(RewindWorld.read)]) -> WorldResponse:
    snapshot = await on.manager.execute(on.session, ["rewind", given.frames])
    return WorldResponse.of(on.session, snapshot.now)


async def get_socket(socket: WebSocket) -> AsyncIterator[WebSocket]:
    """The socket, accepted. An error is sent through it before it is closed."""
    await socket.accept()
    try:
        yield socket
    except KinemaError as error:
        await socket.send_text(error_text(error))
        status = error.status if isinstance(error, ApiError) else 400
        codes = {401: REFUSED, 403: REFUSED, 404: NOT_FOUND, 429: LATER, 503: LATER}
        await socket.close(codes.get(status, FAILED))


@router.websocket("/{id}/live")
async def play_world(
    socket: Annotated[WebSocket, Depends(get_socket)],
    caller: CallerDep,
    services: ServicesDep,
    manager: ManagerDep,
    id: str,
) -> None:
    require_scope(caller, WRITE)
    session = manager.find(id, caller)
    if manager.num_live[caller.key_id] >= MAX_SESSIONS:
        raise ApiError(
            429, f"this key plays in {MAX_SESSIONS} places, which is the most; leave one first", code="too_many_sessions"
        )
    manager.num_live[caller.key_id] += 1
    try:
        await live(
            manager, session, socket, charge=lambda frames: services.charge(caller, session.meta.size, frames),
            check_key=lambda: services.check_key(caller),
        )  # fmt: skip
    finally:
        manager.num_live[caller.key_id] -= 1
