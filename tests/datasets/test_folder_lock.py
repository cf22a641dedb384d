"""One run in one folder: a second is refused while the first lives, and only then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kinema.datasets import folder_lock
from kinema.datasets.folder_lock import locked
from kinema.errors import InputError, OutputError
from kinema.training.run import train

HOLD = """
import os, sys, time
from pathlib import Path
from kinema.datasets import folder_lock
from kinema.datasets.folder_lock import locked

with locked(Path(sys.argv[1])):
    if os.fork() == 0:  # the child speaks, so that what runs after a fork has run in it
        print(os.getpid(), flush=True)
    time.sleep(600)
"""


def test_a_second_run_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        with pytest.raises(InputError, match="another run is writing"), locked(tmp_path / "run"):
            pass
        with locked(tmp_path / "other"):
            pass
        with pytest.raises(InputError, match="another run is writing"):
            train("smoke", out=tmp_path / "run", prepare=lambda *_: pytest.fail("episodes were simulated"))
    with locked(tmp_path / "run"):
        pass


def test_kill_9_releases_the_folder_though_workers_live_on(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        with pytest.raises(InputError, match="another run is writing"), locked(tmp_path):
            pass
        process.kill()
        process.wait()
        with locked(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        process.kill()
        process.stdout.close()


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hit.mp4").write_bytes(b"film")
    for out in (tmp_path / "hit.mp4", tmp_path / "hit.mp4" / "run", Path("/dev/null")):
        with pytest.raises(OutputError, match="is a file or lies in one; name a folder"):
            train("smoke", out=out, prepare=lambda *_: pytest.fail("episodes were simulated"))
    assert (tmp_path / "hit.mp4").read_bytes() == b"film"
    with pytest.raises(OutputError, match="name another folder"), locked(tmp_path / ("x" * 300)):
        pass


def test_what_is_refused_leaves_no_folder_behind_unless_it_was_there_or_holds_something(tmp_path: Path) -> None:
    def refused(folder: Path, *, writes: bool = False) -> None:
        with pytest.raises(InputError, match="no such size"), locked(folder):
            if writes:
                (folder / "clip.mp4").write_bytes(b"film")
            raise InputError("no such size")

    refused(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    refused(tmp_path / "half", writes=True)
    assert (tmp_path / "half" / "clip.mp4").exists()
    (tmp_path / "old").mkdir()
    refused(tmp_path / "old")
    assert (tmp_path / "old").exists()


def test_a_lock_that_was_opened_just_before_it_was_removed_is_not_the_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, opened = tmp_path / "run", folder_lock._open

    def removed_at_once(path: Path, option: str) -> int:
        monkeypatch.setattr(folder_lock, "_open", opened)
        handle = opened(path, option)
        (path / folder_lock.LOCK).unlink()
        return handle

    monkeypatch.setattr(folder_lock, "_open", removed_at_once)
    with locked(folder), pytest.raises(InputError, match="another run is writing"), locked(folder):
        pass
