"""How people name and group their videos: titles, tags, favorites, and projects, which are folders of videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from kinema.errors import ApiError
from kinema.server.api.errors import not_found
from kinema.server.storage.artifacts import is_id, new_id
from kinema.server.storage.database import Database
from kinema.server.storage.job_rows import find_job
from kinema.server.storage.tables import jobs, projects

MOST_PROJECTS = 1000
"""Of one key."""


def plain_tags(given: Sequence[str]) -> list[str]:
    """Tags in lower case with single spaces, each once."""
    return list(dict.fromkeys(" ".join(tag.split()).lower() for tag in given))


class Library:
    """Labels of videos, and the projects of keys. key_id: whose they are (None: anyone's); 404 for those of others."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def label(self, video: str, key_id: str | None, given: dict[str, Any]) -> Row[Any]:
        """Change some of title, tags, favorite and project of a video; "" is no title, and no project. Returns its row."""
        with self.database.writing() as db:
            job = find_job(db, video, key_id)
            values = self._labels(db, job.key_id, given)
            if values:
                db.execute(jobs.update().where(jobs.c.id == video).values(**values))
            return find_job(db, video, key_id)

    def labels(self, key_id: str, given: dict[str, Any]) -> dict[str, Any]:
        """The columns of a new video of a key with these labels; 404 for a project that the key does not have."""
        with self.database.reading() as db:
            return self._labels(db, key_id, given)

    def _labels(self, db: Connection, key_id: str, given: dict[str, Any]) -> dict[str, Any]:
        values = dict(given)
        if "title" in values:
            values["title"] = " ".join(values["title"].split()) or None
        if "tags" in values:
            values["tags"] = plain_tags(values["tags"])
        if "project" in values:
            values["project"] = _project(db, values["project"], key_id).id if values["project"] else None
        return values

    def projects(self, key_id: str | None) -> list[Row[Any]]:
        """The projects by name, each with the number of its videos."""
        with self.database.reading() as db:
            return list(db.execute(_with_counts(key_id).order_by(func.lower(projects.c.name), projects.c.id)).all())

    def project(self, id: str, key_id: str | None) -> Row[Any]:
        with self.database.reading() as db:
            return _project(db, id, key_id)

    def make_project(self, key_id: str, name: str) -> Row[Any]:
        """A new project; 409 if the key has one of this name, or too many."""
        name, id = " ".join(name.split()), new_id("proj")
        with self.database.writing() as db:
            _check_name(db, key_id, name)
            count = db.scalar(select(func.count()).select_from(projects).where(projects.c.key_id == key_id))
            if int(count or 0) >= MOST_PROJECTS:
                raise ApiError(409, f"this key has {MOST_PROJECTS} projects; delete one first", code="too_many_projects")
            db.execute(projects.insert().values(id=id, key_id=key_id, name=name, created_at=self.database.now(db)))
            return _project(db, id, key_id)

    def rename_project(self, id: str, key_id: str | None, name: str) -> Row[Any]:
        name = " ".join(name.split())
        with self.database.writing() as db:
            project = _project(db, id, key_id)
            if name != project.name:
                _check_name(db, project.key_id, name)
                db.execute(projects.update().where(projects.c.id == id).values(name=name))
            return _project(db, id, key_id)

    def remove_project(self, id: str, key_id: str | None) -> None:
        """Delete a project; its videos stay, in no project."""
        with self.database.writing() as db:
            _project(db, id, key_id)
            db.execute(jobs.update().where(jobs.c.project == id).values(project=None))
            db.execute(projects.delete().where(projects.c.id == id))


def _with_counts(key_id: str | None) -> Select[Any]:
    inside = (
        select(func.count())
        .select_from(jobs)
        .where(jobs.c.project == projects.c.id, jobs.c.deleted_at.is_(None))
        .scalar_subquery()
    )
    query = select(projects, inside.label("videos"))
    return query if key_id is None else query.where(projects.c.key_id == key_id)


def _project(db: Connection, id: str, key_id: str | None) -> Row[Any]:
    """A project with the number of its videos, or 404."""
    row = db.execute(_with_counts(key_id).where(projects.c.id == id)).first() if is_id(id, "proj") else None
    if row is None:
        raise not_found("project", id)
    return row


def _check_name(db: Connection, key_id: str, name: str) -> None:
    if db.execute(select(projects.c.id).where(projects.c.key_id == key_id, projects.c.name == name)).first():
        raise ApiError(409, f"there is a project {name!r} already; choose another name", param="name", code="name_taken")
