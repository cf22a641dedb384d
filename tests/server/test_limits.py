"""Laws of the limits of keys: new keys have some, a day ends, worlds count, and administrators have none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from fastapi.testclient import TestClient
from tests.server.conftest import Harness

from kinema.cli.main import main
from kinema.errors import ApiError, InputError
from kinema.server.app import create_app
from kinema.server.auth import LIMITS, SCOPES, key_limits
from kinema.server.billing import Billing
from kinema.server.settings import Settings
from kinema.server.storage.ledger import spent_today
from kinema.server.storage.tables import ledger
from kinema.server.worlds.manager import WorldManager


def spent(harness: Harness, key: str) -> float:
    database = harness.queue.database
    with database.reading() as db:
        return spent_today(db, database.now(db), key)


def test_the_quota_of_a_day_counts_what_was_taken_and_gives_back_what_failed(harness: Harness) -> None:
    key = harness.make_key(daily_quota=2500.0)
    for _ in range(2):
        harness.job(key=key, shape=None)
    assert spent(harness, key) == 2048.0
    with pytest.raises(
        ApiError, match="would take 1,024 pixel-seconds; the key has 452 of 2,500 for 24 hours left"
    ) as refused:
        harness.job(key=key)
    assert (refused.value.status, refused.value.code) == (429, "daily_quota_exceeded")
    first, second = harness.claim()[0], harness.claim()[0]
    harness.finish(first)
    assert spent(harness, key) == 2048.0, "a film that is ready costs once"
    harness.leases.fail(second, "failed", "it failed")
    assert spent(harness, key) == 1024.0
    harness.job(key=key)


def test_a_day_ends(harness: Harness) -> None:
    key = harness.make_key(daily_quota=1024.0)
    harness.job(key=key)
    with pytest.raises(ApiError):
        harness.queue.check(key, 1.0, None)
    with harness.queue.database.writing() as db:
        db.execute(ledger.update().values(at=ledger.c.at - 86401.0))
    harness.queue.check(key, 1024.0, None)
    harness.job(key=key)


def test_frames_of_worlds_count_for_the_day(harness: Harness) -> None:
    """Those that are written down and those that are not yet."""
    key, billing = harness.make_key(daily_quota=1000.0), Billing(harness.queue.database)
    billing.refresh_quota(key)
    billing.spend(key, 600.0)
    billing.settle()
    assert spent(harness, key) == 600.0
    billing.refresh_quota(key)
    billing.spend(key, 300.0)
    with pytest.raises(ApiError, match="the key has 100 of 1,000 for 24 hours left"):
        billing.spend(key, 200.0)
    billing.spend(key, 100.0)


def test_a_key_has_so_many_worlds(tmp_path: Path) -> None:
    async def reserve() -> None:
        manager = WorldManager(tmp_path)
        try:
            with manager._reserve("me", 2), manager._reserve("me", 2), manager._reserve("other", 2):
                with pytest.raises(ApiError, match="this key has 2 worlds, which is the most"), manager._reserve("me", 2):
                    pass
                with manager._reserve("me", 3), manager._reserve("me", None):
                    pass
        finally:
            await manager.close()

    asyncio.run(reserve())


def test_what_is_named_goes_before_what_is_usual() -> None:
    assert key_limits(("read", "videos"), {}) == LIMITS
    assert key_limits(("videos",), {"concurrency": 0, "quota": None, "rate": 5}) == {
        **LIMITS,
        "concurrency": None,
        "rate": 5,
    }
    assert key_limits(SCOPES, {"daily_quota": 7.0}) == {"daily_quota": 7.0}


def test_keys_are_made_with_limits_over_http(tmp_path: Path) -> None:
    """Not named: the usual; 0: none; and the first key, an administrator's, has none."""
    app = create_app(Settings(data=tmp_path))
    first = app.state.services.auth.first()
    names = ("concurrency", "daily_quota", "max_worlds")
    with TestClient(app, headers={"authorization": f"Bearer {first}"}) as client:
        usual = client.post("/v1/keys", json={"name": "a"}).json()
        assert {name: usual[name] for name in names} == LIMITS
        lifted = client.post("/v1/keys", json={"name": "b", "max_worlds": 0, "concurrency": 3}).json()
        assert [lifted[name] for name in names] == [3, LIMITS["daily_quota"], None]
        admin = client.post("/v1/keys", json={"name": "c", "scopes": ["admin"]}).json()
        assert [admin[name] for name in names] == [None] * 3 == [client.get("/v1/usage").json()["concurrency"], None, None]
        usage = client.get("/v1/usage", headers={"authorization": f"Bearer {usual['key']}"}).json()
    assert usage["daily"] == {"limit": LIMITS["daily_quota"], "used": 0.0} and usage["max_worlds"] == LIMITS["max_worlds"]


def test_the_command_says_the_limits_of_a_new_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create_app(Settings(data=tmp_path)).state.services.close()
    assert main(["keys", "add", "site", "--data", str(tmp_path), "--daily-quota", "0", "--concurrency", "2"]) == 0
    said = capsys.readouterr().out
    assert "Limits: 2 videos waiting or being made, 50 worlds; " in said
    assert main(["keys", "add", "boss", "--data", str(tmp_path), "--scopes", "admin"]) == 0
    assert "Limits: none; " in capsys.readouterr().out
    assert main(["keys", "add", "x", "--data", str(tmp_path), "--max-worlds", "-1"]) == 2
    assert "max worlds -1: expected more than 0" in capsys.readouterr().err


def test_a_limit_that_is_none_is_refused(harness: Harness) -> None:
    with pytest.raises(InputError, match=r"daily quota -1: expected more than 0"):
        harness.make_key(daily_quota=-1)
