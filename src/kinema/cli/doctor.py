"""kinema doctor: what this installation is and what it finds: versions, devices, memory, disk, caches, models and their hashes."""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "torch",
    "numpy",
    "av",
    "pillow",
    "pymunk",
    "onnxruntime",
    "gymnasium",
    "stable-baselines3",
    "fastapi",
    "c2pa-python",
    "diffusers",
    "transformers",
)
GIB = 1 << 30


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("doctor", help="versions, devices, memory, caches and models", description=__doc__)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    for name, value in findings():
        print(f"{name:<12} {value}")
    return 0


def findings() -> Iterator[tuple[str, str]]:
    """What was found, as pairs of a name and one line."""
    yield "kinema", f"{version('kinema')}, Python {platform.python_version()}, {platform.platform()}"
    yield "packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    yield "devices", _devices()
    yield "compiler", shutil.which(os.environ.get("CXX", "c++")) or "none: training goes on without torch.compile, slower"
    yield from _space()
    yield from _models()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> str:
    import torch

    devices = [f"cpu ({torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()})"]
    devices += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    devices += ["mps"] * torch.backends.mps.is_available()
    return ", ".join(devices)


def _space() -> Iterator[tuple[str, str]]:
    from kinema.inference.limits import memory_free
    from kinema.training.caches import cache_folder

    cache = cache_folder()
    yield "memory", f"{memory_free() / GIB:.1f} GiB available"
    yield "disk", f"{shutil.disk_usage(Path.cwd()).free / GIB:.1f} GiB free in {Path.cwd()}"
    yield "cache", f"{cache}, {_size(cache) / GIB:.2f} GiB of simulated episodes; KINEMA_CACHE names another"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.exists() else 0


def _models() -> Iterator[tuple[str, str]]:
    from kinema.models.hub import WEIGHTS, available_models, find, read_config, weights_folder

    yield "models", f"{weights_folder()}; KINEMA_WEIGHTS names another"
    for name in available_models():
        file = find(name) / WEIGHTS
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        steps = read_config(file.parent).trained.get("steps", "unknown")
        yield "", f"{name}, step {steps}, {file.stat().st_size / (1 << 20):.1f} MiB, SHA-256 {digest}"
    yield from _open_models()


def _open_models() -> Iterator[tuple[str, str]]:
    from kinema.cli.models import line_of
    from kinema.engines.registry import installed_entries, registry_file

    yield "open models", f"{registry_file()}; KINEMA_MODELS names another"
    for entry in installed_entries().values():
        yield "", line_of(entry)
