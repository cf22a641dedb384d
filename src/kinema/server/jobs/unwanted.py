"""Videos that another server makes for a job that waits in the queue again, and that nobody wants any more."""

from __future__ import annotations

import logging
import threading
from typing import Any

from sqlalchemy import Row

from kinema.engines.catalog import entry_named
from kinema.engines.ledger import Ledger
from kinema.engines.registry import ModelEntry
from kinema.errors import InputError, StorageError
from kinema.server.storage.artifacts import ArtifactStore

log = logging.getLogger(__name__)


def stop_unwanted(store: ArtifactStore, job: Row[Any]) -> None:
    """Forget what a worker stored of a job that was cancelled while it waited, and tell the server that films for it, in a thread.
    A job that is being made is stopped by its worker."""
    if job.status != "failed" or job.error_code != "cancelled":
        return
    try:
        entry = entry_named(job.model)
    except InputError:  # the model was removed
        entry = None
    if entry is not None and entry.is_upstream:
        try:
            video = Ledger(store.records(job.id), job.id).video
        except StorageError as error:
            log.warning("%s; what %s makes for %s goes on there", error, entry.name, job.id)
            video = None
        if video is not None:
            threading.Thread(target=_stop, args=(entry, video), name=f"kinema-stop-{job.id}", daemon=True).start()
    store.drop_work(job.id)


def _stop(entry: ModelEntry, video: str) -> None:
    from kinema.engines.upstream import stop_video

    try:
        heard = stop_video(entry, video)
    except InputError as error:
        log.warning("%s; the video %s goes on there", error, video)
        return
    if not heard:
        log.warning("%s did not answer; the video %s goes on there", entry.name, video)
