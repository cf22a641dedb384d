"""A trained general network with its autoencoder and text encoder, ready to film or to be stepped. `kinema.load` makes one."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from kinema.autoencoder import VideoAutoencoder, fast_dtype
from kinema.errors import ModelError
from kinema.models.dit import DiT, DiTConfig
from kinema.models.rules import MEMORY
from kinema.text import TextEncoder, default_encoder
from kinema.text.folder_encoder import FolderEncoder

MAX_TOKENS = 64
"""Tokens of a text that are read."""
EXACT = ("rules.", "pointing.scale", "pointing.shift", "pointing.mend", "prior.")
"""How the names of weights begin that stay in float32 on disk and in use, whatever the others are: rules, places and
priors, as a rollout reads its own answers again and again."""
MOST_SPREADS = 5.0
"""How far from their mean numbers of a recording are read, in their spreads."""


@dataclass(frozen=True, kw_only=True)
class DiTModelConfig:
    """What a model of the general network is, stored beside its weights.

    ModelError: an entry is not as expected.
    """

    name: str
    network: DiTConfig
    autoencoder: str
    """Folder name of the autoencoder, inside the model's or beside it; or, of one of diffusers, where it was in training."""
    autoencoder_sha256: str = ""
    space_factor: int = 8
    """Pixels along one side of a latent."""
    time_factor: int = 1
    """Frames of a latent frame, but for the first one, which is a picture."""
    text_encoder: str = ""
    """Folder of the text encoder that it was trained with (`kinema.text.folder_encoder`), "" for the one that comes with Kinema."""
    text_encoder_sha256: str = ""
    """Of the files in that folder."""
    width: int
    """Of the pictures that it was trained on, in pixels."""
    height: int
    fps: float
    """Frames a second."""
    frames: int
    """Latent frames: of a film, those filmed at once; of a world, those that attention along time reads."""
    seconds: float = 0.0
    """Of a film: the usual length."""
    spread: float = 1.0
    """What estimates are measured in, in units of the latents (`kinema.diffusion.flow`)."""
    shift_by_size: bool = False
    """Of a film: whether the sampler's levels are shifted with its size as with its length (`kinema.diffusion.flow.shift_of`)."""
    numbers_first: bool = False
    """Of a world: whether a rollout predicts a frame's entities in a pass of their own, then paints it with their numbers given."""
    film: dict[str, Any] | None = None
    """Of a model that films: what its clips show, in words ("about"), and the shares of its captions' words ("words")."""
    world: dict[str, Any] | None = None
    """Of a recorded world: its environment, its action space, and the scales of its numbers."""
    trained: dict[str, Any] = field(default_factory=dict)
    """Recipe, steps, minutes, machine: how the weights came to be."""

    def __post_init__(self) -> None:
        if MEMORY in self.network.known and not self.network.relative:
            raise ModelError(f"{MEMORY}: expected numbers with a rule, of which it is")
        for name in ("width", "height", "frames", "space_factor", "time_factor"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ModelError(f"{name} {value!r}: expected a whole number, at least 1")
        for name in ("fps", "spread"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
                raise ModelError(f"{name} {value!r}: expected a number above 0")
        for name in ("shift_by_size", "numbers_first"):
            if not isinstance(getattr(self, name), bool):
                raise ModelError(f"{name} {getattr(self, name)!r}: expected true or false")
        for name in ("autoencoder", "text_encoder"):
            if not isinstance(getattr(self, name), str):
                raise ModelError(f"{name} {getattr(self, name)!r}: expected text")
        if self.text_encoder and not re.fullmatch(r"[0-9a-f]{64}", str(self.text_encoder_sha256)):
            raise ModelError(f"text_encoder_sha256 {self.text_encoder_sha256!r}: expected 64 hexadecimal digits")
        if (self.film is None) == (self.world is None):
            raise ModelError("expected either film or world: a model films or is stepped")
        if not all(value is None or isinstance(value, dict) for value in (self.film, self.world, self.trained)):
            raise ModelError("film, world and trained: expected objects")

    @property
    def entity_columns(self) -> list[int]:
        """Of a recorded world's numbers those of entities, which have names such as "ball.x"."""
        names = (self.world or {}).get("sensors", {}).get("names", ())
        return [i for i, name in enumerate(names) if "." in name]

    @property
    def first_columns(self) -> list[int]:
        """Of a recorded world's numbers those that a rollout predicts before the picture."""
        return self.entity_columns if self.numbers_first else []

    @property
    def made_numbers(self) -> dict[str, int]:
        """Numbers of a frame that a step of a recorded world makes besides the picture, by name: those that are predicted, and the
        memory of a rule."""
        network = self.network
        return network.predicted | {name: count for name, count in network.known.items() if name == MEMORY}

    @property
    def action_width(self) -> int:
        """Of a recorded world: numbers of a frame's action as the network reads it; where it learned several environments, those of
        the widest."""
        return self.network.known["action"] // self.network.context

    def to_dict(self) -> dict[str, Any]:
        """The entries as config.json holds them."""
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> DiTModelConfig:
        """The inverse of `to_dict`. ModelError: an entry is missing, unknown, or not as expected."""
        try:
            return DiTModelConfig(**{**data, "network": DiTConfig.from_dict(data.get("network"))})
        except TypeError as error:
            raise ModelError(f"the model's config does not fit this version: {error}") from None


class LoadedModel:
    """What every model has: a network with its autoencoder and text encoder on a device."""

    def __init__(self, name: str, network: nn.Module, autoencoder: VideoAutoencoder, device: str | torch.device) -> None:
        self.source = name
        """What `load` finds it by: the name of a shipped model, or a folder."""
        self.autoencoder, self.device = autoencoder, torch.device(device)
        self.dtype = fast_dtype(self.device)
        self.parameters = sum(p.numel() for p in network.parameters())
        """Number of parameters of the network."""
        self._text: TextEncoder | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source!r}, {self.parameters / 1e6:.1f}M parameters, {self.device})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: a model is never changed by use, and environments whose settings are copied share it."""
        return self

    @property
    def text(self) -> TextEncoder:
        """The text encoder, loaded at first use; assign another object with the same protocol to replace it. ModelError: it is one
        of a folder that is missing or holds another one."""
        if self._text is None:
            self._text = self._open_text()
        return self._text

    @text.setter
    def text(self, encoder: TextEncoder) -> None:
        self._text = encoder

    def _open_text(self) -> TextEncoder:
        return default_encoder()


class DiTModel(LoadedModel):
    """A general network with its autoencoder and text encoder.

    Attributes:
        text_folder: Where the text encoder lies, of a model that was trained with one of a folder.
    """

    def __init__(
        self, config: DiTModelConfig, network: DiT, autoencoder: VideoAutoencoder, *, device: str | torch.device = "cpu"
    ) -> None:
        super().__init__(config.name, network, autoencoder, device)
        self.config = config
        self.text_folder = Path(config.text_encoder)
        self.network = network.to(self.device).eval().requires_grad_(False)
        for name, x in [*network.named_parameters(), *network.named_buffers()]:
            x.data = x.data if name.startswith(EXACT) else x.data.to(self.dtype)

    @cached_property
    def number_bounds(self) -> tuple[Tensor, Tensor] | None:
        """The least and the most of a world's numbers in its recording [D], as the network reads them: what it predicts of its own
        predictions must not drift away. None where they are predicted anew each time, or there are none."""
        if not self.config.network.relative:
            return None
        about = (self.config.world or {})["sensors"]
        mean, std, least, most = (torch.tensor(about[name], device=self.device) for name in ("mean", "std", "least", "most"))
        least, most = (((x - mean) / std).clamp(-MOST_SPREADS, MOST_SPREADS) for x in (least, most))
        return least, most

    def _open_text(self) -> TextEncoder:
        if not self.config.text_encoder:
            return super()._open_text()
        return FolderEncoder(self.text_folder, expected=self.config.text_encoder_sha256, device=self.device)

    def encode_texts(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """States [B, L, text_dim] of texts and which of them are text [B, L]; those of "" are none."""
        states, mask = self.text.encode([text or " " for text in texts], max_tokens=MAX_TOKENS)
        mask = mask & np.array([bool(text.strip()) for text in texts])[:, None]
        return torch.from_numpy(states).to(self.device), torch.from_numpy(mask).to(self.device)
