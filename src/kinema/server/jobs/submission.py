"""Turns requests for videos into queued jobs: resolves references, computes sizes, lengths and costs, and runs moderation."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kinema.errors import ApiError
from kinema.inference import limits
from kinema.server.api.errors import refuse
from kinema.server.api.forms import Field
from kinema.server.api.video_object import video_object
from kinema.server.api.video_schema import (
    MOST_KEYFRAMES,
    MOST_SECONDS,
    camera_of,
    check_length,
    check_prompt,
    config_of,
    cost,
    cuts_of,
    model_for,
    normalize,
    size_for,
)
from kinema.server.auth import Caller
from kinema.server.characters import Characters
from kinema.server.jobs.queue import Repeat
from kinema.server.jobs.render import shape_of
from kinema.server.services import Services
from kinema.server.storage.artifacts import new_id
from kinema.server.storage.uploads import Sent
from kinema.server.worlds.files import scene_of

Take = Callable[[dict[str, Any], Caller], dict[str, Any]]


class Submission:
    """Accepts requests for videos; each method returns the video object of the accepted job."""

    def __init__(self, services: Services) -> None:
        self.services, self.characters = services, Characters(services)

    def once(self, take: Take, given: dict[str, Any], caller: Caller, token: str | None, address: str) -> dict[str, Any]:
        """Accept a request once: requests with the same Idempotency-Key, content and address return the same job."""
        stored_files: list[str] = []
        repeat = None
        if token is not None:
            digested = json.dumps([address, given], sort_keys=True, default=_digest)
            repeat = Repeat(token=_digest(token), digest=_digest(digested))
            first = self.services.queue.repeated(caller.key_id, repeat)
            if first is not None:
                return video_object(self.services, first)
        try:
            video = take({**given, "repeat": repeat, "stored_files": stored_files}, caller)
        except Exception:
            self._delete_files(stored_files)
            twin = None if repeat is None else self.services.queue.repeated(caller.key_id, repeat)
            if twin is None:
                raise
            return video_object(self.services, twin)  # an identical concurrent request was accepted first
        if stored_files and not self._uses(video["id"], stored_files):
            self._delete_files(stored_files)
        return video

    def _uses(self, id: str, stored_files: list[str]) -> bool:
        """Whether a job refers to any of these files; of two identical requests only one job does."""
        request_text = json.dumps(self.services.queue.get(id, None, deleted=True).request)
        return any(file in request_text for file in stored_files)

    def _delete_files(self, stored_files: list[str]) -> None:
        for id in stored_files:
            with suppress(ApiError):
                self.services.uploads.remove(id, None)

    def create(self, given: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Submit a video from a prompt and pictures."""
        if given["blend"]:
            ends = {name: given["blend"].get(name) for name in ("a", "b")}
            for name, end in ends.items():
                if end is None:
                    raise ApiError(400, f"blend.{name} is missing: a video", param=f"blend.{name}", code="missing_value")
            return self.change("blend", ("a", "b"), {**given, **ends}, caller)
        model, request, _ = normalize(self.services, given)
        width, height = limits.parse_size(request["size"])
        price = cost(width, height, request["seconds"], request["fps"], request["steps"])
        self.services.queue.check(caller.key_id, price, caller.concurrency)
        pictures = {"image": given["input_reference"], "last": given["last"]}
        if not request["prompt"].strip() and not any(pictures.values()) and not given["keyframes"]:
            raise ApiError(
                400, "prompt is missing: say what happens, or give a picture", param="prompt", code="missing_value"
            )
        request["prompt"] = self.characters.replace_names(request["prompt"], given["characters"], caller)
        for name, reference in pictures.items():
            if reference is not None:
                param = "input_reference" if name == "image" else name
                request[name] = self.services.uploads.resolve(
                    reference, caller.sees, caller.key_id, param, stored_files=given.get("stored_files")
                )
        frames = self._keyframes(given["keyframes"] or [], request, caller, given.get("stored_files"))
        if frames:
            request["keyframes"] = frames
        if given["guides"]:
            request["camera"] = camera_of(given["guides"])
        references = [request.get("image"), request.get("last"), *(frame["picture"] for frame in frames)]
        shown = [reference for reference in references if reference]
        if shown and not given["size"]:
            request["size"] = _fitted(model, _source(self.services, shown[0])["size"])
            width, height = limits.parse_size(request["size"])
            check_length(config_of(model), request["seconds"], request["fps"], width, height, mend="pass fps={fps:g}")
        return self._accept(
            caller, "generate", model, request, sources=[r["video"] for r in references if r and "video" in r], given=given,
            seconds=request["seconds"], size=request["size"],
        )  # fmt: skip

    def _keyframes(
        self, given: list[Any], request: dict[str, Any], caller: Caller, stored_files: list[str] | None
    ) -> list[dict[str, Any]]:
        """Resolve keyframes and check that each lies within the video."""
        frames: list[dict[str, Any]] = []
        if len(given) > MOST_KEYFRAMES:
            raise refuse("keyframes", f"{len(given)} of them", f"up to {MOST_KEYFRAMES}")
        for i, entry in enumerate(given):
            if not isinstance(entry, dict) or "picture" not in entry:
                raise refuse(f"keyframes[{i}]", entry, '{"picture": reference, "at": seconds}')
            at = Field(name=f"keyframes[{i}].at", kind="number", about="seconds", low=0, high=MOST_SECONDS, required=True)
            second = at.read(entry.get("at"))
            if round(second * request["fps"]) >= round(request["seconds"] * request["fps"]):
                raise refuse(f"keyframes[{i}].at", second, f"a second before the end, {request['seconds']:g}")
            picture = self.services.uploads.resolve(
                entry["picture"], caller.sees, caller.key_id, f"keyframes[{i}].picture", stored_files=stored_files
            )
            frames.append({"picture": picture, "at": second})
        return frames

    def change(
        self, kind: str, names: tuple[str, ...], given: dict[str, Any], caller: Caller, *, remixed_from: str | None = None
    ) -> dict[str, Any]:
        """Submit a video made from others: edit, remix, extend, blend, loop, trim."""
        model, notes = model_for(given.get("model"))
        check_prompt(given.get("prompt") or "", model, bool(given.get("strict")))
        self.services.queue.check(caller.key_id, 0.0, caller.concurrency)
        stored_files = given.get("stored_files")
        known = {
            name: self.services.uploads.resolve(given[name], caller.sees, caller.key_id, name, stored_files=stored_files)
            for name in names
            if given.get(name) is not None
        }
        if given.get("mask") is not None:
            known["mask"] = self.services.uploads.resolve(
                given["mask"], caller.sees, caller.key_id, "mask", stored_files=stored_files
            )
        first = _source(self.services, known[names[0]])
        requested_size = size_for(given, model, notes)
        size = _fitted(model, first["size"]) if requested_size is None else requested_size
        width, height = limits.check_size(config_of(model), size)
        size = f"{width}x{height}"
        extra_s = given.get("seconds") or (1.0 if kind == "loop" else 2.0)
        lengths = {
            "extend": first["seconds"] + extra_s, "loop": first["seconds"] + extra_s, "trim": 0.0, "edit": first["seconds"],
            "remix": first["seconds"], "blend": 0.0,
        }  # fmt: skip
        seconds = lengths[kind]
        if kind == "blend":
            seconds = first["seconds"] + extra_s + _source(self.services, known["b"])["seconds"]
        if kind == "trim":
            cuts = cuts_of(given["cuts"], first["seconds"])
            given, seconds = {**given, "cuts": cuts}, sum(end - start for start, end in cuts)
        check_length(
            config_of(model), seconds, first["fps"], width, height, mend="resample the video first: clip.resample({fps:g})"
        )
        seed = given.get("seed")
        request = {
            **{name: given.get(name) for name in ("steps", "guidance", "strict", "label", "strength", "before", "cuts")}, **known,
            "prompt": given.get("prompt") or "", "seconds": extra_s, "size": size, "fps": first["fps"], "notes": notes,
            "seed": secrets.randbelow(2**31) if seed is None else seed,
        }  # fmt: skip
        sources = [reference["video"] for reference in known.values() if "video" in reference]
        return self._accept(
            caller, kind, model, request, sources=sources, given=given, remixed_from=remixed_from, seconds=seconds, size=size,
            called=request["prompt"] or first["prompt"],
        )  # fmt: skip

    def render(self, given: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Submit a video rendered from a scene state."""
        model, request, _ = normalize(self.services, given)
        scene = scene_of(given["state"])
        seconds = scene.num_frames / scene.fps
        width, height = limits.parse_size(request["size"])
        check_length(
            config_of(model), seconds, scene.fps, width, height, mend="resample the state first: scene.resample({fps:g})"
        )
        wanted = {**request, "state": scene.to_dict(), "fps": scene.fps, "seconds": seconds}
        return self._accept(caller, "render", model, wanted, sources=[], given=given, seconds=seconds, size=request["size"])

    def _accept(
        self, caller: Caller, kind: str, model: str, request: dict[str, Any], *, sources: list[str], given: dict[str, Any],
        remixed_from: str | None = None, seconds: float, size: str, called: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        refusal = self.services.moderation.check_prompt(request["prompt"])
        if refusal:
            self.services.queue.note(caller.key_id, "policy.prompt", None, {"reason": refusal})
            raise ApiError(400, refusal, param="prompt", code="content_policy_violation")
        width, height = limits.parse_size(size)
        job = {
            "id": new_id("video"), "key_id": caller.key_id, "kind": kind, "model": model, "prompt": called or request["prompt"],
            "seconds": f"{seconds:g}", "size": size, "request": request, "sources": sources, "remixed_from": remixed_from,
            "priority": given.get("priority") or 0, "shape": shape_of(kind, model, request),
            "pixel_seconds": cost(width, height, seconds, float(request["fps"]), request["steps"]),
        }  # fmt: skip
        self.services.store.check_space()
        row = self.services.queue.submit(job, limit=caller.concurrency, repeat=given.get("repeat"))
        self.services.queue.note(caller.key_id, f"video.{kind}", row.id)
        self.services.metrics.accepted(kind)
        return video_object(self.services, row, place=self.services.queue.ahead(row))


def _digest(given: Any) -> str:
    """SHA-256 of a text, or of a file that came with a request."""
    return hashlib.sha256(given.content if isinstance(given, Sent) else str(given).encode("utf-8", "replace")).hexdigest()


def _source(services: Services, reference: dict[str, str]) -> dict[str, Any]:
    """Length, size, frame rate and prompt of a referenced video or file."""
    if "video" in reference:
        job = services.queue.get(reference["video"], None)
        return {
            "seconds": float(job.seconds),
            "size": job.size,
            "fps": float(job.request.get("fps") or 16.0),
            "prompt": job.prompt,
        }
    row = services.uploads.find(reference["file"], None)
    return {"seconds": row.frames / row.fps, "size": f"{row.width}x{row.height}", "fps": row.fps, "prompt": ""}


def _fitted(model: str, size: str) -> str:
    """The model's size that fits a source of this size best."""
    return "x".join(map(str, limits.fitted(config_of(model), *limits.parse_size(size))))
