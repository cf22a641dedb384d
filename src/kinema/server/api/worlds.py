"""The HTTP and WebSocket routes of worlds.

`routes` makes a router from a `WorldManager` and functions that authenticate callers, resolve references to pictures and videos,
and moderate prompts. A world belongs to the key that made it; for other keys there is none, except for scope "admin".
"""

import asyncio
import base64
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response, WebSocket
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from numpy.typing import NDArray
from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection

from kinema.errors import ApiError, InputError, KinemaError
from kinema.media import Clip
from kinema.media.encoded import to_bytes
from kinema.scene.scene import Scene
from kinema.server.api.bodies import raw_body
from kinema.server.api.errors import refuse
from kinema.server.api.forms import Field, body_of, described
from kinema.server.storage.uploads import Sent
from kinema.server.worlds.files import MAX_BYTES, scene_of
from kinema.server.worlds.live import FAILED, LATER, NOT_FOUND, REFUSED, encode_async, error_text, live, to_api_error
from kinema.server.worlds.manager import Caller, WorldManager
from kinema.server.worlds.session import Snapshot, WorldSession, step_of
from kinema.simulation.world import AHEAD_S

Resolve = Callable[[Any, Caller], Awaitable[Clip]]
CallerOf = Callable[[HTTPConnection], Caller | Awaitable[Caller]]
Charge = Callable[[Caller, WorldSession, int], Awaitable[None]]
CheckKey = Callable[[Caller], Awaitable[None]]
READ, WRITE = ("read", "worlds", "admin"), ("worlds", "admin")
MAX_FRAMES = 480
"""The most frames of one request."""
MAX_SESSIONS = 16
"""Live sessions of one key at a time."""
FIRST_FRAMES = 8
"""What beginning a world costs; planning its first moment takes as long as making so many."""
LONGEST_SINCE = 128
"""Frames that a `what_if` goes back at most."""
SEEN_S = 4.0
"""The last seconds of a video are where a world begins; more would be looked at in vain."""

START_EXAMPLE = '{"prompt": "a red ball on a field"}'

BEGIN = (
    Field(name="prompt", kind="text", about="what the world holds, in words"),
    Field(
        name="start",
        kind="object",
        about="or one of {prompt}, {picture: reference}, {video: reference}, {state: scene}",
        example=START_EXAMPLE,
    ),
    Field(name="seed", kind="whole", about="the same seed gives the same world", default=0, low=0, high=2**62),
    Field(name="fps", kind="number", about="steps a second of the world's own time", default=16.0),
    Field(name="size", kind="text", example='"64x64"', about="WIDTHxHEIGHT; by default the model's own"),
    Field(name="task", kind="text", about="what the robot is rewarded for, such as 'reach the flag'"),
    Field(name="model", kind="text", about="its name; by default the smallest"),
    Field(name="name", kind="text", about="what to call it; by default the prompt"),
)
STEP = (
    Field(name="action", kind="any", about="[right, up] in [-1, 1] for the robots, or null"),
    Field(name="frames", kind="whole", about="how many steps", default=1, low=1, high=MAX_FRAMES),
)
MOVE = (
    Field(name="slot", kind="whole", about="which thing, by its slot", required=True),
    Field(name="x", kind="number", about="where to, 0 to 10", required=True),
    Field(name="y", kind="number", about="where to, 0 to 10, up", required=True),
)
CAUSE = (
    Field(name="cause", kind="text", about="'the ball had not been pushed'", required=True),
    Field(name="since", kind="whole", about="how many frames to go back", default=16, low=1, high=LONGEST_SINCE),
    Field(name="format", kind="text", about="mp4, or png for every pixel as it is", default="mp4", choices=("mp4", "png")),
)
ASK = (Field(name="question", kind="text", about="'where is the red ball?'", required=True),)
EDIT = (Field(name="text", kind="text", about="'move the car left'", required=True),)
RENAME = (Field(name="name", kind="text", about="the new name", required=True),)
BRANCH = (Field(name="name", kind="text", about="what to call the branch"),)
REWIND = (Field(name="frames", kind="whole", about="how many frames to go back", default=16, low=0, high=10**6),)
STARTS = ("prompt", "picture", "video", "state")


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """What the routes depend on."""

    manager: WorldManager
    caller: Callable[..., Any]
    """A FastAPI dependency that returns the caller, or raises."""
    caller_of: CallerOf
    """The same for a WebSocket."""
    resolve: Resolve
    check_prompt: Callable[[str], None]
    """Raises for a prompt that moderation refuses."""
    charge: Charge
    """Bills frames before they are generated, or raises."""
    check_key: CheckKey
    """Raises 401 once a caller's key is not valid any more."""


async def free(caller: Caller, session: WorldSession, frames: int) -> None:
    """Frames cost nothing."""


@asynccontextmanager
async def billed(deps: Dependencies, who: Caller, session: WorldSession, frames: int) -> AsyncIterator[list[int]]:
    """Bill frames, and refund those that the block does not generate. Yields a list of one number, the frames left."""
    await deps.charge(who, session, frames)
    left = [frames]
    try:
        yield left
    finally:
        if left[0]:
            await deps.charge(who, session, -left[0])


async def always_valid(caller: Caller) -> None:
    """Keys stay valid."""


def routes(
    manager: WorldManager,
    *,
    caller: Callable[..., Any],
    caller_of: CallerOf,
    resolve: Resolve,
    check_prompt: Callable[[str], None] = lambda text: None,
    charge: Charge = free,
    check_key: CheckKey = always_valid,
) -> APIRouter:
    """All routes below /v1/worlds."""
    deps = Dependencies(
        manager=manager,
        caller=caller,
        caller_of=caller_of,
        resolve=resolve,
        check_prompt=check_prompt,
        charge=charge,
        check_key=check_key,
    )
    router = APIRouter(tags=["worlds"], route_class=Route)
    _lifecycle_routes(router, deps)
    _read_routes(router, deps)
    _write_routes(router, deps)
    _live_routes(router, deps)
    return router


class Route(APIRoute):
    """Converts errors of the library to API errors (`to_api_error`)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def with_api_errors(request: Request) -> Response:
            try:
                return await handle(request)
            except InputError as error:
                raise to_api_error(error) from None

        return with_api_errors


def require_scope(caller: Caller, scopes: tuple[str, ...]) -> Caller:
    """The caller, if it has one of these scopes; 403 otherwise."""
    if not set(scopes) & set(caller.scopes):
        raise ApiError(403, f"this key may not do that; it needs the scope {scopes[-2]!r}", code="missing_scope")
    return caller


async def picture_url(frame: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(await encode_async(frame, None, lossless=True)).decode()


async def film_url(clip: Clip, form: str) -> str:
    data = await asyncio.to_thread(to_bytes, clip, form)
    return f"data:{'video/mp4' if form == 'mp4' else 'image/png'};base64," + base64.b64encode(data).decode()


def world_json(session: WorldSession, now: dict[str, Any]) -> dict[str, Any]:
    meta = session.meta
    return {
        "id": meta.id, "object": "world", "name": meta.name, "created_at": int(meta.created_at), "model": meta.model,
        "size": meta.size, "fps": meta.fps, "seed": meta.seed, "task": meta.task, "parent": meta.parent,
        "branched_at_s": meta.branched_at_s, **now,
    }  # fmt: skip


async def start_of(payload: dict[str, Any], deps: Dependencies, who: Caller) -> str | Clip | Scene:
    """Words, a clip or a state: whichever was given, one at most."""
    start = {name: value for name, value in (payload["start"] or {}).items() if value is not None}
    unknown = [name for name in start if name not in STARTS]
    names = sorted(start) + ["prompt"] * (payload["prompt"] is not None)
    if unknown or len(names) > 1:
        raise refuse("start", " and ".join(unknown or names), f"one of {', '.join(STARTS)}, such as {START_EXAMPLE}")
    if payload["prompt"] is not None:
        start = {"prompt": payload["prompt"]}
    match start:
        case {"state": state}:
            return await asyncio.to_thread(scene_of, state)
        case {"picture": reference}:
            clip = await deps.resolve(reference, who)
            return clip.cut(slice(0, 1))
        case {"video": reference}:
            clip = await deps.resolve(reference, who)
            return clip.cut(slice(-max(round(SEEN_S * clip.fps), 1), None))
    prompt = start.get("prompt", "")
    if not isinstance(prompt, str):
        raise refuse("start.prompt", prompt, f"text such as in {START_EXAMPLE}")
    deps.check_prompt(prompt)
    return prompt


def _lifecycle_routes(router: APIRouter, deps: Dependencies) -> None:
    manager = deps.manager
    Who = Annotated[Any, Depends(deps.caller)]

    @router.post("/v1/worlds", openapi_extra=described(BEGIN))
    async def create(request: Request, who: Who) -> dict[str, Any]:
        require_scope(who, WRITE)
        payload = await body_of(request, BEGIN)
        deps.check_prompt(payload["task"] or "")
        start = await start_of(payload, deps, who)
        settings = {name: payload[name] for name in ("model", "name", "seed", "fps", "size", "task")}
        session = await manager.create(who.key_id, start, **settings)
        await deps.charge(who, session, FIRST_FRAMES)
        return world_json(session, await manager.now(session))

    @router.get("/v1/worlds")
    async def every(who: Who) -> dict[str, Any]:
        sessions = manager.list_for(require_scope(who, READ))
        data = [world_json(session, session.snapshot.now if session.snapshot else session.meta.now) for session in sessions]
        ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
        return {"object": "list", "data": data, **ends, "has_more": False}

    @router.post("/v1/worlds/open")
    async def open_file(request: Request, who: Who) -> dict[str, Any]:
        require_scope(who, WRITE)
        size = request.headers.get("content-length", "")
        if not size.isdecimal() or int(size) > MAX_BYTES + 65536:
            raise ApiError(413, f"a world file is at most {MAX_BYTES >> 20} MiB, sent with its length", code="too_large")
        file = (await raw_body(request)).get("file")
        if not isinstance(file, Sent):
            raise ApiError(400, "expected a form with one part `file`, a .world file", param="file", code="missing_value")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "upload.world"
            path.write_bytes(file.content)
            session = await manager.open(who.key_id, path, Path(file.name).stem or "opened")
        return world_json(session, await manager.now(session))

    @router.get("/v1/worlds/{id}")
    async def get(id: str, who: Who) -> dict[str, Any]:
        session = manager.find(id, require_scope(who, READ))
        return world_json(session, await manager.now(session))

    @router.delete("/v1/worlds/{id}")
    async def delete(id: str, who: Who) -> dict[str, Any]:
        await manager.delete(manager.find(id, require_scope(who, WRITE)))
        return {"id": id, "object": "world.deleted", "deleted": True}

    @router.post("/v1/worlds/{id}/rename", openapi_extra=described(RENAME))
    async def rename(id: str, request: Request, who: Who) -> dict[str, Any]:
        session = manager.find(id, require_scope(who, WRITE))
        await manager.rename(session, (await body_of(request, RENAME))["name"])
        return world_json(session, await manager.now(session))

    @router.post("/v1/worlds/{id}/branch", openapi_extra=described(BRANCH))
    async def branch(id: str, request: Request, who: Who) -> dict[str, Any]:
        session = manager.find(id, require_scope(who, WRITE))
        new = await manager.branch(session, who.key_id, (await body_of(request, BRANCH))["name"])
        return world_json(new, await manager.now(new))


def _read_routes(router: APIRouter, deps: Dependencies) -> None:
    manager = deps.manager
    Who = Annotated[Any, Depends(deps.caller)]

    @router.get("/v1/worlds/{id}/frame")
    async def frame(id: str, who: Who, scale: Annotated[int, Query(ge=1, le=8)] = 1) -> Response:
        snapshot = await manager.snapshot(manager.find(id, require_scope(who, READ)))
        assert snapshot.frame is not None
        size = scale * max(snapshot.frame.shape[:2])
        return Response(
            await encode_async(snapshot.frame, size, lossless=True),
            media_type="image/png",
            headers={"cache-control": "no-store"},
        )

    @router.get("/v1/worlds/{id}/clip")
    async def clip(
        id: str,
        who: Who,
        frames: Annotated[int | None, Query(ge=1)] = None,
        format: Annotated[str, Query(pattern="^(mp4|png)$")] = "mp4",
    ) -> Response:
        session = manager.find(id, require_scope(who, READ))
        num_frames = (await manager.now(session))["past_frames"] + 1
        async with billed(deps, who, session, min(frames or num_frames, num_frames)) as left:
            made = await manager.clip(session, frames)
            left[0] = 0
        kind = "video/mp4" if format == "mp4" else "image/png"
        data = await asyncio.to_thread(to_bytes, made, format)
        return Response(data, media_type=kind, headers={"cache-control": "no-store"})

    @router.get("/v1/worlds/{id}/scene")
    async def scene(id: str, who: Who) -> dict[str, Any]:
        world = await manager.private_branch(manager.find(id, require_scope(who, READ)))
        return await asyncio.to_thread(lambda: world.scene.to_dict())

    @router.get("/v1/worlds/{id}/file")
    async def file(id: str, who: Who) -> FileResponse:
        session = manager.find(id, require_scope(who, READ))
        folder = tempfile.TemporaryDirectory()
        try:
            path = await manager.export(session, Path(folder.name) / "it.world")
        except BaseException:
            folder.cleanup()
            raise
        return FileResponse(
            path, media_type="application/octet-stream", filename=f"{id}.world", background=BackgroundTask(folder.cleanup)
        )

    @router.post("/v1/worlds/{id}/ask", openapi_extra=described(ASK))
    async def ask(id: str, request: Request, who: Who) -> dict[str, Any]:
        session = manager.find(id, require_scope(who, READ))
        question = (await body_of(request, ASK))["question"]
        async with billed(deps, who, session, round(AHEAD_S * session.meta.fps)) as left:
            answer = await manager.ask(session, question)
            if answer.kind == "next":  # only this one makes frames
                left[0] = 0
        return {"text": answer.sentence, "value": answer.value, "kind": answer.kind}

    @router.post("/v1/worlds/{id}/what_if", openapi_extra=described(CAUSE))
    async def what_if(id: str, request: Request, who: Who) -> dict[str, Any]:
        session = manager.find(id, require_scope(who, READ))
        payload = await body_of(request, CAUSE)
        deps.check_prompt(payload["cause"])
        async with billed(deps, who, session, 2 * payload["since"]) as left:
            result = await manager.what_if(session, payload["cause"], payload["since"])
            left[0] = 0
        happened, instead = [await film_url(clip, payload["format"]) for clip in (result.happened, result.instead)]
        return {"understood": result.understood, "happened": happened, "instead": instead}


def _write_routes(router: APIRouter, deps: Dependencies) -> None:
    manager = deps.manager
    Who = Annotated[Any, Depends(deps.caller)]

    def changed(session: WorldSession, snapshot: Snapshot) -> dict[str, Any]:
        return {"understood": snapshot.answer, "world": world_json(session, snapshot.now)}

    @router.post("/v1/worlds/{id}/step", openapi_extra=described(STEP))
    async def step(id: str, request: Request, who: Who) -> dict[str, Any]:
        session = manager.find(id, require_scope(who, WRITE))
        payload = await body_of(request, STEP)
        command = step_of(payload["action"])
        async with billed(deps, who, session, payload["frames"]) as left:
            while left[0]:
                snapshot = await manager.execute(session, command, urgent=True, picture=left[0] == 1)
                left[0] -= 1
        assert snapshot.frame is not None
        return {**snapshot.now, "model_ms": round(snapshot.model_ms, 3), "frame": await picture_url(snapshot.frame)}

    @router.post("/v1/worlds/{id}/edit", openapi_extra=described(EDIT))
    async def edit(id: str, request: Request, who: Who) -> dict[str, Any]:
        session = manager.find(id, require_scope(who, WRITE))
        text = (await body_of(request, EDIT))["text"]
        deps.check_prompt(text)
        return changed(session, await manager.execute(session, ["edit", text]))

    @router.post("/v1/worlds/{id}/move", openapi_extra=described(MOVE))
    async def move(id: str, request: Request, who: Who) -> dict[str, Any]:
        session = manager.find(id, require_scope(who, WRITE))
        payload = await body_of(request, MOVE)
        return changed(session, await manager.execute(session, ["move", payload["slot"], payload["x"], payload["y"]]))

    @router.post("/v1/worlds/{id}/rewind", openapi_extra=described(REWIND))
    async def rewind(id: str, request: Request, who: Who) -> dict[str, Any]:
        session = manager.find(id, require_scope(who, WRITE))
        snapshot = await manager.execute(session, ["rewind", (await body_of(request, REWIND))["frames"]])
        return world_json(session, snapshot.now)


def _live_routes(router: APIRouter, deps: Dependencies) -> None:
    num_live: Counter[str] = Counter()

    async def admitted(socket: WebSocket, id: str) -> tuple[Caller, WorldSession]:
        authenticated = deps.caller_of(socket)
        who = await authenticated if isinstance(authenticated, Awaitable) else authenticated
        session = deps.manager.find(id, require_scope(who, WRITE))
        if num_live[who.key_id] >= MAX_SESSIONS:
            raise ApiError(
                429,
                f"this key plays in {MAX_SESSIONS} places, which is the most; leave one first",
                code="too_many_sessions",
            )
        return who, session

    @router.websocket("/v1/worlds/{id}/live")
    async def play(socket: WebSocket, id: str) -> None:
        await socket.accept()
        try:
            who, session = await admitted(socket, id)
            num_live[who.key_id] += 1
            try:
                await live(
                    deps.manager, session, socket,
                    charge=lambda frames: deps.charge(who, session, frames), check_key=lambda: deps.check_key(who),
                )  # fmt: skip
            finally:
                num_live[who.key_id] -= 1
        except KinemaError as error:
            await socket.send_text(error_text(error))
            status = error.status if isinstance(error, ApiError) else 400
            codes = {401: REFUSED, 403: REFUSED, 404: NOT_FOUND, 429: LATER, 503: LATER}
            await socket.close(codes.get(status, FAILED))
