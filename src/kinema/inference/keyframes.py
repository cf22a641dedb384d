"""Keyframes: known pictures at some frames of a canvas, their states, and which objects a prompt adds to them.

A picture that Kinema made carries its state (`Clip.state`, also through files). `lay_scenes` writes that state to the canvas as
known. States of other pictures are estimated (`kinema.inference.pipeline.estimate_state`).

Axes: B batch, T frames, n keyframes, K slots, F features.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.canvas.canvas import Canvas, align
from kinema.errors import InputError
from kinema.media import Clip
from kinema.playground.vocabulary import SYNONYMS, article, listing
from kinema.scene.encoding import (
    Fields,
    encode_camera,
    encode_setting,
    encode_state,
    encode_terminated,
)
from kinema.scene.scene import Scene
from kinema.scene.schema import PLAYGROUND, StateSchema

log = logging.getLogger(__name__)

FIXED = ("kind", "color", "material", "size")
MOVING = ("x", "y", "vx", "vy", "angle", "visible")
NEIGHBOR_S = 0.19
"""Frames this near to each other show velocities: an eighth of a second and a half."""

_OPEN = frozenset(["another", "other", "others", "more", "new", "something", "things", "objects"])
"""Words by which a prompt may mean objects that it does not name."""
_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_REACH = 3
"""Number of words before a kind that may hold its color and number: 'two large bouncy red balls'."""

Named = tuple[Counter[tuple[int, int]], Counter[int]]
"""Objects that a prompt names: how many of each (kind, color), and how many of each kind without a color."""


def state_of_clip(clip: Clip) -> Scene | None:
    """The clip's state, if it has one for each of its frames."""
    if clip.state is not None and clip.state.num_frames != clip.num_frames:
        log.warning(
            "the clip's state has %d frames, the clip %d; it is perceived anew", clip.state.num_frames, clip.num_frames
        )
        return None
    return clip.state


def scenes_at(clip: Clip, frames: Sequence[int]) -> list[Scene | None]:
    """The clip's state at each of these frames, as scenes of one frame; None where it has no state."""
    scene = state_of_clip(clip)
    return [None if scene is None else scene.frames(np.array([i])) for i in frames]


def tracks_of(scene: Scene, slots: int, device: torch.device) -> dict[str, torch.Tensor]:
    """A scene of the Playground as tracks [1, T, ...] of a model with so many slots; actions and rewards are nothing."""
    if scene.num_slots > slots and any(k >= slots for k in scene.entities):
        raise InputError(f"the state holds {len(scene.entities)} things in {scene.num_slots} slots; the model has {slots}")
    more = slots - scene.num_slots
    if more > 0:
        fixed: dict[str, Any] = {
            "kind": np.pad(scene.kind, (0, more), constant_values=-1),
            **{name: np.pad(getattr(scene, name), (0, more)) for name in ("color", "material", "size")},
        }
        moving: dict[str, Any] = {
            name: np.pad(getattr(scene, name), ((0, 0), (0, more))) for name in ("x", "y", "vx", "vy", "angle", "visible")
        }
        scene = replace(scene, **fixed, **moving)
    fields = Fields.of(scene)
    frames = scene.num_frames
    arrays = {
        "state": encode_state(fields)[:, :, :slots],
        "camera": encode_camera(fields.camera),
        "scene": encode_setting(fields.view, fields.background, frames),
        "action": np.zeros((1, frames, PLAYGROUND.vectors["action"]), np.float32),
        "reward": np.zeros((1, frames, 1), np.float32),
        "terminated": encode_terminated(np.zeros((1, frames), bool)),
    }
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def lay_scenes(canvas: Canvas, scenes: Mapping[int, Scene | None]) -> Canvas:
    """The canvas with the scenes (of one frame each) of its keyframes as known state, camera and setting.

    Velocities are known only where a neighboring keyframe shows them. Values that the canvas knows already stay. The canvas comes
    back unchanged unless each keyframe has a scene and the slots hold all objects, because slots of known and of estimated states
    could not be matched.
    """
    slots = canvas.values["state"].shape[2]
    known = {frame: scene for frame, scene in scenes.items() if scene is not None}
    joined = _joined(known, slots) if known and len(known) == len(scenes) else None
    if joined is None:
        return canvas
    scene, shown = joined
    tracks = tracks_of(scene, slots, canvas.time_s.device)
    settings = [encode_setting(Fields.of(s).view, Fields.of(s).background, 1) for s in known.values()]
    tracks["scene"] = torch.from_numpy(np.concatenate(settings, 1)).to(canvas.time_s.device)
    index = torch.tensor(list(known))
    level = torch.zeros_like(tracks["state"])
    absent = ~torch.from_numpy(np.pad(shown, ((0, 0), (0, slots - shown.shape[1])), constant_values=True))
    for group in ("position", "velocity", "angle"):
        level[0, ..., canvas.schema.slice(group)][absent] = 1.0
    lone = [not near_another(canvas.time_s[0], index, int(i)) for i in index]
    level[0, torch.tensor(lone), :, canvas.schema.slice("velocity")] = 1.0
    for name, given in (("state", level), ("camera", torch.zeros(1)), ("scene", torch.zeros(1))):
        values, levels = canvas.values[name].clone(), canvas.levels[name].clone()
        lower = levels[:, index] > given.to(levels)
        values[:, index] = torch.where(align(lower, values), tracks[name], values[:, index])
        levels[:, index] = torch.where(lower, given.to(levels), levels[:, index])
        canvas = canvas.with_track(name, values, levels)
    return canvas


def near_another(time_s: torch.Tensor, index: torch.Tensor, frame: int) -> bool:
    """Whether another of the frames at `index` lies within NEIGHBOR_S of this one."""
    apart = (time_s[index] - time_s[frame]).abs()
    return bool(((apart > 0) & (apart < NEIGHBOR_S)).any())


def _joined(scenes: Mapping[int, Scene], slots: int) -> tuple[Scene, NDArray[np.bool_]] | None:
    """Scenes of one frame each as one scene with one order of slots, and which slots each frame shows: bool [n, K]; None if there
    are more objects than slots. Scenes with the same identities in the same slots keep their slots. Otherwise objects of the same
    kind and color are matched, in canonical order; an object is hidden in frames that do not show it."""
    parts = list(scenes.values())
    slot_maps = [_slot_of_identity(part) for part in parts]
    if all(slot_map == slot_maps[0] for slot_map in slot_maps):
        slot_of = dict(slot_maps[0])
        count = max(slot_of.values(), default=0) + 1
    else:
        names = sorted({name for slot_map in slot_maps for name in slot_map})
        slot_of, count = {name: slot for slot, name in enumerate(names)}, max(len(names), 1)
    if count > slots:
        log.warning("the pictures' states hold things in %d slots, the model has %d; they are perceived anew", count, slots)
        return None
    fixed: dict[str, Any] = {name: np.zeros(count, getattr(parts[0], name).dtype) for name in FIXED}
    fixed["kind"][:] = -1
    moving: dict[str, Any] = {name: np.zeros((len(parts), count), np.float32) for name in MOVING}
    shown = np.zeros((len(parts), count), bool)
    shown[:, [slot for slot in range(count) if slot not in slot_of.values()]] = True
    for t, (part, slot_map) in reversed(list(enumerate(zip(parts, slot_maps, strict=True)))):
        for name, old in slot_map.items():
            slot = slot_of[name]
            shown[t, slot] = True
            for field in FIXED:
                fixed[field][slot] = getattr(part, field)[old]
            for field, values in moving.items():
                values[t, slot] = getattr(part, field)[0, old]
    camera = np.concatenate([part.camera for part in parts])
    return replace(parts[0], **fixed, **moving, camera=camera), shown


def _slot_of_identity(scene: Scene) -> dict[tuple[int, int, int], int]:
    """Slot of each (kind, color, number among objects of that kind and color)."""
    counts: Counter[tuple[int, int]] = Counter()
    slot_map = {}
    for slot in scene.entities:
        name = (int(scene.kind[slot]), int(scene.color[slot]))
        slot_map[*name, counts[name]] = slot
        counts[name] += 1
    return slot_map


def named_objects(prompt: str, schema: StateSchema = PLAYGROUND) -> Named | None:
    """The objects that a prompt names: 'a red ball hits two boxes' -> one (ball, red), two boxes. None: it may mean others too."""
    words = re.findall(r"[a-z]+", prompt.lower())
    kind_of = {name: number for number, kind in enumerate(schema.kinds) for name in (kind, *SYNONYMS.get(kind, ()))}
    if _OPEN & set(words):
        return None
    exact: Counter[tuple[int, int]] = Counter()
    kinds: Counter[int] = Counter()
    for i, word in enumerate(words):
        single = next((name for name in (word, word.removesuffix("s"), word.removesuffix("es")) if name in kind_of), None)
        if single is None:
            continue
        kind = kind_of[single]
        before = list(reversed(words[max(i - _REACH, 0) : i]))
        stop = next((j for j, w in enumerate(before) if w in kind_of or w in ("and", "a", "an", "the")), len(before))
        color = next((schema.colors.index(w) for w in before[:stop] if w in schema.colors), None)
        number = next((_NUMBERS[w] for w in before[:stop] if w in _NUMBERS), 1)
        if color is None:
            kinds[kind] = max(kinds[kind], number)
        else:
            exact[kind, color] = max(exact[kind, color], number)
    return exact, kinds


def count_new_objects(named: Named, identities: Sequence[tuple[int, int]]) -> int:
    """How many of the named objects are not among these identities (kind, color)."""
    exact, kinds = named
    present = Counter(identities)
    new = exact - present
    all_kinds = Counter(kind for kind, _ in (present + new).elements())
    return new.total() + (kinds - all_kinds).total()


def new_identities(named: Named, identities: Sequence[tuple[int, int]]) -> list[tuple[int, int]] | None:
    """(kind, color) of the named objects that are not among these identities; None if some of them are named without a color."""
    new = list((named[0] - Counter(identities)).elements())
    return new if len(new) == count_new_objects(named, identities) else None


def known_identities(canvas: Canvas, known_level: float) -> list[dict[int, tuple[int, int]]]:
    """For each sample the (kind, color) of every slot in which a keyframe shows an object. known_level: the noise level up to which
    existence counts as known."""
    state, level = canvas.values["state"], canvas.levels["state"]
    shown = ((level[..., 0] <= known_level) & (state[..., 0] > 0)).cpu().numpy()
    kinds, colors = (state[..., canvas.schema.slice(group)].argmax(-1).cpu().numpy() for group in ("kind", "color"))
    identities = []
    for b in range(canvas.batch):
        first = {int(k): int(shown[b, :, k].argmax()) for k in np.flatnonzero(shown[b].any(0))}
        identities.append({k: (int(kinds[b, t, k]), int(colors[b, t, k])) for k, t in first.items()})
    return identities


def joining_texts(canvas: Canvas, named: Sequence[Named | None], known_level: float) -> list[str]:
    """For each sample whose prompt adds objects to given pictures, a text that names all objects: 'a red ball and a blue box'.

    A model takes the objects of a text for all objects of the clip, so it films an added object only if the present ones are named
    as well. '' where nothing is added. known_level: as in `known_identities`.
    """
    texts = []
    for names, identities in zip(named, known_identities(canvas, known_level), strict=True):
        if names is None or not identities or not count_new_objects(names, list(identities.values())):
            texts.append("")
            continue
        exact, kinds = names
        present = list(identities.values()) + list((exact - Counter(identities.values())).elements())
        extra = (kinds - Counter(kind for kind, _ in present)).elements()
        words = [canvas.schema.name(kind, color) for kind, color in present] + [canvas.schema.kinds[kind] for kind in extra]
        texts.append(listing([article(word) for word in words]))
    return texts


def close_slots(canvas: Canvas, named: Sequence[Named | None], known_level: float) -> Canvas:
    """The canvas with empty slots known to be empty, except for the objects that a prompt adds.

    Each sample [B] keeps as many unknown slots as its prompt names objects that no keyframe shows; they are hidden at the
    keyframes. Nothing exists in its other empty slots at any time. A sample without keyframes, or named None, stays as it is.
    known_level: as in `known_identities`.
    """
    state, level = canvas.values["state"].clone(), canvas.levels["state"].clone()
    visible = canvas.schema.slice("visible")
    identities = known_identities(canvas, known_level)
    for b, names in enumerate(named):
        known = level[b, :, :, 0] <= known_level
        if names is None or not bool(known.any()):
            continue
        empty = [k for k in range(state.shape[2]) if k not in identities[b]]
        open_slots = count_new_objects(names, list(identities[b].values()))
        for k in empty[:open_slots]:
            at = known[:, k]
            level[b, at, k] = 1.0
            state[b, at, k, visible] = -1.0
            level[b, at, k, visible] = 0.0
        for k in empty[open_slots:]:
            state[b, :, k] = 0.0
            state[b, :, k, 0] = -1.0
            level[b, :, k] = 0.0
    return canvas.with_track("state", state, level)
