"""The small trials that the training log cites: python -m benchmarks.trials [--model NAME] [--share N] [--parts ...]

Contacts: rooms in which things meet, stepped live from four true frames, with the pair module and without it: error of every
thing, and in how many cases two things that met are apart again as they are in truth.
Rollouts: live mode from four true frames, error of every thing against copying and going straight on. Forces: how far apart a
robot is after full force one way and the other, from rest, against physics. Speeds: of things seen in three pictures, by the
network and by the line through the perceived places, for several levels of the glimpse. Steps: the second after three pictures,
planned in one, four or sixteen steps, and stepped live from what was perceived and from the truth.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch
from benchmarks.command import run_benchmark
from benchmarks.first_light import _state_error
from benchmarks.live_world import FPS, SECOND, Batch, fresh, places, roll

import kinema
from kinema.envs.playground import PlaygroundEnv
from kinema.inference import pipeline
from kinema.inference.keyframes import tracks_of
from kinema.inference.rollout import prefill, split_frames, step
from kinema.inference.sampling import SamplingConfig
from kinema.media import Clip
from kinema.models.hub import DEFAULT, Model, load
from kinema.models.objects.contacts import ContactModule
from kinema.playground import Episode, tiny
from kinema.playground.renderer import render_scene
from kinema.playground.scene_distribution import meeting
from kinema.scene.scene import KINDS, Scene
from kinema.scene.schema import PLAYGROUND

AFTER = (1, 4, 8, 12, 16)
PARTED, MET = 0.5, 2.6
"""Units by which two things that were as near as `MET` are farther apart at the end than at their nearest, to count as parted."""
MOVING = ("x", "y", "vx", "vy", "angle", "visible", "camera")


def rollouts(model: Model, count: int) -> None:
    """Mean error in units after so many frames, from four known ones."""
    batch = Batch.of(model, fresh(tiny(), count, 8_000_000))
    first, state = 8, batch.tracks["state"]
    batch = Batch({name: x[:, first:] for name, x in batch.tracks.items()}, batch.action[:, first:])
    truth = PLAYGROUND.position_units(state[:, first + 4 : first + 4 + SECOND, :, PLAYGROUND.slice("position")].float())
    here = state[:, first + 4 : first + 4 + SECOND, :, 0] > 0
    last = state[:, first + 3 : first + 4]
    place = PLAYGROUND.position_units(last[..., PLAYGROUND.slice("position")])
    seconds = (torch.arange(SECOND) + 1)[None, :, None, None] / FPS
    straight = place + last[..., PLAYGROUND.slice("velocity")] * PLAYGROUND.velocity_scale * seconds
    found = {"copy": place.expand_as(truth), "straight on": straight, "model": places(roll(model, batch, 3, SECOND))}
    for name, x in found.items():
        off = (x - truth).norm(dim=-1)
        print(f"rollout, {name}: " + "  ".join(f"{t}: {float(off[:, t - 1][here[:, t - 1]].mean()):.3f}" for t in AFTER))


def contacts(model: Model, count: int) -> None:
    """Mean error in units after so many frames, and the share of meetings that part again as truly."""

    def meets(episode: Episode) -> bool:
        return any(event.kind == "collide" and 0.5 < event.time_s < 1.2 for event in episode.events)

    batch = Batch.of(model, fresh(meeting(), count, 8_500_000, meets))
    ahead = 2 * SECOND
    truth = places_of(batch.tracks["state"][:, 4 : 4 + ahead])
    here = batch.tracks["state"][:, 4 : 4 + ahead, :, 0] > 0
    away = (truth[:, :, :, None] - truth[:, :, None]).norm(dim=-1)
    both = here[:, :, :, None] & here[:, :, None]
    closest = torch.where(both, away, torch.inf).amin(1)
    parts = (away[:, -1] - closest > PARTED) & (closest < MET) & both[:, -1].triu(1)
    kept = model.denoiser.contacts
    for name, module in (("with pairs", kept), ("without", ContactModule())):
        model.denoiser.contacts = module
        found = places(roll(model, batch, 3, ahead))
        off = (found - truth).norm(dim=-1)
        made = (found[:, :, :, None] - found[:, :, None]).norm(dim=-1)
        apart = (made[:, -1] - made.amin(1) > PARTED)[parts]
        told = "  ".join(f"{t}: {float(off[:, t - 1][here[:, t - 1]].mean()):.3f}" for t in (*AFTER, ahead))
        print(f"contacts, {name}: {told}; parted {float(apart.float().mean()):.2f} of {int(parts.sum())}")
    model.denoiser.contacts = kept


def places_of(state: torch.Tensor) -> torch.Tensor:
    """[..., K, F] -> [..., K, 2] in units."""
    return PLAYGROUND.position_units(state[..., PLAYGROUND.slice("position")].float())


def forces(model: Model, count: int) -> None:
    """Distance in units between a robot pushed one way and the other, after some frames."""
    apart: dict[tuple[str, str], list[list[float]]] = {}
    for seed in range(count):
        ways = {}
        for name, force in (("right", (1.0, 0.0)), ("left", (-1.0, 0.0)), ("up", (0.0, 1.0))):
            env = PlaygroundEnv(task="reach the flag", observation="state")
            env.reset(seed=7000 + seed)
            scenes, actions = [env.scene], []
            for t in range(20 + SECOND - 1):
                actions.append((0.0, 0.0) if t < 19 else force)
                env.step(np.array(actions[-1], np.float32))
                scenes.append(env.scene)
            whole = replace(scenes[0], **{n: np.concatenate([getattr(s, n) for s in scenes]) for n in MOVING})
            ways[name] = (_pushed(model, whole, [*actions, (0.0, 0.0)], seed), whole)
        view, slot = ways["up"][1].view, ways["up"][1].kind.tolist().index(KINDS.index("robot"))
        for a, b, axis in (("right", "left", "x"), ("up", "left", "y")):
            for t in (4, 8, 16):
                made = ways[a][0][t - 1, "xy".index(axis)] - ways[b][0][t - 1, "xy".index(axis)]
                true = getattr(ways[a][1], axis)[19 + t, slot] - getattr(ways[b][1], axis)[19 + t, slot]
                apart.setdefault((f"{view}, {a} - {b}", f"{t}"), []).append([float(made), float(true)])
    for (what, t), contacts in sorted(apart.items()):
        made, true = np.mean(contacts, 0)
        print(f"force, {what}, after {t} frames: model {made:.2f}, physics {true:.2f} ({len(contacts)} rooms)")


def _pushed(model: Model, scene: Scene, actions: list[tuple[float, float]], seed: int) -> np.ndarray:
    """Where the robot is in the SECOND frames after the first twenty, by the model [T, 2]."""
    slot = scene.kind.tolist().index(KINDS.index("robot"))
    told = torch.tensor(actions)[None]
    tracks = tracks_of(scene.frames(slice(0, 20)), model.config.denoiser.slots, model.device) | {"action": told[:, :20]}
    moments = prefill(model, [replace(m, acted=True) for m in split_frames(tracks, 0.0, FPS)])
    found = []
    for t in range(SECOND):
        last, new = step(model, moments, told[:, 19 + t], fps=FPS, seeds=[seed * 100 + t])
        moments = [*moments[:-1], last, new]
        found.append(PLAYGROUND.position_units(new.tracks["state"][0, slot, PLAYGROUND.slice("position")].float().numpy()))
    return np.stack(found)


def _same(found: Scene, scene: Scene, slot: int) -> int | None:
    named = [k for k in found.entities if found.name(k) == scene.name(slot)]
    return named[0] if named else None


def speeds(model: Model, count: int) -> None:
    """Error of a speed in units a second, and of a place in units."""
    episodes = fresh(tiny(), count, 9_000_000)
    kept = pipeline.DETECTION_LEVEL, pipeline.PACE_FRAMES
    for glimpse in (0.01, 0.005, 0.002, 0.001):
        for name, frames in (("network", 99), ("line through places", kept[1])):
            pipeline.DETECTION_LEVEL, pipeline.PACE_FRAMES = glimpse, frames
            off, away = [], []
            for i, episode in enumerate(episodes):
                scene = episode.scene.frames(slice(0, 3))
                seen = kinema.perceive(Clip(frames=render_scene(scene, height=64, width=64), fps=FPS), model=model, seed=i)
                for slot in scene.entities:
                    k = _same(seen, scene, slot)
                    if k is None or scene.visible[:, slot].min() < 0.5:
                        continue
                    off.append(np.hypot(seen.vx[2, k] - scene.vx[2, slot], seen.vy[2, k] - scene.vy[2, slot]))
                    away.append(np.hypot(seen.x[:, k] - scene.x[:, slot], seen.y[:, k] - scene.y[:, slot]).mean())
            print(f"speed, glimpse {glimpse}, {name}: {np.mean(off):.3f} units/s, place {np.mean(away):.3f}")
    pipeline.DETECTION_LEVEL, pipeline.PACE_FRAMES = kept


def steps(model: Model, count: int) -> None:
    """Error in units over the second after three pictures, in which something collides or bounces."""

    def eventful(episode: Episode) -> bool:
        return any(event.kind in ("collide", "bounce") and 0.25 < event.time_s < 1.1 for event in episode.events)

    errors: dict[str, list[float]] = {}
    for i, episode in enumerate(fresh(tiny(), count, 1_500_000, eventful)):
        scene = episode.scene.frames(slice(0, 19))
        clip = Clip(frames=render_scene(scene.frames(slice(0, 3)), height=64, width=64), fps=FPS)
        made = {}
        for number in (1, 4, 16):
            options = SamplingConfig(num_plan_steps=number)
            made[f"{number} steps"] = kinema.extend(clip, seconds=1.0, model=model, seed=i, options=options).state
        for name, start in (("live, perceived", clip), ("live, from the truth", scene.frames(slice(0, 3)))):
            made[name] = kinema.World(model, start, seed=i)._advance(16).scene.frames(slice(-19, None))
        for name, found in made.items():
            assert found is not None
            for slot in scene.entities:
                for t in range(3, 19):
                    if scene.visible[t, slot] >= 0.5:
                        place = np.array([scene.x[t, slot], scene.y[t, slot]])
                        errors.setdefault(name, []).append(_state_error(found, t, scene, slot, place))
    for name, values in errors.items():
        print(f"next second, {name}: mean {np.mean(values):.3f}, median {np.median(values):.3f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--share", type=int, default=1, metavar="N", help="only one in N of the episodes")
    parser.add_argument("--parts", nargs="+", choices=TRIALS, default=list(TRIALS), help="only these")
    given = parser.parse_args()
    model = load(given.model)
    for name in given.parts:
        trial, count = TRIALS[name]
        trial(model, max(count // given.share, 1))
    return 0


TRIALS = {
    "rollouts": (rollouts, 48),
    "contacts": (contacts, 96),
    "forces": (forces, 48),
    "speeds": (speeds, 60),
    "steps": (steps, 40),
}


if __name__ == "__main__":
    run_benchmark(main)
