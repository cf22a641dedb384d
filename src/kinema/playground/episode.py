"""One episode of the Playground: scene, events, actions, rewards and captions, drawn from a scene distribution and a seed.

Axes: T frames, K slots. action[t] is what the robot does from frame t to frame t + 1; reward[t] and terminated[t] belong to
the arrival at frame t, so the first are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError
from kinema.playground.camera import shoot, visible
from kinema.playground.captions import Captions, write_captions
from kinema.playground.events import Event, find_events
from kinema.playground.physics import EpisodeSetup, PhysicsWorld
from kinema.playground.policies import choose_policy
from kinema.playground.scenarios import draw_cast
from kinema.playground.scene_distribution import SceneDistribution
from kinema.playground.tasks import Judge, Task
from kinema.scene.scene import COLORS, KINDS, MATERIALS, Scene
from kinema.types import Floats


@dataclass(frozen=True, kw_only=True)
class Episode:
    """What happened in one scene. cuts: frames at which a new shot starts."""

    scene: Scene
    events: tuple[Event, ...]
    action: Floats
    has_action: bool
    reward: Floats
    terminated: NDArray[np.bool_]
    captions: Captions
    cuts: tuple[int, ...]
    seed: int


def simulate(distribution: SceneDistribution, seed: int, *, fps: float = 32.0, num_frames: int = 128) -> Episode:
    """The episode of a seed; the same arguments give the same episode. fps in frames per second, 1 to 256."""
    if num_frames < 1 or not 1.0 <= fps <= 256.0:
        raise InputError(f"{num_frames} frames at {fps} frames per second: expected at least 1 frame and 1 to 256 a second")
    cast = draw_cast(distribution, Random(f"{seed}/cast"))
    world = PhysicsWorld(cast, fps)
    robot, policy = choose_policy(cast, Random(f"{seed}/policy"), fps)
    task = find_task(cast, robot, Random(f"{seed}/task"))
    rows = world.rows()
    judge = Judge(task, cast, rows) if task else None
    path, actions, rewards, success = [rows], [], [0.0], [False]
    for t in range(num_frames):
        act = policy(rows)
        actions.append(act)
        if t == num_frames - 1:
            break
        world.step(act)
        rows = world.rows()
        path.append(rows)
        reward, done = judge.judge(rows) if judge and not success[-1] else (0.0, success[-1])
        rewards.append(reward)
        success.append(done)
    track = np.asarray(path, np.float32)
    camera, cuts = shoot(distribution, cast, track[:, :, 0], track[:, :, 1], fps, Random(f"{seed}/camera"))
    seen, window = visible(cast, track[:, :, 0], track[:, :, 1], camera, distribution.aspect)
    events = find_events(cast, world.contacts, track, seen, window, fps)
    scene = to_scene(cast, track, seen, camera, fps, distribution.slots)
    ended = np.asarray(success)
    ended[1:] &= ~ended[:-1]
    return Episode(
        scene=scene,
        events=events,
        action=np.asarray(actions, np.float32).clip(-1, 1),
        has_action=robot is not None,
        reward=np.asarray(rewards, np.float32),
        terminated=ended,
        captions=write_captions(scene, events, cast, cuts, task, Random(f"{seed}/words")),
        cuts=cuts,
        seed=seed,
    )


def find_task(cast: EpisodeSetup, robot: int | None, rng: Random) -> Task | None:
    """A task that this scene can pose: the one its script has in mind, else one at random; None without a robot. Where the robot
    does now this, now that, every task that can be posed is as likely."""
    if robot is None:
        return None
    flags = [slot for slot, actor in enumerate(cast.actors) if actor.kind == "flag"]
    things = [slot for slot, actor in enumerate(cast.actors) if actor.kind in ("ball", "box", "triangle", "star")]
    if not flags and not things:
        return None
    thing = cast.load if cast.load in things else (rng.choice(things) if things else None)
    if cast.policy == "restless":
        forms = ["reach"] * bool(flags) + ["touch"] * (thing is not None) + ["push"] * bool(flags and thing is not None)
        verb, named = rng.choice(forms), cast.actors[rng.choice(things)] if things else None
        return Task(verb=verb) if verb == "reach" or named is None else Task(verb=verb, color=named.color, kind=named.kind)
    if flags and thing is not None and (cast.policy == "push" or rng.random() < 0.5):
        return Task(verb="push", color=cast.actors[thing].color, kind=cast.actors[thing].kind)
    if flags:
        return Task(verb="reach")
    assert thing is not None
    return Task(verb="touch", color=cast.actors[thing].color, kind=cast.actors[thing].kind)


def to_scene(cast: EpisodeSetup, track: Floats, seen: Floats, camera: Floats, fps: float, slots: int) -> Scene:
    """The scene state with empty slots last; track: [T, entities, 5]."""
    frames, count = track.shape[:2]
    full = np.zeros((5, frames, slots), np.float32)
    full[:, :, :count] = track.transpose(2, 0, 1)
    shares = np.zeros((frames, slots), np.float32)
    shares[:, :count] = seen
    kind = np.full(slots, -1, np.int8)
    color, material, size = np.zeros(slots, np.int8), np.zeros(slots, np.int8), np.zeros(slots, np.float32)
    for slot, actor in enumerate(cast.actors):
        kind[slot], color[slot] = KINDS.index(actor.kind), COLORS.index(actor.color)
        material[slot], size[slot] = MATERIALS.index(actor.material), actor.size
    return Scene(
        fps=fps,
        view=cast.view,
        background=cast.background,
        kind=kind,
        color=color,
        material=material,
        size=size,
        x=full[0],
        y=full[1],
        vx=full[2],
        vy=full[3],
        angle=full[4],
        visible=shares,
        camera=camera,
        room_width=cast.room_width,
    )
