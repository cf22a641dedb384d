"""Learning a task by PPO (Stable-Baselines3), inside the model or in the real room, by the same learner.

    agent = kinema.agents.ppo("reach the flag", inside=kinema.load("kinema-tiny"))
    agent.save("runner")

Inside the model every episode is short: it begins with a stretch of a recorded room, so that states which the robot meets late
are met often, and the model's errors have no time to grow.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from kinema.agents.roles import WIDTH, roles
from kinema.agents.starts import record
from kinema.agents.vector_env import ACTIONS, OBSERVATIONS, ImaginedRooms, RealRooms, Rooms
from kinema.errors import InputError, MediaError, OutputError
from kinema.models.hub import Model
from kinema.playground.scene_distribution import SceneDistribution, tiny
from kinema.playground.tasks import Task
from kinema.scene.scene import Scene

FORMAT = 1
Show = Callable[[int, int, float], None]
"""(frames done, frames in all, mean reward of a frame lately)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
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


def write_agent(out: Path, learner: PPO, about: dict[str, Any], force: bool) -> Path:
    """policy.zip, as Stable-Baselines3 writes it, and agent.json, which is there only when the policy is."""
    if (out / "agent.json").exists() and not force:
        raise OutputError(f"{out} holds an agent already; name another folder, or overwrite it with force")
    try:
        out.mkdir(parents=True, exist_ok=True)
        learner.save(out / "policy.tmp.zip")
        (out / "policy.tmp.zip").replace(out / "policy.zip")
        (out / "agent.json").write_text(json.dumps({"format": FORMAT, **about}, indent=1) + "\n")
    except OSError as wrong:
        raise OutputError(f"the agent could not be written to {out}: {wrong.strerror}") from None
    return out


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A learned policy for one task. made: how, for the record."""

    task: Task
    learner: Any
    made: dict[str, Any]

    def begin(self, count: int) -> None:
        """It remembers nothing of earlier rooms."""

    def act(
        self, state: NDArray[np.float32], scenes: list[Scene], actions: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """Actions [B, 2] for `state` observations [B, K, F]."""
        chosen, _ = self.learner.predict(roles(state, self.task).clip(-20, 20), deterministic=True)
        return np.asarray(chosen, np.float32)

    def save(self, folder: Path | str, *, force: bool = False) -> Path:
        """policy.zip, as Stable-Baselines3 writes it, and agent.json."""
        about = {"task": str(self.task), "inputs": WIDTH, "made": self.made}
        return write_agent(Path(folder), self.learner, about, force)

    @staticmethod
    def open(folder: Path | str) -> Agent:
        """What `save` wrote."""
        path = Path(folder) / "agent.json"
        if not path.exists():
            raise MediaError(f"{folder} holds no agent (agent.json); expected a folder made by kinema agent train")
        try:
            about = json.loads(path.read_text())
            if about["format"] != FORMAT or about["inputs"] != WIDTH:
                raise MediaError(f"{folder} was made by another version (format {about['format']}); train the agent again")
            task = Task.parse(about["task"])
            learner = PPO.load(Path(folder) / "policy.zip", device="cpu")
        except MediaError:
            raise
        except (KeyError, ValueError, OSError, RuntimeError) as wrong:
            raise MediaError(f"{folder} holds an agent that cannot be read: {wrong}") from None
        return Agent(task=task, learner=learner, made=about["made"])


class Shown(BaseCallback):
    """Tells how far learning is, after every rollout."""

    def __init__(self, show: Show, frames: int) -> None:
        super().__init__()
        self.show, self.frames = show, frames

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        rewards = self.model.rollout_buffer.rewards  # type: ignore[attr-defined]  # BaseAlgorithm is declared, PPO has it
        self.show(self.num_timesteps, self.frames, float(np.mean(rewards)))


def rooms_for(task: str, inside: Model | None, settings: Settings, diet: SceneDistribution) -> tuple[Rooms, int]:
    """Rooms to learn in, and how many real frames imagination begins from."""
    if inside is None:
        return RealRooms(
            settings.rooms, task, fps=settings.fps, duration_s=settings.duration_s, diet=diet, seed=settings.seed
        ), 0
    starts = record(
        inside,
        task,
        episodes=settings.starts,
        frames=settings.starts_frames,
        seen=settings.window + 1,
        fps=settings.fps,
        diet=diet,
        seed=settings.seed,
    )
    imagined = ImaginedRooms(
        settings.rooms, task, model=inside, starts=starts, fps=settings.fps, horizon=settings.horizon, diet=diet,
        seed=settings.seed,
    )  # fmt: skip
    return imagined, starts.steps


def learn(
    task: str,
    *,
    inside: Model | None,
    settings: Settings | None = None,
    diet: SceneDistribution | None = None,
    show: Show | None = None,
) -> Agent:
    """Train an agent for a task inside a model, or in the real room where `inside` is None."""
    wish, room = settings or Settings(), diet or tiny()
    told = Task.parse(task)
    rooms, seen = rooms_for(str(told), inside, wish, room)
    learner = PPO(
        "MlpPolicy",
        rooms,
        learning_rate=lambda left: wish.rate * max(left, 0.1),
        n_steps=32,
        batch_size=min(wish.batch, 32 * wish.rooms),
        n_epochs=wish.epochs,
        gamma=wish.discount,
        ent_coef=wish.entropy,
        policy_kwargs={"net_arch": [wish.width, wish.width], "log_std_init": -0.5, "activation_fn": torch.nn.Tanh},
        seed=wish.seed % 2**32,
        device="cpu",
    )
    learner.learn(wish.frames, callback=Shown(show, wish.frames) if show else None)
    made = {
        "inside": inside.config.name if inside else "real",
        "real_frames": seen if inside else learner.num_timesteps,
        "frames": learner.num_timesteps,
        "settings": asdict(wish),
    }
    assert learner.observation_space == OBSERVATIONS and learner.action_space == ACTIONS
    return Agent(task=told, learner=learner, made=made)
