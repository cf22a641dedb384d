"""From takes to a film: the cut with its transitions, titles, sound and subtitles, the edit as OpenTimelineIO and EDL; an archive.

Axes: T frames, H x W pixels.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kinema.director.delivery.edit_list import EditedShot, edl_of, otio_of, srt_of
from kinema.director.filming.actors import check_actors, script_file
from kinema.director.production import LOG, SCRIPT, STATE, Production
from kinema.director.record import ProductionRecord
from kinema.director.script import Script, Shot
from kinema.engines.catalog import capabilities_named
from kinema.errors import EngineError, InputError, KinemaError, MediaError, ModelError
from kinema.media import Clip
from kinema.media.frame_buffer import each, held
from kinema.media.sound import Sound, joined_sound
from kinema.media.soundtrack import read_sound
from kinema.media.write import check_free, replace_file, write_text
from kinema.provenance import Identity
from kinema.provenance.manifest import Ingredient, can_sign, sign
from kinema.types import Frames

TRANSITION_S = 0.5
"""Length of a dissolve or a fade."""
TEXT_SHARE = 10
"""The title's letters are about this part of the picture's height, and never below 8 pixels."""


@dataclass(frozen=True, kw_only=True)
class DeliveredFilm:
    """Files of a film. film: the video; others: subtitles and edit lists; duration_s: length of the film in seconds."""

    film: Path
    others: tuple[Path, ...]
    duration_s: float


def delivered_paths(film: Path, *, subtitled: bool) -> tuple[Path, ...]:
    """The files that `deliver` writes: the film, its edit as OTIO and EDL, and subtitles if there are some."""
    endings = (".otio", ".edl", *((".srt",) if subtitled else ()))
    return (film, *(film.with_suffix(ending) for ending in endings))


def _check_model(shot: Shot) -> None:
    """InputError: the model that a shot names is not there. One on a server that cannot be reached is waited for when it films."""
    try:
        if shot.model is not None:
            capabilities_named(shot.model)
    except ModelError as error:
        raise InputError(f'shot "{shot.id}": {error}') from None
    except EngineError:
        return


def check_files(script: Script, folder: Path, shots: Collection[Shot] | None = None) -> None:
    """Read the files that a script names, and look for its models, before anything is filmed.

    Args:
        script: The script.
        folder: Where they are looked for.
        shots: Those whose pictures and actors are still needed. None: all.

    Raises:
        MediaError: The sound or a picture is not there or cannot be read.
        InputError: An actor is not there, or is none that moves the robot of its shot (`check_actors`); or a model is not there.
    """
    if script.production.sound is not None:
        _sound_of(script_file(folder, script.production.sound), 0.1)
    check_actors(script, folder, shots)
    for shot in script.shots if shots is None else shots:
        _check_model(shot)
        for field in ("first_frame", "last_frame"):
            name = getattr(shot, field)
            if name is None:
                continue
            try:
                Clip.open(script_file(folder, name), first=1, sound=False)
            except (KinemaError, OSError) as error:
                raise MediaError(f'shot "{shot.id}", {field}: {error}') from None


def deliver(production: Production, path: Path, *, identity: Identity | None = None, force: bool = False) -> DeliveredFilm:
    """Cut the used takes of a production into a film.

    Args:
        production: All of its shots are done.
        path: The video; beside it are written .otio and .edl, and .srt where there is dialogue.
        identity: Who signs the film, with each take as an ingredient. None: it is not signed.
        force: Overwrite what is there.

    Returns:
        The files.

    Raises:
        InputError: A shot has no take yet, or takes that do not fit together.
        OutputError: A file is there already, or cannot be written.
    """
    subtitled = any(shot.dialogue for shot in production.script.shots)
    for one in delivered_paths(path, subtitled=subtitled):
        check_free(one, force=force)
    edit, clips = edited_shots(production)
    film = joined_film(production, edit, clips, production.folder)
    title = production.script.production.title

    def write(temporary: Path) -> None:
        film.save(temporary, force=True)
        if identity is not None and can_sign(path):
            sources = [Ingredient(title=f"{shot.id}, take {shot.take}", path=shot.path) for shot in edit]
            sign(
                temporary,
                identity,
                model=production.model,
                settings=film.settings,
                title=title,
                making="edited",
                sources=sources,
            )

    replace_file(path, write, force=force)
    fps = film.fps
    others = [
        write_text(path.with_suffix(".otio"), otio_of(title, edit, fps, path.parent), force=force),
        write_text(path.with_suffix(".edl"), edl_of(title, edit, fps), force=force),
    ]
    if subtitles := srt_of(edit, production.script, fps):
        others.append(write_text(path.with_suffix(".srt"), subtitles, force=force))
    production.log("delivered", why=f"{path.name}: {film.duration_s:.1f} s, {len(edit)} shots")
    return DeliveredFilm(film=path, others=tuple(others), duration_s=film.duration_s)


def edited_shots(production: ProductionRecord) -> tuple[list[EditedShot], list[Clip]]:
    """Where each shot stands in the film, and its take. InputError: a shot has no take, or takes of different sizes or rates."""
    used: list[tuple[int, Path, int]] = []
    clips: list[Clip] = []
    for shot in production.script.shots:
        number = production.used(shot.id)
        if number is None:
            raise InputError(f"shot {shot.id!r} has no take yet: film it first, by resuming the production")
        clip = production.open_take(shot.id, number)
        if clips and (clip.size, clip.fps) != (clips[0].size, clips[0].fps):
            raise InputError(
                f"shot {shot.id!r} is {clip.size} at {clip.fps:g} fps, those before {clips[0].size} at {clips[0].fps:g}: "
                "expected one size and rate"
            )
        used.append((number, production.take_path(shot.id, number), clip.num_frames))
        clips.append(clip)
    return edit_of(production.script, used, clips[0].fps), clips


def edit_of(script: Script, used: Sequence[tuple[int, Path, int]], fps: float) -> list[EditedShot]:
    """Where each shot stands in the film.

    Args:
        script: The script.
        used: Of each shot the number of its take, its file and its length in frames.
        fps: Frames per second.

    Returns:
        The shots in their order.
    """
    edit: list[EditedShot] = []
    start = round(script.production.title_card * fps)
    for shot, (number, path, frames) in zip(script.shots, used, strict=True):
        overlap = 0
        if edit and shot.transition == "dissolve":
            overlap = min(round(TRANSITION_S * fps), frames // 2, edit[-1].frames // 2)
        start -= overlap
        edit.append(
            EditedShot(
                id=shot.id, take=number, path=path, start=start, frames=frames, transition=shot.transition if edit else "cut",
                overlap=overlap,
            )
        )  # fmt: skip
        start += frames
    return edit


def joined_film(production: ProductionRecord, edit: list[EditedShot], clips: list[Clip], folder: Path | None = None) -> Clip:
    """The cut as one clip. folder: where the file of its sound is looked for; None: the current folder."""
    settings = production.script.production
    fps = clips[0].fps
    height, width = clips[0].frames.shape[1:3]
    cards = round(settings.title_card * fps)
    total = cards + sum(clip.num_frames for clip in clips) - sum(shot.overlap for shot in edit)
    card = title_card(settings.title, width, height)
    frames = held(_frames(card, cards, edit, clips, fps), total)
    record: dict[str, Any] = {
        "layout": "directed", "title": settings.title, "model": production.model, "size": f"{width}x{height}", "fps": fps,
        "shots": [{"id": shot.id, "take": shot.take, "start": shot.start, "frames": shot.frames} for shot in edit],
    }  # fmt: skip
    sound = None
    if settings.sound is not None:
        sound = _sound_of((folder or Path()) / settings.sound, total / fps)
    elif any(clip.sound is not None for clip in clips):
        lengths = [(shot.frames - after.overlap) / fps for shot, after in pairwise(edit)] + [clips[-1].duration_s]
        heard = [(None, cards / fps)] if cards else []
        sound = joined_sound([*heard, *zip((clip.sound for clip in clips), lengths, strict=True)])
    return Clip(frames=frames, fps=fps, caption=settings.title, settings=record, sound=sound)


def _sound_of(path: Path, duration_s: float) -> Sound:
    """The sound of a file. MediaError: it cannot be read, or has none."""
    import av

    try:
        sound = read_sound(path, {}, start_s=0.0, duration_s=duration_s, max_bytes=1 << 30, whole=False)
    except (OSError, av.error.FFmpegError) as error:
        raise MediaError(f"sound {path} cannot be read: {error.strerror or error}") from None
    if sound is None:
        raise MediaError(f"sound {path} holds no sound that can be decoded: expected a file such as music.wav")
    return sound


def _frames(card: Frames, cards: int, edit: list[EditedShot], clips: list[Clip], fps: float) -> Iterator[Frames]:
    """The film's pictures, one after the other."""
    for _ in range(cards):
        yield card
    waiting: list[Frames] = []
    fade = round(TRANSITION_S * fps / 2)
    for number, (shot, clip) in enumerate(zip(edit, clips, strict=True)):
        after = edit[number + 1] if number + 1 < len(edit) else None
        tail = after.overlap if after is not None else 0
        last: list[Frames] = []
        for index, frame in enumerate(each(clip.frames)):
            if index < shot.overlap:
                yield _mixed(waiting[index], frame, (index + 1) / (shot.overlap + 1))
            elif index >= clip.num_frames - tail:
                last.append(frame)
            else:
                share = 1.0
                if shot.transition == "fade":
                    share = min(share, (index + 1) / (fade + 1))
                if after is not None and after.transition == "fade":
                    share = min(share, (clip.num_frames - index) / (fade + 1))
                yield frame if share >= 1.0 else _mixed(np.zeros_like(frame), frame, share)
        waiting = last


def _mixed(a: Frames, b: Frames, share: float) -> Frames:
    """A picture between two, as uint8: share 0 is the first, 1 the second."""
    mixed: Frames = (a.astype(np.float32) * (1 - share) + b.astype(np.float32) * share + 0.5).astype(np.uint8)
    return mixed


def title_card(title: str, width: int, height: int) -> Frames:
    """A dark picture uint8 [H, W, 3] with a title in its middle, in as many lines as it needs."""
    size = max(height // TEXT_SHARE, 8)
    font = ImageFont.load_default(size)
    page = Image.new("RGB", (width, height), (16, 16, 20))
    lines: list[str] = [""]
    for word in title.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > 0.9 * width:
            lines.append(word)
        else:
            lines[-1] = longer
    draw = ImageDraw.Draw(page)
    draw.multiline_text(
        (width / 2, height / 2), "\n".join(lines), fill=(235, 235, 235), font=font, anchor="mm", align="center"
    )
    return np.asarray(page)


def pack_production(production: Production, path: Path, *, force: bool = False) -> Path:
    """A zip of the whole production, which opens elsewhere: unpack it, then `kinema direct resume FOLDER`.

    Raises:
        OutputError: The file is there already, or cannot be written.
    """
    folder = production.folder
    names = [SCRIPT, STATE, LOG]
    files = [folder / name for name in names if (folder / name).is_file()]
    files += sorted(
        one for one in folder.rglob("*") if one.is_file() and one.parent != folder and not one.name.startswith(".")
    )

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as target:
            for file in files:
                target.write(file, f"{folder.name}/{file.relative_to(folder).as_posix()}")

    return replace_file(path, write, force=force)
