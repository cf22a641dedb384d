"""Request bodies: JSON, or multipart with bracket keys (`guides[0][at]`), checked by pydantic models.

A route takes one as `given: Annotated[CreateVideo, Depends(CreateVideo.read)]`, named after its caller, so that no body is read
before it is known who sends it. `Route` adds its schema to the OpenAPI page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import models_json_schema
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from kinema.errors import ApiError, OutputError
from kinema.server.storage.uploads import MOST_BYTES, Sent

MOST_TEXT = 8000
MOST_LIST = 1000
MOST_STATE = MOST_JSON = 12 << 20
SMALL = 64 << 10
"""Bytes of a body of JSON at most: any; one that is read before it is known who sends it. Larger files come as file parts."""
DEPTH = 6
SCHEMAS = "#/components/schemas/{model}"
"""Where the OpenAPI page has the schema of a model."""

Text = Annotated[str, Field(max_length=MOST_TEXT)]
Filled = Annotated[str, Field(max_length=MOST_TEXT, pattern=r"\S")]
"""A text that is not blank."""
Reference = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]})]
"""A picture or video: a file part, an id, or an object with one; `Uploads.resolve` checks it."""


class Body(BaseModel):
    """What a request's JSON or form may hold. Unknown fields are refused; null and, but for texts, "" stand for the default."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, regex_engine="python-re")
    most_bytes: ClassVar[int] = MOST_JSON

    @classmethod
    async def read(cls, request: Request) -> Self:
        """The body of a request; a dependency of routes."""
        return cls.parse(await raw_body(request, most=cls.most_bytes))

    @classmethod
    def parse(cls, given: dict[str, Any]) -> Self:
        """Check a body. InvalidBody says which fields cannot be used."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise InvalidBody(error.errors(include_url=False), schema_of(cls)) from None

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {
            name: value
            for name, value in given.items()
            if value is not None and (value != "" or kinds_of(cls).get(name, "string") == "string")
        }

    @field_validator("*", mode="before")
    @classmethod
    def _from_form(cls, given: Any, info: ValidationInfo) -> Any:
        """Forms send all values as text: JSON where a list or an object is wanted, true or false where a flag is."""
        match kinds_of(cls)[str(info.field_name)], given:
            case ("array" | "object", str()):
                return _from_json(given)
            case ("reference", str()) if given.startswith("{"):
                return _from_json(given)
            case ("boolean", str()) if given.lower() in ("true", "false", "1", "0"):
                return given.lower() in ("true", "1")
            case ("integer", str()) if re.fullmatch(r"-?\d{1,20}", given):
                return int(given)
            case ("boolean", bool()):
                return given
            case ("boolean", _) | ("number" | "integer", bool()):
                raise PydanticCustomError("wrong_kind", "a value of another kind")
            case ("string", str()) if any(ord(c) < 32 and c not in "\n\r\t" for c in given):
                raise PydanticCustomError("no_text", "characters that are no text")
        return given


class InvalidBody(RequestValidationError):
    """A body that a model refuses. schema: the JSON schema of the model, which says what was expected."""

    def __init__(self, errors: Sequence[Any], schema: dict[str, Any]) -> None:
        super().__init__(errors)
        self.schema = schema


@cache
def schema_of(body: type[Body]) -> dict[str, Any]:
    return body.model_json_schema()


def resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A part of a schema without `| None` and with the model that it refers to, whose description it may replace. What may be of
    several types is a reference to a picture or video."""
    branches = [branch for branch in schema.get("anyOf", ()) if branch != {"type": "null"}]
    if len(branches) == 1:
        return resolved({**branches[0], **schema, "anyOf": ()}, root)
    if "$ref" in schema:
        return {**root["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    return {**schema, "type": "reference"} if branches else schema


@cache
def kinds_of(body: type[Body]) -> dict[str, str]:
    """The JSON type of each field, "reference" for a picture or video."""
    schema = schema_of(body)
    return {name: resolved(field, schema).get("type", "any") for name, field in schema["properties"].items()}


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise PydanticCustomError("no_json", "a text that is not JSON") from None


class Route(APIRoute):
    """A route whose part of the OpenAPI page names the body that it reads."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        for needed in self.dependant.dependencies:
            body = getattr(needed.call, "__self__", None)
            if isinstance(body, type) and issubclass(body, Body):
                schema = {"schema": {"$ref": SCHEMAS.format(model=body.__name__)}}
                kinds = ["application/json"] + ["multipart/form-data"] * (body.most_bytes == MOST_JSON)
                required = any(field.is_required() for field in body.model_fields.values())
                self.openapi_extra = {"requestBody": {"required": required, "content": dict.fromkeys(kinds, schema)}}


def body_schemas() -> dict[str, Any]:
    """The schemas of all bodies, for the components of the OpenAPI page."""

    def below(body: type[Body]) -> list[type[Body]]:
        return [body, *(kind for inner in body.__subclasses__() for kind in below(inner))]

    _, schemas = models_json_schema([(body, "validation") for body in below(Body)[1:]], ref_template=SCHEMAS)
    return dict(schemas["$defs"])


class _TextParser(MultiPartParser):
    """Starlette's parser, which reads texts that are not UTF-8 as Latin-1; this one refuses them."""

    def on_part_end(self) -> None:
        part = self._current_part
        if part.file is None:
            try:
                part.data.decode(self._charset)
            except UnicodeDecodeError:
                name = part.field_name[:80]
                raise ApiError(
                    400, f"{name} is not a text in {self._charset}; send it in UTF-8", param=name, code="invalid_value"
                ) from None
        super().on_part_end()


async def raw_body(request: Request, *, most: int = MOST_JSON, files: int = 64) -> dict[str, Any]:
    """A body as a dict of values, files as `Sent`. Where one file is all that is wanted, texts beside it are short and few."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        if most < MOST_JSON:
            raise ApiError(415, "expected a body of JSON", code="invalid_json")
        try:
            fields, longest = (4 * MOST_LIST, MOST_STATE) if files > 1 else (8, MOST_TEXT)
            if kind == "multipart/form-data":
                parser = _TextParser(
                    request.headers, request.stream(), max_files=files, max_fields=fields, max_part_size=longest
                )
                form = await parser.parse()
            else:
                form = await request.form(max_files=files, max_fields=fields, max_part_size=longest)
        except (HTTPException, MultiPartException) as error:
            reason = error.detail if isinstance(error, HTTPException) else error.message
            raise ApiError(400, f"the form cannot be read: {reason}", code="invalid_form") from None
        except ApiError:
            raise
        except OSError as error:
            raise OutputError(f"the form cannot be kept: {error.strerror or error}") from None
        except Exception as error:
            raise ApiError(400, f"the form cannot be read ({type(error).__name__})", code="invalid_form") from None
        try:
            most_bytes = getattr(request.app.state, "most_file_bytes", MOST_BYTES)
            pairs = [(name, await _value(value, most_bytes)) for name, value in form.multi_items()]
        finally:
            await form.close()
        return unbracket(pairs)
    taken = bytearray()
    async for part in request.stream():
        taken += part
        if len(taken) > most:
            raise ApiError(413, f"JSON of more than {most >> 10} KiB; send files as file parts", code="too_large")
    content = bytes(taken)
    if not content.strip():
        return {}
    try:
        given = json.loads(content) if len(content) < SMALL else await run_in_threadpool(json.loads, content)
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is not JSON; expected an object", code="invalid_json") from None
    if not isinstance(given, dict):
        raise ApiError(400, f"the body is {type(given).__name__}; expected a JSON object", code="invalid_json")
    return given


async def _value(value: UploadFile | str, most_bytes: int) -> Any:
    if isinstance(value, str):
        return value
    if value.size is not None and value.size > most_bytes:
        raise ApiError(413, f"a file has {value.size >> 20} MiB; {most_bytes >> 20} are allowed", code="too_large")
    return Sent(name=value.filename or "file", content=await value.read())


def unbracket(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """[("a[b]", 1), ("c[]", 2), ("d[0][e]", 3)] -> {"a": {"b": 1}, "c": [2], "d": [{"e": 3}]}; the last of equals counts. Of lists
    of objects without numbers, as the official client sends them, an item ends where one of its fields comes again."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        head, *rest = re.split(r"\[", name)
        path = [head, *(part.removesuffix("]") for part in rest)]
        if len(path) > DEPTH or not head:
            raise ApiError(400, f"the field {name[:60]!r} is nested too deeply or has no name", code="invalid_form")
        node = tree
        for depth, part in enumerate(path[:-1], 1):
            child = node.setdefault(part if part != "" else _item(node, path[depth:]), {})
            if not isinstance(child, dict):
                raise ApiError(400, f"the fields {name[:60]!r} contradict each other", code="invalid_form")
            node = child
        last = path[-1] if path[-1] != "" else str(len(node))
        if isinstance(node.get(last), dict):
            raise ApiError(400, f"the fields {name[:60]!r} contradict each other", code="invalid_form")
        node[last] = value
    return {name: _lists(value) for name, value in tree.items()}


def _item(items: dict[str, Any], path: Sequence[str]) -> str:
    """The item of a list that a field without a number belongs to: the last one, or the next if that has the field already."""
    node: Any = items.get(str(len(items) - 1))
    for part in path:
        if not isinstance(node, dict) or part == "" or part not in node:
            break
        node = node[part]
    else:
        return str(len(items))
    return str(max(len(items) - 1, 0))


def _lists(value: Any) -> Any:
    """Dicts whose names count 0, 1, 2, ... are lists."""
    if not isinstance(value, dict):
        return value
    made = {name: _lists(inner) for name, inner in value.items()}
    if made and all(re.fullmatch(r"\d{1,4}", name) for name in made):
        return [made[name] for name in sorted(made, key=int)]
    return made
