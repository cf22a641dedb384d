"""Best of several plans: what a score punishes, and that choosing breaks none of the laws of seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

import kinema
from kinema.canvas.canvas import Canvas
from kinema.diffusion.seeds import candidate_seed
from kinema.errors import InputError
from kinema.inference import pipeline
from kinema.inference.candidates import copies, cut_off, jitter, overlap_share, text_gain
from kinema.inference.canvas_io import blank_canvas, encode_prompt
from kinema.inference.pipeline import plan_state
from kinema.inference.sampling import SamplingConfig
from kinema.models.hub import Model
from kinema.playground import simulate, tiny
from kinema.scene.encoding import Fields, encode_state
from kinema.scene.scene import SIZES, Scene
from kinema.scene.schema import PLAYGROUND

CHOOSE = SamplingConfig(num_plan_steps=8, num_candidates=4)


def coded(scene: Scene) -> torch.Tensor:
    return torch.from_numpy(encode_state(Fields.of(scene)))


def overlaps(scene: Scene) -> float:
    return float(overlap_share(coded(scene), PLAYGROUND)[0])


def empty(model: Model, prompt: str, count: int = 1, frames: int = 16) -> Canvas:
    canvas = blank_canvas(model, count=count, frames=frames, fps=16.0, height=64, width=64)
    canvas = canvas.without("video")
    return encode_prompt(model, canvas, prompt, False)


def test_things_inside_each_other_are_counted(scene: Callable[..., Scene]) -> None:
    apart = scene(8)
    x, y = apart.x.copy(), apart.y.copy()
    x[:4, 1], y[:4, 1] = x[:4, 0] + 0.4, y[:4, 0]
    met = replace(apart, x=x, y=y)
    flags = replace(met, kind=np.array([0, 7, 5, -1], np.int8))
    assert [overlaps(s) for s in (apart, met, flags)] == [0.0, 0.5, 0.0]
    steady, noisy = coded(apart), coded(apart) + 0.1 * torch.randn(1, 8, 4, 1)
    assert float(jitter(steady, PLAYGROUND)[0]) < 1e-5 < float(jitter(noisy, PLAYGROUND)[0])


def test_what_a_narrow_picture_cuts_off_is_counted(scene: Callable[..., Scene]) -> None:
    """A ball from x 2 on, a box at 5, a robot at 8: a picture 5 units wide shows the box alone, and so does one of 10 at zoom 2."""
    state, camera = coded(scene(4)), torch.zeros(1, 4, 3)
    shares = [float(cut_off(state, camera, half, PLAYGROUND)[0]) for half in (5.0, 3.01, 2.5)]
    assert shares == pytest.approx([0, 0, 2 / 3], abs=1e-6)
    closer = camera.clone()
    closer[..., 2] = 2 * np.log2(2.0)
    assert float(cut_off(state, closer, 5.0, PLAYGROUND)[0]) == pytest.approx(2 / 3)


def test_the_true_physics_has_no_overlap() -> None:
    worst = max(overlaps(simulate(tiny(), seed, fps=16.0, num_frames=64).scene) for seed in range(60))
    assert worst == 0.0


def test_the_text_gain_of_a_plan_does_not_depend_on_the_others(model: Model) -> None:
    canvas = copies(empty(model, "a red ball rolls right"), 3)
    values = {k: torch.randn(x.shape, generator=torch.Generator().manual_seed(1)) for k, x in canvas.values.items()}
    drafts = canvas.with_values(values).with_levels({k: torch.zeros_like(x) for k, x in canvas.levels.items()})
    torch.testing.assert_close(text_gain(model, drafts)[1:2], text_gain(model, drafts.sample(1)), atol=1e-5, rtol=1e-4)


def test_a_sample_is_chosen_alike_in_any_batch(model: Model) -> None:
    seeds = [3, 2**40, 9]
    canvas = empty(model, "a red ball rolls right", count=3)
    together = plan_state(model, canvas, CHOOSE, seeds)
    for i, seed in enumerate(seeds):
        alone = plan_state(model, canvas.sample(i), CHOOSE, [seed])
        torch.testing.assert_close(together.values["state"][i], alone.values["state"][0], atol=1e-3, rtol=1e-3)
    assert not together.values["state"].isnan().any() and together.levels["state"].max() == 0


def test_the_best_draft_is_kept(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever draft is scored best is the one that is finished; each has its own noise."""
    canvas, cameras = empty(model, "a red ball rolls right"), []
    for best in range(3):
        monkeypatch.setattr(pipeline, "plan_scores", lambda _, drafts, half_width, best=best: torch.eye(drafts.batch)[best])
        cameras.append(plan_state(model, canvas, replace(CHOOSE, num_candidates=3), [5]).values["camera"])
    assert not torch.equal(cameras[0], cameras[1]) and not torch.equal(cameras[1], cameras[2])
    assert len({candidate_seed(seed, n) for seed in range(50) for n in range(-1, 4)}) == 250
    assert candidate_seed(7, 0) == 7


def test_one_candidate_and_known_states_are_planned_as_before(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("drafts were made")

    monkeypatch.setattr(pipeline, "_best", never)
    plan_state(model, empty(model, "a red ball"), SamplingConfig(num_plan_steps=8, num_candidates=1), [0])
    plan_state(model, empty(model, ""), CHOOSE, [0])
    plan_state(model, empty(model, "a red ball"), SamplingConfig(num_plan_steps=4, num_candidates=4), [0])
    canvas = empty(model, "a red ball")
    levels = {**canvas.levels, "state": canvas.levels["state"].clone()}
    levels["state"][:, 0] = 0
    done = plan_state(model, canvas.with_levels(levels), CHOOSE, [0])
    assert done.num_frames == canvas.num_frames and torch.isfinite(done.values["state"]).all()


def test_known_cells_stay(model: Model) -> None:
    canvas = empty(model, "a red ball rolls right")
    camera = torch.randn(canvas.values["camera"].shape, generator=torch.Generator().manual_seed(0))
    levels = {**canvas.levels, "camera": torch.zeros_like(canvas.levels["camera"])}
    done = plan_state(model, canvas.with_values({"camera": camera}).with_levels(levels), CHOOSE, [0])
    assert torch.equal(done.values["camera"], camera)


def test_planned_sizes_are_those_of_the_world(model: Model) -> None:
    size = PLAYGROUND.slice("size")

    def radii(lacks: tuple[str, ...]) -> torch.Tensor:
        other = Model(replace(model.config, lacks=lacks), model.denoiser, model.autoencoder)
        other.dtype = torch.float32
        state = plan_state(other, empty(other, "a large red ball"), SamplingConfig(num_plan_steps=2), [1]).values["state"]
        return (state[..., size] * 0.25 + 0.85)[state[..., 0] > 0]

    assert torch.isin(radii(("small",)).round(decimals=3), torch.tensor([SIZES["medium"], SIZES["large"]])).all()
    assert not torch.isin(radii(tuple(SIZES)).round(decimals=3), torch.tensor(list(SIZES.values()))).any()


def test_a_size_that_is_known_is_left(model: Model) -> None:
    canvas = empty(model, "")
    state, level = canvas.values["state"].clone(), canvas.levels["state"].clone()
    columns = PLAYGROUND.slice("size")
    state[..., columns], level[..., columns] = 0.37, 0.0
    canvas = canvas.with_values({"state": state}).with_levels({"state": level})
    assert (plan_state(model, canvas, SamplingConfig(num_plan_steps=2), [0]).values["state"][..., columns] == 0.37).all()


def test_the_number_is_checked_and_recorded(model: Model) -> None:
    with pytest.raises(InputError, match="candidates 0: expected 1 to 16"):
        SamplingConfig(num_candidates=0)
    with pytest.raises(InputError, match="candidates 17: expected 1 to 16"):
        SamplingConfig(num_candidates=17)
    clips = [
        kinema.generate("a rde ball", model=model, seconds=0.5, seed=s, count=n, options=CHOOSE)[-1]
        for s, n in ((2, 1), (1, 2))
    ]
    assert clips[0].settings["candidates"] == 4 and clips[0].settings["filmed_prompt"] == "a red ball"
    assert np.abs(clips[0].frames.astype(int) - clips[1].frames).max() <= 2


def test_the_names_that_settings_had_are_still_taken_and_said_to_go() -> None:
    with pytest.warns(DeprecationWarning, match="SamplingConfig"):
        old = kinema.Options(steps=3, candidates=2, film_steps=4, guidance=1.5)
    assert old == SamplingConfig(num_plan_steps=3, num_candidates=2, num_render_steps=4, guidance_scale=1.5)


@pytest.mark.parametrize(
    "settings",
    [{"sampler": []}, {"sampler": {}}, {"num_plan_steps": 10**30}, {"guidance_scale": 10**400}, {"num_candidates": 0}],
)
def test_settings_out_of_range_are_refused_in_one_short_line(settings: dict[str, object]) -> None:
    with pytest.raises(InputError) as error:
        SamplingConfig(**settings)
    assert len(str(error.value)) < 120
