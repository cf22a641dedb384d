"""Learning by PPO (Stable-Baselines3), inside a model or in the real environment, by the same learner.

    agent = kinema.agents.learn("reach the flag", inside=kinema.load("kinema-tiny"))
    agent.save("runner")
    player = kinema.agents.learn(inside=kinema.load("out/pong/world"))

Inside a model every episode is short: it begins with recorded frames, so that states which are reached late are met often, and the
model's errors have no time to grow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from kinema.agents.agent import Agent
from kinema.agents.starts import record_starts
from kinema.agents.vector_env import WorldsVecEnv, playgrounds, task_rooms
from kinema.datasets.observed import PictureObservation
from kinema.datasets.recorder import make_env
from kinema.devices import float32_default, kept_rng
from kinema.envs.imagined import ImaginedVectorEnv
from kinema.envs.recorded import RecordedVectorEnv
from kinema.errors import InputError
from kinema.models.dit_model import DiTModel
from kinema.models.hub import Model
from kinema.playground.scene_distribution import SceneDistribution, tiny
from kinema.playground.tasks import Task

LEAST_SIDE = 36
"""Pixels that the network of pictures needs each way."""
TASK_STEPS = 32
"""Steps of each room between two updates of a task's agent."""
SAME_STEP = AutoresetMode.SAME_STEP
LearningProgress = Callable[[int, int, float], None]
"""(frames done, frames in all, mean reward of a frame lately)."""


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """frames: of experience. rooms: side by side. horizon: frames of an imagined episode. duration_s: time limit of a real one.
    starts: real rooms recorded to begin from, of starts_frames each. window: frames that imagination remembers. The others are
    PPO's."""

    frames: int = 400_000
    rooms: int = 64
    horizon: int = 40
    duration_s: float = 10.0
    fps: float = 16.0
    starts: int = 128
    starts_frames: int = 12
    window: int = 8
    rate: float = 1e-3
    discount: float = 0.97
    entropy: float = 0.002
    epochs: int = 6
    batch: int = 512
    width: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("frames", "rooms", "horizon", "starts", "epochs", "batch", "width"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: expected at least 1")


RECORDED = PPOConfig(frames=100_000, rooms=16, horizon=32, epochs=4, batch=256, rate=5e-4, discount=0.98, entropy=0.01)
"""Settings for recorded worlds, whose agents see pictures."""


class RolloutCallback(BaseCallback):
    """Tells how far learning is, after every rollout."""

    def __init__(self, show: LearningProgress, frames: int) -> None:
        super().__init__()
        self.show, self.frames = show, frames

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        rewards = self.model.rollout_buffer.rewards  # type: ignore[attr-defined]  # BaseAlgorithm is declared, PPO has it
        self.show(self.num_timesteps, self.frames, float(np.mean(rewards)))


def _task_rooms(
    task: Task, inside: Model | None, settings: PPOConfig, distribution: SceneDistribution
) -> tuple[VecEnv, int]:
    """Rooms to learn a task in, and how many real frames imagination begins from."""
    options: dict[str, Any] = {"task": str(task), "fps": settings.fps, "distribution": distribution}
    if inside is None:
        seeds = np.random.default_rng(settings.seed).integers(2**31, size=settings.rooms).tolist()
        real = playgrounds(settings.rooms, SAME_STEP, duration_s=settings.duration_s, **options)
        return task_rooms(real, task, seeds), 0
    starts = record_starts(
        inside,
        episodes=settings.starts,
        frames=settings.starts_frames,
        seen=settings.window + 1,
        seed=settings.seed,
        **options,
    )
    imagined = ImaginedVectorEnv(
        settings.rooms,
        model=inside,
        observation="state",
        duration_s=settings.horizon / settings.fps,
        starts=starts,
        window=settings.window,
        autoreset_mode=SAME_STEP,
        **options,
    )
    return task_rooms(imagined, task, settings.seed), starts.steps


def _recorded_rooms(inside: DiTModel, settings: PPOConfig, real: bool) -> VecEnv:
    """Recorded worlds to learn in, or the environment that they were recorded from."""
    world = inside.config.world or {}
    action, size = world["action"], (int(world["size"][0]), int(world["size"][1]))
    if min(size) < LEAST_SIDE:
        raise InputError(
            f"pictures of {size[1]}x{size[0]}: the learner's network needs {LEAST_SIDE}x{LEAST_SIDE} or more; record larger ones"
        )
    if real:
        if not world.get("env"):
            raise InputError(f"{inside.config.name} is of a dataset without an environment; learn inside the model")

        def room() -> gym.Env[Any, Any]:
            return PictureObservation(make_env(world["env"], **world.get("options", {})), size, world.get("picture"))

        return WorldsVecEnv(SyncVectorEnv([room] * settings.rooms, autoreset_mode=SAME_STEP), settings.seed, action=action)
    duration_s = settings.horizon / float(world["fps"])
    worlds = RecordedVectorEnv(settings.rooms, model=inside, duration_s=duration_s, autoreset_mode=SAME_STEP)
    return WorldsVecEnv(worlds, settings.seed, action=action)


def _world_of(inside: Model | DiTModel | None) -> dict[str, Any] | None:
    """What the config of a recorded world says of its environment; None for all else."""
    return inside.config.world if isinstance(inside, DiTModel) else None


def learn(
    task: str | None = None,
    *,
    inside: Model | DiTModel | None,
    settings: PPOConfig | None = None,
    distribution: SceneDistribution | None = None,
    real: bool = False,
    show: LearningProgress | None = None,
) -> Agent:
    """Train an agent inside a model, or by the same learner in the real environment.

    task: of the Playground; None in a recorded world, which pays what its environment paid. inside: the model; None for a task in
    real rooms. settings: by default `PPOConfig()` for a task and RECORDED for a recorded world. real: learn in the environment
    that the recorded world `inside` is of.
    """
    world = _world_of(inside)
    chosen = settings or (PPOConfig() if world is None else RECORDED)
    with kept_rng(), torch.inference_mode(False), torch.enable_grad(), float32_default():
        return _learn(task, inside, chosen, distribution, real, show)


def _learn(
    task: str | None,
    inside: Model | DiTModel | None,
    chosen: PPOConfig,
    distribution: SceneDistribution | None,
    real: bool,
    show: LearningProgress | None,
) -> Agent:
    world = _world_of(inside)
    goal: dict[str, Any]
    real_frames = None
    if isinstance(inside, DiTModel) and world is not None:
        if task is not None:
            raise InputError(
                f"task {task!r}: {inside.config.name} is a recorded world, which pays what its environment paid"
            )
        goal = {
            "env": world["env"],
            "options": world.get("options", {}),
            "size": (int(world["size"][0]), int(world["size"][1])),
            "action": world["action"],
            "picture": world.get("picture"),
        }
        rooms, n_steps = _recorded_rooms(inside, chosen, real), chosen.horizon
        policy, network = "CnnPolicy", None
    else:
        if isinstance(inside, DiTModel):
            raise InputError(f"{inside.config.name} films and is not stepped; an agent learns in a world")
        if task is None:
            name = "the Playground" if inside is None else inside.config.name
            raise InputError(f"{name} is no model of a recorded environment; an agent in it needs a task")
        goal = {"task": Task.parse(task)}
        rooms, real_frames = _task_rooms(goal["task"], inside, chosen, distribution or tiny())
        n_steps = TASK_STEPS
        policy, network = (
            "MlpPolicy",
            {"net_arch": [chosen.width, chosen.width], "log_std_init": -0.5, "activation_fn": torch.nn.Tanh},
        )
    learner = PPO(
        policy,
        rooms,
        learning_rate=lambda left: chosen.rate * max(left, 0.1),
        n_steps=n_steps,
        batch_size=min(chosen.batch, n_steps * chosen.rooms),
        n_epochs=chosen.epochs,
        gamma=chosen.discount,
        ent_coef=chosen.entropy,
        policy_kwargs=network,
        seed=chosen.seed % 2**32,
        device="cpu",
    )
    learner.learn(chosen.frames, callback=RolloutCallback(show, chosen.frames) if show else None)
    in_real = inside is None or real
    made = {
        "inside": "real" if inside is None or real else inside.config.name,
        "real_frames": learner.num_timesteps if in_real else real_frames,
        "frames": learner.num_timesteps,
        "settings": asdict(chosen),
    }
    return Agent(learner=learner, made=made, **goal)
