"""All models that this installation has, by name: those that are shipped and those that were added."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

from kinema.engines.native import native_capabilities
from kinema.engines.opening import capabilities_for, opens
from kinema.engines.protocol import Capabilities, Workflow
from kinema.engines.registry import ModelEntry, find_entry, installed_entries
from kinema.errors import InputError, ModelError
from kinema.models.dit_model import DiTModelConfig
from kinema.models.hub import DEFAULT, available_models, find, is_dit_folder, read_config, read_slot_config

FRESH_S = 60.0
"""What another server said of its model is asked again after so long."""
_known: dict[str, tuple[float, Capabilities]] = {}
_lock = threading.Lock()


def model_names() -> list[str]:
    """Names of all installed models; a shipped model goes before an added one of the same name."""
    shipped = available_models()
    return [*shipped, *(name for name in installed_entries() if name not in shipped)]


def default_model() -> str:
    """The model that films where none is named. ModelError if there is none."""
    names = model_names()
    if not names:
        raise ModelError(
            "no model is installed; set KINEMA_WEIGHTS, make one: kinema train tiny, or add one: kinema models add"
        )
    return DEFAULT if DEFAULT in names else names[0]


def entry_named(name: str) -> ModelEntry | None:
    """The entry of an added model by its name or alias; None for a shipped one. ModelError if there is no such model."""
    if name in available_models():
        return None
    entry = find_entry(name)
    if entry is None:
        raise ModelError(f"no model {name[:80]!r}; there are {', '.join(model_names())}")
    return entry


def recorded_config(entry: ModelEntry) -> DiTModelConfig | None:
    """The config of an entry that is a recorded world; None for any other. ModelError: its config cannot be read."""
    if entry.is_upstream or not is_dit_folder(entry.source):
        return None
    config = read_config(Path(entry.source))
    return config if isinstance(config, DiTModelConfig) and config.world is not None else None


def recorded_worlds() -> dict[str, ModelEntry]:
    """The recorded worlds that were added, by name; those that cannot be read are left out."""
    shipped, worlds = available_models(), {}
    for name, entry in installed_entries().items():
        with suppress(InputError):
            if name not in shipped and recorded_config(entry) is not None:
                worlds[name] = entry
    return worlds


def capabilities_named(name: str) -> Capabilities:
    """What an installed model films, without loading it. ModelError if there is no such model; UnavailableModelError: its folder is
    gone or not whole."""
    entry = entry_named(name)
    if entry is None:
        with opens(name):
            return native_capabilities(read_slot_config(find(name)), name)
    key = f"{entry.to_toml()}{_changed_at(entry)}"
    with _lock:
        then, known = _known.get(key, (0.0, None))
    if known is not None and (not entry.is_upstream or time.monotonic() - then < FRESH_S):
        return known
    with opens(entry.name):
        made = capabilities_for(entry)
    with _lock:
        _known[key] = (time.monotonic(), made)
    return made


def read_ahead() -> threading.Thread:
    """Read what all models film in a thread, so that who asks first need not wait until diffusers is loaded."""

    def read() -> None:
        for name in model_names():
            with suppress(InputError):
                capabilities_named(name)

    thread = threading.Thread(target=read, name="kinema-models", daemon=True)
    thread.start()
    return thread


def _changed_at(entry: ModelEntry) -> float:
    if entry.is_upstream:
        return 0.0
    times = [path.stat().st_mtime for path in Path(entry.source).glob("*.json")] if Path(entry.source).is_dir() else []
    return max(times, default=0.0)


def models_for(workflow: Workflow) -> list[str]:
    """Names of the installed models that have a workflow; those that cannot be read are left out."""
    names = []
    for name in model_names():
        with suppress(InputError):
            if workflow in capabilities_named(name).workflows:
                names.append(name)
    return names


def others_with_controls() -> str:
    """For an error: which installed models can be steered by a state."""
    names = []
    for name in model_names():
        with suppress(InputError):
            if capabilities_named(name).controls:
                names.append(name)
    return f"; installed models that can: {', '.join(names)}" if names else "; add one that can, such as Wan VACE"
