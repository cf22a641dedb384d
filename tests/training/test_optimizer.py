"""Muon where the processor is slow in bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from kinema.training.dit_trainer import DiTRecipe
from kinema.training.optimizer import Float32Muon, Optimizer, orthogonal

SETTINGS = {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
COEFFICIENTS = (3.4445, -4.775, 2.0315)


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (32, 32)])
def test_steps_in_float32_are_those_of_torchs_muon_to_its_precision(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours, theirs, begin = (nn.Parameter(torch.ones(shape)) for _ in range(3))
    mine, its = Float32Muon([ours], **SETTINGS), torch.optim.Muon([theirs], **SETTINGS)
    for _ in range(4):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        mine.step()
        its.step()
    assert (ours - begin).abs().mean() > 0.01, "it moved"
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0.0)
    assert mine.state_dict().keys() == its.state_dict().keys()
    torch.testing.assert_close(mine.state[ours]["momentum_buffer"], its.state[theirs]["momentum_buffer"])
    its.load_state_dict(mine.state_dict())
    mine.load_state_dict(its.state_dict())


@pytest.mark.parametrize("shape", [(24, 40), (40, 24)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    made = orthogonal(matrix, COEFFICIENTS, 5, 1e-7)
    assert torch.linalg.svdvals(made).min() > 0.6 and torch.linalg.svdvals(made).max() < 1.3
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    between = u.mT @ made @ v.mT
    assert (between - torch.diag(between.diagonal())).abs().max() < 1e-4
    assert not orthogonal(torch.zeros(shape), COEFFICIENTS, 5, 1e-7).any()


class Net(nn.Module):
    """One block with a matrix and a bias, and a layer outside."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(8, 8)])
        self.out = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.out(self.blocks[0](x))
        return made


@pytest.mark.parametrize(("narrow", "kind"), [(True, torch.optim.Muon), (False, Float32Muon)])
def test_matrices_inside_blocks_have_muon_on_every_processor(
    monkeypatch: pytest.MonkeyPatch, narrow: bool, kind: type[torch.optim.Optimizer]
) -> None:
    dtype = torch.bfloat16 if narrow else torch.float32
    monkeypatch.setattr("kinema.training.optimizer.fast_dtype", lambda device: dtype)
    net = Net()
    optimizer = Optimizer(net, DiTRecipe())
    assert [type(one) for one, _ in optimizer.parts] == [torch.optim.AdamW, kind]
    (matrix,) = optimizer.parts[1][0].param_groups[0]["params"]
    assert matrix is net.blocks[0].weight
    before = matrix.detach().clone()
    net(torch.randn(4, 8)).sum().backward()
    optimizer.step(1.0)
    assert not torch.equal(matrix, before)
    assert len(Optimizer(net, DiTRecipe(), muon=False).parts) == 1
