"""Kinema: an open world model that films what you describe, on one canvas of video, state, action and reward.

>>> import kinema
>>> clip = kinema.generate("a red ball rolls right and hits a blue box")[0]
>>> clip.save("out.mp4")

Names load when they are used, so importing the package is quick. The import registers Kinema's environments with Gymnasium, if
that is installed: `gymnasium.make("kinema/Playground-v0")`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinema.api import (
        blend,
        edit,
        extend,
        films,
        generate,
        image,
        infill,
        interpolate,
        perceive,
        render,
        restyle,
        upscale,
    )
    from kinema.client import RemoteWorld
    from kinema.datasets.lerobot import Dataset
    from kinema.datasets.recorder import record
    from kinema.inference.sampling import Options, SamplingConfig
    from kinema.inference.surprise import surprise
    from kinema.media import Clip
    from kinema.models.hub import Model, load
    from kinema.scene.scene import Scene
    from kinema.simulation.world import World
    from kinema.training.recorded_world import train_world

__version__ = "0.2.0"

_HOME = {
    **dict.fromkeys(
        (
            "blend",
            "edit",
            "extend",
            "films",
            "generate",
            "image",
            "infill",
            "interpolate",
            "perceive",
            "render",
            "restyle",
            "upscale",
        ),
        "kinema.api",
    ),
    "Scene": "kinema.scene.scene",
    **dict.fromkeys(("Options", "SamplingConfig"), "kinema.inference.sampling"),
    "Dataset": "kinema.datasets.lerobot",
    "record": "kinema.datasets.recorder",
    "train_world": "kinema.training.recorded_world",
    "Clip": "kinema.media",
    "Model": "kinema.models.hub",
    "load": "kinema.models.hub",
    "RemoteWorld": "kinema.client",
    "World": "kinema.simulation.world",
    "surprise": "kinema.inference.surprise",
}

__all__ = [
    "Clip",
    "Dataset",
    "Model",
    "Options",
    "RemoteWorld",
    "SamplingConfig",
    "Scene",
    "World",
    "blend",
    "edit",
    "extend",
    "films",
    "generate",
    "image",
    "infill",
    "interpolate",
    "load",
    "perceive",
    "record",
    "render",
    "restyle",
    "surprise",
    "train_world",
    "upscale",
]

_MODULES = ("envs", "errors")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"kinema.{name}")
    raise AttributeError(f"module 'kinema' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, "__version__"])


if find_spec("gymnasium") is not None:
    from kinema.envs.registration import register

    register()
    del register
