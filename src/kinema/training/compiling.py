"""Whether torch.compile works on this machine: it needs a C++ compiler on processors, and Triton on GPUs. What it compiles stays in
Kinema's cache folder, where the next run finds it."""

from __future__ import annotations

import logging
import os
from functools import cache

import torch

from kinema.training.caches import cache_folder

log = logging.getLogger(__name__)


@cache
def can_compile(device: str) -> bool:
    """Compile the smallest function there is; where that fails, say so in one line, once per process. Graphs are stored in
    TORCHINDUCTOR_CACHE_DIR, by default `compiled` in the cache folder: it is set here, before torch sets it at its first graph."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))

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
