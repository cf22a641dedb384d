"""Workers on real jobs: killed at every point, with a full disk, stopped; each job is published completely and once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from tests.server.killed import killed

from kinema.errors import OutputError
from kinema.media import Clip, Sound
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene
from kinema.provenance import Manifest, archive_ingredient, read_manifest
from kinema.server.auth import Auth
from kinema.server.jobs.queue import Queue
from kinema.server.jobs.render import shape_of, trim
from kinema.server.jobs.worker import POINTS, Worker
from kinema.server.settings import Settings
from kinema.server.signing import identity_of
from kinema.server.storage.artifacts import ArtifactStore, new_id
from kinema.server.storage.clips import load_clip, save_clip
from kinema.server.storage.database import Database


class Yard:
    """A data folder with a key, and jobs that need no model: parts of an upload."""

    def __init__(self, data: Path) -> None:
        self.settings = Settings(data=data, threads=1)
        self.store = ArtifactStore(data)
        self.database = Database(self.settings.url)
        self.queue = Queue(self.database)
        self.key = str(Auth(self.database).make("me")[1].id)
        self.file = new_id("file")
        frames = np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), np.uint8)
        save_clip(self.store.file(self.file), Clip(frames=frames, fps=16.0))

    def job(self, kind: str = "trim", **request: Any) -> str:
        wanted = {"video": {"file": self.file}, "cuts": [[0.0, 0.5]], "size": "32x32", "seed": 0, "prompt": "", **request}
        row = {
            "id": new_id("video"), "key_id": self.key, "kind": kind, "model": "kinema-tiny", "prompt": wanted["prompt"],
            "seconds": "0.5", "size": "32x32", "request": wanted, "sources": [], "remixed_from": None, "priority": 0,
            "shape": shape_of(kind, "kinema-tiny", wanted), "pixel_seconds": 512.0,
        }  # fmt: skip
        return str(self.queue.submit(row).id)

    def film(self, prompt: str = "a red ball", **more: Any) -> str:
        request = {"seconds": 0.25, "size": "64x64", "fps": 16.0, "steps": 1, "guidance": 1.0, "strict": False}
        return self.job("generate", prompt=prompt, **{**request, **more})

    def sent(self, name: str) -> None:
        """What sending the file would leave beside its pixels."""
        clip = load_clip(self.store.file(self.file)).save(self.settings.data / name)
        archive_ingredient(clip, name, self.store.ingredient(self.file))

    def worker(self, **more: Any) -> Worker:
        return Worker(self.settings, lease_s=1.0, **more)

    def work(self) -> None:
        worker = self.worker()
        worker.run(idle=lambda: not self.queue.waiting(None))
        worker.close()

    def check_published(self, id: str, frames: int = 8) -> Clip:
        row = self.queue.get(id, None)
        assert row.status == "completed", (row.error_code, row.error_message)
        folders = list((self.settings.data / "videos" / id).iterdir())
        assert [folder.name for folder in folders] == [row.artifact], "one artifact, and nothing beside it"
        clip = Clip.open(folders[0] / "video.mp4")
        assert clip.num_frames == frames and clip.settings["video"] == id
        assert {file.name for file in folders[0].iterdir()} >= {"video.mp4", "thumbnail.jpg", "spritesheet.jpg"}
        return clip


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path / "data")


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_every_point(yard: Yard, point: str) -> None:
    """kill -9: the job is taken over, published once, paid once; nothing of the dead is left."""
    ids = [yard.job(), yard.job()]
    assert killed(yard.settings.data, point)
    yard.work()
    for id in ids:
        yard.check_published(id)
    assert not list((yard.settings.data / "work").iterdir()), "what workers keep goes when it is not needed"
    (row,) = Auth(yard.database).all()
    assert (row.used, row.reserved) == (1024.0, 0.0)
    yard.store.sweep(yard.queue.artifacts(), older_s=-1)
    for id in ids:
        yard.check_published(id)


def test_a_worker_that_slept_past_its_lease_publishes_nothing(yard: Yard) -> None:
    """SIGSTOP in the middle, another takes over, SIGCONT: one artifact, and it is the other's."""
    id = yard.job()
    stopped = threading.Event()
    going = threading.Event()

    def reached(point: str) -> None:
        if point == "settled":
            stopped.set()
            assert going.wait(20)

    sleeper = yard.worker(reached=reached)
    sleeper.leases.lease_s = 0.3
    sleeper.leases.beat = lambda claims, progress, worker=None: {}  # type: ignore[method-assign]
    thread = threading.Thread(target=sleeper.once)
    thread.start()
    assert stopped.wait(20)
    time.sleep(0.5)
    yard.work()
    going.set()
    thread.join()
    yard.check_published(id)
    assert yard.queue.get(id, None).artifact == "2"


def test_a_full_disk_loses_nothing(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    id = yard.job()
    worker = yard.worker()

    def full(folder: Path, clip: Clip, **_: Any) -> None:
        (folder / "video.mp4").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kinema.server.jobs.worker.write_film", full)
    monkeypatch.setattr("kinema.server.jobs.worker.FULL_S", 0.1)
    assert worker.once()
    row = yard.queue.get(id, None)
    assert (row.status, row.stage, row.attempts) == ("queued", "waiting for space", 0)
    assert not list((yard.settings.data / "videos" / id).iterdir())
    monkeypatch.setattr(worker.store, "check_space", lambda: (_ for _ in ()).throw(OutputError("full")))
    assert not worker.once()
    monkeypatch.undo()
    yard.work()
    yard.check_published(id)


def test_cancelled_within_a_step(yard: Yard) -> None:
    """A film of a thousand steps stops when its owner says so, and the worker goes on with the next."""
    id, after = yard.film(steps=200, seconds=4.0, size="64x64"), yard.job()
    worker = yard.worker()
    thread = threading.Thread(target=worker.once)
    thread.start()
    _until(lambda: yard.queue.get(id, None).stage == "plan")
    yard.queue.cancel(id, None)
    thread.join(10)
    assert not thread.is_alive()
    row = yard.queue.get(id, None)
    assert (row.status, row.error_code) == ("failed", "cancelled") and row.progress < 60
    yard.work()
    yard.check_published(after)


def test_a_stopped_worker_releases_its_job(yard: Yard) -> None:
    id = yard.film(steps=200, seconds=4.0, size="64x64")
    process = subprocess.Popen(
        [sys.executable, "-m", "kinema.server.jobs.process", str(os.getpid())], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(yard.settings.to_json().encode())
    process.stdin.close()
    process.stdin = None
    _until(lambda: yard.queue.get(id, None).stage == "plan", 60)
    process.terminate()
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    row = yard.queue.get(id, None)
    assert (row.status, row.attempts) == ("queued", 0)
    assert [json.loads(line)["message"] for line in log.decode().splitlines()][-1] == "worker stopped"


def test_jobs_made_together_are_those_made_alone(yard: Yard) -> None:
    prompts = ["a red ball rolls right", "a blue box", "a green robot jumps"]
    together = [yard.film(prompt, seed=i) for i, prompt in enumerate(prompts)]
    worker = yard.worker()
    assert worker.once() and yard.queue.counts() == {"completed": 3}, "one pass for all three"
    alone = []
    for i, prompt in enumerate(prompts):
        alone.append(yard.film(prompt, seed=i))
        worker.once()
    for a, b in zip(together, alone, strict=True):
        one, other = yard.check_published(a, 4), yard.check_published(b, 4)
        assert one.state is not None and other.state is not None
        np.testing.assert_allclose(one.state.x, other.state.x, atol=0.05)
        assert (one.state.kind == other.state.kind).all()
        assert np.abs(one.frames.astype(int) - other.frames).mean() < 8, "but for their marks"
    worker.close()


def test_one_bad_job_fails_alone(yard: Yard) -> None:
    good, bad = yard.film("a red ball", strict=True), yard.film("a purple wolf", strict=True)
    yard.work()
    yard.check_published(good, 4)
    row = yard.queue.get(bad, None)
    assert row.error_code == "invalid_request" and "wolf" in row.error_message


def test_an_error_names_a_deleted_source(yard: Yard) -> None:
    id = yard.job(video={"file": "file_" + "0" * 24})
    yard.work()
    assert "upload it again" in yard.queue.get(id, None).error_message


def test_moderation_checks_frames(yard: Yard) -> None:
    yard.settings = Settings(data=yard.settings.data, threads=1, moderation="tests.server.test_worker:NoNoise")
    id = yard.job()
    yard.work()
    row = yard.queue.get(id, None)
    assert (row.error_code, row.error_message) == ("content_policy_violation", "noise is not allowed")


class NoNoise:
    """Refuses films that are noise."""

    def check_prompt(self, prompt: str) -> str | None:
        return None

    def check_frames(self, frames: Any) -> str | None:
        return "noise is not allowed" if frames.std() > 60 else None


def test_what_is_nobodys_is_swept(yard: Yard) -> None:
    id = yard.job()
    yard.work()
    row = yard.queue.get(id, None)
    stray = [
        yard.store.video(id, "9"),
        yard.store.video("video_" + "a" * 24, "1"),
        yard.store.work_folder("video_" + "b" * 24),
    ]
    for folder in stray:
        folder.mkdir(parents=True, exist_ok=True)
    assert yard.store.sweep(yard.queue.artifacts()) == [], "what is young may be in the making"
    yard.store.sweep(yard.queue.artifacts(), older_s=-1)
    assert not any(folder.exists() for folder in stray) and yard.store.video(id, row.artifact).exists()


def test_trimming_joins_parts_in_order() -> None:
    frames = np.arange(16, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3)
    made = trim(Clip(frames=frames, fps=8.0), [[1.0, 1.5], [0.0, 0.25]])
    assert made.frames[:, 0, 0, 0].tolist() == [8, 9, 10, 11, 0, 1]


def tones(seconds: int) -> Sound:
    """One tone a second: 500 Hz, 1000 Hz, ..."""
    clock = np.arange(8000) / 8000
    waves = [np.sin(2 * np.pi * 500 * (i + 1) * clock) for i in range(seconds)]
    return Sound(samples=(9000 * np.concatenate(waves)).astype(np.int16)[:, None], rate=8000)


def heard_hz(clip: Clip, start_s: float, stop_s: float) -> int:
    """The loudest frequency of a part of a clip, to 50 Hz; 0 for silence."""
    assert clip.sound is not None
    part = clip.sound.part(start_s, stop_s).samples[:, 0].astype(float)
    loudest = np.abs(np.fft.rfft(part)).argmax() / (stop_s - start_s)
    return 0 if np.abs(part).max() < 300 else int(50 * round(loudest / 50))


def test_the_sound_of_an_upload_is_cut_joined_and_published(yard: Yard) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (32, 32, 32, 3), np.uint8)
    save_clip(yard.store.file(yard.file), Clip(frames=frames, fps=16.0, sound=tones(2)))
    cut = yard.job(cuts=[[1.0, 2.0], [0.0, 0.5]])
    before, after = (yard.job(kind="extend", seconds=0.5, before=before, steps=1, size="64x64") for before in (True, False))
    loop = yard.job(kind="loop", seconds=0.5, steps=1, size="64x64")
    yard.work()
    made = yard.check_published(cut, frames=24)
    assert (heard_hz(made, 0.1, 0.9), heard_hz(made, 1.1, 1.4)) == (1000, 500)
    assert yard.queue.get(cut, None).settings["sound"] == {"rate": 8000, "channels": 1}
    made = yard.check_published(before, frames=40)
    assert [heard_hz(made, at, at + 0.3) for at in (0.1, 0.6, 1.6)] == [0, 500, 1000]
    for id in (after, loop):
        made = yard.check_published(id, frames=40)
        assert [heard_hz(made, at, at + 0.3) for at in (0.1, 1.1, 2.15)] == [500, 1000, 0]


def _until(ready: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def manifest_of(yard: Yard, id: str) -> Manifest:
    row = yard.queue.get(id, None)
    assert row.status == "completed", (row.error_code, row.error_message)
    return read_manifest(yard.store.video(id, row.artifact) / "video.mp4", identity_of(yard.settings).anchors)


def test_a_trim_of_footage_says_that_it_was_cut_and_from_what(yard: Yard) -> None:
    yard.sent("holiday.mp4")
    id = yard.job()
    yard.work()
    manifest = manifest_of(yard, id)
    assert manifest.trusted and manifest.making == "edited" and manifest.sources == ("holiday.mp4",)
    assert not manifest.from_kinema


def test_a_trim_of_a_film_of_kinema_s_keeps_its_manifest(yard: Yard) -> None:
    film = yard.film()
    yard.work()
    id = yard.job(video={"video": film}, cuts=[[0.0, 0.2]], size="64x64")
    yard.work()
    manifest = manifest_of(yard, id)
    assert manifest_of(yard, film).making == "created"
    assert manifest.making == "edited" and manifest.sources == (film,) and manifest.from_kinema


def test_a_foreign_picture_is_not_shown_and_the_video_says_so(yard: Yard) -> None:
    """Noise is nothing that kinema-tiny knows: the film is one of words, not one that begins with noise and jumps away from it."""
    yard.sent("noise.mp4")
    ids = [yard.film(image={"file": yard.file}), yard.film()]
    yard.work()
    shown, alone = (yard.check_published(id, frames=4).frames.astype(int) for id in ids)
    assert np.abs(shown - alone).mean() < 10, "two watermarks are about 4 levels apart, noise and a film 60"
    row = yard.queue.get(ids[0], None)
    assert (
        "shows nothing that kinema-tiny knows" in row.settings["foreign"] and "does not show it" in row.settings["foreign"]
    )
    assert "foreign" not in yard.queue.get(ids[1], None).settings
    manifest = manifest_of(yard, ids[0])
    assert manifest.making == "created" and not manifest.sources


def test_a_film_around_pictures_is_a_composite_of_them(yard: Yard) -> None:
    scene = simulate(tiny(), 1, fps=16.0, num_frames=1).scene
    save_clip(yard.store.file(yard.file), Clip(frames=render_scene(scene, height=64, width=64), fps=16.0))
    yard.sent("holiday.png")
    id = yard.film(image={"file": yard.file})
    yard.work()
    manifest = manifest_of(yard, id)
    assert manifest.making == "composite" and manifest.sources == ("holiday.png",)


def test_a_job_that_takes_longer_than_it_may_fails_with_the_limit(yard: Yard) -> None:
    yard.settings = replace(yard.settings, job_timeout_s=1e-6)
    id = yard.film()
    yard.work()
    row = yard.queue.get(id, None)
    assert (row.status, row.error_code) == ("failed", "timeout") and "the limit of this server" in row.error_message
