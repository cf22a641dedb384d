"""Checks states of callers, and opens world files of callers that the decode process has checked and written anew
(`kinema.server.worlds.uploaded`): settings, number of frames and shapes have to fit the model. What frames remember is used if it
fits, and computed again if it does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kinema.envs.recorded import RecordedWorld
from kinema.errors import InputError
from kinema.inference import limits
from kinema.inference.canvas_io import check_seed
from kinema.inference.rollout import WINDOW
from kinema.models.dit_model import DiTModel
from kinema.models.hub import Model
from kinema.scene.scene import Scene
from kinema.server.worlds.uploaded import LARGEST, brief, is_whole_in, refuse_world
from kinema.simulation.checkpoint import read_world_data
from kinema.simulation.world import RETAINED_S, World, check_task

MOST_STATES, MOST_SLOTS = 4000, 256
"""Frames and slots of a state."""


def scene_of(data: Any) -> Scene:
    """A state as `Scene.from_dict` reads it, its sizes checked before and its numbers after."""
    if not isinstance(data, dict):
        raise InputError("the state is no JSON object; expected the format that `kinema perceive` writes")
    frames, slots, fps = (data.get(name) for name in ("num_frames", "num_slots", "fps"))
    for name, value, most in (("num_frames", frames, MOST_STATES), ("num_slots", slots, MOST_SLOTS)):
        if value is not None and not is_whole_in(value, 1, most):
            raise InputError(f"the state's {name} is {brief(value)}: expected 1 to {most}")
    if fps is not None and not (type(fps) in (int, float) and 0.1 <= fps <= 1000):
        raise InputError(f"the state has {brief(fps)} frames a second: expected 0.1 to 1000; set its fps, such as 16")
    entities = data.get("entities")
    if isinstance(entities, list) and len(entities) > MOST_SLOTS:
        raise InputError(f"the state has {len(entities)} entities: expected up to {MOST_SLOTS}")
    try:
        scene = Scene.from_dict(data)
    except (AttributeError, OverflowError) as error:
        raise InputError(f"the state cannot be read ({error}); expected the format that `kinema perceive` writes") from None
    moving = (scene.x, scene.y, scene.vx, scene.vy, scene.angle, scene.visible, scene.camera[:, :2])
    if any(not (np.abs(values) < LARGEST).all() for values in moving) or not 1 <= scene.room_width <= 100:
        raise InputError("the state holds numbers far outside any room")
    if (
        not ((scene.size >= 0) & (scene.size <= 10)).all()
        or not ((scene.camera[:, 2] > 0.01) & (scene.camera[:, 2] < 100)).all()
    ):
        raise InputError("the state holds sizes or a zoom that nothing has: expected sizes up to 10, a zoom of 0.01 to 100")
    return scene


def open_world(path: Path, model: Model) -> World:
    """The world in a file that `rewrite_world` wrote, checked against its model; `World._with_memory` has to be called on it."""
    data = read_world_data(path, "world")
    try:
        _check_settings(data, model)
        most = round(RETAINED_S * data["fps"]) + WINDOW + 1
        if len(data["moments"]["time_s"]) > most:
            raise refuse_world(f"it holds {len(data['moments']['time_s'])} frames; expected up to {most}")
        return World._made(data, path, model)
    except InputError as error:
        raise type(error)(str(error).replace(str(path), "the file")) from None


def open_recorded(path: Path, model: DiTModel) -> RecordedWorld:
    """The recorded world in a file that `rewrite_world` wrote, checked against its model."""
    try:
        return RecordedWorld.open(path, model=model)
    except InputError as error:
        raise type(error)(str(error).replace(str(path), "the file")) from None


def _check_settings(data: dict[str, Any], model: Model) -> None:
    low, high = model.config.fps
    if not low <= data["fps"] <= high:
        raise refuse_world(
            f"it has {data['fps']:g} frames a second; {model.config.name} steps at {low:g} to {high:g}; begin a new world"
            " from its last state instead (World.open(file).scene)"
        )
    check_seed(data["seed"])
    limits.check_size(model.config, (data["size"][0], data["size"][1]))
    if data["task"] is not None:
        check_task(model, data["task"])
