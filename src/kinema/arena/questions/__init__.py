"""The questions, in the order of their numbers."""

from kinema.arena.question import Question
from kinema.arena.questions.agent import AGENTS
from kinema.arena.questions.causes import CAUSES
from kinema.arena.questions.conservation import CONSERVATION
from kinema.arena.questions.cost import COST
from kinema.arena.questions.distribution import DISTRIBUTION
from kinema.arena.questions.foresight import ACTIONS, COMBINATIONS, FUTURE
from kinema.arena.questions.long import LONG
from kinema.arena.questions.permanence import PERMANENCE
from kinema.arena.questions.phyworld import MOTION, UNIFORM
from kinema.arena.questions.prompts import PROMPTS
from kinema.arena.questions.surprise import SURPRISE

QUESTIONS: dict[str, Question] = {
    question.name: question
    for question in (
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
