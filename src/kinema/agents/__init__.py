"""Agents: learning inside the model, planning in it, imitating what it saw; all scored in the real room as in the imagined."""

from __future__ import annotations

from kinema.agents.agent import Agent
from kinema.agents.evaluate import Score, score, score_recorded
from kinema.agents.policies import Imitator, Planner, Policy, Random, Still
from kinema.agents.ppo import PPOConfig, learn

__all__ = [
    "Agent",
    "Imitator",
    "PPOConfig",
    "Planner",
    "Policy",
    "Random",
    "Score",
    "Still",
    "learn",
    "score",
    "score_recorded",
]
