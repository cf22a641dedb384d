"""Models that worlds may be of, and how a world of each kind begins."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from kinema.engines.catalog import recorded_worlds
from kinema.engines.opening import opens
from kinema.engines.registry import ModelEntry
from kinema.envs.recorded import RecordedWorld, recorded_model
from kinema.errors import InputError, ModelError, SizeError, excerpt
from kinema.inference.canvas_io import resolve_model
from kinema.media import Clip
from kinema.models.dit_model import DiTModel
from kinema.models.hub import DEFAULT, Model, available_models
from kinema.scene.scene import Scene
from kinema.server.worlds.session import ServedWorld
from kinema.simulation.world import USUAL_FPS, World

RATE_ERROR = 1e-6


class WorldModels:
    """names: of the models that worlds may be of; None: all that are installed, also those that are added later. device: where they
    compute, unless a model's entry says otherwise."""

    def __init__(self, names: list[str] | None, device: str) -> None:
        self._names, self._device = names, device

    def names(self) -> list[str]:
        """Models with slots, then recorded worlds that were added."""
        installed = [*available_models(), *recorded_worlds()]
        return installed if self._names is None else [name for name in self._names if name in installed]

    def name_of(self, given: str | None) -> str:
        """The name of a model by its name, its alias, or the folder of a recorded world that was added; None: the default.

        ModelError names the models that there are.
        """
        wanted, names = given or DEFAULT, self.names()
        if wanted in names:
            return wanted
        for entry in recorded_worlds().values():
            if entry.name in names and (wanted in entry.aliases or _is_folder_of(entry, wanted)):
                return entry.name
        raise ModelError(
            f"no model {excerpt(repr(wanted))}; expected one of: {', '.join(names) or 'none is installed'}", param="model"
        )

    def load(self, name: str) -> Model | DiTModel:
        """A model by its name, loaded once per process."""
        if name in available_models():
            return resolve_model(name, self._device)
        entry = recorded_worlds().get(name)
        if entry is None:
            raise ModelError(
                f"the recorded world {excerpt(name)!r} is not among the models any more; add it again under this name"
            )
        with opens(name):
            return recorded_model(entry.source, entry.device or self._device)


def _is_folder_of(entry: ModelEntry, wanted: str) -> bool:
    with suppress(OSError, ValueError):
        return Path(wanted).resolve() == Path(entry.source).resolve()
    return False


def begin_world(
    model: Model | DiTModel, start: str | Clip | Scene, *, seed: int, fps: float | None, size: str | None, task: str | None
) -> ServedWorld:
    """A new world. fps, size: None for the model's own, or the usual ones.

    InputError, SizeError: something that worlds of this model cannot begin with.
    """
    if isinstance(model, Model):
        return World(model, start, seed=seed, fps=USUAL_FPS if fps is None else fps, size=size, task=task)
    name = model.config.name
    if isinstance(start, Scene):
        raise InputError(
            f"{name} is a recorded world, which has no state to begin with; give a picture of it, or leave start out",
            param="start",
        )
    words = start.strip() if isinstance(start, str) else ""
    if words and task is None and words in ((model.config.world or {}).get("tasks") or ()):
        words, task = "", words
    if words:
        raise InputError(
            f"{name} is a recorded world, which begins with recorded frames, a picture or one of its tasks, not with other words;"
            " leave start out",
            param="start",
        )
    world = RecordedWorld(model, start=start if isinstance(start, Clip) else None, seed=seed, task=task)
    own = f"{world.size[0]}x{world.size[1]}"
    if size is not None and size != own:
        raise SizeError(
            f"size {excerpt(size)!r}: pictures of {name} are {own}, as they were recorded; leave size out", param="size"
        )
    if fps is not None and abs(fps - world.fps) > RATE_ERROR:
        raise SizeError(f"{fps:g} frames a second: {name} was recorded at {world.fps:g}; leave fps out", param="fps")
    return world
