"""Reports of a run: lines for people, JSON for programs, and the table of all checks for the documentation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from kinema.client.conformance.check import GROUPS, CheckResult
from kinema.client.conformance.runner import ConformanceRun, all_checks

JSON_VERSION = 1
NAME_WIDTH, ENDING_WIDTH = 25, 11


def result_lines(result: CheckResult) -> Iterator[str]:
    """One result as lines for people; failures say what was expected and why."""
    optional = " (optional)" if result.ending == "failed" and not result.breaks else ""
    yield f"  {result.ending:<{ENDING_WIDTH}} {result.check.name:<{NAME_WIDTH}} {result.came}{optional}".rstrip()
    if result.ending == "failed":
        indent = " " * (ENDING_WIDTH + 3)
        yield f"{indent}expected: {result.expected}"
        yield f"{indent}why: {result.check.needed_for}"


def group_line(result: CheckResult) -> str:
    """The heading of a result's group."""
    return GROUPS[result.check.group]


def summary_lines(run: ConformanceRun) -> Iterator[str]:
    """The end of a report: counts, films that are left, and the verdict."""
    breaks = [result.check.name for result in run.results if result.breaks]
    counts = ", ".join(f"{count} {ending}" for ending, count in run.counts.items())
    yield f"{len(run.results)} checks in {run.took_s:.1f} s: {counts}"
    films = f"{run.num_films} films were made, and deleted"
    yield f"{films}, but for {len(run.left)}: {', '.join(run.left)}" if run.left else films
    if breaks:
        yield f"{run.options.base_url} does not conform: {len(breaks)} required checks failed: {', '.join(breaks)}"
    else:
        yield f"{run.options.base_url} conforms: no required check failed"


def json_report(run: ConformanceRun) -> dict[str, Any]:
    """A run as JSON of the shape that docs/conformance.schema.json publishes. It holds no key."""
    options = run.options
    return {
        "object": "conformance_report",
        "version": JSON_VERSION,
        "url": options.base_url,
        "started_at": run.started_at,
        "took_s": round(run.took_s, 3),
        "request": {"model": options.model, "size": options.size, "seconds": options.seconds, "only": list(options.only)},
        "conforms": run.conforms,
        "counts": run.counts,
        "films": {"made": run.num_films, "left": list(run.left)},
        "checks": [
            {
                "name": result.check.name,
                "group": result.check.group,
                "level": result.check.level,
                "needed_for": result.check.needed_for,
                "result": result.ending,
                "came": result.came,
                "expected": result.expected or None,
                "took_s": round(result.took_s, 3),
            }
            for result in run.results
        ],
    }


def checks_table() -> str:
    """The table of docs/conformance.md."""
    lines = ["| check | level | what the official client needs it for |", "|---|---|---|"]
    lines += [f"| `{check.name}` | {check.level} | {check.needed_for} |" for check in all_checks()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(checks_table())
