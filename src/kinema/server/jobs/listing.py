"""Pages of videos: filtered, sorted, and continued after the last one that was shown. Takes of productions are not among them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    Row,
    Select,
    String,
    Text,
    bindparam,
    cast,
    func,
    or_,
    select,
    tuple_,
    type_coerce,
)

from kinema.server.api.errors import not_found
from kinema.server.storage.database import Database
from kinema.server.storage.job_rows import TAKE
from kinema.server.storage.tables import jobs

SORTS: dict[str, ColumnElement[Any]] = {"created": jobs.c.created_at, "duration": cast(jobs.c.seconds, Float)}
"""What videos may be sorted by; equal ones by when they were made."""
NO_PROJECT = "none"
"""As a filter of projects: videos that are in none."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which videos are listed. after: the last one of the page before. search: a part of the prompt or title, in any case. tags:
    all of them. project: an id, or NO_PROJECT."""

    after: str | None = None
    limit: int = 20
    ascending: bool = False
    sort: str = "created"
    status: str | None = None
    search: str | None = None
    model: str | None = None
    favorite: bool | None = None
    project: str | None = None
    tags: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        """The parameters of a query, by name; those that are not given are missing."""
        given: dict[str, Any] = {name: getattr(self, name) for name in ("after", "status", "model", "favorite", "project")}
        if self.search:
            given["words"] = f"%{_escaped(self.search.lower())}%"
        given |= {f"tag{number}": f"%\n{_escaped(tag)}\n%" for number, tag in enumerate(self.tags)}
        return {name: value for name, value in given.items() if value is not None}


def page_of(database: Database, key_id: str | None, filters: Filters) -> tuple[list[Row[Any]], bool]:
    """A page of the jobs of a key (of all: None), and whether more follow."""
    given = filters.values() | ({} if key_id is None else {"key_id": key_id})
    last, page = _queries(frozenset(given), filters.project == NO_PROJECT, filters.ascending, filters.sort)
    with database.reading() as db:
        if filters.after is not None:
            then = db.execute(last, given).first()
            if then is None:
                raise not_found("video", filters.after)
            given |= {"then_sorted": then.sorted, "then": then.created_at, "there": then.id}
        rows = db.execute(page, {**given, "most": filters.limit + 1}).all()
    return list(rows[: filters.limit]), len(rows) > filters.limit


@cache
def _queries(given: frozenset[str], unfiled: bool, ascending: bool, sort: str) -> tuple[Select[Any], Select[Any]]:
    """The queries for the row `after` and for a page of jobs, for these parameter names. Cached: building them takes as long as
    running them."""
    by = SORTS[sort]
    last = select(by.label("sorted"), jobs.c.created_at, jobs.c.id).where(jobs.c.id == bindparam("after"))
    page = select(jobs).where(jobs.c.deleted_at.is_(None), jobs.c.kind != TAKE)
    if "key_id" in given:
        last, page = (query.where(jobs.c.key_id == bindparam("key_id")) for query in (last, page))
    for name in given & {"status", "model", "favorite"}:
        page = page.where(jobs.c[name] == bindparam(name))
    if unfiled:
        page = page.where(jobs.c.project.is_(None))
    elif "project" in given:
        page = page.where(jobs.c.project == bindparam("project"))
    if "words" in given:
        page = page.where(or_(*(_contains(func.lower(column), "words") for column in (jobs.c.prompt, jobs.c.title))))
    for name in given:
        if name.startswith("tag"):
            page = page.where(_contains(type_coerce(jobs.c.tags, Text), name))
    columns = [jobs.c.created_at, jobs.c.id] if sort == "created" else [by, jobs.c.created_at, jobs.c.id]
    if "after" in given:
        bounds = [bindparam("then", type_=Float()), bindparam("there", type_=String())]
        bounds = bounds if sort == "created" else [bindparam("then_sorted", type_=Float()), *bounds]
        page = page.where(tuple_(*columns) > tuple_(*bounds) if ascending else tuple_(*columns) < tuple_(*bounds))
    ordering = [column.asc() if ascending else column.desc() for column in columns]
    return last, page.order_by(*ordering).limit(bindparam("most", type_=Integer()))


def _escaped(text: str) -> str:
    """A text of which every character stands for itself in LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _contains(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    return column.like(bindparam(name, type_=Text()), escape="\\")
