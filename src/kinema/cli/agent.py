"""kinema agent: train an agent for a task inside a model, and score it in the real room."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from kinema.cli.options import add_device, import_from_here, model_name, number, seed, whole
from kinema.errors import InputError

if TYPE_CHECKING:
    from kinema.agents import Policy

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
    train.add_argument(
        "--frames", type=whole, default=None, help="frames of experience (default: 400000, in a recorded world 100000)"
    )
    train.add_argument(
        "--horizon", type=whole, default=None, help="frames of an imagined episode (default: 40, in a recorded world 32)"
    )
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
    score.add_argument(
        "--in",
        dest="where",
        default=REAL,
        help="'real' or a model's name or folder (default: real); agents of recorded worlds are scored for real",
    )
    score.add_argument(
        "--model", type=model_name, default="kinema-tiny", help="what planner and imitator think with (default: kinema-tiny)"
    )
    add_device(score)
    score.add_argument("--episodes", type=whole, default=200, help="how many (default: 200)")
    score.add_argument(
        "--seconds",
        type=number,
        default=None,
        help="time limit of an episode (default: 10); recorded environments have their own",
    )
    score.add_argument("--seed", type=seed, default=0)
    score.set_defaults(run=run_score)


def _check() -> None:
    if find_spec("stable_baselines3") is None:
        raise InputError("agents need Stable-Baselines3: pip install 'kinema[agents]'")


def run_train(arguments: argparse.Namespace) -> int:
    _check()
    import_from_here()
    from kinema.agents import PPOConfig, learn
    from kinema.agents.ppo import RECORDED
    from kinema.cli.train import Line
    from kinema.models.dit_model import DiTModel
    from kinema.models.hub import load

    if (arguments.output / "agent.json").exists() and not arguments.force:
        raise InputError(f"{arguments.output} holds an agent already; name another folder with -o, or add --force")
    given = {name: getattr(arguments, name) for name in ("frames", "horizon") if getattr(arguments, name) is not None}
    inside = None if arguments.inside == REAL else load(arguments.inside, device=arguments.device)
    recorded = isinstance(inside, DiTModel) and inside.config.world is not None
    if arguments.task is None and not recorded:
        raise InputError(f"--task is missing: {TASKS}")
    line = Line()
    agent = learn(
        arguments.task,
        inside=inside,
        settings=replace(RECORDED if recorded else PPOConfig(), seed=arguments.seed, **given),
        show=lambda done, of, reward: line.write(f"{done:,} of {of:,} frames, reward {reward:+.4f} a frame"),
    )
    folder = agent.save(arguments.output, force=arguments.force)
    line.write(f"agent for {agent.env or repr(str(agent.task))} written to {folder}", True)
    return 0


def _policy(arguments: argparse.Namespace) -> Policy:
    """The untrained policy or the trained agent that the command line names."""
    from kinema.agents import Agent, Imitator, Planner, Random, Still
    from kinema.models.hub import load_slot_model

    name, task = arguments.agent, arguments.task
    if name not in POLICIES:
        return Agent.open(name)
    if task is None and (arguments.env is None or name != "random"):
        raise InputError(f"{name} has learned no task; name one with --task: {TASKS}")
    if name in ("random", "still"):
        return Random(arguments.seed) if name == "random" else Still()
    model = load_slot_model(arguments.model, device=arguments.device)
    return Planner(model, task, seed=arguments.seed) if name == "planner" else Imitator(model, task)


def run_score(arguments: argparse.Namespace) -> int:
    _check()
    import_from_here()
    from kinema.agents import Agent, Random, score, score_recorded
    from kinema.cli.train import Line
    from kinema.models.hub import load_slot_model

    line, policy = Line(), _policy(arguments)
    agent = policy if isinstance(policy, Agent) else None

    def show(done: int, of: int) -> None:
        line.write(f"{done} of {of} episodes", done == of)

    env = arguments.env or (agent.env if agent else None)
    if env is None:
        task = arguments.task or str(agent.task if agent else "")
        result = score(
            policy,
            task,
            episodes=arguments.episodes,
            inside=None if arguments.where == REAL else load_slot_model(arguments.where, device=arguments.device),
            duration_s=10.0 if arguments.seconds is None else arguments.seconds,
            seed=arguments.seed,
            show=show,
        )
        print(f"{arguments.agent}, '{task}', {arguments.where}: {result}", file=sys.stdout)
        return 0
    if arguments.where != REAL:
        raise InputError(
            f"--in {arguments.where}: agents of recorded worlds are scored in their environment; leave --in out"
        )
    if arguments.seconds is not None:
        raise InputError(f"--seconds {arguments.seconds:g}: {env} ends its episodes itself; leave --seconds out")
    if not isinstance(policy, Random) and (agent is None or agent.env is None):
        raise InputError(f"{arguments.agent} acts in the Playground only; expected random or an agent of a recorded world")
    options = agent.options if agent else None
    result = score_recorded(agent, env, episodes=arguments.episodes, options=options, seed=arguments.seed, show=show)
    print(f"{arguments.agent}, {env}: {result}", file=sys.stdout)
    return 0
