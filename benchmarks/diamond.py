"""Kinema's recorded worlds beside DIAMOND's: python -m benchmarks.diamond --diamond DIR [RECORDING ...] [--minutes N] [--write]

DIR is a clone of github.com/eloialonso/diamond (its main branch; nothing of it is part of Kinema, and Hydra, W&B and its
environments are not needed). Its denoiser is trained as its trainer does it: its Atari configuration, optimizer, learning rate,
batches and frames of its own past; `kinema train world` trains at the same time on the same recording with the same episodes
held back, or has done so before (`--ours RUN`). Each is a process with one thread, and both have the same minutes. Then both
step the same held-back stretches with their true actions, DIAMOND with its three steps of the sampler, Kinema with one, as
worlds are stepped: error on the pixels that changed since the last known picture, in levels of 255, beside that of copying it,
as in `benchmarks.recorded_worlds`, but against the recorded pictures for both. RECORDING is an environment that
`benchmarks.recorded_worlds` recorded, or the folder of any recording. DIAMOND's configuration knows actions that are one of N;
where an action is a box of numbers, a linear map of them takes the place of its table of vectors, the one change to it. The
last part times training steps of both, a frame target each, taken in turns on one thread.
--write puts tables into docs/measurements/, where rows of other recordings stay, and a sheet of each into docs/pictures/.

Axes: B stretches, T frames, C channels.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import importlib
import importlib.util
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import torch
import yaml
from benchmarks.autoencoder import machine
from benchmarks.first_light import ROOT
from benchmarks.recorded_worlds import load_world, name_of, recordings_of
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from kinema.autoencoder import load_autoencoder
from kinema.datasets.lerobot import Dataset
from kinema.errors import InputError
from kinema.media.contact_sheet import contact_sheet
from kinema.models.hub import read_config, weights_folder
from kinema.statistics import bootstrap
from kinema.training.begun_run import check_same_data
from kinema.training.dit_trainer import DiTTrainer
from kinema.training.recorded_world import train_world
from kinema.training.recordings import Recordings, held_back, usable
from kinema.training.sharded_checkpoint import load_run
from kinema.training.world_lesson import RecordingsLesson, WorldRecipe
from kinema.training.world_report import AHEAD, SHOWN, START_FRAMES, changed_error, roll_held_back
from kinema.training.world_stages import config_for

PACKAGES = ("data", "utils", "models", "models.diffusion")
"""Of DIAMOND's source, what is imported."""
UNUSED = ("wandb", "omegaconf")
"""What its `utils` imports and the training of a denoiser does not use."""
MODES = {"eager": (False, False), "eager, autocast to bfloat16": (False, True), "compiled": (True, False)}
"""DIAMOND's training step: whether it is compiled, and whether under autocast; its own trainer does neither."""
OURS = ("XXS", "XS", "S")
OURS_A_ROUND = 3
"""Steps of ours that are timed for one of DIAMOND's, which is many times longer."""
PICKED = (0, 1, 3, 7, 11, 15, 23, 31, 47, 63)
"""Frames of the sheet."""
SAME_TIME = 0.05
"""By what share the minutes of both may differ."""
HEAD = "# Beside DIAMOND"


# DIAMOND's own code


@dataclass(frozen=True)
class ActionsOf:
    """A recording's actions as DIAMOND reads them: the number of one of `width`, or a box of `width` numbers."""

    width: int
    box: bool = False

    @classmethod
    def of(cls, recording: Dataset) -> ActionsOf:
        """InputError: its actions are neither."""
        space = recording.about["action"]
        if space["type"] not in ("discrete", "box"):
            raise InputError(
                f"{recording.folder} has actions of type {space['type']}; DIAMOND can be given discrete or box ones"
            )
        return cls(recording.episode(0).action.shape[-1], space["type"] == "box")

    def read(self, rows: Tensor) -> Tensor:
        """Rows [..., width] of a recording as numbers [...] of one of N, or as they are."""
        return rows.float() if self.box else rows.argmax(-1)


@dataclass(frozen=True)
class Diamond:
    """DIAMOND's modules and its configuration, as in a clone."""

    folder: Path
    data: ModuleType
    utils: ModuleType
    diffusion: ModuleType
    agent: dict[str, Any]
    trainer: dict[str, Any]

    def denoiser(self, actions: ActionsOf) -> nn.Module:
        """Its denoiser with its Atari configuration, ready to be trained."""
        parts = dict(self.agent["denoiser"])
        inner = self.diffusion.InnerModelConfig(**parts.pop("inner_model"), num_actions=actions.width)
        made: nn.Module = self.diffusion.Denoiser(self.diffusion.DenoiserConfig(inner_model=inner, **parts))
        if actions.box:
            width = inner.cond_channels // inner.num_steps_conditioning
            made.inner_model.act_emb = nn.Sequential(nn.Linear(actions.width, width), nn.Flatten())  # type: ignore[union-attr]
        made.setup_training(self.diffusion.SigmaDistributionConfig(**self.trainer["denoiser"]["sigma_distribution"]))  # type: ignore[operator]
        return made

    @property
    def context(self) -> int:
        """Frames before each frame that are read with it."""
        return int(self.agent["denoiser"]["inner_model"]["num_steps_conditioning"])

    def commit(self) -> str:
        """The clone's commit; of a folder that is none, a hash of the files that are used."""
        given = ["git", "-C", str(self.folder), "rev-parse", "HEAD"]
        top = subprocess.run([*given[:3], "rev-parse", "--show-prefix"], capture_output=True, text=True, check=False)
        if top.returncode == 0 and not top.stdout.strip():
            return subprocess.run(given, capture_output=True, text=True, check=True).stdout.strip()
        seen = hashlib.sha256()
        for path in sorted((self.folder / "src").rglob("*.py")):
            if path.parts[len(self.folder.parts) + 1] in ("data", "models", "utils.py"):
                seen.update(path.read_bytes())
        return f"no clone; sha256 of its files {seen.hexdigest()[:12]}"


@contextmanager
def diamond_code(folder: Path) -> Iterator[Diamond]:
    """DIAMOND's code, imported from a clone. Its modules have common names (`utils`, `data`), so they are there only within this
    context. InputError: the folder holds no clone."""
    source = folder / "src"
    if not (source / "models" / "diffusion" / "denoiser.py").exists():
        raise InputError(
            f"{folder} holds no clone of DIAMOND; git clone https://github.com/eloialonso/diamond, and name its folder"
        )
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in PACKAGES}
    for name in before:
        del sys.modules[name]
    stubs = [name for name in UNUSED if name not in sys.modules and not _installed(name)]
    for name in stubs:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].OmegaConf = None  # type: ignore[attr-defined]
    sys.path.insert(0, str(source))
    try:
        data, utils, _, diffusion = (importlib.import_module(name) for name in PACKAGES)
        agent, trainer = (
            plain(yaml.safe_load((folder / "config" / name).read_text(encoding="utf-8")))
            for name in ("agent/default.yaml", "trainer.yaml")
        )
        yield Diamond(folder, data, utils, diffusion, agent, trainer)
    finally:
        sys.path.remove(str(source))
        for name in [*stubs, *(name for name in sys.modules if name.partition(".")[0] in PACKAGES)]:
            del sys.modules[name]
        sys.modules.update(before)


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def plain(section: Any) -> Any:
    """A section of DIAMOND's YAML without Hydra: no targets, no interpolations (defaults of its classes hold, which say the same of
    what is read here), and 2e-3 is a number, as OmegaConf reads it."""
    if isinstance(section, dict):
        kept = {name: value for name, value in section.items() if name != "_target_"}
        return {name: plain(value) for name, value in kept.items() if not (isinstance(value, str) and "${" in value)}
    if isinstance(section, list):
        return [plain(value) for value in section]
    try:
        return float(section) if isinstance(section, str) else section
    except ValueError:
        return section


class DiamondTrainer:
    """Steps of DIAMOND's denoiser as its trainer takes them (`Trainer.train_component`)."""

    def __init__(
        self, diamond: Diamond, actions: ActionsOf, batches: Iterator[Any], compiled: bool = False, bfloat16: bool = False
    ) -> None:
        self.diamond, self.batches, self.bfloat16 = diamond, batches, bfloat16
        wish = diamond.trainer["denoiser"]
        training = wish["training"]
        self.denoiser = diamond.denoiser(actions).train()
        if compiled:
            self.denoiser.inner_model.compile(dynamic=False)  # type: ignore[operator, union-attr]
        self.optimizer = diamond.utils.configure_opt(self.denoiser, **wish["optimizer"])
        self.schedule = diamond.utils.get_lr_sched(self.optimizer, training["lr_warmup_steps"])
        self.clip = training["max_grad_norm"]
        self.step, self.targets = 0, 0

    def one_step(self) -> float:
        """One batch; returns its loss."""
        batch = next(self.batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            loss, _ = self.denoiser(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.denoiser.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        self.step += 1
        self.targets += int(batch.mask_padding[:, self.diamond.context :].sum())
        return float(loss.detach())


def batches_of(diamond: Diamond, recording: Dataset) -> Iterator[Any]:
    """DIAMOND's batches of the episodes that are not held back, drawn by their lengths, as its trainer draws from a dataset that
    does not grow."""
    data, training = diamond.data, diamond.trainer["denoiser"]["training"]
    episodes = data.Dataset(diamond.folder / "unused", "train", cache_in_ram=True, save_on_disk=False)
    for number in seen_episodes(recording):
        episodes.add_episode(episode_of(diamond, recording, number))
    frames = diamond.context + 1 + training["num_autoregressive_steps"]
    sampler = object.__new__(data.BatchSampler)  # its own __init__ hands torch's an argument that newer ones do not take
    vars(sampler).update(
        dataset=episodes, rank=0, world_size=1, batch_size=training["batch_size"], seq_length=frames, sample_weights=None,
        can_sample_beyond_end=False,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(episodes, batch_sampler=sampler, collate_fn=data.collate_segments_to_batch)
    return iter(loader)


def seen_episodes(recording: Dataset) -> list[int]:
    """Numbers of the episodes that training sees, those that `kinema train world` sees."""
    numbers = usable(recording)
    return numbers[: len(numbers) - held_back(len(numbers))]


def episode_of(diamond: Diamond, recording: Dataset, number: int) -> Any:
    """An episode in DIAMOND's form: pictures [T, C, H, W] in [-1, 1] and actions [T] or [T, width]."""
    one = recording.episode(number)
    return diamond.data.Episode(
        obs=as_observations(one.frames),
        act=ActionsOf.of(recording).read(torch.from_numpy(one.action)),
        rew=torch.from_numpy(one.reward).float(),
        end=torch.from_numpy(one.terminated).to(torch.uint8),
        trunc=torch.from_numpy(one.truncated).to(torch.uint8),
        info={},
    )


def as_observations(frames: NDArray[np.uint8]) -> Tensor:
    """Pictures uint8 [..., H, W, 3] as [..., 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, -3).float().div(255).mul(2).sub(1)


def as_pictures(observations: Tensor) -> NDArray[np.uint8]:
    pictures = observations.clamp(-1, 1).add(1).div(2).mul(255).round().to(torch.uint8).movedim(-3, -1)
    return np.ascontiguousarray(pictures.numpy())


@torch.no_grad()
def roll_diamond(
    diamond: Diamond, denoiser: nn.Module, frames: NDArray[np.uint8], actions: Tensor, known: int
) -> NDArray[np.uint8]:
    """The frames after the first `known` of stretches [B, known + T, H, W, 3], stepped with actions [B, known + T, ...] as
    DIAMOND's `WorldModelEnv` steps: [B, T, H, W, 3]."""
    sampler = diamond.diffusion.DiffusionSampler(
        denoiser.eval(), diamond.diffusion.DiffusionSamplerConfig(**diamond.trainer["world_model_env"]["diffusion_sampler"])
    )
    torch.manual_seed(0)
    past, made = as_observations(frames[:, known - diamond.context : known]), []
    for t in range(known, frames.shape[1]):
        following, _ = sampler.sample(past, actions[:, t - diamond.context : t])
        past = torch.cat([past[:, 1:], following[:, None]], 1)
        made.append(as_pictures(following))
    return np.stack(made, 1)


# Both, at the same time


def train_diamond(folder: Path, data: Path, out: Path, minutes: float) -> None:
    """A process of its own: train DIAMOND's denoiser for so many minutes, the recording read before; `out` gets its weights."""
    torch.set_num_threads(1)
    recording = Dataset.open(data).fitted()
    with diamond_code(folder) as diamond:
        diamond.utils.set_seed(0)
        trainer = DiamondTrainer(diamond, ActionsOf.of(recording), batches_of(diamond, recording))
        began, losses = time.time(), []
        while time.time() - began < 60 * minutes:
            losses.append(trainer.one_step())
            spent = (time.time() - began) / 60
            print(f"DIAMOND step {trainer.step}  loss {losses[-1]:.3f}  {spent:.1f} min", flush=True)
        out.mkdir(parents=True, exist_ok=True)
        torch.save(trainer.denoiser.state_dict(), out / "denoiser.pt")
        note = {
            "began": began, "ended": time.time(), "cpu_min": time.process_time() / 60, "steps": trainer.step,
            "targets": trainer.targets, "parameters": sum(p.numel() for p in trainer.denoiser.parameters()),
            "losses": [round(loss, 4) for loss in losses], "commit": diamond.commit(),
        }  # fmt: skip
    (out / "trained.json").write_text(json.dumps(note, indent=1) + "\n")


def train_kinema(data: Path, out: Path, minutes: float) -> None:
    """A process of its own: `kinema train world` for so many minutes, its autoencoder's among them."""
    torch.set_num_threads(1)
    began, last = time.time(), [0.0, 0.0]

    def show(line: str) -> None:
        last[:] = time.time(), time.process_time()
        print(f"Kinema {line}", flush=True)

    train_world(data, out=out, minutes=minutes, show=show)
    run = load_run(out)
    note = {"began": began, "ended": last[0], "cpu_min": last[1] / 60, "minutes": minutes}
    note |= sizes_of(out, run["recipe"], read_config(out / "world").trained)
    (out / "trained.json").write_text(json.dumps(note, indent=1) + "\n")


def train_side_by_side(folder: Path, data: Path, ours: Path | None, theirs: Path, minutes: float) -> None:
    """Both side by side, in processes of one thread, or DIAMOND alone. RuntimeError where one of them fails."""
    ActionsOf.of(Dataset.open(data).fitted())
    for half in [theirs] if ours is None else [ours, theirs]:
        shutil.rmtree(half, ignore_errors=True)
    os.environ |= {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    context = multiprocessing.get_context("spawn")
    each = {"DIAMOND": context.Process(target=train_diamond, args=(folder, data, theirs, minutes))}
    if ours is not None:
        each["Kinema"] = context.Process(target=train_kinema, args=(data, ours, minutes))
    for process in each.values():
        process.start()
    for process in each.values():
        process.join()
    if any(process.exitcode for process in each.values()):
        raise RuntimeError(f"training failed: exit codes { {who: process.exitcode for who, process in each.items()} }")


def trained_before(run: Path, data: Path) -> dict[str, Any]:
    """What is noted of a run of `kinema train world` that is compared as it is. InputError: it has no world yet, or learned from
    another recording."""
    if not (run / "world").exists():
        raise InputError(f"{run} holds no finished run of kinema train world")
    noted = load_run(run)
    check_same_data(noted["data"], [(Dataset.open(data).fitted(), 1.0)], run)
    recipe, trained = noted["recipe"], read_config(run / "world").trained
    return sizes_of(run, recipe, trained) | {"minutes": trained["minutes"], "date": trained["date"]}


def sizes_of(run: Path, recipe: dict[str, Any], trained: dict[str, Any]) -> dict[str, int]:
    """Steps, frame targets and parameters of a world."""
    model = load_world(run)
    network, autoencoder = (sum(p.numel() for p in one.parameters()) for one in (model.network, model.autoencoder))
    targets = trained["steps"] * recipe["batch"] * recipe["frames"]
    return {"steps": trained["steps"], "targets": targets, "parameters": network, "autoencoder": autoencoder}


# Scores


@dataclass(frozen=True)
class Stretches:
    """Held-back stretches that `roll_held_back` steps: recorded pictures uint8 [B, known + T, H, W, 3] and actions
    [B, known + T, ...]."""

    known: int
    frames: NDArray[np.uint8]
    actions: Tensor

    @property
    def truth(self) -> NDArray[np.uint8]:
        return self.frames[:, self.known :]

    @property
    def last(self) -> NDArray[np.uint8]:
        return self.frames[:, self.known - 1]


def stretches_of(recordings: Recordings, recording: Dataset, count: int) -> Stretches:
    """The same draw as in `roll_held_back`, of places instead of latents."""
    longest = recordings.longest(held_back=True)
    known = min(START_FRAMES, longest - 1)
    ahead = min(AHEAD, longest - known)
    places = copy.copy(recordings)
    places.episodes = [
        {name: one[name] for name in ("action", "reward")}
        | {"place": torch.stack([torch.full((len(one["reward"]),), i), torch.arange(len(one["reward"]))], 1)}
        for i, one in enumerate(recordings.episodes)
    ]
    drawn = places.sample_windows(np.random.default_rng(12345), count, known + ahead, 0, held_back=True)
    numbers, films = usable(recording), dict[int, NDArray[np.uint8]]()
    rows = []
    for row in drawn["place"].long():
        which, begin = int(row[0, 0]), int(row[0, 1])
        if which not in films:
            films[which] = recording.episode(numbers[which]).frames
        rows.append(films[which][begin : begin + len(row)])
    return Stretches(known, np.stack(rows), ActionsOf.of(recording).read(drawn["action"]))


def scores(made: NDArray[np.uint8], stretches: Stretches) -> dict[str, float]:
    """Errors on changed pixels after some frames, and as a share of copying's."""
    found = {}
    for after in (one for one in SHOWN if one <= made.shape[1]):
        truth, last = stretches.truth[:, after - 1], stretches.last
        error, copied = (changed_error(x, truth, last) for x in (made[:, after - 1], last))
        found |= {f"error_{after}": error, f"copy_{after}": copied, f"ratio_{after}": error / copied}
    return found


def against(ours: NDArray[np.uint8], theirs: NDArray[np.uint8], stretches: Stretches) -> dict[str, list[float]]:
    """Our error as a share of theirs after some frames, and its 95% bootstrap interval over stretches."""
    found = {}
    for after in (one for one in SHOWN if one <= ours.shape[1]):

        def share(pick: NDArray[Any], after: int = after) -> float:
            truth, last = stretches.truth[pick, after - 1], stretches.last[pick]
            return changed_error(ours[pick, after - 1], truth, last) / changed_error(theirs[pick, after - 1], truth, last)

        everything = np.arange(len(ours))
        found[str(after)] = [share(everything), *bootstrap(len(ours), share)]
    return found


def compare(
    folder: Path, data: Path, out: Path, name: str, minutes: float, count: int, ours: Path | None = None
) -> dict[str, Any]:
    """Train both where it was not done, step both, score both. `ours` is a run that was trained before, with whose minutes DIAMOND
    is trained."""
    theirs, run = out / f"{name}-diamond", ours or out / f"{name}-kinema"
    noted = trained_before(ours, data) if ours else None
    if not ((ours or (run / "trained.json").exists()) and (theirs / "trained.json").exists()):
        train_side_by_side(folder, data, None if ours else run, theirs, noted["minutes"] if noted else minutes)
    notes = {"Kinema": noted or json.loads((run / "trained.json").read_text())}
    notes["DIAMOND"] = json.loads((theirs / "trained.json").read_text())
    theirs_min = (notes["DIAMOND"]["ended"] - notes["DIAMOND"]["began"]) / 60
    if abs(theirs_min / notes["Kinema"].setdefault("minutes", minutes) - 1) > SAME_TIME:
        raise InputError(
            f"{theirs} was trained for {theirs_min:.1f} minutes, Kinema's world for {notes['Kinema']['minutes']:g}; name another"
            " --out"
        )
    recording, model = Dataset.open(data).fitted(), load_world(run)
    recordings = recordings_of(model, data)
    stretches = stretches_of(recordings, recording, count)
    rolled = roll_held_back(model, recordings, count)
    if not torch.equal(ActionsOf.of(recording).read(rolled.tracks["action"]), stretches.actions):
        raise RuntimeError("the stretches of both are not the same")
    with diamond_code(folder) as diamond:
        diamond_warmup = diamond.trainer["denoiser"]["training"]["lr_warmup_steps"]
    rolled_before = theirs / "made.npy"
    if rolled_before.exists() and (made := np.load(rolled_before)).shape == stretches.truth.shape:
        print(f"{rolled_before} is used again", file=sys.stderr)
    else:
        with diamond_code(folder) as diamond:
            denoiser = diamond.denoiser(ActionsOf.of(recording))
            denoiser.load_state_dict(torch.load(theirs / "denoiser.pt"))
            parts = [(stretches.frames[i : i + 1], stretches.actions[i : i + 1]) for i in range(count)]
            made = np.concatenate([roll_diamond(diamond, denoiser, *part, stretches.known) for part in parts])
        np.save(rolled_before, made)
    sheet(stretches, rolled.made, made).save(out / f"{name}.jpg", quality=85)
    return {
        "recording": name, "date": str(date.today()), "stretches": count,
        "minutes": notes["Kinema"]["minutes"], "box": ActionsOf.of(recording).box,
        "frames": recording.total_frames, "episodes": f"{len(seen_episodes(recording))} of {len(recording)}",
        "size": "x".join(map(str, recording.size[::-1])),
        "together": None if ours else _overlap(*notes.values()), "warmup": diamond_warmup,
        "Kinema": {k: v for k, v in notes["Kinema"].items() if k not in ("began", "ended")} | scores(rolled.made, stretches),
        "Kinema, after its autoencoder": scores(
            rolled.made, replace(stretches, frames=np.concatenate([
                np.broadcast_to(rolled.last[:, None], (count, stretches.known, *rolled.last.shape[1:])), rolled.truth], 1))
        ),
        "DIAMOND": {k: v for k, v in notes["DIAMOND"].items() if k not in ("began", "ended", "losses")} | scores(made, stretches),
        "ours of theirs": against(rolled.made, made, stretches),
    }  # fmt: skip


def _overlap(a: dict[str, float], b: dict[str, float]) -> float:
    """Share of the shorter run's time in which both ran."""
    both = min(a["ended"], b["ended"]) - max(a["began"], b["began"])
    return max(both, 0.0) / min(a["ended"] - a["began"], b["ended"] - b["began"])


def sheet(stretches: Stretches, ours: NDArray[np.uint8], theirs: NDArray[np.uint8], count: int = 1) -> Image.Image:
    """Truth, ours, DIAMOND's and copying, under one another, of some stretches that move much."""
    picked = [i for i in PICKED if i < ours.shape[1]]
    moved = np.abs(stretches.truth.astype(int) - stretches.last[:, None]).mean((1, 2, 3, 4))
    rows, captions = [], []
    for i in np.argsort(-moved)[:: max(1, len(moved) // count)][:count]:
        copied = np.broadcast_to(stretches.last[i], stretches.truth[i].shape)
        named = (
            ("recorded", stretches.truth[i]),
            ("Kinema", ours[i]),
            ("DIAMOND", theirs[i]),
            ("the last known picture", copied),
        )
        for who, film in named:
            rows.append(np.ascontiguousarray(film[picked]))
            captions.append(f"{who}, after {', '.join(str(one + 1) for one in picked)} frames")
    return contact_sheet(rows, captions=captions, columns=len(picked)).convert("RGB")


# Training steps


def our_steps(
    recordings: Recordings, recording: Dataset, folder: Path
) -> Iterator[tuple[str, int, int, Callable[[], object]]]:
    """Our training steps by size, eager and compiled: name, parameters, targets, and a step. Steps are drawn as in a run: with a
    past of its own in so many of them as a whole run has."""
    for size in OURS:
        for compiled in (False, True):
            recipe = WorldRecipe(size=size, compile=compiled)
            config = config_for(recording, recordings, recipe, "world")
            lesson = RecordingsLesson(recordings, recipe)
            trainer = DiTTrainer(recipe, config, lesson, folder, steps=10_000)
            count = iter(range(10**9))

            def step(trainer: DiTTrainer = trainer, count: Iterator[int] = count) -> None:
                trainer.step = (next(count) * 3571) % 9973  # anywhere in the run
                trainer.one_step()

            label = f"Kinema {size}, {'compiled' if compiled else 'eager'}"
            parameters = sum(p.numel() for p in trainer.model.parameters())
            yield label, parameters, recipe.batch * recipe.frames, step


def time_steps(diamond: Diamond, data: Path, rounds: int, modes: Sequence[str]) -> list[dict[str, Any]]:
    """CPU seconds of a training step of each, one thread, in turns, and milliseconds a frame target: means, since ours differ by
    how often a past of its own is made."""
    torch.set_num_threads(1)
    recording = Dataset.open(data).fitted()
    recordings = Recordings(recording, load_autoencoder(weights_folder() / WorldRecipe().autoencoder), None)
    training, batches = diamond.trainer["denoiser"]["training"], batches_of(diamond, recording)
    rows: list[dict[str, Any]] = []
    calls: list[Callable[[], object]] = []
    with TemporaryDirectory() as folder:
        for label, parameters, targets, step in our_steps(recordings, recording, Path(folder)):
            rows.append({"who": label, "parameters": parameters, "targets": targets})
            calls.append(step)
        for mode in modes:
            compiled, bfloat16 = MODES[mode]
            trainer = DiamondTrainer(diamond, ActionsOf.of(recording), batches, compiled, bfloat16)
            targets = training["batch_size"] * (1 + training["num_autoregressive_steps"])
            parameters = sum(p.numel() for p in trainer.denoiser.parameters())
            rows.append({"who": f"DIAMOND, {mode}", "parameters": parameters, "targets": targets})
            calls.append(trainer.one_step)
        for row, call in zip(rows, calls, strict=True):
            row["first_s"] = cpu_seconds(call)
            print(f"first step: {row['who']}: {row['first_s']:.1f} s", file=sys.stderr, flush=True)
        taken: list[list[float]] = [[] for _ in rows]
        for _ in range(rounds):
            for row, call, seconds in zip(rows, calls, taken, strict=True):
                seconds += [cpu_seconds(call) for _ in range(1 if row["who"].startswith("DIAMOND") else OURS_A_ROUND)]
    for row, seconds in zip(rows, taken, strict=True):
        row |= {"seconds": float(np.mean(seconds)), "steps": len(seconds)}
        row["ms_a_target"] = 1000 * row["seconds"] / row["targets"]
        print(row, flush=True)
    return rows


def cpu_seconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


# The page


def figures(values: dict[str, float]) -> list[str]:
    return [
        f"{values[f'error_{after}']:.1f}: {values[f'ratio_{after}']:.2f}" for after in SHOWN if f"error_{after}" in values
    ]


def world_table(world: dict[str, Any]) -> list[str]:
    """The lines of one comparison."""
    shown = [after for after in SHOWN if f"error_{after}" in world["Kinema"]]
    ours, theirs = world["Kinema"], world["DIAMOND"]
    columns = ["", "parameters", "steps", "frame targets", "CPU minutes", *(f"after {after} frames" for after in shown)]
    copied = [f"{ours[f'copy_{after}']:.1f}: 1" for after in shown]

    def run(note: dict[str, Any]) -> list[str]:
        minutes = f"{note['cpu_min']:.1f}" if "cpu_min" in note else "not noted"
        return [f"{note['steps']:,}", f"{note['targets']:,}", minutes]

    size = f"{ours['parameters'] / 1e6:.1f}M + autoencoder {ours['autoencoder'] / 1e6:.1f}M"
    rows = [
        ["Kinema", size, *run(ours), *figures(ours)],
        ["DIAMOND", f"{theirs['parameters'] / 1e6:.1f}M", *run(theirs), *figures(theirs)],
        ["the last known picture", "", "", "", "", *copied],
        [
            "Kinema's error of DIAMOND's", "", "", "", "",
            *("{:.2f} [{:.2f}, {:.2f}]".format(*world["ours of theirs"][str(after)]) for after in shown),
        ],
        ["Kinema, against pictures after its autoencoder", "", "", "", "", *figures(world["Kinema, after its autoencoder"])],
    ]  # fmt: skip
    name = world["recording"]
    return [
        f"## {name}, {world['minutes']:g} minutes each",
        "",
        f"{world['date']}: {world['frames']:,} frames of {world['size']}, {world['episodes']} episodes trained on, the others held"
        f" back; n = {world['stretches']} stretches, the same for both; {at_the_time(world)}."
        " Error on changed pixels in levels of 255, and as a share of copying's.",
        *warning(world),
        "",
        *table(columns, rows),
        "",
        f"![Recorded, Kinema, DIAMOND and the last known picture](../pictures/diamond-{name}.jpg)",
        "",
    ]


def at_the_time(world: dict[str, Any]) -> str:
    """When both were trained, and what DIAMOND was given besides."""
    if world["together"] is None:
        when = f"Kinema's world was trained before ({world['Kinema']['date']}), each beside other work"
    else:
        when = f"both ran at the same time for {world['together']:.0%} of it"
    return when + ("; DIAMOND reads actions by a linear map, as they are numbers here" if world.get("box") else "")


def warning(world: dict[str, Any]) -> list[str]:
    """What keeps a comparison from saying which of both learns better."""
    steps, warmup = world["DIAMOND"]["steps"], world["warmup"]
    if steps >= 10 * warmup:
        return []
    return [
        "",
        f"**DIAMOND took {steps:,} steps; its learning rate alone rises over {warmup:,}.** This compares what the same minutes of"
        " these processors give, which is a few of its steps, and says nothing of how good it becomes when it is trained as its"
        " authors do.",
    ]


def step_table(steps: dict[str, Any]) -> list[str]:
    """The lines of training steps."""
    rows = [
        [
            row["who"],
            f"{row['parameters'] / 1e6:.1f}M",
            f"{row['targets']}",
            f"{row['seconds']:.2f}",
            f"{row['ms_a_target']:.1f}",
        ]
        for row in steps["rows"]
    ]
    ours, theirs = (steps["rows"][i]["steps"] for i in (0, -1))
    return [
        "## A training step",
        "",
        f"{steps['date']}: CPU seconds on one thread, means over {ours} steps of ours and {theirs} of DIAMOND's, taken in turns,"
        " batches made within them; ours in bfloat16 where the processor is faster in it, as in training. A target is a frame of"
        f" {steps['size']} that a loss is taken of.",
        "",
        *table(["", "parameters", "frame targets", "s a step", "ms a target"], rows),
        "",
    ]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def write_page(kept: dict[str, Any], path: Path) -> None:
    lines = [
        HEAD,
        "",
        f"`{kept['command']}`, {kept['machine']}",
        "",
        f"DIAMOND: github.com/eloialonso/diamond, {kept['commit']}. Its denoiser with its Atari configuration, optimizer, learning"
        " rate, batches and autoregressive steps, in float32 as its trainer has it, three steps of its sampler; Kinema's world as"
        " `kinema train world` trains it, one step of its sampler. One process and one thread each.",
        "",
    ]
    for world in kept.get("worlds", {}).values():
        lines += world_table(world)
    if "steps" in kept:
        lines += step_table(kept["steps"])
    path.with_suffix(".json").write_text(json.dumps(kept, indent=1) + "\n")
    path.write_text("\n".join(lines))


def folder_of(recording: str, recorded: Path) -> Path:
    """Of a recording, named by its environment or by its folder."""
    for folder in (Path(recording), recorded / name_of(recording)):
        if (folder / "meta" / "info.json").exists():
            return folder
    raise InputError(
        f"{recording}: neither a recording nor an environment that is recorded in {recorded}; see kinema record"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", help="environments or folders (default: ALE/Pong-v5)")
    parser.add_argument("--grid", action="store_true", help="the recording of MiniGrid-DoorKey-6x6-v0 as well")
    parser.add_argument("--diamond", type=Path, required=True, help="a clone of github.com/eloialonso/diamond")
    parser.add_argument(
        "--ours", type=Path, help="a finished run on the one RECORDING, with whose minutes DIAMOND is trained"
    )
    parser.add_argument("--commit", help="its commit, where the folder is no clone that git knows")
    parser.add_argument("--parts", nargs="*", choices=("worlds", "steps"), default=["worlds", "steps"])
    parser.add_argument(
        "--compiled", action="store_true", help="time DIAMOND's step compiled too, which takes minutes to compile"
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="of training each (default: 30)")
    parser.add_argument("--stretches", type=int, default=16, help="held-back ones that are stepped (default: 16)")
    parser.add_argument("--rounds", type=int, default=8, help="training steps of DIAMOND that are timed (default: 8)")
    parser.add_argument(
        "--recorded", type=Path, default=Path("out/recorded-worlds"), help="where environments were recorded"
    )
    parser.add_argument("--out", type=Path, default=Path("out/diamond"), help="what exists there is used again")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/diamond.md")
    given = parser.parse_args()
    page = ROOT / "docs" / "measurements" / "diamond.md"
    try:
        wanted = given.recordings + ["MiniGrid-DoorKey-6x6-v0"] * given.grid or ["ALE/Pong-v5"]
        folders = [folder_of(one, given.recorded) for one in wanted]
        if given.ours and len(folders) != 1:
            raise InputError(f"--ours is a run on one recording; {len(folders)} are named")
        with diamond_code(given.diamond) as diamond:
            commit = given.commit or diamond.commit()
        made: dict[str, Any] = {"worlds": {}}
        for data in folders if "worlds" in given.parts else []:
            found = compare(given.diamond, data, given.out, data.name, given.minutes, given.stretches, given.ours)
            made["worlds"][data.name] = found
            print("\n".join(world_table(found)), flush=True)
        if "steps" in given.parts:
            with diamond_code(given.diamond) as diamond:
                rows = time_steps(diamond, folders[0], given.rounds, list(MODES)[: None if given.compiled else -1])
            size = "x".join(map(str, Dataset.open(folders[0]).fitted().size[::-1]))
            made["steps"] = {"date": str(date.today()), "size": size, "rows": rows}
            print("\n".join(step_table(made["steps"])), flush=True)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    if given.write:
        kept = json.loads(page.with_suffix(".json").read_text()) if page.with_suffix(".json").exists() else {}
        worlds = kept.get("worlds", {}) | made.pop("worlds")
        torch.set_num_threads(1)
        about = {
            "command": "python -m benchmarks.diamond --diamond DIR --write",
            "machine": machine(),
            "commit": f"commit {commit}",
        }
        write_page(kept | about | {"worlds": worlds} | made, page)
        for name in (data.name for data in folders if "worlds" in given.parts):
            Image.open(given.out / f"{name}.jpg").save(ROOT / "docs" / "pictures" / f"diamond-{name}.jpg", quality=60)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
