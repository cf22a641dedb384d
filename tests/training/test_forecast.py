"""Forecasts of a training: steps by the speed of the first ones, and measured runs alone beside them."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import torch
from tests.training.test_parallel import trainer_of

from kinema.models.dit import SIZES, DiTConfig, DiTInput
from kinema.models.dit_model import DiTModelConfig
from kinema.training import checkpoint
from kinema.training.film_lesson import FilmRecipe
from kinema.training.films import film_card
from kinema.training.flops import dit_flops
from kinema.training.forecast import (
    EARLIER,
    LEAST_TIMED,
    MEASURED,
    TIMED_S,
    TIMED_STEPS,
    Forecast,
    MeasuredRun,
    StepTimes,
    about,
    bought_before,
    film_kind,
    forecast_lines,
    forecast_run,
    world_kind,
)
from kinema.training.world_lesson import RecordingsLesson, WorldRecipe
from kinema.training.world_report import world_card

ROOT = Path(__file__).parents[2]
PONG = world_kind("XXS", 64, 64), "Pong"


def forecast_of(steps: int, targets: int = 48) -> Forecast:
    return Forecast(steps=steps, seconds=3600.0, left_s=3600.0, step_s=3600 / steps, targets=targets * steps)


@pytest.mark.parametrize("run", [*MEASURED, EARLIER], ids=lambda run: f"{run.learned}, {run.steps}")
def test_every_figure_of_a_measured_run_stands_in_its_source(run: MeasuredRun) -> None:
    file, heading = run.source
    sections = re.split(r"^#+ ", (ROOT / file).read_text(), flags=re.MULTILINE)
    section = next(text for text in sections if text.startswith(heading))
    for figure in (f"{run.steps:,}", *re.findall(r"\d+(?:\.\d+)?", run.reached)):
        assert re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d]|\.\d)", section), f"{figure} is not in {file}, {heading}"


def test_measured_runs_are_of_the_recipes_as_they_are() -> None:
    """Their targets are those of so many steps. Worlds had six rows a step until 2026-11-30."""
    world, film = WorldRecipe(), FilmRecipe()
    worlds = {(run.targets // run.steps, run.targets % run.steps) for run in MEASURED if run.kind.startswith("world")}
    assert {(world.batch * world.frames, 0)} <= worlds <= {(rows * world.frames, 0) for rows in (6, world.batch)}
    assert {run.targets / run.steps for run in MEASURED if run.kind.startswith("film")} == {film.batch * film.frames}
    kinds = {run.kind for run in MEASURED}
    assert {world_kind(world.size, 64, 64), film_kind(film.size, film.patch, film.short_side)} < kinds
    assert all(run.kind.split()[1] in SIZES for run in MEASURED)


def test_steps_are_those_that_the_minutes_afford() -> None:
    def ahead(effort: float = 1.0, late: float = 1.0, **length: float | None) -> Forecast:
        values = {"step": 0, "elapsed_s": 0.0, "steps": None, "minutes": None} | length
        return forecast_run(0.5, effort=lambda step, done: late if done >= 0.5 else effort, targets=48, **values)  # type: ignore[arg-type]

    plain = ahead(minutes=60)
    assert plain.steps == pytest.approx(7200, rel=2e-3) and plain.targets == 48 * plain.steps
    assert ahead(minutes=60, late=2.0).steps == pytest.approx(3600 + 1800, rel=3e-3), "later steps take longer"
    assert ahead(steps=100).seconds == pytest.approx(50.0) and ahead(steps=100).steps == 100
    assert ahead(steps=100, minutes=60).steps == 100, "whichever is first"
    assert ahead(steps=10**6, minutes=60).steps == pytest.approx(7200, rel=2e-3)
    on = ahead(minutes=60, step=500, elapsed_s=1800.0)
    assert on.steps == pytest.approx(500 + 3600, rel=2e-3) and on.left_s == pytest.approx(1800.0, rel=2e-3)


def test_compiling_is_no_part_of_a_step() -> None:
    times = StepTimes()
    times.add(300.0, 1.0)
    for _ in range(TIMED_STEPS - 1):
        times.add(0.4, 2.0)
    assert times.step_s() is None
    times.add(9.0, 1.0)
    assert times.step_s() == pytest.approx(0.2), "one slow step says little"
    slow = StepTimes()
    for _ in range(1 + LEAST_TIMED):
        assert slow.step_s() is None
        slow.add(TIMED_S / LEAST_TIMED, 1.0)
    assert slow.step_s() == TIMED_S / LEAST_TIMED, "long steps are few"


def test_what_a_length_bought_is_of_the_nearest_run_of_the_same_kind() -> None:
    text, warning = forecast_lines(forecast_of(5900), *PONG)
    assert warning is None and text.startswith("about 5,900 steps (280,000 frame targets) in 60 minutes, 0.61 s a step")
    assert "Pong without sticky actions, with 5,924 steps: 0.34 of copying's error after 12 frames" in text
    assert "with 267 steps of an earlier network copying the last picture was as good from the fourth frame on" in text
    assert "Breakout, with 4,910 steps" in forecast_lines(forecast_of(5000), PONG[0], "CartPole")[0]
    assert "Breakout, with 4,910 steps" in forecast_lines(forecast_of(5000), PONG[0], "breakout")[0]
    half = forecast_lines(forecast_of(2000, targets=24), *PONG)[0]
    assert "with 1,901 steps" in half, "a batch of half the size is half as much"


def test_a_run_that_is_too_short_is_warned_of() -> None:
    text, warning = forecast_lines(forecast_of(270), *PONG)
    assert text == forecast_of(270).length() and warning is not None
    assert warning.startswith("270 steps may be too few for worlds that beat copying the last picture: with 267 steps")
    assert "MiniGrid DoorKey 6x6, with 828 steps: 0.02 of copying's error after 12 frames" in warning
    assert warning.endswith("give it more --minutes or --steps")
    assert forecast_lines(forecast_of(1300), *PONG)[1] is None, "as many as the shortest that did"
    films = forecast_lines(forecast_of(600, targets=96), film_kind("XXS", 1, 64))[1]
    assert films is not None and "4,212 steps: the cast of the text in 18.8%" in films


@pytest.mark.parametrize(
    ("steps", "kind"), [(5900, world_kind("S", 64, 64)), (270, world_kind("XXS", 128, 128)), (10**6, PONG[0]), (5000, "")]
)
def test_where_nothing_near_was_measured_a_forecast_is_steps_and_time(steps: int, kind: str) -> None:
    assert bought_before(forecast_of(steps), kind) == ("", False)
    assert forecast_lines(forecast_of(steps), kind) == (forecast_of(steps).length(), None)


def test_numbers_are_given_as_exactly_as_they_are_known() -> None:
    assert [about(count) for count in (7, 43, 267, 5924, 283_200)] == ["7", "43", "270", "5,900", "280,000"]


def test_pictures_take_about_as_long_as_clips() -> None:
    """So that a forecast may be made while a run of films sees pictures: the same frames, by arithmetic."""
    recipe, words = FilmRecipe(), 20
    width, depth, heads = SIZES[recipe.size]
    config = DiTConfig(width=width, depth=depth, heads=heads, channels=24, patch=2, time_every=1, text_dim=384, places=True)

    def flops(rows: int, frames: int) -> float:
        text, mask = torch.empty(rows, words, 384, device="meta"), torch.empty(rows, words, device="meta")
        video = torch.empty(rows, frames, 24, 8, 8, device="meta")
        level = torch.empty(rows, frames, device="meta")
        return dit_flops(config, DiTInput(video=video, level=level, time_s=level, text=text, text_mask=mask))

    assert flops(recipe.batch * recipe.frames, 1) == pytest.approx(flops(recipe.batch, recipe.frames), rel=0.25)


def test_a_run_forecasts_once_and_its_checkpoint_and_card_keep_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    shown: list[str] = []
    trainer = trainer_of(tmp_path, steps=TIMED_STEPS + 3)
    trainer.run(shown.append)
    logged = [record.message for record in caplog.records if record.message.startswith("forecast: about 11 steps")]
    assert len(logged) == 1 and re.search(r"; done at \d\d:\d\d$", logged[0])
    assert shown[-1].startswith("step 11 of about 11  ") and shown[0].startswith("step 1  ")
    assert checkpoint.load_checkpoint(tmp_path)["forecast"] == trainer.forecast != ""
    again = trainer_of(tmp_path, steps=TIMED_STEPS + 3)
    again.load(checkpoint.load_checkpoint(tmp_path))
    assert again.forecast == trainer.forecast
    trained = {"minutes": 1.0, "steps": 11, "settings": {}, "forecast": trainer.forecast}
    network = DiTConfig(width=16, depth=2, heads=2, channels=3, time_every=1)
    common = {"network": network, "autoencoder": "x", "width": 8, "height": 8, "fps": 8.0, "frames": 3, "trained": trained}
    film = DiTModelConfig(name="x", film={}, **common)  # type: ignore[arg-type]
    world = DiTModelConfig(name="x", world={"size": [8, 8], "fps": 8.0, "reward_scale": 1.0}, **common)  # type: ignore[arg-type]
    for card in (film_card(film, {}), world_card(world, {}, 1)):
        assert f"Forecast after its first steps: {trainer.forecast}." in card


def test_making_a_past_counts_as_passes_forward() -> None:
    lesson = RecordingsLesson([], WorldRecipe())
    efforts = {lesson.effort(step, 0.9) for step in range(200)}
    assert efforts == {1.0, 1 + 1 / 3, 1 + 2 / 3, 1 + 4 / 3, 1 + 8 / 3}
    assert {lesson.effort(step, 0.1) for step in range(50)} == {1.0}
