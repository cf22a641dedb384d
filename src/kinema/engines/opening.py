"""From a model's entry to its engine and its capabilities. What a source is decides which engine it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from kinema.devices import AUTO
from kinema.engines.diffusers.capabilities import capabilities_of, family_for
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.diffusers.folder import INDEX, MODULAR_INDEX, is_diffusers_folder, read_folder
from kinema.engines.dit_engine import DiTEngine, dit_capabilities
from kinema.engines.ledger import Ledger
from kinema.engines.protocol import Capabilities, Engine
from kinema.engines.registry import ModelEntry
from kinema.errors import InputError, ModelError, ModelListError, UnavailableModelError
from kinema.models.dit_model import DiTModelConfig
from kinema.models.hub import is_dit_folder, made_by, read_config


@contextmanager
def opens(name: str) -> Iterator[None]:
    """Within, the model of this name is opened: what its entry or its folder is at fault for is an UnavailableModelError."""
    try:
        yield
    except (ModelListError, UnavailableModelError):
        raise
    except InputError as error:
        raise UnavailableModelError(str(error), name) from None


def open_engine(entry: ModelEntry, *, device: str = AUTO, ledger: Ledger | None = None) -> Engine:
    """The engine of an entry, in this process. Weights are loaded with the first film.

    Args:
        entry: The model's entry.
        device: Where it computes, unless the entry says.
        ledger: Of a model on another server: where what was asked of it is written down.

    Returns:
        The engine.

    Raises:
        ModelError: The source is no model.
        InputError: A package that it needs is not installed.
    """
    if entry.is_upstream:
        from kinema.engines.upstream import UpstreamEngine

        return UpstreamEngine(entry, ledger=ledger)
    if is_dit_folder(entry.source):
        return DiTEngine(entry.source, name=entry.name, device=entry.device or device)
    _check_folder(entry)
    return DiffusersEngine(entry, device=device)


def capabilities_for(entry: ModelEntry) -> Capabilities:
    """What an entry's model can film, without loading it; of another server, what it says."""
    if entry.is_upstream:
        from kinema.engines.upstream import upstream_capabilities

        return upstream_capabilities(entry)
    if is_dit_folder(entry.source):
        config = read_config(Path(entry.source))
        assert isinstance(config, DiTModelConfig)
        return dit_capabilities(config, entry.name, Path(entry.source))
    _check_folder(entry)
    folder = read_folder(Path(entry.source), entry.gguf)
    return capabilities_of(entry, folder, family_for(folder))


def entry_of_source(source: str) -> ModelEntry | None:
    """An entry for a folder or address that was not added under a name; None if it is neither."""
    if source.startswith(("http://", "https://")):
        return ModelEntry(name="upstream", source=source)
    path = made_by(source)
    if not is_diffusers_folder(path) and not is_dit_folder(path):
        return None
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in path.resolve().name).lstrip("._-")[:64] or "model"
    return ModelEntry(name=name, source=str(path))


def _check_folder(entry: ModelEntry) -> None:
    path = Path(entry.source)
    if not is_diffusers_folder(path) and not is_dit_folder(path):
        raise ModelError(
            f"{entry.name}: {entry.source} is no folder with {INDEX} or {MODULAR_INDEX}; fetch it, or add the model anew:"
            f" kinema models add FOLDER --name {entry.name}"
        )


def absolute(entry: ModelEntry) -> ModelEntry:
    """The entry with the whole paths of its folder and of its files, so that they are found from everywhere."""
    if entry.is_upstream:
        return entry
    loras = tuple(
        replace(lora, source=str(Path(lora.source).resolve())) if Path(lora.source).exists() else lora
        for lora in entry.loras
    )
    gguf = {name: str(Path(file).resolve()) for name, file in entry.gguf.items()}
    return replace(entry, source=str(made_by(entry.source).resolve()), loras=loras, gguf=gguf)
