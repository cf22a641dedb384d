"""Which take comes next: what a take failed by becomes a change, within the budget. The best take is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kinema.director.checking.take_report import TakeReport
from kinema.director.filming.takes import TakeChange, TakePlan
from kinema.director.script import Shot, TakeBudget
from kinema.engines import Capabilities
from kinema.errors import InputError

_ACTED: tuple[TakeChange, ...] = ("keyframe", "seed", "keyframe", "seed", "simpler")
_LOOKED: tuple[TakeChange, ...] = ("seed", "seed", "keyframe", "seed", "simpler")
_PICTURED: tuple[TakeChange, ...] = ("seed",)
_CHANGES: dict[str, tuple[TakeChange, ...]] = {
    "event": _ACTED, "where at the cut": ("seed",), "direction across the cut": ("seed", "keyframe"),
    "cast": _LOOKED, "colors": _LOOKED, "count": _LOOKED, "permanence": _LOOKED, "jumps": _LOOKED,
}  # fmt: skip
"""What is changed after the first, second, ... take that failed by a check, the last one over and over."""


@dataclass(frozen=True, kw_only=True)
class TakeRecord:
    """A take that was filmed and checked. film_s: how long it took to film and check, in seconds; shot_digest: of the shot that it
    was filmed for (`kinema.director.shot_digest`), "" where that is not known."""

    plan: TakePlan
    report: TakeReport
    film_s: float
    shot_digest: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        data = {"plan": asdict(self.plan), "report": self.report.to_dict(), "film_s": round(self.film_s, 3)}
        return {**data, "shot_digest": self.shot_digest} if self.shot_digest else data

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> TakeRecord:
        """The inverse of `to_dict`. InputError: the data is none of a take."""
        try:
            report = TakeReport.from_dict(data["report"])
            digest = str(data.get("shot_digest", ""))
            return TakeRecord(plan=TakePlan(**data["plan"]), report=report, film_s=float(data["film_s"]), shot_digest=digest)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"no record of a take ({type(error).__name__}: {error})") from None


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a production has cost so far, and how many shots have no take yet, the present one not among them."""

    takes: int = 0
    seconds: float = 0.0
    waiting: int = 0


def next_take(
    shot: Shot, takes: Sequence[TakeRecord], budget: TakeBudget, spent: Spent, capabilities: Capabilities,
    allowed: int | None = None,
) -> TakePlan | None:  # fmt: skip
    """The next take of a shot.

    Args:
        shot: The shot.
        takes: Its takes so far.
        budget: What filming may cost.
        spent: What it has cost.
        capabilities: Of the model.
        allowed: Takes of this shot in all. None: as the budget has it.

    Returns:
        The plan. None: a take passed, or nothing is left of the budget.
    """
    number = len(takes) + 1
    seed = (shot.seed * 1009 + number - 1) % 2**31
    if not takes:
        return TakePlan(number=1, seed=seed)
    if takes[-1].report.passed or refusal(shot, takes, budget, spent, allowed):
        return None
    worst = takes[-1].report.failures[0]
    changes = _CHANGES.get(worst.name.split(":")[0], _PICTURED)
    change = changes[min(number - 2, len(changes) - 1)]
    if change == "keyframe" and not (capabilities.state and shot.events and shot.last_frame is None):
        change = "seed"
    return TakePlan(number=number, seed=seed, change=change, reason=f"{worst.name}: {worst.saw}")


def refusal(shot: Shot, takes: Sequence[TakeRecord], budget: TakeBudget, spent: Spent, allowed: int | None = None) -> str:
    """Why there is no further take of a shot that has some; empty where there may be one."""
    most = budget.per_shot if allowed is None else allowed
    if len(takes) >= most:
        return f"{len(takes)} takes of {most} for a shot"
    if budget.takes is not None and spent.takes + spent.waiting >= budget.takes:
        return f"{spent.takes} takes of {budget.takes} in all, of which {spent.waiting} are for shots without any"
    if budget.seconds is not None and spent.seconds >= budget.seconds:
        return f"{spent.seconds:.0f} s of {budget.seconds:g}"
    return ""


def best_take(takes: Sequence[TakeRecord]) -> TakeRecord:
    """The take with the best score; of equal ones the first."""
    return max(takes, key=lambda take: (take.report.score, -take.plan.number))


def refusals(takes: Sequence[TakeRecord], used: TakeRecord) -> list[str]:
    """Why each other take is not used: one line each."""
    lines = []
    for take in takes:
        if take.plan.number == used.plan.number:
            continue
        reasons = "; ".join(one.saw for one in take.report.failures[:3])
        lines.append(
            f"take {take.plan.number} is refused (score {take.report.score:.2f}): {reasons or 'another one is as good'}"
        )
    return lines


def change_words(plan: TakePlan) -> str:
    """What a take does otherwise, and why, for the log."""
    words: dict[str, str] = {
        "": "first take", "seed": "another seed", "keyframe": "a planned end", "simpler": "a simpler prompt",
    }  # fmt: skip
    return words[plan.change] + (f", since {plan.reason}" if plan.reason else "")
