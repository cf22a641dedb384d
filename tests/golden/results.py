"""What the shipped weights answer for fixed seeds, one function a capability: small frames and states.

A golden result is not a measure of quality. It says that a change of the code's shape has left what the code does alone.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import kinema
from kinema.autoencoder import load_autoencoder
from kinema.datasets.lerobot import Dataset
from kinema.datasets.recorder import record
from kinema.envs.imagined import ImaginedVectorEnv
from kinema.envs.recorded import RecordedVectorEnv
from kinema.evaluation.kinema_model import KinemaModel
from kinema.evaluation.tasks import TASKS
from kinema.media import Clip
from kinema.models.hub import WEIGHTS, Model, find, load, save, weights_folder
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene as draw
from kinema.scene.scene import Scene
from kinema.simulation.world import World
from kinema.training.dit_trainer import DiTTrainer
from kinema.training.recordings import Recordings
from kinema.training.world_lesson import RecordingsLesson, WorldRecipe
from kinema.training.world_report import save_starts
from kinema.training.world_stages import config_for

Arrays = dict[str, NDArray[Any]]
SIDE = 64
SHORT = kinema.SamplingConfig(num_plan_steps=4, num_candidates=1)
ARENA = ("uniform", "combinations", "conservation", "surprise", "permanence", "causes", "future", "actions", "prompts")
"""One task of each family of the arena that answers from weights alone in seconds."""
FIELDS = ("kind", "color", "size", "x", "y", "vx", "vy", "angle", "visible", "camera")


def golden_model(name: str = "kinema-tiny") -> Model:
    """A shipped model that computes in float32 whatever the processor."""
    model = load(name, device="cpu")
    model.dtype = torch.float32
    model.denoiser.float()
    model.autoencoder = load_autoencoder(weights_folder() / model.config.autoencoder, device="cpu", dtype=torch.float32)
    return model


def fingerprint() -> str:
    """Of the weights that ship: golden results are theirs."""
    found = hashlib.sha256()
    for path in (find("kinema-tiny") / WEIGHTS, weights_folder() / "codec-8x8" / WEIGHTS):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def of_scene(scene: Scene | None) -> Arrays:
    assert scene is not None
    return {name: np.asarray(getattr(scene, name), np.float32) for name in FIELDS}


def of_clip(clip: Clip, every: int = 6) -> Arrays:
    """Every sixth frame and the last; the state of all."""
    frames = {"frames": np.concatenate([clip.frames[::every], clip.frames[-1:]])}
    return frames | ({} if clip.state is None else of_scene(clip.state))


def shown(number: int = 0, frames: int = 24) -> Clip:
    """A true film of the Playground."""
    scene = simulate(tiny(), 990_000_000 + number, fps=16.0, num_frames=frames).scene
    return Clip(frames=draw(scene, height=SIDE, width=SIDE), fps=16.0, state=scene)


def generate(model: Model) -> Arrays:
    made = kinema.generate("a red ball rolls right and hits a blue box", model=model, seconds=1.5, size=(SIDE, SIDE), seed=3)
    return of_clip(made[0])


def generate_wide(model: Model) -> Arrays:
    made = kinema.generate(
        "a green car drives left", model=model, seconds=0.5, size=(112, 64), seed=4, count=2, options=SHORT
    )
    return {f"{i} {name}": x for i, clip in enumerate(made) for name, x in of_clip(clip).items()}


def extend_filled(model: Model) -> Arrays:
    return of_clip(kinema.extend(shown(0), "it rolls on", model=model, seconds=1.0, seed=5))


def extend_stepped(model: Model) -> Arrays:
    clip = Clip(frames=shown(0).frames, fps=16.0)
    return of_clip(kinema.extend(clip, model=model, seconds=1.0, seed=5))


def extend_before(model: Model) -> Arrays:
    return of_clip(kinema.extend(shown(1), "a ball rolls", model=model, seconds=0.75, before=True, seed=6))


def infill(model: Model) -> Arrays:
    first, last = shown(2).cut(slice(0, 1)), shown(2).cut(slice(23, 24))
    return of_clip(kinema.infill([(first, 0.0), (last, 1.0)], model=model, seed=7, options=SHORT))


def blend(model: Model) -> Arrays:
    return of_clip(kinema.blend(shown(3), shown(4), model=model, seconds=0.75, seed=8, options=SHORT))


def edit_masked(model: Model) -> Arrays:
    mask = np.zeros((SIDE, SIDE, 3), np.uint8)
    mask[:, : SIDE // 2] = 255
    clip = shown(5, frames=12)
    made = kinema.edit(clip, "a yellow star", mask=Clip(frames=mask[None], fps=16.0), model=model, seed=9, options=SHORT)
    return of_clip(made)


def perceive(model: Model) -> Arrays:
    return of_scene(kinema.perceive(Clip(frames=shown(6, frames=12).frames, fps=16.0), model=model))


def render(model: Model) -> Arrays:
    state = shown(7, frames=12).state
    assert state is not None
    return {"frames": kinema.render(state, model=model, size=(128, 128)).frames[::6]}


def _walk(world: World, frames: int) -> list[Any]:
    return [world.step((0.8, 0.0) if t % 8 < 5 else (-0.6, 0.4)) for t in range(frames)]


def world(model: Model) -> Arrays:
    """32 steps with actions, a branch, and what would have happened otherwise."""
    here = World(model, "a green robot and a red ball in a lab", seed=11, size=(SIDE, SIDE))
    steps = _walk(here, 32)
    other = here.branch()
    other.step((0.0, 1.0))
    otherwise = here.what_if("the red ball had not been there", since=8)
    return {
        "frames": np.stack([step.frame for step in steps[::8]]),
        "reward": np.array([step.reward for step in steps], np.float32),
        **of_scene(here.scene),
        "branch": other.scene.x,
        "what if": np.concatenate([otherwise.happened.frames[-1:], otherwise.instead.frames[-1:]]),
    }


def vector_env(model: Model) -> Arrays:
    envs = ImaginedVectorEnv(4, model=model, task="reach the flag", observation="state", render_mode="rgb_array")
    first, _ = envs.reset(seed=12)
    rewards = []
    for t in range(12):
        seen, reward, *_ = envs.step(np.tile(np.array([[0.7, 0.2 * (t % 3)]], np.float32), (4, 1)))
        rewards.append(reward)
    return {"first": first, "last": seen, "rewards": np.array(rewards, np.float32), "pixels": envs.render()[0]}  # type: ignore[index]


def arena(model: Model) -> Arrays:
    judged = KinemaModel(model)
    found: Arrays = {}
    for name in ARENA:
        task = TASKS[name]
        result = task.evaluate(judged, task.examples("quick")[0]) or {}
        numbers = {key: value for key, value in result.items() if isinstance(value, int | float)}
        found |= {f"{name} {key}": np.float32(value).reshape(1) for key, value in numbers.items()}
    return found


def recorded_world(model: Model) -> Arrays:
    """Eight steps of two worlds of an untrained model of a recording, made from seed 0."""
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        record("CartPole-v1", folder / "cart", episodes_wanted=3, size=(32, 48))
        recipe = WorldRecipe(
            autoencoder_share=0.0,
            compile=False,
            frames=4,
            batch=2,
            size="nano",
            time_every=2,
            open_gates=False,
            rule_share=0.0,
        )
        data = Dataset.open(folder / "cart")
        recordings = Recordings(data, load_autoencoder(weights_folder() / "codec-8x8", dtype=torch.float32), None)
        config = config_for(data, recordings, recipe, "world")
        trainer = DiTTrainer(recipe, config, RecordingsLesson(recordings, recipe), folder, minutes=1.0)
        torch.nn.init.normal_(trainer.model.modulation.bias, std=0.3, generator=torch.Generator().manual_seed(0))
        save(folder / "world", config, trainer.model.state_dict(), "# world\n")
        save_starts(folder / "world", recordings, 0)
        envs = RecordedVectorEnv(2, model=folder / "world")
        envs.model.dtype = torch.float32
        envs.model.network.float()
        first, _ = envs.reset(seed=1)
        pictures, rewards = [first], []
        for t in range(8):
            seen, reward, *_ = envs.step(np.array([t % 2, 1]))
            pictures.append(seen)
            rewards.append(reward)
    return {"frames": np.stack(pictures[::4]), "rewards": np.array(rewards, np.float32)}


def true_pictures(model: Model) -> Arrays:
    """What the Playground draws; no weights are in it."""
    return {"frames": shown(8).frames[::23]}


RESULTS: dict[str, Callable[[Model], Arrays]] = {
    made.__name__: made
    for made in (
        generate, generate_wide, extend_filled, extend_stepped, extend_before, infill, blend, edit_masked, perceive, render, world,
        vector_env, arena, recorded_world, true_pictures,
    )
}  # fmt: skip
