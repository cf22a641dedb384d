"""What a model that films is trained on: how many clips at which shapes, lengths and rates, and what is left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kinema.datasets.clip_batches import WindowMix, kind_weights
from kinema.datasets.latent_cache import LatentCache
from kinema.training.film_lesson import FilmRecipe

ROWS = 40
"""Kinds of windows that a card lists at most."""


def clip_usage(caches: Sequence[tuple[str, LatentCache]], recipe: FilmRecipe, cell_px: int) -> list[dict[str, Any]]:
    """What training uses of each set.

    Args:
        caches: Sets of clips, each with what it is called.
        recipe: Of the training.
        cell_px: Pixels along a latent cell.

    Returns:
        For each set, under these names: "set"; "clips", those that are not held out; "held_out"; "pictures", clips of which single
        pictures alone are used, as they are shorter than the shortest windows, which have "shortest" frames; "kinds", for each kind
        of windows its "size" in pixels, "frames" of the clips, "fps", "clips", and "share" of the steps with clips.
    """
    mix = recipe.mix or WindowMix(lengths=(recipe.frames,))
    sets = []
    for name, cache in caches:
        kinds = cache.kinds(mix)
        rows = [
            {
                "size": f"{kind.width * cell_px}x{kind.height * cell_px}", "frames": 1 + (kind.frames - 1) * cache.time_factor,
                "fps": kind.fps,
                "clips": some.num_clips, "share": round(float(share), 3),
            }
            for (kind, some), share in zip(kinds.items(), kind_weights(kinds), strict=True)
        ] if kinds else []  # fmt: skip
        used = {int(clip) for some in kinds.values() for clip in some.clip}
        training = len(cache.names) - len(cache.held_out)
        sets.append(
            {
                "set": name, "clips": training, "held_out": len(cache.held_out), "pictures": training - len(used),
                "shortest": 1 + (min(mix.lengths) - 1) * cache.time_factor, "kinds": rows,
            }
        )  # fmt: skip
    return sets


def usage_lines(sets: Sequence[dict[str, Any]]) -> list[str]:
    """The same in words, a line for each set and each kind of windows."""
    lines = []
    for one in sets:
        line = f"{one['set']}: {one['clips']} clips for training, {one['held_out']} held out"
        if one["pictures"]:
            line += (
                f"; of those for training, {one['pictures']} with fewer than {one['shortest']} frames, the shortest windows, give"
                " single pictures alone"
            )
        lines.append(line)
        rows = sorted(one["kinds"], key=lambda row: -row["share"])
        lines += [
            f"  {row['size']}, {row['frames']} frames at {row['fps']:g} a second: {row['clips']}"
            f" clip{'s' if row['clips'] != 1 else ''},"
            f" {100 * row['share']:.0f}% of the steps with clips"
            for row in rows[:ROWS]
        ]
        if len(rows) > ROWS:
            rest = 100 * sum(row["share"] for row in rows[ROWS:])
            lines.append(f"  {len(rows) - ROWS} more kinds: {rest:.0f}%")
    return lines
