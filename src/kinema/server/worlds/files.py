"""Checks and opens world files and states from untrusted sources.

`World.open` runs nothing that a file holds (`torch.load` with weights only), but trusts that its numbers fit the model. Here they
are checked: sizes before anything is unpacked, then every tensor's shape, kind and range. The model's cache of a frame is used
if it fits, and recomputed if it does not.
"""

from __future__ import annotations

import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kinema.errors import InputError
from kinema.inference import limits
from kinema.inference.canvas_io import check_seed
from kinema.inference.rollout import WINDOW
from kinema.models.hub import Model
from kinema.scene.scene import Scene
from kinema.simulation.checkpoint import FORMAT
from kinema.simulation.world import RETAINED_S, World, check_task

MAX_BYTES = 64 << 20
MAX_STEPS = 8
"""The most sampler steps a frame that a file may set, which bounds the time of a step."""
LARGEST = 1e4
"""No number of a track is beyond this."""
LATEST_S = 1e7
LONGEST_TASK = 200
MOST_STATES, MOST_SLOTS = 4000, 256
"""Frames and slots of a state."""


def _refuse(what: str) -> InputError:
    return InputError(f"the file is not a world that can be opened here: {what}")


def scene_of(data: Any) -> Scene:
    """A state as `Scene.from_dict` reads it, its sizes checked before and its numbers after."""
    if not isinstance(data, dict):
        raise InputError("the state is no JSON object; expected the format that `kinema perceive` writes")
    frames, slots, fps = (data.get(name) for name in ("num_frames", "num_slots", "fps"))
    for name, value, most in (("num_frames", frames, MOST_STATES), ("num_slots", slots, MOST_SLOTS)):
        if value is not None and not _whole(value, 1, most):
            raise InputError(f"the state's {name} is {_shown(value)}: expected 1 to {most}")
    if fps is not None and not (type(fps) in (int, float) and 0.1 <= fps <= 1000):
        raise InputError(f"the state has {_shown(fps)} frames a second: expected 0.1 to 1000; set its fps, such as 16")
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


def source_of(path: Path) -> str:
    """The model that the world in a file is of, by the name it was loaded by."""
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"a world file of {path.stat().st_size >> 20} MiB: expected at most {MAX_BYTES >> 20} MiB")
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise _refuse("it is no file that World.save wrote") from None
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or sum(p.file_size for p in parts) > MAX_BYTES:
        raise _refuse("its parts are compressed or overlap")
    source = _read(path).get("model")
    if not isinstance(source, str):
        raise _refuse("it names no model")
    return source


def _read(path: Path) -> dict[str, Any]:
    """What a file holds; `read_world_data` would put parts of it into its message, and parts of it may be endless when printed."""
    try:
        data: Any = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        raise _refuse(f"it cannot be read ({type(error).__name__})") from None
    header = (data.get("format"), data.get("kind", "world")) if type(data) is dict else (None, None)
    if [type(one) for one in header] != [int, str] or header != (FORMAT, "world"):
        raise _refuse(f"expected a world of format {FORMAT}, as World.save writes it")
    return dict(data)


def _shown(value: Any) -> str:
    """A number as it is, of anything else its kind only."""
    return f"{value:g}" if type(value) is float or (type(value) is int and abs(value) < 10**12) else type(value).__name__


def open_world(path: Path, model: Model) -> World:
    """Check a world file completely and open it."""
    data = _read(path)
    try:
        _check_settings(data, model)
        _check_moments(data["moments"], round(RETAINED_S * data["fps"]) + WINDOW + 1, model)
        if not _fits(data["moments"], model):
            data["moments"] |= {"remembered": [], "memory": []}
        return World._made(data, path, model)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise _refuse(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}") from None


def fill_memory(world: World) -> World:
    """Recompute the cached memory of frames that need one and have none."""
    if any(m.kv is None for m in world._frame_states[-WINDOW - 1 : -1]):
        world._refresh_cache()
    return world


def _whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _check_settings(data: dict[str, Any], model: Model) -> None:
    low, high = model.config.fps
    if type(data["fps"]) not in (int, float) or not low <= data["fps"] <= high:
        raise _refuse(
            f"it has {_shown(data['fps'])} frames a second; {model.config.name} steps at {low:g} to {high:g}; begin a new world"
            " from its last state instead (World.open(file).scene)"
        )
    if not _whole(data["steps"], 1, MAX_STEPS) or type(data["seed"]) is not int:
        raise _refuse(f"its seed or its {_shown(data['steps'])} steps are none; expected 1 to {MAX_STEPS}")
    check_seed(data["seed"])
    width, height = data["size"]
    if type(width) is not int or type(height) is not int:
        raise _refuse("its size is none")
    limits.check_size(model.config, (width, height))
    task = data["task"]
    if task is not None:
        if not isinstance(task, str) or len(task) > LONGEST_TASK:
            raise _refuse("its task is none")
        check_task(model, task)


def _check_moments(moments: dict[str, Any], most: int, model: Model) -> None:
    times, acted, remembered = (moments[name] for name in ("time_s", "acted", "remembered"))
    if not isinstance(times, list) or not isinstance(acted, list) or not isinstance(remembered, list):
        raise _refuse("its frames are no lists")
    count, slots = len(times), model.config.denoiser.slots
    if not 1 <= count <= most or len(acted) != count:
        raise _refuse("it holds too many frames, or none")
    if not all(type(at) is float and 0 <= at < LATEST_S for at in times) or any(b <= a for a, b in pairwise(times)):
        raise _refuse("its frames are not in order")
    if not all(type(known) is bool for known in acted):
        raise _refuse("whether actions are known is not said")
    if not all(_whole(i, 0, count - 1) for i in remembered) or any(b <= a for a, b in pairwise(remembered)):
        raise _refuse("it remembers frames that it does not hold")
    schema = model.config.denoiser.schema
    shapes = {
        "state": (count, 1, slots, schema.features),
        **{name: (count, 1, width) for name, width in schema.vectors.items()},
    }
    if moments["tracks"].keys() != shapes.keys():
        raise _refuse("a frame has other parts than a frame of this model")
    for name, shape in shapes.items():
        if not _plain(moments["tracks"][name], shape, torch.float32):
            raise _refuse(f"{name} is not {shape} finite numbers, as frames of {model.config.name} are")
    memory = moments["memory"]
    if not isinstance(memory, list) or not all(
        isinstance(pair, list)
        and len(pair) == 2
        and all(_ordinary(x) and x.ndim > 0 and len(x) == len(remembered) for x in pair)
        for pair in memory
    ):
        raise _refuse("what is remembered of its frames cannot be read")


def _ordinary(x: Any) -> bool:
    return type(x) is torch.Tensor and x.layout == torch.strided and x.device.type == "cpu" and not x.requires_grad


def _plain(x: Any, shape: tuple[int, ...], dtype: torch.dtype) -> bool:
    """Whether it is an ordinary tensor of this shape with numbers in reach."""
    if not _ordinary(x):
        return False
    return x.dtype == dtype and tuple(x.shape) == shape and bool((x.float().abs() < LARGEST).all())


def _fits(moments: dict[str, Any], model: Model) -> bool:
    """Whether the cached memory of frames has the shapes of this model."""
    config = model.config.denoiser
    shape = (len(moments["remembered"]), config.slots + 1, config.heads, 1, config.width // config.heads)
    if not moments["remembered"]:
        return not moments["memory"]
    return len(moments["memory"]) == config.depth // 2 and all(
        _plain(x, shape, model.dtype) for pair in moments["memory"] for x in pair
    )
