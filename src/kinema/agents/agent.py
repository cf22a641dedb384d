"""A learned policy: acting, saving, opening."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO

from kinema.agents.roles import WIDTH, roles
from kinema.envs.spaces import Spec, batch_from_learner
from kinema.errors import MediaError, OutputError
from kinema.playground.tasks import Task
from kinema.scene.scene import Scene
from kinema.types import parse_json

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A policy that PPO has learned, for a task of the Playground or for a recorded environment.

    task: None for an environment. env, options: the environment's Gymnasium id and what it is made with. size: height and width of
    its pictures. action: its action space, of which the policy acts in the `learner_space`; None: in the space itself. picture:
    where its pictures come from, as of `record`. made: how the agent was trained, for the record.
    """

    learner: Any
    made: dict[str, Any]
    task: Task | None = None
    env: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (64, 64)
    action: Spec | None = None
    picture: str | None = None

    def begin(self, count: int) -> None:
        """It remembers nothing of earlier episodes."""

    def act(self, observation: NDArray[Any], scenes: list[Scene], actions: Any) -> Any:
        """Actions [B, ...]: the likeliest for a task's `state` observations [B, K, F], drawn ones for pictures [B, H, W, 3]."""
        if self.task is None:
            drawn = self.learner.predict(observation, deterministic=False)[0]
            return np.asarray(drawn) if self.action is None else batch_from_learner(self.action, drawn)
        return np.asarray(self.learner.predict(roles(observation, self.task), deterministic=True)[0], np.float32)

    def save(self, folder: Path | str, *, force: bool = False) -> Path:
        """Write policy.zip, as Stable-Baselines3 does, and agent.json, which is there only when the policy is.

        OutputError: there is an agent and force is False, a full disk, no permission.
        """
        out = Path(folder)
        about: dict[str, Any] = {"task": str(self.task), "inputs": WIDTH}
        if self.task is None:
            about = {
                "env": self.env,
                "options": self.options,
                "size": list(self.size),
                "action": self.action,
                "picture": self.picture,
            }
        if (out / "agent.json").exists() and not force:
            raise OutputError(f"{out} holds an agent already; name another folder, or overwrite it with force")
        try:
            out.mkdir(parents=True, exist_ok=True)
            self.learner.save(out / "policy.tmp.zip")
            (out / "policy.tmp.zip").replace(out / "policy.zip")
            (out / "agent.json").write_text(
                json.dumps({"format": FORMAT, **about, "made": self.made}, indent=1) + "\n", encoding="utf-8"
            )
        except OSError as error:
            raise OutputError(f"the agent could not be written to {out}: {error.strerror}") from None
        return out

    @staticmethod
    def open(folder: Path | str) -> Agent:
        """The agent that `save` wrote. MediaError: there is none, or none that this version can read."""
        path = Path(folder) / "agent.json"
        if not path.exists():
            raise MediaError(f"{folder} holds no agent (agent.json); expected a folder made by kinema agent train")
        try:
            about = parse_json(path.read_text(encoding="utf-8"))
            goal: dict[str, Any]
            if "env" in about:
                height, width = about["size"]
                goal = {"env": about["env"], "options": about["options"], "size": (int(height), int(width))}
                goal |= {"action": about.get("action"), "picture": about.get("picture")}
            else:
                goal = {"task": Task.parse(about["task"])}
            if about["format"] != FORMAT or ("task" in goal and about["inputs"] != WIDTH):
                raise MediaError(f"{folder} was made by another version (format {about['format']}); train the agent again")
            return Agent(learner=PPO.load(Path(folder) / "policy.zip", device="cpu"), made=about["made"], **goal)
        except MediaError:
            raise
        except (KeyError, TypeError, ValueError, OSError, RuntimeError) as error:
            raise MediaError(f"{folder} holds an agent that cannot be read: {error}") from None
