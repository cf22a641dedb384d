"""Jobs of added models: made, marked and signed by a tiny Wan, whatever dies on the way; engines of a worker and their memory."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")
pytest.importorskip("diffusers", reason="needs kinema[open-weights]")

from fastapi.testclient import TestClient
from tests.engines.bad_engines import run_bad_forked
from tests.engines.standin import StandIn, mp4
from tests.server.test_worker import Yard

from kinema.engines import host, registry, upstream
from kinema.engines.diffusers.tiny.models import make_tiny
from kinema.engines.host import EngineProcess
from kinema.engines.ledger import FolderRecords, Ledger
from kinema.engines.protocol import FilmRequest, License, Lora
from kinema.engines.registry import ModelEntry, entries, remove_entry, save_entry
from kinema.errors import EngineError, ModelError
from kinema.inference import limits
from kinema.media import Clip
from kinema.provenance import read_manifest
from kinema.server.app import create_app
from kinema.server.auth import Auth
from kinema.server.jobs.engines import EngineBusy, EnginePool
from kinema.server.jobs.render import shape_of
from kinema.server.jobs.worker import Worker
from kinema.server.signing import identity_of
from kinema.server.storage.artifacts import new_id

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.engines.bad_engines"])
FILM = {"seconds": 1.0, "size": "64x48", "fps": 16.0, "steps": 2, "guidance": None, "strict": False, "seed": 1}


@pytest.fixture(scope="session")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny("wan", tmp_path_factory.mktemp("open") / "wan")


@pytest.fixture
def entry(wan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelEntry:
    monkeypatch.setenv("KINEMA_MODELS", str(tmp_path / "models.toml"))
    made = ModelEntry(
        name="wan", source=str(wan), weights_sha256="ab" * 32, license=License(name="apache-2.0"),
        arguments={"max_sequence_length": 16},
    )  # fmt: skip
    save_entry(made)
    return made


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of engines that do what a prompt says, forked from one that has imported them."""
    monkeypatch.setattr(host, "run_engine", run_bad_forked)
    monkeypatch.setattr(host.multiprocessing, "get_context", lambda kind: FORKS)
    monkeypatch.setattr(host, "CLOSE_S", 0.5)


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path / "data")


def open_job(yard: Yard, prompt: str, *, model: str = "wan", key: str | None = None, size: float = 1e5) -> str:
    several = model in entries() and entries()[model].batch > 1
    shape = shape_of("generate", model, {**FILM, "prompt": prompt}) if several else None
    row = {
        "id": new_id("video"), "key_id": key or yard.key, "kind": "generate", "model": model, "prompt": prompt, "seconds": "1",
        "size": "64x48", "request": {**FILM, "prompt": prompt}, "sources": [], "remixed_from": None, "priority": 0,
        "shape": shape, "pixel_seconds": size,
    }  # fmt: skip
    return str(yard.queue.submit(row).id)


def failed(yard: Yard, id: str) -> tuple[str, str]:
    row = yard.queue.get(id, None)
    assert row.status == "failed" and row.error_message and "\n" not in row.error_message
    return row.error_code, row.error_message


def books(yard: Yard) -> list[tuple[float, float]]:
    return [(row.used, row.reserved) for row in Auth(yard.database).all()]


@pytest.fixture
def worker(yard: Yard) -> Iterator[Worker]:
    made = yard.worker()
    yield made
    made.stopping.set()
    made.close()


def test_a_job_of_an_open_model(entry: ModelEntry, yard: Yard, worker: Worker) -> None:
    """Made by the real engine in its own process, marked and signed; its settings say of which weights, under which license."""
    id = open_job(yard, "a red ball")
    assert worker.once()
    clip = yard.check_published(id, 16)
    row = yard.queue.get(id, None)
    known = {"model": "wan", "engine": "diffusers", "weights_sha256": "ab" * 32, "license": "apache-2.0"}
    for settings in (row.settings, clip.settings):
        assert {name: settings.get(name) for name in known} == known
    assert (clip.size, clip.fps) == ("64x48", 16.0) and row.mark and not row.has_state
    assert row.artifact is not None
    manifest = read_manifest(yard.store.video(id, row.artifact) / "video.mp4", identity_of(yard.settings).anchors)
    assert manifest.state == "valid"
    assert books(yard) == [(1e5, 0.0)]
    remove_entry("wan")
    gone = open_job(yard, "a red ball")
    worker.once()
    code, message = failed(yard, gone)
    assert code == "model_unavailable" and message.startswith("wan cannot be opened at this moment")
    assert books(yard) == [(1e5, 0.0)], "what fails costs nothing"


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many films each pass of an engine's process was asked for."""
    counts: list[int] = []
    film = EngineProcess.film

    def counted(self: EngineProcess, request: FilmRequest, *more: Any) -> list[Clip]:
        counts.append(len(request.each()))
        return film(self, request, *more)

    monkeypatch.setattr(EngineProcess, "film", counted)
    return counts


def test_jobs_of_one_shape_are_filmed_in_one_pass(entry: ModelEntry, yard: Yard, worker: Worker, passes: list[int]) -> None:
    """As they are filmed alone, but for rounding; one that asks for something else is filmed alone."""
    save_entry(replace(entry, batch=2))
    ids = [open_job(yard, prompt) for prompt in ("a red ball", "two robots wave")]
    odd = {**FILM, "prompt": "a red ball", "negative_prompt": "a blue box"}
    assert shape_of("generate", "wan", odd) not in (None, shape_of("generate", "wan", FILM))
    assert shape_of("generate", "wan", {**odd, "image": {"file": "file_1"}}) is None
    assert worker.once() and not worker.once() and passes == [2]
    films = [yard.check_published(id, 16) for id in ids]
    assert (films[0].frames != films[1].frames).any()
    assert [yard.queue.get(id, None).settings["prompt"] for id in ids] == ["a red ball", "two robots wave"]
    save_entry(replace(entry, batch=1))
    alone = open_job(yard, "two robots wave")
    worker.once()
    assert passes == [2, 1]
    made = yard.check_published(alone, 16).frames.astype(int)
    apart = [float(abs(made - film.frames).mean()) for film in films]
    assert apart[1] < apart[0] / 2, "the same film, but for its mark and its encoding"


def test_one_job_of_several_that_fails_does_not_fail_the_others(
    entry: ModelEntry, bad: None, yard: Yard, worker: Worker, passes: list[int]
) -> None:
    save_entry(replace(entry, batch=4))
    fine, lost, other = (open_job(yard, prompt) for prompt in ("film", "error", "film 2"))
    yard.work()
    assert passes[0] == 3 and sorted(passes) == [1, 1, 1, 3]
    assert failed(yard, lost)[0] == "engine_failed"
    for id in (fine, other):
        yard.check_published(id, 4)


def test_a_cancelled_job_of_several_is_left_out(
    entry: ModelEntry, bad: None, yard: Yard, worker: Worker, passes: list[int]
) -> None:
    save_entry(replace(entry, batch=4))
    lost, fine = open_job(yard, "steps 60"), open_job(yard, "steps 2")
    thread = threading.Thread(target=worker.once)
    thread.start()
    while not passes:
        time.sleep(0.02)
    yard.queue.cancel(lost, None)
    thread.join(60)
    assert passes == [2] and failed(yard, lost)[0] == "cancelled"
    yard.check_published(fine, 4)


def test_jobs_wait_while_the_list_of_models_is_edited(
    entry: ModelEntry, bad: None, yard: Yard, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a worker began after the file was spoiled, and has not read it before."""
    id = open_job(yard, "film")
    file = tmp_path / "models.toml"
    text = file.read_text()
    file.write_text(text + "\n[models.half\n")
    monkeypatch.setattr(registry, "_last_good", {})
    assert worker.once()
    row = yard.queue.get(id, None)
    assert (row.status, row.stage) == ("queued", "waiting for the list of models")
    file.write_text(text)
    with yard.database.writing() as db:
        from kinema.server.storage.tables import jobs

        db.execute(jobs.update().values(not_before=0))
    assert worker.once()
    yard.check_published(id, 4)


@pytest.mark.parametrize("fault", ["moved", "device", "gguf", "lora"])
def test_a_fault_of_who_keeps_the_model_is_not_the_requests(
    entry: ModelEntry, yard: Yard, worker: Worker, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """Its own code, and a message that names no file of this machine; the log has the whole."""
    copy, file = shutil.copytree(entry.source, tmp_path / "copy"), tmp_path / "odd.gguf"
    file.write_bytes(b"GGUF is not here")
    broken, why = {
        "moved": (replace(entry, source=str(copy)), "is no folder with model_index.json"),
        "device": (replace(entry, device="cuda:7"), "device 'cuda:7' is not here"),
        "gguf": (replace(entry, gguf={"transformer": str(file)}), "odd.gguf"),
        "lora": (replace(entry, loras=(Lora(source=str(tmp_path / "no.safetensors")),)), "there is no such file"),
    }[fault]
    save_entry(broken)
    shutil.rmtree(copy)
    id = open_job(yard, "a red ball")
    worker.once()
    code, message = failed(yard, id)
    assert code == "model_unavailable" and message.startswith("wan cannot be opened") and "/" not in message
    assert why in caplog.text


def test_a_model_that_cannot_be_opened_is_answered_without_its_folder(
    entry: ModelEntry, yard: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    save_entry(replace(entry, source="/nowhere/to/be/found"))
    app = create_app(yard.settings)
    with TestClient(
        app, headers={"authorization": f"Bearer {app.state.services.auth.make('boss', ('admin',))[0]}"}
    ) as client:
        body = {"model": "wan", "prompt": "a red ball"}
        answers = [client.post(path, json=body) for path in ("/v1/videos", "/v1/estimate")]
        answers.append(client.get("/v1/models/wan"))
    for answer in answers:
        assert answer.status_code == 503 and "nowhere" not in answer.text, answer.text
        assert answer.json()["error"]["code"] == "model_unavailable"
    assert "/nowhere/to/be/found" in caplog.text


def film_in(pool: EnginePool, name: str, **more: Any) -> Any:
    return pool.film_with(name, FolderRecords(Path("nowhere")), "job", lambda: None, **more)


def test_the_pool_closes_the_process_used_longest_ago(entry: ModelEntry, bad: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("two", "three"):
        save_entry(replace(entry, name=name))
    free = 1 << 40
    monkeypatch.setattr(limits, "memory_free", lambda: free)
    pool = EnginePool("cpu", most=2, stall_s=60.0)
    with film_in(pool, "wan") as first, film_in(pool, "two") as second:
        assert isinstance(first, EngineProcess) and isinstance(second, EngineProcess)
        with pytest.raises(EngineBusy):
            film_in(pool, "wan")
        with film_in(pool, "three"):
            pass  # both others are busy, so none is closed
    with film_in(pool, "wan") as again:
        assert again is first
    with film_in(pool, "three") as third:
        assert isinstance(third, EngineProcess)
    with film_in(pool, "two") as one:
        assert one is second, "it was kept: nothing had to make room"
    pool.most = 2
    save_entry(replace(entry, name="four"))
    with film_in(pool, "four"):
        pass
    with film_in(pool, "two") as kept:
        assert kept is second, "the one used last stays"
    free = 0
    with (
        pytest.raises(EngineError, match=r"needs about 0.0 GB of memory, and 0.0 GB are free") as caught,
        film_in(pool, "wan"),
    ):
        pass
    assert caught.value.code == "out_of_memory"
    assert not pool._processes, "all that were idle made room first"
    pool.close()
    with pytest.raises(ModelError, match="no model 'five'"):
        film_in(pool, "five")


def test_films_in_between_while_an_open_model_films(
    entry: ModelEntry, bad: None, yard: Yard, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small film of Kinema's own of another key is made; one of the busy model waits, which is no attempt and no turn."""
    other = str(Auth(yard.database).make("other")[1].id)
    order: list[str] = []
    publish = worker.leases.publish
    monkeypatch.setattr(worker.leases, "publish", lambda claim, *more: order.append(claim.id) or publish(claim, *more))
    long = open_job(yard, "steps 120", size=1e6)
    thread = threading.Thread(target=worker.once)
    thread.start()
    while yard.queue.get(long, None).status != "in_progress":
        time.sleep(0.02)
    busy = open_job(yard, "film", key=other, size=100.0)
    mine, yard.key = yard.key, other
    small = yard.job()
    yard.key = mine
    stages: set[str] = set()
    while thread.is_alive() and long not in order:
        row = yard.queue.get(busy, None)
        if row.status == "queued" and row.stage == "waiting for its model":
            stages.add(f"{row.stage}, {row.attempts} attempts")
        time.sleep(0.02)
    thread.join(60)
    yard.work()
    assert order.index(small) < order.index(long) and yard.queue.get(busy, None).status == "completed"
    assert stages == {"waiting for its model, 0 attempts"} and yard.queue.get(busy, None).attempts == 1
    with yard.database.reading() as db:
        from kinema.server.storage.tables import keys

        rows = db.execute(keys.select().with_only_columns(keys.c.id, keys.c.served))
        served = dict(map(tuple, rows))
    assert served[other] - served[mine] == 612.0, "turns that it did not get do not count"


def test_too_little_memory_for_two_is_no_failure(
    entry: ModelEntry, bad: None, yard: Yard, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_entry(replace(entry, name="two"))
    other = str(Auth(yard.database).make("other")[1].id)
    long = open_job(yard, "steps 60", size=1e6)
    thread = threading.Thread(target=worker.once)
    thread.start()
    while yard.queue.get(long, None).status != "in_progress" or not worker.engines._busy:
        time.sleep(0.02)
    monkeypatch.setattr(limits, "memory_free", lambda: 0)
    small = open_job(yard, "film", model="two", key=other, size=10.0)
    thread.join(60)
    assert yard.queue.get(long, None).status == "completed"
    assert (yard.queue.get(small, None).status, yard.queue.get(small, None).stage) == ("queued", "waiting for memory")


@pytest.mark.parametrize(
    ("prompt", "code"), [("signal 11", "engine_crashed"), ("signal 9", "out_of_memory"), ("error", "engine_failed")]
)
def test_an_engine_that_dies_fails_one_job(
    entry: ModelEntry, bad: None, yard: Yard, worker: Worker, prompt: str, code: str
) -> None:
    lost, fine = open_job(yard, prompt), open_job(yard, "film")
    assert worker.once() and worker.once()
    assert failed(yard, lost)[0] == code
    yard.check_published(fine, 4)
    assert books(yard) == [(1e5, 0.0)]


@pytest.mark.parametrize("prompt", ["steps 2000", "hang"])
def test_a_worker_that_stops_gives_its_job_back(
    entry: ModelEntry, bad: None, yard: Yard, worker: Worker, monkeypatch: pytest.MonkeyPatch, prompt: str
) -> None:
    id = open_job(yard, prompt)
    thread = threading.Thread(target=worker.once)
    thread.start()
    while not any(engine.process_id for engine in worker.engines._processes.values()):
        time.sleep(0.02)
    time.sleep(0.5)
    begun = time.monotonic()
    worker.stopping.set()
    thread.join(30)
    worker.close()
    assert time.monotonic() - begun < 10.0
    row = yard.queue.get(id, None)
    assert (row.status, row.attempts) == ("queued", 0)


def test_a_cancelled_job_ends_and_the_process_stays(entry: ModelEntry, bad: None, yard: Yard, worker: Worker) -> None:
    id = open_job(yard, "steps 2000")
    thread = threading.Thread(target=worker.once)
    thread.start()
    while yard.queue.get(id, None).stage != "film":
        time.sleep(0.02)
    (engine,) = worker.engines._processes.values()
    pid = engine.process_id
    yard.queue.cancel(id, None)
    thread.join(10)
    assert failed(yard, id)[0] == "cancelled" and engine.process_id == pid
    assert books(yard) == [(0.0, 0.0)]


def _work(data: Path, point: str, models: str) -> None:
    """A worker with bad engines, or another server, that ends itself by kill -9."""
    from kinema.server.settings import Settings

    os.environ["KINEMA_MODELS"] = models
    host.run_engine = run_bad_forked
    upstream.POLL_S = 0.05
    worker = Worker(Settings(data=data, threads=1), lease_s=1.0)
    if point == "filming":
        threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    if point == "fetching":
        upstream.UpstreamEngine._fetch = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign, assignment, return-value]
    worker.run(idle=lambda: True)


def killed(data: Path, point: str) -> None:
    process = FORKS.Process(target=_work, args=(data, point, os.environ["KINEMA_MODELS"]))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def test_a_worker_killed_while_its_engine_films(entry: ModelEntry, bad: None, yard: Yard) -> None:
    id = open_job(yard, "steps 60")
    killed(yard.settings.data, "filming")
    yard.work()
    yard.check_published(id, 4)
    assert books(yard) == [(1e5, 0.0)] and yard.queue.get(id, None).attempts == 2
    assert not list((yard.settings.data / "work").iterdir())


@pytest.fixture
def far(tmp_path: Path, entry: ModelEntry, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Another server, added as "far"."""
    monkeypatch.setattr(upstream, "POLL_S", 0.05)
    server = StandIn(mp4(tmp_path))
    save_entry(ModelEntry(name="far", source=server.url))
    yield server
    server.close()


def test_a_worker_killed_while_another_server_films(far: StandIn, yard: Yard) -> None:
    """Asked once, although two workers had the job."""
    id = open_job(yard, "a lighthouse", model="far")
    killed(yard.settings.data, "fetching")
    yard.work()
    clip = yard.check_published(id, 16)
    assert len(far.posts) == 1 and far.posts[0]["headers"]["idempotency-key"] == id
    assert clip.settings["engine"] == "upstream" and clip.sound is not None
    assert not list((yard.settings.data / "work").iterdir())


@pytest.mark.parametrize("end", ["cancel", "delete", "delete for good"])
def test_a_job_that_waits_again_is_stopped_there_when_nobody_wants_it(far: StandIn, yard: Yard, end: str) -> None:
    """No worker has it in hand, so the server tells the other one. A retry asks for another video."""
    app = create_app(yard.settings)
    services = app.state.services
    with TestClient(app, headers={"authorization": f"Bearer {services.auth.make('boss', ('admin',))[0]}"}) as client:
        waiting, fresh = (open_job(yard, "a lighthouse", model="far") for _ in range(2))
        for name in ("video_0", "video_1"):
            far.videos[name] = {"id": name, "status": "in_progress"}
        Ledger(services.store.records(waiting), waiting).accept("video_0")
        for id in (waiting, fresh):
            method, address = ("POST", "/cancel") if end == "cancel" else ("DELETE", "")
            query = "?restorable=true" if end == "delete" else ""
            assert client.request(method, f"/v1/videos/{id}{address}{query}").status_code == 200
        until = time.monotonic() + 10
        while far.deleted != ["video_0"] and time.monotonic() < until:
            time.sleep(0.02)
        assert far.deleted == ["video_0"] and not list((yard.settings.data / "work").iterdir())
        if end == "cancel":
            client.post(f"/v1/videos/{waiting}/retry")
            yard.work()
            assert len(far.posts) == 1 and yard.queue.get(waiting, None).status == "completed"


@pytest.mark.parametrize("end", ["cancel", "stop", "timeout"])
def test_what_nobody_wants_any_more_is_deleted_there(far: StandIn, yard: Yard, worker: Worker, end: str) -> None:
    far.polls = 10_000
    if end == "timeout":
        worker.settings = replace(worker.settings, job_timeout_s=0.5)
    id = open_job(yard, "a lighthouse", model="far")
    thread = threading.Thread(target=worker.once)
    thread.start()
    while "poll" not in far.seen:
        time.sleep(0.02)
    if end == "cancel":
        yard.queue.cancel(id, None)
    if end == "stop":
        worker.stopping.set()
    thread.join(20)
    assert far.deleted == ([] if end == "stop" else ["video_0"])
    row = yard.queue.get(id, None)
    assert (row.status, row.error_code) == {
        "cancel": ("failed", "cancelled"), "stop": ("queued", None), "timeout": ("failed", "timeout")
    }[end]  # fmt: skip
    if end == "stop":
        far.polls = 1
        yard.work()
        yard.check_published(id, 16)
        assert len(far.posts) == 1, "the next worker polls on"


def test_a_trim_needs_no_model(entry: ModelEntry, yard: Yard, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.engines, "film_with", lambda *_: pytest.fail("a trim opens no engine"))
    id = yard.job()
    assert worker.once()
    yard.check_published(id)
