"""Laws of the metrics: every one that the documents list is there, and what happens moves the right ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from tests.server.conftest import DONE, Harness

from kinema.server.app import create_app
from kinema.server.jobs.leases import Leases
from kinema.server.services import Services
from kinema.server.settings import Settings
from kinema.server.storage.tables import deliveries, jobs

ROOT = Path(__file__).parents[2]
HISTOGRAM = re.compile(r"_(bucket|count|sum|created)$")


class Server:
    """A server with a key, and its metrics as a table."""

    def __init__(self, client: TestClient, services: Services, key: str) -> None:
        self.client, self.services, self.key = client, services, key
        key_id = services.auth.caller(key).key_id
        self.harness = Harness(queue=services.queue, leases=Leases(services.database), auth=services.auth, key=key_id)

    def metrics(self, *, admin: bool = True) -> dict[str, float]:
        """Values by name and labels in the order of their names, such as 'kinema_jobs{queued}'."""
        answer = self.client.get("/metrics", headers={"authorization": f"Bearer {self.key}"} if admin else {})
        assert answer.status_code == 200
        return {
            f"{one.name}{{{','.join(one.labels.values())}}}": one.value
            for family in text_string_to_metric_families(answer.text)
            for one in family.samples
        }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    app = create_app(Settings(data=tmp_path / "data"))
    with TestClient(app) as client:
        yield Server(client, app.state.services, app.state.services.auth.first())


def moved(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What changed, without what a request for the metrics itself moves."""
    names = {
        name for name in before | after if not name.startswith(("kinema_request", "kinema_disk")) and "_created" not in name
    }
    return {name: after.get(name, 0.0) - before.get(name, 0.0) for name in names if after.get(name) != before.get(name)}


def test_every_metric_of_the_documents_is_there_and_no_other(server: Server) -> None:
    page = (ROOT / "docs" / "serving.md").read_text()
    listed = set(re.findall(r"^\| `(kinema_\w+)` \|", page, re.MULTILINE))
    server.metrics()
    server.harness.finish(server.harness.claim()[0]) if server.harness.job() else None
    names = {name.partition("{")[0] for name in server.metrics()}
    server.services.metrics.accepted("generate")
    names |= {name.partition("{")[0] for name in server.metrics()}
    histograms = {HISTOGRAM.sub("", name) for name in names if name.endswith("_bucket")}
    single = {name for name in names if HISTOGRAM.sub("", name) not in histograms and not name.endswith("_created")}
    assert single | histograms == listed and len(listed) >= 16


def test_a_film_moves_the_queue_the_durations_and_its_key(server: Server) -> None:
    harness = server.harness
    start = server.metrics()
    harness.job(pixel_seconds=2048.0)
    queued = server.metrics()
    with server.services.database.writing() as db:
        db.execute(jobs.update().values(created_at=jobs.c.created_at - 30.0))
    assert 30.0 <= server.metrics()["kinema_queue_age_seconds{}"] < 60.0
    (claim,) = harness.claim()
    begun = server.metrics()
    assert harness.finish(claim)
    ended = server.metrics()
    key = harness.key
    first = moved(start, queued)
    assert 0.0 <= first.pop("kinema_queue_age_seconds{}", 0.0) < 30.0
    assert first == {
        "kinema_jobs{queued}": 1.0, "kinema_queue_pixel_seconds{}": 2048.0, f"kinema_key_pixel_seconds{{{key},reserved}}": 2048.0,
    }  # fmt: skip
    assert begun["kinema_jobs{in_progress}"] == 1.0 and begun["kinema_queue_age_seconds{}"] == 0.0
    assert begun["kinema_queue_pixel_seconds{}"] == 0.0
    last = moved(begun, ended)
    assert last["kinema_jobs_ended_total{,generate,completed}"] == 1.0
    assert last["kinema_job_seconds_count{generate}"] == 1.0 and last["kinema_job_seconds_sum{generate}"] == DONE.took_s
    assert last["kinema_job_wait_seconds_sum{generate}"] >= 30.0
    assert last["kinema_stored_bytes{videos}"] == DONE.bytes
    assert ended[f"kinema_key_pixel_seconds{{{key},used}}"] == 2048.0
    assert ended[f"kinema_key_pixel_seconds{{{key},reserved}}"] == 0.0
    assert moved(ended, server.metrics()) == {}, "a job that ended counts once"


def test_a_failure_moves_its_code(server: Server) -> None:
    server.harness.job()
    (claim,) = server.harness.claim()
    server.harness.leases.fail(claim, "out_of_memory", "too large")
    after = server.metrics()
    assert after["kinema_jobs_ended_total{out_of_memory,generate,failed}"] == 1.0
    assert after["kinema_jobs{failed}"] == 1.0 and "kinema_job_seconds_count{generate}" not in after


def test_two_jobs_that_end_at_one_moment_count_twice(server: Server) -> None:
    """Also where the second becomes visible after the first was counted."""
    for _ in range(2):
        server.harness.job(shape=None)
        server.harness.finish(server.harness.claim()[0])
    with server.services.database.writing() as db:
        times = sorted(db.execute(jobs.select()).all(), key=lambda job: job.completed_at)
        db.execute(jobs.update().where(jobs.c.id == times[1].id).values(status="in_progress"))
    assert server.metrics()["kinema_jobs_ended_total{,generate,completed}"] == 1.0
    with server.services.database.writing() as db:
        db.execute(jobs.update().values(status="completed", completed_at=times[0].completed_at))
    assert server.metrics()["kinema_jobs_ended_total{,generate,completed}"] == 2.0


def test_webhooks_worlds_and_the_disk_are_measured(server: Server) -> None:
    with server.services.database.writing() as db:
        now = server.services.database.now(db)
        for id, attempts, at in (("evt_1", 0, now - 40.0), ("evt_2", 3, now + 60.0)):
            db.execute(deliveries.insert().values(id=id, webhook="none", body="{}", attempts=attempts, next_at=at))
    after = server.metrics()
    assert (after["kinema_webhooks_waiting{first}"], after["kinema_webhooks_waiting{retried}"]) == (1.0, 1.0)
    assert 40.0 <= after["kinema_webhooks_overdue_seconds{}"] < 70.0
    assert after["kinema_worlds{stored}"] == after["kinema_worlds{loaded}"] == after["kinema_worlds{live}"] == 0.0
    assert after["kinema_disk_bytes{free}"] > 0 and after["kinema_disk_bytes{used}"] > 0


def test_numbers_of_keys_are_for_administrators(server: Server) -> None:
    """By the key's id, never its text; others get the rest, and a bad key is told so."""
    assert not [name for name in server.metrics(admin=False) if "kinema_key" in name]
    reader = server.services.auth.make("reader")[0]
    answer = server.client.get("/metrics", headers={"authorization": f"Bearer {reader}"})
    assert answer.status_code == 200 and "kinema_key" not in answer.text
    with_keys = server.client.get("/metrics", headers={"authorization": f"Bearer {server.key}"}).text
    assert "kinema_key_pixel_seconds" in with_keys and server.key not in with_keys and reader not in with_keys
    assert server.client.get("/metrics", headers={"authorization": "Bearer kinema_no"}).status_code == 401
