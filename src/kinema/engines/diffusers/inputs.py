"""The pictures and films of a request, as the arguments of a pipeline."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from PIL import Image

from kinema.engines.diffusers.families import Call, Family
from kinema.engines.diffusers.loading import named_class
from kinema.engines.protocol import FilmPlan, FilmRequest
from kinema.media import Clip


def known_pictures(family: Family, call: Call, request: FilmRequest, plan: FilmPlan) -> dict[str, Any]:
    """How the known pictures of a request are given to the pipeline."""
    known = [(_picture(clip, plan), _frame_number(at, plan)) for clip, at in request.pictures]
    if call.inputs == "image":
        return {"image": known[0][0]}
    if call.inputs == "frame":
        return {"video": [known[0][0]]}
    if call.inputs == "ends":
        return {"image": known[0][0], "last_image": known[-1][0]}
    if call.inputs == "conditions":
        rule = family.condition
        assert rule is not None
        kind = named_class(rule.kind)
        numbered = [(picture, math.ceil(i / rule.step)) for picture, i in known]
        return {"conditions": [kind(**{rule.picture: picture, rule.number: i}) for picture, i in numbered]}
    if call.inputs == "vace":
        return _masked_video(request, known, plan)
    if call.inputs == "video":
        assert request.video is not None
        strength = {} if request.strength is None else {"strength": request.strength}
        pictures = _pictures_of(request.video, plan)
        return {"video": pictures[:1] * call.lead + pictures, **strength}
    if call.inputs == "control":
        assert request.video is not None
        frames = _pictures_of(request.video, plan)
        if not call.control_kind:
            return {call.control: frames}
        return {call.control: [named_class(call.control_kind)(frames=frames)]}
    if call.inputs == "history":
        assert request.video is not None
        return {"video": _pictures_of(request.video, replace(plan, frames=call.history))}
    if call.inputs == "animate":
        assert request.video is not None
        somebody = known[0][0] if known else _picture(request.video, plan)
        face = _pictures_of(request.second or request.video, plan)
        return {"image": somebody, "pose_video": _pictures_of(request.video, plan), "face_video": face}
    if call.inputs == "reference":
        return {"reference_images": [picture for picture, _ in known]}
    return {}


def _picture(clip: Clip, plan: FilmPlan) -> Image.Image:
    """The first frame of a clip at the size that is filmed."""
    return clip.cut(slice(1)).fit(*plan.size).picture()


def _frame_number(at_s: float, plan: FilmPlan) -> int:
    return min(max(round(at_s * plan.fps), 0), plan.frames - 1)


def _pictures_of(clip: Clip, plan: FilmPlan) -> list[Image.Image]:
    """All frames of a clip at the rate and size that are filmed; the last one repeated up to a whole number of frames."""
    fitted = clip.resample(plan.fps).fit(*plan.size)
    pictures = [fitted.picture(i) for i in range(min(fitted.num_frames, plan.frames))]
    return pictures + [pictures[-1]] * (plan.frames - len(pictures))


def _masked_video(request: FilmRequest, known: list[tuple[Image.Image, int]], plan: FilmPlan) -> dict[str, Any]:
    """What VACE is given: gray where nothing is known, and a mask that is white where the model films."""
    if request.video is not None:
        video = _pictures_of(request.video, plan)
        mask = Image.new("L", plan.size, 255) if request.mask is None else _picture(request.mask, plan).convert("L")
        masks = [mask] * plan.frames
        return {"video": video, "mask": masks}
    gray = Image.new("RGB", plan.size, (128, 128, 128))
    video, masks = [gray] * plan.frames, [Image.new("L", plan.size, 255)] * plan.frames
    for picture, index in known:
        video[index], masks[index] = picture, Image.new("L", plan.size, 0)
    return {"video": video, "mask": masks}
