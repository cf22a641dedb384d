"""The Playground: captioned 2-D physics in a room 10 units high, drawn from a diet and a seed."""

from kinema.worlds.playground.captions import Captions
from kinema.worlds.playground.diet import Diet, full, held_out, one_shape, tiny, two_shapes
from kinema.worlds.playground.episode import Episode, simulate
from kinema.worlds.playground.events import Event
from kinema.worlds.playground.tasks import Task
from kinema.worlds.playground.wording import VOCABULARY, unknown_words

__all__ = [
    "VOCABULARY",
    "Captions",
    "Diet",
    "Episode",
    "Event",
    "Task",
    "full",
    "held_out",
    "one_shape",
    "simulate",
    "tiny",
    "two_shapes",
    "unknown_words",
]
