"""Laws of the denoiser: known cells return exactly, the future cannot leak, shapes follow the canvas, text has its time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kinema.canvas.canvas import Canvas, TextCondition, blank
from kinema.diffusion.samplers import noise_canvas
from kinema.errors import ModelError
from kinema.models.attention import attend, rotary, rotate
from kinema.models.config import DenoiserConfig
from kinema.models.denoiser import CLOSED, Denoiser, causal_bias


def noisy(frames: int = 6, grid: tuple[int, int] | None = (4, 4), batch: int = 2) -> Canvas:
    return noise_canvas(blank(batch=batch, frames=frames, fps=16.0, slots=4, grid=grid), list(range(batch)))


def test_known_cells_return_exactly(denoiser: Denoiser) -> None:
    canvas = noisy()
    levels = {name: torch.zeros_like(level) for name, level in canvas.levels.items()}
    done = denoiser(replace(canvas, levels=levels))
    for name, value in canvas.values.items():
        assert torch.equal(done[name], value), name


@pytest.mark.parametrize("grid", [None, (4, 4)])
def test_causal_means_the_future_cannot_leak(denoiser: Denoiser, grid: tuple[int, int] | None) -> None:
    canvas = noisy(grid=grid)
    later = {name: value.clone() for name, value in canvas.values.items()}
    for value in later.values():
        value[:, 4:] += 1.0
    a, b = denoiser(canvas, causal=True), denoiser(replace(canvas, values=later), causal=True)
    film = denoiser(replace(canvas, values=later))
    for name in a:
        torch.testing.assert_close(a[name][:, :4], b[name][:, :4], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(a["state"][:, 4:], b["state"][:, 4:])
    assert not torch.allclose(film["state"][:, :4], denoiser(canvas)["state"][:, :4])


@pytest.mark.parametrize(("frames", "grid"), [(1, (4, 4)), (5, (2, 7)), (9, None), (3, (8, 8))])
def test_size_duration_and_aspect_vary_freely(denoiser: Denoiser, frames: int, grid: tuple[int, int] | None) -> None:
    canvas = noisy(frames, grid, batch=1)
    done = denoiser(canvas)
    assert {name: value.shape for name, value in done.items()} == {n: v.shape for n, v in canvas.values.items()}


def test_text_is_read_in_its_time_span_only(denoiser: Denoiser) -> None:
    canvas = noisy(frames=6, grid=None, batch=1)
    reads = torch.zeros(1, 6, 5, dtype=torch.bool)
    reads[:, :3] = True
    one = TextCondition(states=torch.randn(1, 5, 384), reads=reads)
    two = TextCondition(states=torch.randn(1, 5, 384), reads=reads)
    a = denoiser(replace(canvas, text=one), causal=False)["state"]
    b = denoiser(replace(canvas, text=two), causal=False)["state"]
    assert not torch.allclose(a[:, :3], b[:, :3])
    silent = TextCondition(states=one.states, reads=torch.zeros_like(reads))
    torch.testing.assert_close(
        denoiser(replace(canvas, text=silent))["state"], denoiser(canvas)["state"], atol=1e-5, rtol=1e-4
    )


def test_attention_written_out_equals_the_fused_kernel() -> None:
    q, k, v = (torch.randn(2, 3, 7, 16) for _ in range(3))
    bias = torch.zeros(7, 7).masked_fill(torch.ones(7, 7).triu(1).bool(), -1e4)
    written = attend(q.requires_grad_(), k, v, bias)
    with torch.no_grad():
        torch.testing.assert_close(written, attend(q, k, v, bias), atol=1e-5, rtol=1e-4)


def test_rotary_scores_depend_on_distance_only() -> None:
    q, k = torch.randn(16), torch.randn(16)
    score = lambda a, b: float(rotate(q, *rotary(torch.tensor(a), 16)) @ rotate(k, *rotary(torch.tensor(b), 16)))
    assert score(3.0, 1.5) == pytest.approx(score(13.0, 11.5), abs=1e-4)


def test_bf16_is_close_to_float32(denoiser: Denoiser) -> None:
    canvas = noisy()
    full, half = denoiser(canvas), denoiser(canvas, dtype=torch.bfloat16)
    for name in full:
        torch.testing.assert_close(full[name], half[name], atol=0.05, rtol=0.05)


def test_config_errors() -> None:
    good = {
        "width": 32,
        "depth": 2,
        "heads": 2,
        "mlp_ratio": 2,
        "slots": 4,
        "latent_channels": 24,
        "patch": 2,
        "text_dim": 384,
    }
    with pytest.raises(ModelError, match="even"):
        DenoiserConfig(**{**good, "depth": 3})
    with pytest.raises(ModelError, match="per head"):
        DenoiserConfig(**{**good, "heads": 3})
    with pytest.raises(ModelError, match="fit this version"):
        DenoiserConfig.from_dict({**good, "colour": 1})


def test_each_frame_gets_the_action_of_the_previous_one_if_it_may_read_it(denoiser: Denoiser) -> None:
    torch.nn.init.normal_(denoiser.action_in.weight, std=0.1)
    frames = 5
    action, level = torch.randn(1, frames, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(1, frames)
    other = action.clone()
    other[:, 2] += 1
    time_s = torch.arange(frames)[None] / 16.0
    closed = causal_bias(frames, torch.device("cpu"))
    closed[3, 2] = CLOSED

    def changed(level: torch.Tensor, bias: torch.Tensor | None) -> list[bool]:
        a, b = (denoiser._action_token(done, level, time_s, bias, None)[0, :, 0] for done in (action, other))
        return [not torch.equal(x, y) for x, y in zip(a, b, strict=True)]

    assert changed(level, None) == [False, False, False, True, False]
    assert not any(changed(level, closed)) and not any(changed(torch.ones(1, frames), None))
