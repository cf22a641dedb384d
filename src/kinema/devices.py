"""Where a model computes: the one place that turns what a user asks for into a torch device."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kinema.errors import InputError

AUTO = "auto"


def available_devices() -> list[str]:
    """The kinds of device that this machine has, fastest first."""
    kinds = [("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()), ("cpu", True)]
    return [kind for kind, exists in kinds if exists]


def resolve_device(device: str | torch.device = AUTO) -> torch.device:
    """The device for "auto" (cuda, else mps, else cpu), "cpu", "cuda", "cuda:1" or "mps".

    InputError: no such device, or this machine does not have it.
    """
    if not isinstance(device, str | torch.device):
        raise InputError(f"a device that is {type(device).__name__}: expected auto, cpu, cuda or mps")
    if device == AUTO:
        return torch.device(available_devices()[0])
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise InputError(f"no device {str(device)[:40]!r}: expected auto, cpu, cuda or mps") from None
    if wanted.type == "meta":
        return wanted  # shapes without numbers, for tests
    count = torch.cuda.device_count() if wanted.type == "cuda" else 1
    if wanted.type not in available_devices() or (wanted.index or 0) >= count:
        raise InputError(
            f"device {str(device)!r} is not here: this machine has {', '.join(available_devices())}; leave it at auto"
        )
    return wanted


@contextmanager
def kept_rng() -> Iterator[None]:
    """After, torch's own generator of the processor is as it was found: networks draw weights from it when they are built."""
    before = torch.default_generator.get_state()
    try:
        yield
    finally:
        torch.default_generator.set_state(before)


_process = os.getpid()


def use_one_thread_if_forked() -> None:
    """In a forked process, compute with one thread. torch's threads do not survive a fork, and work for several would wait for them
    for ever."""
    global _process
    if _process != os.getpid():
        _process = os.getpid()
        torch.set_num_threads(1)


@contextmanager
def float32_default() -> Iterator[None]:
    """Within, torch makes tensors of float32 by default, whatever a program has chosen for models of its own; after, its choice
    holds again. Also a decorator."""
    before = torch.get_default_dtype()
    if before is torch.float32:
        yield
        return
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
