"""Trains the general network: one loop for whatever it learns from, films with captions or a recording."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kinema.autoencoder import VideoAutoencoder, fast_dtype
from kinema.errors import DivergedError, InputError
from kinema.inference.canvas_io import check_seed
from kinema.models.dit import DiT, DiTConfig, DiTInput
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.training import checkpoint
from kinema.training.compiling import can_compile
from kinema.training.flops import Speed, dit_flops, dit_tokens
from kinema.training.forecast import StepTimes, about, done_at, forecast_lines, forecast_run
from kinema.training.loop import TrainingLoop
from kinema.training.optimizer import Optimizer, WeightAverage
from kinema.training.parallel import (
    ALONE,
    WAYS,
    WHOLE,
    Ranks,
    Share,
    collecting,
    like,
    recompute_blocks,
    together,
    whole_state,
)
from kinema.training.seeds import seeded
from kinema.training.sharded_checkpoint import (
    ShardedCheckpoints,
    drop_sharded,
    holds_run,
    load_run,
    read_tensors,
    stored_sizes,
)

log = logging.getLogger(__name__)

PRECISIONS = ("fast", "float32")
Estimator = Callable[[DiTInput], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class DiTRecipe:
    """What every training of the general network has: rates, averages and lengths of the optimizer."""

    matrix_lr: float = 1e-3
    other_lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: int = 100
    cooldown: float = 0.4
    """The last share of the run, over which the learning rate falls."""
    ema: float = 0.998
    clip: float = 1.0
    open_gates: bool = False
    """Whether blocks begin by adding what they make (`DiT.open_gates`)."""
    compile: bool = True
    seed: int = 0
    save_every_s: float = 60.0
    held_out_every_s: float = 600.0
    """How often the loss on what is held out is measured during the run, where the lesson has one."""
    precision: str = "fast"
    """"fast": bfloat16 where the device is faster in it, with weights and sums of gradients in float32. "float32": nothing else."""
    parallel: str = "replicate"
    """How several ranks hold the weights (`kinema.training.parallel.WAYS`)."""
    accumulate: int = 1
    """Parts of each rank's rows that are passed one after the other before the weights change."""
    recompute: bool = False
    """Whether blocks are computed once more in the backward pass instead of keeping what they computed in memory."""

    before: ClassVar[Mapping[str, Any]] = {}
    """Settings of runs from before there were any of that name."""

    @property
    def varied(self) -> bool:
        """Whether batches have many shapes: graphs are then compiled for all of them at once."""
        return False

    def __post_init__(self) -> None:
        if self.parallel not in WAYS:
            raise InputError(f"parallel {self.parallel!r}: expected one of {', '.join(WAYS)}")
        if self.precision not in PRECISIONS:
            raise InputError(f"precision {self.precision!r}: expected one of {', '.join(PRECISIONS)}")
        if self.accumulate < 1:
            raise InputError(f"accumulate {self.accumulate}: expected 1 or more")
        check_seed(self.seed)


R = TypeVar("R", bound=DiTRecipe)


def recipe_of_run(kind: type[R], out: Path) -> R:
    """The recipe of the run in a folder, or the usual one where it has no checkpoint yet. InputError: the checkpoint is of another
    kind of training."""
    if not holds_run(out):
        return kind()
    names = {one.name for one in fields(kind)} - {"compile"}
    with checkpoint.fitting(out):
        return kind(**{**kind.before, **{name: value for name, value in load_run(out)["recipe"].items() if name in names}})


class Lesson(Protocol):
    """What a network learns from."""

    def begin(self, network: DiT) -> None:
        """Set what of a new network is known before training."""
        ...

    def losses(
        self, network: Estimator, step: int, done: float, device: torch.device, share: Share = WHOLE
    ) -> dict[str, Tensor]:
        """The losses of one step by name; their sum is minimized. done: share of the run that is done. The batch is a function of
        the recipe's seed and the step alone, and the mean of the losses of its equal shares is the loss of the whole."""
        ...

    @property
    def targets(self) -> int:
        """Frames that a step asks for."""
        ...

    def effort(self, step: int, done: float) -> float:
        """About how long this step takes, in plain steps."""
        ...


class DiTTrainer(TrainingLoop):
    """One run in one folder, until the minutes are spent or the steps are taken, whichever is first; killed at any moment, it
    goes on from its last checkpoint."""

    smoothing = 0.95

    def __init__(
        self,
        recipe: DiTRecipe,
        config: DiTModelConfig,
        lesson: Lesson,
        out: Path,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        device: str = "cpu",
        data: dict[str, Any] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """data: identity of what is learned from, kept in checkpoints. ranks: those that train together."""
        super().__init__(steps=steps, minutes=minutes, warmup=recipe.warmup, cooldown=recipe.cooldown)
        self.recipe, self.config, self.lesson, self.out, self.data = recipe, config, lesson, out, data
        self.device, self.ranks = torch.device(device), ranks
        self.dtype = fast_dtype(self.device) if recipe.precision == "fast" else torch.float32
        self.sharded = ranks.size > 1 and recipe.parallel != "replicate"
        with seeded(recipe.seed):
            self.model = DiT(config.network).to(self.device)
        if recipe.open_gates:
            self.model.open_gates()
        lesson.begin(self.model)
        average = WeightAverage(self.model, recipe.ema, every=5)
        self._module = self._arranged(average)
        self.optimizer = Optimizer(self.model, recipe, average=average, muon=self._muon())
        self.checkpoints = ShardedCheckpoints(out, ranks)
        self.before_s = 0.0
        """Seconds that were spent before: on its autoencoder, on rules."""
        self.measure: Callable[[Estimator, torch.device], dict[str, float]] | None = None
        """Figures on what is held out, taken every `held_out_every_s`; all ranks call it."""
        self.board: Callable[[int, dict[str, float]], None] | None = None
        """Gets the figures of each step."""
        self.compared: tuple[str, str] = "", ""
        """Kind of run and what it learns from, by which a forecast finds measured runs (`forecast_lines`)."""
        self.forecast = ""
        """What the first steps said of the whole run."""
        self._measured_s, self._speed = 0.0, Speed(self.device, self.dtype)
        self._passes: list[tuple[float, int]] = []
        """FLOPs and tokens of the forward passes of this part of a step."""

    def _arranged(self, average: WeightAverage[DiT]) -> nn.Module:
        """Compile blocks, share weights among ranks as the recipe says; what the passes go through."""
        recipe = self.recipe
        if recipe.recompute:
            recompute_blocks(self.model)
        if recipe.compile and can_compile(self.device.type):
            for block in self.model.blocks:
                block.compile(dynamic=None if recipe.varied else False)
        if self.sharded:
            for model in (self.model, average.module):
                self.ranks.shard(model, recipe.parallel, narrow=self.dtype == torch.bfloat16)
        elif self.ranks.size > 1:
            with together():
                return DistributedDataParallel(self.model)
        return self.model

    def _muon(self) -> bool:
        """Whether Muon is used, which needs whole matrices. Runs that are to be exact take AdamW, with any number of ranks."""
        fast = self.recipe.precision == "fast"
        if self.sharded and fast and self.ranks.first:
            log.info("weights are sharded: AdamW instead of Muon, which needs whole matrices")
        return fast and not self.sharded

    def network(self, given: DiTInput) -> dict[str, Tensor]:
        """The network in the fastest dtype of the device, float32 weights, float32 estimates."""
        self._passes.append((dit_flops(self.config.network, given), dit_tokens(self.config.network, given)))
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return {name: x.float() for name, x in self._module(given).items()}

    def averaged_network(self) -> Estimator:
        """The network with the averaged weights, for evaluation."""
        averaged = self._averaged()

        def estimate(given: DiTInput) -> dict[str, Tensor]:
            return {name: x.float() for name, x in averaged(given).items()}

        return estimate

    def _averaged(self) -> DiT:
        return self.network_of(self.averaged_state())

    def network_of(self, weights: dict[str, Tensor]) -> DiT:
        """A network with these weights, for evaluation."""
        with seeded(self.recipe.seed):
            network = DiT(self.config.network).to(self.device)
        network.load_state_dict(weights)
        return network.eval().requires_grad_(False)

    def averaged_state(self) -> dict[str, Tensor]:
        """The averaged weights, whole; all ranks call it."""
        return whole_state(self.optimizer.average.module)

    def one_step(self) -> None:
        recipe, totals = self.recipe, dict[str, Tensor]()
        self._speed.begin()
        for part in range(recipe.accumulate):
            share = self.ranks.share(recipe.accumulate, part)
            with together(), collecting(self._module, part == recipe.accumulate - 1):
                parts = self.lesson.losses(self.network, self.step, self.done, self.device, share)
                loss = torch.stack(list(parts.values())).sum() / recipe.accumulate
                loss.backward()  # type: ignore[no-untyped-call]
            for name, value in parts.items():
                totals[name] = totals.get(name, 0.0) + value.detach() / recipe.accumulate
            self._speed.count(self._passes)
        losses = dict(zip(totals, self.ranks.mean(torch.stack(list(totals.values()))).tolist(), strict=True))
        if not math.isfinite(sum(losses.values())):
            raise DivergedError(
                f"the loss is no number at step {self.step} ({losses}); begin anew with another seed or lower rates: the"
                f" checkpoint in {self.out} may be spoiled"
            )
        with together():
            self.optimizer.step(self.rate())
        self._speed.end()
        self.step += 1
        for name, value in losses.items():
            self.smooth(name, value)
        if self.board is not None:
            self.board(self.step, {**losses, "rate": self.rate(), "mfu": self._speed.mfu})

    def agree(self) -> None:
        self.elapsed_s, self.stopping = self.ranks.agree(self.elapsed_s, self.stopping)
        if self.elapsed_s - self._measured_s >= self.recipe.held_out_every_s:
            self.take_figures()

    def take_figures(self) -> dict[str, float]:
        """Figures on what is held out, logged; {} where nothing is. All ranks call it."""
        if self.measure is None:
            return {}
        figures, self._measured_s = self.measure(self.averaged_network(), self.device), self.elapsed_s
        log.info("step %d  %s", self.step, "  ".join(f"{name} {value:.4f}" for name, value in figures.items()))
        if self.board is not None:
            self.board(self.step, figures)
        return figures

    def run(self, show: Callable[[str], None] | None = None) -> None:
        """Until the run is done or Ctrl-C, which saves. `show` gets a line after each step. Once some steps are timed, a forecast
        of the whole run is logged, with a warning where it is too short."""
        times, of, before = StepTimes(), "", (self.elapsed_s, self.done)

        def after_step() -> None:
            nonlocal of, before
            if not of:
                times.add(self.elapsed_s - before[0], self.lesson.effort(self.step - 1, before[1]))
                of, before = self._foresee(times.step_s()), (self.elapsed_s, self.done)
            if show is not None:
                line = "  ".join(f"{name} {value:.4f}" for name, value in self.running.items())
                mfu = f"MFU {100 * self._speed.mfu:.0f}%"
                show(f"step {self.step}{of}  {line}  {mfu}  {self.elapsed_s / 60:.1f} min, {self.eta_s / 60:.1f} left")

        self._measured_s = self.elapsed_s
        self.loop(after_step, self.save, self.recipe.save_every_s)
        self.checkpoints.finish()

    def _foresee(self, step_s: float | None) -> str:
        """Log a forecast by the seconds of a plain step; how many steps it says, in words, "" where there are no seconds yet."""
        if step_s is None:
            return ""
        ahead = forecast_run(
            step_s, step=self.step, elapsed_s=self.elapsed_s, steps=self.steps, minutes=self.minutes,
            effort=self.lesson.effort, targets=self.lesson.targets,
        )  # fmt: skip
        text, warning = forecast_lines(ahead, *self.compared)
        self.forecast = text if warning is None else f"{text}. {warning[0].upper()}{warning[1:]}"
        if self.ranks.first:
            log.info("forecast: %s; done at %s", text, done_at(ahead.left_s))
            if warning is not None:
                log.warning("warning: %s", warning)
        return f" of about {about(ahead.steps)}"

    def save(self) -> None:
        state = {
            **self.state(),
            "config": json.loads(json.dumps(self.config.to_dict())),
            "recipe": asdict(self.recipe),
            "minutes": self.minutes,
            "steps": self.steps,
            "codec_s": self.before_s,
            "data": self.data,
            "speed": self._speed.figures(),
            "forecast": self.forecast,
        }
        if self.ranks.size > 1:
            self.checkpoints.save(state, self._tensors())
            return
        whole = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        checkpoint.save_checkpoint(self.out, state | whole)
        drop_sharded(self.out)

    def _tensors(self) -> dict[str, Tensor]:
        """All that changes in training, by name, as this rank holds it."""
        return {f"model/{name}": x for name, x in self.model.state_dict().items()} | self.optimizer.tensors()

    def begin(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with another model's weights; a part that reads step sizes begins at nothing where that model has none. InputError:
        they are of another network."""
        own = self.model.state_dict()
        missing = {name: own[name] for name in own.keys() - weights.keys() if name.startswith("step_in.")}
        with checkpoint.fitting(self.out):
            whole = {name: x.to(self.device, torch.float32) for name, x in weights.items()}
            self.model.load_state_dict(missing | {name: like(x, own.get(name, x)) for name, x in whole.items()}, strict=True)
        self.optimizer.average.restart(self.model)

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint (`load_run`) of the same network, of any number of ranks; InputError where it does not fit."""
        with checkpoint.fitting(self.out):
            began, now = (asdict(one) for one in (DiTConfig.from_dict(state["config"]["network"]), self.config.network))
            differs = [f"{name} {began[name]}, not {now[name]}" for name in began if began[name] != now[name]]
            if differs:
                raise InputError(
                    f"{self.out} holds a run of another network ({', '.join(differs)}); go on with the options that it began"
                    " with, or name another folder"
                )
            if state["config"].get("text_encoder_sha256", "") != self.config.text_encoder_sha256:
                raise InputError(
                    f"{self.out} holds a run with another text encoder; give the --text-encoder that it began with"
                )
            if "sharded" in state:
                self.optimizer.expect(stored_sizes(state["sharded"]), state["step"])
                read_tensors(state["sharded"], self._tensors(), self.ranks)
            else:
                own = self.model.state_dict()
                self.model.load_state_dict({name: like(x, own[name]) for name, x in state["model"].items()}, strict=True)
                self.optimizer.load_state_dict(state["optimizer"], state["step"])
            self.go_on(state)
            self.before_s = float(state.get("codec_s", 0.0))
            self.forecast = str(state.get("forecast", ""))

    def finished(self, autoencoder: VideoAutoencoder) -> DiTModel:
        """The averaged weights as a model; all ranks call it."""
        return DiTModel(self.config, self._averaged(), autoencoder, device=str(self.device))
