"""Worlds of recorded environments, measured: python -m benchmarks.recorded_worlds [ENV ...] [--minutes N] [--write]

Each environment is recorded by a random policy, PushT by one that pushes its block; a world is trained on the recording within a
time budget, held-back episodes are stepped with their true actions: error on the pixels that changed since the last known picture,
in levels of 255, beside that of copying it, and the ratio of both; how much larger the error is with other actions (1: all of it
follows from them); how often the thing that is acted with is where it should be, 49 to 64 frames ahead, beside the last known
picture and other actions. Where worlds have entities: the last known picture painted anew with the true entities of later frames,
its error as a share of leaving it as it is; and entities read off true pictures alone, their error in units of their spread (1:
always the mean). Then agents that learned inside the world only are scored in the environment, beside the same learner in the
environment itself and acting at random. Environments that are not installed are left out, by name.
Games of the ALE repeat an action by chance ("sticky actions", a quarter of all frames), so no world can say where things will
be. For them the table has what the game itself reaches when it is put back to the same state and takes the same actions again;
with --no-sticky they are recorded, and played, without it. With --together one model learns all environments that are named.
--write puts a table into docs/measurements/, where rows of other environments stay, and a strip of each world into docs/pictures/.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from benchmarks.autoencoder import machine
from benchmarks.command import run_benchmark
from benchmarks.first_light import ROOT
from numpy.typing import NDArray
from PIL import Image

from kinema.agents import Score, learn, score_recorded
from kinema.agents.ppo import RECORDED
from kinema.autoencoder import load_autoencoder, to_uint8
from kinema.datasets.lerobot import Dataset
from kinema.datasets.recorder import Act, make_env, random_policy, record
from kinema.envs.starts import world_folders
from kinema.errors import InputError
from kinema.models.dit_model import DiTModel
from kinema.models.hub import load, read_config, weights_folder
from kinema.training.recorded_world import train_world
from kinema.training.recordings import Among, Recordings, held_back
from kinema.training.world_lesson import WorldRecipe
from kinema.training.world_report import AHEAD, SHOWN, changed_error, evaluate, roll_held_back

ENVS = {
    "ALE/Pong-v5": (70, 900),
    "ALE/Breakout-v5": (300, 900),
    "ALE/Freeway-v5": (14, 900),
    "MiniGrid-DoorKey-6x6-v0": (300, 120),
    "MiniGrid-Empty-6x6-v0": (150, 100),
    "MiniGrid-Empty-Random-6x6-v0": (150, 60),
    "CrafterReward-v1": (60, 300),
    "gym_pusht:gym_pusht/PushT-v0": (200, 300),
}
"""Episodes recorded of each, and how long they are at most."""
PUSHED = "gym_pusht:gym_pusht/PushT-v0"
"""An environment where a random policy does too little: `pushing` is recorded instead."""
PLACED_FROM = 48
"""Frames ahead from which on places are compared."""
NO_STICKY = {"repeat_action_probability": 0.0}
"""Options of a game of the ALE that takes every action as it comes."""


@dataclass(frozen=True)
class Acted:
    """The thing that is acted with, by its color: levels of red, green and blue; where it is looked for, as shares of the picture's
    height and width (top, bottom, left, right); and by how much of either its place may be off: half its length, a cell's half."""

    color: tuple[int, int, int]
    where: tuple[float, float, float, float]
    off: float
    near: int = 80
    """Levels of 255 by which its color may be off."""

    def places(self, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Its place in pictures [..., H, W, 3], as shares of height and width [..., 2]; nan where it is not seen."""
        height, width = frames.shape[-3:-1]
        near = np.abs(frames.astype(int) - self.color).max(-1) < self.near
        rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
        top, bottom, left, right = self.where
        near &= ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))
        count = near.sum((-1, -2))
        found = np.stack([(near.sum(-1) * rows).sum(-1), (near.sum(-2) * columns).sum(-1)], -1)
        return np.where(count[..., None] > 0, found / np.maximum(count, 1)[..., None], np.nan)

    def share_in_place(self, made: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
        """Of the pictures in which it is really seen, the share in which it is in its place."""
        right, found = self.places(truth), self.places(made)
        seen = ~np.isnan(right[..., 0])
        near = np.abs(found - right).max(-1) <= self.off  # nan is never near
        return float(near[seen].mean()) if seen.any() else float("nan")


ACTED = {
    "ALE/Pong-v5": Acted((92, 186, 92), (0.15, 0.93, 0.8, 1.0), 8 / 210),
    "ALE/Breakout-v5": Acted((200, 72, 72), (0.88, 0.93, 0.05, 0.95), 8 / 160),
    "MiniGrid-Empty-6x6-v0": Acted((250, 60, 60), (0.0, 1.0, 0.0, 1.0), 0.5 / 6),
    "MiniGrid-Empty-Random-6x6-v0": Acted((250, 60, 60), (0.0, 1.0, 0.0, 1.0), 0.5 / 6),
    "MiniGrid-DoorKey-6x6-v0": Acted((250, 60, 60), (0.0, 1.0, 0.0, 1.0), 0.5 / 6),
    "gym_pusht/PushT-v0": Acted((65, 105, 225), (0.0, 1.0, 0.0, 1.0), 15 / 512, near=55),  # the block is a gray of this blue
}
"""Crafter's player is in the middle of every picture."""


@dataclass(frozen=True)
class Measured:
    """An environment: sticky: False for a game of the ALE without sticky actions; data, world: folders of its recording and of its
    world; others: how many more the world's network has learned."""

    env: str
    sticky: bool
    data: Path
    world: Path
    others: int = 0

    @property
    def options(self) -> dict[str, Any]:
        return {} if self.sticky else NO_STICKY

    def record(self) -> None:
        """Record it unless it is there."""
        count, most = ENVS.get(self.env, (40, 200))
        if not (self.data / "meta/info.json").exists():
            policy = pushing if self.env == PUSHED else "random"
            record(self.env, self.data, episodes_wanted=count, most=most, options=self.options, policy=policy)


def pushing(env: gym.Env[Any, Any], seed: int) -> Act:
    """A policy for PushT: the pusher is sent anywhere or on through the block, at speeds that vary, and often elsewhere on its way:
    of one that goes straight on the pictures tell where it goes next, and a world does not learn to read actions."""
    rng, aim, pace = np.random.default_rng(seed), np.zeros(2), 0.0

    def act(observation: Any) -> Any:
        nonlocal aim, pace
        scene: Any = env.unwrapped
        at, block = np.array(scene.agent.position), np.array(scene.block.position)
        if not pace or rng.random() < 0.4 or np.abs(aim - at).max() < 12:
            way = (block - at) / max(float(np.hypot(*(block - at))), 1e-6)
            aim = (
                rng.uniform(30, 482, 2) if rng.random() < 0.5 else block + rng.uniform(-40, 40, 2) + rng.uniform(0, 90) * way
            )
            pace = float(rng.choice([1.0, 1.0, 0.5, 0.25]))
        return np.clip(at + (aim - at) * pace, 20, 492).astype(np.float32)

    return act


def made_apart(envs: Sequence[str], folder: Path, minutes: float, no_sticky: bool) -> Iterator[Measured]:
    """Each recorded, and a world trained of each; those that cannot be are left out, by name."""
    for env in envs:
        sticky = not (no_sticky and is_atari(env))
        name = name_of(env, sticky)
        one, run = Measured(env, sticky, folder / name, folder / f"{name}-run/world"), folder / f"{name}-run"
        try:
            one.record()
            if not (one.world / "config.json").exists():
                train_world(one.data, out=run, minutes=minutes, resume=(run / "run.json").exists(), show=_show)
        except InputError as wrong:
            print(f"left out: {env}: {wrong}", file=sys.stderr)
            continue
        yield one


def made_together(envs: Sequence[str], folder: Path, minutes: float, no_sticky: bool) -> Iterator[Measured]:
    """All recorded, and one model trained of them; those that cannot be recorded are left out, by name."""
    run, every = folder / "together", list[Measured]()
    for env in dict.fromkeys(envs):
        sticky = not (no_sticky and is_atari(env))
        name = name_of(env, sticky)
        one = Measured(env, sticky, folder / name, run / "worlds" / name)
        try:
            one.record()
        except InputError as wrong:
            print(f"left out: {env}: {wrong}", file=sys.stderr)
            continue
        every.append(one)
    if len(every) < 2:
        raise InputError(f"--together learns several environments; {len(every)} of {len(envs)} could be recorded")
    if not all((one.world / "config.json").exists() for one in every):
        data = [(one.data, 1.0) for one in every]
        train_world(data, out=run, minutes=minutes, resume=(run / "run.json").exists(), show=_show)
    others = len(world_folders(run)) - 1  # also those of a run from before that this call does not name
    yield from (replace(one, others=others) for one in every)


def is_atari(env: str) -> bool:
    return env.rpartition(":")[2].startswith("ALE/")


def measure(one: Measured, frames: int, episodes: int, seeds: int, steps: int) -> dict[str, str]:
    """Step, learn and score one environment."""
    env, data, options, most = one.env, one.data, one.options, ENVS.get(one.env, (40, 200))[1]
    trained = read_config(one.world).trained
    model = load_world(one.world.parent, one.world.name)
    found = trained["figures"] | evaluate(model, recordings_of(model, data), steps=steps)[0]
    row = {
        "environment": env
        + (", pushed" if env == PUSHED else "")
        + ("" if one.sticky else ", no sticky actions")
        + (f", with {one.others} others" if one.others else "")
        + (f", {steps} steps" if steps > 1 else ""),
        "date": str(date.today()),
        "frames": f"{Dataset.open(data).total_frames:,}",
        "minutes": str(trained["minutes"]),
        "training steps": f"{trained['steps']:,}",
    }
    row["shipped codec / its own"] = f"{shipped_codec(data):.1f} / {found['codec_db']:.1f} dB"
    for after in (one for one in SHOWN if f"error_{one}" in found):
        error, copied, ratio = (found[f"{name}_{after}"] for name in ("error", "copy", "ratio"))
        row[f"after {after} frames"] = f"{error:.0f} / {copied:.0f}: {ratio:.2f}"
    ahead = [f"{found[f'entities_{after}']:.2f}" for after in SHOWN if f"entities_{after}" in found]
    row[f"entities after {', '.join(map(str, SHOWN))} frames, of copying"] = " / ".join(ahead) or "-"
    ball = [
        f"{found[f'ball_off_{at}']:.1f} / {found[f'ball_copied_off_{at}']:.1f}" for at in SHOWN if f"ball_off_{at}" in found
    ]
    row[f"the ball's place off after {', '.join(map(str, SHOWN))} frames / where it was"] = ", ".join(ball) or "-"
    painted = [f"{found[f'painted_{after}']:.2f}" for after in SHOWN if f"painted_{after}" in found]
    row[f"painted with the entities of {', '.join(map(str, SHOWN))} frames later, of copying"] = " / ".join(painted) or "-"
    row["entities read off pictures, in spreads"] = f"{found['read']:.2f}" if "read" in found else "-"
    row["follows actions"] = f"{found['action_following']:.2f}"
    row["acted thing in place: imagined, last known, other actions"] = in_place(env, model, data, steps)
    row |= game_again(env, options)
    row["rewards: AUROC"] = (
        f"{found['rewards_auroc']:.2f}" if "rewards_auroc" in found else f"too few: {found['rewards']:.0f}"
    )
    row["termination: AUROC, ends"] = ends_of(found)
    if frames:
        began = time.time()
        row |= agents_of(model, env, frames, episodes, most, seeds, options)
        print(f"agents: {time.time() - began:.0f} s", file=sys.stderr)
    print(row, flush=True)
    return row


def load_world(run: Path, name: str = "world") -> DiTModel:
    world = load(run / name)
    if not isinstance(world, DiTModel):
        raise InputError(f"{run} is no run of a recorded world; name the --out folder of a kinema train world")
    return world


def recordings_of(model: DiTModel, data: Path) -> Recordings:
    """A recording as the world reads it, also one of several that a model learned from."""
    world = model.config.world or {}
    among = Among(model.config.action_width, world["word"]) if "word" in world else None
    return Recordings(Dataset.open(data), model.autoencoder, None, world["reward_scale"], among=among)


def in_place(env: str, model: DiTModel, data: Path, steps: int) -> str:
    """Shares of pictures 49 to 64 frames ahead, over 48 held-back stretches."""
    acted = ACTED.get(env.rpartition(":")[2])
    if acted is None:
        return "-"
    rolled = roll_held_back(model, recordings_of(model, data), 48, steps)
    truth = rolled.truth[:, PLACED_FROM:]
    copied = np.broadcast_to(rolled.last[:, None], truth.shape)
    shares = (acted.share_in_place(x, truth) for x in (rolled.made[:, PLACED_FROM:], copied, rolled.astray[:, PLACED_FROM:]))
    return " / ".join(f"{share:.2f}" for share in shares)


def game_again(env_id: str, options: dict[str, Any], stretches: int = 48) -> dict[str, str]:
    """What the environment itself reaches when it is put back to the same state and takes the same actions: errors on changed
    pixels as shares of copying's, and the acted thing in its place. {} where it cannot be put back; games of the ALE can."""
    env = make_env(env_id, **options)
    try:
        if not hasattr(env.unwrapped, "restore_state"):
            return {}
        truth, again, last = (
            np.stack(pictures) for pictures in zip(*(_branch(env, i) for i in range(stretches)), strict=True)
        )
    finally:
        env.close()
    ratios = [
        changed_error(again[:, t - 1], truth[:, t - 1], last) / changed_error(last, truth[:, t - 1], last) for t in SHOWN
    ]
    acted = ACTED.get(env_id.rpartition(":")[2])
    placed = f", in place {acted.share_in_place(again[:, PLACED_FROM:], truth[:, PLACED_FROM:]):.2f}" if acted else ""
    return {"the game itself again, from the same state": " / ".join(f"{ratio:.2f}" for ratio in ratios) + placed}


def _branch(env: gym.Env[Any, Any], number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """AHEAD pictures [T, 64, 64, 3] after a moment of an episode, the same once more, and the picture of that moment."""
    game: Any = env.unwrapped

    def picture() -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(np.asarray(env.render())).resize((64, 64), Image.Resampling.BOX))

    env.reset(seed=number)
    act = random_policy(env, number)
    for _ in range(30 + 5 * (number % 12)):
        if any(env.step(act(None))[2:4]):
            env.reset()
    last, moment = picture(), game.clone_state()
    actions, taken = [act(None) for _ in range(AHEAD)], []
    for _ in range(2):
        game.restore_state(moment)
        pictures = []
        for action in actions:
            game.step(action)
            pictures.append(picture())
        taken.append(np.stack(pictures))
    return taken[0], taken[1], last


def name_of(env: str, sticky: bool = True) -> str:
    """Of the folder and the picture of an environment."""
    return env.rpartition(":")[2].replace("/", "-").lower() + ("" if sticky else "-no-sticky")


def ends_of(figures: dict[str, float]) -> str:
    """AUROC of termination and the ends it rests on; worlds trained before it was measured have none."""
    if "ends" not in figures:
        return "not measured"
    auroc, ends = figures.get("ends_auroc"), f"{figures['ends']:.0f} ends"
    return f"too few: {ends}" if auroc is None else f"{auroc:.2f}, {ends}"


def agents_of(
    world: DiTModel, env: str, frames: int, episodes: int, most: int, seeds: int, options: dict[str, Any]
) -> dict[str, str]:
    """Agents that learned in the world alone, scored in the environment, beside the same learner in the environment itself with as
    many frames, and acting at random."""
    inside, real = [], []
    for seed in range(seeds):
        settings = replace(RECORDED, frames=frames, seed=seed)
        for scores, where in ((inside, False), (real, True)):
            agent = learn(inside=world, settings=settings, real=where)
            scores.append(score_recorded(agent, env, episodes=episodes, most=most, options=options))
        print(f"  seed {seed}: inside {inside[-1]}, in the environment {real[-1]}", file=sys.stderr, flush=True)
    apart = score_recorded(None, env, episodes=episodes * seeds, most=most, options=options)
    return {
        "agent inside": f"{_mean(inside):.2f}", "the same in the environment": f"{_mean(real):.2f}", "random": f"{apart.mean:.2f}",
        "share of its gain": share_of_gain(inside, real, apart), "seeds, frames": f"{seeds}, {frames:,}",
    }  # fmt: skip


def _mean(scores: Sequence[Score]) -> float:
    return float(np.mean([one.mean for one in scores]))


def share_of_gain(inside: Sequence[Score], real: Sequence[Score], apart: Score) -> str:
    """What the agents of the world gain above acting at random, of what those of the environment gain, with a 95% bootstrap
    interval over the episodes of each."""
    rng = np.random.default_rng(0)

    def resampled(returns: NDArray[np.float64]) -> NDArray[np.float64]:
        drawn: NDArray[np.float64] = returns[rng.integers(0, len(returns), (2000, len(returns)))].mean(1)
        return drawn

    a, b, c = (resampled(np.concatenate([one.returns for one in scores])) for scores in (inside, real, [apart]))
    gain = _mean(real) - apart.mean
    if gain <= 0:
        return "the real learner gains nothing"
    low, high = np.percentile((a - c) / np.maximum(b - c, 1e-6), (2.5, 97.5))
    return f"{(_mean(inside) - apart.mean) / gain:.0%} [{low:.0%}, {high:.0%}]"


def shipped_codec(data: Path) -> float:
    """PSNR of pictures of held-back episodes, through the codec that the world's began as."""
    autoencoder, recording = load_autoencoder(weights_folder() / WorldRecipe().autoencoder), Dataset.open(data)
    shown = [recording.episode(i).frames for i in range(len(recording) - held_back(len(recording)), len(recording))]
    some = np.concatenate([frames[:: max(1, len(frames) // 24)] for frames in shown])
    back = np.asarray(to_uint8(autoencoder.decode(autoencoder.encode_frames(some)[None].float())))[0]
    return float(10 * np.log10(255.0**2 / np.mean((back.astype(float) - some) ** 2)))


def _show(line: str) -> None:
    sys.stderr.write(f"\r\033[K{line}" if sys.stderr.isatty() else "")


def save_picture(picture: Image.Image, name: str) -> None:
    picture.save(ROOT / "docs" / "pictures" / f"world-{name}.jpg", quality=72, optimize=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("envs", nargs="*", help=f"Gymnasium ids (default: {', '.join(ENVS)})")
    parser.add_argument("--minutes", type=float, default=60.0, help="of training each (default: 60)")
    parser.add_argument(
        "--frames", type=int, default=50_000, help="an agent's imagined frames, 0 for no agent (default: 50000)"
    )
    parser.add_argument("--episodes", type=int, default=20, help="scored (default: 20)")
    parser.add_argument("--seeds", type=int, default=3, help="agents of each kind (default: 3)")
    parser.add_argument("--steps", type=int, default=1, help="of the sampler, in held-back stretches (default: 1)")
    parser.add_argument("--together", action="store_true", help="one model of all of them")
    parser.add_argument("--no-sticky", action="store_true", help="games of the ALE without sticky actions")
    parser.add_argument("--out", type=Path, default=Path("out/recorded-worlds"), help="what exists there is used again")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/recorded-worlds.md")
    given = parser.parse_args()
    rows, strips = [], list[Image.Image]()
    make = made_together if given.together else made_apart
    for one in make(given.envs or list(ENVS), given.out, given.minutes, given.no_sticky):
        try:
            rows.append(measure(one, given.frames, given.episodes, given.seeds, given.steps))
        except InputError as wrong:
            print(f"left out: {one.env}: {wrong}", file=sys.stderr)
            continue
        if given.write:
            shown = one.world if given.together else one.world.parent
            picture = Image.open(shown / "rollout.png").convert("RGB")
            strips.append(picture.crop((0, 0, picture.width, picture.height // 4)) if given.together else picture)
            if not given.together:
                save_picture(picture, name_of(one.env, one.sticky) + ("-pushed" if one.env == PUSHED else ""))
    if given.write and given.together and rows:
        sheet = Image.new("RGB", (max(one.width for one in strips), sum(one.height for one in strips)), "white")
        for i, strip in enumerate(strips):
            sheet.paste(strip, (0, sum(one.height for one in strips[:i])))
        save_picture(sheet, "together")
    if given.write and rows:
        kept_path = ROOT / "docs" / "measurements" / "recorded-worlds.json"
        kept = {row["environment"]: row for row in json.loads(kept_path.read_text())} if kept_path.exists() else {}
        rows = list((kept | {row["environment"]: row for row in rows}).values())
        columns = list(dict.fromkeys(column for row in rows for column in row))
        table = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
        table += [f"| {' | '.join(row.get(column, '') for column in columns)} |" for row in rows]
        head = f"# Recorded worlds\n\n`python -m benchmarks.recorded_worlds`, {machine()}\n\n"
        kept_path.with_suffix(".md").write_text(head + "\n".join(table) + "\n")
        kept_path.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    run_benchmark(main)
