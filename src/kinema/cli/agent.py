"""kinema agent: train an agent for a task inside a model, and score it in the real room."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.cli.options import add_device, number, seed, whole
from kinema.errors import InputError

if TYPE_CHECKING:
    from kinema.agents import Policy
    from kinema.cli.train import Line
    from kinema.models.hub import Model

TASKS = "'reach the flag', 'push the COLOR KIND to the flag' or 'touch the COLOR KIND'"
POLICIES = ("planner", "imitator", "random", "still")
REAL = "real"


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    agent = subparsers.add_parser("agent", help="train and score agents", description=__doc__)
    verbs = agent.add_subparsers(required=True, metavar="train|score")

    train = verbs.add_parser(
        "train", help="learn a task by PPO", description="Learn a task by PPO, inside a model or for real."
    )
    train.add_argument("--task", help=f"{TASKS}; none in a recorded world")
    train.add_argument("--inside", default="kinema-tiny", help="a model's name or folder, or 'real' (default: kinema-tiny)")
    add_device(train)
    train.add_argument("--frames", type=whole, default=None, help="frames of experience (default: 400000)")
    train.add_argument("--horizon", type=whole, default=None, help="frames of an imagined episode (default: 40)")
    train.add_argument("--seed", type=seed, default=0)
    train.add_argument("-o", "--output", type=Path, default=Path("agent"), help="folder to write (default: agent)")
    train.add_argument("--force", action="store_true", help="overwrite what is there")
    train.set_defaults(run=run_train)

    score = verbs.add_parser(
        "score", help="returns of whole episodes", description="Let an agent do its task and say how it went."
    )
    score.add_argument("agent", help=f"a trained agent's folder, or {', '.join(POLICIES)}")
    score.add_argument("--task", help=f"{TASKS} (default: what the agent learned)")
    score.add_argument("--env", help="of a recorded world, for the policy random: its Gymnasium id")
    score.add_argument("--in", dest="where", default=REAL, help="'real' or a model's name or folder (default: real)")
    score.add_argument("--model", default="kinema-tiny", help="what planner and imitator think with (default: kinema-tiny)")
    add_device(score)
    score.add_argument("--episodes", type=whole, default=200, help="how many (default: 200)")
    score.add_argument("--seconds", type=number, default=10.0, help="time limit of an episode (default: 10)")
    score.add_argument("--seed", type=seed, default=0)
    score.set_defaults(run=run_score)


def _check() -> None:
    if find_spec("stable_baselines3") is None:
        raise InputError("agents need Stable-Baselines3: pip install 'kinema[agents]'")


def run_train(arguments: argparse.Namespace) -> int:
    _check()
    from kinema.agents import Settings, learn
    from kinema.cli.train import Line
    from kinema.models.hub import load

    if (arguments.output / "agent.json").exists() and not arguments.force:
        raise InputError(f"{arguments.output} holds an agent already; name another folder with -o, or add --force")
    given = {name: getattr(arguments, name) for name in ("frames", "horizon") if getattr(arguments, name) is not None}
    inside = None if arguments.inside == REAL else load(arguments.inside, device=arguments.device)
    line = Line()
    if inside is not None and inside.config.world is not None:
        return _train_recorded(arguments, inside, line)
    if arguments.task is None:
        raise InputError(f"--task is missing: {TASKS}")
    agent = learn(
        arguments.task,
        inside=inside,
        settings=Settings(seed=arguments.seed, **given),
        show=lambda done, of, reward: line.write(f"{done:,} of {of:,} frames, reward {reward:+.4f} a frame"),
    )
    folder = agent.save(arguments.output, force=arguments.force)
    line.write(f"agent for '{agent.task}' written to {folder}", True)
    return 0


def _train_recorded(arguments: argparse.Namespace, inside: Model, line: Line) -> int:
    from dataclasses import replace

    from kinema.agents import learn_recorded
    from kinema.agents.recorded import QUICK

    if arguments.task is not None:
        raise InputError(f"--task: {inside.config.name} is a recorded world, which pays what its environment paid")
    given = {name: getattr(arguments, name) for name in ("frames", "horizon") if getattr(arguments, name) is not None}
    agent = learn_recorded(
        inside,
        settings=replace(QUICK, seed=arguments.seed, **given),
        show=lambda done, of, reward: line.write(f"{done:,} of {of:,} frames, reward {reward:+.4f} a frame"),
    )
    line.write(f"agent for {agent.env} written to {agent.save(arguments.output, force=arguments.force)}", True)
    return 0


def _policy(arguments: argparse.Namespace) -> tuple[Policy, str]:
    from kinema.agents import Agent, Imitator, Planner, Random, Still
    from kinema.models.hub import load

    if arguments.agent not in POLICIES:
        agent = Agent.open(arguments.agent)
        return agent, arguments.task or str(agent.task)
    if arguments.task is None:
        raise InputError(f"{arguments.agent} has learned no task; name one with --task: {TASKS}")
    if arguments.agent == "planner":
        return Planner(load(arguments.model, device=arguments.device), arguments.task, seed=arguments.seed), arguments.task
    if arguments.agent == "imitator":
        return Imitator(load(arguments.model, device=arguments.device), arguments.task), arguments.task
    return (Random(arguments.seed) if arguments.agent == "random" else Still()), arguments.task


def run_score(arguments: argparse.Namespace) -> int:
    _check()
    from kinema.agents import RecordedAgent, score
    from kinema.cli.train import Line
    from kinema.models.hub import load

    line = Line()
    if arguments.env is not None or RecordedAgent.is_one(arguments.agent):
        return _score_recorded(arguments, line)
    policy, task = _policy(arguments)
    result = score(
        policy,
        task,
        episodes=arguments.episodes,
        inside=None if arguments.where == REAL else load(arguments.where, device=arguments.device),
        duration_s=arguments.seconds,
        seed=arguments.seed,
        show=lambda done, of: line.write(f"{done} of {of} episodes", done == of),
    )
    print(f"{arguments.agent}, '{task}', {arguments.where}: {result}", file=sys.stdout)
    return 0


def _score_recorded(arguments: argparse.Namespace, line: Line) -> int:
    from kinema.agents import RecordedAgent, score_recorded

    agent = None if arguments.agent == "random" else RecordedAgent.open(arguments.agent)
    env = arguments.env or (agent.env if agent else "")
    if arguments.where != REAL:
        raise InputError(
            f"--in {arguments.where}: agents of recorded worlds are scored in their environment; leave --in out"
        )
    result = score_recorded(
        agent,
        env,
        episodes=arguments.episodes,
        options=agent.options if agent else None,
        seed=arguments.seed,
        show=lambda done, of: line.write(f"{done} of {of} episodes", done == of),
    )
    print(f"{arguments.agent}, {env}: {result}", file=sys.stdout)
    return 0
