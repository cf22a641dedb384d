"""Was it made by Kinema? The manifest and the watermark, looked at together, and what they come to in one sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kinema.media.fingerprint import MOST_COMPARED, Copies, small_copies
from kinema.media.read import read_clip
from kinema.media.wanted import Limits, Wanted
from kinema.provenance.code import ID_BITS
from kinema.provenance.manifest import Manifest, read_manifest
from kinema.provenance.watermark import PUBLIC_KEY, Watermark, detect

MOST_BYTES = 512 << 20
"""Memory of the frames in which the watermark is looked for."""
NOTHING = "No sign of Kinema was found; that does not prove that it was made without."


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """made_by_kinema: a trusted manifest of Kinema says that a model made it, or what it was cut from. verdict: the same for
    people, in one sentence. tags: what Kinema's own tags in the file say, which anybody can write. copies: of the frames that
    were looked at."""

    made_by_kinema: bool
    verdict: str
    manifest: Manifest
    watermark: Watermark | None
    tags: dict[str, str]
    copies: Copies

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        mark = self.watermark
        shown = {**asdict(self.manifest), "watermark_id": written(self.manifest.watermark_id)}
        watermark_json = {
            "found": mark is not None,
            "id": written(mark.id if mark else None),
            "score": round(mark.score, 2) if mark else None,
            "agreement": round(mark.agreement, 4) if mark else None,
        }
        return {
            "made_by_kinema": self.made_by_kinema, "verdict": self.verdict, "manifest": shown, "watermark": watermark_json,
            "tags": self.tags,
        }  # fmt: skip


def written(id: int | None) -> str | None:
    """An id as it is shown: ten hexadecimal digits."""
    return None if id is None else f"{id:0{ID_BITS // 4}x}"


def verify(path: Path, *, anchors: bytes = b"", key: bytes = PUBLIC_KEY, limits: Limits | None = None) -> Verdict:
    """Look for both signs in a video or picture; for the watermark, in as many of its first frames as take MOST_BYTES of memory.
    anchors: root certificates in PEM that a manifest's signer may lead back to. key: of the watermark; only a mark by a key that is
    not public says who made a film.

    MediaError: a file that cannot be read, or is larger than the limits allow.
    """
    clip = read_clip(path, limits, Wanted(max_bytes=MOST_BYTES, sound=False))
    frames = clip.frames
    tags = {
        name: str(clip.settings[name])[:200] for name in ("model", "prompt", "seed") if clip.settings.get(name) is not None
    }
    manifest, mark = read_manifest(path, anchors), detect(frames, key)
    signed = manifest.trusted and bool(manifest.model)
    by_model = signed and (manifest.making in ("created", "composite") or manifest.from_kinema)
    own_mark = mark is not None and key != PUBLIC_KEY
    return Verdict(
        made_by_kinema=by_model or own_mark,
        verdict=_signed_sentence(manifest, mark) if signed else _unsigned_sentence(manifest, mark, own_mark, bool(tags)),
        manifest=manifest,
        watermark=mark,
        tags=tags,
        copies=small_copies(frames, MOST_COMPARED),
    )


def _signed_sentence(manifest: Manifest, mark: Watermark | None) -> str:
    """What a trusted manifest of Kinema's comes to."""
    about = f"({manifest.model}, {manifest.made_at})"
    sources = ", ".join(repr(title) for title in manifest.sources)
    if manifest.making == "edited" and manifest.from_kinema:
        made = f"Cut from {sources}, which Kinema made"
    elif manifest.making == "edited":
        made = f"Cut by Kinema from {sources}, which nothing says that Kinema made"
    elif manifest.making == "composite":
        made = f"Made by Kinema {about} out of {sources}"
    else:
        made = f"Made by Kinema {about}"
    made += ": its signed manifest is intact"
    if mark is None:
        return f"{made}; the watermark was not found."
    same = manifest.watermark_id in (None, mark.id)
    return f"{made}, and its watermark is there." if same else f"{made}, but the watermark is that of another clip."


def _unsigned_sentence(manifest: Manifest, mark: Watermark | None, own_mark: bool, tagged: bool) -> str:
    """What a file without a trusted manifest of Kinema's comes to."""
    if mark is not None and own_mark:
        return f"Made by Kinema: the watermark {written(mark.id)} is there, by a key that is not public."
    if manifest.state == "invalid" and manifest.model:
        why = "its manifest names Kinema, but the file was changed after it was signed"
    elif manifest.model:
        why = "its manifest names Kinema, but its signer is not one that is trusted"
    elif manifest.state != "none":
        why = "its manifest is not Kinema's"
    else:
        why = "it has no manifest, as copies that were saved anew have none"
    if mark is not None:
        return f"Not confirmed: it carries Kinema's public mark {written(mark.id)}, which anybody can put there, and {why}."
    if tagged:
        return f"Not confirmed: it carries Kinema's tags, which anybody can write, and {why}; there is no watermark."
    return NOTHING if manifest.state == "none" else f"Not confirmed: {why}, and there is no watermark. {NOTHING}"
