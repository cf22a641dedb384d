"""The HTTP and WebSocket routes of worlds.

`routes` makes a router from a hall and from what the server knows: who asks, how a reference to a picture or video is resolved, and
which words its policy refuses. A world belongs to the key that made it; for other keys there is none, except for scope "admin".
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
from kinema.server.api.errors import refuse
from kinema.server.api.forms import Field, body_of, described, raw_body
from kinema.server.storage.uploads import Sent
from kinema.server.worlds.files import MAX_BYTES, scene_of
from kinema.server.worlds.live import FAILED, LATER, NOT_FOUND, REFUSED, drawn, error_text, live, told_as
from kinema.server.worlds.manager import Caller, WorldManager
from kinema.server.worlds.session import Snapshot, WorldSession, step_of
from kinema.simulation.world import AHEAD_S

Resolve = Callable[[Any, Caller], Awaitable[Clip]]
CallerOf = Callable[[HTTPConnection], Caller | Awaitable[Caller]]
Charge = Callable[[Caller, WorldSession, int], Awaitable[None]]
Holds = Callable[[Caller], Awaitable[None]]
READ, WRITE = ("read", "worlds", "admin"), ("worlds", "admin")
MOST_FRAMES = 480
"""Of one request to step or to film."""
MOST_SESSIONS = 16
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
    Field(name="frames", kind="whole", about="how many steps", default=1, low=1, high=MOST_FRAMES),
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
class Given:
    """What the server hands to the routes."""

    hall: WorldManager
    caller: Callable[..., Any]
    """A dependency that answers with who asks, or raises."""
    caller_of: CallerOf
    """The same for a WebSocket."""
    resolve: Resolve
    allowed: Callable[[str], None]
    """Raises for words that are refused."""
    charge: Charge
    """Bills frames before they are made, or raises."""
    holds: Holds
    """Raises 401 once a caller's key does not hold any more."""


async def free(caller: Caller, room: WorldSession, frames: int) -> None:
    """Frames cost nothing."""


@asynccontextmanager
async def billed(given: Given, who: Caller, room: WorldSession, frames: int) -> AsyncIterator[list[int]]:
    """Bills frames; those that are not made within are given back. What is yielded holds how many are still to be made."""
    await given.charge(who, room, frames)
    left = [frames]
    try:
        yield left
    finally:
        if left[0]:
            await given.charge(who, room, -left[0])


async def always(caller: Caller) -> None:
    """Keys hold for good."""


def routes(
    hall: WorldManager,
    *,
    caller: Callable[..., Any],
    caller_of: CallerOf,
    resolve: Resolve,
    allowed: Callable[[str], None] = lambda text: None,
    charge: Charge = free,
    holds: Holds = always,
) -> APIRouter:
    """All routes below /v1/worlds."""
    given = Given(
        hall=hall, caller=caller, caller_of=caller_of, resolve=resolve, allowed=allowed, charge=charge, holds=holds
    )
    router = APIRouter(tags=["worlds"], route_class=Route)
    _coming_and_going(router, given)
    _looking(router, given)
    _doing(router, given)
    _playing(router, given)
    return router


class Route(APIRoute):
    """Tells errors of the library as the API's, with a code that says which kind they are."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def telling(request: Request) -> Response:
            try:
                return await handle(request)
            except InputError as wrong:
                raise told_as(wrong) from None

        return telling


def permit(caller: Caller, scopes: tuple[str, ...]) -> Caller:
    """Whoever has one of these scopes."""
    if not set(scopes) & set(caller.scopes):
        raise ApiError(403, f"this key may not do that; it needs the scope {scopes[-2]!r}", code="missing_scope")
    return caller


async def picture_url(frame: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(await drawn(frame, None, lossless=True)).decode()


async def film_url(clip: Clip, form: str) -> str:
    data = await asyncio.to_thread(to_bytes, clip, form)
    return f"data:{'video/mp4' if form == 'mp4' else 'image/png'};base64," + base64.b64encode(data).decode()


def world_json(room: WorldSession, now: dict[str, Any]) -> dict[str, Any]:
    meta = room.meta
    return {
        "id": meta.id, "object": "world", "name": meta.name, "created_at": int(meta.created_at), "model": meta.model,
        "size": meta.size, "fps": meta.fps, "seed": meta.seed, "task": meta.task, "parent": meta.parent,
        "branched_at_s": meta.branched_at_s, **now,
    }  # fmt: skip


async def start_of(told: dict[str, Any], given: Given, who: Caller) -> str | Clip | Scene:
    """Words, a clip or a state: whichever was given, one at most."""
    start = {name: value for name, value in (told["start"] or {}).items() if value is not None}
    unknown = [name for name in start if name not in STARTS]
    found = sorted(start) + ["prompt"] * (told["prompt"] is not None)
    if unknown or len(found) > 1:
        raise refuse("start", " and ".join(unknown or found), f"one of {', '.join(STARTS)}, such as {START_EXAMPLE}")
    if told["prompt"] is not None:
        start = {"prompt": told["prompt"]}
    match start:
        case {"state": state}:
            return await asyncio.to_thread(scene_of, state)
        case {"picture": reference}:
            clip = await given.resolve(reference, who)
            return clip.cut(slice(0, 1))
        case {"video": reference}:
            clip = await given.resolve(reference, who)
            return clip.cut(slice(-max(round(SEEN_S * clip.fps), 1), None))
    prompt = start.get("prompt", "")
    if not isinstance(prompt, str):
        raise refuse("start.prompt", prompt, f"text such as in {START_EXAMPLE}")
    given.allowed(prompt)
    return prompt


def _coming_and_going(router: APIRouter, given: Given) -> None:
    hall = given.hall
    Who = Annotated[Any, Depends(given.caller)]

    @router.post("/v1/worlds", openapi_extra=described(BEGIN))
    async def create(request: Request, who: Who) -> dict[str, Any]:
        permit(who, WRITE)
        told = await body_of(request, BEGIN)
        given.allowed(told["task"] or "")
        start = await start_of(told, given, who)
        chosen = {name: told[name] for name in ("model", "name", "seed", "fps", "size", "task")}
        room = await hall.create(who.key_id, start, **chosen)
        await given.charge(who, room, FIRST_FRAMES)
        return world_json(room, await hall.now(room))

    @router.get("/v1/worlds")
    async def every(who: Who) -> dict[str, Any]:
        rooms = hall.of(permit(who, READ))
        data = [world_json(room, room.look.now if room.look else room.meta.now) for room in rooms]
        ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
        return {"object": "list", "data": data, **ends, "has_more": False}

    @router.post("/v1/worlds/open")
    async def open_file(request: Request, who: Who) -> dict[str, Any]:
        permit(who, WRITE)
        size = request.headers.get("content-length", "")
        if not size.isdecimal() or int(size) > MAX_BYTES + 65536:
            raise ApiError(413, f"a world file is at most {MAX_BYTES >> 20} MiB, sent with its length", code="too_large")
        file = (await raw_body(request)).get("file")
        if not isinstance(file, Sent):
            raise ApiError(400, "expected a form with one part `file`, a .world file", param="file", code="missing_value")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "upload.world"
            path.write_bytes(file.content)
            room = await hall.open(who.key_id, path, Path(file.name).stem or "opened")
        return world_json(room, await hall.now(room))

    @router.get("/v1/worlds/{id}")
    async def get(id: str, who: Who) -> dict[str, Any]:
        room = hall.find(id, permit(who, READ))
        return world_json(room, await hall.now(room))

    @router.delete("/v1/worlds/{id}")
    async def delete(id: str, who: Who) -> dict[str, Any]:
        await hall.delete(hall.find(id, permit(who, WRITE)))
        return {"id": id, "object": "world.deleted", "deleted": True}

    @router.post("/v1/worlds/{id}/rename", openapi_extra=described(RENAME))
    async def rename(id: str, request: Request, who: Who) -> dict[str, Any]:
        room = hall.find(id, permit(who, WRITE))
        await hall.rename(room, (await body_of(request, RENAME))["name"])
        return world_json(room, await hall.now(room))

    @router.post("/v1/worlds/{id}/branch", openapi_extra=described(BRANCH))
    async def branch(id: str, request: Request, who: Who) -> dict[str, Any]:
        room = hall.find(id, permit(who, WRITE))
        new = await hall.branch(room, who.key_id, (await body_of(request, BRANCH))["name"])
        return world_json(new, await hall.now(new))


def _looking(router: APIRouter, given: Given) -> None:
    hall = given.hall
    Who = Annotated[Any, Depends(given.caller)]

    @router.get("/v1/worlds/{id}/frame")
    async def frame(id: str, who: Who, scale: Annotated[int, Query(ge=1, le=8)] = 1) -> Response:
        look = await hall.look(hall.find(id, permit(who, READ)))
        assert look.frame is not None
        size = scale * max(look.frame.shape[:2])
        return Response(
            await drawn(look.frame, size, lossless=True), media_type="image/png", headers={"cache-control": "no-store"}
        )

    @router.get("/v1/worlds/{id}/clip")
    async def clip(
        id: str,
        who: Who,
        frames: Annotated[int | None, Query(ge=1)] = None,
        format: Annotated[str, Query(pattern="^(mp4|png)$")] = "mp4",
    ) -> Response:
        room = hall.find(id, permit(who, READ))
        kept = (await hall.now(room))["past_frames"] + 1
        async with billed(given, who, room, min(frames or kept, kept)) as left:
            made = await hall.clip(room, frames)
            left[0] = 0
        kind = "video/mp4" if format == "mp4" else "image/png"
        data = await asyncio.to_thread(to_bytes, made, format)
        return Response(data, media_type=kind, headers={"cache-control": "no-store"})

    @router.get("/v1/worlds/{id}/scene")
    async def scene(id: str, who: Who) -> dict[str, Any]:
        world = await hall.snapshot(hall.find(id, permit(who, READ)))
        return await asyncio.to_thread(lambda: world.scene.to_dict())

    @router.get("/v1/worlds/{id}/file")
    async def file(id: str, who: Who) -> FileResponse:
        room = hall.find(id, permit(who, READ))
        folder = tempfile.TemporaryDirectory()
        try:
            path = await hall.export(room, Path(folder.name) / "it.world")
        except BaseException:
            folder.cleanup()
            raise
        return FileResponse(
            path, media_type="application/octet-stream", filename=f"{id}.world", background=BackgroundTask(folder.cleanup)
        )

    @router.post("/v1/worlds/{id}/ask", openapi_extra=described(ASK))
    async def ask(id: str, request: Request, who: Who) -> dict[str, Any]:
        room = hall.find(id, permit(who, READ))
        question = (await body_of(request, ASK))["question"]
        async with billed(given, who, room, round(AHEAD_S * room.meta.fps)) as left:
            said = await hall.ask(room, question)
            if said.kind == "next":  # only this one makes frames
                left[0] = 0
        return {"text": said.sentence, "value": said.value, "kind": said.kind}

    @router.post("/v1/worlds/{id}/what_if", openapi_extra=described(CAUSE))
    async def what_if(id: str, request: Request, who: Who) -> dict[str, Any]:
        room = hall.find(id, permit(who, READ))
        told = await body_of(request, CAUSE)
        given.allowed(told["cause"])
        async with billed(given, who, room, 2 * told["since"]) as left:
            both = await hall.what_if(room, told["cause"], told["since"])
            left[0] = 0
        happened, instead = [await film_url(clip, told["format"]) for clip in (both.happened, both.instead)]
        return {"understood": both.understood, "happened": happened, "instead": instead}


def _doing(router: APIRouter, given: Given) -> None:
    hall = given.hall
    Who = Annotated[Any, Depends(given.caller)]

    def changed(room: WorldSession, look: Snapshot) -> dict[str, Any]:
        return {"understood": look.answer, "world": world_json(room, look.now)}

    @router.post("/v1/worlds/{id}/step", openapi_extra=described(STEP))
    async def step(id: str, request: Request, who: Who) -> dict[str, Any]:
        room = hall.find(id, permit(who, WRITE))
        told = await body_of(request, STEP)
        deed = step_of(told["action"])
        async with billed(given, who, room, told["frames"]) as left:
            while left[0]:
                look = await hall.do(room, deed, urgent=True, picture=left[0] == 1)
                left[0] -= 1
        assert look.frame is not None
        return {**look.now, "model_ms": round(look.model_ms, 3), "frame": await picture_url(look.frame)}

    @router.post("/v1/worlds/{id}/edit", openapi_extra=described(EDIT))
    async def edit(id: str, request: Request, who: Who) -> dict[str, Any]:
        room = hall.find(id, permit(who, WRITE))
        text = (await body_of(request, EDIT))["text"]
        given.allowed(text)
        return changed(room, await hall.do(room, ["edit", text]))

    @router.post("/v1/worlds/{id}/move", openapi_extra=described(MOVE))
    async def move(id: str, request: Request, who: Who) -> dict[str, Any]:
        room = hall.find(id, permit(who, WRITE))
        told = await body_of(request, MOVE)
        return changed(room, await hall.do(room, ["move", told["slot"], told["x"], told["y"]]))

    @router.post("/v1/worlds/{id}/rewind", openapi_extra=described(REWIND))
    async def rewind(id: str, request: Request, who: Who) -> dict[str, Any]:
        room = hall.find(id, permit(who, WRITE))
        look = await hall.do(room, ["rewind", (await body_of(request, REWIND))["frames"]])
        return world_json(room, look.now)


def _playing(router: APIRouter, given: Given) -> None:
    sessions: Counter[str] = Counter()

    async def admitted(socket: WebSocket, id: str) -> tuple[Caller, WorldSession]:
        found = given.caller_of(socket)
        who = await found if isinstance(found, Awaitable) else found
        room = given.hall.find(id, permit(who, WRITE))
        if sessions[who.key_id] >= MOST_SESSIONS:
            raise ApiError(
                429,
                f"this key plays in {MOST_SESSIONS} places, which is the most; leave one first",
                code="too_many_sessions",
            )
        return who, room

    @router.websocket("/v1/worlds/{id}/live")
    async def play(socket: WebSocket, id: str) -> None:
        await socket.accept()
        try:
            who, room = await admitted(socket, id)
            sessions[who.key_id] += 1
            try:
                await live(
                    given.hall, room, socket,
                    charge=lambda frames: given.charge(who, room, frames), holds=lambda: given.holds(who),
                )  # fmt: skip
            finally:
                sessions[who.key_id] -= 1
        except KinemaError as wrong:
            await socket.send_text(error_text(wrong))
            status = wrong.status if isinstance(wrong, ApiError) else 400
            codes = {401: REFUSED, 403: REFUSED, 404: NOT_FOUND, 429: LATER, 503: LATER}
            await socket.close(codes.get(status, FAILED))
