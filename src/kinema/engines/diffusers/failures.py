"""What goes wrong in a pipeline, as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kinema.errors import EngineError, InputError


@contextmanager
def reported(name: str) -> Iterator[None]:
    """What goes wrong in a pipeline as one line: memory, a bad value, or an error of the model's own code."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise EngineError(
            f"{name} ran out of memory; ask for a shorter or smaller film, or add the model with --offload model",
            "out_of_memory",
        ) from None
    except NameError as error:
        raise EngineError(f"{name} needs a package that is missing ({error}); try: pip install torchvision") from error
    except ImportError as error:
        raise EngineError(f"{name} needs a package that is missing: {' '.join(str(error).split())[:300]}") from error
    except (
        ValueError,
        TypeError,
        RuntimeError,
        OSError,
        NotImplementedError,
        AttributeError,
        KeyError,
    ) as error:
        if isinstance(error, RuntimeError) and "allocate memory" in str(error):
            raise EngineError(f"{name} ran out of memory; ask for a shorter or smaller film", "out_of_memory") from None
        if isinstance(error, InputError):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise EngineError(f"{name} failed: {type(error).__name__}: {lines[0][:300]}") from error
