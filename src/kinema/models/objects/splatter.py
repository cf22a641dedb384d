"""Slots to pictures: a splatter of slot features onto a map, and the head that predicts the picture's prior from that map.

Slots splat their features at their positions (`SlotSplatter`), and convolutions predict the picture from that map (`LocalHead`).
Both are local, so they are trained on stills alone, thirty times as many as the trunk could process in the same time
(docs/training-log.md).

Axes: N frames, H x W latents, h x w cells, M map features, K slots, F features, S features of the setting.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from kinema.models.block import MLP, Linear
from kinema.models.config import DenoiserConfig
from kinema.models.convolutions import MAP, PLACE, SCALE, Conv, fourier, place_features, scale_features
from kinema.scene.schema import StateSchema, zoom_of

SLOT, OFFSET, BASIS = 256, 128, 64
"""Widths in the splatter: of a slot's fields, of the offset to it, and number of basis pictures per slot."""
REACH_UNITS = 3.0
"""Radius of a slot's splat around its center: as far as a screen or a shadow reaches."""
FINE = 8
"""Number of features of the offset to a place at wavelengths of 0.6 and 0.3 units, which pictures above 64 pixels resolve."""
SCENERY = 128
"""Hidden width of the MLP for the backdrop."""
SPREAD = 0.3, 0.02, 1.0
"""Standard deviation of a latent around the predicted mean: initial, least, most."""


class SlotSplatter(nn.Module):
    """Map of features [N, M, H, W] from slots and setting.

    A slot's fields give BASIS feature vectors, and the offset from the slot to a place gives their weights there, so a splat
    depends on the object and not on its position in the picture. A slot of unknown position adds nothing. The backdrop is computed
    from a place's position in the room, with Fourier features down to the width of a line.
    """

    def __init__(self, schema: StateSchema) -> None:
        super().__init__()
        self.schema, self.position, scene = schema, schema.slice("position"), schema.vectors["scene"]
        self.slot_in = Linear(2 * schema.features + SCALE + 1, SLOT)
        self.slot_mix = Linear(SLOT, SLOT)
        self.basis = Linear(SLOT, BASIS * MAP, bias=False)
        self.offset_in = Linear(24 + FINE + SCALE, OFFSET)
        self.offset_weights = Linear(OFFSET, BASIS)
        self.setting_in = Linear(scene + 1 + PLACE, MAP)
        self.scenery = MLP(scene + 1 + 24 + 12 + SCALE, SCENERY, MAP)
        nn.init.zeros_(self.scenery.down.weight)
        nn.init.zeros_(self.scenery.down.bias)
        nn.init.normal_(self.basis.weight, std=(SLOT * BASIS) ** -0.5)

    def forward(
        self,
        state: Tensor,
        level: Tensor,
        camera: Tensor,
        scene: Tensor,
        centers: Tensor,
        cell_units: float,
        size: tuple[int, int],
        dtype: torch.dtype,
    ) -> Tensor:
        """state, level [B, T, K, F]; camera [B, T, 3] and scene [B, T, S], scaled by how well they are known; centers
        [H * W, 2] (y, x) of places that are `cell_units` high, or [B, 1, H * W, 2] where every picture has its own."""
        zoom = zoom_of(camera)[..., None, None]
        place = self.schema.seen_places(state, camera)
        offset = centers.flip(-1)[..., None, :] - place[:, :, None]
        known = (1 - level[..., self.position].amax(-1)) * (0.5 + 0.5 * state[..., 0]).clamp(0, 1)
        near = torch.sigmoid((REACH_UNITS - offset.norm(dim=-1)) / 0.3) * known[:, :, None]
        scale = scale_features(cell_units, state.device)
        scale_input = torch.cat([scale.expand(*state.shape[:3], -1), camera[..., None, 2:].expand(*state.shape[:3], -1)], -1)
        slot_features = F.gelu(
            self.slot_in(torch.cat([state, level * 2 - 1, scale_input], -1).to(dtype)), approximate="tanh"
        )
        slot_features = slot_features + F.gelu(self.slot_mix(slot_features), approximate="tanh")
        basis = self.basis(slot_features).unflatten(-1, (BASIS, MAP)).flatten(2, 3)
        offset = offset.clamp(-5, 5)
        offset_features = torch.cat(
            [fourier(offset), fourier(offset, longest=0.625, count=2), scale.expand(*offset.shape[:-1], -1)], -1
        )
        offset_weights = self.offset_weights(F.gelu(self.offset_in(offset_features.to(dtype)), approximate="tanh"))
        offset_weights = (offset_weights * near[..., None].to(dtype)).flatten(3)
        splat = (offset_weights.flatten(0, 1) @ basis.flatten(0, 1)).unflatten(0, state.shape[:2])
        setting = torch.cat([scene, scene.abs().amax(-1, keepdim=True)], -1)[:, :, None].expand(
            -1, -1, centers.shape[-2], -1
        )
        place_input = place_features(centers, cell_units).expand(*setting.shape[:2], -1, -1)
        splat = splat + self.setting_in(torch.cat([setting, place_input], -1).to(dtype))
        middle = self.schema.center
        room_place = middle + (centers.flip(-1) - middle) / zoom + self.schema.position_scale * camera[..., None, :2]
        waves = torch.cat([fourier(room_place), fourier(room_place, longest=1.25, count=3)], -1)
        scenery = torch.cat([setting, waves, scale.expand(*setting.shape[:3], -1)], -1)
        splat = splat + self.scenery(scenery.to(dtype))
        planes: Tensor = rearrange(splat, "b t (h w) m -> (b t) m h w", h=size[0])
        return planes


class LocalHead(nn.Module):
    """Prior of the video: features of slots and setting, with no video -> mean and standard deviation [B, T, h, w, P] each.

    The standard deviation is one number per place. Both enter the video track's preconditioning
    (`kinema.models.denoiser.precondition`), as those of the motion prior do for positions: a network output of 0 gives the mean.
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.mix = Conv(MAP, MAP)
        self.more = Conv(MAP, MAP)
        self.last = Conv(MAP, config.latent_channels + 1)
        with torch.no_grad():
            self.last.weight[-1].zero_()
            assert self.last.bias is not None
            self.last.bias[-1] = math.log(SPREAD[0])

    def forward(self, features: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """features [B * T, M, H, W]."""
        for conv in (self.mix, self.more):
            features = features + F.gelu(conv(features), approximate="tanh")
        drawn = self.last(features).float()
        mean, wide = drawn[:, :-1], drawn[:, -1:].clamp(math.log(SPREAD[1]), math.log(SPREAD[2])).exp()
        p = self.patch

        def cells(x: Tensor) -> Tensor:
            return rearrange(x, "(b t) c (h p) (w q) -> b t h w (p q c)", t=frames, p=p, q=p)

        return cells(mean), cells(wide.expand_as(mean))
