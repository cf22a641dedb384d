"""How long a run may be: a time budget in minutes, a number of steps, or both, whichever ends first."""

from __future__ import annotations

import math

from kinema.errors import InputError

COMPILE_FROM_MINUTES, COMPILE_FROM_STEPS = 10.0, 200
"""Time budgets and numbers of steps from which graphs are worth the minutes that compiling them takes."""
COMPILE_FROM_MINUTES_GPU = 3.0
"""The same time budget on a GPU. It is a guess: no GPU was at hand to measure it."""


def check_minutes(minutes: float | None) -> None:
    """InputError unless a time budget is a finite number above 0; None is no budget."""
    if minutes is not None and not 0 < minutes < math.inf:
        raise InputError(f"{minutes:g} minutes: expected a number above 0")


def check_steps(steps: int | None) -> None:
    """InputError unless a number of steps is 1 or more; None is no limit."""
    if steps is not None and steps < 1:
        raise InputError(f"{steps} steps: expected 1 or more")


def worth_compiling(minutes: float | None, steps: int | None = None, device: str = "cpu") -> bool:
    """Whether a run with this time budget and number of steps should compile its graphs on this device."""
    least = COMPILE_FROM_MINUTES_GPU if device.startswith("cuda") else COMPILE_FROM_MINUTES
    enough_minutes = minutes is None or minutes >= least
    return enough_minutes and (steps is None or steps >= COMPILE_FROM_STEPS)
