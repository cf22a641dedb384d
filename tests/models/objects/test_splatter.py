"""Slots stamp the map where they stand, and only as far as they are known."""

from __future__ import annotations

import pytest
import torch

from kinema.models.convolutions import MAP
from kinema.models.denoiser import cell_centers
from kinema.models.objects.splatter import SlotSplatter
from kinema.scene.schema import PLAYGROUND

UNITS = 1.25
CENTERS = cell_centers(8, 8, UNITS, torch.device("cpu"))


@pytest.fixture(scope="module")
def stamp() -> SlotSplatter:
    torch.manual_seed(0)
    return SlotSplatter(PLAYGROUND).requires_grad_(False)


def thing(x: float, y: float) -> torch.Tensor:
    state = torch.randn(1, 1, 1, PLAYGROUND.features, generator=torch.Generator().manual_seed(3))
    state[..., 0] = 1.0
    state[..., PLAYGROUND.slice("position")] = (torch.tensor([x, y]) - 5.0) / 2.5
    return state


def stamped(
    stamp: SlotSplatter, state: torch.Tensor, *, level: float = 0.0, camera: tuple[float, ...] = (0, 0, 0)
) -> torch.Tensor:
    """[M, 8, 8], less what an empty map holds."""

    def drawn(state: torch.Tensor) -> torch.Tensor:
        levels, view = torch.full_like(state, level), torch.tensor(camera).float().reshape(1, 1, 3)
        scene = torch.zeros(1, 1, PLAYGROUND.vectors["scene"])
        return stamp(state, levels, view, scene, CENTERS, UNITS, (8, 8), torch.float32)[0]

    nobody = state.clone()
    nobody[..., 0] = -1.0
    return drawn(state) - drawn(nobody)


def test_what_is_stamped_depends_on_the_thing_and_the_way_to_it_alone(stamp: SlotSplatter) -> None:
    """Moved by whole places, with all fields but the place kept out of it, the map moves along."""
    columns = PLAYGROUND.slice("position")
    stamp.slot_in.weight[:, columns] = 0.0
    moved, still = stamped(stamp, thing(4.1 + UNITS, 5.3 - UNITS)), stamped(stamp, thing(4.1, 5.3))
    assert still.shape == (MAP, 8, 8)
    torch.testing.assert_close(moved[:, 1:, 1:], still[:, :-1, :-1], rtol=1e-4, atol=1e-4)


def test_it_reaches_its_surroundings_only(stamp: SlotSplatter) -> None:
    far = (CENTERS.flip(-1) - torch.tensor([2.0, 2.0])).norm(dim=-1).reshape(8, 8) > 5
    marks = stamped(stamp, thing(2.0, 2.0)).abs().amax(0)
    assert marks[far].max() < 1e-2 * marks.max()


def test_what_is_not_known_or_not_there_stamps_nothing(stamp: SlotSplatter) -> None:
    assert stamped(stamp, thing(4.0, 6.0), level=1.0).abs().max() < 1e-5
    assert stamped(stamp, thing(4.0, 6.0)).abs().max() > 0.01
    hardly = thing(4.0, 6.0)
    hardly[..., 0] = -0.99
    assert stamped(stamp, hardly).abs().max() < 0.1 * stamped(stamp, thing(4.0, 6.0)).abs().max()


def test_the_setting_reaches_every_place(stamp: SlotSplatter) -> None:
    state, scene, camera = thing(4.0, 6.0), torch.ones(1, 1, PLAYGROUND.vectors["scene"]), torch.zeros(1, 1, 3)

    def drawn(scene: torch.Tensor) -> torch.Tensor:
        return stamp(state, torch.zeros_like(state), camera, scene, CENTERS, UNITS, (8, 8), torch.float32)

    assert ((drawn(scene) - drawn(0 * scene)).abs().amax(1) > 1e-3).all()


def test_the_camera_moves_the_stamp(stamp: SlotSplatter) -> None:
    """Panned by 2.5 units (two places), a thing at x = 7.5 is stamped around where one at 5 would be."""
    drawn = stamped(stamp, thing(7.5, 5.0), camera=(1.0, 0.0, 0.0)).abs().sum(0)
    assert (drawn.sum(0) * CENTERS[:8, 1]).sum() / drawn.sum() == pytest.approx(5.0, abs=0.5)
