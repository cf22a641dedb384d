"""The live world, measured: python -m benchmarks.live_world [--model NAME] [--share N] [--write]

Worlds start from the true state of fresh episodes (seeds that no training uses) and are stepped by the model alone; places are
compared with what the Playground's own physics does. Errors are in units of a room 10 wide. --write puts the table into
docs/measurements/.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from benchmarks.command import run_benchmark
from benchmarks.first_light import SEED, Row, interval, write_table
from numpy.typing import NDArray

from kinema.canvas.canvas import Canvas, levels_of
from kinema.diffusion.samplers import noise_canvas
from kinema.envs.imagined import ImaginedVectorEnv
from kinema.envs.playground import PlaygroundEnv
from kinema.evaluation.tasks.permanence import absences
from kinema.inference.frame_state import FrameState
from kinema.inference.keyframes import tracks_of
from kinema.inference.rollout import WINDOW, prefill, sliding_window_mask, split_frames, step
from kinema.models.block import KVCache
from kinema.models.denoiser import RolloutContext
from kinema.models.hub import DEFAULT, Model, load
from kinema.playground import Episode, SceneDistribution, simulate, tiny
from kinema.playground.physics import Actor, EpisodeSetup, PhysicsWorld
from kinema.playground.policies import push, seek
from kinema.scene.encoding import encode_reward
from kinema.scene.scene import COLORS, KINDS, MATERIALS, Scene
from kinema.scene.schema import PLAYGROUND
from kinema.simulation.edits import parse, parse_cause
from kinema.simulation.state import State
from kinema.simulation.world import World, sort_slots
from kinema.statistics import auroc

FPS = 16.0
SECOND = 16
TASKS = ("reach the flag", "touch the blue box", "push the red ball to the flag")
_POSITION = PLAYGROUND.slice("position")

Floats = NDArray[np.float32]


def fresh(
    distribution: SceneDistribution, count: int, first: int, keep: Callable[[Episode], bool] = lambda _: True
) -> list[Episode]:
    found: list[Episode] = []
    seed = SEED + first
    while len(found) < count:
        episode = simulate(distribution, seed, fps=FPS, num_frames=96)
        found += [episode] if keep(episode) else []
        seed += 1
    return found


@dataclass
class Batch:
    """Episodes as tracks [B, T, ...] with their actions."""

    tracks: dict[str, torch.Tensor]
    action: torch.Tensor

    @staticmethod
    def of(model: Model, episodes: list[Episode]) -> Batch:
        slots = model.config.denoiser.slots
        every = [tracks_of(episode.scene, slots, model.device) for episode in episodes]
        tracks = {name: torch.cat([one[name] for one in every]) for name in every[0]}
        action = torch.from_numpy(np.stack([episode.action for episode in episodes])).float()
        return Batch(tracks, action.to(model.device))

    def frame_states(self, start: int, stop: int) -> list[FrameState]:
        tracks = {name: x[:, start:stop] for name, x in self.tracks.items()} | {"action": self.action[:, start:stop]}
        return [replace(m, acted=True) for m in split_frames(tracks, 0.0, FPS)]


def roll(model: Model, batch: Batch, begin: int, frames: int, action: torch.Tensor | None = None) -> list[FrameState]:
    """From the true frames up to `begin` (that one included), `frames` more by the model."""
    action = batch.action if action is None else action
    first = max(0, begin - WINDOW)
    states = prefill(model, batch.frame_states(first, begin + 1))
    for t in range(frames):
        seeds = [1000 * t + i for i in range(len(action))]
        last, new = step(model, states, action[:, begin + t], fps=FPS, seeds=seeds)
        states = [*states[-WINDOW:-1], last, new] if t == 0 else [*states[:-1], last, new]
    return states[-frames:]


def places(states: list[FrameState]) -> torch.Tensor:
    """[B, T, K, 2] in units."""
    return PLAYGROUND.position_units(torch.stack([m.tracks["state"][..., _POSITION] for m in states], 1).float())


def speeds(model: Model, share: int) -> tuple[float, float]:
    """Frames a second with pictures: one world, and 64 at once in all."""
    world = World(model, "a red ball, a yellow car and a green robot on a field", seed=1)
    for _ in range(40):
        world.step((0.5, 0.0))
    begun = time.perf_counter()
    count = 200 // share
    for _ in range(count):
        world.step((0.5, 0.0))
    alone = count / (time.perf_counter() - begun)
    many = ImaginedVectorEnv(64, model=model, task="reach the flag")
    many.reset(seed=0)
    actions = np.zeros((64, 2), np.float32)
    many.step(actions)
    begun = time.perf_counter()
    count = max(32 // share, 4)
    for _ in range(count):
        many._done[:] = False
        many.step(actions)
    return alone, 64 * count / (time.perf_counter() - begun)


def remembered_equals_seen(model: Model) -> dict[str, float]:
    """Largest difference of any clean value between stepping from memory and looking at all frames under the same band."""
    batch = Batch.of(model, fresh(tiny(), 4, 0))
    frames, device = 24, model.device
    values = {name: x[:, :frames] for name, x in batch.tracks.items()} | {"action": batch.action[:, :frames]}
    generator = torch.Generator().manual_seed(0)
    levels = {name: torch.rand(levels_of(name, x, 0.0).shape, generator=generator).to(device) for name, x in values.items()}
    time_s = (torch.arange(frames, device=device) / FPS).expand(4, -1)
    canvas = noise_canvas(Canvas(time_s=time_s, values=values, levels=levels), range(4))
    found = {}
    for dtype in (torch.bfloat16, torch.float32):
        net = model.denoiser if dtype == model.dtype else deepcopy(model.denoiser).to(torch.float32)
        with torch.inference_mode():
            whole = net.recall(canvas, None, KVCache(cached=[]), sliding_window_mask(0, frames, WINDOW, device), dtype=dtype)
            kept: list[list[tuple[torch.Tensor, torch.Tensor]]] = []
            worst = 0.0
            for t in range(frames):
                before, past, pairs = canvas.pick(slice(0, t)), None, []
                if t:
                    deed = torch.cat([before.values["action"][:, -1], before.levels["action"][:, -1:]], -1)
                    past = RolloutContext(
                        time_s=before.time_s, state=before.values["state"], level=before.levels["state"], action=deed
                    )
                    pairs = [
                        (torch.cat([one[i][0] for one in kept], 2), torch.cat([one[i][1] for one in kept], 2))
                        for i in range(len(kept[0]))
                    ]
                memory = KVCache(cached=pairs)
                stepped = net.recall(canvas.pick(slice(t, t + 1)), past, memory, None, dtype=dtype)
                kept.append(memory.new)
                worst = max(worst, *(float((stepped[n][:, 0] - whole[n][:, t]).abs().max()) for n in whole))
        found[str(dtype)] = worst
    return found


def lasting(model: Model, share: int) -> tuple[float, float]:
    """Time of a frame at the end of a long life against frames 100 to 300 of a young one, both in turns, since machines drift by
    more than that; and growth of memory over the long life in MiB."""

    def born() -> World:
        return World(model, "a red ball, a yellow car and a green robot on a field", seed=1)._advance(100)

    def timed(world: World, frames: int) -> list[float]:
        taken = []
        for _ in range(frames):
            begun = time.perf_counter()
            world._go(None)
            taken.append(time.perf_counter() - begun)
        return taken

    old = born()._advance(1200)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    old._advance(max(10_000 // share - 1300, 200))
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    young = born()
    late, early = [], []
    for _ in range(20):
        early += timed(young, 10)
        late += timed(old, 10)
    return float(np.median(late) / np.median(early)), growth


def action_following(model: Model, share: int) -> tuple[float, float, float]:
    """1 - err(a) / err(shuffled a) of the robot after a second, and both errors."""

    def acted(episode: Episode) -> bool:
        return episode.has_action and float(np.abs(episode.action[33:49]).mean()) > 0.2

    episodes = fresh(tiny(), 256 // share, 3_000_000, acted)
    batch = Batch.of(model, episodes)
    robots = torch.tensor([[KINDS[k] == "robot" if k >= 0 else False for k in e.scene.kind] for e in episodes])
    truth = PLAYGROUND.position_units(batch.tracks["state"][:, 33 : 33 + SECOND, :, _POSITION].float())
    shuffled = batch.action[torch.randperm(len(episodes), generator=torch.Generator().manual_seed(0))]
    errors = []
    for action in (batch.action, shuffled):
        found = places(roll(model, batch, 32, SECOND, action))
        errors.append(float((found - truth).norm(dim=-1)[:, -1][robots].mean()))
    return 1 - errors[0] / errors[1], errors[0], errors[1]


def rewards(model: Model, share: int) -> tuple[float, float, int]:
    """AUROC of reward (progress or not) and of termination (ends in this frame or not) over imagined seconds of three tasks
    in which a robot does what it is for and, in every other room, the opposite for a while, against the real room with the same
    actions; and how many ends there were."""
    said_reward, real_reward, said_end, real_end = [], [], [], []
    rooms = [PlaygroundEnv(task=task) for task in TASKS]
    texts = [model.condition([(task, 0.0, 1e9)], torch.zeros(1, 1, device=model.device)) for task in TASKS]
    for seed in range(192 // share):
        env, text = rooms[seed % 3], texts[seed % 3]
        env.reset(seed=SEED % 2**31 + seed)
        scenes, actions, paid, ends = [env.scene], [], [0.0], [False]
        scene = env.scene
        names = [f"{COLORS[c]} {KINDS[k]}" if k >= 0 else "" for k, c in zip(scene.kind, scene.color, strict=True)]
        kinds, side = [name.partition(" ")[2] for name in names], scene.view == "side"
        robot = kinds.index("robot")
        if seed % 3 == 0:
            policy = seek(robot, kinds.index("flag"), 1.0, side)
        elif seed % 3 == 1:
            policy = seek(robot, names.index("blue box"), 1.0, side)
        else:
            ball = names.index("red ball")
            reach = float(scene.size[ball] + scene.size[robot])
            policy = push(robot, ball, kinds.index("flag"), reach, 1.0, side)
        while len(scenes) < 96 and not ends[-1]:
            act = policy(env.rows)
            if seed // 3 % 2 and len(scenes) % 24 < 12:
                act = (-act[0], -act[1])
            _, reward, done, _, _ = env.step(np.array(act, np.float32).clip(-1, 1))
            actions.append(act)
            scenes.append(env.scene)
            paid.append(reward)
            ends.append(done)
        begin = max(len(scenes) - 1 - SECOND + 2 * (seed % 4), 4)
        frames = len(scenes) - 1 - begin
        if frames < 2:
            continue
        moving = ("x", "y", "vx", "vy", "angle", "visible", "camera")
        past = replace(scenes[0], **{n: np.concatenate([getattr(s, n) for s in scenes[: begin + 1]]) for n in moving})
        tracks = tracks_of(past, model.config.denoiser.slots, model.device)
        told = torch.tensor(np.array([*actions, (0.0, 0.0)], np.float32).clip(-1, 1))[None]
        tracks["action"] = told[:, : begin + 1].to(model.device)
        tracks["reward"] = torch.from_numpy(encode_reward(np.array([paid[: begin + 1]], np.float32))).to(model.device)
        states = [replace(m, acted=True) for m in split_frames(tracks, 0.0, FPS)][-WINDOW - 1 :]
        states = prefill(model, states, text)
        for t in range(frames):
            last, new = step(model, states, told[:, begin + t], fps=FPS, seeds=[seed * 1000 + t], text=text)
            states = [*states[:-1], last, new]
            said_reward.append(float(new.tracks["reward"]))
            said_end.append(float(new.tracks["terminated"]))
            real_reward.append(paid[begin + t + 1] > 0.02)
            real_end.append(ends[begin + t + 1])
    both = (np.array(said_reward, np.float32), np.array(real_reward)), (np.array(said_end, np.float32), np.array(real_end))
    found = [auroc(said[real], said[~real]) for said, real in both]
    return found[0], found[1], int(np.sum(real_end))


def hidden(model: Model, share: int) -> list[tuple[bool, float]]:
    """Things that pass behind a screen for a while: in the frame in which they are out again, is the model's within a radius? And
    how many seconds they were gone.

    The world is told nothing after the last frame before the hiding."""
    rights = []

    def hides(episode: Episode) -> bool:
        return bool(absences(episode.scene, 3))

    episodes = fresh(replace(tiny(), scenarios={"behind": 1.0}), 256 // share, 4_000_000, hides)
    for episode in episodes:
        slot, out, back = absences(episode.scene, 3)[0]
        batch = Batch.of(model, [episode])
        found = places(roll(model, batch, out, back - out))[0, -1, slot]
        truth = torch.tensor([episode.scene.x[back, slot], episode.scene.y[back, slot]])
        rights.append((bool((found - truth).norm() <= episode.scene.size[slot]), (back - out) / FPS))
    return rights


def physics_of(scene: Scene) -> PhysicsWorld:
    """The Playground's own physics, set up as the last frame of a scene stands."""
    actors = []
    for k in scene.entities:
        kind = KINDS[scene.kind[k]]
        speed = float(scene.vx[-1, k])
        actors.append(
            Actor(
                kind=kind, color=COLORS[scene.color[k]], material=MATERIALS[scene.material[k]], size=float(scene.size[k]),
                x=float(scene.x[-1, k]), y=float(scene.y[-1, k]), vx=speed, vy=float(scene.vy[-1, k]),
                angle=float(scene.angle[-1, k]), motor=speed if kind == "car" and abs(speed) > 0.3 else 0.0,
            )
        )  # fmt: skip
    cast = EpisodeSetup(
        view=scene.view, background=scene.background, room_width=scene.room_width, scenario="still", actors=actors
    )
    return PhysicsWorld(cast, FPS)


def after_a_second(scene: Scene) -> Floats:
    """Places [K, 2] a second after the last frame of a scene, by physics, robots idle."""
    world = physics_of(scene)
    for _ in range(SECOND):
        world.step((0.0, 0.0))
    places = np.zeros((scene.num_slots, 2), np.float32)
    for slot, row in zip(scene.entities, world.rows(), strict=True):
        places[slot] = row[:2]
    return places


def off(found: Scene, scene: Scene, truth: Floats) -> list[float]:
    """How far the things of a scene are from their true places [K, 2] in the last frame of what was found."""
    return [
        float(np.hypot(found.x[-1, slot] - truth[slot, 0], found.y[-1, slot] - truth[slot, 1])) for slot in scene.entities
    ]


def edits(model: Model, share: int) -> tuple[float, float, float]:
    """Mean error of the things of worlds from fresh episodes: a second after an edit, after none, and where a second was gone
    again with one cause changed (`what_if`)."""
    rng = np.random.default_rng(7)
    changed, plain, otherwise = [], [], []
    for i, episode in enumerate(fresh(tiny(), 64 // share, 5_000_000)):
        past = episode.scene.frames(slice(0, 24))
        now = State.of(past.frames(slice(-1, None)), 0.0)
        movers = [e for e in now.entities if e.kind not in ("screen", "flag")]
        if not movers:
            continue
        thing = movers[rng.integers(len(movers))].name
        text = str(
            rng.choice([f"push the {thing} left", f"push the {thing} right", f"stop the {thing}", f"move the {thing} up"])
        )
        cause = str(
            rng.choice(
                [f"the {thing} had not been pushed", f"the {thing} had been pushed right", f"the {thing} had been blue"]
            )
        )
        world = World(model, past, seed=i)
        world.edit(text)
        scene = parse(text, now).apply(past)
        changed += off(world._advance(SECOND, (0.0, 0.0)).scene, scene, after_a_second(scene))
        world = World(model, past, seed=i)._advance(SECOND, (0.0, 0.0))
        plain += off(world.scene, past, after_a_second(past))
        instead = world.what_if(cause, since=SECOND).instead.state
        scene, _ = sort_slots(parse_cause(cause, now).apply(past))
        assert instead is not None
        otherwise += off(instead, scene, after_a_second(scene))
    return float(np.mean(changed)), float(np.mean(plain)), float(np.mean(otherwise))


def branching(model: Model) -> float:
    """Milliseconds of a branch of a world of 1,000 frames, median of 50."""
    world = World(model, "a red ball and a blue box on a field", seed=1)._advance(1000)
    taken = []
    for _ in range(50):
        begun = time.perf_counter()
        world.branch()
        taken.append(time.perf_counter() - begun)
    return 1000 * float(np.median(taken))


def measure(name: str, share: int) -> list[Row]:
    model = load(name)
    rows: list[Row] = []

    def note(what: str, bar: str, measured: str, met: bool | None) -> None:
        rows.append(Row(what, bar, measured, met))
        print(f"{'ok  ' if met else 'MISS' if met is not None else '    '}  {what}: {measured}  (bar {bar})", flush=True)

    alone, many = speeds(model, share)
    note("live, 64x64, one world / 64 at once, two cores", ">= 20 / >= 60 frames/s", f"{alone:.0f} / {many:.0f} frames/s",
         alone >= 20 and many >= 60)  # fmt: skip
    same = remembered_equals_seen(model)
    half, exact = same["torch.bfloat16"], same["torch.float32"]
    note("a step from memory against looking at all", "1e-3 in bf16, 1e-5 in float32", f"{half:.1e} / {exact:.1e}",
         half <= 1e-3 and exact <= 1e-5)  # fmt: skip
    ratio, growth = lasting(model, share)
    note(f"cost of a frame at {10_000 // share:,} against 100; memory", "within 5%; flat",
         f"{100 * (ratio - 1):+.1f}%; {growth:+.1f} MiB",
         abs(ratio - 1) <= 0.05 and growth < 20)  # fmt: skip
    following, told, other = action_following(model, share)
    note("action following, 1 s: 1 - err(a) / err(shuffled a)", ">= 0.8", f"{following:.2f} ({told:.2f} / {other:.2f} units)",
         following >= 0.8)  # fmt: skip
    paid, ended, ends = rewards(model, share)
    note("reward and termination: AUROC against the real room", ">= 0.9", f"{paid:.2f} / {ended:.2f} ({ends} ends)",
         paid >= 0.9 and ended >= 0.9)  # fmt: skip
    found = hidden(model, share)
    for least in (0.5, 2.0):
        rights = [right for right, gone_s in found if gone_s >= least]
        note(f"hidden behind a screen for {least:g} s or more: back within one radius of the truth", ">= 80%",
             interval(rights) if rights else "none", bool(rights) and float(np.mean(rights)) >= 0.8)  # fmt: skip
    changed, plain, otherwise = edits(model, share)
    note("an edit, a what_if against physics with the same change, 1 s; unedited", "<= 2x the unedited error",
         f"{changed:.2f}, {otherwise:.2f}; {plain:.2f} units",
         max(changed, otherwise) <= 2 * plain)  # fmt: skip
    note("a branch of a 1,000-frame world", "< 5 ms", f"{branching(model):.3f} ms", branching(model) < 5)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--share", type=int, default=1, metavar="N", help="only one in N of the episodes, for a quick look")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/live-world.md")
    arguments = parser.parse_args()
    rows = measure(arguments.model, arguments.share)
    if arguments.write:
        write_table("The live world", "live_world", arguments.model, arguments.share, rows)
    return 0


if __name__ == "__main__":
    run_benchmark(main)
