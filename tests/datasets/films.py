"""Small films that tests of datasets and of curation make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from kinema.media import Clip


def scenery(seed: int, height: int, width: int) -> np.ndarray:
    """A picture with detail of all sizes and sharp edges, as scenery has, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    layers = np.zeros((height, width, 3))
    for cells, share in ((3, 0.5), (8, 0.3), (24, 0.2)):
        small = rng.uniform(0, 255, (cells, cells * 2, 3)).astype(np.uint8)
        layers += share * np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), np.float64)
    for _ in range(60):
        y, x = int(rng.integers(height)), int(rng.integers(width))
        h, w = int(rng.integers(2, height // 4)), int(rng.integers(2, width // 8))
        layers[y : y + h, x : x + w] = 0.4 * layers[y : y + h, x : x + w] + 0.6 * rng.uniform(0, 255, 3)
    return layers.clip(0, 255).astype(np.uint8)


def panning(seed: int, count: int, height: int = 72, width: int = 96, *, step_px: float = 1.5, fps: float = 12.0) -> Clip:
    """A camera that pans evenly over scenery."""
    wide = scenery(seed, height, width + int(step_px * count) + 1)
    lefts = (np.arange(count) * step_px).round().astype(int)
    return Clip(frames=np.stack([wide[:, left : left + width] for left in lefts]), fps=fps)


def captioned_folder(folder: Path, sizes: dict[str, tuple[int, int, int]]) -> Path:
    """Panning films with texts beside them; sizes: frames, height and width by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, (count, height, width)) in enumerate(sizes.items()):
        panning(seed, count, height, width).save(folder / f"{name}.mp4")
        (folder / f"{name}.txt").write_text(f"scenery number {seed}\n", encoding="utf-8")
    return folder
