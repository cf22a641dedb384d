"""Was it made by Kinema? The manifest and the watermark, looked at together, and what they come to in one sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kinema.media.read import Limits, Wanted, read_clip
from kinema.provenance.code import ID_BITS
from kinema.provenance.manifest import Manifest, read_manifest
from kinema.provenance.watermark import PUBLIC_KEY, Watermark, detect

MOST_BYTES = 512 << 20
"""Memory of the frames in which the watermark is looked for."""
NOTHING = "No sign of Kinema was found; that does not prove that it was made without."


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """made_by_kinema: a trusted manifest of Kinema, or its watermark. verdict: the same for people, in one sentence."""

    made_by_kinema: bool
    verdict: str
    manifest: Manifest
    watermark: Watermark | None

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
        }  # fmt: skip


def written(id: int | None) -> str | None:
    """An id as it is shown: ten hexadecimal digits."""
    return None if id is None else f"{id:0{ID_BITS // 4}x}"


def verify(path: Path, *, anchors: bytes = b"", key: bytes = PUBLIC_KEY, limits: Limits | None = None) -> Verdict:
    """Look for both signs in a video or picture; for the watermark, in as many of its first frames as take MOST_BYTES of memory.
    anchors: root certificates in PEM that a manifest's signer may lead back to.

    MediaError: a file that cannot be read, or is larger than the limits allow.
    """
    frames = read_clip(path, limits, Wanted(max_bytes=MOST_BYTES)).frames
    manifest, mark = read_manifest(path, anchors), detect(frames, key)
    signed = manifest.trusted and bool(manifest.model)
    return Verdict(
        made_by_kinema=signed or mark is not None,
        verdict=_sentence(manifest, mark, signed),
        manifest=manifest,
        watermark=mark,
    )


def _sentence(manifest: Manifest, mark: Watermark | None, signed: bool) -> str:
    if signed:
        made = f"Made by Kinema ({manifest.model}, {manifest.made_at}): its signed manifest is intact"
        if mark is None:
            return f"{made}; the watermark was not found."
        same = manifest.watermark_id in (None, mark.id)
        return f"{made}, and its watermark is there." if same else f"{made}, but the watermark is that of another clip."
    if mark is None:
        if manifest.state == "none":
            return NOTHING
        if not manifest.model:
            return f"A manifest that is not Kinema's was found, and no watermark. {NOTHING}"
        if manifest.state == "invalid":
            return (
                "Not confirmed: its manifest names Kinema, but the file was changed afterwards, and there is no watermark."
            )
        return (
            "Not confirmed: its manifest names Kinema, but its signer is not one that is trusted, and there is no watermark."
        )
    made = f"Made by Kinema: its watermark {written(mark.id)} is there"
    if manifest.state == "invalid":
        return f"{made}, but the file was changed after it was signed."
    if manifest.state == "valid":
        return f"{made}; the manifest is signed by someone who is not trusted here."
    return f"{made}; there is no manifest, as in a copy that was saved anew."
