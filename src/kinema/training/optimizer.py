"""Muon for the matrices inside blocks, AdamW for everything else; an average of the weights for use.

Muon (Jordan et al. 2024) from torch.optim, with the update's size matched to AdamW's (Liu et al. 2025) so that both use
learning rates of one scale. It orthogonalizes in bfloat16, so a processor without instructions for that takes AdamW for all.
"""

from __future__ import annotations

import copy
import logging
from typing import Any, Generic, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel

from kinema.autoencoder import fast_dtype

log = logging.getLogger(__name__)
M = TypeVar("M", bound=nn.Module)


class WeightAverage(AveragedModel, Generic[M]):
    """Exponential moving average of a model's weights that forgets faster early in a run.

    Update s = 0, 1, ... keeps min(decay, 1 - 1 / (first + s / every)) of the average: it reaches back over about first + s / every
    updates until decay limits it. The weights that the run begins with are its first value.
    """

    def __init__(self, model: M, decay: float, *, first: float = 2.0, every: int = 10) -> None:
        super().__init__(model, multi_avg_fn=self._lerp)
        self.decay, self.first, self.every = decay, first, every
        self.requires_grad_(False)
        self.restart(model)

    def restart(self, model: M) -> None:
        """Begin anew with these weights."""
        self.n_averaged.zero_()
        self.update_parameters(model)

    def averaged(self) -> M:
        """A copy of the model that holds the averaged weights, for evaluation."""
        return cast(M, copy.deepcopy(self.module).eval())

    @torch.no_grad()
    def _lerp(self, averages: PARAM_LIST, weights: PARAM_LIST, count: Tensor | int) -> None:
        updates = int(self.n_averaged) - 1  # `count` is the same on the weights' device, and reading it would wait for that
        keep = min(self.decay, 1.0 - 1.0 / (updates / self.every + self.first))
        torch._foreach_lerp_(averages, weights, 1.0 - keep)


class Rates(Protocol):
    """What a recipe says of its optimizer: learning rates, weight decay, limit of the gradient, decay of the average."""

    @property
    def matrix_lr(self) -> float: ...
    @property
    def other_lr(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def ema(self) -> float: ...


class Optimizer:
    """Two optimizers, one learning-rate factor, gradient clipping and an exponential moving average of the weights."""

    def __init__(self, model: nn.Module, recipe: Rates, *, average_every: int = 10) -> None:
        """average_every: `every` of the average."""
        self.model, self.clip = model, recipe.clip
        learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        inside = {id(p) for name, p in learning if name.startswith("blocks.") and p.ndim == 2}
        if fast_dtype(next(model.parameters()).device) != torch.bfloat16:
            inside = set()
        matrices = [p for _, p in learning if id(p) in inside]
        others = [p for _, p in learning if id(p) not in inside]
        decay = recipe.weight_decay
        adam = torch.optim.AdamW(others, lr=recipe.other_lr, betas=(0.9, 0.99), weight_decay=decay, fused=True)
        self.parts: list[tuple[torch.optim.Optimizer, float]] = [(adam, recipe.other_lr)]
        if matrices:
            muon = torch.optim.Muon(matrices, lr=recipe.matrix_lr, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
            self.parts.append((muon, recipe.matrix_lr))
        self.average = WeightAverage(model, recipe.ema, every=average_every)

    def step(self, factor: float) -> None:
        """Clip the gradients and apply them at `factor` times the learning rates."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        for optimizer, rate in self.parts:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.average.update_parameters(self.model)

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
        self.average.n_averaged.fill_(1 + steps)
