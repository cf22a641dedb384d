"""Webhooks: addresses that events of videos are posted to."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, WithJsonSchema
from sqlalchemy import Row

from kinema.server.api.bodies import MOST_LIST, Body, Filled, Route
from kinema.server.api.dependencies import Filmer, Reader, ServicesDep
from kinema.server.api.errors import ERRORS
from kinema.server.api.responses import Deleted, Listing, Page, RowResponse, Seconds, check_page
from kinema.server.webhooks import EVENTS, TRIES, Outcome

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
    old_secret_until: Seconds | None


class RotateSecret(Body):
    overlap_hours: float = Field(24.0, ge=0, le=168, description="how long the former secret signs as well")


class Delivery(BaseModel):
    """status: pending until it is received or has been tried too often. last_status: what the receiver answered last;
    last_error: why it did not."""

    id: str
    object: Literal["webhook.delivery"] = "webhook.delivery"
    event: dict[str, Any]
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    created_at: Seconds
    next_at: Seconds | None
    last_at: Seconds | None
    last_status: int | None
    last_error: str | None

    @classmethod
    def of(cls, row: Row[Any]) -> Delivery:
        received = row.last_status is None and row.last_error is None and row.attempts < TRIES  # before attempts were logged
        received = received or Outcome(status=row.last_status).received
        status: Literal["pending", "delivered", "failed"]
        status = "pending" if row.done_at is None else "delivered" if received else "failed"
        shared = {
            name: getattr(row, name) for name in ("id", "attempts", "created_at", "last_at", "last_status", "last_error")
        }
        return cls(**shared, event=json.loads(row.body), status=status, next_at=row.next_at if status == "pending" else None)


class NewWebhook(Webhook):
    """secret: what deliveries are signed with."""

    secret: str


@router.get("", summary="Webhooks")
async def list_hooks(caller: Reader, services: ServicesDep) -> Listing[Webhook]:
    rows = await run_in_threadpool(services.webhooks.all, caller.sees)
    return Listing(data=[Webhook.model_validate(row) for row in rows])


@router.post("", summary="Be told when videos end")
async def make_hook(
    caller: Filmer, services: ServicesDep, given: Annotated[CreateWebhook, Depends(CreateWebhook.read)]
) -> NewWebhook:
    row = await run_in_threadpool(services.webhooks.make, caller.key_id, given.url, given.events or [])
    return NewWebhook.model_validate(row)


@router.post("/{hook_id}/rotate", summary="A new secret; deliveries are signed with both for a while")
async def rotate_secret(
    caller: Filmer, services: ServicesDep, hook_id: str, given: Annotated[RotateSecret, Depends(RotateSecret.read)]
) -> NewWebhook:
    row = await run_in_threadpool(services.webhooks.rotate, hook_id, caller.sees, 3600 * given.overlap_hours)
    await run_in_threadpool(services.queue.note, caller.key_id, "webhook.rotated", hook_id)
    return NewWebhook.model_validate(row)


@router.post("/{hook_id}/test", summary="Post an event to try it, now and once")
async def test_hook(caller: Filmer, services: ServicesDep, hook_id: str) -> Delivery:
    row = await to_thread.run_sync(services.webhooks.test, hook_id, caller.sees, limiter=services.webhook_tests)
    return Delivery.of(row)


@router.get("/{hook_id}/deliveries", summary="What was sent to it, newest first")
async def list_deliveries(
    caller: Reader,
    services: ServicesDep,
    hook_id: str,
    after: Annotated[str | None, Query(description="the last delivery of the page before")] = None,
    limit: Annotated[int, Query(json_schema_extra={"minimum": 0, "maximum": 100})] = 20,
) -> Page[Delivery]:
    check_page(limit)

    def page() -> Page[Delivery]:
        rows, more = services.webhooks.log(hook_id, caller.sees, after=after, limit=limit)
        return Page.of([Delivery.of(row) for row in rows], more=more)

    return await run_in_threadpool(page)


@router.post("/{hook_id}/deliveries/{delivery_id}/replay", summary="Send one again, with the same id")
async def replay_delivery(caller: Filmer, services: ServicesDep, hook_id: str, delivery_id: str) -> Delivery:
    return Delivery.of(await run_in_threadpool(services.webhooks.replay, hook_id, caller.sees, delivery_id))


@router.delete("/{hook_id}", summary="Be told no more")
async def remove_hook(caller: Filmer, services: ServicesDep, hook_id: str) -> Deleted:
    await run_in_threadpool(services.webhooks.remove, hook_id, caller.sees)
    return Deleted(id=hook_id, object="webhook")
