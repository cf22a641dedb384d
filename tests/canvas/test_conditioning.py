"""One test a row of the capability table: known cells come back bit-identical, unknown cells are filled."""

from __future__ import annotations

import pytest
import torch

from kinema.canvas import conditioning
from kinema.canvas.canvas import Canvas, blank
from kinema.diffusion.samplers import euler, noise_canvas, schedule
from kinema.errors import InputError
from kinema.inference.pipeline import fill_canvas
from kinema.inference.sampling import SamplingConfig, sample_canvas
from kinema.models.hub import Model
from kinema.scene.schema import PLAYGROUND

T, K, GRID = 8, 4, (4, 4)


def canvas(frames: int = T) -> Canvas:
    return blank(batch=1, frames=frames, fps=16.0, slots=K, grid=GRID)


def cells(n: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(1, n, *GRID, 96, generator=torch.Generator().manual_seed(seed))


def state(n: int = T) -> torch.Tensor:
    return torch.randn(1, n, K, canvas().values["state"].shape[-1], generator=torch.Generator().manual_seed(2))


def check(model: Model, laid: Canvas, *, joint: bool = True) -> Canvas:
    """Fill the canvas; every known cell is untouched to the bit, every unknown one has moved off zero and is finite."""
    done = (
        sample_canvas(model, laid, SamplingConfig(num_plan_steps=2), [0], steps=2, guidance=1.0)
        if joint
        else fill_canvas(model, laid, SamplingConfig(num_plan_steps=2), [0])
    )
    for name, before in laid.values.items():
        level = laid.levels[name] if name == "state" else laid.levels[name].reshape(*laid.levels[name].shape, 1)
        known = (level == 0).expand_as(before)
        assert torch.equal(done.values[name][known], before[known]), name
        assert torch.isfinite(done.values[name]).all(), name
        assert (done.values[name][~known] != before[~known]).float().mean() > 0.99 or known.all(), name
        assert (done.levels[name] == 0).all(), name
    return done


def test_still_image(model: Model) -> None:
    assert check(model, canvas(1)).num_frames == 1


@pytest.mark.parametrize("before", [False, True])
def test_extend(model: Model, before: bool) -> None:
    laid = conditioning.condition_extend(canvas(), cells(3), before=before)
    assert (laid.levels["video"][0, -3:] == 0).all() == before
    check(model, laid)


def test_infill_and_interpolate(model: Model) -> None:
    for known in ([0, 3, 7], list(range(0, T, 2))):
        done = check(model, conditioning.condition_infill(canvas(), known, cells(len(known))))
        assert torch.equal(done.values["video"][:, known], cells(len(known)))


def test_edit_keeps_what_the_mask_protects(model: Model) -> None:
    mask = torch.zeros(GRID, dtype=torch.bool)
    mask[:2] = True
    laid = conditioning.condition_edit(canvas(), cells(T), strength=0.5, mask=mask)
    done = sample_canvas(model, laid, SamplingConfig(num_plan_steps=2), [0], steps=2, guidance=1.0)
    assert torch.equal(done.values["video"][:, :, 2:], laid.values["video"][:, :, 2:])
    assert not torch.equal(done.values["video"][:, :, :2], laid.values["video"][:, :, :2])


def test_perceive_and_render(model: Model) -> None:
    assert torch.equal(check(model, conditioning.condition_perceive(canvas(), cells(T))).values["video"], cells(T))
    camera, setting = torch.zeros(1, T, PLAYGROUND.vectors["camera"]), torch.ones(1, T, PLAYGROUND.vectors["scene"])
    check(model, conditioning.condition_render(canvas(), state(), camera, setting))


def test_storyboard_cast_is_shared(model: Model) -> None:
    done = check(model, conditioning.fix_identity(canvas(), state(1)[:, 0]))
    kind = done.values["state"][..., PLAYGROUND.slice("kind")]
    assert (kind == kind[:, :1]).all()


def test_fill_keeps_known_pictures_over_windows(model: Model) -> None:
    """Longer than the window: perceived, planned and filmed window by window, known frames to the bit."""
    laid = conditioning.condition_extend(canvas(40), cells(5))
    done = fill_canvas(model, laid, SamplingConfig(num_plan_steps=2, num_render_steps=1), [0])
    assert torch.equal(done.values["video"][:, :5], laid.values["video"][:, :5])
    assert (done.levels["video"] == 0).all() and torch.isfinite(done.values["video"]).all()


def test_a_sample_does_not_depend_on_its_batch(model: Model) -> None:
    one = blank(batch=1, frames=T, fps=16.0, slots=K, grid=GRID)
    two = blank(batch=2, frames=T, fps=16.0, slots=K, grid=GRID)
    a = fill_canvas(model, one, SamplingConfig(num_plan_steps=2), [7])
    b = fill_canvas(model, two, SamplingConfig(num_plan_steps=2), [3, 7])
    for name in a.values:
        torch.testing.assert_close(a.values[name][0], b.values[name][1], atol=2e-4, rtol=1e-3)


def test_bad_layouts_say_what_came_and_what_was_expected() -> None:
    with pytest.raises(InputError, match="expected"):
        conditioning.known_frames(canvas(), [0], cells(2))
    with pytest.raises(InputError, match="nothing to extend"):
        conditioning.condition_extend(canvas(), cells(T))
    with pytest.raises(InputError, match="strength"):
        conditioning.condition_edit(canvas(), cells(T), strength=0.0)
    with pytest.raises(InputError, match="outside"):
        conditioning.condition_infill(canvas(), [0, 99], cells(2))


def test_levels_between_are_noised_in_proportion() -> None:
    laid = conditioning.condition_edit(canvas(), cells(T), strength=0.5)
    noised = noise_canvas(laid, [0]).values["video"]
    rest = noised - 0.5 * laid.values["video"]
    assert abs(float(rest.std()) - 0.5) < 0.02


def test_euler_with_the_truth_as_denoiser_reaches_it() -> None:
    truth = cells(T)
    laid = canvas()
    done = euler(
        lambda c: {name: truth if name == "video" else torch.zeros_like(x) for name, x in c.values.items()},
        noise_canvas(laid, [0]),
        schedule(list(laid.values), 5),
    )
    torch.testing.assert_close(done.values["video"], truth)
