"""Contacts: a new module changes nothing; partners that are far or not there do nothing; what it says of two slots depends neither
on their order nor on where in the room they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinema.models.objects.contacts import ContactModule
from kinema.scene.schema import PLAYGROUND


def scene(places: list[tuple[float, float]], speeds: list[tuple[float, float]], kinds: list[int]) -> tuple[Tensor, Tensor]:
    """One frame: a state [1, 1, K, F] and the mean [1, 1, K, 4] by the motion prior, from units."""
    state = -torch.ones(1, 1, len(places), PLAYGROUND.features)
    mean = torch.zeros(1, 1, len(places), 4)
    for k, ((x, y), (vx, vy), kind) in enumerate(zip(places, speeds, kinds, strict=True)):
        state[..., k, 0] = 1.0 if kind >= 0 else -1.0
        state[..., k, PLAYGROUND.slice("size")] = 0.0
        if kind >= 0:
            state[..., k, PLAYGROUND.slice("kind").start + kind] = 1.0
        mean[..., k, :] = torch.tensor([(x - 5) / 2.5, (y - 5) / 2.5, vx / 3, vy / 3])
    return state, mean


def trained(*, walls: bool = True) -> ContactModule:
    """A module that has something to say of slots, and of walls too or not."""
    torch.manual_seed(0)
    module = ContactModule(PLAYGROUND)
    for part in (module.pairs, module.sides)[: 1 + walls]:
        nn.init.normal_(part.last.weight, std=0.3)
    return module.requires_grad_(False)


def changes(module: ContactModule, state: Tensor, mean: Tensor, view: float = -1.0) -> Tensor:
    level, spread = torch.zeros_like(state), torch.full_like(mean, 0.1)
    change: Tensor = module(state, level, torch.full(state.shape[:2], view), mean, spread)[0]
    return change


def test_a_new_module_changes_nothing() -> None:
    state, mean = scene([(4, 5), (5.5, 5)], [(2, 0), (0, 0)], [0, 1])
    assert (changes(ContactModule(PLAYGROUND), state, mean) == 0).all()
    retained = ContactModule(PLAYGROUND)(state, torch.zeros_like(state), torch.ones(1, 1), mean, torch.full_like(mean, 0.1))[
        1
    ]
    assert (retained > 0.95).all() and (retained <= 1).all()


def test_partners_that_are_far_or_not_there_do_nothing() -> None:
    module = trained(walls=False)
    near, mean = scene([(4, 5), (5.6, 5)], [(2, 0), (0, 0)], [0, 0])
    far, far_mean = scene([(3, 5), (7.5, 5)], [(2, 0), (0, 0)], [0, 0])
    gone, gone_mean = scene([(4, 5), (5.6, 5)], [(2, 0), (0, 0)], [0, -1])
    assert changes(module, near, mean)[0, 0, 0].norm() > 1e-2
    assert changes(module, far, far_mean).abs().max() < 1e-3
    assert changes(module, gone, gone_mean).abs().max() < 1e-3


def test_an_unknown_partner_does_nothing() -> None:
    module = trained(walls=False)
    state, mean = scene([(4, 5), (5.6, 5)], [(2, 0), (0, 0)], [0, 0])
    level = torch.zeros_like(state)
    level[..., 1, :] = 1.0
    change, retained = module(state, level, -torch.ones(1, 1), mean, torch.full_like(mean, 0.1))
    assert change.abs().max() < 1e-3 and retained.min() > 0.999


def test_the_order_of_slots_does_not_matter() -> None:
    module = trained()
    state, mean = scene([(4, 5), (5.6, 5.3), (4.4, 6.2)], [(2, 0), (0, 1), (0, -1)], [0, 1, 3])
    order = [2, 0, 1]
    change, swapped = changes(module, state, mean), changes(module, state[:, :, order], mean[:, :, order])
    torch.testing.assert_close(change[:, :, order], swapped)


def test_where_in_the_room_two_meet_does_not_matter_away_from_walls() -> None:
    module = trained()
    here = changes(module, *scene([(4, 5), (5.6, 5.2)], [(2, 0), (0, 0)], [0, 0]))
    there = changes(module, *scene([(4.5, 5.4), (6.1, 5.6)], [(2, 0), (0, 0)], [0, 0]))
    torch.testing.assert_close(here, there, atol=2e-4, rtol=1e-3)


def test_walls_push_along_their_normal_and_the_floor_lies_where_the_view_says() -> None:
    module = trained()
    low = scene([(5, 1.0 + 0.86)], [(0, -2)], [0])
    assert changes(module, *low, view=1.0).abs().max() > 1e-3
    higher = scene([(5, 0.3 + 0.86)], [(0, -2)], [0])
    assert changes(module, *higher, view=-1.0).abs().max() > 1e-3


def test_a_frame_is_the_same_to_the_last_bit_among_any_others() -> None:
    module = trained()
    frames = [scene([(4, 5), (5.6 + 0.01 * i, 5)], [(2, 0), (0.1 * i, 0)], [0, 3]) for i in range(9)]
    state = torch.cat([s for s, _ in frames], 1).double()
    mean = torch.cat([m for _, m in frames], 1).double()
    every = changes(module, state, mean).float()
    for i in range(9):
        one = changes(module, state[:, i : i + 1], mean[:, i : i + 1]).float()
        assert torch.equal(one, every[:, i : i + 1])
