"""Worlds of recorded environments, measured: python -m benchmarks.recorded_worlds [ENV ...] [--minutes N] [--write]

Each environment is recorded by a random policy, a world is trained on the recording within a time budget, held-back episodes are
stepped with their true actions: error on the pixels that changed since the last known picture, in levels of 255, beside that of
copying it, and the ratio of both; how much larger the error is with other actions (1: all of it follows from them). Then an agent
that learned inside the world only is scored in the environment, beside acting at random. Those that are not installed are left
out, by name.
--write puts a table into docs/measurements/ and a strip of each world into docs/pictures/.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from benchmarks.autoencoder import machine
from benchmarks.first_light import ROOT
from PIL import Image

from kinema.agents import Score, learn, score_recorded
from kinema.agents.ppo import RECORDED
from kinema.autoencoder import load_autoencoder, to_uint8
from kinema.datasets.lerobot import Dataset
from kinema.datasets.recorder import record
from kinema.errors import InputError
from kinema.models.hub import load, read_config, weights_folder
from kinema.training.recorded_world import train_world
from kinema.training.recordings import WorldRecipe, held_back
from kinema.training.world_report import SHOWN

ENVS = {
    "ALE/Pong-v5": (14, 900),
    "ALE/Breakout-v5": (60, 900),
    "MiniGrid-DoorKey-6x6-v0": (120, 120),
    "CrafterReward-v1": (60, 400),
    "gym_pusht:gym_pusht/PushT-v0": (40, 300),
}
"""Episodes recorded of each, and how long they are at most."""


def measure(env: str, folder: Path, minutes: float, frames: int, episodes: int) -> dict[str, str]:
    """Record, train, step, learn and score one environment."""
    name = name_of(env)
    count, most = ENVS.get(env, (40, 200))
    data, run = folder / name, folder / f"{name}-run"
    if not (data / "meta/info.json").exists():
        record(env, data, episodes_wanted=count, most=most)
    if not (run / "world/config.json").exists():
        shutil.rmtree(run, ignore_errors=True)
        train_world(data, out=run, minutes=minutes, show=_show)
    trained = read_config(run / "world").trained
    found = trained["figures"]
    row = {"environment": env, "frames": f"{Dataset.open(data).total_frames:,}", "minutes": str(trained["minutes"])}
    row["shipped codec / its own"] = f"{shipped_codec(data):.1f} / {found['codec_db']:.1f} dB"
    for after in (one for one in SHOWN if f"error_{one}" in found):
        error, copied, ratio = (found[f"{name}_{after}"] for name in ("error", "copy", "ratio"))
        row[f"after {after} frames"] = f"{error:.0f} / {copied:.0f}: {ratio:.2f}"
    row["follows actions"] = f"{found['action_following']:.2f}"
    row["rewards: AUROC"] = (
        f"{found['rewards_auroc']:.2f}" if "rewards_auroc" in found else f"too few: {found['rewards']:.0f}"
    )
    row["termination: AUROC, ends"] = ends_of(found)
    world = load(run / "world")
    if frames:
        began = time.time()
        agent = learn(inside=world, settings=replace(RECORDED, frames=frames))
        learned = score_recorded(agent, env, episodes=episodes, most=most)
        apart = score_recorded(None, env, episodes=episodes, most=most)
        row["agent above random"] = above(learned, apart)
        row["agent"], row["random"] = str(learned), str(apart)
        print(f"agent: {time.time() - began:.0f} s", file=sys.stderr)
    print(row, flush=True)
    return row


def name_of(env: str) -> str:
    """Of the folder and the picture of an environment."""
    return env.rpartition(":")[2].replace("/", "-").lower()


def ends_of(figures: dict[str, float]) -> str:
    """AUROC of termination and the ends it rests on; worlds trained before it was measured have none."""
    if "ends" not in figures:
        return "not measured"
    auroc, ends = figures.get("ends_auroc"), f"{figures['ends']:.0f} ends"
    return f"too few: {ends}" if auroc is None else f"{auroc:.2f}, {ends}"


def above(agent: Score, apart: Score) -> str:
    """Mean return less that of acting at random, with a 95% bootstrap interval over the episodes of each."""
    rng = np.random.default_rng(0)
    means = [one.returns[rng.integers(0, len(one.returns), (2000, len(one.returns)))].mean(1) for one in (agent, apart)]
    low, high = np.percentile(means[0] - means[1], (2.5, 97.5))
    return f"{agent.mean - apart.mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def shipped_codec(data: Path) -> float:
    """PSNR of pictures of held-back episodes, through the codec that the world's began as."""
    autoencoder, recording = load_autoencoder(weights_folder() / WorldRecipe().autoencoder), Dataset.open(data)
    shown = [recording.episode(i).frames for i in range(len(recording) - held_back(len(recording)), len(recording))]
    some = np.concatenate([frames[:: max(1, len(frames) // 24)] for frames in shown])
    back = np.asarray(to_uint8(autoencoder.decode(autoencoder.encode_frames(some)[None].float())))[0]
    return float(10 * np.log10(255.0**2 / np.mean((back.astype(float) - some) ** 2)))


def _show(line: str) -> None:
    sys.stderr.write(f"\r\033[K{line}" if sys.stderr.isatty() else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("envs", nargs="*", help=f"Gymnasium ids (default: {', '.join(ENVS)})")
    parser.add_argument("--minutes", type=float, default=60.0, help="of training each (default: 60)")
    parser.add_argument(
        "--frames", type=int, default=50_000, help="an agent's imagined frames, 0 for no agent (default: 50000)"
    )
    parser.add_argument("--episodes", type=int, default=20, help="scored (default: 20)")
    parser.add_argument("--out", type=Path, default=Path("out/recorded-worlds"), help="what exists there is used again")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/recorded-worlds.md")
    given = parser.parse_args()
    rows = []
    for env in given.envs or list(ENVS):
        try:
            rows.append(measure(env, given.out, given.minutes, given.frames, given.episodes))
        except InputError as wrong:
            print(f"left out: {env}: {wrong}", file=sys.stderr)
            continue
        if given.write:
            name = name_of(env)
            picture = Image.open(given.out / f"{name}-run" / "rollout.png").convert("RGB")
            picture.save(ROOT / "docs" / "pictures" / f"world-{name}.jpg", quality=88, subsampling=0)
    if given.write and rows:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        table = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        table += [f"| {' | '.join(row.get(column, '') for column in columns)} |" for row in rows]
        head = f"# Recorded worlds\n\n`python -m benchmarks.recorded_worlds`, {date.today()}, {machine()}\n\n"
        folder = ROOT / "docs" / "measurements"
        (folder / "recorded-worlds.md").write_text(head + "\n".join(table) + "\n")
        (folder / "recorded-worlds.json").write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
