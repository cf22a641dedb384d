"""`Services`: the objects that the routes of one server share, such as its database, store, queue and authentication."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from kinema.errors import ApiError
from kinema.media import Clip
from kinema.server.auth import Auth, Caller
from kinema.server.billing import Billing, frames_cost
from kinema.server.jobs.foreign import ForeignNotes
from kinema.server.jobs.publish import VIDEO
from kinema.server.jobs.queue import Queue, Removed
from kinema.server.jobs.throughput import ThroughputStats
from kinema.server.library import Library
from kinema.server.licenses import Licenses
from kinema.server.metrics import LOG, Metrics
from kinema.server.moderation import moderation_from
from kinema.server.productions.productions import Productions
from kinema.server.reports import Reports
from kinema.server.settings import Settings
from kinema.server.signing import identity_of
from kinema.server.storage.artifacts import ArtifactStore
from kinema.server.storage.clips import load_clip
from kinema.server.storage.database import Database
from kinema.server.storage.formats import Formats
from kinema.server.storage.uploads import Uploads
from kinema.server.webhooks import MOST_TESTS, Webhooks
from kinema.types import T

HEAVY, QUEUED = 3, 24
"""How many requests may read files at the same time, and how many may run or wait in all."""
STRANGERS, READ_S = 8, 30.0
"""How many of those requests may come without a key, and how long each may take to send its body. One is served at a time, so
that they do not delay requests with a key."""
SEEN = 64
"""The most frames of a clip that are analyzed to find its main character."""
S = TypeVar("S")


def busy() -> ApiError:
    return ApiError(503, "many files are being read; try again in a moment", code="busy", headers={"retry-after": "5"})


class Services:
    """The objects that the routes share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = ArtifactStore(settings.data, settings.artifacts)
        self.database = Database(settings.url, upgrade=True)
        self.database.check_data_folder(self.store.root)
        self.database.check_artifacts(self.store.remote)
        self.queue = Queue(self.database, retained_s=86400 * settings.retention_days, audit_s=86400 * settings.audit_days)
        self.productions = Productions(self.database, retained_s=86400 * settings.retention_days)
        self.throughput, self.billing = ThroughputStats(self.database), Billing(self.database)
        self.auth, self.library = Auth(self.database), Library(self.database)
        self.licenses, self.reports = Licenses(self.database, settings.territories), Reports(self.database)
        self.uploads = Uploads(self.store, self.queue, remote=settings.remote, most_bytes=settings.max_upload << 20)
        self.formats = Formats(self.store)
        self.webhooks = Webhooks(self.database, private=settings.private_webhooks)
        self.metrics = Metrics(self.queue, self.throughput, self.store.root)
        self.moderation = moderation_from(settings.moderation, settings.blocked)
        self.anchors = identity_of(settings).anchors
        """Root certificates that this server trusts when it verifies manifests."""
        self.foreign_notes = ForeignNotes(self.clip)
        self._describe_lock = threading.Lock()
        self._heavy, self._stranger = CapacityLimiter(HEAVY), CapacityLimiter(1)
        self.webhook_tests = CapacityLimiter(MOST_TESTS)
        """Threads that wait for receivers of webhooks, apart from those that answer requests."""
        self.planners = CapacityLimiter(2)
        """Threads that wait for the language model."""
        self._waiting, self._strangers = 0, 0

    async def caller(self, connection: HTTPConnection) -> Caller:
        """The caller of a request or WebSocket. ApiError: 401 without a valid key."""
        authenticated = await self.run_query(self.auth.caller_of, connection)
        connection.scope["kinema_key"] = authenticated.key_id
        return authenticated

    async def run_query(self, query: Callable[..., T], *arguments: Any) -> T:
        """Run a short database query: in the event loop on SQLite (faster than starting a thread, and readers never wait),
        and in a thread on Postgres."""
        return query(*arguments) if self.database.sqlite else await run_in_threadpool(query, *arguments)

    async def run_apart(self, function: Callable[..., T], *arguments: Any, heavy: bool = True) -> T:
        """Run a function in a thread. heavy: it reads files and takes a slot of a separate limiter, so that light requests do not
        wait for it; 503 when too many wait already."""
        if not heavy:
            return await run_in_threadpool(function, *arguments)
        if self._waiting >= QUEUED:
            raise busy()
        self._waiting += 1
        try:
            return await to_thread.run_sync(lambda: function(*arguments), limiter=self._heavy)
        finally:
            self._waiting -= 1

    async def run_apart_for_anyone(self, read: Callable[[], Awaitable[S]], function: Callable[[S], T]) -> T:
        """Read a body and process it for a caller without a key. The request is counted before its body is read."""
        if self._strangers >= STRANGERS:
            raise busy()
        self._strangers += 1
        try:
            try:
                async with asyncio.timeout(READ_S):
                    sent = await read()
            except TimeoutError:
                raise ApiError(
                    408, f"the file did not come within {READ_S:g} s; send a smaller one", code="too_slow"
                ) from None
            async with self._stranger:
                return await self.run_apart(function, sent)
        finally:
            self._strangers -= 1

    def whole_clip(self, reference: dict[str, str]) -> Clip:
        """Load the clip of a resolved reference; 413 for a long film that was uploaded, of which only parts are read."""
        if "file" in reference and self.store.about(reference["file"]).long:
            raise ApiError(
                413, f"{reference['file']} is a long film: cut a part out of it first, by POST /v1/videos/trims, and use that",
                code="too_long",
            )  # fmt: skip
        return self.clip(reference)

    def clip(self, reference: dict[str, str]) -> Clip:
        """Load the clip of a resolved reference, of a long film that was uploaded its first, middle and last frame."""
        if "file" in reference:
            return load_clip(self.store.file(reference["file"]))
        job = self.queue.get(reference["video"], None)
        if job.artifact is None:
            raise ApiError(409, f"{job.id} is not completed", code="not_completed")
        return Clip.open(self.store.film_file(job.id, job.artifact, VIDEO))

    async def film_file(self, id: str, artifact: str, name: str) -> Path:
        """A file of a published video, fetched first where films lie on object storage; it may not exist."""
        if self.store.remote is None:
            return self.store.film_file(id, artifact, name)
        return await run_in_threadpool(self.store.film_file, id, artifact, name)

    def main_character(self, reference: dict[str, str]) -> str:
        """Name the entity that fills most of the picture over a clip, such as 'red ball'. 400 if there is none."""
        from kinema import api

        with self._describe_lock:
            clip = self.whole_clip(reference)
            scene = clip.state or api.perceive(replace(clip, frames=clip.frames[:SEEN]))
        shown = {slot: float(scene.visible[:, slot].sum() * scene.size[slot]) for slot in scene.entities}
        if not shown:
            raise ApiError(
                400, "nobody is seen in this video; expected one thing in view", param="video", code="no_character"
            )
        return scene.name(max(shown, key=lambda slot: shown[slot]))

    async def resolve(self, given: Any, caller: Caller) -> Clip:
        """Resolve a reference and load its clip, for worlds."""
        return await self.run_apart(self.read_reference, given, caller, "start", self.whole_clip)

    def read_reference(self, given: Any, caller: Caller, param: str, read: Callable[[dict[str, str]], T]) -> T:
        """What `read` makes of a resolved reference; a file that came with it is not kept."""
        stored: list[str] = []
        try:
            return read(self.uploads.resolve(given, caller.sees, caller.key_id, param, stored_files=stored))
        finally:
            for id in stored:
                self.uploads.remove(id, None)

    def delete_bytes(self, removed: Removed) -> None:
        """Delete the files of videos and uploads whose rows are deleted."""
        for id in removed.videos:
            self.store.drop(id)
        for id in removed.files:
            self.store.drop_file(id)
        if removed.videos or removed.files:
            self.database.forget_deleted()

    async def charge(self, caller: Caller, size: str, frames: int) -> None:
        """Bill frames of a world before they are generated, or refund (negative) those that were not; 429 beyond the quota."""
        if self.billing.is_due(caller.key_id):
            try:
                await self.run_query(self.billing.refresh_quota, caller.key_id)
            except SQLAlchemyError as error:  # a failed query does not end a session; the next frame tries again
                LOG.warning("what is left of a quota could not be seen: %s", str(error).splitlines()[0])
        self.billing.spend(caller.key_id, frames_cost(size, frames))

    async def check_key(self, caller: Caller) -> None:
        """Raise 401 once a caller's key is not valid any more."""
        await self.run_query(self.auth.check_key, caller.key_id)

    def check_prompt(self, text: str) -> None:
        """Raise 400 if moderation refuses a text."""
        refusal = self.moderation.check_prompt(text)
        if refusal:
            raise ApiError(400, refusal, code="content_policy_violation")

    def close(self) -> None:
        self.webhooks.stop()
        try:
            self.billing.settle()
        finally:
            self.database.close()
