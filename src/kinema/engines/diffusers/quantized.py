"""Networks whose weights are smaller than they were trained: by bitsandbytes while they are loaded, or from GGUF files."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from kinema.engines.diffusers.folder import ModelFolder
from kinema.engines.registry import ModelEntry
from kinema.errors import ModelError


def quantization(entry: ModelEntry, dtype: torch.dtype) -> dict[str, Any]:
    """The arguments of diffusers' `from_pretrained` for an entry whose transformer is quantized while it is loaded."""
    if not entry.quantize:
        return {}
    backends: dict[str, tuple[str, dict[str, Any]]] = {
        "int8": ("bitsandbytes_8bit", {"load_in_8bit": True}),
        "nf4": ("bitsandbytes_4bit", {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}),
    }
    backend, arguments = backends[entry.quantize]
    config = importlib.import_module("diffusers").PipelineQuantizationConfig(
        quant_backend=backend, quant_kwargs=arguments, components_to_quantize=["transformer"]
    )
    return {"quantization_config": config}


SAME_SIZE = 0.1
"""How much the numbers in a file may be off those of the network: files may hold some buffers more, or leave some out."""


def check_gguf(entry: ModelEntry, folder: ModelFolder) -> None:
    """Refuse GGUF files that hold the weights of another network, by how many numbers they hold; no weights are read.

    Raises:
        ModelError: The package gguf is missing, diffusers reads no such files for this network, or the file does not fit or cannot
            be read.
    """
    for name, file in entry.gguf.items():
        kind = _kind_of(entry, folder, name)
        reader = importlib.import_module("gguf").GGUFReader
        try:
            numbers = sum(int(tensor.n_elements) for tensor in reader(file).tensors)
        except (ValueError, OSError, KeyError, IndexError) as error:
            raise _unfit(entry, name, file, error) from error
        with importlib.import_module("accelerate").init_empty_weights():
            wanted = sum(weight.numel() for weight in kind.from_config(dict(folder.configs[name])).parameters())
        if abs(numbers - wanted) > SAME_SIZE * wanted:
            of = f"it holds {numbers:,} numbers, this network has {wanted:,}; name the file of this component"
            raise _unfit(entry, name, file, ValueError(of))


def _kind_of(entry: ModelEntry, folder: ModelFolder, name: str) -> Any:
    """The class of a component that can be read from GGUF files. ModelError if it cannot, or the package is missing."""
    diffusers = importlib.import_module("diffusers")
    kind: Any = getattr(diffusers, str(folder.configs[name].get("_class_name")), None)
    if not hasattr(kind, "from_single_file"):
        raise ModelError(f"{name} of {entry.name} cannot be read from a GGUF file; leave out --gguf")
    try:
        importlib.import_module("gguf")
    except ImportError:
        raise ModelError("gguf is not installed; GGUF files need: pip install 'kinema[open-weights]'") from None
    return kind


def _unfit(entry: ModelEntry, name: str, file: str, error: Exception) -> ModelError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if "meta tensor" in reason:  # some weights of the network were not in the file
        reason = "it does not hold all weights of this network"
    return ModelError(f"{Path(file).name} does not fit {name} of {entry.name}: {reason[:200]}")


def gguf_components(entry: ModelEntry, folder: ModelFolder, dtype: torch.dtype) -> dict[str, Any]:
    """The components of an entry that come from GGUF files, by their names in the folder.

    Args:
        entry: The model's entry; its `gguf` names a file for each.
        folder: The folder, with the config of each.
        dtype: In which they compute; the weights stay as the file has them until they are used.

    Raises:
        ModelError: The folder has no such component, the file does not fit it, the package gguf is missing, or diffusers reads no
            such files for this network.
    """
    made = {}
    check_gguf(entry, folder)
    for name, file in entry.gguf.items():
        diffusers = importlib.import_module("diffusers")
        kind = _kind_of(entry, folder, name)
        config = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
        try:
            made[name] = kind.from_single_file(
                file, config=str(folder.path), subfolder=name, quantization_config=config, torch_dtype=dtype,
                local_files_only=True,
            )  # fmt: skip
        except (ValueError, OSError, KeyError, RuntimeError, IndexError) as error:
            raise _unfit(entry, name, file, error) from error
    return made
