"""Pictures and videos that were sent."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from sqlalchemy import Row

from kinema.server.api.dependencies import FILE_FORM, Filmer, Reader, ServicesDep, sent_file
from kinema.server.api.errors import ERRORS
from kinema.server.api.responses import Deleted, Seconds
from kinema.server.services import Services
from kinema.server.storage.clips import stored_about
from kinema.server.storage.uploads import Sent

router = APIRouter(prefix="/v1/files", tags=["files"], responses=ERRORS)


class File(BaseModel):
    """bytes: of its pixels, as they are stored. notes: what is not as it was in the file that was sent."""

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
    purpose: Literal["input"] = "input"


def _file(services: Services, row: Row[Any]) -> File:
    stored = stored_about(services.store.file(row.id))
    return File.model_validate({**row._mapping, "has_sound": stored.has_sound, "notes": stored.notes})


@router.post("", summary="Send a picture or video", openapi_extra=FILE_FORM)
async def create_file(caller: Filmer, services: ServicesDep, sent: Annotated[Sent, Depends(sent_file)]) -> File:
    return _file(services, await services.run_apart(services.uploads.add, caller.key_id, sent))


@router.get("/{file_id}", summary="What was sent")
async def get_file(caller: Reader, services: ServicesDep, file_id: str) -> File:
    return _file(services, await run_in_threadpool(services.uploads.find, file_id, caller.sees))


@router.get(
    "/{file_id}/content", summary="Its pixels, written anew", response_class=Response,
    responses={200: {"description": "a picture or video", "content": {"image/png": {}, "video/mp4": {}}}},
)  # fmt: skip
async def file_content(caller: Reader, services: ServicesDep, file_id: str) -> Response:
    def written() -> Response:
        row = services.uploads.find(file_id, caller.sees)
        clip = services.clip({"file": row.id})
        ending, media_type = (".png", "image/png") if clip.num_frames == 1 else (".mp4", "video/mp4")
        with tempfile.TemporaryDirectory(prefix="kinema-file-") as folder:
            return Response(clip.save(Path(folder) / f"file{ending}").read_bytes(), media_type=media_type)

    return await services.run_apart(written)


@router.delete("/{file_id}", summary="Delete what was sent")
async def delete_file(caller: Filmer, services: ServicesDep, file_id: str) -> Deleted:
    await run_in_threadpool(services.uploads.remove, file_id, caller.sees)
    return Deleted(id=file_id, object="file")
