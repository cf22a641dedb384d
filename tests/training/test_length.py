"""Every training is refused where its length would never end it, or end it before the first step."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from kinema.autoencoder import AutoencoderConfig
from kinema.errors import InputError
from kinema.training.autoencoder.pictures import Scenes
from kinema.training.autoencoder.train import AutoencoderTrainer, TrainConfig
from kinema.training.length import check_minutes, check_steps, worth_compiling
from kinema.training.recipes import smoke


@pytest.mark.parametrize("minutes", [0, -1, -0.5, math.nan, math.inf])
def test_minutes_are_a_finite_number_above_0(minutes: float) -> None:
    with pytest.raises(InputError, match="minutes: expected a number above 0"):
        check_minutes(minutes)
    check_minutes(None)
    check_minutes(0.01)


@pytest.mark.parametrize("steps", [0, -1])
def test_steps_are_1_or_more(steps: int) -> None:
    with pytest.raises(InputError, match="steps: expected 1 or more"):
        check_steps(steps)
    with pytest.raises(InputError, match="steps: expected 1 or more"):
        replace(smoke(), steps=steps)
    check_steps(None)
    check_steps(1)


def test_an_autoencoder_takes_the_number_of_steps_that_was_given() -> None:
    config = TrainConfig(pixels=4 * 32 * 32, sides=((32, 1.0),), warmup=5)
    scenes, lines = Scenes(pixels=4 * 32 * 32), []

    def trainer(minutes: float | None, steps: int | None) -> AutoencoderTrainer:
        return AutoencoderTrainer(
            config,
            AutoencoderConfig(width=16, channels=8, depth=1),
            scenes.draw,
            lambda rng, n, side: scenes.draw(rng, n, side)[0],
            minutes=minutes,
            steps=steps,
        )

    run = trainer(None, 2)
    run.run(lines.append)
    assert run.step == 2 and len(lines) == 1 and lines[0].startswith("step 2  loss ") and lines[0].endswith("  0 s left")
    for minutes, steps in ((0.0, None), (-1.0, None), (None, 0), (None, None)):
        with pytest.raises(InputError, match="expected"):
            trainer(minutes, steps)


def test_short_runs_compile_nothing() -> None:
    assert worth_compiling(None) and worth_compiling(60.0) and not worth_compiling(1.0)
    assert worth_compiling(None, 1000) and not worth_compiling(None, 10) and not worth_compiling(60.0, 10)
