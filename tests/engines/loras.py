"""A LoRA for the tiny Wan."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch


def make_lora(model: Path, folder: Path) -> Path:
    """A file of low-rank weights for a tiny Wan's folder, with random values."""
    diffusers: Any = importlib.import_module("diffusers")
    peft: Any = importlib.import_module("peft")
    transformer = diffusers.WanTransformer3DModel.from_pretrained(model / "transformer")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformer.add_adapter(peft.LoraConfig(r=2, lora_alpha=8, target_modules=["to_q", "to_v"], init_lora_weights=False))
    layers = peft.utils.get_peft_model_state_dict(transformer)
    diffusers.WanPipeline.save_lora_weights(folder, transformer_lora_layers=layers)
    return folder / "pytorch_lora_weights.safetensors"
