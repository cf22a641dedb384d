"""The edit of a production as files: OpenTimelineIO, EDL, subtitles, and the whole production as a zip that opens elsewhere."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Row

from kinema.director.delivery.edit_list import EditedShot, edl_of, otio_of, srt_of
from kinema.director.delivery.film import edit_of
from kinema.director.production import FORMAT, LOG, SCRIPT, STATE
from kinema.director.script import Script
from kinema.director.shot_digest import shot_digest
from kinema.errors import ApiError
from kinema.server.productions.stored import StoredProduction
from kinema.server.storage.clips import load_clip

TEXTS = {"otio": "application/json", "edl": "text/plain", "srt": "application/x-subrip"}
"""Media types of what is written of an edit."""


def edit_text(production: StoredProduction, format: str, frames_of: Callable[[str], int]) -> str:
    """The edit as otio, edl or srt. frames_of: length of a video by its id. 409 while a shot has no take, 404 without dialogue."""
    if production.edit is None:
        raise ApiError(409, f"{production.row.id} has shots without a take; film them first", code="not_filmed")
    edit, title, fps = _edit(production, frames_of), production.row.title, production.fps
    if format == "otio":
        return otio_of(title, edit, fps, Path())
    if format == "edl":
        return edl_of(title, edit, fps)
    text = srt_of(edit, production.script, fps)
    if not text:
        raise ApiError(404, f"nobody speaks in {production.row.id}", code="no_dialogue")
    return text


def _edit(production: StoredProduction, frames_of: Callable[[str], int]) -> list[EditedShot]:
    used: list[tuple[int, Path, int]] = []
    for shot in production.script.shots:
        number = production.used(shot.id) or 1
        used.append((number, Path("takes") / shot.id / f"{number}.mp4", frames_of(production.video_of(shot.id, number))))
    return edit_of(production.script, used, production.fps)


def production_files(
    production: StoredProduction, lines: list[Row[Any]], *, path_of: Callable[[str], Path], picture_of: Callable[[str], Path],
    frames_of: Callable[[str], int],
) -> list[tuple[str, BinaryIO]]:  # fmt: skip
    """The open files of a production by their names in a folder, with which `kinema direct resume` goes on.

    Args:
        production: The production.
        lines: Its log.
        path_of: The file of a video.
        picture_of: The pixels of an upload.
        frames_of: Length of a video.
    """
    script, pictures = _with_files(production.script)
    lacking = [name for id, name in pictures.items() if not picture_of(id).is_file()]
    files = {
        SCRIPT: script.to_json(),
        STATE: json.dumps({"format": FORMAT, **_state_for(production, script)}, indent=1),
        LOG: "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in [*map(_line, lines), *map(_lacking, lacking)]),
    }
    if production.edit is not None:
        for format in TEXTS:
            try:
                files[f"film.{format}"] = edit_text(production, format, frames_of)
            except ApiError as error:
                if error.status != 404:
                    raise
    folder = f"{production.row.id}/"
    opened: list[tuple[str, BinaryIO]] = []
    try:
        for name, text in files.items():
            opened.append((folder + name, _held(text.encode())))
        for shot in script.shots:
            for record in production.takes(shot.id):
                name = f"{folder}takes/{shot.id}/{record.plan.number}"
                opened.append((f"{name}.json", _held(json.dumps(record.to_dict(), indent=1).encode())))
                opened.append((f"{name}.mp4", path_of(production.video_of(shot.id, record.plan.number)).open("rb")))
        for id, name in pictures.items():
            try:
                clip = load_clip(picture_of(id))
            except OSError:  # its owner has deleted it, or it has expired
                continue
            picture = io.BytesIO()
            clip.picture(0).save(picture, "PNG")
            opened.append((folder + name, _held(picture.getvalue())))
        if production.film_is_current and production.film is not None:
            opened.append((f"{folder}film.mp4", path_of(production.film).open("rb")))
    except BaseException:
        for _, file in opened:
            file.close()
        raise
    return opened


def _with_files(script: Script) -> tuple[Script, dict[str, str]]:
    """The script with names of files in place of the ids of uploads, and those names."""
    names: dict[str, str] = {}
    shots = []
    for shot in script.shots:
        given = {field: id for field in ("first_frame", "last_frame") if (id := getattr(shot, field)) is not None}
        names |= {id: f"pictures/{id}.png" for id in given.values()}
        shots.append(shot.model_copy(update={field: names[id] for field, id in given.items()}))
    cast = []
    for member in script.cast:
        names |= {id: f"pictures/{id}.png" for id in member.pictures}
        cast.append(member.model_copy(update={"pictures": tuple(names[id] for id in member.pictures)}))
    return script.model_copy(update={"shots": tuple(shots), "cast": tuple(cast)}), names


def _state_for(production: StoredProduction, script: Script) -> dict[str, Any]:
    """The state, whose used takes are those of the shots as `script` has them, with names of files."""
    shots = dict(production.state["shots"])
    for shot in script.shots:
        entry = shots.get(shot.id, {})
        if entry.get("digest") == production.digest_of(shot.id):
            shots[shot.id] = {**entry, "digest": shot_digest(script, shot)}
    return {**production.state, "shots": shots}


def _line(row: Row[Any]) -> dict[str, Any]:
    at = datetime.fromtimestamp(row.at, UTC).isoformat(timespec="seconds")
    more = {name: value for name in ("shot", "take", "why") if (value := getattr(row, name))}
    return {"at": at, "what": row.what, **more}


def _lacking(name: str) -> dict[str, Any]:
    """What the log says of a picture that the zip lacks."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "at": at,
        "what": "noted",
        "why": f"{name} is not here: the upload was deleted, or its time was over; put one there",
    }


def _held(content: bytes) -> BinaryIO:
    """Bytes as an open file."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(content)
    file.seek(0)
    return file
