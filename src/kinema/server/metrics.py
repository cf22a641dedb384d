"""Metrics for Prometheus, and structured logs."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kinema.server.jobs.queue import Queue
from kinema.server.jobs.throughput import ThroughputStats
from kinema.server.storage.job_rows import outcome
from kinema.server.store_gauges import EndedJobs, StoreGauges, read_gauges

LOG = logging.getLogger("kinema.server")
_KNOWN = set(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}


SECONDS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Bounds of the histograms of jobs, in seconds."""


class WorldCounts(Protocol):
    """How many worlds there are, by whatever holds them."""

    def counts(self) -> dict[str, int]: ...


class Metrics:
    """Counters of this process and gauges of the whole store; docs/serving.md lists them."""

    def __init__(self, queue: Queue, throughput: ThroughputStats, folder: Path) -> None:
        self.queue, self.throughput, self.folder = queue, throughput, folder
        self.registry, self.registry_of_keys = CollectorRegistry(), CollectorRegistry()
        self._lock = threading.Lock()
        self._ended = EndedJobs(queue.database)
        self._accepted = self._counter("kinema_jobs_accepted", "Jobs accepted", ["kind"])
        self._requests = self._counter("kinema_requests", "Requests answered", ["method", "route", "status"])
        self._seconds = Histogram("kinema_request_seconds", "Time to answer", ["route"], registry=self.registry)
        self._jobs = self._gauge("kinema_jobs", "Jobs by status", ["status"])
        self._workers = self._gauge("kinema_workers", "Workers heard of lately")
        self._queue_age = self._gauge("kinema_queue_age_seconds", "How long the oldest job that could begin has waited")
        self._queued = self._gauge("kinema_queue_pixel_seconds", "What the jobs that could begin will cost")
        self._ends = self._counter("kinema_jobs_ended", "Jobs that ended, code: of the error", ["kind", "outcome", "code"])
        self._waits = self._histogram("kinema_job_wait_seconds", "From acceptance to the beginning of work")
        self._takes = self._histogram("kinema_job_seconds", "Work on a job that was completed")
        self._worlds = self._gauge("kinema_worlds", "Worlds: stored, loaded, and live sessions", ["state"])
        self._deliveries = self._gauge("kinema_webhooks_waiting", "Deliveries to be sent: first, or retried", ["state"])
        self._overdue = self._gauge("kinema_webhooks_overdue_seconds", "How long the oldest delivery should have been sent")
        self._reports = self._gauge("kinema_reports", "Reports about videos, open and closed", ["state"])
        self._disk = self._gauge("kinema_disk_bytes", "The disk of the data folder", ["state"])
        self._stored = self._gauge("kinema_stored_bytes", "Files of the store", ["what"])
        self._of_keys = Gauge(
            "kinema_key_pixel_seconds",
            "Pixel-seconds used and reserved",
            ["key", "state"],
            registry=self.registry_of_keys,
        )

    def _counter(self, name: str, about: str, labels: list[str]) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str) -> Histogram:
        return Histogram(name, about, ["kind"], buckets=SECONDS, registry=self.registry)

    def accepted(self, kind: str) -> None:
        self._accepted.labels(kind).inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def page(self, worlds: WorldCounts, *, by_key: bool = False) -> bytes:
        """All metrics as text. by_key: those of single keys too, for administrators."""
        with self._lock:  # jobs that ended are counted once, also where two ask at a time
            self._count_ended()
            store = self._measure(worlds)
            page = bytes(generate_latest(self.registry))
            if not by_key:
                return page
            self._of_keys.clear()
            for key, (used, reserved) in store.pixel_seconds.items():
                self._of_keys.labels(key, "used").set(used)
                self._of_keys.labels(key, "reserved").set(reserved)
            return page + bytes(generate_latest(self.registry_of_keys))

    def _count_ended(self) -> None:
        for job in self._ended.read():
            self._ends.labels(job.kind, outcome(job), job.error_code or "").inc()
            if job.started_at is not None:
                self._waits.labels(job.kind).observe(max(job.started_at - job.created_at, 0.0))
            if job.took_s is not None:
                self._takes.labels(job.kind).observe(job.took_s)

    def _measure(self, worlds: WorldCounts) -> StoreGauges:
        counts, store, disk = self.queue.counts(), read_gauges(self.queue.database), shutil.disk_usage(self.folder)
        for status in ("queued", "in_progress", "completed", "failed"):
            self._jobs.labels(status).set(counts.get(status, 0))
        self._workers.set(self.throughput.num_workers())
        self._queue_age.set(store.queue_age_s)
        self._queued.set(store.queued_pixel_seconds)
        for state, number in worlds.counts().items():
            self._worlds.labels(state).set(number)
        self._deliveries.labels("first").set(store.webhooks_waiting - store.webhooks_retried)
        self._deliveries.labels("retried").set(store.webhooks_retried)
        self._overdue.set(store.webhooks_overdue_s)
        self._reports.labels("open").set(store.reports_open)
        self._reports.labels("closed").set(store.reports_closed)
        self._disk.labels("used").set(disk.used)
        self._disk.labels("free").set(disk.free)
        self._stored.labels("videos").set(store.video_bytes)
        self._stored.labels("uploads").set(store.upload_bytes)
        return store


class Lines(logging.Formatter):
    """Formats a log record as one line of JSON: time, level, message and extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _KNOWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to(stream: Any = None, level: int = logging.INFO) -> None:
    """Structured logs on stderr, for the server and its workers."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines())
    root = logging.getLogger("kinema")
    root.handlers = [handler]
    root.setLevel(level)
    root.propagate = False
