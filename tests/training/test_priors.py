"""Priors are found of recordings, kept where they tell something, and left where they do not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.server.recorded_worlds import RECIPE, cart_entities

from kinema.autoencoder import load_autoencoder
from kinema.datasets.lerobot import Dataset
from kinema.datasets.recorder import record
from kinema.inference.dit_rollout import WANTED, wanted_numbers
from kinema.models.hub import weights_folder
from kinema.models.priors import PicturePrior
from kinema.training.priors import PriorFrames, find_prior
from kinema.training.recordings import Recordings
from kinema.training.world_stages import config_for


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cart")
    record("CartPole-v1", folder, episodes_wanted=6, size=(32, 48), entities=cart_entities)
    return folder


@pytest.fixture
def recordings(recorded: Path) -> Recordings:
    """Whose pictures have a bright row of latents where the cart is."""
    made = Recordings(Dataset.open(recorded), load_autoencoder(weights_folder() / "codec-8x8"), None)
    for one in made.episodes:
        column = (2 + one["sensors"][:, made.entity_columns[0]]).round().clamp(0, 5).long()
        one["video"] = torch.nn.functional.one_hot(column, 6).float()[:, None, None].expand(-1, 24, 4, -1) + 1.0
    return made


def test_a_prior_is_of_where_things_are(recordings: Recordings, recorded: Path) -> None:
    config = config_for(Dataset.open(recorded), recordings, RECIPE, "x").network
    assert config.prior == {WANTED: [4, 6]} and not config.bodies
    found = find_prior(recordings, config, spread=0.4, seconds=math.inf, steps=150, seed=0)
    assert found["useful"] == 1 and found["spread"] == pytest.approx(0.4) and found["usual"].mean() > 1
    prior = PicturePrior(config)
    prior.load_state_dict(found)
    one = recordings.episodes[-1]
    numbers, yes = one["sensors"][:, recordings.entity_columns], torch.ones(len(one["sensors"]))
    vectors = {WANTED: wanted_numbers(numbers, yes, 0 * yes), "action": torch.zeros(len(yes), config.known["action"])}
    made = 0.4 * prior(vectors, torch.zeros_like(one["video"]))
    missed, usual = ((x - one["video"]).square().mean() for x in (made, found["usual"]))
    assert missed < 0.3 * usual, "of an episode that it was not fitted to"
    assert found["trust"].shape == (4, 6) and (found["trust"] != 0).any() and found["trust"].abs().max() <= 4
    again = find_prior(recordings, config, spread=0.4, seconds=math.inf, steps=150, seed=0)
    assert all(torch.equal(x, again[name]) for name, x in found.items())
    assert not config_for(Dataset.open(recorded), recordings, replace(RECIPE, prior_share=0.0), "x").network.prior


def test_pictures_that_numbers_say_nothing_of_have_no_prior(recordings: Recordings, recorded: Path) -> None:
    config = config_for(Dataset.open(recorded), recordings, RECIPE, "x").network
    assert not find_prior(recordings, config, spread=0.4, seconds=math.inf, steps=0, seed=0)["useful"], (
        "nothing is known yet"
    )
    for one in recordings.episodes:
        one["video"] = torch.randn(one["video"].shape, generator=torch.Generator().manual_seed(len(one["video"])))
    assert not find_prior(recordings, config, spread=0.4, seconds=math.inf, steps=60, seed=0)["useful"]
    for one in recordings.episodes:
        one["video"] = torch.ones_like(one["video"])
    still = find_prior(recordings, config, spread=0.4, seconds=math.inf, steps=20, seed=0)
    assert all(torch.isfinite(x).all() for x in still.values()), "of pictures that never change"
    recordings.episodes = [{name: x[:3] for name, x in one.items()} for one in recordings.episodes]
    assert not find_prior(recordings, config, spread=0.4, seconds=math.inf, steps=20, seed=0)["useful"], (
        "no episode is long enough"
    )


def test_frames_are_read_with_the_action_before_them(recordings: Recordings, recorded: Path) -> None:
    config = config_for(Dataset.open(recorded), recordings, RECIPE, "x").network
    frames = PriorFrames(recordings=recordings, places=[(0, 5), (1, 7)])
    prior = PicturePrior(config)
    read = frames.reads(torch.tensor([1, 0]), prior, torch.tensor([False, True]))
    first, width = recordings.episodes[1], config.known[WANTED]
    np.testing.assert_array_equal(read[0, :2], first["sensors"][7][recordings.entity_columns])
    np.testing.assert_array_equal(read[0, width:-1], first["action"][6])
    assert read[0, -1] == 1 and not read[1, width:].any()
    assert torch.equal(frames.latents(torch.tensor([1]))[0], first["video"][7].float())
