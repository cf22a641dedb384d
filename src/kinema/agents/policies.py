"""Policies without training: doing nothing, acting at random, planning in imagination, and what the model itself would do.

A policy is asked once a frame for all rooms at once. It is given their `state` observations, their scenes, and the actions that
were taken in the frame before (None in the first).

Axes: B rooms, N candidates, H frames ahead, K slots, F features.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch

from kinema.canvas.canvas import TextCondition
from kinema.diffusion.seeds import frame_seed
from kinema.errors import InputError
from kinema.inference.frame_state import FrameState
from kinema.inference.keyframes import tracks_of
from kinema.inference.rollout import WINDOW, predict_action, prefill, split_frames, step, task_condition, termination_prob
from kinema.models.hub import Model
from kinema.playground.tasks import Task
from kinema.scene.encoding import decode_reward
from kinema.scene.scene import Scene
from kinema.scene.schema import check_playground
from kinema.types import Floats


class Policy(Protocol):
    """What `score` asks."""

    def begin(self, count: int) -> None:
        """Forget what was; so many rooms follow."""

    def act(self, state: Floats, scenes: list[Scene], actions: Floats | None) -> Floats:
        """Actions [B, 2] in [-1, 1]."""


class Still:
    """Does nothing."""

    def begin(self, count: int) -> None:
        pass

    def act(self, state: Floats, scenes: list[Scene], actions: Floats | None) -> Floats:
        return np.zeros((len(state), 2), np.float32)


class Random:
    """Any action, held for a random while."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def begin(self, count: int) -> None:
        self._held = np.zeros((count, 2), np.float32)

    def act(self, state: Floats, scenes: list[Scene], actions: Floats | None) -> Floats:
        anew = self._rng.random(len(state)) < 0.1
        self._held = np.where(anew[:, None], self._rng.uniform(-1, 1, self._held.shape), self._held).astype(np.float32)
        return self._held.copy()


class Follower:
    """Watches real rooms with a model: their frames as moments that it can go on from."""

    def __init__(self, model: Model, task: str, fps: float = 16.0, window: int = WINDOW) -> None:
        check_playground(model.config.denoiser.schema, f"agents that see the Playground by {model.config.name}")
        self.model, self.task, self.fps, self.window = model, str(Task.parse(task)), fps, window

    def begin(self, count: int) -> None:
        self._frame_states: list[FrameState] = []
        self.text = task_condition(self.model, self.task, count)

    def watch(self, scenes: list[Scene], actions: Floats | None) -> list[FrameState]:
        """One more frame of every room, after what was done in the one before."""
        slots, device = self.model.config.denoiser.slots, self.model.device
        rooms = [tracks_of(scene, slots, device) for scene in scenes]
        tracks = {name: torch.cat([room[name] for room in rooms]) for name in rooms[0]}
        number = round(self._frame_states[-1].time_s * self.fps) + 1 if self._frame_states else 0
        if actions is not None and self._frame_states:
            done = torch.from_numpy(actions).to(device)
            last = self._frame_states[-1]
            self._frame_states[-1] = replace(last, tracks={**last.tracks, "action": done}, acted=True)
        self._frame_states = [*self._frame_states[-self.window :], split_frames(tracks, number / self.fps, self.fps)[0]]
        return self._frame_states


def _repeated(history: list[FrameState], times: int) -> list[FrameState]:
    """Each room `times` over, one after the other, with what is remembered of it."""

    def over(x: torch.Tensor, batch: int) -> torch.Tensor:
        each = x.reshape(batch, -1, *x.shape[1:]).repeat_interleave(times, 0)
        return each.reshape(-1, *x.shape[1:])

    return [
        replace(
            m,
            tracks={name: x.repeat_interleave(times, 0) for name, x in m.tracks.items()},
            kv=None if m.kv is None else tuple((over(k, m.batch), over(v, m.batch)) for k, v in m.kv),
        )
        for m in history
    ]


@dataclass
class Planner:
    """Imagines many futures and does what began the best (the cross-entropy method).

    ahead: frames imagined. hold: frames for which an action is kept, in plans and in the room. candidates, rounds, best: plans
    imagined at once, how often they are drawn anew, and from how many of the best. window: frames remembered.
    """

    model: Model
    task: str
    fps: float = 16.0
    ahead: int = 12
    hold: int = 4
    candidates: int = 16
    rounds: int = 2
    best: int = 4
    window: int = 4
    seed: int = 0
    _number: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.ahead < 1 or self.hold < 1 or self.rounds < 1 or not 1 <= self.best <= self.candidates:
            raise InputError("a planner needs ahead, hold and rounds of at least 1, and 1 <= best <= candidates")
        self._follower = Follower(self.model, self.task, self.fps, self.window)

    def begin(self, count: int) -> None:
        self._follower.begin(count)
        self._rng = np.random.default_rng(self.seed)
        pieces = -(-self.ahead // self.hold)
        self._mean = np.zeros((count, pieces, 2), np.float32)
        self._number = 0

    def act(self, state: Floats, scenes: list[Scene], actions: Floats | None) -> Floats:
        history = self._follower.watch(scenes, actions)
        if self._number % self.hold == 0:
            if self._number:
                self._mean = np.concatenate([self._mean[:, 1:], 0 * self._mean[:, -1:]], 1)
            self._plan(history)
        self._number += 1
        return np.clip(self._mean[:, 0], -1, 1).astype(np.float32)

    def _plan(self, history: list[FrameState]) -> None:
        rooms, pieces = self._mean.shape[:2]
        past = prefill(self.model, history, self._follower.text, window=self.window)
        known = _repeated(past, self.candidates)
        text = self._follower.text and self._follower.text.repeated(self.candidates)
        spread = np.full((rooms, pieces, 2), 0.7, np.float32)
        for _ in range(self.rounds):
            noise = self._rng.standard_normal((rooms, self.candidates, pieces, 2), np.float32)
            noise[:, 0] = 0
            plans = np.clip(self._mean[:, None] + spread[:, None] * noise, -1, 1)
            worth = self._imagined(known, text, plans)
            chosen = np.argsort(-worth, axis=1)[:, : self.best]
            elite = np.take_along_axis(plans, chosen[:, :, None, None], 1)
            self._mean, spread = elite.mean(1), elite.std(1) + 0.05

    def _imagined(self, history: list[FrameState], text: TextCondition | None, plans: Floats) -> Floats:
        """What each plan earns [B, N], by how likely it is still to be done."""
        actions_now = torch.from_numpy(plans.reshape(-1, *plans.shape[2:])).to(self.model.device)
        earned, going = np.zeros(len(actions_now), np.float32), np.ones(len(actions_now), np.float32)
        for t in range(self.ahead):
            seeds = [frame_seed(self._number, t)] * len(actions_now)
            last, new = step(
                self.model, history, actions_now[:, t // self.hold], fps=self.fps, seeds=seeds, text=text, window=self.window
            )
            history = [*history[:-1], last, new][-self.window - 1 :]
            earned += going * decode_reward(new.tracks["reward"].float().cpu().numpy()).reshape(-1)
            going *= 1 - termination_prob(new)
        return earned.reshape(plans.shape[:2])


class Imitator:
    """Does what the model expects of somebody with this task: the imitate layout, past and text known, the action unknown."""

    def __init__(self, model: Model, task: str, fps: float = 16.0, window: int = 8) -> None:
        self._follower = Follower(model, task, fps, window)

    def begin(self, count: int) -> None:
        self._follower.begin(count)

    def act(self, state: Floats, scenes: list[Scene], actions: Floats | None) -> Floats:
        history = self._follower.watch(scenes, actions)
        chosen = predict_action(self._follower.model, history, self._follower.text, window=self._follower.window)
        return chosen.float().cpu().numpy().clip(-1, 1).astype(np.float32)
