"""What diffusers does not say of its video pipelines: which classes share one folder's components, and the rules that each family
keeps. Rates, sizes and steps are the defaults of the pipelines' own signatures and of the model cards.

A family that is not in the table is served by what its pipeline's signature says (`from_signature`). The table is shown by
`python -m kinema.engines.diffusers.families`, and in docs/engines.md.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kinema.engines.licenses import APACHE, MIT, STABILITY, TENCENT
from kinema.engines.protocol import WORKFLOWS, FrameRule, License, Workflow
from kinema.inference.limits import Size

Inputs = Literal[
    "words", "image", "frame", "ends", "conditions", "vace", "video", "control", "history", "reference", "animate"
]
"""How pictures are given to a pipeline. words: not at all. image: `image=`. frame: `video=` of one frame, which is the first.
ends: `image=` and `last_image=`. conditions: a list of pictures with frame numbers. vace: a video with a mask of what is to be
made. video: `video=`, and `strength=` where it is taken. control: a film that steers, under the name that the call says.
history: `video=` is the end of a film, and the film goes on from it. reference: a picture of what is shown, which is not the
first frame. animate: `image=` of somebody, moved as in `pose_video=` and `face_video=`."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """How one workflow is called.

    pipeline: the class. inputs: how pictures are given to it. history: of how many frames a film goes on. lead: how many copies of
    its first frame are given before a video. echoed: how many frames of what it is given the pipeline returns before what it films.
    control: the argument that takes a film that steers; control_kind: the class that holds its frames there, if there is one.
    arguments: those that are always given.
    """

    pipeline: str
    inputs: Inputs = "words"
    history: int = 0
    lead: int = 0
    echoed: int = 0
    control: str = ""
    control_kind: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How one known picture is given in a list of conditions: their class, the names of its picture and of its number, which counts
    every `step` frames."""

    kind: str
    picture: str
    number: str
    step: int = 1


@dataclass(frozen=True, kw_only=True)
class Family:
    """The rules of one family of models.

    bases: classes that `model_index.json` names, each with the workflows that its components can do. modular: classes that
    `modular_model_index.json` names; their blocks say what they can do. when: values in the index or in a component's config
    ("transformer.patch_size_t") by which a family is told from another of the same classes. configs: which of the numbers below
    a component's config holds, and times what. usual_frames: T at default. chunk,
    overlap: a pipeline that films in passes of so
    many frames,
    each with so many of the one before; chunk_name: the argument that takes it. dropped: frames that the pipeline
    cuts off its films. tiled: its autoencoder works in tiles only. frames_name: the argument that takes T. condition: for inputs by
    "conditions". always: arguments where a request says nothing. tiny: tiny models of the tests.
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
    modular: tuple[str, ...] = ()
    when: Mapping[str, Any] = field(default_factory=dict)
    configs: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    most_pixels: int | None = None
    chunk: int | None = None
    overlap: int = 0
    chunk_name: str | None = None
    dropped: int = 0
    tiled: bool = False
    frames_name: str = "num_frames"
    fps_name: str | None = None
    guidance_name: str = "guidance_scale"
    condition: Condition | None = None
    sound: bool = False
    license: License = field(default_factory=License)
    always: Mapping[str, Any] = field(default_factory=dict)
    tiny: tuple[str, ...] = ()

    def passes(self, frames: int) -> int:
        """How often the pipeline takes all its steps for so many frames."""
        if self.chunk is None or frames <= self.chunk:
            return 1
        return 1 + -(-(frames - self.chunk) // (self.chunk - self.overlap))


def _shared(names: str, calls: Mapping[Workflow, Call]) -> dict[str, Mapping[Workflow, Call]]:
    """The same workflows for folders of several classes."""
    return dict.fromkeys(names.split(), calls)


def _one(pipeline: str, **by_workflow: Inputs) -> dict[Workflow, Call]:
    """Workflows of one class."""
    names: dict[str, Workflow] = {name: name for name in WORKFLOWS}
    return {names[name]: Call(pipeline=pipeline, inputs=given) for name, given in by_workflow.items()}


_WAN_WORDS = {**_one("WanPipeline", generate="words"), **_one("WanVideoToVideoPipeline", edit="video")}
_WAN_VACE = _one("WanVACEPipeline", generate="words", image="vace", first_last="vace", keyframes="vace", edit="vace")
_WAN_5B = {**_one("WanPipeline", generate="words"), **_one("WanImageToVideoPipeline", image="image")}
_LTX = {
    **_one("LTXPipeline", generate="words"),
    **_one("LTXConditionPipeline", image="conditions", first_last="conditions", keyframes="conditions"),
}
_LTX2: dict[Workflow, Call] = {
    **_one("LTX2Pipeline", generate="words"),
    **_one("LTX2ConditionPipeline", image="conditions", first_last="conditions", keyframes="conditions"),
}
_LTX2["restyle"] = Call(
    pipeline="LTX2InContextPipeline", inputs="control", control="reference_conditions",
    control_kind="diffusers.pipelines.ltx2.pipeline_ltx2_ic_lora.LTX2ReferenceCondition",
)  # fmt: skip
_COGVIDEOX = {
    **_shared(
        "CogVideoXPipeline CogVideoXVideoToVideoPipeline",
        {**_one("CogVideoXPipeline", generate="words"), **_one("CogVideoXVideoToVideoPipeline", edit="video")},
    ),
    "CogVideoXImageToVideoPipeline": _one("CogVideoXImageToVideoPipeline", image="image"),
}
_COGVIDEOX15 = {
    **_shared(
        "CogVideoXPipeline CogVideoXVideoToVideoPipeline",
        {
            **_one("CogVideoXPipeline", generate="words"),
            "edit": Call(pipeline="CogVideoXVideoToVideoPipeline", inputs="video", lead=4, echoed=7),
        },
    ),
    "CogVideoXImageToVideoPipeline": _one("CogVideoXImageToVideoPipeline", image="image"),
}
"""Its network takes two latents in time at once. Its pipelines add one at the beginning where their number is odd, and drop it. The
one for videos does not, so it is given four frames more. Of an even number of latents the autoencoder makes three frames more."""
_FORCING: dict[Workflow, Call] = {
    **_one("SkyReelsV2DiffusionForcingPipeline", generate="words"),
    **_one("SkyReelsV2DiffusionForcingImageToVideoPipeline", image="image", first_last="ends"),
    "extend": Call(
        pipeline="SkyReelsV2DiffusionForcingVideoToVideoPipeline", inputs="history", history=17, echoed=17,
        arguments={"overlap_history": 17},
    ),
}  # fmt: skip
BATCHED = frozenset((
    "WanPipeline", "WanModularPipeline", "LTXPipeline", "LTXModularPipeline", "LTX2Pipeline", "HunyuanVideoPipeline",
    "CogVideoXPipeline", "MochiPipeline", "SkyReelsV2Pipeline", "HeliosPipeline", "HeliosModularPipeline", "SanaVideoPipeline",
    "AnyFlowPipeline", "AnimateDiffPipeline", "TextToVideoSDPipeline",
))  # fmt: skip
"""Pipelines that film several prompts in one pass, each as they film it alone, but for rounding. Others of the table refuse it, or
mix the films."""
ANY = object()
"""In `Family.when`: some value."""

_COSMOS: dict[Workflow, Call] = {
    **_one("Cosmos2_5_PredictBasePipeline", generate="words"),
    "image": Call(pipeline="Cosmos2_5_PredictBasePipeline", inputs="frame", arguments={"num_latent_conditional_frames": 1}),
    "extend": Call(pipeline="Cosmos2_5_PredictBasePipeline", inputs="history", history=5),
}
_COSMOS3: dict[Workflow, Call] = {
    **_one("Cosmos3OmniPipeline", generate="words", image="image"),
    "extend": Call(
        pipeline="Cosmos3OmniPipeline", inputs="history", history=5, arguments={"condition_frame_indexes_vision": (0, 1)}
    ),
}
_HELIOS: dict[Workflow, Call] = _one("HeliosPipeline", generate="words", image="image")

FAMILIES: tuple[Family, ...] = (
    Family(
        name="Wan 2.2 5B", bases=_shared("WanPipeline WanImageToVideoPipeline", _WAN_5B), when={"expand_timesteps": True},
        frames=FrameRule(step=4, offset=1, most=121), multiple=32, size=(1280, 704), fps=24.0, usual_frames=121, steps=50,
        guidance=5.0, most_pixels=1280 * 704, license=APACHE, tiny=("wan22-5b",),
    ),
    Family(
        name="Wan 2.2 A14B",
        bases={
            "WanPipeline": _one("WanPipeline", generate="words"),
            "WanImageToVideoPipeline": _one("WanImageToVideoPipeline", image="image", first_last="ends"),
            "WanVACEPipeline": _WAN_VACE,
        },
        when={"boundary_ratio": ANY}, frames=FrameRule(step=4, offset=1, most=81), multiple=16, size=(832, 480), fps=16.0,
        usual_frames=81, steps=40, guidance=4.0, most_pixels=1280 * 720, license=APACHE, tiny=("wan22", "wan22-image"),
    ),
    Family(
        name="Wan FLF2V", bases={"WanImageToVideoPipeline": _one("WanImageToVideoPipeline", first_last="ends")},
        when={"transformer.pos_embed_seq_len": ANY}, frames=FrameRule(step=4, offset=1, most=81), multiple=16, size=(1280,
        720),
        fps=16.0, usual_frames=81, steps=50, guidance=5.0, most_pixels=1280 * 720, license=APACHE, tiny=("wan-ends",),
    ),
    Family(
        name="Wan",
        bases={
            **_shared("WanPipeline WanVideoToVideoPipeline", _WAN_WORDS),
            "WanImageToVideoPipeline": _one("WanImageToVideoPipeline", image="image"),
            "WanVACEPipeline": _WAN_VACE,
        },
        modular=(
            "WanModularPipeline", "Wan22ModularPipeline", "WanImage2VideoModularPipeline", "Wan22Image2VideoModularPipeline",
            "Wan22VaceModularPipeline",
        ),
        frames=FrameRule(step=4, offset=1, most=81), multiple=16, size=(832, 480), fps=16.0, usual_frames=81, steps=50,
        guidance=5.0,
        most_pixels=1280 * 720, license=APACHE, tiny=("wan", "wan-image", "wan-vace", "wan-modular", "wan-vace-modular"),
    ),
    Family(
        name="Wan Animate", bases={"WanAnimatePipeline": _one("WanAnimatePipeline", edit="animate")},
        frames=FrameRule(step=4, offset=1), multiple=16, size=(1280, 720), fps=16.0, usual_frames=77, steps=20, guidance=1.0,
        most_pixels=1280 * 720, chunk=77, overlap=1, frames_name="", chunk_name="segment_frame_length",
        license=APACHE, tiny=("wan-animate",),
    ),
    Family(
        name="Lucy Edit", bases={"LucyEditPipeline": _one("LucyEditPipeline", edit="video")},
        frames=FrameRule(step=4, offset=1, most=121), multiple=32, size=(832, 480), fps=24.0, usual_frames=81, steps=50,
        guidance=5.0,
        most_pixels=1280 * 704, tiny=("lucy",),
    ),
    Family(
        name="LTX-Video", bases=_shared("LTXPipeline LTXImageToVideoPipeline LTXConditionPipeline", _LTX),
        modular=("LTXModularPipeline",), frames=FrameRule(step=8, offset=1, most=257), multiple=32, size=(704, 512),
        fps=25.0,
        usual_frames=161, steps=50, guidance=3.0, fps_name="frame_rate",
        condition=Condition(
            kind="diffusers.pipelines.ltx.pipeline_ltx_condition.LTXVideoCondition", picture="image", number="frame_index"
        ),
        tiny=("ltx", "ltx-modular"),
    ),
    Family(
        name="LTX-2", bases=_shared("LTX2Pipeline LTX2ImageToVideoPipeline LTX2ConditionPipeline", _LTX2),
        modular=("LTX2ModularPipeline", "LTX25ModularPipeline"), frames=FrameRule(step=8, offset=1, most=481), multiple=32,
        size=(768, 512), fps=24.0, usual_frames=121, steps=30, guidance=3.0, fps_name="frame_rate", sound=True,
        condition=Condition(
            kind="diffusers.pipelines.ltx2.pipeline_ltx2_condition.LTX2VideoCondition", picture="frames", number="index", step=8
        ), tiny=("ltx2",),
    ),
    Family(
        name="LTX-Video upscaler",
        bases={"LTXLatentUpsamplePipeline": {"upscale": Call(pipeline="LTXLatentUpsamplePipeline", inputs="video")}},
        frames=FrameRule(step=8, offset=1, most=257), multiple=32, size=(768, 512), fps=25.0, usual_frames=161, steps=1,
        guidance=None, frames_name="", tiny=("ltx-upscaler",),
    ),
    Family(
        name="LTX-2 upscaler",
        bases={"LTX2LatentUpsamplePipeline": {"upscale": Call(pipeline="LTX2LatentUpsamplePipeline", inputs="video")}},
        frames=FrameRule(step=8, offset=1, most=481), multiple=32, size=(768, 512), fps=24.0, usual_frames=121, steps=1,
        guidance=None, tiny=("ltx2-upscaler",),
    ),
    Family(
        name="MiniMax-H3", bases={}, modular=("MiniMaxH3ModularPipeline",),
        frames=FrameRule(step=17, offset=5, least=120, most=345), multiple=32, size=(1344, 768), fps=24.0, usual_frames=124,
        steps=50,
        guidance=None, most_pixels=1_032_192, sound=True, tiny=("minimax-h3",),
    ),
    Family(
        name="HunyuanVideo I2V", bases={"HunyuanVideoImageToVideoPipeline": _one("HunyuanVideoImageToVideoPipeline",
        image="image")},
        when={"transformer.image_condition_type": "latent_concat"}, frames=FrameRule(step=4, offset=1, most=125),
        multiple=16,
        size=(1280, 720), fps=24.0, usual_frames=125, steps=50, guidance=1.0, most_pixels=1280 * 720, dropped=4,
        license=TENCENT,
        tiny=("hunyuan-image",),
    ),
    Family(
        name="HunyuanVideo",
        bases={
            "HunyuanVideoPipeline": _one("HunyuanVideoPipeline", generate="words"),
            "HunyuanVideoImageToVideoPipeline": _one("HunyuanVideoImageToVideoPipeline", image="image"),
            "HunyuanSkyreelsImageToVideoPipeline": _one("HunyuanSkyreelsImageToVideoPipeline", image="image"),
        },
        frames=FrameRule(step=4, offset=1, most=129), multiple=16, size=(1280, 720), fps=24.0, usual_frames=129, steps=50,
        guidance=6.0,
        most_pixels=1280 * 720, license=TENCENT, tiny=("hunyuan",),
    ),
    Family(
        name="FramePack",
        bases={"HunyuanVideoFramepackPipeline": _one("HunyuanVideoFramepackPipeline", image="image", first_last="ends")},
        frames=FrameRule(step=33), multiple=16, size=(832, 480), fps=30.0, usual_frames=132, steps=30, guidance=9.0,
        most_pixels=1280 * 720, chunk=33, license=TENCENT, tiny=("framepack",),
    ),
    Family(
        name="HunyuanVideo 1.5",
        bases={
            "HunyuanVideo15Pipeline": _one("HunyuanVideo15Pipeline", generate="words"),
            "HunyuanVideo15ImageToVideoPipeline": _one("HunyuanVideo15ImageToVideoPipeline", image="image"),
        },
        modular=("HunyuanVideo15ModularPipeline",), frames=FrameRule(step=4, offset=1, most=121), multiple=16, size=(848,
        480), fps=24.0,
        usual_frames=121, steps=50, guidance=6.0, most_pixels=1280 * 720, license=TENCENT, tiny=("hunyuan15",
        "hunyuan15-image"),
    ),
    Family(
        name="CogVideoX 1.5", bases=_COGVIDEOX15, when={"transformer.patch_size_t": 2}, frames=FrameRule(step=8, offset=1,
        most=81),
        multiple=16, size=(1360, 768), fps=16.0, usual_frames=81, steps=50, guidance=6.0, most_pixels=1360 * 768,
        tiny=("cogvideox15", "cogvideox15-image"),
    ),
    Family(
        name="CogVideoX", bases=_COGVIDEOX, frames=FrameRule(step=8, offset=1, most=49), multiple=16, size=(720, 480),
        fps=8.0,
        configs={
            "width": ("transformer.sample_width", 8), "height": ("transformer.sample_height", 8),
            "frames": ("transformer.sample_frames", 1),
        },
        usual_frames=49, steps=50, guidance=6.0, most_pixels=720 * 480, tiny=("cogvideox", "cogvideox-image"),
    ),
    Family(
        name="Mochi", bases={"MochiPipeline": _one("MochiPipeline", generate="words")},
        frames=FrameRule(step=6, offset=1, least=7, most=163), multiple=16, size=(848, 480), fps=30.0, usual_frames=85,
        steps=64,
        guidance=4.5, most_pixels=848 * 480, license=APACHE, tiny=("mochi",),
    ),
    Family(
        name="SkyReels-V2",
        bases={
            "SkyReelsV2Pipeline": _one("SkyReelsV2Pipeline", generate="words"),
            "SkyReelsV2ImageToVideoPipeline": _one("SkyReelsV2ImageToVideoPipeline", image="image", first_last="ends"),
        },
        frames=FrameRule(step=4, offset=1, most=121), multiple=16, size=(960, 544), fps=24.0, usual_frames=97, steps=50,
        guidance=6.0,
        most_pixels=1280 * 720, tiny=("skyreels",),
    ),
    Family(
        name="SkyReels-V2 DF",
        bases=_shared(
            "SkyReelsV2DiffusionForcingPipeline SkyReelsV2DiffusionForcingImageToVideoPipeline"
            " SkyReelsV2DiffusionForcingVideoToVideoPipeline",
            _FORCING,
        ),
        frames=FrameRule(step=4, offset=1), multiple=16, size=(960, 544), fps=24.0, usual_frames=97, steps=50, guidance=6.0,
        most_pixels=1280 * 720, chunk=97, overlap=17, always={"overlap_history": 17, "base_num_frames": 97},
        tiny=("skyreels-forcing",),
    ),
    Family(
        name="Cosmos-Predict2.5", bases={"Cosmos2_5_PredictBasePipeline": _COSMOS}, frames=FrameRule(step=4, offset=1,
        most=93),
        multiple=16, size=(1280, 704), fps=16.0, usual_frames=93, steps=36, guidance=7.0, most_pixels=1280 * 704,
        tiny=("cosmos25",),
    ),
    Family(
        name="Cosmos-Transfer2.5",
        bases={
            "Cosmos2_5_TransferPipeline": {
                "restyle": Call(pipeline="Cosmos2_5_TransferPipeline", inputs="control", control="controls")
            }
        },
        frames=FrameRule(step=4, offset=1), multiple=16, size=(1280, 704), fps=16.0, usual_frames=93, steps=36, guidance=3.0,
        most_pixels=1280 * 704, chunk=93, overlap=1, chunk_name="num_frames_per_chunk", tiny=("cosmos-transfer",),
    ),
    Family(
        name="Cosmos-Predict2", bases={"Cosmos2VideoToWorldPipeline": _one("Cosmos2VideoToWorldPipeline", image="image")},
        frames=FrameRule(step=4, offset=1, most=93), multiple=16, size=(1280, 704), fps=16.0, usual_frames=93, steps=35,
        guidance=7.0,
        most_pixels=1280 * 704, fps_name="fps", tiny=("cosmos2-image",),
    ),
    Family(
        name="Cosmos 1",
        bases={
            "CosmosTextToWorldPipeline": _one("CosmosTextToWorldPipeline", generate="words"),
            "CosmosVideoToWorldPipeline": _one("CosmosVideoToWorldPipeline", image="image"),
        },
        frames=FrameRule(step=8, offset=1, most=121), multiple=16, size=(1280, 704), fps=30.0, usual_frames=121, steps=36,
        guidance=7.0,
        most_pixels=1280 * 704, fps_name="fps", tiny=("cosmos1", "cosmos1-image"),
    ),
    Family(
        name="Cosmos 3", bases={"Cosmos3OmniPipeline": _COSMOS3}, modular=("Cosmos3OmniModularPipeline",),
        frames=FrameRule(step=4, offset=1, least=5, most=189), multiple=32, size=(1280, 704), fps=24.0, usual_frames=189,
        steps=35,
        guidance=6.0, most_pixels=1280 * 736, fps_name="fps", tiny=("cosmos3",),
    ),
    Family(
        name="Helios", bases={"HeliosPipeline": _HELIOS}, modular=("HeliosModularPipeline",), frames=FrameRule(step=33),
        multiple=16,
        size=(640, 384), fps=24.0, usual_frames=132, steps=50, guidance=5.0, most_pixels=640 * 384, chunk=33, license=APACHE,
        tiny=("helios", "helios-modular"),
    ),
    Family(
        name="Sana-Video",
        bases={
            "SanaVideoPipeline": _one("SanaVideoPipeline", generate="words"),
            "SanaImageToVideoPipeline": _one("SanaImageToVideoPipeline", image="image"),
        },
        frames=FrameRule(step=4, offset=1, most=81), multiple=32, size=(832, 480), fps=16.0, usual_frames=81, steps=50,
        guidance=6.0,
        most_pixels=832 * 480, frames_name="frames", always={"use_resolution_binning": False}, tiny=("sana-video",
        "sana-video-image"),
    ),
    Family(
        name="Kandinsky 5",
        bases={
            "Kandinsky5T2VPipeline": _one("Kandinsky5T2VPipeline", generate="words"),
            "Kandinsky5I2VPipeline": _one("Kandinsky5I2VPipeline", image="image"),
        },
        frames=FrameRule(step=4, offset=1, least=17, most=241), multiple=16, size=(768, 512), fps=24.0, usual_frames=121,
        steps=50, guidance=5.0,
        most_pixels=1280 * 768, license=MIT,
        tiny=("kandinsky5", "kandinsky5-image"),
    ),
    Family(
        name="AnyFlow", bases={"AnyFlowPipeline": _one("AnyFlowPipeline", generate="words")},
        frames=FrameRule(step=4, offset=1, most=81), multiple=16, size=(832, 480), fps=16.0, usual_frames=81, steps=50,
        guidance=1.0,
        most_pixels=832 * 480, tiny=("anyflow",),
    ),
    Family(
        name="Allegro", bases={"AllegroPipeline": _one("AllegroPipeline", generate="words")}, tiled=True,
        frames=FrameRule(step=16, offset=8, least=24, most=88),
        multiple=16, size=(1280, 720), fps=15.0, usual_frames=88, steps=100, guidance=7.5, most_pixels=1280 * 720,
        license=APACHE,
        tiny=("allegro",),
    ),
    Family(
        name="EasyAnimate", bases={"EasyAnimatePipeline": _one("EasyAnimatePipeline", generate="words")},
        frames=FrameRule(step=4, offset=1, most=49), multiple=16, size=(512, 512), fps=8.0, usual_frames=49, steps=50,
        guidance=5.0,
        most_pixels=1024 * 1024, always={"negative_prompt": ""}, tiny=("easyanimate",),
    ),
    Family(
        name="Latte", bases={"LattePipeline": _one("LattePipeline", generate="words")}, frames=FrameRule(least=16, most=16),
        multiple=16, size=(512, 512), fps=8.0, usual_frames=16, steps=50, guidance=7.5, most_pixels=512 * 512,
        frames_name="video_length",
        tiny=("latte",),
    ),
    Family(
        name="AnimateDiff",
        bases=_shared(
            "AnimateDiffPipeline AnimateDiffVideoToVideoPipeline",
            {**_one("AnimateDiffPipeline", generate="words"), **_one("AnimateDiffVideoToVideoPipeline", edit="video")},
        ),
        frames=FrameRule(most=32), multiple=16, size=(512, 512), fps=8.0, usual_frames=16, steps=50, guidance=7.5,
        most_pixels=768 * 768, tiny=("animatediff",),
    ),
    Family(
        name="AnimateDiff ControlNet",
        bases={
            "AnimateDiffControlNetPipeline": {
                "restyle": Call(pipeline="AnimateDiffControlNetPipeline", inputs="control", control="conditioning_frames")
            }
        },
        frames=FrameRule(most=32), multiple=16, size=(512, 512), fps=8.0, usual_frames=16, steps=50, guidance=7.5,
        most_pixels=768 * 768, tiny=("animatediff-control",),
    ),
    Family(
        name="Stable Video Diffusion",
        bases={"StableVideoDiffusionPipeline": _one("StableVideoDiffusionPipeline", image="image")},
        frames=FrameRule(most=25),
        multiple=16, size=(1024, 576), fps=7.0, configs={"frames": ("unet.num_frames", 1)}, usual_frames=25, steps=25,
        guidance=3.0,
        most_pixels=1024 * 576, fps_name="fps", guidance_name="max_guidance_scale", license=STABILITY, tiny=("svd",),
    ),
    Family(
        name="ModelScope",
        bases=_shared(
            "TextToVideoSDPipeline VideoToVideoSDPipeline",
            {**_one("TextToVideoSDPipeline", generate="words"), **_one("VideoToVideoSDPipeline", edit="video")},
        ),
        frames=FrameRule(most=32), multiple=16, size=(256, 256), fps=8.0, usual_frames=16, steps=50, guidance=9.0,
        most_pixels=1024 * 576, tiny=("modelscope",),
    ),
)  # fmt: skip

BLOCKS: Mapping[str, tuple[Workflow, Inputs]] = {
    "text2video": ("generate", "words"), "t2va": ("generate", "words"), "image2video": ("image", "image"),
    "flf2v": ("first_last", "ends"), "fl2va": ("first_last", "ends"),
}  # fmt: skip
"""What a workflow of modular blocks is here."""


def family_of(
    base: str, settings: Mapping[str, Any], configs: Mapping[str, Mapping[str, Any]], blocks: Any = None
) -> Family | None:
    """The family of a folder; None if the table has none.

    Args:
        base: The class that its index names.
        settings: Further values of its index.
        configs: Of its components, by name.
        blocks: Of a modular folder.
    """

    def value(path: str) -> Any:
        component, _, name = path.rpartition(".")
        return (configs.get(component, {}) if component else settings).get(name)

    for family in FAMILIES:
        fits = all(
            value(path) == wanted or (wanted is ANY and value(path) is not None) for path, wanted in family.when.items()
        )
        if fits and base in (*family.bases, *family.modular):
            width, height = family.size
            read = {name: int(value(path)) * times for name, (path, times) in family.configs.items() if value(path)}
            calls = family.bases if blocks is None else {base: calls_of_blocks(base, blocks)}
            return replace(
                family, bases=calls, size=(read.get("width", width), read.get("height", height)),
                usual_frames=read.get("frames", family.usual_frames),
            )  # fmt: skip
    return None


def calls_of_blocks(base: str, blocks: Any) -> dict[Workflow, Call]:
    """The workflows that modular blocks say they have, or, where they say nothing, those that their inputs allow."""
    inputs = {one.name for one in blocks.inputs}
    try:
        names: Iterable[str] = blocks.available_workflows
    except NotImplementedError:
        if {"video", "mask"} <= inputs:
            return {workflow: replace(call, pipeline=base) for workflow, call in _WAN_VACE.items()}
        names = ["image2video" if "image" in inputs else "text2video"]
    known = [BLOCKS[name] for name in names if name in BLOCKS]
    if ("first_last", "ends") in known and "image" in inputs:
        known.append(("image", "image"))
    return {workflow: Call(pipeline=base, inputs=given) for workflow, given in known}


def from_signature(base: str, call: Any, configs: Mapping[str, Mapping[str, Any]]) -> Family:
    """The rules of a pipeline that no family in the table has, from the signature of its `__call__` and from the configs of its
    components: the ratios of its autoencoder say which frames and sizes are whole."""
    parameters = inspect.signature(call).parameters
    defaults = {name: one.default for name, one in parameters.items()}
    inputs: Inputs = "image" if "image" in parameters else "video" if "video" in parameters else "words"
    calls: dict[Workflow, Call] = {}
    if inputs == "words" or (inputs == "image" and defaults["image"] is None and "prompt" in parameters):
        calls["generate"] = Call(pipeline=base)
    if inputs == "image":
        calls["image"] = Call(pipeline=base, inputs="image")
        if "last_image" in parameters:
            calls["first_last"] = Call(pipeline=base, inputs="ends")
    if inputs == "video":
        calls["edit"] = Call(pipeline=base, inputs="video")
    return _unknown(base, calls, defaults, configs)


def from_blocks(base: str, blocks: Any, configs: Mapping[str, Mapping[str, Any]]) -> Family:
    """The rules of a modular folder that no family in the table has, from the inputs of its blocks."""
    defaults = {one.name: one.default for one in blocks.inputs if one.name}
    return _unknown(base, calls_of_blocks(base, blocks), defaults, configs)


def _unknown(
    base: str, calls: Mapping[Workflow, Call], defaults: Mapping[str, Any], configs: Mapping[str, Mapping[str, Any]]
) -> Family:
    def default(name: str, other: Any) -> Any:
        value = defaults.get(name)
        return other if value in (None, inspect.Parameter.empty) else value

    vae = configs.get("vae", {})
    space = int(vae.get("scale_factor_spatial") or vae.get("spatial_compression_ratio") or 8)
    time = int(vae.get("scale_factor_temporal") or vae.get("temporal_compression_ratio") or 1)
    patch = configs.get("transformer", {}).get("patch_size", 1)
    patch = patch[-1] if isinstance(patch, list) else patch
    frames_name = next((name for name in ("num_frames", "frames", "video_length") if name in defaults), "num_frames")
    multiple = space * int(patch or 1)
    name = base.removesuffix("Pipeline").removesuffix("Modular")
    return Family(
        name=name, bases={base: calls}, frames=FrameRule(step=time, offset=1 if time > 1 else 0), multiple=multiple,
        size=(default("width", 64 * multiple // 2), default("height", 32 * multiple // 2)), fps=16.0,
        usual_frames=default(frames_name, 16), steps=default("num_inference_steps", 50), guidance=default("guidance_scale",
        None),
        frames_name=frames_name,
    )  # fmt: skip


def edits(calls: Mapping[Workflow, Call]) -> dict[str, bool]:
    """For `derived_workflows`: whether an edit goes by a strength, and whether a drawing of a scene can stand for the film."""
    inputs = calls["edit"].inputs if "edit" in calls else ""
    keeps = inputs == "video" and "strength" in inspect.signature(_pipeline_class(calls["edit"]).__call__).parameters
    return {"keeps": keeps, "steered": inputs in ("vace", "video")}


def _pipeline_class(call: Call) -> Any:
    return getattr(importlib.import_module("diffusers"), call.pipeline, object)


def families_table() -> str:
    """The families as a table in Markdown."""
    from kinema.engines.compose import derived_workflows

    heads = ("family", "classes", "workflows", "frames", "size", "multiple of", "fps", "steps", "sound", "tested here")
    lines = [heads, ("---",) * len(heads)]
    for family in FAMILIES:
        calls = list(family.bases.values())
        have = {name for one in calls for name in derived_workflows(tuple(one), family.frames, **edits(one))}
        classes = dict.fromkeys((*family.bases, *family.modular))
        most = f", up to {family.frames.most}" if family.frames.most else ""
        lines.append((
            family.name, ", ".join(f"`{name}`" for name in classes),
            ", ".join(name for name in WORKFLOWS if name in have) or "those of its blocks", f"{family.frames}{most}",
            f"{family.size[0]}x{family.size[1]}", str(family.multiple), f"{family.fps:g}", str(family.steps),
            "yes" if family.sound else "no", ", ".join(family.tiny) or "no",
        ))  # fmt: skip
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


if __name__ == "__main__":
    print(families_table(), end="")
