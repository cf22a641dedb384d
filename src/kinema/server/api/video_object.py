"""The JSON of a job in the Videos API: a video object."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import Row

from kinema.inference.familiarity import FOREIGN
from kinema.server.jobs.publish import UNREADABLE
from kinema.server.services import Services

LIVE = ("queued", "in_progress")
SOUND = "sound"
"""The entry of a finished job's settings that describes its sound, where it has sound."""


class VideoError(BaseModel):
    code: str
    message: str | None


class GivenFile(BaseModel):
    """A file that a video was made from. field: of the request, such as "input_reference". at: in seconds, of a keyframe."""

    field: str
    file_id: str
    at: float | None = None


class UsedLora(BaseModel):
    name: str
    scale: float


class VideoDetails(BaseModel):
    """What the official service does not have. position: place in the queue, 0 next. sources, files: ids of the videos and the
    uploaded files that it was made from. settings: what it was made with. watermark: the id in its pixels, if it can be read there.
    notes: what was done otherwise than asked for. title, favorite, tags, project: what `POST /v1/videos/{id}` changes."""

    kind: str
    fps: float | None
    seed: int | None
    steps: int | None
    guidance: float | None
    strength: float | None
    negative_prompt: str | None
    loras: list[UsedLora]
    priority: int
    paused: bool
    cancelled: bool
    stage: str
    position: int | None
    eta_s: float | None
    started_at: float | None
    pixel_seconds: float
    frames: int | None
    sources: list[str]
    files: list[GivenFile]
    attempts: int
    has_preview: bool
    has_state: bool
    has_sound: bool
    deleted: bool
    bytes: int | None
    took_s: float | None
    settings: dict[str, Any] | None
    watermark: str | None
    notes: list[str]
    title: str | None
    favorite: bool
    tags: list[str]
    project: str | None


class Video(BaseModel):
    """size: WIDTHxHEIGHT. Times are seconds since 1970. progress: 0 to 100."""

    id: str
    object: Literal["video"] = "video"
    created_at: int
    completed_at: int | None
    expires_at: int | None
    error: VideoError | None
    model: str
    progress: int
    prompt: str
    remixed_from_video_id: str | None
    seconds: str
    size: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    kinema: VideoDetails

    @property
    def poll_after_ms(self) -> int | None:
        """When to ask for it again; None when it has ended."""
        if self.status not in LIVE:
            return None
        eta_s = 1.0 if self.kinema.eta_s is None else self.kinema.eta_s
        return min(max(int(1000 * eta_s / 2), 250), 5000)


def video_object(services: Services, job: Row[Any], *, place: tuple[int, float] | None = None) -> Video:
    """A video object. `place`: the number of jobs and the pixel-seconds ahead of it, if known."""
    eta_s = None
    live = job.status in LIVE
    if live:
        speed = services.throughput.speed(job.model, job.kind)
        left = job.pixel_seconds * (1 - job.progress / 100) + (place[1] if place is not None else 0.0)
        if speed is not None and (place is not None or job.status == "in_progress"):
            eta_s = round(speed * left / max(services.throughput.num_workers() if place is not None else 1, 1), 2)
    request = job.request
    notes, mark = list(request.get("notes") or []), job.mark
    notes += (job.settings or {}).get("notes", [])
    foreign = (job.settings or {}).get(FOREIGN)
    if foreign and foreign not in notes:  # else it was said when the video was accepted
        notes.append(foreign)
    if mark is not None and (job.settings or {}).items() >= UNREADABLE.items():
        notes.append("its invisible mark cannot be read (too short, small or restless); the manifest alone says who made it")
        mark = None
    details = VideoDetails(
        **{name: request.get(name) for name in ("fps", "seed", "steps", "guidance", "strength", "negative_prompt")}, kind=job.kind,
        loras=[UsedLora(name=name, scale=scale) for name, scale in request.get("loras") or ()],
        priority=job.priority, paused=job.paused, cancelled=job.error_code == "cancelled" or (live and job.cancelled),
        stage=job.stage, position=None if place is None else place[0], eta_s=eta_s, started_at=job.started_at,
        pixel_seconds=job.pixel_seconds, frames=job.frames, sources=job.sources, files=_given_files(request),
        attempts=job.attempts,
        has_preview=job.status == "in_progress" and services.store.preview(job.id).exists(), has_state=job.has_state,
        has_sound=SOUND in (job.settings or {}),
        deleted=job.deleted_at is not None, bytes=job.bytes, took_s=job.took_s, settings=job.settings, watermark=mark,
        notes=notes, title=job.title, favorite=job.favorite, tags=job.tags, project=job.project,
    )  # fmt: skip
    return Video(
        id=job.id, created_at=int(job.created_at), completed_at=None if job.completed_at is None else int(job.completed_at),
        expires_at=None if job.expires_at is None else int(job.expires_at),
        error=None if job.error_code is None else VideoError(code=job.error_code, message=job.error_message), model=job.model,
        progress=round(job.progress), prompt=job.prompt, remixed_from_video_id=job.remixed_from, seconds=job.seconds,
        size=job.size, status=job.status, kinema=details,
    )  # fmt: skip


FILE_FIELDS = {"image": "input_reference", "last": "last", "video": "video", "a": "a", "b": "b", "mask": "mask"}
"""By which field of the API a job's request names a file."""


def _given_files(request: dict[str, Any]) -> list[GivenFile]:
    """The uploaded files that a job's request names."""
    named = [(field, request.get(name), None) for name, field in FILE_FIELDS.items()]
    named += [("keyframes", frame.get("picture"), frame.get("at")) for frame in request.get("keyframes") or ()]
    named += [("parts", part.get("video"), None) for part in request.get("parts") or ()]
    return [
        GivenFile(field=field, file_id=reference["file"], at=at)
        for field, reference, at in named
        if isinstance(reference, dict) and "file" in reference
    ]
