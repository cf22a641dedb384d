"""Metrics for Prometheus, and structured logs."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kinema.server.jobs.queue import Queue
from kinema.server.jobs.throughput import ThroughputStats

LOG = logging.getLogger("kinema.server")
_KNOWN = set(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}


class Metrics:
    """Counters of this process and gauges of the whole queue."""

    def __init__(self, queue: Queue, throughput: ThroughputStats) -> None:
        self.queue, self.throughput = queue, throughput
        self.registry = CollectorRegistry()
        self._accepted = Counter("kinema_jobs_accepted", "Jobs accepted", ["kind"], registry=self.registry)
        self._requests = Counter(
            "kinema_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram("kinema_request_seconds", "Time to answer", ["route"], registry=self.registry)
        self._jobs = Gauge("kinema_jobs", "Jobs by status", ["status"], registry=self.registry)
        self._workers = Gauge("kinema_workers", "Workers heard of lately", registry=self.registry)

    def accepted(self, kind: str) -> None:
        self._accepted.labels(kind).inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def page(self) -> bytes:
        counts = self.queue.counts()
        for status in ("queued", "in_progress", "completed", "failed"):
            self._jobs.labels(status).set(counts.get(status, 0))
        self._workers.set(self.throughput.num_workers())
        return bytes(generate_latest(self.registry))


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
