"""What requests about worlds hold, and what they are answered with."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, WithJsonSchema

from kinema.server.api.bodies import Body, Filled, Reference, Text
from kinema.server.worlds.session import ROBOT_CONTROLS, Snapshot, WorldSession

MAX_FRAMES = 480
"""The most frames of one request."""
LONGEST_SINCE = 128
"""Frames that a `what_if` goes back at most."""
START_EXAMPLE = {"prompt": "a red ball on a field"}
Action = Annotated[Any, WithJsonSchema({"type": ["array", "integer", "object", "null"]})]
"""`step_of` checks it."""


class Start(Body):
    prompt: Text | None = Field(None, description="what the world holds, in words")
    picture: Reference | None = Field(None, description="a picture to begin from")
    video: Reference | None = Field(None, description="a video to go on from")
    state: dict[str, Any] | None = Field(None, description="a scene, as `kinema perceive` writes it")


class CreateWorld(Body):
    prompt: Text | None = Field(None, description="what the world holds, in words")
    start: Start | None = Field(
        None, examples=[START_EXAMPLE],
        description="or one of {prompt}, {picture: reference}, {video: reference}, {state: scene}",
    )  # fmt: skip
    seed: int = Field(0, ge=0, le=2**62, description="the same seed gives the same world")
    fps: float | None = Field(
        None, description="steps a second of the world's own time; by default 16, or as a recorded world was recorded"
    )
    size: Text | None = Field(None, examples=["64x64"], description="WIDTHxHEIGHT; by default the model's own")
    task: Text | None = Field(
        None, description="what the robot is rewarded for, such as 'reach the flag'; of a recorded world one of its tasks"
    )
    model: Text | None = Field(
        None, description="its name; by default the smallest. A recorded world begins with recorded frames, or a picture"
    )
    name: Text | None = Field(None, description="what to call it; by default the prompt, or the model of a recorded world")


class RenameWorld(Body):
    name: Filled = Field(description="the new name")


class BranchWorld(Body):
    name: Text | None = Field(None, description="what to call the branch")


class AskWorld(Body):
    question: Filled = Field(description="'where is the red ball?'")


class AskWhatIf(Body):
    cause: Filled = Field(description="'the ball had not been pushed'")
    since: int = Field(16, ge=1, le=LONGEST_SINCE, description="how many frames to go back")
    format: Literal["mp4", "png"] = Field("mp4", description="mp4, or png for every pixel as it is")


class StepWorld(Body):
    action: Action = Field(
        None, examples=[[0.5, 0.0]],
        description="one of the world's `controls.space`: [right, up] in [-1, 1] for the robots; null: unknown, in a recorded world"
        " `controls.idle`",
    )  # fmt: skip
    frames: int = Field(1, ge=1, le=MAX_FRAMES, description="how many steps")


class RecordWorld(Body):
    frames: int | None = Field(None, ge=1, le=10**6, description="how many of the last frames; by default all that are kept")
    name: Text | None = Field(None, description="what the video is called; by default as the world")


class EditWorld(Body):
    text: Filled = Field(description="'move the car left'")


class MoveThing(Body):
    slot: int = Field(description="which thing, by its slot")
    x: float = Field(description="where to, 0 to 10")
    y: float = Field(description="where to, 0 to 10, up")


class RewindWorld(Body):
    frames: int = Field(16, ge=0, le=10**6, description="how many frames to go back")


class WorldObject(BaseModel):
    """size: its radius. visible: its visible share, 0 to 1. A room is 10 units high and wide; angles are radians."""

    slot: int
    name: str
    kind: str
    color: str
    material: str
    size: float
    x: float
    y: float
    vx: float
    vy: float
    angle: float
    visible: float


class WorldState(BaseModel):
    """camera: [x, y, zoom]. slots: how many there are, with or without a thing."""

    time_s: float
    view: str
    background: str
    camera: list[float]
    things: list[WorldObject]
    slots: int
    room_width: float


class WorldControls(BaseModel):
    """How a world is acted in."""

    space: dict[str, Any] = Field(
        description="the action space as `kinema.envs.spaces.spec_of` writes it: type discrete (n choices from start), "
        "multi_discrete, multi_binary, box (edges of each number), dict or tuple"
    )
    idle: Any = Field(description="the action while no key is held; null: unknown to the model")
    keys: dict[str, Any] = Field(description="the action of each key, by the name that browsers give it")


class WorldFrame(BaseModel):
    """A world now, as `now_of` says it. past_frames: how many can be rewound. state: null of a recorded world, which has none.
    entities: of a recorded world what its recording told by name, entity -> field -> number; null of another one."""

    time_s: float
    past_frames: int
    state: WorldState | None
    entities: dict[str, dict[str, float]] | None = None
    reward: float
    terminated: bool


class StepResponse(WorldFrame):
    """model_ms: how long the last step took. frame: a PNG as a data: URL."""

    model_ms: float
    frame: str


class WorldResponse(WorldFrame):
    """size: WIDTHxHEIGHT. parent: the world that it branched from."""

    id: str
    object: Literal["world"] = "world"
    name: str
    created_at: int
    model: str
    size: str
    fps: float
    seed: int
    task: str | None
    parent: str | None
    branched_at_s: float | None
    controls: WorldControls

    @classmethod
    def of(cls, session: WorldSession, now: dict[str, Any]) -> Self:
        meta = session.meta
        return cls(
            **now, id=meta.id, name=meta.name, created_at=int(meta.created_at), model=meta.model, size=meta.size, fps=meta.fps,
            seed=meta.seed, task=meta.task, parent=meta.parent, branched_at_s=meta.branched_at_s,
            controls=WorldControls.model_validate(meta.controls or ROBOT_CONTROLS),
        )  # fmt: skip


class ChangedWorld(BaseModel):
    """understood: what the words were taken to mean."""

    understood: str
    world: WorldResponse

    @classmethod
    def of(cls, session: WorldSession, snapshot: Snapshot) -> Self:
        return cls(understood=snapshot.answer, world=WorldResponse.of(session, snapshot.now))


class AnswerResponse(BaseModel):
    """text: a sentence. value: the same as plain data. kind: the form of the question."""

    text: str
    value: Any
    kind: str


class Alternative(BaseModel):
    """happened, instead: videos or animated PNGs as data: URLs."""

    understood: str
    happened: str
    instead: str
