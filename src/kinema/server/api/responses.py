"""What the response models of all resources have in common."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, Self

from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from kinema.errors import ApiError
from kinema.server.api.errors import refuse
from kinema.types import T

Seconds = Annotated[int, BeforeValidator(lambda value: value if value is None else int(value))]
"""A time as whole seconds since 1970."""


class RowResponse(BaseModel):
    """A response that can be read off a row of the database."""

    model_config = ConfigDict(from_attributes=True)


class Listing(BaseModel, Generic[T]):
    object: Literal["list"] = "list"
    data: list[T]


class Page(Listing[T], Generic[T]):
    """A part of a longer list."""

    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, data: list[Any], *, more: bool = False) -> Self:
        """A page of objects with an id."""
        return cls(data=data, first_id=data[0].id if data else None, last_id=data[-1].id if data else None, has_more=more)


ORDERS = ("asc", "desc")


def check_page(limit: int, order: str = "desc") -> None:
    """400 for a page that cannot be asked for."""
    if not 0 <= limit <= 100:
        raise refuse("limit", limit, "a whole number from 0 to 100")
    if order not in ORDERS:
        raise refuse("order", order, " or ".join(ORDERS))


class Deleted(BaseModel):
    id: str
    object: str
    deleted: Literal[True] = True


class StoredFileResponse(FileResponse):
    """A file, or the part of it that `Range` asks for. A range that there is not is refused with an error object, where Starlette
    sends plain text."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal: JSONResponse | None = None

        async def pass_on(message: Message) -> None:
            nonlocal refusal
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                headers, came = Headers(raw=message["headers"]), Headers(scope=scope).get("range", "")
                content_range = {name: value for name, value in headers.items() if name == "content-range"}
                size = content_range.get("content-range", "").rpartition("/")[2]
                expected = f"a range within its {size} bytes" if size else "one such as bytes=0-1023"
                error = ApiError(message["status"], f"Range {came[:80]!r}: expected {expected}", code="invalid_range")
                refusal = JSONResponse(error.body(), error.status, headers=content_range)
            if refusal is None:
                await send(message)

        await super().__call__(scope, receive, pass_on)
        if refusal is not None:
            await refusal(scope, receive, send)
