"""Laws of another server as an engine: asked once, whatever breaks on the way, here or there."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httpx", reason="needs kinema[serve]")

from tests.engines.standin import DROP, StandIn, error, mp4, reply, slowly

from kinema.engines import upstream
from kinema.engines.ledger import FolderRecords, Ledger
from kinema.engines.protocol import Cancelled, FilmRequest
from kinema.engines.registry import ModelEntry
from kinema.engines.upstream import UpstreamEngine, upstream_capabilities
from kinema.errors import EngineError, InputError
from kinema.media import Clip

TOKEN, KEY = "video_here", "sk-secret-0123456789"
REQUEST = FilmRequest(workflow="generate", prompt="a lighthouse", seconds=1.5, size="32x24", fps=12.0, seed=7, steps=3)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("POLL_S", 0.01), ("POLL_MOST_S", 0.05), ("PATIENCE_S", 2.0)):
        monkeypatch.setattr(upstream, name, value)
    monkeypatch.setenv("KINEMA_UPSTREAM_KEY", KEY)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return mp4(tmp_path_factory.mktemp("upstream"))


@pytest.fixture
def there(film: bytes) -> Iterator[StandIn]:
    server = StandIn(film)
    yield server
    server.close()


def engine_for(there: StandIn, folder: Path | None = None, **entry: Any) -> UpstreamEngine:
    ledger = None if folder is None else Ledger(FolderRecords(folder), TOKEN)
    return UpstreamEngine(ModelEntry(name="far", source=there.url, **entry), ledger=ledger)


def refused(engine: UpstreamEngine, request: FilmRequest = REQUEST) -> EngineError:
    with pytest.raises(EngineError) as caught:
        engine.film(request)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("far: ")
    return caught.value


def test_a_film_is_of_the_size_length_and_rate_asked_for(there: StandIn, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    (clip,) = engine_for(there, tmp_path, upstream_model="big-1").film(REQUEST, lambda *step: steps.append(step))
    assert (clip.size, clip.fps, clip.num_frames) == ("32x24", 12.0, 18)
    assert clip.sound is not None and clip.sound.samples.shape[0] == pytest.approx(1.5 * 48000, abs=2000)
    fields = {name: value.decode() for name, value in there.posts[0]["fields"].items()}
    assert fields == {
        "prompt": "a lighthouse", "seconds": "1.5", "size": "32x24", "seed": "7", "model": "big-1", "num_inference_steps": "3"
    }  # fmt: skip
    known = {"model": "far", "engine": "upstream", "upstream_id": "video_0", "seed": 7, "size": "32x24", "seconds": 1.5}
    assert known.items() <= clip.settings.items() and "notes" not in clip.settings
    assert ("film", 50, 100) in steps
    headers = {name.lower(): value for name, value in there.posts[0]["headers"].items()}
    assert headers["authorization"] == f"Bearer {KEY}" and headers["idempotency-key"] == TOKEN


def test_a_film_that_comes_back_shorter_says_so(there: StandIn) -> None:
    (clip,) = engine_for(there).film(FilmRequest(workflow="generate", prompt="x", seconds=3.0, size="64x48"))
    assert clip.duration_s == 2.0 and clip.settings["notes"] == ["the other server filmed 2 s of the 3 s asked for"]


def test_the_first_picture_is_sent(there: StandIn) -> None:
    red = Clip(frames=np.full((3, 24, 32, 3), (250, 10, 10), np.uint8), fps=8.0)
    engine_for(there).film(FilmRequest(workflow="image", prompt="go", first=red, seconds=1.0, size="32x24"))
    sent = there.posts[0]["fields"]["input_reference"]
    assert sent.startswith(b"\x89PNG") and b"kinema" not in sent
    assert engine_for(there).capabilities.workflows == ("generate", "image")


def test_the_id_is_on_disk_before_the_first_poll(there: StandIn, tmp_path: Path) -> None:
    on_disk: list[Any] = []
    there.on["poll"] = lambda: on_disk.append(json.loads((tmp_path / "upstream.json").read_text()))
    there.on["post"] = lambda: on_disk.append(json.loads((tmp_path / "upstream.json").read_text()))
    engine_for(there, tmp_path).film(REQUEST)
    assert on_disk[0]["begun"] and "video" not in on_disk[0], "that it is asked for is written down before it is"
    assert on_disk[1]["video"] == "video_0"


class Crash(BaseException):
    """The worker ends here."""


def crash_at(point: str, engine: UpstreamEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    client, ledger, send = engine._client, engine.ledger, engine._client.send
    polls: list[str] = []

    def sent(method: str, path: str, **more: Any) -> Any:
        if method == "POST" and point == "intent":
            raise Crash
        answer = send(method, path, **more)
        if method == "POST" and point == "posted":
            raise Crash
        polls.append(path)
        if "/videos/" in path and point == "polling":
            raise Crash
        return answer

    def crash(*_: Any) -> None:
        raise Crash

    monkeypatch.setattr(client, "send", sent)
    if point == "completed":
        monkeypatch.setattr(client, "fetch", crash)
    if point == "accepted":
        accept = Ledger.accept
        monkeypatch.setattr(ledger, "accept", lambda id: (accept(ledger, id), crash()))  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", [{}, {"idempotent": True}, {"lost": "resubmit"}], ids=["fail", "idempotent", "resubmit"])
@pytest.mark.parametrize("point", ["intent", "posted", "accepted", "polling", "completed"])
def test_a_crash_at_any_point(
    there: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, policy: dict[str, Any]
) -> None:
    """The next worker goes on with the same video; where nobody knows whether there is one, the policy decides."""
    there.idempotent = bool(policy.get("idempotent"))
    engine = engine_for(there, tmp_path, **policy)
    crash_at(point, engine, monkeypatch)
    with pytest.raises(Crash):
        engine.film(REQUEST)
    again = engine_for(there, tmp_path, **policy)
    unclear = point in ("intent", "posted")
    if unclear and not policy:
        lost = refused(again)
        assert lost.code == "upstream_lost" and "ask again to pay again" in str(lost)
        assert len(there.posts) == (point == "posted")
        return
    (clip,) = again.film(REQUEST)
    assert clip.num_frames == 18
    assert len(there.videos) == (2 if point == "posted" and "lost" in policy else 1)
    assert len(there.posts) == (2 if point == "posted" else 1)
    assert {post["headers"]["idempotency-key"] for post in there.posts} == {TOKEN}


def test_several_films_are_each_asked_for_once(there: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = FilmRequest(workflow="generate", prompt="x", seconds=1.0, size="32x24", count=2, seed=3)
    engine = engine_for(there, tmp_path)
    fetched: list[str] = []
    fetch = engine._client.fetch

    def crash_at_second(path: str, file: Path) -> Any:
        fetched.append(path)
        if len(fetched) == 2:
            raise Crash
        return fetch(path, file)

    monkeypatch.setattr(engine._client, "fetch", crash_at_second)
    with pytest.raises(Crash):
        engine.film(two)
    clips = engine_for(there, tmp_path).film(two)
    assert [clip.settings["seed"] for clip in clips] == [3, 4]
    assert [clip.settings["upstream_id"] for clip in clips] == ["video_0", "video_1"]
    assert [post["headers"]["idempotency-key"] for post in there.posts] == [TOKEN, f"{TOKEN}-1"]


def test_films_without_a_ledger_are_films_of_their_own(there: StandIn) -> None:
    engine = engine_for(there)
    ids = [engine.film(REQUEST)[0].settings["upstream_id"] for _ in range(2)]
    assert ids == ["video_0", "video_1"]


def test_a_lost_video_fails_in_one_line(there: StandIn, tmp_path: Path) -> None:
    there.scripts["poll"] = [reply({"id": "video_0", "status": "queued"}), error(404, "gone for good")]
    lost = refused(engine_for(there, tmp_path))
    assert lost.code == "upstream_lost" and str(lost) == "far: the other server lost the video video_0: gone for good"
    assert len(there.posts) == 1


def test_a_lost_video_is_asked_for_again_by_policy(there: StandIn, tmp_path: Path) -> None:
    there.scripts["poll"] = [error(404)]
    there.scripts["content"] = [error(410)]
    (clip,) = engine_for(there, tmp_path, lost="resubmit").film(REQUEST)
    assert clip.settings["upstream_id"] == "video_2"
    keys = [post["headers"]["idempotency-key"] for post in there.posts]
    assert keys == [TOKEN, f"{TOKEN}-lost-1", f"{TOKEN}-lost-2"], "a key of its own, else a lost video is answered"


def test_a_server_that_loses_all_is_not_paid_for_ever(there: StandIn, tmp_path: Path) -> None:
    there.scripts["poll"] = [error(404)] * 20
    assert refused(engine_for(there, tmp_path, lost="resubmit")).code == "upstream_lost"
    assert len(there.posts) == 1 + upstream.LOSSES


@pytest.mark.parametrize(
    ("kind", "script"),
    [
        ("poll", [error(500)] * 4), ("poll", [DROP, DROP]), ("poll", [reply(b"<html>")] * 3), ("poll", [reply([1, 2])]),
        ("poll", [reply({"id": "video_0"})]), ("poll", [slowly(0.3)]),
        ("poll", [reply(b'{"status": "queued", "progress": NaN}'), reply({"status": "queued", "progress": "half"})]),
        ("content", [error(500), error(409)]), ("content", [DROP]), ("content", [reply(b"no film")] * 2),
        ("content", [(200, {"content-length": "99999"}, b"cut off")]),
        ("post", [error(503), error(429)]), ("models", [error(500)]), ("models", [reply([])]), ("models", [reply(b"?")]),
        ("models", [reply({"data": [3, {"id": "x", "kinema": {"size": "big", "fps": "fast"}}]})]), ("models", [error(503)]),
    ],
)  # fmt: skip
def test_what_passes_is_waited_for(there: StandIn, tmp_path: Path, kind: str, script: list[Any]) -> None:
    there.scripts[kind] = script
    (clip,) = engine_for(there, tmp_path).film(REQUEST)
    assert clip.num_frames == 18 and len(there.videos) == 1, there.posts


@pytest.mark.parametrize("answer", [error(500), reply(b"{"), reply({"ok": True}), DROP])
def test_an_unclear_answer_to_the_request_is_not_repeated(there: StandIn, tmp_path: Path, answer: Any) -> None:
    there.scripts["post"] = [answer]
    assert refused(engine_for(there, tmp_path)).code == "upstream_lost"
    assert refused(engine_for(there, tmp_path)).code == "upstream_lost"
    assert len(there.posts) == 1


@pytest.mark.parametrize("answer", [error(500), reply(b"{"), DROP])
def test_it_is_repeated_with_the_same_key_where_the_server_knows_keys(there: StandIn, tmp_path: Path, answer: Any) -> None:
    there.scripts["post"], there.idempotent = [answer], True
    engine_for(there, tmp_path, idempotent=True).film(REQUEST)
    assert len(there.videos) == 1
    assert [post["headers"]["idempotency-key"] for post in there.posts] == [TOKEN] * 2


def test_a_film_cut_off_for_good_fails_in_one_line(there: StandIn, film: bytes) -> None:
    there.film = film[: len(film) // 2]
    broken = refused(engine_for(there))
    assert broken.code == "upstream_failed" and "cannot be read" in str(broken)
    assert there.seen.count("content") == upstream.FETCHES and len(there.posts) == 1


def test_nobody_there(
    there: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused at the start: waited for, which the log says once, then one line; nothing counts as asked for."""
    monkeypatch.setattr(upstream, "PATIENCE_S", 0.3)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    engine = UpstreamEngine(ModelEntry(name="far", source=address), ledger=Ledger(FolderRecords(tmp_path), TOKEN))
    assert "no connection" in str(refused(engine))
    assert [record.message.count("it is asked again for") for record in caplog.records] == [1]
    assert not Ledger(FolderRecords(tmp_path), TOKEN).is_open
    assert len(engine_for(there, tmp_path).film(REQUEST)) == 1


def test_somebody_who_waits_hears_soon_that_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a ledger, as the library and the command line film."""
    monkeypatch.setattr(upstream, "AWAY_S", 0.3)
    begun = time.monotonic()
    engine = UpstreamEngine(ModelEntry(name="far", source="http://127.0.0.1:1"))
    assert "no connection" in str(refused(engine)) and time.monotonic() - begun < 30


def test_a_model_that_the_server_does_not_list_is_doubted(there: StandIn) -> None:
    there.scripts["models"] = [reply({"data": [{"id": "big-1"}]})] * 2
    entry = ModelEntry(name="far", source=there.url, upstream_model="nosuch")
    assert upstream.doubts_of(entry) == ["127.0.0.1 lists no model 'nosuch'; it lists big-1"]
    assert not upstream.doubts_of(replace(entry, upstream_model="big-1"))


def test_gone_in_the_middle(there: StandIn, film: bytes, tmp_path: Path) -> None:
    """The other server ends and starts again: the same video is polled on."""
    there.polls = 10_000
    port = there.http.server_port
    engine = engine_for(there, tmp_path)
    made: list[Clip] = []
    thread = threading.Thread(target=lambda: made.extend(engine.film(REQUEST)))
    thread.start()
    while "poll" not in there.seen:
        time.sleep(0.01)
    there.close()
    time.sleep(0.3)
    from http.server import ThreadingHTTPServer

    from tests.engines.standin import _handler

    there.polls = 1
    there.http = ThreadingHTTPServer(("127.0.0.1", port), _handler(there))
    threading.Thread(target=lambda: there.http.serve_forever(0.02), daemon=True).start()
    thread.join(20)
    assert len(made) == 1 and len(there.posts) == 1


def test_too_many_requests_wait_as_long_as_asked(there: StandIn) -> None:
    there.scripts["post"] = [error(429, retry_after="1")]
    there.scripts["poll"] = [error(429, retry_after="1")]
    begun = time.monotonic()
    engine_for(there).film(REQUEST)
    assert 2.0 <= time.monotonic() - begun < 5.0
    there.scripts["poll"] = [error(429, "later", retry_after="3600")]
    assert str(refused(engine_for(there))) == "far: the other server does not help: later; it asks to wait 3600 s"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_said_at_once_and_never_shown(
    there: StandIn, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    there.scripts["post"] = [error(status, f"bad key {KEY}\nsee the help")]
    said = str(refused(engine_for(there)))
    assert said == "far: the other server refuses the key: bad key *** see the help"
    assert len(there.posts) == 1
    there.scripts["poll"] = [reply({"id": "video_0", "status": "failed", "error": {"message": f"bad {KEY}"}})]
    assert KEY not in str(refused(engine_for(there)))
    assert KEY not in caplog.text and KEY not in repr(engine_for(there))


def test_a_key_that_is_none_is_refused_without_showing_it(there: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", "sk-\nsecret")
    with pytest.raises(InputError, match="the key in FAR_KEY holds letters that no key has") as caught:
        engine_for(there, key_variable="FAR_KEY")
    assert "secret" not in str(caught.value)


def test_what_the_server_refuses_is_the_users_to_mend(there: StandIn, tmp_path: Path) -> None:
    there.scripts["post"] = [error(400, "seconds: 4, 8 or 12")]
    with pytest.raises(InputError, match="far: the other server refuses: seconds: 4, 8 or 12"):
        engine_for(there, tmp_path).film(REQUEST)
    assert len(engine_for(there, tmp_path).film(REQUEST)) == 1, "it may be asked for again"


def test_what_the_server_says_of_a_failure_is_passed_on(there: StandIn) -> None:
    there.scripts["poll"] = [reply({"status": "failed", "error": {"message": "not\nallowed"}})]
    failed = refused(engine_for(there))
    assert failed.code == "upstream_failed" and str(failed) == "far: the other server says: not allowed"


@pytest.mark.parametrize("slow", [False, True], ids=["between polls", "while it answers"])
def test_a_cancelled_film_is_deleted_there(there: StandIn, tmp_path: Path, slow: bool) -> None:
    there.polls = 10_000
    there.scripts["poll"] = [slowly(5.0)] if slow else []
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        engine_for(there, tmp_path).film(REQUEST, cancelled=lambda: "poll" in there.seen)
    assert time.monotonic() - begun < 2.0
    assert there.deleted == ["video_0"] and Ledger(FolderRecords(tmp_path), TOKEN).video is None


def test_a_worker_that_stops_leaves_the_video_there(there: StandIn, tmp_path: Path) -> None:
    class Stopping(Exception):
        pass

    def tick() -> None:
        if "poll" in there.seen:
            raise Stopping

    engine = engine_for(there, tmp_path)
    engine.tick = tick
    with pytest.raises(Stopping):
        engine.film(REQUEST)
    assert not there.deleted
    assert engine_for(there, tmp_path).film(REQUEST)[0].settings["upstream_id"] == "video_0"
    assert len(there.posts) == 1


def test_what_another_server_films_is_what_it_says(there: StandIn) -> None:
    entry = ModelEntry(name="far", source=there.url)
    usual = upstream_capabilities(entry)
    assert (usual.size, usual.fps, usual.negative_prompt) == ((1280, 720), 24.0, True)
    document = {
        "default": True, "size": "64x48", "sizes": ["64x48"], "fps": [1.0, 120.0], "max_seconds": 5,
        "capabilities": {"fps": 12.0, "seconds": 2.0, "negative_prompt": False},
    }  # fmt: skip
    there.scripts["models"] = [reply({"data": [{"id": "a", "kinema": {"default": False}}, {"id": "b", "kinema": document}]})]
    known = upstream_capabilities(entry)
    assert (known.size, known.fps, known.seconds, known.most_seconds) == ((64, 48), 12.0, 2.0, 5.0)
    assert not known.negative_prompt
    for nonsense in (error(500), reply(b"<html>"), DROP):
        there.scripts["models"] = [nonsense, reply({"data": [{"id": "b", "kinema": document}]})]
        assert upstream_capabilities(entry) == known, "asked again"


@pytest.mark.parametrize("nonsense", [error(500), reply(b"<html>"), DROP])
def test_a_kinema_is_spoken_to_in_its_words_though_an_answer_was_lost(
    there: StandIn, tmp_path: Path, nonsense: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "POLL_S", 0.01)
    document = {"default": True, "size": "64x48", "fps": 12.0, "capabilities": {"fps": 12.0}}
    there.scripts["models"] = [*[nonsense] * 3, reply({"data": [{"id": "b", "kinema": document}]})]
    engine_for(there, tmp_path).film(replace(REQUEST, steps=3))
    assert there.posts[0]["fields"].get("steps") == b"3" and "num_inference_steps" not in there.posts[0]["fields"]
    assert upstream_capabilities(ModelEntry(name="far", source="http://127.0.0.1:9")).size == (1280, 720)


@pytest.fixture
def kinema_server(tmp_path: Path) -> Iterator[tuple[str, str, Callable[[], int]]]:
    """A Kinema with its worker: address, key, how many jobs it has."""
    pytest.importorskip("uvicorn", reason="needs kinema[serve]")
    import uvicorn

    from kinema.server.app import create_app
    from kinema.server.jobs.worker import Worker
    from kinema.server.settings import Settings

    settings = Settings(data=tmp_path / "other")
    app = create_app(settings)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=lambda: server.run([bound]), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        worker = Worker(settings)
        working = threading.Thread(target=worker.run, daemon=True)
        working.start()
        queue = worker.queue
        yield (
            f"http://127.0.0.1:{bound.getsockname()[1]}",
            app.state.services.auth.first(),
            lambda: len(queue.artifacts()),
        )
        worker.stopping.set()
        working.join(20)
        server.should_exit = True
        thread.join(20)
        worker.close()


def test_another_kinema(
    kinema_server: tuple[str, str, Callable[[], int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one: its words, its document, a picture, keys of requests, and a film that is asked for twice but made once."""
    address, key, jobs = kinema_server
    monkeypatch.setenv("OTHER_KEY", key)
    entry = ModelEntry(name="other", source=address, upstream_model="kinema-tiny", key_variable="OTHER_KEY", idempotent=True)
    known = upstream_capabilities(entry)
    assert (known.family, known.fps) == ("kinema-tiny", 16.0) and known.size != (1280, 720)
    request = FilmRequest(
        workflow="generate", prompt="a red ball", seconds=0.5, size="64x64", fps=8.0, steps=1, guidance=1.0
    )
    clip = UpstreamEngine(entry, ledger=Ledger(FolderRecords(tmp_path), TOKEN)).film(request)[0]
    assert (clip.size, clip.fps, clip.num_frames) == ("64x64", 8.0, 4) and clip.settings["upstream_model"] == "kinema-tiny"
    Ledger(FolderRecords(tmp_path), TOKEN).begin()  # as if the id had not been written down
    again = UpstreamEngine(entry, ledger=Ledger(FolderRecords(tmp_path), TOKEN)).film(request)[0]
    assert again.settings["upstream_id"] == clip.settings["upstream_id"] and jobs() == 1
    with_picture = FilmRequest(workflow="image", prompt="a red ball", first=clip, seconds=0.25, size="64x64", steps=1)
    assert UpstreamEngine(entry).film(with_picture)[0].num_frames == 4
    monkeypatch.setenv("OTHER_KEY", "sk-wrong")
    with pytest.raises(EngineError, match="refuses the key") as caught:
        UpstreamEngine(entry).film(request)
    assert "sk-wrong" not in str(caught.value)
