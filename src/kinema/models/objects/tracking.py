"""From detections to slots: an initial state from the outputs of the detection head.

The detection head predicts for every place of every picture (`kinema.models.objects.detection`). `detect_objects` merges places
that detect the same object, `track` links detections from picture to picture, and `name` gives each track the kind and color that
are most likely over its pictures. No two objects of a Playground scene share kind and color, so tracks before and after a gap are
joined by name. In the resulting state identities are known, positions are approximate, and everything else is unknown.

Axes: B batch, T frames, H x W places, D outputs per place (`kinema.models.objects.detection.detection_dim`), K slots, F features.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from kinema.scene.schema import StateSchema
from kinema.types import AnyFloats

SURE = 0.5
"""Least probability of an object at which a place counts as a detection."""
SAME_UNITS = 0.8
"""Places whose predicted centers are this close detect one object."""
ENOUGH = 1.0
"""Least sum of probabilities of an object; four places detect it when it is in full view."""
LINK_UNITS = 1.3
"""Most distance of a linked detection from one picture to the next, and half of it more for each picture without a detection."""
MISNAMED_UNITS = 0.6
"""Distance that a change of kind or color from one picture to the next counts as."""
SELDOM = 0.12
"""Tracks in a smaller share of the pictures than this are dropped, if there are more than five pictures."""

TINY = 1e-6


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One object in one picture: its center in units, and the log probabilities of each kind and color."""

    x: float
    y: float
    kind: AnyFloats
    color: AnyFloats


@dataclass(kw_only=True)
class Track:
    """One object over the pictures: its detection by frame."""

    detections: dict[int, Detection] = field(default_factory=dict)

    def scores(self) -> AnyFloats:
        """Log likelihood of each kind and color together, [kinds, colors]."""
        any_one = next(iter(self.detections.values()))
        kind = sum((detection.kind for detection in self.detections.values()), np.zeros(any_one.kind.shape))
        color = sum((detection.color for detection in self.detections.values()), np.zeros(any_one.color.shape))
        return np.asarray(kind)[:, None] + np.asarray(color)[None]


def _log_shares(scores: AnyFloats) -> AnyFloats:
    high = scores - scores.max(-1, keepdims=True)
    return np.asarray(np.log(np.exp(high) / np.exp(high).sum(-1, keepdims=True) + TINY))


def detect_objects(answers: AnyFloats, centers: AnyFloats, place_units: float, kinds: int) -> list[Detection]:
    """The objects of one picture: answers [H * W, D], centers [H * W, 2] (y, x). kinds: how many there are."""
    certain = 1 / (1 + np.exp(-answers[:, 0]))
    x, y = (centers[:, 1 - i] + place_units * answers[:, 1 + i] for i in (0, 1))
    kind = _log_shares(answers[:, 3 : 3 + kinds])
    color = _log_shares(answers[:, 3 + kinds :])
    detections = []
    left = certain >= SURE
    while left.any():
        best = int(np.where(left, certain, 0).argmax())
        near = left & (np.hypot(x - x[best], y - y[best]) < SAME_UNITS)
        left &= ~near
        weight = certain * near
        if weight.sum() >= ENOUGH:
            share = weight / weight.sum()
            detections.append(
                Detection(
                    x=float(share @ x), y=float(share @ y), kind=np.asarray(share @ kind), color=np.asarray(share @ color)
                )
            )
    return detections


def _apart(path: Track, frame: int, detection: Detection) -> float:
    """Distance of a detection to a track's last one, as a share of the distance up to which they are linked."""
    last = max(path.detections)
    before = path.detections[last]
    misnamed = int(before.kind.argmax() != detection.kind.argmax()) + int(before.color.argmax() != detection.color.argmax())
    distance = float(np.hypot(detection.x - before.x, detection.y - before.y)) + MISNAMED_UNITS * misnamed
    return distance / (LINK_UNITS * (1 + (frame - last - 1) / 2))


def track(pictures: list[list[Detection]]) -> list[Track]:
    """Link detections from picture to picture, nearest first."""
    paths: list[Track] = []
    for frame, detections in enumerate(pictures):
        pairs = sorted(
            (_apart(path, frame, detection), i, j) for i, path in enumerate(paths) for j, detection in enumerate(detections)
        )
        taken_paths, taken = set(), set()
        for apart, i, j in pairs:
            if apart <= 1 and i not in taken_paths and j not in taken:
                paths[i].detections[frame] = detections[j]
                taken_paths.add(i)
                taken.add(j)
        paths += [Track(detections={frame: detection}) for j, detection in enumerate(detections) if j not in taken]
    return paths


def name(paths: list[Track], frames: int, slots: int) -> dict[tuple[int, int], Track]:
    """(kind, color) to track in canonical order, at most `slots`. The longest tracks choose first; a track whose most likely name
    belongs to one in the same frames takes its next likely name."""
    named: dict[tuple[int, int], Track] = {}
    for path in sorted(paths, key=lambda path: -len(path.detections)):
        if frames > 5 and len(path.detections) < SELDOM * frames:
            continue
        scores = path.scores()
        colors = scores.shape[1]
        for flat in np.argsort(-scores, axis=None):
            label = (int(flat) // colors, int(flat) % colors)
            other = named.get(label)
            if other is None and len(named) < slots:
                named[label] = path
                break
            if other is not None and not other.detections.keys() & path.detections.keys():
                other.detections |= path.detections
                break
            if other is None:
                break
    return dict(sorted(named.items()))


def detect_pictures(
    answers: Tensor, centers: Tensor, place_units: float, schema: StateSchema
) -> list[list[list[Detection]]]:
    """The objects of each picture [B][T], from answers [B, T, H, W, D] at centers [H * W, 2] (y, x)."""
    middle, flat = centers.cpu().numpy(), answers.flatten(2, 3).float().cpu().numpy()
    return [[detect_objects(picture, middle, place_units, len(schema.kinds)) for picture in sample] for sample in flat]


def initial_state(
    pictures: list[list[list[Detection]]], camera: Tensor, slots: int, schema: StateSchema
) -> tuple[Tensor, Tensor]:
    """The objects of pictures [B][T] under cameras [B, T, 3] (as tracks) to a state [B, T, K, F] and where it is known: bool
    [B, T, K, F]. Existence, kind and color are known everywhere, positions in the pictures that show the object."""
    batch, frames = camera.shape[:2]
    state = torch.zeros(batch, frames, slots, schema.features)
    known = torch.zeros_like(state, dtype=torch.bool)
    camera = camera.cpu()
    for group in ("exists", "kind", "color"):
        known[..., schema.slice(group)] = True
    state[..., 0] = -1.0
    position = schema.slice("position")
    for b in range(batch):
        for slot, ((kind, color), path) in enumerate(name(track(pictures[b]), frames, slots).items()):
            state[b, :, slot, 0] = 1.0
            for group, which in (("kind", kind), ("color", color)):
                state[b, :, slot, schema.slice(group)] = -1.0
                state[b, :, slot, schema.slice(group).start + which] = 1.0
            for t, detection in path.detections.items():
                zoom = 2.0 ** (float(camera[b, t, 2]) / 2)
                place = torch.tensor([detection.x - schema.center, detection.y - schema.center]) / schema.position_scale
                state[b, t, slot, position] = place / zoom + camera[b, t, :2]
                known[b, t, slot, position] = True
    return state, known
