"""Write the folder of a world that plays in a browser.

The folder holds a page and its player, the world's step and decoder as ONNX files (`kinema.envs.web.graphs`), the runtime that
computes them, and recorded beginnings. Any host of static files serves it; the page loads nothing from anywhere else.

Axes: N beginnings, T frames, C channels, h x w latents, L tokens of text.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from kinema.autoencoder import to_uint8
from kinema.devices import float32_default
from kinema.envs.recorded import MOST_STEPS
from kinema.envs.starts import starts_of
from kinema.envs.web.controls import web_controls
from kinema.envs.web.graphs import StepShapes, write_graphs
from kinema.envs.web.runtime import PACKAGE, read_runtime
from kinema.errors import InputError, OutputError
from kinema.inference.dit_rollout import WANTED
from kinema.inference.rollout import task_condition
from kinema.models.dit_model import DiTModel
from kinema.models.hub import CARD, find

MOST_BEGINNINGS = 24
"""Recorded beginnings that the folder holds at most."""
PLAYER = ("index.html", "player.css", "page.js", "worker.js", "world.js", "live.js", "random.js", "icon.svg")
FORMAT = 1
HOST = "python -m http.server"
"""What serves the folder on this machine."""


@dataclass(frozen=True, kw_only=True)
class WebExport:
    """What was written."""

    folder: Path
    beginnings: int
    bytes: int
    """Of all files."""
    runtime: str
    """Version of onnxruntime-web."""


@float32_default()
def export_web(
    model: DiTModel, folder: str | Path, *, runtime: Path, steps: int = 1, action_names: Sequence[str] = ()
) -> WebExport:
    """Write a recorded world as static files that play in a browser.

    Args:
        model: That of a recorded world, on the processor.
        folder: Where the files go. It must not exist, or be empty.
        runtime: The npm package onnxruntime-web: the .tgz, or the unpacked folder.
        steps: Of the sampler, each frame, as `RecordedWorld` has them.
        action_names: Of the choices in order; none: those of the recording, or their numbers.

    Returns:
        What was written.

    Raises:
        InputError: The packages of the extra `web` are missing, the runtime is none, or the model is no recorded world.
        OutputError: The folder is not empty, is a file, or cannot be written.
    """
    world = model.config.world
    if world is None:
        raise InputError(f"{model.config.name} is no model of a recorded world; expected one of kinema train world")
    if not 1 <= steps <= MOST_STEPS:
        raise InputError(f"{steps} steps: expected 1 to {MOST_STEPS}")
    controls = web_controls(world, action_names, model.config.action_width)

    def write(made: Path) -> PageContents:
        data = Pack()
        chosen, tasks = _beginnings(model, data)
        shapes = write_graphs(model, made, steps=steps, text_tokens=tasks.shape[1] if tasks is not None else 0)
        latents = torch.split(chosen["video"][:, -1:].to(model.device), 8)
        pictures = np.concatenate([to_uint8(model.autoencoder.decode(part))[:, 0] for part in latents])
        about = {**_about(model), **_step(model, shapes), "controls": controls}
        return PageContents(about=about, tasks=chosen["task"].tolist(), pictures=pictures, data=data)

    return write_folder(Path(folder), runtime, write)


@dataclass(frozen=True, kw_only=True)
class PageContents:
    """What a page shows, beside its networks."""

    about: dict[str, Any]
    """The entries of world.json that are the world's own."""
    tasks: list[int]
    """Of each beginning, its place in the entry "tasks"."""
    pictures: NDArray[np.uint8]
    """Of the beginnings [N, H, W, 3]."""
    data: Pack


def write_folder(folder: Path, runtime: Path, write: Callable[[Path], PageContents]) -> WebExport:
    """Make the folder whole or not at all; `write` puts step.onnx and decoder.onnx into the one that it is given.

    InputError: the runtime is none, or what `write` raises. OutputError: the folder is not empty, is a file, or cannot be written.
    """
    check_folder(folder)
    version, packed = read_runtime(runtime)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            made = Path(scratch) / "made"
            (made / "runtime").mkdir(parents=True)
            given = write(made)
            for name in PLAYER:
                (made / name).write_bytes(files("kinema.envs.web").joinpath("player", name).read_bytes())
            for name, content in packed.items():
                (made / "runtime" / name).write_bytes(content)
            sheet = _sheet(given.pictures)
            sheet.save(made / "beginnings.png", optimize=True)
            (made / "beginnings.bin").write_bytes(given.data.content)
            weights = sum((made / name).stat().st_size for name in ("step.onnx", "decoder.onnx", "beginnings.bin"))
            about = {
                "format": FORMAT,
                **given.about,
                "beginnings": {"task": given.tasks, "columns": sheet.width // given.pictures.shape[2]},
                "data": given.data.entries,
                "load_bytes": weights + sum(map(len, packed.values())),
                "runtime": {PACKAGE: version},
            }
            (made / "world.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            (made / "README.md").write_text(_read_me(about, version), encoding="utf-8")
            total = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
            if folder.is_dir():
                folder.rmdir()
            made.rename(folder)
    except OSError as error:
        raise OutputError(f"{folder} could not be written: {error.strerror or error}; name another folder") from None
    return WebExport(folder=folder, beginnings=len(given.tasks), bytes=total, runtime=version)


def check_folder(folder: Path) -> None:
    """OutputError unless the folder does not exist, or is empty."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder} is a file; name a folder that does not exist yet")
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty; name a folder that does not exist yet")


class Pack:
    """Arrays one after the other in one file, each at a multiple of 4 bytes."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        """name -> {"type": "float16" or "float32", "shape": [...], "offset": bytes}."""
        self.content = b""

    def add(self, name: str, array: NDArray[np.floating[Any]]) -> None:
        """Add an array of float16 or float32."""
        self.content += bytes(-len(self.content) % 4)
        self.entries[name] = {"type": str(array.dtype), "shape": list(array.shape), "offset": len(self.content)}
        self.content += np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()


def _beginnings(model: DiTModel, data: Pack) -> tuple[dict[str, torch.Tensor], NDArray[np.float32] | None]:
    """Recorded beginnings in which nothing has ended, added to the data, and the states of the tasks' texts [tasks, L, dim]."""
    config, world = model.config, model.config.world or {}
    starts = {name: x.float().cpu() if name != "task" else x.cpu() for name, x in starts_of(model).items()}
    tasks = list(world["tasks"]) or [""]
    task = starts.get("task", torch.zeros(len(starts["video"]), dtype=torch.long))
    usable = ~(starts["terminated"][..., 0] > 0).any(1)
    if not usable.any():
        usable[:] = True
    reads = bool(config.network.text_dim)
    if reads:
        usable &= torch.tensor([bool(tasks[int(one)].strip()) for one in task])
    rows = torch.nonzero(usable)[:, 0]
    if not len(rows):
        raise InputError(f"{config.name} has no recorded beginning that can be played; train the world again")
    rows = rows[torch.linspace(0, len(rows) - 1, min(len(rows), MOST_BEGINNINGS)).round().long()]
    chosen = {name: x[rows] for name, x in starts.items()} | {"task": task[rows]}
    data.add("video", chosen["video"].numpy().astype(np.float16))
    for name in (one for one in config.network.known if one != WANTED):
        data.add(name, chosen[name].numpy().astype(np.float32))
    # `kinema.inference.dit_rollout.remember` passes recorded frames through the network from this noise.
    noise = torch.randn(1, *chosen["video"].shape[2:], generator=torch.Generator().manual_seed(0))
    data.add("recorded_noise", noise.numpy())
    if not reads:
        return chosen, None
    texts = [task_condition(model, one) for one in tasks]
    length = max(text.states.shape[1] for text in texts if text is not None)
    states = np.zeros((len(tasks), length, config.network.text_dim), np.float32)
    mask = np.zeros((len(tasks), length), np.float32)
    for row, text in enumerate(texts):
        if text is not None:
            count = text.states.shape[1]
            states[row, :count] = text.states[0].float().cpu().numpy()
            mask[row, :count] = text.reads[0, 0].cpu().numpy()
    data.add("text", states)
    data.add("text_mask", mask)
    return chosen, states


def _sheet(pictures: NDArray[np.uint8]) -> Image.Image:
    """Pictures side by side in rows."""
    columns = min(len(pictures), 8)
    rows = -(-len(pictures) // columns)
    high, wide = pictures.shape[1:3]
    sheet = np.zeros((rows * high, columns * wide, 3), np.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * high, i % columns * wide
        sheet[y : y + high, x : x + wide] = picture
    return Image.fromarray(sheet)


def _about(model: DiTModel) -> dict[str, Any]:
    """What the page says of the world."""
    config, world = model.config, model.config.world or {}
    scales = world.get("sensors", {})
    named = dict(zip(("name", "mean", "std"), (scales.get(key, ()) for key in ("names", "mean", "std")), strict=True))
    return {
        "kind": "recorded",
        "name": config.name,
        "env": world.get("env"),
        "subtitle": f"A learned copy of {world['env']}" if world.get("env") else "A learned world",
        "about": _first_paragraph(model),
        "begun_by": "Recorded frames. What follows them is imagined.",
        "scored": True,
        "optimization": "all",
        "width": int(world["size"][1]),
        "height": int(world["size"][0]),
        "fps": float(world["fps"]),
        "reward_scale": float(world["reward_scale"]),
        "tasks": list(world["tasks"]) or [""],
        "numbers": named if named["name"] else None,
    }


def _first_paragraph(model: DiTModel) -> str:
    """The first paragraph of the model's card, which says what it was made from."""
    try:
        card = (find(model.source) / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, InputError):
        return ""
    parts = [part.strip() for part in card.split("\n\n")]
    return next((part.replace("`", "") for part in parts if part and not part.startswith(("#", "|", "-", "<"))), "")


def _step(model: DiTModel, shapes: StepShapes) -> dict[str, Any]:
    network = model.config.network
    return {
        "inputs": {name: list(shape) for name, shape in shapes.inputs.items()},
        "pairs": shapes.pairs,
        "known": [name for name in network.known if name != WANTED],
        "predicted": model.config.made_numbers,
        "text": bool(network.text_dim),
    }


def _read_me(about: dict[str, Any], version: str) -> str:
    return (
        f"# {about['name']} in a browser\n\n{about['about']}\n\n"
        f"Put this folder on any host of static files, or try it here:\n\n    {HOST}\n\n"
        "All files belong together, and nothing is loaded from anywhere else. `kinema export web` wrote them. The folder"
        f" `runtime` is of onnxruntime-web {version} (MIT license, Microsoft Corporation).\n"
    )
