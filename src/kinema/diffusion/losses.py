"""The training objective: noise every cell to its own level, predict every clean cell.

Rectified flow x_t = (1 - t) x + t noise; the network predicts x, and the loss is on x (Li & He 2025), weighted towards low levels,
where the remaining errors (trembling paths) are small. Known cells (t = 0) have no error. The mean and the spread of the
video's prior have losses of their own: squared error, and the negative log-likelihood of a Gaussian.

Axes: B batch, T frames, K slots, F features, D outputs of the detection head per place.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kinema.autoencoder.autoencoder import SPACE_FACTOR
from kinema.autoencoder.image_loss import image_loss
from kinema.canvas.canvas import Canvas, Tracks
from kinema.canvas.patchify import from_cells
from kinema.models.denoiser import Denoiser, DenoiserInput, cell_centers, cell_units_of, clean_video, cleaned
from kinema.models.objects.detection import detection_loss
from kinema.scene.schema import StateSchema, zoom_of

GROUP_WEIGHTS = {
    "exists": 1.0,
    "kind": 0.5,
    "color": 0.5,
    "material": 0.1,
    "size": 0.5,
    "position": 4.0,
    "velocity": 1.5,
    "angle": 0.3,
    "visible": 0.3,
}
"""Weight of one feature of each group: positions and velocities matter most, and categories have many features each."""

TRACK_WEIGHTS = {
    "video": 1.0,
    "state": 3.0,
    "camera": 0.1,
    "scene": 0.2,
    "action": 0.1,
    "reward": 1.0,
    "terminated": 3.0,
}
"""One frame in some hundreds ends a task, so the mean error of "terminated" is small even if all ends are missed."""
DETECTION_WEIGHT = 0.3
PICTURE_WEIGHT = 2.0
OBJECT_PIXEL_WEIGHT = 4.0
"""Additional weight of the pixels around objects in a decoded picture."""
OBJECT_WEIGHT = 1.5
"""Additional weight of the cells around objects in the video."""
SPREAD_WEIGHT = 0.02
"""Weight of the spread's negative log-likelihood, which trains the spread alone."""
FLOOR = 0.01
MOST = 8.0
"""Largest weight of a picture's error at any level."""


def video_weight(level: Tensor, spread: Tensor) -> Tensor:
    """Weight of a picture's squared error, for data of this spread around its mean: 1 at level 1, and at lower levels such that the
    network's raw output has equal weight at all levels (Karras et al. 2022)."""
    return (1 + ((1 - level) * spread / level.clamp_min(1e-3)).square()).clamp_max(MOST)


def edm_weight(level: Tensor, spread: Tensor | float = 1.0) -> Tensor:
    """Weight of a squared error of the other tracks: the network's raw output has about equal weight at every level (Karras et al.
    2022), so 1 at level 1, 21 at level 1/6, 101 close to level 0. With less, planned paths tremble. spread: standard deviation of
    the clean value around its prior mean; a smaller one weighs more."""
    scale = torch.as_tensor(spread, device=level.device).square()
    share = scale * level.square() / (scale * (1 - level).square() + level.square()).clamp_min(1e-12)
    return (1 + FLOOR) / (share + FLOOR)


def feature_weights(schema: StateSchema, device: torch.device | str = "cpu") -> Tensor:
    """Weights [F] of the state's features, mean 1."""
    weights = torch.tensor(
        [GROUP_WEIGHTS[name] for name, width in schema.groups.items() for _ in range(width)], device=device
    )
    return weights / weights.mean()


def noised(canvas: Canvas, noise: Tracks) -> Canvas:
    """x_t = (1 - t) x + t noise, each cell at its own level; exactly x where the level is 0."""
    mixed = {}
    for name, x in canvas.values.items():
        t = canvas.level_of(name)
        mixed[name] = torch.where(t == 0, x, (1 - t) * x + t * noise[name])
    return canvas.with_values(mixed)


def near_objects(
    state: Tensor,
    camera: Tensor,
    h: int,
    w: int,
    cell_units: float,
    schema: StateSchema,
    window: Tensor | None = None,
) -> Tensor:
    """[B, T, h, w]: 1 for cells that may hold an object or its edge, else 0. state and camera as tracks; window as in
    `Denoiser.expect`."""
    place = schema.seen_places(state, camera)
    radius = schema.size_units(state[..., schema.slice("size")][..., 0]) * zoom_of(camera)[..., None]
    centers = cell_centers(h, w, cell_units, state.device, schema.center)
    if window is not None:
        centers = centers + window[:, None, None]
    away = (centers.flip(-1)[..., None, :] - place[:, :, None]).abs().amax(-1)
    inside = (away < (radius + cell_units / 2)[:, :, None]) & (state[..., 0] > 0)[:, :, None]
    return inside.any(-1).float().reshape(*state.shape[:2], h, w)


def estimate_video(noisy: Canvas, answers: Tracks) -> Tensor:
    """The clean video [B, T, h, w, P] by the network's outputs; no gradient reaches the spread, which the "spread" loss trains."""
    return clean_video(noisy, {**answers, "video spread": answers["video spread"].detach()})


def video_losses(answers: Tracks, noisy: Canvas, values: Tracks) -> dict[str, Tensor]:
    """Losses of a batch with video: "video" and "sketch", squared errors of the predicted cells and of their prior mean, weighted
    towards cells with objects; and "spread", the negative log-likelihood of the prior mean's error under the spread. values: the
    clean tracks."""
    level, spread = noisy.level_of("video"), answers["video spread"]
    truth, mean = values["video"], answers["video mean"]
    h, w = level.shape[2:4]
    near = near_objects(values["state"], values["camera"], h, w, cell_units_of(noisy), noisy.schema)
    weight = 1 + OBJECT_WEIGHT * near[..., None]
    weight = weight / weight.mean()
    error = (estimate_video(noisy, answers) - truth).square() * video_weight(level, spread.detach())
    missed = (mean - truth).square()
    return {
        "video": (error * weight).mean(),
        "sketch": (missed * weight).mean(),
        "spread": (missed.detach() / spread.square() / 2 + spread.log()).mean(),
    }


def detection_of(detections: Tensor, clean: Canvas) -> Tensor:
    """The detection loss of the detection head's outputs [B, T, H, W, D]."""
    values, level = clean.values, clean.levels["video"]
    patch = detections.shape[2] // level.shape[2]
    height, width = detections.shape[2:4]
    place_units = cell_units_of(clean) / patch
    centers = cell_centers(height, width, place_units, detections.device, clean.schema.center)
    finer = level.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    return detection_loss(detections, values["state"], values["camera"], finer, centers, place_units, clean.schema)


def picture_loss(made: Tensor, true: Tensor, clean: Canvas, units: float, window: Tensor | None, counts: Tensor) -> Tensor:
    """The image loss of pictures [B, 3, H, W], weighted towards the objects of the canvas. units: height in units of a latent;
    window as in `Denoiser.expect`; counts [h, w]: weight of each video cell."""
    rows, columns = true.shape[2] // SPACE_FACTOR, true.shape[3] // SPACE_FACTOR
    values = clean.values
    near = near_objects(values["state"], values["camera"], rows, columns, units, clean.schema, window)
    weight = 1 + OBJECT_PIXEL_WEIGHT * F.interpolate(near, scale_factor=float(SPACE_FACTOR))
    return image_loss(made, true, weight * F.interpolate(counts[None, None], size=true.shape[2:]))


def crop_losses(
    model: Denoiser,
    decode: Callable[[Tensor], Tensor],
    clean: Canvas,
    pictures: Tensor,
    window: Tensor,
    counts: Tensor,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Losses of the video's prior alone, on windows of pictures whose states are known: "sketch" and "spread" as in
    `video_losses`, and "picture", the image loss of the decoded mean against the true pictures [B, 3, H, W]. window [B, 2]: the
    windows' centers; counts [h, w]: 0 for cells that the cut at the window's edge spoils, else 1."""
    answers = model.expect(clean, dtype, window)
    mean, spread = answers["video mean"], answers["video spread"]
    values, units = clean.values, cell_units_of(clean)
    h, w = counts.shape
    weight = 1 + 2 * OBJECT_WEIGHT * near_objects(values["state"], values["camera"], h, w, units, clean.schema, window)
    weight = (weight * counts)[..., None]
    weight = weight / weight.mean()
    missed = (mean - values["video"]).square()
    likelihood = missed.detach() / spread.square() / 2 + spread.log()
    made = decode(from_cells(mean, model.config.patch))[:, 0]
    return {
        "sketch": (missed * weight).mean(),
        "spread": (likelihood * counts[..., None]).mean() / counts.mean(),
        "picture": picture_loss(made, pictures, clean, units / model.config.patch, window, counts),
    }


def still_losses(
    model: Denoiser,
    decode: Callable[[Tensor], Tensor],
    clean: Canvas,
    noise: Tracks,
    pictures: Tensor,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Losses of the local parts alone, on stills. The first half is rendered: `video_losses`, and "picture", the image loss of the
    decoded cells against the true pictures [B, 3, H, W]. The second half is detected: "sight"."""
    noisy = noised(clean, noise)
    n, units = len(pictures) // 2, cell_units_of(clean)
    drawn, rendered = (canvas.map(lambda x: x[:n], None) for canvas in (noisy, clean))
    answers = model.forward_local(drawn, dtype)
    result = video_losses(answers, drawn, rendered.values)
    detections = model.detect(noisy.values["video"][n:], noisy.levels["video"][n:], units, dtype)
    result["sight"] = detection_of(detections, clean.map(lambda x: x[n:], None))
    made = decode(from_cells(estimate_video(drawn, answers), model.config.patch))[:, 0]
    everywhere = torch.ones(drawn.levels["video"].shape[2:], device=made.device)
    result["picture"] = picture_loss(made, pictures[:n], rendered, units / model.config.patch, None, everywhere)
    return result


def losses(
    model: Denoiser,
    clean: Canvas,
    noise: Tracks,
    time_bias: Tensor,
    step_size: Tensor,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Mean squared error of every track, weighted by level and, in the state, by feature; scalars by track name, and those of
    `video_losses` and "sight" where there is video."""
    noisy = noised(clean, noise)
    answers = model.network(DenoiserInput(canvas=noisy, time_bias=time_bias, step_size=step_size), dtype)
    result = {}
    if "video" in clean.values:
        result = video_losses(answers, noisy, clean.values)
        result["sight"] = detection_of(answers["sight"], clean)
    weights = feature_weights(clean.schema, clean.time_s.device)
    estimate = cleaned(noisy.without("video"), answers)
    for name, made in estimate.items():
        x, t = clean.values[name], clean.level_of(name)
        error = (made - x).square() * edm_weight(t, answers["spread"] if name == "state" else 1.0)
        if name == "state":
            exists = (x[..., :1] > 0).float()
            only_exists = torch.zeros_like(weights)
            only_exists[0] = 1.0
            error = error * weights * (exists + (1 - exists) * (0.2 + 0.8 * only_exists))
        result[name] = error.mean()
    return result


def total(parts: dict[str, Tensor]) -> Tensor:
    """The weighted sum that is minimised."""
    weights = {
        **TRACK_WEIGHTS,
        "sight": DETECTION_WEIGHT,
        "picture": PICTURE_WEIGHT,
        "sketch": TRACK_WEIGHTS["video"],
        "spread": SPREAD_WEIGHT,
    }
    return torch.stack([weights[name] * value for name, value in parts.items()]).sum()
