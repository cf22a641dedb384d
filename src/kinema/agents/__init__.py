"""Agents: learning inside the model, planning in it, imitating what it saw; all scored in the real room as in the imagined."""

from __future__ import annotations

from kinema.agents.agent import Agent
from kinema.agents.evaluate import Score, score, score_recorded
from kinema.agents.policies import Imitator, Planner, Policy, Random, Still
from kinema.agents.ppo import Settings, learn

__all__ = [
    "Agent",
    "Imitator",
    "Planner",
    "Policy",
    "Random",
    "Score",
    "Settings",
    "Still",
    "learn",
    "score",
    "score_recorded",
]
