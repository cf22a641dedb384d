"""The training objective: noise every cell to its own level, predict every clean cell.

Rectified flow x_t = (1 - t) x + t noise; the network predicts x, and the loss is on x (Li & He 2025), weighted towards low levels,
where the remaining errors (trembling paths) are small. Known cells (t = 0) have no error. The mean and the spread of the
video's prior have losses of their own: squared error, and the negative log-likelihood of a Gaussian.

Axes: B batch, T frames, K slots, F features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kinema.autoencoder.autoencoder import SPACE_FACTOR
from kinema.autoencoder.image_loss import loss_of
from kinema.canvas.canvas import TextCondition
from kinema.canvas.patchify import from_cells
from kinema.models.denoiser import Denoiser, cell_centers, cleaned, precondition
from kinema.models.objects.detection import detection_loss
from kinema.scene.encoding import GROUPS, group_slice, seen_places, size_units, zoom_of

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
Tracks = dict[str, Tensor]
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


def feature_weights(device: torch.device | str = "cpu") -> Tensor:
    """Weights [F] of the state's features, mean 1."""
    weights = torch.tensor([GROUP_WEIGHTS[name] for name, width in GROUPS.items() for _ in range(width)], device=device)
    return weights / weights.mean()


def noised(values: dict[str, Tensor], levels: dict[str, Tensor], noise: dict[str, Tensor]) -> dict[str, Tensor]:
    """x_t = (1 - t) x + t noise, each cell at its own level; exactly x where the level is 0."""
    mixed = {}
    for name, x in values.items():
        t = levels[name] if name == "state" else levels[name][..., None]
        mixed[name] = torch.where(t == 0, x, (1 - t) * x + t * noise[name])
    return mixed


def near_objects(state: Tensor, camera: Tensor, h: int, w: int, cell_units: float, window: Tensor | None = None) -> Tensor:
    """[B, T, h, w]: 1 for cells that may hold an object or its edge, else 0. state and camera as tracks; window as in
    `Denoiser.expect`."""
    place = seen_places(state, camera)
    radius = size_units(state[..., group_slice("size")][..., 0]) * zoom_of(camera)[..., None]
    centers = cell_centers(h, w, cell_units, state.device)
    if window is not None:
        centers = centers + window[:, None, None]
    away = (centers.flip(-1)[..., None, :] - place[:, :, None]).abs().amax(-1)
    inside = (away < (radius + cell_units / 2)[:, :, None]) & (state[..., 0] > 0)[:, :, None]
    return inside.any(-1).float().reshape(*state.shape[:2], h, w)


def clean_video(noisy: dict[str, Tensor], levels: dict[str, Tensor], answers: dict[str, Tensor]) -> Tensor:
    """The clean video [B, T, h, w, P] by the network's outputs; no gradient reaches the spread, which the "spread" loss trains."""
    level, spread = levels["video"][..., None], answers["video spread"].detach()
    return precondition(noisy["video"], level, answers["video"], answers["video mean"], spread)


def video_losses(answers: Tracks, noisy: Tracks, values: Tracks, levels: Tracks, cell_units: float) -> dict[str, Tensor]:
    """Losses of a batch with video: "video" and "sketch", squared errors of the predicted cells and of their prior mean, weighted
    towards cells with objects; and "spread", the negative log-likelihood of the prior mean's error under the spread."""
    level, spread = levels["video"][..., None], answers["video spread"]
    truth, mean = values["video"], answers["video mean"]
    h, w = levels["video"].shape[2:]
    weight = 1 + OBJECT_WEIGHT * near_objects(values["state"], values["camera"], h, w, cell_units)[..., None]
    weight = weight / weight.mean()
    error = (clean_video(noisy, levels, answers) - truth).square() * video_weight(level, spread.detach())
    missed = (mean - truth).square()
    return {
        "video": (error * weight).mean(),
        "sketch": (missed * weight).mean(),
        "spread": (missed.detach() / spread.square() / 2 + spread.log()).mean(),
    }


def detection_of(detections: Tensor, values: Tracks, levels: Tracks, cell_units: float) -> Tensor:
    """The detection loss of the detection head's outputs [B, T, H, W, DETECTION_DIM]."""
    patch = detections.shape[2] // levels["video"].shape[2]
    height, width = detections.shape[2:4]
    centers = cell_centers(height, width, cell_units / patch, detections.device)
    finer = levels["video"].repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    return detection_loss(detections, values["state"], values["camera"], finer, centers, cell_units / patch)


def picture_loss(made: Tensor, true: Tensor, values: Tracks, units: float, window: Tensor | None, counts: Tensor) -> Tensor:
    """The image loss of pictures [B, 3, H, W], weighted towards objects. units: height in units of a latent; window as in
    `Denoiser.expect`; counts [h, w]: weight of each video cell."""
    rows, columns = true.shape[2] // SPACE_FACTOR, true.shape[3] // SPACE_FACTOR
    near = near_objects(values["state"], values["camera"], rows, columns, units, window)
    weight = 1 + OBJECT_PIXEL_WEIGHT * F.interpolate(near, scale_factor=float(SPACE_FACTOR))
    return loss_of(made, true, weight * F.interpolate(counts[None, None], size=true.shape[2:]))


def crop_losses(
    model: Denoiser,
    decode: Callable[[Tensor], Tensor],
    values: Tracks,
    levels: Tracks,
    pictures: Tensor,
    cell_units: float,
    window: Tensor,
    counts: Tensor,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Losses of the video's prior alone, on windows of pictures whose states are known: "sketch" and "spread" as in
    `video_losses`, and "picture", the image loss of the decoded mean against the true pictures [B, 3, H, W]. window [B, 2]: the
    windows' centers; counts [h, w]: 0 for cells that the cut at the window's edge spoils, else 1."""
    answers = model.expect(values, levels, cell_units, dtype, window)
    mean, spread = answers["video mean"], answers["video spread"]
    h, w = levels["video"].shape[2:]
    weight = 1 + 2 * OBJECT_WEIGHT * near_objects(values["state"], values["camera"], h, w, cell_units, window)
    weight = (weight * counts)[..., None]
    weight = weight / weight.mean()
    missed = (mean - values["video"]).square()
    likelihood = missed.detach() / spread.square() / 2 + spread.log()
    made = decode(from_cells(mean, model.config.patch))[:, 0]
    return {
        "sketch": (missed * weight).mean(),
        "spread": (likelihood * counts[..., None]).mean() / counts.mean(),
        "picture": picture_loss(made, pictures, values, cell_units / model.config.patch, window, counts),
    }


def still_losses(
    model: Denoiser,
    decode: Callable[[Tensor], Tensor],
    values: Tracks,
    levels: Tracks,
    noise: Tracks,
    pictures: Tensor,
    cell_units: float,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Losses of the local parts alone, on stills. The first half is rendered: `video_losses`, and "picture", the image loss of the
    decoded cells against the true pictures [B, 3, H, W]. The second half is detected: "sight"."""
    noisy = noised(values, levels, noise)
    n = len(pictures) // 2

    def half(tracks: Tracks, part: slice) -> Tracks:
        return {name: x[part] for name, x in tracks.items()}

    drawn = half(noisy, slice(n)), half(values, slice(n)), half(levels, slice(n))
    answers = model.forward_local(drawn[0], drawn[2], cell_units, dtype)
    result = video_losses(answers, *drawn, cell_units)
    detections = model.detect(noisy["video"][n:], levels["video"][n:], cell_units, dtype)
    result["sight"] = detection_of(detections, half(values, slice(n, None)), half(levels, slice(n, None)), cell_units)
    made = decode(from_cells(clean_video(drawn[0], drawn[2], answers), model.config.patch))[:, 0]
    everywhere = torch.ones(levels["video"].shape[2:], device=made.device)
    result["picture"] = picture_loss(made, pictures[:n], drawn[1], cell_units / model.config.patch, None, everywhere)
    return result


def losses(
    model: Denoiser,
    values: dict[str, Tensor],
    levels: dict[str, Tensor],
    noise: dict[str, Tensor],
    time_s: Tensor,
    text_states: Tensor,
    text_reads: Tensor,
    time_bias: Tensor,
    step_size: Tensor,
    cell_units: float | None,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Mean squared error of every track, weighted by level and, in the state, by feature; scalars by track name, and those of
    `video_losses` and "sight" where there is video."""
    noisy = noised(values, levels, noise)
    text = TextCondition(states=text_states, reads=text_reads)
    answers = model.network(noisy, levels, time_s, text, cell_units, time_bias, step_size, dtype)
    result = {}
    if cell_units is not None:
        result = video_losses(answers, noisy, values, levels, cell_units)
        result["sight"] = detection_of(answers["sight"], values, levels, cell_units)
    weights = feature_weights(time_s.device)
    clean = cleaned({name: x for name, x in noisy.items() if name != "video"}, levels, answers)
    for name, x in values.items():
        if name == "video":
            continue
        if name == "state":
            t = levels[name]
            error = (clean[name] - x).square() * edm_weight(t, answers["spread"])
            exists = (x[..., :1] > 0).float()
            only_exists = torch.zeros_like(weights)
            only_exists[0] = 1.0
            error = error * weights * (exists + (1 - exists) * (0.2 + 0.8 * only_exists))
        else:
            t = levels[name][..., None]
            error = (clean[name] - x).square() * edm_weight(t)
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
