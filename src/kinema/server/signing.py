"""The identity that signs a server's videos."""

from __future__ import annotations

from kinema.provenance import Identity, identity_from, own_identity
from kinema.server.settings import Settings


def identity_of(settings: Settings) -> Identity:
    """The operator's certificates, or the server's own, created at first use."""
    if settings.chain is not None and settings.key is not None:
        return identity_from(settings.chain, settings.key)
    return own_identity(settings.data / "identity")
