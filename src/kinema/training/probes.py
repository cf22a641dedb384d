"""Canaries: small questions with known answers, asked every few hundred steps, long before samples look like anything.

Each is one forward pass on held-back episodes, so it shows what the network knows at once, without a sampler.

    perceive     state from video: position error, kind and color right
    render       video from state: error of the latents, 1 is knowing nothing
    predict      state a second after three known pictures, against copying the last place and against constant velocity
    hidden       one hidden frame's position from its neighbors
    told         kind and color from the text alone
    level 0.5    video from state and from itself at that level of noise, and at others: the error should fall with the level
    no trunk     video from state by the local parts alone: `render` should be below it

Errors are in room units, averaged over entities; a room is 10 wide, and guessing the middle errs by about 2.9.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kinema.autoencoder import VideoAutoencoder
from kinema.canvas.canvas import Canvas, TextCondition, align, levels_of
from kinema.datasets.episode_cache import EpisodeCache, trained_on
from kinema.datasets.episode_clips import render_windows
from kinema.models.denoiser import Denoiser, clean_video
from kinema.scene.geometry import cell_units
from kinema.scene.schema import StateSchema
from kinema.training.batches import encode_pictures, encode_windows
from kinema.training.recipes import Recipe

LEVELS = (0.75, 0.5, 0.25, 0.1)
"""Of the video, at which it is asked for with the state known; at 1 that is `render`."""


def _distance(predicted: Tensor, truth: Tensor, exists: Tensor, schema: StateSchema) -> float:
    """Mean distance in units of positions on the track."""
    error = (predicted - truth).norm(dim=-1) * schema.position_scale
    return float(error[exists].mean())


def _right(predicted: Tensor, truth: Tensor, columns: slice, exists: Tensor) -> float:
    """Share of slots with the true kind or color, in these columns of the state."""
    same = predicted[..., columns].argmax(-1) == truth[..., columns].argmax(-1)
    return float(same[exists].float().mean())


class Probes:
    def __init__(
        self,
        recipe: Recipe,
        cache: EpisodeCache,
        autoencoder: VideoAutoencoder,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        count: int = 12,
    ) -> None:
        frames = 20
        episodes = trained_on(cache) + np.arange(count)
        zeros, twos = np.zeros(count, np.int64), np.full(count, 2, np.int64)
        windows = cache.windows(episodes, zeros, twos, frames, zeros)
        self.values = encode_windows(windows)
        drawn = render_windows(windows.fields, recipe.height, recipe.height).to(device)
        self.values["video"] = encode_pictures(autoencoder, drawn, recipe.denoiser.patch).cpu()
        self.cell_units = cell_units(recipe.height / recipe.denoiser.cell_px)
        self.time_s = torch.arange(frames).float() / torch.from_numpy(windows.fps)[:, None]
        mask = torch.from_numpy(windows.text_mask)[:, None].expand(-1, frames, -1)
        self.text = TextCondition(states=torch.from_numpy(windows.text_states), reads=mask)
        self.dtype = dtype

    def _ask(
        self, model: Denoiser, levels: dict[str, Tensor], *, text: bool = False, video: bool = True, trunk: bool = True
    ) -> dict[str, Tensor]:
        """The clean tracks by one pass from these levels, others being unknown; without the trunk the video alone."""
        values, full = {}, {}
        generator = torch.Generator().manual_seed(0)
        device = next(model.parameters()).device
        for name, x in self.values.items():
            if name == "video" and not video:
                continue
            level = levels.get(name, levels_of(name, x, 1.0))
            t = align(level, x)
            values[name] = ((1 - t) * x + t * torch.randn(x.shape, generator=generator)).to(device)
            full[name] = level.to(device)
        condition = TextCondition(states=self.text.states.to(device), reads=self.text.reads.to(device)) if text else None
        canvas = Canvas(
            time_s=self.time_s.to(device),
            values=values,
            levels=full,
            text=condition,
            cell_units=self.cell_units if video else None,
            schema=model.schema,
        )
        with torch.no_grad():
            if not trunk:
                return {"video": clean_video(canvas, model.forward_local(canvas, self.dtype)).cpu()}
            return {name: value.cpu() for name, value in model(canvas, dtype=self.dtype).items()}

    def __call__(self, model: Denoiser) -> dict[str, float]:
        truth, schema = self.values["state"], model.schema
        position, velocity, kind, color = (schema.slice(name) for name in ("position", "velocity", "kind", "color"))
        exists = truth[..., 0] > 0
        seen = exists & (truth[..., schema.slice("visible")][..., 0] > 0)
        known = {name: levels_of(name, x, 0.0) for name, x in self.values.items()}
        predicted = self._ask(model, {"video": known["video"]})["state"]
        result = {
            "perceive": _distance(predicted[..., position], truth[..., position], seen, schema),
            "kind": _right(predicted, truth, kind, seen),
            "color": _right(predicted, truth, color, seen),
        }
        drawn = self._ask(model, {name: level for name, level in known.items() if name != "video"})["video"]
        video = self.values["video"]
        result["render"] = float((drawn - video).square().mean())
        known_state = {name: level for name, level in known.items() if name != "video"}
        local = self._ask(model, known_state, trunk=False)["video"]
        result["no trunk"] = float((local - video).square().mean())
        for level in LEVELS:
            drawn = self._ask(model, {**known_state, "video": torch.full_like(known["video"], level)})["video"]
            result[f"level {level}"] = float((drawn - video).square().mean())
        first = torch.ones_like(known["video"])
        first[:, :3] = 0
        ahead = self._ask(model, {"video": first})["state"][:, 3:]
        later, seen_later = truth[:, 3:], seen[:, 3:]
        steps = self.time_s[:, 3:, None, None] - self.time_s[:, 2:3, None, None]
        place, speed = truth[:, 2:3, :, position], truth[:, 2:3, :, velocity] * schema.velocity_scale / schema.position_scale
        result["predict"] = _distance(ahead[..., position], later[..., position], seen_later, schema)
        result["copy"] = _distance(place.expand_as(later[..., position]), later[..., position], seen_later, schema)
        result["straight"] = _distance(place + steps * speed, later[..., position], seen_later, schema)
        hole = known["state"].clone()
        hole[:, 10] = 1
        filled = self._ask(model, {"state": hole}, video=False)["state"][:, 10]
        result["hidden"] = _distance(filled[..., position], truth[:, 10][..., position], exists[:, 10], schema)
        planned = self._ask(model, {}, text=True, video=False)["state"]
        result["told kind"], result["told color"] = (
            _right(planned, truth, kind, exists),
            _right(planned, truth, color, exists),
        )
        return result
