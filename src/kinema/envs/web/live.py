"""Write the folder of a live world of a model with slots that plays in a browser: words begin it, arrow keys push its robots.

Axes: N beginnings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinema.devices import float32_default
from kinema.envs.controls import ARROWS
from kinema.envs.web.export import Pack, PageContents, WebExport, write_folder
from kinema.envs.web.live_graphs import write_live_graphs
from kinema.inference.rollout import WINDOW
from kinema.models.hub import Model
from kinema.simulation.world import World, usual_fps

BEGINNINGS = (
    "a green robot and a red ball on a field",
    "a blue robot, a yellow box and a pink ball in a lab",
    "a red robot and an orange car at night",
    "a purple robot, a cyan star and a red box in the snow",
    "a yellow robot, a blue ball and a screen on a field",
    "an orange robot and a green triangle in a lab",
)
"""Words of the worlds that a page begins with, unless others are given."""
LABELS = (("left", "right"), ("down", "up"))
BASIC = "basic"
"""What onnxruntime may rearrange: its further steps fuse operations of the motion prior for which it has no float64."""
SIZE = 64, 64
"""Height and width of the pictures in pixels."""


@float32_default()
def export_live_web(model: Model, folder: str | Path, *, runtime: Path, texts: Sequence[str] = BEGINNINGS) -> WebExport:
    """Write a live world of a model with slots as static files that play in a browser.

    Args:
        model: A model that is stepped, on the processor, such as kinema-tiny.
        folder: Where the files go. It must not exist, or be empty.
        runtime: The npm package onnxruntime-web: the .tgz, or the unpacked folder.
        texts: What the worlds begin with, in words; the state of each first frame is planned here.

    Returns:
        What was written.

    Raises:
        InputError: The packages of the extra `web` are missing, the runtime is none, or words that the model cannot film.
        OutputError: The folder is not empty, is a file, or cannot be written.
    """
    fps = usual_fps(model.config)

    def write(made: Path) -> PageContents:
        worlds = [World(model, text, seed=i, fps=fps, size=SIZE, strict=True) for i, text in enumerate(texts)]
        step = write_live_graphs(model, made, fps=fps, size=SIZE)
        data = Pack()
        for name in step.tracks:
            first = [world._frame_states[-1].tracks[name].float().cpu().numpy() for world in worlds]
            data.add(name, np.stack(first).astype(np.float32))
        about = {
            "kind": "live",
            "name": model.config.name,
            "subtitle": "A world that a model predicts frame by frame",
            "about": _about(model),
            "begun_by": "Planned by the model from words. Arrow keys push the robots.",
            "scored": False,
            "width": SIZE[1],
            "height": SIZE[0],
            "fps": fps,
            "tasks": list(texts),
            "numbers": None,
            "optimization": BASIC,
            "window": WINDOW,
            "inputs": {name: list(shape) for name, shape in step.inputs.items()},
            "tracks": list(step.tracks),
            "controls": _controls(),
        }
        pictures = np.stack([world.frame for world in worlds])
        return PageContents(about=about, tasks=list(range(len(worlds))), pictures=pictures, data=data)

    return write_folder(Path(folder), runtime, write)


def _about(model: Model) -> str:
    """What the world is, from the model's config."""
    steps = model.config.trained.get("steps")
    trained = f", trained for {steps:,} steps" if isinstance(steps, int) and steps > 0 else ""
    return (
        f"{model.config.name} is a network of {model.parameters / 1e6:.1f} million parameters{trained} on simulated rooms. It"
        " predicts where the objects are in the next frame and draws them."
    )


def _controls() -> dict[str, object]:
    """The robots' two numbers, right and up, by the arrow keys; as `kinema.envs.web.controls.web_controls` has them."""
    actions = [
        {"label": label, "keys": [key], "set": [[i, value]]}
        for i, (keys, labels) in enumerate(zip(ARROWS, LABELS, strict=True))
        for key, label, value in zip(keys, labels, (-1.0, 1.0), strict=True)
    ]
    return {"idle": [0.0, 0.0], "combine": True, "actions": actions}
