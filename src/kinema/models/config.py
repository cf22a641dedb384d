"""The denoiser's shape, as one frozen record that is stored beside the weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from kinema.autoencoder.autoencoder import SPACE_FACTOR
from kinema.errors import ModelError
from kinema.models.formats import without_world_entries
from kinema.scene.schema import PLAYGROUND, StateSchema


def cell_px(patch: int) -> int:
    """Pixels along one side of a video cell of patch x patch latents."""
    return SPACE_FACTOR * patch


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig:
    width: int
    depth: int
    """Number of blocks; even ones attend inside a frame, odd ones along time."""
    heads: int
    mlp_ratio: int
    slots: int
    """Objects that a canvas can hold."""
    latent_channels: int
    patch: int
    """A video cell is patch x patch latents."""
    text_dim: int
    occlusion: bool = False
    """Whether a module of its own predicts what slots hide of each other (`kinema.models.objects.occlusion`)."""
    schema: StateSchema = PLAYGROUND
    """What a slot can say, and the scales of the tracks."""

    def __post_init__(self) -> None:
        if not isinstance(self.schema, StateSchema):
            raise ModelError(f"schema {self.schema!r}: expected a kinema.scene.schema.StateSchema")
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if name not in ("occlusion", "schema") and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ModelError(f"{name} {value!r}: expected a whole number, at least 1")
        if self.width % self.heads or (self.width // self.heads) % 4:
            raise ModelError(f"width {self.width} over {self.heads} heads: expected a multiple of 4 per head")
        if self.depth < 2 or self.depth % 2:
            raise ModelError(f"depth {self.depth}: expected an even number, blocks come in pairs (space, time)")

    @property
    def cell_px(self) -> int:
        """Pixels along one side of a video cell."""
        return cell_px(self.patch)

    @property
    def cell_values(self) -> int:
        """Numbers in one video cell."""
        return self.patch * self.patch * self.latent_channels

    def to_dict(self) -> dict[str, Any]:
        """The entries as config.json holds them."""
        return {**asdict(self), "schema": self.schema.to_dict()}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> DenoiserConfig:
        """The inverse of `to_dict`; entries without a schema are of a model of the Playground.

        ModelError: an entry is missing, unknown, or not as expected, or the entries are of a recorded world of an earlier version.
        """
        if not isinstance(data, dict):
            raise ModelError(f"denoiser {data!r}: expected an object")
        try:
            schema = StateSchema.from_dict(data["schema"]) if "schema" in data else PLAYGROUND
            return DenoiserConfig(**{**without_world_entries(data), "schema": schema})
        except TypeError as error:
            raise ModelError(f"the model's config does not fit this version: {error}") from None
