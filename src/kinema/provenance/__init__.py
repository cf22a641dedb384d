"""Where a clip comes from: a signed manifest in the file, an invisible mark in the pictures, and a free check for both."""

from kinema.provenance.identity import Identity, identity_from, own_identity
from kinema.provenance.label import label
from kinema.provenance.manifest import Manifest, can_sign, read_manifest, settings_hash, sign
from kinema.provenance.verify import Verdict, verify
from kinema.provenance.watermark import PUBLIC_KEY, Watermark, detect, mark

__all__ = [
    "PUBLIC_KEY",
    "Identity",
    "Manifest",
    "Verdict",
    "Watermark",
    "can_sign",
    "detect",
    "identity_from",
    "label",
    "mark",
    "own_identity",
    "read_manifest",
    "settings_hash",
    "sign",
    "verify",
]
