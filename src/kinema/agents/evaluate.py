"""Scoring a policy: whole episodes, each counted once, of a task in real or imagined rooms, or of a recorded environment."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array
from numpy.typing import NDArray

from kinema.agents.agent import Agent
from kinema.agents.policies import Policy
from kinema.agents.vector_env import playgrounds
from kinema.datasets.observed import PictureObservation
from kinema.datasets.recorder import make_env
from kinema.envs.imagined import ImaginedVectorEnv
from kinema.envs.playground import PlaygroundEnv
from kinema.errors import InputError
from kinema.models.hub import Model
from kinema.playground.scene_distribution import SceneDistribution, tiny
from kinema.scene.scene import Scene

FIRST = 1_500_000_000
"""Seeds of scored rooms begin here; nothing learns in them."""
SIDE_BY_SIDE = 50


@dataclass(frozen=True, kw_only=True)
class Score:
    """returns [N] and successes [N] of episodes."""

    returns: NDArray[np.float64]
    successes: NDArray[np.bool_]

    @property
    def mean(self) -> float:
        return float(self.returns.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95% bootstrap interval of the mean return."""
        rng = np.random.default_rng(0)
        means = self.returns[rng.integers(0, len(self.returns), (2000, len(self.returns)))].mean(1)
        low, high = np.percentile(means, (2.5, 97.5))
        return float(low), float(high)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"return {self.mean:.2f} [{low:.2f}, {high:.2f}], done in {100 * self.successes.mean():.0f}% of"
            f" {len(self.returns)} episodes"
        )


def _play(
    worlds: VectorEnv[Any, Any, Any],
    policy: Policy,
    seed: int,
    scenes: Callable[[], list[Scene]] = list,
    most: float = math.inf,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return [B] of one episode in each world, cut after `most` frames, and whether it terminated [B]."""
    observation, _ = worlds.reset(seed=seed)
    returns, terminated_once = np.zeros(worlds.num_envs), np.zeros(worlds.num_envs, bool)
    running = np.ones(worlds.num_envs, bool)
    actions, frame = None, 0
    policy.begin(worlds.num_envs)
    while running.any() and frame < most:
        actions = policy.act(observation, scenes(), actions)
        observation, reward, terminated, truncated, _ = worlds.step(actions)
        returns += np.where(running, reward, 0.0)
        terminated_once |= running & terminated
        running &= ~(terminated | truncated)
        frame += 1
    return returns, terminated_once


def episode_seed(seed: int, number: int) -> int:
    """Of episode `number` of a score, away from the episodes that agents learn in."""
    return (FIRST + seed * 100_003 + number) % 2**31


def score(
    policy: Policy,
    task: str,
    *,
    episodes: int = 200,
    inside: Model | None = None,
    fps: float = 16.0,
    duration_s: float = 10.0,
    distribution: SceneDistribution | None = None,
    seed: int = 0,
    show: Callable[[int, int], None] | None = None,
) -> Score:
    """Let a policy do a task; in the real room, or in a model where one is given."""
    if episodes < 1:
        raise InputError(f"{episodes} episodes: expected at least 1")
    options: dict[str, Any] = {"task": task, "fps": fps, "duration_s": duration_s, "distribution": distribution or tiny()}
    runs = []
    for first in range(0, episodes, SIDE_BY_SIDE):
        count = min(SIDE_BY_SIDE, episodes - first)
        begin = episode_seed(seed, first)
        if inside is None:
            rooms = playgrounds(count, AutoresetMode.NEXT_STEP, **options)
            runs.append(_play(rooms, policy, begin, partial(_scenes_of, rooms)))
        else:
            imagined = ImaginedVectorEnv(count, model=inside, observation="state", **options)
            runs.append(_play(imagined, policy, begin, imagined.scenes))
        if show is not None:
            show(first + count, episodes)
    return _joined(runs)


def _scenes_of(rooms: SyncVectorEnv) -> list[Scene]:
    return [cast(PlaygroundEnv, room).scene for room in rooms.envs]


def _joined(runs: list[tuple[NDArray[np.float64], NDArray[np.bool_]]]) -> Score:
    returns, successes = zip(*runs, strict=True)
    return Score(returns=np.concatenate(returns), successes=np.concatenate(successes))


class _AnyAction:
    """Any action of a space."""

    def __init__(self, space: gym.Space[Any], seed: int) -> None:
        self._space = space
        space.seed(seed)

    def begin(self, count: int) -> None:
        pass

    def act(self, observation: NDArray[Any], scenes: list[Scene], actions: Any) -> Any:
        actions = create_empty_array(self._space, len(observation))
        return concatenate(self._space, [self._space.sample() for _ in observation], actions)


def score_recorded(
    agent: Policy | None,
    env_id: str,
    *,
    episodes: int = 20,
    options: dict[str, Any] | None = None,
    size: tuple[int, int] = (64, 64),
    most: int = 20_000,
    seed: int = 0,
    show: Callable[[int, int], None] | None = None,
) -> Score:
    """Whole episodes in a recorded environment itself; agent None acts at random. Done means that an episode terminated.

    size: of the pictures, height and width; an agent's own if there is one. most: frames of an episode.
    """
    if episodes < 1:
        raise InputError(f"{episodes} episodes: expected at least 1")
    shown = agent.size if isinstance(agent, Agent) else size
    picture = agent.picture if isinstance(agent, Agent) else None
    env = SyncVectorEnv([lambda: PictureObservation(make_env(env_id, **(options or {})), shown, picture)])
    policy = agent or _AnyAction(env.single_action_space, seed)
    runs = []
    for episode in range(episodes):
        runs.append(_play(env, policy, episode_seed(seed, episode), most=most))
        if show is not None:
            show(episode + 1, episodes)
    env.close()
    return _joined(runs)
