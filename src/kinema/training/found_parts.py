"""Parts of a network that are found before it learns pictures: how they are trained, and stored in the run's folder, so that a run
that goes on need not find them again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kinema.errors import OutputError

CHECK_EVERY, WARM_UP = 200, 100
"""Steps from one check to the next; of a part, in which its rate rises."""


def fit_part(
    part: nn.Module,
    loss: Callable[[], Tensor],
    check: Callable[[], Tensor],
    *,
    before: float,
    rate: float,
    decay: float,
    seconds: float,
    steps: int | None,
    show: Callable[[int, float], None],
) -> tuple[int, float]:
    """Train a part of a network for so long or so many steps, whichever ends first, at a rate that falls to 0 in the second half;
    kept as it was when `check`, of a part without training `before`, was lowest.

    loss: of the next batch. show: gets the steps and the lowest check now and then. Returns both."""
    began, step, done, lowest = time.monotonic(), 0, 0.0, before
    best = {name: x.clone() for name, x in part.state_dict().items()}
    part.requires_grad_(True)
    optimizer = torch.optim.AdamW(part.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=decay, fused=True)
    while done < 1 and seconds > 0 and steps != 0:
        loss().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / WARM_UP, 2 * (1 - done))
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        done = max((time.monotonic() - began) / seconds, step / steps if steps else 0.0)
        if step % CHECK_EVERY == 0 or done >= 1:
            with torch.no_grad():
                now = float(check())
            if now < lowest:
                lowest, best = now, {name: x.clone() for name, x in part.state_dict().items()}
            show(step, lowest)
    part.load_state_dict(best)
    part.requires_grad_(False)
    return step, lowest


def save_found(weights: Mapping[str, Tensor], path: Path, sought: dict[str, str]) -> None:
    """sought: how long and with which seed they were found. OutputError: they cannot be written."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        save_file({name: x.contiguous() for name, x in weights.items()}, temporary, metadata=sought)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path} could not be written: {error}") from None


def load_found(path: Path, expected: Mapping[str, Tensor], sought: dict[str, str]) -> dict[str, Tensor] | None:
    """None where there are none that can be read, have the names and shapes of `expected`, and were found as asked."""
    try:
        with safe_open(path, "pt") as file:
            same = file.metadata() == sought and set(file.keys()) == expected.keys()
            weights = {name: file.get_tensor(name) for name in expected} if same else {}
    except (OSError, SafetensorError):
        return None
    return weights if same and all(x.shape == expected[name].shape for name, x in weights.items()) else None
