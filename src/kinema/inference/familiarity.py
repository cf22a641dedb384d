"""Familiarity: whether a picture or clip shows anything of the world that a model knows.

A few frames are looked at, each alone: the state is estimated from the picture, the picture is noised and denoised given that state
(the picture error of `kinema.inference.surprise`), and the error is compared with a threshold. Pictures of the model's own world
are predicted from their state; noise, text, photographs and other games are not.

Axes: N frames that are looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch

from kinema.canvas import conditioning
from kinema.devices import float32_default
from kinema.inference.canvas_io import blank_canvas, encode_frames, padded_size
from kinema.inference.limits import at_own_height
from kinema.inference.pipeline import estimate_state
from kinema.inference.sampling import SamplingConfig
from kinema.inference.surprise import picture_errors
from kinema.media import Clip
from kinema.models.hub import Model

log = logging.getLogger(__name__)

THRESHOLDS = {"kinema-tiny": 1.0}
"""The error above which a clip is foreign, by the model's name. Nothing is foreign to other models. Of kinema-tiny, true
pictures have 0.1 to 0.8; smooth gradients have no more, and are not recognized (docs/measurements/foreign.md)."""
FOREIGN = "foreign"
"""The entry of a film's settings that says that what it was made of is foreign to the model."""
LEVEL = 1.0
"""Noise level of the pictures: from this one the picture is predicted by the state alone."""


@float32_default()
@torch.inference_mode()
def picture_error(clip: Clip, model: Model) -> float:
    """The error with which a model predicts pictures of a clip from their state: the median of up to three frames, in latents of
    about unit variance."""
    picks = sorted({0, clip.num_frames // 2, clip.num_frames - 1})
    still = Clip(frames=clip.frames[picks], fps=16.0)
    still = still.fit(*at_own_height(model.config, still.frames.shape[2], still.frames.shape[1]))
    height, width = still.frames.shape[1:3]
    cells = encode_frames(model, still.frames, *padded_size(model, height, width)).transpose(0, 1)
    canvas = blank_canvas(model, count=len(picks), frames=1, fps=16.0, height=height, width=width)
    canvas = estimate_state(model, conditioning.condition_perceive(canvas, cells), SamplingConfig(), [0] * len(picks))
    levels = {name: torch.full_like(level, float(name == "action")) for name, level in canvas.levels.items()}
    errors = picture_errors(model, canvas.with_levels(levels), cells, LEVEL, [0] * len(picks))
    return float(np.median(errors.cpu().numpy()))


def is_foreign(clip: Clip, model: Model) -> bool:
    """Whether a clip shows nothing of the model's world, as far as the model is measured. A clip with a state is known."""
    threshold = THRESHOLDS.get(model.config.name)
    return threshold is not None and clip.state is None and picture_error(clip, model) > threshold


def foreign_among(given: Sequence[Clip], model: Model, *, left_out: bool = False) -> str:
    """A sentence that says what is foreign to the model among pictures and clips; empty if nothing is. left_out: such pictures are
    not shown in the film that is made."""
    foreign = next((clip for clip in given if is_foreign(clip, model)), None)
    if foreign is None:
        return ""
    what = "the picture" if foreign.num_frames == 1 else "the clip"
    kinds = ", ".join(model.config.denoiser.schema.kinds)
    sentence = f"{what} that was given shows nothing that {model.config.name} knows ({kinds})"
    if left_out:
        return f"{sentence}; the film is of the words, and does not show it"
    return f"{sentence}; what is made of it will look otherwise"


def foreign_note(given: Sequence[Clip], model: Model, *, left_out: bool = False) -> dict[str, str]:
    """For the settings of what is made of clips: what is foreign to the model among them (`foreign_among`), which is also logged as
    a warning, before anything is made; empty if nothing is."""
    note = foreign_among(given, model, left_out=left_out)
    if not note:
        return {}
    log.warning("%s", note)
    return {FOREIGN: note}
