"""A time budget holds for all of a run: fewer episodes are simulated where it is short, and what is cached is said."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from kinema.datasets.episode_cache import SHARD, EpisodeCache, Order
from kinema.training import caches, run
from kinema.training.caches import LEAST_EPISODES, fit_to_minutes, folder_of, orders_of, to_simulate, with_episodes
from kinema.training.recipes import Recipe, recipe, smoke


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def counts(of: Recipe) -> set[int]:
    return {phase.episodes for phase in (*of.phases, of.acting, of.meeting)}


def test_a_short_budget_simulates_what_a_third_of_it_allows() -> None:
    tiny = recipe("tiny")
    kinds = len(orders_of(tiny))
    assert counts(fit_to_minutes(tiny, 1.0, rate=600.0)) == {LEAST_EPISODES}
    assert counts(fit_to_minutes(tiny, 3.0, rate=kinds * 300.0)) == {256}
    some = fit_to_minutes(tiny, 30.0, rate=kinds * 130.0)  # 1,300 of each in ten minutes
    assert counts(some) == {1000}
    assert fit_to_minutes(tiny, 60_000.0, rate=600.0) == tiny


def test_episodes_that_are_there_are_used_whatever_the_budget(cache: Path) -> None:
    tiny = recipe("tiny")
    first = orders_of(tiny)[tiny.phases[-1].name]
    for number in range(3):
        first.shard(number).parent.mkdir(parents=True, exist_ok=True)
        first.shard(number).touch()
    short = fit_to_minutes(tiny, 1.0, rate=600.0)
    assert short.phases[-1].episodes == 3 * SHARD and short.phases[0].episodes == LEAST_EPISODES
    assert folder_of(short.phases[-1]) == first.folder


def test_a_cache_smaller_than_a_shard_does_not_pass_for_a_whole_one(cache: Path) -> None:
    phase = smoke().phases[0]
    few = replace(phase, episodes=3)
    assert folder_of(few) != folder_of(phase) and folder_of(few).parent == folder_of(phase).parent == cache / "banks"
    order = Order(folder=folder_of(few), source=few.distribution, episodes=3, base_seed=few.base_seed)
    order.claim()
    order.make(0)
    assert len(EpisodeCache(order.folder, episodes=3)) == 3 and not order.missing


def test_what_is_cached_and_where_is_one_line(cache: Path) -> None:
    line = to_simulate(with_episodes(smoke(), lambda phase: 10))
    assert line.startswith("simulating 30 episodes, about 2 MB") and str(cache) in line and "KINEMA_CACHE" in line


def test_a_short_run_is_trained_whole_within_its_minutes_and_goes_on_with_its_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(caches, "LEAST_EPISODES", 8)
    monkeypatch.setattr(caches, "episodes_a_minute", lambda: 3.0)
    large = replace(smoke(), compile=True, steps=1, canary_every=9, picture_every=9)
    with caplog.at_level(logging.INFO):
        folder = run.train(large, out=tmp_path / "run", minutes=5.0)
    assert "simulating 24 episodes" in caplog.text and (folder / "config.json").exists()
    state = run.checkpoint.load_checkpoint(tmp_path / "run")
    assert state["elapsed_s"] > 0 and state["recipe"]["compile"] is False
    again = run.within(large, None, state)
    assert counts(again) == {8} and not again.compile
