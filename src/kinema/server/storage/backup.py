"""Save a store into one file while its server runs, and restore it into a new folder.

The database is read first, at one moment, then the files that it names: a film's files are on disk before the database names them
and never change afterwards. What is deleted while the backup is made is left out of it. `archive` describes the file.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy import func, select

from kinema.errors import InputError, OutputError
from kinema.media.write import check_free, replace_file
from kinema.server.storage.archive import PARTS, ArchiveWriter, extract
from kinema.server.storage.artifacts import ArtifactStore
from kinema.server.storage.database import STORE_ID, Database
from kinema.server.storage.disk import sync
from kinema.server.storage.engine import sqlite_url
from kinema.server.storage.remote import RemoteFolder
from kinema.server.storage.snapshot import load_rows, save_rows
from kinema.server.storage.tables import facts, files, jobs, keys

DATABASE, FIRST_KEY = "kinema.db", "first-key"
STAGING = ".restoring"
LEFTOVER = re.compile(r"\.kinema-(?:[0-9a-f]{12}\.tmp(?:\.[A-Za-z0-9]+)?|[a-z0-9_]{8}\.tmp)")
"""Names of files and folders that are being written (`kinema.media.write.replace_file`, `_save`)."""
LEFTOVER_S = 6 * 3600.0
IGNORED = {STAGING, "lost+found"}
"""What a folder may hold that a backup is restored into: what a killed restore left, and what file systems put there."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a backup holds. lost: films and uploads that the database names and whose files are missing. made_at: ISO 8601."""

    films: int
    uploads: int
    worlds: int
    keys: int
    bytes: int
    lost: int = 0
    made_at: str = ""


def backup(file: Path, *, data: Path, url: str | None = None, artifacts: str | None = None, force: bool = False) -> Contents:
    """Save a server's store into one new file, readable by the owner only. Servers and workers may run meanwhile.

    file: has its name only when it is whole. data: the server's folder. url: of its database; None: SQLite in the folder.
    artifacts: the object storage of its films and uploads, which are in the backup too. force: replace an existing file. InputError
    if there is no store, OutputError if the file cannot be written.
    """
    check_free(file, force=force)
    if not (data / STORE_ID).is_file():
        raise InputError(f"{data} holds no server's data; name its folder with --data")
    database = Database(url or sqlite_url(data))
    try:
        database.check_data_folder(data.absolute())
        store = ArtifactStore(data, artifacts)
        database.check_artifacts(store.remote)
        clear_leftovers(file.absolute().parent)
        counted: list[Contents] = []
        replace_file(file, lambda path: counted.append(_save(path, store, database)), force=force)
    finally:
        database.close()
    sync(file.absolute().parent)
    return counted[0]


def clear_leftovers(folder: Path) -> list[str]:
    """Delete the hidden files and folders that killed backups, or other writes of Kinema, left in a folder; returns their names.
    A write that is under way touches its files all the time, so nothing is deleted as long as any of them is younger than
    LEFTOVER_S; nor what another user owns, and no links."""
    leftovers: list[Path] = []
    newest = 0.0
    for path in folder.iterdir():
        if not LEFTOVER.fullmatch(path.name) or path.is_symlink():
            continue
        try:
            times = [one.lstat().st_mtime for one in (path, *(path.rglob("*") if path.is_dir() else ()))]
            own = path.lstat().st_uid == os.geteuid()
        except FileNotFoundError:  # finished at this moment, so a write is under way
            return []
        newest = max(newest, *times)
        leftovers += [path] if own else []
    if time.time() - newest < LEFTOVER_S:
        return []
    for path in leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return [path.name for path in leftovers]


def _save(path: Path, store: ArtifactStore, database: Database) -> Contents:
    with tempfile.TemporaryDirectory(prefix=".kinema-", suffix=".tmp", dir=path.parent) as folder:
        snapshot = Path(folder) / DATABASE
        save_rows(database, snapshot)
        copy = Database(f"sqlite:///{snapshot}")
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                archive = ArchiveWriter(out)
                lost = _add_named_files(archive, store, copy)
                worlds = _add_folders(archive, store.root)
                deleted = _deleted(copy, database)
                _forget(copy, lost | deleted)
                counted = _count(copy)
                copy.close()  # its log becomes part of the file
                with snapshot.open("rb") as rows:
                    archive.add(DATABASE, rows)
                archive.close()
        finally:
            copy.close()
    return Contents(**counted, worlds=worlds, lost=len(lost - deleted), bytes=path.stat().st_size)


def _add_named_files(archive: ArchiveWriter, store: ArtifactStore, copy: Database) -> set[str]:
    """Add the films and uploads that a database names. Returns the ids of those that have no files."""
    with copy.reading() as db:
        films = db.execute(select(jobs.c.id, jobs.c.artifact).where(jobs.c.artifact.is_not(None))).all()
        uploads = list(db.execute(select(files.c.id)).scalars())
    lost = {
        id for id, artifact in films
        if not _add_files(archive, store.root, store.video(id, artifact), "*")
        and not _add_objects(archive, store.remote, f"videos/{id}/{artifact}")
    }  # fmt: skip
    return lost | {
        id for id in uploads
        if not _add_files(archive, store.root, store.new_file(id).parent, f"{id}.*")
        and not _add_objects(archive, store.remote, *(f"files/{path.name}" for path in store.upload_paths(id)))
    }  # fmt: skip


def _add_objects(archive: ArchiveWriter, remote: RemoteFolder | None, *below: str) -> bool:
    """Add the objects below some names. Returns whether there were any; those that are deleted meanwhile are left out."""
    added = False
    if remote is None:
        return added
    with tempfile.TemporaryDirectory(prefix="kinema-backup-") as folder:
        for name in (one for part in below for one in remote.names(part) if PARTS.fullmatch(one)):
            copy = Path(folder) / "object"
            if remote.fetch(name, copy):
                with copy.open("rb") as opened:
                    archive.add(name, opened)
                added = True
    return added


def _add_folders(archive: ArchiveWriter, root: Path) -> int:
    """Add worlds, certificates, the store's id and the first key. Returns the number of worlds."""
    worlds = sum(_add_world(archive, root, folder) for folder in sorted((root / "worlds").glob("world_*")))
    _add_files(archive, root, root / "identity", "*")
    for name in (STORE_ID, FIRST_KEY):
        _add_files(archive, root, root, name)
    return worlds


def _add_files(archive: ArchiveWriter, root: Path, folder: Path, pattern: str) -> bool:
    """Add files of a folder. Returns whether there were any; those that are deleted meanwhile are left out."""
    added = False
    for path in sorted(folder.glob(pattern)):
        name = path.relative_to(root).as_posix()
        with _open(path) as file:
            if file is not None and PARTS.fullmatch(name):
                archive.add(name, file)
                added = True
    return added


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes] | None]:
    """An open file, or None if it was deleted or is none."""
    try:
        file = path.open("rb") if path.is_file() else None
    except FileNotFoundError:
        file = None
    try:
        yield file
    finally:
        if file is not None:
            file.close()


def _add_world(archive: ArchiveWriter, root: Path, folder: Path) -> bool:
    """Add a world: its last save and all commands since. Returns whether it is there.

    A server deletes old files only after a newer save is there, so what was opened belongs together if that save is still the
    newest.
    """
    while True:
        with ExitStack() as opened:
            paths = sorted(path for path in folder.glob("[!.]*") if not path.is_dir())
            parts = [(path, opened.enter_context(_open(path))) for path in paths]
            saves = sorted(path.name for path, _ in parts if path.suffix == ".world")
            if sorted(path.name for path in folder.glob("[!.]*.world")) != saves or any(file is None for _, file in parts):
                continue
            for path, file in parts:
                assert file is not None
                name = path.relative_to(root).as_posix()
                if path.suffix == ".steps":  # a line may be half written
                    archive.add_bytes(name, file.read().rpartition(b"\n")[0] + b"\n")
                else:
                    archive.add(name, file)
            return bool(saves)


def _deleted(copy: Database, database: Database) -> set[str]:
    """Ids of jobs and uploads that a copy of a database has and the database has not any more."""
    with copy.reading() as then, database.reading() as now:
        ids = [{id for table in (jobs, files) for id in db.execute(select(table.c.id)).scalars()} for db in (then, now)]
    return ids[0] - ids[1]


def _forget(copy: Database, ids: set[str]) -> None:
    """Remove jobs and uploads from a copy of a database."""
    with copy.writing() as db:
        for id in ids:
            for table in (jobs, files):
                db.execute(table.delete().where(table.c.id == id))


def _count(copy: Database) -> dict[str, Any]:
    with copy.reading() as db:
        film = jobs.c.artifact.is_not(None)
        counts = {"films": select(func.count()).where(film)} | {
            name: select(func.count()).select_from(table) for name, table in (("uploads", files), ("keys", keys))
        }
        return {name: int(db.scalar(query) or 0) for name, query in counts.items()}


def restore(file: Path, *, data: Path, url: str | None = None) -> Contents:
    """Restore a backup into a new or empty folder, upgraded to the tables of this Kinema, after every byte was checked.

    url: an empty database for the rows; None: SQLite in the folder. The restored store has an id of its own, so that its folder and
    the database that it was saved from are not taken for one store. InputError if the file is no whole backup or there is data
    already; then nothing is left behind.
    """
    if data.is_dir() and {path.name for path in data.iterdir()} - IGNORED:
        raise InputError(f"{data} is not empty; expected a new folder; name another with --data")
    made = not data.exists()
    staging = data / STAGING
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        header = extract(file, staging)
        contents = _open_restored(file, staging, url)
        for part in sorted(staging.iterdir(), key=lambda path: path.name == DATABASE):  # the database last: it makes a store
            part.replace(data / part.name)
        staging.rmdir()
        sync(data)
    except BaseException as error:
        shutil.rmtree(data if made else staging, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise OutputError(f"{data} could not be written: {error.strerror or error}; nothing was restored") from None
        raise
    size = file.stat().st_size
    return Contents(**contents, bytes=size, made_at=str(header.get("made_at", "")))


def _open_restored(file: Path, staging: Path, url: str | None) -> dict[str, Any]:
    """Upgrade the restored database, check that it has its files, and give it a new id."""
    path = staging / DATABASE
    if not path.is_file():
        raise InputError(f"{file} is damaged: it holds no database; restore another backup")
    database = Database(sqlite_url(staging), upgrade=True)
    store = ArtifactStore(staging)
    try:
        with database.writing() as db:
            for id, artifact in db.execute(select(jobs.c.id, jobs.c.artifact).where(jobs.c.artifact.is_not(None))).all():
                if not store.video(id, artifact).is_dir():
                    raise InputError(f"{file} is damaged: the files of {id} are missing; restore another backup")
            db.execute(facts.delete().where(facts.c.name.in_(("store", "artifacts"))))  # all films lie in the folder now
            (staging / STORE_ID).unlink(missing_ok=True)
        counted = _count(database)
    finally:
        database.close()
    for copy in staging.glob("kinema-before-*"):
        copy.unlink()
    if url is not None:
        load_rows(path, url)
        path.unlink()
    opened = Database(url or sqlite_url(staging))
    try:
        opened.check_data_folder(staging)
    finally:
        opened.close()
    worlds = sum(1 for folder in (staging / "worlds").glob("world_*") if any(folder.glob("*.world")))
    return {**counted, "worlds": worlds}
