"""Laws of training with several ranks: their losses are those of one, any number goes on from another's checkpoint, and one that is
killed ends the others."""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kinema.cli.main import main
from kinema.cli.train import _command
from kinema.datasets.clip_batches import ClipBatch
from kinema.devices import use_one_thread_if_forked
from kinema.errors import InputError
from kinema.models.dit import DiT, DiTConfig, DiTInput
from kinema.models.dit_model import DiTModelConfig
from kinema.training import checkpoint
from kinema.training.board import open_board
from kinema.training.dit_trainer import DiTTrainer
from kinema.training.film_lesson import ClipsLesson, FilmRecipe
from kinema.training.flops import dit_flops
from kinema.training.launch import LOST_PEER
from kinema.training.parallel import ALONE, LostPeerError, Ranks, Share, join_ranks
from kinema.training.recordings import WorldRecipe
from kinema.training.sharded_checkpoint import FOLDER, HISTORY, ShardedCheckpoints, holds_run, load_run

RECIPE = FilmRecipe(size="nano", frames=3, batch=8, warmup=2, compile=False, precision="float32", save_every_s=1e9)
NETWORK = DiTConfig(width=16, depth=2, heads=2, channels=3, text_dim=8, time_every=1)
CONFIG = DiTModelConfig(name="x", network=NETWORK, autoencoder="x", width=8, height=8, fps=8.0, frames=3, film={})
STEPS = 5
FORK = multiprocessing.get_context("fork")
"""Ranks are forked: each would import torch for seconds otherwise."""


class Clips:
    """Batches of noise and text states, as a latent cache gives them (`kinema.datasets.clip_batches.ClipSet`)."""

    channels, text_dim, time_factor = 3, 8, 1

    def sample_batch(
        self,
        rng_seed: int,
        step: int,
        batch: int,
        frames: int,
        *,
        held_out: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> ClipBatch:
        generator = torch.Generator().manual_seed(1000 * rng_seed + step + 500 * held_out)
        rows = Share(number=rank, of=world_size).rows(batch)
        names = tuple(str(row) for row in range(batch))[rows]
        return ClipBatch(
            latents=torch.randn(batch, frames, 3, 4, 4, generator=generator)[rows],
            fps=torch.full((batch,), 8.0)[rows],
            text_states=torch.randn(batch, 5, 8, generator=generator)[rows],
            text_mask=(torch.rand(batch, 5, generator=generator) < 0.7)[rows],
            names=names,
            captions=names,
        )


def trainer_of(out: Path, recipe: FilmRecipe = RECIPE, ranks: Ranks = ALONE, steps: int = STEPS) -> DiTTrainer:
    return DiTTrainer(recipe, CONFIG, ClipsLesson(Clips(), recipe), out, steps=steps, ranks=ranks)


def losses_of(out: Path, recipe: FilmRecipe, ranks: Ranks, until: int = STEPS) -> list[float]:
    """Of each step up to one of a run, which goes on where `out` holds one; then the held-out loss, and a weight of the average."""
    trainer = trainer_of(out, recipe, ranks)
    if holds_run(out):
        trainer.load(load_run(out))
    losses: list[float] = []

    def note(step: int, figures: dict[str, float]) -> None:
        losses.append(figures["video" if "video" in figures else "pictures"])
        trainer.stopping = step == until and ranks.rank == ranks.size - 1

    trainer.board = note
    trainer.run()
    mine = ClipsLesson(Clips(), recipe).held_out_loss(trainer.averaged_network(), trainer.device, share=ranks.share())
    losses += ranks.mean(torch.tensor(list(mine.values()), dtype=torch.float64)).tolist()
    return [*losses, float(trainer.averaged_state()["blocks.1.mlp_in.weight"].abs().sum())]


def started(count: int, work: Callable[[Ranks], None], per_machine: int | None = None) -> list[BaseProcess]:
    """So many ranks that do `work`; they end as those of the command do."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]

    def rank(number: int) -> None:
        use_one_thread_if_forked()
        os.environ |= {
            "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "RANK": str(number), "LOCAL_RANK": str(number),
            "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(per_machine or count),
        }  # fmt: skip
        try:
            with join_ranks("cpu") as (ranks, _):
                work(ranks)
        except LostPeerError:
            os._exit(LOST_PEER)

    processes = [FORK.Process(target=rank, args=(number,), daemon=True) for number in range(count)]
    for process in processes:
        process.start()
    return processes


def ended(processes: list[BaseProcess]) -> list[int | None]:
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


def together(tmp_path: Path, count: int, recipe: FilmRecipe, until: int = STEPS) -> list[float]:
    """`losses_of` with so many ranks, two a machine."""
    result = tmp_path / "losses.json"

    def work(ranks: Ranks) -> None:
        losses = losses_of(tmp_path / "run", recipe, ranks, until)
        if ranks.first:
            result.write_text(json.dumps(losses))

    assert ended(started(count, work, per_machine=2)) == [0] * count
    losses: list[float] = json.loads(result.read_text())
    return losses


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return losses_of(tmp_path_factory.mktemp("alone"), RECIPE, ALONE)


@pytest.mark.parametrize(
    ("count", "way", "accumulate", "recompute"),
    [(2, "replicate", 1, False), (4, "replicate", 1, False), (2, "shard", 2, True), (4, "hybrid", 1, False)],
)
def test_losses_do_not_depend_on_the_number_of_ranks(
    alone: list[float], tmp_path: Path, count: int, way: str, accumulate: int, recompute: bool
) -> None:
    recipe = replace(RECIPE, parallel=way, accumulate=accumulate, recompute=recompute)
    assert together(tmp_path, count, recipe) == pytest.approx(alone, rel=1e-5)
    assert alone[0] != pytest.approx(alone[1], rel=1e-2), "steps differ, so equal losses say something"


def test_rows_passed_in_parts_are_the_batch(alone: list[float], tmp_path: Path) -> None:
    assert losses_of(tmp_path, replace(RECIPE, accumulate=4, recompute=True), ALONE) == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("way", ["shard", "replicate"])
def test_a_run_goes_on_with_another_number_of_ranks(alone: list[float], tmp_path: Path, way: str) -> None:
    """2 ranks, then 4, then one process, then 2: every change of kind, and the losses of a run that never stopped."""
    recipe = replace(RECIPE, parallel=way)
    losses = together(tmp_path, 2, recipe, 2)[:2]
    losses += together(tmp_path, 4, recipe, 3)[:1]
    assert load_run(tmp_path / "run")["sharded"] == tmp_path / "run" / FOLDER / "00000003"
    losses += losses_of(tmp_path / "run", recipe, ALONE, 4)[:1]
    assert (tmp_path / "run" / checkpoint.NAME).exists() and not (tmp_path / "run" / FOLDER).exists()
    losses += together(tmp_path, 2, recipe)
    assert losses == pytest.approx(alone, rel=1e-5)
    assert not (tmp_path / "run" / checkpoint.NAME).exists(), "one kind replaces the other"
    assert load_run(tmp_path / "run")["step"] == STEPS


def test_a_killed_rank_ends_the_others_and_the_run_goes_on(tmp_path: Path) -> None:
    recipe = replace(RECIPE, parallel="shard", save_every_s=0.0)

    def work(ranks: Ranks) -> None:
        trainer_of(tmp_path, recipe, ranks, steps=100_000).run()

    ranks = started(2, work)
    while len(list((tmp_path / FOLDER).glob("*/.metadata"))) < HISTORY and all(rank.is_alive() for rank in ranks):
        time.sleep(0.05)
    assert ranks[1].pid is not None
    os.kill(ranks[1].pid, signal.SIGKILL)
    assert ended(ranks) == [LOST_PEER, -signal.SIGKILL]
    step = load_run(tmp_path)["step"]
    assert step >= HISTORY
    trainer = trainer_of(tmp_path, recipe, steps=step + 1)
    trainer.load(load_run(tmp_path))
    trainer.run()
    assert trainer.step == step + 1


def test_a_rank_lost_while_a_checkpoint_is_written_is_a_lost_rank(tmp_path: Path) -> None:
    """What the thread that writes cannot exchange with another rank is noticed by the next one that waits for it."""
    checkpoints = ShardedCheckpoints(tmp_path, ALONE)
    writing: Future[None] = Future()
    writing.set_exception(RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:35321"))
    checkpoints._writing = (tmp_path / FOLDER / "00000001", writing)
    with pytest.raises(LostPeerError, match="--resume"):
        checkpoints.finish()


def test_a_checkpoint_is_of_its_step_though_training_goes_on(tmp_path: Path) -> None:
    """It is written while weights change; what is read later is what they were."""

    def work(ranks: Ranks) -> None:
        trainer = trainer_of(tmp_path, replace(RECIPE, parallel="shard"), ranks)
        trainer.one_step()
        before = (
            trainer.averaged_state()["frame_token"].clone(),
            trainer.optimizer.tensors()["optimizer/frame_token/exp_avg"],
        )
        copies = [getattr(x, "full_tensor", lambda x=x: x)().clone() for x in before]
        trainer.save()
        for _ in range(3):
            trainer.one_step()
        trainer.checkpoints.finish()
        if ranks.first:
            torch.save(copies, tmp_path / "copies.pt")

    assert ended(started(2, work)) == [0, 0]
    trainer = trainer_of(tmp_path)
    trainer.load(load_run(tmp_path))
    average, momentum = torch.load(tmp_path / "copies.pt")
    assert torch.equal(trainer.averaged_state()["frame_token"], average)
    assert torch.equal(trainer.optimizer.tensors()["optimizer/frame_token/exp_avg"], momentum)


def test_a_batch_that_cannot_be_shared_is_named() -> None:
    with pytest.raises(InputError, match="a batch of 6 for 4 ranks and accumulated parts: expected a multiple of 4"):
        Ranks(rank=1, size=2).share(2).rows(6)
    with pytest.raises(InputError, match="parallel 'both': expected one of replicate, shard, hybrid"):
        WorldRecipe(parallel="both")


def test_the_arithmetic_of_a_pass_is_counted_whole() -> None:
    config = replace(NETWORK, context=2, known={"action": 3}, predicted={"reward": 1}, slots=2, slot_dim=5, patch=2)
    given = DiTInput(
        video=torch.randn(2, 3, 3, 4, 6),
        level=torch.rand(2, 3),
        time_s=torch.arange(3.0).expand(2, -1),
        context=torch.randn(2, 3, 2, 3, 4, 6),
        vectors={"action": torch.randn(2, 3, 3)},
        slots=torch.randn(2, 3, 2, 5),
        slot_context=torch.randn(2, 3, 2, 2, 5),
        text=torch.randn(2, 5, 8),
        text_mask=torch.ones(2, 5, dtype=torch.bool),
    )
    with FlopCounterMode(display=False) as counter:
        DiT(config)(given)
    assert dit_flops(config, given) == counter.get_total_flops()


def test_options_of_ranks_are_of_world_and_video_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tiny", "--batch", "4", "--out", str(tmp_path)]) == 2
    assert "--batch goes with the recipe world or video, not with tiny" in capsys.readouterr().err
    assert main(["train", "video", "--nproc", "2", "--out", str(tmp_path)]) == 2
    assert "train video needs --data DIR" in capsys.readouterr().err, "before any rank is started"


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is not None, reason="tensorboard is installed")
def test_the_words_of_ranks_are_those_of_the_command() -> None:
    """Zeros too, which are refused there as they are without ranks."""
    given = argparse.Namespace(
        command="train", recipe="video", run=None, nproc=2, minutes=0.0, batch=0, size=None, recompute=True
    )
    assert _command(given) == ["train", "video", "--minutes", "0.0", "--batch", "0", "--recompute"]


def test_a_board_without_tensorboard_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pip install tensorboard"):
        open_board(tmp_path)
