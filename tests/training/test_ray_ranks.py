"""Laws of ranks that Ray starts: their losses are those of one process, also after one has died; an error is told at once."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tests.training.test_parallel import FORK, RECIPE, STEPS, ended, losses_of, trainer_of

from kinema.cli.main import main
from kinema.datasets.cluster import ray_cluster
from kinema.devices import use_one_thread_if_forked
from kinema.errors import InputError
from kinema.training.parallel import ALONE, Ranks, join_ranks
from kinema.training.ray_ranks import _kind, launch_ray_ranks
from kinema.training.sharded_checkpoint import holds_run, load_run


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the extra cluster is not installed")
    with ray_cluster(2) as ray:
        yield ray


@pytest.mark.slow
def test_losses_are_those_of_one_process_though_a_rank_dies(ray: Any, tmp_path: Path) -> None:
    """One of two ranks is killed in its third step, once; both start anew and go on from the checkpoint of the second."""
    alone = losses_of(tmp_path / "alone", RECIPE, ALONE)
    out, notes, killed = tmp_path / "run", tmp_path / "losses.jsonl", tmp_path / "killed"

    def work(device: str) -> None:
        with join_ranks(device) as (ranks, mine):
            assert (ranks.size, mine) == (2, "cpu")
            trainer = trainer_of(out, RECIPE, ranks)
            if holds_run(out):
                trainer.load(load_run(out))

            def note(step: int, figures: dict[str, float]) -> None:
                if ranks.first:
                    with notes.open("a") as file:
                        file.write(json.dumps([step, figures["video"]]) + "\n")
                if step == 2 and not killed.exists():
                    trainer.save()
                    trainer.checkpoints.finish()
                    ranks.wait()
                    if not ranks.first:
                        killed.touch()
                        os.kill(os.getpid(), signal.SIGKILL)

            trainer.board = note
            trainer.run()

    launch_ray_ranks(2, work, "cpu", out)
    steps = [json.loads(line) for line in notes.read_text().splitlines()]
    assert killed.exists() and [step for step, _ in steps] == [1, 2, 3, 4, 5]
    assert [loss for _, loss in steps] == pytest.approx(alone[:STEPS], rel=1e-5)
    assert load_run(out)["step"] == STEPS


@pytest.mark.slow
def test_what_would_fail_again_is_raised_at_once(ray: Any, tmp_path: Path) -> None:
    def work(device: str) -> None:
        with join_ranks(device) as (ranks, _):
            if ranks.rank == 1:
                with (tmp_path / "starts").open("a") as file:
                    file.write("started\n")
                raise InputError("no clip is long enough")
            ranks.wait()

    with pytest.raises(InputError, match="no clip is long enough"):
        launch_ray_ranks(2, work, "cpu", tmp_path / "run")
    assert (tmp_path / "starts").read_text() == "started\n"


def test_a_process_group_that_a_launcher_has_made_is_used_and_stays(tmp_path: Path) -> None:
    def rank(number: int) -> None:
        use_one_thread_if_forked()
        dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=number, world_size=2)
        os.environ |= {"WORLD_SIZE": "2", "LOCAL_RANK": str(number), "LOCAL_WORLD_SIZE": "2"}
        with join_ranks("cpu") as (ranks, mine):
            assert isinstance(ranks, Ranks) and (ranks.rank, ranks.size, mine) == (number, 2, "cpu")
            assert float(ranks.mean(torch.tensor(float(number)))) == 0.5
        total = torch.tensor(1.0)
        dist.all_reduce(total)
        assert float(total) == 2.0

    processes = [FORK.Process(target=rank, args=(number,), daemon=True) for number in range(2)]
    for process in processes:
        process.start()
    assert ended(processes) == [0, 0]


def test_what_cannot_be_started_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    given = ["train", "video", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--ray", "2"]
    cases = {
        "--ray needs Ray; install it with: pip install 'kinema[cluster]'": given,
        "--ray N starts all processes of a run; leave out --nproc and torchrun": [*given, "--nproc", "2"],
        "--ray goes with the recipe world or video, not with tiny": ["train", "tiny", "--ray", "2"],
    }
    for option in ("--ray", "--nproc", "--accumulate", "--batch"):
        for number in ("0", "-1"):
            message = f"argument {option}: {number!r}: expected 1 or more; see kinema train --help"
            cases[message] = ["train", "world", "--data", str(tmp_path), option, number]
    for message, argv in cases.items():
        assert main(argv) == 2
        assert capsys.readouterr().err == f"kinema: {message}\n"
    trainer = trainer_of(tmp_path / "run", steps=1)
    trainer.run()
    assert main(given) == 2
    assert "holds a run already; go on with --resume" in capsys.readouterr().err, (
        "so that ranks that start anew may go on with theirs"
    )


def test_ranks_take_gpus_where_the_cluster_has_enough() -> None:
    assert [_kind("auto", 2, gpus) for gpus in (0, 1, 2, 8)] == ["cpu", "cpu", "cuda", "cuda"]
    assert (_kind("cuda", 2, 0), _kind("cpu", 2, 8)) == ("cuda", "cpu"), "a cluster may grow"
    with pytest.raises(InputError, match="2 ranks on meta: expected cpu or cuda"):
        _kind("meta", 2, 0)
