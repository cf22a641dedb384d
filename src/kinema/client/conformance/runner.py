"""Runs checks against a server and gathers their results."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kinema.client.conformance.check import (
    ENDINGS,
    GROUPS,
    Check,
    CheckFailed,
    CheckResult,
    CheckSkipped,
    Ending,
    NotOffered,
)
from kinema.client.conformance.checks import CHECKS
from kinema.client.conformance.target import RunOptions, ServerUnderTest
from kinema.errors import InputError, KinemaError


@dataclass(frozen=True, kw_only=True)
class ConformanceRun:
    """The results of a run.

    Attributes:
        options: What was run.
        started_at: When, in ISO 8601.
        took_s: How long it took.
        results: One a check, in the order of the groups.
        num_films: How many films the run made.
        left: Ids of films that could not be deleted.
    """

    options: RunOptions
    started_at: str
    took_s: float
    results: tuple[CheckResult, ...]
    num_films: int
    left: tuple[str, ...]

    @property
    def conforms(self) -> bool:
        """Whether no required check failed."""
        return not any(result.breaks for result in self.results)

    @property
    def counts(self) -> dict[Ending, int]:
        return {ending: sum(result.ending == ending for result in self.results) for ending in ENDINGS}


def all_checks() -> list[Check]:
    """All checks in the order in which they run: by group, within a group as they stand in the code."""
    return sorted(CHECKS.values(), key=lambda check: list(GROUPS).index(check.group))


def pick_checks(names: Sequence[str]) -> list[Check]:
    """The checks of these names or groups; all for none.

    Raises:
        InputError: There is no such check or group; the nearest name is in the message.
    """
    known = [*GROUPS, *CHECKS]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are the groups {', '.join(GROUPS)}"
            raise InputError(f"no check or group {name!r}; {hint}")
    return [check for check in all_checks() if not names or check.name in names or check.group in names]


def run_checks(options: RunOptions, report: Callable[[CheckResult], None] = lambda result: None) -> ConformanceRun:
    """Run checks against a server and delete the films that they made.

    Args:
        options: Which server, and what to check.
        report: Called with each result as it is there.

    Returns:
        All results.

    Raises:
        InputError: `options.only` names no check.
        KinemaError: There is no server at the address.
    """
    checks, began = pick_checks(options.only), time.monotonic()
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    server = ServerUnderTest(options)
    try:
        try:
            server.request("GET", "/videos")
        except CheckFailed as error:
            raise KinemaError(f"no server at {options.base_url}: {error.came}") from None
        results = []
        try:
            for check in checks:
                results.append(_run_check(check, server))
                report(results[-1])
        finally:
            left = server.clean()
        return ConformanceRun(
            options=options, started_at=started_at, took_s=time.monotonic() - began, results=tuple(results),
            num_films=len(server.made), left=tuple(left),
        )  # fmt: skip
    finally:
        server.close()


def _run_check(check: Check, server: ServerUnderTest) -> CheckResult:
    began = time.monotonic()
    came, expected, ending = "", "", ENDINGS[0]
    try:
        came = check.body(server)
    except CheckFailed as error:
        came, expected, ending = error.came, error.expected, "failed"
    except NotOffered as error:
        came, ending = str(error), "not offered"
    except CheckSkipped as error:
        came, ending = str(error), "skipped"
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:  # an answer that no check thought of
        came, expected, ending = (
            f"an answer that cannot be read: {type(error).__name__}: {error}",
            "the documented shape",
            "failed",
        )
    took_s = time.monotonic() - began
    return CheckResult(check=check, ending=ending, came=came, expected=expected, took_s=took_s)
