"""What comes next in a production: another take of a shot, or that its best take is used."""

from __future__ import annotations

from collections.abc import Callable

from kinema.director.filming.takes import TakePlan
from kinema.director.record import ProductionRecord
from kinema.director.retakes import TakeRecord, best_take, next_take, refusal, refusals
from kinema.director.script import Shot
from kinema.engines import Capabilities


def next_step(production: ProductionRecord, capabilities_of: Callable[[Shot], Capabilities]) -> tuple[Shot, TakePlan] | None:
    """The next take of a production, in the order of its script; shots that need no further one use their best.

    Args:
        production: The production.
        capabilities_of: Of the model that films a shot.

    Returns:
        The shot and the plan of its take. None: every shot is done.
    """
    for shot in production.script.shots:
        if production.used(shot.id) is not None:
            continue
        plan = plan_take(production, shot, capabilities_of(shot))
        if plan is not None:
            return shot, plan
        use_best(production, shot)
    return None


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
