"""Muon for the matrices inside blocks, AdamW for everything else; an average of the weights for use.

Muon (Jordan et al. 2024) from torch.optim, with the update's size matched to AdamW's (Liu et al. 2025) so that both use
learning rates of one scale. torch's makes matrices orthogonal in bfloat16; a processor without instructions for that does it in
float32 (`Float32Muon`).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel

from kinema.autoencoder import fast_dtype
from kinema.training.parallel import like

log = logging.getLogger(__name__)
M = TypeVar("M", bound=nn.Module)
ANEW = "the run had optimizers of another kind: they begin anew, weights and averages go on"


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


class Float32Muon(torch.optim.Muon):
    """Muon with the same settings and state that makes matrices orthogonal in float32. Updates are matched to AdamW's in size."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply the gradients, once."""
        for group in self.param_groups:
            rate, keep = group["lr"], group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                mean = state["momentum_buffer"].lerp_(weight.grad, 1 - keep)
                made = orthogonal(weight.grad.lerp(mean, keep), group["ns_coefficients"], group["ns_steps"], group["eps"])
                size = 0.2 * max(weight.shape) ** 0.5
                weight.mul_(1 - rate * group["weight_decay"]).sub_(made, alpha=rate * size)


def orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], rounds: int, least: float) -> Tensor:
    """A matrix [M, N] with singular values near 1 and the singular vectors of this one, by Newton-Schulz iteration: each round puts
    an odd polynomial with these coefficients in the place of the singular values. least: of the norm that is divided by."""
    a, b, c = coefficients
    tall = len(matrix) > matrix.shape[1]
    x: Tensor = matrix.mT if tall else matrix
    x = x / x.norm().clamp_min(least)
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + torch.addmm(square, square, square, beta=b, alpha=c) @ x
    return x.mT if tall else x


class Optimizer:
    """Two optimizers, one learning-rate factor, gradient clipping and an exponential moving average of the weights."""

    def __init__(
        self, model: nn.Module, recipe: Rates, *, average: WeightAverage[Any] | None = None, muon: bool = True
    ) -> None:
        """average: of the model's weights; None: a new one. muon: whether it is used, else AdamW for all."""
        self.model, self.clip = model, recipe.clip
        learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        inside = {id(p) for name, p in learning if name.startswith("blocks.") and p.ndim == 2}
        if not muon:
            inside = set()
        matrices = [p for _, p in learning if id(p) in inside]
        others = [p for _, p in learning if id(p) not in inside]
        decay = recipe.weight_decay
        adam = torch.optim.AdamW(others, lr=recipe.other_lr, betas=(0.9, 0.99), weight_decay=decay, fused=True)
        self.parts: list[tuple[torch.optim.Optimizer, float]] = [(adam, recipe.other_lr)]
        if matrices:
            kind = torch.optim.Muon if fast_dtype(matrices[0].device) == torch.bfloat16 else Float32Muon
            of_matrices = kind(matrices, lr=recipe.matrix_lr, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
            self.parts.append((of_matrices, recipe.matrix_lr))
        self.average = WeightAverage(model, recipe.ema) if average is None else average

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
        """Go on after so many steps from what `state_dict` says of a whole model; this one may be sharded."""
        if len(self.parts) == len(state["parts"]):
            for (optimizer, _), saved in zip(self.parts, state["parts"], strict=True):
                optimizer.load_state_dict(saved)
                for weight, entries in optimizer.state.items():
                    shape = weight.shape
                    entries.update(
                        {key: like(x, weight) for key, x in entries.items() if torch.is_tensor(x) and x.shape == shape}
                    )
        else:
            log.warning(ANEW)
        own = self.average.module.state_dict()
        self.average.module.load_state_dict({name: like(x, own[name]) for name, x in state["average"].items()}, strict=True)
        self.average.n_averaged.fill_(1 + steps)

    def tensors(self) -> dict[str, Tensor]:
        """What it holds, by name, as it is held here: of each weight its average and the optimizer's state, PART/WEIGHT/ENTRY."""
        held = {f"average/{name}": x for name, x in self.average.module.state_dict().items()}
        for name, optimizer, weight in self._weights():
            held |= {f"optimizer/{name}/{key}": x for key, x in optimizer.state[weight].items()}
        return held

    def expect(self, stored: Mapping[str, torch.Size], steps: int) -> None:
        """Make room for a checkpoint after so many steps whose tensors have these names and shapes, so that `tensors` are those to
        be filled. Where the checkpoint is another optimizer's, this one begins anew."""
        self.average.n_averaged.fill_(1 + steps)
        held: list[tuple[torch.optim.Optimizer, Tensor, dict[str, Tensor]]] = []
        for name, optimizer, weight in self._weights():
            before = f"optimizer/{name}/"
            shapes = {entry.removeprefix(before): shape for entry, shape in stored.items() if entry.startswith(before)}
            if ("momentum_buffer" in shapes) != isinstance(optimizer, torch.optim.Muon):
                log.warning(ANEW)
                return
            entries = {
                key: torch.zeros_like(weight) if shape == weight.shape else torch.zeros(shape, device=weight.device)
                for key, shape in shapes.items()
            }
            held.append((optimizer, weight, entries))
        for optimizer, weight, entries in held:
            optimizer.state[weight] = entries

    def _weights(self) -> Iterator[tuple[str, torch.optim.Optimizer, Tensor]]:
        """Each weight that learns, with its name and its optimizer."""
        names = {id(weight): name for name, weight in self.model.named_parameters()}
        for optimizer, _ in self.parts:
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    yield names[id(weight)], optimizer, weight
