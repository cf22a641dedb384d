"""Load the pipeline of a folder, and make pipelines of other classes of its components."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Mapping
from typing import Any

import torch

from kinema.engines.diffusers.failures import reported
from kinema.engines.diffusers.families import Family
from kinema.engines.diffusers.folder import ModelFolder
from kinema.engines.diffusers.offload import offload
from kinema.engines.diffusers.quantized import gguf_components, quantization
from kinema.engines.registry import ModelEntry
from kinema.errors import ModelError

log = logging.getLogger(__name__)

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def _matters(record: logging.LogRecord) -> bool:
    """Whether a line of transformers is for a user: that Pillow resizes pictures where torchvision is missing is not. A film that
    needs torchvision says so (`EngineError`)."""
    return "requires torchvision (not installed); falling back" not in record.getMessage()


def require_diffusers() -> Any:
    """The module; ModelError with the command that installs it where it is missing."""
    logging.getLogger("transformers.utils.import_utils").addFilter(_matters)
    for name in ("accelerate", "transformers", "diffusers"):
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ModelError(
                f"{error.name} is not installed; open models need: pip install 'kinema[open-weights]'"
            ) from None
    return module


def load_pipeline(entry: ModelEntry, folder: ModelFolder, family: Family, place: torch.device) -> Any:
    """Load a folder with the data type and the memory plan of its entry, onto a device."""
    diffusers = require_diffusers()
    diffusers.utils.logging.disable_progress_bar()
    importlib.import_module("transformers").utils.logging.disable_progress_bar()
    dtype = DTYPES[entry.dtype] if entry.dtype else torch.bfloat16 if place.type == "cuda" else torch.float32
    given = gguf_components(entry, folder, dtype)
    with reported(entry.name):
        if folder.modular:
            pipeline = diffusers.ModularPipeline.from_pretrained(folder.path, local_files_only=True)
            where = {"pretrained_model_name_or_path": str(folder.path), "dtype": dtype, "local_files_only": True}
            wanted = [name for name in folder.components if name not in given]
            pipeline.load_components(names=wanted, **where)
            for component in pipeline.null_component_names:
                if component in wanted:
                    _load_again(pipeline, component, where)
            pipeline.update_components(**given)
        else:
            pipeline = getattr(diffusers, folder.base).from_pretrained(
                folder.path, dtype=dtype, local_files_only=True, **quantization(entry, dtype), **given
            )
    _put(pipeline, entry, folder, place)
    if family.tiled:
        pipeline.vae.enable_tiling()
    return pipeline


def _put(pipeline: Any, entry: ModelEntry, folder: ModelFolder, place: torch.device) -> None:
    """Put the weights on the device: all of them where there is room, else part by part as they are used."""
    method = entry.offload
    if place.type == "cpu":
        if method not in ("auto", "none"):
            raise ModelError(f"offload {method!r} needs a GPU, and {entry.name} runs on the CPU; use auto or none")
    elif method == "auto":
        free = torch.cuda.mem_get_info(place)[0] if place.type == "cuda" else 1 << 60
        method = "none" if folder.bytes * 1.25 < free else "model"
        sizes = folder.bytes / 1e9, free / 1e9
        log.info("%s: %.1f GB of weights, %.1f GB free, offload %s", entry.name, *sizes, method)
    if method in ("model", "group"):
        offload(pipeline, method, place)
    else:
        pipeline.to(place)
    if entry.compile:
        for name in ("transformer", "transformer_2", "unet"):
            if getattr(pipeline, name, None) is not None:
                getattr(pipeline, name).compile_repeated_blocks(fullgraph=True)
    if entry.cache == "first-block":
        pipeline.transformer.enable_cache(require_diffusers().FirstBlockCacheConfig(threshold=0.05))


def shared_pipeline(first: Any, wanted: Any) -> Any:
    """A pipeline of another class of the same components. Those that it can do without are left out."""
    needed, optional = _components_of(wanted)
    known = {name: part for name, part in first.components.items() if name in needed | optional}
    known |= {name: value for name, value in dict(first.config).items() if name in optional and name not in known}
    missing = sorted(needed - known.keys())
    if missing:
        raise ModelError(f"{wanted.__name__} needs {', '.join(missing)}, which this folder does not have")
    made = wanted(**known)
    return made


def _components_of(wanted: Any) -> tuple[set[str], set[str]]:
    """Names that a pipeline's class must be given, and those with a default."""
    parameters = [p for name, p in inspect.signature(wanted.__init__).parameters.items() if name != "self"]
    optional = {p.name for p in parameters if p.default is not inspect.Parameter.empty}
    optional |= set(getattr(wanted, "_optional_components", ()))
    return {p.name for p in parameters} - optional, optional


def _load_again(pipeline: Any, component: str, where: Mapping[str, Any]) -> None:
    """Raise why a component of a modular folder was not loaded, which diffusers only logs."""
    try:
        pipeline.get_component_spec(component).load(**where)
    except ValueError as error:
        if isinstance(error.__context__, ImportError):
            raise error.__context__ from None
        raise


def named_class(path: str) -> Any:
    """A class by its module and name."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)
