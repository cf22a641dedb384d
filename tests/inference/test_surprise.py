"""Surprise: a number for any clip, the same for the same seed, on a real tiny model; the shipped model prefers what can happen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import kinema
from kinema.errors import InputError
from kinema.evaluation.tasks.surprise import quadruplet
from kinema.inference.canvas_io import resolve_model
from kinema.inference.surprise import examine
from kinema.media import Clip
from kinema.models.hub import Model
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene


def test_a_number_that_repeats(model: Model) -> None:
    clip = Clip(frames=quadruplet("permanence", 0)[0][0], fps=16.0)
    first = kinema.surprise(clip, model=model, level=0.5, seed=3)
    assert np.isfinite(first) and first == kinema.surprise(clip, model=model, level=0.5, seed=3)
    assert first != kinema.surprise(clip, model=model, level=0.9, seed=3)


def test_the_shipped_model_is_surprised_by_what_cannot_be() -> None:
    """Of three quadruplets most pairs the right way round."""
    right = []
    for concept in ("permanence", "continuity", "solidity"):
        possible, impossible = quadruplet(concept, 11)
        good, bad = (
            [kinema.surprise(Clip(frames=frames, fps=16.0).fit(64, 64), model="kinema-tiny", level=0.55) for frames in pair]
            for pair in (possible, impossible)
        )
        right += [a < b for a in good for b in bad]
    assert np.mean(right) > 0.8


def test_the_error_of_places_is_a_mean_over_things_and_predicted_frames() -> None:
    """Of a model that predicts everything in the middle it is their mean squared distance from there, from the fifth frame on."""
    model = resolve_model(None)
    scene = simulate(tiny(), 3, fps=16.0, num_frames=7).scene
    clip = Clip(frames=render_scene(scene, height=64, width=64), fps=16.0)

    def middle(
        _: object, given: object, options: dict[str, Any], outputs: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        state = outputs["state"]
        return {**outputs, "state": torch.zeros_like(state) if options.get("causal") else state}

    hook = model.denoiser.register_forward_hook(middle, with_kwargs=True)
    examined = examine(clip, model, 0)
    hook.remove()
    state = examined.canvas.values["state"][0, 4:]
    squares = state[..., examined.canvas.schema.slice("position")].square().sum(-1)[state[..., 0] > 0]
    assert len(squares) and examined.prediction_error == pytest.approx(float(squares.mean()), rel=1e-4)


def test_bad_input_is_told(model: Model) -> None:
    clip = Clip(frames=np.zeros((3, 64, 64, 3), np.uint8), fps=16.0)
    with pytest.raises(InputError, match="3 frames"):
        kinema.surprise(clip, model=model)
    with pytest.raises(InputError, match="level"):
        kinema.surprise(Clip(frames=np.zeros((8, 64, 64, 3), np.uint8), fps=16.0), model=model, level=0.0)
