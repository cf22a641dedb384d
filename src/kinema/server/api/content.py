"""What videos are downloaded as: the film, pictures of it, other formats, and many films in one zip file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, StreamingResponse
from sqlalchemy import Row

from kinema.errors import ApiError
from kinema.inference.limits import parse_size
from kinema.server.api.bodies import Route
from kinema.server.api.dependencies import Reader, ServicesDep
from kinema.server.api.errors import ERRORS, not_found, refuse
from kinema.server.api.served_file import ServedFile
from kinema.server.jobs.publish import SHEET, STATE, THUMBNAIL, VIDEO, sheet_shape
from kinema.server.services import Services
from kinema.server.storage.formats import ENDINGS
from kinema.server.storage.zip_stream import file_name, zip_stream

router = APIRouter(prefix="/v1/videos", tags=["videos"], responses=ERRORS, route_class=Route)

FILES = {
    "video": (VIDEO, "video/mp4"),
    "download": (VIDEO, "video/mp4"),
    "thumbnail": (THUMBNAIL, "image/jpeg"),
    "spritesheet": (SHEET, "image/jpeg"),
    "state": (STATE, "application/json"),
    "preview": ("", "image/jpeg"),
}
"""Variants of a video: file name and media type."""
FORMATS = ("mp4", *ENDINGS)
CONTENT: dict[str, Any] = {
    **{kind: {} for kind in ("video/mp4", "image/jpeg", "video/webm", "image/gif", "application/zip")},
    "application/json": {"schema": {"type": "object"}},
}
CACHED = {"cache-control": "private, max-age=3600"}
MOST_ARCHIVED = 100


def _completed(job: Row[Any]) -> str:
    """The artifact of a video; 404 while there is none."""
    if job.status != "completed" or job.artifact is None:
        raise ApiError(
            404, f"{job.id} is {job.status.replace('_', ' ')}; there is content when it is completed",
            code="not_completed",
        )  # fmt: skip
    return str(job.artifact)


@router.get(
    "/archive", summary="Many videos as one zip file, streamed", response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}, "description": "the films, not compressed again"}},
)  # fmt: skip
async def archive(
    request: Request,
    caller: Reader,
    services: ServicesDep,
    ids: Annotated[list[str], Query(description="ids of completed videos, with commas between or given several times")],
) -> Response:
    wanted = list(dict.fromkeys(id.strip() for text in ids for id in text.split(",") if id.strip()))
    if not 0 < len(wanted) <= MOST_ARCHIVED:
        raise refuse("ids", f"{len(wanted)} of them", f"1 to {MOST_ARCHIVED} ids of videos")

    def opened() -> list[tuple[str, Any]]:
        jobs = [services.queue.get(id, caller.sees) for id in wanted]
        artifacts = [_completed(job) for job in jobs]
        taken: set[str] = set()
        files: list[tuple[str, Any]] = []
        try:
            for job, artifact in zip(jobs, artifacts, strict=True):
                film = services.store.film_file(job.id, artifact, VIDEO).open("rb")
                files.append((file_name(job.title, job.id, ".mp4", taken), film))
        except FileNotFoundError:
            for _, file in files:
                file.close()
            raise not_found("video", wanted[len(files)]) from None
        return files

    headers = {"content-disposition": 'attachment; filename="kinema-videos.zip"', "cache-control": "no-store"}
    films = await run_in_threadpool(opened)
    if request.method == "HEAD":
        for _, film in films:
            film.close()
        return Response(media_type="application/zip", headers=headers)
    return StreamingResponse(zip_stream(films), media_type="application/zip", headers=headers)


@router.get(
    "/{video_id}/content", summary="The video itself, in other formats, or pictures of it", response_class=FileResponse,
    responses={200: {"content": CONTENT, "description": "the file of the variant or format"}},
)  # fmt: skip
async def content(
    caller: Reader,
    services: ServicesDep,
    video_id: str,
    variant: Annotated[str, Query(json_schema_extra={"enum": [*FILES]})] = "video",
    format: Annotated[
        str | None,
        Query(
            json_schema_extra={"enum": [*FORMATS]},
            description="as a file to keep; frames: a zip file of PNG. Only mp4 holds the signed manifest",
        ),
    ] = None,
    t: Annotated[str | None, Query(description="has no meaning; makes the address of a changing picture a new one")] = None,
) -> Response:
    if variant not in FILES:
        raise refuse("variant", variant, "one of " + ", ".join(FILES))
    if format is not None and (format not in FORMATS or variant != "video"):
        raise refuse("format", format, f"one of {', '.join(FORMATS)}, and no variant beside it")
    job = await services.run_query(services.queue.get, video_id, caller.sees)
    if variant == "preview":
        return _preview(services, job.id)
    path = await services.film_file(job.id, _completed(job), FILES[variant][0])
    if not path.exists():
        raise ApiError(404, f"{video_id} has no {variant}", code="no_such_variant")
    if format is not None:
        return await _formatted(services, job, format, path)
    headers = dict(CACHED)
    if variant == "spritesheet":
        columns, rows, frames = sheet_shape(job.frames)
        headers["x-kinema-spritesheet"] = f"columns={columns};rows={rows};frames={frames}"
    given_name = f"{video_id}.mp4" if variant == "download" else None
    return ServedFile(path, media_type=FILES[variant][1], headers=headers, filename=given_name)


def _preview(services: Services, id: str) -> Response:
    try:  # read at once: a worker may replace it, or be done with it, at any moment
        picture = services.store.preview(id).read_bytes()
    except FileNotFoundError:
        raise ApiError(404, f"{id} has no preview now", code="no_preview") from None
    return Response(picture, media_type="image/jpeg", headers={"cache-control": "no-store"})


async def _formatted(services: Services, job: Row[Any], format: str, path: Path) -> Response:
    """A video as a file of a format, converted where it is not an MP4. path: the MP4."""
    ending, media_type = ENDINGS.get(format, (".mp4", "video/mp4"))
    if format != "mp4":
        width, height = parse_size(job.size)
        decoded_bytes = 3 * width * height * job.frames
        path = await services.run_apart(services.formats.get, format, job.id, job.artifact, path, decoded_bytes)
    headers = {**CACHED, "x-kinema-manifest": "yes" if format == "mp4" else "no"}
    return ServedFile(path, media_type=media_type, headers=headers, filename=file_name(job.title, job.id, ending, set()))
