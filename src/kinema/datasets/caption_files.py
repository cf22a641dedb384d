"""What is written beside videos: tables and JSON files with captions, licenses and other fields."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from kinema.errors import InputError
from kinema.types import parse_json

MAIN = ("caption", "text")
"""Names of the field of the main caption; others begin with "caption_"."""


def parse_fields(text: str, where: str) -> dict[str, Any]:
    """A JSON object. InputError where it is none."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise InputError(f"{where} is no JSON ({str(error)[:80]})") from None
    if not isinstance(value, dict):
        raise InputError(f"{where} holds {type(value).__name__}; expected a JSON object with a caption")
    return value


def parse_table(text: str, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of metadata.jsonl or metadata.csv with the numbers of their lines from 1 on; empty cells of CSV are left out."""
    if where.endswith(".jsonl"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield number, parse_fields(line, f"{where}, line {number}")
        return
    reader = csv.DictReader(io.StringIO(text, newline=""))
    for row in reader:
        if None in row:
            raise InputError(f"{where}, line {reader.line_num}: more cells than the first line has names")
        yield reader.line_num, {name: value for name, value in row.items() if value not in (None, "")}


def taken_captions(fields: dict[str, Any], where: str, main: str = "") -> tuple[str, ...]:
    """The captions among the fields, which are taken out: the main one first, then those whose names begin with "caption_".

    main: the main one where it stands in a file of its own.
    InputError: one that is no text, or others without a main one.
    """
    texts: dict[str, str] = {}
    chosen = [name for name in MAIN if fields.get(name) is not None][:1]
    for name in sorted(fields):
        if name in chosen or name.startswith("caption_"):
            value = fields.pop(name)
            if value is None:
                continue
            if not isinstance(value, str):
                raise InputError(f"{where}: {name} is {str(value)[:40]!r}; expected a text")
            texts[name] = value.strip()
    first = main or next((texts[name] for name in chosen), "")
    others = [text for name, text in texts.items() if name not in chosen and text]
    if others and not first:
        raise InputError(f"{where}: {next(iter(texts))} without caption; expected the main caption under the name caption")
    return (first, *others) if first else ()
