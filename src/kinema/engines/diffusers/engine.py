"""A pipeline of diffusers as an engine: one copy of the weights serves all workflows that its components can do.

Frames are those that the plain pipeline returns for the same seed, rounded to bytes.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from kinema.devices import AUTO, resolve_device
from kinema.engines.compose import Parts, Primitive, derived_workflows, film_workflow, primitive_of
from kinema.engines.diffusers.families import BATCHED, Call, Family, edits, family_of, from_blocks, from_signature
from kinema.engines.diffusers.folder import ModelFolder, read_folder
from kinema.engines.diffusers.hooks import StepHooks
from kinema.engines.diffusers.offload import offload
from kinema.engines.diffusers.quantized import gguf_components, quantization
from kinema.engines.protocol import Capabilities, FilmPlan, FilmRequest, License, Lora, Watch, Workflow, never
from kinema.engines.registry import ModelEntry, check_lora
from kinema.errors import EngineError, InputError, ModelError
from kinema.inference.pipeline import Progress
from kinema.media import Clip
from kinema.media.sound import RATES, Sound
from kinema.playground.controls import CONTROLS, Control
from kinema.types import Frames

log = logging.getLogger(__name__)

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
OFFLOADS = ("auto", "none", "model", "group")


def _matters(record: logging.LogRecord) -> bool:
    """Whether a line of transformers is for a user: that Pillow resizes pictures where torchvision is missing is not. A film that
    needs torchvision says so (`EngineError`)."""
    return "requires torchvision (not installed); falling back" not in record.getMessage()


def require_diffusers() -> Any:
    """The module; ModelError with the command that installs it where it is missing."""
    logging.getLogger("transformers.utils.import_utils").addFilter(_matters)
    for name in ("accelerate", "transformers", "diffusers"):
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ModelError(
                f"{error.name} is not installed; open models need: pip install 'kinema[open-weights]'"
            ) from None
    return module


class DiffusersEngine:
    """Films with a folder of diffusers.

    Args:
        entry: The model's entry; its source is a folder in the standard or modular format.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        ModelError: The folder is not whole, or names a class that this version of diffusers lacks; a package is missing.
        InputError: This machine does not have the device.
    """

    def __init__(self, entry: ModelEntry, *, device: str = AUTO) -> None:
        self.entry = entry
        self.folder = read_folder(Path(entry.source), entry.gguf)
        self.family = family_for(self.folder)
        self.place = resolve_device(entry.device or device)
        self._pipelines: dict[str, Any] = {}
        self._first: Any = None
        self._adapters: tuple[Lora, ...] = ()

    @cached_property
    def capabilities(self) -> Capabilities:
        """What the folder can film, read without loading its weights."""
        return capabilities_of(self.entry, self.folder, self.family)

    def film(
        self, request: FilmRequest, progress: Progress | None = None, cancelled: Callable[[], bool] = never,
        watch: Watch | None = None,
    ) -> list[Clip]:  # fmt: skip
        """Film a request; see `kinema.engines.Engine`."""
        self.capabilities.check(request)
        parts = Parts(
            capabilities=self.capabilities,
            primitive=lambda one, plan: self._pass([one], plan, progress, cancelled, watch)[0],
            primitives=tuple(self._calls),
            history=max((call.history for call in self._calls.values()), default=0),
        )
        films, clips, together = request.each(), list[Clip](), self._together(request)
        for group in (films[i : i + together] for i in range(0, len(films), together)):
            at_once = self._one_pass(group, progress, cancelled, watch) if len(group) > 1 else parts.primitive
            clips += [film_workflow(replace(parts, primitive=at_once), one, progress) for one in group]
        return clips

    def _together(self, request: FilmRequest) -> int:
        """How many films of a request are filmed in one pass: several where they have no pictures and are not made in parts."""
        plain = request.workflow in ("generate", "still") and not (request.first or request.last or request.pictures)
        if not plain or self.capabilities.batch < 2:
            return 1
        plan = self.capabilities.plan(request.seconds, request.fps, request.size)
        return self.capabilities.batch if request.workflow == "still" or plan.wanted_frames <= plan.frames else 1

    def _one_pass(
        self,
        films: Sequence[FilmRequest],
        progress: Progress | None,
        cancelled: Callable[[], bool],
        watch: Watch | None,
    ) -> Primitive:
        """A primitive that films all these at the first call, and returns them one by one."""
        made: list[Clip] = []

        def primitive(one: FilmRequest, plan: FilmPlan) -> Clip:
            if not made:
                several = [replace(one, prompt=film.prompt, seed=film.seed) for film in films]
                made.extend(self._pass(several, plan, progress, cancelled, watch))
            return made.pop(0)

        return primitive

    def close(self) -> None:
        """Drop the pipelines, and give their memory back to the device."""
        self._pipelines.clear()
        self._first = None
        if self.place.type == "cuda":
            torch.cuda.empty_cache()

    @property
    def _calls(self) -> Mapping[Workflow, Call]:
        return self.family.bases[self.folder.base]

    def _pass(
        self,
        films: Sequence[FilmRequest],
        plan: FilmPlan,
        progress: Progress | None,
        cancelled: Callable[[], bool],
        watch: Watch | None,
    ) -> list[Clip]:
        """One pass of the pipeline: a workflow that it has a class for. films: one, or several that differ by prompt and seed."""
        request = films[0]
        call = self._calls[request.workflow]
        pipeline = self._pipeline(call)
        self._set_loras(pipeline, (*self.entry.loras, *map(self._lora_file, request.loras)))
        steps = request.steps or self.family.steps
        arguments = self._arguments(pipeline, call, request, plan, steps)
        if len(films) > 1:
            arguments["prompt"] = [film.prompt for film in films]
            arguments["generator"] = [torch.Generator("cpu").manual_seed(film.seed) for film in films]
            if arguments.get("negative_prompt"):
                arguments["negative_prompt"] = [request.negative_prompt] * len(films)
        if "strength" in arguments and math.floor(steps * arguments["strength"]) < 1:
            least = math.ceil(1 / arguments["strength"])
            raise InputError(
                f"{steps} steps at strength {arguments['strength']:g} change nothing: ask for at least {least} steps"
            )
        passes = self.family.passes(plan.frames)
        with StepHooks(pipeline, steps, passes, progress, cancelled, watch), _reported(self.entry.name):
            made = pipeline(**arguments)
        return [
            Clip(
                frames=_frames_of(made, i)[call.echoed :],
                fps=plan.fps,
                caption=film.prompt,
                sound=_sound_of(made, pipeline, i),
            )
            for i, film in enumerate(films)
        ]

    def _arguments(self, pipeline: Any, call: Call, request: FilmRequest, plan: FilmPlan, steps: int) -> dict[str, Any]:
        """The arguments of one call, of those that the pipeline takes."""
        takes = self._takes(pipeline)
        guidance = self.family.guidance if request.guidance is None else request.guidance
        width, height = plan.size
        given: dict[str, Any] = {
            **self.entry.arguments,
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt or None,
            "height": height,
            "width": width,
            self.family.frames_name: plan.frames + self.family.dropped,
            "num_inference_steps": steps,
            self.family.guidance_name: guidance,
            "generator": torch.Generator("cpu").manual_seed(request.seed),
            "output_type": "np",
            **call.arguments,
            **self._pictures(call, request, plan),
        }
        if self.family.chunk_name is not None and self.family.chunk is not None:
            given[self.family.chunk_name] = min(self.family.chunk, plan.frames)
        if self.family.fps_name is not None:
            given[self.family.fps_name] = int(plan.fps) if float(plan.fps).is_integer() else plan.fps
        if self.family.guidance_name not in takes and getattr(pipeline, "guider", None) is not None and guidance is not None:
            _guide(pipeline, guidance)
        if self.folder.modular:
            outputs = [one.name for one in pipeline.blocks.outputs]
            given["output"] = [name for name in ("videos", "audio", "sound", "sampling_rate") if name in outputs]
        given = {**self.family.always, **{name: value for name, value in given.items() if value is not None}}
        return {name: value for name, value in given.items() if name in takes}

    def _takes(self, pipeline: Any) -> set[str]:
        """The names of the arguments of a pipeline's call."""
        if self.folder.modular:
            return {one.name for one in pipeline.blocks.inputs} | {"output"}
        return set(inspect.signature(type(pipeline).__call__).parameters)

    def _pictures(self, call: Call, request: FilmRequest, plan: FilmPlan) -> dict[str, Any]:
        """How the known pictures of a request are given to the pipeline."""
        known = [(_picture(clip, plan), _frame_number(at, plan)) for clip, at in request.pictures]
        if call.inputs == "image":
            return {"image": known[0][0]}
        if call.inputs == "frame":
            return {"video": [known[0][0]]}
        if call.inputs == "ends":
            return {"image": known[0][0], "last_image": known[-1][0]}
        if call.inputs == "conditions":
            rule = self.family.condition
            assert rule is not None
            kind = _named_class(rule.kind)
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
            return {call.control: [_named_class(call.control_kind)(frames=frames)]}
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

    def _pipeline(self, call: Call) -> Any:
        """The pipeline of a workflow, of the components of the first one."""
        if call.pipeline not in self._pipelines:
            first = self._load() if self._first is None else self._first
            wanted = getattr(require_diffusers(), call.pipeline, None)
            if wanted is None:
                raise ModelError(f"this version of diffusers has no {call.pipeline}; upgrade it: pip install -U diffusers")
            with _reported(self.entry.name):
                self._pipelines[call.pipeline] = first if type(first) is wanted else _shared(first, wanted)
        return self._pipelines[call.pipeline]

    def _load(self) -> Any:
        """Load the folder once, with the data type and the memory plan of its entry."""
        diffusers = require_diffusers()
        diffusers.utils.logging.disable_progress_bar()
        importlib.import_module("transformers").utils.logging.disable_progress_bar()
        dtype = (
            DTYPES[self.entry.dtype] if self.entry.dtype else torch.bfloat16 if self.place.type == "cuda" else torch.float32
        )
        given = gguf_components(self.entry, self.folder, dtype)
        with _reported(self.entry.name):
            if self.folder.modular:
                pipeline = diffusers.ModularPipeline.from_pretrained(self.folder.path, local_files_only=True)
                where = {"pretrained_model_name_or_path": str(self.folder.path), "dtype": dtype, "local_files_only": True}
                wanted = [name for name in self.folder.components if name not in given]
                pipeline.load_components(names=wanted, **where)
                for component in pipeline.null_component_names:
                    if component in wanted:
                        _load_again(pipeline, component, where)
                pipeline.update_components(**given)
            else:
                pipeline = getattr(diffusers, self.folder.base).from_pretrained(
                    self.folder.path, dtype=dtype, local_files_only=True, **quantization(self.entry, dtype), **given
                )
        self._first = pipeline
        self._place(pipeline)
        if self.family.tiled:
            pipeline.vae.enable_tiling()
        return pipeline

    def _place(self, pipeline: Any) -> None:
        """Put the weights on the device: all of them where there is room, else part by part as they are used."""
        method = self.entry.offload
        if self.place.type == "cpu":
            if method not in ("auto", "none"):
                raise ModelError(f"offload {method!r} needs a GPU, and {self.entry.name} runs on the CPU; use auto or none")
        elif method == "auto":
            free = torch.cuda.mem_get_info(self.place)[0] if self.place.type == "cuda" else 1 << 60
            method = "none" if self.folder.bytes * 1.25 < free else "model"
            sizes = self.folder.bytes / 1e9, free / 1e9
            log.info("%s: %.1f GB of weights, %.1f GB free, offload %s", self.entry.name, *sizes, method)
        if method in ("model", "group"):
            offload(pipeline, method, self.place)
        else:
            pipeline.to(self.place)
        if self.entry.compile:
            for name in ("transformer", "transformer_2", "unet"):
                if getattr(pipeline, name, None) is not None:
                    getattr(pipeline, name).compile_repeated_blocks(fullgraph=True)
        if self.entry.cache == "first-block":
            pipeline.transformer.enable_cache(require_diffusers().FirstBlockCacheConfig(threshold=0.05))

    def _lora_file(self, lora: Lora) -> Lora:
        """A LoRA by its name, as its file; by its file, itself."""
        return replace(lora, source=self.entry.lora_files.get(lora.source, lora.source))

    def _set_loras(self, pipeline: Any, loras: tuple[Lora, ...]) -> None:
        """Load and weigh exactly these LoRA files; those of the film before are dropped."""
        if loras == self._adapters:
            return
        if not hasattr(pipeline, "load_lora_weights"):
            raise InputError(f"{self.entry.name} takes no LoRA: leave it out, or name another model")
        if self._adapters:
            pipeline.unload_lora_weights()
            self._adapters = ()
        for lora in loras:
            check_lora(lora)
        for i, lora in enumerate(loras):
            try:
                pipeline.load_lora_weights(lora.source, adapter_name=f"lora{i}")
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                pipeline.unload_lora_weights()
                raise ModelError(f"LoRA {lora.source} cannot be loaded: {str(error).splitlines()[0]}") from None
        if loras:
            pipeline.set_adapters([f"lora{i}" for i in range(len(loras))], [lora.scale for lora in loras])
        self._adapters = loras


def family_for(folder: ModelFolder) -> Family:
    """The rules of a folder, by its class or by its pipeline's signature."""
    diffusers = require_diffusers()
    for name in filter(None, (folder.base, folder.blocks)):
        if getattr(diffusers, name, None) is None:
            raise ModelError(
                f"{folder.path} is for {name}, which diffusers {diffusers.__version__} does not have; upgrade it: pip install -U"
                " diffusers"
            )
    blocks = getattr(diffusers, folder.blocks)() if folder.modular and folder.blocks else None
    known = family_of(folder.base, folder.settings, folder.configs, blocks)
    if known is not None:
        return known
    if blocks is not None:
        return from_blocks(folder.base, blocks, folder.configs)
    return from_signature(folder.base, getattr(diffusers, folder.base).__call__, folder.configs)


def controls_of(entry: ModelEntry, calls: Mapping[Workflow, Call]) -> tuple[Control, ...]:
    """What of a scene can steer a pipeline: what its entry says; else one that fills masks takes depth and outlines, one that goes
    by a film that film."""
    if entry.controls:
        return entry.controls
    if "edit" not in calls or calls["edit"].inputs not in ("vace", "video"):
        return ()
    return ("depth", "edges", "coarse") if calls["edit"].inputs == "vace" else ("coarse",)


def capabilities_of(entry: ModelEntry, folder: ModelFolder, family: Family) -> Capabilities:
    """The document of a folder, without loading it."""
    calls = family.bases[folder.base]
    controls = controls_of(entry, calls)
    primitives = tuple(name for name in calls if name != "restyle" or controls)
    if not primitives:
        raise ModelError(
            f"{entry.name} paints by a drawing of a scene: say which it was trained on, --control {' or '.join(CONTROLS)}"
        )
    _check_options(entry, folder, calls)
    taken = {workflow: arguments_of(folder, call) for workflow, call in calls.items()}
    _check_arguments(entry, family, calls, set().union(*taken.values()))
    pipeline = getattr(require_diffusers(), next(iter(calls.values())).pipeline, None)
    workflows = derived_workflows(primitives, family.frames, **edits(calls))
    listed = entry.arguments.keys() & LISTED_STEPS
    goes_on = bool({"image", "keyframes", "extend", "upscale"} & calls.keys())
    return Capabilities(
        model=entry.name, engine="diffusers", family=family.name,
        workflows=workflows, unused=_unused(folder, family, workflows, taken, listed=bool(listed)),
        size=family.size, fps=family.fps, seconds=round(family.usual_frames / family.fps, 3), frames=family.frames,
        multiple=family.multiple, most_pixels=family.most_pixels,
        most_seconds=None if goes_on or family.frames.most is None else family.frames.most / family.fps,
        steps=max((len(entry.arguments[name]) for name in listed), default=family.steps), guidance=family.guidance,
        negative_prompt="negative_prompt" in next(iter(taken.values())), sound=family.sound,
        strength=0.8 if "strength" in taken.get("edit", ()) else None, masks=any(call.inputs == "vace" for call in calls.values()),
        controls=controls,
        loras=hasattr(pipeline, "load_lora_weights"),
        lora_names=tuple(entry.lora_files),
        batch=entry.batch if "generate" in calls and calls["generate"].pipeline in BATCHED else 1,
        license=entry.license or _license_of(folder, family), memory_bytes=folder.bytes,
        seconds_per_second=entry.seconds_per_second, weights_sha256=entry.weights_sha256,
    )  # fmt: skip


def arguments_of(folder: ModelFolder, call: Call) -> frozenset[str]:
    """The names of the arguments that the pipeline of a workflow takes, "guider" among them where guidance is set in one; none
    where the folder does not say."""
    diffusers = require_diffusers()
    if folder.modular:
        blocks = getattr(diffusers, folder.blocks)() if folder.blocks else None
        if blocks is None:
            return frozenset()
        parts = {one.name for one in blocks.expected_components} & {"guider"}
        return frozenset({one.name for one in blocks.inputs if one.name} | parts)
    pipeline = getattr(diffusers, call.pipeline, None)
    names = () if pipeline is None else inspect.signature(pipeline.__call__).parameters
    return frozenset({*names, *({*folder.components} & {"guider"})} - {"self", "args", "kwargs"})


def _unused(
    folder: ModelFolder,
    family: Family,
    workflows: Sequence[Workflow],
    taken: Mapping[Workflow, frozenset[str]],
    *,
    listed: bool,
) -> dict[Workflow, tuple[str, ...]]:
    """What of a request changes nothing, by workflow: what its pipeline has no argument for. listed: the entry's arguments list the
    times of the steps."""
    unused: dict[Workflow, tuple[str, ...]] = {}
    for workflow in workflows:
        by = primitive_of(workflow, tuple(taken))
        takes = taken[by] if by is not None else frozenset()
        if not takes:
            continue
        heard = {
            "prompt": "prompt" in takes, "steps": "num_inference_steps" in takes and not listed,
            "guidance": bool({family.guidance_name, "guider"} & takes), "negative_prompt": "negative_prompt" in takes,
            "strength": "strength" in takes or workflow not in ("edit", "restyle", "upscale"),
        }  # fmt: skip
        lacks = tuple(name for name, is_heard in heard.items() if not is_heard)
        if lacks:
            unused[workflow] = lacks
    return unused


LISTED_STEPS = frozenset(("timesteps", "sigmas"))
"""Arguments that say the times of all steps, and with them how many there are."""
OWN_ARGUMENTS = frozenset((
    "prompt", "prompt_2", "prompt_3", "negative_prompt", "negative_prompt_2", "negative_prompt_3", "height", "width",
    "num_inference_steps", "generator", "output_type", "output", "return_dict", "image", "last_image", "video", "mask",
    "conditions", "strength", "reference_images", "pose_video", "face_video", "latents", "num_videos_per_prompt",
    "callback_on_step_end",
))  # fmt: skip
"""Arguments of pipelines that films are asked for by, or that say what comes back."""


def _check_arguments(entry: ModelEntry, family: Family, calls: Mapping[Workflow, Call], taken: set[str]) -> None:
    """InputError for arguments of an entry that a request or this engine sets, that no pipeline of the folder takes, or that say
    the times of steps otherwise than in a list. taken: all that its pipelines take."""
    names = {family.frames_name, family.guidance_name, family.fps_name, family.chunk_name, *family.always}
    names |= OWN_ARGUMENTS | {name for call in calls.values() for name in (*call.arguments, call.control)}
    for name, value in entry.arguments.items():
        if name in names:
            raise InputError(
                f"arguments of {entry.name}: {name} is set for each film by what is asked for; leave it out here, and ask for it"
            )
        if taken and (name not in taken or name == "guider"):
            near = difflib.get_close_matches(name, taken - names - {"guider"}, 1)
            known = (
                f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(taken - names - {'guider'})) or 'none'}"
            )
            raise InputError(f"arguments of {entry.name}: its pipeline takes no {name}; {known}")
        if name in LISTED_STEPS and not (isinstance(value, list) and value):
            raise InputError(
                f"arguments of {entry.name}: {name} is {str(value)[:40]}: expected a list of the times of all steps"
            )


def _check_options(entry: ModelEntry, folder: ModelFolder, calls: Mapping[Workflow, Call]) -> None:
    """ModelError for an option of an entry that its folder cannot have."""
    network = "transformer" in folder.components
    batched = "generate" in calls and calls["generate"].pipeline in BATCHED
    kind = "is a modular folder, whose weights are loaded as they are" if folder.modular else "has no transformer"
    edited = calls["edit"].inputs if "edit" in calls else ""
    by_drawing = "restyle" in calls or edited == "vace"
    odd = () if by_drawing else tuple(one for one in entry.controls if edited != "video" or one != "coarse")
    one_way = (
        "edits films as they look, steered by coarse alone" if edited == "video" else "is steered by no drawing of a scene"
    )
    refused = (
        (f"quantize {entry.quantize}", bool(entry.quantize) and (folder.modular or not network), kind),
        (f"cache {entry.cache}", bool(entry.cache) and (folder.modular or not network), kind),
        (f"batch {entry.batch}", entry.batch > 1 and not batched, "films one prompt at a time"),
        (f"control {', '.join(odd)}", bool(odd), one_way),
    )
    for option, is_refused, why in refused:
        if is_refused:
            raise ModelError(f"{option}: {entry.name} {why}; leave it out")
    unknown = sorted(entry.gguf.keys() - set(folder.components))
    if unknown:
        raise ModelError(f"{folder.path} has no {unknown[0]!r} for a GGUF file; it has {', '.join(folder.components)}")


def _license_of(folder: ModelFolder, family: Family) -> License:
    """What the card names, with the limits of the family's license where neither is free; without a name, the family's."""
    named, usual = folder.license, family.license
    if named.name in ("", "other") and usual.name:
        return replace(usual, link=named.link or usual.link)
    if named.must_accept and usual.must_accept:
        return replace(usual, name=named.name, link=named.link or usual.link)
    return named


def _named_class(path: str) -> Any:
    """A class by its module and name."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _shared(first: Any, wanted: Any) -> Any:
    """A pipeline of another class of the same components. Those that it can do without are left out."""
    needed, optional = _components_of(wanted)
    known = {name: part for name, part in first.components.items() if name in needed | optional}
    known |= {name: value for name, value in dict(first.config).items() if name in optional and name not in known}
    missing = sorted(needed - known.keys())
    if missing:
        raise ModelError(f"{wanted.__name__} needs {', '.join(missing)}, which this folder does not have")
    made = wanted(**known)
    return made


def _load_again(pipeline: Any, component: str, where: Mapping[str, Any]) -> None:
    """Raise why a component of a modular folder was not loaded, which diffusers only logs."""
    try:
        pipeline.get_component_spec(component).load(**where)
    except ValueError as error:
        if isinstance(error.__context__, ImportError):
            raise error.__context__ from None
        raise


def _guide(pipeline: Any, scale: float) -> None:
    """Set the strength of guidance of a pipeline that has it in a component."""
    guider = pipeline.guider.new(guidance_scale=scale)
    if hasattr(pipeline, "update_components"):
        pipeline.update_components(guider=guider)
    else:
        pipeline.guider = guider


def _components_of(wanted: Any) -> tuple[set[str], set[str]]:
    """Names that a pipeline's class must be given, and those with a default."""
    parameters = [p for name, p in inspect.signature(wanted.__init__).parameters.items() if name != "self"]
    optional = {p.name for p in parameters if p.default is not inspect.Parameter.empty}
    optional |= set(getattr(wanted, "_optional_components", ()))
    return {p.name for p in parameters} - optional, optional


@contextmanager
def _reported(name: str) -> Iterator[None]:
    """What goes wrong in a pipeline as one line: memory, a bad value, or an error of the model's own code."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise EngineError(
            f"{name} ran out of memory; ask for a shorter or smaller film, or add the model with --offload model",
            "out_of_memory",
        ) from None
    except NameError as error:
        raise EngineError(f"{name} needs a package that is missing ({error}); try: pip install torchvision") from error
    except ImportError as error:
        raise EngineError(f"{name} needs a package that is missing: {' '.join(str(error).split())[:300]}") from error
    except (
        ValueError,
        TypeError,
        RuntimeError,
        OSError,
        NotImplementedError,
        AttributeError,
        KeyError,
    ) as error:
        if isinstance(error, RuntimeError) and "allocate memory" in str(error):
            raise EngineError(f"{name} ran out of memory; ask for a shorter or smaller film", "out_of_memory") from None
        if isinstance(error, InputError):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise EngineError(f"{name} failed: {type(error).__name__}: {lines[0][:300]}") from error


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


def _output(made: Any, *names: str) -> Any:
    """What a pipeline returned under one of these names; None if there is none."""
    for name in names:
        value = made.get(name) if isinstance(made, dict) else getattr(made, name, None)
        if value is not None:
            return value
    return None


def _frames_of(made: Any, sample: int = 0) -> Frames:
    """Pixels uint8 [T, H, W, 3] of one of the films that a pipeline returned."""
    frames = _output(made, "frames", "videos", "video", "images")
    whole = isinstance(frames, list) and not isinstance(frames[0], list | np.ndarray)
    first = frames[sample] if (isinstance(frames, list) and not whole) or (not whole and np.ndim(frames) == 5) else frames
    if isinstance(first, list):
        first = np.stack([np.asarray(picture) for picture in first])
    if isinstance(first, torch.Tensor):
        first = first.float().cpu().numpy()
    array: NDArray[Any] = np.asarray(first)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if not np.isfinite(array).all():
        raise EngineError("the model made pixels that are no numbers; use --dtype fp32 or bf16")
    pixels: Frames = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    return pixels


def _sound_of(made: Any, pipeline: Any, sample: int = 0) -> Sound | None:
    """The sound of one of the films that a pipeline returned, if it made some."""
    audio = _output(made, "audio", "sound")
    if audio is None:
        return None
    samples = audio[sample] if np.ndim(audio) == 3 or isinstance(audio, list) else audio
    array = samples.float().cpu().numpy() if isinstance(samples, torch.Tensor) else np.asarray(samples)
    array = array[:, None] if array.ndim == 1 else array.T if array.shape[0] in (1, 2) else array
    rates = [getattr(getattr(pipeline, name, None), "config", {}) for name in ("vocoder", "sound_tokenizer", "audio_vae")]
    rate = int(
        _output(made, "sampling_rate")
        or next((one[key] for one in rates for key in ("output_sampling_rate", "sampling_rate") if key in one), 24_000)
    )
    if rate not in RATES:
        raise EngineError(f"the model made sound of {rate} samples a second; expected one of {', '.join(map(str, RATES))}")
    return Sound(samples=np.rint(array.clip(-1, 1) * 32767).astype(np.int16), rate=rate)
