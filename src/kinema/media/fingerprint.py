"""Whether two films show the same: small copies of their frames, compared.

Anybody can put a public watermark into any film, so a server that finds its own mark also compares what the film shows with what it
made itself.

Axes: T frames, S x S cells of a small copy, 3 colors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinema.media.frame_buffer import each
from kinema.types import Frames

SIDE = 16
"""S: cells along each side, whatever the shape of the film."""
MOST_STORED, MOST_COMPARED = 256, 16
"""Frames of the copy that is kept of a film, and of one that is compared with it."""
PERCENTILE, ALIKE = 99.0, 24.0
"""Frames are alike if this share of the cells differ by at most so many gray levels: a film that was saved again or scaled
differs by a few, an object in another place by a hundred in a few cells."""

Copies = NDArray[np.uint8]


def small_copies(frames: Frames, most: int = MOST_STORED) -> Copies:
    """Small copies [n, S, S, 3] of up to `most` of the frames [T, H, W, 3], evenly spread."""
    index = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))
    box = Image.Resampling.BOX
    return np.stack([np.asarray(Image.fromarray(frame).resize((SIDE, SIDE), box)) for frame in each(frames, index)])


def same_content(shown: Copies, stored: Copies) -> bool:
    """Whether most frames of a film have one alike in another, which may be longer."""
    apart = np.abs(shown[:, None].astype(np.int16) - stored[None].astype(np.int16)).reshape(len(shown), len(stored), -1)
    nearest = np.percentile(apart, PERCENTILE, axis=-1).min(1)
    return bool(np.median(nearest) <= ALIKE)
