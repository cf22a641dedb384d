"""The checks, a module for each thing that they are about. Importing this package registers all of them in `CHECKS`."""

from __future__ import annotations

from kinema.client.conformance.check import CHECKS
from kinema.client.conformance.checks import (
    answer_checks,
    content_checks,
    create_checks,
    delete_checks,
    error_checks,
    list_checks,
    load_checks,
    object_checks,
    polling_checks,
    reach_checks,
)

__all__ = [
    "CHECKS",
    "answer_checks",
    "content_checks",
    "create_checks",
    "delete_checks",
    "error_checks",
    "list_checks",
    "load_checks",
    "object_checks",
    "polling_checks",
    "reach_checks",
]
