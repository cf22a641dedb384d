"""Agents (test 13): what is an agent worth in the real room that has learned inside the model?

The share of what the same learner earns with as many real frames, above what acting at random earns. Only of models that can be an
environment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinema.evaluation.model_under_test import Evaluated, KnowsTruth, kinema_model_of
from kinema.evaluation.task import ArenaTask, Metric, Result, TaskResult
from kinema.statistics import gain_share

TASK = "reach the flag"
FRAMES = {"quick": 10_240, "full": 51_200}
EPISODES = {"quick": 60, "full": 200}


def _evaluate(model: Evaluated, item: str) -> Result | None:
    from importlib.util import find_spec

    own = kinema_model_of(model)
    if find_spec("stable_baselines3") is None or not (own is not None or isinstance(model, KnowsTruth)):
        return None
    from kinema.agents import Policy, PPOConfig, Random, learn, score

    scale, seed = item.split("/")[0], int(item.split("/")[1])
    settings = PPOConfig(frames=FRAMES[scale], seed=seed)
    apart = score(Random(seed), TASK, episodes=EPISODES[scale])
    real = score(learn(TASK, inside=None, settings=settings), TASK, episodes=EPISODES[scale])
    policy: Policy
    if isinstance(model, KnowsTruth):
        inside = real if model.name == "oracle" else apart
    else:
        policy = learn(TASK, inside=own, settings=settings)
        inside = score(policy, TASK, episodes=EPISODES[scale])
    returns = {"inside": inside.returns, "real": real.returns, "random": apart.returns}
    share = (inside.mean - apart.mean) / max(real.mean - apart.mean, 1e-6)
    return {
        "value": float(np.clip(share, 0, 1)),
        **{name: [round(float(v), 4) for v in values] for name, values in returns.items()},
    }


def _aggregate(results: Sequence[Result], oracle: Sequence[Result]) -> TaskResult:
    columns = {name: np.concatenate([result[name] for result in results]) for name in ("inside", "real", "random")}
    count = len(columns["inside"])
    gain = gain_share(columns["inside"], columns["real"], columns["random"])
    metrics = [
        Metric(name=f"return in the real room, learned {name}", value=float(columns[key].mean()))
        for key, name in (("inside", "inside the model"), ("real", "in it"), ("random", "nothing (at random)"))
    ]
    if gain.share is None or gain.low is None or gain.high is None:
        return TaskResult(score=None, count=count, metrics=tuple(metrics))
    percent = [100 * value for value in (gain.share, gain.low, gain.high)]
    name = f"share of the real learner's gain above random, {count} episodes of each"
    metrics.append(Metric(name=name, value=percent[0], low=percent[1], high=percent[2], unit="%"))
    score, low, high = (float(np.clip(value, 0, 1)) for value in (gain.share, gain.low, gain.high))
    return TaskResult(score=score, low=low, high=high, count=count, metrics=tuple(metrics))


AGENTS = ArenaTask(
    name="agents",
    number="13",
    title="Agents",
    says="(return of an agent that learned inside - random) / (the same learner's with as many real frames - random)",
    examples=lambda scale: [f"{scale}/{seed}" for seed in range(1 if scale == "quick" else 3)],
    evaluate=_evaluate,
    aggregate=_aggregate,
    case=None,
    gate=0,
)
