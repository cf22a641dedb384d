"""The questions that teach the stem to see."""

from __future__ import annotations

import torch

from kinema.models.denoiser import cell_centers
from kinema.models.objects.detection import detection_dim, detection_loss
from kinema.scene.scene import KINDS
from kinema.scene.schema import PLAYGROUND

PLACES, UNITS = 8, 1.25
CENTERS = cell_centers(PLACES, PLACES, UNITS, torch.device("cpu"))


def one_thing(kind: int, color: int, x: float, y: float, *, visible: bool = True) -> torch.Tensor:
    state = torch.zeros(1, 1, 2, PLAYGROUND.features)
    state[..., 0] = -1.0
    state[0, 0, 0, 0] = 1.0
    for name, which in (("kind", kind), ("color", color)):
        state[0, 0, 0, PLAYGROUND.slice(name)] = -1.0
        state[0, 0, 0, PLAYGROUND.slice(name).start + which] = 1.0
    state[0, 0, 0, PLAYGROUND.slice("position")] = (torch.tensor([x, y]) - 5.0) / 2.5
    state[0, 0, 0, PLAYGROUND.slice("visible")] = 1.0 if visible else -1.0
    return state


def answers(kind: int, color: int, x: float, y: float) -> torch.Tensor:
    """What a perfect eye says."""
    offset = (torch.tensor([x, y]) - CENTERS.flip(-1)) / UNITS
    said = torch.full((PLACES**2, detection_dim(PLAYGROUND)), -20.0)
    said[:, 0] = torch.where(offset.abs().amax(-1) <= 1.0, 20.0, -20.0)
    said[:, 1:3] = offset
    said[:, 3 + kind] = said[:, 3 + len(KINDS) + color] = 20.0
    return said.reshape(1, 1, PLACES, PLACES, detection_dim(PLAYGROUND))


def loss(said: torch.Tensor, state: torch.Tensor, camera: tuple[float, ...] = (0, 0, 0), level: float = 0.0) -> float:
    planes = torch.full((1, 1, PLACES, PLACES), level)
    return float(
        detection_loss(said, state, torch.tensor(camera).float().reshape(1, 1, 3), planes, CENTERS, UNITS, PLAYGROUND)
    )


def test_a_perfect_eye_has_nothing_to_learn_and_every_mistake_costs() -> None:
    said = answers(2, 5, 3.3, 6.9)
    assert loss(said, one_thing(2, 5, 3.3, 6.9)) < 1e-4
    for wrong in (one_thing(3, 5, 3.3, 6.9), one_thing(2, 4, 3.3, 6.9), one_thing(2, 5, 3.9, 6.9), one_thing(2, 5, 8, 1)):
        assert loss(said, wrong) > 0.005


def test_what_is_hidden_is_not_asked_for_and_noise_excuses() -> None:
    said, hidden = answers(2, 5, 3.3, 6.9), one_thing(2, 5, 3.3, 6.9, visible=False)
    assert loss(said, hidden) > 0.1
    said[..., 0] = -20.0
    assert loss(said, hidden) < 1e-4
    assert loss(answers(1, 1, 9, 9), one_thing(2, 5, 3.3, 6.9), level=1.0) == 0.0


def test_the_camera_moves_what_is_asked() -> None:
    """A camera that pans right by 2 units and magnifies twice shows a thing at (6, 6) at (3, 7)."""
    said = answers(0, 1, 5 + 2 * (6 - 7), 5 + 2 * (6 - 5))
    assert loss(said, one_thing(0, 1, 6, 6), camera=(2 / 2.5, 0.0, 2.0)) < 1e-4
    assert loss(said, one_thing(0, 1, 6, 6)) > 0.1
