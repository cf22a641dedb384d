"""Scores a world of the speedrun, and keeps the board of records: python -m benchmarks.speedrun RUN [--board] (docs/speedrun.md)

The world is stepped 64 frames ahead, with the true actions, in 48 stretches of episodes that are recorded anew here, with seeds
that no run may record. Its score is the mean of two, each 0 for repeating the last known picture and 1 for the real game:

    pictures   1 - error / error of repeating, on the pixels that changed, averaged over the 64 frames
    places     how often the thing that is acted with is where it should be, 49 to 64 frames ahead
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from benchmarks.autoencoder import machine
from benchmarks.command import run_benchmark
from benchmarks.recorded_worlds import ACTED, ENVS, PLACED_FROM, Acted, load_world

from kinema.datasets.lerobot import Dataset
from kinema.datasets.recorder import record
from kinema.errors import InputError
from kinema.statistics import mean_interval
from kinema.training.recordings import Recordings
from kinema.training.world_report import Rollouts, changed_error, roll_held_back

ENV = "MiniGrid-DoorKey-6x6-v0"
EPISODES, STRETCHES, FIRST_SEED = 40, 48, 10_000_000
"""Episodes recorded for the score, stretches of them that are stepped, and the seed of the first; runs record below it."""
MOST_MINUTES = 30.0
BOARD = Path(__file__).parents[1] / "docs" / "speedrun.md"
BEGIN, END = "<!-- board: begin -->\n", "<!-- board: end -->"


@dataclass(frozen=True)
class SpeedScore:
    """0: repeating the last known picture. 1: the real game."""

    pictures: float
    places: float

    @property
    def whole(self) -> float:
        return (self.pictures + self.places) / 2


def score_of(rolled: Rollouts, acted: Acted) -> SpeedScore:
    """The score of stretches that were stepped."""
    ratios = []
    for t in range(rolled.truth.shape[1]):
        repeated = changed_error(rolled.last, rolled.truth[:, t], rolled.last)
        if np.isfinite(repeated):
            ratios.append(changed_error(rolled.made[:, t], rolled.truth[:, t], rolled.last) / repeated)
    truth = rolled.truth[:, PLACED_FROM:]
    last = np.broadcast_to(rolled.last[:, None], truth.shape)
    made, repeated_places = (acted.share_in_place(x, truth) for x in (rolled.made[:, PLACED_FROM:], last))
    return SpeedScore(
        pictures=1.0 - float(np.mean(ratios)), places=(made - repeated_places) / max(1.0 - repeated_places, 1e-6)
    )


def score_world(run: Path, episodes: int = EPISODES, stretches: int = STRETCHES) -> SpeedScore:
    """Record new episodes, step the world through them, and score it."""
    model = load_world(run)
    with tempfile.TemporaryDirectory(prefix="kinema-speedrun-") as folder:
        world = model.config.world or {}
        named = "names" in (world.get("sensors") or {})
        entities = None if named else "none"
        record(ENV, folder, episodes_wanted=episodes, most=ENVS[ENV][1], seed=FIRST_SEED, entities=entities)
        recordings = Recordings(
            Dataset.open(folder), model.autoencoder, None, world["reward_scale"], sensors=world.get("sensors")
        )
        recordings.num_held_back = len(recordings.episodes)  # none of them was trained on
        return score_of(roll_held_back(model, recordings, stretches), ACTED[ENV])


def commit() -> str:
    """Of the working tree, with a + where it was changed."""
    said = [
        subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()
        for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "src", "runs", "benchmarks"))
    ]
    return said[0] + ("+" if said[1] else "")


def board(rows: Sequence[Mapping[str, object]]) -> str:
    """Runs of one commit and machine in one line of the board, the best mean first; three seeds or more make a record."""
    groups: dict[tuple[str, str], list[Mapping[str, object]]] = {}
    for row in rows:
        groups.setdefault((str(row["commit"]), str(row["machine"])), []).append(row)
    lines = []
    for (of, where), runs in groups.items():
        scores = [float(str(run["score"])) for run in runs]
        mean, low, high = mean_interval(scores) if len(scores) > 1 else (scores[0], scores[0], scores[0])
        spread = f"{mean:.3f} [{low:.3f}, {high:.3f}]" if len(scores) > 1 else f"{mean:.3f}"
        parts = " / ".join(f"{np.mean([float(str(run[name])) for run in runs]):.2f}" for name in ("pictures", "places"))
        minutes = max(float(str(run["minutes"])) for run in runs)
        what = "yes" if len(runs) >= 3 else f"no: {len(runs)} of 3 seeds"
        note = str(runs[-1].get("note", ""))
        cells = (spread, parts, f"{minutes:.1f}", str(len(runs)), what, of, str(runs[-1]["date"]), where, note)
        lines.append((mean, f"| {' | '.join(cells)} |"))
    head = (
        "| score | pictures / places | minutes | seeds | record | commit | date | machine | what is new |\n"
        + "|---" * 9
        + "|\n"
    )
    return head + "".join(f"{line}\n" for _, line in sorted(lines, reverse=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run's folder, with its world")
    parser.add_argument("--minutes", type=float, required=True, help="from the first recorded frame to the saved world")
    parser.add_argument("--seed", type=int, required=True, help="of the run")
    parser.add_argument("--board", action="store_true", help="write it into docs/speedrun.md")
    parser.add_argument("--note", default="", help="what is new about it")
    given = parser.parse_args()
    score = score_world(given.run)
    print(f"score {score.whole:.3f} (pictures {score.pictures:.3f}, places {score.places:.3f}), {given.minutes:.1f} minutes")
    if given.board and given.minutes > MOST_MINUTES:
        raise InputError(
            f"{given.minutes:.1f} minutes: the board takes runs of {MOST_MINUTES:g} at most; give it fewer MINUTES"
        )
    if given.board:
        kept = BOARD.parent / "measurements" / "speedrun.json"
        rows = json.loads(kept.read_text()) if kept.exists() else []
        row = {
            "commit": commit(), "date": str(date.today()), "machine": machine(), "seed": given.seed, "note": given.note,
            "minutes": round(given.minutes, 1), "score": round(score.whole, 4), "pictures": round(score.pictures, 4),
            "places": round(score.places, 4),
        }  # fmt: skip
        rows = [
            one
            for one in rows
            if (one["commit"], one["machine"], one["seed"]) != (row["commit"], row["machine"], given.seed)
        ]
        kept.write_text(json.dumps([*rows, row], indent=1) + "\n")
        text = BOARD.read_text()
        before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
        BOARD.write_text(before + board([*rows, row]) + after)
    return 0


if __name__ == "__main__":
    run_benchmark(main)
