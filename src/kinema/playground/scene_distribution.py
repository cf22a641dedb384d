"""What a stream of episodes may hold: the Playground's settings, and the named ones.

A `SceneDistribution` bounds the draw of kinds, colors, numbers, views, scenarios and camera work; `simulate` draws episodes
from it. Some combinations are held out by a published rule (`is_held_out`), so that a model can be asked about pairs it never
met.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from kinema.errors import InputError
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, MATERIALS, SIZES, VIEWS

HELD_OUT_SPEED = 6.0
"""Initial speeds above this, in units per second, are held out as well."""

SCENARIOS = ("move", "throw", "drop", "hit", "towards", "push", "behind", "still", "leave", "flag", "act")
"""move: one mover. hit: a mover and something in its way. towards: two movers that meet. push: a robot or car and its load.
behind: past a screen. leave: out of the picture. flag: up to a flag.
act: a robot does now this, now that, with things about."""

SHAPES = ("ball", "box", "triangle", "star")

SIZES_OF_TINY = ("medium", "large")
"""A small star is seven pixels wide at 64x64: nobody can tell it from a box there, and no autoencoder of 8x8 cells keeps
it."""


def is_held_out(kind_index: int, color_index: int) -> bool:
    """Whether the pair is kept from training: one color per kind, the red star among them."""
    return (color_index + 3 * kind_index) % 8 == 1


@dataclass(frozen=True, kw_only=True)
class SceneDistribution:
    """What episodes may hold.

    min_entities, max_entities: how many things a scene holds. slots: K of the scene. views, backgrounds, materials: name to
    weight. scenarios: name to weight, from SCENARIOS. min_speed, max_speed: initial speeds, units per second. tumble: boxes
    and triangles turn when they hit something. extra_movers: share of bystanders that move. fences: share of bystanders that
    are a screen or a flag. wide: share of scenes with a room of 12 to 18 units. camera: "still" | "moving". cuts: share of
    scenes with cuts between shots. aspect: the picture's width over its height, for what the camera sees.
    held_out: "exclude" | "only" | "any".
    """

    kinds: tuple[str, ...] = KINDS
    colors: tuple[str, ...] = COLORS
    sizes: tuple[str, ...] = tuple(SIZES)
    min_entities: int = 1
    max_entities: int = 3
    slots: int = 4
    views: dict[str, float] = field(default_factory=lambda: {"side": 0.7, "top": 0.3})
    backgrounds: tuple[str, ...] = BACKGROUNDS
    materials: dict[str, float] = field(default_factory=lambda: {"plain": 0.7, "bouncy": 0.15, "heavy": 0.15})
    scenarios: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SCENARIOS, 1.0))
    min_speed: float = 1.2
    max_speed: float = 5.0
    tumble: bool = False
    extra_movers: float = 0.2
    fences: float = 0.3
    wide: float = 0.0
    camera: str = "still"
    cuts: float = 0.0
    aspect: float = 1.0
    held_out: str = "exclude"

    def __post_init__(self) -> None:
        named = (
            ("kinds", self.kinds, KINDS),
            ("colors", self.colors, COLORS),
            ("sizes", self.sizes, tuple(SIZES)),
            ("views", self.views, VIEWS),
            ("backgrounds", self.backgrounds, BACKGROUNDS),
            ("materials", self.materials, MATERIALS),
            ("scenarios", self.scenarios, SCENARIOS),
            ("camera", (self.camera,), ("still", "moving")),
            ("held_out", (self.held_out,), ("exclude", "only", "any")),
        )
        for name, given, known in named:
            unknown = [value for value in given if value not in known]
            if unknown or not given:
                raise InputError(f"{name} holds {unknown or 'nothing'}; expected some of {known}")
        if not 1 <= self.min_entities <= self.max_entities <= self.slots <= 8:
            raise InputError(
                f"{self.min_entities} to {self.max_entities} entities in {self.slots} slots: expected 1 <= min <= max <="
                " slots <= 8"
            )
        if not 0 < self.min_speed <= self.max_speed:
            raise InputError(f"speeds from {self.min_speed} to {self.max_speed}: expected 0 < min_speed <= max_speed")
        if self.held_out == "only" and not any(is_held_out(*pair) for pair in self.pairs()):
            raise InputError("held_out='only', but none of these kinds and colors is a held-out pair; name more colors")
        if not self.pairs():
            raise InputError("every pair of these kinds and colors is held out; name more colors or set held_out='any'")

    def pairs(self) -> list[tuple[int, int]]:
        """(kind index, color index) of every pair that may occur."""
        every = [(KINDS.index(kind), COLORS.index(color)) for kind in self.kinds for color in self.colors]
        return [pair for pair in every if self.held_out != "exclude" or not is_held_out(*pair)]

    @property
    def lacks(self) -> tuple[str, ...]:
        """Names of kinds, colors and sizes that no episode holds."""
        every = ((KINDS, self.kinds), (COLORS, self.colors), (tuple(SIZES), self.sizes))
        return tuple(name for names, held in every for name in names if name not in held)

    @property
    def speeds(self) -> tuple[float, float]:
        """The range of initial speeds, held-out speeds cut away when they are excluded."""
        if self.held_out == "exclude":
            return min(self.min_speed, HELD_OUT_SPEED), min(self.max_speed, HELD_OUT_SPEED)
        return self.min_speed, self.max_speed


def one_shape() -> SceneDistribution:
    """One shape that rolls, slides, flies, falls or rests."""
    return SceneDistribution(
        kinds=SHAPES,
        sizes=SIZES_OF_TINY,
        min_entities=1,
        max_entities=1,
        scenarios={"move": 0.45, "throw": 0.25, "drop": 0.2, "still": 0.1},
        fences=0.0,
    )


def two_shapes() -> SceneDistribution:
    """Two shapes that meet."""
    return SceneDistribution(
        kinds=SHAPES,
        sizes=SIZES_OF_TINY,
        min_entities=2,
        max_entities=2,
        scenarios={"hit": 0.45, "towards": 0.35, "throw": 0.1, "drop": 0.1},
        extra_movers=1.0,
        fences=0.0,
    )


def tiny() -> SceneDistribution:
    """One to three of all eight kinds, medium or large, in a room of 10 by 10 under a camera at rest: what `kinema-tiny` is
    trained on."""
    return SceneDistribution(
        sizes=SIZES_OF_TINY,
        scenarios={
            "move": 0.14,
            "throw": 0.12,
            "drop": 0.1,
            "hit": 0.19,
            "towards": 0.1,
            "push": 0.15,
            "behind": 0.11,
            "still": 0.05,
            "flag": 0.11,
        },
        fences=0.12,
    )


def acting() -> SceneDistribution:
    """`tiny` with a robot in every room that does now this, now that: what actions do is learned from these."""
    return replace(tiny(), min_entities=2, scenarios={"act": 1.0})


def meeting() -> SceneDistribution:
    """`tiny` with things that meet, or hide behind a screen, in every room: what contacts and screens do is learned from these."""
    return replace(tiny(), min_entities=2, scenarios={"hit": 0.4, "towards": 0.3, "push": 0.1, "behind": 0.2})


def full() -> SceneDistribution:
    """Everything: up to eight entities, wide rooms, a camera that moves, cuts, tumbling, fast movers."""
    return SceneDistribution(
        max_entities=8,
        slots=8,
        min_speed=1.0,
        max_speed=8.0,
        tumble=True,
        extra_movers=0.4,
        wide=0.4,
        camera="moving",
        cuts=0.2,
    )
