"""Agents, measured: python -m benchmarks.agents [--model NAME] [--frames N] [--seeds N] [--episodes N] [--write]

Three tasks. An agent that learned inside the model only (its worlds begin with recorded stretches of real rooms) is scored in
real rooms, beside the same learner with as many real frames, and with only as many as those recordings hold; beside doing
nothing, acting at random, the planner and the imitator. --write puts the table into docs/measurements/.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date

import numpy as np
from benchmarks.codec import machine
from benchmarks.first_light import ROOT

from kinema.agents import Imitator, Planner, Policy, Random, Score, Settings, Still, learn, score
from kinema.models import DEFAULT, Model, load

TASKS = ("reach the flag", "touch the blue box", "push the red ball to the flag")


def told(scores: list[Score]) -> str:
    """Mean return over all episodes of all seeds, with a 95% interval, and how often the task was done."""
    both = Score(
        returns=np.concatenate([one.returns for one in scores]), successes=np.concatenate([one.successes for one in scores])
    )
    low, high = both.interval
    return f"{both.mean:.2f} [{low:.2f}, {high:.2f}], {100 * both.successes.mean():.0f}%"


def measure(model: Model, frames: int, seeds: int, episodes: int, planned: int) -> list[dict[str, str]]:
    """One row for each task and policy."""
    rows: list[dict[str, str]] = []

    def note(task: str, who: str, scores: list[Score], began: float) -> float:
        rows.append({"task": task, "who": who, "return": told(scores), "minutes": f"{(time.time() - began) / 60:.1f}"})
        print(f"{task}: {who}: {told(scores)} ({rows[-1]['minutes']} min)", flush=True)
        return float(np.mean([one.mean for one in scores]))

    for task in TASKS:
        plain: tuple[tuple[str, Policy, int], ...] = (
            ("nothing", Still(), episodes),
            ("random", Random(0), episodes),
            ("imitator, no training", Imitator(model, task), planned),
            ("planner, no training", Planner(model, task), planned),
        )
        for who, policy, count in plain:
            if not count:
                continue
            began = time.time()
            note(task, who, [score(policy, task, episodes=count)], began)
        means = {}
        few = frames
        for who in ("inside the model", "as many real frames", "only the recorded real frames"):
            began, scores = time.time(), []
            for seed in range(seeds):
                amount = few if who.startswith("only") else frames
                agent = learn(
                    task, inside=model if who.startswith("inside") else None, settings=Settings(frames=amount, seed=seed)
                )
                if who.startswith("inside"):
                    few = int(agent.made["real_frames"])
                scores.append(score(agent, task, episodes=episodes))
            means[who] = note(task, f"learned: {who} ({few if who.startswith('only') else frames:,})", scores, began)
        inside, real, only = means.values()
        rows.append(
            {
                "task": task,
                "who": "**bar: inside >= 80% of as many real, and above only the recorded**",
                "return": f"{100 * inside / real:.0f}%, {'above' if inside > only else 'below'}",
                "minutes": "met" if inside >= 0.8 * real and inside > only else "**missed**",
            }
        )
        print(rows[-1], flush=True)
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
            f" {given.model}, {date.today()}, {machine()}. Returns of episodes of ten seconds in the real room, and how often the"
            " task was done.\n\n| task | who | return, done | minutes |\n|---|---|---|---|\n"
        )
        lines = [f"| {row['task']} | {row['who']} | {row['return']} | {row['minutes']} |" for row in rows]
        (folder / "agents.md").write_text(head + "\n".join(lines) + "\n")
        (folder / "agents.json").write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
