"""Scoring a policy: whole episodes of a task, in the real room or in the model's, each counted once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinema.agents.policies import Policy
from kinema.envs.imagined import ImaginedVectorEnv
from kinema.envs.playground import PlaygroundEnv
from kinema.errors import InputError
from kinema.models.hub import Model
from kinema.playground.scene_distribution import SceneDistribution, tiny

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


def score(
    policy: Policy,
    task: str,
    *,
    episodes: int = 200,
    inside: Model | None = None,
    fps: float = 16.0,
    duration_s: float = 10.0,
    diet: SceneDistribution | None = None,
    seed: int = 0,
    show: Callable[[int, int], None] | None = None,
) -> Score:
    """Let a policy do a task; in the real room, or in a model where one is given."""
    if episodes < 1:
        raise InputError(f"{episodes} episodes: expected at least 1")
    returns, successes = [], []
    for first in range(0, episodes, SIDE_BY_SIDE):
        count = min(SIDE_BY_SIDE, episodes - first)
        run = _real if inside is None else _imagined
        gained, done = run(policy, task, count, inside, fps, duration_s, diet or tiny(), FIRST + seed * 100_003 + first)
        returns.append(gained)
        successes.append(done)
        if show is not None:
            show(first + count, episodes)
    return Score(returns=np.concatenate(returns), successes=np.concatenate(successes))


def _real(
    policy: Policy,
    task: str,
    count: int,
    inside: Model | None,
    fps: float,
    duration_s: float,
    diet: SceneDistribution,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rooms = [PlaygroundEnv(task=task, fps=fps, duration_s=duration_s, observation="state", diet=diet) for _ in range(count)]
    state = np.stack([np.asarray(room.reset(seed=seed + i)[0]) for i, room in enumerate(rooms)])
    gained, done = np.zeros(count), np.zeros(count, bool)
    going = np.ones(count, bool)
    actions = None
    policy.begin(count)
    while going.any():
        actions = policy.act(state, [room.scene for room in rooms], actions)
        for i in np.flatnonzero(going):
            seen, reward, terminated, truncated, _ = rooms[i].step(actions[i])
            state[i] = seen
            gained[i] += reward
            done[i], going[i] = terminated, not (terminated or truncated)
    return gained, done


def _imagined(
    policy: Policy,
    task: str,
    count: int,
    inside: Model | None,
    fps: float,
    duration_s: float,
    diet: SceneDistribution,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    worlds = ImaginedVectorEnv(
        count, model=inside, task=task, fps=fps, duration_s=duration_s, observation="state", diet=diet
    )
    state, _ = worlds.reset(seed=seed)
    gained, done = np.zeros(count), np.zeros(count, bool)
    going = np.ones(count, bool)
    actions = None
    policy.begin(count)
    while going.any():
        actions = policy.act(state, worlds.scenes(), actions)
        state, reward, terminated, truncated, _ = worlds.step(actions)
        gained += np.where(going, reward, 0.0)
        done |= going & terminated
        going &= ~(terminated | truncated)
    return gained, done
