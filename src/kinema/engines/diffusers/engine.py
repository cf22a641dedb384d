"""A pipeline of diffusers as an engine: one copy of the weights serves all workflows that its components can do.

Frames are those that the plain pipeline returns for the same seed, rounded to bytes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from kinema.devices import AUTO, resolve_device
from kinema.engines.compose import Parts, Primitive, film_workflow
from kinema.engines.diffusers.capabilities import capabilities_of, family_for
from kinema.engines.diffusers.failures import reported
from kinema.engines.diffusers.families import Call
from kinema.engines.diffusers.folder import read_folder
from kinema.engines.diffusers.hooks import StepHooks
from kinema.engines.diffusers.inputs import known_pictures
from kinema.engines.diffusers.loading import load_pipeline, require_diffusers, shared_pipeline
from kinema.engines.diffusers.output import frames_of, sound_of
from kinema.engines.protocol import Capabilities, FilmPlan, FilmRequest, Lora, Watch, Workflow, never
from kinema.engines.registry import ModelEntry, check_lora
from kinema.errors import InputError, ModelError
from kinema.inference.pipeline import Progress
from kinema.media import Clip


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
        with StepHooks(pipeline, steps, passes, progress, cancelled, watch), reported(self.entry.name):
            made = pipeline(**arguments)
        return [
            Clip(
                frames=frames_of(made, i)[call.echoed :],
                fps=plan.fps,
                caption=film.prompt,
                sound=sound_of(made, pipeline, i),
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
            **known_pictures(self.family, call, request, plan),
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

    def _pipeline(self, call: Call) -> Any:
        """The pipeline of a workflow, of the components of the first one."""
        if call.pipeline not in self._pipelines:
            if self._first is None:
                self._first = load_pipeline(self.entry, self.folder, self.family, self.place)
            first = self._first
            wanted = getattr(require_diffusers(), call.pipeline, None)
            if wanted is None:
                raise ModelError(f"this version of diffusers has no {call.pipeline}; upgrade it: pip install -U diffusers")
            with reported(self.entry.name):
                self._pipelines[call.pipeline] = first if type(first) is wanted else shared_pipeline(first, wanted)
        return self._pipelines[call.pipeline]

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


def _guide(pipeline: Any, scale: float) -> None:
    """Set the strength of guidance of a pipeline that has it in a component."""
    guider = pipeline.guider.new(guidance_scale=scale)
    if hasattr(pipeline, "update_components"):
        pipeline.update_components(guider=guider)
    else:
        pipeline.guider = guider
