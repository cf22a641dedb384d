"""Recipes: a training run is a function that returns its complete configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from kinema.datasets.episode_cache import FPS, Source
from kinema.diffusion.noise_patterns import PatternMix
from kinema.errors import InputError
from kinema.models.config import DenoiserConfig
from kinema.playground import scene_distribution
from kinema.playground.phyworld import PhyWorld
from kinema.scene.geometry import cell_units
from kinema.training.length import check_steps

KINDS = ("still", "film", "plan", "live", "crop")
"""Kinds of batches (`kinema.training.batches`)."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A size of pictures in pixels, whole video cells of the model that is trained, and its share of the batches."""

    height: int
    width: int
    share: float

    def cells(self, cell_px: int) -> tuple[int, int]:
        """Rows and columns of video cells of so many pixels (`DenoiserConfig.cell_px`)."""
        return self.height // cell_px, self.width // cell_px

    def cell_units(self, cell_px: int) -> float:
        """Height in units of a video cell of so many pixels."""
        return cell_units(self.height / cell_px)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of the run on one scene distribution, until this share of the run is done."""

    name: str
    distribution: Source
    episodes: int
    base_seed: int
    until: float
    still_share: float
    """Share of the steps that show stills to the local parts alone: seeing and drawing."""
    film_share: float
    """Share of the other steps that have video on the canvas."""
    fps: float = FPS
    """Frames a second of its episodes, which all have the same number of frames."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    name: str
    """What `kinema train` finds it by, and what a run's checkpoint is compared with."""
    denoiser: DenoiserConfig
    autoencoder: str
    phases: tuple[Phase, ...]
    steps: int
    seed: int
    plan_batch: int
    """Clips in a batch without video: long, and cheap."""
    plan_frames: int
    film_cells: int
    """Video cells in a film batch: as many rows of `film_frames` as that gives at its shape, one at least."""
    film_frames: int
    film_shapes: tuple[Shape, ...]
    live_share: float
    """Share of the batches without video that are stepped through frame by frame."""
    acting: Phase
    """Episodes in which somebody acts, and `acting_share` of what is stepped through; its shares mean nothing."""
    acting_share: float
    meeting: Phase
    """Episodes in which things meet, and `meeting_share` of what is stepped through; its shares mean nothing."""
    meeting_share: float
    meeting_frames: int
    """Frames of a row of those; as many rows more as they are shorter than `plan_frames`."""
    own_share: float
    """Share of the batches that are stepped through in which part of the past is what the model itself made of it."""
    own_most: int
    """Frames of such a past, at most."""
    packs: tuple[int, ...]
    """Short clips in one row of a packed film batch, drawn evenly; each divides film_frames."""
    packed_share: float
    """Share of the film batches that are packed."""
    still_pixels: int
    """Pixels in a batch of stills."""
    still_shapes: tuple[Shape, ...]
    crop_share: float
    """Share of the steps on stills that teach the mean of pictures of known states alone, each with half as many pixels."""
    crop_side: int
    """Pixels that such pictures are cut to where they are larger, around a thing; whole video cells."""
    aspects: tuple[str, ...]
    """Width to height of its shapes."""
    shares: PatternMix
    height: int
    """Height of the pictures that its model films by default, and of those that canaries and sheets show."""
    shortcut_share: float
    """Share of the plan batches that teach long steps, from `shortcuts_from` (a share of the run) on."""
    shortcuts_from: float
    text_drop: float
    matrix_lr: float
    other_lr: float
    weight_decay: float
    warmup: int
    cooldown: float
    """The last share of the run over which the learning rate falls to zero."""
    ema: float
    clip: float
    precision: str
    compile: bool
    canary_every: int
    picture_every: int
    save_every_s: float
    read_every: int = 1
    """Steps from one reading of the losses to the next; each waits for the device to finish."""
    workers: dict[str, int] = field(default_factory=dict)
    """Processes that make batches ahead, by kind; none: they are made where they are wanted."""
    trained: tuple[str, ...] = ()
    """Parts of the network that are trained, by the beginnings of their parameters' names; none: all."""
    begin: str = ""
    """Name or folder of a model whose weights the run begins with, as far as they fit."""
    model: str = ""
    """Of a recipe that trains on another's model: the name of that one."""

    def __post_init__(self) -> None:
        check_steps(self.steps)

    @property
    def model_name(self) -> str:
        """Name of the model, and of the folder that it is written to."""
        return f"kinema-{self.model or self.name}"


SQUARES = (
    Shape(height=48, width=48, share=0.05),
    Shape(height=64, width=64, share=0.15),
    Shape(height=96, width=96, share=0.1),
    Shape(height=128, width=128, share=0.4),
    Shape(height=192, width=192, share=0.08),
    Shape(height=256, width=256, share=0.1),
)
OBLONG = (
    Shape(height=64, width=112, share=0.02),
    Shape(height=128, width=224, share=0.04),
    Shape(height=256, width=448, share=0.02),
    Shape(height=128, width=176, share=0.03),
    Shape(height=128, width=80, share=0.02),
    Shape(height=256, width=144, share=0.02),
)
"""16:9, 4:3 and 9:16, to whole cells."""
SHARES = PatternMix(perceive=0.3, render=0.35, predict=0.2, joint=0.15)


def _tiny_phases() -> tuple[Phase, ...]:
    """One thing, two, then all; the last stretch steps through rooms more than it draws."""
    one = Phase(
        name="one shape",
        distribution=scene_distribution.one_shape(),
        episodes=1_000,
        base_seed=1_000_000,
        until=0.02,
        still_share=0.5,
        film_share=0.5,
    )
    two = replace(
        one, name="two shapes", distribution=scene_distribution.two_shapes(), episodes=2_000, base_seed=2_000_000, until=0.06
    )
    every = replace(
        two,
        name="tiny",
        distribution=scene_distribution.tiny(),
        episodes=16_000,
        base_seed=10_000_000,
        until=0.72,
        still_share=0.45,
        film_share=0.27,
    )
    return one, two, every, replace(every, until=1.0, still_share=0.3, film_share=0.1)


def _outside(name: str, of: Source, episodes: int, base_seed: int) -> Phase:
    """Episodes beside those of the phases."""
    return Phase(
        name=name, distribution=of, episodes=episodes, base_seed=base_seed, until=0.0, still_share=0.0, film_share=0.0
    )


def tiny_recipe() -> Recipe:
    """kinema-tiny: two CPU cores, about five hours."""
    return Recipe(
        name="tiny",
        denoiser=DenoiserConfig(
            width=192, depth=8, heads=4, mlp_ratio=4, slots=4, latent_channels=24, patch=2, text_dim=384, occlusion=True
        ),
        autoencoder="codec-8x8",
        phases=_tiny_phases(),
        steps=17_000,
        seed=0,
        plan_batch=16,
        plan_frames=64,
        film_cells=16 * 20 * 16,
        film_frames=20,
        film_shapes=(Shape(height=64, width=64, share=0.5), Shape(height=128, width=128, share=0.5)),
        live_share=0.85,
        acting=replace(_outside("acting", scene_distribution.acting(), 10_000, 31_000_000), fps=16.0),
        acting_share=0.35,
        meeting=_outside("meeting", scene_distribution.meeting(), 10_000, 33_000_000),
        meeting_share=0.4,
        meeting_frames=12,
        own_share=0.7,
        own_most=20,
        packs=(4, 10, 20),
        packed_share=0.5,
        still_pixels=320 * 64 * 64,
        still_shapes=(*SQUARES, *OBLONG),
        crop_share=0.5,
        crop_side=128,
        aspects=("1:1", "4:3", "16:9", "9:16"),
        shares=SHARES,
        height=128,
        shortcut_share=0.08,
        shortcuts_from=0.5,
        text_drop=0.15,
        matrix_lr=3e-3,
        other_lr=1.5e-3,
        weight_decay=0.01,
        warmup=100,
        cooldown=0.3,
        ema=0.999,
        clip=1.0,
        precision="bfloat16",
        compile=True,
        canary_every=500,
        picture_every=2500,
        save_every_s=120.0,
    )


def base() -> Recipe:
    """kinema-base: the same code on one data-centre GPU (`kinema.training.gpu_recipe`). Of 384, 256 wide is what fits the shipped
    weights' 32 MiB (docs/design.md)."""
    small = tiny_recipe()
    return replace(
        small,
        name="base",
        denoiser=DenoiserConfig(
            width=256, depth=8, heads=4, mlp_ratio=4, slots=8, latent_channels=24, patch=2, text_dim=384, occlusion=True
        ),
        phases=(
            Phase(
                name="full",
                distribution=scene_distribution.full(),
                episodes=200_000,
                base_seed=50_000_000,
                until=1.0,
                still_share=0.4,
                film_share=0.6,
            ),
        ),
        steps=40_000,
        acting=replace(
            small.acting,
            distribution=replace(scene_distribution.full(), min_entities=2, scenarios={"act": 1.0}),
            episodes=40_000,
            base_seed=90_000_000,
        ),
    )


def smoke() -> Recipe:
    """The whole path at the smallest size, for tests and for trying a set-up. Less than a minute from nothing; a few episodes
    are simulated first."""
    small = tiny_recipe()
    return replace(
        small,
        name="smoke",
        denoiser=DenoiserConfig(width=32, depth=2, heads=2, mlp_ratio=2, slots=4, latent_channels=24, patch=2, text_dim=384),
        phases=(
            Phase(
                name="one shape",
                distribution=scene_distribution.one_shape(),
                episodes=64,
                base_seed=7_000_000,
                until=1.0,
                still_share=0.3,
                film_share=0.5,
            ),
        ),
        steps=8,
        plan_batch=4,
        plan_frames=12,
        acting=replace(small.acting, episodes=64, base_seed=8_000_000),
        own_most=2,
        meeting_frames=6,
        meeting=replace(small.meeting, episodes=64, base_seed=9_000_000),
        film_cells=2 * 8 * 16,
        film_frames=8,
        still_pixels=8 * 64 * 64,
        packs=(2, 8),
        warmup=2,
        compile=False,
        shortcuts_from=0.0,
        canary_every=4,
        picture_every=8,
        save_every_s=0.0,
    )


def phyworld() -> Recipe:
    """kinema-phyworld: PhyWorld's three worlds from nothing, on 30,000 clips within the range of training, for the arena."""
    small = tiny_recipe()
    only = Phase(
        name="phyworld",
        distribution=PhyWorld(),
        episodes=30_000,
        base_seed=70_000_000,
        fps=20.0,
        until=1.0,
        still_share=0.35,
        film_share=0.3,
    )
    return replace(
        small,
        name="phyworld",
        denoiser=DenoiserConfig(
            width=128, depth=6, heads=4, mlp_ratio=4, slots=2, latent_channels=24, patch=2, text_dim=384
        ),
        phases=(only,),
        acting=only,
        live_share=0.8,
        acting_share=0.0,
        meeting=only,
        meeting_share=0.0,
        own_most=16,
        steps=8_000,
        plan_batch=32,
        plan_frames=32,
        shortcut_share=0.0,
        text_drop=1.0,
    )


def _going_on(small: Recipe, part: str, last: Phase) -> Recipe:
    """A part of a model alone, begun with its shipped weights, on one phase, for as long as there are minutes."""
    return replace(
        small,
        name=f"{small.name}-{part}",
        model=small.name,
        phases=(last,),
        steps=1_000_000,
        compile=False,
        canary_every=1_000_000,
        picture_every=1_000_000,
        begin=f"kinema-{small.name}",
    )


def tiny_drawing() -> Recipe:
    """kinema-tiny's local parts alone, begun with the shipped weights: stills of every size, nothing else. One core."""
    small = tiny_recipe()
    last = replace(small.phases[-1], episodes=8_000, until=1.0, still_share=1.0)
    return replace(
        _going_on(small, "drawing", last),
        acting=replace(last, name="tiny"),
        acting_share=0.0,
        meeting=replace(last, name="tiny"),
        meeting_share=0.0,
        crop_share=0.7,
        other_lr=2e-3,
        cooldown=0.5,
    )


TRUNK = (
    "blocks.",
    "state_",
    "vector_",
    "motion_prior.",
    "contacts.",
    "occlusion.",
    "text_in.",
    "no_text",
    "action_in.",
    "step_size_in.",
)


def tiny_trunk() -> Recipe:
    """kinema-tiny's trunk, contacts and occlusion, begun with the shipped weights. One core, an hour or more."""
    small = tiny_recipe()
    last = replace(small.phases[-1], episodes=8_000, until=1.0, still_share=0.0, film_share=0.12)
    return replace(
        _going_on(small, "trunk", last),
        acting=replace(small.acting, episodes=4_000),
        meeting=replace(small.meeting, episodes=4_000),
        meeting_share=0.5,
        acting_share=0.25,
        live_share=0.55,
        own_share=0.5,
        film_shapes=(Shape(height=64, width=64, share=0.3), Shape(height=128, width=128, share=0.7)),
        matrix_lr=6e-4,
        other_lr=3e-4,
        cooldown=0.7,
        ema=0.99,
        trained=TRUNK,
    )


def _contacts(small: Recipe, meeting: Phase) -> Recipe:
    """Contacts alone, beside the rest as it is; half of the rows from rooms in which things meet."""
    last = replace(small.phases[-1], until=1.0, still_share=0.0, film_share=0.0, episodes=meeting.episodes)
    return replace(
        _going_on(small, "contacts", last),
        meeting=meeting,
        acting=replace(small.acting, episodes=min(small.acting.episodes, meeting.episodes)),
        meeting_share=0.6,
        acting_share=0.1 if small.acting_share else 0.0,
        live_share=1.0,
        own_share=0.0,
        other_lr=3e-3,
        cooldown=0.7,
        ema=0.98,
        trained=("contacts.",),
    )


def tiny_contacts() -> Recipe:
    """kinema-tiny's contacts alone, begun with the shipped weights. Twenty minutes on one core."""
    small = tiny_recipe()
    return _contacts(small, replace(small.meeting, episodes=4_000))


def tiny_occlusion() -> Recipe:
    """kinema-tiny's occlusion alone, begun with the shipped weights: a module that these do not have is fitted to true states
    before the first step (`kinema.training.occlusion`), which is all it takes. Two minutes on one core, with `--steps 1`."""
    return replace(tiny_contacts(), name="tiny-occlusion", trained=("occlusion.",))


def phyworld_contacts() -> Recipe:
    """kinema-phyworld's contacts alone, begun with the shipped weights. Twenty minutes on one core."""
    small = phyworld()
    return _contacts(small, replace(small.phases[0], episodes=6_000))


def phyworld_sharp() -> Recipe:
    """kinema-phyworld at 128 pixels, begun with the shipped weights: its local parts alone. One core, ten minutes."""
    alone = phyworld_contacts()
    return replace(
        alone,
        name="phyworld-sharp",
        phases=(replace(alone.phases[0], still_share=1.0),),
        still_pixels=160 * 64 * 64,
        still_shapes=(Shape(height=64, width=64, share=0.3), Shape(height=128, width=128, share=0.7)),
        aspects=("1:1",),
        other_lr=1e-3,
        ema=0.99,
        trained=(),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "tiny": tiny_recipe,
    "tiny-drawing": tiny_drawing,
    "tiny-trunk": tiny_trunk,
    "tiny-contacts": tiny_contacts,
    "tiny-occlusion": tiny_occlusion,
    "base": base,
    "smoke": smoke,
    "phyworld": phyworld,
    "phyworld-contacts": phyworld_contacts,
    "phyworld-sharp": phyworld_sharp,
}


def recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise InputError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]()
