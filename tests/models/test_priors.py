"""Priors: latents by told numbers."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kinema.errors import ModelError
from kinema.models.dit import DiT, DiTConfig, DiTInput, Point
from kinema.models.priors import TURNS, PicturePrior, prior_products

BLOCK: list[Point] = [(0, 0.0, 10.0), (1, 0.0, 10.0), (2, -1.0, 1.0), (3, -2.0, 2.0)]
"""In a picture that is 10 wide and high. Its sine is read in twice its size."""
GIVEN = 4
"""The column that says whether the numbers are given."""
CONFIG = DiTConfig(
    width=32, depth=1, heads=2, channels=3, context=2, known={"wanted": 6, "action": 4}, pointing_if={"wanted": GIVEN},
    pointing={"wanted": [(0, 0.0, 10.0), (5, 0.0, 1.0)], "action": [(0, -1.0, 1.0), (2, -1.0, 1.0)]}, prior={"wanted": [10, 10]},
)  # fmt: skip
BODIES = replace(CONFIG, bodies={"wanted": [BLOCK]}, pointing={}, known={"wanted": 6})


def block(x: float, y: float, angle: float = 0.0) -> Tensor:
    return torch.tensor([[x, y, math.cos(angle), 2 * math.sin(angle), 1.0, 0.0]])


def prior_of(config: DiTConfig) -> PicturePrior:
    """One that paints by chance, of where latents are alone, and not of the numbers themselves."""
    torch.manual_seed(0)
    prior = PicturePrior(config)
    prior.last.weight.normal_()
    prior.get_buffer("useful").fill_(1.0)
    prior.first.weight[:, : config.known["wanted"]] = 0.0
    return prior


def painted(prior: PicturePrior, told: Tensor, **others: Tensor) -> Tensor:
    """[C, h, w] over black."""
    return prior({"wanted": told, **others}, torch.zeros(1, 3, 10, 10))[0]


def alike(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-4, rtol=1e-4)


def test_what_is_painted_goes_with_a_thing_as_it_moves() -> None:
    prior = prior_of(BODIES)
    first, moved = (painted(prior, block(x, y)) for x, y in ((4.5, 4.5), (6.5, 3.5)))
    assert first.shape == (3, 10, 10) and not alike(first[:, 4, 4], first[:, 5, 6])
    assert alike(first[:, 4, 4], moved[:, 3, 6]) and alike(first[:, 6, 5], moved[:, 5, 7])
    assert alike(first, painted(prior, block(4.5, 4.5) * torch.tensor([1, 1, 0.7, 0.7, 1, 1]))), "a predicted angle"
    assert torch.isfinite(painted(prior, torch.zeros(1, 6))).all()


def test_patches_are_where_they_are_as_seen_from_a_thing_that_turns() -> None:
    prior = prior_of(BODIES)
    prior.first.weight[:, -2 * TURNS :] = 0.0  # of the angle alone
    still, quarter, tenth = (painted(prior, block(4.5, 4.5, angle)) for angle in (0.0, math.pi / 2, 0.1))
    assert alike(still[:, 4, 7], quarter[:, 7, 4]), "what was to its right is below it"
    assert alike(still[:, 6, 4], quarter[:, 4, 2]) and not alike(still[:, 4, 7], quarter[:, 4, 7])
    assert not alike(still, tenth)
    wide = prior_of(replace(BODIES, prior={"wanted": [5, 10]}))
    wide.load_state_dict(prior.state_dict() | {name: wide.state_dict()[name] for name in ("place_bias", "usual", "trust")})
    low = wide({"wanted": block(4.5, 5.0)}, torch.zeros(1, 3, 5, 10))[0]
    assert alike(low[:, 2], still[:, 4]), "a wide picture lies in the middle of the square"


def test_actions_are_read_of_the_last_frame_and_point_nowhere_where_there_are_none() -> None:
    prior = PicturePrior(CONFIG)
    assert prior.points == [(0, 0.0, 10.0), (5, 0.0, 1.0), (6, -1.0, 1.0)], (
        "the first action is of the frame before the last"
    )
    assert prior.known_if == [GIVEN, GIVEN, 8]
    action = torch.tensor([[0.5, 0.6, 0.7, 0.8]])
    read = prior.reads({"wanted": block(1, 2), "action": action})
    torch.testing.assert_close(read[0, 6:], torch.tensor([0.7, 0.8, 1.0]))
    assert not prior.reads({"wanted": block(1, 2), "action": 0 * action})[0, 6:].any()


def test_a_prior_is_the_change_from_the_last_frame_where_numbers_are_given() -> None:
    prior = PicturePrior(CONFIG)
    for name, value in (("usual", 0.5), ("spread", 0.25), ("useful", 1.0)):
        prior.get_buffer(name).fill_(value)
    vectors = {"wanted": block(1, 2), "action": torch.zeros(1, 4)}
    last = torch.full((1, 3, 10, 10), 0.25)
    assert torch.equal(prior(vectors, last), torch.full_like(last, 1.0)), "nothing is known but the usual picture"
    assert not prior(vectors | {"wanted": vectors["wanted"] * torch.tensor([1, 1, 1, 1, 0, 1])}, last).any()
    prior.get_buffer("useful").zero_()
    assert not prior(vectors, last).any()


def given(config: DiTConfig, **vectors: Tensor) -> DiTInput:
    torch.manual_seed(1)
    video, context = torch.randn(1, 2, 3, 10, 10), torch.randn(1, 2, 2, 3, 10, 10)
    known = {name: torch.randn(1, 2, width) for name, width in config.known.items()} | vectors
    return DiTInput(video=video, level=torch.ones(1, 2), time_s=torch.zeros(1, 2), context=context, vectors=known)


def test_a_network_adds_a_prior_as_far_as_it_trusts_it() -> None:
    torch.manual_seed(0)
    network = DiT(CONFIG).requires_grad_(False)
    x = given(CONFIG, wanted=block(1, 2).expand(1, 2, -1))
    prior, out = network.prior, network.video_out
    assert prior is not None and x.context is not None
    assert not any(parameter.requires_grad for parameter in PicturePrior(CONFIG).parameters())
    network.video_in.weight[:, :3] = 0.0  # it does not see the prior
    out.weight[-1] = 0.0
    prior.get_buffer("usual").fill_(0.5)
    without = network(x)["video"]
    prior.get_buffer("useful").fill_(1.0)
    prior.get_buffer("trust").fill_(2.0)
    for trust, share in ((100.0, 1.0), (-100.0, 0.0), (-2.0, 0.5)):
        assert out.bias is not None
        out.bias[-1] = trust
        added = network(x)["video"] - without
        torch.testing.assert_close(added, share * (0.5 - x.context[:, :, -1]), atol=1e-5, rtol=1e-5)
    network.video_in.weight[:, :3].normal_()
    out.bias[-1] = -100.0
    assert not alike(network(x)["video"], without), "it sees it too"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"bodies": {"wanted": [BLOCK[:2]]}}, "expected x, y, cosine and sine"),
        ({"bodies": {"wanted": [[(6, 0.0, 1.0), *BLOCK[1:]]]}}, "expected columns"),
        ({"bodies": {"wanted": [[(0, 1.0, 1.0), *BLOCK[1:]]]}}, "rising edges"),
        ({"prior": {"wanted": [10]}}, "expected rows and columns"),
        ({"prior": {"wanted": [10, 0]}}, "expected rows and columns"),
        ({"prior": {"action": [10, 10]}}, "for a name in pointing_if"),
        ({"prior": {"wanted": [1, 1], "action": [1, 1]}}, "for a name in pointing_if"),
        ({"context": 0}, "and a context"),
    ],
)
def test_what_no_prior_can_be_made_of_is_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ModelError, match=why):
        replace(CONFIG, **wrong)


def test_a_config_is_the_same_after_it_was_stored() -> None:
    config = replace(CONFIG, bodies={"wanted": [BLOCK]})
    assert DiTConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config
    weights = sum(x.numel() for name, x in PicturePrior(config).named_parameters() if name.endswith("weight"))
    assert prior_products(config) == 100 * weights and prior_products(replace(config, prior={})) == 0
