"""A world model of a recorded environment: kinema train world --data DIR.

Each training row is a stretch of an episode twice: once as the past, known, and once as what follows, unknown. Every unknown frame
reads the past before it and itself, which is just what a step of live mode does, so every frame of a stretch is a lesson. The
past is a little noisy, so that a rollout's own errors are nothing new.

The network is kinema-tiny's with other widths for actions and sensors; where its weights fit, training begins with them.

Axes: B rows, T frames, h x w cells, P numbers per cell, D numbers of a vector track.
"""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from kinema.canvas.canvas import TextCondition
from kinema.canvas.cells import from_cells, to_cells
from kinema.canvas.tracks import STATE_FEATURES, VECTORS
from kinema.codec import Codec, to_bytes
from kinema.data.episodes import Dataset
from kinema.diffusion.objective import CELL_UNITS, even, noised
from kinema.errors import InputError, ModelError
from kinema.media.sheet import contact_sheet
from kinema.model.config import DenoiserConfig
from kinema.model.denoiser import CLOSED, Denoiser, cleaned
from kinema.models import DEFAULT, Model, ModelConfig, find, save, weights_folder
from kinema.stepping import advance, moments_of, remember
from kinema.text import default_encoder
from kinema.train import checkpoint
from kinema.train.optimizer import Optimizer
from kinema.worlds.spaces import width

log = logging.getLogger(__name__)

MOVED = 0.25
"""Change of a latent from one frame to the next above which its cell counts as changed."""
CHANGED = 4.0
"""How much more a changed cell weighs: most of a picture stands still."""
HELD_BACK = 0.1
"""Share of the episodes that training never sees, one at least."""
STARTS = 48
"""Beginnings kept beside the model, for worlds to start from."""
MAX_TOKENS = 40
VECTOR_WEIGHTS = {"reward": 1.0, "terminated": 1.0, "sensors": 0.3}


@dataclass(frozen=True, kw_only=True)
class WorldRecipe:
    """frames: of a stretch, also how many the world remembers. The others are the network's and the optimizer's."""

    frames: int = 10
    batch: int = 16
    depth: int = 8
    width: int = 192
    heads: int = 4
    matrix_lr: float = 3e-3
    other_lr: float = 1.5e-3
    weight_decay: float = 0.01
    warmup: int = 50
    cooldown: float = 0.4
    ema: float = 0.995
    clip: float = 1.0
    noise: float = 0.12
    """The most that the past is disturbed by."""
    compile: bool = True
    seed: int = 0
    codec: str = "codec-8x8"
    save_every_s: float = 60.0
    patch: int = 2


class Recordings:
    """A dataset as tracks in memory, pictures as latents; its last episodes are held back."""

    def __init__(self, data: Dataset, codec: Codec, recipe: WorldRecipe, show: Callable[[int, int], None] | None) -> None:
        self.codec, self.fps = codec, data.fps
        rewards, sensors = [], []
        self.episodes: list[dict[str, Tensor]] = []
        self.names: list[str] = []
        for number in range(len(data)):
            one = data.episode(number)
            height, across = one.frames.shape[1:3]
            if height % 16 or across % 16:
                raise InputError(f"pictures of {across}x{height}: expected multiples of 16; record them with --size")
            parts = [codec.encode_frames(one.frames[i : i + 64]) for i in range(0, len(one.frames), 64)]
            video = to_cells(torch.cat(parts)[None].float(), recipe.patch)[0]
            rewards.append(one.reward)
            sensors.append(one.sensors)
            self.episodes.append(
                {
                    "video": video.to(torch.bfloat16),
                    "action": torch.from_numpy(one.action),
                    "reward": torch.from_numpy(one.reward)[:, None],
                    "terminated": torch.from_numpy(np.where(one.terminated, 1.0, -1.0).astype(np.float32))[:, None],
                    "sensors": torch.from_numpy(one.sensors),
                }
            )
            self.names.append(one.task)
            if show is not None:
                show(number + 1, len(data))
        paid = np.concatenate(rewards)
        paid = np.abs(paid[paid != 0])
        self.reward_scale = float(paid.mean()) if len(paid) else 1.0
        every = np.concatenate(sensors)
        self.mean = every.mean(0) if every.size else every[:0].sum(0)
        self.std = np.maximum(every.std(0), 1e-3) if every.size else self.mean
        for one_episode in self.episodes:
            one_episode["reward"] = (one_episode["reward"] / self.reward_scale).clamp(-3, 3)
            scaled = (one_episode["sensors"] - torch.from_numpy(self.mean)) / torch.from_numpy(self.std)
            one_episode["sensors"] = scaled.float().clamp(-5, 5)
        self.kept = max(1, round(len(data) * HELD_BACK)) if len(data) > 1 else 0
        self.tasks = sorted(set(self.names))
        self.text: TextCondition | None = None
        if any(self.tasks):
            states, mask = default_encoder().encode(self.tasks, max_tokens=MAX_TOKENS)
            self.text = TextCondition(states=torch.from_numpy(states), reads=torch.from_numpy(mask))
        self.size = (height, across)
        self.sensors = every.shape[1]

    def idle(self) -> int:
        """Of one-of-N actions the one that changes pictures least: what is done while nobody presses a key."""
        moved = torch.zeros(self.episodes[0]["action"].shape[1])
        count = torch.zeros_like(moved)
        for episode in self.episodes:
            change = (episode["video"][1:].float() - episode["video"][:-1].float()).abs().flatten(1).mean(1)
            taken = episode["action"][:-1].argmax(1)
            moved.index_add_(0, taken, change)
            count.index_add_(0, taken, torch.ones_like(change))
        mean = torch.where(count > 0, moved / count.clamp_min(1), torch.inf)
        return int(mean.argmin()) if mean.min() < 0.8 * mean[0] else 0

    def stretches(self, rng: np.random.Generator, count: int, frames: int, *, held_back: bool = False) -> dict[str, Tensor]:
        """Tracks [B, T, ...] from anywhere in the episodes, and "task" [B]; those too short are left out."""
        first, last = (
            (len(self.episodes) - self.kept, len(self.episodes)) if held_back else (0, len(self.episodes) - self.kept)
        )
        lengths = np.array([len(self.episodes[i]["reward"]) for i in range(first, last)])
        room = np.maximum(lengths - frames + 1, 0)
        if not room.any():
            raise InputError(f"no episode has {frames} frames; record longer ones, or train with fewer frames")
        which = rng.choice(len(room), count, p=room / room.sum())
        begins = (rng.random(count) * room[which]).astype(np.int64)
        names = ("video", "action", "reward", "terminated", "sensors")
        rows = [
            {name: self.episodes[first + i][name][b : b + frames] for name in names}
            for i, b in zip(which, begins, strict=True)
        ]
        tracks = {name: torch.stack([row[name] for row in rows]).float() for name in names}
        tracks["task"] = torch.tensor([self.tasks.index(self.names[first + i]) for i in which])
        return tracks


def full_tracks(tracks: dict[str, Tensor], sensors: int) -> dict[str, Tensor]:
    """With the tracks that a recorded world has no use for: one empty slot, camera and setting of nothing."""
    batch, frames = tracks["reward"].shape[:2]
    device = tracks["reward"].device
    state = torch.zeros(batch, frames, 1, STATE_FEATURES, device=device)
    state[..., 0] = -1.0
    camera, scene = (torch.zeros(batch, frames, VECTORS[name], device=device) for name in ("camera", "scene"))
    result = {name: tracks[name] for name in ("video", "action", "reward", "terminated")}
    result |= {"state": state, "camera": camera, "scene": scene}
    return result | ({"sensors": tracks["sensors"]} if sensors else {})


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """The arguments of `world_losses`."""

    values: dict[str, Tensor]
    levels: dict[str, Tensor]
    noise: dict[str, Tensor]
    time_s: Tensor
    text: TextCondition | None
    bias: Tensor
    order: Tensor


def lesson(recordings: Recordings, recipe: WorldRecipe, step: int, device: torch.device) -> Lesson:
    """The batch of one step, a function of (seed, step) alone."""
    rng = np.random.default_rng((recipe.seed, step))
    t, b = recipe.frames, recipe.batch
    drawn = recordings.stretches(rng, b, t)
    once = full_tracks(drawn, recordings.sensors)
    values = {name: torch.cat([x, x[:, 1:]], 1).to(device) for name, x in once.items()}
    rough = torch.from_numpy(np.where(rng.random(b) < 0.3, 0.0, rng.uniform(0, recipe.noise, b)).astype(np.float32))
    ahead = np.where(rng.random((b, t - 1)) < 0.75, 1.0, rng.uniform(0.1, 1.0, (b, t - 1))).astype(np.float32)
    per_frame = torch.cat([rough[:, None].expand(b, t), torch.from_numpy(ahead)], 1).to(device)
    known = torch.cat([torch.zeros(b, t), torch.from_numpy(ahead)], 1).to(device)
    h, w = values["video"].shape[2:4]
    levels = {name: known.clone() for name in values if name not in ("video", "state")}
    levels["video"] = per_frame[..., None, None].expand(-1, -1, h, w).contiguous()
    levels["state"] = torch.zeros_like(values["state"])
    for name in ("camera", "scene"):
        levels[name].zero_()
    levels["action"][:, t:] = 1.0
    index = torch.arange(t)
    when = torch.cat([index, index[1:]])
    past = torch.cat([torch.ones(t, dtype=torch.bool), torch.zeros(t - 1, dtype=torch.bool)])
    reads = past[None, :] & ((when[None, :] < when[:, None]) | (past[:, None] & (when[None, :] == when[:, None])))
    reads |= torch.eye(2 * t - 1, dtype=torch.bool)
    text = None
    if recordings.text is not None:
        states, mask = recordings.text.states[drawn["task"]], recordings.text.reads[drawn["task"]]
        heard = torch.from_numpy(rng.random(b) > 0.1)
        text = TextCondition(
            states=states.to(device),
            reads=(mask & heard[:, None])[:, None].expand(-1, 2 * t - 1, -1).contiguous().to(device),
        )
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    noise = {name: torch.randn(x.shape, generator=generator).to(device) for name, x in values.items()}
    return Lesson(
        values=values,
        levels=levels,
        noise=noise,
        time_s=(when.float() / recordings.fps).expand(b, -1).to(device),
        text=text,
        bias=torch.where(reads, 0.0, CLOSED).to(device),
        order=torch.cat([index, index[1:]]).to(device),
    )


def world_losses(
    model: Denoiser,
    values: dict[str, Tensor],
    levels: dict[str, Tensor],
    noise: dict[str, Tensor],
    time_s: Tensor,
    text: TextCondition | None,
    bias: Tensor,
    order: Tensor,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Squared error of what follows, by track."""
    noisy = noised(values, levels, noise)
    stride = torch.zeros(len(time_s), device=time_s.device)
    answers = model.network(noisy, levels, time_s, text, CELL_UNITS, bias, stride, dtype, order=order)
    clean = cleaned(noisy, levels, answers)
    t = (time_s.shape[1] + 1) // 2
    follows, was = values["video"][:, t:], values["video"][:, : t - 1]
    changed = ((follows - was).abs() > MOVED).any(-1).float()
    weight = 1 + CHANGED * changed
    level = levels["video"][:, t:]
    error = (clean["video"][:, t:] - follows).square().mean(-1) * even(level, 0.4) / even(torch.ones_like(level), 0.4)
    result = {"video": (error * weight).mean() / weight.mean()}
    for name, share in VECTOR_WEIGHTS.items():
        if name in values:
            off = (clean[name][:, t:] - values[name][:, t:]).square()
            result[name] = share * off.mean()
    return result


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
            latent_channels=recordings.codec.channels,
            patch=recipe.patch,
            text_dim=384,
            action_width=width(about["action"]),
            sensors=recordings.sensors,
            follows=True,
        ),
        codec=recipe.codec,
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


def begin_with(model: Denoiser, weights: dict[str, Tensor]) -> int:
    """Take over what fits of another model's weights; inputs that are new begin at nothing. Returns how many."""
    own, taken = dict(model.named_parameters()), 0
    with torch.no_grad():
        for name, value in weights.items():
            mine = own.get(name)
            if mine is None:
                continue
            if mine.shape == value.shape:
                mine.copy_(value)
                taken += 1
            elif name == "video_in.first.weight" and mine.shape[0] == value.shape[0]:
                mine.zero_()
                mine[:, : value.shape[1]] = value
                taken += 1
    return taken


class WorldTrainer:
    """One run in one folder; killed at any moment, it goes on from its last checkpoint."""

    def __init__(
        self,
        recipe: WorldRecipe,
        config: ModelConfig,
        recordings: Recordings,
        out: Path,
        *,
        minutes: float,
        device: str = "cpu",
        start: bool = True,
    ) -> None:
        self.recipe, self.config, self.recordings, self.out, self.minutes = recipe, config, recordings, out, minutes
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
        self.losses = torch.compile(world_losses, dynamic=False) if recipe.compile else world_losses
        self.step, self.elapsed_s, self.stopping = 0, 0.0, False
        self.running: dict[str, float] = {}

    def _start(self) -> None:
        from safetensors.torch import load_file

        try:
            path = find(DEFAULT) / "model.safetensors"
        except ModelError:
            return
        taken = begin_with(self.model, {name: x.float() for name, x in load_file(path).items()})
        log.info("begins with %d of %d parts of %s", taken, len(dict(self.model.named_parameters())), DEFAULT)

    @property
    def done(self) -> float:
        return min(self.elapsed_s / (60 * self.minutes), 1.0)

    def one_step(self) -> dict[str, float]:
        part = lesson(self.recordings, self.recipe, self.step, self.device)
        parts = self.losses(
            self.model,
            part.values,
            part.levels,
            part.noise,
            part.time_s,
            part.text,
            part.bias,
            part.order,
            self.dtype,
        )
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
        """Until the minutes are spent or Ctrl-C, which saves."""
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
                    told = "  ".join(f"{name} {value:.4f}" for name, value in self.running.items())
                    left = self.minutes - self.elapsed_s / 60
                    show(f"step {self.step}  {told}  {self.elapsed_s / 60:.1f} min, {max(left, 0):.1f} left")
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
                "step": self.step,
                "elapsed_s": self.elapsed_s,
                "running": self.running,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
        )

    def load(self, state: dict[str, Any]) -> None:
        ours = json.loads(json.dumps(asdict(self.config)))["denoiser"]
        if state.get("config", {}).get("denoiser") != ours:
            raise InputError(f"{self.out} holds a run of another world or size; name another folder")
        self.model.load_state_dict(state["model"], strict=True)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s, self.running = state["step"], state["elapsed_s"], dict(state["running"])

    def finished(self) -> Model:
        """The averaged weights as a model."""
        denoiser = Denoiser(self.config.denoiser)
        denoiser.load_state_dict(self.optimizer.average, strict=True)
        return Model(self.config, denoiser, self.recordings.codec, device=str(self.device))


def evaluate(model: Model, recordings: Recordings, recipe: WorldRecipe, count: int = 16) -> tuple[dict[str, float], Any]:
    """Held-back stretches: the first half known, the rest stepped with the true actions. PSNR of the next picture and of the last,
    against copying the last known one; and a contact sheet of truth and rollout."""
    rng = np.random.default_rng(12345)
    known = max(recipe.frames // 2, 1)
    ahead = min(12, recipe.frames + 2)
    held = recordings.kept > 0
    tracks = full_tracks(recordings.stretches(rng, count, known + ahead, held_back=held), recordings.sensors)
    tracks = {name: x.to(model.device) for name, x in tracks.items()}
    moments = [
        replace(m, acted=True) for m in moments_of({name: x[:, :known] for name, x in tracks.items()}, 0.0, recordings.fps)
    ]
    window = model.config.window
    moments = remember(model, moments, window=window)
    made = []
    for t in range(ahead):
        action = tracks["action"][:, known + t - 1]
        last, new = advance(
            model, moments, action, fps=recordings.fps, seeds=[t * 1000 + i for i in range(count)], window=window
        )
        moments = [*moments[:-1], last, new][-window - 1 :]
        made.append(new)
    cells = torch.stack([m.tracks["video"] for m in made], 1)

    def shown(x: Tensor) -> NDArray[np.uint8]:
        return np.asarray(to_bytes(recordings.codec.decode(from_cells(x.float(), recipe.patch))))

    truth, found = shown(tracks["video"][:, known:]), shown(cells)
    copy = shown(tracks["video"][:, known - 1 : known]).repeat(ahead, 1)

    def quality(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        return float(10 * np.log10(255.0**2 / max(float(np.mean((a.astype(float) - b) ** 2)), 1e-3)))

    said = torch.stack([m.tracks["terminated"][:, 0] for m in made], 1).cpu().numpy()
    figures = {
        "next_db": quality(found[:, 0], truth[:, 0]),
        "next_copy_db": quality(copy[:, 0], truth[:, 0]),
        f"after_{ahead}_db": quality(found[:, -1], truth[:, -1]),
        f"after_{ahead}_copy_db": quality(copy[:, -1], truth[:, -1]),
        "reward_error": float(
            (torch.stack([m.tracks["reward"] for m in made], 1) - tracks["reward"][:, known:]).abs().mean()
        ),
        "ends_told": float(np.mean((said > 0) == (tracks["terminated"][:, known:, 0].cpu().numpy() > 0))),
    }
    rows, captions = [], []
    for i in range(min(4, count)):
        rows += [truth[i], found[i]]
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


def train_world(
    data: Path | str,
    *,
    out: Path,
    minutes: float = 10.0,
    resume: bool = False,
    recipe: WorldRecipe | None = None,
    device: str = "cpu",
    show: Callable[[str], None] | None = None,
) -> Path:
    """Train a world model of a dataset; returns the folder of the finished model, `out`/world."""
    from kinema.codec import load_codec

    wish = recipe or WorldRecipe()
    if minutes <= 0:
        raise InputError(f"{minutes} minutes: expected more than 0")
    if wish.frames < 3:
        raise InputError(f"stretches of {wish.frames} frames: expected 3 or more")
    dataset = Dataset.open(data)
    if not resume and (out / checkpoint.NAME).exists():
        raise InputError(f"{out} holds a run already; go on with --resume {out}, or name another --out")
    state = checkpoint.load(out) if resume else None
    codec = load_codec(weights_folder() / wish.codec, device=device)
    recordings = Recordings(dataset, codec, wish, (lambda i, n: show(f"reading episode {i} of {n}")) if show else None)
    config = config_for(dataset, recordings, wish, f"world-{Path(data).name}")
    trainer = WorldTrainer(wish, config, recordings, out, minutes=minutes, device=device, start=state is None)
    if state is not None:
        trainer.load(state)
    trainer.run(show)
    figures, picture = evaluate(trainer.finished(), recordings, wish)
    trained = {
        "recipe": "world",
        "data": str(data),
        "steps": trainer.step,
        "minutes": round(trainer.elapsed_s / 60, 1),
        "date": date.today().isoformat(),
        "figures": {name: round(value, 3) for name, value in figures.items()},
    }
    folder = out / "world"
    done = replace(config, trained=trained)
    save(folder, done, trainer.optimizer.average, card(done, figures, dataset.total_frames))
    starts = recordings.stretches(np.random.default_rng(wish.seed), STARTS, wish.frames)
    kept = {name: x.to(torch.bfloat16) if name == "video" else x for name, x in starts.items()}
    save_file({name: x.contiguous() for name, x in kept.items()}, folder / "starts.safetensors")
    picture.save(out / "rollout.png")
    return folder
