"""Agents, measured: python -m benchmarks.agents [--model NAME] [--frames N] [--seeds N] [--episodes N] [--write]

Three tasks. An agent that learned inside the model only (its worlds begin with recorded stretches of real rooms) is scored in
real rooms, beside the same learner with as many real frames, and with only as many as those recordings hold; beside doing
nothing, acting at random, the planner and the imitator. Each return is also given as the share of the real learner's gain above
acting at random: (return - random) / (real learner - random), 0 for random and 100% for the learner in the real room.
--write puts the table into docs/measurements/.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from typing import Any

import numpy as np
from benchmarks.autoencoder import machine
from benchmarks.command import run_benchmark
from benchmarks.first_light import ROOT, described

from kinema.agents import Imitator, Planner, Policy, PPOConfig, Random, Score, Still, learn, score
from kinema.models.hub import DEFAULT, Model, load
from kinema.statistics import gain_share

TASKS = ("reach the flag", "touch the blue box", "push the red ball to the flag")


REAL, INSIDE, RECORDED = "as many real frames", "inside the model", "only the recorded real frames"
RANDOM = "random"
COLUMNS = ("task", "who", "return", "done", "above random", "minutes")
BAR = "**bar: inside >= 80% of the real learner's gain above random, and above only the recorded**"


def joined(scores: list[Score]) -> Score:
    """All episodes of all seeds."""
    return Score(
        returns=np.concatenate([one.returns for one in scores]), successes=np.concatenate([one.successes for one in scores])
    )


def row_of(task: str, who: str, score: Score, minutes: float) -> dict[str, Any]:
    """Mean return with its 95% interval, number of episodes, and how often the task was done."""
    low, high = score.interval
    return {
        "task": task,
        "who": who,
        "return": f"{score.mean:.2f} [{low:.2f}, {high:.2f}], n = {len(score.returns)}",
        "done": f"{100 * score.successes.mean():.0f}%",
        "above random": "",
        "minutes": f"{minutes:.1f}",
    }


def measure(model: Model, frames: int, seeds: int, episodes: int, planned: int) -> list[dict[str, Any]]:
    """One row for each task and policy, and the bar's after each task."""
    rows: list[dict[str, Any]] = []
    for task in TASKS:
        scores: dict[str, Score] = {}
        names: dict[str, str] = {}
        minutes: dict[str, float] = {}
        plain: tuple[tuple[str, Policy, int], ...] = (
            ("nothing", Still(), episodes),
            (RANDOM, Random(0), episodes),
            ("imitator, no training", Imitator(model, task), planned),
            ("planner, no training", Planner(model, task), planned),
        )
        for who, policy, count in plain:
            if not count:
                continue
            began = time.time()
            scores[who], names[who] = score(policy, task, episodes=count), who
            minutes[who] = (time.time() - began) / 60
        few = frames
        for who in (INSIDE, REAL, RECORDED):
            began, found = time.time(), []
            amount = few if who == RECORDED else frames
            for seed in range(seeds):
                agent = learn(task, inside=model if who == INSIDE else None, settings=PPOConfig(frames=amount, seed=seed))
                if who == INSIDE:
                    few = int(agent.made["real_frames"])
                found.append(score(agent, task, episodes=episodes))
            scores[who], names[who] = joined(found), f"learned: {who} ({amount:,})"
            minutes[who] = (time.time() - began) / 60
            print(f"{task}: {names[who]}: {scores[who]}", flush=True)
        rows += task_rows(task, scores, names, minutes)
    return rows


def task_rows(task: str, scores: dict[str, Score], names: dict[str, str], minutes: dict[str, float]) -> list[dict[str, Any]]:
    """The rows of one task: every policy's return, and its share of the real learner's gain above random."""
    rows = []
    for who, found in scores.items():
        row = row_of(task, names[who], found, minutes[who])
        if who == REAL:
            row["above random"] = "100%"
        elif who != RANDOM:
            row["above random"] = str(gain_share(found.returns, scores[REAL].returns, scores[RANDOM].returns))
        rows.append(row)
    gain = gain_share(scores[INSIDE].returns, scores[REAL].returns, scores[RANDOM].returns)
    above = scores[INSIDE].mean > scores[RECORDED].mean
    met = gain.share is not None and gain.share >= 0.8 and above
    rows.append(
        {
            "task": task,
            "who": BAR,
            "return": "above" if above else "below",
            "done": "",
            "above random": str(gain),
            "minutes": "met" if met else "**missed**",
        }
    )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--frames", type=int, default=400_000, help="of experience (default: 400000)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument(
        "--planned", type=int, default=20, help="episodes of planner and imitator, which are slow (default: 20)"
    )
    parser.add_argument("--write", action="store_true", help="write docs/measurements/agents.md")
    given = parser.parse_args()
    rows = measure(load(given.model), given.frames, given.seeds, given.episodes, given.planned)
    if given.write:
        folder = ROOT / "docs" / "measurements"
        head = (
            "# Agents\n\n`python -m benchmarks.agents"
            f" --frames {given.frames} --seeds {given.seeds} --episodes {given.episodes} --planned {given.planned}`,"
            f" {described(given.model)}, {date.today()}, {machine()}. Returns of episodes of ten seconds in the real room, how"
            " often the task was done, and the share of the real learner's gain above random: (return - random) / (return of"
            " the learner with as many real frames - random), with 95% intervals over episodes."
            " Below 0%: worse than acting at random.\n\n"
        )
        table = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
        table += [f"| {' | '.join(row[name] for name in COLUMNS)} |" for row in rows]
        (folder / "agents.md").write_text(head + "\n".join(table) + "\n")
        (folder / "agents.json").write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    run_benchmark(main)
