"""Averaged weights: what a training writes as its model."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel

M = TypeVar("M", bound=nn.Module)


class WeightAverage(AveragedModel, Generic[M]):
    """Exponential moving average of a model's weights that forgets faster early in a run.

    Update s = 0, 1, ... keeps min(decay, 1 - 1 / (first + s / every)) of the average, so it reaches back over about
    first + s / every updates until decay limits it. The weights that the run begins with are its first value.
    """

    def __init__(self, model: M, decay: float, *, first: float = 2.0, every: int = 10) -> None:
        super().__init__(model, multi_avg_fn=self._lerp)
        self.decay, self.first, self.every = decay, first, every
        self.requires_grad_(False)
        self.go_on(0)

    def go_on(self, updates: int) -> None:
        """Take the average as it is for the one after so many updates."""
        self.n_averaged.fill_(updates + 1)

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
