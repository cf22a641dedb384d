"""What comes next in a production: further takes of its shots, or that the best take of a shot is used."""

from __future__ import annotations

from collections.abc import Callable, Collection

from kinema.director.filming.takes import TakePlan
from kinema.director.record import ProductionRecord
from kinema.director.retakes import TakeRecord, best_take, next_take, refusal, refusals
from kinema.director.script import Shot
from kinema.engines import Capabilities


def next_steps(
    production: ProductionRecord, capabilities_of: Callable[[Shot], Capabilities], *, most: int = 1,
    making: Collection[str] = (),
) -> list[tuple[Shot, TakePlan]]:  # fmt: skip
    """The next takes of a production, in the order of its script; shots that need no further one use their best.

    Takes of several shots can be filmed side by side, to the same films as one after the other: a shot waits until the shot before
    it (`ProductionRecord.before`), which it goes on from or is checked against, is done. Where the budget limits takes or seconds
    of all shots together, what one shot costs decides about the others, and there is one take at a time.

    Args:
        production: The production.
        capabilities_of: Of the model that films a shot.
        most: Takes that may be made at the same time, those of `making` among them.
        making: Ids of shots of which a take is being made.

    Returns:
        Shots and the plans of their takes. Empty with nothing in `making`: every shot is done.
    """
    budget = production.script.production.budget
    if budget.takes is not None or budget.seconds is not None:
        most = 1
    steps: list[tuple[Shot, TakePlan]] = []
    for shot in production.script.shots:
        if len(steps) + len(making) >= most:
            break
        before = production.before(shot)
        waits = before is not None and production.used(before.id) is None
        if production.used(shot.id) is not None or shot.id in making or waits:
            continue
        plan = plan_take(production, shot, capabilities_of(shot))
        if plan is None:
            use_best(production, shot)
        else:
            steps.append((shot, plan))
    return steps


def plan_take(production: ProductionRecord, shot: Shot, capabilities: Capabilities) -> TakePlan | None:
    """The next take of a shot; None where one passed or the budget ended. The first one after a shot was opened again is filmed
    whatever those before came to."""
    takes = production.takes(shot.id)
    if takes and not _fresh(production, shot, takes):
        number = len(takes) + 1
        return TakePlan(number=number, seed=(shot.seed * 1009 + number - 1) % 2**31, change="seed", reason="asked for")
    budget, spent = production.script.production.budget, production.spent(shot.id)
    return next_take(shot, takes, budget, spent, capabilities, production.allowed(shot.id))


def use_best(production: ProductionRecord, shot: Shot) -> TakeRecord:
    """Use the best take of a shot since it was opened, and log why each other one is refused."""
    fresh = _fresh(production, shot, production.takes(shot.id))
    chosen = best_take(fresh)
    for line in refusals(fresh, chosen):
        production.log("refused", shot.id, why=line)
    passed = "it passed every check" if chosen.report.passed else _why_used(production, shot, fresh)
    production.use(shot.id, chosen.plan.number, f"score {chosen.report.score:.2f}: {passed}")
    return chosen


def _fresh(production: ProductionRecord, shot: Shot, takes: list[TakeRecord]) -> list[TakeRecord]:
    """The takes since the shot was opened."""
    return takes[production.reopened_after(shot.id) :]


def _why_used(production: ProductionRecord, shot: Shot, takes: list[TakeRecord]) -> str:
    budget, spent = production.script.production.budget, production.spent(shot.id)
    why = refusal(shot, takes, budget, spent, production.allowed(shot.id)) or "the budget ended"
    failures = "; ".join(one.saw for one in best_take(takes).report.failures[:3])
    return f"the best there is, though {failures} ({why})"
