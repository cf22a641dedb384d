"""Pictures and videos that were sent."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, computed_field
from sqlalchemy import Row

from kinema.server.api.dependencies import FILE_FORM, Filmer, Reader, ServicesDep, sent_file
from kinema.server.api.errors import ERRORS, refuse
from kinema.server.api.responses import ORDERS, Deleted, Page, Seconds, check_page
from kinema.server.services import Services
from kinema.server.storage.tables import BROUGHT, UPLOADED
from kinema.server.storage.uploads import Sent

router = APIRouter(prefix="/v1/files", tags=["files"], responses=ERRORS)


PURPOSES = (UPLOADED, BROUGHT)


class File(BaseModel):
    """bytes: as it is stored: its pixels, or a long film as it was sent. purpose: input if it was sent here; reference if it came
    with the request of a video, with which it is deleted. notes: what is not as it was in the file that was sent."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: Seconds
    filename: str
    width: int
    height: int
    frames: int
    fps: float
    has_sound: bool
    notes: list[str]
    purpose: Literal["input", "reference"] = "input"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def kind(self) -> Literal["picture", "video"]:
        return "picture" if self.frames == 1 else "video"


class DeletedFile(Deleted):
    """needed_by: unfinished videos that are made from it; its bytes go when they have ended."""

    needed_by: list[str]


def _file(services: Services, row: Row[Any]) -> File:
    stored = services.store.about(row.id)
    return File.model_validate({**row._mapping, "has_sound": stored.has_sound, "notes": stored.notes})


@router.post("", summary="Send a picture or video", openapi_extra=FILE_FORM)
async def create_file(caller: Filmer, services: ServicesDep, sent: Annotated[Sent, Depends(sent_file)]) -> File:
    return await services.run_apart(lambda: _file(services, services.uploads.add(caller.key_id, sent)))


@router.get("", summary="What was sent, newest first")
async def list_files(
    caller: Reader,
    services: ServicesDep,
    after: Annotated[str | None, Query(description="the last file of the page before")] = None,
    limit: Annotated[int, Query(json_schema_extra={"minimum": 0, "maximum": 100})] = 20,
    order: Annotated[str, Query(json_schema_extra={"enum": [*ORDERS]})] = "desc",
    purpose: Annotated[str | None, Query(json_schema_extra={"enum": [*PURPOSES]})] = None,
) -> Page[File]:
    check_page(limit, order)
    if purpose is not None and purpose not in PURPOSES:
        raise refuse("purpose", purpose, " or ".join(PURPOSES))

    def page() -> Page[File]:
        rows, more = services.uploads.page(caller.sees, after=after, limit=limit, ascending=order == "asc", purpose=purpose)
        return Page.of([_file(services, row) for row in rows], more=more)

    return await (services.run_query(page) if services.store.remote is None else services.run_apart(page))


@router.get("/{file_id}", summary="What was sent")
async def get_file(caller: Reader, services: ServicesDep, file_id: str) -> File:
    return await run_in_threadpool(lambda: _file(services, services.uploads.find(file_id, caller.sees)))


@router.get(
    "/{file_id}/content", summary="Its pixels, written anew", response_class=Response,
    responses={200: {"description": "a picture or video", "content": {"image/png": {}, "video/mp4": {}}}},
)  # fmt: skip
async def file_content(caller: Reader, services: ServicesDep, file_id: str) -> Response:
    def written() -> Response:
        row = services.uploads.find(file_id, caller.sees)
        clip = services.whole_clip({"file": row.id})
        ending, media_type = (".png", "image/png") if clip.num_frames == 1 else (".mp4", "video/mp4")
        with tempfile.TemporaryDirectory(prefix="kinema-file-") as folder:
            return Response(clip.save(Path(folder) / f"file{ending}").read_bytes(), media_type=media_type)

    return await services.run_apart(written)


@router.delete("/{file_id}", summary="Delete what was sent")
async def delete_file(caller: Filmer, services: ServicesDep, file_id: str) -> DeletedFile:
    makers = await run_in_threadpool(services.uploads.remove, file_id, caller.sees)
    return DeletedFile(id=file_id, object="file", needed_by=makers)
