"""What a check is: its name, what the official client needs it for, its level, and how it can end.

The body of a check is a function of the server under test. It returns what came, in a few words, or raises `CheckFailed`,
`NotOffered` or `CheckSkipped`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from kinema.client.conformance.target import ServerUnderTest

Level = Literal["required", "optional"]
Ending = Literal["passed", "failed", "not offered", "skipped"]
ENDINGS: tuple[Ending, ...] = ("passed", "failed", "not offered", "skipped")
LONGEST_SHOWN = 160
GROUPS = {
    "reach": "Reachability and models",
    "auth": "Keys",
    "create": "Create",
    "object": "The video object",
    "polling": "Polling to the end",
    "content": "Content",
    "list": "List",
    "delete": "Delete and cancel",
    "change": "Remix, edit, extend",
    "errors": "Bad values",
    "load": "Repeats, concurrency and lost connections",
    "run": "Every answer of the run",
}
"""The groups by the first part of a check's name, in the order in which they run."""


class CheckFailed(Exception):
    """The server did otherwise than the official client expects.

    Args:
        came: What the server answered.
        expected: What the client needs.
    """

    def __init__(self, came: str, expected: str) -> None:
        super().__init__(f"{came}; expected {expected}")
        self.came, self.expected = came, expected


class NotOffered(Exception):
    """The server does not have what only some servers offer."""


class CheckSkipped(Exception):
    """There was nothing to check it on, such as a film, a key or a limit that was reached."""


CheckBody = Callable[["ServerUnderTest"], str]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that the official client expects of a server.

    Attributes:
        name: "group.what"; the group is one of `GROUPS`.
        level: "required", or "optional" for what only some servers offer.
        needed_for: One sentence: what the official client needs it for.
        body: The function that checks it.
    """

    name: str
    level: Level
    needed_for: str
    body: CheckBody

    @property
    def group(self) -> str:
        return self.name.partition(".")[0]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """How a check ended: what came and, where it failed, what was expected."""

    check: Check
    ending: Ending
    came: str
    expected: str = ""
    took_s: float = 0.0

    @property
    def breaks(self) -> bool:
        """Whether the server does not conform because of it."""
        return self.ending == "failed" and self.check.level == "required"


CHECKS: dict[str, Check] = {}
"""All checks by name; the modules of this package that are imported fill it."""


def add_check(name: str, level: Level, needed_for: str) -> Callable[[CheckBody], CheckBody]:
    """Make a function the body of a check."""

    def add(body: CheckBody) -> CheckBody:
        assert name not in CHECKS and name.partition(".")[0] in GROUPS, name
        CHECKS[name] = Check(name=name, level=level, needed_for=needed_for, body=body)
        return body

    return add


def require(holds: bool, came: str, expected: str) -> None:
    """`CheckFailed` unless it holds."""
    if not holds:
        raise CheckFailed(came, expected)


def one_line(value: Any) -> str:
    """A value on one short line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."
