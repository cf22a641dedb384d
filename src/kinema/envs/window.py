"""A window that shows an environment's pictures: Gymnasium's render mode "human", by pygame."""

from __future__ import annotations

from typing import Any

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

    def close(self) -> None:
        """Close it; showing another picture opens it again."""
        if self._screen is not None:
            self._pygame.display.quit()
            self._screen = None
