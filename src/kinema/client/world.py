"""`RemoteWorld`: the methods of `kinema.World` or, of a recorded world, those of `RecordedWorld`, run on a server.

Pictures are lossless and numbers unrounded: the same seed gives the same frames and states as a local world. Steps use a
WebSocket, everything else HTTP. The world stays on the server when this object is closed; `delete` deletes it.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from kinema.client.connection import Connection, StepSocket, clip_of, from_url, picture_of, state_from_json
from kinema.errors import ApiError, InputError, KinemaError
from kinema.media import Clip
from kinema.media.write import check_free, replace_file
from kinema.scene.scene import Scene
from kinema.simulation.entity_numbers import Entities
from kinema.simulation.questions import Answer
from kinema.simulation.state import State
from kinema.simulation.world import Step, WhatIf, check_action
from kinema.types import Frame, python_values


class RemoteWorld:
    """A world on a server, with the methods of `kinema.World`. A recorded world has no state: `go` steps it, and what needs a state
    raises InputError.

    The properties show the world after this object's last call. `look` reads it again, for worlds that several clients share.

    Args:
        url: Address of the server.
        start: Words, a picture or clip, or a state, from which the server makes a new world. "" for a recorded world, which begins
            with recorded frames.
        key: API key. None: KINEMA_KEY of the environment.
        seed: Same seed on the same server: same frames.
        fps: Frames per second. None: 16, or as a recorded world was recorded.
        size: "WIDTHxHEIGHT" or (width, height) of the pictures in pixels. None: as the server chooses.
        task: A task such as "reach the flag", which the model rewards; of a recorded world one of its tasks.
        model: Name of a model of the server. None: its default.
        name: Name of the world on the server.
        timeout_s: Seconds to wait for a response.

    Raises:
        ApiError: The server refuses the request or the key.
    """

    def __init__(
        self,
        url: str,
        start: str | Clip | Scene = "",
        *,
        key: str | None = None,
        seed: int = 0,
        fps: float | None = None,
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
            from kinema.media.encoded import encode_clip

            data = "data:image/png;base64," + base64.b64encode(encode_clip(start, "png")).decode()
            begin["start"] = {"picture" if start.num_frames == 1 else "video": {"image_url": data}}
        else:
            begin["prompt"] = start
        connection = Connection(url, key, timeout_s)
        self._begin(connection, connection.json("POST", "/v1/worlds", {k: v for k, v in begin.items() if v is not None}))

    @staticmethod
    def join(url: str, id: str, *, key: str | None = None, timeout_s: float = 120.0) -> RemoteWorld:
        """Connect to a world that is on the server already.

        Args:
            url: Address of the server.
            id: Id of the world.
            key: API key. None: KINEMA_KEY of the environment.
            timeout_s: Seconds to wait for a response.

        Returns:
            The world.

        Raises:
            ApiError: The server has no such world for this key.
        """
        connection = Connection(url, key, timeout_s)
        return RemoteWorld._of(connection, connection.json("GET", f"/v1/worlds/{id}"))

    @staticmethod
    def _of(connection: Connection, payload: dict[str, Any]) -> RemoteWorld:
        world = object.__new__(RemoteWorld)
        world._begin(connection, payload)
        return world

    def _begin(self, connection: Connection, payload: dict[str, Any]) -> None:
        self._connection, self.id = connection, str(payload["id"])
        self.seed, self.fps, self.task, self.model = payload["seed"], payload["fps"], payload["task"], payload["model"]
        width, _, height = payload["size"].partition("x")
        self.size, self.name, self.parent = (int(width), int(height)), payload["name"], payload["parent"]
        self.controls: dict[str, Any] = payload["controls"]
        """How the world is acted in: its action "space" (`kinema.envs.spaces.spec_of`), the "idle" action, those of "keys"."""
        self._recorded = payload["state"] is None
        self._now: dict[str, Any] = payload
        self._frame: Frame | None = None
        self._state: State | None = None
        self._step_socket: StepSocket | None = None
        self._sockets = True

    def __repr__(self) -> str:
        return f"RemoteWorld({self._connection.url!r}, {self.id!r}, {self.time_s:.2f} s)"

    def _update(self, payload: dict[str, Any], frame: Frame | None = None) -> None:
        self._now, self._frame, self._state = payload, frame, None

    # State

    def look(self) -> RemoteWorld:
        """Read the current state from the server. Returns self."""
        self._update(self._json("GET", ""))
        return self

    @property
    def time_s(self) -> float:
        """Seconds since the world began."""
        return float(self._now["time_s"])

    @property
    def past_frames(self) -> int:
        """Frames before this one that are stored and can be rewound to."""
        return int(self._now["past_frames"])

    @property
    def state(self) -> State:
        """The state after the last call. InputError: a recorded world, which has none."""
        self._check_state()
        if self._state is None:
            self._state = state_from_json(self._now["state"], self.fps)
        return self._state

    @property
    def entities(self) -> Entities:
        """Of a recorded world its entities after the last call: entity -> field -> number; {} where none were recorded."""
        return self._now.get("entities") or {}

    @property
    def frame(self) -> Frame:
        """The picture after the last call, uint8 [H, W, 3]."""
        if self._frame is None:
            self._frame = picture_of(self._connection.call("GET", self._path("/frame")).content)
        return self._frame

    @property
    def reward(self) -> float:
        """The task's reward in this frame."""
        return float(self._now["reward"])

    @property
    def terminated(self) -> bool:
        """Whether the task ended in this frame."""
        return bool(self._now["terminated"])

    @property
    def scene(self) -> Scene:
        """All stored frames as one scene; numbers are rounded to four decimals."""
        return Scene.from_dict(self._json("GET", "/scene"))

    def clip(self, frames: int | None = None) -> Clip:
        """Download the last frames.

        Args:
            frames: Number of frames. None: all that are stored.

        Returns:
            A clip, bit for bit as the server rendered it.
        """
        options = {"format": "png"} | ({} if frames is None else {"frames": str(frames)})
        return clip_of(self._connection.call("GET", self._path("/clip"), params=options).content)

    # Steps and changes

    def step(self, action: ArrayLike | None = None) -> Step:
        """Predict the next frame.

        Args:
            action: (right, up) in [-1, 1] for the robots. None: the action is unknown.

        Returns:
            The picture uint8 [H, W, 3], the state and the reward of the new frame.

        Raises:
            InputError: An action that is not two finite numbers in [-1, 1]; or a recorded world, which `go` steps.
            ApiError: The server refuses the step, for example because the quota is used up.
        """
        self._check_state()
        self._update(*self._stepped(None if action is None else check_action(action).tolist()))
        return Step(self.frame, self.state, self.reward)

    def go(self, action: Any = None) -> RemoteWorld:
        """Predict the next frame; `frame`, `reward` and `terminated` show it.

        Args:
            action: An action of `controls["space"]`. None: `controls["idle"]`.

        Returns:
            The world itself.

        Raises:
            InputError: An action that is not in the space.
            ApiError: The server refuses the step, for example because the quota is used up.
        """
        self._update(*self._stepped(python_values(action)))
        return self

    def _check_state(self) -> None:
        if self._recorded:
            raise InputError("a recorded world has no state; step it with go(action), and read frame, reward and terminated")

    def _stepped(self, action: Any) -> tuple[dict[str, Any], Frame]:
        """Step by WebSocket, or by HTTP where WebSockets are not available."""
        from websockets.exceptions import ConnectionClosed, WebSocketException

        if self._step_socket is None and self._sockets:
            try:
                self._step_socket = StepSocket(self._connection, self.id)
            except (OSError, WebSocketException):
                self._sockets = False
        if self._step_socket is not None:
            try:
                return self._step_socket.step(action)
            except (ConnectionClosed, TimeoutError):
                self.close()
                self.look()
                raise KinemaError(
                    f"the line to {self._connection.url} broke during a step; the world is at {self.time_s:.2f} s now"
                ) from None
            except ApiError as error:
                self.close()
                if error.code != "too_many_sessions":
                    raise
                self._sockets = False
            except KinemaError:
                self.close()
                raise
        now = self._json("POST", "/step", {"action": action})
        return now, picture_of(from_url(now.pop("frame")))

    def branch(self, name: str | None = None) -> RemoteWorld:
        """Make a second world on the server with the same past. Neither world changes the other.

        Args:
            name: Name of the new world.

        Returns:
            The new world.
        """
        return RemoteWorld._of(self._connection, self._json("POST", "/branch", {} if name is None else {"name": name}))

    def rewind(self, frames: int = 16) -> RemoteWorld:
        """Go back, and drop the later frames and the changes since then.

        Args:
            frames: Number of frames, up to `past_frames`.

        Returns:
            The world itself.
        """
        self._update(self._json("POST", "/rewind", {"frames": frames}))
        return self

    # Asking and changing

    def ask(self, question: str) -> Answer:
        """Answer a question about the world.

        Args:
            question: "where is the red ball?", "did the car touch the box?", "what will happen next?" and the like.

        Returns:
            The kind of the question, the answer as a value and as a sentence.

        Raises:
            InputError: The question is not understood, or names no object or several. The message lists the forms of questions.
        """
        payload = self._json("POST", "/ask", {"question": question})
        return Answer(kind=payload["kind"], value=payload["value"], sentence=payload["text"])

    def edit(self, text: str) -> str:
        """Change the world.

        Args:
            text: "move the car left", "remove the ball", "add a blue box on the right" and the like.

        Returns:
            The change as it was understood.

        Raises:
            InputError: The change is not understood, or names no object or several. The message lists the forms of changes.
        """
        return self._changed(self._json("POST", "/edit", {"text": text}))

    def move(self, slot: int, x: float, y: float) -> str:
        """Move an object. It keeps its velocity.

        Args:
            slot: The object's slot, `Entity.slot`.
            x: Position to the right in room units, 0 to 10.
            y: Position up in room units, 0 to 10.

        Returns:
            The change in words.
        """
        return self._changed(self._json("POST", "/move", {"slot": slot, "x": x, "y": y}))

    def _changed(self, payload: dict[str, Any]) -> str:
        self._update(payload["world"])
        return str(payload["understood"])

    def what_if(self, cause: str, since: int = 16) -> WhatIf:
        """Predict the last frames again with one cause changed. The world itself stays as it is.

        Args:
            cause: What is different, such as "the ball had not been pushed".
            since: Number of frames to go back, up to `past_frames`.

        Returns:
            The last `since` frames as they were, and as they would have been with the same actions.
        """
        payload = self._json("POST", "/what_if", {"cause": cause, "since": since, "format": "png"})
        happened, instead = (clip_of(from_url(payload[name])) for name in ("happened", "instead"))
        return WhatIf(understood=payload["understood"], happened=happened, instead=instead)

    # Saving

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Download the world to one file, from which `kinema.World.open` continues.

        Args:
            path: The file on this machine.
            force: Overwrite the file if it exists.

        Returns:
            The path.

        Raises:
            OutputError: The file exists and force is False, the disk is full, or there is no permission.
        """
        check_free(Path(path), force=force)
        data = self._connection.call("GET", self._path("/file")).content
        return replace_file(Path(path), lambda to: (to.write_bytes(data), None)[1], force=force)

    def delete(self) -> None:
        """Delete the world on the server."""
        self._json("DELETE", "")
        self.close()

    def close(self) -> None:
        """Close the connections; the world stays on the server. The next call reconnects."""
        socket, self._step_socket = self._step_socket, None
        if socket is not None:
            socket.close()
        self._connection.close()

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
        return self._connection.json(method, self._path(rest), body)
