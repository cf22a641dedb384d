"""The JSON of a job in the Videos API: a video object."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi.responses import JSONResponse
from sqlalchemy import Row

from kinema.server.services import Services


def video_object(services: Services, job: Row[Any], *, place: tuple[int, float] | None = None) -> dict[str, Any]:
    """A video object. `place`: the number of jobs and the pixel-seconds ahead of it, if known."""
    eta = None
    live = job.status in ("queued", "in_progress")
    if live:
        speed = services.throughput.speed(job.model, job.kind)
        left = job.pixel_seconds * (1 - job.progress / 100) + (place[1] if place is not None else 0.0)
        if speed is not None and (place is not None or job.status == "in_progress"):
            eta = round(speed * left / max(services.throughput.num_workers() if place is not None else 1, 1), 2)
    request = job.request
    error = None if job.error_code is None else {"code": job.error_code, "message": job.error_message}
    return {
        "id": job.id, "object": "video", "created_at": int(job.created_at),
        "completed_at": None if job.completed_at is None else int(job.completed_at),
        "expires_at": None if job.expires_at is None else int(job.expires_at), "error": error, "model": job.model,
        "progress": round(job.progress), "prompt": job.prompt, "remixed_from_video_id": job.remixed_from, "seconds": job.seconds,
        "size": job.size, "status": job.status,
        "kinema": {
            "kind": job.kind, "fps": request.get("fps"), "seed": request.get("seed"), "steps": request.get("steps"),
            "guidance": request.get("guidance"), "strength": request.get("strength"), "priority": job.priority,
            "paused": job.paused,
            "cancelled": job.error_code == "cancelled" or (live and job.cancelled), "stage": job.stage,
            "position": None if place is None else place[0], "eta_s": eta, "started_at": job.started_at,
            "pixel_seconds": job.pixel_seconds, "frames": job.frames, "sources": job.sources, "attempts": job.attempts,
            "has_preview": job.status == "in_progress" and services.store.preview(job.id).exists(),
            "has_state": job.has_state,
            "deleted": job.deleted_at is not None, "bytes": job.bytes, "took_s": job.took_s, "settings": job.settings,
            "watermark": job.mark, "notes": request.get("notes") or [],
        },
    }  # fmt: skip


class FastJSONResponse(JSONResponse):
    """A JSON response, serialized by orjson."""

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def video_response(video: dict[str, Any]) -> FastJSONResponse:
    """A response with a video object and a header that says when to poll again."""
    live = video["status"] in ("queued", "in_progress")
    eta = video["kinema"]["eta_s"]
    wait = min(max(int(1000 * (eta if eta is not None else 1.0) / 2), 250), 5000) if live else 0
    return FastJSONResponse(video, headers={"openai-poll-after-ms": str(wait)} if live else {})
