"""Cost (test 12): what a second of video takes on this machine. No score: a machine is not a law.

Wall-clock times of the interface itself, warmed up; a process's peak memory; joules where the processor tells them. FLOPs by
counting every matrix product and convolution that one prediction runs (torch's own counter).
"""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinema.evaluation.cases import FPS, Case, enact
from kinema.evaluation.model_under_test import Evaluated, KnowsTruth, predict
from kinema.evaluation.task import ArenaTask, Metric, Result, TaskResult
from kinema.playground.physics import Actor, EpisodeSetup
from kinema.scene.geometry import ROOM_HEIGHT, standing_y
from kinema.scene.scene import MEDIUM

SECONDS = 3
ENERGY = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


def _case(item: str) -> Case:
    robot = Actor(kind="robot", color="red", material="plain", size=MEDIUM, x=3.0, y=standing_y("robot", MEDIUM))
    ball = Actor(kind="ball", color="blue", material="plain", size=MEDIUM, x=7.0, y=standing_y("ball", MEDIUM))
    cast = EpisodeSetup(view="side", background="field", room_width=ROOM_HEIGHT, scenario="act", actors=[ball, robot])
    frames = 8 + round((1 / FPS if item == "first" else SECONDS) * FPS)
    acts = item in ("stepped", "first")
    actions = np.zeros((frames, 2), np.float32)
    actions[:, 0] = 0.5
    truth = enact(cast, actions)
    return Case(name=f"cost/{item}", seed=0, truth=truth, known=8, actions=actions if acts else None)


def _joules() -> float | None:
    try:
        return int(ENERGY.read_text()) / 1e6
    except (OSError, ValueError):
        return None


def _evaluate(model: Evaluated, item: str) -> Result | None:
    if isinstance(model, KnowsTruth):
        return None
    case = _case("stepped" if item == "session" else item)
    case.frames  # noqa: B018  drawn before the clock starts
    if item == "session":
        return _session(model, case)
    predict(model, case)
    before, taken = _joules(), []
    for _ in range(3):
        begun = time.perf_counter()
        predict(model, case)
        taken.append(time.perf_counter() - begun)
    after = _joules()
    result = {"value": 1.0, "seconds": float(np.median(taken)), "frames": case.horizon}
    result["mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if before is not None and after is not None and after > before:
        result["joules"] = (after - before) / 3
    result["flops"] = _flops(model, case)
    return result


def _session(model: Evaluated, case: Case) -> Result | None:
    """A live session, if the model offers one: milliseconds from an action to its picture."""
    begin, step = getattr(model, "begin", None), getattr(model, "step", None)
    if not callable(begin) or not callable(step) or case.actions is None:
        return None
    begin(case.context, case.seed)
    taken = []
    for action in case.actions[case.known - 1 : -1]:
        begun = time.perf_counter()
        step(action)
        taken.append(time.perf_counter() - begun)
    return {"value": 1.0, "seconds": float(np.median(taken[8:])), "worst": float(np.percentile(taken[8:], 99)), "mib": 0.0}


def _flops(model: Evaluated, case: Case) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        predict(model, case)
    return float(counter.get_total_flops())


def _aggregate(results: Sequence[Result], oracle: Sequence[Result]) -> TaskResult:
    metrics = []
    names = {"stepped": "stepped through", "at-once": "at once"}
    for result in results:
        if result["item"] == "first":
            metrics.append(Metric(name="first frame after the context", value=1000 * result["seconds"], unit="ms"))
            continue
        if result["item"] == "session":
            metrics.append(Metric(name="live step, median", value=1000 * result["seconds"], unit="ms"))
            metrics.append(Metric(name="live step, 99 of 100 within", value=1000 * result["worst"], unit="ms"))
            continue
        name, seconds = names[result["item"]], result["frames"] / FPS
        metrics.append(Metric(name=f"{name}: speed", value=result["frames"] / result["seconds"], unit="frames/s"))
        metrics.append(Metric(name=f"{name}: a second of video", value=result["flops"] / seconds / 1e9, unit="GFLOP"))
        if "joules" in result:
            metrics.append(Metric(name=f"{name}: a second of video", value=result["joules"] / seconds, unit="J"))
    if results:
        metrics.append(Metric(name="peak memory of the process", value=max(result["mib"] for result in results), unit="MiB"))
    return TaskResult(score=None, count=len(results), metrics=tuple(metrics))


COST = ArenaTask(
    name="cost",
    number="12",
    title="Cost",
    says="frames a second, latency of the first frame, peak memory, FLOPs (and joules where readable) for a second of video",
    examples=lambda scale: ["first", "stepped", "at-once", "session"],
    evaluate=_evaluate,
    aggregate=_aggregate,
    case=None,
    gate=0,
)
