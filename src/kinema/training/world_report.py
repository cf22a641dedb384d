"""What is written beside a recorded world: its figures on held-back episodes, its card, and beginnings to start from.

Axes: B rows, T frames, h x w cells, P numbers per cell.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from kinema.autoencoder import to_uint8
from kinema.canvas.canvas import TextCondition
from kinema.canvas.patchify import from_cells
from kinema.diffusion.seeds import row_seeds
from kinema.inference.rollout import prefill, split_frames, step
from kinema.media.contact_sheet import contact_sheet
from kinema.models.hub import Model, ModelConfig
from kinema.statistics import auroc
from kinema.training.recordings import Recordings, WorldRecipe, canvas_tracks

AHEAD = 12
"""Frames that an evaluation steps ahead, where episodes are that long."""
LEAST_ENDS = 5
"""Ends below which an evaluation gives no AUROC of termination."""
STARTS = 48
"""Beginnings kept beside the model, for worlds to start from."""


def evaluate(
    model: Model, recordings: Recordings, recipe: WorldRecipe, count: int = 16
) -> tuple[dict[str, float], Image.Image]:
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
    tracks = {name: x.to(model.device) for name, x in canvas_tracks(drawn, recordings.sensors).items()}
    history = [
        replace(m, acted=True) for m in split_frames({name: x[:, :known] for name, x in tracks.items()}, 0.0, recordings.fps)
    ]
    window = model.config.window
    history = prefill(model, history, text, window=window)
    made = []
    for t in range(ahead):
        action = tracks["action"][:, known + t - 1]
        seeds = row_seeds(0, t, count)
        last, new = step(model, history, action, fps=recordings.fps, seeds=seeds, text=text, window=window)
        history = [*history[:-1], last, new][-window - 1 :]
        made.append(new)
    cells = torch.stack([m.tracks["video"] for m in made], 1)

    def shown(x: Tensor) -> NDArray[np.uint8]:
        return np.asarray(to_uint8(recordings.autoencoder.decode(from_cells(x.float(), recipe.patch))))

    truth, predicted = shown(tracks["video"][:, known:]), shown(cells)
    copy = shown(tracks["video"][:, known - 1 : known]).repeat(ahead, 1)

    def quality(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        return float(10 * np.log10(255.0**2 / max(float(np.mean((a.astype(float) - b) ** 2)), 1e-3)))

    ended = torch.stack([m.tracks["terminated"][:, 0] for m in made], 1).cpu().numpy()
    ends = tracks["terminated"][:, known:, 0].cpu().numpy() > 0
    pictures = torch.cat([recordings.autoencoder.encode_frames(frames) for frames in recordings.shown])
    back = np.asarray(to_uint8(recordings.autoencoder.decode(pictures[None].float())))[0]
    figures = {
        "codec_db": quality(back, np.concatenate(recordings.shown)),
        "next_db": quality(predicted[:, 0], truth[:, 0]),
        "next_copy_db": quality(copy[:, 0], truth[:, 0]),
        f"after_{ahead}_db": quality(predicted[:, -1], truth[:, -1]),
        f"after_{ahead}_copy_db": quality(copy[:, -1], truth[:, -1]),
        "reward_error": float(
            (torch.stack([m.tracks["reward"] for m in made], 1) - tracks["reward"][:, known:]).abs().mean()
        )
        * recordings.reward_scale,
        "ends": float(ends.sum()),
    }
    if min(ends.sum(), (~ends).sum()) >= LEAST_ENDS:
        figures["ends_auroc"] = auroc(ended[ends].tolist(), ended[~ends].tolist())
    rows, captions = [], []
    for i in range(min(4, count)):
        rows += [truth[i], predicted[i]]
        captions += [f"recorded, {known} frames were known before these", "imagined with the same actions"]
    return figures, contact_sheet(rows, captions=captions)


def world_card(config: ModelConfig, figures: dict[str, float], total: int) -> str:
    """The model's README."""
    world = config.world or {}
    lines = [
        f"# {config.name}",
        "",
        f"A world model of `{world.get('env')}`, made by `kinema train world` from {total:,} recorded frames of"
        f" {world['size'][1]}x{world['size'][0]} at {world['fps']:g} a second, in {config.trained['minutes']} minutes"
        f" ({config.trained['steps']} steps).",
        "",
        f"Rewards are those of the environment; in training {world['reward_scale']:g} counts as 1.",
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


def save_starts(folder: Path, recordings: Recordings, recipe: WorldRecipe) -> None:
    """Keep recorded beginnings beside a model, for its worlds to start from."""
    starts = recordings.sample_windows(np.random.default_rng(recipe.seed), STARTS, recipe.frames)
    compact = {name: x.to(torch.bfloat16) if name == "video" else x for name, x in starts.items()}
    save_file({name: x.contiguous() for name, x in compact.items()}, folder / "starts.safetensors")
