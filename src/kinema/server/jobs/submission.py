"""Turns requests for videos into queued jobs: resolves references, computes sizes, lengths and costs, and runs moderation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from kinema.engines.catalog import capabilities_named, others_with_controls
from kinema.engines.protocol import FilmRequest, Workflow, workflow_of
from kinema.errors import ApiError
from kinema.inference import limits
from kinema.media import Clip
from kinema.server.api.bodies import MOST_TEXT, Body
from kinema.server.api.errors import refuse
from kinema.server.api.video_object import SOUND, Video, video_object
from kinema.server.api.video_schema import (
    MOST_TITLE,
    BlendVideos,
    CreateVideo,
    JoinVideos,
    Keyframe,
    NamedLora,
    RenderState,
    RestyleVideo,
    VideoRequest,
    camera_of,
    check_allowed,
    check_names_something,
    cuts_of,
    model_for,
    normalize,
    note_unknown_words,
    requested_size,
    seed_of,
)
from kinema.server.auth import Caller
from kinema.server.billing import cost
from kinema.server.characters import Characters
from kinema.server.jobs.queue import Repeat
from kinema.server.jobs.render import loras_in, shape_of
from kinema.server.jobs.sources import noted_cut_size
from kinema.server.services import Services
from kinema.server.storage.artifacts import new_id
from kinema.server.storage.uploads import Sent
from kinema.server.worlds.files import scene_of


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try to accept a request. repeat: what makes it the same as another. stored_files: ids of the files stored for it. trial:
    nothing is accepted; it only shows whether the request could be."""

    caller: Caller
    repeat: Repeat | None = None
    stored_files: list[str] = field(default_factory=list)
    trial: bool = False


WORKFLOW_OF: dict[str, Workflow] = {
    "edit": "edit",
    "remix": "edit",
    "extend": "extend",
    "blend": "blend",
    "loop": "blend",
    "upscale": "upscale",
}
"""What an engine must be able to do for a kind of job."""
FILMED = ("generate", "render", "restyle", *WORKFLOW_OF)
"""Kinds of jobs that are filmed by their model; others are cut out of films."""
JobValues = dict[str, Any]
"""The columns of a job that is accepted."""
Take = Callable[[Attempt], Video]


class Submission:
    """Accepts requests for videos; each method returns the video object of the accepted job."""

    def __init__(self, services: Services) -> None:
        self.services, self.characters = services, Characters(services)

    def once(self, take: Take, given: Body, caller: Caller, token: str | None, address: str) -> Video:
        """Accept a request once: requests with the same Idempotency-Key, content and address return the same job."""
        repeat = None
        if token is not None:
            digested = json.dumps([address, dict(given)], sort_keys=True, default=_digest)
            repeat = Repeat(token=_digest(token), digest=_digest(digested))
            first = self.services.queue.repeated(caller.key_id, repeat)
            if first is not None:
                return video_object(self.services, first)
        attempt = Attempt(caller=caller, repeat=repeat)
        try:
            video = take(attempt)
        except Exception:
            self._delete_files(attempt.stored_files)
            twin = None if repeat is None else self.services.queue.repeated(caller.key_id, repeat)
            if twin is None:
                raise
            return video_object(self.services, twin)  # an identical concurrent request was accepted first
        if attempt.stored_files and not self._uses(video.id, attempt.stored_files):
            self._delete_files(attempt.stored_files)
        return video

    def _uses(self, id: str, stored_files: list[str]) -> bool:
        """Whether a job refers to any of these files; of two identical requests only one job does."""
        request_text = json.dumps(self.services.queue.get(id, None, deleted=True).request)
        return any(file in request_text for file in stored_files)

    def _delete_files(self, stored_files: list[str]) -> None:
        for id in stored_files:
            with suppress(ApiError):
                self.services.uploads.remove(id, None)

    def create(self, given: CreateVideo, attempt: Attempt) -> Video:
        """Submit a video from a prompt and pictures."""
        return self._accept(attempt, self._film(given, attempt))

    def change(self, kind: str, given: VideoRequest, attempt: Attempt, *, remixed_from: str | None = None) -> Video:
        """Submit a video made from others: edit, remix, extend, blend, loop, trim."""
        return self._accept(attempt, self._change(kind, given, attempt, remixed_from=remixed_from))

    def estimate(self, kind: str, given: VideoRequest, caller: Caller) -> JobValues:
        """The job that a request would become; what is refused of the request itself is refused, but not what depends on the
        moment: a used-up quota, a full queue, a full disk. Files that came with the request are not kept."""
        attempt = Attempt(caller=caller, trial=True)
        try:
            if isinstance(given, CreateVideo):
                return self._film(given, attempt)
            if isinstance(given, RestyleVideo):
                return self._restyle(given, attempt)
            return self._change(kind, given, attempt)
        finally:
            self._delete_files(attempt.stored_files)

    def _film(self, given: CreateVideo, attempt: Attempt) -> JobValues:
        """The job of a video from a prompt and pictures."""
        if given.blend is not None:
            shared = {name: value for name, value in given if name in BlendVideos.model_fields}
            return self._change("blend", BlendVideos(**shared, a=given.blend.a, b=given.blend.b), attempt)
        caller = attempt.caller
        model, request, _ = normalize(self.services, given, seconds=given.seconds, fps=given.fps)
        width, height = limits.parse_size(request["size"])
        price = cost(width, height, request["seconds"], request["fps"], request["steps"])
        if not attempt.trial:
            self.services.queue.check(caller.key_id, price, caller.concurrency)
        if not (given.prompt.strip() or given.input_reference or given.last or given.keyframes):
            raise ApiError(
                400, "prompt is missing: say what happens, or give a picture", param="prompt", code="missing_value"
            )
        request["prompt"] = self.characters.replace_names(request["prompt"], given.characters, caller)
        if given.input_reference is not None:
            request["image"] = self._resolve(given.input_reference, "input_reference", attempt)
        if given.last is not None:
            request["last"] = self._resolve(given.last, "last", attempt)
        frames = self._keyframes(given.keyframes or [], request, attempt)
        if frames:
            request["keyframes"] = frames
        if given.guides is not None and given.guides.camera is not None:
            request["camera"] = camera_of(given.guides.camera)
        references = [request.get("image"), request.get("last"), *(frame["picture"] for frame in frames)]
        shown = [reference for reference in references if reference]
        if not shown and not self.services.settings.any_prompt:
            check_names_something(request["prompt"], model)
        if shown and not given.size:
            request["size"] = _fitted(model, _source(self.services, shown[0])["size"], request["notes"])
            width, height = limits.parse_size(request["size"])
            usual = capabilities_named(model)
            usual.check_film(request["seconds"], request["fps"], (width, height), mend="pass fps={fps:g}")
        if given.negative_prompt:
            request["negative_prompt"] = given.negative_prompt
        request |= _loras_of(given.loras, model)
        capabilities_named(model).check(_asked_of_engine(request))
        sources = [reference["video"] for reference in shown if "video" in reference]
        return self._job(
            attempt, "generate", model, request, sources=sources, given=given, seconds=request["seconds"],
            size=request["size"],
        )  # fmt: skip

    def _resolve(self, given: Any, param: str, attempt: Attempt) -> dict[str, str]:
        caller = attempt.caller
        return self.services.uploads.resolve(given, caller.sees, caller.key_id, param, stored_files=attempt.stored_files)

    def _keyframes(self, given: list[Keyframe], request: dict[str, Any], attempt: Attempt) -> list[dict[str, Any]]:
        """Resolve keyframes and check that each lies within the video."""
        frames: list[dict[str, Any]] = []
        for i, frame in enumerate(given):
            if round(frame.at * request["fps"]) >= round(request["seconds"] * request["fps"]):
                raise refuse(f"keyframes[{i}].at", frame.at, f"a second before the end, {request['seconds']:g}")
            frames.append({"picture": self._resolve(frame.picture, f"keyframes[{i}].picture", attempt), "at": frame.at})
        return frames

    def _change(self, kind: str, given: VideoRequest, attempt: Attempt, *, remixed_from: str | None = None) -> JobValues:
        """The job of a video made from others. A trim keeps its source's size and rate,
        whatever the model films."""
        wanted = dict(given)
        prompt: str = wanted.get("prompt", "")
        model, notes = model_for(given.model, self.services.settings.aliases)
        usual = capabilities_named(model)
        usual.check_prompt(prompt, strict=given.strict)
        note_unknown_words(prompt, model, notes)
        if not attempt.trial:
            self.services.queue.check(attempt.caller.key_id, 0.0, attempt.caller.concurrency)
        known = {
            name: self._resolve(wanted[name], name, attempt)
            for name in ("video", "a", "b", "mask")
            if wanted.get(name) is not None
        }
        first = _source(self.services, known["a" if kind == "blend" else "video"])
        named_size = requested_size(given.size, given.model, model, notes)
        if kind == "trim":
            wanted["cuts"] = cuts_of(wanted["cuts"], first["seconds"], first["fps"])
            size = named_size or noted_cut_size(first, wanted["cuts"], notes)
        elif kind == "upscale":
            size = named_size or _twice(model, first["size"])
        else:
            size = named_size or _fitted(model, first["size"], notes)
        if named_size or kind != "trim":
            size = "x".join(map(str, usual.check_size(size)))
        if kind == "upscale":
            _check_larger(size, first["size"])
        sources_known = [_source(self.services, reference) for name, reference in known.items() if name != "mask"]
        notes += [note for source in sources_known for note in source["notes"]]
        if kind in ("extend", "blend", "loop") and any(source["has_sound"] for source in sources_known):
            notes.append("the sound is kept; the new part is silent")
        width, height = limits.parse_size(size)
        if kind in WORKFLOW_OF:
            usual.check(_settings_in(wanted, WORKFLOW_OF[kind]))
        if "mask" in known and not usual.masks:
            raise ApiError(
                400, f"{model} takes no mask: leave it out, or name another model", param="mask", code="invalid_value"
            )
        seconds: float = first["seconds"]
        extra_s = wanted.get("seconds") or (1.0 if kind == "loop" else 2.0)
        if kind in ("extend", "loop", "blend"):
            seconds += extra_s
        if kind == "blend":
            seconds += _source(self.services, known["b"])["seconds"]
        made_s = extra_s if kind in ("extend", "loop", "blend") else seconds
        if kind == "trim":
            made_s = seconds = sum(end - start for start, end in wanted["cuts"])
        else:
            usual.check_film(made_s, first["fps"], (width, height), mend="resample the video first: clip.resample({fps:g})")
        check_allowed(self.services.settings, made_s, given.steps)
        request = {
            **{name: wanted.get(name) for name in ("steps", "guidance", "strict", "label", "strength", "before", "cuts")}, **known,
            "prompt": prompt, "seconds": extra_s, "size": size, "fps": first["fps"], "notes": notes, "seed": seed_of(given),
        }  # fmt: skip
        sources = [reference["video"] for reference in known.values() if "video" in reference]
        return self._job(
            attempt, kind, model, request, sources=sources, given=given, remixed_from=remixed_from,
            seconds=seconds, size=size, called=prompt or first["prompt"],
        )  # fmt: skip

    def join(self, given: JoinVideos, attempt: Attempt) -> Video:
        """Submit parts of several videos as one, at the size and frame rate of the first unless others are asked for."""
        model, notes = model_for(given.model, self.services.settings.aliases)
        self.services.queue.check(attempt.caller.key_id, 0.0, attempt.caller.concurrency)
        parts: list[dict[str, Any]] = []
        sources: list[dict[str, Any]] = []
        for i, part in enumerate(given.parts):
            reference = self._resolve(part.video, f"parts[{i}].video", attempt)
            source = _source(self.services, reference)
            end = source["seconds"] if part.end is None else part.end
            ((start, end),) = cuts_of([(part.start, end)], source["seconds"], source["fps"], f"parts[{i}]")
            parts.append({"video": reference, "start": start, "end": end})
            sources.append(source)
            notes += [note for note in source["notes"] if note not in notes]
        first = sources[0]
        named_size = requested_size(given.size, given.model, model, notes)
        size = named_size or noted_cut_size(first, [(part["start"], part["end"]) for part in parts], notes)
        if named_size and size != first["size"]:
            size = "x".join(map(str, capabilities_named(model).check_size(size)))
        seconds = sum(part["end"] - part["start"] for part in parts)
        check_allowed(self.services.settings, seconds, None)
        request = {
            "parts": parts, "prompt": given.prompt, "seconds": seconds, "size": size, "fps": given.fps or first["fps"],
            "notes": notes, "seed": seed_of(given), "steps": None, "label": given.label,
        }  # fmt: skip
        videos = [part["video"]["video"] for part in parts if "video" in part["video"]]
        prompts = dict.fromkeys(source["prompt"] for source in sources if source["prompt"])
        job = self._job(
            attempt, "join", model, request, sources=list(dict.fromkeys(videos)), given=given, seconds=seconds,
            size=size, called=given.prompt or ", ".join(prompts)[:MOST_TEXT],
        )  # fmt: skip
        return self._accept(attempt, job)

    def record(self, clip: Clip, name: str, model: str, attempt: Attempt) -> Video:
        """Submit frames of a world, as they were rendered, for the gallery. model: that of the world."""
        seconds, size = clip.duration_s, clip.size
        check_allowed(self.services.settings, seconds, None)
        self.services.queue.check(
            attempt.caller.key_id, cost(*limits.parse_size(size), seconds, clip.fps), attempt.caller.concurrency
        )
        file = self.services.uploads.store_clip(attempt.caller.key_id, clip, f"{name}.mp4").id
        attempt.stored_files.append(file)
        request: dict[str, Any] = {
            "video": {"file": file}, "prompt": name, "seconds": seconds, "size": size, "fps": clip.fps,
            "seed": clip.settings.get("seed"), "steps": None, "notes": [],
        }  # fmt: skip
        given = VideoRequest.model_validate({"title": name[:MOST_TITLE]})
        job = self._job(attempt, "record", model, request, sources=[], given=given, seconds=seconds, size=size)
        return self._accept(attempt, job)

    def render(self, given: RenderState, attempt: Attempt) -> Video:
        """Submit a video rendered from a scene state."""
        model, request, _ = normalize(self.services, given)
        scene = scene_of(given.state)
        seconds = scene.num_frames / scene.fps
        width, height = limits.parse_size(request["size"])
        usual = capabilities_named(model)
        if not usual.state:
            raise refuse("model", model, "one with a state, such as kinema-tiny, to film a state")
        usual.check_film(seconds, scene.fps, (width, height), mend="resample the state first: scene.resample({fps:g})")
        wanted = {**request, "state": scene.to_dict(), "fps": scene.fps, "seconds": seconds}
        job = self._job(attempt, "render", model, wanted, sources=[], given=given, seconds=seconds, size=request["size"])
        return self._accept(attempt, job)

    def restyle(self, given: RestyleVideo, attempt: Attempt) -> Video:
        """Submit a state painted by another model."""
        return self._accept(attempt, self._restyle(given, attempt))

    def _restyle(self, given: RestyleVideo, attempt: Attempt) -> JobValues:
        """The job of a state painted by another model."""
        model, notes = model_for(given.model, self.services.settings.aliases)
        usual = capabilities_named(model)
        if not usual.controls:
            raise refuse("model", model, f"one that a state can steer{others_with_controls()}")
        if given.control is not None and given.control not in usual.controls:
            raise refuse("control", given.control, f"{' or '.join(usual.controls)}, by which {model} can be steered")
        if (given.video is None) == (given.state is None):
            raise ApiError(400, "restyle needs either a video or a state", param="video", code="missing_value")
        loras = _loras_of(given.loras, model)
        usual.check(_settings_in({**dict(given), **loras}, "restyle"))
        request: dict[str, Any] = {}
        if given.state is not None:
            scene = scene_of(given.state)
            seconds, request["state"] = scene.num_frames / scene.fps, scene.to_dict()
        else:
            request["video"] = self._resolve(given.video, "video", attempt)
            seconds = _source(self.services, request["video"])["seconds"]
        width, height = usual.check_size(requested_size(given.size, given.model, model, notes))
        usual.check_film(seconds, usual.fps, (width, height))
        check_allowed(self.services.settings, seconds, given.steps)
        request |= {
            "prompt": given.prompt, "seconds": seconds, "size": f"{width}x{height}", "fps": usual.fps, "seed": seed_of(given),
            "steps": given.steps, "guidance": given.guidance, "label": given.label, "notes": notes, "control": given.control,
            "strength": given.strength, "negative_prompt": given.negative_prompt, **loras,
        }  # fmt: skip
        sources = [request["video"]["video"]] if "video" in request.get("video", {}) else []
        return self._job(
            attempt, "restyle", model, request, sources=sources, given=given, seconds=seconds, size=request["size"]
        )

    def _job(
        self, attempt: Attempt, kind: str, model: str, request: dict[str, Any], *, sources: list[str], given: VideoRequest,
        remixed_from: str | None = None, seconds: float, size: str, called: str | None = None,
    ) -> JobValues:  # fmt: skip
        """The job of a request; 400 if moderation refuses its prompt, 403 if the model's license does."""
        caller = attempt.caller
        if kind in FILMED:
            self.services.licenses.check(caller.key_id, model)
        refusal = self.services.moderation.check_prompt(request["prompt"])
        if refusal:
            self.services.queue.note(caller.key_id, "policy.prompt", None, {"reason": refusal})
            raise ApiError(400, refusal, param="prompt", code="content_policy_violation")
        request["notes"] = [*request["notes"], *self.services.foreign_notes(kind, model, request)]
        width, height = limits.parse_size(size)
        job: JobValues = {
            "id": new_id("video"), "key_id": caller.key_id, "kind": kind, "model": model, "prompt": called or request["prompt"],
            "seconds": f"{seconds:g}", "size": size, "request": request, "sources": sources, "remixed_from": remixed_from,
            "priority": given.priority, "shape": shape_of(kind, model, request),
            "pixel_seconds": cost(width, height, seconds, float(request["fps"]), request["steps"]),
        }  # fmt: skip
        return job | self.services.library.labels(caller.key_id, given.given_labels())

    def _accept(self, attempt: Attempt, job: JobValues) -> Video:
        """Put a job into the queue."""
        caller = attempt.caller
        self.services.store.check_space()
        row = self.services.queue.submit(job, limit=caller.concurrency, repeat=attempt.repeat)
        self.services.queue.note(caller.key_id, f"video.{row.kind}", row.id)
        self.services.metrics.accepted(row.kind)
        return video_object(self.services, row, place=self.services.queue.ahead(row))


def _digest(given: Any) -> Any:
    """SHA-256 of a text, or of a file that came with a request; the fields of a part of the request."""
    if isinstance(given, Body):
        return dict(given)
    return hashlib.sha256(given.content if isinstance(given, Sent) else str(given).encode("utf-8", "replace")).hexdigest()


def _source(services: Services, reference: dict[str, str]) -> dict[str, Any]:
    """Length, size, frame rate, prompt, sound and notes of a referenced video or file, and whether it is a long upload."""
    if "video" in reference:
        job = services.queue.get(reference["video"], None)
        return {
            "seconds": float(job.seconds),
            "size": job.size,
            "fps": float(job.request.get("fps") or 16.0),
            "prompt": job.prompt,
            "has_sound": SOUND in (job.settings or {}),
            "notes": (),
            "long": False,
        }
    row, stored = services.uploads.find(reference["file"], None), services.store.about(reference["file"])
    return {
        "seconds": row.frames / row.fps, "size": f"{row.width}x{row.height}", "fps": row.fps, "prompt": "",
        "has_sound": stored.has_sound, "notes": stored.notes, "long": stored.long,
    }  # fmt: skip


def _loras_of(given: Sequence[NamedLora] | None, model: str) -> dict[str, Any]:
    """The LoRA of a request, as a part of a job's request; 400 for a name that the model does not have."""
    names = capabilities_named(model).lora_names
    for i, lora in enumerate(given or ()):
        if lora.name not in names:
            raise refuse(f"loras[{i}].name", lora.name, f"one of {model}'s: {', '.join(names) or 'it has none'}")
    return {"loras": [[lora.name, lora.scale] for lora in given]} if given else {}


def _asked_of_engine(request: dict[str, Any]) -> FilmRequest:
    """What an engine is asked for by a request of words and pictures, without the pictures."""
    workflow = workflow_of(bool(request.get("image")), bool(request.get("last")), bool(request.get("keyframes")))
    camera = tuple(tuple(stop) for stop in request.get("camera") or ())
    return replace(_settings_in(request, workflow), camera=camera)


def _settings_in(request: Mapping[str, Any], workflow: Workflow) -> FilmRequest:
    """What an engine is asked for by a request, without films and pictures."""
    return FilmRequest(
        workflow=workflow, prompt=request.get("prompt") or "", negative_prompt=request.get("negative_prompt") or "",
        steps=request.get("steps"), guidance=request.get("guidance"), strength=request.get("strength"), loras=loras_in(request),
    )  # fmt: skip


def _twice(model: str, size: str) -> str:
    """Twice a video's size, or the nearest one that the model shows."""
    width, height = limits.parse_size(size)
    return "x".join(map(str, capabilities_named(model).offered_size(2 * width, 2 * height)))


def _check_larger(size: str, than: str) -> None:
    """400 for an upscaled video that would not be larger."""
    (width, height), (before_w, before_h) = limits.parse_size(size), limits.parse_size(than)
    if width < before_w or height < before_h or size == than:
        raise refuse("size", size, f"a size larger than the video's {than}")


def _fitted(model: str, size: str, notes: list[str]) -> str:
    """The model's size that fits a source of this size best; another one is noted."""
    fitted = "x".join(map(str, capabilities_named(model).fitted_size(*limits.parse_size(size))))
    if fitted != size:
        notes.append(f"what is given ({size}) is taken at {fitted}, which {model} films")
    return fitted
