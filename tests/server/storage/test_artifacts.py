"""Sweeping: what belongs to no job goes, and nothing that a worker is writing."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from kinema.server.storage.artifacts import ArtifactStore, new_id


def test_what_is_being_written_is_not_swept_away(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    running, done, lost = new_id("video"), new_id("video"), new_id("video")
    staged, left, orphan = store.stage(running), store.stage(done), store.stage(lost)
    kept = store.video(done, "2")
    kept.mkdir()
    for id in (running, done):
        store.work_folder(id)
    jobs = {running: (None, "in_progress", 1), done: ("2", "completed", 2)}
    assert store.sweep(jobs, older_s=3600) == []
    store.sweep(jobs, older_s=-1)
    assert staged.exists() and store.work_folder(running, make=False).exists(), "a worker writes there"
    assert kept.exists() and not left.exists() and not orphan.exists()
    assert not store.work_folder(done, make=False).exists()
