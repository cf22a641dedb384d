"""Training on a GPU: what cannot be used is refused before anything is simulated."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kinema.datasets.folder_lock import locked
from kinema.training import gpu
from kinema.training.gpu_recipe import on_gpu
from kinema.training.recipes import recipe


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
