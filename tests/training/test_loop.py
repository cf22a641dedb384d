"""Laws of the loop that all trainings share, and of the averaged weights."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
import torch

from kinema.errors import InputError
from kinema.training.loop import TrainingLoop
from kinema.training.optimizer import WeightAverage


class Steps(TrainingLoop):
    """A run whose steps note the learning rate, and do `at` where there is something to do."""

    def __init__(
        self, steps: int | None = 20, minutes: float | None = None, at: dict[int, Callable[[], None]] | None = None
    ):
        super().__init__(steps=steps, minutes=minutes, warmup=4, cooldown=0.5)
        self.at = at or {}
        self.rates: list[float] = []

    def one_step(self) -> None:
        self.rates.append(self.rate())
        self.at.get(self.step, lambda: None)()
        self.step += 1


def nothing() -> None:
    pass


def test_the_rate_warms_up_holds_and_falls() -> None:
    run = Steps()
    run.loop(nothing)
    assert run.rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert run.rates[4:11] == [1.0] * 7
    assert run.rates[10:] == pytest.approx([1.0 - 0.1 * i for i in range(10)])
    assert run.step == 20 and run.done == 1.0 and run.rate() == 0.01


def test_whichever_length_is_spent_first_ends_a_run() -> None:
    run = Steps(steps=10, minutes=1.0)
    run.elapsed_s, run.step = 30.0, 2
    assert run.done == 0.5 and run.eta_s == pytest.approx(30.0)
    run.step = 8
    assert run.done == 0.8
    run.elapsed_s = 61.0
    run.loop(nothing)
    assert run.done == 1.0 and not run.rates, "no step was taken"
    with pytest.raises(InputError, match="expected minutes or steps"):
        Steps(steps=None)


def test_checkpoints_are_written_in_time_and_at_the_end() -> None:
    run = Steps(steps=3)
    saved: list[int] = []
    run.loop(nothing, lambda: saved.append(run.step), save_every_s=0.0)
    assert saved == [1, 2, 3, 3]
    later = Steps(steps=5)
    later.go_on({**run.state(), "running": {"loss": 1.0}})
    later.smooth("loss", 0.0)
    assert later.step == 3 and later.elapsed_s == run.elapsed_s and later.running == {"loss": pytest.approx(0.97)}
    saved.clear()
    later.loop(nothing, lambda: saved.append(later.step), save_every_s=1e9)
    assert saved == [5] and len(later.rates) == 2


def test_ctrl_c_saves_a_run_that_keeps_checkpoints_and_ends_another() -> None:
    before = signal.getsignal(signal.SIGINT)
    interrupt = {2: lambda: os.kill(os.getpid(), signal.SIGINT)}
    run, saved = Steps(at=interrupt), []
    run.loop(nothing, lambda: saved.append(run.step))
    assert run.step == 3 and saved == [3], "the step that was being taken is finished"
    assert signal.getsignal(signal.SIGINT) is before
    run = Steps(at=interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.loop(nothing)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_step_that_fails_leaves_the_last_checkpoint_and_ctrl_c_as_they_were() -> None:
    before = signal.getsignal(signal.SIGINT)

    def fail() -> None:
        raise FloatingPointError

    run, saved = Steps(at={2: fail}), []
    with pytest.raises(FloatingPointError):
        run.loop(nothing, lambda: saved.append(run.step))
    assert not saved and signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(("first", "every"), [(2.0, 10), (2.0, 5), (1.1, 10)])
def test_an_average_begins_with_the_weights_and_comes_to_reach_further_back(first: float, every: int) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    average = WeightAverage(model, 0.9, first=first, every=every)
    expected = model.weight.detach().clone()
    for update in range(120):
        with torch.no_grad():
            model.weight.normal_()
        average.update_parameters(model)
        keep = min(0.9, 1.0 - 1.0 / (first + update / every))
        expected = torch.lerp(expected, model.weight.detach(), 1.0 - keep)
        torch.testing.assert_close(average.module.weight.detach(), expected, rtol=1e-6, atol=1e-7)
    assert keep == 0.9
    copy = average.averaged()
    copy.weight.zero_()
    assert average.module.weight.abs().sum() > 0, "what is given away is a copy"
    average.restart(model)
    assert torch.equal(average.module.weight, model.weight)
