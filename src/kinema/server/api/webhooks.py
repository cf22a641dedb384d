"""Webhooks: addresses that events of videos are posted to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from pydantic import Field, WithJsonSchema

from kinema.server.api.bodies import MOST_LIST, Body, Filled, Route
from kinema.server.api.dependencies import Filmer, Reader, ServicesDep
from kinema.server.api.errors import ERRORS
from kinema.server.api.responses import Deleted, Listing, RowResponse, Seconds
from kinema.server.webhooks import EVENTS

router = APIRouter(prefix="/v1/webhooks", tags=["access"], responses=ERRORS, route_class=Route)

WebhookEvent = Annotated[Any, WithJsonSchema({"type": "string", "enum": list(EVENTS)})]


class CreateWebhook(Body):
    url: Filled = Field(description="where to")
    events: list[WebhookEvent] | None = Field(None, max_length=MOST_LIST, description=f"some of {', '.join(EVENTS)}")


class Webhook(RowResponse):
    id: str
    object: Literal["webhook"] = "webhook"
    url: str
    events: list[str]
    created_at: Seconds


class NewWebhook(Webhook):
    """secret: what deliveries are signed with."""

    secret: str


@router.get("", summary="Webhooks")
async def list_hooks(caller: Reader, services: ServicesDep) -> Listing[Webhook]:
    rows = await run_in_threadpool(services.webhooks.all, caller.key_id)
    return Listing(data=[Webhook.model_validate(row) for row in rows])


@router.post("", summary="Be told when videos end")
async def make_hook(
    caller: Filmer, services: ServicesDep, given: Annotated[CreateWebhook, Depends(CreateWebhook.read)]
) -> NewWebhook:
    row = await run_in_threadpool(services.webhooks.make, caller.key_id, given.url, given.events or [])
    return NewWebhook.model_validate(row)


@router.delete("/{hook_id}", summary="Be told no more")
async def remove_hook(caller: Filmer, services: ServicesDep, hook_id: str) -> Deleted:
    await run_in_threadpool(services.webhooks.remove, hook_id, caller.key_id)
    return Deleted(id=hook_id, object="webhook")
