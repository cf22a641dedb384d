"""Laws of episode caches: what is told of an episode is found by its kind, and old formats are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinema.datasets import episode_cache
from kinema.datasets.episode_cache import JOLT, EpisodeCache, Order, build_shards, simulate_shard
from kinema.errors import InputError
from kinema.playground import simulate, tiny
from kinema.playground.phyworld import PhyWorld
from kinema.playground.scene_distribution import acting
from kinema.scene.scene import KINDS
from kinema.training.batches import draw_meeting_windows


def saved(folder: Path, arrays: episode_cache.Arrays) -> Path:
    folder.mkdir()
    np.savez(folder / "shard-00000.npz", **arrays)  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> EpisodeCache:
    """Episodes with and without a task."""
    return EpisodeCache(saved(tmp_path_factory.mktemp("bank") / "mixed", simulate_shard(tiny(), 0, 12)))


def test_captions_are_found_by_their_kind(mixed: EpisodeCache) -> None:
    tasks = 0
    for episode in range(len(mixed)):
        told = simulate(tiny(), episode, fps=episode_cache.FPS, num_frames=episode_cache.FRAMES).captions
        tasks += told.task is not None
        expected = (told.short, told.detailed, told.task or told.short, told.partial)
        found = [mixed.caption(episode, which) for which in range(4)]
        assert tuple(text for _, text in found) == expected
        assert all(states.shape[1] == 384 and len(states) > 2 for states, _ in found)
    assert 0 < tasks < len(mixed)


def test_windows_carry_the_caption_that_was_asked_for(mixed: EpisodeCache) -> None:
    zeros = np.zeros(3, np.int64)
    windows = mixed.windows(zeros + 1, zeros, zeros + 2, 8, np.array([-1, 3, 0]))
    assert windows.captions == ["", mixed.caption(1, 3)[1], mixed.caption(1, 0)[1]]
    assert windows.text_mask.any(1).tolist() == [False, True, True]


@pytest.mark.parametrize("stride", [1, 3])
def test_a_window_adds_up_rewards_and_ends_of_the_frames_that_it_leaves_out(tmp_path: Path, stride: int) -> None:
    """Of a window of every third frame a frame has the rewards of three; an end between two belongs to the later one."""
    arrays = simulate_shard(acting(), 5, 2)
    arrays["reward"] = np.arange(arrays["reward"].size, dtype=np.float32).reshape(arrays["reward"].shape)
    arrays["terminated"] = np.zeros_like(arrays["terminated"])
    arrays["terminated"][1, 11] = True
    cache = EpisodeCache(saved(tmp_path / "acting", arrays))
    ones = np.ones(1, np.int64)
    windows = cache.windows(ones, 4 * ones, stride * ones, 5, -ones)
    picks = 4 + stride * np.arange(5)
    expected = [arrays["reward"][1, pick - stride + 1 : pick + 1].sum() for pick in picks]
    np.testing.assert_allclose(windows.reward[0], expected, rtol=1e-5)
    assert windows.terminated[0].tolist() == [pick - stride < 11 <= pick for pick in picks]
    assert cache.end.tolist() == [-1, 11]


def test_a_world_without_partial_captions_tells_the_short_one(tmp_path: Path) -> None:
    cache = EpisodeCache(saved(tmp_path / "phyworld", simulate_shard(PhyWorld(), 0, 2)))
    assert [cache.caption(1, which)[1] for which in range(4)] == ["a ball"] * 4


def test_shards_are_the_same_wherever_they_are_made() -> None:
    one, two = simulate_shard(acting(), 5, 3), simulate_shard(acting(), 5, 3)
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_banks_of_an_older_format_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = simulate_shard(replace(tiny(), max_entities=1), 0, 1)
    del arrays["caption_which"]
    with pytest.raises(InputError, match="older format"):
        EpisodeCache(saved(tmp_path / "old", arrays))
    order = Order(folder=tmp_path / "new", source=tiny(), episodes=0, base_seed=0)
    build_shards([order])
    monkeypatch.setattr(episode_cache, "FORMAT", episode_cache.FORMAT + 1)
    with pytest.raises(InputError, match="another scene distribution, seed or format"):
        build_shards([order])


def test_jolts_are_contacts_of_what_is_in_sight(meetings: EpisodeCache) -> None:
    """Where a jolt is noted somebody's velocity changes more than gravity could; and things that meet do jolt."""
    episodes, frames = meetings.jolts
    assert len(set(episodes.tolist())) > 0.8 * len(meetings) and frames.min() >= 1
    vx, vy = (meetings.arrays[name].astype(np.float32) for name in ("vx", "vy"))
    change = np.hypot(vx[episodes, frames] - vx[episodes, frames - 1], vy[episodes, frames] - vy[episodes, frames - 1])
    assert (change.max(1) > JOLT).all()


def test_covered_frames_hide_something_behind_a_screen(meetings: EpisodeCache) -> None:
    episodes, frames = meetings.covered
    kind, visible = meetings.arrays["kind"][episodes], meetings.arrays["visible"].astype(np.float32)[episodes, frames]
    screen = kind == KINDS.index("screen")
    assert len(episodes) and screen.any(1).all()
    assert (np.where((kind >= 0) & ~screen, visible, 1.0).min(1) < 0.9).all()


def test_meetings_are_asked_for_at_their_contact(meetings: EpisodeCache) -> None:
    past = np.arange(12) % 3 != 2
    windows = draw_meeting_windows(np.random.default_rng(0), meetings, batch=64, frames=12, past=past, text_drop=0.0)
    vx, vy = windows.fields.vx, windows.fields.vy
    jolted = (np.hypot(np.diff(vx, axis=1), np.diff(vy, axis=1)) > JOLT).any(-1)
    hidden = (windows.fields.visible < 0.9) & (windows.fields.kind >= 0)[:, None]
    asked = jolted[:, ~past[1:]].any(1), hidden[:, ~past].any((1, 2))
    assert (asked[0] | asked[1]).mean() > 0.9
    assert asked[1].mean() > 0.25
