"""What diffusers does not say of its video pipelines: which classes share one folder's components, and the rules that each family
keeps. Rates, sizes and steps are the defaults of the pipelines' own signatures and of the model cards.

A family that is not in the table is served by what its pipeline's signature says (`from_signature`).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kinema.engines.protocol import FrameRule, License, Workflow
from kinema.inference.limits import Size

Inputs = Literal["words", "image", "ends", "conditions", "vace", "video", "reference"]
"""How pictures are given to a pipeline. words: not at all. image: `image=`. ends: `image=` and `last_image=`. conditions: a list of
pictures with frame numbers. vace: a video with a mask of what is to be made. video: `video=` and `strength=`. reference: a picture
of what is shown, which is not the first frame."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """How one workflow is called: a pipeline's class, how pictures are given to it, and arguments that are always given."""

    pipeline: str
    inputs: Inputs = "words"
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Family:
    """The rules of one family of models.

    bases: classes that `model_index.json` names, each with the workflows that its components can do. usual_frames: T at default.
    frames_name: the argument that takes T. condition: the class of a condition, for inputs by "conditions".
    """

    name: str
    bases: Mapping[str, Mapping[Workflow, Call]]
    frames: FrameRule
    multiple: int
    size: Size
    fps: float
    usual_frames: int
    steps: int
    guidance: float | None
    most_pixels: int | None = None
    frames_name: str = "num_frames"
    fps_name: str | None = None
    guidance_name: str = "guidance_scale"
    condition: str | None = None
    sound: bool = False
    license: License = field(default_factory=License)
    always: Mapping[str, Any] = field(default_factory=dict)


def _wan(*, image: str = "WanImageToVideoPipeline") -> dict[str, dict[Workflow, Call]]:
    vace = Call(pipeline="WanVACEPipeline", inputs="vace")
    return {
        "WanPipeline": {
            "generate": Call(pipeline="WanPipeline"),
            "edit": Call(pipeline="WanVideoToVideoPipeline", inputs="video"),
        },
        "WanVideoToVideoPipeline": {
            "generate": Call(pipeline="WanPipeline"),
            "edit": Call(pipeline="WanVideoToVideoPipeline", inputs="video"),
        },
        "WanImageToVideoPipeline": {
            "image": Call(pipeline=image, inputs="image"),
            "first_last": Call(pipeline=image, inputs="ends"),
        },
        "WanVACEPipeline": {
            "generate": Call(pipeline="WanVACEPipeline"),
            "image": vace, "first_last": vace, "keyframes": vace, "edit": vace,
        },
    }  # fmt: skip


_LTX: dict[Workflow, Call] = {
    "generate": Call(pipeline="LTXPipeline"),
    "image": Call(pipeline="LTXConditionPipeline", inputs="conditions"),
    "first_last": Call(pipeline="LTXConditionPipeline", inputs="conditions"),
    "keyframes": Call(pipeline="LTXConditionPipeline", inputs="conditions"),
}

FAMILIES: tuple[Family, ...] = (
    Family(
        name="Wan", bases=_wan(), frames=FrameRule(step=4, offset=1, most=81), multiple=16, size=(832, 480), fps=16.0,
        usual_frames=81, steps=50, guidance=5.0, most_pixels=1280 * 720,
    ),
    Family(
        name="LTX-Video", bases=dict.fromkeys(("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline"), _LTX),
        frames=FrameRule(step=8, offset=1, most=257), multiple=32, size=(704, 512), fps=25.0, usual_frames=161, steps=50,
        guidance=3.0, fps_name="frame_rate", condition="diffusers.pipelines.ltx.pipeline_ltx_condition.LTXVideoCondition",
    ),
)  # fmt: skip


def family_of(base: str) -> Family | None:
    """The family of a class that `model_index.json` names; None if the table has none."""
    return next((family for family in FAMILIES if base in family.bases), None)


def from_signature(base: str, call: Any, configs: Mapping[str, Mapping[str, Any]]) -> Family:
    """The rules of a pipeline that no family in the table has, from the signature of its `__call__` and from the configs of its
    components: the ratios of its autoencoder say which frames and sizes are whole."""
    parameters = inspect.signature(call).parameters

    def default(name: str, other: Any) -> Any:
        value = parameters[name].default if name in parameters else None
        return other if value in (None, inspect.Parameter.empty) else value

    vae = configs.get("vae", {})
    space = int(vae.get("scale_factor_spatial") or vae.get("spatial_compression_ratio") or 8)
    time = int(vae.get("scale_factor_temporal") or vae.get("temporal_compression_ratio") or 1)
    patch = configs.get("transformer", {}).get("patch_size", 1)
    patch = patch[-1] if isinstance(patch, list) else patch
    frames_name = next((name for name in ("num_frames", "frames", "video_length") if name in parameters), "num_frames")
    inputs: Inputs = "image" if "image" in parameters else "video" if "video" in parameters else "words"
    workflow: Workflow = "image" if inputs == "image" else "edit" if inputs == "video" else "generate"
    multiple = space * int(patch or 1)
    guidance = default("guidance_scale", None)
    return Family(
        name=base.removesuffix("Pipeline"), bases={base: {workflow: Call(pipeline=base, inputs=inputs)}},
        frames=FrameRule(step=time, offset=1 if time > 1 else 0), multiple=multiple,
        size=(default("width", 64 * multiple // 2), default("height", 32 * multiple // 2)), fps=16.0,
        usual_frames=default(frames_name, 16), steps=default("num_inference_steps", 50), guidance=guidance, frames_name=frames_name,
    )  # fmt: skip
