"""How recorded worlds begin: with frames of the recording, or with a picture or clip of the same environment.

Axes: N beginnings, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from kinema.canvas.canvas import Tracks
from kinema.errors import InputError, ModelError, excerpt
from kinema.inference.dit_rollout import WANTED, read_numbers
from kinema.inference.rollout import task_condition
from kinema.media import Clip
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.models.hub import find, read_config
from kinema.types import path_exists

STARTS = "starts.safetensors"

_beginnings: WeakKeyDictionary[DiTModel, Tracks] = WeakKeyDictionary()


def starts_of(model: DiTModel) -> Tracks:
    """The recorded beginnings kept beside a model, tracks [N, T, ...] and "task" [N]; read once, and shared by all its worlds."""
    known = _beginnings.get(model)
    if known is not None:
        return known
    path = find(model.source) / STARTS
    try:
        tracks = {name: x.float() if name == "video" else x for name, x in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read ({error}); train the world again") from None
    if "sensors" not in model.config.network.predicted:
        tracks.pop("sensors", None)
    _beginnings[model] = {name: x.to(model.device) for name, x in tracks.items()}
    return _beginnings[model]


def encoded_frames(model: DiTModel, clip: Clip) -> torch.Tensor:
    """The last frames of a clip, resized, as latents [T, C, h, w]; as many as recorded beginnings have at most."""
    frames = clip.frames[-starts_of(model)["video"].shape[1] :]
    size = model.config.width, model.config.height
    resized = [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX)) for frame in frames]
    return model.autoencoder.encode_frames(np.stack(resized)).to(model.device)


@torch.inference_mode()
def start_from(model: DiTModel, clip: Clip, task: int) -> Tracks:
    """A beginning [1, T, ...] from a picture or the last frames of a clip. As at the beginning of an episode, the first frame
    stands for those before it, and nothing was done; numbers are read off the pictures where the model can. task: its number."""
    like, video = starts_of(model), encoded_frames(model, clip).float()
    missing = like["video"].shape[1] - len(video)
    video = torch.cat([video[:1].expand(missing, -1, -1, -1), video])[None]
    tracks = {name: torch.zeros_like(x[:1]) for name, x in like.items()} | {"video": video}
    tracks["terminated"] = torch.full_like(tracks["terminated"], -1.0)
    if "task" in tracks:
        tracks["task"] = torch.full_like(tracks["task"], task)
    if "sensors" in tracks and WANTED in model.config.network.known:
        tasks = (model.config.world or {}).get("tasks") or [""]
        text = task_condition(model, tasks[task])
        numbers = read_numbers(model, video[0], text and text.repeated(video.shape[1]))
        tracks["sensors"] = numbers[None].to(tracks["sensors"].dtype)
    return tracks


def world_folders(folder: Path) -> list[Path]:
    """The recorded worlds in a folder: a world itself, that of a run, or all of a run of several recordings."""
    for one in (folder, folder / "world"):
        if path_exists(one / STARTS):
            return [one]
    return sorted(path.parent for one in (folder, folder / "worlds") if path_exists(one) for path in one.glob(f"*/{STARTS}"))


def world_from(folders: Sequence[Path], start: str | Clip) -> tuple[Path, str | None]:
    """Which of some recorded worlds words or a picture are of, and the task that the words name, if any. Words are a world's name
    or one of its tasks; a picture is of the world with the beginning that looks most like it.

    InputError: words that none of them knows.
    """
    if isinstance(start, Clip):
        return min(folders, key=lambda folder: _distance(folder, start)), None
    wanted, known = _plain(start), list[str]()
    if not wanted and len(folders) == 1:
        return folders[0], None
    for folder in sorted(folders, key=lambda folder: _plain(folder.name) != wanted):  # its own name before another's word
        config = read_config(folder)
        world = (config.world if isinstance(config, DiTModelConfig) else None) or {}
        tasks = [task for task in world.get("tasks") or [] if task]
        task = next((task for task in tasks if _plain(task) == wanted), None)
        names = {folder.name, str(world.get("word", "")), str(world.get("env", ""))}
        if wanted and (task is not None or wanted in map(_plain, names)):
            return folder, task
        known += [folder.name, str(world.get("word") or folder.name), *tasks]
    raise InputError(f"{excerpt(repr(start))}: expected one of {excerpt(', '.join(map(repr, dict.fromkeys(known))), 400)}")


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("-", " ").replace("_", " ").split())


def _distance(folder: Path, clip: Clip) -> float:
    """Of the clip's last frame from the nearest beginning of a world, in latents."""
    from kinema.envs.recorded import recorded_model

    model = recorded_model(folder)
    video = starts_of(model)["video"].float()
    last = encoded_frames(model, clip)[-1:].float()
    return float((video.flatten(0, 1) - last).square().flatten(1).mean(1).min())
