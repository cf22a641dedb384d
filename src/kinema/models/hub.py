"""Models on disk: a folder with config.json, model.safetensors and a card, beside the autoencoder that it works with.

`kinema.load("kinema-tiny")` finds shipped models by name, or takes a folder. Weights are stored in bf16, a few in float32 (EXACT),
and read strictly.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kinema.autoencoder import VideoAutoencoder, autoencoder_sha256, load_video_autoencoder
from kinema.canvas.canvas import TextCondition
from kinema.devices import AUTO, float32_default, kept_rng, resolve_device
from kinema.errors import InputError, ModelError, OutputError
from kinema.models.config import DenoiserConfig
from kinema.models.denoiser import Denoiser
from kinema.models.dit import DiT
from kinema.models.dit_model import EXACT, DiTModel, DiTModelConfig, LoadedModel
from kinema.models.formats import FORMAT, current_config, current_weights, without_world_entries
from kinema.types import parse_json, path_exists

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
SCALE = ".int8_scale"
"""Ends the name of the scales of weights that are stored as int8: one number for each row."""
SMALL = 4096
"""Numbers below which a weight is stored as bfloat16 in any case."""
DEFAULT = "kinema-tiny"


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a model is and what it can do; stored beside its weights."""

    name: str
    denoiser: DenoiserConfig
    autoencoder: str
    """Folder name of the autoencoder, beside the model's."""
    autoencoder_sha256: str = ""
    """SHA-256 of the autoencoder's weights that the model was trained with; "" where the config was written before it was kept."""
    height: int
    """Height in pixels of the pictures that it films where no size is asked for."""
    max_side: int
    """The longest side that it films with sense."""
    window: int
    """Frames that it fills at once; longer films slide this window along."""
    film_window: int
    fps: tuple[float, float]
    heights: tuple[int, ...] = ()
    """Heights that it was trained and measured at; by default `height` alone."""
    aspects: tuple[str, ...] = ("1:1",)
    """Shapes that it was trained and measured at, width to height; `kinema.inference.limits` tells what follows from both."""
    lacks: tuple[str, ...] = ()
    """Words of its world that it was not fed."""
    shortcuts: bool = False
    """Whether it learned to plan in 1, 2, 4 or 8 long steps (`kinema.diffusion.shortcut`)."""
    trained: dict[str, Any] = field(default_factory=dict)
    """Recipe, steps, minutes, machine: how the weights came to be."""

    def __post_init__(self) -> None:
        whole = {name: getattr(self, name) for name in ("height", "max_side", "window", "film_window")}
        for name, value in whole.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ModelError(f"{name} {value!r}: expected a whole number, at least 1")
        if len(self.fps) != 2 or not all(isinstance(rate, int | float) and rate > 0 for rate in self.fps):
            raise ModelError(f"fps {list(self.fps)}: expected the lowest and the highest rate")
        for name in ("name", "autoencoder"):
            if not isinstance(getattr(self, name), str):
                raise ModelError(f"{name} {getattr(self, name)!r}: expected text")
        if not isinstance(self.trained, dict):
            raise ModelError(f"trained {self.trained!r}: expected an object")
        if not isinstance(self.shortcuts, bool):
            raise ModelError(f"shortcuts {self.shortcuts!r}: expected true or false")
        if not isinstance(self.autoencoder_sha256, str) or not re.fullmatch(r"([0-9a-f]{64})?", self.autoencoder_sha256):
            raise ModelError(f"autoencoder_sha256 {self.autoencoder_sha256!r}: expected 64 hexadecimal digits")
        if not self.heights:
            object.__setattr__(self, "heights", (self.height,))
        if self.height not in self.heights or self.height > self.max_side:
            raise ModelError(
                f"a height of {self.height}: expected one of {self.heights}, and at most max_side {self.max_side}"
            )
        odd = [text for text in self.aspects if not re.fullmatch(r"[1-9]\d{0,2}:[1-9]\d{0,2}", text)]
        if odd or not self.aspects:
            raise ModelError(f"aspects {list(self.aspects)}: expected at least one, each as WIDTH:HEIGHT, such as 16:9")

    @property
    def cell_px(self) -> int:
        """Pixels along one side of a video cell."""
        return self.denoiser.cell_px

    def to_dict(self) -> dict[str, Any]:
        """The entries as config.json holds them."""
        return {**asdict(self), "denoiser": self.denoiser.to_dict()}


AnyConfig = ModelConfig | DiTModelConfig
"""Of a model with slots, or of the general network."""


class Model(LoadedModel):
    """A denoiser with its autoencoder and text encoder, ready to fill canvases. `kinema.load` makes one."""

    def __init__(
        self, config: ModelConfig, denoiser: Denoiser, autoencoder: VideoAutoencoder, *, device: str | torch.device = "cpu"
    ) -> None:
        super().__init__(config.name, denoiser, autoencoder, device)
        self.config = config
        self.denoiser = denoiser.to(self.device).eval().requires_grad_(False)
        parts = self.denoiser
        for part in (parts.blocks, parts.video_in, parts.video_out, parts.local_head, parts.splatter):
            part.to(self.dtype)

    @property
    def shortcuts(self) -> bool:
        """Whether it learned to take long steps."""
        return self.config.shortcuts

    def condition(self, spans: Sequence[tuple[str, float, float]], time_s: Tensor) -> TextCondition | None:
        """Prompt spans (text, start, end in seconds) -> token states and who may read them, for frames at time_s [B, T]."""
        spans = [span for span in spans if span[0].strip()]
        if not spans:
            return None
        states, mask = self.text.encode([text for text, _, _ in spans], max_tokens=40)
        tokens = np.concatenate([state[real] for state, real in zip(states, mask, strict=True)])
        reads = []
        for (_, begin, end), real in zip(spans, mask, strict=True):
            inside = (time_s >= begin - 1e-6) & (time_s < end)
            reads.append(inside[..., None].expand(-1, -1, int(real.sum())))
        repeated = torch.from_numpy(tokens).to(self.device).repeat(time_s.shape[0], 1, 1)
        return TextCondition(states=repeated, reads=torch.cat(reads, -1).to(self.device))


def weights_folder() -> Path:
    """KINEMA_WEIGHTS, or the folder in the wheel, or `weights/` of a checkout."""
    given = os.environ.get("KINEMA_WEIGHTS")
    if given:
        return Path(given)
    inside = Path(__file__).parents[1] / "_weights"
    return inside if inside.exists() else Path(__file__).parents[3] / "weights"


def available_models() -> list[str]:
    """Names of the shipped models with slots: folders with weights and a config that can be read."""
    folder = weights_folder()
    paths = sorted(folder.glob(f"*/{CONFIG}")) if folder.exists() else []
    return [path.parent.name for path in paths if (path.parent / WEIGHTS).exists() and _is_model(path.parent)]


def _is_model(folder: Path) -> bool:
    try:
        return isinstance(read_config(folder), ModelConfig)
    except (ModelError, OSError):
        return False


def shipped_dit_models() -> dict[str, Path]:
    """The shipped models of the general network: their folders by name."""
    folder = weights_folder()
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONFIG}")) if is_dit_folder(path.parent)}


def is_dit_folder(folder: str | Path) -> bool:
    """Whether a folder holds a model of the general network."""
    try:
        return (Path(folder) / WEIGHTS).exists() and "network" in parse_json((Path(folder) / CONFIG).read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return False


MADE = ("world", "film")
"""What the folder is called, in that of a run of `kinema train`, of the model that it made."""


def made_by(folder: str | Path) -> Path:
    """The folder of the model that a run made; of what is no run's folder, the same."""
    return next((path for name in MADE if path_exists((path := Path(folder) / name) / CONFIG)), Path(folder))


def find(name: str | Path) -> Path:
    """The folder of a model by name or path, also by that of the run that made it; ModelError lists those that exist."""
    for path in (Path(name), weights_folder() / name, made_by(name)):
        if path_exists(path / CONFIG) and path_exists(path / WEIGHTS):
            return path
    known = ", ".join([*available_models(), *shipped_dit_models()]) or "none is installed"
    raise ModelError(f"no model {str(name)!r}: expected a folder with {CONFIG} and {WEIGHTS}, or one of: {known}")


def read_config(folder: Path) -> AnyConfig:
    """The config of a model in a folder. ModelError: it is none, or of a format that this version does not read."""
    try:
        stored = parse_json((folder / CONFIG).read_text())
        data = current_config(stored)
        if data is None:
            later = isinstance(stored["format"], int) and stored["format"] > FORMAT
            mend = "upgrade Kinema, or fetch the model again" if later else "fetch or train the model again"
            raise ModelError(f"format {stored['format']!r}; this version of Kinema reads formats up to {FORMAT}: {mend}")
        if "network" in data:
            return DiTModelConfig.from_dict(data)
        data = without_world_entries(data)
        data["denoiser"] = DenoiserConfig.from_dict(data["denoiser"])
        data["fps"] = tuple(data["fps"])
        for name in ("heights", "aspects", "lacks"):
            if name in data:
                data[name] = tuple(data[name])
        return ModelConfig(**data)
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    except KeyError as error:
        raise ModelError(f"{folder / CONFIG} is not a model's config: it has no {error.args[0]!r}") from None
    except (TypeError, AttributeError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG} is not a model's config: {error}") from None


def read_slot_config(folder: Path) -> ModelConfig:
    """`read_config` of a model with slots. ModelError: it is of the general network."""
    config = read_config(folder)
    if isinstance(config, DiTModelConfig):
        raise ModelError(f"{folder} holds {config.name}, a model without slots")
    return config


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The stored weights of a model by today's names, as they are stored, or in float32 where int8 was stored.
    SafetensorError or OSError: the file is damaged or missing."""
    stored = load_file(folder / WEIGHTS)
    scales = {name.removesuffix(SCALE): stored.pop(name) for name in list(stored) if name.endswith(SCALE)}
    for name, scale in scales.items():
        if name not in stored or scale.shape != stored[name].shape[:1]:
            raise SafetensorError(f"{name}{SCALE} fits no weight")
        stored[name] = stored[name].float() * scale.view(-1, *[1] * (stored[name].dim() - 1))
    return current_weights(stored)


def find_autoencoder(folder: Path, config: AnyConfig) -> Path:
    """The folder of a model's autoencoder: inside the model's, beside it, or among the shipped ones; the last if there is none. One
    that was elsewhere in training is looked for there, and then by its name."""
    names = dict.fromkeys((config.autoencoder, Path(config.autoencoder).name))
    folders = [place / name for name in names for place in (folder, folder.parent, weights_folder())]
    return next((path for path in folders if path.exists()), weights_folder() / config.autoencoder)


def check_autoencoder(folder: Path, config: AnyConfig, autoencoder_folder: Path) -> None:
    """ModelError where the autoencoder in a folder is missing, or another one than a model was trained with."""
    if not path_exists(autoencoder_folder):
        raise ModelError(
            f"{folder} needs its autoencoder {config.autoencoder!r}, which is missing; copy it to"
            f" {folder / Path(config.autoencoder).name}"
        )
    digest = autoencoder_sha256(autoencoder_folder)
    if config.autoencoder_sha256 not in ("", digest):
        raise ModelError(
            f"{folder} was trained with other weights of the autoencoder {config.autoencoder!r} (sha256"
            f" {config.autoencoder_sha256[:12]}...) than those in {autoencoder_folder} ({digest[:12]}...); fetch both again"
        )


def find_text_encoder(folder: Path, config: DiTModelConfig) -> Path:
    """The folder of the text encoder of a model: where it was in training, or by its name inside the model's folder, beside it, or
    among the shipped models. ModelError: it is in none of them."""
    path = Path(config.text_encoder)
    for place in (path, folder / path.name, folder.parent / path.name, weights_folder() / path.name):
        if path_exists(place):
            return place
    raise ModelError(
        f"{folder} needs the text encoder of its training, {path}, which is missing; copy it to {folder / path.name}"
    )


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights in a folder, in hexadecimal; OSError: there are none."""
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@float32_default()
def load(name: str | Path = DEFAULT, *, device: str | torch.device = AUTO) -> Model | DiTModel:
    """Load a model with its autoencoder.

    Args:
        name: Name of a shipped model ("kinema-tiny"), or a model folder.
        device: "auto" (cuda, else mps, else cpu), "cpu", "cuda", "cuda:1" or "mps".

    Returns:
        The model on that device: a `DiTModel` of the general network, else a `Model` with slots.

    Raises:
        ModelError: There is no such model, its weights do not fit its config, or its autoencoder is not the one that it was
            trained with.
        InputError: This machine does not have the device.
    """
    place = resolve_device(device)
    folder = find(name)
    config = read_config(folder)
    with kept_rng():
        network = DiT(config.network) if isinstance(config, DiTModelConfig) else Denoiser(config.denoiser)
    try:
        weights = read_weights(folder)
        network.load_state_dict({key: value.float() for key, value in weights.items()}, strict=True)
    except (SafetensorError, RuntimeError, OSError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[min(1, len(lines) - 1)] if isinstance(error, RuntimeError) else lines[0]
        raise ModelError(
            f"the weights in {folder} do not fit its config: {reason}; fetch or train the model again"
        ) from None
    autoencoder_folder = find_autoencoder(folder, config)
    check_autoencoder(folder, config, autoencoder_folder)
    autoencoder = load_video_autoencoder(autoencoder_folder, device=place)
    factors = (autoencoder.space_factor, autoencoder.time_factor)
    if isinstance(config, DiTModelConfig) and factors != (config.space_factor, config.time_factor):
        raise ModelError(
            f"{folder} was trained with an autoencoder of {config.space_factor} pixels and {config.time_factor} frames a latent;"
            f" the one in {autoencoder_folder} has {factors[0]} and {factors[1]}; fetch both again"
        )
    model = _assembled(config, network, autoencoder, place)
    if isinstance(model, DiTModel) and model.config.text_encoder:
        model.text_folder = find_text_encoder(folder, model.config)
    model.source = str(name)
    return model


def load_slot_model(name: str | Path = DEFAULT, *, device: str | torch.device = AUTO) -> Model:
    """`load` for what needs a model with slots, which has a state. InputError: the model is of the general network."""
    model = load(name, device=device)
    if isinstance(model, DiTModel):
        use = f"kinema play {name}" if model.config.world is not None else f"kinema generate --model {name}"
        raise InputError(f"{model.config.name} has no state of objects, which this needs; it is for: {use}")
    return model


def _assembled(
    config: AnyConfig, network: DiT | Denoiser, autoencoder: VideoAutoencoder, device: torch.device
) -> Model | DiTModel:
    if isinstance(config, DiTModelConfig) and isinstance(network, DiT):
        return DiTModel(config, network, autoencoder, device=device)
    assert isinstance(config, ModelConfig) and isinstance(network, Denoiser)
    return Model(config, network, autoencoder, device=device)


def as_bfloat16(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are stored usually: in bfloat16, EXACT ones in float32."""
    kinds = {name: torch.float32 if name.startswith(EXACT) else torch.bfloat16 for name in weights}
    return {name: value.detach().to("cpu", kinds[name]).contiguous() for name, value in weights.items()}


def as_int8(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are stored with int8: large ones as whole numbers from -127 to 127 with a scale for each row."""
    stored = as_bfloat16(weights)
    for name, value in weights.items():
        if value.dim() > 1 and value.numel() >= SMALL and not name.startswith(EXACT):
            whole = value.detach().to("cpu", torch.float32)
            scale = whole.flatten(1).abs().amax(1).clamp_min(1e-12) / 127
            stored[name] = (whole / scale.view(-1, *[1] * (whole.dim() - 1))).round().to(torch.int8).contiguous()
            stored[name + SCALE] = scale
    return stored


def save(folder: Path, config: AnyConfig, weights: dict[str, Tensor], card: str, *, int8: bool = False) -> None:
    """Write config, weights and card, each by temp file and rename. Weights are bf16, or large ones int8. A config that has no hash
    of the autoencoder gets that of the one that `load` would find, if there is one."""
    autoencoder_folder = find_autoencoder(folder, config)
    if not config.autoencoder_sha256 and (autoencoder_folder / WEIGHTS).exists():
        config = replace(config, autoencoder_sha256=weights_sha256(autoencoder_folder))
    data = {**config.to_dict(), "format": FORMAT}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(as_int8(weights) if int8 else as_bfloat16(weights), folder / f".{WEIGHTS}.tmp")
        (folder / f".{WEIGHTS}.tmp").replace(folder / WEIGHTS)
        for path, text in ((CONFIG, json.dumps(data, indent=1) + "\n"), (CARD, card)):
            (folder / f".{path}.tmp").write_text(text, encoding="utf-8")
            (folder / f".{path}.tmp").replace(folder / path)
    except OSError as error:
        raise OutputError(f"the model could not be written to {folder}: {error.strerror}") from None


def shrink(source: Path, out: Path) -> None:
    """Write a copy of a model's folder with int8 weights, whole or not at all; it is called as its folder is. An autoencoder that
    comes with Kinema is left out.

    ModelError: `source` is no model. OutputError: `out` exists, or cannot be written.
    """
    if out.exists():
        raise OutputError(f"{out} is there already; name a folder that is not")
    before = read_config(source)
    own, shipped = (folder / before.autoencoder / WEIGHTS for folder in (source, weights_folder()))
    try:
        weights = read_weights(source)
        card = (source / CARD).read_text(encoding="utf-8") if (source / CARD).exists() else f"# {before.name}\n"
        card = card.replace(f"# {before.name}\n", f"# {out.name}\n", 1)
        twice = own.exists() and shipped.exists() and own.read_bytes() == shipped.read_bytes()
        left_out = [WEIGHTS, *([before.autoencoder] if twice else [])]
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            made = Path(scratch) / out.name
            shutil.copytree(source, made, ignore=lambda folder, names: left_out if folder == str(source) else [])
            save(made, replace(before, name=out.name), weights, card, int8=True)
            made.replace(out)
    except SafetensorError as error:
        raise ModelError(f"the weights in {source} cannot be read: {error}; fetch or train the model again") from None
    except OSError as error:
        raise OutputError(f"the model could not be written to {out}: {error.strerror}") from None
