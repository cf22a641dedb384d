"""Models: what the arena asks. A model is `predict(context_frames, actions, text, horizon, seed) -> uint8 [horizon, H, W, 3]`.

Optional, where a model has it:

    loss(video, level, seed) -> float      how little the model believes a clip, at a noise level
    begin(context_frames, seed), step(action) -> frame      a live session, timed by the test of cost
    round_trip(frames) -> frames           once through its autoencoder, for the parser gate
    predict(..., fps=)                     told the frame rate, if it takes one; 16 unless a task says otherwise

A folder of files is a model too (`FolderModel`): one array or video a case, made anywhere, by anything.
"""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from kinema.errors import InputError
from kinema.evaluation.cases import SIDE, Case
from kinema.types import Floats, Frames

if TYPE_CHECKING:
    from kinema.models.hub import Model


@runtime_checkable
class ModelUnderTest(Protocol):
    """context_frames: uint8 [C, H, W, 3], C may be 0. actions: float [C + horizon, 2], what is done in each frame from the first
    shown one on (the last has no effect), or None. text: a prompt or ''."""

    name: str

    def predict(self, context_frames: Frames, actions: Floats | None, text: str, horizon: int, seed: int) -> Frames: ...


class KnowsTruth(ABC):
    """Knows the truth: oracles and baselines, never a model."""

    name = "privileged"

    @abstractmethod
    def answer(self, case: Case) -> Frames:
        """Frames after the shown ones [horizon, H, W, 3]."""

    @abstractmethod
    def surprise(self, clip: Frames, possible: bool, seed: int) -> float:
        """Stands for `loss`."""


Evaluated = ModelUnderTest | KnowsTruth


def predict(model: Evaluated, case: Case) -> Frames:
    """What a model says happens in a case; InputError for an answer of another kind."""
    if isinstance(model, KnowsTruth):
        frames = model.answer(case)
    else:
        more: dict[str, Any] = {"fps": case.fps} if "fps" in inspect.signature(model.predict).parameters else {}
        if isinstance(model, FolderModel):
            more = {"case": case.name}
        frames = model.predict(
            case.context.copy(), None if case.actions is None else case.actions.copy(), case.text, case.horizon, case.seed,
            **more,
        )  # fmt: skip
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) != case.horizon:
        raise InputError(
            f"{model.name} answered {case.name} with {frames.dtype} {frames.shape}; expected uint8"
            f" ({case.horizon}, height, width, 3)"
        )
    return resize_to_arena(frames)


def resize_to_arena(frames: Frames) -> Frames:
    """At the size of the arena's own pictures."""
    if frames.shape[1:3] == (SIDE, SIDE):
        return frames
    from kinema.media import Clip

    return Clip(frames=np.ascontiguousarray(frames), fps=16.0).fit(SIDE, SIDE).frames


Loss = Callable[[Frames, float, int], float]


def loss_method_of(model: Evaluated) -> Loss | None:
    """The model's own measure of disbelief, if it has one."""
    loss = getattr(model, "loss", None)
    return loss if callable(loss) else None


class FolderModel:
    """Answers kept in files: FOLDER/CASE.npy (uint8 [T, H, W, 3]) or a video; `kinema arena cases` writes what they answer."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, folder.name

    def predict(
        self, context_frames: Frames, actions: Floats | None, text: str, horizon: int, seed: int, case: str = ""
    ) -> Frames:
        stem = self.folder / file_of(case)
        if stem.with_suffix(".npy").exists():
            return np.asarray(np.load(stem.with_suffix(".npy")))
        for ending in (".mp4", ".webm", ".mkv", ".gif"):
            if stem.with_suffix(ending).exists():
                from kinema.media import read_clip

                return read_clip(stem.with_suffix(ending)).frames
        raise InputError(f"{self.folder} has no answer to {case}: expected {stem.name}.npy or {stem.name}.mp4")


def file_of(case: str) -> str:
    return case.replace("/", "-").replace(" ", "-")


def describe(case: Case) -> str:
    """What a folder's author needs to know of a case, as JSON beside its context."""
    payload = {
        "case": case.name,
        "horizon": case.horizon,
        "fps": case.fps,
        "seed": case.seed,
        "text": case.text,
        "actions": None if case.actions is None else np.asarray(case.actions).round(4).tolist(),
    }
    return json.dumps(payload)


def open_model(name: str, device: str = "auto") -> Any:
    """A Kinema model by name or folder, on a device; `folder:PATH` with answers in files; `package.module:factory` for anything
    else; `oracle` or the name of a baseline."""
    from kinema.evaluation.baselines import BASELINES, Oracle

    if name == "oracle":
        return Oracle()
    if name in BASELINES:
        return BASELINES[name]()
    if name.startswith("folder:"):
        path = Path(name.removeprefix("folder:"))
        if not path.is_dir():
            raise InputError(f"{path} is no folder; expected one with an answer a case, as `kinema arena cases` explains")
        return FolderModel(path)
    if ":" in name and not Path(name).exists():
        module, _, factory = name.partition(":")
        try:
            made = getattr(import_module(module), factory)()
        except (ImportError, AttributeError) as error:
            raise InputError(f"no model {name!r}: {error}; expected package.module:factory") from None
        if not callable(getattr(made, "predict", None)) or not isinstance(getattr(made, "name", None), str):
            raise InputError(
                f"{name} made a {type(made).__name__}; expected a name and predict(context_frames, actions, ...)"
            )
        return made
    from kinema.evaluation.kinema_model import KinemaModel
    from kinema.inference.canvas_io import resolve_model

    return KinemaModel(resolve_model(name, device))


def kinema_model_of(model: Evaluated) -> Model | None:
    """The Kinema model inside, for tasks that only such a one can be asked (agents, state, cost)."""
    return getattr(model, "model", None)
