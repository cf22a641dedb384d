"""The laws of the queue: nothing accepted is lost, nothing is published twice, books balance, keys share fairly."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from tests.server.conftest import DONE, Desk

from kinema.errors import ApiError, InputError
from kinema.server.jobs.leases import Leases
from kinema.server.jobs.queue import Repeat
from kinema.server.storage.rows import LIVE
from kinema.server.storage.tables import Database, audit, deliveries, facts, ledger, repeats, sqlite_url, webhooks


def test_a_job_is_made_once_and_paid_once(desk: Desk) -> None:
    id = desk.job()
    assert desk.books() == (0.0, 1024.0)
    (claim,) = desk.claim()
    assert claim.id == id and desk.claim("other") == []
    assert desk.finish(claim) and not desk.finish(claim)
    assert desk.books() == (1024.0, 0.0)
    row = desk.queue.get(id, desk.key)
    assert (row.status, row.artifact, row.progress) == ("completed", "1", 100.0)
    with desk.queue.database.reading() as db:
        assert [line.kind for line in db.execute(ledger.select())] == ["reserve", "settle"]


def test_who_lost_the_lease_can_neither_report_nor_publish(desk: Desk) -> None:
    """A worker that slept past its lease wakes to find its job with another."""
    desk.leases.lease_s = 0.1
    desk.job()
    (old,) = desk.claim("sleeper")
    time.sleep(0.2)
    desk.leases.lease_s = 60.0
    (new,) = desk.claim("other")
    assert new.id == old.id and new.fence == old.fence + 1
    assert desk.leases.beat([old], {}) == {old.id: "lost"}
    assert not desk.finish(old) and not desk.leases.fail(old, "x", "y") and not desk.leases.release(old)
    assert desk.finish(new)
    assert desk.queue.get(new.id, None).artifact == "2"


def test_beating_keeps_the_lease(desk: Desk) -> None:
    desk.leases.lease_s = 2.0
    desk.job()
    (claim,) = desk.claim()
    for _ in range(4):
        time.sleep(0.8)
        assert desk.leases.beat([claim], {claim.id: (40.0, "plan")}) == {}
        assert desk.claim("other") == []
    assert desk.queue.get(claim.id, None).progress == 40.0


def test_what_ends_its_workers_waits_and_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinema.server.jobs.leases.ATTEMPTS", 3)
    monkeypatch.setattr("kinema.server.jobs.leases.WAIT_MOST_S", 0.4)
    monkeypatch.setattr("kinema.server.jobs.leases.PATIENCE", 2)
    desk.leases.lease_s = 0.1
    id = desk.job()
    for number in range(3):
        while not desk.claim():
            assert desk.queue.get(id, None).status in LIVE, number
            time.sleep(0.05)
    late = desk.queue.get(id, None)
    assert late.attempts == 3 and late.shape is None, "from the second loss on it is made alone"
    time.sleep(0.25)
    assert desk.claim() == []
    row = desk.queue.get(id, None)
    assert (row.status, row.error_code) == ("failed", "worker_lost") and desk.books() == (0.0, 0.0)


def test_cancelling(desk: Desk) -> None:
    waiting, running, done = desk.job(), desk.job(priority=5), desk.job(priority=9)
    (first,) = desk.claim()
    desk.finish(first)
    (claim,) = desk.claim()
    assert (first.id, claim.id) == (done, running)
    assert desk.queue.cancel(waiting, desk.key).error_code == "cancelled"
    assert desk.queue.cancel(running, desk.key).status == "in_progress"
    assert desk.leases.beat([claim], {}) == {running: "cancelled"}
    assert not desk.finish(claim), "what was cancelled is not published"
    assert desk.queue.get(running, None).status == "failed"
    assert desk.queue.cancel(done, desk.key).status == "completed", "what has ended stays as it is"
    assert desk.books() == (1024.0, 0.0)


def test_cancelled_while_its_worker_died(desk: Desk) -> None:
    desk.leases.lease_s = 0.1
    id = desk.job()
    desk.claim()
    desk.queue.cancel(id, None)
    time.sleep(0.2)
    assert desk.claim() == [] and desk.queue.get(id, None).error_code == "cancelled"


def test_pause_order_and_priority(desk: Desk) -> None:
    a, b, c = desk.job(), desk.job(), desk.job()
    desk.queue.pause(a, desk.key, True)
    desk.queue.move(c, desk.key, b)
    urgent = desk.job(priority=1)
    order = []
    while claims := desk.claim():
        order.append(claims[0].id)
        desk.finish(claims[0])
    assert order == [urgent, c, b]
    desk.queue.pause(a, desk.key, False)
    (claim,) = desk.claim()
    desk.queue.pause(a, desk.key, True)
    assert desk.leases.beat([claim], {}) == {a: "paused"}
    desk.leases.release(claim)
    assert desk.claim() == [] and desk.queue.get(a, None).attempts == 0
    with pytest.raises(ApiError, match="not waiting any more"):
        desk.queue.move(b, desk.key, None)


def test_keys_take_turns(desk: Desk) -> None:
    """One key's hundred jobs do not keep another's one waiting, and who comes late has no claim on the past."""
    other = desk.make_key()
    for _ in range(6):
        desk.job()
    for _ in range(3):
        desk.finish(desk.claim()[0])
    for _ in range(3):
        desk.job(key=other)
    served = []
    while claims := desk.claim():
        served.append(claims[0].key_id == other)
        desk.finish(claims[0])
    assert sum(served[:4]) == 2, served
    assert sum(served) == 3 and len(served) == 6


def test_equal_jobs_run_together_and_others_do_not(desk: Desk) -> None:
    other = desk.make_key()
    a, b, c = desk.job(), desk.job(shape="else"), desk.job(key=other)
    assert {claim.id for claim in desk.claim(most=4)} == {a, c}
    (left,) = desk.claim(most=4)
    assert left.id == b
    alone = desk.job(shape=None)
    desk.job(shape=None)
    assert [claim.id for claim in desk.claim(most=4)] == [alone]


def test_released_jobs_may_have_to_be_made_alone(desk: Desk) -> None:
    desk.job(), desk.job()
    claims = desk.claim(most=2)
    assert len(claims) == 2
    for claim in claims:
        desk.leases.release(claim, alone=True)
    assert len(desk.claim(most=2)) == 1


def test_a_warm_model_is_preferred_for_a_while(desk: Desk) -> None:
    cold, warm = desk.job(model="other"), desk.job()
    assert desk.claim(warm=["kinema-tiny"])[0].id == warm
    assert desk.claim(warm=["kinema-tiny"])[0].id == cold


def test_quota_is_reserved_settled_and_given_back(desk: Desk) -> None:
    small = desk.make_key("small", quota=2048.0)
    one, two = desk.job(key=small), desk.job(key=small)
    with pytest.raises(ApiError, match="0 of 2,048 left") as refused:
        desk.job(key=small)
    assert refused.value.status == 429 and refused.value.code == "insufficient_quota"
    desk.queue.cancel(two, small)
    three = desk.job(key=small)
    for _ in range(2):
        desk.finish(desk.claim()[0])
    assert desk.books(small) == (2048.0, 0.0)
    assert {desk.queue.get(id, small).status for id in (one, three)} == {"completed"}
    with pytest.raises(ApiError, match="already waiting"):
        desk.queue.submit({**_like(desk), "key_id": desk.key}, limit=0)


def _like(desk: Desk) -> dict[str, object]:
    row = desk.queue.get(desk.job(), None)
    names = (
        "kind",
        "model",
        "prompt",
        "seconds",
        "size",
        "request",
        "sources",
        "remixed_from",
        "priority",
        "shape",
        "pixel_seconds",
    )
    return {"id": "video_" + "0" * 24, "pixel_seconds": 1.0, **{name: getattr(row, name) for name in names}}


def test_others_see_nothing(desk: Desk) -> None:
    id, other = desk.job(), desk.make_key()
    for act in (desk.queue.get, desk.queue.cancel, desk.queue.delete, desk.queue.retry):
        with pytest.raises(ApiError, match="no video") as refused:
            act(id, other)
        assert refused.value.status == 404
    assert desk.queue.page(other) == ([], False) and len(desk.queue.page(None)[0]) == 1


def test_pages_meet_without_gap_or_repeat(desk: Desk) -> None:
    ids = [desk.job(prompt=f"100% {i}_") for i in range(7)]
    for ascending in (True, False):
        seen: list[str] = []
        more = True
        while more:
            page, more = desk.queue.page(desk.key, after=seen[-1] if seen else None, limit=3, ascending=ascending)
            seen += [row.id for row in page]
        assert seen == (ids if ascending else ids[::-1])
    assert [row.id for row in desk.queue.page(desk.key, search="0% 3_")[0]] == [ids[3]]
    assert desk.queue.page(desk.key, search="%9")[0] == []


def test_deleting_can_be_taken_back(desk: Desk) -> None:
    id = desk.job()
    desk.finish(desk.claim()[0])
    desk.queue.delete(id, desk.key)
    assert desk.queue.page(desk.key)[0] == [] and desk.queue.gone(restorable_s=60) == []
    desk.queue.restore(id, desk.key)
    assert desk.queue.page(desk.key)[0][0].id == id
    desk.queue.delete(id, desk.key)
    assert desk.queue.gone(restorable_s=-1) == [id]
    with pytest.raises(ApiError, match="no video"):
        desk.queue.restore(id, desk.key)


def test_failed_jobs_can_be_tried_again(desk: Desk) -> None:
    id = desk.job()
    desk.leases.fail(desk.claim()[0], "out_of_memory", "too large")
    assert desk.books() == (0.0, 0.0)
    assert desk.queue.retry(id, desk.key).status == "queued" and desk.books() == (0.0, 1024.0)
    (claim,) = desk.claim()
    assert desk.finish(claim) and desk.books() == (1024.0, 0.0)
    with pytest.raises(ApiError, match="has not failed"):
        desk.queue.retry(id, desk.key)


def test_the_end_of_a_job_and_its_webhooks_are_one(desk: Desk) -> None:
    with desk.queue.database.writing() as db:
        hook = {"key_id": desk.key, "created_at": 0.0, "url": "http://x", "secret": "whsec_"}
        db.execute(webhooks.insert().values(id="wh_1", events=["video.completed"], **hook))
    desk.job(), desk.job()
    desk.finish(desk.claim()[0])
    desk.leases.fail(desk.claim()[0], "x", "y")
    with desk.queue.database.reading() as db:
        (told,) = db.execute(deliveries.select()).all()
    assert '"video.completed"' in told.body


def test_places_between_two_do_not_run_out(desk: Desk) -> None:
    """The last is put before the one that stands second, again and again."""
    order = [desk.job() for _ in range(4)]
    for _ in range(80):
        order.insert(1, order.pop())
        desk.queue.move(order[1], desk.key, order[2])
    assert [job.id for job in desk.queue.waiting(desk.key)] == order
    assert [desk.claim()[0].id for _ in order] == order


def test_old_requests_and_old_lines_are_forgotten(desk: Desk) -> None:
    first, again = Repeat(token="t", digest="d"), Repeat(token="t", digest="e")
    id = desk.job(repeat=first)
    desk.queue.note(desk.key, "looked")
    assert desk.job(repeat=first) == id
    with pytest.raises(ApiError, match="another request"):
        desk.job(repeat=again)
    with desk.queue.database.writing() as db:
        db.execute(repeats.update().values(at=repeats.c.at - 2 * 86400))
        db.execute(audit.update().values(at=audit.c.at - 400 * 86400))
    desk.queue.gone(restorable_s=60)
    with desk.queue.database.reading() as db:
        assert not db.execute(audit.select()).all()
    assert desk.job(repeat=again) != id


def test_many_workers_never_hold_the_same_job(desk: Desk) -> None:
    """Sixty jobs, six threads with engines of their own: each job is published by exactly one."""
    ids = {desk.job() for _ in range(60)}
    published: list[str] = []
    wrong: list[BaseException] = []

    def work(name: str) -> None:
        try:
            leases = Leases(Database(desk.queue.database.url), lease_s=30.0)
            while claims := leases.claim(name, most=2):
                published.extend(c.id for c in claims if leases.publish(c, str(c.fence), DONE))
            leases.database.close()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and sorted(published) == sorted(ids)
    assert desk.books() == (60 * 1024.0, 0.0)


def test_a_held_queue_begins_nothing(desk: Desk) -> None:
    desk.job()
    desk.queue.hold(True)
    assert desk.claim() == [] and desk.queue.is_held()
    desk.queue.hold(False)
    assert desk.claim()


def test_another_format_is_refused(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path))
    with database.writing() as db:
        db.execute(facts.update().values(value=99))
    database.close()
    with pytest.raises(InputError, match="another version"):
        Database(sqlite_url(tmp_path))
    with pytest.raises(InputError, match="expected sqlite:///FILE or postgresql://"):
        Database("nonsense://x")
