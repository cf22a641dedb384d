"""Whether torch.compile works on this machine: it needs a C++ compiler on processors, and Triton on GPUs."""

from __future__ import annotations

import logging
from functools import cache

import torch

log = logging.getLogger(__name__)


@cache
def can_compile(device: str) -> bool:
    """Compile the smallest function there is; where that fails, say so in one line, once per process."""

    def twice(x: torch.Tensor) -> torch.Tensor:
        return x * 2 + 1

    try:
        torch.compile(twice, dynamic=False)(torch.zeros(8, device=device))
    except Exception as error:  # compilers fail in every way: none, no headers, no Triton, a full disk
        reason = " ".join(str(error).split())[:120]
        log.warning(
            "torch.compile does not work here (%s: %s); training goes on without it, slower", type(error).__name__, reason
        )
        return False
    return True
