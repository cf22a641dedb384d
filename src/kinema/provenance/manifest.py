"""The signed half of provenance: a C2PA manifest in the file that says which model made it, when, and with what settings.

C2PA (c2pa.org) binds signed claims to the bytes of an MP4, JPEG or PNG; one changed byte breaks the seal. A copy that leaves
the manifest out is what `watermark` is for. Everything works without a network: no time stamping service, no lists fetched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from kinema.errors import InputError, MediaError, OutputError
from kinema.media.write import replace_file
from kinema.provenance.identity import Identity

ASSERTION = "org.kinema.generation"
KINDS = {".mp4": "video/mp4", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}
"""What can be signed, by ending. WebM, Matroska and GIF cannot hold a manifest; they carry the watermark alone."""
OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a file's manifest says and whether to believe it.

    state: "valid": the seal holds; "invalid": the file or the manifest was changed; "none": no manifest. trusted: valid, and
    signed under one of the anchors. model, settings_hash (SHA-256 of the settings as canonical JSON), made_at (ISO 8601) and
    watermark_id are empty where Kinema's assertion is missing. signer: organization of the signing certificate, empty if
    unknown. reason: why it is invalid, or not trusted.
    """

    state: Literal["valid", "invalid", "none"]
    trusted: bool = False
    model: str = ""
    settings_hash: str = ""
    made_at: str = ""
    watermark_id: int | None = None
    signer: str = ""
    title: str = ""
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def can_sign(path: Path) -> bool:
    """Whether a file with this ending can hold a manifest."""
    return path.suffix.lower() in KINDS


def settings_hash(settings: Mapping[str, Any]) -> str:
    """SHA-256 of the settings as canonical JSON: sorted keys, no spaces, UTF-8."""
    try:
        text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"settings are not plain JSON ({error}); keep only text, numbers, lists and dicts") from None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sign(
    path: Path,
    identity: Identity,
    *,
    model: str,
    settings: Mapping[str, Any],
    made_at: datetime | None = None,
    title: str = "",
    watermark_id: int | None = None,
) -> Path:
    """Put a signed manifest into the file, which is replaced whole or not at all; what it held else stays.

    InputError: a kind of file that holds no manifest, or a key that does not fit. OutputError: it could not be written.
    """
    if not can_sign(path):
        raise InputError(f"{path.name} cannot hold a signed manifest; expected one of {', '.join(KINDS)}")
    if not path.is_file():
        raise InputError(f"{path} does not exist; save the clip before it is signed")
    made = (made_at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    claim: dict[str, Any] = {"model": model, "settings_sha256": settings_hash(settings), "made_at": made}
    if watermark_id is not None:
        claim["watermark_id"] = f"{watermark_id:010x}"
    definition = {
        "claim_generator_info": [{"name": "Kinema", "version": version("kinema")}],
        "title": title or path.name,
        "assertions": [{"label": ASSERTION, "data": claim, "created": True}],
    }
    return replace_file(path, lambda temporary: _signed(path, temporary, identity, definition), force=True)


def _signed(source: Path, target: Path, identity: Identity, definition: dict[str, Any]) -> None:
    try:
        import c2pa
    except ImportError:
        raise InputError("signing needs the package c2pa-python; get it with: pip install 'kinema[serve]'") from None

    made = {**OFFLINE, "builder": {"thumbnail": {"enabled": False}}}
    try:
        info = c2pa.C2paSignerInfo(identity.algorithm, identity.chain, identity.key, None)
        with (
            c2pa.Context.from_dict(made) as context,
            c2pa.Signer.from_info(info) as signer,
            c2pa.Builder(definition, context) as builder,
        ):
            builder.set_intent(c2pa.C2paBuilderIntent.CREATE, c2pa.C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA)
            builder.sign_file(str(source), str(target), signer)
        target.chmod(source.stat().st_mode & 0o777)
    except c2pa.C2paError as error:
        if isinstance(error, c2pa.C2paError.Io):
            raise OutputError(f"{source} could not be signed: {_line(error)}; nothing was changed") from None
        raise InputError(f"{source} could not be signed ({_line(error)}); check the certificates and the key") from None


def read_manifest(path: Path, trust: bytes = b"") -> Manifest:
    """The file's manifest, judged. `trust` holds the root certificates in PEM that signers may lead back to; without them the
    seal can still be checked, but not who made it."""
    try:
        import c2pa
    except ImportError:
        return Manifest(state="none", reason="not looked for: c2pa-python is not installed (pip install 'kinema[serve]')")

    try:
        kind = _kind(path)
        if not kind:
            return Manifest(state="none")
        anchors = {"trust_anchors": trust.decode("ascii", "replace")} if trust else {}
        with c2pa.Context.from_dict({**OFFLINE, "trust": anchors}) as context, path.open("rb") as file:
            reader = c2pa.Reader.try_create(kind, file, context=context)
            if reader is None:
                return Manifest(state="none")
            with reader:
                return _judged(
                    reader.get_active_manifest() or {}, reader.get_validation_state(), reader.get_validation_results() or {}
                )
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror or error}") from None
    except c2pa.C2paError as error:
        return Manifest(state="invalid", reason=_line(error))


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _kind(path: Path) -> str:
    """The kind of file by its first bytes, since names deceive; empty where it cannot hold a manifest."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in (b"ftyp", b"moov", b"styp"):
        return "video/mp4"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/png" if head.startswith(b"\x89PNG") else ""


def _judged(manifest: dict[str, Any], state: str | None, results: dict[str, Any]) -> Manifest:
    """What a read manifest comes to; its own words are believed for what they are, text of limited length."""
    failures = [str(entry.get("code", "")) for entry in results.get("activeManifest", {}).get("failure", [])]
    claims = [entry.get("data") for entry in manifest.get("assertions", []) if entry.get("label") == ASSERTION]
    claim = claims[0] if claims and isinstance(claims[0], dict) else {}

    def text_of(name: str) -> str:
        return str(claim.get(name, ""))[:200]

    mark = text_of("watermark_id")
    return Manifest(
        state="valid" if state in ("Valid", "Trusted") else "invalid",
        trusted=state == "Trusted",
        model=text_of("model"),
        settings_hash=text_of("settings_sha256"),
        made_at=text_of("made_at"),
        watermark_id=int(mark, 16) if re.fullmatch("[0-9a-f]{1,16}", mark) else None,
        signer=str((manifest.get("signature_info") or {}).get("issuer") or "")[:200],
        title=str(manifest.get("title") or "")[:200],
        reason=", ".join(failures)[:400],
    )
