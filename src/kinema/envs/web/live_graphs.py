"""The step and the picture of a model with slots as ONNX files: `kinema.inference.rollout` on the model's own network.

The step reads the frames before the last one in fixed places, the newest in the last place; a bias closes those that hold none.

Axes: W places, K slots, F features, D numbers of a track, N tokens of a frame, H heads.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from kinema.autoencoder import Autoencoder
from kinema.diffusion.samplers import mix_noise
from kinema.envs.web.graphs import canvas_pixels, check_packages, write_onnx
from kinema.errors import InputError
from kinema.inference.frame_state import FrameState
from kinema.inference.rollout import WINDOW, Earlier, draw_frames, next_canvas, step_from_noise
from kinema.models.denoiser import RolloutContext
from kinema.models.hub import Model

DRAWN = ("state", "camera", "scene")
"""Tracks that a picture shows."""


def float32_copy(model: Model) -> Model:
    """The model with copies of its networks that compute in float32."""
    other = copy.copy(model)
    other.denoiser = copy.deepcopy(model.denoiser).float()
    autoencoder = copy.deepcopy(model.autoencoder)
    assert isinstance(autoencoder, Autoencoder)
    other.autoencoder, other.dtype = autoencoder.use_dtype(torch.float32), torch.float32
    return other


def track_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Shapes of one frame's tracks, sorted by name: "state" [1, K, F], the others [1, D]."""
    schema, slots = model.denoiser.schema, model.config.denoiser.slots
    return dict(
        sorted({"state": (1, slots, schema.features), **{name: (1, n) for name, n in schema.vectors.items()}}.items())
    )


class LiveStep(nn.Module):
    """One frame of a live world, from tensors to tensors.

    Inputs: each track of the last frame under its name; "noise_NAME" for each; "context_s" [1, W], seconds before the last frame;
    "context_state" and "context_level" [1, W, K, F]; "context_action" [1, D + 1], that of the newest of them and 1 if it is
    unknown; "bias" [2, W + 2]; "keys_i" and "values_i" [N, H, W, D]. Outputs: "next_NAME" for each track, and the last frame's
    "next_keys_i" and "next_values_i" [N, H, 1, D].
    """

    def __init__(self, model: Model, fps: float) -> None:
        super().__init__()
        self.model = float32_copy(model)
        self.denoiser, self.fps, self.tracks = self.model.denoiser, fps, track_shapes(model)
        config, schema = model.config.denoiser, model.denoiser.schema
        self.pairs = sum(bool(block.along_time) for block in self.denoiser.blocks)
        state, action = (1, WINDOW, config.slots, schema.features), schema.vectors["action"]
        cached = (config.slots + 1, config.heads, WINDOW, config.width // config.heads)
        self.inputs: dict[str, tuple[int, ...]] = {
            **self.tracks,
            **{f"noise_{name}": shape for name, shape in self.tracks.items()},
            "context_s": (1, WINDOW),
            "context_state": state,
            "context_level": state,
            "context_action": (1, action + 1),
            "bias": (2, WINDOW + 2),
            **dict.fromkeys((f"{kind}_{i}" for i in range(self.pairs) for kind in ("keys", "values")), cached),
        }
        self.outputs = [*self.tracks, *(name for name in self.inputs if name.startswith(("keys_", "values_")))]

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        inputs = dict(zip(self.inputs, given, strict=True))
        last = FrameState(time_s=0.0, tracks={name: inputs[name] for name in self.tracks}, acted=True)
        blank = next_canvas(last, self.fps, None, self.denoiser.schema)
        wanted = mix_noise(blank, {name: inputs[f"noise_{name}"][:, None] for name in self.tracks})
        context = RolloutContext(
            time_s=inputs["context_s"],
            state=inputs["context_state"],
            level=inputs["context_level"],
            action=inputs["context_action"],
        )
        pairs = [(inputs[f"keys_{i}"], inputs[f"values_{i}"]) for i in range(self.pairs)]
        earlier = Earlier(context=context, pairs=pairs, bias=inputs["bias"])
        last, made = step_from_noise(self.model, last, wanted, earlier, fps=self.fps)
        named = dict(made.tracks)
        for i, (k, v) in enumerate(last.kv or ()):
            named |= {f"keys_{i}": k, f"values_{i}": v}
        return tuple(named[name] for name in self.outputs)


class LivePicture(nn.Module):
    """Tracks of a frame, "state", "camera" and "scene", to a picture [height, width, 4], uint8 with alpha 255."""

    def __init__(self, model: Model, size: tuple[int, int]) -> None:
        super().__init__()
        self.model, self.size = float32_copy(model), size
        self.denoiser, self.autoencoder = self.model.denoiser, self.model.autoencoder
        self.action = model.denoiser.schema.vectors["action"]

    def forward(self, *drawn: Tensor) -> Tensor:
        tracks = {**dict(zip(DRAWN, drawn, strict=True)), "action": torch.zeros(1, self.action)}
        frame = FrameState(time_s=0.0, tracks=tracks, acted=True)
        return canvas_pixels(draw_frames(self.model, [frame], *self.size)[0])


def write_live_graphs(model: Model, folder: Path, *, fps: float, size: tuple[int, int]) -> LiveStep:
    """Write step.onnx and decoder.onnx; size: (height, width) of the pictures in pixels.

    InputError: the packages of the extra `web` are missing, or the autoencoder is not one of kinema train autoencoder.
    """
    check_packages()
    if not isinstance(model.autoencoder, Autoencoder):
        raise InputError(f"{model.config.name}: expected an autoencoder of kinema train autoencoder")
    step, picture = LiveStep(model, fps).eval(), LivePicture(model, size).eval()
    given = [torch.zeros(shape) for shape in step.inputs.values()]
    write_onnx(step, given, list(step.inputs), [f"next_{name}" for name in step.outputs], folder / "step.onnx")
    write_onnx(
        picture, [torch.zeros(step.tracks[name]) for name in DRAWN], list(DRAWN), ["picture"], folder / "decoder.onnx"
    )
    return step
