"""Muon for the matrices inside blocks, AdamW for everything else; an average of the weights for use.

Muon (Jordan et al. 2024) from torch.optim, with the update's size matched to AdamW's (Liu et al. 2025) so that both use
learning rates of one scale. It orthogonalizes in bfloat16, so a processor without instructions for that takes AdamW for all.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from kinema.autoencoder import fast_dtype
from kinema.models.denoiser import Denoiser
from kinema.training.average import WeightAverage

log = logging.getLogger(__name__)


class Optimizer:
    """Two optimizers, one learning-rate factor, gradient clipping and an exponential moving average of the weights."""

    def __init__(
        self,
        model: Denoiser,
        *,
        matrix_lr: float,
        other_lr: float,
        weight_decay: float,
        clip: float,
        ema: float,
        average_every: int = 10,
    ) -> None:
        """ema: decay of the average; average_every: steps in which it comes to reach back one step further (`WeightAverage`)."""
        self.model, self.clip = model, clip
        learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        inside = {id(p) for name, p in learning if name.startswith("blocks.") and p.ndim == 2}
        if fast_dtype(next(model.parameters()).device) != torch.bfloat16:
            inside = set()
        matrices = [p for _, p in learning if id(p) in inside]
        others = [p for _, p in learning if id(p) not in inside]
        self.parts: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.AdamW(others, lr=other_lr, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True), other_lr)
        ]
        if matrices:
            muon = torch.optim.Muon(matrices, lr=matrix_lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            self.parts.append((muon, matrix_lr))
        self.average = WeightAverage(model, ema, every=average_every)

    def step(self, factor: float) -> Tensor:
        """Apply the gradients at `factor` times the learning rates; returns the gradient's norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        for optimizer, rate in self.parts:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.average.update_parameters(self.model)
        return norm

    def state_dict(self) -> dict[str, Any]:
        parts = [optimizer.state_dict() for optimizer, _ in self.parts]
        return {"parts": parts, "average": self.average.module.state_dict()}

    def load_state_dict(self, state: dict[str, Any], steps: int) -> None:
        """Go on after so many steps."""
        if len(self.parts) == len(state["parts"]):
            for (optimizer, _), saved in zip(self.parts, state["parts"], strict=True):
                optimizer.load_state_dict(saved)
        else:
            log.warning("the run was on a machine of another kind: its optimizers begin anew, weights and averages go on")
        self.average.module.load_state_dict(state["average"], strict=True)
        self.average.go_on(steps)
