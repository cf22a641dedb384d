"""Edits of clips: noise levels by strength, masks, and how old and new pixels are composed.

Axes: T frames, H x W pixels, K slots.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.canvas import conditioning
from kinema.canvas.canvas import Canvas
from kinema.errors import InputError
from kinema.inference.keyframes import count_new_objects, named_objects, new_identities
from kinema.media import Clip
from kinema.media.frame_buffer import each, held
from kinema.scene.encoding import decode_scene, encode_camera, project_identity
from kinema.scene.scene import Scene
from kinema.types import Frames

EDIT_STRENGTH = 0.8
"""Default noise level at which an edited clip enters the plan (`python -m benchmarks.edits`), in the library, the command, the
server and the Studio."""
FEATHER = 2
"""Pixels inside a mask over which old and new are blended."""
HARDLY = 0.05
"""Least visible share of an object that counts as shown."""
INSIDE = 0.5
"""An object of which more than this share lies in the mask may change."""

Mask = NDArray[np.bool_]


def check_strength(strength: float) -> float:
    """The strength; InputError unless it is above 0 and up to 1."""
    number = isinstance(strength, int | float | np.integer | np.floating) and not isinstance(strength, bool)
    if not number or not 0.0 < strength <= 1.0:
        raise InputError(f"strength {strength!r}: expected above 0 (keep all) and up to 1 (keep nothing)")
    return float(strength)


def read_mask(mask: Clip, clip: Clip) -> Mask:
    """Where a mask picture is white, bool [H, W]; InputError unless it is one picture of the clip's size, or of that of its
    file, with white in it."""
    size = clip.source_size or clip.size
    if mask.num_frames != 1 or not {mask.source_size or mask.size, mask.size} & {size, clip.size}:
        raise InputError(f"a mask of {mask.num_frames} frames, {mask.size}: expected one picture of {size}, as the clip is")
    white: Mask = mask.frames[0].mean(-1) > 127
    if not white.any():
        raise InputError("the mask has no white in it: expected white where the clip may change")
    return white


def picture_level(strength: float) -> float:
    """Noise level of the pictures in an edit without a mask, 1 - (1 - strength)^3. Pictures hold more information than a state at
    the same level, so at `strength` itself the old content would remain."""
    return 1.0 - (1.0 - strength) ** 3


def share_inside(scene: Scene, mask: Mask) -> NDArray[np.float64]:
    """The share of each thing's disk that lies in the mask, [T, K]; of what is out of the picture, 0."""
    height, width = mask.shape
    y, x = np.mgrid[:height, :width] + 0.5
    share = np.zeros((scene.num_frames, scene.num_slots))
    for k in scene.entities:
        for t, (pan_x, pan_y, zoom) in enumerate(scene.camera.tolist()):
            unit = height * zoom / 10
            left, top = width / 2 + (scene.x[t, k] - pan_x) * unit, height / 2 - (scene.y[t, k] - pan_y) * unit
            disk = np.hypot(x - left, y - top) <= max(float(scene.size[k]) * unit, 0.75)
            share[t, k] = (disk & mask).sum() / max(disk.sum(), 1)
    return share


def middle_of(mask: Mask, camera: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mask's middle as places in the room, [T, 2], under cameras [T, 3]."""
    height, width = mask.shape
    row, column = (float(axis.mean()) + 0.5 for axis in np.nonzero(mask))
    unit = height * camera[:, 2] / 10
    return np.stack([camera[:, 0] + (column - width / 2) / unit, camera[:, 1] - (row - height / 2) / unit], -1)


def compose(old: Frames, new: Frames, mask: Mask) -> Frames:
    """New pixels [T, H, W, 3] inside the mask, the old ones, to the bit, outside of it. Over FEATHER pixels inside the mask's edge
    old and new are blended; the picture's own edge is none."""
    depth = np.zeros(mask.shape, np.int64)
    inner = mask
    for _ in range(FEATHER + 1):
        depth += inner
        near = np.pad(inner, 1, constant_values=True)
        inner = inner & near[:-2, 1:-1] & near[2:, 1:-1] & near[1:-1, :-2] & near[1:-1, 2:]
    share = (depth / (FEATHER + 1))[..., None]

    def composed(before: Frames, after: Frames) -> Frames:
        mixed = np.round(before + share * (after.astype(np.float64) - before)).astype(np.uint8)
        return np.where(mask[..., None], mixed, before)

    return held(map(composed, each(old), each(new)), len(old))


def masked_state(canvas: Canvas, perceived: Canvas, mask: Mask, prompt: str, strength: float, fps: float) -> Canvas:
    """The canvas of an edit with the perceived state: objects outside the mask are known, those inside it may change, and so many
    empty slots as the prompt names further objects may be filled, starting at the middle of the mask."""
    tracks = {name: perceived.values[name][0].float().cpu().numpy() for name in ("state", "camera", "scene")}
    scene = decode_scene(tracks["state"], tracks["camera"], tracks["scene"], fps=fps)
    inside = np.asarray(share_inside(scene, mask) > INSIDE)
    shown = (scene.visible > HARDLY) & (scene.kind >= 0)
    renamed = np.asarray((inside | ~shown).all(0) & inside.any(0))
    freed, empty = inside.copy(), scene.kind < 0
    named = named_objects(prompt, canvas.schema)
    remaining = [(int(scene.kind[k]), int(scene.color[k])) for k in scene.entities if not renamed[k]]
    more = int(empty.sum()) if named is None else max(count_new_objects(named, remaining) - int(renamed.sum()), 0)
    added = np.flatnonzero(empty)[:more]
    freed[:, added], renamed[added] = True, True
    state = project_identity(perceived.values["state"], canvas.schema)
    middle = middle_of(mask, scene.camera)
    place = encode_camera(np.concatenate([middle, np.ones_like(middle[:, :1])], -1))[:, :2]
    for k in added:
        state[0, :, k, canvas.schema.slice("position")] = torch.from_numpy(place).to(state)
    free, anew = torch.from_numpy(freed), torch.from_numpy(renamed)
    canvas = conditioning.edit_state(canvas, state, strength=strength, freed=free, renamed=anew)
    names = None if named is None else new_identities(named, remaining)
    return canvas if names is None else _rename(canvas, scene, np.flatnonzero(renamed).tolist(), names)


def _rename(canvas: Canvas, scene: Scene, slots: Sequence[int], names: Sequence[tuple[int, int]]) -> Canvas:
    """The canvas with these (kind, color) known in renamed slots, each in the slot of the most similar object; remaining slots are
    empty; all slots are in canonical order, as in training."""
    state, level = canvas.values["state"].clone(), canvas.levels["state"].clone()
    schema, left = canvas.schema, list(slots)
    for kind, color in names:
        like = [2 * (int(scene.kind[k]) >= 0) + int(scene.kind[k] == kind) + int(scene.color[k] == color) for k in left]
        slot = left.pop(int(np.argmax(like)))
        for group, value in (("kind", kind), ("color", color)):
            state[:, :, slot, schema.slice(group)] = -1.0
            state[:, :, slot, schema.slice(group).start + value] = 1.0
            level[:, :, slot, schema.slice(group)] = 0.0
        state[:, :, slot, 0], level[:, :, slot, 0] = 1.0, 0.0
    for slot in left:
        state[:, :, slot], level[:, :, slot] = 0.0, 0.0
        state[:, :, slot, 0] = -1.0
    first = state[0, 0]
    order = sorted(
        range(state.shape[2]),
        key=lambda k: (
            float(first[k, 0]) < 0, int(first[k, schema.slice("kind")].argmax()), int(first[k, schema.slice("color")].argmax()),
        ),
    )  # fmt: skip
    return canvas.with_track("state", state[:, :, order], level[:, :, order])
