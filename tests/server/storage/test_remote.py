"""Laws of films and uploads on object storage: the same as in a folder, whatever dies on the way."""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

import fsspec
from fastapi.testclient import TestClient

from kinema.engines.ledger import Ledger
from kinema.errors import InputError, StorageError
from kinema.media import Clip
from kinema.server.app import create_app
from kinema.server.jobs.worker import Worker
from kinema.server.services import Services
from kinema.server.settings import Settings
from kinema.server.storage import artifacts as artifacts_module
from kinema.server.storage import decoder as decoder_module
from kinema.server.storage.backup import backup, restore
from kinema.server.storage.remote import RemoteFolder

FILM = {"prompt": "a red ball", "seconds": "0.25", "size": "48x48", "steps": 1, "fps": 16}


@pytest.fixture(params=["memory", "file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty folder: of fsspec's storage in memory or in a folder, or of a stand-in of S3 where moto is there."""
    name = secrets.token_hex(4)
    if request.param == "memory":
        yield f"memory://{name}/films"
    elif request.param == "file":
        yield (tmp_path / "bucket" / "films").as_uri()
    else:
        yield f"s3://{request.getfixturevalue('bucket')}/{name}"


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    moto = pytest.importorskip("moto.server", reason="needs moto and s3fs: pip install -e '.[dev]'")
    pytest.importorskip("s3fs", reason="needs kinema[s3]")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in (("AWS_ENDPOINT_URL", s3_server), ("AWS_ACCESS_KEY_ID", "me"), ("AWS_SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fs: Any = fsspec.filesystem("s3", skip_instance_cache=True)
    if not fs.exists("films"):
        fs.mkdir("films")
    return "films"


@pytest.fixture
def settings(tmp_path: Path, url: str) -> Settings:
    return Settings(data=tmp_path / "data", artifacts=url, threads=1)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    app = create_app(settings)
    with TestClient(app, headers={"authorization": f"Bearer {app.state.services.auth.first()}"}) as made:
        yield made


def services_of(client: TestClient) -> Services:
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    return services


def work(client: TestClient) -> None:
    services = services_of(client)
    worker = Worker(services.settings)
    worker.run(idle=lambda: not services.queue.waiting(None))
    worker.close()


def film(client: TestClient, **more: Any) -> str:
    id: str = client.post("/v1/videos", json={**FILM, **more}).json()["id"]
    work(client)
    video = client.get(f"/v1/videos/{id}").json()
    assert video["status"] == "completed", video["error"]
    return id


def forget_copies(client: TestClient) -> None:
    """As on a machine that has not read anything yet."""
    for path in (services_of(client).store.root / "fetched").iterdir():
        path.unlink()


def upload(client: TestClient, tmp_path: Path) -> str:
    frames = np.random.default_rng(0).integers(0, 255, (8, 48, 48, 3), np.uint8)
    path = Clip(frames=frames, fps=16.0).save(tmp_path / "own.mp4", force=True)
    answer = client.post("/v1/files", files={"file": ("own.mp4", path.read_bytes(), "video/mp4")})
    assert answer.status_code == 200, answer.text
    id: str = answer.json()["id"]
    return id


def test_a_film_lies_on_object_storage(client: TestClient, url: str) -> None:
    """Downloaded whole and in parts, as pictures and in other formats; nothing of it in the data folder but copies."""
    id = film(client)
    services, remote = services_of(client), RemoteFolder(url)
    artifact = services.queue.get(id, None).artifact
    assert {f"videos/{id}/{artifact}/{name}" for name in ("video.mp4", "thumbnail.jpg", "state.json", "copies.npz")} <= set(
        remote.names("videos")
    )
    assert not list((services.store.root / "videos").iterdir()) and remote.names("work") == []
    forget_copies(client)
    address = f"/v1/videos/{id}/content"
    whole = client.get(address)
    assert whole.status_code == 200 and whole.content == remote.read(f"videos/{id}/{artifact}/video.mp4")
    forget_copies(client)
    part = client.get(address, headers={"range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, whole.content[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole.content)}"
    assert client.get(address, headers={"range": f"bytes={len(whole.content)}-"}).status_code == 416
    forget_copies(client)
    for query in ("?variant=thumbnail", "?variant=state", "?variant=spritesheet", "?format=gif"):
        assert client.get(address + query).status_code == 200, query
    assert client.get(f"/v1/videos/archive?ids={id}").content[:2] == b"PK"
    assert client.head(address).status_code == 200


def test_films_are_made_from_films_and_uploads_there(client: TestClient, tmp_path: Path, url: str) -> None:
    """By a worker that has neither; what the manifest of an upload said goes along."""
    first, file = film(client), upload(client, tmp_path)
    remote = RemoteFolder(url)
    assert f"files/{file}.npz" in remote.names("files")
    assert not list((services_of(client).store.root / "files").iterdir())
    forget_copies(client)
    made = client.post("/v1/videos/joins", json={"parts": [{"video": {"id": first}}, {"video": {"file_id": file}}]}).json()[
        "id"
    ]
    work(client)
    video = client.get(f"/v1/videos/{made}").json()
    assert video["status"] == "completed" and float(video["seconds"]) == 0.75, video["error"]
    assert client.get(f"/v1/files/{file}/content").status_code == 200


@pytest.fixture
def long_upload(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An upload that is stored as it was sent, as a film of more than 2,000 frames is."""
    monkeypatch.setattr(decoder_module, "MAX_FRAMES", 4)
    return upload(client, tmp_path)


def test_a_long_upload_lies_there_as_it_was_sent(client: TestClient, tmp_path: Path, url: str, long_upload: str) -> None:
    """A worker that has no copy fetches it and reads the parts that it needs; it is in a backup and goes when it is deleted."""
    store, remote, sent = services_of(client).store, RemoteFolder(url), (tmp_path / "own.mp4").read_bytes()
    assert remote.read(f"files/{long_upload}.film") == sent and not list((store.root / "files").iterdir())
    assert client.get(f"/v1/files/{long_upload}").json()["bytes"] > len(sent)
    forget_copies(client)
    asked = client.post("/v1/videos/trims", json={"video": {"file_id": long_upload}, "cuts": [[0.25, 0.5]]})
    assert asked.status_code == 200, asked.text
    work(client)
    video = client.get(f"/v1/videos/{asked.json()['id']}").json()
    assert (video["status"], video["seconds"]) == ("completed", "0.25"), video["error"]
    assert (store.root / "fetched" / f"{long_upload}.film").read_bytes() == sent
    backup(tmp_path / "saved.tar", data=store.root, artifacts=url)
    restore(tmp_path / "saved.tar", data=tmp_path / "again")
    assert (tmp_path / "again" / "files" / f"{long_upload}.film").read_bytes() == sent
    client.delete(f"/v1/files/{long_upload}")
    assert remote.names("files") == [] and not list((store.root / "fetched").glob(f"{long_upload}*"))


def test_copies_of_uploads_are_bounded(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that a server has because the files were sent to it."""
    monkeypatch.setattr(artifacts_module, "MOST_FETCHED", 1)
    monkeypatch.setattr(artifacts_module, "FETCHED_S", -1.0)
    for _ in range(2):
        upload(client, tmp_path)
        assert len(list((services_of(client).store.root / "fetched").iterdir())) == 1


def test_what_is_known_of_an_upload_is_read_without_its_pixels(client: TestClient, long_upload: str) -> None:
    """A list of uploads fetches none of them."""
    before = client.get("/v1/files").json()["data"]
    forget_copies(client)
    store = services_of(client).store
    assert store.about(long_upload).long and client.get("/v1/files").json()["data"] == before
    assert not list((store.root / "fetched").iterdir())
    client.delete(f"/v1/files/{long_upload}")
    assert not store.about(long_upload).long, "it is gone"


def test_what_is_deleted_goes_from_there(client: TestClient, tmp_path: Path, url: str) -> None:
    id, other, file = film(client), film(client, seed=2), upload(client, tmp_path)
    remote = RemoteFolder(url)
    client.delete(f"/v1/videos/{id}")
    client.delete(f"/v1/files/{file}")
    assert {name.split("/")[1] for name in remote.names("videos")} == {other}
    assert remote.names("files") == [] and client.get(f"/v1/videos/{other}/content").status_code == 200
    assert not [path for path in (services_of(client).store.root / "fetched").iterdir() if path.name.startswith((id, file))]


def test_orphans_are_swept_and_nothing_else(client: TestClient, tmp_path: Path, url: str) -> None:
    id, file = film(client), upload(client, tmp_path)
    services, remote = services_of(client), RemoteFolder(url)
    before = {*remote.names("videos"), *remote.names("files")}
    orphans = [
        f"videos/{id}/99/video.mp4",
        "videos/video_gone/1/video.mp4",
        "work/video_gone/upstream.json",
        "files/file_gone.npz",
    ]
    for name in orphans:
        remote.write(name, b"x")
    assert services.store.sweep(services.queue.artifacts()) == [], "younger ones may be in the making"
    assert set(services.store.sweep(services.queue.artifacts(), older_s=-1)) == set(orphans[:3])
    assert services.store.sweep_files({file}, older_s=-1) == {"file_gone"}
    assert {*remote.names("videos"), *remote.names("files")} == before and remote.names("work") == []


def test_a_stale_claim_leaves_nothing(client: TestClient, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose transaction is refused deletes what it wrote; the one that took the job over is the one that is read."""
    id = client.post("/v1/videos", json=FILM).json()["id"]
    services, remote = services_of(client), RemoteFolder(url)
    worker = Worker(services.settings)
    with monkeypatch.context() as patch:
        patch.setattr(worker.leases, "publish", lambda *_: False)
        assert worker.once()
    assert remote.names("videos") == []
    with services.database.writing() as db:
        db.exec_driver_sql("UPDATE jobs SET lease_until = 0")
    worker.run(idle=lambda: not services.queue.waiting(None))
    worker.close()
    job = services.queue.get(id, None)
    assert job.status == "completed" and {name.split("/")[2] for name in remote.names("videos")} == {job.artifact}


def test_storage_that_does_not_answer_keeps_the_job(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes back to the queue, nothing of it is left in the folder, and it is published when the storage is back."""
    id = client.post("/v1/videos", json=FILM).json()["id"]
    services = services_of(client)
    worker = Worker(services.settings)
    assert worker.store.remote is not None

    def fails(*_: Any) -> None:
        raise ConnectionError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(worker.store.remote._fs, "put_file", fails)
        assert worker.once()
    job = services.queue.get(id, None)
    assert job.status == "queued" and job.stage == "waiting for storage"
    assert not list((services.store.root / "videos" / id).glob("*"))
    with services.database.writing() as db:
        db.exec_driver_sql("UPDATE jobs SET not_before = 0")
    worker.run(idle=lambda: not services.queue.waiting(None))
    worker.close()
    assert client.get(f"/v1/videos/{id}/content").status_code == 200


def break_reading(monkeypatch: pytest.MonkeyPatch, remote: RemoteFolder | None, error: Exception) -> None:
    """Let whatever reads an object fail."""

    def fails(*_: Any, **__: Any) -> None:
        raise error

    assert remote is not None
    for name in ("get_file", "cat_file", "open", "isfile"):
        monkeypatch.setattr(remote._fs, name, fails)


def test_storage_that_cannot_be_read_is_503(
    client: TestClient, long_upload: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line that names no address and no key; the reason is in the log. It is neither a full disk nor a film that is gone."""
    id = film(client)
    forget_copies(client)
    with monkeypatch.context() as patch:
        break_reading(patch, services_of(client).store.remote, ConnectionError("no route to host\nmore"))
        cut = {"video": {"file_id": long_upload}, "cuts": [[0, 0.25]]}
        for method, path, given in (
            ("GET", f"/v1/videos/{id}/content", None),
            ("GET", f"/v1/videos/archive?ids={id}", None),
            ("GET", f"/v1/files/{long_upload}", None),
            ("GET", "/v1/files", None),
            ("POST", "/v1/videos/trims", cut),
        ):
            answer = client.request(method, path, json=given)
            assert answer.status_code == 503 and answer.headers["retry-after"], f"{path}: {answer.text}"
            assert answer.json()["error"]["code"] == "storage_unavailable"
            assert answer.json()["error"]["message"] == "the storage of films and uploads does not answer now; try again"
    assert "could not be read: no route to host; check the address" in caplog.text
    assert client.get(f"/v1/videos/{id}/content").status_code == 200


def test_a_worker_that_cannot_read_gives_the_job_back(
    client: TestClient, long_upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not fail: its sources are there, and it is made when they can be read again."""
    asked = client.post("/v1/videos/trims", json={"video": {"file_id": long_upload}, "cuts": [[0, 0.25]]}).json()["id"]
    forget_copies(client)
    services = services_of(client)
    worker = Worker(services.settings)
    with monkeypatch.context() as patch:
        break_reading(patch, worker.store.remote, ConnectionError("no route to host"))
        assert worker.once()
    worker.close()
    job = services.queue.get(asked, None)
    assert (job.status, job.stage) == ("queued", "waiting for storage")
    with services.database.writing() as db:
        db.exec_driver_sql("UPDATE jobs SET not_before = 0")
    work(client)
    assert services.queue.get(asked, None).status == "completed"


def test_a_disk_without_room_for_a_copy_is_507(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    id = film(client)
    forget_copies(client)
    break_reading(monkeypatch, services_of(client).store.remote, OSError(errno.ENOSPC, "No space left on device"))
    answer = client.get(f"/v1/videos/{id}/content")
    assert answer.status_code == 507 and "the disk of this machine is full" in answer.json()["error"]["message"]


def test_what_another_server_was_asked_for_is_known_to_every_worker(client: TestClient, url: str) -> None:
    """A worker on another machine goes on waiting for the same video."""
    store = services_of(client).store
    ledger = Ledger(store.records("video_1"), "video_1")
    ledger.begin()
    ledger.accept("there_1")
    assert RemoteFolder(url).names("work") == ["work/video_1/upstream.json"]
    assert Ledger(store.records("video_1"), "video_1").video == "there_1"
    store.drop_work("video_1")
    assert Ledger(store.records("video_1"), "video_1").video is None


def test_copies_are_bounded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were read longest ago go, and are fetched again."""
    first, second = film(client), film(client, seed=2)
    forget_copies(client)
    monkeypatch.setattr(artifacts_module, "MOST_FETCHED", 1)
    monkeypatch.setattr(artifacts_module, "FETCHED_S", -1.0)
    for _ in range(2):
        for id in (first, second):
            assert client.get(f"/v1/videos/{id}/content").status_code == 200
            copies = [path.name for path in (services_of(client).store.root / "fetched").iterdir()]
            assert len(copies) == 1 and copies[0].startswith(id)


def test_a_backup_holds_what_lies_there(client: TestClient, settings: Settings, tmp_path: Path, url: str) -> None:
    """And is restored into a folder; a server without the address of the films is refused before."""
    id, file = film(client), upload(client, tmp_path)
    saved = tmp_path / "saved.tar"
    with pytest.raises(InputError, match=r"lie at .*; name it with --artifacts"):
        backup(saved, data=settings.data)
    contents = backup(saved, data=settings.data, artifacts=url)
    assert (contents.films, contents.uploads, contents.lost) == (1, 1, 0)
    restore(saved, data=tmp_path / "again")
    app = create_app(Settings(data=tmp_path / "again"))
    with TestClient(app, headers=dict(client.headers)) as again:
        assert again.get(f"/v1/videos/{id}/content").content == client.get(f"/v1/videos/{id}/content").content
        assert again.get(f"/v1/files/{file}/content").status_code == 200


def test_whose_films_lie_there(settings: Settings, tmp_path: Path, url: str) -> None:
    """A store is never served with the films of another, nor without its own, as those that it does not know are deleted."""
    Services(settings).close()
    Services(settings).close()
    with pytest.raises(InputError, match="name it with --artifacts"):
        Services(Settings(data=settings.data))
    with pytest.raises(InputError, match="does not hold the films of this store; name an empty folder"):
        Services(Settings(data=tmp_path / "other", artifacts=url))
    elsewhere = f"{url}-moved"
    with pytest.raises(InputError, match="does not hold the films of this store; they lie at"):
        Services(Settings(data=settings.data, artifacts=elsewhere))
    id = RemoteFolder(url).read("store-id")
    assert id is not None
    RemoteFolder(elsewhere).write("store-id", id)
    Services(Settings(data=settings.data, artifacts=elsewhere)).close()
    RemoteFolder(f"{url}-full").write("videos/of_somebody.mp4", b"x")
    with pytest.raises(InputError, match="name an empty folder"):
        Services(Settings(data=tmp_path / "third", artifacts=f"{url}-full"))


def test_films_from_before_stay_readable(tmp_path: Path, url: str) -> None:
    """Those that lie in the folder when object storage is named are read there."""
    plain = create_app(Settings(data=tmp_path / "data", threads=1))
    with TestClient(plain, headers={"authorization": f"Bearer {plain.state.services.auth.first()}"}) as client:
        id, file = film(client), upload(client, tmp_path)
        headers = dict(client.headers)
    with TestClient(create_app(Settings(data=tmp_path / "data", artifacts=url, threads=1)), headers=headers) as client:
        assert client.get(f"/v1/videos/{id}/content").status_code == 200
        assert client.get(f"/v1/files/{file}/content").status_code == 200
        film(client, seed=3)
        client.delete(f"/v1/videos/{id}")
        assert not (tmp_path / "data" / "videos" / id).exists()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("bucket/prefix", "expected an address such as s3://bucket/prefix"),
        ("s3://", "expected an address such as s3://bucket/prefix"),
        ("s3://me:hush@host/bucket", "keys do not belong in an address"),
    ],
)
def test_addresses(tmp_path: Path, address: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        Settings(data=tmp_path, artifacts=address)
    assert "hush" not in str(error.value)


def test_storage_that_is_unknown_or_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected an address such as s3"):
        RemoteFolder("nonsense://bucket")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match="could not be written"):
        RemoteFolder((tmp_path / "file" / "films").as_uri())
    shutil.rmtree(tmp_path)
