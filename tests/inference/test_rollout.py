"""Live mode's law: what is remembered is as good as looking again."""

from __future__ import annotations

import pytest
import torch

from kinema.canvas.canvas import Canvas, blank
from kinema.diffusion.samplers import noise_canvas
from kinema.inference.rollout import prefill, sliding_window_mask, split_frames, step
from kinema.models.block import KVCache
from kinema.models.denoiser import Denoiser, RolloutContext
from kinema.models.hub import Model

FRAMES = 9


def noisy(grid: tuple[int, int] | None) -> Canvas:
    """Frames at levels of their own."""
    canvas = blank(batch=2, frames=FRAMES, fps=16.0, slots=4, grid=grid)
    levels = {
        name: torch.rand(level.shape, generator=torch.Generator().manual_seed(1)) for name, level in canvas.levels.items()
    }
    return noise_canvas(canvas.with_levels(levels), [0, 1])


@pytest.mark.parametrize("grid", [None, (4, 4)])
@pytest.mark.parametrize("window", [3, FRAMES])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rollout_with_cache_equals_full_pass(
    denoiser: Denoiser, grid: tuple[int, int] | None, window: int, dtype: torch.dtype
) -> None:
    """Frame by frame, each reading `window` remembered ones, against the whole canvas under the same band of reading."""
    torch.nn.init.normal_(denoiser.action_in.weight, std=0.1)
    canvas = noisy(grid)
    device = torch.device("cpu")
    whole = denoiser.recall(canvas, None, KVCache(cached=[]), sliding_window_mask(0, FRAMES, window, device), dtype=dtype)
    cached: list[list[tuple[torch.Tensor, torch.Tensor]]] = []
    for t in range(FRAMES):
        one = canvas.pick(slice(t, t + 1))
        first = max(0, t - window)
        before = canvas.pick(slice(first, t))
        context, pairs = None, []
        if t:
            action = torch.cat([before.values["action"][:, -1], before.levels["action"][:, -1:]], -1)
            context = RolloutContext(
                time_s=before.time_s, state=before.values["state"], level=before.levels["state"], action=action
            )
            blocks = range(len(cached[0]))
            pairs = [tuple(torch.cat([cached[j][i][half] for j in range(first, t)], 2) for half in (0, 1)) for i in blocks]
        cache = KVCache(cached=pairs)  # type: ignore[arg-type]
        result = denoiser.recall(one, context, cache, None, dtype=dtype)
        cached.append(cache.new)
        for name in whole:
            close = (
                1e-5 if dtype == torch.float32 else 1e-3 if grid is None else 2e-2
            )  # a convolution of fewer frames rounds otherwise
            torch.testing.assert_close(result[name][:, 0], whole[name][:, t], atol=close, rtol=close)


def test_a_step_looks_at_the_last_frame_and_the_next_together(model: Model) -> None:
    """One step of `advance` gives what two passes would: first remember the last frame, then ask for the next."""
    generator = torch.Generator().manual_seed(3)
    canvas = blank(batch=1, frames=6, fps=16.0, slots=4)
    tracks = {name: torch.randn(x.shape, generator=generator) for name, x in canvas.values.items()}
    states = prefill(model, split_frames(tracks, 0.0, 16.0))
    assert all(m.kv is not None for m in states[:-1]) and states[-1].kv is None
    action = torch.tensor([[0.5, -0.5]])
    last, new = step(model, states, action, fps=16.0, seeds=[5])
    again = prefill(model, [*states[:-1], last, new])
    assert last.kv is not None and again[-2].kv is not None
    for (a, b), (c, d) in zip(last.kv, again[-2].kv, strict=True):
        torch.testing.assert_close(a, c, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(b, d, atol=1e-5, rtol=1e-4)
    assert torch.equal(new.tracks["camera"], last.tracks["camera"])
    assert new.time_s == pytest.approx(6 / 16)
    other, changed = step(model, states, -action, fps=16.0, seeds=[5])
    assert not torch.equal(new.tracks["state"], changed.tracks["state"])
    assert torch.equal(other.tracks["state"], last.tracks["state"])
