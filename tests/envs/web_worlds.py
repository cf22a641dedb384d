"""Tiny worlds for the tests of the player in a browser, and the player's step in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinema.datasets.recorder import record
from kinema.envs.recorded import RecordedWorld
from kinema.envs.web.graphs import CLOSED, step_shapes
from kinema.envs.web.live_graphs import LiveStep
from kinema.inference.rollout import WINDOW
from kinema.models.dit_model import EXACT, DiTModel
from kinema.models.hub import load
from kinema.models.rules import Rule
from kinema.simulation.world import World
from kinema.training.recorded_world import train_world
from kinema.training.world_lesson import WorldRecipe
from kinema.types import Floats

RECIPE = WorldRecipe(
    compile=False, frames=6, batch=2, size="nano", time_every=2, context=2, window=12, autoencoder_share=0.0
)
SPREAD_OF_WEIGHTS = 0.4


def tiny_world(folder: Path, env: str) -> Path:
    """The folder of a world of an environment, of which it has learned next to nothing."""
    recording = folder / "recording"
    record(env, recording, episodes_wanted=3, size=(32, 48), most=24)
    return train_world(recording, out=folder / "run", steps=2, recipe=RECIPE)


def lively(world: Path, *, ends: bool | None = None) -> DiTModel:
    """Its model in float32, with random weights everywhere: one that is hardly trained ignores nearly all that it reads. ends:
    whether every frame ends the episode, or none does; None: as the weights have it. Its rule is of random weights alone."""
    model: Any = load(str(world), device="cpu")
    generator = torch.Generator().manual_seed(5)
    model.network.float()
    for name, changes in model.network.config.relative.items():
        rule = Rule(model.network.config.known, name, len(changes), choices=2)
        rule.get_buffer("choices")[:2] = torch.tensor([0.5, -1.0])  # of some numbers the change is chosen
        model.network.rules[name] = rule
    for name, weight in model.network.named_parameters():
        weight += SPREAD_OF_WEIGHTS * torch.randn(weight.shape, generator=generator) / max(weight.shape[-1], 1) ** 0.5
        if not name.startswith(EXACT):
            weight.copy_(weight.bfloat16().float())
    if model.network.prior is not None:
        model.network.prior.useful.fill_(1.0)
    for rule in model.network.rules.values():
        rule.get_buffer("grid")[:, -1] = torch.tensor([0.05, 0.2])
    if ends is not None:
        model.network.heads["terminated"].weight.zero_()
        model.network.heads["terminated"].bias.fill_(1.0 if ends else -1.0)
    model.autoencoder.use_dtype(torch.float32)
    model.dtype = torch.float32
    assert isinstance(model, DiTModel)
    return model


class Player:
    """What world.js does, in Python on onnxruntime."""

    def __init__(self, folder: Path, model: DiTModel) -> None:
        ort = pytest.importorskip("onnxruntime")
        self.step = ort.InferenceSession(str(folder / "step.onnx"))
        self.decoder = ort.InferenceSession(str(folder / "decoder.onnx"))
        self.model, self.shapes = model, step_shapes(model)
        self.names = [name for name in self.shapes.inputs if name.startswith(("keys_", "values_"))]
        self.ring = {name: np.zeros(self.shapes.inputs[name], np.float32) for name in self.names}
        self.places = model.config.frames
        self.held: list[int | None] = [None] * self.places
        self.frames: list[dict[str, Floats]] = []

    def run(self, index: int, noise: Floats, text: dict[str, Floats]) -> dict[str, Floats]:
        """The outputs for the frame of this number, whose keys and values then stand in the ring."""
        context = self.model.config.network.context
        first = self.frames[0]
        missing = [{**first, "action": np.zeros_like(first["action"])}] * (context - len(self.frames[-context:]))
        before = [*missing, *self.frames[-context:]]
        given = {"noise": noise, "context": np.stack([one["video"] for one in before])[None], **text}
        given |= {
            name: np.concatenate([one[name] for one in before[-(shape[1] // len(before[-1][name])) :]])[None]
            for name, shape in self.shapes.inputs.items()
            if name in self.model.config.network.known
        }
        seconds = [0.0 if one is None else (one - index) / self.model.config.fps for one in self.held]
        bias = [CLOSED if one is None else 0.0 for one in self.held]
        given |= {"ring_s": np.array([seconds], np.float32), "ring_bias": np.array(bias, np.float32), **self.ring}
        made = dict(zip([one.name for one in self.step.get_outputs()], self.step.run(None, given), strict=True))
        place = index % self.places
        self.held[place] = index
        for name in self.names:
            self.ring[name][..., place : place + 1, :] = made[f"next_{name}"]
        return made

    def picture(self, video: Floats) -> np.ndarray:
        return self.decoder.run(None, {"video": video[None]})[0]  # type: ignore[no-any-return]


def noise_of(world: RecordedWorld) -> Floats:
    """That from which the frame after the current one is made."""
    shape = world._frame_states[-1].tracks["video"].shape[1:]
    seed = world._seeds(world.frame_index)[0]
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))[None].numpy()


def live_noise(world: World) -> dict[str, Floats]:
    """That from which a live world's next frame is made, by track, as `kinema.diffusion.samplers.noise_canvas` draws it."""
    tracks, generator = world._frame_states[-1].tracks, torch.Generator().manual_seed(world._seeds(world.frame_index)[0])
    return {name: torch.randn((1, *tracks[name].shape[1:]), generator=generator).numpy() for name in sorted(tracks)}


class LivePlayer:
    """What live.js does, in Python on onnxruntime."""

    def __init__(self, folder: Path, step: LiveStep, first: dict[str, Floats]) -> None:
        ort = pytest.importorskip("onnxruntime")
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self.step = ort.InferenceSession(str(folder / "step.onnx"), options)
        self.decoder = ort.InferenceSession(str(folder / "decoder.onnx"), options)
        self.last, self.held, self.fps = first, 0, step.fps
        self.names = [name for name in step.inputs if name.startswith(("keys_", "values_"))]
        self.earlier = {
            name: np.zeros(shape, np.float32)
            for name, shape in step.inputs.items()
            if name in ("context_state", "context_level", "context_action", *self.names)
        }
        self.earlier["context_level"][:] = 1
        self.earlier["context_action"][0, -1] = 1

    def go(self, action: Floats, noise: dict[str, Floats]) -> dict[str, Floats]:
        """The tracks of the next frame, which is then the last one."""
        places, row = np.arange(WINDOW + 2), np.arange(2)[:, None]
        closed = (places < WINDOW - self.held) | (places < row) | (places > WINDOW + row)
        seconds = (np.arange(WINDOW) - WINDOW) / self.fps
        self.last["action"] = action[None]
        given = {
            **self.last,
            **{f"noise_{name}": x for name, x in noise.items()},
            **self.earlier,
            "bias": np.where(closed, CLOSED, 0.0).astype(np.float32),
            "context_s": seconds[None].astype(np.float32),
        }
        read = {one.name: given[one.name] for one in self.step.get_inputs()}
        made = dict(zip([one.name for one in self.step.get_outputs()], self.step.run(None, read), strict=True))
        shifted = {"context_state": self.last["state"], "context_level": np.zeros_like(self.last["state"])}
        for name, newest in shifted.items():
            self.earlier[name] = np.concatenate([self.earlier[name][:, 1:], newest[:, None]], 1)
        for name in self.names:
            self.earlier[name] = np.concatenate([self.earlier[name][:, :, 1:], made[f"next_{name}"]], 2)
        self.earlier["context_action"] = np.append(action, 0.0)[None].astype(np.float32)
        self.held = min(self.held + 1, WINDOW)
        self.last = {name: made[f"next_{name}"] for name in self.last}
        return self.last

    def picture(self) -> np.ndarray:
        return self.decoder.run(None, {one.name: self.last[one.name] for one in self.decoder.get_inputs()})[0]  # type: ignore[no-any-return]
