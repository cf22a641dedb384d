"""The thing that is acted with is found by its color, where it is looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from benchmarks.recorded_worlds import ACTED, game_again, made_together

from kinema.errors import InputError

PADDLE = ACTED["ALE/Pong-v5"]


def drawn(row: int, column: int = 58) -> np.ndarray:
    """A picture [64, 64, 3] of a paddle of 5 x 2 pixels."""
    picture = np.full((64, 64, 3), (144, 72, 17), np.uint8)
    picture[row : row + 5, column : column + 2] = PADDLE.color
    return picture


def test_a_paddle_is_found_by_its_color_where_it_plays() -> None:
    found = PADDLE.places(np.stack([drawn(20), drawn(20, column=4), np.zeros((64, 64, 3), np.uint8)]))
    assert found[0] == pytest.approx([22.5 / 64, 59 / 64])
    assert np.isnan(found[1:]).all()


def test_the_share_in_place_counts_what_is_really_seen() -> None:
    """A paddle that is two rows off is in place, one that is six off or gone is not; where the truth shows none nothing counts."""
    truth = np.stack([drawn(20), drawn(20), drawn(20), drawn(20, column=4)])
    made = np.stack([drawn(22), drawn(26), drawn(20, column=4), drawn(20)])
    assert PADDLE.share_in_place(made, truth) == pytest.approx(1 / 3)
    assert np.isnan(PADDLE.share_in_place(made[3:], truth[3:]))


class Slider(gym.Env[np.ndarray, int]):
    """A bar moves up or down, and by chance as it did before where it is sticky; the chance is not part of the state."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 30}
    observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, sticky: float = 0.25, render_mode: str | None = None) -> None:
        self.sticky, self.render_mode, self.chance = sticky, render_mode, np.random.default_rng(0)
        self.place, self.before = 32, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.place, self.before = 32, 0
        return self.render(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.before = self.before if self.chance.random() < self.sticky else int(action)
        self.place = int(np.clip(self.place + 4 * self.before - 2, 0, 56))
        return self.render(), 0.0, False, False, {}

    def render(self) -> np.ndarray:
        return np.where((np.arange(64) // 8 * 8 == self.place // 8 * 8)[:, None, None], 255, np.zeros((64, 64, 3))).astype(
            np.uint8
        )

    def clone_state(self) -> tuple[int, int]:
        return self.place, self.before

    def restore_state(self, state: tuple[int, int]) -> None:
        self.place, self.before = state


def test_a_game_of_chance_is_not_itself_again() -> None:
    gym.register("Slider-v0", Slider)
    try:
        chance = game_again("Slider-v0", {}, stretches=6)
        certain = game_again("Slider-v0", {"sticky": 0.0}, stretches=6)
    finally:
        del gym.registry["Slider-v0"]
    (column,) = chance
    assert certain[column] == "0.00 / 0.00 / 0.00 / 0.00"
    assert float(chance[column].split(" / ")[-1]) > 0.2
    assert game_again("CartPole-v1", {}, stretches=2) == {}


def test_environments_that_are_not_installed_are_left_out_of_one_model_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="several environments; 0 of 2 could be recorded"):
        list(made_together(["Nope-v0", "Nope-v1"], tmp_path, 1.0, False))
    assert capsys.readouterr().err.count("left out: Nope-v") == 2
