"""Training on a GPU: what cannot be used is refused before anything is simulated."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from kinema.datasets.episode_cache import build_shards
from kinema.datasets.folder_lock import locked
from kinema.datasets.recorder import record
from kinema.models.hub import load, read_config, read_weights
from kinema.training import gpu, gpu_general
from kinema.training.gpu_general import film_order, film_recipe, world_recipe
from kinema.training.gpu_recipe import on_gpu
from kinema.training.recipes import recipe
from kinema.training.sharded_checkpoint import load_run


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> object:
    """Runs the command, which must end with status 2 and one line, and start no process; gives that line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kwargs: pytest.fail("a process was started"))

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            gpu.main(list(arguments))
        err = capsys.readouterr().err
        assert ended.value.code == 2 and err.count("\n") == 1 and err.endswith("\n"), err
        return err

    return run


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nonsense"], "no recipe 'nonsense'"),
        (["tiny", "--device", "nonsense"], "no device 'nonsense'"),
        (["tiny", "--out", "file"], "is a file"),
        (["tiny", "--minutes", "0"], "0 minutes: expected a number above 0"),
        (["tiny", "--minutes", "-1"], "-1 minutes"),
        (["tiny", "--minutes", "nan"], "nan minutes"),
        (["tiny", "--begin", "nonsense"], "no model 'nonsense'"),
        (["tiny", "--workers", "0"], "--workers 0: expected 1 or more"),
        (["tiny", "--makers", "0"], "--makers 0: expected a number above 0"),
        ([], "required: name"),
        (["tiny", "--size", "S"], "--size goes with the recipes film, world, not with tiny"),
        (["tiny", "--data", "pong"], "--data goes with the recipes world, not with tiny"),
        (["world", "--begin", "kinema-film"], "--begin goes with the recipes"),
        (["film", "--makers", "1"], "--makers goes with the recipes"),
        (["film", "--size", "nonsense"], "size 'nonsense': expected one of"),
        (["film", "--batch", "0"], "--batch 0: expected 1 or more"),
        (["film", "--begin", "nonsense"], "no model 'nonsense'"),
        (
            ["film", "--rehearse", "--begin", "kinema-film"],
            "holds a network of width 192, depth 6, patch 1; expected width 32",
        ),
        (["film", "--parts", "file"], "file holds something else than a model in parts"),
        (["world"], "the recipe world needs --data DIR"),
        (["world", "--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_used_is_one_line(fails, arguments: list[str], error: str) -> None:  # type: ignore[no-untyped-def]
    Path("file").touch()
    assert error in fails(*arguments)


def test_a_folder_in_use_is_refused(fails, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with locked(tmp_path / "run"):
        assert "another run is writing" in fails("tiny", "--out", "run", "--device", "cpu")


def test_a_recipe_at_a_gpu_s_size_is_another_recipe_of_the_same_model() -> None:
    for name in ("tiny", "tiny-drawing", "phyworld"):
        small, large = recipe(name), on_gpu(recipe(name))
        assert large.name == f"{name}-gpu" and large.model_name == small.model_name


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a few episodes are simulated already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gpu_general, "REHEARSED_EPISODES", 6)
    monkeypatch.setattr(gpu_general, "REHEARSED_STEPS", 2)
    return tmp_path


def rehearse(*arguments: str) -> None:
    assert gpu.main([*arguments, "--rehearse", "--device", "cpu"]) == 0


def steps_and_speed(out: Path) -> int:
    """Steps of a run whose figures of speed are there."""
    figures = json.loads((out / "speed.json").read_text())
    assert figures["tokens_per_s"] > 0 and 0 < figures["mfu"] < 10 and figures["steps"] == load_run(out)["step"]
    return int(figures["steps"])


def test_films_are_rehearsed_go_on_and_begin_from_parts(run: Path) -> None:
    build_shards([film_order(rehearse=True)], workers=1)
    rehearse("film", "--out", "a", "--parts", "parts")
    assert steps_and_speed(run / "a") == 2
    config = read_config(run / "a" / "film")
    assert config.trained["clips"] == 3 and config.trained["data"] == "the Playground"
    rehearse("film", "--out", "a")
    assert steps_and_speed(run / "a") == 4
    rehearse("film", "--out", "b", "--begin", "parts")
    begun, mine = read_weights(run / "b" / "begin"), read_weights(run / "b" / "film")
    apart = sum(float((begun[name].float() - mine[name].float()).square().sum()) for name in mine)
    size = sum(float(x.float().square().sum()) for x in mine.values())
    assert 0 < apart < 0.05 * size, "two steps from where it began"


def test_a_world_is_rehearsed_and_goes_on(run: Path) -> None:
    record("CartPole-v1", run / "cart", episodes_wanted=4, size=(32, 48))
    rehearse("world", "--data", "cart", "--out", "w", "--parts", "parts")
    assert steps_and_speed(run / "w") == 2
    rehearse("world", "--data", "cart", "--out", "w")
    assert steps_and_speed(run / "w") == 4
    assert load(run / "w" / "world", device="cpu").source.endswith("world")
    assert (run / "parts" / "parts.json").exists()


def test_the_general_network_is_of_size_s_on_a_gpu_and_compiled() -> None:
    for large in (film_recipe(rehearse=False), world_recipe(rehearse=False)):
        assert large.size == "S" and large.compile and large.precision == "fast"
