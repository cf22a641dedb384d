"""Projects: folders of videos. A video is put into one by its label `project`."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from kinema.server.api.bodies import Body, Route
from kinema.server.api.dependencies import Filmer, Reader, ServicesDep
from kinema.server.api.errors import ERRORS
from kinema.server.api.responses import Deleted, Listing, RowResponse, Seconds

router = APIRouter(prefix="/v1/projects", tags=["videos"], responses=ERRORS, route_class=Route)


class NameProject(Body):
    name: Annotated[str, Field(max_length=80, pattern=r"\S")] = Field(description="what it is called, once a key")


class Project(RowResponse):
    """videos: how many are in it."""

    id: str
    object: Literal["project"] = "project"
    name: str
    created_at: Seconds
    videos: int


@router.post("", summary="A folder for videos")
async def create_project(
    caller: Filmer, services: ServicesDep, given: Annotated[NameProject, Depends(NameProject.read)]
) -> Project:
    row = await run_in_threadpool(services.library.make_project, caller.key_id, given.name)
    return Project.model_validate(row)


@router.get("", summary="Projects, by name")
async def list_projects(caller: Reader, services: ServicesDep) -> Listing[Project]:
    rows = await run_in_threadpool(services.library.projects, caller.sees)
    return Listing(data=[Project.model_validate(row) for row in rows])


@router.get("/{project_id}", summary="One project")
async def get_project(caller: Reader, services: ServicesDep, project_id: str) -> Project:
    return Project.model_validate(await run_in_threadpool(services.library.project, project_id, caller.sees))


@router.post("/{project_id}", summary="Rename a project")
async def rename_project(
    caller: Filmer, services: ServicesDep, project_id: str, given: Annotated[NameProject, Depends(NameProject.read)]
) -> Project:
    row = await run_in_threadpool(services.library.rename_project, project_id, caller.sees, given.name)
    return Project.model_validate(row)


@router.delete("/{project_id}", summary="Delete a project; its videos stay")
async def delete_project(caller: Filmer, services: ServicesDep, project_id: str) -> Deleted:
    await run_in_threadpool(services.library.remove_project, project_id, caller.sees)
    return Deleted(id=project_id, object="project")
