"""The Playground: captioned 2-D physics in a room 10 units high, drawn from a scene distribution and a seed."""

from kinema.playground.captions import Captions
from kinema.playground.episode import Episode, simulate
from kinema.playground.events import Event
from kinema.playground.scene_distribution import SceneDistribution, full, is_held_out, one_shape, tiny, two_shapes
from kinema.playground.tasks import Task
from kinema.playground.vocabulary import VOCABULARY, words_outside_captions

__all__ = [
    "VOCABULARY",
    "Captions",
    "Episode",
    "Event",
    "SceneDistribution",
    "Task",
    "full",
    "is_held_out",
    "one_shape",
    "simulate",
    "tiny",
    "two_shapes",
    "words_outside_captions",
]
