"""Characters: things of videos, remembered by a name that prompts may use."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from kinema.server.api.bodies import Body, Filled, Reference, Route
from kinema.server.api.dependencies import Filmer, Reader, ServicesDep
from kinema.server.api.errors import ERRORS
from kinema.server.api.responses import Listing, RowResponse, Seconds
from kinema.server.characters import Characters

router = APIRouter(prefix="/v1/videos/characters", tags=["videos"], responses=ERRORS, route_class=Route)


class CreateCharacter(Body):
    name: Filled = Field(description="what prompts call it")
    video: Reference = Field(description="the video to go by")


class Character(RowResponse):
    """looks: the words that its name stands for."""

    id: str
    object: Literal["character"] = "character"
    name: str
    created_at: Seconds
    looks: str


async def get_characters(services: ServicesDep) -> Characters:
    return Characters(services)


CharactersDep = Annotated[Characters, Depends(get_characters)]


@router.post("", summary="Remember who is seen in a video by a name")
async def create_character(
    caller: Filmer,
    services: ServicesDep,
    characters: CharactersDep,
    given: Annotated[CreateCharacter, Depends(CreateCharacter.read)],
) -> Character:
    row = await services.run_apart(characters.remember, given.name, given.video, caller)
    return Character.model_validate(row)


@router.get("", summary="Characters")
async def list_characters(caller: Reader, characters: CharactersDep) -> Listing[Character]:
    return Listing(data=[Character.model_validate(row) for row in await run_in_threadpool(characters.all, caller)])


@router.get("/{character_id}", summary="One character")
async def get_character(caller: Reader, characters: CharactersDep, character_id: str) -> Character:
    return Character.model_validate(await run_in_threadpool(characters.find, character_id, caller))
