"""Curation: from a set of films to a set of captioned clips, with a page that says what was kept and what was dropped and why.

Films are measured one after another, then it is decided which shots are kept, then these are written and captioned. What is done is
noted in the folder .curation of the result, so that a curation that was killed, or that gets further films, goes on where it was. A
cluster measures and writes by the same functions; the ordinary loop finds what it has noted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from kinema.curation.captioner import Captioner
from kinema.curation.decide import CurationLimits, DuplicateIndex
from kinema.curation.film_files import MeasuredFilm, measured
from kinema.curation.output import TABLE, remove_shards, shown_frames, write_metadata, write_shards, write_shot
from kinema.curation.report import ReportShot, write_report
from kinema.curation.shots import DetectedShot
from kinema.datasets.clip_sources import FoundClip, find_clips
from kinema.datasets.clips import parse_faces
from kinema.datasets.cluster import map_on_cluster, ray_cluster
from kinema.datasets.folder_lock import LOCK, locked
from kinema.errors import InputError
from kinema.media.write import write_text

STATE, VIDEOS = ".curation", "videos"
SHORT_SIDE = 720

Show = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True, kw_only=True)
class CurationResult:
    """What came of a curation.

    Attributes:
        out: Folder of the result, which `CaptionedClips.open` opens.
        report: Page of what was kept and dropped.
        films: How many films there were.
        clips: Names of the clips that were kept.
        dropped: How many shots were dropped for each reason; a shot with two reasons counts for both. Films that cannot be read
            count as "unreadable".
    """

    out: Path
    report: Path
    films: int
    clips: tuple[str, ...]
    dropped: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether a shot is kept: it is, without reasons against it. name: of its clip. number: of the shot in its film."""

    name: str
    clip: FoundClip
    film: MeasuredFilm
    number: int
    shot: DetectedShot
    reasons: tuple[str, ...]


def curate(
    source: Path | str,
    out: Path | str,
    *,
    limits: CurationLimits | None = None,
    captioner: Captioner | None = None,
    shards: bool = False,
    short_side: int = SHORT_SIDE,
    cluster: bool = False,
    show: Show | None = None,
) -> CurationResult:
    """Cut films into shots, drop those that teach little, caption the others, and write them as a set of captioned clips.

    Args:
        source: A set of films in any layout of `CaptionedClips.open`; captions may be missing if a captioner is given.
        out: Folder of the result. A folder of an earlier curation is brought up to date.
        limits: What shots must keep to.
        captioner: Describes each clip. None: clips have the captions of their films.
        shards: Whether WebDataset shards are written in place of single videos and a table.
        short_side: Most pixels of the shorter side of the clips; larger pictures are shrunk.
        cluster: Whether films are measured and clips written on all machines of the Ray cluster that RAY_ADDRESS names, or, without
            it, on all cores of this machine. `source` and `out` lie on storage that all of them share.
        show: Called with the progress.

    Returns:
        What was kept and dropped.

    Raises:
        InputError: Paths or numbers that cannot be, films without captions, or no shot that is kept.
        EngineError: The captioner's server fails; what it said so far is stored. Or Ray does.
        OutputError: The folder cannot be written to.
    """
    out, limits, show = Path(out), limits or CurationLimits(), show or (lambda stage, done, of: None)
    _check_paths(source, out)
    if short_side < 16:
        raise InputError(f"a shorter side of {short_side} pixels: expected 16 or more")
    sources = find_clips(source)
    bare = [clip for clip in sources if not clip.captions]
    if captioner is None and bare:
        raise InputError(
            f"{bare[0].where} has no caption ({len(bare)} of {len(sources)} films have none); write texts beside them, or name a"
            " vision model: --caption URL --caption-model NAME"
        )
    for clip in sources:
        parse_faces(clip.fields.get("faces"), clip.where)
    with ray_cluster() if cluster else nullcontext(), locked(out, "curation", "OUT"):
        for name in ("films", "clips"):
            (out / STATE / name).mkdir(parents=True, exist_ok=True)
        if cluster:
            measure = partial(measured, out / STATE / "films", longest_s=limits.longest_s)
            map_on_cluster(measure, sources, lambda done: show("measuring films by Ray", done, len(sources)))
        films = []
        for done, clip in enumerate(sources, 1):
            films.append(_without_pictures(measured(out / STATE / "films", clip, limits.longest_s)))
            show("measuring films", done, len(sources))
        decisions = decide(sources, films, limits)
        retained = [decision for decision in decisions if not decision.reasons]
        if cluster:
            make = _ClipWriter(out, None, shards, short_side).make
            single = [replace(decision, film=replace(decision.film, shots=())) for decision in retained]
            map_on_cluster(make, single, lambda done: show("writing clips by Ray", done, len(single)))
        writer = _ClipWriter(out, captioner, shards, short_side)
        rows = []
        for done, decision in enumerate(retained, 1):
            rows.append(writer.write(decision))
            show("writing clips", done, len(retained))
        writer.finish(rows)
        report = _report(out, sources, films, decisions, rows, limits)
    reasons = Counter(reason.partition(":")[0] for decision in decisions for reason in decision.reasons)
    unreadable = sum(bool(film.error) for film in films)
    dropped = dict(reasons) | ({"unreadable": unreadable} if unreadable else {})
    if not retained:
        why = ", ".join(f"{name} {count}" for name, count in dropped.items())
        raise InputError(f"no shot of {source} was kept ({why}); {report} shows why")
    return CurationResult(
        out=out, report=report, films=len(sources), clips=tuple(decision.name for decision in retained), dropped=dropped
    )


def _check_paths(source: Path | str, out: Path) -> None:
    if "://" not in str(source):
        given, target = Path(source).absolute().resolve(), out.absolute().resolve()
        if target == given or given in target.parents or target in given.parents:
            raise InputError(f"{out} and {source} lie in each other; name a folder of its own for the result")
    if out.is_dir() and not (out / STATE).is_dir() and any(path.name != LOCK for path in out.iterdir()):
        raise InputError(f"{out} is not empty and holds no curation; name another folder")


def _without_pictures(film: MeasuredFilm) -> MeasuredFilm:
    """A film without its thumbnails, which only the page needs."""
    return replace(film, shots=tuple(replace(shot, thumbnails=()) for shot in film.shots))


def clip_name(film: str, number: int) -> str:
    """The name of a clip, without letters that mean something in shards; a film whose name had some gets a hash to stay apart."""
    plain = re.sub(r"[^\w/-]", "_", film)
    mark = "" if plain == film else f"-{hashlib.sha256(film.encode()).hexdigest()[:6]}"
    return f"{plain}{mark}-{number:04d}"


def decide(sources: Sequence[FoundClip], films: Sequence[MeasuredFilm], limits: CurationLimits) -> list[Decision]:
    """Decide for every shot of every film, in order: it keeps to the limits, and shows something else than those kept before."""
    index, decisions = DuplicateIndex(), []
    for clip, film in zip(sources, films, strict=True):
        for number, shot in enumerate(film.shots):
            reasons = limits.reasons(shot, film.width, film.height)
            name = clip_name(film.name, number)
            if not reasons:
                same = index.find(shot, film.name)
                if same is None:
                    index.add(name, shot, film.name)
                else:
                    reasons = [f"duplicate: shows the same as {same}"]
            decisions.append(Decision(name=name, clip=clip, film=film, number=number, shot=shot, reasons=tuple(reasons)))
    return decisions


class _ClipWriter:
    """Writes and captions clips, each with a record, by which it is known again."""

    def __init__(self, out: Path, captioner: Captioner | None, shards: bool, short_side: int) -> None:
        self.out, self.captioner, self.shards, self.short_side = out, captioner, shards, short_side
        self.records = out / STATE / "clips"
        places = out / VIDEOS, out / STATE / VIDEOS
        self.videos, self.other = places[::-1] if shards else places
        for folder in (out, *places, out / STATE):
            for left in folder.rglob(".kinema-*.tmp*") if folder.is_dir() else ():
                left.unlink()  # of a run that was killed while it wrote

    def write(self, decision: Decision) -> dict[str, Any]:
        """Write and caption a clip, unless it is there. Returns its row of the table."""
        record = self.make(decision)
        if self.captioner is not None and record.get("captioned_by") != self.captioner.model:
            captions = self.captioner.describe(shown_frames(self.videos / f"{decision.name}.mp4"))
            record |= {"captions": asdict(captions), "captioned_by": self.captioner.model}
            self._note(self.records / f"{decision.name}.json", record)
        return self._row(decision, record)

    def make(self, decision: Decision) -> dict[str, Any]:
        """Write the video of a clip unless it is there. Returns its record."""
        shot, film, clip = decision.shot, decision.film, decision.clip
        path, record_path = self.videos / f"{decision.name}.mp4", self.records / f"{decision.name}.json"
        made_of = json.dumps([film.fingerprint, shot.start_s, shot.stop_s, shot.box, self.short_side])
        record: dict[str, Any] = {}
        if record_path.exists():
            record = json.loads(record_path.read_text(encoding="utf-8"))
        moved = self.other / f"{decision.name}.mp4"
        if record.get("made_of") == made_of and not path.exists() and moved.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            moved.replace(path)
        if record.get("made_of") != made_of or not path.exists():
            written = write_shot(clip.video, film, shot, path, self.short_side)
            height, width = written.frames.shape[1:3]
            record = {"made_of": made_of, "width": width, "height": height, "fps": film.fps, "frames": written.num_frames}
            self._note(record_path, record)
        return record

    def _note(self, path: Path, record: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(record), force=True)

    def _row(self, decision: Decision, record: dict[str, Any]) -> dict[str, Any]:
        shot, clip = decision.shot, decision.clip
        row: dict[str, Any] = {"file_name": f"{VIDEOS}/{decision.name}.mp4"}
        if self.captioner is not None:
            captions = record["captions"]
            row |= {"caption": captions["detailed"], "caption_short": captions["short"], "caption_tags": captions["tags"]}
            row |= {"captioned_by": self.captioner.model}
            if clip.captions:
                row["film_caption"] = clip.captions[0]
        else:
            row["caption"] = clip.captions[0]
            row |= {f"caption_{number}": caption for number, caption in enumerate(clip.captions[1:], 2)}
        row |= {name: record[name] for name in ("width", "height", "fps", "frames")}
        row |= {"film": clip.name, "start_s": round(shot.start_s, 4), "stop_s": round(shot.stop_s, 4)}
        row |= {f"score_{name}": round(float(getattr(shot, name)), 4) for name in ("motion", "shake", "blur", "text")}
        row |= {"license": clip.fields.get("license"), "faces": clip.fields.get("faces")}
        return row | {name: value for name, value in clip.fields.items() if name not in row}

    def finish(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write the table or the shards, and delete what an earlier curation made and this one does not keep."""
        names = {row["file_name"].removeprefix(f"{VIDEOS}/").removesuffix(".mp4") for row in rows}
        for path in sorted(self.records.rglob("*.json")):
            name = path.relative_to(self.records).with_suffix("").as_posix()
            (self.other / f"{name}.mp4").unlink(missing_ok=True)
            if name not in names:
                (self.videos / f"{name}.mp4").unlink(missing_ok=True)
                path.unlink()
        if self.shards:
            write_shards(self.out, self.videos.parent, rows, self.out / STATE)
            (self.out / TABLE).unlink(missing_ok=True)
        else:
            write_metadata(self.out, rows)
            remove_shards(self.out, self.out / STATE)


def _report(
    out: Path,
    sources: Sequence[FoundClip],
    films: Sequence[MeasuredFilm],
    decisions: Sequence[Decision],
    rows: Sequence[dict[str, Any]],
    limits: CurationLimits,
) -> Path:
    """Write the page; thumbnails are read again of the films that it shows."""
    clips = {clip.name: clip for clip in sources}
    by_name = {str(row["file_name"]).removeprefix(f"{VIDEOS}/").removesuffix(".mp4"): row for row in rows}

    last: list[MeasuredFilm] = []

    def thumbnails_of(decision: Decision) -> Callable[[], tuple[str, ...]]:
        def read() -> tuple[str, ...]:
            if not last or last[0].name != decision.film.name:
                last[:] = [measured(out / STATE / "films", clips[decision.film.name], limits.longest_s)]
            return last[0].shots[decision.number].thumbnails

        return read

    shown = [
        ReportShot(
            name=decision.name,
            shot=decision.shot,
            film=decision.film.name,
            reasons=decision.reasons,
            row=by_name.get(decision.name, {}),
            thumbnails=thumbnails_of(decision),
        )
        for decision in decisions
    ]
    errors = {film.name: film.error for film in films if film.error}
    return write_report(out / "report.html", shown, errors, limits)
