"""The tasks, in the order of their numbers."""

from kinema.evaluation.task import ArenaTask
from kinema.evaluation.tasks.agent import AGENTS
from kinema.evaluation.tasks.causes import CAUSES
from kinema.evaluation.tasks.conservation import CONSERVATION
from kinema.evaluation.tasks.cost import COST
from kinema.evaluation.tasks.distribution import DISTRIBUTION
from kinema.evaluation.tasks.foresight import ACTIONS, COMBINATIONS, FUTURE
from kinema.evaluation.tasks.long import LONG
from kinema.evaluation.tasks.permanence import PERMANENCE
from kinema.evaluation.tasks.phyworld import MOTION, UNIFORM
from kinema.evaluation.tasks.prompts import PROMPTS
from kinema.evaluation.tasks.surprise import SURPRISE

TASKS: dict[str, ArenaTask] = {
    task.name: task
    for task in (
        UNIFORM,
        MOTION,
        COMBINATIONS,
        CONSERVATION,
        SURPRISE,
        PERMANENCE,
        CAUSES,
        FUTURE,
        ACTIONS,
        LONG,
        DISTRIBUTION,
        COST,
        AGENTS,
        PROMPTS,
    )
}
