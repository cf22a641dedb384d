"""The scene state: kind, identity, position and motion of every object. It is the ground truth of a world and the content of the
`state` track of a canvas.

Axes: T frames, K entity slots. Units: a room is 10 units high; x to the right, y up; seconds; radians, counter-clockwise.
The camera (pan x, pan y, zoom) looks at a window 10 / zoom units high and as wide as the picture's aspect asks, with its
center at (pan x, pan y); (5, 5, 1) shows the default room exactly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError
from kinema.scene.geometry import HALF_HEIGHT, OUTLINE, ROOM_HEIGHT
from kinema.types import Floats, SmallInts, parse_json

KINDS = tuple(OUTLINE)
PALETTE = {
    "red": (226, 32, 40),
    "orange": (255, 126, 10),
    "yellow": (250, 216, 24),
    "green": (34, 172, 58),
    "cyan": (20, 200, 214),
    "blue": (36, 84, 230),
    "purple": (136, 52, 204),
    "pink": (255, 104, 184),
}
"""sRGB of the colors of objects. The only table of them."""
COLORS = tuple(PALETTE)
MATERIALS = ("plain", "bouncy", "heavy")
BACKGROUNDS = ("field", "desert", "night", "snow", "lab")
VIEWS = ("side", "top")
HEX = {name: f"#{red:02x}{green:02x}{blue:02x}" for name, (red, green, blue) in PALETTE.items()}
"""The palette as CSS writes it."""
SIZES = {"small": 0.6, "medium": 0.85, "large": 1.15}
"""Size names and the radius in units that each stands for."""
MEDIUM, LARGE = SIZES["medium"], SIZES["large"]

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The state of a scene: which objects are where, over T frames and K slots.

    Attributes:
        fps: Frames per second.
        view: "side" or "top".
        background: A name of BACKGROUNDS.
        kind: int8 [K], index into KINDS; -1 marks an empty slot.
        color: int8 [K], index into COLORS.
        material: int8 [K], index into MATERIALS.
        size: float32 [K], radius in room units.
        x: float32 [T, K], position to the right in room units.
        y: float32 [T, K], position up in room units.
        vx: float32 [T, K], velocity to the right in units per second.
        vy: float32 [T, K], velocity up in units per second.
        angle: float32 [T, K], in radians.
        visible: float32 [T, K], share of the object that the camera sees, 0 to 1.
        camera: float32 [T, 3], position (x, y) in room units and zoom.
        room_width: Width of the room in units.
    """

    fps: float
    view: str
    background: str
    kind: SmallInts
    color: SmallInts
    material: SmallInts
    size: Floats
    x: Floats
    y: Floats
    vx: Floats
    vy: Floats
    angle: Floats
    visible: Floats
    camera: Floats
    room_width: float = ROOM_HEIGHT

    def __post_init__(self) -> None:
        if self.view not in VIEWS or self.background not in BACKGROUNDS:
            raise InputError(
                f"view {self.view!r} on background {self.background!r}: expected one of {VIEWS} on one of {BACKGROUNDS}"
            )
        frames, slots = self.x.shape
        for name in ("x", "y", "vx", "vy", "angle", "visible"):
            if getattr(self, name).shape != (frames, slots):
                raise InputError(f"{name} has shape {getattr(self, name).shape}, expected {(frames, slots)} as x has")
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(f"{name} holds NaN or infinity: expected finite numbers")
        if self.camera.shape != (frames, 3) or len(self.kind) != slots:
            raise InputError(
                f"camera {self.camera.shape} and kind {self.kind.shape} do not fit {frames} frames, {slots} slots"
            )
        if not np.isfinite(self.camera).all() or not np.isfinite(self.size).all():
            raise InputError("camera or size holds NaN or infinity: expected finite numbers")
        for name, names in (("kind", KINDS), ("color", COLORS), ("material", MATERIALS)):
            values, low = getattr(self, name), -1 if name == "kind" else 0
            if len(values) != slots or (slots and not (values.min() >= low and values.max() < len(names))):
                raise InputError(
                    f"{name} holds {values[:8].tolist()}: expected {slots} numbers from {low} to {len(names) - 1}"
                )

    @property
    def num_frames(self) -> int:
        """T."""
        return int(self.x.shape[0])

    @property
    def num_slots(self) -> int:
        """K."""
        return int(self.x.shape[1])

    @property
    def entities(self) -> list[int]:
        """Slots that hold an object."""
        return [k for k in range(self.num_slots) if self.kind[k] >= 0]

    def name(self, slot: int) -> str:
        """Name the object in a slot, such as "red ball"."""
        return f"{COLORS[self.color[slot]]} {KINDS[self.kind[slot]]}"

    def frames(self, which: slice | NDArray[np.int64]) -> Scene:
        """Return the scene at some of its frames."""
        moving = ("x", "y", "vx", "vy", "angle", "visible", "camera")
        return replace(self, **{name: getattr(self, name)[which] for name in moving})

    def cropped(self, aspect: float, zoom: float) -> Scene:
        """The scene under a centered crop of its pictures: the camera's zoom grows, and `visible` excludes parts that are cut off.

        aspect: width to height of the crop. zoom: height of the pictures to height of the crop, at least 1.
        """
        camera = self.camera.copy()
        camera[:, 2] *= zoom
        half = HALF_HEIGHT / np.maximum(camera[:, 2:], 1e-6)
        visible = self.visible
        for places, axis, reach in ((self.x, 0, half * aspect), (self.y, 1, half)):
            middle, size = camera[:, axis : axis + 1], np.maximum(self.size, 1e-6)
            inside = np.minimum(places + size, middle + reach) - np.maximum(places - size, middle - reach)
            visible = np.minimum(visible, np.clip(inside / (2 * size), 0.0, 1.0))
        return replace(self, camera=camera, visible=visible.astype(np.float32))

    def resample(self, fps: float, *, last: int | None = None) -> Scene:
        """The scene at another frame rate: each new frame is the latest old one. last: return only so many last frames."""
        if fps == self.fps:
            return self if last is None else self.frames(slice(-last, None))
        frames = max(round(self.num_frames * fps / self.fps), 1)
        index = np.arange(0 if last is None else max(frames - last, 0), frames) * self.fps / fps
        return replace(self.frames(np.minimum((index + 1e-6).astype(np.int64), self.num_frames - 1)), fps=fps)

    def between(self, every: int, num_frames: int) -> Scene:
        """The scene at a frame rate that is `every` times as high, with so many frames: objects move on at their speed between."""
        at = np.arange(num_frames) / every
        index = np.minimum(at.astype(np.int64), self.num_frames - 1)
        ahead_s = ((at - index) / self.fps)[:, None].astype(np.float32)
        scene = self.frames(index)
        return replace(scene, fps=self.fps * every, x=scene.x + scene.vx * ahead_s, y=scene.y + scene.vy * ahead_s)

    def to_dict(self) -> dict[str, Any]:
        """Return the scene as plain JSON: a header, then one entry per object with its path over time."""
        entities = []
        for k in self.entities:
            entity: dict[str, Any] = {
                "slot": k,
                "kind": KINDS[self.kind[k]],
                "color": COLORS[self.color[k]],
                "material": MATERIALS[self.material[k]],
                "size": round(float(self.size[k]), 4),
            }
            for name in ("x", "y", "vx", "vy", "angle", "visible"):
                entity[name] = [round(float(v), 4) for v in getattr(self, name)[:, k]]
            entities.append(entity)
        return {
            "format": FORMAT,
            "fps": self.fps,
            "num_frames": self.num_frames,
            "num_slots": self.num_slots,
            "view": self.view,
            "background": self.background,
            "room_width": self.room_width,
            "camera": [[round(float(v), 4) for v in row] for row in self.camera],
            "entities": entities,
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Scene:
        """Make a scene from what `to_dict` returned.

        Args:
            data: Plain JSON.

        Returns:
            The scene.

        Raises:
            InputError: A field is missing or cannot be read; the message names it.
        """
        try:
            if data["format"] != FORMAT:
                raise InputError(f"state format {data['format']} cannot be read; this version reads format {FORMAT}")
            frames, slots = int(data["num_frames"]), int(data["num_slots"])
            if frames < 1 or slots < 1:
                raise InputError(f"a state of {frames} frames and {slots} slots is empty")
            fixed: dict[str, Any] = {
                "kind": np.full(slots, -1, np.int8),
                "color": np.zeros(slots, np.int8),
                "material": np.zeros(slots, np.int8),
                "size": np.zeros(slots, np.float32),
            }
            moving: dict[str, Any] = {
                name: np.zeros((frames, slots), np.float32) for name in ("x", "y", "vx", "vy", "angle", "visible")
            }
            for entity in data["entities"]:
                k = int(entity["slot"])
                if not 0 <= k < slots:
                    raise InputError(f"an entity in slot {k}: expected 0 to {slots - 1}")
                fixed["kind"][k] = KINDS.index(entity["kind"])
                fixed["color"][k] = COLORS.index(entity["color"])
                fixed["material"][k] = MATERIALS.index(entity["material"])
                fixed["size"][k] = float(entity["size"])
                for name, values in moving.items():
                    values[:, k] = entity[name]
            return Scene(
                fps=float(data["fps"]),
                view=data["view"],
                background=data["background"],
                room_width=float(data["room_width"]),
                camera=np.asarray(data["camera"], np.float32).reshape(frames, 3),
                **fixed,
                **moving,
            )
        except KeyError as error:
            raise InputError(f"the state has no field {error}; expected the format that `kinema perceive` writes") from None
        except InputError:
            raise
        except (TypeError, IndexError, ValueError) as error:
            raise InputError(
                f"the state cannot be read ({error}); expected the format that `kinema perceive` writes"
            ) from None

    def to_json(self) -> str:
        """Return the scene as JSON text, as `kinema perceive` writes it."""
        return json.dumps(self.to_dict())

    @staticmethod
    def from_json(text: str) -> Scene:
        """Make a scene from JSON text. InputError: the text is no state."""
        try:
            data = parse_json(text)
        except ValueError as error:
            raise InputError(f"not a state file: {error}; expected the JSON that `kinema perceive` writes") from None
        if not isinstance(data, dict):
            raise InputError("not a state file: expected the JSON object that `kinema perceive` writes")
        return Scene.from_dict(data)
