"""Laws of stores and revisions: what is in a store stays in it, upgrades happen once and whole or not at all."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("alembic", reason="needs kinema[serve]")

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from tests.server.storage.older import as_first_revision

from kinema.errors import InputError, OutputError
from kinema.server.auth import Auth
from kinema.server.jobs.queue import Queue
from kinema.server.jobs.worker import Worker
from kinema.server.services import Services
from kinema.server.settings import Settings
from kinema.server.storage import sqlite_copy
from kinema.server.storage.database import Database
from kinema.server.storage.engine import make_engine, sqlite_url
from kinema.server.storage.tables import REVISION, facts, jobs, metadata, production_jobs, productions
from kinema.server.storage.upgrade import MIGRATIONS, UNVERSIONED, prepare_store, stored_revision

HERE = Path(__file__).parent
UNVERSIONED_SQL = (HERE / "unversioned.sql").read_text()
"""A store from before revisions were recorded, with a job of each status; as sqlite3 dumps it."""
LATER = "9999"
UPGRADING = [sys.executable, str(HERE / "upgrading.py")]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: str = request.getfixturevalue("postgres")
    name = f"store_{secrets.token_hex(4)}"
    engine = make_engine(server)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server.rpartition('/')[0]}/{name}"


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """The shipped revisions, and one more."""
    folder = tmp_path / "100% later" / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HERE / "later_revision.py", folder / "versions" / f"{LATER}_owner.py")
    return folder


def unversioned(tmp_path: Path) -> Path:
    """A SQLite file from before revisions were recorded."""
    path = tmp_path / "kinema.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(UNVERSIONED_SQL)
    return path


def content(path: Path) -> dict[str, list[Any]]:
    """Every row of every table of Kinema in a SQLite file, by column."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        db.row_factory = sqlite3.Row
        there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        rows = {name: db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in there & set(metadata.tables)}
        return {name: [dict(row) for row in found] for name, found in rows.items()}


def within(old: dict[str, list[Any]], new: dict[str, list[Any]]) -> bool:
    """Whether every row of old stands in new, where it may have further columns."""
    return all(
        [{column: row[column] for column in was} for was, row in zip(rows, new[name], strict=True)] == rows
        for name, rows in old.items()
    )


def query(url: str, statement: str) -> list[Any]:
    """The first column of what a statement returns."""
    engine = make_engine(url)
    with engine.begin() as db:
        values = list(db.execute(text(statement)).scalars())
    engine.dispose()
    return values


def revision_of(url: str) -> str | None:
    engine = make_engine(url)
    with engine.begin() as db:
        revision = stored_revision(db)
    engine.dispose()
    return revision


def columns_of_jobs(url: str) -> set[str]:
    engine = make_engine(url)
    with engine.begin() as db:
        names = {column["name"] for column in inspect(db).get_columns("jobs")}
    engine.dispose()
    return names


def copies(folder: Path) -> list[Path]:
    """The copies of a store in a folder; nothing half copied lies beside them."""
    assert not list(folder.glob(".kinema*"))
    return sorted(folder.glob("kinema-before-*"))


def start(url: str, revisions: Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*UPGRADING, url, str(revisions)], env={**os.environ, **environment})


def test_the_tables_name_the_newest_revision() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    assert script.get_heads() == [REVISION]
    for one in script.walk_revisions():
        assert Path(one.path).name.startswith(f"{one.revision}_")


def test_revisions_lead_to_the_tables(url: str) -> None:
    """Alembic finds no difference between a new store and the tables that the code names."""
    database = Database(url)
    with database.writing() as db:
        context = MigrationContext.configure(db, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        for table in metadata.sorted_tables:
            key = inspect(db).get_pk_constraint(table.name)["constrained_columns"]
            assert key == [column.name for column in table.primary_key]
    database.close()


def test_an_unversioned_store_opens_with_all_jobs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = unversioned(tmp_path)
    before = content(path)
    with pytest.raises(InputError, match=f"has no revision, as an older Kinema wrote it; expected revision '{REVISION}'"):
        Database(sqlite_url(tmp_path))
    with caplog.at_level(logging.INFO, "kinema.server"):
        database = Database(sqlite_url(tmp_path), upgrade=True)
    after = content(path)
    before["facts"] = after["facts"] = []  # how the store is written down
    assert within(before, after)
    assert after.keys() == metadata.tables.keys()
    assert revision_of(database.url) == REVISION and "has a revision from now on" in caplog.text
    jobs = Queue(database).page(Auth(database).all()[0].id)[0]
    assert {job.status for job in jobs} == {"queued", "in_progress", "completed", "failed"}
    assert len(copies(tmp_path)) == 1
    database.close()


def test_an_unversioned_store_is_upgraded_past_the_first_revision(url: str, tmp_path: Path, later: Path) -> None:
    """With every row, and so that a Kinema from before revisions refuses it from then on."""
    if url.startswith("sqlite"):
        unversioned(tmp_path)
    else:
        database = Database(url)
        Auth(database).make("me")
        with database.writing() as db:
            as_first_revision(db)
            db.execute(text("DROP TABLE alembic_version"))
            db.execute(facts.delete().where(facts.c.name == "format"))
            db.execute(facts.insert().values(name="format", value=1))
        database.close()
    assert revision_of(url) == UNVERSIONED
    keys = query(url, "SELECT id FROM keys")
    prepare_store(url, upgrade=True, folder=later)
    assert revision_of(url) == LATER and query(url, "SELECT id FROM keys") == keys
    assert query(url, "SELECT value FROM facts WHERE name = 'format'") == [2]
    assert "owner" in columns_of_jobs(url)


def test_a_sqlite_file_is_copied_before_it_is_upgraded(
    tmp_path: Path, later: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = unversioned(tmp_path)
    path.chmod(0o640)
    before = content(path)
    with caplog.at_level(logging.INFO, "kinema.server"):
        prepare_store(sqlite_url(tmp_path), upgrade=True, folder=later)
    (copy,) = copies(tmp_path)
    assert content(copy) == before and copy.stat().st_mode & 0o777 == 0o640
    logged = {record.getMessage(): record.__dict__ for record in caplog.records}
    assert logged["the store was copied before its upgrade"]["copy"] == str(copy)
    assert logged["the store is upgraded"]["revision"] == LATER
    Database(f"sqlite:///{copy}", upgrade=True).close()


def test_a_store_that_cannot_be_copied_stays_as_it_was(tmp_path: Path, later: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    path = unversioned(tmp_path)
    before = content(path)
    monkeypatch.setattr(sqlite_copy, "sync", full)
    with pytest.raises(OutputError, match=r"No space left on device.*MiB free"):
        prepare_store(sqlite_url(tmp_path), upgrade=True, folder=later)
    assert content(path) == before and revision_of(sqlite_url(tmp_path)) == UNVERSIONED and copies(tmp_path) == []


@pytest.mark.parametrize("upgrade", [False, True])
def test_a_newer_store_is_refused(url: str, later: Path, upgrade: bool) -> None:
    prepare_store(url, upgrade=True, folder=later)
    with pytest.raises(
        InputError,
        match=rf"revision '{LATER}', which Kinema .* does not know; expected '{REVISION}' or older; start the newer",
    ):
        Database(url, upgrade=upgrade)
    assert revision_of(url) == LATER


def test_an_older_store_is_upgraded_only_where_it_may_be(url: str, later: Path) -> None:
    Database(url).close()
    with pytest.raises(InputError, match=f"has revision '{REVISION}'; expected revision '{LATER}'; start kinema serve"):
        prepare_store(url, upgrade=False, folder=later)
    assert revision_of(url) == REVISION


def test_stores_of_nobody_known_are_refused(tmp_path: Path) -> None:
    unversioned(tmp_path)
    query(sqlite_url(tmp_path), "UPDATE facts SET value = 99 WHERE name = 'format' RETURNING name")
    with pytest.raises(InputError, match="format 99 and no revision; expected format 1"):
        Database(sqlite_url(tmp_path), upgrade=True)
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        db.execute("CREATE TABLE jobs (number INTEGER)")
    with pytest.raises(InputError, match="a table 'jobs' of another program"):
        Database(f"sqlite:///{tmp_path / 'other.db'}", upgrade=True)
    with pytest.raises(InputError, match="expected sqlite:///FILE or postgresql://") as refused:
        Database("nonsense://me:secret@x")
    assert "me:***@x" in str(refused.value) and "secret" not in str(refused.value)


def test_server_and_worker_upgrade_the_store_at_their_start(tmp_path: Path) -> None:
    for name, start_it in (("server", Services), ("worker", Worker)):
        data = tmp_path / name
        data.mkdir()
        unversioned(data)
        (data / "store-id").write_text(
            query(sqlite_url(data), "SELECT json_extract(value, '$') FROM facts WHERE name = 'store'")[0]
        )
        start_it(Settings(data=data)).close()
        assert revision_of(sqlite_url(data)) == REVISION


def test_a_user_who_may_create_no_tables_is_told_so(url: str) -> None:
    if url.startswith("sqlite"):
        pytest.skip("SQLite has no users")
    role = f"reader_{secrets.token_hex(4)}"
    engine = make_engine(url)
    with engine.begin() as db:
        db.execute(text(f"CREATE ROLE {role} LOGIN"))
    engine.dispose()
    with pytest.raises(InputError, match=r"is as it was: permission denied.*; expected a user that may create"):
        Database(url.replace("kinema@", f"{role}@"))


@pytest.mark.parametrize("point", ["copying", "begun", "column added", "changed", "upgraded"])
def test_a_killed_upgrade_leaves_the_old_store_or_the_new(tmp_path: Path, later: Path, point: str) -> None:
    path, url = unversioned(tmp_path), sqlite_url(tmp_path)
    before, columns = content(path), columns_of_jobs(url)
    assert start(url, later, KILL_AT=point).wait(60) == -signal.SIGKILL
    if point == "upgraded":
        assert revision_of(url) == LATER and columns_of_jobs(url) == {*(column.name for column in jobs.columns), "owner"}
    else:
        assert content(path) == before and columns_of_jobs(url) == columns and revision_of(url) == UNVERSIONED
        prepare_store(url, upgrade=True, folder=later)
    assert [content(copy) for copy in copies(tmp_path)][-1] == before
    assert query(url, "SELECT owner FROM jobs") == [job["key_id"] for job in before["jobs"]]
    assert query(url, "SELECT at FROM audit WHERE action = 'upgraded'") == [0.0]


def start_at_once(url: str, revisions: Path, gate: Path, **environment: str) -> list[int]:
    """Three processes begin to upgrade a store together. Returns their exit codes."""
    gate.mkdir()
    processes = [start(url, revisions, GATE=str(gate), NUM_PROCESSES="3", **environment) for _ in range(3)]
    return [process.wait(120) for process in processes]


def test_of_processes_that_start_at_once_one_upgrades(url: str, tmp_path: Path, later: Path) -> None:
    Database(url).close()
    assert start_at_once(url, later, tmp_path / "gate", SLOW_S="0.5") == [0, 0, 0]
    assert query(url, "SELECT at FROM audit WHERE action = 'upgraded'") == [0.0] and revision_of(url) == LATER
    assert len(copies(tmp_path)) == url.startswith("sqlite")


def test_processes_that_start_at_once_share_a_new_store(url: str, tmp_path: Path, later: Path) -> None:
    assert start_at_once(url, later, tmp_path / "gate") == [0, 0, 0]
    assert query(url, "SELECT at FROM audit WHERE action = 'upgraded'") == [0.0] and revision_of(url) == LATER
    assert copies(tmp_path) == []


def test_threads_that_start_at_once_share_a_new_store(url: str) -> None:
    errors: list[BaseException] = []

    def open_store() -> None:
        try:
            Database(url).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=open_store) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and revision_of(url) == REVISION
    assert query(url, "SELECT count(*) FROM alembic_version") == [1]


def test_what_was_being_made_for_a_production_still_is(url: str) -> None:
    """Revision 0008: the one job of a production becomes one of several."""
    prepare_store(url, upgrade=True)
    database = Database(url)
    made, still = "production_" + "a" * 24, "production_" + "b" * 24
    row = {
        "key_id": "key_1", "created_at": 1.0, "updated_at": 1.0, "version": 1, "title": "t", "story": "", "notes": [],
        "script": {"shots": [{"id": "s1", "prompt": "x"}]}, "state": {"model": "kinema-tiny", "shots": {}},
    }  # fmt: skip
    job = {
        "id": "video_1", "key_id": "key_1", "kind": "take", "model": "kinema-tiny", "prompt": "x", "seconds": "1", "size": "64x64",
        "request": {"production": made, "shot": "s1"}, "sources": [], "priority": 0, "pixel_seconds": 1.0, "status": "queued",
        "created_at": 1.0, "place": 1.0, "expires_at": 9.0, "paused": False, "cancelled": False, "progress": 0.0,
        "stage": "waiting", "attempts": 0, "fence": 0, "not_before": 0.0,
    }  # fmt: skip
    with database.writing() as db:
        for id in (made, still):
            db.execute(productions.insert().values(id=id, **row))
        db.execute(jobs.insert().values(**job))
        db.exec_driver_sql("DROP TABLE production_jobs")
        db.exec_driver_sql("ALTER TABLE productions ADD COLUMN job VARCHAR(40)")
        db.exec_driver_sql("CREATE INDEX productions_by_job ON productions (job)")
        db.exec_driver_sql(f"UPDATE productions SET job = 'video_1' WHERE id = '{made}'")
        db.exec_driver_sql("UPDATE alembic_version SET version_num = '0007'")
    database.close()
    prepare_store(url, upgrade=True)
    database = Database(url)
    with database.reading() as db:
        assert stored_revision(db) == REVISION and [tuple(one) for one in db.execute(production_jobs.select())] == [
            ("video_1", made, "s1")
        ]
        assert "job" not in {column["name"] for column in inspect(db).get_columns("productions")}
    database.close()
