"""Weights that wait in the machine's memory until the device uses them, for both formats of diffusers.

Standard pipelines have methods for it. Modular ones have not: a manager of their components, or hooks of each, do the same.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch


def offload(pipeline: Any, method: str, place: torch.device) -> None:
    """Have a loaded pipeline compute on a device, part by part.

    Args:
        pipeline: A pipeline of either format.
        method: "model", whole components in turn, or "group", layer by layer, which takes the least memory and the most time.
        place: The device.
    """
    stream = place.type == "cuda"
    if method == "group" and hasattr(pipeline, "enable_group_offload"):
        pipeline.enable_group_offload(onload_device=place, offload_type="leaf_level", use_stream=stream)
    elif method == "group":
        hooks = importlib.import_module("diffusers.hooks")
        for part in pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                hooks.apply_group_offloading(part, onload_device=place, offload_type="leaf_level", use_stream=stream)
    elif hasattr(pipeline, "enable_model_cpu_offload"):
        pipeline.enable_model_cpu_offload(device=place)
    else:
        manager = importlib.import_module("diffusers").ComponentsManager()
        for name, part in pipeline.components.items():
            if isinstance(part, torch.nn.Module):
                manager.add(name, part)
        manager.enable_auto_cpu_offload(device=place)
