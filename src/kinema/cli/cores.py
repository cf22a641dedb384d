"""How the threads of a command share the cores with other processes."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SPINS = "3000"


def share_cores(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads that wait for one another spin only briefly before they sleep, unless the user has said how they wait.

    OpenMP's threads spin for long by default, which takes the core from the process that the others wait for: on a machine whose
    cores are busy, all are several times slower. Read when torch is loaded, so called before. Processes started later inherit it.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
