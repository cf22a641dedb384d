"""What is written beside a recorded world: its figures on held-back episodes, its card, and beginnings to start from.

Axes: B rows, T frames, K frames of context.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from kinema.autoencoder import to_uint8
from kinema.canvas.canvas import TextCondition
from kinema.diffusion.seeds import row_seeds
from kinema.inference.dit_rollout import WANTED, paint_numbers, predict_frame, read_numbers, remember
from kinema.inference.frame_state import FrameState
from kinema.inference.rollout import split_frames
from kinema.media.contact_sheet import contact_sheet
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.models.rules import Rule
from kinema.statistics import auroc
from kinema.training.recordings import Recordings
from kinema.training.rule_rollouts import fill_memory

TRIED = 8
"""Stretches by which is chosen whether entities are predicted first."""
AHEAD = 64
"""Frames that an evaluation steps ahead, where episodes are that long."""
SHOWN = (1, 4, 12, 64)
"""After how many frames errors are measured."""
CHANGED_PX = 24
"""Levels of 255 by which a pixel differs from the last known picture where it counts as changed."""
LEAST_ENDS = 5
"""Frames with an end, or with a reward, below which an evaluation gives no AUROC of them."""
ENDS, END_FRAMES = 32, 16
"""Held-back episodes whose last frames are stepped, to judge rewards and ends by, and how many of them."""
PLACES = 3
"""Entities whose places are measured."""
STARTS = 48
"""Beginnings kept beside the model, for worlds to start from."""
START_FRAMES = 8
"""Frames of a beginning."""


def roll(
    model: DiTModel,
    tracks: dict[str, Tensor],
    known: int,
    actions: Tensor,
    text: TextCondition | None,
    fps: float,
    steps: int = 1,
) -> list[FrameState]:
    """The frames after the first `known` ones, stepped with actions [B, T, D] of all frames. steps: of the sampler."""
    first = split_frames({name: x[:, :known] for name, x in tracks.items()}, 0.0, fps)
    states = remember(model, [replace(state, acted=True) for state in first], text, fps=fps)
    for t in range(known, actions.shape[1]):
        states[-1] = replace(states[-1], tracks={**states[-1].tracks, "action": actions[:, t - 1]}, acted=True)
        seeds = row_seeds(0, t, len(actions))
        states.append(predict_frame(model, states, fps=fps, seeds=seeds, steps=steps, text=text))
    return states[known:]


def fill_recording(model: DiTModel, recordings: Recordings) -> None:
    """A recording gets the memory of the model's rule, without which its episodes cannot be stepped."""
    for rule in model.network.rules.values():
        fill_memory(cast(Rule, rule), recordings, model.config.network)


def changed_error(made: NDArray[np.uint8], truth: NDArray[np.uint8], last: NDArray[np.uint8]) -> float:
    """Root mean squared error, in levels of 255, on the pixels of the true pictures [B, H, W, 3] that differ from the last known
    ones; nan where none does."""
    changed = np.abs(truth.astype(int) - last).max(-1) > CHANGED_PX
    return float(np.sqrt(np.mean((made.astype(float) - truth)[changed] ** 2))) if changed.any() else float("nan")


@dataclass(frozen=True)
class Rollouts:
    """Held-back stretches: pictures uint8 [B, T, H, W, 3] after the known ones, as recorded, as imagined with the true actions
    and with those of another stretch; the last known picture [B, H, W, 3]; tracks of the stretches, and the imagined frames."""

    known: int
    truth: NDArray[np.uint8]
    made: NDArray[np.uint8]
    astray: NDArray[np.uint8]
    last: NDArray[np.uint8]
    tracks: dict[str, Tensor]
    states: list[FrameState]
    text: TextCondition | None


def roll_held_back(model: DiTModel, recordings: Recordings, count: int = 16, steps: int = 1) -> Rollouts:
    """`count` stretches of episodes that are held back, of up to AHEAD frames after START_FRAMES known ones; steps: of the
    sampler."""
    fill_recording(model, recordings)
    rng = np.random.default_rng(12345)
    held = recordings.num_held_back > 0
    longest = recordings.longest(held_back=held)
    known = min(START_FRAMES, longest - 1)
    ahead = min(AHEAD, longest - known)
    tracks, text = _on_device(model, recordings, recordings.sample_windows(rng, count, known + ahead, 0, held_back=held))
    made = roll(model, tracks, known, tracks["action"], text, recordings.fps, steps)
    others = tracks["action"].clone()
    others[:, known - 1 :] = others.roll(1, 0)[:, known - 1 :]
    astray = roll(model, tracks, known, others, text, recordings.fps, steps)

    pictures = [_pictures(model, torch.stack([state.tracks["video"] for state in rows], 1)) for rows in (made, astray)]
    return Rollouts(
        known=known, truth=_pictures(model, tracks["video"][:, known:]), made=pictures[0], astray=pictures[1],
        last=_pictures(model, tracks["video"][:, known - 1 : known])[:, 0], tracks=tracks, states=made, text=text,
    )  # fmt: skip


def _on_device(
    model: DiTModel, recordings: Recordings, windows: dict[str, Tensor]
) -> tuple[dict[str, Tensor], TextCondition | None]:
    """Windows of a recording as a rollout takes them: tracks and text."""
    tracks, text = dict(windows), None
    task = tracks.pop("task")
    if recordings.text is not None:
        states, reads = recordings.text[0][task], recordings.text[1][task][:, None]
        text = TextCondition(states=states.to(model.device), reads=reads.to(model.device))
    if not recordings.sensors:
        del tracks["sensors"]
    return {name: x.to(model.device) for name, x in tracks.items()}, text


@dataclass(frozen=True)
class Events:
    """What happens in frames that were stepped, [N] of all: rewards and scores of an end, and the true ones."""

    reward: Tensor
    end: Tensor
    true_reward: Tensor
    ended: Tensor

    @staticmethod
    def of(states: list[FrameState], tracks: dict[str, Tensor], known: int) -> Events:
        """Of stepped frames, and of their tracks with `known` frames before them."""
        reward, end = (torch.stack([state.tracks[name][:, 0] for state in states], 1) for name in ("reward", "terminated"))
        true = (tracks[name][:, known:, 0] for name in ("reward", "terminated"))
        return Events(reward.flatten(), end.flatten(), next(true).flatten(), next(true).flatten() > 0)

    def joined(self, other: Events) -> Events:
        return Events(*(torch.cat([getattr(self, name), getattr(other, name)]) for name in self.__dataclass_fields__))


def step_to_ends(model: DiTModel, recordings: Recordings, steps: int = 1) -> Events:
    """The last frames of held-back episodes, those that terminate where there are any, a fixed draw of ENDS at most, stepped with
    their true actions: stretches from anywhere hardly ever hold an end. Episodes that are shorter than the usual are left out."""
    fill_recording(model, recordings)
    number, count = recordings.num_held_back, len(recordings.episodes)
    every = range(count - number, count) if number else range(count)
    ending = [one for one in every if float(recordings.episodes[one]["terminated"][-1]) > 0] or list(every)
    lengths = {one: len(recordings.episodes[one]["reward"]) for one in ending}
    ahead = min(END_FRAMES, sorted(lengths.values())[len(ending) // 2] - 1)
    chosen = [one for one in np.random.default_rng(54321).permutation(ending).tolist() if lengths[one] > ahead][:ENDS]
    windows = recordings.windows([(one, lengths[one] - ahead) for one in chosen], ahead, START_FRAMES)
    tracks, text = _on_device(model, recordings, windows)
    return Events.of(roll(model, tracks, START_FRAMES, tracks["action"], text, recordings.fps, steps), tracks, START_FRAMES)


def _pictures(model: DiTModel, latents: Tensor) -> NDArray[np.uint8]:
    """[B, T, H, W, 3] of latents [B, T, C, h, w]."""
    return np.concatenate([to_uint8(model.autoencoder.decode(row[None].float())) for row in latents])


def evaluate(
    model: DiTModel, recordings: Recordings, count: int = 16, steps: int = 1
) -> tuple[dict[str, float], Image.Image]:
    """Held-back stretches: some frames known, the rest stepped with the true actions. Errors on changed pixels after some frames,
    those of copying the last known picture, and the ratio of both; how much larger the error is with the actions of another
    stretch ("action_following", 1 - error / error with those); how near pictures of told numbers are, and numbers that are read off
    pictures (`painted_figures`); and a contact sheet of truth and rollout.

    "ends" is the number of frames in which an episode terminated, in these stretches and in the last frames of held-back episodes
    (`step_to_ends`), "rewards" that of frames with a reward; AUROC of either, over both, is only there where at least LEAST_ENDS
    frames had one and did not: a share of right frames would be near 1 for a model that never ends anything."""
    rolled = roll_held_back(model, recordings, count, steps)
    truth, made, last, known = rolled.truth, rolled.made, rolled.last, rolled.known
    ahead = truth.shape[1]
    figures = {"codec_db": _round_trip(recordings)}
    for after in (one for one in SHOWN if one <= ahead):
        error, copied = (changed_error(x, truth[:, after - 1], last) for x in (made[:, after - 1], last))
        figures |= {f"error_{after}": error, f"copy_{after}": copied, f"ratio_{after}": error / copied}
    figures |= entity_ratios(model.config, rolled) | place_errors(model.config, rolled) | painted_figures(model, rolled)
    errors_px = [changed_error(x[:, -1], truth[:, -1], last) for x in (made, rolled.astray)]
    figures["action_following"] = 1 - errors_px[0] / errors_px[1]
    events = Events.of(rolled.states, rolled.tracks, known)
    figures["reward_error"] = float((events.reward - events.true_reward).abs().mean()) * recordings.reward_scale
    events = events.joined(step_to_ends(model, recordings, steps))
    for name, score, happened in (
        ("rewards", events.reward.abs(), events.true_reward != 0),
        ("ends", events.end, events.ended),
    ):
        figures[name] = float(happened.sum())
        if min(int(happened.sum()), int((~happened).sum())) >= LEAST_ENDS:
            figures[f"{name}_auroc"] = auroc(score[happened].tolist(), score[~happened].tolist())
    rows, captions = [], []
    for i in range(min(4, count)):
        rows += [truth[i, :: max(ahead // 12, 1)], made[i, :: max(ahead // 12, 1)]]
        captions += [f"recorded, {known} frames were known before these", "imagined with the same actions"]
    return {name: value for name, value in figures.items() if value == value}, contact_sheet(rows, captions=captions)


def in_better_order(model: DiTModel, recordings: Recordings) -> tuple[DiTModel, dict[str, float]]:
    """The model of a recording with entities, which can predict them before the picture or with it, in the order that is better at
    the end of stretches of AHEAD frames, or as many as there are, that training saw; and the errors there as a share of the last
    known picture's, "seen_first" and "seen_together"; at once where nothing changed by which to tell. As it is where it can do one
    of them alone."""
    if not model.config.numbers_first:
        return model, {}
    fill_recording(model, recordings)
    frames = min(START_FRAMES + AHEAD, recordings.longest(held_back=False))
    known = min(START_FRAMES, frames - 1)
    tracks, text = _on_device(model, recordings, recordings.sample_windows(np.random.default_rng(2468), TRIED, frames, 0))
    truth, last = (_pictures(model, tracks["video"][:, [at - 1]])[:, 0] for at in (frames, known))
    tried = dict[str, tuple[float, DiTModel]]()
    for name, first in (("seen_first", True), ("seen_together", False)):
        one = DiTModel(replace(model.config, numbers_first=first), model.network, model.autoencoder, device=model.device)
        states = roll(one, tracks, known, tracks["action"], text, recordings.fps)
        made = _pictures(one, states[-1].tracks["video"][:, None])[:, 0]
        tried[name] = changed_error(made, truth, last) / changed_error(last, truth, last), one
    better = "seen_first" if tried["seen_first"][0] < tried["seen_together"][0] else "seen_together"
    return tried[better][1], {name: error for name, (error, _) in tried.items() if error == error}


def entity_ratios(config: DiTModelConfig, rolled: Rollouts) -> dict[str, float]:
    """ "entities_N": the error of entities' numbers N frames ahead, as a share of that of the last known ones, both over all
    numbers together in units of their spread. {} where the recording has none."""
    columns = config.entity_columns
    if not columns:
        return {}
    truth = rolled.tracks["sensors"][:, rolled.known - 1 :, columns].float()
    ratios = {}
    for after in (one for one in SHOWN if one < truth.shape[1]):
        made = rolled.states[after - 1].tracks["sensors"][:, columns].float()
        error, copied = (float((x - truth[:, after]).square().mean().sqrt()) for x in (made, truth[:, 0]))
        if copied > 0:
            ratios[f"entities_{after}"] = error / copied
    return ratios


def place_errors(config: DiTModelConfig, rolled: Rollouts) -> dict[str, float]:
    """ "ball_off_N": the mean distance of an entity's place from the true one N frames ahead, in the entity's own units, and
    "ball_copied_off_N", that of leaving it where it was last known; of up to PLACES entities that have x and y and move, the ball
    first. {} where the recording has none."""
    about = (config.world or {}).get("sensors", {})
    names, spread = list(about.get("names", [])), about.get("std", [])
    entities = sorted(
        {name.rpartition(".")[0] for name in names if "." in name} - {""}, key=lambda one: (one != "ball", one)
    )
    errors: dict[str, float] = {}
    for entity in entities:
        if not {f"{entity}.x", f"{entity}.y"} <= set(names):
            continue
        columns = [names.index(f"{entity}.{axis}") for axis in "xy"]
        unit = torch.tensor([spread[column] for column in columns], device=rolled.tracks["sensors"].device)
        truth = rolled.tracks["sensors"][:, rolled.known - 1 :, columns].float() * unit
        moved = {
            after: float((truth[:, after] - truth[:, 0]).norm(dim=-1).mean()) for after in SHOWN if after < truth.shape[1]
        }
        if not any(moved.values()):
            continue
        for after, copied in moved.items():
            made = rolled.states[after - 1].tracks["sensors"][:, columns].float() * unit
            errors[f"{entity}_off_{after}"] = float((made - truth[:, after]).norm(dim=-1).mean())
            errors[f"{entity}_copied_off_{after}"] = copied
        if len({name.partition("_off_")[0].removesuffix("_copied") for name in errors}) == PLACES:
            break
    return errors


def painted_figures(model: DiTModel, rolled: Rollouts) -> dict[str, float]:
    """ "painted_N": the last known picture painted anew with the entities' numbers of N frames later: its error on the pixels that
    changed, as a share of that of leaving the picture as it is. "read": the error of those numbers read off true pictures, in units
    of their spread, so that 1 is that of always saying the mean. {} for a model that was not trained for either."""
    if WANTED not in model.config.network.known:
        return {}
    figures, columns, known, tracks = dict[str, float](), model.config.entity_columns, rolled.known, rolled.tracks
    states = split_frames({name: x[:, :known] for name, x in tracks.items()}, 0.0, model.config.fps)
    for after in (one for one in SHOWN if one <= rolled.truth.shape[1]):
        numbers, seeds = tracks["sensors"][:, known + after - 1, columns], row_seeds(1, after, len(rolled.last))
        painted = paint_numbers(model, states, numbers, seeds=seeds, text=rolled.text)
        made = _pictures(model, painted.tracks["video"][:, None])[:, 0]
        error, copied = (changed_error(x, rolled.truth[:, after - 1], rolled.last) for x in (made, rolled.last))
        figures[f"painted_{after}"] = error / copied
    latents, true = (tracks[name][:, known::8].flatten(0, 1).float() for name in ("video", "sensors"))
    text = rolled.text and rolled.text.repeated(len(latents) // len(rolled.last))
    read = read_numbers(model, latents, text)
    return figures | {"read": float((read - true)[:, columns].square().mean().sqrt())}


def _round_trip(recordings: Recordings) -> float:
    """PSNR in dB of held-back pictures after the autoencoder."""
    latents = torch.cat([recordings.autoencoder.encode_frames(frames) for frames in recordings.shown])
    back = np.concatenate(
        [to_uint8(recordings.autoencoder.decode(part[None].float()))[0] for part in torch.split(latents, 64)]
    )
    error = np.mean((back.astype(float) - np.concatenate(recordings.shown)) ** 2)
    return float(10 * np.log10(255.0**2 / max(float(error), 1e-3)))


FIGURES = {
    "seen_first": f"error as a share of copying's, up to {AHEAD} frames into seen episodes, entities predicted first",
    "seen_together": "the same with entities and picture predicted at once",
    "codec_db": "pictures after the autoencoder, in dB",
    "error": "error on the pixels that changed, in levels of 255",
    "copy": "error there of the last known picture",
    "ratio": "error as a share of that of the last known picture",
    "entities": "error of entities' numbers, as a share of leaving them as they were",
    "painted": "error of the last known picture painted with the true entities, as a share of leaving it",
    "read": "error of entities' numbers read off pictures, in units of their spread (1: always the mean)",
    "action_following": "how much less the error is at the end than with other actions, as a share",
    "reward_error": "error of rewards",
    "rewards": "frames with a reward",
    "rewards_auroc": "rewards told from frames without one, AUROC (0.5: by chance)",
    "ends": "frames in which an episode terminated",
    "ends_auroc": "these told from others, AUROC",
    "held_out_copying": "training's error on held-out windows, of the last true picture",
    "held_out_0.5": "the same of the world, of frames that are half noise",
    "held_out_1": "the same of the world, of frames that are noise alone",
    "held_out_reward": "the same of rewards",
    "held_out_terminated": "the same of ends",
    "held_out_sensors": "errors of other numbers, as training counts them",
    "off": "distance of the {} from its place, in its own units",
    "copied_off": "distance of the {} from where it was last known",
}
"""What a card calls the figures of `evaluate` and of held-out windows, without the frames after which they are taken."""


def figure_in_words(name: str) -> str:
    """What a card calls a figure."""
    stem, _, after = name.rpartition("_")
    if name in FIGURES or not after.isdigit():
        return FIGURES.get(name, name.replace("_", " "))
    entity = stem.removesuffix("_off").removesuffix("_copied")
    words = FIGURES.get(stem.removeprefix(f"{entity}_"), stem.replace("_", " ")).format(entity)
    return f"{words}, after {after} frame{'s' if after != '1' else ''}"


def world_card(config: DiTModelConfig, figures: dict[str, float], total: int) -> str:
    """The model's README."""
    world = config.world or {}
    lines = [
        f"# {config.name}",
        "",
        f"A world model of `{world.get('env')}`, made by `kinema train world` from {total:,} recorded frames of"
        f" {world['size'][1]}x{world['size'][0]} at {world['fps']:g} a second, in {config.trained['minutes']} minutes"
        f" ({config.trained['steps']} steps).",
        "",
        *([f"Forecast after its first steps: {forecast}.", ""] if (forecast := config.trained.get("forecast")) else []),
        f"Rewards are those of the environment; in training {world['reward_scale']:g} counts as 1.",
        "",
        "Held-back episodes, stepped with their true actions:",
        "",
        "| what | measured |",
        "|---|---|",
        *(f"| {figure_in_words(name)} | {value:.3f} |" for name, value in figures.items()),
        "",
        "It knows what was recorded and nothing else: places, things and rewards that no episode showed will be wrong.",
    ]
    return "\n".join(lines) + "\n"


def save_starts(folder: Path, recordings: Recordings, seed: int) -> None:
    """Keep recorded beginnings beside a model, for its worlds to start from."""
    frames = min(START_FRAMES, recordings.longest(held_back=False))
    starts = recordings.sample_windows(np.random.default_rng(seed), STARTS, frames, 0)
    compact = {name: x.to(torch.bfloat16) if name == "video" else x for name, x in starts.items()}
    save_file({name: x.contiguous() for name, x in compact.items()}, folder / "starts.safetensors")
