"""Where a clip comes from: a signed manifest in the file, an invisible mark in the pictures, and a free check for both."""

from kinema.media.fingerprint import Copies, same_content, small_copies
from kinema.provenance.identity import Identity, identity_from, own_identity
from kinema.provenance.label import label
from kinema.provenance.manifest import (
    Ingredient,
    Making,
    Manifest,
    archive_ingredient,
    can_sign,
    part_of,
    read_manifest,
    settings_hash,
    sign,
)
from kinema.provenance.verify import Verdict, verify
from kinema.provenance.watermark import PUBLIC_KEY, Watermark, detect, detect_unchanged, mark

__all__ = [
    "PUBLIC_KEY",
    "Copies",
    "Identity",
    "Ingredient",
    "Making",
    "Manifest",
    "Verdict",
    "Watermark",
    "archive_ingredient",
    "can_sign",
    "detect",
    "detect_unchanged",
    "identity_from",
    "label",
    "mark",
    "own_identity",
    "part_of",
    "read_manifest",
    "same_content",
    "settings_hash",
    "sign",
    "small_copies",
    "verify",
]
