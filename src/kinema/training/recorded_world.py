"""A world model of a recorded environment: kinema train world --data DIR.

The network is kinema-tiny's with other widths for actions and sensors; where its weights fit, training begins with them.

Axes: B rows, T frames, h x w cells, P numbers per cell, D numbers of a vector track.
"""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from kinema.autoencoder import Autoencoder, load_autoencoder, save_autoencoder, to_bytes
from kinema.canvas.canvas import TextCondition
from kinema.canvas.patchify import from_cells
from kinema.datasets.lerobot import Dataset
from kinema.diffusion.seeds import row_seeds
from kinema.envs.spaces import width
from kinema.errors import InputError, ModelError
from kinema.inference.rollout import prefill, split_frames, step
from kinema.media.contact_sheet import contact_sheet
from kinema.models.config import DenoiserConfig
from kinema.models.denoiser import Denoiser
from kinema.models.hub import DEFAULT, Model, ModelConfig, find, read_weights, save, weights_folder
from kinema.statistics import auroc
from kinema.training import checkpoint
from kinema.training.autoencoder.fine_tune import fine_tune
from kinema.training.initialize import begin_with
from kinema.training.length import check_minutes, check_steps
from kinema.training.optimizer import Optimizer
from kinema.training.recordings import Lesson, Recordings, WorldRecipe, full_tracks, held_back, lesson, world_losses
from kinema.training.run_folder import locked
from kinema.training.seeds import Draw, step_rng

log = logging.getLogger(__name__)

MINUTES = 10.0
AUTOENCODER = "codec"
"""The folder, in the run's and in the model's, of a codec that was trained on."""
AHEAD = 12
"""Frames that an evaluation steps ahead, where episodes are that long."""
LEAST_ENDS = 5
"""Ends below which an evaluation gives no AUROC of termination."""
STARTS = 48
"""Beginnings kept beside the model, for worlds to start from."""


def config_for(data: Dataset, recordings: Recordings, recipe: WorldRecipe, name: str) -> ModelConfig:
    """What a model of this recording is."""
    about = data.about
    return ModelConfig(
        name=name,
        denoiser=DenoiserConfig(
            width=recipe.width,
            depth=recipe.depth,
            heads=recipe.heads,
            mlp_ratio=4,
            slots=1,
            latent_channels=recordings.autoencoder.channels,
            patch=recipe.patch,
            text_dim=384,
            action_width=width(about["action"]),
            sensors=recordings.sensors,
            predict_residual=True,
        ),
        autoencoder=AUTOENCODER if recipe.autoencoder_share else recipe.autoencoder,
        height=recordings.size[0],
        max_side=max(recordings.size),
        window=recipe.frames - 1,
        film_window=recipe.frames,
        fps=(data.fps, data.fps),
        world={
            **about,
            "size": list(recordings.size),
            "fps": data.fps,
            "reward_scale": recordings.reward_scale,
            "sensors": {"mean": recordings.mean.tolist(), "std": recordings.std.tolist()},
            "tasks": recordings.tasks,
            "idle": recordings.idle() if about["action"]["type"] == "discrete" else 0,
        },
    )


class WorldTrainer:
    """One run in one folder, until the minutes are spent or the steps are taken, whichever is first; killed at any moment, it
    goes on from its last checkpoint."""

    def __init__(
        self,
        recipe: WorldRecipe,
        config: ModelConfig,
        recordings: Recordings,
        out: Path,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        device: str = "cpu",
        start: bool = True,
    ) -> None:
        check_minutes(minutes)
        check_steps(steps)
        if minutes is None and steps is None:
            raise InputError("a run without an end: expected minutes or steps")
        self.recipe, self.config, self.recordings, self.out = recipe, config, recordings, out
        self.minutes, self.steps = minutes, steps
        self.device = torch.device(device)
        torch.manual_seed(recipe.seed)
        self.model = Denoiser(config.denoiser).to(self.device)
        if start:
            self._start()
        self.optimizer = Optimizer(
            self.model,
            matrix_lr=recipe.matrix_lr,
            other_lr=recipe.other_lr,
            weight_decay=recipe.weight_decay,
            clip=recipe.clip,
            ema=recipe.ema,
        )
        self.dtype = torch.bfloat16
        if recipe.compile:
            for block in self.model.blocks:
                block.compile(dynamic=False)
        self.step, self.elapsed_s, self.stopping = 0, 0.0, False
        self.autoencoder_s = 0.0
        """Seconds that its codec was trained on."""
        self.running: dict[str, float] = {}

    def _start(self) -> None:
        try:
            weights = read_weights(find(DEFAULT))
        except ModelError:
            return
        taken = begin_with(self.model, weights)
        log.info("begins with %d of %d parts of %s", taken, len(dict(self.model.named_parameters())), DEFAULT)

    @property
    def done(self) -> float:
        """Share of the run that is done, by steps or by the time budget, whichever is further."""
        by_time = self.elapsed_s / (60 * self.minutes) if self.minutes is not None else 0.0
        by_steps = self.step / self.steps if self.steps is not None else 0.0
        return min(max(by_time, by_steps), 1.0)

    def _own(self) -> int:
        """How many times over the past of this step is the network's own work."""
        rng = step_rng(self.recipe.seed, self.step, Draw.OWN_PAST)
        if self.done < self.recipe.own_from or rng.random() >= self.recipe.own_share:
            return 0
        return int(rng.integers(1, self.recipe.own_most + 1))

    def _compute(self, part: Lesson) -> tuple[dict[str, Tensor], Tensor]:
        return world_losses(
            self.model,
            part.values,
            part.levels,
            part.noise,
            part.time_s,
            part.text,
            part.bias,
            part.previous_index,
            self.dtype,
        )

    def one_step(self) -> dict[str, float]:
        part = lesson(self.recordings, self.recipe, self.step, self.device)
        for _ in range(self._own()):
            part = part.with_past(self._compute(part)[1])
        parts, _ = self._compute(part)
        loss = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} at step {self.step}; the last checkpoint is in {self.out}")
        loss.backward()  # type: ignore[no-untyped-call]
        up = min((self.step + 1) / self.recipe.warmup, 1.0)
        down = min((1.0 - self.done) / self.recipe.cooldown, 1.0)
        self.optimizer.step(up * max(down, 0.01), average_from=self.step / 5 + 2)
        self.step += 1
        return {name: float(value.detach()) for name, value in parts.items()}

    def run(self, show: Callable[[str], None] | None = None) -> None:
        """Until the run is done or Ctrl-C, which saves."""
        self.out.mkdir(parents=True, exist_ok=True)
        before = signal.signal(signal.SIGINT, self._interrupt)
        saved = time.monotonic()
        try:
            while self.done < 1.0 and not self.stopping:
                begun = time.monotonic()
                for name, value in self.one_step().items():
                    self.running[name] = 0.95 * self.running.get(name, value) + 0.05 * value
                if time.monotonic() - saved > self.recipe.save_every_s:
                    self.save()
                    saved = time.monotonic()
                self.elapsed_s += time.monotonic() - begun
                if show is not None:
                    line = "  ".join(f"{name} {value:.4f}" for name, value in self.running.items())
                    left = (1.0 - self.done) / max(self.done, 1e-6) * self.elapsed_s / 60
                    show(f"step {self.step}  {line}  {self.elapsed_s / 60:.1f} min, {left:.1f} left")
        finally:
            signal.signal(signal.SIGINT, before)
        self.save()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        log.warning("stopping after this step; the run is saved and can be resumed")
        self.stopping = True

    def save(self) -> None:
        checkpoint.save(
            self.out,
            {
                "config": json.loads(json.dumps(asdict(self.config))),
                "recipe": asdict(self.recipe),
                "minutes": self.minutes,
                "steps": self.steps,
                "codec_s": self.autoencoder_s,
                "step": self.step,
                "elapsed_s": self.elapsed_s,
                "running": self.running,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
        )

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint of the same world; InputError where it does not fit."""
        ours = json.loads(json.dumps(asdict(self.config)))["denoiser"]
        with checkpoint.fitting(self.out):
            if state["config"]["denoiser"] != ours:
                raise InputError(f"{self.out} holds a run of another world or size; name another folder")
            self.model.load_state_dict(state["model"], strict=True)
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.elapsed_s, self.running = state["step"], state["elapsed_s"], dict(state["running"])
            self.autoencoder_s = float(state.get("codec_s", 0.0))

    def finished(self) -> Model:
        """The averaged weights as a model."""
        denoiser = Denoiser(self.config.denoiser)
        denoiser.load_state_dict(self.optimizer.average, strict=True)
        return Model(self.config, denoiser, self.recordings.autoencoder, device=str(self.device))


def evaluate(model: Model, recordings: Recordings, recipe: WorldRecipe, count: int = 16) -> tuple[dict[str, float], Any]:
    """Held-back stretches: the first half known, the rest stepped with the true actions. PSNR of the next picture and of the last,
    against copying the last known one; and a contact sheet of truth and rollout.

    "ends" is the number of frames in these stretches in which an episode terminated; "ends_auroc", the AUROC of the predicted
    termination, is only there where at least LEAST_ENDS frames did and did not: a share of right frames would be near 1 for a
    model that never ends anything."""
    rng = np.random.default_rng(12345)
    held = recordings.num_held_back > 0
    longest = recordings.longest(held_back=held)
    known = min(max(recipe.frames // 2, 1), longest - 1)
    ahead = min(AHEAD, longest - known)
    drawn = recordings.sample_windows(rng, count, known + ahead, held_back=held)
    text = None
    if recordings.text is not None:
        states, reads = recordings.text.states[drawn["task"]], recordings.text.reads[drawn["task"]][:, None]
        text = TextCondition(states=states.to(model.device), reads=reads.to(model.device))
    tracks = {name: x.to(model.device) for name, x in full_tracks(drawn, recordings.sensors).items()}
    history = [
        replace(m, acted=True) for m in split_frames({name: x[:, :known] for name, x in tracks.items()}, 0.0, recordings.fps)
    ]
    window = model.config.window
    history = prefill(model, history, text, window=window)
    made = []
    for t in range(ahead):
        action = tracks["action"][:, known + t - 1]
        last, new = step(
            model,
            history,
            action,
            fps=recordings.fps,
            seeds=row_seeds(0, t, count),
            text=text,
            window=window,
        )
        history = [*history[:-1], last, new][-window - 1 :]
        made.append(new)
    cells = torch.stack([m.tracks["video"] for m in made], 1)

    def shown(x: Tensor) -> NDArray[np.uint8]:
        return np.asarray(to_bytes(recordings.autoencoder.decode(from_cells(x.float(), recipe.patch))))

    truth, predicted = shown(tracks["video"][:, known:]), shown(cells)
    copy = shown(tracks["video"][:, known - 1 : known]).repeat(ahead, 1)

    def quality(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        return float(10 * np.log10(255.0**2 / max(float(np.mean((a.astype(float) - b) ** 2)), 1e-3)))

    ended = torch.stack([m.tracks["terminated"][:, 0] for m in made], 1).cpu().numpy()
    ends = tracks["terminated"][:, known:, 0].cpu().numpy() > 0
    pictures = torch.cat([recordings.autoencoder.encode_frames(frames) for frames in recordings.shown])
    back = np.asarray(to_bytes(recordings.autoencoder.decode(pictures[None].float())))[0]
    figures = {
        "codec_db": quality(back, np.concatenate(recordings.shown)),
        "next_db": quality(predicted[:, 0], truth[:, 0]),
        "next_copy_db": quality(copy[:, 0], truth[:, 0]),
        f"after_{ahead}_db": quality(predicted[:, -1], truth[:, -1]),
        f"after_{ahead}_copy_db": quality(copy[:, -1], truth[:, -1]),
        "reward_error": float(
            (torch.stack([m.tracks["reward"] for m in made], 1) - tracks["reward"][:, known:]).abs().mean()
        ),
        "ends": float(ends.sum()),
    }
    if min(ends.sum(), (~ends).sum()) >= LEAST_ENDS:
        figures["ends_auroc"] = auroc(ended[ends].tolist(), ended[~ends].tolist())
    rows, captions = [], []
    for i in range(min(4, count)):
        rows += [truth[i], predicted[i]]
        captions += [f"recorded, {known} frames were known before these", "imagined with the same actions"]
    return figures, contact_sheet(rows, captions=captions)


def card(config: ModelConfig, figures: dict[str, float], total: int) -> str:
    """The model's README."""
    world = config.world or {}
    lines = [
        f"# {config.name}",
        "",
        f"A world model of `{world.get('env')}`, made by `kinema train world` from {total:,} recorded frames of"
        f" {world['size'][1]}x{world['size'][0]} at {world['fps']:g} a second, in {config.trained['minutes']} minutes"
        f" ({config.trained['steps']} steps).",
        "",
        "Held-back episodes, stepped with their true actions:",
        "",
        "| what | measured |",
        "|---|---|",
        *(f"| {name.replace('_', ' ')} | {value:.3f} |" for name, value in figures.items()),
        "",
        "It knows what was recorded and nothing else: places, things and rewards that no episode showed will be wrong.",
    ]
    return "\n".join(lines) + "\n"


def _stretch(data: Dataset, frames: int) -> int:
    """How long stretches are: as wished, or shorter where most episodes are."""
    lengths = sorted(int(row["length"]) for row in data.rows)
    usual = lengths[len(lengths) // 2] if lengths else 0
    if usual < 3:
        raise InputError(f"most episodes of {data.folder} have fewer than 3 frames; record longer ones")
    if usual < frames:
        log.info("episodes are short: the world remembers %d frames", usual - 1)
    return min(frames, usual)


def _autoencoder(
    data: Dataset,
    recipe: WorldRecipe,
    out: Path,
    minutes: float | None,
    steps: int | None,
    again: bool,
    device: str,
    show: Callable[[str], None] | None,
) -> Autoencoder:
    """The recipe's codec, trained on over the recording; taken as it is when a run goes on (`again`)."""
    if not recipe.autoencoder_share:
        return load_autoencoder(weights_folder() / recipe.autoencoder, device=device)
    if not again or not (out / AUTOENCODER / "README.md").exists():
        start = load_autoencoder(weights_folder() / recipe.autoencoder, dtype=torch.float32)
        seen = len(data) - held_back(len(data))
        fitted = fine_tune(start, data, episodes=seen, minutes=minutes, steps=steps, seed=recipe.seed, say=show)
        save_autoencoder(
            fitted,
            out / AUTOENCODER,
            card=f"# codec\n\n{recipe.autoencoder} trained on over {data.total_frames:,} pictures.\n",
        )
    return load_autoencoder(out / AUTOENCODER, device=device)


def save_starts(folder: Path, recordings: Recordings, recipe: WorldRecipe) -> None:
    """Keep recorded beginnings beside a model, for its worlds to start from."""
    starts = recordings.sample_windows(np.random.default_rng(recipe.seed), STARTS, recipe.frames)
    compact = {name: x.to(torch.bfloat16) if name == "video" else x for name, x in starts.items()}
    save_file({name: x.contiguous() for name, x in compact.items()}, folder / "starts.safetensors")


def train_world(
    data: Path | str,
    *,
    out: Path,
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = False,
    recipe: WorldRecipe | None = None,
    device: str = "cpu",
    show: Callable[[str], None] | None = None,
) -> Path:
    """Train a world model of a dataset; returns the folder of the finished model, `out`/world.

    minutes: of the codec's and the world's training together. steps: of the world's; the codec takes as many besides as give it
    the recipe's share of all. With both, whichever is first ends each. With neither, 10 minutes, or what a resumed run was
    given.

    InputError: a length that is none, a dataset that cannot be used, a checkpoint that is of another world or cannot be read, or
    another run that is writing to `out`. OutputError: `out` cannot be written to.
    """
    wish = recipe or WorldRecipe()
    check_minutes(minutes)
    check_steps(steps)
    if wish.frames < 3:
        raise InputError(f"stretches of {wish.frames} frames: expected 3 or more")
    dataset = Dataset.open(data)
    if resume:
        checkpoint.check_exists(out)
    with locked(out):
        return _train_world(dataset, out, minutes, steps, resume, wish, device, show)


def _train_world(
    dataset: Dataset,
    out: Path,
    minutes: float | None,
    steps: int | None,
    resume: bool,
    wish: WorldRecipe,
    device: str,
    show: Callable[[str], None] | None,
) -> Path:
    """The run itself, in a folder that is locked."""
    if not resume and (out / checkpoint.NAME).exists():
        raise InputError(f"{out} holds a run already; go on with --resume {out}, or name another --out")
    state = checkpoint.load(out) if resume else None
    if state is not None and "config" not in state:
        raise InputError(f"{out} holds no run of a recorded world; name the --out folder of an earlier kinema train world")
    share = wish.autoencoder_share
    if minutes is None and steps is None and state is not None:
        steps = state.get("steps")
        minutes = state["minutes"] / (1 - share) if state.get("minutes") is not None else None
    if minutes is None and steps is None:
        minutes = MINUTES
    autoencoder_minutes = minutes * share if minutes is not None else None
    autoencoder_steps = max(round(steps * share / (1 - share)), 1) if steps is not None else None
    wish = replace(wish, frames=_stretch(dataset, wish.frames))
    begun = time.monotonic()
    autoencoder = _autoencoder(dataset, wish, out, autoencoder_minutes, autoencoder_steps, state is not None, device, show)
    autoencoder_s = time.monotonic() - begun
    recordings = Recordings(dataset, autoencoder, wish, (lambda i, n: show(f"reading episode {i} of {n}")) if show else None)
    config = config_for(dataset, recordings, wish, f"world-{dataset.folder.name}")
    left = minutes * (1 - share) if minutes is not None else None
    trainer = WorldTrainer(wish, config, recordings, out, minutes=left, steps=steps, device=device, start=state is None)
    if state is not None:
        trainer.load(state)
    trainer.autoencoder_s += autoencoder_s
    trainer.run(show)
    figures, picture = evaluate(trainer.finished(), recordings, wish)
    trained = {
        "recipe": "world",
        "data": str(dataset.folder),
        "steps": trainer.step,
        "minutes": round((trainer.elapsed_s + trainer.autoencoder_s) / 60, 1),
        "date": date.today().isoformat(),
        "figures": {name: round(value, 3) for name, value in figures.items()},
    }
    folder = out / "world"
    done = replace(config, trained=trained)
    if wish.autoencoder_share:
        save_autoencoder(autoencoder, folder / AUTOENCODER)
    save(folder, done, trainer.optimizer.average, card(done, figures, dataset.total_frames))
    save_starts(folder, recordings, wish)
    picture.save(out / "rollout.png")
    return folder
