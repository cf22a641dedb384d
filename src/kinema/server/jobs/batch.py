"""The jobs that a worker renders together: their progress, their leases, and whose turn it is."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from sqlalchemy.exc import SQLAlchemyError

from kinema.errors import KinemaError
from kinema.server.jobs.checkpoint import FilmCheckpoint
from kinema.server.jobs.leases import Claim, Leases

BEAT_S = 0.25
"""Between the steps of a sampler, progress is reported and cancellation is checked at most this often."""
LEND_S = 0.5
"""How often a worker looks for a small job of another key while it makes a long one."""


class JobsReleased(Exception):
    """No job of the batch is active any more: all were cancelled, paused, lost or stopped."""


class JobTimeout(KinemaError):
    """A job took longer than the server's settings allow."""


class JobBatch:
    """The jobs that a worker renders together: their progress, and a thread that renews their leases."""

    def __init__(self, leases: Leases, claims: Sequence[Claim], worker: str, timeout_s: float | None = None) -> None:
        self.leases, self.claims, self.worker, self.timeout_s = leases, list(claims), worker, timeout_s
        self.begun_at = time.monotonic()
        self.progress = {claim.id: (0.0, "starting") for claim in claims}
        self.stop: dict[str, str] = {}
        self.previewed_at = time.monotonic()
        """When the last previews were rendered."""
        self.rendered: set[str] = set()
        """Ids of jobs that this worker rendered, rather than loaded from an earlier worker's files."""
        self.checkpoint: FilmCheckpoint | None = None
        """Keeps what is finished of the jobs that are rendered in windows."""
        self._lent_s = self._last_loan_s = 0.0
        self._returned_at = -math.inf
        self._last = 0.0
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> JobBatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def active(self) -> list[Claim]:
        """Claims that have not been stopped."""
        return [claim for claim in self.claims if claim.id not in self.stop]

    @property
    def own_s(self) -> float:
        """Seconds that the worker spent on these jobs."""
        return time.monotonic() - self.begun_at - self._lent_s

    def may_lend(self) -> bool:
        """Whether the worker may make other jobs in between: not before these had as long a turn as the others had before."""
        return time.monotonic() - self._returned_at >= max(self._last_loan_s, LEND_S)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """While the worker makes other jobs in between."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._returned_at = time.monotonic()
            self._last_loan_s = self._returned_at - begun
            self._lent_s += self._last_loan_s

    def _renew(self) -> None:
        while not self._done.wait(self.leases.lease_s / 5):
            with suppress(Exception):
                self.beat()

    def beat(self) -> None:
        with self._lock:
            self._last = time.monotonic()
            if self.active:
                self.stop |= self.leases.beat(self.active, self.progress, self.worker)

    def report(self, stage: str, share: float) -> None:
        """Called between the steps of a sampler; JobsReleased when no job is active any more, JobTimeout when they took too
        long."""
        if self.timeout_s is not None and self.own_s > self.timeout_s * len(self.claims):
            raise JobTimeout(f"the video took longer than {self.timeout_s:g} s, the limit of this server; ask for less")
        for claim in self.claims:
            self.progress[claim.id] = (round(100 * share, 1), stage)
        if time.monotonic() - self._last >= BEAT_S:
            with suppress(SQLAlchemyError):  # a failed report is skipped; the lease decides when the job is lost
                self.beat()
        if not self.active:
            raise JobsReleased
