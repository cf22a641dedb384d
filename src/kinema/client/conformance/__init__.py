"""What the official client of the Videos API expects of a server, as checks over HTTP; the command is `kinema conform URL`.

    run = run_checks(RunOptions(url="http://127.0.0.1:8000", key="kinema_...", size="64x64", seconds="1"))
    print(run.conforms, run.counts)

`check.py` says what a check is, `target.py` sends the requests and makes the films that checks share, `checks/` holds the checks by
what they are about, `runner.py` runs them, and `report.py` writes their results.
"""

from __future__ import annotations

from kinema.client.conformance.check import Check, CheckResult
from kinema.client.conformance.report import checks_table, json_report
from kinema.client.conformance.runner import ConformanceRun, all_checks, run_checks
from kinema.client.conformance.target import RunOptions

__all__ = ["Check", "CheckResult", "ConformanceRun", "RunOptions", "all_checks", "checks_table", "json_report", "run_checks"]
