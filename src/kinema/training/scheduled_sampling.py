"""A past of the model's own making: what it is given when it steps for real, and never in the true episodes.

One step answers with a mean. Where two futures are likely (a contact in this frame or in the next) that is neither, and a model
that has only seen true pasts takes it for something that is there: two balls that met stay together, because a speed between
before and after is one of things that move along. So in some batches a stretch of the past is stepped through by the model
itself, and what follows is still asked to be the truth (as in scheduled sampling, Bengio et al. 2015).

Axes: B batch, T frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from kinema.canvas.canvas import TextCondition
from kinema.inference.frame_state import FrameState
from kinema.inference.rollout import Stepper, prefill, split_frames, step
from kinema.models.denoiser import Denoiser
from kinema.training.batches import Batch

BEFORE = 12
"""True frames that a stretch begins from, at most."""
MADE = ("position", "velocity", "angle", "visible")
"""What is taken over from the model."""


@dataclass(frozen=True)
class Training:
    """A denoiser in training as something that can be stepped."""

    denoiser: Denoiser
    dtype: torch.dtype
    device: torch.device
    shortcuts: bool = False


def scheduled_sampling(stepper: Stepper, batch: Batch, rng: np.random.Generator, most: int) -> Batch:
    """The batch with up to `most` frames of its past as the stepper makes them, in rows on the first one's clock in which actions
    are told; frames that are asked for stay the truth."""
    assert batch.past is not None
    frames = batch.time_s.shape[1]
    count = int(rng.integers(1, most + 1))
    begin = int(rng.integers(1, max(frames - count - 1, 2)))
    fps = float(1.0 / (batch.time_s[0, 1] - batch.time_s[0, 0]))
    first = max(0, begin - BEFORE)
    same = (batch.time_s - batch.time_s[:1]).abs().amax(1) < 1e-4
    acted = batch.levels["action"].amin(1) < 1
    rows = (same & acted).nonzero()[:, 0]
    if not len(rows):
        return batch
    tracks = {name: x[rows, first : begin + 1] for name, x in batch.values.items()}
    text = TextCondition(states=batch.text_states[rows], reads=batch.text_reads[rows])
    history: list[FrameState] = [replace(m, acted=True) for m in split_frames(tracks, float(batch.time_s[0, first]), fps)]
    history = prefill(stepper, history, text)
    actions = batch.values["action"][rows]
    generator = (
        None if actions.device.type == "meta" else torch.Generator(actions.device).manual_seed(int(rng.integers(2**62)))
    )
    made = []
    for t in range(begin, min(begin + count, frames - 1)):
        last, new = step(stepper, history, actions[:, t], fps=fps, seeds=generator or [0] * len(rows), text=text)
        history = [*history[:-1], last, new]
        made.append(new.tracks["state"])
    state = batch.values["state"].clone()
    for i, own in enumerate(made):
        if not batch.past[begin + 1 + i]:
            continue
        for group in MADE:
            columns = stepper.denoiser.schema.slice(group)
            state[rows, begin + 1 + i, :, columns] = torch.where(
                state[rows, begin + 1 + i, :, :1] > 0, own[..., columns].float(), state[rows, begin + 1 + i, :, columns]
            )
    return replace(batch, values={**batch.values, "state": state})
