"""The step and the decoder of a recorded world as ONNX files.

The step is `kinema.inference.dit_rollout.denoise_frame` on the model's own network, exported by torch; nothing is written a second
time. What differs is where earlier frames are stored: the graph has fixed shapes, so the cache is a ring of as many places as
attention along time reads, and a bias closes the places that hold no frame yet.

The arithmetic is float32. Weights that are bfloat16, as nearly all of a world's are, fit float16: they are stored in it and cast
when the file is loaded. The others, such as those of rules, stay in float32.

Axes: K frames of context, C channels, h x w latents, D numbers, N tokens of a frame, R places of the ring, L tokens of text.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from kinema.autoencoder import Autoencoder
from kinema.errors import InputError
from kinema.inference.dit_rollout import WANTED, FrameInput, denoise_frame
from kinema.models.dit import FrameCache
from kinema.models.dit_model import EXACT, DiTModel

if TYPE_CHECKING:
    import onnx

OPSET = 20
"""Of the ONNX files: the first with GELU's tanh form."""
CLOSED = -1e4
"""Bias of a place of the ring that holds no frame."""
SMALL, FITS = 256, 1e-6
"""Numbers of a weight at least for it to be stored in float16, and the most that any of them may be off by there."""


@dataclass(frozen=True, kw_only=True)
class StepShapes:
    """Shapes of a step's inputs, without those of the text: name -> shape."""

    inputs: dict[str, tuple[int, ...]]
    pairs: int
    """Blocks with attention along time: inputs "keys_0", "values_0" and so on."""


def step_shapes(model: DiTModel) -> StepShapes:
    """What the exported step of a world reads: noise, the frames of context with what was known at them, the ring, and the seconds
    of its frames before the predicted one."""
    config, network = model.config, model.config.network
    high, wide = (side // model.autoencoder.space_factor for side in (config.height, config.width))
    tokens = 1 + -(-high // network.patch) * -(-wide // network.patch)
    pairs = model.network.cached_blocks
    ring = (1, tokens, network.heads, config.frames, network.width // network.heads)
    names = [f"{kind}_{i}" for i in range(pairs) for kind in ("keys", "values")]
    return StepShapes(
        inputs={
            "noise": (1, network.channels, high, wide),
            "context": (1, network.context, network.channels, high, wide),
            **{name: (1, numbers) for name, numbers in network.known.items() if name != WANTED},
            **({"ring_s": (1, config.frames), "ring_bias": (config.frames,)} if pairs else {}),
            **dict.fromkeys(names, ring),
        },
        pairs=pairs,
    )


class ExportedStep(nn.Module):
    """One frame of a recorded world, from tensors to tensors.

    Inputs by name as `step_shapes` has them, then "text" and "text_mask" where the world reads a text. Outputs, all with "next_"
    before their names: "video" [1, C, h, w], each of `made_numbers` [1, D], and "keys_i" and "values_i" [1, N, heads, 1, D], the
    frame's own for the ring.
    """

    def __init__(self, model: DiTModel, steps: int) -> None:
        super().__init__()
        self.network = copy.deepcopy(model.network).float()
        for name, x in self.network.named_parameters():
            x.data = x.data if name.startswith(EXACT) else x.data.bfloat16().float()  # on every processor
        self.spread, self.steps, self.shapes = model.config.spread, steps, step_shapes(model)
        self.first, self.bounds = model.config.first_columns, model.number_bounds
        self.names = [*self.shapes.inputs, *(("text", "text_mask") if model.config.network.text_dim else ())]
        self.outputs = ["video", *model.config.made_numbers]
        self.outputs += [name for name in self.shapes.inputs if name.startswith(("keys_", "values_"))]

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        inputs = dict(zip(self.names, given, strict=True))
        cache = FrameCache(cached=[])
        if self.shapes.pairs:
            cached = [(inputs[f"keys_{i}"], inputs[f"values_{i}"]) for i in range(self.shapes.pairs)]
            cache = FrameCache(cached=cached, time_s=inputs["ring_s"], bias=inputs["ring_bias"])
        frame = FrameInput(
            noise=inputs["noise"],
            context=inputs["context"],
            known={
                name: torch.zeros(1, numbers) if name == WANTED else inputs[name]
                for name, numbers in self.network.config.known.items()
            },
            time_s=torch.zeros(1, 1),
            text=inputs.get("text"),
            text_mask=inputs.get("text_mask"),
            first=self.first,
            bounds=self.bounds,
        )
        tracks, pairs = denoise_frame(self.network, frame, cache, spread=self.spread, steps=self.steps)
        named = {**tracks, **{f"keys_{i}": k for i, (k, _) in enumerate(pairs)}}
        named |= {f"values_{i}": v for i, (_, v) in enumerate(pairs)}
        return tuple(named[name] for name in self.outputs)


class ExportedDecoder(nn.Module):
    """Latents [1, C, h, w] to a picture [height, width, 4], uint8 with alpha 255, as a browser's canvas takes it."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = copy.deepcopy(autoencoder).use_dtype(torch.float32)

    def forward(self, video: Tensor) -> Tensor:
        return canvas_pixels(self.autoencoder.decode(video[:, None])[0, 0])


def canvas_pixels(pixels: Tensor) -> Tensor:
    """Pixels [3, height, width] in [-1, 1] as uint8 [height, width, 4] with alpha 255, rounded as `to_uint8` does."""
    levels = ((pixels.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255)
    return torch.cat([levels, torch.full_like(levels[..., :1], 255.0)], -1).to(torch.uint8)


def write_graphs(model: DiTModel, folder: Path, *, steps: int = 1, text_tokens: int = 0) -> StepShapes:
    """Write step.onnx and decoder.onnx.

    Args:
        model: That of a recorded world.
        folder: Where the files go; it exists.
        steps: Of the sampler, each frame.
        text_tokens: Length of the text that the step reads; of no effect for a world without text.

    Returns:
        The shapes of the step's inputs.

    Raises:
        InputError: The packages of the extra `web` are missing, or the world is one that no player can step.
    """
    _check(model)
    step = ExportedStep(model, steps).eval()
    given = [torch.zeros(shape) for shape in step.shapes.inputs.values()]
    if "text" in step.names:
        given += [torch.zeros(1, text_tokens, model.config.network.text_dim), torch.ones(1, text_tokens, dtype=torch.bool)]
    write_onnx(step, given, step.names, [f"next_{name}" for name in step.outputs], folder / "step.onnx")
    autoencoder = model.autoencoder
    assert isinstance(autoencoder, Autoencoder)
    latents = torch.zeros(step.shapes.inputs["noise"])
    write_onnx(ExportedDecoder(autoencoder).eval(), [latents], ["video"], ["picture"], folder / "decoder.onnx")
    return step.shapes


def check_packages() -> None:
    """InputError if a package of the extra `web` is missing."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"{error.name} is not installed; exporting needs: pip install 'kinema[web]'") from None


def _check(model: DiTModel) -> None:
    check_packages()
    if not isinstance(model.autoencoder, Autoencoder) or model.autoencoder.time_factor != 1:
        raise InputError(f"{model.config.name}: expected an autoencoder of kinema train autoencoder with a time factor of 1")
    if model.config.network.context < 1 or model.config.network.slots:
        raise InputError(
            f"{model.config.name}: expected a world of kinema train world, which reads the frames before each frame"
        )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """torch's exporter logs every step it takes, and warns of what it will change in itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def write_onnx(module: nn.Module, given: list[Tensor], names: list[str], outputs: list[str], path: Path) -> None:
    """Export a module by torch, with its large weights stored as float16."""
    with _quietly(), torch.enable_grad():  # attention written out as products, which ONNX has
        program: Any = torch.onnx.export(
            module, tuple(given), input_names=names, output_names=outputs, opset_version=OPSET, dynamo=True, verbose=False
        )
    path.write_bytes(_halved(_without_traces(program.model_proto)).SerializeToString())


def _without_traces(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph without torch's notes of where each node was written: source text, and paths of this machine."""
    _clear_traces(proto)
    return proto


def _clear_traces(part: Any) -> None:
    """Clear the notes of a part of a graph and of all parts within, those of functions and branches too."""
    for field, value in part.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            part.ClearField(field.name)
        elif field.message_type is not None:
            for one in [value] if hasattr(value, "ListFields") else value:
                _clear_traces(one)


def _halved(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with its large float32 weights stored as float16 where they fit, each cast back where the graph begins."""
    from onnx import TensorProto, helper, numpy_helper

    graph, casts = proto.graph, []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < SMALL:
            continue
        name, values = weight.name, numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if not np.allclose(halves.astype(np.float32), values, rtol=0.0, atol=FITS):  # infinity is near itself
            continue
        weight.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
        casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return proto
