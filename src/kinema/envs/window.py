"""Gymnasium's render modes: "rgb_array" returns an environment's pictures, "human" shows them in a window, by pygame."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError

SIDE = 512
"""Least height of the window in pixels."""


class Window:
    """Opens at the first picture; closing it by hand ends nothing but the window."""

    def __init__(self) -> None:
        try:
            import pygame
        except ImportError:
            raise InputError("render_mode 'human' needs pygame: pip install pygame; or use 'rgb_array'") from None
        self._pygame: Any = pygame
        self._screen: Any = None
        self._clock: Any = None

    def show(self, frame: NDArray[np.uint8], fps: float) -> None:
        """Show a picture uint8 [H, W, 3], enlarged, no sooner than 1 / fps after the last."""
        pygame = self._pygame
        scale = max(1, SIDE // frame.shape[0])
        large = frame.repeat(scale, 0).repeat(scale, 1)
        if self._screen is None:
            pygame.init()
            self._screen = pygame.display.set_mode((large.shape[1], large.shape[0]))
            pygame.display.set_caption("kinema")
            self._clock = pygame.time.Clock()
        pygame.event.pump()
        self._screen.blit(pygame.surfarray.make_surface(large.swapaxes(0, 1)), (0, 0))
        pygame.display.flip()
        self._clock.tick(fps)

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy opens a window of its own at its first picture."""
        self.__init__()  # type: ignore[misc]

    def close(self) -> None:
        """Close it; showing another picture opens it again."""
        if self._screen is not None:
            self._pygame.display.quit()
            self._screen = None


def check_render_mode(mode: str | None, modes: list[str]) -> str | None:
    """The render mode; InputError for one that an environment does not have."""
    if mode not in (None, *modes):
        raise InputError(f"render_mode {mode!r}: expected None or {' or '.join(modes)}")
    return mode


def check_count(name: str, value: Any) -> None:
    """InputError for anything but a whole number from 1 on."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name} {str(value)[:40]!r}: expected a whole number, at least 1")


def check_time_limit(duration_s: Any) -> None:
    """InputError for a time limit that is not a positive number of seconds."""
    if isinstance(duration_s, bool) or not isinstance(duration_s, int | float | np.number) or not 0 < duration_s < math.inf:
        raise InputError(f"duration_s {str(duration_s)[:40]!r}: expected seconds, more than 0")


class RenderedEnv(gym.Env[Any, Any], ABC):
    """An environment with pictures; a subclass gives `pixels` and calls `_show` after each frame."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 16}  # noqa: RUF012

    def __init__(self, render_mode: str | None, fps: float) -> None:
        self.render_mode, self.fps = check_render_mode(render_mode, self.metadata["render_modes"]), fps
        self.metadata = {**self.metadata, "render_fps": round(fps)}
        self._window = Window() if render_mode == "human" else None

    @abstractmethod
    def pixels(self) -> NDArray[np.uint8]:
        """The current picture, uint8 [H, W, 3]."""

    def _show(self) -> None:
        if self._window is not None:
            self._window.show(self.pixels(), self.fps)

    def render(self) -> NDArray[np.uint8] | None:
        """The current picture, uint8 [H, W, 3]; in mode "human" it is shown in a window instead."""
        self._show()
        return self.pixels() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
