"""What a folder of diffusers can film, read without loading its weights, and what its entry may ask of it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kinema.engines.compose import derived_workflows, primitive_of
from kinema.engines.diffusers.families import BATCHED, Call, Family, edits, family_of, from_blocks, from_signature
from kinema.engines.diffusers.folder import ModelFolder
from kinema.engines.diffusers.loading import require_diffusers
from kinema.engines.protocol import Capabilities, License, Workflow
from kinema.engines.registry import ModelEntry
from kinema.errors import InputError, ModelError
from kinema.playground.controls import CONTROLS, Control

LISTED_STEPS = frozenset(("timesteps", "sigmas"))
"""Arguments that say the times of all steps, and with them how many there are."""

OWN_ARGUMENTS = frozenset((
    "prompt", "prompt_2", "prompt_3", "negative_prompt", "negative_prompt_2", "negative_prompt_3", "height", "width",
    "num_inference_steps", "generator", "output_type", "output", "return_dict", "image", "last_image", "video", "mask",
    "conditions", "strength", "reference_images", "pose_video", "face_video", "latents", "num_videos_per_prompt",
    "callback_on_step_end",
))  # fmt: skip
"""Arguments of pipelines that films are asked for by, or that say what comes back."""


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
