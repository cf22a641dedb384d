"""A world on a server, used like one that is here: `kinema.RemoteWorld` has the methods of `kinema.World`.

    world = kinema.RemoteWorld("http://127.0.0.1:8000", "a red ball and a robot on a field", key="kinema_...")
    frame, state, reward = world.step((1.0, 0.0))
    print(world.ask("where is the red ball?"))

Pictures come without loss, numbers unrounded: the same seed gives the same frames and states as a world here. Steps go over a
WebSocket, everything else over HTTP. A world stays on the server when this object is gone; `delete` ends it.

`RemoteEnv` is such a world as a Gymnasium environment: `gymnasium.make("kinema/Remote-v0", url=..., start=...)`.
"""

from __future__ import annotations

import base64
import io
import json
import os
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import httpx
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from kinema import errors
from kinema.canvas.scene import BACKGROUNDS, COLORS, KINDS, MATERIALS, VIEWS, Scene
from kinema.errors import ApiError, InputError, KinemaError
from kinema.media import Clip
from kinema.media.write import replace_file
from kinema.simulate.ask import Answer
from kinema.simulate.state import State
from kinema.simulate.world import Step, WhatIf, check_action
from kinema.worlds.playground.diet import tiny
from kinema.worlds.playground.env import HIGH, LOW, OBSERVATIONS, observed_state

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

Frame = NDArray[np.uint8]
FIXED = {"kind": KINDS, "color": COLORS, "material": MATERIALS}
MOVING = ("x", "y", "vx", "vy", "angle", "visible")
KINDS_OF_ERRORS: dict[str, type[KinemaError]] = {
    "media_error": errors.MediaError,
    "size_error": errors.SizeError,
    "vocabulary_error": errors.VocabularyError,
    "model_error": errors.ModelError,
    "storage_full": errors.OutputError,
}
LONGEST_LINE = 300


def error_of(status: int, told: Any) -> KinemaError:
    """What the server said, as the error that the same mistake raises here."""
    told = told if isinstance(told, dict) else {}
    line, code = str(told.get("message") or f"the server answered {status}")[: 4 * LONGEST_LINE], told.get("code")
    if isinstance(code, str) and code in KINDS_OF_ERRORS:
        return KINDS_OF_ERRORS[code](line)
    if status in (400, 404, 413, 422):
        return InputError(line)
    return ApiError(status, line, type=told.get("type"), param=told.get("param"), code=code)


def state_of(told: dict[str, Any], fps: float) -> State:
    """A state from what a server tells, to the last bit."""
    slots = int(told["slots"])
    fixed: dict[str, Any] = {name: np.zeros(slots, np.int8) for name in FIXED}
    fixed["kind"][:] = -1
    fixed["size"] = np.zeros(slots, np.float32)
    moving: dict[str, Any] = {name: np.zeros((1, slots), np.float32) for name in MOVING}
    for thing in told["things"]:
        k = thing["slot"]
        fixed["size"][k] = thing["size"]
        for name, names in FIXED.items():
            fixed[name][k] = names.index(thing[name])
        for name, values in moving.items():
            values[0, k] = thing[name]
    scene = Scene(
        fps=fps, view=VIEWS[VIEWS.index(told["view"])], background=BACKGROUNDS[BACKGROUNDS.index(told["background"])],
        room_width=told["room_width"], camera=np.array([told["camera"]], np.float32), **fixed, **moving,
    )  # fmt: skip
    return State.of(scene, told["time_s"])


def picture_of(data: bytes) -> Frame:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        return np.array(picture.convert("RGB"))


def clip_of(data: bytes) -> Clip:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.png"
        path.write_bytes(data)
        return Clip.open(path)


def from_url(url: str) -> bytes:
    """The bytes of a data: address."""
    return base64.b64decode(url.partition(",")[2])


class Line:
    """How a server is reached: HTTP with a key, every failure as one of ours."""

    def __init__(self, url: str, key: str | None, timeout_s: float) -> None:
        self.url, self.key = url.rstrip("/"), key or os.environ.get("KINEMA_KEY")
        self.headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        self.timeout_s = timeout_s
        self._http: httpx.Client | None = None
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"address {url!r}: expected one such as http://127.0.0.1:8000")

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request; an error where the answer is one."""
        try:
            if self._http is None:
                self._http = httpx.Client(base_url=self.url, headers=self.headers, timeout=self.timeout_s)
            answer = self._http.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as wrong:
            raise KinemaError(f"no answer from {self.url} ({wrong}); is `kinema serve` running there?") from None
        if answer.is_success:
            return answer
        try:
            told = answer.json()["error"]
        except (ValueError, KeyError, TypeError):
            told = {"message": f"{self.url} answered {answer.status_code} {answer.reason_phrase}"}
        raise error_of(answer.status_code, told)

    def json(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        options = {} if body is None else {"json": body}
        return self.call(method, path, **options).json()

    def close(self) -> None:
        """Hang up; the next request connects anew."""
        http, self._http = self._http, None
        if http is not None:
            http.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


class Stepping:
    """A paused live session: each step is asked for and its picture waited for."""

    def __init__(self, line: Line, id: str) -> None:
        from websockets.sync.client import connect

        url = f"ws{line.url.removeprefix('http')}/v1/worlds/{id}/live?format=png&paused=1"
        self._open = ExitStack()
        self.socket: ClientConnection = self._open.enter_context(
            connect(url, additional_headers=line.headers, compression=None, max_size=None)
        )
        self.timeout_s = line.timeout_s
        self.stepped = 0
        self.action: Any = None

    def step(self, action: list[float] | None) -> tuple[dict[str, Any], Frame]:
        """What is told of the world after one step with this action, and its picture."""
        if action != self.action:
            self.socket.send(json.dumps({"type": "action", "action": action}))
            self.action = action
        self.socket.send('{"type":"step"}')
        self.stepped += 1
        while True:
            message = self.socket.recv(self.timeout_s)
            if isinstance(message, str):
                told = json.loads(message)["error"]
                status = {"not_found_error": 404, "authentication_error": 401, "permission_error": 403, "server_error": 500}
                raise error_of(status.get(told["type"], 400), told)
            length = int.from_bytes(message[:4], "big")
            told = json.loads(message[4 : 4 + length])
            self.socket.send(f'{{"type":"ack","frame":{told["frame"]}}}')
            if told["stepped"] >= self.stepped:
                return told, picture_of(message[4 + length :])

    def close(self) -> None:
        self._open.close()


class RemoteWorld:
    """One world on a server. start: words, a picture or clip, or a state, of which the server makes a new world.

    key: of the server, by default KINEMA_KEY of the environment. task, seed, fps, size, model: as of `kinema.World`. What is read
    is the world after this object's own last deed; `look` asks the server anew, which tells when others share the world.
    """

    def __init__(
        self,
        url: str,
        start: str | Clip | Scene = "",
        *,
        key: str | None = None,
        seed: int = 0,
        fps: float = 16.0,
        size: str | tuple[int, int] | None = None,
        task: str | None = None,
        model: str | None = None,
        name: str | None = None,
        timeout_s: float = 120.0,
    ) -> None:
        begin: dict[str, Any] = {"seed": seed, "fps": fps, "task": task, "model": model, "name": name}
        if size is not None:
            begin["size"] = size if isinstance(size, str) else f"{size[0]}x{size[1]}"
        if isinstance(start, Scene):
            begin["start"] = {"state": start.to_dict()}
        elif isinstance(start, Clip):
            from kinema.media.bytes import to_bytes

            data = "data:image/png;base64," + base64.b64encode(to_bytes(start, "png")).decode()
            begin["start"] = {"picture" if start.num_frames == 1 else "video": {"image_url": data}}
        else:
            begin["prompt"] = start
        line = Line(url, key, timeout_s)
        self._begin(line, line.json("POST", "/v1/worlds", {k: v for k, v in begin.items() if v is not None}))

    @staticmethod
    def join(url: str, id: str, *, key: str | None = None, timeout_s: float = 120.0) -> RemoteWorld:
        """A world that is on the server already."""
        line = Line(url, key, timeout_s)
        return RemoteWorld._of(line, line.json("GET", f"/v1/worlds/{id}"))

    @staticmethod
    def _of(line: Line, told: dict[str, Any]) -> RemoteWorld:
        world = object.__new__(RemoteWorld)
        world._begin(line, told)
        return world

    def _begin(self, line: Line, told: dict[str, Any]) -> None:
        self._line, self.id = line, str(told["id"])
        self.seed, self.fps, self.task, self.model = told["seed"], told["fps"], told["task"], told["model"]
        width, _, height = told["size"].partition("x")
        self.size, self.name, self.parent = (int(width), int(height)), told["name"], told["parent"]
        self._now: dict[str, Any] = told
        self._frame: Frame | None = None
        self._state: State | None = None
        self._stepping: Stepping | None = None
        self._sockets = True

    def __repr__(self) -> str:
        return f"RemoteWorld({self._line.url!r}, {self.id!r}, {self.time_s:.2f} s)"

    def _seen(self, told: dict[str, Any], frame: Frame | None = None) -> None:
        self._now, self._frame, self._state = told, frame, None

    # What is there

    def look(self) -> RemoteWorld:
        """Ask the server how the world is now. Returns the world itself."""
        self._seen(self._json("GET", ""))
        return self

    @property
    def time_s(self) -> float:
        """Seconds since the world began."""
        return float(self._now["time_s"])

    @property
    def past_frames(self) -> int:
        """Frames before this one that the world keeps and can go back to."""
        return int(self._now["past_frames"])

    @property
    def state(self) -> State:
        if self._state is None:
            self._state = state_of(self._now["state"], self.fps)
        return self._state

    @property
    def frame(self) -> Frame:
        """The picture now, uint8 [H, W, 3]."""
        if self._frame is None:
            self._frame = picture_of(self._line.call("GET", self._path("/frame")).content)
        return self._frame

    @property
    def reward(self) -> float:
        return float(self._now["reward"])

    @property
    def terminated(self) -> bool:
        """Whether the task was done in this frame."""
        return bool(self._now["terminated"])

    @property
    def scene(self) -> Scene:
        """All that is kept, as one scene; its numbers have four digits after the point."""
        return Scene.from_dict(self._json("GET", "/scene"))

    def clip(self, frames: int | None = None) -> Clip:
        """The last frames (all that are kept, if not told) as a clip."""
        options = {"format": "png"} | ({} if frames is None else {"frames": str(frames)})
        return clip_of(self._line.call("GET", self._path("/clip"), params=options).content)

    # Going on

    def step(self, action: ArrayLike | None = None) -> Step:
        """One frame further; action: (right, up) in [-1, 1] for the robots, None for not telling."""
        told = None if action is None else check_action(action).tolist()
        now, frame = self._stepped(told)
        self._seen(now, frame)
        return Step(frame, self.state, self.reward)

    def _stepped(self, action: list[float] | None) -> tuple[dict[str, Any], Frame]:
        """By WebSocket; by HTTP where there is none on the way."""
        from websockets.exceptions import ConnectionClosed, WebSocketException

        if self._stepping is None and self._sockets:
            try:
                self._stepping = Stepping(self._line, self.id)
            except (OSError, WebSocketException):
                self._sockets = False
        if self._stepping is not None:
            try:
                return self._stepping.step(action)
            except (ConnectionClosed, TimeoutError):
                self.close()
                self.look()
                raise KinemaError(
                    f"the line to {self._line.url} broke during a step; the world is at {self.time_s:.2f} s now"
                ) from None
            except KinemaError:
                self.close()
                raise
        now = self._json("POST", "/step", {"action": action})
        return now, picture_of(from_url(now.pop("frame")))

    def branch(self, name: str | None = None) -> RemoteWorld:
        """Another world on the server that shares the past; neither changes the other."""
        return RemoteWorld._of(self._line, self._json("POST", "/branch", {} if name is None else {"name": name}))

    def rewind(self, frames: int = 16) -> RemoteWorld:
        """Go back; what was done since is forgotten, changes included. Returns the world itself."""
        self._seen(self._json("POST", "/rewind", {"frames": frames}))
        return self

    # Asking and changing

    def ask(self, question: str) -> Answer:
        """'where is the red ball?', 'did the car touch the box?', 'what will happen next?' and the like."""
        told = self._json("POST", "/ask", {"question": question})
        return Answer(kind=told["kind"], value=told["value"], sentence=told["text"])

    def edit(self, text: str) -> str:
        """'move the car left', 'remove the ball', 'add a blue box on the right' ...; returns what was understood."""
        return self._changed(self._json("POST", "/edit", {"text": text}))

    def move(self, slot: int, x: float, y: float) -> str:
        """Drag the thing in a slot to (x, y) in units of the room; returns what was understood."""
        return self._changed(self._json("POST", "/move", {"slot": slot, "x": x, "y": y}))

    def _changed(self, told: dict[str, Any]) -> str:
        self._seen(told["world"])
        return str(told["understood"])

    def what_if(self, cause: str, since: int = 16) -> WhatIf:
        """The last `since` frames, and the same with one cause changed: 'the ball had not been pushed'."""
        told = self._json("POST", "/what_if", {"cause": cause, "since": since, "format": "png"})
        happened, instead = (clip_of(from_url(told[name])) for name in ("happened", "instead"))
        return WhatIf(understood=told["understood"], happened=happened, instead=instead)

    # Keeping

    def save(self, path: str | Path) -> Path:
        """All of the world in one file here; `kinema.World.open` goes on from it."""
        data = self._line.call("GET", self._path("/file")).content
        return replace_file(Path(path), lambda to: (to.write_bytes(data), None)[1], force=True)

    def delete(self) -> None:
        """End the world on the server."""
        self._json("DELETE", "")
        self.close()

    def close(self) -> None:
        """Hang up; the world stays. What is done next connects again."""
        stepping, self._stepping = self._stepping, None
        if stepping is not None:
            stepping.close()
        self._line.close()

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()

    def __enter__(self) -> RemoteWorld:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _path(self, rest: str) -> str:
        return f"/v1/worlds/{self.id}{rest}"

    def _json(self, method: str, rest: str, body: dict[str, Any] | None = None) -> Any:
        return self._line.json(method, self._path(rest), body)


class RemoteEnv(gym.Env[Any, NDArray[np.float32]]):
    """Worlds of a server as a Gymnasium environment with the spaces of `kinema/Playground-v0`; each episode is a new world that
    begins as `start` says and is deleted after. `options` are those of `RemoteWorld`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 16}  # noqa: RUF012

    def __init__(
        self,
        url: str,
        start: str | Clip | Scene = "",
        *,
        task: str | None = "reach the flag",
        size: int = 64,
        fps: float = 16.0,
        observation: str = "pixels",
        render_mode: str | None = None,
        duration_s: float = 20.0,
        **options: Any,
    ) -> None:
        if observation not in OBSERVATIONS:
            raise InputError(f"observation {observation!r}: expected {', '.join(OBSERVATIONS)}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"render_mode {render_mode!r}: expected None or rgb_array")
        self._url, self._start, self._observation, self.render_mode = url, start, observation, render_mode
        self._options = {**options, "task": task, "size": f"{size}x{size}", "fps": fps}
        self.metadata = {**self.metadata, "render_fps": round(fps)}
        self.max_steps, self._count = max(1, round(duration_s * fps)), 0
        self.world: RemoteWorld | None = None
        self._slots = tiny().slots
        low, high = (np.tile(np.array(edge, np.float32), (self._slots, 1)) for edge in (LOW, HIGH))
        spaces: dict[str, gym.Space[Any]] = {
            "pixels": gym.spaces.Box(0, 255, (size, size, 3), np.uint8),
            "state": gym.spaces.Box(low, high, dtype=np.float32),
        }
        self.observation_space = spaces.get(observation, gym.spaces.Dict(spaces))
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new world. options: {"task": ...} changes the task from here on."""
        super().reset(seed=seed)
        if options and "task" in options:
            self._options["task"] = options["task"]
        self.close()
        self.world = RemoteWorld(self._url, self._start, seed=int(self.np_random.integers(2**31)), **self._options)
        self._count = 0
        return self._observed(), self._info(False)

    def step(self, action: NDArray[np.float32]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One frame further."""
        if self.world is None:
            raise InputError("step before reset: call reset() first")
        self.world.step(action)
        self._count += 1
        ended = self.world.terminated
        cut = self._count >= self.max_steps and not ended
        return self._observed(), self.world.reward, ended, cut, self._info(ended)

    def _observed(self) -> Any:
        assert self.world is not None
        if self._observation == "pixels":
            return self.world.frame
        state = np.zeros((self._slots, len(LOW)), np.float32)
        state[:, 0] = -1.0
        found = observed_state(self.world.state.scene)[: self._slots]
        state[: len(found)] = found
        return state if self._observation == "state" else {"pixels": self.world.frame, "state": state}

    def _info(self, success: bool) -> dict[str, Any]:
        return {"task": self._options["task"], "success": success}

    def render(self) -> Frame | None:
        """The current picture, uint8 [size, size, 3]."""
        return self.world.frame if self.render_mode == "rgb_array" and self.world is not None else None

    def close(self) -> None:
        """Delete the world of the last episode."""
        world, self.world = self.world, None
        if world is not None:
            with suppress(ApiError):  # gone already
                world.delete()


def register() -> None:
    """Make the id known to Gymnasium; doing it twice does no harm."""
    if "kinema/Remote-v0" not in gym.registry:
        gym.register(id="kinema/Remote-v0", entry_point="kinema.remote:RemoteEnv")


register()
