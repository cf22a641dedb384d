"""Training laws on the smoke recipe: it learns one batch, resumes bit for bit, survives kill -9, and writes a model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinema.datasets.episode_cache import EpisodeCache, Order, build_shards
from kinema.diffusion.losses import total
from kinema.errors import InputError, OutputError
from kinema.models.hub import load
from kinema.scene.schema import PLAYGROUND
from kinema.training import checkpoint
from kinema.training.batches import Batch, batch_kind, draw_live_windows, draw_time_bias, make_batch, seen_at
from kinema.training.caches import folder_of
from kinema.training.probes import Probes
from kinema.training.recipes import KINDS, RECIPES, Shape, recipe, smoke
from kinema.training.run import check_same, open_autoencoder, stored_name, train
from kinema.training.samples import PROMPTS, config_of_recipe, draw_prompts
from kinema.training.trainer import Trainer


@pytest.fixture(autouse=True)
def cache(smoke_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINEMA_CACHE", str(smoke_folder))


@pytest.fixture
def caches(smoke_caches: dict[str, EpisodeCache]) -> dict[str, EpisodeCache]:
    return smoke_caches


def trainer(caches: dict[str, EpisodeCache], out: Path, **changes: object) -> Trainer:
    run = replace(smoke(), **changes)  # type: ignore[arg-type]
    return Trainer(run, out, caches, open_autoencoder(run.autoencoder, "cpu"))


def drawn(run: Trainer, kind: str, number: int) -> Batch:
    """A batch of the smoke recipe, ready for a step."""
    batch = make_batch(run.recipe, run.caches, "one shape", kind, number)
    return batch.on("cpu", run.autoencoder, run.recipe.denoiser.patch)


def repeated(run: Trainer, batch: Batch, times: int, *, rate: float) -> list[float]:
    """The losses of so many updates by the same batch."""
    losses = []
    for _ in range(times):
        loss = total(run.compute(batch))
        loss.backward()
        run.optimizer.step(rate)
        losses.append(float(loss.detach()))
    return losses


def moved(run: Trainer, before: dict[str, torch.Tensor]) -> set[str]:
    """Parts of the network with a parameter that is not what it was."""
    return {name.split(".")[0] for name, p in run.model.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("kind", ["film", "plan", "live"])
def test_one_batch_is_learned(caches: dict[str, EpisodeCache], tmp_path: Path, kind: str) -> None:
    """The same batch 24 times: the loss falls to less than half."""
    run = trainer(caches, tmp_path, warmup=1, precision="float32")
    batch = drawn(run, kind, 1)
    losses = repeated(run, batch, 24, rate=3.0)
    assert losses[-1] < 0.5 * losses[0]


def test_stills_teach_the_local_parts_and_nothing_else(caches: dict[str, EpisodeCache], tmp_path: Path) -> None:
    """The same stills twenty times: less than half the loss; blocks and slots are as they were."""
    few = (Shape(height=64, width=64, share=1.0),)
    run = trainer(caches, tmp_path, warmup=1, precision="float32", still_pixels=16 * 64 * 64, still_shapes=few)
    stills = drawn(run, "still", 1)
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    losses = repeated(run, stills, 20, rate=1.0)
    assert losses[-1] < 0.5 * losses[0]
    assert moved(run, before) == {"video_in", "splatter", "video_out", "local_head", "detection_head"}


def test_windows_teach_what_draws_known_states_and_nothing_else(caches: dict[str, EpisodeCache], tmp_path: Path) -> None:
    few = (Shape(height=192, width=192, share=1.0),)
    run = trainer(caches, tmp_path, warmup=1, precision="float32", still_pixels=16 * 128 * 128, still_shapes=few)
    crops = drawn(run, "crop", 1)
    assert crops.values["video"].shape[:4] == (8, 1, 8, 8) and crops.cell_units == pytest.approx(160 / 192)
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    losses = repeated(run, crops, 24, rate=1.0)
    assert losses[-1] < 0.5 * losses[0]
    assert moved(run, before) == {"video_in", "splatter", "local_head"}


def test_windows_show_the_part_that_their_center_says(caches: dict[str, EpisodeCache]) -> None:
    """A thing lies in the window where its place and the window's center say, and in most windows there is one."""
    run = replace(smoke(), still_shapes=(Shape(height=256, width=256, share=1.0),), still_pixels=128 * 128 * 128)
    batch = make_batch(run, caches, "one shape", "crop", 3)
    assert batch.window is not None and batch.pictures is not None and batch.counts is not None
    assert batch.window.abs().max() <= 2.5 and float(batch.counts.sum()) == 36
    state = batch.values["state"][:, 0]
    place = 2.5 * state[..., PLAYGROUND.slice("position")] - batch.window.flip(-1)[:, None]
    inside = (place.abs().amax(-1) < 2.0) & (state[..., 0] > 0)
    assert inside.any(1).float().mean() > 0.7
    column, row = (64 + 12.8 * place[..., 0] * 2).long(), (64 - 12.8 * place[..., 1] * 2).long()
    for i, slot in inside.nonzero().tolist()[:20]:
        shown = batch.pictures[i, 0].float()
        there = shown[row[i, slot], column[i, slot]]
        assert (shown[:8, :8].mean((0, 1)) - there).abs().max() > 8, "the thing is where its place says"


def test_kinds_of_steps_have_the_shares_of_the_phase() -> None:
    run = recipe("smoke")
    phase = replace(run.phases[0], still_share=0.4, film_share=0.5)
    kinds = [batch_kind(replace(run, crop_share=0.25), phase, step) for step in range(2000)]
    assert set(kinds) == set(KINDS)
    assert 0.26 < kinds.count("still") / 2000 < 0.34 and 0.26 < kinds.count("film") / 2000 < 0.34
    assert 0.07 < kinds.count("crop") / 2000 < 0.13
    assert "still" not in {batch_kind(run, replace(phase, still_share=0.0), step) for step in range(50)}


def test_every_size_is_drawn_at_its_own_scale(caches: dict[str, EpisodeCache], tmp_path: Path) -> None:
    """Ten units are the height of every picture, and batches of one step have one size."""
    run = trainer(caches, tmp_path)
    seen = set()
    for number in range(40):
        batch = make_batch(run.recipe, run.caches, "one shape", "still", number)
        assert batch.pictures is not None and batch.cell_units is not None
        height, width = batch.pictures.shape[2:4]
        assert batch.cell_units * height / 16 == pytest.approx(10.0)
        assert batch.levels["video"].shape[2:] == (height // 16, width // 16)
        seen.add((height, width))
    assert {height for height, _ in seen} >= {64, 128, 256} and any(h != w for h, w in seen)


def test_an_upright_picture_does_not_show_what_stands_at_the_side(caches: dict[str, EpisodeCache]) -> None:
    cache = caches["one shape"]
    one = np.zeros(1, np.int64)
    fields = cache.windows(one, one, one + 1, 1, one - 1).fields
    fields = replace(fields, x=np.full_like(fields.x, 9.0), visible=np.ones_like(fields.visible))
    assert (seen_at(fields, Shape(height=128, width=128, share=1)).visible == 1).all()
    assert (seen_at(fields, Shape(height=128, width=64, share=1)).visible[..., 0] == 0).all()


def test_resume_equals_uninterrupted(caches: dict[str, EpisodeCache], tmp_path: Path) -> None:
    whole = trainer(caches, tmp_path / "whole", steps=6, canary_every=9)
    whole.run()
    first = trainer(caches, tmp_path / "parts", steps=6, canary_every=9)
    for _ in range(3):
        first.one_step()
    first.save()
    second = trainer(caches, tmp_path / "parts", steps=6, canary_every=9)
    second.load(checkpoint.load_checkpoint(tmp_path / "parts"))
    second.run()
    assert second.step == whole.step == 6
    for (name, a), b in zip(whole.model.state_dict().items(), second.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    averages = second.optimizer.average.module.state_dict()
    for name, a in whole.optimizer.average.module.state_dict().items():
        assert torch.equal(a, averages[name]), name


def test_long_steps_are_reported_as_a_kind_of_their_own(caches: dict[str, EpisodeCache], tmp_path: Path) -> None:
    plans = replace(smoke().phases[0], still_share=0.0, film_share=0.0)
    run = trainer(caches, tmp_path, phases=(plans,), live_share=0.0, shortcut_share=1.0)
    run.one_step()
    run.read()
    assert {name.split()[0] for name in run.running} == {"leap"}


def test_batches_are_a_function_of_kind_and_number(caches: dict[str, EpisodeCache], tmp_path: Path) -> None:
    run = trainer(caches, tmp_path)
    a, b, c = (drawn(run, "plan", number) for number in (3, 3, 4))
    assert a.noise is not None and b.noise is not None and c.noise is not None
    for name in a.values:
        assert torch.equal(a.noise[name], b.noise[name]) and torch.equal(a.values[name], b.values[name])
    assert a.captions != c.captions and not torch.equal(a.noise["state"], c.noise["state"])


def test_worker_processes_make_the_same_batches(caches: dict[str, EpisodeCache], tmp_path: Path) -> None:
    here = trainer(caches, tmp_path / "a").loader
    ahead = trainer(caches, tmp_path / "b", workers={"live": 1}).loader
    ahead.counts = {"live": 1}
    try:
        here.next("one shape", "live")
        for _ in range(2):
            one, two = here.next("one shape", "live"), ahead.next("one shape", "live")
            assert all(torch.equal(one.values[name], two.values[name]) for name in one.values)
            assert one.noise_seed == two.noise_seed
    finally:
        ahead.close()


@pytest.fixture
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes of two episodes, and pictures of two short prompts."""
    monkeypatch.setattr("kinema.training.trainer.Probes", partial(Probes, count=2))
    monkeypatch.setattr("kinema.training.samples.draw_prompts", partial(draw_prompts, prompts=PROMPTS[:2], frames=8))


def test_whole_run_writes_a_model_that_loads(tmp_path: Path, few_samples: None) -> None:
    folder = train("smoke", out=tmp_path / "run", steps=8)
    model = load(folder)
    assert model.config.trained["steps"] == 8
    rows = [json.loads(line) for line in (tmp_path / "run" / "canaries.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [4, 8] and all(np.isfinite(row["perceive"]) for row in rows)
    assert (tmp_path / "run" / "pictures" / "prompts-000008.png").stat().st_size > 1000
    with pytest.raises(InputError, match="--resume"):
        train("smoke", out=tmp_path / "run")
    with pytest.raises(InputError, match="holds a run of recipe 'smoke', not 'other'"):
        train(replace(smoke(), name="other"), out=tmp_path / "run", resume=tmp_path / "run")
    with pytest.raises(InputError, match="another shape"):
        wide = replace(smoke().denoiser, width=64)
        train(replace(smoke(), denoiser=wide), out=tmp_path / "run", resume=tmp_path / "run")
    state = checkpoint.load_checkpoint(tmp_path / "run")
    del state["before"], state["recipe"]["model"]
    checkpoint.save_checkpoint(tmp_path / "run", state)
    with pytest.raises(InputError, match="does not fit this run"):
        train("smoke", out=tmp_path / "run", resume=tmp_path / "run")


def test_a_trainer_without_an_end_is_refused(caches: dict[str, EpisodeCache], tmp_path: Path) -> None:
    autoencoder = open_autoencoder(smoke().autoencoder, "cpu")
    for minutes in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="minutes: expected a number above 0"):
            Trainer(smoke(), tmp_path, caches, autoencoder, minutes=minutes)
    for steps in (0, -1):
        with pytest.raises(InputError, match="steps: expected 1 or more"):
            train("smoke", out=tmp_path, steps=steps, prepare=lambda *_: pytest.fail("episodes were simulated"))


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match="set KINEMA_CACHE to a folder"):
        train("smoke", out=tmp_path / "run")


def as_stored(name: str) -> dict[str, Any]:
    """A recipe as checkpoints hold it."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(recipe(name)), default=list))
    return data


def test_a_run_goes_on_by_its_own_recipe_alone(tmp_path: Path) -> None:
    for name in RECIPES:
        for other in RECIPES:
            state = {"recipe": as_stored(other)}
            if name == other:
                check_same(recipe(name), state, tmp_path)
            else:
                with pytest.raises(InputError, match=f"holds a run of recipe '{other}', not '{name}'; name that recipe"):
                    check_same(recipe(name), state, tmp_path)
    with pytest.raises(InputError, match="train world"):
        check_same(smoke(), {"recipe": {"frames": 10}}, tmp_path)


def test_older_runs_whose_recipes_shared_a_name_are_told_apart(tmp_path: Path) -> None:
    for name in RECIPES:
        older = as_stored(name)
        older["name"] = older.pop("model") or name
        assert stored_name(older) == name
        check_same(recipe(name), {"recipe": older}, tmp_path)
    changed = as_stored("tiny-drawing")
    changed["name"] = changed.pop("model")
    changed["phases"][0]["base_seed"] += 1
    with pytest.raises(InputError, match="other phases than any there is now"):
        check_same(recipe("tiny"), {"recipe": changed}, tmp_path)


def test_recipes_have_names_of_their_own_and_share_a_model_s(tmp_path: Path) -> None:
    assert all(recipe(name).name == name for name in RECIPES)
    models = {"tiny": "tiny", "tiny-drawing": "tiny", "tiny-contacts": "tiny", "phyworld-sharp": "phyworld"}
    for name, model in models.items():
        assert config_of_recipe(recipe(name)).name == recipe(name).model_name == f"kinema-{model}"


def test_kill_9_loses_nothing_saved(tmp_path: Path, caches: dict[str, EpisodeCache], few_samples: None) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "kinema.cli.main", "train", "smoke", "--out", str(out), "--steps", "4000"]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if (out / checkpoint.NAME).exists():
                break
            time.sleep(0.1)
        time.sleep(1.0)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    state = checkpoint.load_checkpoint(out)
    assert state["step"] >= 1
    folder = train("smoke", out=out, resume=out, steps=state["step"] + 2)
    assert load(folder).config.trained["steps"] == state["step"] + 2


def test_every_recipe_is_whole() -> None:
    for name in RECIPES:
        run = recipe(name)
        assert run.phases[-1].until == 1.0
        assert all(a.until < b.until for a, b in zip(run.phases, run.phases[1:], strict=False))
        assert all(phase.distribution.slots <= run.denoiser.slots for phase in run.phases)
    with pytest.raises(InputError, match="there are"):
        recipe("huge")


def test_time_bias_never_closes_a_frame_to_itself() -> None:
    rng = np.random.default_rng(0)
    biases = [draw_time_bias(rng, 12) for _ in range(200)]
    assert all((np.diag(bias) == 0).all() for bias in biases)
    assert any((bias == 0).all() for bias in biases) and any((bias[0, 1:] < 0).all() for bias in biases)


def test_bank_refuses_another_diet(tmp_path: Path, caches: dict[str, EpisodeCache]) -> None:
    phase = smoke().phases[0]
    folder = folder_of(phase)
    with pytest.raises(InputError, match="another scene distribution"):
        build_shards(
            [
                Order(
                    folder=folder, source=replace(phase.distribution, max_speed=3.0), episodes=500, base_seed=phase.base_seed
                )
            ]
        )
    with pytest.raises(InputError, match="no episodes"):
        EpisodeCache(tmp_path)


def test_ends_rewards_and_deeds_of_stepped_windows_are_those_of_the_episode(caches: dict[str, EpisodeCache]) -> None:
    """Acting is shown at 16 frames a second, every one kept; elsewhere an end between two kept frames is the later one's."""
    acting, stride = caches["acting"], 2
    assert acting.fps == 16.0 and (acting.end > 0).mean() > 0.5
    ended = np.flatnonzero((acting.end % stride == 1) & (acting.end > 0) & (acting.end < 126))
    every = np.full(len(ended), stride)
    windows = acting.windows(ended, 0 * ended, every, 64, 0 * ended - 1)
    assert (windows.terminated.sum(1) == 1).all()
    assert (windows.terminated.argmax(1) == (acting.end[ended] + 1) // stride).all()
    assert (windows.reward[windows.terminated] > 0.5).all()
    drawn = draw_live_windows(np.random.default_rng(0), acting, batch=64, frames=32, text_drop=0.15)
    assert (drawn.fps == 16.0).all() and drawn.terminated.any(1).mean() > 0.3
