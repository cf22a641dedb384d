"""Films of the Playground as captioned clips: what is drawn, whose words they have, and what is held out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinema.autoencoder import VideoAutoencoder, load_autoencoder
from kinema.datasets.episode_cache import EpisodeCache, simulate_shard, trained_on
from kinema.datasets.episode_clips import EpisodeClips
from kinema.errors import InputError
from kinema.models.hub import weights_folder
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene
from kinema.text import default_encoder


@pytest.fixture(scope="module")
def autoencoder() -> VideoAutoencoder:
    return load_autoencoder(weights_folder() / "codec-8x8")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, autoencoder: VideoAutoencoder) -> EpisodeClips:
    folder = tmp_path_factory.mktemp("bank")
    np.savez(folder / "shard-00000.npz", **simulate_shard(tiny(), 0, 6))  # type: ignore[arg-type]
    return EpisodeClips(EpisodeCache(folder), autoencoder)


def test_a_window_is_the_film_of_its_episode_with_words_said_of_it(
    clips: EpisodeClips, autoencoder: VideoAutoencoder
) -> None:
    batch = clips.sample_batch(0, 0, 4, clips.longest())
    for row, name in enumerate(batch.names):
        episode = simulate(tiny(), int(name.removeprefix("episode-")), fps=32.0, num_frames=128)
        true = autoencoder.encode_frames(render_scene(episode.scene, height=64, width=64)[::4])
        assert (batch.latents[row] - true).square().mean() < 0.02 * true.square().mean()
        assert batch.captions[row] in (episode.captions.short, episode.captions.detailed)
        states, mask = default_encoder().encode([batch.captions[row]], max_tokens=40)
        assert batch.text_mask[row].sum() == mask.sum()
        said = batch.text_states[row][batch.text_mask[row]].numpy()
        np.testing.assert_allclose(said, states[mask], atol=0.02)


def test_batches_are_a_function_of_seed_and_step_that_ranks_share(clips: EpisodeClips) -> None:
    whole = clips.sample_batch(3, 5, 4, 8)
    parts = [clips.sample_batch(3, 5, 4, 8, rank=rank, world_size=2) for rank in (0, 1)]
    assert torch.equal(whole.latents, torch.cat([part.latents for part in parts]))
    assert torch.equal(whole.text_states, torch.cat([part.text_states for part in parts]))
    assert whole.names == parts[0].names + parts[1].names and whole.fps.tolist() == [8.0] * 4
    assert not torch.equal(whole.latents, clips.sample_batch(3, 6, 4, 8).latents)


def test_held_out_episodes_are_never_trained_on(clips: EpisodeClips) -> None:
    trained = {name for step in range(20) for name in clips.sample_batch(0, step, 4, 2).names}
    held_out = {name for step in range(20) for name in clips.sample_batch(0, step, 4, 2, held_out=True).names}
    assert len(trained) == trained_on(clips.cache) and len(held_out) == len(clips.cache) - len(trained)
    assert not trained & held_out and trained == set(clips.names)


def test_what_cannot_be_drawn_is_said_in_one_line(clips: EpisodeClips, autoencoder: VideoAutoencoder) -> None:
    with pytest.raises(InputError, match="33 latent frames: the longest"):
        clips.sample_batch(0, 0, 2, clips.longest() + 1)
    with pytest.raises(InputError, match="5 frames a second"):
        EpisodeClips(clips.cache, autoencoder, fps=5.0)
