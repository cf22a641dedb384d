"""Ray measures and writes the same files as one process, also where a run was killed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from tests.curation.test_curate import Killed, honest, kill_at, put, still

from kinema.cli.main import main
from kinema.curation import film_files
from kinema.curation.curate import curate


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for seed, name in enumerate("abc"):
        put(tmp_path / "in", name, honest(60 + seed))
    put(tmp_path / "in", "static", still(63))
    (tmp_path / "in" / "broken.mp4").write_bytes((tmp_path / "in" / "a.mp4").read_bytes()[:2000])
    (tmp_path / "in" / "broken.txt").write_text("a broken file")
    return tmp_path / "in"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra cluster is not installed")
def test_files_are_those_of_one_process(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = curate(films, tmp_path / "alone")
    with monkeypatch.context() as patched:
        kill_at(patched, film_files, "measure_film", 2)
        with pytest.raises(Killed):
            curate(films, tmp_path / "out")
    stages: list[tuple[str, int, int]] = []
    made = curate(films, tmp_path / "out", cluster=True, show=lambda *stage: stages.append(stage))
    assert (made.clips, made.dropped) == (result.clips, result.dropped)
    assert contents(made.out) == contents(result.out)
    assert ("measuring films by Ray", 5, 5) in stages and ("writing clips by Ray", 3, 3) in stages


def test_without_ray_the_command_says_what_to_install(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["curate", str(films), str(tmp_path / "out"), "--ray"]) == 2
    assert capsys.readouterr().err == "kinema: --ray needs Ray; install it with: pip install 'kinema[cluster]'\n"
    assert not (tmp_path / "out").exists()
