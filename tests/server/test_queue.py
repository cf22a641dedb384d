"""The laws of the queue: nothing accepted is lost, nothing is published twice, books balance, keys share fairly."""

from __future__ import annotations

import threading
import time

import pytest
from tests.server.conftest import DONE, Harness

from kinema.errors import ApiError
from kinema.server.jobs.leases import Leases
from kinema.server.jobs.queue import Repeat
from kinema.server.storage.database import Database
from kinema.server.storage.job_rows import UNFINISHED
from kinema.server.storage.tables import audit, deliveries, ledger, repeats, webhooks


def test_a_job_is_made_once_and_paid_once(harness: Harness) -> None:
    id = harness.job()
    assert harness.books() == (0.0, 1024.0)
    (claim,) = harness.claim()
    assert claim.id == id and harness.claim("other") == []
    assert harness.finish(claim) and not harness.finish(claim)
    assert harness.books() == (1024.0, 0.0)
    row = harness.queue.get(id, harness.key)
    assert (row.status, row.artifact, row.progress) == ("completed", "1", 100.0)
    with harness.queue.database.reading() as db:
        assert [line.kind for line in db.execute(ledger.select())] == ["reserve", "settle"]


def test_who_lost_the_lease_can_neither_report_nor_publish(harness: Harness) -> None:
    """A worker that slept past its lease wakes to find its job with another."""
    harness.leases.lease_s = 0.1
    harness.job()
    (old,) = harness.claim("sleeper")
    time.sleep(0.2)
    harness.leases.lease_s = 60.0
    (new,) = harness.claim("other")
    assert new.id == old.id and new.fence == old.fence + 1
    assert harness.leases.beat([old], {}) == {old.id: "lost"}
    assert not harness.finish(old) and not harness.leases.fail(old, "x", "y") and not harness.leases.release(old)
    assert harness.finish(new)
    assert harness.queue.get(new.id, None).artifact == "2"


def test_beating_keeps_the_lease(harness: Harness) -> None:
    harness.leases.lease_s = 2.0
    harness.job()
    (claim,) = harness.claim()
    for _ in range(4):
        time.sleep(0.8)
        assert harness.leases.beat([claim], {claim.id: (40.0, "plan")}) == {}
        assert harness.claim("other") == []
    assert harness.queue.get(claim.id, None).progress == 40.0


def test_what_ends_its_workers_waits_and_is_given_up(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinema.server.jobs.leases.ATTEMPTS", 3)
    monkeypatch.setattr("kinema.server.jobs.leases.WAIT_MOST_S", 0.4)
    monkeypatch.setattr("kinema.server.jobs.leases.PATIENCE", 2)
    harness.leases.lease_s = 0.1
    id = harness.job()
    for number in range(3):
        while not harness.claim():
            assert harness.queue.get(id, None).status in UNFINISHED, number
            time.sleep(0.05)
    late = harness.queue.get(id, None)
    assert late.attempts == 3 and late.shape is None, "from the second loss on it is made alone"
    time.sleep(0.25)
    assert harness.claim() == []
    row = harness.queue.get(id, None)
    assert (row.status, row.error_code) == ("failed", "worker_lost") and harness.books() == (0.0, 0.0)


def test_cancelling(harness: Harness) -> None:
    waiting, running, done = harness.job(), harness.job(priority=5), harness.job(priority=9)
    (first,) = harness.claim()
    harness.finish(first)
    (claim,) = harness.claim()
    assert (first.id, claim.id) == (done, running)
    assert harness.queue.cancel(waiting, harness.key).error_code == "cancelled"
    assert harness.queue.cancel(running, harness.key).status == "in_progress"
    assert harness.leases.beat([claim], {}) == {running: "cancelled"}
    assert not harness.finish(claim), "what was cancelled is not published"
    assert harness.queue.get(running, None).status == "failed"
    assert harness.queue.cancel(done, harness.key).status == "completed", "what has ended stays as it is"
    assert harness.books() == (1024.0, 0.0)


def test_cancelled_while_its_worker_died(harness: Harness) -> None:
    harness.leases.lease_s = 0.1
    id = harness.job()
    harness.claim()
    harness.queue.cancel(id, None)
    time.sleep(0.2)
    assert harness.claim() == [] and harness.queue.get(id, None).error_code == "cancelled"


def test_pause_order_and_priority(harness: Harness) -> None:
    a, b, c = harness.job(), harness.job(), harness.job()
    harness.queue.pause(a, harness.key, True)
    harness.queue.move(c, harness.key, b)
    urgent = harness.job(priority=1)
    claimed = []
    while claims := harness.claim():
        claimed.append(claims[0].id)
        harness.finish(claims[0])
    assert claimed == [urgent, c, b]
    harness.queue.pause(a, harness.key, False)
    (claim,) = harness.claim()
    harness.queue.pause(a, harness.key, True)
    assert harness.leases.beat([claim], {}) == {a: "paused"}
    harness.leases.release(claim)
    assert harness.claim() == [] and harness.queue.get(a, None).attempts == 0
    with pytest.raises(ApiError, match="not waiting any more"):
        harness.queue.move(b, harness.key, None)


def test_keys_take_turns(harness: Harness) -> None:
    """One key's hundred jobs do not keep another's one waiting, and who comes late has no claim on the past."""
    other = harness.make_key()
    for _ in range(6):
        harness.job()
    for _ in range(3):
        harness.finish(harness.claim()[0])
    for _ in range(3):
        harness.job(key=other)
    served = []
    while claims := harness.claim():
        served.append(claims[0].key_id == other)
        harness.finish(claims[0])
    assert sum(served[:4]) == 2, served
    assert sum(served) == 3 and len(served) == 6


def test_equal_jobs_run_together_and_others_do_not(harness: Harness) -> None:
    other = harness.make_key()
    a, b, c = harness.job(), harness.job(shape="else"), harness.job(key=other)
    assert {claim.id for claim in harness.claim(most=4)} == {a, c}
    (left,) = harness.claim(most=4)
    assert left.id == b
    alone = harness.job(shape=None)
    harness.job(shape=None)
    assert [claim.id for claim in harness.claim(most=4)] == [alone]


def test_released_jobs_may_have_to_be_made_alone(harness: Harness) -> None:
    harness.job(), harness.job()
    claims = harness.claim(most=2)
    assert len(claims) == 2
    for claim in claims:
        harness.leases.release(claim, alone=True)
    assert len(harness.claim(most=2)) == 1


def test_a_warm_model_is_preferred_for_a_while(harness: Harness) -> None:
    cold, warm = harness.job(model="other"), harness.job()
    assert harness.claim(warm=["kinema-tiny"])[0].id == warm
    assert harness.claim(warm=["kinema-tiny"])[0].id == cold


def test_quota_is_reserved_settled_and_given_back(harness: Harness) -> None:
    small = harness.make_key("small", quota=2048.0)
    one, two = harness.job(key=small), harness.job(key=small)
    with pytest.raises(ApiError, match="0 of 2,048 left") as refused:
        harness.job(key=small)
    assert refused.value.status == 429 and refused.value.code == "insufficient_quota"
    harness.queue.cancel(two, small)
    three = harness.job(key=small)
    for _ in range(2):
        harness.finish(harness.claim()[0])
    assert harness.books(small) == (2048.0, 0.0)
    assert {harness.queue.get(id, small).status for id in (one, three)} == {"completed"}
    with pytest.raises(ApiError, match="already waiting"):
        harness.queue.submit({**_like(harness), "key_id": harness.key}, limit=0)


def _like(harness: Harness) -> dict[str, object]:
    row = harness.queue.get(harness.job(), None)
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


def test_others_see_nothing(harness: Harness) -> None:
    id, other = harness.job(), harness.make_key()
    for act in (harness.queue.get, harness.queue.cancel, harness.queue.delete, harness.queue.retry):
        with pytest.raises(ApiError, match="no video") as refused:
            act(id, other)
        assert refused.value.status == 404
    assert harness.queue.page(other) == ([], False) and len(harness.queue.page(None)[0]) == 1


def test_pages_meet_without_gap_or_repeat(harness: Harness) -> None:
    ids = [harness.job(prompt=f"100% {i}_") for i in range(7)]
    for ascending in (True, False):
        seen: list[str] = []
        more = True
        while more:
            page, more = harness.queue.page(harness.key, after=seen[-1] if seen else None, limit=3, ascending=ascending)
            seen += [row.id for row in page]
        assert seen == (ids if ascending else ids[::-1])
    assert [row.id for row in harness.queue.page(harness.key, search="0% 3_")[0]] == [ids[3]]
    assert harness.queue.page(harness.key, search="%9")[0] == []


def test_deleting_can_be_taken_back(harness: Harness) -> None:
    id = harness.job()
    harness.finish(harness.claim()[0])
    harness.queue.delete(id, harness.key)
    assert harness.queue.page(harness.key)[0] == [] and harness.queue.delete_expired(restorable_s=60).videos == []
    harness.queue.restore(id, harness.key)
    assert harness.queue.page(harness.key)[0][0].id == id
    harness.queue.delete(id, harness.key)
    assert harness.queue.delete_expired(restorable_s=-1).videos == [id]
    with pytest.raises(ApiError, match="no video"):
        harness.queue.restore(id, harness.key)


def test_failed_jobs_can_be_tried_again(harness: Harness) -> None:
    id = harness.job()
    harness.leases.fail(harness.claim()[0], "out_of_memory", "too large")
    assert harness.books() == (0.0, 0.0)
    assert harness.queue.retry(id, harness.key).status == "queued" and harness.books() == (0.0, 1024.0)
    (claim,) = harness.claim()
    assert harness.finish(claim) and harness.books() == (1024.0, 0.0)
    with pytest.raises(ApiError, match="has not failed"):
        harness.queue.retry(id, harness.key)


def test_the_end_of_a_job_and_its_webhooks_are_one(harness: Harness) -> None:
    with harness.queue.database.writing() as db:
        hook = {"key_id": harness.key, "created_at": 0.0, "url": "http://x", "secret": "whsec_"}
        db.execute(webhooks.insert().values(id="wh_1", events=["video.completed"], **hook))
    harness.job(), harness.job()
    harness.finish(harness.claim()[0])
    harness.leases.fail(harness.claim()[0], "x", "y")
    with harness.queue.database.reading() as db:
        (delivery,) = db.execute(deliveries.select()).all()
    assert '"video.completed"' in delivery.body


def test_places_between_two_do_not_run_out(harness: Harness) -> None:
    """The last is put before the one that stands second, again and again."""
    expected = [harness.job() for _ in range(4)]
    for _ in range(80):
        expected.insert(1, expected.pop())
        harness.queue.move(expected[1], harness.key, expected[2])
    assert [job.id for job in harness.queue.waiting(harness.key)] == expected
    assert [harness.claim()[0].id for _ in expected] == expected


def test_old_requests_and_old_lines_are_forgotten(harness: Harness) -> None:
    first, again = Repeat(token="t", digest="d"), Repeat(token="t", digest="e")
    id = harness.job(repeat=first)
    harness.queue.note(harness.key, "looked")
    assert harness.job(repeat=first) == id
    with pytest.raises(ApiError, match="another request"):
        harness.job(repeat=again)
    with harness.queue.database.writing() as db:
        db.execute(repeats.update().values(at=repeats.c.at - 2 * 86400))
        db.execute(audit.update().values(at=audit.c.at - 400 * 86400))
    harness.queue.delete_expired(restorable_s=60)
    with harness.queue.database.reading() as db:
        assert not db.execute(audit.select()).all()
    assert harness.job(repeat=again) != id


def test_many_workers_never_hold_the_same_job(harness: Harness) -> None:
    """Sixty jobs, six threads with engines of their own: each job is published by exactly one."""
    ids = {harness.job() for _ in range(60)}
    published: list[str] = []
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            leases = Leases(Database(harness.queue.database.url), lease_s=30.0)
            while claims := leases.claim(name, most=2):
                published.extend(c.id for c in claims if leases.publish(c, str(c.fence), DONE))
            leases.database.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and sorted(published) == sorted(ids)
    assert harness.books() == (60 * 1024.0, 0.0)


def test_a_held_queue_begins_nothing(harness: Harness) -> None:
    harness.job()
    harness.queue.hold(True)
    assert harness.claim() == [] and harness.queue.is_held()
    harness.queue.hold(False)
    assert harness.claim()


def test_what_is_ahead_counts_what_is_left_and_the_turns_of_other_keys(harness: Harness) -> None:
    begun = harness.job(pixel_seconds=4000.0, shape=None)
    harness.leases.beat(harness.claim(), {begun: (75.0, "plan")})
    harness.job(pixel_seconds=100.0)
    mine = harness.job(pixel_seconds=200.0)
    large = harness.job(key=harness.make_key("other"), pixel_seconds=5000.0)
    assert harness.queue.ahead(harness.queue.get(mine, None)) == (1, 100 + 300 + 1000), "the own, a turn, a quarter of 4000"
    assert harness.queue.ahead(harness.queue.get(large, None)) == (0, 300 + 1000)
    small = harness.job(key=harness.make_key("third"), pixel_seconds=10.0)
    assert harness.queue.ahead(harness.queue.get(small, None)) == (0, 10 + 10 + 10), "as much as its own of each"


def test_a_worker_of_some_models_leaves_the_others(harness: Harness) -> None:
    """Also where a video of another model is the first in the queue of its key; what needs no model is made by all."""
    first, second = harness.job(model="wan"), harness.job(model="kinema-tiny")
    cut = harness.job(model="wan", kind="trim")
    leases = Leases(harness.queue.database, models=["kinema-tiny"])
    assert leases.ready() and [claim.id for _ in range(3) for claim in leases.claim("w")] == [second, cut]
    assert not leases.ready() and leases.claim("w") == []
    assert [claim.id for claim in harness.leases.claim("w2")] == [first]
