"""Pictures and videos that were sent."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool

from kinema.server.api.dependencies import FILE_FORM, Filmer, Reader, ServicesDep, sent_file
from kinema.server.api.errors import ERRORS
from kinema.server.api.responses import Deleted, RowResponse, Seconds
from kinema.server.storage.uploads import Sent

router = APIRouter(prefix="/v1/files", tags=["files"], responses=ERRORS)


class File(RowResponse):
    """bytes: of its pixels, as they are stored."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: Seconds
    filename: str
    width: int
    height: int
    frames: int
    fps: float
    purpose: Literal["input"] = "input"


@router.post("", summary="Send a picture or video", openapi_extra=FILE_FORM)
async def create_file(caller: Filmer, services: ServicesDep, sent: Annotated[Sent, Depends(sent_file)]) -> File:
    return File.model_validate(await services.run_apart(services.uploads.add, caller.key_id, sent))


@router.get("/{file_id}", summary="What was sent")
async def get_file(caller: Reader, services: ServicesDep, file_id: str) -> File:
    return File.model_validate(await run_in_threadpool(services.uploads.find, file_id, caller.sees))


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
