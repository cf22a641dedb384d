"""Laws of training with several ranks: their losses are those of one, any number goes on from another's checkpoint, and one that is
killed ends the others."""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig
from torch.utils.flop_counter import FlopCounterMode

from kinema.cli.main import build_parser, main
from kinema.cli.train import Line, _command, _common
from kinema.datasets.clip_batches import ClipBatch, WindowMix
from kinema.devices import use_one_thread_if_forked
from kinema.errors import InputError
from kinema.media import Clip
from kinema.models.dit import DiT, DiTConfig, DiTInput
from kinema.models.dit_model import DiTModelConfig
from kinema.training import checkpoint, launch
from kinema.training.board import Boards
from kinema.training.dit_trainer import DiTTrainer
from kinema.training.film_lesson import ClipsLesson, FilmRecipe
from kinema.training.films import train_video
from kinema.training.flops import dit_flops
from kinema.training.launch import LOST_PEER
from kinema.training.parallel import ALONE, MEETING, LostPeerError, Ranks, Share, join_ranks, whole_state
from kinema.training.sharded_checkpoint import (
    FOLDER,
    HISTORY,
    ShardedCheckpoints,
    holds_run,
    load_run,
    read_tensors,
    stored_sizes,
)
from kinema.training.world_lesson import WorldRecipe

RECIPE = FilmRecipe(
    size="nano", frames=3, lengths=1, rates=1, batch=8, warmup=2, compile=False, precision="float32", save_every_s=1e9
)
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
        mix: WindowMix | None = None,
    ) -> ClipBatch:
        assert mix is None
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


@pytest.mark.parametrize("narrow", [False, True])
def test_what_is_fitted_is_exact_where_weights_are_sharded_and_gathered_in_bfloat16(narrow: bool, tmp_path: Path) -> None:
    """Weights near 1/3 are off by a thousandth in bfloat16."""
    known = {"place": 3, "memory": 8}
    config = replace(NETWORK, text_dim=0, known=known, predicted={"place": 3}, relative={"place": [1.0] * 3})
    x = DiTInput(
        video=torch.zeros(1, 1, 3, 4, 4),
        level=torch.ones(1, 1),
        time_s=torch.zeros(1, 1),
        vectors={"place": torch.ones(1, 1, 3), "memory": torch.ones(1, 1, 8)},
    )

    def work(ranks: Ranks) -> None:
        network = DiT(config)
        torch.nn.init.zeros_(network.heads["place"].weight)
        torch.nn.init.zeros_(network.heads["place"].bias)
        network.rules["place"].get_parameter("line.weight")[:, :3] = 1 / 3
        network.rules["place"].get_parameter("memory.bias_hh").fill_(1 / 3)
        ranks.shard(network, "shard", narrow=narrow)
        made = network(x)
        if ranks.first:
            torch.save({name: made[name].detach() for name in known}, tmp_path / "made.pt")

    assert ended(started(2, work)) == [0, 0]
    made, third = torch.load(tmp_path / "made.pt"), torch.tensor(1 / 3)
    torch.testing.assert_close(made["place"], torch.full((1, 1, 3), 2.0), rtol=0, atol=1e-6)
    kept = torch.sigmoid(third)
    after = kept + (1 - kept) * torch.tanh(kept * third)  # of a memory of ones by a gated recurrent unit
    torch.testing.assert_close(made["memory"], after.expand(1, 1, 8), rtol=0, atol=1e-6)


def test_a_prior_without_places_is_sharded_and_gathered(tmp_path: Path) -> None:
    sizes = {"context": 1, "known": {"numbers": 3}, "pointing_if": {"numbers": 1}, "prior": {"numbers": [4, 4]}}
    config = replace(NETWORK, text_dim=0, **sizes)

    def work(ranks: Ranks) -> None:
        torch.manual_seed(0)
        network = DiT(config)
        before = {name: x.clone() for name, x in network.state_dict().items()}
        ranks.shard(network, "shard")
        whole = whole_state(network)
        assert ranks.first is False or all(torch.equal(x, before[name]) for name, x in whole.items())

    assert ended(started(2, work)) == [0, 0]


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
    for config_, given_ in (
        (config, given),
        (replace(config, full=True), given),
        (replace(config, step_sizes=True), given),
        (config, replace(given, level=torch.rand(2, 3, 4, 6))),
    ):
        with FlopCounterMode(display=False) as counter:
            DiT(config_)(given_)
        assert dit_flops(config_, given_) == counter.get_total_flops()


def test_options_of_ranks_are_of_world_and_video_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tiny", "--batch", "4", "--out", str(tmp_path)]) == 2
    assert "--batch goes with the recipe world or video, not with tiny" in capsys.readouterr().err
    assert main(["train", "video", "--nproc", "2", "--out", str(tmp_path)]) == 2
    assert "train video needs --data DIR" in capsys.readouterr().err, "before any rank is started"


def test_the_words_of_ranks_are_those_of_the_command() -> None:
    """Zeros too, which are refused there as they are without ranks."""
    given = argparse.Namespace(
        command="train", recipe="video", run=None, nproc=2, minutes=0.0, batch=0, size=None, recompute=True
    )
    assert _command(given) == ["train", "video", "--minutes", "0.0", "--batch", "0", "--recompute"]
    words = ["train", "video", "--data", "clips", "--full", "--few-steps", "--begin", "kinema-film", "--nproc", "2"]
    wished = build_parser().parse_args(words)
    assert vars(build_parser().parse_args(_command(wished))) == vars(wished) | {"nproc": None}


def launches(monkeypatch: pytest.MonkeyPatch, *ends: dict[int, int]) -> list[list[str]]:
    """Let ranks end with these exit statuses by number, one launch after the other, then well; the words of each launch."""
    given, left = list[list[str]](), list(ends)

    def launch_agent(config: LaunchConfig, command: str, words: list[str]) -> None:
        given.append(words[2:])
        assert config.max_restarts == 0, "torch's own restarts know nothing of errors that would come again"
        if left:
            failures = {
                rank: SimpleNamespace(exitcode=status, timestamp=0, local_rank=rank, pid=0, message="", error_file="")
                for rank, status in left.pop(0).items()
            }
            error = ChildFailedError.__new__(ChildFailedError)
            error.failures = failures  # type: ignore[assignment]
            raise error

    monkeypatch.setattr(launch, "launch_agent", launch_agent)
    return given


KILLED = {0: LOST_PEER, 1: -signal.SIGKILL}


def test_ranks_start_anew_from_the_last_checkpoint_as_often_as_is_wished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["train", "video", "--data", "clips", "--out", str(tmp_path), "--nproc", "2", "--steps", "9"]
    given = launches(monkeypatch, KILLED, {0: 1})
    assert main([*words, "--restarts", "2"]) == 0
    first = ["train", "video", "--data", "clips", "--out", str(tmp_path), "--steps", "9", "--device", "auto"]
    assert [sorted(one) for one in given] == [sorted(first)] * 3, "no checkpoint yet: they begin anew"
    assert "rank 1 was ended by SIGKILL; all ranks start anew from the last checkpoint (1 of 2)" in caplog.text
    assert "(2 of 2)" in caplog.text
    trainer_of(tmp_path, steps=1).run()
    given = launches(monkeypatch, KILLED)
    assert main([*words, "--restarts", "1"]) == 0
    assert [sorted(one) for one in given] == [sorted(first), sorted([*first, "--resume", str(tmp_path)])]


def test_what_would_come_again_ends_a_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "video", "--data", "clips", "--out", str(tmp_path), "--nproc", "2", "--restarts", "5"]
    for status in launch.REPORTED:
        given = launches(monkeypatch, {0: status, 1: -signal.SIGTERM})
        assert main(words) == status and len(given) == 1
    given = launches(monkeypatch, {1: 2, 0: LOST_PEER})
    assert main(words) == 2 and len(given) == 1 and "rank 1 ended with status 2" in capsys.readouterr().err
    given = launches(monkeypatch, *[KILLED] * 3)
    assert main([*words[:-1], "2"]) == 2 and len(given) == 3, "once more than it starts anew"
    assert "rank 1 was ended by SIGKILL; go on from the last checkpoint with --resume" in capsys.readouterr().err
    for rest in (["--restarts", "2"], ["--nproc", "1", "--restarts", "2"], ["--nproc", "2", "--restarts", "-1"]):
        assert main(["train", "video", "--data", "clips", *rest]) == 2
        assert "expected 0 or more, with --nproc 2 or more, or with --ray" in capsys.readouterr().err


def test_ranks_that_torchrun_starts_anew_go_on_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the count that torchrun gives them, where the run has a checkpoint."""
    given = build_parser().parse_args(["train", "video", "--data", "clips", "--out", str(tmp_path)])
    resumes = lambda: _common(given, ALONE, "cpu", Line())["resume"]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert resumes() is False, "killed before the first checkpoint"
    trainer_of(tmp_path, steps=1).run()
    assert resumes() is True
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert resumes() is False


def test_ranks_that_start_anew_meet_beside_what_those_before_them_wrote(tmp_path: Path) -> None:
    """torchrun's store stays; in it is the port of a rank that has ended."""
    agent = torch.distributed.TCPStore("localhost", 0, None, True, wait_for_workers=False)
    with socket.socket() as ended_rank:
        ended_rank.bind(("localhost", 0))
        agent.set(MEETING, str(ended_rank.getsockname()[1]))

    def meet(number: int, start: int) -> None:
        use_one_thread_if_forked()
        os.environ |= {
            "MASTER_ADDR": "localhost", "MASTER_PORT": str(agent.port), "RANK": str(number), "LOCAL_RANK": str(number),
            "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_USE_AGENT_STORE": "True",
        }  # fmt: skip
        time.sleep(0.5 * (number == 0))  # so that the other one reads the old port first
        with join_ranks("cpu") as (ranks, _):
            (tmp_path / f"{start}-{number}").write_text(str(float(ranks.mean(torch.tensor([float(number)])))))

    for start in range(2):
        ranks = [FORK.Process(target=meet, args=(number, start), daemon=True) for number in range(2)]
        for rank in ranks:
            rank.start()
        assert ended(ranks) == [0, 0]
        assert [(tmp_path / f"{start}-{number}").read_text() for number in range(2)] == ["0.5", "0.5"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["--nproc", "torchrun"])
def test_a_killed_rank_of_the_command_goes_on_exactly(tmp_path: Path, launcher: str) -> None:
    """kill -9 of one rank: all start anew by themselves, and the weights are those of a run that was not killed."""
    clips, run, whole = tmp_path / "clips", tmp_path / "run", tmp_path / "whole"
    clips.mkdir()
    for number in range(4):
        frames = np.random.default_rng(number).integers(0, 255, (6, 32, 32, 3), np.uint8)
        Clip(frames=frames, fps=8.0).save(clips / f"{number}.mp4")
        (clips / f"{number}.txt").write_text("noise")
    recipe = replace(RECIPE, save_every_s=0.0, short_side=32, pictures_first=0.1)
    train_video(clips, out=whole, steps=1, recipe=recipe)
    shutil.copytree(whole, run)
    train_video(clips, out=whole, steps=40, resume=True, recipe=recipe)
    words = ["train", "video", "--data", str(clips), "--resume", str(run), "--steps", "40", "--device", "cpu"]
    start = [sys.executable, "-m", "kinema.cli.main", *words, "--nproc", "2", "--restarts", "1"]
    if launcher == "torchrun":
        ranks = ["--nproc-per-node", "2", "--max-restarts", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
        start = [sys.executable, "-m", "torch.distributed.run", *ranks, "-m", "kinema.cli.main", *words]
    process = subprocess.Popen(start, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True)
    try:
        while process.poll() is None and not any((run / FOLDER).glob("*/.metadata")):
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        second = [child for child in children if b"\0RANK=1\0" in Path(f"/proc/{child}/environ").read_bytes()]
        os.kill(int(second[0]), signal.SIGKILL)
        printed = process.communicate(timeout=600)[1]
    finally:
        process.kill()
    assert process.returncode == 0, printed
    assert launcher == "torchrun" or "rank 1 was ended by SIGKILL; all ranks start anew" in printed
    state, expected = load_run(run), checkpoint.load_checkpoint(whole)
    assert state["step"] == expected["step"] == 40
    for name, value in weights_of(run).items():
        torch.testing.assert_close(value, expected["model"][name], rtol=1e-3, atol=1e-4)


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    """Weights of the newest checkpoint of several ranks."""
    folder = load_run(out)["sharded"]
    tensors = {name: torch.zeros(size) for name, size in stored_sizes(folder).items() if name.startswith("model/")}
    read_tensors(folder, tensors, ALONE)
    return {name.removeprefix("model/"): x for name, x in tensors.items()}


def test_a_checkpoint_of_another_network_is_not_called_damaged(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dcp.save({"model/x": torch.ones(3, 4)}, checkpoint_id=tmp_path / "c", no_dist=True)
    read_tensors(tmp_path / "c", same := {"model/x": torch.zeros(3, 4)}, ALONE)
    assert same["model/x"].all()
    with pytest.raises(
        InputError, match=r"another version's network: model/x has \[3, 4\] numbers, here \[3, 5\]; go on with"
    ):
        read_tensors(tmp_path / "c", {"model/x": torch.zeros(3, 5)}, ALONE)


class Writer:
    """Stands for TensorBoard's writer."""

    def __init__(self, folder: str) -> None:
        self.folder, self.written, self.closed = folder, list[tuple[str, float, int]](), False
        WRITERS.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.written.append((name, value, step))

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True


WRITERS: list[Writer] = []


class Wandb(ModuleType):
    """Stands for the package wandb: what it was given."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.begun, self.logged, self.finished = list[dict[str, Any]](), list[dict[str, float]](), 0
        self.fails = ""

    def init(self, **given: Any) -> Wandb:
        if self.fails:
            raise RuntimeError(self.fails)
        self.begun.append(given)
        return self

    def define_metric(self, name: str, step_metric: str) -> None:
        assert (name, step_metric) == ("*", "step")

    def log(self, figures: dict[str, float]) -> None:
        self.logged.append(figures)

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Wandb:
    """Both packages, as stand-ins."""
    board, wandb = ModuleType("torch.utils.tensorboard"), Wandb()
    board.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setattr("kinema.training.board.find_spec", lambda name: name)
    WRITERS.clear()
    return wandb


def test_boards_get_the_figures_of_each_step(installed: Wandb, tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, steps=2)
    boards = Boards(tmp_path, tensorboard=tmp_path / "board", wandb="games", about={"size": "XS"})
    trainer.board = boards
    trainer.run()
    (writer,) = WRITERS
    assert writer.folder == str(tmp_path / "board") and not writer.closed and installed.finished == 0
    figures = [{"pictures", "rate", "mfu"}, {"pictures", "rate", "mfu"}]
    for step in (1, 2):
        assert {name for name, _, at in writer.written if at == step} == figures[step - 1]
    assert [set(one) - {"step"} for one in installed.logged] == figures
    assert [one["step"] for one in installed.logged] == [1, 2]
    assert {name: value for name, value, at in writer.written if at == 2}.items() < installed.logged[1].items()
    boards.close()
    assert writer.closed and installed.finished == 1
    (begun,) = installed.begun
    assert (begun["project"], begun["dir"], begun["config"]) == ("games", str(tmp_path), {"size": "XS"})
    assert "mode" not in begun, "WANDB_MODE says it"
    Boards(tmp_path, wandb="games")
    assert installed.begun[1]["id"] == begun["id"] and begun["resume"] == "allow", "a run that goes on is the same run"


def test_a_run_that_wandb_does_not_begin_is_one_line(installed: Wandb, tmp_path: Path) -> None:
    installed.fails = "api_key not configured\n(no-tty)"
    with pytest.raises(InputError, match=r"does not begin a run \(api_key not configured \(no-tty\)\).* WANDB_MODE=offline"):
        Boards(tmp_path, wandb="games")


def test_the_command_gives_figures_to_boards(installed: Wandb, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for number in range(2):
        frames = np.random.default_rng(number).integers(0, 255, (4, 32, 32, 3), np.uint8)
        Clip(frames=frames, fps=8.0).save(tmp_path / "clips" / f"{number}.mp4")
        (tmp_path / "clips" / f"{number}.txt").write_text("noise")
    words = ["train", "video", "--data", str(tmp_path / "clips"), "--out", str(tmp_path / "run"), "--steps", "1"]
    assert main([*words, "--size", "nano", "--batch", "1", "--wandb", "games", "--tensorboard", str(tmp_path / "b")]) == 0
    assert installed.begun[0]["project"] == "games" and installed.begun[0]["config"]["size"] == "nano"
    assert sorted(installed.logged[0]) == ["mfu", "pictures", "rate", "step"]
    assert "held_out_1" in installed.logged[-1] and installed.finished == 1
    assert {name for name, _, _ in WRITERS[0].written} > {"held_out_1", "pictures"} and WRITERS[0].closed


@pytest.mark.parametrize(("option", "package"), [("--tensorboard", "tensorboard"), ("--wandb", "wandb")])
def test_a_board_that_is_not_installed_is_one_line_before_anything_is_done(
    option: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kinema.training.board.find_spec", lambda name: None)
    assert main(["train", "world", "--data", str(tmp_path), option, str(tmp_path / "x"), "--out", str(tmp_path / "y")]) == 2
    printed = capsys.readouterr().err
    assert f"{option} needs the package {package}; install it: pip install {package}" in printed
    assert printed.count("\n") == 1 and not (tmp_path / "y").exists()


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_itself_reads_what_is_written(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    boards = Boards(tmp_path, tensorboard=tmp_path / "board")
    boards(3, {"video": 0.5})
    boards.close()
    events = EventAccumulator(str(tmp_path / "board")).Reload().Scalars("video")
    assert [(event.step, event.value) for event in events] == [(3, 0.5)]
