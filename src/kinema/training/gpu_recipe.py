"""A recipe at the size of one data-centre GPU, and the same at a hundredth of it, to rehearse on a processor."""

from __future__ import annotations

from dataclasses import replace

from kinema.training.recipes import Phase, Recipe, Shape

MAKERS = {"still": 4, "crop": 2, "film": 4, "live": 3, "plan": 1}
"""Processes that make batches, of 16 cores."""
EPISODES = 24_000


def _phases(last: Phase, episodes: int) -> tuple[Phase, ...]:
    """Drawing first, then what happens, then all together while the learning rate falls."""
    one = replace(last, episodes=episodes)
    return (
        replace(one, until=0.25, still_share=0.55, film_share=0.2),
        replace(one, until=0.7, still_share=0.2, film_share=0.2),
        replace(one, until=1.0, still_share=0.35, film_share=0.3),
    )


def on_gpu(recipe: Recipe) -> Recipe:
    """Sixteen times the batch, graphs block by block, batches made ahead, losses read every 50 steps."""
    return replace(
        recipe,
        name=f"{recipe.name}-gpu",
        model=recipe.model or recipe.name,
        phases=_phases(recipe.phases[-1], EPISODES),
        acting=replace(recipe.acting, episodes=8_000 if recipe.acting_share else EPISODES),
        meeting=replace(recipe.meeting, episodes=12_000 if recipe.meeting_share else EPISODES),
        steps=1_000_000,
        plan_batch=16 * recipe.plan_batch,
        film_cells=16 * recipe.film_cells,
        film_shapes=(
            Shape(height=64, width=64, share=0.3),
            Shape(height=128, width=128, share=0.5),
            Shape(height=128, width=224, share=0.2),
        ),
        still_pixels=512 * 128 * 128,
        own_share=0.25 if recipe.own_share else 0.0,
        own_most=12,
        canary_every=1_000,
        picture_every=1_000_000,
        save_every_s=90.0,
        read_every=50,
        workers=MAKERS,
    )


def rehearsed(recipe: Recipe) -> Recipe:
    """The same run at a hundredth of the size."""
    return replace(
        recipe,
        phases=tuple(replace(phase, episodes=500) for phase in recipe.phases),
        acting=replace(recipe.acting, episodes=500),
        meeting=replace(recipe.meeting, episodes=500),
        plan_batch=2,
        film_cells=20 * 64,
        still_pixels=4 * 128 * 128,
        own_most=4,
        compile=False,
        canary_every=20,
        save_every_s=10.0,
        read_every=5,
        workers=dict.fromkeys(MAKERS, 1),
    )
