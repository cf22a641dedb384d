"""Engines: what films. Kinema's own models, pipelines of diffusers, and other servers, behind the same words."""

from kinema.engines.protocol import (
    WORKFLOWS,
    Cancelled,
    Capabilities,
    Engine,
    FilmPlan,
    FilmRequest,
    FrameRule,
    License,
    Lora,
    Workflow,
)

__all__ = [
    "WORKFLOWS",
    "Cancelled",
    "Capabilities",
    "Engine",
    "FilmPlan",
    "FilmRequest",
    "FrameRule",
    "License",
    "Lora",
    "Workflow",
]
