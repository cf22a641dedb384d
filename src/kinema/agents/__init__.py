"""Agents: learning inside the model, planning in it, imitating what it saw; all scored in the real room as in the imagined."""

from __future__ import annotations

from kinema.agents.evaluate import Score, score
from kinema.agents.policies import Imitator, Planner, Policy, Random, Still
from kinema.agents.ppo import Agent, Settings, learn
from kinema.agents.recorded import RecordedAgent, learn_recorded, score_recorded

__all__ = [
    "Agent",
    "Imitator",
    "Planner",
    "Policy",
    "Random",
    "RecordedAgent",
    "Score",
    "Settings",
    "Still",
    "learn",
    "learn_recorded",
    "score",
    "score_recorded",
]
