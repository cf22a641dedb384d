"""The signed half of provenance: a C2PA manifest in the file that says which model made it, when, and with what settings.

C2PA (c2pa.org) binds signed claims to the bytes of an MP4, JPEG or PNG; one changed byte breaks the seal. A copy that leaves
the manifest out is what `watermark` is for. Everything works without a network: no time stamping service, no lists fetched.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
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
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""The digital source type of what a model made together with pixels that it was given (IPTC NewsCodes)."""
Making = Literal["created", "composite", "edited"]
"""created: all of it by a model. composite: by a model, around or out of what was given. edited: only cut or joined."""
PARENT, UNKNOWN = "parent", "application/octet-stream"
MOST_DEPTH, MOST_SOURCES = 8, 16
"""How far back manifests of what something was made from are followed, and how many sources are listed."""
OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


WITHOUT_THUMBNAILS = {**OFFLINE, "builder": {"thumbnail": {"enabled": False}}}
GENERATOR = {"claim_generator_info": [{"name": "Kinema", "version": version("kinema")}]}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a file's manifest says and whether to believe it.

    state: "valid": the seal holds; "invalid": the file or the manifest was changed; "none": no manifest. trusted: valid, and
    signed under one of the anchors. making: how it was made, by its actions; empty where they say nothing known. sources: titles of
    what it was made from, its parent first. from_kinema: whether something it was made from has a trusted manifest of Kinema's
    that says it was made by a model. model, settings_hash (SHA-256 of the settings as canonical JSON), made_at (ISO 8601) and
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
    making: Making | Literal[""] = ""
    sources: tuple[str, ...] = ()
    from_kinema: bool = False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """What a file was made from: a file that can hold a manifest, or an archive of one (`archive_ingredient`), or, where there is
    neither, its title alone. What manifest it has stands in the new one."""

    title: str
    path: Path | None = None
    archive: Path | None = None


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
    making: Making = "created",
    sources: Sequence[Ingredient] = (),
) -> Path:
    """Put a signed manifest into the file, which is replaced whole or not at all; what it held else stays. sources: what it was
    made from, its parent first; what is created has none.

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
        **GENERATOR,
        "title": title or path.name,
        "assertions": [{"label": ASSERTION, "data": claim, "created": True}],
    }
    if (making == "created") != (not sources):
        raise InputError(f"{making} from {len(sources)} sources: expected one or more, and none for what is created")
    definition["ingredients"] = [
        {**_ingredient(number, source), "format": UNKNOWN}
        for number, source in enumerate(sources)
        if _is_title_alone(source)
    ]
    return replace_file(path, lambda new: _signed(path, new, identity, definition, making, sources), force=True)


def archive_ingredient(path: Path, title: str, target: Path) -> None:
    """Write what later manifests need of a file that will be thrown away: its hash, and its own manifest if it has one. Twice: as a
    parent to `target`, and as a part beside it (`part_of`). Nothing is written for kinds of files that hold no manifest, and where
    theirs cannot be read."""
    import c2pa

    kind = _kind(path)
    if not kind:
        return
    try:
        archives = _archives(path, kind, title, target)
    except c2pa.C2paError:
        return
    for file, content in archives.items():
        file.write_bytes(content)


def _archives(path: Path, kind: str, title: str, target: Path) -> dict[Path, bytes]:
    import c2pa

    archives: dict[Path, bytes] = {}
    for relation, name, file in (("parentOf", PARENT, target), ("componentOf", target.stem, part_of(target))):
        with c2pa.Context.from_dict(WITHOUT_THUMBNAILS) as context, c2pa.Builder(GENERATOR, context) as builder:
            with path.open("rb") as stream:
                builder.add_ingredient({"title": title, "relationship": relation, "label": name}, kind, stream)
            archive = io.BytesIO()
            builder.write_ingredient_archive(name, archive)
        archives[file] = archive.getvalue()
    return archives


def part_of(archive: Path) -> Path:
    """Where `archive_ingredient` writes the archive of a file as a part."""
    return archive.with_suffix(".part" + archive.suffix)


def _ingredient(number: int, source: Ingredient) -> dict[str, str]:
    """The entry of a source in a manifest, by its place among the sources."""
    name, relation = (PARENT, "parentOf") if number == 0 else (f"part{number}", "componentOf")
    return {"title": source.title, "relationship": relation, "label": name}


def _add_sources(builder: Any, making: Making, sources: Sequence[Ingredient]) -> None:
    """The sources that have a file or an archive as ingredients, and the actions that made the file of all of them."""
    for number, source in enumerate(sources):
        if source.archive is not None and source.archive.is_file():
            archive = source.archive if number == 0 else part_of(source.archive)
            builder.add_ingredient_from_archive(io.BytesIO(archive.read_bytes()))
        elif kind := _kind_of(source):
            assert source.path is not None
            with source.path.open("rb") as stream:
                builder.add_ingredient(_ingredient(number, source), kind, stream)
    builder.add_action({"action": "c2pa.opened", "parameters": {"ingredientIds": [PARENT]}})
    builder.add_action({"action": "c2pa.edited", **({"digitalSourceType": COMPOSITE} if making == "composite" else {})})


def _is_title_alone(source: Ingredient) -> bool:
    has_archive = source.archive is not None and source.archive.is_file()
    return not has_archive and not _kind_of(source)


def _kind_of(source: Ingredient) -> str:
    """The kind of a source's file; empty where there is none that can hold a manifest."""
    return _kind(source.path) if source.path is not None and source.path.is_file() else ""


def _signed(
    source: Path, target: Path, identity: Identity, definition: dict[str, Any], making: Making, sources: Sequence[Ingredient]
) -> None:
    try:
        import c2pa
    except ImportError:
        raise InputError("signing needs the package c2pa-python; get it with: pip install 'kinema[serve]'") from None

    try:
        info = c2pa.C2paSignerInfo(identity.algorithm, identity.chain, identity.key, None)
        with (
            c2pa.Context.from_dict(WITHOUT_THUMBNAILS) as context,
            c2pa.Signer.from_info(info) as signer,
            c2pa.Builder(definition, context) as builder,
        ):
            if sources:
                _add_sources(builder, making, sources)
            else:
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
                store = json.loads(reader.json())
                return _judged(store, reader.get_validation_state(), reader.get_validation_results() or {})
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


def _assertion(manifest: dict[str, Any], label: str) -> dict[str, Any]:
    """The data of a manifest's first assertion of this label; empty if there is none."""
    entries = [
        entry.get("data") for entry in manifest.get("assertions", []) if str(entry.get("label", "")).startswith(label)
    ]
    return entries[0] if entries and isinstance(entries[0], dict) else {}


def _making(manifest: dict[str, Any]) -> Making | Literal[""]:
    """How something was made, by the actions of its manifest."""
    actions = [action for action in _assertion(manifest, "c2pa.actions").get("actions", []) if isinstance(action, dict)]
    if any(action.get("action") == "c2pa.created" for action in actions):
        return "created"
    if any(action.get("digitalSourceType") == COMPOSITE for action in actions):
        return "composite"
    return "edited" if any(action.get("action") == "c2pa.opened" for action in actions) else ""


def _trusted_ingredients(results: dict[str, Any]) -> set[str]:
    """Labels of the ingredients' manifests whose signers lead back to the anchors."""
    entries = [
        entry
        for delta in results.get("ingredientDeltas") or []
        for entry in (delta.get("validationDeltas") or {}).get("success") or []
        if entry.get("code") == "signingCredential.trusted"
    ]
    return {part for entry in entries for part in str(entry.get("url", "")).split("/")}


def _made_by_model(store: dict[str, Any], label: Any, trusted: set[str], depth: int = 0) -> bool:
    """Whether a manifest in the store is a trusted one of Kinema's of something that a model made, itself or before it was cut."""
    manifest = store.get("manifests", {}).get(label)
    if not isinstance(manifest, dict) or depth > MOST_DEPTH or label not in trusted or not _assertion(manifest, ASSERTION):
        return False
    if _making(manifest) in ("created", "composite"):
        return True
    parts = manifest.get("ingredients", [])
    return any(_made_by_model(store, part.get("active_manifest"), trusted, depth + 1) for part in parts)


def _judged(store: dict[str, Any], state: str | None, results: dict[str, Any]) -> Manifest:
    """What a read manifest comes to; its own words are believed for what they are, text of limited length."""
    manifest = store.get("manifests", {}).get(store.get("active_manifest")) or {}
    parts = [part for part in manifest.get("ingredients", []) if isinstance(part, dict)]
    trusted = _trusted_ingredients(results)
    parts.sort(key=lambda part: part.get("relationship") != "parentOf")
    failures = [str(entry.get("code", "")) for entry in results.get("activeManifest", {}).get("failure", [])]
    claim = _assertion(manifest, ASSERTION)

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
        making=_making(manifest),
        sources=tuple(str(part.get("title") or "")[:200] for part in parts[:MOST_SOURCES]),
        from_kinema=any(_made_by_model(store, part.get("active_manifest"), trusted) for part in parts),
    )
