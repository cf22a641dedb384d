"""Training laws on the smoke recipe: it learns one batch, resumes bit for bit, survives kill -9, and writes a model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinema.data.bank import Bank, build
from kinema.diffusion.objective import total
from kinema.errors import InputError
from kinema.models import load
from kinema.train import checkpoint
from kinema.train.batches import draw_live_windows, draw_time_bias, is_still, make, make_stills
from kinema.train.data import folder_of, open_banks
from kinema.train.recipe import RECIPES, recipe, smoke
from kinema.train.run import open_codec, train
from kinema.train.trainer import Trainer


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["KINEMA_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def banks(cache: None) -> dict[str, Bank]:
    return open_banks(smoke(), workers=1)


def trainer(banks: dict[str, Bank], out: Path, **changes: object) -> Trainer:
    run = replace(smoke(), **changes)  # type: ignore[arg-type]
    return Trainer(run, out, banks, open_codec(run.codec, "cpu"))


def test_one_batch_is_learned(banks: dict[str, Bank], tmp_path: Path) -> None:
    """The same batch a hundred times: the loss falls to less than half."""
    run = trainer(banks, tmp_path, warmup=1, precision="float32")
    batch = make(run.recipe, run.banks["one shape"], run.codec, 1, "cpu")
    losses = []
    for _ in range(100):
        loss = total(run.compute(batch))
        loss.backward()
        run.optimizer.step(3.0, average_from=2.0)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_stills_teach_the_local_parts_and_nothing_else(banks: dict[str, Bank], tmp_path: Path) -> None:
    """The same stills sixty times: less than half the loss; blocks and slots are as they were."""
    run = trainer(banks, tmp_path, warmup=1, precision="float32", still_batch=32)
    stills = make_stills(run.recipe, run.banks["one shape"], run.codec, 1, "cpu")
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    losses = []
    for _ in range(60):
        loss = total(run.compute_stills(stills))
        loss.backward()
        run.optimizer.step(1.0, average_from=2.0)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    moved = {name.split(".")[0] for name, p in run.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"video_in", "stamp", "video_out", "sight_out"}


def test_a_share_of_the_steps_is_of_stills() -> None:
    run = recipe("smoke")
    assert 0.3 < np.mean([is_still(run, step, 0.4) for step in range(500)]) < 0.5
    assert not any(is_still(run, step, 0.0) for step in range(50))


def test_resume_equals_uninterrupted(banks: dict[str, Bank], tmp_path: Path) -> None:
    whole = trainer(banks, tmp_path / "whole", steps=6)
    whole.run()
    first = trainer(banks, tmp_path / "parts", steps=6)
    for _ in range(3):
        first.one_step()
    first.save()
    second = trainer(banks, tmp_path / "parts", steps=6)
    second.load(checkpoint.load(tmp_path / "parts"))
    second.run()
    assert second.step == whole.step == 6
    for (name, a), b in zip(whole.model.state_dict().items(), second.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    for name, a in whole.optimizer.average.items():
        assert torch.equal(a, second.optimizer.average[name]), name


def test_batches_are_a_function_of_the_step(banks: dict[str, Bank]) -> None:
    run, codec = smoke(), open_codec("codec-8x8", "cpu")
    a, b, c = (make(run, banks["one shape"], codec, step, "cpu") for step in (3, 3, 4))
    assert all(
        torch.equal(a.noise[name], b.noise[name]) and torch.equal(a.values[name], b.values[name]) for name in a.values
    )
    assert a.captions != c.captions or a.noise["state"].shape != c.noise["state"].shape


def test_whole_run_writes_a_model_that_loads(tmp_path: Path) -> None:
    folder = train("smoke", out=tmp_path / "run", steps=8)
    model = load(folder)
    assert model.config.trained["steps"] == 8
    rows = [json.loads(line) for line in (tmp_path / "run" / "canaries.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [4, 8] and all(np.isfinite(row["perceive"]) for row in rows)
    assert (tmp_path / "run" / "pictures" / "prompts-000008.png").stat().st_size > 1000
    with pytest.raises(InputError, match="--resume"):
        train("smoke", out=tmp_path / "run")


def test_kill_9_loses_nothing_saved(tmp_path: Path, banks: dict[str, Bank]) -> None:
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
    state = checkpoint.load(out)
    assert state["step"] >= 1
    folder = train("smoke", out=out, resume=out, steps=state["step"] + 2)
    assert load(folder).config.trained["steps"] == state["step"] + 2


def test_every_recipe_is_whole() -> None:
    for name in RECIPES:
        run = recipe(name)
        assert run.phases[-1].until == 1.0
        assert all(a.until < b.until for a, b in zip(run.phases, run.phases[1:], strict=False))
        assert all(phase.diet.slots <= run.denoiser.slots for phase in run.phases)
    with pytest.raises(InputError, match="there are"):
        recipe("huge")


def test_time_bias_never_closes_a_frame_to_itself() -> None:
    rng = np.random.default_rng(0)
    biases = [draw_time_bias(rng, 12) for _ in range(200)]
    assert all((np.diag(bias) == 0).all() for bias in biases)
    assert any((bias == 0).all() for bias in biases) and any((bias[0, 1:] < 0).all() for bias in biases)


def test_bank_refuses_another_diet(tmp_path: Path, banks: dict[str, Bank]) -> None:
    phase = smoke().phases[0]
    folder = folder_of(phase)
    with pytest.raises(InputError, match="another diet"):
        build(folder, replace(phase.diet, max_speed=3.0), episodes=500, base_seed=phase.base_seed)
    with pytest.raises(InputError, match="no episodes"):
        Bank(tmp_path)


def test_ends_rewards_and_deeds_of_stepped_windows_are_those_of_the_episode(banks: dict[str, Bank]) -> None:
    """Acting is shown at 16 frames a second, every one kept; elsewhere an end between two kept frames is the later one's."""
    acting, stride = banks["acting"], 2
    assert acting.fps == 16.0 and (acting.end > 0).mean() > 0.5
    ended = np.flatnonzero((acting.end % stride == 1) & (acting.end > 0) & (acting.end < 126))
    every = np.full(len(ended), stride)
    windows = acting.windows(ended, 0 * ended, every, 64, 0 * ended - 1)
    assert (windows.terminated.sum(1) == 1).all()
    assert (windows.terminated.argmax(1) == (acting.end[ended] + 1) // stride).all()
    assert (windows.reward[windows.terminated] > 0.5).all()
    drawn = draw_live_windows(np.random.default_rng(0), acting, batch=64, frames=32, text_drop=0.15)
    assert (drawn.fps == 16.0).all() and drawn.terminated.any(1).mean() > 0.3
